/*
 * Every read and write of a free block's link passes through these macros. In release they are the
 * plain access; with HAKMEM_DEBUG_VERBOSE in a debug build they leave a trace that a debugger can
 * read back.
 *
 * The link lies at the user pointer, which is 16-byte aligned: it never straddles a cache line.
 */
#pragma once

#include "config.h"

#if !HAKMEM_BUILD_RELEASE && HAKMEM_DEBUG_VERBOSE
struct ptr_trace_entry {
	const void *block;
	const void *next;
	const char *where;
};

#define PTR_TRACE_ENTRIES 256u

extern __thread struct ptr_trace_entry g_ptr_trace[PTR_TRACE_ENTRIES];
extern __thread unsigned g_ptr_trace_at;

static inline void ptr_trace(const char *where, const void *block, const void *next)
{
	struct ptr_trace_entry *e = &g_ptr_trace[g_ptr_trace_at++ % PTR_TRACE_ENTRIES];

	e->where = where;
	e->block = block;
	e->next = next;
}
#else
#define ptr_trace(where, block, next) ((void)0)
#endif

#define PTR_NEXT_WRITE(block, next) \
	do { \
		void *const ptr_block_ = (block); \
		void *const ptr_next_ = (next); \
		ptr_trace(__func__, ptr_block_, ptr_next_); \
		*(void **)ptr_block_ = ptr_next_; \
	} while (0)

#define PTR_NEXT_READ(block, out) \
	do { \
		const void *const ptr_block_ = (block); \
		(out) = *(void *const *)ptr_block_; \
		ptr_trace(__func__, ptr_block_, (out)); \
	} while (0)
