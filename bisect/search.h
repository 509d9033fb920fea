/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which commit moved the figure? A Bayesian search over the commit graph: pure, it knows no clock,
 * file, process or global, and the same calls in the same order give the same answers. The steps:
 *
 *	search_open(&s, &graph, &options, e);
 *	while ((a = search_next(s)).kind == SEARCH_MEASURE) {
 *		build a.commit where that is not done;	search_set_build(s, a.commit, …);
 *		measure it against the reference;	search_observe(s, a.commit, log_ratio);
 *		or a.rounds times beside a.beside;	search_observe_rounds(s, …);
 *	}
 *	search_get_result(s, &r);	search_result_release(&r);
 *	search_close(s);
 *
 * Then the caller confirms the culprit against its parents in rounds of their own. Where those
 * contradict, it tells them by search_observe_rounds() and the verdict by search_verdict(), and goes
 * on from search_next().
 * To resume, tell a new search the same in the same order: it then stands where the old one did.
 *
 * The model. One observation is the log-ratio of one run of commit i to the run of one fixed
 * reference in the same round:
 *
 *	y = level + Σ_k step_k [c_k is i or an ancestor of i] + offset_i + noise
 *
 * Steps found already are in the sum with unknown sizes; the hypotheses are "no further step", "one
 * at c", and, where several are allowed, "at c and at c'". Levels and sizes have normal priors that
 * scale with the noise (flat for levels, but for one whose spread about 0 is known), the noise variance an inverse-gamma one, so each hypothesis has a Student-t
 * marginal in closed form and is judged by its own predictive (O'Hagan and Forster, Kendall's
 * Advanced Theory of Statistics 2B, chapter 11). offset_i is one draw per build of known spread
 * where layout is fixed, absent where it is redrawn per run.
 *
 * Outliers. Noise is a mixture, most of it normal, a learnt share of it ten times as wide. Each
 * hypothesis weighs the observations for itself, by a variational bound on its evidence, so none is
 * thrown out for contradicting the favourite, and one that a hypothesis cannot explain costs it a
 * bounded amount, as with a Student-t likelihood. Clean data lose nothing by it and keep per-build
 * sums sufficient, which a Student-t would not.
 *
 * The choice. The action of most expected information about the place of the step for its cost,
 * by each hypothesis's own predictive. For an unbuilt commit the best number of repeats is chosen
 *at once, since a build is paid once and measured often. While the data favour "no step", only the
 * ends are measured; afterwards "no step" is left out of what is to be learnt until a place is sure
 * but for it. Where several steps are allowed, and the place of a further one is known but not
 * whether there is one, the suspect runs beside the commit before it.
 *
 * Several steps. A step that reaches the confidence is accepted, its size stays unknown, and the
 * search goes on with the rest, until no further one is likely and the ends of each segment between
 * accepted steps agree within delta. For a staircase every commit is measured, the middle of the
 * widest gap next, until all neighbours agree within delta, and the ends of the segments too: many
 * steps too small to be found one by one may add up. Two commits that are to be held against each
 * other run in the same rounds: through the reference it would take twice as many.
 */
struct search;

/*
 * Commits are 0 … n-1 with parents before children. Parents of i: parent[parent_start[i]] …
 * parent[parent_start[i + 1] - 1], the first parent first. Hypotheses are the ancestors of bad
 * (itself too) that are not ancestors of good, with weight > 0. weight: prior per commit, NULL for
 * uniform; 0 where the subject is unchanged or its loaded code byte-equal to the parent's.
 * Everything is borrowed for the call to search_open() alone.
 */
struct search_graph {
	size_t n;
	const uint32_t *parent_start, *parent;
	const double *weight;
	uint32_t good, bad;
	bool first_parent; /* follow first parents alone: a side branch is one with its merge */
};

enum search_layout {
	SEARCH_LAYOUT_REDRAWN, /* a fresh link per run: layout is part of the noise */
	SEARCH_LAYOUT_FIXED,   /* one link per build: its offset stays however often it is run */
};

struct search_options {
	double confidence; /* posterior at which a commit is named; default 0.99. Of several steps the
			      k-th takes 1 - (1 - confidence) / k */
	double delta;	   /* smallest difference of interest, in log-ratio; default 0.01 */
	bool exact; /* one observation per commit tells all; delta is the threshold of a step */
	double noise_sd;  /* prior guess of one log-ratio's sd; 0: nothing known */
	double noise_dof; /* what the guess is worth, in observations; 0 with noise_sd set: 50 */
	/*
	 * Prior sd of the level about 0, in log-ratio; 0: nothing known. The good end against itself
	 * is level by construction, so where it is the reference, and links are drawn anew, only what
	 * the harness may favour one place by is left.
	 */
	double level_sd;
	enum search_layout layout;
	double layout_sd;    /* of the offset per build, in log-ratio; used where layout is fixed */
	double outlier_rate; /* prior share of outliers; default 0.01; negative: none, pure normal
				noise */
	double no_step; /* prior probability that there is no step; 0: 0.3, and 0.7 where nothing is
			   known of the noise */
	double several; /* prior probability of a second step, given one; default 0.05, 0 where
			   max_steps is 1 */
	double build_cost; /* of one unbuilt commit, in measurements; default 10 */
	double max_cost;   /* give up where the end is not in sight for this much; 0: 100,000 */
	size_t max_steps;  /* 1: one step; 0: all */
	bool staircase;	   /* look inside segments whose ends agree too (steps that cancel) */
};

enum search_build {
	SEARCH_UNBUILT,
	SEARCH_BUILT,  /* measuring it costs no build */
	SEARCH_BROKEN, /* failed, timed out, crashed or did not interpose: it cannot be measured */
};

#define SEARCH_NONE UINT32_MAX /* no commit */

enum search_kind {
	SEARCH_MEASURE, /* a round of `commit` against the reference, or rounds beside another */
	SEARCH_DONE,
};

struct search_action {
	enum search_kind kind;
	uint32_t commit;
	uint32_t beside; /* the commit to run it beside; SEARCH_NONE: the reference */
	size_t rounds;	 /* that may be made before it is asked again, 1 or more; fewer will do */
	bool level;	      /* asks only whether the rest of the range is level within delta */
	double bits;	      /* information about the place that is expected of it */
	double cost;	      /* of it, in measurements */
	double expected_cost; /* rough cost until the end, 0 at the start */
};

enum search_outcome {
	SEARCH_CULPRIT, /* every step is named at the confidence, and there is one at least */
	SEARCH_SET,	/* a step exists; its place is known up to a set (broken commits, or a fixed
			   layout) */
	SEARCH_NO_STEP, /* the ends differ by less than delta, or the model is sure of no step */
	SEARCH_CANNOT_TELL, /* the cost limit was reached, or an endpoint is broken */
};

/* One step. Its set holds commits in falling probability until `confidence` is reached; a named
 * culprit's set has one. */
struct search_step {
	uint32_t commit;     /* the most probable */
	double posterior;    /* of that commit; rounds to 1 for exact metrics */
	uint32_t *set;	     /* owned by the result */
	double *probability; /* of each of the set */
	size_t n_set;
	bool named;	     /* its posterior reached the confidence */
	double size, lo, hi; /* log-ratio after against before, with its 95 % interval; its sign is
				the direction */
};

struct search_result {
	enum search_outcome outcome;
	struct search_step *steps; /* largest first, owned; without those surely below delta, where they
				      do not add up to more */
	size_t n_steps;
	double no_step;	 /* posterior that there is no (further) step */
	double smallest; /* the smallest difference between the ends that would have been seen so
			    far (log-ratio, 90 % power) */
	double hidden; /* a further step that the measured commits leave room for (log-ratio, upper
			  95 % bound); infinite before the ends are measured */
	double noise_sd; /* of one log-ratio, estimated */
	double outliers; /* sum of the probabilities that an observation is one */
	size_t builds, broken, measurements;
	char why[200]; /* for SEARCH_SET and SEARCH_CANNOT_TELL: what limits it and what would
			  narrow it */
};

/* The defaults above. */
struct search_options search_defaults(void);

/*
 * Returns 0 with *s to be closed with search_close(), or -EINVAL with *e: the graph is not in
 * topological order, good is not an ancestor of nor beside bad, there is nothing between them, or
 * an option is out of its range.
 */
int search_open(struct search **s, const struct search_graph *g, const struct search_options *o,
		struct error *e);
void search_close(struct search *s);

/* What became of a build. Builds that exist already may be told before the first search_next(). */
void search_set_build(struct search *s, uint32_t commit, enum search_build state);

/* One log-ratio of a commit to the reference; the commit is then BUILT. Any commit may be observed,
 * at any time. */
void search_observe(struct search *s, uint32_t commit, double log_ratio);

/*
 * n log-ratios, told at once as one piece of news: of a commit to the reference as above (beside:
 * SEARCH_NONE), or to another commit of the range, measured side by side without the reference;
 * that says nothing of builds.
 */
void search_observe_rounds(struct search *s, uint32_t commit, uint32_t beside,
			   const double *log_ratios, size_t n);

/*
 * One log-ratio of a commit to another reference that is not of the range, number 1 …
 * SEARCH_REFERENCES, with a level of its own. Says nothing of builds.
 */
#define SEARCH_REFERENCES 3
void search_observe_against(struct search *s, uint32_t commit, unsigned reference,
			    double log_ratio);

/* The loaded code of commit `c` is byte-equal to that of its parents: no step is there. */
void search_same(struct search *s, uint32_t c);

/* What to do next. Does not change what the search knows: asked twice it answers the same. */
struct search_action search_next(struct search *s);

/*
 * The verdict of a confirmation that measured commit `c` against its parents side by side with
 * error rate `error_rate` (say 0.01). Its rounds may have gone to search_observe() as well: the
 * verdict is then conservative evidence of its own. confirmed false: the hypotheses "a step at c"
 * lose by the factor error_rate, and search_next() may go on.
 */
void search_verdict(struct search *s, uint32_t c, bool confirmed, double error_rate);

/* Posterior probability of a step at each commit, n values; of commits outside the range 0. Steps
 * accepted already count 1. */
void search_posterior(struct search *s, double *out);

/* What is known now; may be asked before the end. Release with search_result_release(), safe to
 * repeat. */
void search_get_result(struct search *s, struct search_result *r);
void search_result_release(struct search_result *r);
