/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The toy subject: a malloc replacement whose cost per free is the number in cost.h. Each free runs
 * COST rounds of a dependent addition, and every EVERY-th touches the PAGES fresh pages of pages.h,
 * which instructions hardly see; all else is the same in every commit. mode.h says what is wrong
 * with a commit, tune.h makes its bytes its own, comment.h does not.
 */
#include "comment.h"
#include "cost.h"
#include "mode.h"
#include "pages.h"
#include "tune.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#ifdef TOY_FAIL
#error "this commit does not compile"
#endif

#ifdef TOY_HIDDEN /* builds, and interposes nothing */
#define malloc toy_malloc
#define free toy_free
#define calloc toy_calloc
#define realloc toy_realloc
#define aligned_alloc toy_aligned_alloc
#define posix_memalign toy_posix_memalign
#define malloc_usable_size toy_malloc_usable_size
#endif

#define N_CLASSES 20
#define LARGE N_CLASSES
#define CHUNK ((size_t)1 << 20)
#define PAGE 4096
#define EVERY 1024

/* Sits before every block. start: the slot the block was cut from. */
struct header {
	uint32_t cls, offset;
	size_t usable;
};
_Static_assert(sizeof(struct header) == 16, "users stay 16-byte aligned");

static _Thread_local struct slot {
	struct slot *next;
} * lists[N_CLASSES];
static _Thread_local char *chunk, *chunk_end, *fresh, *fresh_end;
static _Thread_local unsigned frees;
/* Read when needed, so that the code around is the same for any number. */
static const volatile int fresh_pages = PAGES;
const unsigned toy_tune = TUNE;

static void *pages(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

/* Classes are powers of two from 32 bytes up, header included. */
static char *slot_new(uint32_t cls)
{
	size_t n = (size_t)32 << cls;
	if (lists[cls]) {
		struct slot *s = lists[cls];
		lists[cls] = s->next;
		return (char *)s;
	}
	if (n > CHUNK / 4)
		return pages(n);
	if ((size_t)(chunk_end - chunk) < n) {
		chunk = pages(CHUNK);
		if (!chunk) {
			chunk_end = NULL;
			return NULL;
		}
		chunk_end = chunk + CHUNK;
	}
	char *s = chunk;
	chunk += n;
	return s;
}

__attribute__((noinline)) static void *block(size_t size, size_t align)
{
	if (size > PTRDIFF_MAX - 65536 || align > CHUNK) {
		errno = ENOMEM;
		return NULL;
	}
#ifdef TOY_CRASH
	static int calls;
	if (++calls > 100)
		__builtin_trap();
#endif
	size_t n = size + sizeof(struct header) + (align > 16 ? align : 0);
	uint32_t cls = 0;
	while (cls < N_CLASSES && ((size_t)32 << cls) < n)
		cls++;
	char *s = cls == LARGE ? pages(n) : slot_new(cls);
	if (!s) {
		errno = ENOMEM;
		return NULL;
	}
	char *p = s + sizeof(struct header);
	if (align > 16)
		p = (char *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
	size_t all = cls == LARGE ? n : (size_t)32 << cls;
	struct header *h = (struct header *)p - 1;
	*h = (struct header){ cls, (uint32_t)(p - s), all - (size_t)(p - s) };
	return p;
}

void *malloc(size_t size)
{
	return block(size, 16);
}

/* Small pages, one fault each; never given back. */
__attribute__((noinline)) static void touch(void)
{
	for (int i = fresh_pages; i > 0; i--, fresh += PAGE) {
		if (fresh == fresh_end) {
			fresh = pages(CHUNK);
			if (!fresh)
				__builtin_trap();
			fresh_end = fresh + CHUNK;
			madvise(fresh, CHUNK, MADV_NOHUGEPAGE);
		}
		*(volatile char *)fresh = 1;
	}
}

void free(void *p)
{
	if (!p)
		return;
	if (++frees % EVERY == 0)
		touch();
	unsigned x = 0;
	for (unsigned i = 0; i < COST; i++)
		__asm__ volatile("" : "+r"(x));
	struct header h = ((struct header *)p)[-1];
	char *s = (char *)p - h.offset;
	if (h.cls == LARGE) {
		munmap(s, h.usable + h.offset);
		return;
	}
	((struct slot *)s)->next = lists[h.cls];
	lists[h.cls] = (struct slot *)s;
}

void *calloc(size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	void *p = block(bytes, 16);
	return p ? memset(p, 0, bytes) : NULL;
}

size_t malloc_usable_size(void *p)
{
	return p ? ((struct header *)p)[-1].usable : 0;
}

void *realloc(void *p, size_t size)
{
	if (p && malloc_usable_size(p) >= size)
		return p;
	void *q = block(size, 16);
	if (p && q) {
		memcpy(q, p, malloc_usable_size(p));
		free(p);
	}
	return q;
}

void *aligned_alloc(size_t align, size_t size)
{
	return block(size, align);
}

int posix_memalign(void **out, size_t align, size_t size)
{
	*out = block(size, align);
	return *out ? 0 : ENOMEM;
}
