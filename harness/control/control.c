/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Blocks of four classes a power of two with a 16-byte header that holds the class, a list of free blocks per thread and
 * class, chunks of 1 MiB from mmap that are kept, a mapping each above 64 KiB. Small and plain on purpose.
 */
#include "control.h"

#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CLASSES 48u
#define SMALL_MAX (64u << 10)
#define CHUNK (1u << 20)
#define MAPPED UINT64_MAX
#define PAGE 4096u

struct header {
	uint64_t class;	 /* MAPPED: a mapping of its own */
	uint64_t offset; /* aligned blocks: from the real header to this one; 0 otherwise. Mapped: bytes of the mapping */
};

struct block {
	struct block *next;
};

#define LOCAL static __thread __attribute__((tls_model("initial-exec")))
LOCAL struct block *head[CLASSES];
LOCAL char *chunk, *chunk_end;
LOCAL uint64_t carry; /* always 0, but only the chain knows */

/* 0: 16 bytes; then 32, 48, 64, 80, 96, 112, 128, 160, … four steps a doubling. */
static size_t class_of(size_t n)
{
	if (n <= 64)
		return n ? (n - 1) >> 4 : 0;
	unsigned top = 63u - (unsigned)__builtin_clzll(n - 1);
	return 4 * (top - 5) + ((n - 1) >> (top - 2) & 3);
}

static size_t bytes_of(size_t c)
{
	return c < 4 ? (c + 1) * 16 : (size_t)(5 + c % 4) << (c / 4 + 3);
}

/* The header is always in the first page of its mapping. align: a power of two, 16 and more. */
static __attribute__((noinline)) void *mapped(size_t n, size_t align)
{
	if (n > PTRDIFF_MAX - align - 2 * PAGE) {
		errno = ENOMEM;
		return NULL;
	}
	size_t bytes = (n + align + 2 * PAGE - 1) & ~(size_t)(PAGE - 1);
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	uintptr_t p = (uintptr_t)map, user = (p + sizeof(struct header) + align - 1) & ~(uintptr_t)(align - 1);
	uintptr_t start = (user - sizeof(struct header)) & ~(uintptr_t)(PAGE - 1);
	if (start > p)
		munmap(map, start - p);
	struct header *h = (struct header *)user - 1;
	h->class = MAPPED;
	h->offset = p + bytes - start;
	return h + 1;
}

static void unmap(struct header *h)
{
	munmap((void *)((uintptr_t)h & ~(uintptr_t)(PAGE - 1)), h->offset);
}

static __attribute__((noinline)) void *fresh(size_t c)
{
	size_t bytes = bytes_of(c) + sizeof(struct header);
	if ((size_t)(chunk_end - chunk) < bytes) {
		char *p = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED) {
			errno = ENOMEM;
			return NULL;
		}
		chunk = p;
		chunk_end = p + CHUNK;
	}
	struct header *h = (struct header *)chunk;
	chunk += bytes;
	h->class = c;
	h->offset = 0;
	return h + 1;
}

static inline void *take(size_t n)
{
	if (__builtin_expect(n > SMALL_MAX, 0))
		return mapped(n, 16);
	size_t c = class_of(n);
	struct block *b = head[c];
	if (__builtin_expect(!b, 0))
		return fresh(c);
	head[c] = b->next;
	return b;
}

void *malloc(size_t n)
{
	return take(n);
}

/* Adds nothing, CONTROL_BASE + control_extra times, one after the other; enters the slide of additions that far before its end. */
static inline uint64_t chain(uint64_t v)
{
	uint64_t nothing = 0;
#if defined(__x86_64__)
	uint64_t entry, back = control_extra * 3; /* add r64, r64 is three bytes with any registers */
	__asm__ volatile(".rept %c[base]\n\tadd %[nothing], %[v]\n\t.endr\n\t"
			 "lea 1f(%%rip), %[entry]\n\tsub %[back], %[entry]\n\tjmp *%[entry]\n\t"
			 ".rept %c[max]\n\tadd %[nothing], %[v]\n\t.endr\n1:"
			 : [v] "+r"(v), [entry] "=&r"(entry)
			 : [nothing] "r"(nothing), [back] "r"(back), [base] "i"(CONTROL_BASE), [max] "i"(CONTROL_EXTRA_MAX)
			 : "cc");
#elif defined(__aarch64__)
	uint64_t entry, back = control_extra * 4;
	__asm__ volatile(".rept %c[base]\n\tadd %[v], %[v], %[nothing]\n\t.endr\n\t"
			 "adr %[entry], 1f\n\tsub %[entry], %[entry], %[back]\n\tbr %[entry]\n\t"
			 ".rept %c[max]\n\tadd %[v], %[v], %[nothing]\n\t.endr\n1:"
			 : [v] "+r"(v), [entry] "=&r"(entry)
			 : [nothing] "r"(nothing), [back] "r"(back), [base] "i"(CONTROL_BASE), [max] "i"(CONTROL_EXTRA_MAX)
			 : "cc");
#else
	for (uint64_t i = 0; i < CONTROL_BASE + control_extra; i++)
		__asm__ volatile("" : "+r"(v) : "r"(nothing));
#endif
	return v;
}

void free(void *p)
{
	if (!p)
		return;
	carry = chain(carry);
	struct header *h = (struct header *)((char *)p + carry) - 1;
	if (__builtin_expect(h->class == MAPPED, 0)) {
		unmap(h);
		return;
	}
	struct block *b = (struct block *)((char *)(h + 1) - h->offset);
	b->next = head[h->class];
	head[h->class] = b;
}

size_t malloc_usable_size(void *p)
{
	if (!p)
		return 0;
	struct header *h = (struct header *)p - 1;
	if (h->class == MAPPED)
		return ((uintptr_t)h & ~(uintptr_t)(PAGE - 1)) + h->offset - (uintptr_t)p;
	return bytes_of(h->class) - h->offset;
}

void *calloc(size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	void *p = malloc(bytes);
	return p ? memset(p, 0, bytes) : NULL;
}

void *realloc(void *p, size_t n)
{
	if (!p)
		return malloc(n);
	if (!n) {
		free(p);
		return NULL;
	}
	size_t old = malloc_usable_size(p);
	if (n <= old && n > old / 4)
		return p;
	void *to = malloc(n);
	if (to) {
		memcpy(to, p, n < old ? n : old);
		free(p);
	}
	return to;
}

/* An aligned block lies inside a larger one, with a second header that points back. */
void *aligned_alloc(size_t align, size_t n)
{
	if (align <= 16)
		return malloc(n);
	if (n > SMALL_MAX || align > SMALL_MAX - n)
		return mapped(n, align);
	char *p = take(n + align);
	if (!p)
		return NULL;
	char *user = (char *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
	if (user != p) {
		struct header *inner = (struct header *)user - 1;
		inner->class = ((struct header *)p - 1)->class;
		inner->offset = (uint64_t)(user - p);
	}
	return user;
}

void *memalign(size_t align, size_t n)
{
	return aligned_alloc(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
	if (align < sizeof(void *) || (align & (align - 1)))
		return EINVAL;
	int saved = errno;
	void *p = aligned_alloc(align, n);
	errno = saved;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}
