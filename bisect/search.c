/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/search_private.h"

#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "No step" takes this posterior. */
static const double NO_STEP_SURE = 0.995;
/* No commit is built for the search while the data favour no step by this factor; further on the
 * place is what is asked. */
static const double DOUBT = 3.5;

/* Rounds of a pair that may be level, at most, before it is thought over. */
enum { LEVEL_ROUNDS_MAX = 16 };

/* Bits per measurement's cost below which a search under a fixed layout ends: what is left is the
 * offsets'. */
static const double LEAST_RATE = 1e-3;

struct search_options search_defaults(void)
{
	return (struct search_options){
		.confidence = 0.99,
		.delta = 0.01,
		.outlier_rate = 0.01,
		.several = 0.05,
		.build_cost = 10,
	};
}

static int check_options(const struct search_options *o, struct error *e)
{
	if (!(o->confidence > 0.5 && o->confidence < 1))
		return error_set(e, -EINVAL, "search: confidence %g is not between 0.5 and 1",
				 o->confidence);
	if (!(o->delta >= 0) || !(o->noise_sd >= 0) || !(o->level_sd >= 0) ||
	    !(o->layout_sd >= 0) || !(o->build_cost >= 0))
		return error_set(
			e, -EINVAL,
			"search: delta, noise, level, layout and build cost must not be negative");
	if (!(o->no_step >= 0 && o->no_step < 1) || !(o->several >= 0 && o->several < 1))
		return error_set(e, -EINVAL,
				 "search: prior probabilities must lie between 0 and 1");
	if (o->layout == SEARCH_LAYOUT_FIXED && o->layout_sd == 0)
		return error_set(e, -EINVAL,
				 "search: layout is fixed per build, but its spread is not given");
	return 0;
}

int search_open(struct search **out, const struct search_graph *g, const struct search_options *o,
		struct error *e)
{
	*out = NULL;
	int rc = check_options(o, e);
	if (rc)
		return rc;
	struct search *s = x_calloc(1, sizeof(*s));
	s->o = *o;
	if (s->o.noise_sd > 0 && s->o.noise_dof <= 0)
		s->o.noise_dof = 50;
	/* Without a prior on the noise, a few like samples make a small noise and any difference a
	 * step. */
	if (s->o.no_step <= 0)
		s->o.no_step = s->o.noise_sd > 0 ? 0.3 : 0.7;
	if (s->o.max_cost <= 0)
		s->o.max_cost = 1e5;
	if (s->o.max_steps == 1)
		s->o.several = 0;
	/* A fixed offset can put one build on the wrong side for good: half the risk buys what a
	 * name means elsewhere. */
	if (s->o.layout == SEARCH_LAYOUT_FIXED)
		s->o.confidence = 1 - (1 - s->o.confidence) / 2;
	s->n_levels = 1;
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

static void forget(struct search_accepted *t)
{
	free(t->set);
	free(t->share);
}

void search_close(struct search *s)
{
	if (!s)
		return;
	for (size_t j = 0; j < s->n_accepted; j++)
		forget(&s->accepted[j]);
	free(s->parent_start), free(s->parent), free(s->has), free(s->has_in), free(s->in_range),
		free(s->prior);
	free(s->build), free(s->break_p), free(s->hyp), free(s->obs), free(s->slot),
		free(s->slot_of);
	free(s->cls), free(s->class_of), free(s->cls_after), free(s->cls_before), free(s->comp),
		free(s->scratch), free(s->sum), free(s->all);
	free(s);
}

void search_set_build(struct search *s, uint32_t commit, enum search_build state)
{
	assert(commit < s->n);
	search_settle(s);
	s->builds += state != SEARCH_UNBUILT && s->build[commit] == SEARCH_UNBUILT;
	s->broken += (state == SEARCH_BROKEN) - (s->build[commit] == SEARCH_BROKEN);
	s->build[commit] = (uint8_t)state;
	search_break(s);
	s->undecided = true;
}

static uint32_t slot_for(struct search *s, uint32_t commit, uint32_t beside, uint32_t level)
{
	bool plain = beside == SEARCH_NONE && !level;
	if (plain && s->slot_of[commit] != SEARCH_NONE)
		return s->slot_of[commit];
	for (uint32_t m = 0; !plain && m < s->n_slots; m++)
		if (s->slot[m].commit == commit && s->slot[m].beside == beside &&
		    s->slot[m].level == level)
			return m;
	x_grow(s->slot, s->n_slots, s->cap_slots);
	uint32_t slot = (uint32_t)s->n_slots++;
	s->slot[slot] = (struct search_slot){
		.commit = commit,
		.beside = beside,
		.level = level,
		.first = SEARCH_NONE,
		.least = INFINITY,
		.most = -INFINITY,
	};
	if (plain)
		s->slot_of[commit] = slot;
	search_classes(s);
	return slot;
}

static void observe(struct search *s, uint32_t commit, uint32_t beside, uint32_t level,
		    double log_ratio)
{
	assert(commit < s->n && isfinite(log_ratio));
	uint32_t slot = slot_for(s, commit, beside, level), at = (uint32_t)s->n_obs;
	struct search_slot *t = &s->slot[slot];
	x_grow(s->obs, s->n_obs, s->cap_obs);
	s->obs[s->n_obs++] =
		(struct search_obs){ .slot = slot, .next = SEARCH_NONE, .y = log_ratio };
	*(t->n ? &s->obs[t->last].next : &t->first) = at;
	t->last = at;
	t->n++;
	t->least = fmin(t->least, log_ratio);
	t->most = fmax(t->most, log_ratio);
	s->stale = true;
}

void search_observe_rounds(struct search *s, uint32_t commit, uint32_t beside,
			   const double *log_ratios, size_t n)
{
	assert(commit < s->n && beside != commit && (beside == SEARCH_NONE || beside < s->n));
	if (n && beside == SEARCH_NONE && s->build[commit] != SEARCH_BUILT)
		search_set_build(s, commit, SEARCH_BUILT);
	search_settle(s);
	for (size_t k = 0; k < n; k++)
		observe(s, commit, beside, 0, log_ratios[k]);
}

void search_observe(struct search *s, uint32_t commit, double log_ratio)
{
	search_observe_rounds(s, commit, SEARCH_NONE, &log_ratio, 1);
}

void search_observe_against(struct search *s, uint32_t commit, unsigned reference, double log_ratio)
{
	assert(reference >= 1 && reference <= SEARCH_REFERENCES);
	if (s->n_levels <= reference)
		s->n_levels = reference + 1;
	search_settle(s);
	observe(s, commit, SEARCH_NONE, reference, log_ratio);
}

static double member_share(const struct search *s, uint32_t h)
{
	return s->prior[h] / s->cls[s->class_of[h]].prior;
}

double search_probability(const struct search *s, uint32_t h)
{
	return s->class_of[h] == SEARCH_NONE
		       ? 0
		       : s->cls[s->class_of[h]].posterior * member_share(s, h);
}

uint32_t search_most_probable(const struct search *s, double *p)
{
	uint32_t best = s->hyp[0];
	*p = -1;
	for (size_t j = 0; j < s->n_hyp; j++) {
		double q = search_probability(s, s->hyp[j]);
		if (q > *p) {
			*p = q;
			best = s->hyp[j];
		}
	}
	return best;
}

/* The set that no commit that can be built parts from h, into *t; returns its probability. Release
 * with forget(). */
static double atom_of(const struct search *s, uint32_t h, struct search_accepted *t)
{
	double mass = 0;
	*t = (struct search_accepted){ .commit = h };
	t->set = x_calloc(s->n_hyp, sizeof(*t->set));
	t->share = x_calloc(s->n_hyp, sizeof(*t->share));
	t->n_set = search_atom(s, h, t->set);
	for (size_t j = 0; j < t->n_set; j++) {
		mass += search_probability(s, t->set[j]);
		t->share[j] = s->prior[t->set[j]];
	}
	t->posterior = mass;
	return mass;
}

static bool in_accepted(const struct search_accepted *t, uint32_t c)
{
	for (size_t k = 0; k < t->n_set; k++)
		if (t->set[k] == c)
			return true;
	return false;
}

/* A step accepted at c, or at a set that holds it, is open again. */
static void reopen(struct search *s, uint32_t c)
{
	for (size_t j = 0; j < s->n_accepted; j++) {
		struct search_accepted t = s->accepted[j];
		if (!in_accepted(&t, c))
			continue;
		for (size_t k = 0; k < t.n_set; k++)
			s->prior[t.set[k]] = t.share[k];
		forget(&t);
		memmove(&s->accepted[j], &s->accepted[j + 1],
			(--s->n_accepted - j) * sizeof(s->accepted[0]));
		break;
	}
}

/*
 * Steps that were accepted while fewer were known took a chance too large for the answer of them all:
 * they are open again until what is known by now makes them sure enough.
 */
static void open_unsure(struct search *s)
{
	double sure = 1 - (1 - s->o.confidence) / (double)s->n_accepted;
	for (size_t j = 0; j < s->n_accepted; j++)
		if (s->accepted[j].posterior < sure) {
			reopen(s, s->accepted[j].commit);
			return;
		}
}

/*
 * Bring the posterior up to date, accepting steps on the way where several are looked for. What is
 * accepted, and the noise as it is known, depend on the order of what was told, so each change
 * settles what was told before: that search_next() was asked in between then makes no difference.
 */
void search_settle(struct search *s)
{
	if (!s->stale || s->o.exact)
		return;
	s->stale = false;
	s->undecided = true;
	search_posterior_update(s);
	while (s->n_comp && s->o.max_steps != 1 && s->n_accepted < SEARCH_STEPS_MAX &&
	       (!s->o.max_steps || s->n_accepted < s->o.max_steps)) {
		double p;
		uint32_t h = search_most_probable(s, &p);
		struct search_accepted *t = &s->accepted[s->n_accepted];
		if (p < 0 || atom_of(s, h, t) < search_sure(s)) {
			if (p >= 0)
				forget(t);
			break;
		}
		s->n_accepted++;
		for (size_t j = 0; j < t->n_set; j++)
			s->prior[t->set[j]] = 0;
		open_unsure(s);
		search_classes(s);
		search_posterior_update(s);
	}
}

double search_no_step(const struct search *s)
{
	return s->n_comp ? s->comp[0].p : s->o.no_step;
}

static bool doubtful(const struct search *s)
{
	double prior = s->n_accepted ? 1 - s->o.several : s->o.no_step, none = search_no_step(s);
	return none * (1 - prior) >= DOUBT * prior * (1 - none);
}

static double entropy_bits(const struct search *s)
{
	double h = 0, p = search_no_step(s);
	if (p > 0)
		h -= p * log2(p);
	for (size_t j = 0; j < s->n_hyp; j++) {
		p = search_probability(s, s->hyp[j]);
		if (p > 0)
			h -= p * log2(p);
	}
	return h;
}

static struct search_action done(struct search *s, enum search_outcome outcome, const char *why)
{
	s->outcome = outcome;
	snprintf(s->why, sizeof(s->why), "%s", why);
	return (struct search_action){ .kind = SEARCH_DONE };
}

static struct search_action against_reference(uint32_t commit)
{
	return (struct search_action){
		.kind = SEARCH_MEASURE, .commit = commit, .beside = SEARCH_NONE, .rounds = 1, .cost = 1
	};
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

static double atom_mass(const struct search *s, uint32_t h)
{
	struct search_accepted t;
	double mass = atom_of(s, h, &t);
	forget(&t);
	return mass;
}

/* Under a fixed layout, more rounds of two builds say nothing once their means are known much better
 * than their offsets. */
static bool saturated(const struct search *s, uint32_t a, uint32_t b)
{
	if (s->o.layout != SEARCH_LAYOUT_FIXED)
		return false;
	double enough = 8 * s->scale2 / (s->o.layout_sd * s->o.layout_sd);
	return (double)s->slot[s->slot_of[a]].n > enough &&
	       (double)s->slot[s->slot_of[b]].n > enough;
}

/* One more of the two that less is known of. */
static struct search_action measure(const struct search *s, uint32_t a, uint32_t b)
{
	double known_a, known_b;
	search_own_level(s, a, &known_a);
	search_own_level(s, b, &known_b);
	struct search_action m = against_reference(known_b < known_a ? b : a);
	m.level = s->n_accepted > 0;
	return m;
}

/*
 * Do these two differ? They run beside each other. Half of the rounds after which the interval would
 * lie within delta, if their difference stayed what it is, are made before it is asked again.
 */
static struct search_action hold_together(const struct search *s, const struct search_pair *p)
{
	struct search_action m = measure(s, p->first, p->last);
	m.level = false;
	/* Where the good end is the reference, and its level known, that is the same round. An
	 * offset that stays with a build stays in a pair of them, too. */
	bool by_reference = p->first == s->good && s->o.level_sd > 0;
	if (by_reference || s->o.layout == SEARCH_LAYOUT_FIXED)
		return m;
	m.commit = p->last;
	m.beside = p->first;
	m.rounds = (size_t)fmin(ceil(search_rounds_to_level(s, p) / 2), LEVEL_ROUNDS_MAX);
	m.cost = (double)m.rounds;
	return m;
}

static const char *const LAYOUT_WHY =
	"a fixed layout's offset per build hides what is left: relink the builds";

static struct search_action stop_short(struct search *s, const char *why)
{
	bool step = s->n_accepted || search_no_step(s) <= 1 - s->o.confidence;
	return done(s, step ? SEARCH_SET : SEARCH_CANNOT_TELL, why);
}

/* The pair of the widest interval; rounds: until that is known of all such pairs. */
static struct search_action are_level(struct search *s, const struct search_pair *p, double rounds)
{
	if (saturated(s, p->first, p->last))
		return stop_short(s, LAYOUT_WHY);
	struct search_action m = hold_together(s, p);
	m.level = true;
	m.expected_cost = rounds;
	return m;
}

static bool sets_accepted(const struct search *s)
{
	for (size_t j = 0; j < s->n_accepted; j++)
		if (s->accepted[j].n_set > 1)
			return true;
	return false;
}

static const char *const BROKEN_WHY = "commits that do not build or run stand around the step: "
				      "make one of them build to narrow it";

static struct search_action all_steps_found(struct search *s)
{
	return sets_accepted(s) ? done(s, SEARCH_SET, BROKEN_WHY) : done(s, SEARCH_CULPRIT, "");
}

/* A step that is placed, and is smaller than the caller cares for. */
static bool too_small(const struct search *s, uint32_t commit)
{
	struct search_step t = { .commit = commit };
	search_step_size(s, &t);
	return search_small(s, &t);
}

/* While the data favour no further step, a staircase is looked for in the widest gap; where there
 * is none left, between neighbours. */
static struct search_action look_inside(struct search *s)
{
	struct search_pair open;
	double rounds;
	uint32_t middle = search_halve(s);
	if (middle != SEARCH_NONE) {
		struct search_action m = against_reference(middle);
		m.level = true;
		m.cost += s->build[middle] == SEARCH_BUILT ? 0 : s->o.build_cost;
		return m;
	}
	if (search_open_neighbours(s, &open, &rounds) || search_open_segment(s, &open, &rounds))
		return are_level(s, &open, rounds);
	return s->n_accepted ? all_steps_found(s) : done(s, SEARCH_NO_STEP, "");
}

static struct search_action decide(struct search *s)
{
	if (s->build[s->good] == SEARCH_BROKEN || s->build[s->bad] == SEARCH_BROKEN)
		return done(
			s, SEARCH_CANNOT_TELL,
			"an end of the range cannot be built or run: choose another good or bad");
	struct search_pair open;
	uint32_t commit;
	if (first_rounds(s, &commit))
		return against_reference(commit);
	double p, d, sd, rounds, none = search_no_step(s);
	uint32_t best = search_most_probable(s, &p);
	if (s->n_accepted && s->n_accepted == s->o.max_steps)
		return all_steps_found(s);
	if (s->o.max_steps == 1 && p >= s->o.confidence)
		return done(s, too_small(s, best) ? SEARCH_NO_STEP : SEARCH_CULPRIT, "");
	if (s->o.max_steps == 1 && atom_mass(s, best) >= s->o.confidence)
		return done(s, SEARCH_SET, BROKEN_WHY);
	if (s->o.build_cost * (double)s->builds + (double)s->n_obs >= s->o.max_cost)
		return stop_short(
			s,
			"the cost limit is reached: allow more, or measure where noise is lower");
	bool no_further = s->n_accepted && none >= s->o.confidence;
	if (s->o.staircase && (no_further || doubtful(s)))
		return look_inside(s);
	if (no_further)
		return search_open_segment(s, &open, &rounds) ? are_level(s, &open, rounds)
							      : all_steps_found(s);
	/* Of a staircase level ends say nothing. */
	bool ends = !s->n_accepted && !s->o.staircase && search_ends(s, &d, &sd);
	if (ends && s->slot[s->slot_of[s->bad]].n >= 8) {
		if (none >= NO_STEP_SURE || fabs(d) + 2.6 * sd < s->o.delta)
			return done(s, SEARCH_NO_STEP, "");
	}
	if (!s->n_accepted && doubtful(s) && !saturated(s, s->good, s->bad))
		return measure(s, s->good, s->bad);
	if (s->n_accepted && doubtful(s) && search_open_segment(s, &open, &rounds))
		return are_level(s, &open, rounds);
	/* Its place is known if there is a further one: is there? */
	bool existence = !doubtful(s) && none > p && p > 0.5 * (1 - none) &&
			 (s->n_accepted || s->o.staircase);
	if (existence && s->o.layout != SEARCH_LAYOUT_FIXED && search_alone(s, best, &open))
		return hold_together(s, &open);
	bool place = !doubtful(s) && p < search_sure(s) * (1 - none);
	struct search_action a = search_choose(s, place, false);
	if (s->o.layout == SEARCH_LAYOUT_FIXED && a.bits < LEAST_RATE * a.cost)
		return stop_short(s, LAYOUT_WHY);
	if (a.bits < 1e-5)
		return measure(s, s->good, s->bad);
	a.expected_cost = a.cost / a.bits * entropy_bits(s);
	return a;
}

struct search_action search_next(struct search *s)
{
	if (s->o.exact)
		return search_exact_next(s);
	search_settle(s);
	if (s->undecided) {
		s->action = decide(s);
		s->undecided = false;
	}
	return s->action;
}

static bool accepted_at(const struct search *s, uint32_t c)
{
	for (size_t j = 0; j < s->n_accepted; j++)
		if (in_accepted(&s->accepted[j], c))
			return true;
	return false;
}

void search_verdict(struct search *s, uint32_t c, bool confirmed, double error_rate)
{
	assert(c < s->n && error_rate > 0 && error_rate < 1);
	if (confirmed)
		return;
	search_settle(s);
	reopen(s, c);
	s->prior[c] *= error_rate;
	search_classes(s);
	s->stale = true;
}

void search_same(struct search *s, uint32_t c)
{
	assert(c < s->n);
	search_settle(s);
	if (s->prior[c] <= 0 && !accepted_at(s, c))
		return;
	reopen(s, c);
	s->prior[c] = 0;
	search_classes(s);
	s->stale = true;
}

void search_posterior(struct search *s, double *out)
{
	search_settle(s);
	for (size_t i = 0; i < s->n; i++)
		out[i] = 0;
	if (s->n_comp)
		for (size_t j = 0; j < s->n_hyp; j++)
			out[s->hyp[j]] = search_probability(s, s->hyp[j]);
	for (size_t j = 0; j < s->n_accepted; j++) {
		const struct search_accepted *t = &s->accepted[j];
		double sum = 0;
		for (size_t k = 0; k < t->n_set; k++)
			sum += t->share[k];
		for (size_t k = 0; k < t->n_set; k++)
			out[t->set[k]] = t->share[k] / sum;
	}
}
