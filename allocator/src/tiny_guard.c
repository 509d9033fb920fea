#include "tiny_guard.h"

#include "util.h"

static const char *class_name(unsigned cls)
{
	static const char *const names[ALL_CLASSES] = {
		"C0",  "C1",  "C2",  "C3",  "C4",  "C5",  "C6",	 "C7",	"P0",  "P1",
		"P2",  "P3",  "P4",  "P5",  "P6",  "P7",  "P8",	 "P9",	"P10", "P11",
		"P12", "P13", "P14", "P15", "P16", "P17", "P18", "P19",
	};

	return names[cls];
}

/* Whether the block at start is free already. Without a header only a debug build can tell. */
static bool is_free(const struct slab *s, void *start)
{
	if (class_has_header(s->cls))
		return ((uint8_t *)start)[-1] == (class_header(s->cls) & ~HDR_LIVE);
#if !HAKMEM_BUILD_RELEASE
	return *block_free_mark(start) == block_free_magic(start);
#else
	return false;
#endif
}

void tiny_guard_report(void *p, struct slab *s)
{
	const char *name = class_name(s->cls);
	void *start = slab_block_start(s, p);
	uint8_t header = ((uint8_t *)p)[-1];

	if (!start)
		hak_fatal("wild free: %p, in a slab of class %s but no block of it", p, name);
	/* An aligned block inside a free one: the free list's link may have overwritten what led to
	 * it. */
	if (start != p && is_free(s, start))
		hak_fatal("double free: %p, class %s, in the free block %p", p, name, start);
	if (start != p)
		hak_fatal("interior pointer: %p, class %s, the block begins at %p", p, name, start);
	if (class_has_header(s->cls) && header == (class_header(s->cls) & ~HDR_LIVE))
		hak_fatal("double free: %p, class %s", p, name);
	hak_fatal("overrun header: %p, class %s, 0x%x instead of 0x%x", p, name, header,
		  class_header(s->cls));
}

#if !HAKMEM_BUILD_RELEASE
/* A block that was written over its end has left its mark on the next one's header. */
static void check_neighbour(void *p, struct slab *s)
{
	char *next = (char *)p + s->stride;
	uint8_t header;

	if (slab_block_start(s, next) != next)
		return;
	header = ((uint8_t *)next)[-1];
	if (header != class_header(s->cls) && header != (class_header(s->cls) & ~HDR_LIVE))
		hak_fatal("overrun header: %p, class %s, 0x%x written past the end of %p",
			  (void *)next, class_name(s->cls), header, p);
}

void tiny_guard_check(void *p, struct slab *s)
{
	if (slab_block_start(s, p) != p)
		tiny_guard_report(p, s);
	if (!class_has_header(s->cls)) {
		if (*block_free_mark(p) == block_free_magic(p))
			hak_fatal("double free: %p, class %s", p, class_name(s->cls));
		return;
	}
	if (((uint8_t *)p)[-1] != class_header(s->cls))
		tiny_guard_report(p, s);
	check_neighbour(p, s);
}
#endif
