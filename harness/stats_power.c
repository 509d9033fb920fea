/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "harness/stats.h"
#include "harness/stats_inner.h"

#include <assert.h>
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>

struct stats_noise stats_noise(const double *aa, size_t n)
{
	double *d = x_calloc(n, sizeof(*d));
	for (size_t i = 0; i < n; i++)
		d[i] = fabs(aa[i]);
	struct stats_interval ci = stats_once(d, n, 0.95);
	free(d);
	return (struct stats_noise){
		.sd = STATS_MAD_TO_SD * ci.mid,
		.sd_lo = STATS_MAD_TO_SD * fmax(ci.lo, 0),
		.sd_hi = STATS_MAD_TO_SD * ci.hi,
		.n = n,
	};
}

/*
 * A walk over the number of positive signs, stopped at the first look that excludes 0 either way.
 * live[s - base] is the probability of being unstopped after n rounds with s positive signs. Alive
 * means n - k < s < k, so that the walk is only O(sqrt(n log n)) wide.
 */
struct walk {
	double p; /* of a positive sign */
	double confidence;
	size_t n, k, base, width;
	double *live;
	size_t room;
	double up; /* probability of having stopped upwards */
};

static void walk_start(struct walk *w, double p, double confidence, size_t rounds)
{
	*w = (struct walk){ .p = p, .confidence = confidence, .k = 1, .width = 1 };
	w->room = rounds + 2;
	w->live = x_calloc(w->room, sizeof(*w->live));
	w->live[0] = 1;
}

static void walk_step(struct walk *w)
{
	double from_below = 0;
	for (size_t i = 0; i <= w->width; i++) {
		double here = i < w->width ? w->live[i] : 0;
		w->live[i] = here * (1 - w->p) + from_below * w->p;
		from_below = here;
	}
	w->width++;
	w->n++;
	w->k = stats_cs_next_bound(w->k, w->n, w->confidence);
	while (w->width && w->base + w->width - 1 >= w->k)
		w->up += w->live[--w->width];
	size_t dead = 0;
	while (dead < w->width && w->n - (w->base + dead) >= w->k)
		dead++;
	for (size_t i = 0; dead && i + dead < w->width; i++)
		w->live[i] = w->live[i + dead];
	w->base += dead;
	w->width -= dead;
}

static double positive(double sd, double effect)
{
	if (sd > 0)
		return gsl_cdf_ugaussian_P(fabs(effect) / sd);
	return effect != 0 ? 1.0 : 0.5;
}

static double power_of(double p, size_t rounds, double confidence)
{
	struct walk w;
	walk_start(&w, p, confidence, rounds);
	while (w.n < rounds)
		walk_step(&w);
	free(w.live);
	return w.up;
}

double stats_power(double sd, double effect, size_t rounds, double confidence)
{
	assert(sd >= 0);
	return power_of(positive(sd, effect), rounds, confidence);
}

double stats_smallest_effect(double sd, size_t rounds, double confidence, double power)
{
	assert(sd >= 0 && power > 0 && power < 1);
	if (stats_cs_bound(rounds, confidence) > rounds)
		return INFINITY;
	double lo = 0, hi = 10; /* in units of sd: at 10, every sign is positive */
	for (int i = 0; i < 50; i++) {
		double mid = (lo + hi) / 2;
		if (power_of(gsl_cdf_ugaussian_P(mid), rounds, confidence) >= power)
			hi = mid;
		else
			lo = mid;
	}
	return hi * sd;
}

size_t stats_rounds_needed(double sd, double effect, double confidence, double power)
{
	assert(sd >= 0 && power > 0 && power < 1);
	struct walk w;
	walk_start(&w, positive(sd, effect), confidence, STATS_ROUNDS_MAX);
	while (w.n < STATS_ROUNDS_MAX && w.up < power)
		walk_step(&w);
	size_t n = w.up >= power ? w.n : 0;
	free(w.live);
	return n;
}

size_t stats_rounds_for_no_change(double sd, double delta, double confidence, double power)
{
	assert(sd >= 0 && delta > 0 && power > 0 && power < 1);
	double p = sd > 0 ? gsl_cdf_ugaussian_P(log1p(delta) / sd) : 1.0;
	size_t k = 1;
	for (size_t n = 1; n <= STATS_ROUNDS_MAX; n++) {
		k = stats_cs_next_bound(k, n, confidence);
		if (2 * stats_binomial_tail(k, n, p) - 1 >= power)
			return n;
	}
	return 0;
}
