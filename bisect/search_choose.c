/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/search_private.h"

#include "base/buf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Unbuilt commits looked at in full: those that split the whole posterior best, and, where several
 * steps are in play, those that halve the most probable classes.
 */
enum { BEST_SPLITS = 2, HALVED_CLASSES = 3, PARTS_MAX = 192, GRID_MAX = 256 };
/* Repeats of a new build considered at most, and what each weighs against the build. */
enum { REPEATS_MAX = 16, REPEAT_WEIGHT = 2 };

/* A part of the posterior that predicts one normal for the next observation. */
struct part {
	double p, mean, var;
};

/*
 * Bits that y tells about which part is true: H(mixture) - Σ p H(part), by the trapezoid rule on a
 * grid of 0.6 of the least sd (for a normal's entropy its error is far below a thousandth), coarser
 * where the parts are far apart. On a uniform grid a normal's values follow by two multiplications
 * each, from its peak outwards.
 */
static double information(const struct part *part, size_t n)
{
	double lo = INFINITY, hi = -INFINITY, least = INFINITY, own = 0, f[GRID_MAX] = { 0 };
	for (size_t j = 0; j < n; j++) {
		double sd = sqrt(part[j].var);
		lo = fmin(lo, part[j].mean - 4.2 * sd);
		hi = fmax(hi, part[j].mean + 4.2 * sd);
		least = fmin(least, sd);
		own += part[j].p * log(sd);
	}
	int points = (int)fmin(GRID_MAX, (hi - lo) / (0.6 * least) + 2);
	double step = (hi - lo) / (double)(points - 1), h = 0, mass = 0;
	for (size_t j = 0; j < n; j++) {
		int at = (int)((part[j].mean - lo) / step + 0.5);
		double d = lo + at * step - part[j].mean, inv = 1 / part[j].var;
		double peak = part[j].p * sqrt(inv) * exp(-0.5 * d * d * inv),
		       q = exp(-step * step * inv), root = sqrt(q);
		double e = exp(-step * d * inv), up = e * root, down = root / e, v = peak;
		f[at] += v;
		for (int g = at + 1; g < points && v > 1e-12; g++) {
			f[g] += v *= up;
			up *= q;
		}
		v = peak;
		for (int g = at - 1; g >= 0 && v > 1e-12; g--) {
			f[g] += v *= down;
			down *= q;
		}
	}
	for (int g = 0; g < points; g++) {
		if (f[g] > 0) {
			h -= f[g] * log(f[g]);
			mass += f[g];
		}
	}
	/* Densities lack 1/√(2π) throughout; E[-log f] of one normal with that scale is log sd + ½.
	 */
	double bits = (h / mass - own - 0.5) / log(2);
	return bits > 0 ? bits : 0;
}

/*
 * Parts for the mean of k observations of `commit`. inside[c]: the share of class c's mass whose
 * step the commit has. without_none: information about the place alone, given that there is a step.
 */
static size_t parts(const struct search *s, uint32_t commit, const double *inside, double k,
		    bool without_none, struct part *part)
{
	size_t n = 0;
	double sum = 0, all = without_none ? fmax(1e-6, 1 - search_no_step(s)) : 1;
	/* A Student-t's tails as a normal of its variance. */
	double tails = s->dof > 4 ? s->dof / (s->dof - 2) : 2;
	for (size_t j = without_none; j < s->n_comp; j++) {
		const struct search_component *c = &s->comp[j];
		if (c->p < 1e-4 * all)
			continue;
		double fa = c->a != SEARCH_NONE ? inside[c->a] : 0,
		       fb = c->b != SEARCH_NONE ? inside[c->b] : 0;
		for (int bits = 0; bits < 4; bits++) {
			bool a = bits & 1, b = bits >> 1;
			double p = c->p * (a ? fa : 1 - fa) * (b ? fb : 1 - fb);
			if (p <= 1e-5 * all || n == PARTS_MAX)
				continue;
			part[n].p = p;
			search_predict(s, c, commit, a, b, k, &part[n].mean, &part[n].var);
			part[n++].var *= tails;
			sum += p;
		}
	}
	for (size_t j = 0; j < n; j++)
		part[j].p /= sum;
	return n;
}

/* One look for the best action. */
struct look {
	struct search *s;
	struct search_action best;
	double best_rate;
	bool without_none;
	double *inside;	 /* by class */
	double *r, *sum; /* by commit */
	struct part part[PARTS_MAX];
};

static double bits_of(struct look *k, uint32_t commit, double repeats)
{
	size_t n = parts(k->s, commit, k->inside, repeats, k->without_none, k->part);
	return n > 1 ? information(k->part, n) : 0;
}

static void consider(struct look *k, uint32_t commit, double bits, double cost, double weighed_cost)
{
	if (bits / weighed_cost > k->best_rate) {
		k->best_rate = bits / weighed_cost;
		k->best = (struct search_action){ .kind = SEARCH_MEASURE,
						  .commit = commit,
						  .beside = SEARCH_NONE,
						  .rounds = 1,
						  .bits = bits,
						  .cost = cost };
	}
}

/* Measured commits, ends among them: the classes lie wholly inside or outside. */
static void consider_measured(struct look *k)
{
	struct search *s = k->s;
	for (size_t m = 0; m < s->n_slots; m++) {
		uint32_t commit = s->slot[m].commit;
		if (s->build[commit] == SEARCH_BROKEN || !search_plain(&s->slot[m]))
			continue;
		for (size_t c = 0; c < s->n_cls; c++)
			k->inside[c] = search_bit(s->cls_after + c * s->slot_words, m);
		consider(k, commit, bits_of(k, commit, 1), 1, 1);
	}
}

/* Sum over H of r at each commit's row: along single parents by addition, else by the row. */
static void sums_inside(const struct search *s, const double *r, double *sum)
{
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t parents = s->parent_start[i + 1] - s->parent_start[i];
		if (parents == 1) {
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

/* Adds the up to `want` unmeasured commits that split total = sum of r best, likely broken ones
 * behind others. */
static void splits(struct look *k, double total, size_t want, uint32_t *list, size_t *n)
{
	struct search *s = k->s;
	double score[BEST_SPLITS];
	size_t from = *n;
	sums_inside(s, k->r, k->sum);
	for (uint32_t i = 0; i < s->n; i++) {
		if (!s->in_range[i] || s->slot_of[i] != SEARCH_NONE || s->build[i] == SEARCH_BROKEN)
			continue;
		double split = k->sum[i] * (total - k->sum[i]) * (1 - s->break_p[i]);
		size_t have = *n - from;
		if (split <= 1e-9 * total * total || (have == want && split <= score[have - 1]))
			continue;
		size_t at = have < want ? have : have - 1;
		*n += have < want;
		for (; at && score[at - 1] < split; at--) {
			score[at] = score[at - 1];
			list[from + at] = list[from + at - 1];
		}
		score[at] = split;
		list[from + at] = i;
	}
}

static size_t shortlist(struct look *k, uint32_t *list)
{
	struct search *s = k->s;
	size_t n = 0;
	double total = 0;
	for (size_t j = 0; j < s->n_hyp; j++) {
		uint32_t h = s->hyp[j], c = s->class_of[h];
		k->r[h] =
			c == SEARCH_NONE ? 0 : s->cls[c].posterior * s->prior[h] / s->cls[c].prior;
		total += k->r[h];
	}
	splits(k, total, BEST_SPLITS, list, &n);
	if (s->o.several <= 0)
		return n;
	double below = INFINITY;
	for (int turn = 0; turn < HALVED_CLASSES; turn++) {
		uint32_t next = SEARCH_NONE;
		for (uint32_t c = 0; c < s->n_cls; c++)
			if (s->cls[c].n > 1 && s->cls[c].posterior < below &&
			    (next == SEARCH_NONE || s->cls[c].posterior > s->cls[next].posterior))
				next = c;
		if (next == SEARCH_NONE || s->cls[next].posterior < 0.01)
			break;
		below = s->cls[next].posterior;
		for (size_t j = 0; j < s->n_hyp; j++)
			k->r[s->hyp[j]] = s->class_of[s->hyp[j]] == next ? s->prior[s->hyp[j]] : 0;
		splits(k, s->cls[next].prior, 1, list, &n);
	}
	return n;
}

static void shares_inside(struct look *k, uint32_t commit)
{
	struct search *s = k->s;
	const uint64_t *row = search_has(s, commit);
	memset(k->inside, 0, s->n_cls * sizeof(*k->inside));
	for (size_t j = 0; j < s->n_hyp; j++) {
		uint32_t h = s->hyp[j];
		if (s->class_of[h] != SEARCH_NONE && search_bit(row, h))
			k->inside[s->class_of[h]] += s->prior[h];
	}
	for (size_t c = 0; c < s->n_cls; c++)
		k->inside[c] = fmin(1, k->inside[c] / s->cls[c].prior);
}

/*
 * A build that turns out on the wrong side is wasted, and at low signal to noise the measurements
 * that make sure are cheap beside those that follow: builds then wait longer, by the 1/SNR² that
 * the length of any test goes by. The weights are the flat optimum of simulations at signal to noise
 * 0.5, 1 and 2.
 */
static double patience(const struct search *s)
{
	return 0.5 + 0.8 / fmax(0.1, search_snr2(s));
}

static void consider_new(struct look *k)
{
	struct search *s = k->s;
	uint32_t list[BEST_SPLITS + HALVED_CLASSES];
	size_t n = shortlist(k, list);
	double wait = patience(s);
	for (size_t j = 0; j < n; j++) {
		uint32_t i = list[j];
		double works = 1 - s->break_p[i],
		       build = s->build[i] == SEARCH_BUILT ? 0 : s->o.build_cost, last = 0;
		shares_inside(k, i);
		for (double repeats = 1; repeats <= REPEATS_MAX; repeats *= 2) {
			double bits = works * bits_of(k, i, repeats),
			       cost = wait * build + works * REPEAT_WEIGHT * repeats;
			if (build == 0)
				cost = repeats;
			consider(k, i, bits, build + works * repeats, cost);
			if (bits / cost < last)
				break;
			last = bits / cost;
		}
	}
}

struct search_action search_choose(struct search *s, bool without_none, bool measured_only)
{
	struct look k = { .s = s,
			  .best = { .kind = SEARCH_DONE, .cost = 1 },
			  .without_none = without_none };
	k.inside = x_calloc(s->n_cls + 1, sizeof(*k.inside));
	k.r = x_calloc(2 * s->n, sizeof(*k.r));
	k.sum = k.r + s->n;
	consider_measured(&k);
	if (!measured_only)
		consider_new(&k);
	free(k.inside);
	free(k.r);
	return k.best;
}

uint32_t search_halve(struct search *s)
{
	struct look k = { .s = s };
	size_t tried = 0, n = 0;
	uint32_t best = SEARCH_NONE;
	bool *done = x_calloc(s->n_cls + 1, sizeof(*done));
	k.r = x_calloc(2 * s->n, sizeof(*k.r));
	k.sum = k.r + s->n;
	for (; !n && tried < s->n_cls; tried++) {
		uint32_t widest = SEARCH_NONE;
		for (uint32_t c = 0; c < s->n_cls; c++)
			if (!done[c] && (widest == SEARCH_NONE || s->cls[c].n > s->cls[widest].n))
				widest = c;
		if (s->cls[widest].n < 2)
			break;
		done[widest] = true;
		for (size_t j = 0; j < s->n_hyp; j++)
			k.r[s->hyp[j]] = s->class_of[s->hyp[j]] == widest ? 1 : 0;
		splits(&k, (double)s->cls[widest].n, 1, &best, &n);
	}
	free(done);
	free(k.r);
	return n ? best : SEARCH_NONE;
}
