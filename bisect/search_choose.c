/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/search_private.h"

#include "base/buf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Unbuilt commits whose split of the posterior is looked at in full. */
enum { SHORTLIST = 6, PARTS_MAX = 192, GRID_MAX = 256 };

/* A part of the posterior that predicts one normal for the next observation. */
struct part {
	double p, mean, var;
};

static double fast_exp_half(double d2)
{
	return d2 > 60 ? 0 : exp(-0.5 * d2);
}

/*
 * Bits that y tells about which part is true: H(mixture) - Σ p H(part), by the trapezoid rule on a grid of 0.6 of the least
 * sd (for a normal's entropy its error is far below a thousandth), coarser where the parts are far apart.
 */
static double information(const struct part *part, size_t n)
{
	double lo = INFINITY, hi = -INFINITY, least = INFINITY, own = 0;
	double peak[PARTS_MAX], inv[PARTS_MAX];
	for (size_t j = 0; j < n; j++) {
		double sd = sqrt(part[j].var);
		lo = fmin(lo, part[j].mean - 4.2 * sd);
		hi = fmax(hi, part[j].mean + 4.2 * sd);
		least = fmin(least, sd);
		inv[j] = 1 / part[j].var;
		peak[j] = part[j].p / sd;
		own += part[j].p * log(sd);
	}
	size_t points = (size_t)fmin(GRID_MAX, (hi - lo) / (0.6 * least) + 2);
	double step = (hi - lo) / (double)(points - 1), h = 0, mass = 0;
	for (size_t g = 0; g < points; g++) {
		double y = lo + (double)g * step, f = 0;
		for (size_t j = 0; j < n; j++) {
			double d = y - part[j].mean;
			f += peak[j] * fast_exp_half(d * d * inv[j]);
		}
		if (f > 0) {
			h -= f * log(f);
			mass += f;
		}
	}
	/* Densities lack 1/√(2π) throughout; E[-log f] of one normal with that scale is log sd + ½. */
	double bits = (h / mass - own - 0.5) / log(2);
	return bits > 0 ? bits : 0;
}

static void put(struct part *part, size_t *n, double p, double mean, double var)
{
	if (p > 1e-5 && *n < PARTS_MAX)
		part[(*n)++] = (struct part){ p, mean, var };
}

/*
 * Parts for the mean of k observations of `commit`. inside[c]: the share of class c's mass whose step the commit has.
 */
static size_t parts(const struct search *s, uint32_t commit, const double *inside, double k, struct part *part)
{
	size_t n = 0;
	for (size_t j = 0; j < s->n_comp; j++) {
		const struct search_component *c = &s->comp[j];
		if (c->p < 1e-4)
			continue;
		double fa = c->a != SEARCH_NONE ? inside[c->a] : 0, fb = c->b != SEARCH_NONE ? inside[c->b] : 0;
		for (int bits = 0; bits < 4; bits++) {
			bool a = bits & 1, b = bits >> 1;
			double p = c->p * (a ? fa : 1 - fa) * (b ? fb : 1 - fb);
			if (p <= 1e-5)
				continue;
			double mean, var;
			search_predict(s, c, commit, a, b, k, &mean, &var);
			/* A Student-t's tails as a normal of its variance. */
			if (s->dof > 4)
				var *= s->dof / (s->dof - 2);
			else
				var *= 2;
			put(part, &n, p, mean, var);
		}
	}
	double sum = 0;
	for (size_t j = 0; j < n; j++)
		sum += part[j].p;
	for (size_t j = 0; j < n; j++)
		part[j].p /= sum;
	return n;
}

static void consider(struct search_action *best, uint32_t commit, double bits, double cost)
{
	if (bits / cost > best->bits / best->cost)
		*best = (struct search_action){ SEARCH_MEASURE, commit, bits, cost, 0 };
}

/* Measured commits and ends: the classes lie wholly inside or outside. */
static void consider_built(struct search *s, struct search_action *best, double *inside)
{
	struct part part[PARTS_MAX];
	for (size_t m = 0; m < s->n_slots; m++) {
		uint32_t commit = s->slot[m].commit;
		if (s->build[commit] == SEARCH_BROKEN)
			continue;
		for (size_t k = 0; k < s->n_cls; k++)
			inside[k] = search_bit(s->cls_after + k * s->slot_words, m);
		size_t n = parts(s, commit, inside, 1, part);
		consider(best, commit, information(part, n), 1);
	}
}

/* Sum over H of r at each commit's row: along single parents by addition, else by the row. */
static void sums_inside(const struct search *s, const double *r, double *sum)
{
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t np = s->parent_start[i + 1] - s->parent_start[i];
		if (np == 1) {
			sum[i] = sum[s->parent[s->parent_start[i]]] + r[i];
			continue;
		}
		sum[i] = 0;
		const uint64_t *row = search_has(s, i);
		for (size_t w = 0; w < s->words; w++)
			for (uint64_t bits = row[w]; bits; bits &= bits - 1)
				sum[i] += r[w * 64 + (size_t)__builtin_ctzll(bits)];
	}
}

static void shares_inside(const struct search *s, uint32_t commit, double *inside)
{
	const uint64_t *row = search_has(s, commit);
	memset(inside, 0, s->n_cls * sizeof(*inside));
	for (size_t j = 0; j < s->n_hyp; j++) {
		uint32_t h = s->hyp[j];
		if (s->class_of[h] != SEARCH_NONE && search_bit(row, h))
			inside[s->class_of[h]] += s->prior[h] * exp(s->log_bayes[h]);
	}
	for (size_t k = 0; k < s->n_cls; k++)
		inside[k] = fmin(1, inside[k] / s->cls[k].prior);
}

static void consider_new(struct search *s, struct search_action *best, double *inside)
{
	double *r = x_calloc(2 * s->n, sizeof(*r)), *sum = r + s->n, total = 0;
	for (size_t j = 0; j < s->n_hyp; j++) {
		uint32_t h = s->hyp[j], k = s->class_of[h];
		if (k != SEARCH_NONE)
			total += r[h] = s->cls[k].posterior * s->prior[h] * exp(s->log_bayes[h]) / s->cls[k].prior;
	}
	sums_inside(s, r, sum);
	uint32_t list[SHORTLIST];
	double score[SHORTLIST];
	size_t n = 0;
	for (uint32_t i = 0; i < s->n; i++) {
		if (!s->in_range[i] || s->slot_of[i] != SEARCH_NONE || s->build[i] == SEARCH_BROKEN)
			continue;
		double split = sum[i] * (total - sum[i]) * (1 - s->break_p[i]);
		if (split <= 1e-9 || (n == SHORTLIST && split <= score[n - 1]))
			continue;
		size_t at = n < SHORTLIST ? n++ : n - 1;
		for (; at && score[at - 1] < split; at--) {
			score[at] = score[at - 1];
			list[at] = list[at - 1];
		}
		score[at] = split;
		list[at] = i;
	}
	free(r);
	struct part part[PARTS_MAX];
	for (size_t j = 0; j < n; j++) {
		uint32_t i = list[j];
		double works = 1 - s->break_p[i], build = s->build[i] == SEARCH_BUILT ? 0 : s->o.build_cost, last = 0;
		shares_inside(s, i, inside);
		for (double k = 1; k <= 64; k *= 2) {
			double bits = works * information(part, parts(s, i, inside, k, part)), cost = build + works * k;
			consider(best, i, bits, cost);
			if (bits / cost < last)
				break;
			last = bits / cost;
		}
	}
}

struct search_action search_choose(struct search *s)
{
	struct search_action best = { SEARCH_DONE, s->bad, 0, 1, 0 };
	double *inside = x_calloc(s->n_cls + 1, sizeof(*inside));
	consider_built(s, &best, inside);
	consider_new(s, &best, inside);
	free(inside);
	return best;
}
