#include "shared_pool.h"

#include "lock.h"
#include "thread.h"
#include "tiny.h"
#include "util.h"

/* Empty slabs whose pages stay for the next user; more than that go back to the system. */
#define KEEP_DIRTY_SLABS 16

#define KINDS 2

static struct hak_lock g_pool_lock = HAK_LOCK_INIT("shared pool");
/* Superslabs with an empty slab, by kind. */
static struct superslab *g_partial[KINDS];
/* Written under the lock; looked at without it to see whether asking is worth while. */
static _Atomic(struct slab *) g_abandoned[ALL_CLASSES];
static size_t g_abandoned_count;
static size_t g_empty_bytes;
static _Atomic(unsigned) g_dirty_slabs;
static size_t g_acquires;
static size_t g_releases;
static size_t g_abandons;
static size_t g_adopts;

static unsigned kind_of(unsigned cls)
{
	return cls < TINY_CLASSES ? 0 : 1;
}

static size_t slab_bytes(const struct superslab *ss)
{
	return (size_t)1 << ss->slab_shift;
}

static void partial_add(struct superslab *ss, unsigned kind)
{
	ss->prev = NULL;
	ss->next = g_partial[kind];
	if (ss->next)
		ss->next->prev = ss;
	g_partial[kind] = ss;
}

static void partial_remove(struct superslab *ss, unsigned kind)
{
	if (ss->prev)
		ss->prev->next = ss->next;
	else
		g_partial[kind] = ss->next;
	if (ss->next)
		ss->next->prev = ss->prev;
}

struct slab *shared_pool_acquire(struct heap *h, unsigned cls)
{
	unsigned kind = kind_of(cls);
	struct superslab *ss;
	struct slab *s;

	hak_lock(&g_pool_lock);
	ss = g_partial[kind];
	if (!ss) {
		ss = superslab_create(SUPERSLAB_TINY + kind);
		if (!ss) {
			hak_unlock(&g_pool_lock);
#if !HAKMEM_BUILD_RELEASE
			if (g_hak_verbose)
				hak_log("shared pool: no superslab for class %u", cls);
#endif
			return NULL;
		}
		partial_add(ss, kind);
		g_empty_bytes += SUPERSLAB_SIZE;
	}
	s = &ss->slabs[__builtin_ctz(ss->empty_mask)];
	ss->empty_mask &= ss->empty_mask - 1;
	if (ss->empty_mask == 0)
		partial_remove(ss, kind);
	if (s->dirty)
		atomic_fetch_sub_explicit(&g_dirty_slabs, 1, memory_order_relaxed);
	g_empty_bytes -= slab_bytes(ss);
	g_acquires++;
	hak_unlock(&g_pool_lock);

	slab_init(s, cls);
	slab_set_owner(s, SLAB_OWNED, kind == 0 ? (uintptr_t)h->tls : 0, h);
	return s;
}

void shared_pool_release(struct slab *s)
{
	struct superslab *ss = superslab_of(s);
	unsigned kind = kind_of(s->cls);
	bool keep = atomic_load_explicit(&g_dirty_slabs, memory_order_relaxed) < KEEP_DIRTY_SLABS;
	size_t bytes;
	void *pages;

	slab_set_owner(s, SLAB_EMPTY, 0, NULL);
	if (!keep) {
		pages = slab_pages(s, &bytes);
		page_arena_purge(pages, bytes);
		s->dirty = 0;
	}
	hak_lock(&g_pool_lock);
	if (ss->empty_mask == 0)
		partial_add(ss, kind);
	ss->empty_mask |= 1u << slab_own_index(s);
	if (s->dirty)
		atomic_fetch_add_explicit(&g_dirty_slabs, 1, memory_order_relaxed);
	g_empty_bytes += slab_bytes(ss);
	g_releases++;
	/* The last superslab of its kind stays: a program at rest shall not map and unmap for one
	 * block. */
	if (ss->empty_mask != ss->all_mask || (!ss->prev && !ss->next)) {
		hak_unlock(&g_pool_lock);
		return;
	}
	partial_remove(ss, kind);
	for (unsigned i = 0; i < SLABS_PER_SUPERSLAB; i++) {
		if ((ss->all_mask >> i & 1) && ss->slabs[i].dirty)
			atomic_fetch_sub_explicit(&g_dirty_slabs, 1, memory_order_relaxed);
	}
	g_empty_bytes -= SUPERSLAB_SIZE;
	hak_unlock(&g_pool_lock);
#if !HAKMEM_BUILD_RELEASE
	if (g_hak_verbose > 1)
		hak_log("shared pool: superslab %p is empty", (void *)ss);
#endif
	superslab_destroy(ss);
}

static void abandoned_add(struct slab *s)
{
	struct slab *head = g_abandoned[s->cls];

	s->prev = NULL;
	s->next = head;
	if (head)
		head->prev = s;
	g_abandoned[s->cls] = s;
	g_abandoned_count++;
}

static void abandoned_remove(struct slab *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		g_abandoned[s->cls] = s->next;
	if (s->next)
		s->next->prev = s->prev;
	g_abandoned_count--;
}

void shared_pool_abandon(struct slab *s)
{
	hak_lock(&g_pool_lock);
	slab_set_owner(s, SLAB_ABANDONED, 0, NULL);
	abandoned_add(s);
	g_abandons++;
	hak_unlock(&g_pool_lock);
}

/* The lock is held. */
static void adopt(struct heap *h, struct slab *s)
{
	abandoned_remove(s);
	slab_set_owner(s, SLAB_OWNED, kind_of(s->cls) == 0 ? (uintptr_t)h->tls : 0, h);
	g_adopts++;
}

struct slab *shared_pool_adopt(struct heap *h, unsigned cls)
{
	struct slab *s;

	if (!atomic_load_explicit(&g_abandoned[cls], memory_order_relaxed))
		return NULL;
	hak_lock(&g_pool_lock);
	s = g_abandoned[cls];
	if (s)
		adopt(h, s);
	hak_unlock(&g_pool_lock);
	if (!s)
		return NULL;
	slab_collect(s);
	heap_add(h, s);
	h->stat[STAT_ADOPT]++;
	return s;
}

bool shared_pool_adopt_slab(struct heap *h, struct slab *s)
{
	bool got = false;

	hak_lock(&g_pool_lock);
	if (s->state == SLAB_ABANDONED && !atomic_load(&s->heap)) {
		adopt(h, s);
		got = true;
	}
	hak_unlock(&g_pool_lock);
	if (!got)
		return false;
	slab_collect(s);
	heap_add(h, s);
	h->stat[STAT_ADOPT]++;
	return true;
}

unsigned shared_pool_sweep(void)
{
	struct slab *s, *next;
	struct slab *empty = NULL;
	unsigned cls, n = 0;

	hak_lock(&g_pool_lock);
	for (cls = 0; cls < ALL_CLASSES; cls++) {
		for (s = g_abandoned[cls]; s; s = next) {
			next = s->next;
			slab_collect(s);
			if (s->used > 0)
				continue;
			abandoned_remove(s);
			s->state = SLAB_EMPTY;
			s->next = empty;
			empty = s;
		}
	}
	hak_unlock(&g_pool_lock);
	for (; empty; empty = next, n++) {
		next = empty->next;
		shared_pool_release(empty);
	}
	return n;
}

size_t shared_pool_trim(void)
{
	struct superslab *ss;
	struct slab *s;
	size_t bytes, sum = 0;
	unsigned kind, i;
	void *pages;

	hak_lock(&g_pool_lock);
	for (kind = 0; kind < KINDS; kind++) {
		for (ss = g_partial[kind]; ss; ss = ss->next) {
			for (i = 0; i < SLABS_PER_SUPERSLAB; i++) {
				s = &ss->slabs[i];
				if (!(ss->empty_mask >> i & 1) || !s->dirty)
					continue;
				pages = slab_pages(s, &bytes);
				page_arena_purge(pages, bytes);
				s->dirty = 0;
				atomic_fetch_sub_explicit(&g_dirty_slabs, 1, memory_order_relaxed);
				sum += bytes;
			}
		}
	}
	hak_unlock(&g_pool_lock);
	return sum;
}

size_t shared_pool_empty_bytes(void)
{
	size_t bytes;

	hak_lock(&g_pool_lock);
	bytes = g_empty_bytes;
	hak_unlock(&g_pool_lock);
	return bytes;
}

void shared_pool_print(void)
{
#if !HAKMEM_BUILD_RELEASE
	hak_log("shared pool: %zu slabs handed out", g_acquires);
	hak_log("shared pool: %zu slabs given back", g_releases);
	hak_log("shared pool: %zu slabs abandoned", g_abandons);
	hak_log("shared pool: %zu slabs adopted", g_adopts);
	hak_log("shared pool: %zu slabs wait for adoption", g_abandoned_count);
	hak_log("shared pool: %zu bytes of empty slabs", g_empty_bytes);
	hak_log("shared pool: %u empty slabs keep their pages", atomic_load(&g_dirty_slabs));
	hak_log("shared pool: lock taken %zu times", g_pool_lock.taken);
	hak_log("shared pool: lock waited for %zu times", g_pool_lock.waited);
#endif
}

void shared_pool_fork_lock(void)
{
	hak_lock(&g_pool_lock);
}

/*
 * A thread that the child does not have may have been anywhere when the fork came: what it had put
 * into its lists is left alone, what it had cut but not used up can be used on.
 */
static void abandon_lost(struct superslab *ss, const struct heap *mine)
{
	struct slab *s;
	struct heap *h;
	unsigned i;

	for (i = 0; i < SLABS_PER_SUPERSLAB; i++) {
		s = &ss->slabs[i];
		if (!(ss->all_mask >> i & 1) || (ss->empty_mask >> i & 1))
			continue;
		h = atomic_load(&s->heap);
		if (s->state != SLAB_OWNED || h == mine || h == thread_orphan_heap())
			continue;
		s->free = NULL;
		s->nfree = 0;
		slab_set_owner(s, SLAB_ABANDONED, 0, NULL);
		abandoned_add(s);
	}
}

void shared_pool_fork_unlock(bool child)
{
	size_t at, used = atomic_load(&g_arena.used);
	struct superslab *ss;

	if (!child) {
		hak_unlock(&g_pool_lock);
		return;
	}
	for (at = 0; at < used; at += SUPERSLAB_SIZE) {
		ss = (struct superslab *)(g_arena.base + at);
		if (atomic_load(&ss->kind) != SUPERSLAB_FREE)
			abandon_lost(ss, g_tls.heap);
	}
	hak_lock_reset(&g_pool_lock);
}
