/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The null allocator: the floor under a workload's figure, not an allocator to use. Every size class has an address range of its own,
 * so the class of a block is a shift of its address; free pushes on a list of the calling thread, malloc pops, an empty list takes
 * fresh addresses. No check, no owner, no header, nothing ever goes back to the system (but blocks above 16 MiB). What a
 * workload takes on it is the loop, its memory traffic and the least that malloc and free can do. Where one thread allocates
 * and another frees, nothing comes home and memory grows: no floor there.
 *
 * Ranges stay below 2^36 bytes a mapping: valgrind refuses larger ones.
 */
#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SMALL 64u		 /* 16, 32, … 1024 bytes */
#define SMALL_MAX 1024u
#define SMALL_SHIFT 29		 /* 512 MiB of addresses a class */
#define LARGE 14u		 /* 2 KiB … 16 MiB */
#define LARGE_MAX (16u << 20)
#define LARGE_SHIFT 31		 /* 2 GiB of addresses a class */
#define CARVE 4096u		 /* small blocks enter a list this many bytes at a time */
#define PAGE 4096u

#define SMALL_BYTES ((uintptr_t)SMALL << SMALL_SHIFT)
#define LARGE_BYTES ((uintptr_t)LARGE << LARGE_SHIFT)

struct block {
	struct block *next;
};

static uintptr_t base; /* small ranges, then large ones at the next multiple; 0: not reserved yet */
static uintptr_t used[SMALL + LARGE];
static __thread __attribute__((tls_model("initial-exec"))) struct block *head[SMALL + LARGE];

static size_t class_of_size(size_t n)
{
	if (n <= SMALL_MAX)
		return n ? (n - 1) >> 4 : 0;
	return SMALL + (size_t)(63 - __builtin_clzll(n - 1)) - 10; /* 1025…2048 is the first */
}

static size_t size_of_class(size_t c)
{
	return c < SMALL ? (c + 1) << 4 : (size_t)2048 << (c - SMALL);
}

static size_t class_of_block(uintptr_t p)
{
	uintptr_t offset = p - base;
	return offset < SMALL_BYTES ? offset >> SMALL_SHIFT : SMALL + ((offset - SMALL_BYTES) >> LARGE_SHIFT);
}

static int is_ours(uintptr_t p)
{
	return p - base < SMALL_BYTES + LARGE_BYTES && base;
}

/* Two mappings side by side at a multiple of the large range, so that every block of 2^k bytes is aligned to 2^k. */
static uintptr_t reserve(void)
{
	uintptr_t now = __atomic_load_n(&base, __ATOMIC_ACQUIRE);
	if (now)
		return now;
	for (uintptr_t at = (uintptr_t)1 << 40; at < (uintptr_t)1 << 46; at += (uintptr_t)1 << 40) {
		const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
		void *small = mmap((void *)at, SMALL_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
		if (small == MAP_FAILED)
			continue;
		void *large = mmap((void *)(at + SMALL_BYTES), LARGE_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
		if (small != (void *)at || large != (void *)(at + SMALL_BYTES)) {
			munmap(small, SMALL_BYTES);
			if (large != MAP_FAILED)
				munmap(large, LARGE_BYTES);
			continue;
		}
		if (__atomic_compare_exchange_n(&base, &now, at, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return at;
		munmap(small, SMALL_BYTES);
		munmap(large, LARGE_BYTES);
		return now;
	}
	return 0;
}

static __attribute__((noinline)) void *fresh(size_t c)
{
	uintptr_t start = reserve();
	size_t size = size_of_class(c), take = size < CARVE ? CARVE / size * size : size;
	uintptr_t limit = c < SMALL ? (uintptr_t)1 << SMALL_SHIFT : (uintptr_t)1 << LARGE_SHIFT;
	uintptr_t offset = start ? __atomic_fetch_add(&used[c], take, __ATOMIC_RELAXED) : limit;
	if (offset + take > limit) {
		errno = ENOMEM;
		return NULL;
	}
	uintptr_t first = start + offset + (c < SMALL ? c << SMALL_SHIFT : SMALL_BYTES + ((c - SMALL) << LARGE_SHIFT));
	for (uintptr_t p = first + take - size; p > first; p -= size) {
		struct block *b = (struct block *)p;
		b->next = head[c];
		head[c] = b;
	}
	return (void *)first;
}

/* Above LARGE_MAX: a mapping of its own, its length in the page before the block. */
static void *huge(size_t n, size_t align)
{
	if (n > PTRDIFF_MAX - align - 2 * PAGE) {
		errno = ENOMEM;
		return NULL;
	}
	size_t bytes = (n + align + 2 * PAGE - 1) & ~(size_t)(PAGE - 1);
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	uintptr_t user = ((uintptr_t)map + PAGE + align - 1) & ~(uintptr_t)(align - 1);
	uintptr_t *note = (uintptr_t *)(user - 2 * sizeof(uintptr_t));
	note[0] = (uintptr_t)map;
	note[1] = bytes;
	return (void *)user;
}

void *malloc(size_t n)
{
	if (__builtin_expect(n > LARGE_MAX, 0))
		return huge(n, PAGE);
	size_t c = class_of_size(n);
	struct block *b = head[c];
	if (__builtin_expect(!b, 0))
		return fresh(c);
	head[c] = b->next;
	return b;
}

void free(void *p)
{
	if (__builtin_expect(!is_ours((uintptr_t)p), 0)) {
		uintptr_t *note = p ? (uintptr_t *)((uintptr_t)p - 2 * sizeof(uintptr_t)) : NULL;
		if (note)
			munmap((void *)note[0], note[1]);
		return;
	}
	size_t c = class_of_block((uintptr_t)p);
	struct block *b = p;
	b->next = head[c];
	head[c] = b;
}

size_t malloc_usable_size(void *p)
{
	if (!p)
		return 0;
	if (is_ours((uintptr_t)p))
		return size_of_class(class_of_block((uintptr_t)p));
	uintptr_t *note = (uintptr_t *)((uintptr_t)p - 2 * sizeof(uintptr_t));
	return note[0] + note[1] - (uintptr_t)p;
}

void *calloc(size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	void *p = malloc(bytes);
	return p && is_ours((uintptr_t)p) ? memset(p, 0, bytes) : p;
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
	if (n <= old && (n > old / 2 || old <= SMALL_MAX))
		return p;
	void *to = malloc(n);
	if (to) {
		memcpy(to, p, n < old ? n : old);
		free(p);
	}
	return to;
}

void *aligned_alloc(size_t align, size_t n)
{
	if (align <= 16)
		return malloc(n);
	if (n > LARGE_MAX || align > LARGE_MAX)
		return huge(n, align < PAGE ? PAGE : align);
	/* A power of two that holds both is aligned to itself. */
	size_t need = n > align ? n : align;
	return malloc((size_t)1 << (64 - __builtin_clzll(need - 1)));
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

void *valloc(size_t n)
{
	return aligned_alloc(PAGE, n);
}

void *pvalloc(size_t n)
{
	return aligned_alloc(PAGE, (n + PAGE - 1) & ~(size_t)(PAGE - 1));
}
