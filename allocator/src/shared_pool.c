#include "shared_pool.h"

#include "lock.h"
#include "thread.h"
#include "tiny.h"
#include "util.h"

/*
 * Empty slabs keep their pages for the next user, up to so many bytes; more than that goes back to
 * the system. Batches that one thread hands to another come back whole, and to fault the pages of
 * each in again costs more than the work on them.
 */
#define KEEP_DIRTY_BYTES ((size_t)8 << 20)

#define KINDS 2

static struct hak_lock g_pool_lock = HAK_LOCK_INIT("shared pool");
/* Superslabs with an empty slab, by kind. */
static struct superslab *g_partial[KINDS];
/*
 * Slabs of threads that ended: those with blocks to give, and those whose blocks are all in use,
 * which nobody adopts before one is freed. Written under the lock; the former are looked at without
 * it to see whether asking is worth while.
 */
static _Atomic(struct slab *) g_abandoned[ALL_CLASSES];
static _Atomic(struct slab *) g_abandoned_full[ALL_CLASSES];
static size_t g_abandoned_count;
static size_t g_empty_bytes;
static _Atomic(size_t) g_dirty_bytes;
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

static void dirty_more(const struct superslab *ss)
{
	atomic_fetch_add_explicit(&g_dirty_bytes, slab_bytes(ss), memory_order_relaxed);
}

static void dirty_less(const struct superslab *ss)
{
	atomic_fetch_sub_explicit(&g_dirty_bytes, slab_bytes(ss), memory_order_relaxed);
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

/*
 * A superslab without a block leaves the list, to be destroyed. The last one of its kind stays: a
 * program at rest shall not map and unmap for one block. The lock is held.
 */
static bool partial_detach(struct superslab *ss, unsigned kind)
{
	if (ss->empty_mask != ss->all_mask || (!ss->prev && !ss->next))
		return false;
	partial_remove(ss, kind);
	for (unsigned i = 0; i < SLABS_PER_SUPERSLAB; i++) {
		if ((ss->all_mask >> i & 1) && ss->slabs[i].dirty)
			dirty_less(ss);
	}
	g_empty_bytes -= SUPERSLAB_SIZE;
	return true;
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
		dirty_less(ss);
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
	size_t bytes = atomic_load_explicit(&g_dirty_bytes, memory_order_relaxed) + slab_bytes(ss);
	bool keep = bytes <= KEEP_DIRTY_BYTES;
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
		dirty_more(ss);
	g_empty_bytes += slab_bytes(ss);
	g_releases++;
	/* What keeps its pages keeps its superslab. */
	if (keep || !partial_detach(ss, kind)) {
		hak_unlock(&g_pool_lock);
		return;
	}
	hak_unlock(&g_pool_lock);
#if !HAKMEM_BUILD_RELEASE
	if (g_hak_verbose > 1)
		hak_log("shared pool: superslab %p is empty", (void *)ss);
#endif
	superslab_destroy(ss);
}

static _Atomic(struct slab *) *abandoned_list(const struct slab *s)
{
	return s->full ? &g_abandoned_full[s->cls] : &g_abandoned[s->cls];
}

static void abandoned_add(struct slab *s)
{
	_Atomic(struct slab *) *list = abandoned_list(s);
	struct slab *head = *list;

	s->prev = NULL;
	s->next = head;
	if (head)
		head->prev = s;
	*list = s;
	g_abandoned_count++;
}

static void abandoned_remove(struct slab *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		*abandoned_list(s) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	g_abandoned_count--;
}

void shared_pool_abandon(struct slab *s)
{
	hak_lock(&g_pool_lock);
	slab_set_owner(s, SLAB_ABANDONED, 0, NULL);
	/* Whoever freed into it before that is seen here; whoever does from now on sees no heap. */
	s->full = slab_exhausted(s) && !atomic_load(&s->remote);
	abandoned_add(s);
	g_abandons++;
	hak_unlock(&g_pool_lock);
}

void shared_pool_has_block(struct slab *s)
{
	hak_lock(&g_pool_lock);
	if (s->state == SLAB_ABANDONED && s->full) {
		abandoned_remove(s);
		s->full = 0;
		abandoned_add(s);
	}
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

/* Collect what was freed into the slabs of a list; those that became empty go onto another. */
static struct slab *sweep_list(struct slab *s, struct slab *empty)
{
	struct slab *next;

	for (; s; s = next) {
		next = s->next;
		slab_collect(s);
		if (s->used > 0)
			continue;
		abandoned_remove(s);
		s->state = SLAB_EMPTY;
		s->next = empty;
		empty = s;
	}
	return empty;
}

unsigned shared_pool_sweep(void)
{
	struct slab *empty = NULL;
	struct slab *next;
	unsigned cls, n = 0;

	hak_lock(&g_pool_lock);
	for (cls = 0; cls < ALL_CLASSES; cls++) {
		empty = sweep_list(g_abandoned[cls], empty);
		empty = sweep_list(g_abandoned_full[cls], empty);
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
	struct superslab *ss, *next;
	struct superslab *empty = NULL;
	struct slab *s;
	size_t bytes, sum = 0;
	unsigned kind, i;
	void *pages;

	hak_lock(&g_pool_lock);
	for (kind = 0; kind < KINDS; kind++) {
		for (ss = g_partial[kind]; ss; ss = next) {
			next = ss->next;
			for (i = 0; i < SLABS_PER_SUPERSLAB; i++) {
				s = &ss->slabs[i];
				if (!(ss->empty_mask >> i & 1) || !s->dirty)
					continue;
				pages = slab_pages(s, &bytes);
				page_arena_purge(pages, bytes);
				s->dirty = 0;
				dirty_less(ss);
				sum += bytes;
			}
			if (partial_detach(ss, kind)) {
				ss->next = empty;
				empty = ss;
			}
		}
	}
	hak_unlock(&g_pool_lock);
	for (; empty; empty = next) {
		next = empty->next;
		superslab_destroy(empty);
	}
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
	hak_log("shared pool: %zu bytes of them keep their pages", atomic_load(&g_dirty_bytes));
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
		s->full = 0;
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
