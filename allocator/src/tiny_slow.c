#include "tiny.h"

#include "classify.h"
#include "external.h"
#include "hotmag.h"
#include "large.h"
#include "pool_tls.h"
#include "shared_pool.h"
#include "thread.h"
#include "tiny_guard.h"
#include "tls_sll_box.h"
#include "util.h"

void *tiny_alloc_slow(unsigned cls)
{
	struct tls *t = thread_get();
	void *p;

	if (!t)
		return g_tls.state == THREAD_DEAD ? thread_orphan_alloc(cls) : NULL;
	p = t->sll_head[cls];
	if (!p && (p = hotmag_pop(t, cls)) != NULL) {
		class_write_header(cls, p);
		return p;
	}
	if (!p) {
		if (!tiny_refill(t, cls))
			return NULL;
		p = t->sll_head[cls];
	}
	PTR_NEXT_READ(p, t->sll_head[cls]);
	t->sll_count[cls]--;
	class_write_header(cls, p);
	return p;
}

/* Another thread's block, or nobody's: an abandoned slab is taken over by the thread that frees
 * into it. */
static void free_remote(void *p, struct slab *s)
{
	struct tls *t;

	block_mark_free(s->cls, p);
	if (!atomic_load(&s->heap)) {
		t = thread_get();
		if (t && shared_pool_adopt_slab(t->heap, s)) {
			tiny_return(t, s, p);
			return;
		}
	}
	if (g_tls.heap)
		g_tls.heap->stat[STAT_REMOTE_FREE]++;
	superslab_remote_free(s, block_base(s->cls, p));
}

static void free_small(void *p, struct slab *s)
{
	struct tls *t = &g_tls;
	unsigned cls = s->cls;

	tiny_guard_free(p, s);
	if (!t->heap || atomic_load_explicit(&s->heap, memory_order_relaxed) != t->heap) {
		free_remote(p, s);
		return;
	}
	if (t->sll_count[cls] >= t->sll_cap[cls]) {
		block_mark_free(cls, p);
		if (hotmag_push(t, cls, p))
			return;
		tiny_spill(t, cls, t->sll_cap[cls] / 2);
	}
	if (!tls_sll_push(cls, block_base(cls, p), t->sll_cap[cls]))
		tiny_return(t, s, p);
}

void tiny_free_slow(void *p)
{
	struct ptr_class c;

	if (!p)
		return;
	c = classify_ptr(p);
	switch (c.kind) {
	case PTR_TINY:
		free_small(p, c.slab);
		break;
	case PTR_POOL:
		pool_free(p, c.slab);
		break;
	case PTR_SHIM:
		tiny_free_slow(shim_block(p));
		break;
	case PTR_OUTSIDE:
		if (!large_free(p))
			external_free(p);
		break;
	case PTR_WILD:
		hak_fatal("wild free: %p, no block of any class", p);
	}
}
