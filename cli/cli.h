/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes of every verb but `judge`, which keeps git's. */
enum cli_exit {
	CLI_ANSWERED = 0, /* whatever the answer */
	CLI_FAIL_ON = 1,  /* only under --fail-on */
	CLI_USAGE = 2,
	CLI_CANNOT = 3,	  /* the machine or the input does not allow it */
};

struct cli_verb {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the verb */
	const char *help;		   /* first line: one-line summary without the verb; rest: usage and options */
	bool hidden;			   /* not in the list that a newcomer sees first */
};

extern const struct cli_verb cli_verbs[];
const struct cli_verb *cli_verb(const char *name);

/* "hakperf VERB: text" on stderr, one line; returns CLI_USAGE with a hint to the help, or CLI_CANNOT. */
int cli_usage(const char *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cli_cannot(const char *verb, const struct error *e);

/* A warning for a person on stderr; and in the JSON envelope of this process (cli_envelope). */
void cli_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Absolute folder of the git work tree (or bare repository) around the current folder; -errno with advice. Caller frees *root. */
int cli_root(char **root, struct error *e);

/* The database's path: option, else $HAKPERF_DB, else results.db at the root, or in this folder where there is no repository. Caller frees *path. */
int cli_db_path(const char *option, char **path, struct error *e);

/* Whole number in [lo, hi]; false when text is anything else. */
bool cli_number(const char *text, uint64_t lo, uint64_t hi, uint64_t *out);
/* --param NAME=VALUE, given again and again: a NULL-terminated list of borrowed words. All-zero is valid. */
#define CLI_PARAMS_MAX 16
struct cli_params {
	const char *items[CLI_PARAMS_MAX + 1];
	size_t n;
};
bool cli_param(struct cli_params *p, const char *word); /* false: not NAME=VALUE, or too many */
/* "1%", "0.5%" or "0.01" as a fraction; "60s", "2m", "1h", "90" as seconds. */
bool cli_fraction(const char *text, double *out);
bool cli_seconds(const char *text, double *out);

/*
 * The contract of --json: {schema, verb, request, result, warnings[]}. Steals request and result; prints to stdout.
 * Strings must be UTF-8: pass untrusted bytes through cli_json_string(), which escapes others as \xNN and warns.
 */
void cli_envelope(const char *verb, json_t *request, json_t *result);
json_t *cli_json_string(const char *bytes);

/* A figure: {value, unit, metric, source, rounds, lo, hi, verdict}; NaN and NULL become null. */
json_t *cli_json_figure(double value, const char *unit, const char *metric, const char *source, int64_t rounds, double lo, double hi,
			const char *verdict);
