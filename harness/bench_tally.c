/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/bench_stats.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_randist.h>
#include <stdio.h>

void bench_draw_block(gsl_rng *g, bool swapped[PLAN_BLOCK])
{
	for (int i = 0; i < PLAN_BLOCK; i++)
		swapped[i] = i % 2;
	gsl_ran_shuffle(g, swapped, PLAN_BLOCK, sizeof(*swapped));
}

enum stats_verdict bench_look(struct bench_look *l, double x, const size_t *bound)
{
	l->n++;
	l->up += x > l->widen;
	l->down += x < -l->widen;
	l->in_lo += x >= -l->half + l->widen;
	l->in_hi += x <= l->half - l->widen;
	size_t k = bound[l->n];
	if (l->in_lo >= k && l->in_hi >= k)
		return STATS_NO_CHANGE;
	if (l->up >= k)
		return STATS_REGRESSION;
	return l->down >= k ? STATS_IMPROVEMENT : STATS_UNCLEAR;
}

void bench_tally_add(struct bench_tally *t, enum stats_verdict v, size_t rounds)
{
	t->count[v]++;
	t->sessions++;
	t->rounds += (double)rounds;
}

void bench_tally_join(struct bench_tally *t, const struct bench_tally *more)
{
	for (size_t v = 0; v < sizeof(t->count) / sizeof(*t->count); v++)
		t->count[v] += more->count[v];
	t->sessions += more->sessions;
	t->rounds += more->rounds;
}

static size_t false_claims(const struct bench_tally *t)
{
	return t->count[STATS_REGRESSION] + t->count[STATS_IMPROVEMENT];
}

/* One-sided 95 % upper bound of a share (Clopper and Pearson 1934), by bisection: GSL's inverse
 * gives up on some counts. */
static double upper(size_t hits, size_t n)
{
	double lo = 0, hi = 1;
	for (int i = 0; i < 60 && hits < n; i++) {
		double p = (lo + hi) / 2;
		if (gsl_cdf_binomial_P((unsigned)hits, p, (unsigned)n) > 0.05)
			lo = p;
		else
			hi = p;
	}
	return hi;
}

void bench_print(const char *name, const struct bench_tally *t, double bar)
{
	double share = (double)false_claims(t) / (double)t->sessions;
	printf("  %-24s %7zu %7zu %8.3f %% %8.3f %% %9.1f %% %8.1f %% %8.1f", name, t->sessions,
	       false_claims(t), 100 * share, 100 * upper(false_claims(t), t->sessions),
	       100.0 * (double)t->count[STATS_NO_CHANGE] / (double)t->sessions,
	       100.0 * (double)t->count[STATS_UNCLEAR] / (double)t->sessions,
	       t->rounds / (double)t->sessions);
	if (bar > 0)
		printf("   %s", share <= bar ? "reached" : "NOT REACHED");
	putchar('\n');
}

void bench_print_head(void)
{
	printf("  %-24s %7s %7s %10s %10s %11s %10s %8s\n", "", "sessions", "false", "share",
	       "95 % below", "no change", "unclear", "rounds");
}
