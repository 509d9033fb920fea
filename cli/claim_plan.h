/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/claim.h"
#include "harness/verdict.h"

/*
 * What is to be measured for some claims: revisions in variants, trials (one or two of these in one
 * case, shared by all claims that ask for the same), and attempts (a claim held against a trial).
 * All-zero is valid; release with claim_plan_release(), safe to repeat.
 */
struct claim_rev {
	const char *word, *variant; /* borrowed */
	struct history_commit commit;
	struct build build;
	struct store_opt commit_id;
	int64_t build_id;
	char *label;
	size_t arm;
	bool ok;
	char why[400];
};

#define CLAIM_NO_REV SIZE_MAX

struct claim_trial {
	size_t rev[2]; /* before (CLAIM_NO_REV: none), after */
	struct bench_case c;
	const char *variant;	      /* borrowed */
	const char *metric;	      /* borrowed; NULL: the case's own */
	const char *function, *entry; /* a share of calls, counted; else timed */
	bool slopes;		      /* cost per operation from runs of N and 2N */
	bool own;		      /* of a claim: goes first */
	size_t index;		      /* of the session's cases */
	bool same;		      /* the two load the same bytes */
	size_t rounds;		      /* made, usable or not */
	size_t failed;		      /* without a figure, one after another */
	size_t n;		      /* behind the interval */
	double mid, lo, hi;	      /* ratio after / before; per operation; % */
	char used[40], detail[600];   /* metric that was read; why there is no figure */
};

struct claim_attempt {
	size_t claim, trial; /* claim: position in the list of chosen ones */
	bool own;
	enum claim_outcome outcome;
	double value, lo, hi; /* as claim_aim() tells it */
};

struct claim_plan {
	struct claim_rev *revs;
	size_t n_revs, cap_revs;
	struct claim_trial **trials; /* each stays where it is: sessions borrow its case */
	size_t n_trials, cap_trials;
	struct claim_attempt *attempts;
	size_t n_attempts, cap_attempts;
};

int claim_plan_make(const struct config *c, const struct claims *claims, const size_t *chosen,
	size_t n, const struct claim_options *o, struct claim_plan *out, struct error *e);
void claim_plan_release(struct claim_plan *p);
