/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/search_private.h"

#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct search_options search_defaults(void)
{
	return (struct search_options){
		.confidence = 0.99,
		.delta = 0.01,
		.outlier_rate = 0.01,
		.no_step = 0.5,
		.several = 0.05,
		.build_cost = 10,
	};
}

static int check_options(const struct search_options *o, struct error *e)
{
	if (!(o->confidence > 0.5 && o->confidence < 1))
		return error_set(e, -EINVAL, "search: confidence %g is not between 0.5 and 1", o->confidence);
	if (!(o->delta >= 0) || !(o->noise_sd >= 0) || !(o->layout_sd >= 0) || !(o->build_cost >= 0))
		return error_set(e, -EINVAL, "search: delta, noise, layout and build cost must not be negative");
	if (!(o->no_step > 0 && o->no_step < 1) || !(o->several >= 0 && o->several < 1))
		return error_set(e, -EINVAL, "search: prior probabilities must lie between 0 and 1");
	if (o->layout == SEARCH_LAYOUT_FIXED && o->layout_sd == 0)
		return error_set(e, -EINVAL, "search: layout is fixed per build, but its spread is not given");
	return 0;
}

int search_open(struct search **out, const struct search_graph *g, const struct search_options *o, struct error *e)
{
	*out = NULL;
	int rc = check_options(o, e);
	if (rc)
		return rc;
	struct search *s = x_calloc(1, sizeof(*s));
	s->o = *o;
	if (s->o.noise_sd > 0 && s->o.noise_dof <= 0)
		s->o.noise_dof = 50;
	if (s->o.max_cost <= 0)
		s->o.max_cost = 1e5;
	if (s->o.max_steps == 1)
		s->o.several = 0;
	rc = search_graph_init(s, g, e);
	if (rc) {
		search_close(s);
		return rc;
	}
	search_break(s);
	search_classes(s);
	s->stale = true;
	*out = s;
	return 0;
}

void search_close(struct search *s)
{
	if (!s)
		return;
	free(s->parent_start), free(s->parent), free(s->has), free(s->has_in), free(s->in_range), free(s->prior);
	free(s->log_bayes), free(s->build), free(s->break_p), free(s->hyp), free(s->obs), free(s->slot), free(s->slot_of);
	free(s->cls), free(s->class_of), free(s->cls_after), free(s->comp);
	free(s);
}

void search_set_build(struct search *s, uint32_t commit, enum search_build state)
{
	assert(commit < s->n);
	s->builds += state != SEARCH_UNBUILT && s->build[commit] == SEARCH_UNBUILT;
	s->broken += (state == SEARCH_BROKEN) - (s->build[commit] == SEARCH_BROKEN);
	s->build[commit] = (uint8_t)state;
	search_break(s);
	s->undecided = true;
}

void search_observe(struct search *s, uint32_t commit, double log_ratio)
{
	assert(commit < s->n && isfinite(log_ratio));
	if (s->build[commit] != SEARCH_BUILT)
		search_set_build(s, commit, SEARCH_BUILT);
	if (s->slot_of[commit] == SEARCH_NONE) {
		x_grow(s->slot, s->n_slots, s->cap_slots);
		s->slot[s->n_slots] = (struct search_slot){ .commit = commit };
		s->slot_of[commit] = (uint32_t)s->n_slots++;
		search_classes(s);
	}
	s->slot[s->slot_of[commit]].n++;
	x_grow(s->obs, s->n_obs, s->cap_obs);
	s->obs[s->n_obs++] = (struct search_obs){ .slot = s->slot_of[commit], .y = log_ratio };
	s->stale = true;
}

static double member_share(const struct search *s, uint32_t h)
{
	return s->prior[h] * exp(s->log_bayes[h]) / s->cls[s->class_of[h]].prior;
}

static double probability(const struct search *s, uint32_t h)
{
	return s->class_of[h] == SEARCH_NONE ? 0 : s->cls[s->class_of[h]].posterior * member_share(s, h);
}

static uint32_t most_probable(const struct search *s, double *p)
{
	uint32_t best = s->hyp[0];
	*p = -1;
	for (size_t j = 0; j < s->n_hyp; j++) {
		double q = probability(s, s->hyp[j]);
		if (q > *p) {
			*p = q;
			best = s->hyp[j];
		}
	}
	return best;
}

/* Bring the posterior up to date, accepting steps on the way where several are looked for. */
static void settle(struct search *s)
{
	if (!s->stale)
		return;
	s->stale = false;
	s->undecided = true;
	search_posterior_update(s);
	while (s->n_comp && s->o.max_steps != 1 && s->n_accepted < SEARCH_STEPS_MAX &&
	       (!s->o.max_steps || s->n_accepted < s->o.max_steps)) {
		double p;
		uint32_t h = most_probable(s, &p);
		if (p < s->o.confidence)
			break;
		s->accepted[s->n_accepted++] = (struct search_accepted){ h, p };
		s->prior[h] = 0;
		search_classes(s);
		search_posterior_update(s);
	}
}

static double no_step(const struct search *s)
{
	return s->n_comp ? s->comp[0].p : s->o.no_step;
}

static double entropy_bits(const struct search *s)
{
	double h = 0, p = no_step(s);
	if (p > 0)
		h -= p * log2(p);
	for (size_t j = 0; j < s->n_hyp; j++) {
		p = probability(s, s->hyp[j]);
		if (p > 0)
			h -= p * log2(p);
	}
	return h;
}

/* Estimated difference of the ends, log-ratio, and its sd: the plain one, from the slots of good and bad. */
static bool ends(const struct search *s, double *d, double *sd)
{
	uint32_t g = s->slot_of[s->good], b = s->slot_of[s->bad];
	if (g == SEARCH_NONE || b == SEARCH_NONE || !s->n_comp)
		return false;
	*d = s->slot[b].mean - s->slot[g].mean;
	*sd = sqrt(s->scale2 * (1 / s->slot[g].precision + 1 / s->slot[b].precision));
	return true;
}

static struct search_action done(struct search *s, enum search_outcome outcome, const char *why)
{
	s->outcome = outcome;
	snprintf(s->why, sizeof(s->why), "%s", why);
	return (struct search_action){ .kind = SEARCH_DONE };
}

/* Good and bad first, in turn: without a prior on the noise three each, else one. */
static bool first_rounds(const struct search *s, uint32_t *commit)
{
	size_t want = s->o.noise_sd > 0 ? 1 : 3;
	uint32_t g = s->slot_of[s->good], b = s->slot_of[s->bad];
	size_t ng = g == SEARCH_NONE ? 0 : s->slot[g].n, nb = b == SEARCH_NONE ? 0 : s->slot[b].n;
	*commit = nb < ng ? s->bad : s->good;
	return ng < want || nb < want;
}

/* The set around the most probable commit that no buildable commit can part, and its probability. */
static double atom_mass(const struct search *s, uint32_t h)
{
	uint32_t *atom = x_calloc(s->n_hyp, sizeof(*atom));
	size_t n = search_atom(s, h, atom);
	double mass = 0;
	for (size_t j = 0; j < n; j++)
		mass += probability(s, atom[j]);
	free(atom);
	return mass;
}

static struct search_action decide(struct search *s)
{
	if (s->build[s->good] == SEARCH_BROKEN || s->build[s->bad] == SEARCH_BROKEN)
		return done(s, SEARCH_CANNOT_TELL, "an end of the range cannot be built or run: choose another good or bad");
	uint32_t commit;
	if (first_rounds(s, &commit))
		return (struct search_action){ SEARCH_MEASURE, commit, 0, 1, 0 };
	double p, d, sd;
	uint32_t best = most_probable(s, &p);
	bool all_found = s->o.max_steps && s->n_accepted == s->o.max_steps;
	if (s->o.max_steps == 1 && p >= s->o.confidence)
		return done(s, SEARCH_CULPRIT, "");
	if (all_found || no_step(s) >= s->o.confidence)
		return done(s, s->n_accepted ? SEARCH_CULPRIT : SEARCH_NO_STEP, "");
	if (!s->n_accepted && ends(s, &d, &sd) && fabs(d) + 2.6 * sd < s->o.delta)
		return done(s, SEARCH_NO_STEP, "");
	if (p < s->o.confidence && atom_mass(s, best) >= s->o.confidence)
		return done(s, SEARCH_SET, "commits that do not build or run stand around the step: make one of them build to narrow it");
	struct search_action a = search_choose(s);
	double spent = s->o.build_cost * (double)s->builds + (double)s->n_obs;
	double stop = -log2(s->o.confidence) + (1 - s->o.confidence) * 6;
	double rate = a.bits / a.cost;
	a.expected_cost = rate > 0 ? fmax(1, (entropy_bits(s) - stop) / rate) : INFINITY;
	if (a.kind == SEARCH_DONE || spent + a.expected_cost > s->o.max_cost) {
		bool step = no_step(s) <= 1 - s->o.confidence;
		return done(s, step ? SEARCH_SET : SEARCH_CANNOT_TELL,
			    s->o.layout == SEARCH_LAYOUT_FIXED ?
				    "a fixed layout's offset per build hides what is left: relink builds, or allow more cost" :
				    "the cost limit is in sight before an answer: allow more, or measure where noise is lower");
	}
	return a;
}

struct search_action search_next(struct search *s)
{
	if (s->o.exact)
		return search_exact_next(s);
	settle(s);
	if (s->undecided) {
		s->action = decide(s);
		s->undecided = false;
	}
	return s->action;
}

void search_verdict(struct search *s, uint32_t c, bool confirmed, double error_rate)
{
	assert(c < s->n && error_rate > 0 && error_rate < 1);
	if (confirmed)
		return;
	for (size_t j = 0; j < s->n_accepted; j++) {
		if (s->accepted[j].commit != c)
			continue;
		memmove(&s->accepted[j], &s->accepted[j + 1], (--s->n_accepted - j) * sizeof(s->accepted[0]));
		s->prior[c] = 1.0 / (double)s->n_hyp;
		break;
	}
	s->log_bayes[c] += log(error_rate);
	search_classes(s);
	s->stale = true;
}

void search_posterior(struct search *s, double *out)
{
	settle(s);
	for (size_t i = 0; i < s->n; i++)
		out[i] = 0;
	if (s->n_comp)
		for (size_t j = 0; j < s->n_hyp; j++)
			out[s->hyp[j]] = probability(s, s->hyp[j]);
	for (size_t j = 0; j < s->n_accepted; j++)
		out[s->accepted[j].commit] = 1;
}

/* Size of the step at c: the coefficient of the last column under `none` with c accepted, else of the best component. */
static void step_size(const struct search *s, struct search_step *t)
{
	for (size_t j = 0; j < s->n_comp; j++) {
		const struct search_component *c = &s->comp[j];
		size_t column = 0;
		for (size_t k = 0; k < s->n_accepted; k++)
			if (s->accepted[k].commit == t->commit)
				column = 1 + k;
		if (!column && c->a == s->class_of[t->commit] && c->a != SEARCH_NONE)
			column = 1 + s->n_accepted;
		if (!column && c->b == s->class_of[t->commit] && c->b != SEARCH_NONE)
			column = 2 + s->n_accepted;
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
		double half = 1.96 * sqrt(var * c->scale2 * (s->dof > 4 ? s->dof / (s->dof - 2) : 2));
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
		total += probability(s, s->hyp[j]);
	while (mass < s->o.confidence * fmin(1, total) && t->n_set < s->n_hyp) {
		double p = -1;
		uint32_t best = 0;
		for (size_t j = 0; j < s->n_hyp; j++) {
			double q = probability(s, s->hyp[j]);
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

static int by_falling_size(const void *x, const void *y)
{
	const struct search_step *a = x, *b = y;
	double d = fabs(b->size) - fabs(a->size);
	return d > 0 ? 1 : d < 0 ? -1 : a->commit < b->commit ? -1 : a->commit > b->commit;
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
	r->no_step = no_step(s);
	r->builds = s->builds;
	r->broken = s->broken;
	r->measurements = s->n_obs;
	r->noise_sd = sqrt(s->scale2);
	for (size_t j = 0; j < s->n_obs; j++)
		r->outliers += s->obs[j].outlier;
	double d, sd;
	/* A two-sided test at 5 % with power 90 %. */
	r->smallest = ends(s, &d, &sd) ? (1.96 + 1.28) * sd : INFINITY;
	snprintf(r->why, sizeof(r->why), "%s", a.kind == SEARCH_DONE ? s->why : "the search is not at its end");
	r->steps = x_calloc(s->n_accepted + 1, sizeof(*r->steps));
	for (size_t j = 0; j < s->n_accepted; j++) {
		struct search_step *t = &r->steps[r->n_steps++];
		t->commit = s->accepted[j].commit;
		t->posterior = s->accepted[j].posterior;
		t->named = true;
		t->set = x_calloc(1, sizeof(*t->set));
		t->probability = x_calloc(1, sizeof(*t->probability));
		t->n_set = 1;
		t->set[0] = t->commit;
		t->probability[0] = t->posterior;
		step_size(s, t);
	}
	bool more = a.kind != SEARCH_DONE || s->outcome == SEARCH_SET || s->outcome == SEARCH_CANNOT_TELL ||
		    (s->outcome == SEARCH_CULPRIT && s->o.max_steps == 1);
	if (s->n_comp && more && s->outcome != SEARCH_NO_STEP) {
		struct search_step *t = &r->steps[r->n_steps++];
		t->commit = most_probable(s, &t->posterior);
		t->named = t->posterior >= s->o.confidence;
		set_of(s, t);
		step_size(s, t);
	}
	qsort(r->steps, r->n_steps, sizeof(*r->steps), by_falling_size);
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
