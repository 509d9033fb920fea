/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/hash.h"
#include "harness/host.h"
#include "harness/relink.h"
#include "harness/scratch.h"
#include "harness/session.h"
#include "harness/session_samples.h"
#include "harness/stats.h"

/* Shared by session.c (timed rounds) and session_exact.c (counts under callgrind). */
#define CPUS_MAX 2

/* Arm numbers in the record: subjects from 0 in the order of the request, then A/A repeats, then the control. */
#define AA_NUMBERS 100000
#define CONTROL_NUMBERS 200000

struct arm_state {
	char *label, *prefix, *artifact;
	char hash[HASH_HEX]; /* of the canonical file */
	enum run_kind kind;
	bool proves; /* the artifact must own malloc and its like in the workload */
	bool owns_malloc; /* the artifact */
	struct relink *relink;
	int64_t number; /* in the record */
	int64_t id, aa_id; /* aa_id 0: not in the record yet */
	struct store_opt build, commit;
	char *link_path; /* scratch file of its fresh links */
	char **environment; /* of this arm alone, NULL-terminated; NULL: none */
	char *library_path; /* "LD_LIBRARY_PATH=…/lib" for programs of a prefix that has libraries; NULL: not needed */
};

struct session_cell {
	int64_t arm_id;
	size_t planned, done; /* rounds */
};

struct case_state {
	const struct bench_case *c; /* borrowed */
	int64_t id;
	char *program;
	bool owns_malloc; /* the program has one of its own: none that is preloaded is ever called */
	char *metric; /* judged by; settled by the first run */
	bool whole_process; /* its runs mark no region: known after the first */
	uint64_t next_round;
	size_t rounds_done;
	struct stats_disturbance *history;
	size_t n_history, cap_history;
	struct session_cell *cells; /* the plan as it is in the record */
	size_t n_cells, cap_cells;
	uint64_t operations;  /* of N, as a run told; 0: not yet, or never told */
	bool never_doubles;   /* a command without a scale parameter that was asked for 2N operations and did N */
	double spent_s;
	size_t runs;
	char exact_work[20]; /* checksum of the first exact count */
};

struct session {
	struct session_options o; /* verb, request_json, events and lock_path are the caller's, used while opening only */
	char *metric, *workloads, *control_folder; /* what o points to */
	struct store *store;
	int64_t id, machine, sitting;
	bool resumed;
	uint64_t seed;
	struct host_lock lock;
	int cpus[CPUS_MAX];
	size_t n_cpus;
	struct scratch scratch;
	struct arm_state *arms;
	size_t n_arms, cap_arms;
	struct arm_state control[2]; /* without and with the extra instructions */
	bool has_control;
	struct case_state *cases;
	size_t n_cases, cap_cases;
	struct session_events events;
};

/* Fill a from spec: its file's hash, what it has to prove, whether fresh links can be drawn. link_name: of its scratch file. */
int session_arm_fill(struct session *s, struct arm_state *a, const struct session_arm *spec, const char *link_name, struct error *e);
void session_arm_release(struct arm_state *a);

/* The word of a command that is the artifact itself, as programs of a prefix are run; NULL: none. */
char **session_arm_word(char **argv, const struct arm_state *a);

/* A case's environment as an arm's runs get it, NULL-terminated; the caller frees the array alone. */
const char **session_arm_env(const struct arm_state *a, const struct bench_case *c);

/* The A/A repeat of an arm is an arm of its own in the record; entered when it is first needed. */
int session_need_aa(struct session *s, struct arm_state *a, struct error *e);

/* Both builds of the positive control, the first time it is needed. */
int session_need_control(struct session *s, struct error *e);
