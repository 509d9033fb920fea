/*
 * The page arena: one range of addresses from which superslabs get their pages, one after the
 * other. Nothing is reserved, so that a limit on the address space counts what is in use.
 *
 * Invariant: every superslab below g_arena.used has a readable first page for the life of the
 * process, so a pointer that page_arena_owns() may always be asked for its superslab.
 */
#pragma once

#include "config.h"

#include <stdatomic.h>
#include <stdbool.h>

struct page_arena {
	/* Set once. Before that no address is owned, since used is 0. */
	uintptr_t base;
	/* Bytes handed out so far; grows only. */
	_Atomic(size_t) used;
	/* How far it may grow. 0: not at all. */
	size_t limit;
};

extern struct page_arena g_arena;

/* Choose the range. Where there is none, the arena stays empty. */
void page_arena_init(void);

/*
 * Pages of one superslab: aligned to its size, readable and writable. Its bytes behind the metadata
 * are zero. Returns NULL where the range or the memory is used up.
 */
void *page_arena_alloc(void);

/* Unmap a superslab but for its metadata. page_arena_alloc() hands it out again. Keeps errno. */
void page_arena_release(void *superslab);

/* Give some pages back but keep the addresses: they read as zero. Keeps errno. */
void page_arena_purge(void *start, size_t bytes);

/* Bytes of superslabs in use. */
size_t page_arena_in_use(void);

void page_arena_print(void);
void page_arena_shutdown(void);

void page_arena_fork_lock(void);
void page_arena_fork_unlock(bool child);

static inline bool page_arena_owns(const void *p)
{
	return (uintptr_t)p - g_arena.base <
	       atomic_load_explicit(&g_arena.used, memory_order_relaxed);
}
