#include "thread.h"
#include "tiny.h"

#include "shared_pool.h"
#include "bg_spill.h"

/* Slabs whose announcement went to a heap that was just given up are found by looking at a few full
 * ones. */
#define FULL_SLABS_LOOKED_AT 4

/* A list of n blocks becomes a thread's list, which is empty. Their headers are what they were when
 * they were freed. */
static void sll_set(struct tls *t, unsigned cls, void *head, unsigned n)
{
	t->sll_head[cls] = head;
	t->sll_count[cls] = n;
}

/* Blocks from one slab, those that came back first. */
static unsigned refill_from(struct slab *s, unsigned want, void **head)
{
	if (s->nfree == 0)
		slab_collect(s);
	if (s->nfree > 0)
		return slab_take(s, want, head);
	return slab_carve(s, want, head);
}

static bool refill_from_avail(struct tls *t, unsigned cls)
{
	struct heap *h = t->heap;
	struct slab *s;
	void *head;
	unsigned n;

	while ((s = h->avail[cls].head) != NULL) {
		n = refill_from(s, g_class_batch[cls], &head);
		if (slab_exhausted(s)) {
			heap_remove(h, s);
			heap_add(h, s);
		}
		if (n > 0) {
			sll_set(t, cls, head, n);
			return true;
		}
	}
	return false;
}

/* The slabs filled longest ago, which go to the front so that the next call looks at others. */
static bool look_at_full(struct heap *h, unsigned cls)
{
	struct slab *s;
	unsigned i;
	bool got = false;

	for (i = 0; i < FULL_SLABS_LOOKED_AT && (s = h->full[cls].tail) != NULL; i++) {
		heap_remove(h, s);
		if (slab_collect(s) > 0)
			got = true;
		heap_add(h, s);
	}
	return got;
}

bool tiny_refill(struct tls *t, unsigned cls)
{
	struct heap *h = t->heap;
	struct slab *s;

	h->stat[STAT_REFILL]++;
	heap_drain(h);
	do {
		if (refill_from_avail(t, cls))
			return true;
	} while (look_at_full(h, cls) || shared_pool_adopt(h, cls));

	s = shared_pool_acquire(h, cls);
	if (!s)
		return false;
	h->stat[STAT_FRESH_SLAB]++;
	heap_add(h, s);
	return refill_from_avail(t, cls);
}

void tiny_return(struct tls *t, struct slab *s, void *p)
{
	struct heap *h = t->heap;

	slab_put(s, p);
	if (s->full) {
		heap_remove(h, s);
		heap_add(h, s);
	}
	/* One slab of each class stays, so that a single block in and out does not take and release
	 * it. */
	if (s->used == 0 && (h->avail[s->cls].head != s || s->next)) {
		heap_remove(h, s);
		h->stat[STAT_RELEASE]++;
		shared_pool_release(s);
	}
}

void tiny_spill(struct tls *t, unsigned cls, unsigned keep)
{
	void *last = NULL;
	void *p = t->sll_head[cls];
	void *next;
	unsigned i;

	if (t->sll_count[cls] <= keep)
		return;
	t->heap->stat[STAT_SPILL]++;
	/* The front of the list was freed last and is in the processor's caches: the rest goes. */
	for (i = 0; i < keep; i++) {
		last = p;
		PTR_NEXT_READ(last, p);
	}
	if (last)
		PTR_NEXT_WRITE(last, NULL);
	else
		t->sll_head[cls] = NULL;
	t->sll_count[cls] = keep;
	if (bg_spill_takes(p))
		return;
	for (; p; p = next) {
		PTR_NEXT_READ(p, next);
		tiny_return(t, slab_of(p), p);
	}
}
