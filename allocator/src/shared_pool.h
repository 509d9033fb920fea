/* Slabs that no thread owns: the empty ones, and those whose thread has ended with blocks still in
 * use. */
#pragma once

#include "superslab.h"

/* An empty slab, set up for a class and owned by the heap. NULL without memory. */
struct slab *shared_pool_acquire(struct heap *h, unsigned cls);

/* An empty slab of the caller's becomes everybody's. Its superslab may go back to the system. */
void shared_pool_release(struct slab *s);

/* A slab in use, of a thread that ends. */
void shared_pool_abandon(struct slab *s);

/* A block was freed into a slab that had no owner at that moment. */
void shared_pool_has_block(struct slab *s);

/* Take over an abandoned slab of a class that may have a block; NULL if there is none. */
struct slab *shared_pool_adopt(struct heap *h, unsigned cls);

/* Take over this slab, if it is abandoned. */
bool shared_pool_adopt_slab(struct heap *h, struct slab *s);

/* Collect what was freed into abandoned slabs, and release those that became empty. Returns how
 * many. */
unsigned shared_pool_sweep(void);

/*
 * Give the pages of all empty slabs back to the system, and superslabs without a block, but for one
 * of each kind, as a whole. Returns bytes of pages.
 */
size_t shared_pool_trim(void);

/* Bytes of empty slabs. */
size_t shared_pool_empty_bytes(void);

void shared_pool_print(void);

void shared_pool_fork_lock(void);

/* In the child, slabs of all threads but the caller's are abandoned. */
void shared_pool_fork_unlock(bool child);
