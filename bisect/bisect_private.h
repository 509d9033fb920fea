/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/bisect.h"
#include "bisect/bisect_steps.h"
#include "bisect/range.h"
#include "bisect/search.h"
#include "harness/session_exact.h"
#include "harness/verdict.h"

/* Shared by bisect.c (the question), bisect_ends.c, bisect_known.c, bisect_measure.c,
 * bisect_prove.c and bisect_result.c (the answer). */

#define BISECT_NONE SIZE_MAX
#define BISECT_EXACT_DELTA                                                                         \
	0.002 /* a step of an exact count that a person cares for, where nothing else was asked */
#define BISECT_EXACT "instructions_exact"
#define BISECT_NOT_COUNTED "cannot be counted"
#define BISECT_NOT_RUNNING "does not run"

struct bisect_commit {
	struct build build;
	bool tried; /* build asked for in this process */
	size_t arm; /* of the session, or BISECT_NONE */
	size_t proof_arm; /* the same once more: rounds that a proof rests on, none of the search's */
	int64_t commit_id, build_id;
	struct exact_answer exact; /* counted false: not counted yet */
	bool exact_tried;
	unsigned failed; /* rounds one after another in which its run went wrong */
	char unfit[32]; /* why the search skipped it, "" where it did not; earlier sittings too */
	bool refuted; /* a proof contradicted it */
	bool same; /* loads its parents' code: the search was told */
};

/*
 * Two commits in one round; the good end beside itself where both are 0. A search holds on to what
 * looked different, so a proof needs rounds of its own.
 */
struct bisect_pair {
	size_t before, after;
	bool proof;
};

/* How many rounds of a pair the search has been told. */
struct bisect_told {
	struct bisect_pair pair;
	size_t n;
};

/* What the side-by-side proof of one step said. */
struct bisect_proof {
	size_t commit, parent;
	bool timed, counted;
	struct verdict_answer time; /* where timed */
	struct verdict_answer own;  /* where timed: by the search's metric; the same as time where
				       that is a time */
	double exact_before, exact_after; /* per operation, where counted */
};

struct bisect {
	const struct bisect_options *o;
	struct range range;
	struct bisect_commit *commits;
	struct session *session;
	struct search *search;
	size_t index; /* of the case in the session */
	int64_t id;   /* of the bisect in the record */
	int64_t seq;
	bool exact;	    /* the search's metric is the exact count */
	const char *metric; /* of the search */
	const char *chosen; /* that an earlier sitting chose; NULL: none */
	uint64_t began_ns, limit_ns;
	uint64_t building_ns;	    /* of this sitting, which the limit does not count */
	struct verdict_answer ends; /* by ends_metric: time, or the one that was asked for */
	bool ends_timed;
	bool ends_same; /* they load the same bytes, and nobody asked for what lies between */
	const char *ends_metric;
	struct bisect_proof *proofs;
	size_t n_proofs;
	struct bisect_told *told;
	size_t n_told, cap_told;
	size_t n_same; /* commits that the search was told to be the same as their parents */
	size_t good_again;	     /* the good end a second time: an arm, or BISECT_NONE */
	size_t builds, measurements; /* by this question, earlier sittings too */
	char failed_why[200];	     /* of the last run that went wrong */
	size_t without;		     /* rounds one after another that gave no figure */
	json_t *warnings;
};

void bisect_say(struct bisect *b, double share, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int bisect_step(struct bisect *b, const char *action, size_t commit, json_t *payload,
		struct error *e);
/* Share of the time for measuring that is used up. */
double bisect_used(const struct bisect *b);
bool bisect_out_of_time(const struct bisect *b);

/* ---- bisect_measure.c ---- */

/* Both built, and nothing that is loaded differs. */
bool bisect_same_code(const struct build *x, const struct build *y);

/* Build (or find) commit i and make it an arm; *ok false when it is broken. */
int bisect_need_arm(struct bisect *b, size_t i, bool *ok, struct error *e);

/* Exact count of commit i; *ok false when it cannot be counted. */
int bisect_need_exact(struct bisect *b, size_t i, bool *ok, struct error *e);

/* The arms that a pair has beside those of bisect_need_arm(). */
int bisect_need_arms(struct bisect *b, const struct bisect_pair *p, struct error *e);

/* The rounds of a pair in this session. */
struct verdict_question bisect_question(const struct bisect *b, const struct bisect_pair *p,
					const char *metric);

/* One round of a pair; *x the log-ratio by the search's metric (after against before), NAN when a
 * run went wrong; bad_side tells whose (0 none, 1 before, 2 after). */
int bisect_pair_round(struct bisect *b, const struct bisect_pair *p, double *x, int *bad_side,
		      struct error *e);

/* What the search asked for; the record and the search know it then. until: the share of the time
 * after which no further round of it begins. */
int bisect_measure(struct bisect *b, const struct search_action *a, double until, struct error *e);

/* How many rounds of a pair the search has been told: valid until the next pair is asked for. */
size_t *bisect_told(struct bisect *b, const struct bisect_pair *p);

/* Tell the search the rounds that the proof of i beside a parent made, *n that it does not know yet;
 * that the proof failed. */
int bisect_tell_proof(struct bisect *b, size_t parent, size_t i, size_t *n, struct error *e);
int bisect_refute(struct bisect *b, size_t i, double error_rate, struct error *e);

/* ---- bisect_ends.c ---- */

/* By what a case is judged where nobody said. */
const char *bisect_time_metric(const struct bench_case *c);
/* Is the metric the bisect's to choose? */
bool bisect_chooses(const struct bisect *b);
/* A metric that the record names: BISECT_EXACT, the bisect's own or one of the table. */
const char *bisect_metric_name(const struct bisect *b, const char *name);
int bisect_exact_ends(struct bisect *b, bool *differ, struct error *e);
int bisect_timed_ends(struct bisect *b, bool *differ, struct error *e);
/* auto: the quietest metric that separates the ends in the same direction as time. */
int bisect_choose_metric(struct bisect *b, bool timed, struct error *e);

/* ---- bisect_known.c ---- */

/* The step "open" of bisect_steps.h: the question, and what this machine's record has of its
 * commits. */
int bisect_known(struct bisect *b, json_t **open, struct error *e);
/* Configurations of the record in which good and bad differ. */
int bisect_elsewhere(struct bisect *b, json_t **list, struct error *e);

/* ---- bisect_prove.c ---- */

/* Rounds of a pair until compare has a verdict by that metric, or this share of the time is used
 * up. */
int bisect_side_by_side(struct bisect *b, const struct bisect_pair *p, const char *metric,
			double share_of_time, struct verdict_answer *out, struct error *e);

/* Does it show that the commit differs from that parent, by the search's metric? */
bool bisect_proof_confirms(const struct bisect *b, const struct bisect_proof *p);

/* Prove every named step of the search against its parents. *again: the proof contradicts, search
 * on. */
int bisect_prove(struct bisect *b, bool *again, struct error *e);

/* ---- bisect_result.c ---- */

json_t *bisect_result(struct bisect *b, const char *outcome, const char *why);
json_t *bisect_commit_json(const struct bisect *b, size_t i);
