/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/search.h"

#include <math.h>

/*
 * What the files of bisect/search share.
 *
 * Sets of commits are bit rows of `words` 64-bit words. With H the hypotheses (commits with a
 * prior), has[i] = { h in H : h == i or h is an ancestor of i },  a step at h is in commit i  <=>
 * bit h of has[i]. A measured commit occupies a slot. Hypotheses that no slot tells apart form a
 * class; a component of the posterior is "none", a class, or a pair of classes, and inside a class
 * probability is shared in proportion to the prior.
 */
#define SEARCH_STEPS_MAX 16 /* accepted in one statistical search */
#define SEARCH_LEVELS (SEARCH_REFERENCES + 1)
#define SEARCH_COLUMNS (SEARCH_LEVELS + SEARCH_STEPS_MAX + 2) /* levels, accepted, two more */

struct search_obs {
	uint32_t slot, next; /* next of the slot, SEARCH_NONE at its end */
	double y;
	double outlier; /* posterior probability of the wide part */
};

/* Weighted sums of a slot's observations: of the mean, and squares about it. */
struct search_sum {
	double weight, mean, ss;
	double precision; /* of the mean about the slot's level, in units of 1 / noise variance; <=
			     weight */
};

struct search_slot {
	uint32_t commit, first, last; /* observations */
	uint32_t beside; /* the commit it was measured against, SEARCH_NONE: a reference */
	uint32_t level;	 /* of which reference: 0 the search's own */
	size_t n;
	double least, most;    /* of them */
	struct search_sum sum; /* weighed by the posterior */
};

struct search_class {
	double prior, log_prior;
	double posterior; /* expected number of further steps inside */
	uint32_t first;	  /* a member */
	size_t n;
};

struct search_component {
	uint32_t a, b; /* classes, SEARCH_NONE where absent */
	uint32_t columns;
	double log_p, p;
	double scale2;		  /* noise variance, its mean for predictions */
	double z[SEARCH_COLUMNS]; /* L z = X'Wy */
	double l[SEARCH_COLUMNS * (SEARCH_COLUMNS + 1) /
		 2]; /* Cholesky factor L of X'WX + Λ, row by row, in units of 1 / noise variance */
};

struct search_accepted {
	uint32_t commit;
	double posterior;
	uint32_t *set; /* itself and those that cannot be told from it, with their prior shares
			  before */
	double *share;
	size_t n_set;
};

struct search {
	struct search_options o;
	size_t n, words;
	uint32_t good, bad;
	uint32_t *parent_start, *parent;
	uint64_t *has;	  /* n rows */
	uint64_t *has_in; /* n rows, transposed: commits that have h */
	bool *in_range;	  /* may be measured with profit: ancestors of bad, not of good; good too */
	double *prior;	  /* 0 outside H and for accepted steps; times the evidence of verdicts */
	uint8_t *build;
	double *break_p; /* learnt probability that an unbuilt commit is broken */
	size_t n_hyp;
	uint32_t *hyp;

	struct search_obs *obs;
	size_t n_obs, cap_obs;
	struct search_slot *slot;
	size_t n_slots, cap_slots;
	size_t n_levels;   /* columns of them: one above the largest reference so far */
	uint32_t *slot_of; /* by commit, against the reference; SEARCH_NONE where unmeasured */

	struct search_class *cls;
	size_t n_cls, cap_cls;
	uint32_t *class_of; /* by commit, SEARCH_NONE for those not in H */
	/* n_cls rows of slot_words: slots whose commit has the class, and whose `beside` has. */
	uint64_t *cls_after, *cls_before;
	size_t slot_words, cap_after;

	struct search_component *comp;
	size_t n_comp, cap_comp;
	double scale2; /* noise variance by the posterior mixture */
	double dof;
	double outlier_rate;
	double *scratch;	      /* by observation */
	struct search_sum *sum, *all; /* by slot: scratch; without any outlier */
	double shrink;	/* 1 / prior variance of a step, in units of 1 / noise variance */
	double level;	/* the same of the level of the search's own reference, about 0 */
	double entropy; /* bits, of the place of one step at commit level */

	struct search_accepted accepted[SEARCH_STEPS_MAX];
	size_t n_accepted;

	size_t builds, broken;
	bool stale, undecided;
	struct search_action action;
	enum search_outcome outcome;
	char why[200];
};

static inline bool search_bit(const uint64_t *row, size_t i)
{
	return row[i >> 6] >> (i & 63) & 1;
}

/* Posterior at which the next step is accepted: each further one adds a chance of its own that the
 * answer as a whole is wrong. */
static inline double search_sure(const struct search *s)
{
	return 1 - (1 - s->o.confidence) / (double)(s->n_accepted + 1);
}

/* Measured against the search's own reference? */
static inline bool search_plain(const struct search_slot *t)
{
	return t->beside == SEARCH_NONE && !t->level;
}

static inline const uint64_t *search_has(const struct search *s, uint32_t commit)
{
	return s->has + (size_t)commit * s->words;
}

/* search_graph.c: rows, range, prior and hypotheses of a validated graph; search_break() learns
 * from build outcomes. */
int search_graph_init(struct search *s, const struct search_graph *g, struct error *e);
void search_break(struct search *s);
/* Commits that cannot be told from h by any commit that may still be measured: fills out, returns
 * how many. */
size_t search_atom(const struct search *s, uint32_t h, uint32_t *out);

/* search_model.c: classes after a new slot or changed prior; the posterior after any change. */
void search_classes(struct search *s);
void search_posterior_update(struct search *s);
/* Mean and variance (units of the data) of the next observation of a commit, measured before or
 * not, under a component; bit_a, bit_b: whether the commit has the component's steps. k: the mean
 * of k observations. */
void search_predict(const struct search *s, const struct search_component *c, uint32_t commit,
		    bool bit_a, bool bit_b, double k, double *mean, double *var);
/* Square of the ratio of step to noise by all that was measured; about 0, or below it, where no step
 * shows. */
double search_snr2(const struct search *s);

/*
 * search_choose.c: the best action, or kind SEARCH_DONE where nothing tells anything. without_none:
 * leave "no step" out of what is to be learnt; measured_only: no new builds.
 */
struct search_action search_choose(struct search *s, bool without_none, bool measured_only);
/* The unmeasured commit that halves the largest class that can be; SEARCH_NONE where none can. */
uint32_t search_halve(struct search *s);

/* search.c: bring the posterior up to date; what it says. */
void search_settle(struct search *s);
double search_probability(const struct search *s, uint32_t h);
uint32_t search_most_probable(const struct search *s, double *p);
double search_no_step(const struct search *s);

/* search_level.c: what is known of a measured commit's own level: its mean, and its precision in units
 * of 1 / noise variance. */
double search_own_level(const struct search *s, uint32_t commit, double *precision);

/*
 * search_level.c: measured commits that have the same accepted steps should be level. Difference of
 * the ends' own means and its sd; false before both are measured.
 */
bool search_ends(const struct search *s, double *d, double *sd);
/* Two of them, the earlier first, and what is known of their difference. */
struct search_pair {
	uint32_t first, last;
	double d, sd;
};
/* Rounds after which its interval would lie within delta, if the difference stayed what it is; of one
 * that is about delta, a good many. */
double search_rounds_to_level(const struct search *s, const struct search_pair *p);
/*
 * Between the first and the last of each segment of such commits, or between neighbours, with none
 * measured between: where a difference may exceed delta (90 % interval), the pair of the widest
 * interval and true; *rounds: that all of them would take.
 */
bool search_open_segment(const struct search *s, struct search_pair *open, double *rounds);
bool search_open_neighbours(const struct search *s, struct search_pair *open, double *rounds);
/* The suspect and the nearest measured commit before it, where none but the suspect parts them. */
bool search_alone(const struct search *s, uint32_t suspect, struct search_pair *pair);
/* The largest difference that such commits may have (upper bound of the 90 % interval): the ends of
 * segments, or, of a staircase, neighbours. */
double search_hidden(const struct search *s);

/* Surely smaller than the caller cares for? */
static inline bool search_small(const struct search *s, const struct search_step *t)
{
	return fmax(fabs(t->lo), fabs(t->hi)) < s->o.delta;
}

/* search_result.c: fills size, lo and hi of the step at t->commit; the order of results. */
void search_step_size(const struct search *s, struct search_step *t);
int search_by_falling_size(const void *x, const void *y);

/* search_exact.c */
struct search_action search_exact_next(struct search *s);
void search_exact_result(struct search *s, struct search_result *r);
