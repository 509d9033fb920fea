/*
 * model - random operations over the whole interface against what is known of every live block:
 * alignment, contents, usable size, no two blocks over one byte, errno kept by free. With threads,
 * blocks change hands, so that many frees are remote; each generation of threads leaves blocks
 * behind that are checked and freed after their owners' death.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "shadow.h"
#include "subject.h"

enum {
	SLOTS = 512,		/* live blocks a thread keeps at most */
	MAILBOXES = 64,
	GENERATIONS = 3,
	DENSE_BYTES = 16384,	/* up to here every byte is written and checked */
	EDGE_BYTES = 2048,
	PAGE = 4096,
	LIVE_MAX = 48 << 20,	/* bytes a thread holds before it prefers small requests */
};

struct block {
	unsigned char *p;	/* NULL: empty */
	size_t size, usable, alignment;	/* alignment 0: no promise beyond malloc's */
	uint64_t tag;		/* what its contents are made from */
};

struct worker {
	pthread_t thread;
	uint64_t random;
	unsigned ops;
	size_t live;
	struct block *slot[SLOTS];	/* records, full or empty */
};

struct model_arg {
	unsigned seed, threads, ops;
};

/* Block records, full or empty, change hands by exchange, one for one. */
static _Atomic(struct block *) mailbox[MAILBOXES];

static uint64_t word(uint64_t tag, size_t offset)
{
	uint64_t x = tag + offset * UINT64_C(0x9E3779B97F4A7C15);

	x ^= x >> 29;
	x *= UINT64_C(0xBF58476D1CE4E5B9);
	return x ^ x >> 32;
}

/* [from, to) of the contents of tag: write them, or return whether they are there. */
static int dense(unsigned char *p, size_t from, size_t to, uint64_t tag, int write)
{
	for (size_t i = from & ~(size_t)7; i < to; i += 8) {
		uint64_t w = word(tag, i);
		size_t a = i < from ? from - i : 0, b = to - i < 8 ? to - i : 8;

		if (a == 0 && b == 8) {
			if (write)
				memcpy(p + i, &w, 8);
			else if (memcmp(p + i, &w, 8))
				return 0;
		} else if (write) {
			memcpy(p + i + a, (char *)&w + a, b - a);
		} else if (memcmp(p + i + a, (char *)&w + a, b - a)) {
			return 0;
		}
	}
	return 1;
}

/*
 * The contents of a block of n bytes, as far as `limit`. Big blocks are written at both edges and
 * with one word a page: enough to see a lost page or a neighbour's write at the borders.
 */
static int contents(unsigned char *p, size_t n, size_t limit, uint64_t tag, int write)
{
	if (limit > n)
		limit = n;
	if (n <= DENSE_BYTES)
		return dense(p, 0, limit, tag, write);
	if (!dense(p, 0, limit < EDGE_BYTES ? limit : EDGE_BYTES, tag, write))
		return 0;
	for (size_t i = PAGE; i + 8 <= limit && i + EDGE_BYTES < n; i += PAGE)
		if (!dense(p, i, i + 8, tag, write))
			return 0;
	if (limit > n - EDGE_BYTES)
		return dense(p, n - EDGE_BYTES, limit, tag, write);
	return 1;
}

static unsigned below(struct worker *w, unsigned n)
{
	return (unsigned)(check_random(&w->random) >> 33) % n;
}

static size_t choose_size(struct worker *w)
{
	static const size_t edge[] = {
		0, 1, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 79, 80, 81, 143, 144, 145, 271, 272,
		273, 527, 528, 529, 1023, 1024, 1025, 1039, 1040, 1041, 2047, 2048, 2049, 4095,
		4096, 4097, 8192, 16384, 32767, 32768, 32769, 65536, 262143, 262144, 262145,
	};
	unsigned kind = below(w, 1000);

	if (kind < 500)
		return below(w, 1040);
	if (kind < 800 || w->live > LIVE_MAX)
		return edge[below(w, 30)];
	if (kind < 900)
		return below(w, 9000);
	if (kind < 960)
		return edge[below(w, ROWS(edge))];
	if (kind < 990)
		return below(w, 70000);
	if (kind < 998)
		return 65536 + below(w, 400000);
	return (1 << 20) - 2 + below(w, 5) + (size_t)below(w, 2) * below(w, 2 << 20);
}

/* A block was received: everything that holds for every block. */
static void accept_block(struct worker *w, struct block *b, unsigned char *p, size_t size,
			 size_t alignment, const char *from)
{
	size_t natural = size >= 16 ? 16 : size >= 8 ? 8 : 1;

	if (!p)
		check_fail(__FILE__, __LINE__, "%s(%zu) failed: %s", from, size, strerror(errno));
	/* Some allocators take no care of empty blocks. */
	if (!size && !check_subject()->whole)
		alignment = 0;
	if ((uintptr_t)p % (alignment > natural ? alignment : natural))
		check_fail(__FILE__, __LINE__, "%s(%zu) gave %p, not aligned to %zu", from, size,
			   (void *)p, alignment > natural ? alignment : natural);
	b->p = p;
	b->size = size;
	b->alignment = alignment;
	b->usable = S(malloc_usable_size)(p);
	b->tag = check_random(&w->random);
	if (b->usable < size)
		check_fail(__FILE__, __LINE__, "%s(%zu): usable size is %zu", from, size,
			   b->usable);
	if (!shadow_claim(p, b->usable))
		check_fail(__FILE__, __LINE__, "%s(%zu) gave %p, which overlaps a live block", from,
			   size, (void *)p);
	contents(p, b->usable, b->usable, b->tag, 1);
	w->live += b->usable;
}

static void verify(const struct block *b, size_t limit, const char *before)
{
	if (!contents(b->p, b->usable, limit, b->tag, 0))
		check_fail(__FILE__, __LINE__, "contents of %p (%zu bytes) changed, seen before %s",
			   (void *)b->p, b->size, before);
	if (S(malloc_usable_size)(b->p) != b->usable)
		check_fail(__FILE__, __LINE__, "usable size of %p changed from %zu, seen before %s",
			   (void *)b->p, b->usable, before);
}

/* The block is about to be given back. */
static void give_up(struct worker *w, const struct block *b, const char *before)
{
	verify(b, b->usable, before);
	if (!shadow_release(b->p, b->usable))
		check_fail(__FILE__, __LINE__, "the test lost track of %p", (void *)b->p);
	w->live -= b->usable;
}

static void free_block(struct worker *w, struct block *b)
{
	int how = (int)below(w, 8);

	give_up(w, b, "free");
	errno = EXDEV;
	if (how == 0 && SUBJECT_HAS_SIZED_FREE && b->alignment)
		S(free_aligned_sized)(b->p, b->alignment, b->size);
	else if (how == 0 && SUBJECT_HAS_SIZED_FREE)
		S(free_sized)(b->p, b->size);
	else
		S(free)(b->p);
	if (errno != EXDEV)
		check_fail(__FILE__, __LINE__, "free changed errno to %d", errno);
	b->p = NULL;
}

static void allocate(struct worker *w, struct block *b)
{
	size_t size = choose_size(w), alignment = (size_t)8 << below(w, 10), count;
	unsigned char *p = NULL;
	int e;

	switch (below(w, 16)) {
	case 0: case 1:
		count = 1 + below(w, 8);
		p = S(calloc)(count, (size + count - 1) / count);
		size = (size + count - 1) / count * count;
		for (size_t i = 0; p && i < size; i++)
			if (p[i])
				check_fail(__FILE__, __LINE__,
					   "calloc(%zu bytes): byte %zu is not zero", size, i);
		accept_block(w, b, p, size, 0, "calloc");
		break;
	case 2:
		accept_block(w, b, S(aligned_alloc)(alignment, size), size, alignment,
			     "aligned_alloc");
		break;
	case 3:
		accept_block(w, b, S(memalign)(alignment, size), size, alignment, "memalign");
		break;
	case 4:
		e = S(posix_memalign)((void **)&p, alignment, size);
		if (e)
			check_fail(__FILE__, __LINE__, "posix_memalign(%zu, %zu): %s", alignment,
				   size, strerror(e));
		accept_block(w, b, p, size, alignment, "posix_memalign");
		break;
	case 5:
		if (below(w, 4))
			accept_block(w, b, S(realloc)(NULL, size), size, 0, "realloc(NULL)");
		else if (below(w, 2) || !check_subject()->whole)
			accept_block(w, b, S(valloc)(size), size, PAGE, "valloc");
		else
			accept_block(w, b, S(pvalloc)(size),
				     (size + PAGE - 1) & ~(size_t)(PAGE - 1), PAGE, "pvalloc");
		break;
	default:
		accept_block(w, b, S(malloc)(size), size, 0, "malloc");
	}
}

static void resize(struct worker *w, struct block *b)
{
	struct block old = *b;
	size_t size = choose_size(w), kept;
	unsigned char *p;

	/* Small steps too: they are what stays in place. */
	if (below(w, 2))
		size = old.size + below(w, 64);
	if (!size)
		size = 1;
	give_up(w, b, "realloc");
	if (below(w, 4)) {
		p = S(realloc)(old.p, size);
	} else {
		size = (size + 2) / 3 * 3;
		p = S(reallocarray)(old.p, size / 3, 3);
	}
	kept = old.size < size ? old.size : size;
	if (p && !contents(p, old.usable, kept, old.tag, 0))
		check_fail(__FILE__, __LINE__, "realloc from %zu to %zu bytes lost contents",
			   old.size, size);
	accept_block(w, b, p, size, 0, "realloc");
}

static void exchange(struct worker *w, struct block **slot)
{
	struct block *mine = *slot;

	w->live -= mine->p ? mine->usable : 0;
	*slot = atomic_exchange(&mailbox[below(w, MAILBOXES)], mine);
	w->live += (*slot)->p ? (*slot)->usable : 0;
}

static void step(struct worker *w)
{
	struct block **slot = &w->slot[below(w, SLOTS)], *b = *slot;
	unsigned kind = below(w, 1000);

	if (kind < 150)
		exchange(w, slot);
	else if (!b->p)
		allocate(w, b);
	else if (kind < 300)
		resize(w, b);
	else if (kind < 400)
		verify(b, b->usable, "nothing");
	else if (kind == 999 && !below(w, 4))
		S(malloc_trim)(0);
	else
		free_block(w, b);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < w->ops; i++)
		step(w);
	return NULL;
}

static void generation(struct worker *w, unsigned threads)
{
	if (threads == 1) {
		work(w);
		return;
	}
	for (unsigned t = 0; t < threads; t++)
		if (pthread_create(&w[t].thread, NULL, work, &w[t]))
			check_fail(__FILE__, __LINE__, "no thread: %s", strerror(errno));
	for (unsigned t = 0; t < threads; t++)
		pthread_join(w[t].thread, NULL);
}

/* The dead threads' blocks go to the next worker of the next generation. */
static void rotate(struct worker *w, unsigned threads)
{
	struct block *slot[SLOTS];
	size_t live = w[0].live;

	memcpy(slot, w[0].slot, sizeof(slot));
	for (unsigned t = 0; t + 1 < threads; t++) {
		memcpy(w[t].slot, w[t + 1].slot, sizeof(slot));
		w[t].live = w[t + 1].live;
	}
	memcpy(w[threads - 1].slot, slot, sizeof(slot));
	w[threads - 1].live = live;
}

static void run_model(const void *arg)
{
	const struct model_arg *m = arg;
	struct worker *w = check_map(m->threads * sizeof(*w));
	struct block *record = check_map((m->threads * SLOTS + MAILBOXES) * sizeof(*record));

	for (unsigned i = 0; i < MAILBOXES; i++)
		atomic_store(&mailbox[i], record++);
	for (unsigned t = 0; t < m->threads; t++) {
		w[t].random = check_seed(check_subject()->seed + m->seed * 64 + t);
		w[t].ops = m->ops * check_subject()->scale / (check_subject()->debug ? 3 : 1);
		for (unsigned i = 0; i < SLOTS; i++)
			w[t].slot[i] = record++;
	}
	for (unsigned g = 0; g < GENERATIONS; g++) {
		generation(w, m->threads);
		rotate(w, m->threads);
	}
	for (unsigned i = 0; i < MAILBOXES; i++)
		if (mailbox[i]->p)
			free_block(&w[0], mailbox[i]);
	for (unsigned t = 0; t < m->threads; t++)
		for (unsigned i = 0; i < SLOTS; i++)
			if (w[t].slot[i]->p)
				free_block(&w[t], w[t].slot[i]);
}

#define MODEL(name, seed, threads, ops) \
	{ name, run_model, &(const struct model_arg){ seed, threads, ops } }

static const struct check_case cases[] = {
	MODEL("one-thread-seed-1", 1, 1, 6000),
	MODEL("one-thread-seed-2", 2, 1, 6000),
	MODEL("one-thread-seed-3", 3, 1, 6000),
	MODEL("two-threads", 4, 2, 4000),
	MODEL("four-threads", 5, 4, 2000),
	MODEL("sixteen-threads", 6, 16, 500),
};

int main(int argc, char **argv)
{
	return check_main(argc, argv, cases, ROWS(cases));
}
