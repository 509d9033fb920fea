/* The front gate: malloc() and free(), as far as they are quick. */
#include "front_gate.h"

#include "hakmem_internal.h"
#include "large.h"
#include "pool_tls.h"
#include "thread.h"
#include "tiny.h"
#include "tiny_guard.h"
#include "tls_sll_box.h"
#include "util.h"

#include <errno.h>
#if !HAKMEM_BUILD_RELEASE
#include <sys/mman.h>
#endif

void *HAK(malloc)(size_t size);
void HAK(free)(void *p);

/* An empty list, a bigger size, or no memory. */
__attribute__((noinline, cold)) static void *malloc_slow(size_t size)
{
	void *p = NULL;

	if (size <= TINY_MAX)
		p = tiny_alloc_slow(g_tiny_class[size / 16]);
	else if (size <= POOL_MAX)
		p = pool_alloc(size);
	if (likely(p))
		return p;
	/* Also where the arena is used up: pages of its own for each block are better than none. */
	hakmem_init();
	return large_alloc(size, 1, NULL);
}

HAK_PUBLIC void *HAK(malloc)(size_t size)
{
	unsigned cls;
	void *p;

	if (unlikely(size > TINY_MAX))
		return malloc_slow(size);
	cls = g_tiny_class[size / 16];
	p = g_tls_sll_head[cls];
	if (unlikely(!p))
		return malloc_slow(size);
	PTR_NEXT_READ(p, g_tls_sll_head[cls]);
	g_tls_sll_count[cls]--;
#if !HAKMEM_BUILD_RELEASE
	class_write_header(cls, p);
#elif HAKMEM_TINY_HEADER_CLASSIDX
	((uint8_t *)p)[-1] = (uint8_t)(HDR_TINY | cls);
#endif
	return p;
}

/* Frees that passed the gate, of all threads. */
static _Atomic(uint64_t) g_free_fast_count;

#if !HAKMEM_BUILD_RELEASE
/* The header's page must be mapped before it is read. */
static void check_mapped(void *p)
{
	void *page = (void *)(((uintptr_t)p - 1) & ~(PAGE_SIZE - 1));
	unsigned char resident;
	int keep = errno;

	if (mincore(page, 1, &resident) != 0)
		hak_fatal("wild free: %p, its page is not mapped", p);
	errno = keep;
}
#endif

HAK_PUBLIC void HAK(free)(void *p)
{
	struct superslab *ss = superslab_of(p);
	unsigned i = slab_index(p);
	unsigned cls;
	uint8_t header;

	if (unlikely(!page_arena_owns(p))) {
		tiny_free_slow(p);
		return;
	}
#if !HAKMEM_BUILD_RELEASE
	check_mapped(p);
#if HAKMEM_DEBUG_VERBOSE
	if (g_hak_verbose > 1)
		hak_log("free %p superslab %p slab %u", p, (void *)ss, i);
#endif
#endif
	if (unlikely(((uintptr_t)p & (SUPERSLAB_SIZE - 1)) < SUPERSLAB_META)) {
		tiny_free_slow(p);
		return;
	}
	atomic_fetch_add_explicit(&g_free_fast_count, 1, memory_order_relaxed);
	if (unlikely(atomic_load_explicit(&ss->owner[i], memory_order_relaxed) !=
		     (uintptr_t)&g_tls)) {
		tiny_free_slow(p);
		return;
	}
	/*
	 * The slab tells the class and the header has to agree. The slab's byte is in the cache
	 * when the block's is not, and nothing but a branch waits for the block.
	 */
	header = ss->header[i];
#if HAKMEM_TINY_HEADER_CLASSIDX
	if (unlikely(((const uint8_t *)p)[-1] != header)) {
		tiny_free_slow(p);
		return;
	}
#endif
	cls = header & HDR_TINY_CLASS;
	if (unlikely(g_tls_sll_count[cls] >= g_tls.sll_cap[cls])) {
		tiny_free_slow(p);
		return;
	}
#if !HAKMEM_BUILD_RELEASE
	tiny_guard_check(p, slab_of(p));
#endif
	if (unlikely(!tls_sll_push(cls, block_base(cls, p), g_tls.sll_cap[cls]))) {
		tiny_free_slow(p);
		return;
	}
}

void *front_malloc(size_t size)
{
	return HAK(malloc)(size);
}

void front_free(void *p)
{
	HAK(free)(p);
}
