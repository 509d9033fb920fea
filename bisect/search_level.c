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

/* Of two commits that were measured against the reference, and its sd. */
static double slot_difference(const struct search *s, uint32_t lo, uint32_t hi, double *sd)
{
	double a, b, before = search_own_level(s, lo, &a), after = search_own_level(s, hi, &b);
	*sd = sqrt(s->scale2 * (1 / a + 1 / b));
	return after - before;
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
	*d = slot_difference(s, s->good, s->bad, sd);
	return true;
}

/*
 * Of the segments that may differ by more than `limit`, the one of the widest interval, into *first
 * and *last; *most: the largest difference that any may have. Returns whether there is one.
 */
static bool segments(const struct search *s, double limit, uint32_t *first, uint32_t *last,
		     double *most)
{
	double widest = 0;
	*most = 0;
	for (size_t m = 0; m < s->n_slots; m++) {
		uint32_t lo = s->slot[m].commit, hi = lo;
		if (!search_plain(&s->slot[m]))
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
		double sd, d = slot_difference(s, lo, hi, &sd);
		*most = fmax(*most, fabs(d) + 1.645 * sd);
		if (fabs(d) + 1.645 * sd > limit && sd > widest) {
			widest = sd;
			*first = lo;
			*last = hi;
		}
	}
	return widest > 0;
}

bool search_open_segment(const struct search *s, uint32_t *first, uint32_t *last)
{
	double most;
	return segments(s, s->o.delta, first, last, &most);
}

double search_hidden(const struct search *s)
{
	uint32_t first, last;
	double most;
	segments(s, INFINITY, &first, &last, &most);
	return most > 0 ? most : INFINITY;
}

bool search_open_neighbours(const struct search *s, uint32_t *first, uint32_t *last)
{
	double widest = 0;
	for (size_t m = 0; m < s->n_slots; m++) {
		uint32_t hi = s->slot[m].commit, below = SEARCH_NONE;
		if (!search_plain(&s->slot[m]) || s->build[hi] == SEARCH_BROKEN)
			continue;
		for (size_t k = 0; k < s->n_slots; k++) {
			uint32_t lo = s->slot[k].commit;
			if (!search_plain(&s->slot[k]) || lo == hi ||
			    s->build[lo] == SEARCH_BROKEN || !within(s, lo, hi) ||
			    !same_steps(s, lo, hi))
				continue;
			if (below == SEARCH_NONE || ancestors(s, lo) > ancestors(s, below))
				below = lo;
		}
		if (below == SEARCH_NONE)
			continue;
		double sd, d = slot_difference(s, below, hi, &sd);
		if (fabs(d) + 1.645 * sd > s->o.delta && sd > widest) {
			widest = sd;
			*first = below;
			*last = hi;
		}
	}
	return widest > 0;
}
