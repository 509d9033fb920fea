/* What each thread has: its lists of free blocks, and a heap that holds its slabs. */
#pragma once

#include "config.h"
#include "hotmag.h"
#include "stats.h"
#include "superslab.h"

#include <stdbool.h>

struct hak_lock;

enum thread_state {
	THREAD_NEW,
	THREAD_ALIVE,
	/* Its destructor has run: its lists stay empty, its frees go to the owners, its blocks come
	   from the orphanage. */
	THREAD_DEAD,
};

/*
 * The TLS SLL of each class and its limits. All zero is a thread that nobody has set up: every list
 * is empty and may hold nothing, so both fast paths leave for the slow ones.
 */
struct tls {
	void *sll_head[ALL_CLASSES];
	uint32_t sll_count[ALL_CLASSES];
	uint32_t sll_cap[ALL_CLASSES];
	struct heap *heap;
	enum thread_state state;
};

extern __thread struct tls g_tls __attribute__((tls_model("initial-exec")));

#define g_tls_sll_head (g_tls.sll_head)
#define g_tls_sll_count (g_tls.sll_count)

/* Doubly linked by prev and next of the slabs. New ones come to the head; the tail was filled
 * longest ago. */
struct slab_list {
	struct slab *head;
	struct slab *tail;
};

/*
 * A thread's slabs. Heaps are recycled but never unmapped: a thread that frees a block may still
 * announce it to a heap whose thread has just ended.
 */
struct heap {
	/* Slabs with blocks on remote, linked by pending_next. Pushed by any thread, taken whole by
	 * the owner. */
	_Atomic(struct slab *) pending;
	struct slab_list avail[ALL_CLASSES];
	struct slab_list full[ALL_CLASSES];
	/* The owner; NULL while the heap waits for one. */
	struct tls *tls;
	/* Of the heaps that wait, or of those that are owned and share a bucket. */
	struct heap *next;
	struct heap *all_next;
	size_t stat[STAT_COUNT];
	struct hotmag hotmag;
};

/* The calling thread's lists, set up if need be. NULL: it is ending, or there is no memory. */
struct tls *thread_get(void);

/* Put a slab of a heap on the list of its class it belongs on. */
void heap_add(struct heap *h, struct slab *s);
void heap_remove(struct heap *h, struct slab *s);

/* Called by the thread that pushed the first block on a slab's remote. */
void heap_announce(struct heap *h, struct slab *s);

/* Collect what other threads freed. Returns whether a slab of the heap has got blocks. */
bool heap_drain(struct heap *h);

/* Give back what the calling thread caches, what others freed for it, and what was freed for
 * nobody. */
void thread_trim(void);

/* The heap of blocks for threads that are ending, if there is one yet. */
struct heap *thread_orphan_heap(void);

/* A block for a thread that is ending. */
void *thread_orphan_alloc(unsigned cls);

/* Once, before the first block is handed out. */
void thread_init(void);

void thread_fork_lock(void);
void thread_fork_unlock(bool child);

/* For statistics: the lock of the list of heaps. */
const struct hak_lock *thread_lock(void);

/* For statistics: every heap there ever was. */
struct heap *thread_heaps(void);
