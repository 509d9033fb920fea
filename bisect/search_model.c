/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/search_private.h"

#include "base/buf.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Width of the outliers' part of the mixture, in noise sds. */
static const double WIDE = 10;
/* Pairs of steps are looked for among this many classes at most: those most probable alone. */
enum { PAIR_CLASSES = 40 };

void search_classes(struct search *s)
{
	s->n_cls = 0;
	s->slot_words = (s->n_slots + 63) / 64;
	uint32_t *of = s->class_of;
	/* Refine slot by slot: a class splits into those inside and outside the slot's row. */
	for (size_t j = 0; j < s->n_hyp; j++)
		of[s->hyp[j]] = s->prior[s->hyp[j]] > 0 ? 0 : SEARCH_NONE;
	size_t n = 1;
	uint32_t *rename = x_calloc(2 * s->n_hyp + 2, sizeof(*rename));
	for (size_t m = 0; m < s->n_slots; m++) {
		const uint64_t *row = search_has(s, s->slot[m].commit);
		memset(rename, 0xff, 2 * n * sizeof(*rename));
		uint32_t next = 0;
		for (size_t j = 0; j < s->n_hyp; j++) {
			uint32_t h = s->hyp[j];
			if (of[h] == SEARCH_NONE)
				continue;
			uint32_t *name = &rename[2 * of[h] + search_bit(row, h)];
			if (*name == SEARCH_NONE)
				*name = next++;
			of[h] = *name;
		}
		n = next;
	}
	free(rename);
	if (n > s->cap_cls) {
		s->cap_cls = 2 * n;
		s->cls = x_realloc(s->cls, s->cap_cls, sizeof(*s->cls));
	}
	memset(s->cls, 0, n * sizeof(*s->cls));
	s->n_cls = n;
	if (n * s->slot_words > s->cap_after) {
		s->cap_after = 2 * n * s->slot_words;
		s->cls_after = x_realloc(s->cls_after, s->cap_after, sizeof(*s->cls_after));
	}
	memset(s->cls_after, 0, n * s->slot_words * sizeof(*s->cls_after));
	for (size_t j = 0; j < s->n_hyp; j++) {
		uint32_t h = s->hyp[j];
		if (of[h] == SEARCH_NONE)
			continue;
		struct search_class *c = &s->cls[of[h]];
		c->prior += s->prior[h] * exp(s->log_bayes[h]);
		if (!c->n++)
			c->first = h;
	}
	for (size_t k = 0; k < n; k++) {
		s->cls[k].log_prior = log(s->cls[k].prior);
		for (size_t m = 0; m < s->n_slots; m++)
			if (search_bit(search_has(s, s->slot[m].commit), s->cls[k].first))
				s->cls_after[k * s->slot_words + m / 64] |= (uint64_t)1 << (m & 63);
	}
}

static double noise_dof(const struct search *s)
{
	return s->o.noise_sd > 0 ? s->o.noise_dof : 0;
}

/* Per-slot sums from the observations' weights. */
static void slot_sums(struct search *s)
{
	for (size_t m = 0; m < s->n_slots; m++)
		s->slot[m].weight = s->slot[m].mean = s->slot[m].ss = 0;
	for (size_t j = 0; j < s->n_obs; j++) {
		const struct search_obs *o = &s->obs[j];
		struct search_slot *t = &s->slot[o->slot];
		double w = 1 - o->outlier * (1 - 1 / (WIDE * WIDE));
		t->weight += w;
		double d = o->y - t->mean;
		t->mean += d * w / t->weight;
		t->ss += w * d * (o->y - t->mean);
	}
	double ratio = s->o.layout == SEARCH_LAYOUT_FIXED && s->scale2 > 0 ? s->o.layout_sd * s->o.layout_sd / s->scale2 : 0;
	for (size_t m = 0; m < s->n_slots; m++)
		s->slot[m].precision = s->slot[m].weight / (1 + ratio * s->slot[m].weight);
}

/* Row `m`'s design under a component: level, accepted steps, the component's own. */
static void design(const struct search *s, uint32_t commit, bool bit_a, bool bit_b, const struct search_component *c, double *x)
{
	const uint64_t *row = search_has(s, commit);
	size_t k = 0;
	x[k++] = 1;
	for (size_t j = 0; j < s->n_accepted; j++)
		x[k++] = search_bit(row, s->accepted[j].commit);
	if (c->a != SEARCH_NONE)
		x[k++] = bit_a;
	if (c->b != SEARCH_NONE)
		x[k++] = bit_b;
	assert(k == c->columns);
}

/*
 * Evidence of one component, up to a factor common to all: with Λ the prior precision (0 for the level, `shrink` for steps)
 *	|Λ|^½ |X'WX + Λ|^-½ (ν₀ s₀² + y'Wy - b'(X'WX + Λ)^-1 b)^-(ν₀+n)/2,  b = X'Wy.
 */
static double evidence(const struct search *s, struct search_component *c, double yy, double dof)
{
	double x[SEARCH_COLUMNS], a[SEARCH_COLUMNS * (SEARCH_COLUMNS + 1) / 2] = { 0 }, b[SEARCH_COLUMNS] = { 0 };
	size_t p = c->columns = (uint32_t)(1 + s->n_accepted + (c->a != SEARCH_NONE) + (c->b != SEARCH_NONE));
	const uint64_t *after_a = c->a != SEARCH_NONE ? s->cls_after + c->a * s->slot_words : NULL;
	const uint64_t *after_b = c->b != SEARCH_NONE ? s->cls_after + c->b * s->slot_words : NULL;
	for (size_t m = 0; m < s->n_slots; m++) {
		const struct search_slot *t = &s->slot[m];
		design(s, t->commit, after_a && search_bit(after_a, m), after_b && search_bit(after_b, m), c, x);
		double *at = a;
		for (size_t i = 0; i < p; i++) {
			double wx = t->precision * x[i];
			b[i] += wx * t->mean;
			for (size_t j = 0; j <= i; j++)
				*at++ += wx * x[j];
		}
	}
	double log_det = 0, fit = 0;
	double *l = c->l, *row = l;
	for (size_t i = 0; i < p; i++) {
		const double *ai = a + i * (i + 1) / 2;
		const double *other = l;
		for (size_t j = 0; j <= i; j++) {
			double v = ai[j];
			if (i == j)
				v += i ? s->shrink : 1e-9;
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
		fit += c->z[i] * c->z[i];
		row += i + 1;
	}
	double rss = noise_dof(s) * s->o.noise_sd * s->o.noise_sd + fmax(yy - fit, 1e-12 * yy);
	c->scale2 = rss / dof;
	return 0.5 * (double)(p - 1) * log(s->shrink) - log_det - 0.5 * dof * log(rss);
}

static struct search_component *add(struct search *s, uint32_t a, uint32_t b, double log_prior, double yy, double dof)
{
	x_grow(s->comp, s->n_comp, s->cap_comp);
	struct search_component *c = &s->comp[s->n_comp++];
	c->a = a;
	c->b = b;
	c->log_p = log_prior + evidence(s, c, yy, dof);
	return c;
}

static int by_falling_log_p(const void *x, const void *y)
{
	const struct search_component *a = x, *b = y;
	return a->log_p < b->log_p ? 1 : a->log_p > b->log_p ? -1 : a->a < b->a ? -1 : a->a > b->a;
}

static void add_pairs(struct search *s, double log_scale, double yy, double dof)
{
	size_t singles = s->n_comp - 1, n = singles < PAIR_CLASSES ? singles : PAIR_CLASSES;
	uint32_t some[PAIR_CLASSES];
	if (singles > PAIR_CLASSES)
		qsort(s->comp + 1, singles, sizeof(*s->comp), by_falling_log_p);
	for (size_t j = 0; j < n; j++)
		some[j] = s->comp[1 + j].a;
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			add(s, some[i], some[j], log_scale + s->cls[some[i]].log_prior + s->cls[some[j]].log_prior, yy, dof);
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
 * Steps are expected to be of the size that the ends show, and of two noise sds at least: one prior for all hypotheses, so
 * that it says nothing about the place.
 */
static void learn_shrink(struct search *s)
{
	uint32_t good = s->slot_of[s->good], bad = s->slot_of[s->bad];
	s->shrink = 0.25;
	if (good == SEARCH_NONE || bad == SEARCH_NONE || !(s->scale2 > 0))
		return;
	double d = s->slot[bad].mean - s->slot[good].mean;
	s->shrink = 1 / (4 + d * d / s->scale2);
}

static void components(struct search *s)
{
	double yy = 0, n = 0;
	slot_sums(s);
	learn_shrink(s);
	for (size_t m = 0; m < s->n_slots; m++)
		yy += s->slot[m].ss + s->slot[m].precision * s->slot[m].mean * s->slot[m].mean;
	for (size_t j = 0; j < s->n_obs; j++)
		n += 1 - s->obs[j].outlier;
	double dof = noise_dof(s) + fmax(n - 1, 1e-3);
	s->dof = dof;
	s->n_comp = 0;
	/* A further step is as likely as `several` says, once one has been accepted. */
	double none = s->n_accepted ? 1 - s->o.several : s->o.no_step;
	double several = s->o.max_steps == 1 || s->n_accepted + 2 > SEARCH_STEPS_MAX ? 0 : s->o.several;
	bool full = s->n_accepted && s->n_accepted == s->o.max_steps;
	add(s, SEARCH_NONE, SEARCH_NONE, full ? 0 : log(none), yy, dof);
	if (!full && s->n_accepted < SEARCH_STEPS_MAX) {
		for (uint32_t k = 0; k < s->n_cls; k++)
			add(s, k, SEARCH_NONE, log((1 - none) * (1 - several)) + s->cls[k].log_prior, yy, dof);
		if (several > 0)
			add_pairs(s, log((1 - none) * several * 2), yy, dof);
	}
	normalise(s);
}

void search_predict(const struct search *s, const struct search_component *c, uint32_t commit, bool bit_a, bool bit_b, double k,
		    double *mean, double *var)
{
	double x[SEARCH_COLUMNS], u, m = 0, lever = 0, w[SEARCH_COLUMNS];
	design(s, commit, bit_a, bit_b, c, x);
	const double *row = c->l;
	for (size_t i = 0; i < c->columns; i++) {
		u = x[i];
		for (size_t j = 0; j < i; j++)
			u -= row[j] * w[j];
		w[i] = u / row[i];
		m += w[i] * c->z[i];
		lever += w[i] * w[i];
		row += i + 1;
	}
	double scale2 = c->scale2;
	uint32_t slot = s->slot_of[commit];
	double ratio = s->o.layout == SEARCH_LAYOUT_FIXED && s->scale2 > 0 ? s->o.layout_sd * s->o.layout_sd / s->scale2 : 0;
	double offset = ratio;
	if (ratio > 0 && slot != SEARCH_NONE) {
		/* The offset given the slot's mean: a normal mean with known prior. */
		double seen = s->slot[slot].weight, share = ratio * seen / (1 + ratio * seen);
		m += share * (s->slot[slot].mean - m);
		lever *= (1 - share) * (1 - share);
		offset = ratio / (1 + ratio * seen);
	}
	*mean = m;
	*var = scale2 * (1 / k + offset + lever);
}

/* Probability that each observation is an outlier, under the mixture of all live components. Returns the largest change. */
static double weigh(struct search *s)
{
	double rate = s->o.outlier_rate, change = 0, sum = 0;
	if (rate <= 0)
		return 0;
	for (size_t j = 0; j < s->n_obs; j++)
		sum += s->obs[j].outlier;
	/* The rate is learnt: its prior is worth 20 observations. */
	rate = (20 * rate + sum) / (20 + (double)s->n_obs);
	for (size_t m = 0; m < s->n_slots; m++) {
		uint32_t commit = s->slot[m].commit;
		double lo = INFINITY, hi = -INFINITY, sd = sqrt(s->scale2);
		size_t live = 0;
		double mean[64], var[64], p[64];
		for (size_t j = 0; j < s->n_comp && live < 64; j++) {
			const struct search_component *c = &s->comp[j];
			if (c->p < 0.01)
				continue;
			bool a = c->a != SEARCH_NONE && search_bit(s->cls_after + c->a * s->slot_words, m);
			bool b = c->b != SEARCH_NONE && search_bit(s->cls_after + c->b * s->slot_words, m);
			search_predict(s, c, commit, a, b, 1, &mean[live], &var[live]);
			p[live] = c->p;
			lo = fmin(lo, mean[live] - 2.2 * sd);
			hi = fmax(hi, mean[live] + 2.2 * sd);
			live++;
		}
		for (size_t j = 0; j < s->n_obs; j++) {
			struct search_obs *o = &s->obs[j];
			if (o->slot != m)
				continue;
			double outlier = 0;
			if (o->y < lo || o->y > hi) {
				double narrow = 0, wide = 0;
				for (size_t k = 0; k < live; k++) {
					double d2 = (o->y - mean[k]) * (o->y - mean[k]) / var[k];
					narrow += p[k] * exp(-0.5 * d2);
					wide += p[k] * exp(-0.5 * d2 / (WIDE * WIDE)) / WIDE;
				}
				outlier = rate * wide / (rate * wide + (1 - rate) * narrow + 1e-300);
			}
			change = fmax(change, fabs(outlier - o->outlier));
			o->outlier = outlier;
		}
	}
	return change;
}

void search_posterior_update(struct search *s)
{
	if (s->n_obs < 2) {
		s->n_comp = 0;
		slot_sums(s);
		return;
	}
	components(s);
	double last = s->scale2;
	for (int round = 0; round < 4; round++) {
		double moved = weigh(s);
		bool layout = s->o.layout == SEARCH_LAYOUT_FIXED && fabs(s->scale2 - last) > 0.02 * last;
		if (moved < 0.02 && !layout)
			break;
		last = s->scale2;
		components(s);
	}
}
