/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the workload programs share: arguments, memory of their own, random numbers, the lines they print. A workload is
 * built once and is the same bytes for every subject; it links libc alone and knows no allocator's classes.
 *
 * Its own bookkeeping comes from workload_pages(), never from malloc, and nothing here allocates.
 * An operation is one call of malloc or free (calloc, realloc and aligned_alloc count as one too).
 *
 * Exit codes: 0 done; 1 the allocator under test failed (one line on stderr says how); 2 wrong use.
 */

#include "hakperf/roi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum workload_kind {
	WORKLOAD_NUMBER, /* uint64_t */
	WORKLOAD_FLAG,	 /* bool, takes no value */
	WORKLOAD_CHOICE, /* unsigned, the index of a word in choices */
};

/* One option: --name VALUE or --name=VALUE, and by position where `position` says so. */
struct workload_option {
	const char *name;
	enum workload_kind kind;
	void *value; /* holds the default before workload_parse() */
	uint64_t min, max;
	unsigned position;	    /* 1, 2, …: also the n-th plain argument; 0: by name only */
	const char *const *choices; /* NULL-terminated */
	const char *help;
	bool given; /* set by workload_parse() */
};

/*
 * Fill the options from argv. --help prints them and exits 0; anything not understood is one line on stderr and exit 2.
 * options: ended by one without a name. `min` above `max`, and `cold` with a `warmup`, are wrong use too.
 */
void workload_parse(const char *name, const char *about, struct workload_option *options, int argc, char **argv);

/* One line on stderr, "NAME: …", and exit with this code. */
_Noreturn void workload_die(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Memory of the workload's own, zeroed and already present, so that it faults outside the timed region. Never NULL. */
void *workload_pages(size_t bytes);

/*
 * After the region, untimed: take blocks of min…max bytes, fill them, look whether each kept what was
 * written to it, give them back in another order. What the timed loop has no time to look at. Dies with code 1.
 */
void workload_audit(uint64_t min, uint64_t max);

/* The throughput line and the checksum line, on stdout. */
void workload_report(uint64_t operations, uint64_t wall_ns, uint64_t checksum);

/* Marsaglia 2003, 32 bits, period 2^32 - 1. The state must not be 0. */
static inline uint32_t workload_random(uint32_t *state)
{
	uint32_t x = *state;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

/* 0 … n - 1 from the high bits of a draw (Lemire 2019 without the rejection: n is far below 2^32 here). */
static inline uint32_t workload_below(uint32_t draw, uint32_t n)
{
	return (uint32_t)((uint64_t)draw * n >> 32);
}

/* A state for workload_random() from any number, different for neighbouring numbers. */
static inline uint32_t workload_seed(uint64_t seed)
{
	uint32_t s = (uint32_t)hakperf_splitmix(&seed);
	return s ? s : 1;
}

/* Order matters, costs two instructions. */
static inline uint64_t workload_mix(uint64_t sum, uint64_t x)
{
	return (sum << 7 | sum >> 57) ^ x;
}

/* p is from the allocator under test and may be NULL. */
static inline void *workload_got(void *p)
{
	if (__builtin_expect(p == NULL, 0))
		workload_die(1, "the allocator under test returned NULL");
	return p;
}
