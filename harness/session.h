/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/case.h"
#include "harness/run.h"
#include "harness/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One measuring session on this machine: arms (builds) and cases (workloads), measured in rounds that interleave the
 * arms, each round stored whole before the next begins.
 *
 * The caller's steps: session_open() (takes the machine's lock, finds a killed session with the same request again);
 * session_add_case(), session_add_arm() in an order that depends on the request alone; session_round() as often as the
 * question needs, looking at verdict_ask() between; session_close(). A killed session, opened again with the same
 * request, has its rounds: session_rounds_done() says how many.
 */
struct session;

struct session_options { /* strings are copied */
	struct store *store;	  /* borrowed until session_close() */
	const char *verb;
	const char *request_json; /* canonical: sorted keys, no spaces */
	const char *metric;	  /* primary, in place of each case's own; NULL: the cases' own */
	double delta, confidence; /* for the record; negative or 0: the defaults */
	uint64_t seed;		  /* of a new session's plan; 0: drawn */
	const char *workloads;	  /* folder of our own workload programs */
	const char *control;	  /* folder with the positive control's builds (0/, 8/); NULL: none */
	const char *toolkit_version;
	double lock_wait_s;	  /* wait so long for another session of this machine */
	const char *lock_path;	  /* NULL: the machine's own */
	const char *const *events; /* libpfm4 names, NULL-terminated; NULL: the default set */
};

int session_open(const struct session_options *o, struct session **out, struct error *e);

/* How a session that ended with rc is to be closed: "done", "failed", or "interrupted": asked again it goes on. */
const char *session_state(int rc);

/* state: done, interrupted or failed. Always releases; NULL is allowed. */
int session_close(struct session *s, const char *state, const char *detail, struct error *e);

int64_t session_id(const struct session *s);
int64_t session_machine(const struct session *s);
bool session_resumed(const struct session *s);

/* One line a counter that this machine does not have, for people; "" when all count. */
const char *session_advice(const struct session *s);

struct session_arm {
	const char *label; /* as the user wrote it */
	bool reference;
	enum run_kind kind;
	const char *prefix;   /* folder of the build, for relinking and {prefix}; NULL: none */
	const char *artifact; /* the canonical file, absolute; NULL: the system's own allocator */
	bool relink;	      /* draw a fresh link for every run */
	int64_t build_id;     /* in the store */
	struct store_opt commit_id;
	const char *const *environment; /* "NAME=value" of this arm alone, NULL-terminated; NULL: none */
};

/* Copies what it needs. *arm: index for session_round(). A build that cannot be relinked after all is measured with its layout fixed. */
int session_add_arm(struct session *s, const struct session_arm *a, size_t *arm, struct error *e);
int64_t session_arm_id(const struct session *s, size_t arm);
bool session_arm_relinks(const struct session *s, size_t arm);

/* The same case again is the same index. c: borrowed until session_close(). program: absolute path of the executed file for kinds but exec, found from the case. */
int session_add_case(struct session *s, const struct bench_case *c, size_t *index, struct error *e);
int64_t session_case_id(const struct session *s, size_t index);

/*
 * Keep in the record that these arms (indices) are to have at least so many rounds of this case. What was planned and is not
 * there is what a killed session lacks. A round that nobody planned is planned when it is made.
 */
int session_plan(struct session *s, size_t index, const size_t *arms, size_t n_arms, size_t rounds, struct error *e);

/* Rounds of this case that are in the record: of this and earlier sittings. */
size_t session_rounds_done(const struct session *s, size_t index);

/*
 * 2N operations: by the case's scale parameter, else by the request of hakperf/roi.h, from the second round on; a program that
 * does not listen is not asked again.
 */
enum { SESSION_CONTROLS = 1, /* A/A pair and positive control every fourth round */
       SESSION_DOUBLE = 2,   /* runs of 2N operations every fourth round */
       SESSION_DOUBLE_ALL = 4 /* in every round */ };

struct session_figure {
	size_t arm;
	enum run_outcome outcome;
	double value; /* of the case's own metric at N operations; NAN: none */
	bool disturbed; /* the round, by the stated rule: it does not count */
	char why[200];
};

/*
 * Make and store the next round of a case with these arms (indices). figures: n_arms of them, may be NULL.
 * Returns 0 though a run failed (its outcome tells); -EINTR when interrupted: then the round is not stored.
 */
int session_round(struct session *s, size_t index, const size_t *arms, size_t n_arms, unsigned flags, struct session_figure *figures,
		  struct error *e);

/*
 * Metric of a case in this session: the option's, else the name of its figure where the case has one, else
 * ops_per_cpu_s or ops_per_s; cpu_ns or wall_ns for programs that count no operations (known after their first run).
 */
const char *session_metric(const struct session *s, size_t index);

/* Mean wall time of one run of this case, harness and relink included, in this sitting; 0 before the first. */
double session_run_s(const struct session *s, size_t index);
