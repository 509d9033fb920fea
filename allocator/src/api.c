/* Everything but malloc() and free(). */
#include "classify.h"
#include "external.h"
#include "front_gate.h"
#include "hakmem_internal.h"
#include "large.h"
#include "shared_pool.h"
#include "stats.h"
#include "thread.h"
#include "tiny.h"
#include "tiny_guard.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

void *HAK(calloc)(size_t n, size_t size);
void *HAK(realloc)(void *p, size_t size);
void *HAK(reallocarray)(void *p, size_t n, size_t size);
void *HAK(aligned_alloc)(size_t align, size_t size);
int HAK(posix_memalign)(void **out, size_t align, size_t size);
void *HAK(memalign)(size_t align, size_t size);
void *HAK(valloc)(size_t size);
void *HAK(pvalloc)(size_t size);
size_t HAK(malloc_usable_size)(void *p);
void HAK(free_sized)(void *p, size_t size);
void HAK(free_aligned_sized)(void *p, size_t align, size_t size);
int HAK(malloc_trim)(size_t pad);
struct mallinfo2 HAK(mallinfo2)(void);

/* Requests that are no small and no middle block. */
#define LARGE_MIN (POOL_MAX + 1)
/* From here on a block that grows is moved by the page tables, below that it is copied. */
#define LARGE_RESIZE_MIN ((size_t)256 << 10)

/* Usable bytes, and what kind of block it is. 0 for what nobody knows. */
static size_t usable(void *p, struct ptr_class *c)
{
	size_t size;

	*c = classify_ptr(p);
	switch (c->kind) {
	case PTR_TINY:
	case PTR_POOL:
		tiny_guard_free(p, c->slab);
		return class_usable(c->slab->cls);
	case PTR_SHIM: {
		struct ptr_class whole;
		char *block = shim_block(p);

		return usable(block, &whole) - (size_t)((char *)p - block);
	}
	case PTR_OUTSIDE:
		size = large_usable(p);
		return size > 0 ? size : external_usable(p);
	case PTR_WILD:
		break;
	}
	return 0;
}

HAK_PUBLIC void *HAK(calloc)(size_t n, size_t size)
{
	size_t bytes;
	bool zero;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	if (bytes >= LARGE_MIN) {
		hakmem_init();
		p = large_alloc(bytes, 1, &zero);
		if (p && !zero)
			memset(p, 0, bytes);
		return p;
	}
	p = front_malloc(bytes);
	if (p)
		memset(p, 0, bytes);
	return p;
}

static void *move(void *p, size_t old, size_t size)
{
	void *q = front_malloc(size);

	if (!q)
		return NULL;
	memcpy(q, p, old < size ? old : size);
	front_free(p);
	return q;
}

HAK_PUBLIC void *HAK(realloc)(void *p, size_t size)
{
	struct ptr_class c;
	size_t old;
	void *q;

	if (!p)
		return front_malloc(size);
	if (size == 0) {
		front_free(p);
		return NULL;
	}
	old = usable(p, &c);
	/* In place while it fits and does not waste more than half, or is too small to matter. */
	if (size <= old && (size >= old / 2 || old <= 64))
		return p;
	if (c.kind == PTR_OUTSIDE && (size >= LARGE_RESIZE_MIN || (size < old && size >= LARGE_MIN))) {
		q = large_resize(p, size);
		if (q)
			return q;
	}
	return move(p, old, size);
}

HAK_PUBLIC void *HAK(reallocarray)(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return HAK(realloc)(p, bytes);
}

/* align: a power of two. */
static void *aligned(size_t align, size_t size)
{
	struct shim *s;
	char *block, *p;
	size_t whole;

	if (align <= 16)
		return front_malloc(size);
	if (align > PTRDIFF_MAX / 2 || size > PTRDIFF_MAX / 2) {
		errno = ENOMEM;
		return NULL;
	}
	whole = size + align + sizeof(struct shim);
	if (whole >= LARGE_MIN) {
		hakmem_init();
		return large_alloc(size, align, NULL);
	}
#if !HAKMEM_TINY_HEADER_CLASSIDX
	/* Without a header a small block's slab vouches for every address in it: middle blocks have
	 * a header always. */
	if (whole <= TINY_MAX)
		whole = TINY_MAX + 1;
#endif
	block = front_malloc(whole);
	if (!block || ((uintptr_t)block & (align - 1)) == 0)
		return block;
	/* Pages, since the arena is used up: these can be had with any alignment, but hold no shim.
	 */
	if (!page_arena_owns(block)) {
		front_free(block);
		return large_alloc(size, align, NULL);
	}
	p = (char *)(((uintptr_t)block + sizeof(struct shim) + align - 1) &
		     ~(uintptr_t)(align - 1));
	s = (struct shim *)p - 1;
	s->offset = (uint64_t)(p - block);
	s->header = HDR_SHIM;
	return p;
}

static bool is_power_of_two(size_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

HAK_PUBLIC void *HAK(aligned_alloc)(size_t align, size_t size)
{
	if (!is_power_of_two(align)) {
		errno = EINVAL;
		return NULL;
	}
	return aligned(align, size);
}

HAK_PUBLIC int HAK(posix_memalign)(void **out, size_t align, size_t size)
{
	int keep = errno;
	void *p;

	if (!is_power_of_two(align) || align % sizeof(void *) != 0)
		return EINVAL;
	p = aligned(align, size);
	errno = keep;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

/* As glibc's: any alignment is raised to the next power of two. */
HAK_PUBLIC void *HAK(memalign)(size_t align, size_t size)
{
	size_t power = 16;

	if (align > PTRDIFF_MAX / 2) {
		errno = EINVAL;
		return NULL;
	}
	while (power < align)
		power *= 2;
	return aligned(power, size);
}

HAK_PUBLIC void *HAK(valloc)(size_t size)
{
	return aligned(PAGE_SIZE, size);
}

HAK_PUBLIC void *HAK(pvalloc)(size_t size)
{
	if (size > PTRDIFF_MAX - PAGE_SIZE) {
		errno = ENOMEM;
		return NULL;
	}
	return aligned(PAGE_SIZE, (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1));
}

HAK_PUBLIC size_t HAK(malloc_usable_size)(void *p)
{
	struct ptr_class c;

	return p ? usable(p, &c) : 0;
}

HAK_PUBLIC void HAK(free_sized)(void *p, size_t size)
{
	(void)size;
	front_free(p);
}

HAK_PUBLIC void HAK(free_aligned_sized)(void *p, size_t align, size_t size)
{
	(void)align;
	(void)size;
	front_free(p);
}

HAK_PUBLIC int HAK(malloc_trim)(size_t pad)
{
	(void)pad;
	thread_trim();
	return shared_pool_trim() + large_trim() > 0;
}

HAK_PUBLIC struct mallinfo2 HAK(mallinfo2)(void)
{
	return stats_mallinfo2();
}
