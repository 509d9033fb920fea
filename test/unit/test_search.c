/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/search.h"

#include "base/buf.h"

#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH(a) (sizeof(a) / sizeof(*(a)))
#define COMMITS_MAX 2100
#define STEPS_MAX 6

/* A history with a truth: the level of a commit is the sum of the steps that it has. */
struct truth {
	size_t n;
	uint32_t start[COMMITS_MAX + 1], parent[2 * COMMITS_MAX];
	double weight[COMMITS_MAX];
	bool broken[COMMITS_MAX];
	double level[COMMITS_MAX], offset[COMMITS_MAX];
	size_t n_steps;
	uint32_t step[STEPS_MAX];
	double size[STEPS_MAX], sd;
	gsl_rng *rng;
	size_t measured[COMMITS_MAX];
	bool built[COMMITS_MAX];
};

static struct truth world;

static struct search_graph graph_of(struct truth *t)
{
	return (struct search_graph){ .n = t->n,
				      .parent_start = t->start,
				      .parent = t->parent,
				      .weight = t->weight,
				      .bad = (uint32_t)t->n - 1 };
}

/* Levels by the steps that each commit has among itself and its ancestors. */
static void settle(struct truth *t)
{
	static bool has[COMMITS_MAX][STEPS_MAX];
	memset(has, 0, sizeof(has));
	for (size_t i = 0; i < t->n; i++) {
		t->level[i] = 0;
		for (size_t k = 0; k < t->n_steps; k++) {
			has[i][k] = t->step[k] == i;
			for (uint32_t p = t->start[i]; p < t->start[i + 1]; p++)
				has[i][k] |= has[t->parent[p]][k];
			t->level[i] += has[i][k] ? t->size[k] : 0;
		}
	}
}

static void line(struct truth *t, size_t n)
{
	gsl_rng *rng = t->rng;
	memset(t, 0, sizeof(*t));
	t->rng = rng;
	t->n = n;
	for (size_t i = 0; i < n; i++) {
		t->start[i] = i ? (uint32_t)i - 1 : 0;
		t->parent[i] = (uint32_t)i;
		t->weight[i] = 1;
	}
	t->start[n] = (uint32_t)n - 1;
}

/* "3+0.2 8-0.1": steps at commits. */
static void steps(struct truth *t, const char *text)
{
	int used;
	for (t->n_steps = 0;
	     sscanf(text, "%u%lf %n", &t->step[t->n_steps], &t->size[t->n_steps], &used) == 2;
	     text += used)
		t->n_steps++;
	settle(t);
}

static double shows(const struct truth *t, uint32_t commit)
{
	return commit == SEARCH_NONE ? 0 : t->level[commit] + t->offset[commit];
}

static void measure_for(struct truth *t, struct search *s, const struct search_action *a, bool exact)
{
	if (t->broken[a->commit]) {
		search_set_build(s, a->commit, SEARCH_BROKEN);
		return;
	}
	double x[64];
	assert_true(a->rounds >= 1 && a->rounds <= LENGTH(x));
	for (size_t k = 0; k < a->rounds; k++) {
		double noise = exact ? 0 : gsl_ran_gaussian_ziggurat(t->rng, t->sd);
		x[k] = shows(t, a->commit) - shows(t, a->beside) + noise;
	}
	t->built[a->commit] = true;
	t->measured[a->commit] += a->rounds;
	search_observe_rounds(s, a->commit, a->beside, x, a->rounds);
}

static void run(struct truth *t, struct search *s, bool exact, struct search_result *r)
{
	size_t turns = 0;
	for (struct search_action a; (a = search_next(s)).kind == SEARCH_MEASURE; turns++) {
		assert_true(turns < 100000);
		measure_for(t, s, &a, exact);
	}
	search_get_result(s, r);
}

static struct search *opened(struct truth *t, const struct search_options *o, bool first_parent)
{
	struct search *s;
	struct error e = { 0 };
	struct search_graph g = graph_of(t);
	g.first_parent = first_parent;
	if (search_open(&s, &g, o, &e))
		fail_msg("%s", e.text);
	return s;
}

static bool in_set(const struct search_step *t, uint32_t commit)
{
	for (size_t j = 0; j < t->n_set; j++)
		if (t->set[j] == commit)
			return true;
	return false;
}

static const char *listed(const struct search_result *r)
{
	static char text[200];
	size_t at = 0;
	text[0] = 0;
	for (size_t j = 0; j < r->n_steps && at < sizeof(text) - 40; j++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u%+.2f%s", j ? " " : "",
				       r->steps[j].commit, r->steps[j].size,
				       r->steps[j].n_set > 1 ? "…" : "");
	return text;
}

static void exact_counts_on_lines(void **state)
{
	(void)state;
	static const struct row {
		int line;
		size_t n;
		const char *steps;
		bool staircase;
		const char *broken, *found; /* found: the largest first; … is a set */
		size_t most_builds;
	} rows[] = {
		{ __LINE__, 2, "1+0.5", false, "", "1+0.50", 2 },
		{ __LINE__, 257, "100+0.5", false, "", "100+0.50", 11 },
		{ __LINE__, 257, "256-0.5", false, "", "256-0.50", 11 },
		{ __LINE__, 2049, "1234+0.5", false, "", "1234+0.50", 14 },
		{ __LINE__, 65, "9+0.2 33-0.3 50+0.9", false, "", "50+0.90 33-0.30 9+0.20", 27 },
		{ __LINE__, 65, "9+0.2 10+0.3", false, "", "10+0.30 9+0.20", 12 },
		{ __LINE__, 33, "", false, "", "", 2 },
		{ __LINE__, 33, "5+0.3 20-0.3", false, "", "", 2 },
		{ __LINE__, 33, "5+0.3 20-0.3", true, "", "5+0.30 20-0.30", 33 },
		{ __LINE__, 33, "12+0.5", false, "10 11 12 13", "14+0.50…", 12 },
		{ __LINE__, 33, "12+0.5", false, "3 20 21 22", "12+0.50", 12 },
		{ __LINE__, 33, "12+0.5", false, "0", "", 1 },
		{ __LINE__, 33, "12+0.5", false, "32", "", 2 },
	};
	for (const struct row *w = rows; w < rows + LENGTH(rows); w++) {
		struct search_options o = search_defaults();
		struct search_result r;
		line(&world, w->n);
		steps(&world, w->steps);
		const char *b = w->broken;
		for (unsigned at, used; sscanf(b, "%u %n", &at, (int *)&used) == 1; b += used)
			world.broken[at] = true;
		o.exact = true;
		o.staircase = w->staircase;
		struct search *s = opened(&world, &o, false);
		run(&world, s, true, &r);
		if (strcmp(listed(&r), w->found) || r.builds > w->most_builds)
			fail_msg("row of line %d: found '%s' in %zu builds, want '%s' in %zu",
				 w->line, listed(&r), r.builds, w->found, w->most_builds);
		if (world.broken[0] || world.broken[w->n - 1])
			assert_int_equal(r.outcome, SEARCH_CANNOT_TELL);
		else if (strstr(w->found, "…"))
			assert_true(r.outcome == SEARCH_SET && in_set(&r.steps[0], 12) &&
				    !in_set(&r.steps[0], 9) && !in_set(&r.steps[0], 15));
		search_result_release(&r);
		search_close(s);
	}
}

/* 0 - 1 - 2 - 5 - 6, with 3 - 4 leaving at 1 and coming back in 5. */
static void diamond(struct truth *t)
{
	static const struct {
		uint32_t n, parent[2];
	} of[] = { { 0 },	 { 1, { 0 } },	  { 1, { 1 } }, { 1, { 1 } },
		   { 1, { 3 } }, { 2, { 2, 4 } }, { 1, { 5 } } };
	uint32_t at = 0;
	line(t, LENGTH(of));
	for (size_t i = 0; i < LENGTH(of); i++) {
		t->start[i] = at;
		for (uint32_t k = 0; k < of[i].n; k++)
			t->parent[at++] = of[i].parent[k];
	}
	t->start[LENGTH(of)] = at;
}

static void merges_are_followed(void **state)
{
	(void)state;
	for (int first_parent = 0; first_parent < 2; first_parent++) {
		for (uint32_t culprit = 1; culprit < 7; culprit++) {
			for (int exact = 0; exact < 2; exact++) {
				struct search_options o = search_defaults();
				struct search_result r;
				char text[16];
				diamond(&world);
				snprintf(text, sizeof(text), "%u+0.5", culprit);
				steps(&world, text);
				world.sd = 0.1;
				o.exact = exact;
				o.max_steps = 1;
				struct search *s = opened(&world, &o, first_parent);
				run(&world, s, exact, &r);
				/* A side branch is one with its merge where first parents alone are
				 * followed. */
				bool side = culprit == 3 || culprit == 4;
				assert_int_equal(r.outcome, SEARCH_CULPRIT);
				assert_int_equal(r.steps[0].commit,
						 first_parent && side ? 5 : culprit);
				assert_true(!first_parent ||
					    (!world.measured[3] && !world.measured[4]));
				search_result_release(&r);
				search_close(s);
			}
		}
	}
}

static void noisy_steps_are_named_with_their_size(void **state)
{
	(void)state;
	static const struct row {
		int line;
		size_t n;
		const char *steps;
		bool staircase;
		double sd;
		uint32_t want[STEPS_MAX];
		size_t n_want;
	} rows[] = {
		{ __LINE__, 65, "40+0.05", false, 0.02, { 40 }, 1 },
		{ __LINE__, 65, "1-0.05", false, 0.02, { 1 }, 1 },
		{ __LINE__, 129, "30+0.05 90+0.09", false, 0.02, { 90, 30 }, 2 },
		{ __LINE__, 129, "30-0.08 90+0.04", false, 0.02, { 30, 90 }, 2 },
		{ __LINE__, 17, "5+0.05 12-0.05", true, 0.01, { 5, 12 }, 2 },
		{ __LINE__, 17, "", true, 0.004, { 0 }, 0 },
		{ __LINE__, 65, "", false, 0.02, { 0 }, 0 },
	};
	for (const struct row *w = rows; w < rows + LENGTH(rows); w++) {
		struct search_options o = search_defaults();
		struct search_result r;
		line(&world, w->n);
		steps(&world, w->steps);
		world.sd = w->sd;
		o.noise_sd = w->sd;
		o.staircase = w->staircase;
		struct search *s = opened(&world, &o, false);
		run(&world, s, false, &r);
		size_t named = 0;
		for (size_t j = 0; j < r.n_steps; j++) {
			const struct search_step *t = &r.steps[j];
			bool there = false;
			for (size_t k = 0; k < w->n_want; k++)
				there |= w->want[k] == t->commit && t->named;
			if (!there)
				fail_msg("row of line %d: found %s", w->line, listed(&r));
			named++;
			for (size_t k = 0; k < world.n_steps; k++)
				if (world.step[k] == t->commit &&
				    !(t->lo <= world.size[k] && world.size[k] <= t->hi))
					fail_msg(
						"row of line %d: step at %u is %g, not in [%g, %g]",
						w->line, t->commit, world.size[k], t->lo, t->hi);
		}
		if (named != w->n_want)
			fail_msg("row of line %d: found '%s', %s", w->line, listed(&r), r.why);
		assert_int_equal(r.outcome, w->n_want ? SEARCH_CULPRIT : SEARCH_NO_STEP);
		for (size_t i = 0; w->staircase && i < w->n; i++)
			assert_true(world.measured[i] > 0);
		search_result_release(&r);
		search_close(s);
	}
}

/* What is level within delta has no step, however the noise has fallen. */
static void a_level_range_lists_no_step(void **state)
{
	(void)state;
	for (int trial = 0; trial < 60; trial++) {
		struct search_options o = search_defaults();
		struct search_result r;
		line(&world, 17);
		world.sd = o.noise_sd = 0.004;
		o.staircase = true;
		struct search *s = opened(&world, &o, false);
		run(&world, s, false, &r);
		if (r.outcome == SEARCH_NO_STEP && r.n_steps)
			fail_msg("trial %d: no step, and %s", trial, listed(&r));
		for (size_t i = 0; i < world.n; i++)
			if (!world.measured[i])
				fail_msg("trial %d: commit %zu of the staircase was left out", trial, i);
		search_result_release(&r);
		search_close(s);
	}
}

/* Neighbours are held against each other directly; the step among them is named all the same. */
static void neighbours_run_beside_each_other(void **state)
{
	(void)state;
	for (int trial = 0; trial < 6; trial++) {
		struct search_options o = search_defaults();
		struct search_result r;
		size_t beside = 0, decisions = 0, rounds = 0;
		line(&world, 17);
		steps(&world, trial & 1 ? "9+0.02" : "");
		world.sd = o.noise_sd = 0.03;
		o.level_sd = 0.002;
		o.staircase = true;
		struct search *s = opened(&world, &o, false);
		for (struct search_action a; (a = search_next(s)).kind == SEARCH_MEASURE;) {
			assert_true(a.beside == SEARCH_NONE ||
				    (a.beside < a.commit && world.built[a.beside]));
			beside += a.beside == SEARCH_NONE ? 0 : a.rounds;
			rounds += a.rounds;
			decisions++;
			measure_for(&world, s, &a, false);
		}
		search_get_result(s, &r);
		if (r.n_steps != (trial & 1) || (r.n_steps && r.steps[0].commit != 9))
			fail_msg("trial %d: '%s'", trial, listed(&r));
		if (!(r.hidden <= o.delta) || 2 * beside < rounds || 2 * decisions > rounds)
			fail_msg("trial %d: %zu rounds, %zu beside a neighbour, %zu decisions; up to %g hidden", trial,
				 rounds, beside, decisions, r.hidden);
		search_result_release(&r);
		search_close(s);
	}
}

/*
 * The bad end leaves the subject alone, and an earlier search measured the suspect before it: neither
 * stands before the other, and both must not hide the suspect from the commit before.
 */
static void commits_alike_hide_no_suspect(void **state)
{
	(void)state;
	struct search_options o = search_defaults();
	struct search_result r;
	size_t beside = 0;
	line(&world, 9);
	world.weight[8] = 0;
	world.sd = o.noise_sd = 0.02;
	o.level_sd = 0.002;
	o.staircase = true;
	struct search *s = opened(&world, &o, false);
	for (int k = 0; k < 3; k++)
		search_observe(s, 7, gsl_ran_gaussian_ziggurat(world.rng, world.sd));
	for (struct search_action a; (a = search_next(s)).kind == SEARCH_MEASURE;) {
		beside += a.commit >= 7 && a.beside == 6 ? a.rounds : 0;
		measure_for(&world, s, &a, false);
	}
	search_get_result(s, &r);
	assert_int_equal(r.outcome, SEARCH_NO_STEP);
	assert_true(r.hidden <= o.delta);
	/* Of a pair with sd 2 %, 1.645 sd must come below 1 %. */
	assert_true(beside >= 5);
	search_result_release(&r);
	search_close(s);
}

/* What neighbours show of a range is known of its ends, though these ran but once. */
static void neighbours_bound_what_hides(void **state)
{
	(void)state;
	enum { ROUNDS = 400 };
	static double x[ROUNDS];
	struct search_options o = search_defaults();
	struct search_result r;
	line(&world, 9);
	o.noise_sd = 0.02;
	o.level_sd = 0.002;
	o.staircase = true;
	struct search *s = opened(&world, &o, false);
	for (uint32_t i = 0; i < 9; i++)
		search_observe(s, i, gsl_ran_gaussian_ziggurat(world.rng, 0.02));
	for (uint32_t i = 1; i < 9; i++) {
		for (size_t k = 0; k < ROUNDS; k++)
			x[k] = gsl_ran_gaussian_ziggurat(world.rng, 0.02);
		search_observe_rounds(s, i, i - 1, x, ROUNDS);
	}
	search_get_result(s, &r);
	/* Of a pair: 0.02 / sqrt(400) = 0.1 %; of the ends, along eight of them: 0.28 %. */
	if (!(r.hidden < 0.005) || r.outcome != SEARCH_NO_STEP)
		fail_msg("up to %g may hide; outcome %d, %s", r.hidden, r.outcome, r.why);
	search_result_release(&r);
	search_close(s);
}

/* One that does not run any more is not asked for again, though it was measured once. */
static void what_broke_later_is_left_alone(void **state)
{
	(void)state;
	struct search_options o = search_defaults();
	struct search_result r;
	line(&world, 17);
	steps(&world, "4+0.1");
	world.sd = o.noise_sd = 0.02;
	o.level_sd = 0.002;
	o.staircase = true;
	struct search *s = opened(&world, &o, false);
	for (int k = 0; k < 6; k++)
		search_observe(s, 4, 0.1 + gsl_ran_gaussian_ziggurat(world.rng, world.sd));
	search_set_build(s, 4, SEARCH_BROKEN);
	for (struct search_action a; (a = search_next(s)).kind == SEARCH_MEASURE;) {
		assert_true(a.commit != 4 && a.beside != 4);
		measure_for(&world, s, &a, false);
	}
	search_get_result(s, &r);
	assert_true(r.n_steps == 1 && in_set(&r.steps[0], 4));
	search_result_release(&r);
	search_close(s);
}

/* It is there, and nobody asked for one so small. */
static void steps_below_delta_are_not_listed(void **state)
{
	(void)state;
	struct search_options o = search_defaults();
	struct search_result r;
	line(&world, 17);
	steps(&world, "5+0.1 12+0.005");
	world.sd = o.noise_sd = 0.003;
	o.level_sd = 0.002;
	o.staircase = true;
	struct search *s = opened(&world, &o, false);
	run(&world, s, false, &r);
	if (r.outcome != SEARCH_CULPRIT || r.n_steps != 1 || r.steps[0].commit != 5)
		fail_msg("%s", listed(&r));
	search_result_release(&r);
	search_close(s);
	line(&world, 17);
	steps(&world, "12+0.005");
	s = opened(&world, &o, false);
	run(&world, s, false, &r);
	if (r.outcome != SEARCH_NO_STEP || r.n_steps)
		fail_msg("%s", listed(&r));
	search_result_release(&r);
	search_close(s);
}

/* Offsets that stay with each build are never averaged out: a search that knows what it can ends. */
static void a_fixed_layout_ends(void **state)
{
	(void)state;
	for (int trial = 0; trial < 4; trial++) {
		struct search_options o = search_defaults();
		struct search_result r;
		line(&world, 17);
		steps(&world, "9+0.2");
		world.sd = o.noise_sd = 0.02;
		o.layout = SEARCH_LAYOUT_FIXED;
		o.layout_sd = 0.01;
		o.staircase = trial & 1;
		for (size_t i = 0; i < world.n; i++)
			world.offset[i] = gsl_ran_gaussian_ziggurat(world.rng, o.layout_sd);
		struct search *s = opened(&world, &o, false);
		run(&world, s, false, &r);
		if (r.measurements > 4000 || !r.n_steps || !in_set(&r.steps[0], 9))
			fail_msg("trial %d: %zu measurements, '%s' %s", trial, r.measurements,
				 listed(&r), r.why);
		search_result_release(&r);
		search_close(s);
	}
}

/* Each step is smaller than anyone cares for, their sum is not: the range is not level. */
static void steps_that_creep_are_not_level(void **state)
{
	(void)state;
	struct search_options o = search_defaults();
	struct search_result r;
	line(&world, 17);
	for (size_t i = 0; i < world.n; i++)
		world.level[i] = 0.004 * (double)i;
	world.sd = o.noise_sd = 0.004;
	o.level_sd = 0.002;
	o.staircase = true;
	o.max_cost = 2000;
	struct search *s = opened(&world, &o, false);
	run(&world, s, false, &r);
	if (r.outcome == SEARCH_NO_STEP)
		fail_msg("outcome %d, %zu steps, up to %g hidden", r.outcome, r.n_steps, r.hidden);
	search_result_release(&r);
	search_close(s);
}

/* The first good build behind broken ones may carry a step of theirs. */
static void broken_neighbours_share_the_blame(void **state)
{
	(void)state;
	struct search_options o = search_defaults();
	struct search_result r;
	line(&world, 65);
	steps(&world, "30+0.06");
	world.sd = o.noise_sd = 0.02;
	for (size_t i = 27; i <= 30; i++)
		world.broken[i] = true;
	o.max_steps = 1;
	struct search *s = opened(&world, &o, false);
	run(&world, s, false, &r);
	assert_int_equal(r.outcome, SEARCH_SET);
	assert_false(r.steps[0].named);
	for (uint32_t i = 27; i <= 31; i++)
		assert_true(in_set(&r.steps[0], i));
	assert_int_equal(r.steps[0].n_set, 5);
	double sum = 0;
	for (size_t j = 0; j < r.steps[0].n_set; j++)
		sum += r.steps[0].probability[j];
	assert_true(sum > 0.95 && sum <= 1 + 1e-9);
	assert_non_null(strstr(r.why, "do not build"));
	search_result_release(&r);
	search_close(s);
}

static void commits_without_weight_are_never_built(void **state)
{
	(void)state;
	for (int exact = 0; exact < 2; exact++) {
		struct search_options o = search_defaults();
		struct search_result r;
		line(&world, 201);
		steps(&world, "150+0.1");
		world.sd = o.noise_sd = 0.02;
		for (size_t i = 1; i < 200; i++)
			world.weight[i] = i % 50 == 0 ? 1 : 0;
		o.exact = exact;
		struct search *s = opened(&world, &o, false);
		run(&world, s, exact, &r);
		assert_int_equal(r.steps[0].commit, 150);
		/* The ends, and two of the five suspects at most beside them. */
		assert_true(r.builds <= 5);
		search_result_release(&r);
		search_close(s);
	}
}

/* A history in which the step cannot be where the code turned out equal. */
static void equal_code_is_cleared(void **state)
{
	(void)state;
	for (int exact = 0; exact < 2; exact++) {
		struct search_options o = search_defaults();
		struct search_result r;
		line(&world, 10);
		steps(&world, "5+0.1");
		world.sd = o.noise_sd = 0.02;
		world.broken[5] = true;
		o.exact = exact;
		struct search *s = opened(&world, &o, false);
		run(&world, s, exact, &r);
		assert_true(r.outcome == SEARCH_SET && r.steps[0].n_set == 2);
		search_result_release(&r);
		search_same(s, 6);
		run(&world, s, exact, &r);
		assert_int_equal(r.outcome, SEARCH_CULPRIT);
		assert_true(r.steps[0].named && r.steps[0].commit == 5);
		search_result_release(&r);
		search_close(s);
	}
}

/* What a search was told, to tell it again. */
static struct {
	uint32_t commit, beside;
	double y; /* NAN: broken */
} fed[2000];

static void feed(struct search *s, size_t first, size_t n)
{
	for (size_t k = first; k < n; k++)
		if (isnan(fed[k].y))
			search_set_build(s, fed[k].commit, SEARCH_BROKEN);
		else
			search_observe_rounds(s, fed[k].commit, fed[k].beside, &fed[k].y, 1);
}

/* What is fed again, in its order, gives the same next question and the same answer. */
static void a_search_is_taken_up_again(void **state)
{
	(void)state;
	size_t n = 0, beside = 0;
	struct search_options o = search_defaults();
	struct search_result r, again;
	line(&world, 129);
	steps(&world, "40+0.1 77+0.03");
	world.sd = 0.02;
	for (size_t i = 60; i < 64; i++)
		world.broken[i] = true;
	struct search *s = opened(&world, &o, false);
	struct search_action a;
	for (; (a = search_next(s)).kind == SEARCH_MEASURE && n < LENGTH(fed); n++) {
		/* Fewer rounds than were asked for will do. */
		fed[n].commit = a.commit;
		fed[n].beside = a.beside;
		beside += a.beside != SEARCH_NONE;
		fed[n].y = world.broken[a.commit]
				   ? NAN
				   : shows(&world, a.commit) - shows(&world, a.beside) +
					     gsl_ran_gaussian_ziggurat(world.rng, 0.02);
		if (n % 7 == 0) {
			struct search *t = opened(&world, &o, false);
			feed(t, 0, n);
			struct search_action b = search_next(t);
			assert_true(b.commit == a.commit && b.beside == a.beside && b.rounds == a.rounds);
			search_close(t);
		}
		feed(s, n, n + 1);
	}
	search_get_result(s, &r);
	if (r.n_steps != 2 || r.steps[0].commit != 40 || r.steps[1].commit != 77 || !beside ||
	    n == LENGTH(fed))
		fail_msg("found '%s' after %zu measurements, %zu of neighbours", listed(&r), n, beside);
	struct search *t = opened(&world, &o, false);
	feed(t, 0, n);
	search_get_result(t, &again);
	assert_memory_equal(&r.steps[0].posterior, &again.steps[0].posterior, sizeof(double));
	assert_int_equal(r.measurements, again.measurements);
	search_result_release(&r), search_result_release(&again);
	search_close(s), search_close(t);
}

/* Pairs of an earlier search, measured against another reference, leave less to do. */
static void pairs_of_an_earlier_search_help(void **state)
{
	(void)state;
	size_t cost[3] = { 0 }, wrong = 0;
	for (int helped = 0; helped < 3; helped++) {
		for (int trial = 0; trial < 10; trial++) {
			struct search_options o = search_defaults();
			struct search_result r;
			line(&world, 129);
			steps(&world, "90+0.02");
			world.sd = o.noise_sd = 0.02;
			o.max_steps = 1;
			struct search *s = opened(&world, &o, false);
			for (uint32_t i = 64; helped && i < 128; i += 8)
				for (int k = 0; k < 20; k++) {
					double noise = gsl_ran_gaussian_ziggurat(world.rng, 0.02);
					/* A reference outside the range stands at any level. */
					if (helped == 1)
						search_observe_rounds(
							s, i, 40,
							&(double){ world.level[i] -
								   world.level[40] + noise },
							1);
					else
						search_observe_against(
							s, i, 2, world.level[i] + 0.7 + noise);
				}
			size_t before = 0;
			search_get_result(s, &r);
			before = r.measurements;
			search_result_release(&r);
			run(&world, s, false, &r);
			wrong += r.steps[0].commit != 90;
			cost[helped] += r.measurements - before + 10 * r.builds;
			search_result_release(&r);
			search_close(s);
		}
	}
	assert_true(wrong <= 2);
	if (cost[1] * 10 > cost[0] * 9 || cost[2] * 10 > cost[0] * 9)
		fail_msg("with 160 pairs of an earlier search it cost %zu and %zu, without %zu",
			 cost[1], cost[2], cost[0]);
}

/* Where the reference is the good end, nothing has to be learnt of the level, and little is lost where
 * the harness favours it a little. */
static void a_known_level_saves_measurements(void **state)
{
	(void)state;
	static const double level_sd[] = { 0, 0.001, 0.001 }, bias[] = { 0, 0, 0.002 };
	enum { TRIALS = 40 };
	size_t cost[3] = { 0 }, wrong[3] = { 0 };
	for (int way = 0; way < 3; way++) {
		for (int trial = 0; trial < TRIALS; trial++) {
			struct search_options o = search_defaults();
			struct search_result r;
			line(&world, 129);
			steps(&world, "90+0.02");
			for (size_t i = 0; i < world.n; i++)
				world.offset[i] = bias[way];
			world.sd = o.noise_sd = 0.02;
			o.max_steps = 1;
			o.level_sd = level_sd[way];
			struct search *s = opened(&world, &o, false);
			run(&world, s, false, &r);
			wrong[way] += r.steps[0].commit != 90;
			cost[way] += r.measurements;
			if (way && world.measured[0] > 2)
				fail_msg("the good end was measured %zu times", world.measured[0]);
			search_result_release(&r);
			search_close(s);
		}
		assert_true(wrong[way] * 10 <= TRIALS);
	}
	if (cost[1] * 20 > cost[0] * 19 || cost[2] > cost[0])
		fail_msg("%zu measurements with a known level, %zu with one a little off, %zu without",
			 cost[1], cost[2], cost[0]);
}

/* One build repeated for ever cannot make the search sure where its layout's offset stays. */
static void a_fixed_layout_abstains(void **state)
{
	(void)state;
	size_t named = 0, wrong = 0, held = 0, trials = 40;
	for (size_t k = 0; k < trials; k++) {
		struct search_options o = search_defaults();
		struct search_result r;
		line(&world, 33);
		steps(&world, "20+0.02");
		world.sd = o.noise_sd = 0.002;
		o.layout = SEARCH_LAYOUT_FIXED;
		o.layout_sd = 0.01;
		o.max_steps = 1;
		for (size_t i = 0; i < world.n; i++)
			world.offset[i] = gsl_ran_gaussian_ziggurat(world.rng, o.layout_sd);
		struct search *s = opened(&world, &o, false);
		run(&world, s, false, &r);
		named += r.n_steps && r.steps[0].named;
		wrong += r.n_steps && r.steps[0].named && r.steps[0].commit != 20;
		held += r.n_steps && in_set(&r.steps[0], 20);
		if (r.outcome == SEARCH_SET)
			assert_non_null(strstr(r.why, "relink"));
		search_result_release(&r);
		search_close(s);
	}
	/* Blaming the best guess would be wrong in a third of these. */
	if (wrong > 2 || named > trials / 2 || held < trials * 8 / 10)
		fail_msg("%zu named, %zu of them wrong, %zu answers hold the culprit, of %zu",
			 named, wrong, held, trials);
}

/* Of a step at c, against one elsewhere or none. */
static double odds_of(struct search *s, uint32_t c, double *p)
{
	struct search_result r;
	double others = 0;
	search_posterior(s, p);
	search_get_result(s, &r);
	for (size_t i = 0; i < 65; i++)
		others += i == c ? 0 : p[i];
	others += r.no_step;
	search_result_release(&r);
	return p[c] / others;
}

static void a_verdict_against_the_culprit_is_evidence(void **state)
{
	(void)state;
	struct search_options o = search_defaults();
	struct search_result r;
	line(&world, 65);
	steps(&world, "40+0.06");
	world.sd = o.noise_sd = 0.02;
	o.max_steps = 1;
	struct search *s = opened(&world, &o, false);
	run(&world, s, false, &r);
	assert_true(r.steps[0].commit == 40 && r.steps[0].named);
	search_result_release(&r);
	double p[65];
	/* Beside its parent it showed nothing: that counts as much as what was measured before. */
	for (int k = 0; k < 60; k++)
		search_observe_rounds(s, 40, 39, &(double){ gsl_ran_gaussian_ziggurat(world.rng, 0.02) }, 1);
	search_get_result(s, &r);
	double beside = r.steps[0].commit == 40 ? r.steps[0].size : 0;
	search_result_release(&r);
	double before = odds_of(s, 40, p);
	search_verdict(s, 40, false, 0.01);
	double after = odds_of(s, 40, p);
	/* Its size shrinks with the pairs, and the verdict takes a hundredth of its odds. */
	if (!(fabs(beside) < 0.055) || !(after < 0.02 * before && after > 0.005 * before))
		fail_msg("size %g beside its parent; odds %g, %g after the verdict", beside, before,
			 after);
	search_close(s);
	s = opened(&world, &o, false);
	run(&world, s, false, &r);
	search_result_release(&r);
	/* Stronger than all that was measured, which is some forty powers of ten. */
	search_verdict(s, 40, false, 1e-100);
	search_posterior(s, p);
	assert_true(p[40] < 0.5);
	search_close(s);
}

static void an_unknown_end_says_what_would_help(void **state)
{
	(void)state;
	struct search_options o = search_defaults();
	struct search_result r;
	line(&world, 129);
	steps(&world, "77+0.02");
	world.sd = o.noise_sd = 0.1;
	o.max_cost = 150;
	struct search *s = opened(&world, &o, false);
	run(&world, s, false, &r);
	assert_true(r.outcome == SEARCH_CANNOT_TELL || r.outcome == SEARCH_SET);
	assert_non_null(strstr(r.why, "cost limit"));
	assert_true(r.smallest > 0.02 && r.smallest < 1);
	search_result_release(&r);
	search_close(s);
}

static void wrong_questions_are_refused(void **state)
{
	(void)state;
	static const struct row {
		int line;
		double confidence, delta, no_step;
		uint32_t good, bad;
		bool weightless, backwards;
		const char *says;
	} rows[] = {
		{ __LINE__, 0.4, 0.01, 0, 0, 4, false, false, "confidence" },
		{ __LINE__, 0.99, -1, 0, 0, 4, false, false, "delta" },
		{ __LINE__, 0.99, 0.01, 1, 0, 4, false, false, "prior" },
		{ __LINE__, 0.99, 0.01, 0, 2, 2, false, false, "no commits" },
		{ __LINE__, 0.99, 0.01, 0, 4, 1, false, false, "swap" },
		{ __LINE__, 0.99, 0.01, 0, 0, 4, true, false, "nothing to search" },
		{ __LINE__, 0.99, 0.01, 0, 0, 4, false, true, "before its parent" },
	};
	for (const struct row *w = rows; w < rows + LENGTH(rows); w++) {
		struct search_options o = search_defaults();
		struct error e = { 0 };
		struct search *s;
		line(&world, 5);
		struct search_graph g = graph_of(&world);
		o.confidence = w->confidence, o.delta = w->delta, o.no_step = w->no_step;
		g.good = w->good, g.bad = w->bad;
		for (size_t i = 0; w->weightless && i < 5; i++)
			world.weight[i] = 0;
		if (w->backwards)
			world.parent[0] = 3;
		int rc = search_open(&s, &g, &o, &e);
		if (rc != -EINVAL || !strstr(e.text, w->says))
			fail_msg("row of line %d: %d, '%s'", w->line, rc, e.text);
		assert_null(s);
	}
}

static int make_rng(void **state)
{
	(void)state;
	world.rng = gsl_rng_alloc(gsl_rng_mt19937);
	gsl_rng_set(world.rng, 20251107);
	return 0;
}

static int free_rng(void **state)
{
	(void)state;
	gsl_rng_free(world.rng);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_counts_on_lines),
		cmocka_unit_test(merges_are_followed),
		cmocka_unit_test(noisy_steps_are_named_with_their_size),
		cmocka_unit_test(a_level_range_lists_no_step),
		cmocka_unit_test(neighbours_run_beside_each_other),
		cmocka_unit_test(steps_that_creep_are_not_level),
		cmocka_unit_test(commits_alike_hide_no_suspect),
		cmocka_unit_test(neighbours_bound_what_hides),
		cmocka_unit_test(what_broke_later_is_left_alone),
		cmocka_unit_test(steps_below_delta_are_not_listed),
		cmocka_unit_test(a_fixed_layout_ends),
		cmocka_unit_test(broken_neighbours_share_the_blame),
		cmocka_unit_test(commits_without_weight_are_never_built),
		cmocka_unit_test(equal_code_is_cleared),
		cmocka_unit_test(a_search_is_taken_up_again),
		cmocka_unit_test(pairs_of_an_earlier_search_help),
		cmocka_unit_test(a_known_level_saves_measurements),
		cmocka_unit_test(a_fixed_layout_abstains),
		cmocka_unit_test(a_verdict_against_the_culprit_is_evidence),
		cmocka_unit_test(an_unknown_end_says_what_would_help),
		cmocka_unit_test(wrong_questions_are_refused),
	};
	return cmocka_run_group_tests(tests, make_rng, free_rng);
}
