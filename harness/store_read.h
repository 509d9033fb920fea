/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reading the record. Each list is loaded whole, in the order stated, owns its strings, and is released by store_free(list.pool).
 * A list is a struct { items, n, pool }; all-zero is empty. On failure it is empty.
 */
struct store_pool;
void store_free(struct store_pool *pool); /* takes NULL */

#define STORE_LIST(type)                 \
	struct {                         \
		type *items;             \
		size_t n;                \
		struct store_pool *pool; \
	}

/*
 * Several questions in between see one state of the database, whatever others write meanwhile. Nothing may be written in between,
 * unless within store_begin/commit outside. Nests.
 */
int store_snapshot(struct store *s, struct error *e);
void store_snapshot_end(struct store *s);

/* ---- one question's raw figures, for verdicts ---- */

struct store_point {
	int64_t round_id, round, run_id, arm_id;
	int64_t arm;	       /* number in the session */
	int64_t twin_arm_id;   /* 0: none */
	char role;	       /* 's' subject, 'r' reference, 'a' aa, 'c' control */
	bool disturbed, ok;    /* of the round; outcome of the run */
	int position, multiplier;
	struct store_opt operations, link_seed, enabled_ns, running_ns;
	double value;
	struct store_value exact; /* the same, integers kept */
	const char *source, *quality;
};
struct store_points { STORE_LIST(struct store_point); };
/* By round, then position. Runs without that metric are absent. */
int store_points(struct store *s, int64_t session, int64_t case_id, enum store_kind kind, const char *metric, struct store_points *out,
		 struct error *e);

/* Medians by arm, over undisturbed rounds and successful runs, multipliers apart. */
struct store_median {
	int64_t session_id, case_id, arm_id, runs;
	int multiplier;
	double median, least, most;
	struct store_optreal per_operation; /* median of value / operations; unset for metrics that do not grow with the operations */
};
struct store_medians { STORE_LIST(struct store_median); };
/* session unset: of all. By session, case, arm, multiplier. */
int store_medians(struct store *s, struct store_opt session, enum store_kind kind, const char *metric, struct store_medians *out,
		  struct error *e);

/* ---- what this machine is known to do ---- */

/* Log-ratios of A/A pairs of one (case, metric): sd about 0, and 1.4826 × the median of their absolute values. */
struct store_noise {
	int64_t case_id;
	const char *workload, *metric;
	int64_t pairs;
	double sd, robust_sd;
};
struct store_noises { STORE_LIST(struct store_noise); };
/* case_id and metric narrow; unset means all. By case, then metric name. Only undisturbed rounds at multiplier 1. */
int store_noise(struct store *s, int64_t machine, struct store_opt case_id, const char *metric, struct store_noises *out, struct error *e);

/* The raw A/A log-ratios behind it, oldest first. */
struct store_ratios { STORE_LIST(double); };
int store_aa_ratios(struct store *s, int64_t machine, int64_t case_id, const char *metric, struct store_ratios *out, struct error *e);

/* Median wall time of successful builds and of whole runs (process_wall_ns) of a case here, for the cost of a search; unset without any. */
int store_costs(struct store *s, int64_t machine, int64_t case_id, struct store_optreal *build_ns, struct store_optreal *run_ns, struct error *e);

/* The exact count of a build: of its latest session, all repeats together. found false: never counted. */
struct store_exact {
	bool found;
	double median, least, most; /* of the timed region; least < most: it does not repeat */
	int64_t repeats;
	struct store_opt operations;
	int64_t session_id, last_run_id; /* whose function_cost rows are the newest */
	char checksum[20];		 /* of the newest count; "" without one */
};
int store_exact(struct store *s, int64_t build, int64_t case_id, const char *metric, int multiplier, struct store_exact *out, struct error *e);

/* ---- sessions ---- */

struct store_session_row {
	int64_t id, machine_id, plan_seed, started_s;
	const char *verb, *request_json, *state, *detail, *metric, *toolkit_version;
	struct store_opt ended_s;
	struct store_optreal delta, confidence;
	int64_t arms, rounds, runs, sittings;
};
struct store_session_rows { STORE_LIST(struct store_session_row); };
/* Newest first. id set: that one or -ENOENT. */
int store_sessions(struct store *s, struct store_opt id, struct store_session_rows *out, struct error *e);

/* The newest session with this very request on this machine that is running or interrupted; 0: none. A running one may be alive: the machine's lock tells. */
int store_session_unfinished(struct store *s, const char *verb, const char *request_json, int64_t machine, int64_t *id, struct error *e);

struct store_arm_row {
	int64_t id, number, build_id;
	struct store_opt twin, commit_id;
	const char *role, *label, *environment_json;
	const char *commit, *subject, *phase; /* NULL without a commit */
	const char *build_key, *variant, *artifact_hash, *loaded_hash, *outcome;
};
struct store_arm_rows { STORE_LIST(struct store_arm_row); };
/* By number. */
int store_arms(struct store *s, int64_t session, struct store_arm_rows *out, struct error *e);

/* The plan and what of it is there. Missing rounds: planned - done. */
struct store_cell_row {
	int64_t arm_id, case_id, planned, done;
	int64_t next_round; /* first number not yet used by this session, case and kind */
	enum store_kind kind;
};
struct store_cell_rows { STORE_LIST(struct store_cell_row); };
/* By case, kind, arm number. only_missing: those with done < planned. */
int store_cells(struct store *s, int64_t session, bool only_missing, struct store_cell_rows *out, struct error *e);

struct store_case_row {
	int64_t id;
	const char *workload, *program, *program_hash;
	struct store_case parameters; /* strings owned by the list */
};
struct store_case_rows { STORE_LIST(struct store_case_row); };
/* session set: those it plans or has rounds of; else all. By id. */
int store_cases(struct store *s, struct store_opt session, struct store_case_rows *out, struct error *e);

struct store_verdict_row {
	int64_t id, decided_s;
	struct store_verdict v; /* strings owned by the list */
};
struct store_verdict_rows { STORE_LIST(struct store_verdict_row); };
/* Oldest first: the last one of a question is its answer. */
int store_verdicts(struct store *s, int64_t session, struct store_verdict_rows *out, struct error *e);

/* ---- searches ---- */

struct store_bisect_row {
	int64_t id, session_id, started_s, steps;
	const char *good, *bad, *metric, *state, *result_json; /* good, bad: full commit ids */
};
struct store_bisect_rows { STORE_LIST(struct store_bisect_row); };
/* Newest first. id set: that one or -ENOENT. */
int store_bisects(struct store *s, struct store_opt id, struct store_bisect_rows *out, struct error *e);

struct store_step_row {
	int64_t seq, at_s;
	const char *action, *commit, *payload_json; /* commit: full id or NULL */
};
struct store_step_rows { STORE_LIST(struct store_step_row); };
/* By seq. */
int store_steps(struct store *s, int64_t bisect, struct store_step_rows *out, struct error *e);

/* ---- any other question ---- */

/*
 * A cursor over one literal SELECT with named parameters (":name"); ln(x) and median(x) are there.
 * Steps: rows_open, rows_bind_… for each parameter, while rows_next() > 0 read columns, rows_close.
 * SQL that does not compile and unknown parameter or column numbers are bugs and abort, quoting the SQL. Text is valid until the next rows_next.
 */
struct store_rows;
struct store_rows *rows_open(struct store *s, const char *sql);
void rows_bind_int(struct store_rows *r, const char *name, int64_t v);
void rows_bind_opt(struct store_rows *r, const char *name, struct store_opt v);
void rows_bind_real(struct store_rows *r, const char *name, double v);
void rows_bind_text(struct store_rows *r, const char *name, const char *v); /* copied; NULL is NULL */
int rows_next(struct store_rows *r, struct error *e); /* 1: a row; 0: the end; -errno */
enum rows_type { ROWS_NULL, ROWS_INTEGER, ROWS_REAL, ROWS_TEXT };
int rows_columns(const struct store_rows *r);
const char *rows_name(const struct store_rows *r, int column);
enum rows_type rows_type(const struct store_rows *r, int column);
bool rows_null(const struct store_rows *r, int column);
int64_t rows_int(const struct store_rows *r, int column); /* 0 for NULL */
double rows_real(const struct store_rows *r, int column); /* 0 for NULL */
const char *rows_text(const struct store_rows *r, int column); /* NULL for NULL */
struct store_opt rows_opt(const struct store_rows *r, int column);
struct store_optreal rows_optreal(const struct store_rows *r, int column);
void rows_close(struct store_rows *r); /* takes NULL */
