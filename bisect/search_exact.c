/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/search_private.h"

#include "base/buf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Exact metrics. Each measured commit has a residual: its value less good's and less the sizes of
 * the steps found that it has. A residual of at most delta clears all the commit's ancestors; one
 * above accuses what its ancestors leave uncleared. The accused commit with the fewest suspects is
 * searched first, by halving them, so that a part of the sum of two steps becomes an accused commit
 * of its own. Suspects that no buildable commit parts are one step with a set.
 */
struct exact_step {
	uint32_t commit;
	double size;
	uint32_t *set;
	size_t n_set;
};

struct exact {
	const struct search *s;
	double *value; /* by commit, NAN where unmeasured */
	double *residual;
	uint64_t *clear, *suspects, *same; /* one row each; same: by search_same(), never changes */
	struct exact_step *steps;
	size_t n_steps, cap_steps;
	uint32_t next; /* SEARCH_NONE: done */
};

static size_t count(const uint64_t *row, size_t words)
{
	size_t n = 0;
	for (size_t w = 0; w < words; w++)
		n += (size_t)__builtin_popcountll(row[w]);
	return n;
}

static bool meets(const uint64_t *row, const struct exact_step *t)
{
	for (size_t j = 0; j < t->n_set; j++)
		if (!search_bit(row, t->set[j]))
			return false;
	return true;
}

/* Commits that turned out to load the same code as their parents. */
static void clear_same(const struct search *s, uint64_t *row)
{
	for (size_t j = 0; j < s->n_hyp; j++)
		if (s->prior[s->hyp[j]] <= 0)
			row[s->hyp[j] >> 6] |= (uint64_t)1 << (s->hyp[j] & 63);
}

static void residuals(struct exact *x)
{
	const struct search *s = x->s;
	memcpy(x->clear, x->same, s->words * sizeof(*x->clear));
	for (uint32_t i = 0; i < s->n; i++) {
		const uint64_t *row = search_has(s, i);
		x->residual[i] = x->value[i] - x->value[s->good];
		for (size_t j = 0; j < x->n_steps; j++)
			if (meets(row, &x->steps[j]))
				x->residual[i] -= x->steps[j].size;
		if (fabs(x->residual[i]) <= s->o.delta)
			for (size_t w = 0; w < s->words; w++)
				x->clear[w] |= row[w];
	}
	for (size_t j = 0; j < x->n_steps; j++)
		for (size_t k = 0; k < x->steps[j].n_set; k++)
			x->clear[x->steps[j].set[k] >> 6] |= (uint64_t)1
							     << (x->steps[j].set[k] & 63);
}

/*
 * Who may have made commit i's residual, into row. Where steps cancel, a later commit without a
 * residual clears them all, though i stands accused: then only what i's own ancestors clear counts.
 */
static size_t suspects_of(const struct exact *x, uint32_t i, uint64_t *row)
{
	const struct search *s = x->s;
	for (size_t w = 0; w < s->words; w++)
		row[w] = search_has(s, i)[w] & ~x->clear[w];
	size_t n = count(row, s->words);
	if (n)
		return n;
	for (size_t w = 0; w < s->words; w++)
		row[w] = search_has(s, i)[w] & ~x->same[w];
	for (uint32_t j = 0; j < i; j++)
		if (search_bit(search_has(s, i), j) && fabs(x->residual[j]) <= s->o.delta)
			for (size_t w = 0; w < s->words; w++)
				row[w] &= ~search_has(s, j)[w];
	for (size_t j = 0; j < x->n_steps; j++)
		for (size_t k = 0; k < x->steps[j].n_set; k++)
			row[x->steps[j].set[k] >> 6] &= ~((uint64_t)1 << (x->steps[j].set[k] & 63));
	return count(row, s->words);
}

/* The accused commit with the fewest suspects, which it leaves in x->suspects. */
static uint32_t accused(struct exact *x)
{
	const struct search *s = x->s;
	uint32_t best = SEARCH_NONE;
	size_t fewest = SIZE_MAX;
	uint64_t *row = x_calloc(s->words, sizeof(*row));
	for (uint32_t i = 0; i < s->n; i++) {
		if (!(fabs(x->residual[i]) > s->o.delta) || !s->in_range[i])
			continue;
		size_t n = suspects_of(x, i, row);
		if (n && n < fewest) {
			fewest = n;
			best = i;
			memcpy(x->suspects, row, s->words * sizeof(*row));
		}
	}
	free(row);
	return best;
}

/* The unmeasured commit that parts the suspects best, weighed by the chance that it works. */
static uint32_t splitter(const struct exact *x, const uint64_t *suspects)
{
	const struct search *s = x->s;
	uint32_t best = SEARCH_NONE;
	double most = 0, total = (double)count(suspects, s->words);
	for (uint32_t i = 0; i < s->n; i++) {
		if (!s->in_range[i] || s->build[i] == SEARCH_BROKEN || !isnan(x->value[i]))
			continue;
		const uint64_t *row = search_has(s, i);
		size_t n = 0;
		for (size_t w = 0; w < s->words; w++)
			n += (size_t)__builtin_popcountll(row[w] & suspects[w]);
		double split = (double)n * (total - (double)n) * (1 - s->break_p[i]);
		if (split > most) {
			most = split;
			best = i;
		}
	}
	return best;
}

static void found(struct exact *x, uint32_t at)
{
	struct exact_step t = { .size = x->residual[at],
				.set = x_calloc(count(x->suspects, x->s->words), sizeof(*t.set)) };
	for (size_t w = 0; w < x->s->words; w++)
		for (uint64_t bits = x->suspects[w]; bits; bits &= bits - 1)
			t.set[t.n_set++] = (uint32_t)(w * 64 + (size_t)__builtin_ctzll(bits));
	t.commit = t.set[t.n_set - 1];
	x_grow(x->steps, x->n_steps, x->cap_steps);
	x->steps[x->n_steps++] = t;
}

/* With a staircase asked for, what is cleared by equal sums is looked into as well: the widest gap
 * is halved. */
static uint32_t widest_gap(struct exact *x)
{
	const struct search *s = x->s;
	uint32_t best = SEARCH_NONE;
	size_t widest = 0;
	for (uint32_t i = 0; i < s->n; i++) {
		if (isnan(x->value[i]) || !s->in_range[i])
			continue;
		memcpy(x->suspects, search_has(s, i), s->words * sizeof(*x->suspects));
		for (uint32_t j = 0; j < s->n; j++)
			if (j != i && !isnan(x->value[j]) &&
			    (search_bit(search_has(s, i), j) || j == s->good))
				for (size_t w = 0; w < s->words; w++)
					x->suspects[w] &= ~(search_has(s, j)[w] | x->same[w]);
		size_t n = count(x->suspects, s->words);
		uint32_t middle = n > widest ? splitter(x, x->suspects) : SEARCH_NONE;
		if (middle != SEARCH_NONE) {
			widest = n;
			best = middle;
		}
	}
	return best;
}

static void exact_run(struct exact *x, const struct search *s)
{
	*x = (struct exact){ .s = s, .next = SEARCH_NONE };
	x->value = x_calloc(s->n, sizeof(*x->value));
	x->residual = x_calloc(s->n, sizeof(*x->residual));
	x->clear = x_calloc(s->words, sizeof(*x->clear));
	x->suspects = x_calloc(s->words, sizeof(*x->suspects));
	x->same = x_calloc(s->words, sizeof(*x->same));
	clear_same(s, x->same);
	for (size_t i = 0; i < s->n; i++)
		x->value[i] = NAN;
	for (size_t j = 0; j < s->n_obs; j++)
		x->value[s->slot[s->obs[j].slot].commit] = s->obs[j].y;
	if (isnan(x->value[s->good]) || isnan(x->value[s->bad])) {
		x->next = isnan(x->value[s->good]) ? s->good : s->bad;
		return;
	}
	for (;;) {
		residuals(x);
		uint32_t at = accused(x);
		if (at == SEARCH_NONE)
			break;
		x->next = splitter(x, x->suspects);
		if (x->next != SEARCH_NONE)
			return;
		found(x, at);
		if (s->o.max_steps && x->n_steps >= s->o.max_steps)
			return;
	}
	if (s->o.staircase)
		x->next = widest_gap(x);
}

static void exact_release(struct exact *x)
{
	free(x->value), free(x->residual), free(x->clear), free(x->suspects), free(x->same);
	for (size_t j = 0; j < x->n_steps; j++)
		free(x->steps[j].set);
	free(x->steps);
}

static bool broken_end(const struct search *s)
{
	return s->build[s->good] == SEARCH_BROKEN || s->build[s->bad] == SEARCH_BROKEN;
}

struct search_action search_exact_next(struct search *s)
{
	struct search_action a = { .kind = SEARCH_DONE, .cost = 1 };
	if (broken_end(s))
		return a;
	struct exact x;
	exact_run(&x, s);
	if (x.next != SEARCH_NONE) {
		a.kind = SEARCH_MEASURE;
		a.commit = x.next;
		a.beside = SEARCH_NONE;
		a.rounds = 1;
		a.cost = 1 + (s->build[x.next] == SEARCH_BUILT ? 0 : s->o.build_cost);
		a.bits = 1;
	}
	exact_release(&x);
	return a;
}

void search_exact_result(struct search *s, struct search_result *r)
{
	r->builds = s->builds;
	r->broken = s->broken;
	r->measurements = s->n_obs;
	r->smallest = s->o.delta;
	if (broken_end(s)) {
		r->outcome = SEARCH_CANNOT_TELL;
		snprintf(r->why, sizeof(r->why),
			 "an end of the range cannot be built or run: choose another good or bad");
		return;
	}
	struct exact x;
	exact_run(&x, s);
	r->no_step = x.n_steps == 0;
	r->steps = x_calloc(x.n_steps + 1, sizeof(*r->steps));
	r->outcome = x.next != SEARCH_NONE ? SEARCH_CANNOT_TELL
		     : x.n_steps           ? SEARCH_CULPRIT
					   : SEARCH_NO_STEP;
	for (size_t j = 0; j < x.n_steps; j++) {
		struct search_step *t = &r->steps[r->n_steps++];
		size_t n = x.steps[j].n_set;
		*t = (struct search_step){ .commit = x.steps[j].commit,
					   .posterior = 1.0 / (double)n,
					   .named = n == 1,
					   .n_set = n,
					   .size = x.steps[j].size,
					   .lo = x.steps[j].size,
					   .hi = x.steps[j].size };
		t->set = x.steps[j].set;
		x.steps[j].set = NULL;
		t->probability = x_calloc(n, sizeof(*t->probability));
		for (size_t k = 0; k < n; k++)
			t->probability[k] = 1.0 / (double)n;
		if (n > 1 && r->outcome == SEARCH_CULPRIT) {
			r->outcome = SEARCH_SET;
			snprintf(r->why, sizeof(r->why),
				 "commits that do not build or run stand around a step: make one "
				 "of them build to narrow it");
		}
	}
	if (x.next != SEARCH_NONE)
		snprintf(r->why, sizeof(r->why), "the search is not at its end");
	qsort(r->steps, r->n_steps, sizeof(*r->steps), search_by_falling_size);
	exact_release(&x);
}
