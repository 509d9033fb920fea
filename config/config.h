/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * hakperf.ini as structs: the subject, its variants, the workloads with their named parameters, the size classes
 * and the claims. Everything that is particular to one project stands there and nowhere in the code.
 * docs/configuration.md is the reference for the file.
 *
 * Steps: config_load(), read, config_release(). All strings are owned by the config; lists of strings are
 * NULL-terminated, and a list that was never given is NULL.
 */

enum config_use {
	CONFIG_PRELOAD, /* the artifact is a library put in by LD_PRELOAD */
	CONFIG_EXEC,	/* the workload's command is a program of the prefix */
	CONFIG_LIBRARY, /* the build links the workload itself */
};

struct config_recipe {
	char *name;	/* "" for the [subject] section's own */
	char *range;	/* "A..B" of revisions it is for; NULL: all */
	char **build;	/* command lines, one step each, with {src} {prefix} {jobs} {cc} {cflags} {variant}: see bisect/recipe.h */
	char *artifact; /* path in the prefix */
	char **test;	/* command lines that test what was built, after the build steps; NULL: none */
	int line;	/* of the file, where the section's first key stands */
};

struct config_subject {
	char *name;
	char *repository; /* path; "." is the folder that hakperf.ini lies in */
	char **paths;	  /* what matters in the tree; NULL: everything */
	enum config_use use;
	char **build_env, **run_env; /* "NAME=value" */
	unsigned build_timeout_s, run_timeout_s;
	bool network;	   /* builds may use it */
	char *cc, *cflags; /* toolchain from outside the history */
};

/* A build variant is an axis of measurement: its arguments replace the word {variant} in the build steps. */
struct config_variant {
	char *name;
	char *arguments; /* may be NULL */
};

/* A named request range in bytes: the same for every allocator. */
struct config_class {
	char *name;
	uint64_t min, max;
	int line;
};

struct config_param {
	char *name;
	char **values; /* at least one; more than one span a matrix */
};

enum config_judge { CONFIG_BY_CPU, CONFIG_BY_WALL };

struct config_workload {
	char *name;
	char **command; /* argv with {parameter}, {workloads}, {prefix}, {min}, {max} */
	char **classes; /* names of the size classes it is run with; NULL: once, without a class */
	struct config_param *params;
	size_t n_params;
	char *scale;		 /* the parameter that is doubled for runs of 2N; NULL: none */
	enum config_judge judge; /* one-thread workloads by CPU time, threads by wall time */
	char *phase;		 /* "steady" or "cold" */
	bool exact;		 /* one thread and deterministic: may be counted by callgrind */
	char *figure, *figure_unit; /* foreign command: regular expression with one group that holds the figure */
	bool figure_lower_is_better;
	int line;
};

/* How exact a claim is taken to be that does not say: two digits are told of most figures. */
#define CONFIG_CLAIM_TOLERANCE 0.05

struct config_claim {
	char *name, *text, *commit, *workload, *class_name, *variant, *metric, *unit, *source, *date, *relative_to;
	double lo, hi; /* the claimed figure or range; equal for one figure; NAN: none given */
	double relative_value; /* what was claimed of relative_to, in the same unit: judged as the ratio of the two; NAN: lo and hi are the ratio */
	bool difference; /* lo and hi are what commit has more than relative_to */
	double operations; /* so many are one of the claim's unit: 2 where a malloc and its free are told as one */
	double tolerance; /* a fraction of the value: the claim is as exact as that */
	char **params; /* "name=value" of the workload; NULL-terminated; NULL: its own */
	char *function, *entry; /* the claim is a share in %: of the calls of entry, how many reach function */
	int line;
};

/* A part of the subject, for grouping in the accounting: shell patterns over "file:function". */
struct config_part {
	char *name;
	char **patterns;
};

/* A page with the project's own words, for reports. */
struct config_story {
	char *name;
	char *file; /* relative to the configuration's folder */
	char *title; /* in the links to it; NULL: the name */
	int line;
};

struct config_cell {
	char *workload, *class_name; /* class_name NULL: every class of the workload */
};

/* The main job: which question it asks. */
struct config_main {
	char *good, *bad;	   /* revisions; NULL where the file has no [main] */
	struct config_cell bisect; /* searched by exact count and by throughput; default: the first workload */
	struct config_cell *exact; /* exact counts for every phase */
	size_t n_exact;
	struct config_cell *timed; /* timed for every phase; default: every workload with all its classes */
	size_t n_timed;
	bool timed_given;
	int line;
};

struct config {
	char *path;   /* the file it came from */
	char *folder; /* absolute folder of that file */
	struct config_subject subject;
	struct config_recipe *recipes; /* [0] is the subject's own */
	size_t n_recipes;
	struct config_variant *variants; /* [0] is the default; at least one */
	size_t n_variants;
	struct config_class *classes;
	size_t n_classes;
	struct config_workload *workloads;
	size_t n_workloads;
	struct config_claim *claims;
	size_t n_claims;
	struct config_part *parts;
	size_t n_parts;
	struct config_story *stories;
	size_t n_stories;
	struct config_main main_job;
};

/*
 * Read and check the file. Unknown sections and keys, numbers that do not parse, names used but not defined, and lines
 * that libinih would cut in silence (over 190 bytes; section names over 45) are errors: "hakperf.ini:12: …".
 * Returns 0 or -errno with *e; then *c is released.
 */
int config_load(const char *path, struct config *c, struct error *e);
void config_release(struct config *c);

/* What a claim is that says nothing; release with config_claim_release(), safe to repeat. */
void config_claim_defaults(struct config_claim *k);
void config_claim_release(struct config_claim *k);

/* Does it say what can be tried, in names that the configuration has? -EINVAL with *e: what is missing. */
int config_claim_check(const struct config *c, const struct config_claim *k, struct error *e);

/* NULL when there is none of that name. */
const struct config_class *config_class(const struct config *c, const char *name);
const struct config_workload *config_workload(const struct config *c, const char *name);
const struct config_variant *config_variant(const struct config *c, const char *name);

/* The first value of a workload's parameter, or NULL. */
const char *config_param(const struct config_workload *w, const char *name);
