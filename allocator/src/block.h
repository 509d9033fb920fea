/*
 * A free block's link to the next one lies at its user pointer, which is 16-byte aligned: it never
 * straddles a cache line.
 */
#pragma once

static inline void *block_next(const void *p)
{
	return *(void *const *)p;
}

static inline void block_set_next(void *p, void *next)
{
	*(void **)p = next;
}
