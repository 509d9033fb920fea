/*
 * edge - the borders of the interface: overflow, zero, alignment, errno, class boundaries,
 * malloc_trim and mallinfo2.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "shadow.h"
#include "subject.h"

#define PAGE ((size_t)4096)

/* Sizes that no address space holds. */
static const size_t absurd[] = {
	SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 16, SIZE_MAX - 17, SIZE_MAX - 31,
	SIZE_MAX - 63, SIZE_MAX - 4095, SIZE_MAX - 4096, SIZE_MAX - 8192, SIZE_MAX - 65536,
	SIZE_MAX - (1 << 20), SIZE_MAX - (2 << 20), SIZE_MAX - (4 << 20), SIZE_MAX / 2 + 2,
	SIZE_MAX / 2 + 1, SIZE_MAX / 2, SIZE_MAX / 2 - 4096, (size_t)1 << 62, (size_t)1 << 48,
};

/* The reason given; foreign allocators often forget it. */
static int no_memory(void)
{
	return errno == ENOMEM || !check_subject()->whole;
}

static void fill(void *p, size_t n, unsigned char with)
{
	memset(p, with, n);
}

static void check_filled(int line, const unsigned char *p, size_t n, unsigned char with)
{
	/* All bytes are the first one's equals: the quick answer, before the exact one. */
	if (n && p[0] == with && !memcmp(p, p + 1, n - 1))
		return;
	for (size_t i = 0; i < n; i++)
		CHECK_AT(line, p[i] == with, "byte %zu of %zu changed", i, n);
}

static void malloc_absurd(const void *arg)
{
	(void)arg;
	for (size_t i = 0; i < ROWS(absurd); i++) {
		errno = 0;
		CHECK_AT(__LINE__, !S(malloc)(absurd[i]), "malloc(%#zx) gave memory", absurd[i]);
		CHECK_AT(__LINE__, no_memory(), "malloc(%#zx): errno %d", absurd[i], errno);
	}
}

static void calloc_overflow(const void *arg)
{
	static const struct row { int line; size_t count, size; } rows[] = {
		{ __LINE__, SIZE_MAX, SIZE_MAX },
		{ __LINE__, SIZE_MAX, 2 },
		{ __LINE__, 2, SIZE_MAX },
		{ __LINE__, SIZE_MAX / 2 + 1, 2 },
		{ __LINE__, SIZE_MAX / 2 + 9, 2 },	/* the product is 16 */
		{ __LINE__, (size_t)1 << 32, (size_t)1 << 32 },		/* the product is 0 */
		{ __LINE__, ((size_t)1 << 32) + 1, (size_t)1 << 32 },
		{ __LINE__, SIZE_MAX / 16 + 2, 16 },
		{ __LINE__, SIZE_MAX, 1 },
		{ __LINE__, 1, SIZE_MAX - 15 },
	};

	(void)arg;
	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct row *r = &rows[i];
		unsigned char *p = S(malloc)(100);

		errno = 0;
		CHECK_AT(r->line, !S(calloc)(r->count, r->size), "calloc gave memory");
		CHECK_AT(r->line, no_memory(), "calloc: errno %d", errno);
		errno = 0;
		CHECK_AT(r->line, !S(reallocarray)(NULL, r->count, r->size),
			 "reallocarray(NULL) gave memory");
		CHECK_AT(r->line, no_memory(), "reallocarray(NULL): errno %d", errno);
		fill(p, 100, 7);
		errno = 0;
		CHECK_AT(r->line, !S(reallocarray)(p, r->count, r->size),
			 "reallocarray gave memory");
		CHECK_AT(r->line, no_memory(), "reallocarray: errno %d", errno);
		check_filled(r->line, p, 100, 7);
		S(free)(p);
	}
}

/* A failed realloc leaves the block as it was, whatever part of the allocator holds it. */
static void realloc_absurd(const void *arg)
{
	static const size_t old[] = { 1, 15, 100, 1000, 1024, 1025, 5000, 40000, 300000, 2 << 20 };

	(void)arg;
	for (size_t k = 0; k < ROWS(old); k++) {
		unsigned char *p = S(malloc)(old[k]);

		fill(p, old[k], 0x5a);
		for (size_t i = 0; i < ROWS(absurd); i++) {
			errno = 0;
			CHECK_AT(__LINE__, !S(realloc)(p, absurd[i]), "realloc(%zu -> %#zx)",
				 old[k], absurd[i]);
			CHECK_AT(__LINE__, no_memory(), "realloc(%#zx): errno %d", absurd[i],
				 errno);
		}
		check_filled(__LINE__, p, old[k], 0x5a);
		S(free)(p);
	}
}

static void aligned_absurd(const void *arg)
{
	static const size_t alignment[] = { 8, 16, 64, 4096, 65536, 1 << 20, 4 << 20 };

	(void)arg;
	for (size_t i = 0; i < ROWS(absurd); i++) {
		for (size_t k = 0; k < ROWS(alignment); k++) {
			void *p = &p;

			errno = 0;
			CHECK_AT(__LINE__, !S(aligned_alloc)(alignment[k], absurd[i]),
				 "aligned_alloc(%#zx, %#zx)", alignment[k], absurd[i]);
			CHECK_AT(__LINE__, no_memory(), "aligned_alloc: errno %d", errno);
			errno = 0;
			CHECK_AT(__LINE__, !S(memalign)(alignment[k], absurd[i]),
				 "memalign(%#zx, %#zx)", alignment[k], absurd[i]);
			CHECK_AT(__LINE__, no_memory(), "memalign: errno %d", errno);
			CHECK_AT(__LINE__,
				 S(posix_memalign)(&p, alignment[k], absurd[i]) == ENOMEM,
				 "posix_memalign(%#zx, %#zx)", alignment[k], absurd[i]);
			CHECK(p == &p);
		}
		errno = 0;
		CHECK_AT(__LINE__, !S(valloc)(absurd[i]), "valloc(%#zx)", absurd[i]);
		CHECK(no_memory());
		if (!check_subject()->whole)
			continue;
		errno = 0;
		CHECK_AT(__LINE__, !S(pvalloc)(absurd[i]), "pvalloc(%#zx)", absurd[i]);
		CHECK(no_memory());
	}
	/* Alignments that alone cannot be had. */
	for (size_t a = (size_t)1 << 47; check_subject()->hakmem && a; a *= 2) {
		void *(*volatile entry)(size_t, size_t) = S(aligned_alloc);

		errno = 0;
		CHECK_AT(__LINE__, !entry(a, 16) && no_memory(), "aligned_alloc(%#zx, 16)", a);
		errno = 0;
		CHECK_AT(__LINE__, !entry(a, SIZE_MAX / 2) && no_memory(),
			 "aligned_alloc(%#zx, SIZE_MAX / 2)", a);
	}
}

/* As glibc: malloc(0) is a block of its own, realloc(p, 0) frees and gives NULL. */
static void zero(const void *arg)
{
	static const size_t old[] = { 0, 1, 100, 1024, 1025, 5000, 40000, 2 << 20 };
	void *a = S(malloc)(0), *b = S(malloc)(0), *c = S(calloc)(0, 8), *d = S(calloc)(8, 0);
	void *e = S(realloc)(NULL, 0), *f = S(reallocarray)(NULL, 0, 8), *g = NULL;

	(void)arg;
	CHECK(a && b && c && d && e && f);
	CHECK(a != b && a != c && a != d && b != c && b != d && c != d && e != f && e != a);
	CHECK(S(posix_memalign)(&g, 64, 0) == 0 && g && (uintptr_t)g % 64 == 0);
	S(free)(a), S(free)(b), S(free)(c), S(free)(d), S(free)(e), S(free)(f), S(free)(g);
	a = S(aligned_alloc)(256, 0);
	b = S(memalign)(64, 0);
	c = S(valloc)(0);
	CHECK(a && b && c);
	S(free)(a), S(free)(b), S(free)(c);
	if (!check_subject()->whole)
		return;
	CHECK((a = S(pvalloc)(0)) && (uintptr_t)a % PAGE == 0);
	S(free)(a);
	for (size_t i = 0; i < ROWS(old); i++) {
		errno = EXDEV;
		CHECK(!S(realloc)(S(malloc)(old[i]), 0));
		CHECK(!S(reallocarray)(S(malloc)(old[i]), 0, 8));
		CHECK(!S(reallocarray)(S(malloc)(old[i]), 8, 0));
		CHECK_AT(__LINE__, errno == EXDEV, "realloc(p, 0) set errno to %d", errno);
	}
}

/* realloc(p, 0) really frees: a leak of 40 KB a turn would show. */
static void realloc_zero_frees(const void *arg)
{
	size_t before = 0, after;

	(void)arg;
	if (!check_subject()->whole)
		check_skip("realloc to zero is a matter of taste elsewhere");
	for (int i = 0; i < 3000; i++) {
		if (i == 500)
			before = check_status_bytes("VmRSS");
		for (size_t n = 30; n <= 30000; n *= 10)
			CHECK(!S(realloc)(memset(S(malloc)(n), 1, n), 0));
	}
	after = check_status_bytes("VmRSS");
	CHECK_AT(__LINE__, after < before + (8 << 20), "grew from %zu to %zu bytes", before, after);
}

static void invalid_alignment(const void *arg)
{
	static const size_t bad[] = { 0, 1, 2, 3, 4, 6, 7, 9, 12, 24, 40, 100, 4097, SIZE_MAX };

	(void)arg;
	for (size_t i = 0; i < ROWS(bad); i++) {
		void *p = &p;

		CHECK_AT(__LINE__, S(posix_memalign)(&p, bad[i], 64) == EINVAL,
			 "posix_memalign with alignment %zu", bad[i]);
		CHECK_AT(__LINE__, p == &p, "posix_memalign(%zu) changed the pointer", bad[i]);
	}
	if (!check_subject()->whole)
		return;
	/* glibc of different ages refuses or rounds up; both are fine, a bad block is not. */
	for (size_t i = 0; i + 1 < ROWS(bad); i++) {
		unsigned char *p;

		errno = 0;
		p = S(aligned_alloc)(bad[i], 64);
		CHECK_AT(__LINE__, p || errno == EINVAL, "aligned_alloc(%zu): errno %d", bad[i],
			 errno);
		if (p)
			fill(p, 64, 1);
		S(free)(p);
		p = S(memalign)(bad[i], 64);
		CHECK_AT(__LINE__, p || errno == EINVAL, "memalign(%zu): errno %d", bad[i], errno);
		if (p)
			fill(p, 64, 1);
		S(free)(p);
	}
}

static void *(*const aligned_entry[])(size_t, size_t) = {
	S(aligned_alloc), S(memalign),
};

/* Three live blocks of each alignment and size, written whole, resized, freed. */
static void alignment(const void *arg)
{
	static const size_t size[] = {
		1, 8, 15, 16, 17, 31, 47, 79, 100, 143, 271, 527, 1000, 1023, 1024, 1025, 1040,
		2000, 4095, 4096, 4097, 20000, 32768, 40000, 262144, 1 << 20,
	};

	(void)arg;
	for (size_t a = 1; a <= (size_t)4 << 20; a *= 2) {
		for (size_t i = 0; i < ROWS(size); i++) {
			unsigned char *p[3];
			size_t n = size[i], edge = n < PAGE ? n : PAGE;

			if (a * n > (size_t)1 << 36)
				continue;
			for (size_t k = 0; k < ROWS(p); k++) {
				p[k] = k < ROWS(aligned_entry) ? aligned_entry[k](a, n) : NULL;
				if (k == 2)
					CHECK(!S(posix_memalign)((void **)&p[k],
								 a < 8 ? 8 : a, n));
				CHECK_AT(__LINE__, p[k] && (uintptr_t)p[k] % a == 0,
					 "alignment %zu, size %zu: %p", a, n, (void *)p[k]);
				CHECK_AT(__LINE__, shadow_claim(p[k], S(malloc_usable_size)(p[k])),
					 "alignment %zu, size %zu: overlap", a, n);
				CHECK(S(malloc_usable_size)(p[k]) >= n);
				fill(p[k], edge, (unsigned char)k);
				fill(p[k] + S(malloc_usable_size)(p[k]) - edge, edge,
				     (unsigned char)k);
			}
			for (size_t k = 0; k < ROWS(p); k++) {
				CHECK(shadow_release(p[k], S(malloc_usable_size)(p[k])));
				check_filled(__LINE__, p[k], edge, (unsigned char)k);
			}
			if (SUBJECT_HAS_SIZED_FREE)
				S(free_aligned_sized)(p[0], a, n);
			else
				S(free)(p[0]);
			p[1] = S(realloc)(p[1], n + n / 2 + 1);
			check_filled(__LINE__, p[1], edge, 1);
			p[2] = S(realloc)(p[2], n / 2 + 1);
			check_filled(__LINE__, p[2], edge < n / 2 + 1 ? edge : n / 2 + 1, 2);
			S(free)(p[1]);
			S(free)(p[2]);
		}
	}
}

/* hakmem's classes: the boundary and its neighbours, 200 blocks each, all live at once. */
static void classes(const void *arg)
{
	static const size_t usable[] = { 15, 31, 47, 79, 143, 271, 527, 1024 };
	static unsigned char *p[ROWS(usable)][3][200];
	int exact = check_subject()->hakmem && check_subject()->header;

	(void)arg;
	for (size_t c = 0; c < ROWS(usable); c++)
		for (size_t d = 0; d < 3; d++)
			for (size_t i = 0; i < ROWS(p[c][d]); i++) {
				size_t n = usable[c] - 1 + d, next = c + 1 < ROWS(usable) ?
					usable[c + 1] : 1025;
				size_t got, want = d < 2 ? usable[c] : next;
				unsigned char *b = p[c][d][i] = S(malloc)(n);

				CHECK(b);
				got = S(malloc_usable_size)(b);
				CHECK_AT(__LINE__, got >= n, "malloc(%zu): usable %zu", n, got);
				/* C7's stride leaves room for a few bytes more. */
				CHECK_AT(__LINE__, !exact || got == want ||
					 (want >= 1024 && got >= want),
					 "malloc(%zu): usable size %zu, not the class's %zu", n,
					 got, want);
				CHECK_AT(__LINE__, n < 16 || (uintptr_t)b % 16 == 0,
					 "malloc(%zu) is not aligned: %p", n, (void *)b);
				CHECK_AT(__LINE__, shadow_claim(b, got), "malloc(%zu) overlaps", n);
				fill(b, got, (unsigned char)(c * 3 + d));
			}
	for (size_t i = 0; i < ROWS(p[0][0]); i++)
		for (size_t c = 0; c < ROWS(usable); c++)
			for (size_t d = 0; d < 3; d++) {
				unsigned char *b = p[c][d][i];

				check_filled(__LINE__, b, S(malloc_usable_size)(b),
					     (unsigned char)(c * 3 + d));
				S(free)(b);
			}
}

/* Every request size around every boundary, grown and shrunk byte by byte. */
static void realloc_steps(const void *arg)
{
	static const size_t around[] = {
		16, 32, 48, 80, 144, 272, 528, 1025, 1040, 2048, 4096, 8192, 16384, 32768, 65536,
		131072, 262144, 1 << 20,
	};
	unsigned char *p = S(malloc)(1);
	size_t n = 1;

	(void)arg;
	p[0] = 0;
	for (size_t i = 0; i < 2 * ROWS(around); i++) {
		size_t k = i < ROWS(around) ? i : 2 * ROWS(around) - 1 - i;

		for (size_t d = 0; d < 5; d++) {
			size_t to = around[k] + 2 - (i < ROWS(around) ? 4 - d : d);
			size_t kept = to < n ? to : n;

			p = S(realloc)(p, to);
			CHECK(p && S(malloc_usable_size)(p) >= to);
			for (size_t j = 0; j < kept; j += kept > 5000 ? 509 : 1)
				CHECK_AT(__LINE__, p[j] == (unsigned char)(j * 31),
					 "realloc %zu -> %zu: byte %zu", n, to, j);
			for (size_t j = n; j < to; j++)
				p[j] = (unsigned char)(j * 31);
			CHECK(p[kept - 1] == (unsigned char)((kept - 1) * 31));
			n = to;
		}
	}
	S(free)(p);
}

/* calloc must clear what an earlier owner has left, at every size. */
static void calloc_dirty(const void *arg)
{
	static const size_t size[] = {
		1, 15, 16, 31, 47, 79, 100, 143, 271, 527, 1000, 1024, 1025, 1039, 2000, 4096,
		10000, 32768, 40000, 100000, 262144, 300000, 1 << 20, 3 << 20,
	};

	(void)arg;
	for (size_t i = 0; i < ROWS(size); i++) {
		enum { BLOCKS = 64 };
		unsigned char *p[BLOCKS];
		int blocks = size[i] > 50000 ? 4 : BLOCKS;

		for (int turn = 0; turn < 3; turn++) {
			for (int k = 0; k < blocks; k++) {
				p[k] = turn ? S(calloc)(turn, (size[i] + turn - 1) / turn)
					    : S(malloc)(size[i]);
				CHECK(p[k]);
				if (turn)
					check_filled(__LINE__, p[k], size[i], 0);
				fill(p[k], S(malloc_usable_size)(p[k]), 0xee);
			}
			for (int k = 0; k < blocks; k++)
				S(free)(p[k]);
		}
	}
}

static void free_null(const void *arg)
{
	(void)arg;
	errno = EXDEV;
	S(free)(NULL);
	if (SUBJECT_HAS_SIZED_FREE) {
		S(free_sized)(NULL, 0);
		S(free_sized)(NULL, 100);
		S(free_aligned_sized)(NULL, 64, 64);
	}
	CHECK(errno == EXDEV);
	CHECK(S(malloc_usable_size)(NULL) == 0);
}

/* free keeps errno even where it calls munmap or madvise. */
static void errno_kept(const void *arg)
{
	static const size_t size[] = {
		10, 100, 1000, 1024, 5000, 40000, 300000, 5 << 20, 80 << 20,
	};

	(void)arg;
	for (size_t i = 0; i < ROWS(size); i++) {
		void *p = S(malloc)(size[i]), *q = S(aligned_alloc)(8192, size[i]);

		CHECK(p && q);
		errno = EXDEV;
		S(free)(p);
		CHECK_AT(__LINE__, errno == EXDEV, "free of %zu bytes set errno %d", size[i],
			 errno);
		S(free)(q);
		CHECK_AT(__LINE__, errno == EXDEV, "free of %zu aligned bytes set errno %d",
			 size[i], errno);
	}
}

static void sized_free(const void *arg)
{
	(void)arg;
	if (!SUBJECT_HAS_SIZED_FREE)
		check_skip("no free_sized here");
	for (size_t n = 0; n < 5000; n += 1 + n / 40) {
		void *p[32];

		for (size_t k = 0; k < ROWS(p); k++)
			p[k] = k % 4 == 3 ? S(aligned_alloc)(64, n) : S(malloc)(n);
		for (size_t k = 0; k < ROWS(p); k++)
			if (k % 4 == 3)
				S(free_aligned_sized)(p[k], 64, n);
			else
				S(free_sized)(p[k], n);
	}
	S(free_sized)(S(malloc)(1 << 20), 1 << 20);
	S(free_aligned_sized)(S(aligned_alloc)(1 << 16, 1 << 20), 1 << 16, 1 << 20);
}

/* trim and mallinfo2 follow what is live: 8 MB in small, 4 MB in middle, 16 MB in large blocks. */
static void trim_and_info(const void *arg)
{
	static unsigned char *small[80000], *middle[1000], *large[4];
	const size_t live = ROWS(small) * 100 + ROWS(middle) * 4000 + ROWS(large) * (4 << 20);
	struct mallinfo2 before, full, after;

	(void)arg;
	if (!check_subject()->whole)
		check_skip("a foreign allocator has no mallinfo2");
	CHECK((unsigned)S(malloc_trim)(0) <= 1);
	before = S(mallinfo2)();
	for (size_t i = 0; i < ROWS(small); i++)
		CHECK((small[i] = S(malloc)(100)));
	for (size_t i = 0; i < ROWS(middle); i++)
		CHECK((middle[i] = S(malloc)(4000)));
	for (size_t i = 0; i < ROWS(large); i++)
		CHECK((large[i] = S(malloc)(4 << 20)));
	full = S(mallinfo2)();
	CHECK_AT(__LINE__, full.uordblks + full.hblkhd >= before.uordblks + before.hblkhd + live,
		 "mallinfo2 counts %zu + %zu bytes in use where %zu more than %zu + %zu are",
		 full.uordblks, full.hblkhd, live, before.uordblks, before.hblkhd);
	CHECK_AT(__LINE__,
		 full.uordblks + full.hblkhd <= before.uordblks + before.hblkhd + 2 * live,
		 "mallinfo2 counts %zu + %zu bytes in use, %zu are", full.uordblks, full.hblkhd,
		 live);
	CHECK(full.arena + full.hblkhd >= live);
	for (size_t i = 0; i < ROWS(small); i++)
		S(free)(small[i]);
	for (size_t i = 0; i < ROWS(middle); i++)
		S(free)(middle[i]);
	for (size_t i = 0; i < ROWS(large); i++)
		S(free)(large[i]);
	CHECK((unsigned)S(malloc_trim)(0) <= 1);
	after = S(mallinfo2)();
	CHECK_AT(__LINE__,
		 after.uordblks + after.hblkhd <= before.uordblks + before.hblkhd + live / 10,
		 "mallinfo2 counts %zu + %zu bytes in use after all was freed, %zu + %zu before",
		 after.uordblks, after.hblkhd, before.uordblks, before.hblkhd);
}

static const struct check_case cases[] = {
	{ "malloc-absurd", malloc_absurd, NULL },
	{ "calloc-overflow", calloc_overflow, NULL },
	{ "realloc-absurd", realloc_absurd, NULL },
	{ "aligned-absurd", aligned_absurd, NULL },
	{ "zero", zero, NULL },
	{ "realloc-zero-frees", realloc_zero_frees, NULL },
	{ "invalid-alignment", invalid_alignment, NULL },
	{ "alignment", alignment, NULL },
	{ "classes", classes, NULL },
	{ "realloc-steps", realloc_steps, NULL },
	{ "calloc-dirty", calloc_dirty, NULL },
	{ "free-null", free_null, NULL },
	{ "errno-kept", errno_kept, NULL },
	{ "sized-free", sized_free, NULL },
	{ "trim-and-info", trim_and_info, NULL },
};

int main(int argc, char **argv)
{
	return check_main(argc, argv, cases, ROWS(cases));
}
