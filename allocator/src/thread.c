#include "thread.h"

#include "hakmem_internal.h"
#include "lock.h"
#include "shared_pool.h"
#include "tiny.h"
#include "util.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

__thread struct tls g_tls __attribute__((tls_model("initial-exec")));

static struct hak_lock g_heap_lock = HAK_LOCK_INIT("heaps");
static struct heap *g_heap_free;
static struct heap *g_heap_all;
/* Owned heaps, by the address of their owner. */
#define HEAP_BUCKETS 256
static struct heap *g_heap_owned[HEAP_BUCKETS];
static char *g_heap_chunk;
static size_t g_heap_chunk_left;

static pthread_key_t g_thread_key;
static bool g_thread_key_valid;

/* Stands for all threads that are ending. */
static struct hak_lock g_orphan_lock = HAK_LOCK_INIT("orphanage");
static struct tls g_orphan;

#define HEAP_CHUNK_SIZE ((size_t)65536)

static struct heap **owned_bucket(const struct tls *t)
{
	return &g_heap_owned[((uintptr_t)t >> 6) * 0x9E3779B97F4A7C15u >> 56];
}

/* The lock is held. */
static struct heap *heap_new(void)
{
	size_t size = (sizeof(struct heap) + 63) & ~(size_t)63;
	struct heap *h = g_heap_free;
	void *p;

	if (h) {
		g_heap_free = h->next;
		return h;
	}
	if (g_heap_chunk_left < size) {
		p = mmap(NULL, HEAP_CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
		if (p == MAP_FAILED)
			return NULL;
		g_heap_chunk = p;
		g_heap_chunk_left = HEAP_CHUNK_SIZE;
	}
	h = (struct heap *)g_heap_chunk;
	g_heap_chunk += size;
	g_heap_chunk_left -= size;
	h->all_next = g_heap_all;
	g_heap_all = h;
	return h;
}

/*
 * A heap for a thread. One that has the same address for an owner belonged to a thread that used
 * the allocator for the first time when no more destructors were called: its slabs name this thread
 * as theirs already, and go with the heap.
 */
static struct heap *heap_take(struct tls *t)
{
	struct heap **bucket = owned_bucket(t);
	struct heap *h;

	hak_lock(&g_heap_lock);
	for (h = *bucket; h && h->tls != t; h = h->next)
		;
	if (!h && (h = heap_new()) != NULL) {
		h->tls = t;
		h->next = *bucket;
		*bucket = h;
	}
	hak_unlock(&g_heap_lock);
	return h;
}

/* Nobody's from here on, and anybody's next. The lock is held. */
static void heap_give_up(struct heap *h)
{
	struct heap **at = owned_bucket(h->tls);

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	h->tls = NULL;
	h->next = g_heap_free;
	g_heap_free = h;
}

static bool tls_open(struct tls *t)
{
	unsigned cls;

	t->heap = heap_take(t);
	if (!t->heap)
		return false;
	for (cls = 0; cls < ALL_CLASSES; cls++)
		t->sll_cap[cls] = g_class_cap[cls];
	t->state = THREAD_ALIVE;
	return true;
}

struct tls *thread_get(void)
{
	struct tls *t = &g_tls;

	if (likely(t->state == THREAD_ALIVE))
		return t;
	if (t->state == THREAD_DEAD)
		return NULL;
	hakmem_init();
	if (!tls_open(t))
		return NULL;
	if (g_thread_key_valid)
		pthread_setspecific(g_thread_key, t);
	return t;
}

static void list_push(struct slab_list *l, struct slab *s)
{
	s->prev = NULL;
	s->next = l->head;
	if (l->head)
		l->head->prev = s;
	else
		l->tail = s;
	l->head = s;
}

void heap_add(struct heap *h, struct slab *s)
{
	bool has = !slab_exhausted(s);

	s->full = !has;
	list_push(has ? &h->avail[s->cls] : &h->full[s->cls], s);
}

void heap_remove(struct heap *h, struct slab *s)
{
	struct slab_list *l = s->full ? &h->full[s->cls] : &h->avail[s->cls];

	if (s->prev)
		s->prev->next = s->next;
	else
		l->head = s->next;
	if (s->next)
		s->next->prev = s->prev;
	else
		l->tail = s->prev;
	s->prev = NULL;
	s->next = NULL;
}

void heap_announce(struct heap *h, struct slab *s)
{
	struct slab *old = atomic_load_explicit(&h->pending, memory_order_relaxed);

	do {
		s->pending_next = old;
	} while (!atomic_compare_exchange_weak(&h->pending, &old, s));
}

/* One announced slab. It may have changed hands since: then its owner is told. */
static bool drain_one(struct heap *h, struct slab *s)
{
	struct heap *owner;

	atomic_store(&s->pending, 0);
	owner = atomic_load(&s->heap);
	if (owner != h) {
		if (owner && atomic_load(&s->remote) && !atomic_exchange(&s->pending, 1))
			heap_announce(owner, s);
		return false;
	}
	if (slab_collect(s) == 0)
		return false;
	h->stat[STAT_REMOTE_COLLECT]++;
	heap_remove(h, s);
	if (s->used == 0 && (h->avail[s->cls].head || h->tls->state == THREAD_DEAD))
		shared_pool_release(s);
	else
		heap_add(h, s);
	return true;
}

bool heap_drain(struct heap *h)
{
	struct slab *s, *next;
	bool got = false;

	if (!atomic_load_explicit(&h->pending, memory_order_relaxed))
		return false;
	for (s = atomic_exchange(&h->pending, NULL); s; s = next) {
		next = s->pending_next;
		if (drain_one(h, s))
			got = true;
	}
	return got;
}

static void list_abandon(struct heap *h, struct slab_list *l)
{
	struct slab *s;

	while ((s = l->head) != NULL) {
		heap_remove(h, s);
		slab_collect(s);
		if (s->used == 0)
			shared_pool_release(s);
		else
			shared_pool_abandon(s);
	}
}

static void thread_end(void *arg)
{
	struct tls *t = arg;
	struct heap *h = t->heap;
	unsigned cls;

	if (t->state != THREAD_ALIVE)
		return;
	t->state = THREAD_DEAD;
	hotmag_flush(t);
	for (cls = 0; cls < ALL_CLASSES; cls++) {
		tiny_spill(t, cls, 0);
		t->sll_cap[cls] = 0;
	}
	heap_drain(h);
	for (cls = 0; cls < ALL_CLASSES; cls++) {
		list_abandon(h, &h->avail[cls]);
		list_abandon(h, &h->full[cls]);
	}
	heap_drain(h);
	t->heap = NULL;
	hak_lock(&g_heap_lock);
	heap_give_up(h);
	hak_unlock(&g_heap_lock);
}

void *thread_orphan_alloc(unsigned cls)
{
	void *p = NULL;

	hak_lock(&g_orphan_lock);
	if ((g_orphan.heap || tls_open(&g_orphan)) &&
	    (g_orphan.sll_head[cls] || tiny_refill(&g_orphan, cls))) {
		p = g_orphan.sll_head[cls];
		PTR_NEXT_READ(p, g_orphan.sll_head[cls]);
		g_orphan.sll_count[cls]--;
		class_write_header(cls, p);
	}
	hak_unlock(&g_orphan_lock);
	return p;
}

void thread_trim(void)
{
	struct tls *t = thread_get();
	unsigned cls;

	if (t) {
		hotmag_flush(t);
		for (cls = 0; cls < ALL_CLASSES; cls++)
			tiny_spill(t, cls, 0);
		heap_drain(t->heap);
	}
	shared_pool_sweep();
}

struct heap *thread_orphan_heap(void)
{
	return g_orphan.heap;
}

void thread_init(void)
{
	g_thread_key_valid = pthread_key_create(&g_thread_key, thread_end) == 0;
}

const struct hak_lock *thread_lock(void)
{
	return &g_heap_lock;
}

struct heap *thread_heaps(void)
{
	struct heap *h;

	hak_lock(&g_heap_lock);
	h = g_heap_all;
	hak_unlock(&g_heap_lock);
	return h;
}

void thread_fork_lock(void)
{
	hak_lock(&g_orphan_lock);
	hak_lock(&g_heap_lock);
}

/*
 * Threads that the child does not have left heaps behind. Their slabs are abandoned by now; their
 * lists may have been in the middle of a change.
 */
static void give_up_lost_heaps(void)
{
	struct heap *h;

	for (h = g_heap_all; h; h = h->all_next) {
		if (!h->tls || h == g_tls.heap || h == g_orphan.heap)
			continue;
		memset(h->avail, 0, sizeof(h->avail));
		memset(h->full, 0, sizeof(h->full));
		memset(&h->hotmag, 0, sizeof(h->hotmag));
		heap_give_up(h);
	}
}

void thread_fork_unlock(bool child)
{
	if (child) {
		give_up_lost_heaps();
		hak_lock_reset(&g_heap_lock);
		hak_lock_reset(&g_orphan_lock);
	} else {
		hak_unlock(&g_heap_lock);
		hak_unlock(&g_orphan_lock);
	}
}
