/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "harness/stats.h"
#include "harness/stats_inner.h"

#include <assert.h>
#include <gsl/gsl_sort.h>
#include <math.h>
#include <stdlib.h>

static size_t *rising(const double *p, size_t n)
{
	size_t *order = x_calloc(n, sizeof(*order));
	for (size_t i = 0; i < n; i++)
		assert(p[i] >= 0 && p[i] <= 1);
	gsl_sort_index(order, p, 1, n);
	return order;
}

void stats_holm(const double *p, size_t n, double *q)
{
	size_t *order = rising(p, n);
	double worst = 0;
	for (size_t i = 0; i < n; i++) {
		worst = fmax(worst, fmin(1.0, p[order[i]] * (double)(n - i)));
		q[order[i]] = worst;
	}
	free(order);
}

void stats_bh(const double *p, size_t n, double *q)
{
	size_t *order = rising(p, n);
	double best = 1;
	for (size_t i = n; i-- > 0;) {
		best = fmin(best, p[order[i]] * (double)n / (double)(i + 1));
		q[order[i]] = best;
	}
	free(order);
}

#define DISTURBED_SPREADS 6
#define DISTURBED_HISTORY 8
#define DISTURBED_WINDOW 24

static bool sticks_out(double *earlier, size_t n, double now, double floor)
{
	size_t known = 0;
	for (size_t i = 0; i < n; i++) {
		if (!isnan(earlier[i]))
			earlier[known++] = earlier[i];
	}
	if (known < DISTURBED_HISTORY || isnan(now))
		return false;
	return now > stats_median(earlier, known) +
			     DISTURBED_SPREADS * stats_mad_sd(earlier, known) + floor;
}

unsigned stats_disturbed(const struct stats_disturbance *earlier, size_t n,
			 const struct stats_disturbance *now)
{
	if (n > DISTURBED_WINDOW) {
		earlier += n - DISTURBED_WINDOW;
		n = DISTURBED_WINDOW;
	}
	double *v = x_calloc(n, sizeof(*v));
	unsigned by = 0;
	for (size_t i = 0; i < n; i++)
		v[i] = earlier[i].steal_ratio;
	by |= sticks_out(v, n, now->steal_ratio, 0.01) ? STATS_BY_STEAL : 0;
	for (size_t i = 0; i < n; i++)
		v[i] = earlier[i].migrations;
	by |= sticks_out(v, n, now->migrations, 1) ? STATS_BY_MIGRATION : 0;
	for (size_t i = 0; i < n; i++)
		v[i] = earlier[i].preemptions;
	by |= sticks_out(v, n, now->preemptions, 4) ? STATS_BY_PREEMPTION : 0;
	free(v);
	return by;
}

void stats_split(const double *t1, const double *t2, size_t n, double ops, double confidence,
		 struct stats_interval *per_op, struct stats_interval *start_up)
{
	assert(ops > 0);
	double *v = x_calloc(n, sizeof(*v));
	for (size_t i = 0; i < n; i++)
		v[i] = (t2[i] - t1[i]) / ops;
	*per_op = stats_cs(v, n, confidence);
	for (size_t i = 0; i < n; i++)
		v[i] = 2 * t1[i] - t2[i];
	*start_up = stats_cs(v, n, confidence);
	free(v);
}

/* Distances from the line below this share of the largest response are rounding. */
#define DOSE_ROUNDING 1e-12

/* Theil-Sen within one round; slopes has room for all pairs. */
static double theil_sen(const double *dose, const double *y, size_t doses, double *slopes)
{
	size_t m = 0;
	for (size_t i = 0; i < doses; i++) {
		for (size_t j = i + 1; j < doses; j++)
			slopes[m++] = (y[j] - y[i]) / (dose[j] - dose[i]);
	}
	return stats_median(slopes, m);
}

struct stats_dose stats_dose(const double *dose, size_t doses, const double *y, size_t rounds,
			     double confidence)
{
	assert(doses >= 2);
	for (size_t d = 1; d < doses; d++)
		assert(dose[d] > dose[d - 1]);
	double *slopes = x_calloc(doses * (doses - 1) / 2, sizeof(*slopes));
	double *v = x_calloc(rounds * doses, sizeof(*v));
	double shared = 1 - (1 - confidence) / (double)(doses - 1);
	struct stats_dose out = { .monotone = rounds > 0,
				  .monotone_shown = rounds > 0,
				  .linear = true };

	for (size_t r = 0; r < rounds; r++)
		v[r] = theil_sen(dose, y + r * doses, doses, slopes);
	out.slope = stats_cs(v, rounds, confidence);
	double b = out.slope.mid, rounding = 0;
	for (size_t i = 0; i < rounds * doses; i++) {
		v[i] = y[i] - b * dose[i % doses];
		rounding = fmax(rounding, DOSE_ROUNDING * fabs(y[i]));
	}
	out.intercept = stats_median(v, rounds * doses);
	for (size_t d = 1; d < doses; d++) {
		for (size_t r = 0; r < rounds; r++)
			v[r] = (y[r * doses + d] - y[r * doses + d - 1]) * (b < 0 ? -1 : 1);
		struct stats_interval step = stats_cs(v, rounds, shared);
		out.monotone = out.monotone && step.mid > 0;
		out.monotone_shown = out.monotone_shown && step.lo > 0;
		for (size_t r = 0; r < rounds; r++)
			v[r] = y[r * doses + d] - y[r * doses] - b * (dose[d] - dose[0]);
		struct stats_interval off = stats_cs(v, rounds, shared);
		out.linear = out.linear && off.lo <= rounding && off.hi >= -rounding;
		out.worst = fmax(out.worst, fabs(off.mid));
	}
	free(v);
	free(slopes);
	return out;
}
