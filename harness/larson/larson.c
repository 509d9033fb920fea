/* SPDX-License-Identifier: Apache-2.0 */

/*
 * After P.-A. Larson and M. Krishnan, "Memory Allocation for Long-Running Server Applications", ISMM 1998: threads replace random
 * blocks of an array, and when a thread has done its rounds it dies and a new one goes on with its array, so that
 * blocks are freed by another thread than the one that took them, often by one that outlives it.
 *
 * There are `threads` lines of such threads side by side. A round replaces as many blocks as the array has, chosen at random: two
 * operations each. With a number of rounds the work, and so the checksum, is the same on every run; --seconds runs for a time instead.
 * Threads come and go between the timed regions of their line: a new thread begins its region when its
 * predecessor is gone, and the time of a line is the sum of its regions.
 */
#include "workload.h"

#include <pthread.h>
#include <semaphore.h>

struct settings {
	uint64_t limit_ns; /* 0: a fixed number of rounds */
	uint64_t rounds, warmup, handover;
	uint32_t min, span, chunks, threads;
	bool cold;
};

struct line {
	const struct settings *s;
	unsigned char **block;
	uint32_t random, number;
	uint64_t rounds_left, warmup_left;
	pthread_t predecessor, last;
	bool has_predecessor, started;
	uint64_t operations, wall_ns, sum;
};

static pthread_barrier_t start;
static sem_t finished;

static inline unsigned char *take(const struct line *l, uint32_t *random)
{
	uint32_t r = workload_random(random);
	unsigned char *p = workload_got(malloc(l->s->min + workload_below(r, l->s->span)));
	*p = (unsigned char)r;
	hakperf_keep(p);
	return p;
}

static __attribute__((noinline)) void fill(struct line *l)
{
	for (uint32_t i = 0; i < l->s->chunks; i++)
		l->block[i] = take(l, &l->random);
}

static __attribute__((noinline)) void replace(struct line *l, uint64_t rounds)
{
	unsigned char **block = l->block;
	uint32_t random = l->random, chunks = l->s->chunks;
	uint64_t sum = l->sum;
	for (uint64_t i = rounds * chunks; i; i--) {
		uint32_t k = workload_below(workload_random(&random), chunks);
		unsigned char *p = block[k];
		sum = workload_mix(sum, *p);
		hakperf_keep(p);
		free(p);
		block[k] = take(l, &random);
	}
	l->random = random;
	l->sum = sum;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The timed part of one thread's life. */
static void timed(struct line *l)
{
	const struct settings *s = l->s;
	struct hakperf_roi roi = HAKPERF_ROI_INIT;
	bool first = !l->started;
	/* The warm-up's checksum goes to the first region, so that the regions' add up to the line's. */
	uint64_t rounds = 0, before = first ? 0 : l->sum, operations = 0;
	roi.track = l->number + 1;
	hakperf_roi_prepare(&roi);
	if (first)
		pthread_barrier_wait(&start);
	l->started = true;

	hakperf_roi_begin(&roi);
	if (first && s->cold) {
		fill(l);
		operations = s->chunks;
	}
	if (s->limit_ns) {
		uint64_t end = hakperf_clock(CLOCK_MONOTONIC) + (s->limit_ns - l->wall_ns);
		do
			replace(l, 1);
		while (++rounds < s->handover && hakperf_clock(CLOCK_MONOTONIC) < end);
	} else {
		rounds = least(s->handover, l->rounds_left);
		replace(l, rounds);
	}
	operations += 2 * rounds * s->chunks;
	hakperf_roi_end(&roi, operations, l->sum - before);

	l->operations += operations;
	l->wall_ns += roi.record.wall_ns;
	l->rounds_left = s->limit_ns ? l->wall_ns < s->limit_ns : l->rounds_left - rounds;
}

static void *live(void *ctx)
{
	struct line *l = ctx;
	if (l->has_predecessor)
		pthread_join(l->predecessor, NULL);
	if (l->warmup_left) {
		uint64_t rounds = least(l->s->handover, l->warmup_left);
		replace(l, rounds);
		l->warmup_left -= rounds;
	} else {
		timed(l);
	}
	if (!l->warmup_left && !l->rounds_left) {
		l->last = pthread_self();
		sem_post(&finished);
		return NULL;
	}
	pthread_t successor;
	l->predecessor = pthread_self();
	l->has_predecessor = true;
	int err = pthread_create(&successor, NULL, live, l);
	if (err)
		workload_die(1, "cannot create a thread: %s", strerror(err));
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t seconds = 0, min = 8, max = 1024, chunks = 1000, rounds = 100, seed = 12345, threads = 1;
	uint64_t warmup = 10, handover = 10;
	bool cold = false;
	struct workload_option options[] = {
		{ "seconds", WORKLOAD_NUMBER, &seconds, 0, 86400, 1, .help = "run for this time, a new thread after every --rounds; 0: do --rounds and end" },
		{ "min", WORKLOAD_NUMBER, &min, 1, 1u << 30, 2, .help = "smallest request in bytes" },
		{ "max", WORKLOAD_NUMBER, &max, 1, 1u << 30, 3, .help = "largest request in bytes" },
		{ "chunks", WORKLOAD_NUMBER, &chunks, 1, 1u << 28, 4, .help = "blocks per thread" },
		{ "rounds", WORKLOAD_NUMBER, &rounds, 1, UINT64_C(1) << 32, 5, .help = "rounds per thread, `chunks` replacements each" },
		{ "seed", WORKLOAD_NUMBER, &seed, 0, UINT32_MAX, 6, .help = "of the random numbers" },
		{ "threads", WORKLOAD_NUMBER, &threads, 1, HAKPERF_RECORDS, 7, .help = "threads side by side" },
		{ "handover", WORKLOAD_NUMBER, &handover, 1, UINT64_C(1) << 32, .help = "rounds after which a new thread goes on, without --seconds" },
		{ "warmup", WORKLOAD_NUMBER, &warmup, 0, UINT64_C(1) << 32, .help = "rounds before the timed region" },
		{ "cold", WORKLOAD_FLAG, &cold, .help = "time the start: no warm-up, the arrays are filled in the timed region" },
		{ NULL },
	};
	workload_parse("larson", "Threads replace random blocks and hand their arrays to successors.", options, argc, argv);
	hakperf_roi_init(cold ? HAKPERF_ROI_COLD : 0);
	uint64_t per_round = 2 * chunks * threads;
	struct settings s = {
		.limit_ns = seconds * 1000000000u,
		.rounds = (hakperf_roi_operations(rounds * per_round) + per_round - 1) / per_round,
		.warmup = cold ? 0 : warmup,
		.handover = seconds ? rounds : handover,
		.min = (uint32_t)min,
		.span = (uint32_t)(max - min + 1),
		.chunks = (uint32_t)chunks,
		.threads = (uint32_t)threads,
		.cold = cold,
	};
	uint64_t asked = hakperf_roi_warmup(HAKPERF_UNKNOWN);
	if (!cold && asked != HAKPERF_UNKNOWN)
		s.warmup = (asked + per_round - 1) / per_round;

	struct line *lines = workload_pages(threads * sizeof(*lines));
	seed = hakperf_roi_seed(seed);
	sem_init(&finished, 0, 0);
	pthread_barrier_init(&start, NULL, s.threads);
	for (uint32_t t = 0; t < s.threads; t++) {
		lines[t] = (struct line){
			.s = &s,
			.block = workload_pages(chunks * sizeof(unsigned char *)),
			.random = workload_seed(seed + t),
			.number = t,
			.rounds_left = s.limit_ns ? 1 : s.rounds,
			.warmup_left = s.warmup,
		};
		if (!cold)
			fill(&lines[t]);
	}
	for (uint32_t t = 0; t < s.threads; t++) {
		pthread_t first;
		int err = pthread_create(&first, NULL, live, &lines[t]);
		if (err)
			workload_die(1, "cannot create a thread: %s", strerror(err));
	}
	for (uint32_t t = 0; t < s.threads; t++)
		while (sem_wait(&finished) != 0)
			;

	uint64_t operations = 0, wall_ns = 0, sum = 0;
	for (uint32_t t = 0; t < s.threads; t++) {
		pthread_join(lines[t].last, NULL);
		operations += lines[t].operations;
		wall_ns = lines[t].wall_ns > wall_ns ? lines[t].wall_ns : wall_ns;
		sum += lines[t].sum;
		for (uint32_t i = 0; i < s.chunks; i++)
			free(lines[t].block[i]);
	}
	workload_audit(min, max);
	workload_report(operations, wall_ns, sum);
	return 0;
}
