#include "superslab.h"

#include "registry.h"
#include "shared_pool.h"
#include "thread.h"
#include "tiny.h"

struct superslab *superslab_create(enum superslab_kind kind)
{
	struct superslab *ss = page_arena_alloc();
	unsigned i, step;

	if (!ss)
		return NULL;
	ss->magic = SUPERSLAB_MAGIC;
	ss->slab_shift = kind == SUPERSLAB_POOL ? POOL_SLAB_SHIFT : SLAB_SHIFT;
	step = 1u << (ss->slab_shift - SLAB_SHIFT);
	ss->slab_mask = ~(step - 1);
	ss->all_mask = 0;
	for (i = 0; i < SLABS_PER_SUPERSLAB; i += step) {
		ss->all_mask |= 1u << i;
		ss->slabs[i].state = SLAB_EMPTY;
		ss->slabs[i].dirty = 0;
	}
	ss->empty_mask = ss->all_mask;
	ss->next = NULL;
	ss->prev = NULL;
	atomic_store_explicit(&ss->kind, kind, memory_order_release);
	registry_add(ss);
	return ss;
}

void superslab_destroy(struct superslab *ss)
{
	atomic_store_explicit(&ss->kind, SUPERSLAB_FREE, memory_order_release);
	page_arena_release(ss);
}

void *slab_pages(struct slab *s, size_t *bytes)
{
	struct superslab *ss = superslab_of(s);
	unsigned i = slab_own_index(s);
	char *start = (char *)ss + ((size_t)i << SLAB_SHIFT);

	*bytes = (size_t)1 << ss->slab_shift;
	if (i == 0) {
		start += SUPERSLAB_META;
		*bytes -= SUPERSLAB_META;
	}
	return start;
}

void slab_init(struct slab *s, unsigned cls)
{
	struct superslab *ss = superslab_of(s);
	size_t bytes;
	char *pages = slab_pages(s, &bytes);
	size_t lead = class_is_headerless(cls) ? 0 : 16;

	s->cls = (uint8_t)cls;
	s->stride = class_stride(cls);
	s->first = (uint32_t)(pages + lead - (char *)ss);
	s->capacity = (uint32_t)((bytes - lead + (lead ? 1 : 0)) / s->stride);
	s->carved = 0;
	s->used = 0;
	s->nfree = 0;
	s->free = NULL;
	s->full = 0;
	s->dirty = 1;
	ss->header[slab_own_index(s)] = class_header(cls);
}

void slab_set_owner(struct slab *s, enum slab_state state, uintptr_t owner, struct heap *heap)
{
	struct superslab *ss = superslab_of(s);

	s->state = (uint8_t)state;
	atomic_store(&s->heap, heap);
	atomic_store_explicit(&ss->owner[slab_own_index(s)], owner, memory_order_release);
}

unsigned slab_carve(struct slab *s, unsigned n, void **head)
{
	char *base = (char *)superslab_of(s) + s->first;
	void *last = NULL;
	uint32_t carved = s->carved;
	unsigned got = 0;

	*head = NULL;
	while (got < n && carved < s->capacity) {
		char *p = base + (size_t)carved++ * s->stride;

		if (class_skips(s->cls, p))
			continue;
		class_write_header(s->cls, p);
		if (last)
			PTR_NEXT_WRITE(last, p);
		else
			*head = p;
		last = p;
		got++;
	}
	if (last)
		PTR_NEXT_WRITE(last, NULL);
	s->used += got;
	/* Whoever classifies a pointer reads it. */
	__atomic_store_n(&s->carved, carved, __ATOMIC_RELAXED);
	return got;
}

unsigned slab_take(struct slab *s, unsigned n, void **head)
{
	void *last;
	unsigned i;

	*head = s->free;
	if (s->nfree <= n) {
		n = s->nfree;
		s->free = NULL;
	} else {
		last = s->free;
		for (i = 1; i < n; i++)
			PTR_NEXT_READ(last, last);
		PTR_NEXT_READ(last, s->free);
		PTR_NEXT_WRITE(last, NULL);
	}
	s->nfree -= n;
	s->used += n;
	return n;
}

unsigned slab_collect(struct slab *s)
{
	void *p, *next;
	unsigned n = 0;

	if (!atomic_load_explicit(&s->remote, memory_order_relaxed))
		return 0;
	for (p = atomic_exchange(&s->remote, NULL); p; p = next) {
		PTR_NEXT_READ(p, next);
		slab_put(s, p);
		n++;
	}
	return n;
}

/*
 * Tell the owner, once, that a slab has something to collect. Either the flag is seen to be clear
 * here and the slab is announced, or the owner, which clears the flag before it collects, takes the
 * block that was just pushed.
 */
static void announce(struct slab *s)
{
	struct heap *h = atomic_load(&s->heap);

	if (!h)
		shared_pool_has_block(s);
	else if (!atomic_load(&s->pending) && !atomic_exchange(&s->pending, 1))
		heap_announce(h, s);
}

void superslab_remote_free(struct slab *s, void *base)
{
	void *p = base_block(s->cls, base);
	void *old = atomic_load_explicit(&s->remote, memory_order_relaxed);

	do {
		PTR_NEXT_WRITE(p, old);
	} while (!atomic_compare_exchange_weak(&s->remote, &old, p));
	announce(s);
}

void *slab_block_start(struct slab *s, const void *p)
{
	char *base = (char *)superslab_of(s) + s->first;
	size_t lead = class_is_headerless(s->cls) ? 0 : 1;
	size_t at = (size_t)((const char *)p + lead - base);
	char *start;

	if ((const char *)p + lead < base ||
	    at / s->stride >= __atomic_load_n(&s->carved, __ATOMIC_RELAXED))
		return NULL;
	start = base + at / s->stride * s->stride;
	return class_skips(s->cls, start) ? NULL : start;
}
