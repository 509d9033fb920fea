#include "tls_sll_box.h"

#include "thread.h"
#include "tiny.h"
#include "util.h"

#if !HAKMEM_BUILD_RELEASE
/* How far the search for a double free goes: further back, the header has to tell. */
#define SCAN_LIMIT 100

/* Class 2 is where overwritten headers were first seen: its blocks are not a power of two apart. */
#define WATCHED_CLASS 2

/* Blocks are 16-byte aligned, whatever their stride. */
static void check_alignment(unsigned cls, const void *base, const void *p)
{
	if (cls != WATCHED_CLASS)
		return;
	if (((uintptr_t)p & 15) != 0)
		hak_fatal("interior pointer: %p, class C%u, base %p is not aligned", p, cls, base);
}

static void log_push(unsigned cls, const void *base, uint8_t header)
{
#if HAKMEM_DEBUG_VERBOSE
	static __thread unsigned lines;

	if (cls == WATCHED_CLASS && lines++ < 16)
		hak_log("push class %u base %p header 0x%x count %u", cls, base, header,
			g_tls_sll_count[cls]);
#else
	(void)cls;
	(void)base;
	(void)header;
#endif
}

/*
 * The block must be one of the calling thread's own slabs, in use and of this class: a list that
 * holds anybody else's block hands it out a second time.
 */
static void guard(unsigned cls, void *base, void *p)
{
	struct slab *s;

	if (!page_arena_owns(p))
		hak_fatal("wild free: %p, class C%u, base %p is not in the arena", p, cls, base);
	s = slab_of(p);
	if (s->cls != cls)
		hak_fatal("wild free: %p, class C%u, but its slab is of class C%u", p, cls, s->cls);
	if (s->state != SLAB_OWNED ||
	    atomic_load_explicit(&s->heap, memory_order_relaxed) != g_tls.heap)
		hak_fatal("wild free: %p, class C%u, its slab belongs to another thread", p, cls);
	if (s->used == 0)
		hak_fatal("double free: %p, class C%u, no block of its slab is in use", p, cls);
}

/* A block that is on the list already. */
static void scan_for_double_free(unsigned cls, const void *p)
{
	const void *node = g_tls_sll_head[cls];
	const void *next;
	unsigned i;

	for (i = 0; node && i < SCAN_LIMIT; i++) {
		if (node == p)
			hak_fatal("double free: %p, class C%u, node %u of the free list", p, cls,
				  i);
		PTR_NEXT_READ(node, next);
		node = next;
	}
}

/* The count is what the list's length is believed to be: an empty list with a count has lost its
 * blocks. */
static void check_list(unsigned cls)
{
	if ((g_tls_sll_head[cls] == NULL) != (g_tls_sll_count[cls] == 0))
		hak_fatal("free list of class C%u: head %p but count %u", cls, g_tls_sll_head[cls],
			  g_tls_sll_count[cls]);
}
#endif

/*
 * Everything a push can be asked to vouch for, in one place and in this order:
 *
 *  1. the class is one;
 *  2. the list has room;
 *  3. debug: alignment of the watched class;
 *  4. the header is put back, as that of a free block, whatever a neighbour's overrun left there;
 *  5. debug: log of the watched class;
 *  6. debug: the guard;
 *  7. debug: the search for a double free;
 *  8. the push.
 */
bool tls_sll_push(unsigned cls, void *base, uint32_t capacity)
{
	void *p;

	if (unlikely(cls >= TINY_CLASSES))
		return false;
	if (unlikely(g_tls_sll_count[cls] >= capacity))
		return false;

	p = base_block(cls, base);
#if !HAKMEM_BUILD_RELEASE
	check_alignment(cls, base, p);
#endif

	block_mark_free(cls, p);

#if !HAKMEM_BUILD_RELEASE
	log_push(cls, base, ((const uint8_t *)p)[-1]);
	guard(cls, base, p);
	check_list(cls);
	scan_for_double_free(cls, p);
#endif

	PTR_NEXT_WRITE(p, g_tls_sll_head[cls]);
	g_tls_sll_head[cls] = p;
	g_tls_sll_count[cls]++;
	return true;
}
