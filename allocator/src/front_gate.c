/* The front gate: malloc() and free(), as far as they are quick. */
#include "front_gate.h"

#include "hakmem_internal.h"
#include "large.h"
#include "pool_tls.h"
#include "thread.h"
#include "tiny.h"
#include "tiny_guard.h"
#include "tls_sll_box.h"

#include <errno.h>

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
#if HAKMEM_BUILD_RELEASE
#if HAKMEM_TINY_HEADER_CLASSIDX
	((uint8_t *)p)[-1] = (uint8_t)(header & ~HDR_LIVE);
#endif
	PTR_NEXT_WRITE(p, g_tls_sll_head[cls]);
	g_tls_sll_head[cls] = p;
	g_tls_sll_count[cls]++;
#else
	if (!tls_sll_push(cls, block_base(cls, p), g_tls.sll_cap[cls]))
		tiny_free_slow(p);
#endif
}

void *front_malloc(size_t size)
{
	return HAK(malloc)(size);
}

void front_free(void *p)
{
	HAK(free)(p);
}
