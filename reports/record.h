/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/stats.h"
#include "harness/store_read.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the record says of one session, ready for pages: its arms in order, its cases, and for each
 * arm and case the exact count, the timed figure and the answers against other arms. Costs are told
 * per operation, so that less is better everywhere.
 */
struct record_arm {
	int64_t id, build_id, commit_id; /* commit_id 0: without history */
	const char *label, *commit, *subject, *phase, *outcome,
		*variant; /* commit, subject, phase: may be NULL */
	const char *loaded_hash;
	bool same_code; /* its loaded code is byte-equal to that of the arm before it */
};

struct record_case {
	int64_t id;
	char *name;			   /* "hot_path C4" */
	char *words;			   /* every parameter by name */
	const char *workload, *size_class; /* size_class may be NULL */
	const char *metric;		   /* it is judged by; NULL: never timed */
	const char *metric_unit;
	const char *source; /* of that metric's samples */
	bool inverse;  /* the metric is operations per time: the cost is 1e9 / value, in ns/op */
	bool additive; /* the metric is divided by the operations */
	bool higher_better;		  /* and it is not inverse: shown as it is */
	bool exact, timed;		  /* any count, any round */
	size_t rounds, disturbed, failed; /* timed ones; failed runs */
	struct stats_noise aa;		  /* of this session's A/A pairs, log units */
};

struct record_exact {
	bool counted;
	double per_op, per_malloc, per_free; /* instructions; NAN: not counted */
	double least, most;		     /* of per_op, over repeats */
	int64_t repeats;
};

/* Costs of one case by round and arm, for what is asked of many arms at once; NAN where there is
 * none. */
struct record_matrix {
	double *v; /* n_rounds × n_arms; NULL: never timed */
	size_t n_rounds;
};

struct record_timed {
	size_t n;	       /* undisturbed rounds */
	double median, lo, hi; /* cost per operation; lo, hi: 95 % on the median, one look; NAN: too
				  few rounds */
};

/* Arm b against arm a as costs: ratio 1.1 is 10 % dearer. */
struct record_change {
	bool known;
	double ratio, lo, hi; /* lo 0 or hi INFINITY: unbounded */
	int64_t rounds;
	const char *verdict; /* a word of stats_verdict_name(): static */
	int64_t more_rounds;
	char detail[600];
};

struct record {
	struct store *store;		    /* borrowed */
	struct store_session_rows sessions; /* the one */
	const struct store_session_row *session;
	struct store_arm_rows arm_rows;
	struct store_case_rows case_rows;
	struct store_verdict_rows verdicts;
	struct record_arm *arms; /* subjects and references, by number */
	struct record_case *cases;
	size_t n_arms, n_cases;
	struct record_exact *exact; /* n_cases × n_arms */
	struct record_timed *timed;
	struct record_matrix *matrix; /* n_cases */
};

/* Release with record_release(), safe to repeat. -ENOENT: no such session. */
int record_load(struct store *s, int64_t session, struct record *out, struct error *e);
void record_release(struct record *r);

const struct record_exact *record_exact_of(const struct record *r, size_t case_index, size_t arm);
const struct record_timed *record_timed_of(const struct record *r, size_t case_index, size_t arm);

/* "ns/op" or what the case's metric is told in. */
const char *record_cost_unit(const struct record_case *c);

/* More arms than this are compared by their costs alone, without asking each pair's controls. */
#define RECORD_MANY_ARMS 64

/* Log-ratios of the costs of b against a, one a common round, into x (room for n_rounds); returns
 * how many. */
size_t record_pairs(const struct record *r, size_t case_index, size_t a, size_t b, double *x);

/* The stored answer, or the same question asked again. */
int record_change(const struct record *r, size_t case_index, size_t a, size_t b,
	struct record_change *out, struct error *e);

/* Does a change stand out from what two runs of one build differ by here? Twice the spread of an
 * A/A pair; -1: cannot be said. */
int record_beyond_noise(const struct record_case *c, const struct record_change *k);
double record_noise(
	const struct record_case *c); /* that bound as a ratio - 1; NAN: fewer than three pairs */

/* Index of a case by its name, or n_cases. */
size_t record_find_case(const struct record *r, const char *name);
size_t record_find_arm(const struct record *r, const char *commit_or_label);

/* The newest session of that verb, any verb for NULL (one that tried claims, which has a page of its
 * own, only where there is no other); 0: none. */
int record_newest(struct store *s, const char *verb, int64_t *session, struct error *e);
