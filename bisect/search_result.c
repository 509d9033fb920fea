/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/search_private.h"

#include "base/buf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Size of the step at c: the coefficient of the last column under `none` with c accepted, else of
 * the best component. */
void search_step_size(const struct search *s, struct search_step *t)
{
	for (size_t j = 0; j < s->n_comp; j++) {
		const struct search_component *c = &s->comp[j];
		size_t column = 0;
		for (size_t k = 0; k < s->n_accepted; k++)
			if (s->accepted[k].commit == t->commit)
				column = s->n_levels + k;
		if (!column && c->a == s->class_of[t->commit] && c->a != SEARCH_NONE)
			column = s->n_levels + s->n_accepted;
		if (!column && c->b == s->class_of[t->commit] && c->b != SEARCH_NONE)
			column = s->n_levels + 1 + s->n_accepted;
		if (!column)
			continue;
		size_t p = c->columns;
		/* x = L^-T v for v = z gives the mean; L^-1 e gives the variance. */
		double mean[SEARCH_COLUMNS], var = 0, w[SEARCH_COLUMNS] = { 0 };
		for (size_t i = p; i-- > 0;) {
			double v = c->z[i];
			for (size_t k = i + 1; k < p; k++)
				v -= c->l[k * (k + 1) / 2 + i] * mean[k];
			mean[i] = v / c->l[i * (i + 1) / 2 + i];
		}
		for (size_t i = column; i < p; i++) {
			double v = i == column;
			for (size_t k = column; k < i; k++)
				v -= c->l[i * (i + 1) / 2 + k] * w[k];
			w[i] = v / c->l[i * (i + 1) / 2 + i];
			var += w[i] * w[i];
		}
		double half =
			1.96 * sqrt(var * c->scale2 * (s->dof > 4 ? s->dof / (s->dof - 2) : 2));
		t->size = mean[column];
		t->lo = t->size - half;
		t->hi = t->size + half;
		return;
	}
}

static void set_of(const struct search *s, struct search_step *t)
{
	bool *taken = x_calloc(s->n, sizeof(*taken));
	double mass = 0;
	t->set = x_calloc(s->n_hyp, sizeof(*t->set));
	t->probability = x_calloc(s->n_hyp, sizeof(*t->probability));
	double total = 0;
	for (size_t j = 0; j < s->n_hyp; j++)
		total += search_probability(s, s->hyp[j]);
	while (mass < s->o.confidence * fmin(1, total) && t->n_set < s->n_hyp) {
		double p = -1;
		uint32_t best = 0;
		for (size_t j = 0; j < s->n_hyp; j++) {
			double q = search_probability(s, s->hyp[j]);
			if (!taken[s->hyp[j]] && q > p) {
				p = q;
				best = s->hyp[j];
			}
		}
		taken[best] = true;
		t->set[t->n_set] = best;
		t->probability[t->n_set++] = p;
		mass += p;
	}
	free(taken);
}

int search_by_falling_size(const void *x, const void *y)
{
	const struct search_step *a = x, *b = y;
	double d = fabs(b->size) - fabs(a->size);
	return d > 0 ? 1 : d < 0 ? -1 : a->commit < b->commit ? -1 : a->commit > b->commit;
}

/* The accepted steps that are surely below delta say nothing, unless they add up to more. */
static bool small_are_negligible(const struct search *s)
{
	double sum = 0;
	for (size_t j = 0; j < s->n_accepted; j++) {
		struct search_step t = { .commit = s->accepted[j].commit };
		search_step_size(s, &t);
		sum += search_small(s, &t) ? fabs(t.size) : 0;
	}
	return sum <= s->o.delta;
}

static void accepted_step(const struct search *s, const struct search_accepted *from,
			  struct search_step *t)
{
	double sum = 0;
	*t = (struct search_step){ .commit = from->commit,
				   .n_set = from->n_set,
				   .named = from->n_set == 1 };
	search_step_size(s, t);
	for (size_t k = 0; k < from->n_set; k++)
		sum += from->share[k];
	t->set = x_calloc(t->n_set, sizeof(*t->set));
	t->probability = x_calloc(t->n_set, sizeof(*t->probability));
	for (size_t k = 0; k < t->n_set; k++) {
		t->set[k] = from->set[k];
		t->probability[k] = from->posterior * from->share[k] / sum;
		if (t->set[k] == t->commit)
			t->posterior = t->probability[k];
	}
}

void search_get_result(struct search *s, struct search_result *r)
{
	*r = (struct search_result){ 0 };
	if (s->o.exact) {
		search_exact_result(s, r);
		return;
	}
	struct search_action a = search_next(s);
	r->outcome = a.kind == SEARCH_DONE ? s->outcome : SEARCH_CANNOT_TELL;
	r->no_step = search_no_step(s);
	r->builds = s->builds;
	r->broken = s->broken;
	r->measurements = s->n_obs;
	r->noise_sd = sqrt(s->scale2);
	for (size_t j = 0; j < s->n_obs; j++)
		r->outliers += s->obs[j].outlier;
	double d, sd;
	/* A two-sided test at 5 % with power 90 %. */
	r->hidden = s->n_comp ? search_hidden(s) : INFINITY;
	r->smallest = search_ends(s, &d, &sd) ? (1.96 + 1.28) * sd : INFINITY;
	snprintf(r->why, sizeof(r->why), "%s",
		 a.kind == SEARCH_DONE ? s->why : "the search is not at its end");
	r->steps = x_calloc(s->n_accepted + 1, sizeof(*r->steps));
	bool leave_out = small_are_negligible(s);
	for (size_t j = 0; j < s->n_accepted; j++) {
		struct search_step t = { .commit = s->accepted[j].commit };
		search_step_size(s, &t);
		if (!leave_out || !search_small(s, &t))
			accepted_step(s, &s->accepted[j], &r->steps[r->n_steps++]);
	}
	bool one = s->o.max_steps == 1;
	if (r->outcome == SEARCH_CULPRIT && !one && !r->n_steps)
		r->outcome = SEARCH_NO_STEP;
	/* What is still sought: the step itself where one is asked for, else a further one that is
	 * more likely than not. At the end of a search for all, what is left is level within delta. */
	bool settled = r->outcome == SEARCH_NO_STEP || (r->outcome == SEARCH_CULPRIT && !one);
	if (s->n_comp && !settled && (one || r->no_step < 0.5)) {
		struct search_step *t = &r->steps[r->n_steps++];
		t->commit = search_most_probable(s, &t->posterior);
		t->named = t->posterior >= search_sure(s);
		set_of(s, t);
		search_step_size(s, t);
	}
	qsort(r->steps, r->n_steps, sizeof(*r->steps), search_by_falling_size);
}

void search_result_release(struct search_result *r)
{
	for (size_t j = 0; j < r->n_steps; j++) {
		free(r->steps[j].set);
		free(r->steps[j].probability);
	}
	free(r->steps);
	*r = (struct search_result){ 0 };
}
