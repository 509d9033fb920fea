/*
 * Large blocks: one mapping each, known by a table from user pointer to mapping. Nothing lies in
 * front of the user pointer, which is page-aligned.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct hak_lock;

/*
 * align: a power of two. *zero, if asked for: the bytes are known to be zero.
 * NULL with errno ENOMEM.
 */
void *large_alloc(size_t size, size_t align, bool *zero);

/* False: it is no large block. Keeps errno. */
bool large_free(void *p);

/* Usable bytes, 0 if it is no large block. */
size_t large_usable(const void *p);

/* Where the large block begins that p points into, or NULL. Slow: it looks at all of them. */
void *large_around(const void *p);

/* Grow or shrink where the kernel can, moving pages instead of bytes. NULL: not a large block, or
 * no memory. */
void *large_resize(void *p, size_t size);

/* Unmap what waits for reuse. Returns bytes. */
size_t large_trim(void);

void large_totals(size_t *blocks, size_t *bytes);

/* Blocks taken from the cache, and blocks that had to be mapped. */
void large_cache_totals(size_t *hits, size_t *misses);

/* For statistics. */
const struct hak_lock *large_lock(void);

void large_fork_lock(void);
void large_fork_unlock(bool child);
