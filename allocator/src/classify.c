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

/* What metadata says of an address in the arena. */
static struct ptr_class classify_registered(const void *p)
{
	struct superslab *ss = registry_lookup(p);
	struct slab *s;

	if (!ss)
		return classified(PTR_WILD, p);
	s = slab_of(p);
	if (s->state == SLAB_EMPTY || ((uintptr_t)p & (SUPERSLAB_SIZE - 1)) < SUPERSLAB_META)
		return classified(PTR_WILD, p);
	if (is_shim(s, p))
		return classified(PTR_SHIM, p);
	if (atomic_load_explicit(&ss->kind, memory_order_relaxed) == SUPERSLAB_POOL)
		return classified(PTR_POOL, p);
	return classified(PTR_TINY, p);
}

/*
 * A header that says what the slab says too settles it without the registry. Any other byte, a
 * block without a header among them, is left to the registry.
 */
struct ptr_class classify_ptr(const void *p)
{
	const struct slab *s;
	uint8_t header;

	if (!page_arena_owns(p))
		return classified(PTR_OUTSIDE, p);
	s = slab_of(p);
	if (has_byte_before(p) && s->state != SLAB_EMPTY) {
		header = ((const uint8_t *)p)[-1];
		if (class_has_header(s->cls) && header == class_header(s->cls))
			return classified(s->cls < TINY_CLASSES ? PTR_TINY : PTR_POOL, p);
	}
	return classify_registered(p);
}
