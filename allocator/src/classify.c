#include "classify.h"

#include "registry.h"
#include "tiny.h"

/* The header byte may be read: it lies in the same superslab, behind the metadata. */
static bool has_byte_before(const void *p)
{
	return ((uintptr_t)p & (SUPERSLAB_SIZE - 1)) > SUPERSLAB_META;
}

/*
 * Whether p is an aligned block inside another one. Any program can write the byte that says so; a
 * true one also leads to where the slab knows the block to begin.
 */
static bool is_shim(struct slab *s, const void *p)
{
	void *start;

	if (!has_byte_before(p) || ((const uint8_t *)p)[-1] != HDR_SHIM || ((uintptr_t)p & 15) != 0)
		return false;
	start = slab_block_start(s, p);
	return start && start != p && shim_block(p) == start;
}

static struct ptr_class classified(enum ptr_kind kind, const void *p)
{
	struct ptr_class c = {.kind = kind,
			      .slab = kind > PTR_WILD && kind != PTR_SHIM ? slab_of(p) : NULL};

	return c;
}

/* The registry knows; the header only tells whether the block is inside another one. */
struct ptr_class classify_ptr(const void *p)
{
	struct superslab *ss = registry_lookup(p);
	struct slab *s;

	if (!ss)
		return classified(page_arena_owns(p) ? PTR_WILD : PTR_OUTSIDE, p);
	s = slab_of(p);
	if (s->state == SLAB_EMPTY || ((uintptr_t)p & (SUPERSLAB_SIZE - 1)) < SUPERSLAB_META)
		return classified(PTR_WILD, p);
	if (is_shim(s, p))
		return classified(PTR_SHIM, p);
	return classified(atomic_load_explicit(&ss->kind, memory_order_relaxed) == SUPERSLAB_TINY
				  ? PTR_TINY
				  : PTR_POOL,
			  p);
}
