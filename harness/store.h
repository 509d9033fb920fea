/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/metric.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The record (results.db): opening it and adding to it. Reading is in harness/store_read.h, streaming all of it in
 * harness/store_export.h, the entities and their columns in harness/schema.sql.
 *
 * A writer's steps: store_open(STORE_CREATE); store_machine, store_workload, store_case, store_build, … for the
 * dimensions (each finds the row or adds it, so they may be repeated freely); store_session_begin, store_arm,
 * store_cell for the plan; then one store_round per round, outside timed windows; store_session_end; store_close.
 * Each call is one transaction that is on the disk when it returns; many calls are made one by store_begin/commit.
 *
 * Everywhere: functions return 0, or -errno with *e filled. Strings are borrowed for the call, NULL is "unknown"
 * where the schema allows NULL; bytes that are not UTF-8 are stored as \xNN. Structs may be left zero where
 * unknown: a store_opt that was not set is NULL in the database, never 0. Ids are those of the database.
 * One process, one thread a store. Errors worth telling apart:
 *   -EBUSY another process is writing; -ENOSPC the disk is full; -EROFS not writable; -ENOENT no database there;
 *   -EMEDIUMTYPE the file is not ours; -EPROTO it was made by a newer hakperf; -EUCLEAN it is damaged;
 *   -EINVAL the row breaks a rule of the schema.
 */
#define STORE_VERSION 1
#define STORE_APPLICATION_ID 0x68616b70 /* "hakp" */

enum store_mode {
	STORE_READ,   /* must exist; never changed, but for the migration of an older version */
	STORE_WRITE,  /* must exist */
	STORE_CREATE, /* made when missing or empty */
};

struct store;

/* On failure *out is NULL. Release with store_close(), which takes NULL. */
int store_open(const char *path, enum store_mode mode, struct store **out, struct error *e);
void store_close(struct store *s);
const char *store_path(const struct store *s);

/* Milliseconds to wait for another writer before -EBUSY; 5000 after opening. */
void store_set_patience(struct store *s, int ms);

/*
 * Make one transaction of many calls. They may nest; the outermost pair counts. After an error in between,
 * store_commit undoes everything and returns that error; store_rollback undoes everything.
 */
int store_begin(struct store *s, struct error *e);
int store_commit(struct store *s, struct error *e);
void store_rollback(struct store *s);

/* An integer that may be unknown. All-zero is unknown. */
struct store_opt {
	bool known;
	int64_t v;
};
#define STORE_INT(x) ((struct store_opt){ true, (int64_t)(x) })

/* A real that may be unknown. All-zero is unknown. */
struct store_optreal {
	bool known;
	double v;
};
#define STORE_REAL(x) ((struct store_optreal){ true, (double)(x) })

/* A figure: counts stay integers (2^53 + 1 is kept), the rest are reals. */
struct store_value {
	bool real;
	union {
		int64_t i;
		double r;
	};
};
#define STORE_COUNT(x) ((struct store_value){ .real = false, .i = (int64_t)(x) })
#define STORE_FIGURE(x) ((struct store_value){ .real = true, .r = (double)(x) })
double store_value_real(struct store_value v);

/* ---- dimensions: find the row or add it ---- */

struct store_fact {
	const char *name, *value; /* value NULL: unreadable */
};

/* fingerprint: host's SHA-256 over boot-stable facts. The facts of the first time are kept. */
int store_machine(struct store *s, const char *fingerprint, const struct store_fact *facts, size_t n, int64_t *id, struct error *e);

struct store_commit {
	const char *full_id, *subject, *phase;
	bool subject_escaped;
	struct store_opt author_time_s;
};
/* A phase that becomes known later is kept; nothing else changes. */
int store_commit_info(struct store *s, const struct store_commit *c, int64_t *id, struct error *e);

struct store_build {
	const char *key, *kind; /* kind: preload, library, exec, control, file, none */
	const char *tree, *variant, *recipe, *recipe_hash, *toolchain, *flags; /* variant NULL: "" */
	const char *outcome, *detail, *artifact, *artifact_hash, *loaded_hash, *build_id, *log_path;
	struct store_opt relinkable, sandboxed, wall_ns;
};
/* One row per (key, variant, outcome, artifact_hash). */
int store_build(struct store *s, const struct store_build *b, int64_t *id, struct error *e);

/* This commit's tree gives this build. */
int store_commit_has_build(struct store *s, int64_t commit, int64_t build, struct error *e);

/* program_hash NULL: the program is part of the build (kinds library and exec). */
int store_workload(struct store *s, const char *name, const char *program, const char *program_hash, int64_t *id, struct error *e);

/*
 * A workload with its parameters by name. store_case_parameters() lists the integer ones, so that parsing, printing and
 * storing share one table.
 */
struct store_case {
	int64_t workload_id;
	bool cold; /* the timed region holds the start; else steady state after a warm-up */
	const char *size_class;
	struct store_opt min_bytes, max_bytes, cycles, working_set, seed, threads, rounds, chunks, batch, warm_up;
	struct store_optreal seconds;
	const char *parameters_json, *environment_json; /* objects with sorted keys, no spaces; NULL: {} */
};
int store_case(struct store *s, const struct store_case *c, int64_t *id, struct error *e);

struct store_parameter {
	const char *name; /* column of bench_case, and its name on every page */
	const char *unit; /* "" for counts */
	size_t offset;	  /* of the store_opt in struct store_case */
};
const struct store_parameter *store_case_parameters(size_t *n);
struct store_opt *store_case_slot(struct store_case *c, const struct store_parameter *p);

/* -EEXIST when the metric is known with another unit or direction. */
int store_metric(struct store *s, const struct metric *m, int64_t *id, struct error *e);

/* ---- the plan ---- */

struct store_session {
	const char *verb, *request_json; /* canonical: sorted keys, no spaces */
	int64_t machine_id, plan_seed;
	struct store_optreal delta, confidence;
	const char *metric; /* primary; NULL: none */
	const char *toolkit_version;
};
/* State running, sitting 0 not yet begun. */
int store_session_begin(struct store *s, const struct store_session *q, int64_t *id, struct error *e);

/* Begin a sitting (also the first): the session is running. facts: the machine before. cpu: pinned to, or unknown. */
int store_sitting_begin(struct store *s, int64_t session, struct store_opt cpu, const char *toolkit_version,
			const struct store_fact *facts, size_t n, int64_t *sitting, struct error *e);
/* End it. state: done, interrupted, failed; detail may be NULL. facts: the machine after. */
int store_session_end(struct store *s, int64_t session, int64_t sitting, const char *state, const char *detail,
		      const struct store_fact *facts, size_t n, struct error *e);

struct store_arm {
	int64_t number;		 /* from 0; found again by (session, number) */
	const char *role;	 /* subject, reference, aa, control */
	struct store_opt twin;	 /* id of the arm that aa repeats or control is measured against */
	int64_t build_id;
	struct store_opt commit_id;
	const char *label;
	const char *environment_json; /* NULL: {} */
};
/* Find or add; -EEXIST when that number is another arm already. */
int store_arm(struct store *s, int64_t session, const struct store_arm *a, int64_t *id, struct error *e);

enum store_kind { STORE_TIMED, STORE_EXACT };
/* Plan rounds of one arm and case; planned again, the number moves. */
int store_cell(struct store *s, int64_t session, int64_t arm, int64_t case_id, enum store_kind kind, int64_t planned_rounds, struct error *e);

/* ---- what was measured ---- */

struct store_sample {
	const char *metric; /* a name that metric_find or store_metric knows, else -EINVAL */
	struct store_value value;
	const char *source;  /* monotonic_clock, thread_cpu_clock, pmu, perf_software, tsc, callgrind, rusage, proc, output … */
	const char *quality; /* exact, measured, estimated, bound */
	struct store_opt enabled_ns, running_ns;
};

struct store_cost {
	const char *object, *function, *file; /* NULL: unknown */
	int64_t self_instructions;
	struct store_opt inclusive_instructions, calls;
};

struct store_run {
	int64_t arm_id;
	int multiplier;	     /* 1: N operations, 2: 2N */
	const char *outcome; /* "ok" or run_outcome_name() */
	const char *detail;
	struct store_opt exit_status, operations;
	const char *checksum, *proof;
	const char *subject_hash, *subject_build_id, *program_hash, *program_build_id; /* of the files really executed */
	struct store_opt link_seed, padding_bytes, startup_allocations, cpu, started_unix_ns;
	bool whole_process;
	const struct store_sample *samples;
	size_t n_samples;
	const struct store_cost *costs;
	size_t n_costs;
};

struct store_round {
	int64_t session_id, case_id, number, sitting;
	enum store_kind kind;
	struct store_opt started_unix_ns, steal_ns;
	struct store_optreal load_1min;
	bool disturbed;
	const char *disturbed_why;
	const struct store_run *runs; /* in the order in which they ran */
	size_t n_runs;
};
/*
 * The whole round in one transaction: all of it is in the database, or none. -EEXIST when that round is there already.
 * id and run_ids (n_runs of them) may be NULL.
 */
int store_round(struct store *s, const struct store_round *r, int64_t *id, int64_t *run_ids, struct error *e);

/* The stated rule was applied again, with more rounds to judge by. */
int store_round_disturbed(struct store *s, int64_t round, bool disturbed, const char *why, struct error *e);

/* ---- answers ---- */

struct store_verdict {
	int64_t session_id, case_id, arm_a, arm_b;
	const char *metric, *scope, *part, *verdict; /* scope: binary, source; part: run, slope, startup; verdict: see stats.h */
	bool primary;
	int64_t rounds;
	struct store_optreal ratio, ratio_lo, ratio_hi, before_value, after_value; /* ratio = b / a */
	double delta, confidence;
	struct store_opt rounds_to_decide;
	const char *detail;
};
int store_verdict(struct store *s, const struct store_verdict *v, int64_t *id, struct error *e);

/* metric NULL: chosen during the search. */
int store_bisect_begin(struct store *s, int64_t session, int64_t good, int64_t bad, const char *metric, int64_t *id, struct error *e);
/* state: running, done, interrupted, failed. result_json NULL: none yet. */
int store_bisect_state(struct store *s, int64_t bisect, const char *state, const char *result_json, struct error *e);
/* seq: from 0 without gaps, else -EINVAL: two searches would be mixed. */
int store_bisect_step(struct store *s, int64_t bisect, int64_t seq, const char *action, struct store_opt commit,
		      const char *payload_json, struct error *e);

struct store_claim {
	const char *name, *text, *revision, *configuration_json, *metric, *unit, *source, *claimed_on;
	struct store_opt commit_id;
	struct store_optreal value_lo, value_hi;
};
/* Find by name or add; a commit that becomes known later is kept. -EEXIST when that name claims something else. */
int store_claim(struct store *s, const struct store_claim *c, int64_t *id, struct error *e);

struct store_claim_check {
	int64_t claim_id;
	struct store_opt session_id, rounds;
	const char *result, *configuration_json, *detail;
	struct store_optreal value, value_lo, value_hi;
};
int store_claim_check(struct store *s, const struct store_claim_check *c, int64_t *id, struct error *e);
