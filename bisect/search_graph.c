/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/search_private.h"

#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void set_bit(uint64_t *row, size_t i)
{
	row[i >> 6] |= (uint64_t)1 << (i & 63);
}

static int check(const struct search_graph *g, struct error *e)
{
	if (g->n < 2 || g->good >= g->n || g->bad >= g->n || g->good == g->bad)
		return error_set(
			e, -EINVAL,
			"search: no commits between good and bad: give two different revisions");
	for (size_t i = 0; i < g->n; i++) {
		if (g->parent_start[i] > g->parent_start[i + 1])
			return error_set(e, -EINVAL,
					 "search: commit %zu has a negative number of parents", i);
		for (uint32_t k = g->parent_start[i]; k < g->parent_start[i + 1]; k++)
			if (g->parent[k] >= i)
				return error_set(e, -EINVAL,
						 "search: commit %zu comes before its parent %u", i,
						 g->parent[k]);
		if (g->weight && !(g->weight[i] >= 0 && isfinite(g->weight[i])))
			return error_set(
				e, -EINVAL,
				"search: prior weight of commit %zu is negative or not finite", i);
	}
	return 0;
}

static void copy_parents(struct search *s, const struct search_graph *g)
{
	size_t total = g->parent_start[g->n];
	s->parent_start = x_calloc(g->n + 1, sizeof(*s->parent_start));
	s->parent = x_calloc(total, sizeof(*s->parent));
	uint32_t at = 0;
	for (size_t i = 0; i < g->n; i++) {
		s->parent_start[i] = at;
		uint32_t end = g->parent_start[i + 1];
		if (g->first_parent && end > g->parent_start[i])
			end = g->parent_start[i] + 1;
		for (uint32_t k = g->parent_start[i]; k < end; k++)
			s->parent[at++] = g->parent[k];
	}
	s->parent_start[g->n] = at;
}

/* Marks i and its ancestors in mark. */
static void mark_ancestors(const struct search *s, uint32_t tip, bool *mark)
{
	mark[tip] = true;
	for (uint32_t i = tip + 1; i-- > 0;)
		if (mark[i])
			for (uint32_t k = s->parent_start[i]; k < s->parent_start[i + 1]; k++)
				mark[s->parent[k]] = true;
}

int search_graph_init(struct search *s, const struct search_graph *g, struct error *e)
{
	int rc = check(g, e);
	if (rc)
		return rc;
	size_t n = s->n = g->n;
	s->words = (n + 63) / 64;
	s->good = g->good;
	s->bad = g->bad;
	copy_parents(s, g);
	s->in_range = x_calloc(n, sizeof(*s->in_range));
	s->prior = x_calloc(n, sizeof(*s->prior));
	s->build = x_calloc(n, sizeof(*s->build));
	s->break_p = x_calloc(n, sizeof(*s->break_p));
	s->hyp = x_calloc(n, sizeof(*s->hyp));
	s->slot_of = x_calloc(n, sizeof(*s->slot_of));
	s->class_of = x_calloc(n, sizeof(*s->class_of));
	s->has = x_calloc(n * s->words, sizeof(*s->has));
	s->has_in = x_calloc(n * s->words, sizeof(*s->has_in));
	bool *old = x_calloc(n, sizeof(*old));
	mark_ancestors(s, s->bad, s->in_range);
	mark_ancestors(s, s->good, old);
	bool reachable = !old[s->bad];
	double sum = 0;
	for (uint32_t i = 0; i < n; i++) {
		s->slot_of[i] = s->class_of[i] = SEARCH_NONE;
		if (old[i])
			s->in_range[i] = false;
		if (!s->in_range[i])
			continue;
		double w = g->weight ? g->weight[i] : 1;
		if (w > 0)
			s->hyp[s->n_hyp++] = i;
		sum += s->prior[i] = w;
	}
	free(old);
	if (!reachable)
		return error_set(e, -EINVAL, "search: bad is an ancestor of good: swap them");
	if (!s->n_hyp)
		return error_set(e, -EINVAL,
				 "search: no commit between good and bad changes the subject: "
				 "nothing to search");
	for (size_t j = 0; j < s->n_hyp; j++)
		s->prior[s->hyp[j]] /= sum;
	for (uint32_t i = 0; i < n; i++) {
		if (!s->in_range[i])
			continue;
		uint64_t *row = s->has + (size_t)i * s->words;
		for (uint32_t k = s->parent_start[i]; k < s->parent_start[i + 1]; k++) {
			const uint64_t *p = search_has(s, s->parent[k]);
			for (size_t w = 0; w < s->words; w++)
				row[w] |= p[w];
		}
		if (s->prior[i] > 0)
			set_bit(row, i);
		for (size_t w = 0; w < s->words; w++)
			for (uint64_t bits = row[w]; bits; bits &= bits - 1)
				set_bit(s->has_in +
						(w * 64 + (size_t)__builtin_ctzll(bits)) * s->words,
					i);
	}
	s->in_range[s->good] = true;
	return 0;
}

/*
 * Broken commits come in runs: a commit `d` edges from a broken one, with no built one nearer, is
 * broken with 0.6^d above the overall rate (a Beta(0.5, 9.5) prior's mean). Distances are counted
 * over parents and children alike.
 */
void search_break(struct search *s)
{
	enum { REACH = 8 };
	uint8_t *broken = x_calloc(s->n, 1), *built = x_calloc(s->n, 1);
	size_t tried = 0, bad = 0;
	for (size_t i = 0; i < s->n; i++) {
		broken[i] = s->build[i] == SEARCH_BROKEN ? 0 : REACH;
		built[i] = s->build[i] == SEARCH_BUILT ? 0 : REACH;
		if (i != s->good && i != s->bad) {
			tried += s->build[i] != SEARCH_UNBUILT;
			bad += s->build[i] == SEARCH_BROKEN;
		}
	}
	for (int round = 0; bad && round < REACH; round++) {
		bool moved = false;
		for (uint32_t i = 0; i < s->n; i++) {
			for (uint32_t k = s->parent_start[i]; k < s->parent_start[i + 1]; k++) {
				uint32_t p = s->parent[k];
				for (uint8_t *d = broken;; d = built) {
					uint8_t lo = d[i] < d[p] ? d[i] : d[p];
					if (lo < REACH && d[i] > lo + 1)
						d[i] = (uint8_t)(lo + 1), moved = true;
					if (lo < REACH && d[p] > lo + 1)
						d[p] = (uint8_t)(lo + 1), moved = true;
					if (d == built)
						break;
				}
			}
		}
		if (!moved)
			break;
	}
	double rate = (0.5 + (double)bad) / (10 + (double)tried);
	for (size_t i = 0; i < s->n; i++) {
		double near = 0;
		if (broken[i] < REACH)
			near = pow(0.6, broken[i]) * (built[i] < broken[i] ? 0.3 : 1);
		s->break_p[i] = rate + (1 - rate) * near;
	}
	free(broken);
	free(built);
}

size_t search_atom(const struct search *s, uint32_t h, uint32_t *out)
{
	const uint64_t *mine = s->has_in + (size_t)h * s->words;
	size_t n = 0;
	for (size_t j = 0; j < s->n_hyp; j++) {
		uint32_t other = s->hyp[j];
		if (s->class_of[other] != s->class_of[h] || s->prior[other] <= 0)
			continue;
		const uint64_t *its = s->has_in + (size_t)other * s->words;
		bool same = true;
		for (size_t w = 0; same && w < s->words; w++)
			for (uint64_t bits = mine[w] ^ its[w]; bits; bits &= bits - 1)
				if (s->build[w * 64 + (size_t)__builtin_ctzll(bits)] !=
				    SEARCH_BROKEN) {
					same = false;
					break;
				}
		if (same)
			out[n++] = other;
	}
	return n;
}
