/* The front gate: malloc() and free(), as far as they are quick. */
#include "front_gate.h"

#include "hakmem_internal.h"
#include "large.h"
#include "pool_tls.h"
#include "thread.h"
#include "tiny.h"

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
	g_tls_sll_head[cls] = block_next(p);
	g_tls_sll_count[cls]--;
	return p;
}

HAK_PUBLIC void HAK(free)(void *p)
{
	tiny_free_slow(p);
}

void *front_malloc(size_t size)
{
	return HAK(malloc)(size);
}

void front_free(void *p)
{
	HAK(free)(p);
}
