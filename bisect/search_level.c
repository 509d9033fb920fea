/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/search_private.h"

#include <math.h>

static size_t ancestors(const struct search *s, uint32_t commit)
{
	size_t n = 0;
	for (size_t w = 0; w < s->words; w++)
		n += (size_t)__builtin_popcountll(search_has(s, commit)[w]);
	return n;
}

/* Is lo an ancestor of hi? The good end is one of all. */
static bool within(const struct search *s, uint32_t lo, uint32_t hi)
{
	const uint64_t *a = search_has(s, lo), *b = search_has(s, hi);
	for (size_t w = 0; w < s->words; w++)
		if (a[w] & ~b[w])
			return false;
	return true;
}

double search_own_level(const struct search *s, uint32_t commit, double *precision)
{
	const struct search_sum *t = &s->slot[s->slot_of[commit]].sum;
	double known = commit == s->good ? s->level : 0;
	*precision = t->precision + known;
	return t->mean * t->precision / *precision;
}

/* Adds what rounds of hi beside lo tell of their difference: a sum of precisions and one weighed by
 * them. */
static void add_beside(const struct search *s, uint32_t lo, uint32_t hi, double *precision,
		       double *sum)
{
	for (size_t m = 0; m < s->n_slots; m++) {
		const struct search_slot *t = &s->slot[m];
		bool same = t->commit == hi && t->beside == lo,
		     turned = t->commit == lo && t->beside == hi;
		/* A slot that is new has no sums before the next posterior. */
		if ((!same && !turned) || !(t->sum.precision > 0))
			continue;
		*precision += t->sum.precision;
		*sum += t->sum.precision * (same ? t->sum.mean : -t->sum.mean);
	}
}

/* Of two commits that were measured against the reference, maybe side by side as well. */
static struct search_pair pair_of(const struct search *s, uint32_t lo, uint32_t hi)
{
	double a, b, before = search_own_level(s, lo, &a), after = search_own_level(s, hi, &b);
	double precision = 1 / (1 / a + 1 / b), sum = precision * (after - before);
	add_beside(s, lo, hi, &precision, &sum);
	return (struct search_pair){ lo, hi, sum / precision, sqrt(s->scale2 / precision) };
}

static double at_most(const struct search_pair *p)
{
	return fabs(p->d) + 1.645 * p->sd;
}

static bool same_steps(const struct search *s, uint32_t a, uint32_t b)
{
	for (size_t j = 0; j < s->n_accepted; j++)
		if (search_bit(search_has(s, a), s->accepted[j].commit) !=
		    search_bit(search_has(s, b), s->accepted[j].commit))
			return false;
	return true;
}

bool search_ends(const struct search *s, double *d, double *sd)
{
	uint32_t g = s->slot_of[s->good], b = s->slot_of[s->bad];
	if (g == SEARCH_NONE || b == SEARCH_NONE || !s->n_comp)
		return false;
	/* A slot that is new has no sums before the next posterior. */
	if (!(s->slot[g].sum.precision > 0) || !(s->slot[b].sum.precision > 0))
		return false;
	struct search_pair p = pair_of(s, s->good, s->bad);
	*d = p.d;
	*sd = p.sd;
	return true;
}

double search_rounds_to_level(const struct search *s, const struct search_pair *p)
{
	double room = fmax(fmax(s->o.delta - fabs(p->d), s->o.delta / 5), 1e-6) / 1.645;
	return fmax(1, s->scale2 / (room * room) - s->scale2 / (p->sd * p->sd));
}

/* Suspects that stand between them. Neighbours that load the same code have none. */
static size_t suspects_between(const struct search *s, uint32_t lo, uint32_t hi)
{
	const uint64_t *a = search_has(s, lo), *b = search_has(s, hi);
	size_t n = 0;
	for (size_t w = 0; w < s->words; w++)
		for (uint64_t bits = b[w] & ~a[w]; bits; bits &= bits - 1)
			n += s->prior[w * 64 + (size_t)__builtin_ctzll(bits)] > 0;
	return n;
}

/*
 * The nearest measured commit before hi that has the same accepted steps, or SEARCH_NONE. One that
 * parts no suspect from hi stands beside it, not before.
 */
static uint32_t below(const struct search *s, uint32_t hi)
{
	uint32_t nearest = SEARCH_NONE;
	size_t most = 0, all = ancestors(s, hi);
	for (size_t k = 0; k < s->n_slots; k++) {
		uint32_t lo = s->slot[k].commit;
		size_t n = ancestors(s, lo);
		if (!search_plain(&s->slot[k]) || s->build[lo] == SEARCH_BROKEN || n >= all ||
		    !within(s, lo, hi) || !same_steps(s, lo, hi))
			continue;
		if (nearest == SEARCH_NONE || n > most) {
			nearest = lo;
			most = n;
		}
	}
	return nearest;
}

/* The same by the neighbours between them, where that is known better. */
static struct search_pair along(const struct search *s, uint32_t lo, uint32_t hi)
{
	struct search_pair direct = pair_of(s, lo, hi), sum = { .first = lo, .last = hi };
	double var = 0;
	for (uint32_t at = hi; at != lo;) {
		uint32_t before = below(s, at);
		if (before == SEARCH_NONE)
			return direct;
		struct search_pair p = pair_of(s, before, at);
		sum.d += p.d;
		var += p.sd * p.sd;
		at = before;
	}
	sum.sd = sqrt(var);
	return sum.sd < direct.sd ? sum : direct;
}

/* What a walk over pairs keeps: the largest difference that any may have, and of those above a
 * limit the one of the widest interval, and the rounds that they would take. */
struct widest {
	double limit, most, rounds;
	struct search_pair pair; /* sd 0: none yet */
};

static void look_at(struct widest *w, const struct search *s, const struct search_pair *p)
{
	w->most = fmax(w->most, at_most(p));
	if (at_most(p) <= w->limit)
		return;
	w->rounds += search_rounds_to_level(s, p);
	if (p->sd > w->pair.sd)
		w->pair = *p;
}

static void segments(const struct search *s, struct widest *w)
{
	for (size_t m = 0; m < s->n_slots; m++) {
		uint32_t lo = s->slot[m].commit, hi = lo;
		if (!search_plain(&s->slot[m]) || s->build[lo] == SEARCH_BROKEN)
			continue;
		for (size_t k = 0; k < s->n_slots; k++) {
			uint32_t other = s->slot[k].commit;
			if (!search_plain(&s->slot[k]) || s->build[other] == SEARCH_BROKEN ||
			    !same_steps(s, lo, other))
				continue;
			if (ancestors(s, other) < ancestors(s, lo))
				lo = other;
			if (ancestors(s, other) > ancestors(s, hi))
				hi = other;
		}
		if (lo == hi || s->slot[m].commit != lo)
			continue;
		struct search_pair p = s->o.staircase ? along(s, lo, hi) : pair_of(s, lo, hi);
		look_at(w, s, &p);
	}
}

static void neighbours(const struct search *s, struct widest *w)
{
	for (size_t m = 0; m < s->n_slots; m++) {
		uint32_t hi = s->slot[m].commit;
		if (!search_plain(&s->slot[m]) || s->build[hi] == SEARCH_BROKEN)
			continue;
		uint32_t lo = below(s, hi);
		if (lo == SEARCH_NONE || !suspects_between(s, lo, hi))
			continue;
		struct search_pair p = pair_of(s, lo, hi);
		look_at(w, s, &p);
	}
}

bool search_alone(const struct search *s, uint32_t suspect, struct search_pair *pair)
{
	uint32_t slot = s->slot_of[suspect];
	if (slot == SEARCH_NONE || s->build[suspect] == SEARCH_BROKEN)
		return false;
	uint32_t lo = below(s, suspect);
	if (lo == SEARCH_NONE || suspects_between(s, lo, suspect) != 1)
		return false;
	*pair = pair_of(s, lo, suspect);
	return true;
}

static bool any_open(const struct search *s,
		     void (*walk)(const struct search *s, struct widest *w),
		     struct search_pair *open, double *rounds)
{
	struct widest w = { .limit = s->o.delta };
	walk(s, &w);
	*open = w.pair;
	*rounds = w.rounds;
	return w.pair.sd > 0;
}

bool search_open_segment(const struct search *s, struct search_pair *open, double *rounds)
{
	return any_open(s, segments, open, rounds);
}

bool search_open_neighbours(const struct search *s, struct search_pair *open, double *rounds)
{
	return any_open(s, neighbours, open, rounds);
}

double search_hidden(const struct search *s)
{
	struct widest w = { .limit = INFINITY };
	(s->o.staircase ? neighbours : segments)(s, &w);
	return w.most > 0 ? w.most : INFINITY;
}
