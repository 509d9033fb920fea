/* The classifier: whose block is it? The slow path of free(), realloc() and malloc_usable_size().
 */
#pragma once

#include "superslab.h"

enum ptr_kind {
	/* Not in the arena: a large block, or one that hakmem did not hand out. */
	PTR_OUTSIDE,
	/* In the arena, but in no slab: no block. */
	PTR_WILD,
	PTR_TINY,
	PTR_POOL,
	/* An aligned block inside another block. */
	PTR_SHIM,
};

struct ptr_class {
	enum ptr_kind kind;
	/* Of PTR_TINY and PTR_POOL; else NULL. */
	struct slab *slab;
};

struct ptr_class classify_ptr(const void *p);

/*
 * What precedes an aligned block that lies inside another one. Its header byte is the last one, at
 * ptr - 1.
 */
struct shim {
	uint64_t offset;
	uint8_t unused[7];
	uint8_t header;
};

/* The block an aligned block lies in. */
static inline void *shim_block(const void *p)
{
	const struct shim *s = (const struct shim *)p - 1;

	return (char *)(uintptr_t)p - s->offset;
}
