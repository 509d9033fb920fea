/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/search_private.h"

#include "base/buf.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Width of the outliers' part of the mixture, in noise sds. */
static const double WIDE = 10;
/* Prior precision of what nothing is known of. */
static const double FLAT = 1e-9;
/*
 * Pairs of steps are looked for among this many classes at most: those most probable alone. Each
 * pair weighs every observation, so there are fewer of them, down to the least, where their product
 * would pass the work that a decision may take (some tens of milliseconds): a round of short runs
 * takes no longer.
 */
enum { PAIR_CLASSES = 40, PAIR_CLASSES_LEAST = 12, PAIR_WORK = 250000 };

static double noise_dof(const struct search *s)
{
	return s->o.noise_sd > 0 ? s->o.noise_dof : 0;
}

/* A class splits into those inside and outside the commit's row. Returns how many there are then.
 */
static size_t refine(struct search *s, uint32_t commit, size_t n, uint32_t *rename)
{
	const uint64_t *row = search_has(s, commit);
	uint32_t next = 0;
	memset(rename, 0xff, 2 * n * sizeof(*rename));
	for (size_t j = 0; j < s->n_hyp; j++) {
		uint32_t h = s->hyp[j];
		if (s->class_of[h] == SEARCH_NONE)
			continue;
		uint32_t *name = &rename[2 * s->class_of[h] + search_bit(row, h)];
		if (*name == SEARCH_NONE)
			*name = next++;
		s->class_of[h] = *name;
	}
	return next ? next : 1;
}

void search_classes(struct search *s)
{
	s->n_cls = 0;
	s->slot_words = (s->n_slots + 63) / 64;
	uint32_t *of = s->class_of;
	for (size_t j = 0; j < s->n_hyp; j++)
		of[s->hyp[j]] = s->prior[s->hyp[j]] > 0 ? 0 : SEARCH_NONE;
	size_t n = 1;
	uint32_t *rename = x_calloc(2 * s->n_hyp + 2, sizeof(*rename));
	for (size_t m = 0; m < s->n_slots; m++) {
		n = refine(s, s->slot[m].commit, n, rename);
		if (s->slot[m].beside != SEARCH_NONE)
			n = refine(s, s->slot[m].beside, n, rename);
	}
	free(rename);
	if (n > s->cap_cls) {
		s->cap_cls = 2 * n;
		s->cls = x_realloc(s->cls, s->cap_cls, sizeof(*s->cls));
	}
	memset(s->cls, 0, n * sizeof(*s->cls));
	s->n_cls = n;
	size_t bits = n * s->slot_words;
	if (bits > s->cap_after) {
		s->cap_after = 2 * bits;
		s->cls_after = x_realloc(s->cls_after, s->cap_after, sizeof(*s->cls_after));
		s->cls_before = x_realloc(s->cls_before, s->cap_after, sizeof(*s->cls_before));
	}
	if (bits) {
		memset(s->cls_after, 0, bits * sizeof(*s->cls_after));
		memset(s->cls_before, 0, bits * sizeof(*s->cls_before));
	}
	for (size_t j = 0; j < s->n_hyp; j++) {
		uint32_t h = s->hyp[j];
		if (of[h] == SEARCH_NONE)
			continue;
		struct search_class *c = &s->cls[of[h]];
		c->prior += s->prior[h];
		if (!c->n++)
			c->first = h;
	}
	for (size_t k = 0; k < n; k++) {
		s->cls[k].log_prior = log(s->cls[k].prior);
		for (size_t m = 0; m < s->n_slots; m++) {
			size_t word = k * s->slot_words + m / 64;
			uint64_t bit = (uint64_t)1 << (m & 63);
			uint32_t beside = s->slot[m].beside, h = s->cls[k].first;
			if (search_bit(search_has(s, s->slot[m].commit), h))
				s->cls_after[word] |= bit;
			if (beside != SEARCH_NONE && search_bit(search_has(s, beside), h))
				s->cls_before[word] |= bit;
		}
	}
}

static double layout_ratio(const struct search *s)
{
	return s->o.layout == SEARCH_LAYOUT_FIXED && s->scale2 > 0
		       ? s->o.layout_sd * s->o.layout_sd / s->scale2
		       : 0;
}

/* A pair of builds has two offsets. */
static double slot_offsets(const struct search *s, size_t m)
{
	return s->slot[m].beside == SEARCH_NONE ? 1 : 2;
}

/* The slot's sums over its observations with weights 1 - outlier[j] (1 - 1 / WIDE^2), outlier by
 * observation. */
static void slot_sum(const struct search *s, size_t m, const double *outlier, struct search_sum *t)
{
	*t = (struct search_sum){ 0 };
	for (uint32_t j = s->slot[m].first; j != SEARCH_NONE; j = s->obs[j].next) {
		double y = s->obs[j].y, w = 1 - outlier[j] * (1 - 1 / (WIDE * WIDE)),
		       d = y - t->mean;
		t->weight += w;
		t->mean += d * w / t->weight;
		t->ss += w * d * (y - t->mean);
	}
	t->precision = t->weight / (1 + slot_offsets(s, m) * layout_ratio(s) * t->weight);
}

/*
 * The design of a commit against a reference, or `beside` another: levels, accepted steps, the
 * component's own. Two commits side by side have no level between them.
 */
static void design(const struct search *s, uint32_t commit, uint32_t beside, uint32_t level,
		   int bit_a, int bit_b, const struct search_component *c, double *x)
{
	bool pair = beside != SEARCH_NONE;
	const uint64_t *row = search_has(s, commit), *other = pair ? search_has(s, beside) : NULL;
	size_t k = 0;
	for (uint32_t l = 0; l < s->n_levels; l++)
		x[k++] = !pair && l == level;
	for (size_t j = 0; j < s->n_accepted; j++) {
		uint32_t step = s->accepted[j].commit;
		x[k++] = search_bit(row, step) - (pair && search_bit(other, step));
	}
	if (c->a != SEARCH_NONE)
		x[k++] = bit_a;
	if (c->b != SEARCH_NONE)
		x[k++] = bit_b;
	assert(k == c->columns);
}

/* How often slot m has the step of a class: -1 where only what it was measured beside has. */
static int slot_bit(const struct search *s, uint32_t cls, size_t m)
{
	if (cls == SEARCH_NONE)
		return 0;
	return search_bit(s->cls_after + cls * s->slot_words, m) -
	       search_bit(s->cls_before + cls * s->slot_words, m);
}

static void slot_design(const struct search *s, const struct search_component *c, size_t m,
			double *x)
{
	const struct search_slot *t = &s->slot[m];
	design(s, t->commit, t->beside, t->level, slot_bit(s, c->a, m), slot_bit(s, c->b, m), c, x);
}

/* Prior precision of a column, in units of 1 / noise variance: of a level that nothing is known of,
 * next to none. */
static double prior_precision(const struct search *s, size_t column)
{
	if (column >= s->n_levels)
		return s->shrink;
	return column ? FLAT : s->level;
}

/*
 * Evidence of one component for given weights, up to a factor common to all: with Λ the prior
 * precision (next to 0 for levels, `shrink` for steps) |Λ|^½ |X'WX + Λ|^-½ (ν₀ s₀² + y'Wy - b'(X'WX +
 * Λ)^-1 b)^-(ν₀+n)/2,  b = X'Wy.
 */
static double fit(const struct search *s, struct search_component *c, const struct search_sum *sum)
{
	double x[SEARCH_COLUMNS],
		a[SEARCH_COLUMNS * (SEARCH_COLUMNS + 1) / 2] = { 0 }, b[SEARCH_COLUMNS] = { 0 };
	double yy = 0, log_det = 0, fitted = 0;
	size_t p = c->columns;
	for (size_t m = 0; m < s->n_slots; m++) {
		const struct search_sum *t = &sum[m];
		slot_design(s, c, m, x);
		yy += t->ss + t->precision * t->mean * t->mean;
		double *at = a;
		for (size_t i = 0; i < p; i++) {
			double wx = t->precision * x[i];
			b[i] += wx * t->mean;
			for (size_t j = 0; j <= i; j++)
				*at++ += wx * x[j];
		}
	}
	double *l = c->l, *row = l;
	for (size_t i = 0; i < p; i++) {
		const double *ai = a + i * (i + 1) / 2;
		const double *other = l;
		for (size_t j = 0; j <= i; j++) {
			double v = ai[j];
			if (i == j)
				v += prior_precision(s, i);
			for (size_t k = 0; k < j; k++)
				v -= row[k] * other[k];
			row[j] = i == j ? sqrt(v) : v / other[j];
			other += j + 1;
		}
		log_det += log(row[i]);
		double v = b[i];
		for (size_t k = 0; k < i; k++)
			v -= row[k] * c->z[k];
		c->z[i] = v / row[i];
		fitted += c->z[i] * c->z[i];
		row += i + 1;
	}
	double rss = noise_dof(s) * s->o.noise_sd * s->o.noise_sd + fmax(yy - fitted, 1e-12 * yy);
	c->scale2 = rss / s->dof;
	return 0.5 * (double)(p - s->n_levels) * log(s->shrink) - log_det - 0.5 * s->dof * log(rss);
}

/*
 * Mean and variance (in noise variances, without the noise's own) of what a design row tells.
 * ratio: of the offsets' variance to the noise's; seen: observations with the same offsets, NULL
 * for none.
 */
static void row_level(const struct search_component *c, const double *x, double ratio,
		      const struct search_sum *seen, double *mean, double *lever)
{
	double w[SEARCH_COLUMNS], m = 0, var = 0;
	const double *row = c->l;
	for (size_t i = 0; i < c->columns; i++) {
		double u = x[i];
		for (size_t j = 0; j < i; j++)
			u -= row[j] * w[j];
		w[i] = u / row[i];
		m += w[i] * c->z[i];
		var += w[i] * w[i];
		row += i + 1;
	}
	double offset = ratio;
	if (ratio > 0 && seen) {
		/* The offset given the slot's mean: a normal mean with known prior. */
		double share = ratio * seen->weight / (1 + ratio * seen->weight);
		m += share * (seen->mean - m);
		var *= (1 - share) * (1 - share);
		offset = ratio / (1 + ratio * seen->weight);
	}
	*mean = m;
	*lever = var + offset;
}

/* Mean and variance (in noise variances) of a slot's own level, its layout offset included. */
static void slot_level(const struct search *s, const struct search_component *c,
		       const struct search_sum *sum, size_t m, double *mean, double *lever)
{
	double x[SEARCH_COLUMNS];
	slot_design(s, c, m, x);
	row_level(c, x, slot_offsets(s, m) * layout_ratio(s), &sum[m], mean, lever);
}

/*
 * One pass of the mixture's E step under a component: outlier[j] for all observations beyond 2.2 sd
 * of their level, by the slots' sums as they were. The expected squared residual counts the level's
 * own uncertainty. Returns the
 * bound's share of the mixture, Σ p log(ε / (WIDE p)) + (1 - p) log((1 - ε) / (1 - p)) less n log(1
 * - ε), and in *moved the sum of changes.
 */
static double weigh(const struct search *s, const struct search_component *c,
		    const struct search_sum *sum, double *outlier, double *moved)
{
	double share = 0, rate = s->outlier_rate, sd = sqrt(c->scale2);
	*moved = 0;
	for (size_t m = 0; m < s->n_slots; m++) {
		const struct search_slot *t = &s->slot[m];
		double mean, lever;
		slot_level(s, c, sum, m, &mean, &lever);
		bool clean = mean - t->least < 2.2 * sd && t->most - mean < 2.2 * sd;
		for (uint32_t j = t->first; j != SEARCH_NONE; j = s->obs[j].next) {
			double p = 0, d2 = (s->obs[j].y - mean) * (s->obs[j].y - mean) / c->scale2;
			if (!clean && d2 > 2.2 * 2.2) {
				d2 += lever;
				double narrow = (1 - rate) * exp(-0.5 * d2),
				       wide = rate / WIDE * exp(-0.5 * d2 / (WIDE * WIDE));
				p = wide / (wide + narrow + 1e-300);
				if (p > 1e-12)
					share += p * log(rate / (WIDE * p * (1 - rate)));
				if (p < 1 - 1e-12)
					share -= (1 - p) * log(1 - p);
			}
			*moved += fabs(p - outlier[j]);
			outlier[j] = p;
		}
	}
	return share;
}

/* Expectation and maximisation by turns from the given outliers. */
static double converge(const struct search *s, struct search_component *c, struct search_sum *sum,
		       double *outlier, bool fresh)
{
	double log_p = 0, share = 0, moved = 0;
	for (int round = 0; round < 5; round++) {
		if (fresh || round)
			for (size_t m = 0; m < s->n_slots; m++)
				slot_sum(s, m, outlier, &sum[m]);
		const struct search_sum *now = fresh || round ? sum : s->all;
		log_p = fit(s, c, now);
		if (s->o.outlier_rate <= 0)
			break;
		share = weigh(s, c, now, outlier, &moved);
		if (moved < 0.02)
			break;
	}
	return log_p + share;
}

/*
 * A component's evidence, a variational bound over which observations are outliers (Bishop, Pattern
 * Recognition and Machine Learning, chapter 10). While there are few observations one outlier
 * widens the noise enough to hide in it, so a second start takes the farthest one out.
 */
static double evidence(struct search *s, struct search_component *c)
{
	c->columns = (uint32_t)(s->n_levels + s->n_accepted + (c->a != SEARCH_NONE) +
				(c->b != SEARCH_NONE));
	double *outlier = s->scratch;
	memset(outlier, 0, s->n_obs * sizeof(*outlier));
	double best = converge(s, c, s->sum, outlier, false);
	if (s->n_obs > 24 || s->o.outlier_rate <= 0 || s->n_obs < 5)
		return best;
	double far = 1.5 * 1.5 * c->scale2;
	uint32_t at = SEARCH_NONE;
	for (size_t m = 0; m < s->n_slots; m++) {
		double mean, lever;
		slot_level(s, c, s->all, m, &mean, &lever);
		for (uint32_t j = s->slot[m].first; j != SEARCH_NONE; j = s->obs[j].next) {
			double d = s->obs[j].y - mean;
			if (d * d > far && outlier[j] < 0.5) {
				far = d * d;
				at = j;
			}
		}
	}
	if (at == SEARCH_NONE)
		return best;
	struct search_component other = *c;
	outlier[at] = 1;
	double second = converge(s, &other, s->sum, outlier, true);
	if (second <= best)
		return best;
	*c = other;
	return second;
}

static struct search_component *add(struct search *s, uint32_t a, uint32_t b, double log_prior)
{
	x_grow(s->comp, s->n_comp, s->cap_comp);
	struct search_component *c = &s->comp[s->n_comp++];
	c->a = a;
	c->b = b;
	c->log_p = log_prior + evidence(s, c);
	return c;
}

static int by_falling_log_p(const void *x, const void *y)
{
	const struct search_component *a = x, *b = y;
	return a->log_p < b->log_p ? 1 : a->log_p > b->log_p ? -1 : a->a < b->a ? -1 : a->a > b->a;
}

static void add_pairs(struct search *s, double log_scale)
{
	size_t singles = s->n_comp - 1;
	double most = fmin(PAIR_CLASSES, fmax(PAIR_CLASSES_LEAST, sqrt(2.0 * PAIR_WORK / (double)s->n_obs)));
	size_t n = singles < (size_t)most ? singles : (size_t)most;
	uint32_t some[PAIR_CLASSES];
	if (singles > n)
		qsort(s->comp + 1, singles, sizeof(*s->comp), by_falling_log_p);
	for (size_t j = 0; j < n; j++)
		some[j] = s->comp[1 + j].a;
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			add(s, some[i], some[j],
			    log_scale + s->cls[some[i]].log_prior + s->cls[some[j]].log_prior);
}

static void normalise(struct search *s)
{
	double max = -INFINITY, sum = 0;
	for (size_t j = 0; j < s->n_comp; j++)
		max = fmax(max, s->comp[j].log_p);
	for (size_t j = 0; j < s->n_comp; j++)
		sum += s->comp[j].p = exp(s->comp[j].log_p - max);
	s->scale2 = 0;
	for (size_t k = 0; k < s->n_cls; k++)
		s->cls[k].posterior = 0;
	for (size_t j = 0; j < s->n_comp; j++) {
		struct search_component *c = &s->comp[j];
		c->p /= sum;
		s->scale2 += c->p * c->scale2;
		if (c->a != SEARCH_NONE)
			s->cls[c->a].posterior += c->p;
		if (c->b != SEARCH_NONE)
			s->cls[c->b].posterior += c->p;
	}
}

/*
 * Steps are expected to be of the size that the ends show, and of three noise sds at least: one
 * prior for all hypotheses, so that it says nothing about the place.
 */
static void learn_shrink(struct search *s)
{
	double d, sd, noise2 = s->scale2 > 0 ? s->scale2 : s->o.noise_sd * s->o.noise_sd;
	s->level = s->o.level_sd > 0 && noise2 > 0 ? noise2 / (s->o.level_sd * s->o.level_sd) : FLAT;
	s->shrink = 1.0 / 9;
	if (s->scale2 > 0 && search_ends(s, &d, &sd))
		s->shrink = 1 / (9 + d * d / s->scale2);
}

static void components(struct search *s)
{
	for (size_t j = 0; j < s->n_obs; j++)
		s->scratch[j] = 0;
	for (size_t m = 0; m < s->n_slots; m++)
		slot_sum(s, m, s->scratch, &s->all[m]);
	learn_shrink(s);
	/* A flat level takes one observation. */
	s->dof = noise_dof(s) + (double)(s->n_obs - s->n_levels + (s->level > 1));
	s->n_comp = 0;
	/* A further step is as likely as `several` says, once one has been accepted. */
	double none = s->n_accepted ? 1 - s->o.several : s->o.no_step;
	double several =
		s->o.max_steps == 1 || s->n_accepted + 2 > SEARCH_STEPS_MAX ? 0 : s->o.several;
	bool full = s->n_accepted && s->n_accepted == s->o.max_steps;
	add(s, SEARCH_NONE, SEARCH_NONE, full ? 0 : log(none));
	if (!full && s->n_accepted < SEARCH_STEPS_MAX) {
		for (uint32_t k = 0; k < s->n_cls; k++)
			add(s, k, SEARCH_NONE,
			    log((1 - none) * (1 - several)) + s->cls[k].log_prior);
		if (several > 0)
			add_pairs(s, log((1 - none) * several * 2));
	}
	normalise(s);
}

/* Outliers under the whole posterior, and the slots' sums by them; the rate is learnt, its prior
 * worth 100 observations. */
static void mix(struct search *s)
{
	double *one = s->scratch, sum = 0;
	for (size_t j = 0; j < s->n_obs; j++)
		s->obs[j].outlier = 0;
	for (size_t k = 0; s->o.outlier_rate > 0 && k < s->n_comp; k++) {
		struct search_component c = s->comp[k];
		if (c.p < 0.02)
			continue;
		evidence(s, &c);
		for (size_t j = 0; j < s->n_obs; j++)
			s->obs[j].outlier += c.p * one[j];
	}
	for (size_t j = 0; j < s->n_obs; j++)
		sum += one[j] = s->obs[j].outlier;
	for (size_t m = 0; m < s->n_slots; m++)
		slot_sum(s, m, one, &s->slot[m].sum);
	s->outlier_rate = (100 * s->o.outlier_rate + sum) / (100 + (double)s->n_obs);
}

void search_predict(const struct search *s, const struct search_component *c, uint32_t commit,
		    bool bit_a, bool bit_b, double k, double *mean, double *var)
{
	double x[SEARCH_COLUMNS], lever;
	design(s, commit, SEARCH_NONE, 0, bit_a, bit_b, c, x);
	uint32_t slot = s->slot_of[commit];
	row_level(c, x, layout_ratio(s), slot == SEARCH_NONE ? NULL : &s->slot[slot].sum, mean,
		  &lever);
	*var = c->scale2 * (1 / k + lever);
}

/*
 * Every commit measured is on one side or the other, so each hypothesis knows its step much better
 * than the ends alone do. The square of an estimate is too large by its variance.
 */
double search_snr2(const struct search *s)
{
	double sum = 0, total = 0;
	for (size_t j = 1; j < s->n_comp; j++) {
		const struct search_component *c = &s->comp[j];
		/* The step's column is the last: estimate z / l, variance scale2 / l^2. */
		size_t k = c->columns - 1;
		double z = c->z[k], l = c->l[k * (k + 1) / 2 + k];
		sum += c->p * (z * z / c->scale2 - 1) / (l * l);
		total += c->p;
	}
	return total > 0 ? sum / total : 0;
}

void search_posterior_update(struct search *s)
{
	if (!s->n_obs)
		return;
	s->scratch = x_realloc(s->scratch, s->n_obs, sizeof(*s->scratch));
	s->sum = x_realloc(s->sum, s->n_slots, sizeof(*s->sum));
	s->all = x_realloc(s->all, s->n_slots, sizeof(*s->all));
	if (s->n_obs <= s->n_levels) {
		s->n_comp = 0;
		s->scale2 = 0;
		memset(s->scratch, 0, s->n_obs * sizeof(*s->scratch));
		for (size_t m = 0; m < s->n_slots; m++)
			slot_sum(s, m, s->scratch, &s->slot[m].sum);
		s->outlier_rate = s->o.outlier_rate;
		return;
	}
	/* The layout's share, and the steps' prior, take the noise of the round before. */
	for (int round = 0; round < 3; round++) {
		double last = s->scale2;
		components(s);
		mix(s);
		if (s->o.layout != SEARCH_LAYOUT_FIXED ||
		    fabs(s->scale2 - last) <= 0.02 * s->scale2)
			break;
	}
}
