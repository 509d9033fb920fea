/*
 * thread - what threads do to an allocator: death with blocks left behind, frees when the
 * allocator's own thread data are gone, fork in the middle of it, blocks that only travel one way.
 * Bounds on memory are far above what a right allocator needs and far below what a leak reaches.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "subject.h"

enum { MB = 1 << 20 };

static const size_t mixed_size[] = {
	8, 24, 40, 60, 100, 200, 400, 800, 1024, 1030, 3000, 12000, 70000,
};

static void start(pthread_t *t, void *(*run)(void *), void *arg)
{
	if (pthread_create(t, NULL, run, arg))
		check_fail(__FILE__, __LINE__, "pthread_create: %s", strerror(errno));
}

static unsigned char *get(size_t size, size_t tag)
{
	unsigned char *p = S(malloc)(size);

	if (!p)
		check_fail(__FILE__, __LINE__, "malloc(%zu): %s", size, strerror(errno));
	p[0] = (unsigned char)tag;
	p[size - 1] = (unsigned char)tag;
	return p;
}

static void put(unsigned char *p, size_t size, size_t tag)
{
	if (p[0] != (unsigned char)tag || p[size - 1] != (unsigned char)tag)
		check_fail(__FILE__, __LINE__, "contents of %p (%zu bytes) changed", (void *)p,
			   size);
	S(free)(p);
}

static void bounded(const char *what, size_t before, size_t more)
{
	size_t now = check_status_bytes("VmHWM");

	if (!CHECK_SANITIZED && now > before + more)
		check_fail(__FILE__, __LINE__, "%s: VmHWM grew from %zu to %zu bytes", what, before,
			   now);
}

/*
 * Short threads, one after the other. Each frees what its dead predecessor left, takes 200 blocks,
 * frees half. Lost caches or slabs of 1,500 threads would be 1,500 x 30 KB and more.
 */
enum { LEFT = 100 };

struct inheritance {
	unsigned char *p[2 * LEFT];
};

static void *heir(void *arg)
{
	struct inheritance *in = arg;

	for (size_t i = 0; i < 2 * LEFT; i++) {
		size_t size = mixed_size[i % 9];

		if (in->p[i])
			put(in->p[i], size, i);
		in->p[i] = get(size, i);
	}
	for (size_t i = 0; i < 2 * LEFT; i += 2) {
		put(in->p[i], mixed_size[i % 9], i);
		in->p[i] = NULL;
	}
	return NULL;
}

static void adopt(const void *arg)
{
	struct inheritance *in = check_map(sizeof(*in));
	unsigned turns = check_subject()->debug ? 600 : 1500;
	size_t before = 0;
	pthread_t t;

	(void)arg;
	for (unsigned i = 0; i < turns; i++) {
		if (i == 100)
			before = check_status_bytes("VmHWM");
		start(&t, heir, in);
		pthread_join(t, NULL);
	}
	bounded("short threads", before, 6 * MB);
}

/* The same with all blocks left to the main thread, which frees them after the owner's death. */
static void *leaver(void *arg)
{
	struct inheritance *in = arg;

	for (size_t i = 0; i < 2 * LEFT; i++)
		in->p[i] = get(mixed_size[i % 12], i);
	return NULL;
}

static void free_after_death(const void *arg)
{
	struct inheritance *in = check_map(sizeof(*in));
	unsigned turns = check_subject()->debug ? 300 : 700;
	size_t before = 0;
	pthread_t t;

	(void)arg;
	for (unsigned i = 0; i < turns; i++) {
		if (i == 50)
			before = check_status_bytes("VmHWM");
		start(&t, leaver, in);
		pthread_join(t, NULL);
		for (size_t k = 0; k < 2 * LEFT; k++)
			put(in->p[k], mixed_size[k % 12], k);
	}
	bounded("blocks freed after their thread's death", before, 12 * MB);
}

/* Many threads at once, again and again: as many caches as threads, not as threads have been. */
static void *busy(void *arg)
{
	unsigned char *p[64];

	(void)arg;
	for (int turn = 0; turn < 20; turn++) {
		for (size_t i = 0; i < ROWS(p); i++)
			p[i] = get(mixed_size[i % 10], i);
		for (size_t i = 0; i < ROWS(p); i++)
			put(p[i], mixed_size[i % 10], i);
	}
	return NULL;
}

static void waves(const void *arg)
{
	enum { WIDTH = 24 };
	pthread_t t[WIDTH];
	size_t before = 0;

	(void)arg;
	for (int wave = 0; wave < 16; wave++) {
		if (wave == 4)
			before = check_status_bytes("VmHWM");
		for (size_t i = 0; i < WIDTH; i++)
			start(&t[i], busy, NULL);
		for (size_t i = 0; i < WIDTH; i++)
			pthread_join(t[i], NULL);
	}
	bounded("waves of threads", before, 24 * MB);
}

/*
 * Destructors of thread keys run before and after the allocator's own, in up to four rounds; each
 * round frees what the last has left and takes something new. What the last leaves goes to main.
 */
enum { KEYS = 6 };

static pthread_key_t key[KEYS];
static unsigned char *_Atomic last_word[KEYS];

struct late {
	unsigned char *p[8];
	int which, round;
};

static void late_free(void *arg)
{
	struct late *l = arg;

	for (size_t i = 0; i < ROWS(l->p); i++) {
		put(l->p[i], mixed_size[i], i);
		l->p[i] = get(mixed_size[i], i);
	}
	/* ThreadSanitizer forgets a thread before its last round. */
	if (++l->round < (CHECK_THREAD_SANITIZER ? 2 : 4)) {
		pthread_setspecific(key[l->which], l);
		return;
	}
	for (size_t i = 1; i < ROWS(l->p); i++)
		put(l->p[i], mixed_size[i], i);
	last_word[l->which] = l->p[0];
	S(free)(l);
}

static void *with_keys(void *arg)
{
	(void)arg;
	for (int k = 0; k < KEYS; k++) {
		struct late *l = S(calloc)(1, sizeof(*l));

		CHECK(l);
		l->which = k;
		for (size_t i = 0; i < ROWS(l->p); i++)
			l->p[i] = get(mixed_size[i], i);
		pthread_setspecific(key[k], l);
	}
	return NULL;
}

static void late_frees(const void *arg)
{
	unsigned turns = check_subject()->debug ? 300 : 800;
	size_t before = 0;
	pthread_t t;

	(void)arg;
	for (int k = 0; k < KEYS; k++)
		CHECK(!pthread_key_create(&key[k], late_free));
	for (unsigned i = 0; i < turns; i++) {
		if (i == 100)
			before = check_status_bytes("VmHWM");
		start(&t, with_keys, NULL);
		pthread_join(t, NULL);
		for (int k = 0; k < KEYS; k++)
			put(atomic_exchange(&last_word[k], NULL), mixed_size[0], 0);
	}
	bounded("threads with late frees", before, 6 * MB);
}

/*
 * Threads whose first use of the allocator is in the last round of key destructors, when no
 * destructor of the allocator's can run any more. What they take is given to the next thread, which
 * most likely has its thread data at the same address.
 */
enum { LAST_MINUTE = 600 };

static unsigned char *last_minute[LAST_MINUTE];

static void at_the_last_minute(void *arg)
{
	uintptr_t round = (uintptr_t)arg;

	if (round < PTHREAD_DESTRUCTOR_ITERATIONS) {
		pthread_setspecific(key[0], (void *)(round + 1));
		return;
	}
	for (size_t i = 0; i < LAST_MINUTE; i++)
		last_minute[i] = get(mixed_size[i % 6], i);
}

static void *wait_for_the_end(void *arg)
{
	(void)arg;
	pthread_setspecific(key[0], (void *)1);
	return NULL;
}

static void *clear_up(void *arg)
{
	unsigned char *p[LAST_MINUTE];

	(void)arg;
	for (size_t i = 0; i < LAST_MINUTE; i++)
		p[i] = get(mixed_size[i % 6], i);
	for (size_t i = 0; i < LAST_MINUTE; i++)
		put(last_minute[i], mixed_size[i % 6], i);
	for (size_t i = 0; i < LAST_MINUTE; i++)
		last_minute[i] = get(mixed_size[i % 6], i);
	for (size_t i = 0; i < LAST_MINUTE; i++) {
		put(p[i], mixed_size[i % 6], i);
		put(last_minute[i], mixed_size[i % 6], i);
	}
	return NULL;
}

static void last_minute_threads(const void *arg)
{
	size_t before = 0;
	pthread_t t;

	(void)arg;
	if (CHECK_THREAD_SANITIZER)
		check_skip("ThreadSanitizer forgets a thread before its last round");
	CHECK(!pthread_key_create(&key[0], at_the_last_minute));
	for (unsigned i = 0; i < 250; i++) {
		if (i == 50)
			before = check_status_bytes("VmHWM");
		start(&t, wait_for_the_end, NULL);
		pthread_join(t, NULL);
		start(&t, clear_up, NULL);
		pthread_join(t, NULL);
	}
	bounded("threads with a last-minute malloc", before, 8 * MB);
}

/* A thread whose first and only contact is one free, or one malloc, in a destructor. */
static void only_free(void *p)
{
	S(free)(p);
}

static void *touch_nothing(void *arg)
{
	pthread_setspecific(key[0], arg);
	return NULL;
}

static void free_only_threads(const void *arg)
{
	size_t before = 0;
	pthread_t t;

	(void)arg;
	CHECK(!pthread_key_create(&key[0], only_free));
	for (unsigned i = 0; i < 1000; i++) {
		if (i == 100)
			before = check_status_bytes("VmHWM");
		start(&t, touch_nothing, get(mixed_size[i % ROWS(mixed_size)], i));
		pthread_join(t, NULL);
	}
	bounded("threads that only free", before, 4 * MB);
}

/* One side allocates, the other frees. Bytes in flight are bounded, so memory must be. */
enum { RING = 256 };

struct ring {
	_Atomic(unsigned char *) slot[RING];
	size_t items, size;	/* size 0: mixed */
};

static size_t item_size(const struct ring *r, size_t i)
{
	return r->size ? r->size : mixed_size[i * 7 % 12];
}

static void *produce(void *arg)
{
	struct ring *r = arg;

	for (size_t i = 0; i < r->items; i++) {
		unsigned char *p = get(item_size(r, i), i);

		while (atomic_load_explicit(&r->slot[i % RING], memory_order_relaxed))
			sched_yield();
		atomic_store_explicit(&r->slot[i % RING], p, memory_order_release);
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct ring *r = arg;

	for (size_t i = 0; i < r->items; i++) {
		unsigned char *p;

		while (!(p = atomic_load_explicit(&r->slot[i % RING], memory_order_acquire)))
			sched_yield();
		atomic_store_explicit(&r->slot[i % RING], NULL, memory_order_relaxed);
		put(p, item_size(r, i), i);
	}
	return NULL;
}

static void one_way(struct ring *r)
{
	pthread_t from, to;

	start(&from, produce, r);
	start(&to, consume, r);
	pthread_join(from, NULL);
	pthread_join(to, NULL);
}

struct one_way_arg {
	size_t size, items, more;
};

static void one_way_bounded(const void *arg)
{
	const struct one_way_arg *a = arg;
	struct ring *r = check_map(sizeof(*r));
	size_t before;

	r->size = a->size;
	r->items = a->items / 4;
	one_way(r);
	before = check_status_bytes("VmHWM");
	r->items = a->items / (check_subject()->debug ? 4 : 1) * check_subject()->scale;
	one_way(r);
	bounded("a producer and a consumer", before, a->more);
}

/* Both ways at once, between two long-lived threads: 0.4 seconds, or a minute in the long tests. */
struct pong {
	struct ring *out, *in;
	_Atomic int *stop;
	size_t sent, received;
};

static void *pong(void *arg)
{
	struct pong *p = arg;

	while (!*p->stop || p->received < p->sent) {
		size_t to = p->sent % RING, from = p->received % RING;
		unsigned char *got;

		if (!*p->stop && !atomic_load(&p->out->slot[to])) {
			atomic_store(&p->out->slot[to], get(item_size(p->out, p->sent), p->sent));
			p->sent++;
		}
		got = atomic_load(&p->in->slot[from]);
		if (got) {
			atomic_store(&p->in->slot[from], NULL);
			put(got, item_size(p->in, p->received), p->received);
			p->received++;
		} else if (*p->stop) {
			break;
		} else {
			sched_yield();
		}
	}
	return NULL;
}

static void ping_pong(const void *arg)
{
	const unsigned milliseconds = check_subject()->scale > 1 ? 60000 : 400;
	struct ring *a = check_map(sizeof(*a)), *b = check_map(sizeof(*b));
	_Atomic int *stop = check_map(sizeof(*stop));
	struct pong ab = { a, b, stop, 0, 0 }, ba = { b, a, stop, 0, 0 };
	pthread_t t, u;
	size_t before;

	(void)arg;
	start(&t, pong, &ab);
	start(&u, pong, &ba);
	usleep(milliseconds * 250);
	before = check_status_bytes("VmHWM");
	usleep(milliseconds * 750);
	*stop = 1;
	pthread_join(t, NULL);
	pthread_join(u, NULL);
	bounded("ping-pong", before, 8 * MB);
}

/* Three threads free one owner's blocks while it goes on allocating. */
enum { STORM = 4096 };

static _Atomic(unsigned char *) storm_slot[STORM];
static _Atomic int storm_over;

static void *storm_free(void *arg)
{
	uint64_t random = check_seed((uintptr_t)arg);

	while (!storm_over) {
		size_t i = check_random(&random) >> 52;
		unsigned char *p = atomic_exchange(&storm_slot[i], NULL);

		if (p)
			put(p, mixed_size[i % 10], i);
	}
	return NULL;
}

static void storm(const void *arg)
{
	size_t items = check_subject()->debug ? 60000 : 250000, before = 0;
	uint64_t random = check_seed(3);
	pthread_t t[3];

	(void)arg;
	for (size_t i = 0; i < ROWS(t); i++)
		start(&t[i], storm_free, (void *)i);
	for (size_t i = 0; i < items * check_subject()->scale; i++) {
		size_t k = check_random(&random) >> 52;
		unsigned char *p = atomic_exchange(&storm_slot[k], get(mixed_size[k % 10], k));

		if (p)
			put(p, mixed_size[k % 10], k);
		if (i == items / 4)
			before = check_status_bytes("VmHWM");
	}
	storm_over = 1;
	for (size_t i = 0; i < ROWS(t); i++)
		pthread_join(t[i], NULL);
	bounded("remote frees", before, 24 * MB);
}

/* fork while three threads are inside the allocator. */
static _Atomic int churn_over;
static _Atomic(unsigned char *) fork_slot[64];

static void *churn(void *arg)
{
	uint64_t random = check_seed((uintptr_t)arg);

	while (!churn_over) {
		size_t i = check_random(&random) >> 58;
		unsigned char *p = atomic_exchange(&fork_slot[i],
						   get(mixed_size[i % ROWS(mixed_size)], i));

		if (p)
			put(p, mixed_size[i % ROWS(mixed_size)], i);
	}
	return NULL;
}

static void *child_thread(void *arg)
{
	(void)arg;
	for (int turn = 0; turn < 5; turn++)
		for (size_t i = 0; i < ROWS(mixed_size); i++)
			put(get(mixed_size[i], i), mixed_size[i], i);
	return NULL;
}

/*
 * In the child only this thread lives. Blocks of all the dead are freed, many more than were ever
 * cached are taken, and a new thread does the same.
 */
static void child_life(unsigned char **mine, size_t n)
{
	unsigned char *p[1000];
	pthread_t t;

	for (size_t i = 0; i < n; i++)
		put(mine[i], mixed_size[i % ROWS(mixed_size)], i);
	for (size_t i = 0; i < ROWS(fork_slot); i++)
		if (fork_slot[i])
			put(fork_slot[i], mixed_size[i % ROWS(mixed_size)], i);
	for (size_t i = 0; i < ROWS(p); i++)
		p[i] = get(mixed_size[i % 11], i);
	for (size_t i = 0; i < ROWS(p); i++)
		put(p[i], mixed_size[i % 11], i);
	start(&t, child_thread, NULL);
	pthread_join(t, NULL);
	S(malloc_trim)(0);
}

static void expect_child(pid_t pid)
{
	int status;

	CHECK(pid > 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_AT(__LINE__, WIFEXITED(status) && WEXITSTATUS(status) == 0,
		 "the child ended with status %#x", (unsigned)status);
}

static void fork_loop(unsigned forks)
{
	unsigned char *mine[100];

	for (size_t i = 0; i < ROWS(mine); i++)
		mine[i] = get(mixed_size[i % ROWS(mixed_size)], i);
	for (unsigned k = 0; k < forks; k++) {
		pid_t pid = fork();

		if (!pid) {
			/* A child that hangs must not wait for the runner's patience. */
			alarm(10);
			child_life(mine, ROWS(mine));
			/* A child of the child, too. */
			if (k % 8 == 0) {
				pid = fork();
				if (!pid) {
					child_thread(NULL);
					_exit(0);
				}
				expect_child(pid);
			}
			_exit(0);
		}
		expect_child(pid);
	}
	for (size_t i = 0; i < ROWS(mine); i++)
		put(mine[i], mixed_size[i % ROWS(mixed_size)], i);
}

static void *fork_thread(void *arg)
{
	fork_loop(*(const unsigned *)arg);
	return NULL;
}

static void fork_in_threads(const void *arg)
{
	unsigned forks = *(const unsigned *)arg * (check_subject()->scale > 1 ? 10 : 1);
	pthread_t t[3], forker;

	if (CHECK_THREAD_SANITIZER)
		check_skip("ThreadSanitizer does not let a child start threads");
	for (size_t i = 0; i < ROWS(t); i++)
		start(&t[i], churn, (void *)(i + 1));
	/* From the main thread and from another at once. */
	start(&forker, fork_thread, &forks);
	fork_loop(forks);
	pthread_join(forker, NULL);
	churn_over = 1;
	for (size_t i = 0; i < ROWS(t); i++)
		pthread_join(t[i], NULL);
	/* The parent is as usable as before. */
	child_thread(NULL);
}

/*
 * Others' fork handlers allocate too. These are registered before any library's constructor has
 * run, as those of a library that the program is linked with may be: their turn comes when the
 * allocator has prepared itself for the fork already, or has not yet recovered from it.
 */
static _Atomic int handlers_work;

static void fork_handler(void)
{
	unsigned char *p[400];

	if (!handlers_work)
		return;
	for (size_t i = 0; i < ROWS(p); i++)
		p[i] = get(mixed_size[i % ROWS(mixed_size)], i);
	for (size_t i = 0; i < ROWS(p); i++)
		put(p[i], mixed_size[i % ROWS(mixed_size)], i);
}

static void register_early(int argc, char **argv, char **env)
{
	(void)argc, (void)argv, (void)env;
	pthread_atfork(fork_handler, fork_handler, fork_handler);
}

__attribute__((section(".preinit_array"), used))
static void (*const early)(int, char **, char **) = register_early;

static void fork_handlers(const void *arg)
{
	pthread_t t;

	(void)arg;
	if (CHECK_SANITIZED)
		check_skip("sanitizers are not set up when the handlers are registered");
	if (!check_subject()->whole)
		check_skip("foreign allocators are known to hang here");
	alarm(15);
	handlers_work = 1;
	start(&t, churn, (void *)1);
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();

		if (!pid) {
			alarm(10);
			child_thread(NULL);
			_exit(0);
		}
		expect_child(pid);
	}
	churn_over = 1;
	pthread_join(t, NULL);
}

/* The first thread ends first, the process goes on with its blocks. */
static unsigned char *of_main[500];
static pthread_t main_thread;

static void *survivor(void *arg)
{
	(void)arg;
	pthread_join(main_thread, NULL);
	for (size_t i = 0; i < ROWS(of_main); i++)
		put(of_main[i], mixed_size[i % 10], i);
	for (int k = 0; k < 50; k++)
		child_thread(NULL);
	_exit(0);
}

static void main_dies_first(const void *arg)
{
	pthread_t t;

	(void)arg;
	if (CHECK_THREAD_SANITIZER)
		check_skip("ThreadSanitizer does not let anyone join the main thread");
	for (size_t i = 0; i < ROWS(of_main); i++)
		of_main[i] = get(mixed_size[i % 10], i);
	main_thread = pthread_self();
	start(&t, survivor, NULL);
	pthread_exit(NULL);
}

/* exit handlers use the allocator while other threads are still inside it. */
static unsigned char *for_exit[200];

static void at_exit(void)
{
	for (size_t i = 0; i < ROWS(for_exit); i++)
		put(for_exit[i], mixed_size[i % 11], i);
	child_thread(NULL);
}

static void exit_with_threads(const void *arg)
{
	pthread_t t[3];

	(void)arg;
	for (size_t i = 0; i < ROWS(for_exit); i++)
		for_exit[i] = get(mixed_size[i % 11], i);
	CHECK(!atexit(at_exit));
	for (size_t i = 0; i < ROWS(t); i++)
		start(&t[i], churn, (void *)(i + 1));
	usleep(20000);
	exit(0);
}

/* Cancelled in the middle of work: the cleanup runs, its blocks come back. */
static void *cancelled(void *arg)
{
	while (!churn_over) {
		child_thread(arg);
		pthread_testcancel();
	}
	return NULL;
}

static void cancel(const void *arg)
{
	(void)arg;
	for (int i = 0; i < 100; i++) {
		pthread_t t;

		start(&t, cancelled, NULL);
		pthread_cancel(t);
		CHECK(!pthread_join(t, NULL));
	}
}

static const struct check_case cases[] = {
	{ "adopt", adopt, NULL },
	{ "free-after-death", free_after_death, NULL },
	{ "waves", waves, NULL },
	{ "late-frees", late_frees, NULL },
	{ "last-minute-threads", last_minute_threads, NULL },
	{ "free-only-threads", free_only_threads, NULL },
	{ "one-way-small", one_way_bounded,
	  &(const struct one_way_arg){ 100, 400000, 6 * MB } },
	{ "one-way-1024", one_way_bounded,
	  &(const struct one_way_arg){ 1024, 200000, 8 * MB } },
	{ "one-way-middle", one_way_bounded,
	  &(const struct one_way_arg){ 6000, 60000, 16 * MB } },
	{ "one-way-mixed", one_way_bounded,
	  &(const struct one_way_arg){ 0, 100000, 24 * MB } },
	{ "ping-pong", ping_pong, NULL },
	{ "storm", storm, NULL },
	{ "fork", fork_in_threads, &(const unsigned){ 14 } },
	{ "fork-handlers", fork_handlers, NULL },
	{ "main-dies-first", main_dies_first, NULL },
	{ "exit-with-threads", exit_with_threads, NULL },
	{ "cancel", cancel, NULL },
};

int main(int argc, char **argv)
{
	return check_main(argc, argv, cases, ROWS(cases));
}
