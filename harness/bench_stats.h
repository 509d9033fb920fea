/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/plan.h"
#include "harness/stats.h"

#include <gsl/gsl_rng.h>
#include <stdbool.h>
#include <stddef.h>

/* Parts of bench_stats: sessions judged look by look, tallied and printed; and the bank of real
 * rounds. */

#define BENCH_ROUNDS    400   /* where a session ends that has not decided */
#define BENCH_FALSE_BAR 0.004 /* share of null sessions that may claim a difference */

/* Half of a block's rounds, drawn: what plan_round() does for two arms. */
void bench_draw_block(gsl_rng *g, bool swapped[PLAN_BLOCK]);

/*
 * The rule of stats_decide() on a growing sample, from counts instead of a sort at each look: the
 * k-th of the sorted values lies beyond a limit exactly when at least n - k + 1 values do.
 */
struct bench_look {
	double half;  /* ln(1 + delta) */
	double widen; /* added to either side of the interval: a fixed layout's share */
	size_t n, up, down, in_lo, in_hi;
};

/* One more value; bound[n] is stats_cs_bound(n). Log-ratios of a metric that is lower when better.
 */
enum stats_verdict bench_look(struct bench_look *l, double x, const size_t *bound);

struct bench_tally {
	size_t sessions, count[5]; /* by enum stats_verdict */
	double rounds;             /* sum over sessions */
};
void bench_tally_add(struct bench_tally *t, enum stats_verdict v, size_t rounds);
void bench_tally_join(struct bench_tally *t, const struct bench_tally *more);

/* bar: share of false claims that is reached or not, said at the end of the line; 0: none. */
void bench_print_head(void);
void bench_print(const char *name, const struct bench_tally *t, double bar);

/*
 * Read the CSV at path and print what its rounds say of the statistics, resampled with g. Returns
 * 0, or -errno with *e when the file cannot be read or holds no rounds; then nothing is printed.
 */
int bench_bank(const char *path, gsl_rng *g, const size_t *bound, struct error *e);
