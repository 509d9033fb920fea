/*
 * memory - what an allocator keeps: freed memory goes back to the system, sizes share it, and where
 * the system gives no more, malloc says so and the program lives on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "check.h"
#include "subject.h"

enum { MB = 1 << 20 };

/* Blocks are chained through themselves: the books are in the memory under test. */
static void *chain(size_t bytes, size_t size)
{
	void **head = NULL;

	for (size_t n = bytes / size; n; n--) {
		void **p = S(malloc)(size);

		CHECK(p);
		memset(p, 0xa5, size);
		*p = head;
		head = p;
	}
	return head;
}

static void unchain(void *head)
{
	while (head) {
		void **p = head;

		head = *p;
		S(free)(p);
	}
}

static size_t work_bytes(size_t bytes)
{
	return check_subject()->debug ? bytes / 4 : bytes;
}

/* Others give memory back by the clock, or never. */
static void needs_trim(void)
{
	if (!check_subject()->whole)
		check_skip("a foreign allocator has no malloc_trim");
}

struct amount {
	size_t bytes, size;
};

/* Many megabytes of small blocks, all freed: malloc_trim gives nearly all of it back. */
static void comes_back(const void *arg)
{
	const struct amount *a = arg;
	size_t size = a->size, bytes = work_bytes(a->bytes);
	size_t before = check_status_bytes("VmRSS"), peak, after;
	void *head;

	needs_trim();
	head = chain(bytes, size);
	peak = check_status_bytes("VmRSS");
	CHECK_AT(__LINE__, peak >= before + bytes, "the test did not fill memory: %zu", peak);
	CHECK_AT(__LINE__, peak <= before + (size > 16 ? 2 : 3) * bytes + 4 * MB,
		 "%zu bytes for %zu in blocks of %zu", peak, bytes, size);
	unchain(head);
	S(malloc_trim)(0);
	after = check_status_bytes("VmRSS");
	CHECK_AT(__LINE__, after <= before + bytes / 4 + 4 * MB,
		 "blocks of %zu: %zu bytes before, %zu at the peak, still %zu after free and trim",
		 size, before, peak, after);
	/* And it can be had again. */
	unchain(chain(bytes / 8, size));
}

/* The same where another thread frees and the owner lives, idle, or is dead. */
struct handed {
	size_t bytes, size;
	void *head;
};

static void *fill_and_die(void *arg)
{
	struct handed *h = arg;

	h->head = chain(h->bytes, h->size);
	return NULL;
}

static void dead_owner(const void *arg)
{
	struct handed h = { work_bytes((size_t)24 * MB), *(const size_t *)arg, NULL };
	size_t before = check_status_bytes("VmRSS"), after;
	pthread_t t;

	needs_trim();
	CHECK(!pthread_create(&t, NULL, fill_and_die, &h));
	pthread_join(t, NULL);
	unchain(h.head);
	S(malloc_trim)(0);
	after = check_status_bytes("VmRSS");
	CHECK_AT(__LINE__, after <= before + h.bytes / 4 + 4 * MB,
		 "of a dead thread's %zu bytes in blocks of %zu, freed by another, %zu are kept",
		 h.bytes, h.size, after - before);
}

static void *free_all(void *arg)
{
	unchain(arg);
	return NULL;
}

static void freed_elsewhere(const void *arg)
{
	size_t size = *(const size_t *)arg, bytes = work_bytes((size_t)24 * MB);
	size_t before = check_status_bytes("VmRSS"), after;
	pthread_t t;
	void *head;

	needs_trim();
	head = chain(bytes, size);
	CHECK(!pthread_create(&t, NULL, free_all, head));
	pthread_join(t, NULL);
	S(malloc_trim)(0);
	after = check_status_bytes("VmRSS");
	CHECK_AT(__LINE__, after <= before + bytes / 4 + 4 * MB,
		 "of %zu bytes in blocks of %zu, freed by another thread, %zu are kept", bytes,
		 size, after - before);
}

/* A program whose sizes drift needs the memory of one phase, not of all together. */
static void drift(const void *arg)
{
	static const size_t size[] = {
		1024, 16, 500, 100, 3000, 60, 250, 9000, 40, 130, 20000, 1030, 200, 30,
	};
	size_t bytes = work_bytes((size_t)12 * MB), before = check_status_bytes("VmHWM"), hwm;

	(void)arg;
	needs_trim();
	for (size_t i = 0; i < ROWS(size); i++) {
		/* Blocks of 16 bytes cost twice their size anywhere. */
		unchain(chain(size[i] < 64 ? bytes / 2 : bytes, size[i]));
	}
	hwm = check_status_bytes("VmHWM");
	CHECK_AT(__LINE__, hwm <= before + 3 * bytes + 8 * MB,
		 "phases of %zu bytes each took %zu bytes together", bytes, hwm - before);
}

/* One survivor in 64 must not keep the rest from being used again by its own size. */
static void holes(const void *arg)
{
	enum { BLOCKS = 40000, SIZE = 200 };
	static void *p[BLOCKS];
	size_t after_first = 0, hwm;

	(void)arg;
	for (int turn = 0; turn < 6; turn++) {
		for (size_t i = 0; i < BLOCKS; i++)
			if (!p[i])
				CHECK((p[i] = memset(S(malloc)(SIZE), 1, SIZE)));
		if (turn == 0)
			after_first = check_status_bytes("VmHWM");
		for (size_t i = 0; i < BLOCKS; i++)
			if (i % 64 != (size_t)turn) {
				S(free)(p[i]);
				p[i] = NULL;
			}
	}
	hwm = check_status_bytes("VmHWM");
	CHECK_AT(__LINE__, hwm <= after_first + 2 * MB, "VmHWM grew from %zu to %zu", after_first,
		 hwm);
}

/* Growing by realloc: not more than a few times the final size at the peak, all of it back. */
static void grow(const void *arg)
{
	size_t before = check_status_bytes("VmRSS"), top = (size_t)20 * MB, hwm, after;
	unsigned char *p = NULL;

	(void)arg;
	needs_trim();
	for (size_t n = 16; n <= top; n += n / 8 + 16) {
		p = S(realloc)(p, n);
		CHECK(p);
		p[n - 1] = 1;
		p[n / 2] = 2;
	}
	hwm = check_status_bytes("VmHWM");
	CHECK_AT(__LINE__, hwm <= before + 3 * top, "growing to %zu bytes took %zu", top,
		 hwm - before);
	S(free)(p);
	S(malloc_trim)(0);
	after = check_status_bytes("VmRSS");
	CHECK_AT(__LINE__, after <= before + 6 * MB, "%zu of %zu bytes kept", after - before, top);
}

/* Large blocks in turns: address space is not used up either. */
static void large_turns(const void *arg)
{
	size_t before = 0, now;

	(void)arg;
	needs_trim();
	for (int i = 0; i < 2000; i++) {
		size_t n = (size_t)MB + (size_t)(i % 7) * 100000;
		unsigned char *p = S(malloc)(n);
		unsigned char *q = S(aligned_alloc)((size_t)1 << (i % 5 + 12), n);

		CHECK(p && q);
		p[0] = p[n - 1] = q[0] = q[n - 1] = 1;
		S(free)(p);
		S(free)(q);
		if (i == 100)
			before = check_status_bytes("VmSize");
	}
	now = check_status_bytes("VmSize");
	CHECK_AT(__LINE__, now <= before + (size_t)128 * MB,
		 "address space grew from %zu to %zu bytes", before, now);
}

/*
 * Little address space: malloc ends with NULL and ENOMEM, not with a crash; what was there is
 * whole; after freeing, allocation works again, at other sizes too.
 */
static void limit(const void *arg)
{
	size_t size = *(const size_t *)arg, room = (size_t)32 * MB, bytes = 0;
	size_t now = check_status_bytes("VmSize");
	struct rlimit rl = { now + room, now + room };
	void **head = NULL, **p;

	CHECK(!setrlimit(RLIMIT_AS, &rl));
	for (;;) {
		errno = 0;
		p = S(malloc)(size);
		if (!p)
			break;
		memset(p, 0x5a, size);
		*p = head;
		head = p;
		bytes += size;
		CHECK_AT(__LINE__, bytes <= room + 32 * MB, "no end after %zu bytes", bytes);
	}
	CHECK_AT(__LINE__, errno == ENOMEM, "errno is %d", errno);
	CHECK_AT(__LINE__, bytes >= room / 4, "only %zu of %zu bytes were had in blocks of %zu",
		 bytes, room, size);
	/* Nothing else is to be had, but asking does no harm. */
	for (int i = 0; i < 3; i++) {
		CHECK(!S(malloc)(room) && !S(calloc)(2, room / 2) && !S(aligned_alloc)(4096, room));
		CHECK(!S(realloc)(head, 2 * room));
	}
	for (p = head; p; p = *p)
		for (size_t i = sizeof(*p); i < size; i += size > 4096 ? 61 : 1)
			CHECK_AT(__LINE__, ((unsigned char *)p)[i] == 0x5a,
				 "contents changed at the limit");
	unchain(head);
	S(malloc_trim)(0);
	for (size_t n = 16; check_subject()->whole && n <= 4 * MB; n *= 4)
		unchain(chain(n > MB ? 2 * n : MB, n));
}

/* At the limit, threads come and go; each sees NULL or memory, none dies. */
static void *hungry(void *arg)
{
	void *head = NULL;

	(void)arg;
	for (size_t i = 0; i < 20000; i++) {
		void **p = S(malloc)(16 + i % 3000);

		if (!p) {
			CHECK(errno == ENOMEM);
			break;
		}
		*p = head;
		head = p;
	}
	unchain(head);
	return NULL;
}

static void limit_threads(const void *arg)
{
	pthread_t t[4];
	size_t started = 0;
	struct rlimit rl;

	(void)arg;
	rl.rlim_cur = rl.rlim_max = check_status_bytes("VmSize") + (size_t)60 * MB;
	CHECK(!setrlimit(RLIMIT_AS, &rl));
	for (int turn = 0; turn < 3; turn++) {
		for (started = 0; started < ROWS(t); started++)
			if (pthread_create(&t[started], NULL, hungry, NULL))
				break;
		CHECK(started);
		for (size_t i = 0; i < started; i++)
			pthread_join(t[i], NULL);
	}
	hungry(NULL);
}

/*
 * A program that has mapped 600 GB, as data bases do, has taken every address near the stack. Small
 * blocks must go on to share pages.
 */
static void crowded(const void *arg)
{
	static const size_t step[] = { (size_t)1 << 30, 64 * MB, 4 * MB, MB };
	size_t mapped = 0, before, after;
	void *first = chain(MB, 100);

	(void)arg;
	if (CHECK_SANITIZED)
		check_skip("sanitizers lay out the address space");
	for (size_t i = 0; i < ROWS(step); i++) {
		while (mapped < (size_t)600 << 30) {
			void *p = mmap(NULL, step[i], PROT_NONE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

			if (p == MAP_FAILED)
				check_skip("no 600 GB of addresses here: %s", strerror(errno));
			mapped += step[i];
			/* Below the first blocks: the room above them is for smaller steps. */
			if ((uintptr_t)p < (uintptr_t)first)
				break;
		}
	}
	before = check_status_bytes("VmRSS");
	for (int i = 0; i < 8; i++)
		chain(MB, 100);
	after = check_status_bytes("VmRSS");
	CHECK_AT(__LINE__, after <= before + 24 * MB, "8 MB in blocks of 100 bytes took %zu bytes",
		 after - before);
}

static const struct check_case cases[] = {
	{ "crowded", crowded, NULL },
	{ "comes-back-100", comes_back, &(const struct amount){ (size_t)200 * MB, 100 } },
	{ "comes-back-16", comes_back, &(const struct amount){ (size_t)16 * MB, 16 } },
	{ "comes-back-1024", comes_back, &(const struct amount){ (size_t)32 * MB, 1024 } },
	{ "comes-back-6000", comes_back, &(const struct amount){ (size_t)32 * MB, 6000 } },
	{ "dead-owner-100", dead_owner, &(const size_t){ 100 } },
	{ "dead-owner-5000", dead_owner, &(const size_t){ 5000 } },
	{ "freed-elsewhere-100", freed_elsewhere, &(const size_t){ 100 } },
	{ "freed-elsewhere-5000", freed_elsewhere, &(const size_t){ 5000 } },
	{ "drift", drift, NULL },
	{ "holes", holes, NULL },
	{ "grow", grow, NULL },
	{ "large-turns", large_turns, NULL },
	{ "limit-100", limit, &(const size_t){ 100 } },
	{ "limit-1024", limit, &(const size_t){ 1024 } },
	{ "limit-20000", limit, &(const size_t){ 20000 } },
	{ "limit-1M", limit, &(const size_t){ MB } },
	{ "limit-threads", limit_threads, NULL },
};

int main(int argc, char **argv)
{
	return check_main(argc, argv, cases, ROWS(cases));
}
