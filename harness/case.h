/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "config/config.h"
#include "harness/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A case: one workload with every parameter fixed and named, made from the configuration or from a bare command.
 * All strings are owned; release with bench_case_release() or bench_cases_release(), safe to repeat.
 */
struct bench_case_param {
	char *name, *value;
};

struct bench_case {
	char *workload;	  /* section of the configuration, or the base name of a bare command's program */
	char *size_class; /* NULL: none */
	uint64_t min_bytes, max_bytes; /* of the class */
	bool cold;
	bool by_wall; /* judged by wall time (several threads), else by the thread's CPU time */
	bool exact;   /* may be counted by callgrind */
	char **command; /* template, NULL-terminated */
	struct bench_case_param *params;
	size_t n_params;
	char *varied; /* "working_set=256 batch=1": the parameters that a matrix spans, part of the name; NULL: none */
	char *scale;  /* the parameter that 2N doubles; NULL: it cannot be doubled */
	char *figure, *figure_unit;
	bool figure_lower_is_better;
	uint64_t timeout_ns;
	char **environment; /* the subject's, "NAME=value", NULL-terminated or NULL */
};

/*
 * All cases of a workload: its size classes (or the one named) × its parameter matrix. class_name NULL: every class.
 * Appends to *list. -ENOENT: no such workload or class.
 */
int bench_cases_expand(const struct config *c, const char *workload, const char *class_name, struct bench_case **list, size_t *n,
		       struct error *e);

/* A case for any command: nothing doubled, the whole process or its marked region. argv: NULL-terminated, borrowed. */
void bench_case_of_command(const char *const *argv, struct bench_case *out);

void bench_case_release(struct bench_case *c);
void bench_cases_release(struct bench_case *list, size_t n);

/* Value of a named parameter, or NULL. */
const char *bench_case_param(const struct bench_case *c, const char *name);

/* Set or add a parameter (sweep and --param). */
void bench_case_set(struct bench_case *c, const char *name, const char *value);

/*
 * Choose by parameters, "name=value", NULL-terminated: of one that a matrix spans the cases with that value stay, another one
 * is set. -EINVAL: not NAME=VALUE, no such parameter, or a value that is not in the matrix. NULL changes nothing.
 */
int bench_cases_choose(struct bench_case *list, size_t *n, const char *const *params, struct error *e);

/*
 * The command as it is run: placeholders replaced, the scale parameter times `multiplier`. workloads: folder of our own
 * workload programs; prefix: of the build, may be NULL. NULL-terminated, owned by the caller: bench_case_argv_release().
 */
char **bench_case_argv(const struct bench_case *c, unsigned multiplier, const char *workloads, const char *prefix);
void bench_case_argv_release(char **argv);

/* "hot_path C4", "mixed_ws256 mixed", "sort n=1000": short name for people. Returns out. */
const char *bench_case_name(const struct bench_case *c, char *out, size_t n);

/* Find or add workload and case in the store. program_hash: of the executed file, NULL when it is part of the build. */
int bench_case_store(struct store *s, const struct bench_case *c, const char *program, const char *program_hash, int64_t *case_id,
		     struct error *e);

/* "NAME=value" strings as the store keeps an environment: JSON, keys sorted. NULL is none. Caller frees. */
char *bench_case_environment_json(char *const *list);

/* The metric that this case is judged by: ops_per_cpu_s or ops_per_s. */
const char *bench_case_metric(const struct bench_case *c);
