/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/account_json.h"
#include "bisect/account_run.h"
#include "cli/measure.h"

#include <stdio.h>

/*
 * The verb `account` and what it prints. One or two revisions, each built, each case counted once a
 * revision.
 */
struct accounting {
	struct measure m;             /* one or two arms, the cases */
	struct account_count *counts; /* n_cases × n_arms */
	size_t detail;                /* the case that is told in full */
	struct diff diff;             /* between the two revisions, without context lines */
	bool has_diff;
	bool all;   /* every row, however cheap */
	bool timed; /* accounting_time() is done */
	struct accounting_samples
		*samples; /* n_cases × n_arms; NULL: accounting_sample() was not called */
};

struct account_count *accounting_of(const struct accounting *x, size_t case_index, size_t arm);

/* Cases × entry points of one revision. */
void show_account_paths(const struct accounting *x, FILE *to);
/* One case in full, path by path. */
void show_account_rows(const struct accounting *x, size_t case_index, FILE *to);
/* Cases × entry points of both. */
void show_account_change(const struct accounting *x, FILE *to);
/* What changed in one case: functions, parts, hunks. */
void show_account_diff(const struct accounting *x, size_t case_index, FILE *to);

/*
 * Cycles: a few rounds of N and 2N operations of the cases marked `timed`, in the record as any
 * measurement.
 */
int accounting_time(struct accounting *x, const char *verb, double lock_wait_s, struct error *e);

struct accounting_cost {
	const char *metric;
	double per_op, least, most; /* median and range of the rounds' slopes */
	size_t rounds;
};

/* What one operation adds to a metric; false: not measured here. */
bool accounting_cost(struct accounting *x, size_t case_index, size_t arm, const char *metric,
		     struct accounting_cost *out, struct error *e);

/* CPU time of a whole run in ns, for programs that tell no operations; false: they do, or nothing
 * was measured. */
bool accounting_run_time(struct accounting *x, size_t case_index, size_t arm,
			 struct accounting_cost *out, struct error *e);

/* By the PMU where it counts, else estimated. */
bool accounting_cycles(struct accounting *x, size_t case_index, size_t arm,
		       struct accounting_cost *out, struct error *e);
void show_account_cycles(struct accounting *x, FILE *to, struct error *e);
json_t *accounting_costs_json(struct accounting *x, size_t case_index, size_t arm, struct error *e);

/*
 * Where the time goes: each counted case marked `timed` sampled for about a second a revision, and
 * folded over its account. What cannot be sampled says why and is no error; -EINTR.
 */
struct account_fold;
struct accounting_samples {
	struct profile profile;
	struct account_fold *fold; /* NULL: not sampled */
	char *why;
};
int accounting_sample(struct accounting *x, struct error *e);
void accounting_samples_release(struct accounting *x);
void show_account_sampled(struct accounting *x, size_t case_index, FILE *to, struct error *e);
json_t *accounting_sampled_json(struct accounting *x, size_t case_index, size_t arm,
				struct error *e);

/* Share of the samples at one address; NAN: not sampled. */
double accounting_sampled_at(const struct accounting *x, size_t case_index, size_t arm,
			     const char *object, uint64_t address);

/* Share of the samples that are a function's on a path, with what is inlined in it; false: not
 * sampled. */
bool accounting_sampled(const struct accounting *x, size_t case_index, size_t arm, size_t path,
			const char *function, double *share, double *error);

/*
 * Is the function on the fast path? Prints a line a path (to: NULL: nothing) and returns the same
 * as JSON.
 */
json_t *accounting_where(struct accounting *x, size_t case_index, const char *function, FILE *to,
			 struct error *e);

/*
 * The instructions of a function that ran, of two revisions side by side. -ENOENT: none ran in any.
 * The caller owns *out.
 */
int accounting_asm(struct accounting *x, size_t case_index, const char *function, FILE *to,
		   json_t **out, struct error *e);

/*
 * Which hunks of arm 0's commit carry its change: built and counted group by group, then printed.
 */
int accounting_split(struct accounting *x, size_t case_index, bool json, const char *revision,
		     struct error *e);

/* Build both arms (or the one) where they are not, count all cases and find the difference. */
int accounting_count(struct accounting *x, struct error *e);
void accounting_release(struct accounting *x);

/* What changed in a case of two revisions: commits, functions, parts, hunks. */
json_t *accounting_change_json(const struct accounting *x, size_t case_index);

/*
 * After a bisect: what its culprits changed against their first parents, for cases that can be
 * counted. result: of bisect_run(); they are added to it as "accounts", and kept so in the record.
 * to: prints them; may be NULL.
 */
int account_culprits(struct project *p, const struct bench_case *c, const char *variant,
		     json_t *result, FILE *to, struct error *e);
