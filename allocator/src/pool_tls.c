#include "pool_tls.h"

#include "shared_pool.h"
#include "thread.h"
#include "tiny.h"
#include "tiny_guard.h"

/*
 * Four classes to each doubling above 1024: the class is the exponent and the two bits below the
 * leading one of size - 1.
 */
static unsigned pool_class(size_t size)
{
	_Static_assert(POOL_CLASSES == 4 * 5,
		       "four classes to each of the doublings from 1024 to 32768");
	unsigned top = 63 - (unsigned)__builtin_clzl(size - 1);

	return TINY_CLASSES + (top - 10) * 4 + (unsigned)((size - 1) >> (top - 2) & 3);
}

void *pool_alloc(size_t size)
{
	struct tls *t = &g_tls;
	unsigned cls = pool_class(size);
	void *p = t->sll_head[cls];

	if (unlikely(!p)) {
		t = thread_get();
		if (!t)
			return g_tls.state == THREAD_DEAD ? thread_orphan_alloc(cls) : NULL;
		if (!tiny_refill(t, cls))
			return NULL;
		p = t->sll_head[cls];
	}
	PTR_NEXT_READ(p, t->sll_head[cls]);
	t->sll_count[cls]--;
	class_write_header(cls, p);
	return p;
}

void pool_free(void *p, struct slab *s)
{
	struct tls *t = &g_tls;
	unsigned cls = s->cls;
	struct heap *h = atomic_load_explicit(&s->heap, memory_order_relaxed);

	tiny_guard_free(p, s);
	block_mark_free(cls, p);
	if (unlikely(!h || h != t->heap)) {
		if (!h && (t = thread_get()) != NULL && shared_pool_adopt_slab(t->heap, s)) {
			tiny_return(t, s, p);
			return;
		}
		superslab_remote_free(s, block_base(cls, p));
		return;
	}
	if (unlikely(t->sll_count[cls] >= t->sll_cap[cls]))
		tiny_spill(t, cls, t->sll_cap[cls] / 2);
	PTR_NEXT_WRITE(p, t->sll_head[cls]);
	t->sll_head[cls] = p;
	t->sll_count[cls]++;
}
