/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/progress.h"
#include "cli/project.h"
#include "harness/session_exact.h"
#include "harness/verdict.h"

#include <jansson.h>

/*
 * Several revisions measured side by side: what `bench` and the main job have in common. The caller's steps: measure_init();
 * measure_revision() for each; measure_build(); measure_cell() for each workload and class; measure_open();
 * measure_exact() and measure_timed(); measure_close(). All of it is released by measure_release().
 */
struct measure_arm {
	struct history_commit commit;
	struct build build;
	char *label;
	bool ok; /* built, and an arm of the session */
	int64_t commit_id, build_id;
	size_t arm;
};

struct measure_case {
	struct bench_case c;
	size_t index; /* in the session */
	bool timed, exact;
};

struct measure {
	struct project *p; /* borrowed */
	const char *variant;
	const char *const *params; /* "name=value", NULL-terminated: what measure_cell() chooses by; NULL: nothing */
	struct measure_arm *arms;
	size_t n_arms, cap_arms;
	struct measure_case *cases;
	size_t n_cases, cap_cases;
	struct session *session;
	struct exact_answer *exact; /* n_cases × n_arms; counted false where there is none */
	struct progress progress;
	size_t builds_made, builds_broken;
};

void measure_init(struct measure *m, struct project *p, const char *variant);
void measure_release(struct measure *m);

/* Takes over *c. label NULL: its phase or short id. The same commit twice is one arm. */
int measure_revision(struct measure *m, struct history_commit *c, const char *label, struct error *e);

/* Builds all, two at a time, with progress. Broken ones stay in the list with ok false. */
int measure_build(struct measure *m, unsigned flags, struct error *e);

/* Add the cases of a workload (class NULL: all of its classes). */
int measure_cell(struct measure *m, const char *workload, const char *class_name, bool timed, bool exact, struct error *e);

int measure_open(struct measure *m, const char *verb, json_t *request, const char *metric, double lock_wait_s, struct error *e);
int measure_exact(struct measure *m, bool again, struct error *e);

/* Rounds over all timed cases in turn, until each case has `rounds` (0: no limit) or the time is up. */
int measure_timed(struct measure *m, size_t rounds, double seconds, unsigned flags, struct error *e);

/* Every arm against the one before it and against the first, per timed case; kept in the record. */
int measure_verdicts(struct measure *m, double delta, struct error *e);

int measure_close(struct measure *m, int rc, struct error *e);

/* Answer of arm b against arm a in a timed case. */
int measure_ask(struct measure *m, size_t case_index, size_t a, size_t b, double delta, struct verdict_answer *out, struct error *e);
const struct exact_answer *measure_exact_of(const struct measure *m, size_t case_index, size_t arm);

/* The metric's name of a timed case, and a median figure in words: "204 M ops/s" or "4.9 ns/op". */
const char *measure_metric(const struct measure *m, size_t case_index);

/* Median of the case's metric for one arm over its undisturbed rounds; NAN without any. */
double measure_median(const struct measure *m, size_t case_index, size_t arm, struct error *e);
