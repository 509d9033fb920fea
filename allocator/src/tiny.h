/* Size classes, and the way of small blocks between a thread's lists and its slabs. */
#pragma once

#include "config.h"
#include "superslab.h"

#include <stdbool.h>

struct tls;

/* Bytes from one block to the next, and bytes a user may write, of each class. */
extern const uint16_t g_class_stride[ALL_CLASSES];
extern const uint16_t g_class_usable[ALL_CLASSES];
/* Blocks a thread may cache, and blocks one refill brings. */
extern const uint16_t g_class_cap[ALL_CLASSES];
extern const uint8_t g_class_batch[ALL_CLASSES];
/* Class of a request of n bytes, n <= TINY_MAX: entry n / 16. */
extern const uint8_t g_tiny_class[TINY_MAX / 16 + 1];

static inline unsigned class_stride(unsigned cls)
{
	return g_class_stride[cls];
}

static inline size_t class_usable(unsigned cls)
{
	return g_class_usable[cls];
}

/* No class is: a header byte lies in front of every block. */
static inline bool class_is_headerless(unsigned cls)
{
	(void)cls;
	return false;
}

static inline bool class_skips(unsigned cls, const void *p)
{
	(void)cls;
	(void)p;
	return false;
}

/* The header of a block in a user's hands. */
static inline uint8_t class_header(unsigned cls)
{
	if (cls >= TINY_CLASSES)
		return (uint8_t)(HDR_POOL | (cls - TINY_CLASSES));
	return (uint8_t)(HDR_TINY | cls);
}

static inline bool class_has_header(unsigned cls)
{
#if HAKMEM_TINY_HEADER_CLASSIDX
	return !class_is_headerless(cls);
#else
	return cls >= TINY_CLASSES;
#endif
}

#if !HAKMEM_BUILD_RELEASE
/*
 * What a free block without a header bears in its second word in a debug build: no block in a
 * user's hands can, since it is cleared when the block is handed out, and depends on the address.
 */
static inline uint64_t *block_free_mark(void *p)
{
	return (uint64_t *)p + 1;
}

static inline uint64_t block_free_magic(const void *p)
{
	return (uintptr_t)p ^ 0xF4EEB10C5ECE0FF1u;
}
#endif

/* p: the block. */
static inline void class_write_header(unsigned cls, void *p)
{
	if (class_has_header(cls))
		((uint8_t *)p)[-1] = class_header(cls);
#if !HAKMEM_BUILD_RELEASE
	else
		*block_free_mark(p) = 0;
#endif
}

/* A block's base is where its header is, or the block itself where it has none. */
static inline void *block_base(unsigned cls, void *p)
{
	return (uint8_t *)p - class_has_header(cls);
}

static inline void *base_block(unsigned cls, void *base)
{
	return (uint8_t *)base + class_has_header(cls);
}

/* Mark a block as free, which also restores a header that was overwritten. */
static inline void block_mark_free(unsigned cls, void *p)
{
	if (class_has_header(cls))
		((uint8_t *)p)[-1] = (uint8_t)(class_header(cls) & ~HDR_LIVE);
#if !HAKMEM_BUILD_RELEASE
	else
		*block_free_mark(p) = block_free_magic(p);
#endif
}

/* Fill an empty list of a thread from its slabs. False without memory. */
bool tiny_refill(struct tls *t, unsigned cls);

/* Give all but keep of a thread's cached blocks of a class back to their slabs. */
void tiny_spill(struct tls *t, unsigned cls, unsigned keep);

/* Put one block back into a slab of the thread's own, and let go of the slab when it is the last
 * one out. */
void tiny_return(struct tls *t, struct slab *s, void *p);

/* malloc() of a class whose list is empty. Returns NULL without memory, errno untouched. */
void *tiny_alloc_slow(unsigned cls);

/* free() of what the front gate does not take: a full list, another thread's block, anything that
 * is no small block. */
void tiny_free_slow(void *p);
