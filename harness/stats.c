/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/stats.h"

#include "base/buf.h"
#include "harness/stats_inner.h"

#include <assert.h>
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_sf_gamma.h>
#include <gsl/gsl_sort.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

double *stats_sorted(const double *x, size_t n)
{
	double *s = x_calloc(n, sizeof(*s));
	if (n)
		memcpy(s, x, n * sizeof(*s));
	for (size_t i = 0; i < n; i++)
		assert(!isnan(s[i]));
	gsl_sort(s, 1, n);
	return s;
}

double stats_sorted_median(const double *s, size_t n)
{
	if (!n)
		return NAN;
	double below = s[(n - 1) / 2], above = s[n / 2];
	if (isinf(below) && isinf(above) && below != above)
		return 0.0;
	return 0.5 * (below + above);
}

double stats_median(const double *x, size_t n)
{
	double *s = stats_sorted(x, n);
	double m = stats_sorted_median(s, n);
	free(s);
	return m;
}

double stats_mad_sd(const double *x, size_t n)
{
	double m = stats_median(x, n);
	if (!n || isinf(m))
		return n ? INFINITY : NAN;
	double *d = x_calloc(n, sizeof(*d));
	for (size_t i = 0; i < n; i++)
		d[i] = fabs(x[i] - m);
	double mad = stats_median(d, n);
	free(d);
	return STATS_MAD_TO_SD * mad;
}

/*
 * ln of the mixture likelihood ratio after s heads of n against a fair coin: the bet that grows
 * whenever the coin is not fair (Robbins 1970). Symmetric in s and n - s, rising for s >= n / 2.
 */
static double ln_mixture(size_t s, size_t n)
{
	const double a = STATS_BETA_SHAPE;
	return (double)n * M_LN2 + gsl_sf_lnbeta(a + (double)s, a + (double)(n - s)) -
	       gsl_sf_lnbeta(a, a);
}

size_t stats_cs_bound(size_t n, double confidence)
{
	assert(confidence > 0.5 && confidence < 1);
	double need = -log1p(-confidence);
	size_t lo = (n + 1) / 2, hi = n + 1;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (ln_mixture(mid, n) >= need)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

size_t stats_cs_next_bound(size_t k, size_t n, double confidence)
{
	assert(n > 0 && k <= n);
	return ln_mixture(k, n) >= -log1p(-confidence) ? k : k + 1;
}

double stats_binomial_tail(size_t k, size_t n, double p)
{
	if (k == 0)
		return 1.0;
	return k > n ? 0.0 : gsl_cdf_binomial_Q((unsigned)k - 1, p, (unsigned)n);
}

size_t stats_once_bound(size_t n, double confidence)
{
	assert(confidence > 0.5 && confidence < 1);
	double side = (1 - confidence) / 2;
	size_t lo = n / 2 + 1, hi = n + 1;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (stats_binomial_tail(mid, n, 0.5) <= side)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static struct stats_interval order_interval(const double *x, size_t n, size_t k)
{
	double *s = stats_sorted(x, n);
	struct stats_interval ci = {
		.mid = stats_sorted_median(s, n), .lo = -INFINITY, .hi = INFINITY, .n = n
	};
	if (k <= n) {
		ci.lo = s[n - k];
		ci.hi = s[k - 1];
	}
	free(s);
	return ci;
}

struct stats_interval stats_cs(const double *x, size_t n, double confidence)
{
	return order_interval(x, n, stats_cs_bound(n, confidence));
}

struct stats_interval stats_once(const double *x, size_t n, double confidence)
{
	return order_interval(x, n, stats_once_bound(n, confidence));
}

double stats_cs_p(const double *x, size_t n)
{
	size_t above = 0, below = 0;
	for (size_t i = 0; i < n; i++) {
		above += x[i] > 0;
		below += x[i] < 0;
	}
	size_t s = above > below ? above : below;
	if (2 * s <= n)
		return 1.0;
	return fmin(1.0, exp(-ln_mixture(s, n)));
}

bool stats_excludes_zero(const struct stats_interval *ci)
{
	return ci->lo > 0 || ci->hi < 0;
}

bool stats_within(const struct stats_interval *ci, double half_width)
{
	return ci->lo >= -half_width && ci->hi <= half_width;
}

double stats_log_ratio(double a, double b)
{
	if (!isfinite(a) || !isfinite(b) || a <= 0 || b <= 0)
		return NAN;
	/* Not log(b / a): the difference inverts to the last bit when the arms are swapped. */
	return log(b) - log(a);
}

double stats_count_ratio(double a, double b)
{
	return stats_log_ratio(a == 0 ? 0.5 : a, b == 0 ? 0.5 : b);
}

size_t stats_pairs(const double *a, const double *b, size_t n, double *x)
{
	size_t used = 0;
	for (size_t i = 0; i < n; i++) {
		double r = stats_log_ratio(a[i], b[i]);
		if (!isnan(r))
			x[used++] = r;
	}
	return used;
}

size_t stats_slope_pairs(const double *a1, const double *a2, const double *b1, const double *b2,
			 size_t n, double *x)
{
	size_t used = 0;
	for (size_t i = 0; i < n; i++) {
		double a = a2[i] - a1[i], b = b2[i] - b1[i];
		if (!isfinite(a) || !isfinite(b) || (a <= 0 && b <= 0))
			continue;
		if (a <= 0)
			x[used++] = INFINITY;
		else if (b <= 0)
			x[used++] = -INFINITY;
		else
			x[used++] = stats_log_ratio(a, b);
	}
	return used;
}
