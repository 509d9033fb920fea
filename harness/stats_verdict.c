/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "harness/stats.h"
#include "harness/stats_inner.h"

#include <assert.h>
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LIKELY        0.8 /* probability at which stats_answer.more_rounds calls a verdict likely */
#define QUANTILES     21  /* of the true median's distribution that are tried for it */
#define FEWEST_ROUNDS 4   /* below, a spread says nothing */

#define CONTROL_ROUNDS 3    /* before a control says anything */
#define CONTROL_Z      2.33 /* one-sided 1 % */
#define AA_CONFIDENCE  0.999

const char *stats_verdict_name(enum stats_verdict v)
{
	switch (v) {
	case STATS_UNCLEAR:
		return "unclear";
	case STATS_REGRESSION:
		return "regression";
	case STATS_IMPROVEMENT:
		return "improvement";
	case STATS_NO_CHANGE:
		return "no change";
	case STATS_INVALID:
		return "invalid";
	}
	assert(!"verdict");
	return "";
}

enum stats_control stats_control_check(const double *x, size_t n, double expected, double sd)
{
	assert(expected != 0 && isfinite(expected) && sd >= 0);
	if (n < CONTROL_ROUNDS)
		return STATS_CONTROL_OPEN;
	double se = STATS_MEDIAN_SE * fmax(sd, stats_mad_sd(x, n)) / sqrt((double)n);
	double seen = stats_median(x, n) * (expected > 0 ? 1 : -1);
	if (seen - CONTROL_Z * se > 0)
		return STATS_CONTROL_SEEN;
	if (seen + CONTROL_Z * se < fabs(expected) / 2)
		return STATS_CONTROL_MISSED;
	return STATS_CONTROL_OPEN;
}

bool stats_aa_biased(const double *aa, size_t n, double delta)
{
	struct stats_interval ci = stats_cs(aa, n, AA_CONFIDENCE);
	double half = log1p(delta) / 2;
	return ci.lo > half || ci.hi < -half;
}

enum stats_verdict stats_decide(const struct stats_interval *ci, double delta,
				enum stats_better better)
{
	assert(delta >= 0);
	if (stats_within(ci, log1p(delta)))
		return STATS_NO_CHANGE;
	if (!stats_excludes_zero(ci))
		return STATS_UNCLEAR;
	bool more = ci->lo > 0;
	return more == (better == STATS_HIGHER) ? STATS_IMPROVEMENT : STATS_REGRESSION;
}

double stats_layout_width(double alpha, double sd, double dof)
{
	double q = dof > 0 ? gsl_cdf_tdist_Qinv(alpha / 2, dof) : gsl_cdf_ugaussian_Qinv(alpha / 2);
	return q * M_SQRT2 * sd;
}

struct stats_interval stats_layout_fixed(const double *x, size_t n, double confidence,
					 double layout_sd, double layout_dof)
{
	double half = (1 - confidence) / 2;
	struct stats_interval ci = stats_cs(x, n, 1 - half);
	double w = stats_layout_width(half, layout_sd, layout_dof);
	ci.lo -= w;
	ci.hi += w;
	return ci;
}

static struct stats_interval range(const double *x, size_t n)
{
	struct stats_interval ci = {
		.mid = stats_median(x, n), .lo = -INFINITY, .hi = INFINITY, .n = n
	};
	for (size_t i = 0; i < n; i++) {
		ci.lo = i ? fmin(ci.lo, x[i]) : x[i];
		ci.hi = i ? fmax(ci.hi, x[i]) : x[i];
	}
	return ci;
}

/* What a verdict after so many rounds depends on: pairs normal with the spread seen. */
struct outlook {
	double confidence; /* of the confidence sequence */
	double width;      /* added to either side of it */
	double half;       /* ln(1 + delta) */
	double sd;
};

/* P(X > t) for a pair whose true median is mu. */
static double above(const struct outlook *o, double mu, double t)
{
	return o->sd > 0 ? gsl_cdf_ugaussian_P((mu - t) / o->sd) : mu > t;
}

/* Lower bound of the probability that the look after `rounds` decides, whichever way. */
static double decides(const struct outlook *o, double mu, size_t rounds, size_t k)
{
	double up = stats_binomial_tail(k, rounds, above(o, mu, o->width));
	double down = stats_binomial_tail(k, rounds, above(o, -mu, o->width));
	double inner = o->half - o->width;
	double in = stats_binomial_tail(k, rounds, above(o, mu, -inner)) +
		    stats_binomial_tail(k, rounds, above(o, -mu, -inner)) - 1;
	return fmax(up + down, in);
}

static double decides_on_average(const struct outlook *o, double mid, double se, size_t rounds)
{
	size_t k = stats_cs_bound(rounds, o->confidence);
	double sum = 0;
	for (int j = 0; j < QUANTILES; j++)
		sum += decides(o, mid + se * gsl_cdf_ugaussian_Pinv((j + 0.5) / QUANTILES), rounds,
			       k);
	return sum / QUANTILES;
}

/*
 * The true median is taken as normal around the sample's, so that a median that happens to lie near
 * 0 or delta does not pass for one that stays there.
 */
static size_t rounds_until_likely(const double *x, size_t n, const struct outlook *o)
{
	size_t first = 1;
	while (stats_cs_bound(first, o->confidence) > first)
		first++;
	if (n < FEWEST_ROUNDS)
		return first - n;
	double mid = stats_median(x, n), se = STATS_MEDIAN_SE * o->sd / sqrt((double)n);
	if (!isfinite(mid) || !isfinite(se))
		return 0;
	size_t no = n, yes = n < first ? first : n + 1;
	while (yes <= STATS_ROUNDS_MAX && decides_on_average(o, mid, se, yes) < LIKELY) {
		no = yes;
		yes += yes - n + 1;
	}
	if (yes > STATS_ROUNDS_MAX) {
		yes = STATS_ROUNDS_MAX;
		if (no >= yes || decides_on_average(o, mid, se, yes) < LIKELY)
			return 0;
	}
	while (yes - no > 1) {
		size_t half = no + (yes - no) / 2;
		if (decides_on_average(o, mid, se, half) < LIKELY)
			no = half;
		else
			yes = half;
	}
	return yes - n;
}

struct stats_answer stats_compare(const double *x, size_t n, const struct stats_question *q)
{
	struct outlook o = { .confidence = q->confidence > 0 ? q->confidence : STATS_CONFIDENCE };
	double delta = q->delta >= 0 ? q->delta : STATS_DELTA;
	struct stats_answer a = { 0 };
	if (q->exact) {
		a.log = range(x, n);
	} else if (q->layout_sd > 0) {
		double half = (1 - o.confidence) / 2;
		a.log = stats_layout_fixed(x, n, o.confidence, q->layout_sd, q->layout_dof);
		o.width = stats_layout_width(half, q->layout_sd, q->layout_dof);
		o.confidence = 1 - half;
	} else {
		a.log = stats_cs(x, n, o.confidence);
	}
	a.ratio = exp(a.log.mid);
	a.lo = exp(a.log.lo);
	a.hi = exp(a.log.hi);
	a.differs = stats_excludes_zero(&a.log);
	a.within = stats_within(&a.log, log1p(delta));
	a.verdict = stats_decide(&a.log, delta, q->better);
	if (q->biased || q->control == STATS_CONTROL_MISSED) {
		a.verdict = STATS_INVALID;
	} else if (a.verdict == STATS_NO_CHANGE && q->control == STATS_CONTROL_OPEN) {
		a.verdict = STATS_UNCLEAR;
		a.awaits_control = true;
	} else if (a.verdict == STATS_UNCLEAR && !q->exact) {
		o.half = log1p(delta);
		o.sd = stats_mad_sd(x, n);
		a.more_rounds = rounds_until_likely(x, n, &o);
	}
	return a;
}

struct by_link {
	uint64_t link;
	size_t index;
};

static int by_link_then_index(const void *p, const void *q)
{
	const struct by_link *a = p, *b = q;
	if (a->link != b->link)
		return a->link < b->link ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

struct link_median {
	size_t first;
	double value;
};

static int by_first(const void *p, const void *q)
{
	const struct link_median *a = p, *b = q;
	return a->first < b->first ? -1 : a->first > b->first;
}

size_t stats_by_link(const double *x, const uint64_t *link, size_t n, double *out)
{
	struct by_link *rows = x_calloc(n, sizeof(*rows));
	struct link_median *medians = x_calloc(n, sizeof(*medians));
	double *values = x_calloc(n, sizeof(*values));
	size_t links = 0;
	for (size_t i = 0; i < n; i++)
		rows[i] = (struct by_link){ link[i], i };
	qsort(rows, n, sizeof(*rows), by_link_then_index);
	for (size_t i = 0; i < n;) {
		size_t m = 0, first = rows[i].index;
		uint64_t of = rows[i].link;
		for (; i < n && rows[i].link == of; i++)
			values[m++] = x[rows[i].index];
		medians[links++] = (struct link_median){ first, stats_median(values, m) };
	}
	qsort(medians, links, sizeof(*medians), by_first);
	for (size_t i = 0; i < links; i++)
		out[i] = medians[i].value;
	free(values);
	free(medians);
	free(rows);
	return links;
}

double stats_layout_sd(double sd_drawn, double sd_fixed)
{
	double v = (sd_drawn * sd_drawn - sd_fixed * sd_fixed) / 2;
	return v > 0 ? sqrt(v) : 0.0;
}
