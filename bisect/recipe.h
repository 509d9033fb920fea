/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum recipe_kind {
	RECIPE_PRELOAD, /* the artifact is a library that is preloaded: it must interpose malloc */
	RECIPE_LIBRARY, /* the workload is linked against it */
	RECIPE_EXEC,	/* the artifact is a program (or script) */
};

/*
 * How a subject is built. All strings are borrowed; all-zero but for commands and artifact is
 * valid.
 *
 * A command is one line: words apart by blanks, grouped by '…' or "…" (a backslash escapes inside
 * "…" and outside); no shell, unless the line begins with "sh:": then the rest goes to /bin/sh -e
 * -c. In both, {src} {prefix} {jobs} {cc} {cflags} {ldflags} and {variant} (the variant's
 * arguments) are replaced; a word that is exactly {variant} becomes that many words, none without
 * arguments. "{{" is a brace. The same values are in the environment as HAKPERF_SRC,
 * HAKPERF_PREFIX, HAKPERF_JOBS, HAKPERF_VARIANT (its name), CC, CFLAGS, LDFLAGS. Commands start in
 * {src}, the repository's root as exported (only the subject's paths are there), with a built
 * environment: PATH, HOME and TMPDIR (scratch), LC_ALL=C, TZ=UTC, SOURCE_DATE_EPOCH, the above,
 * then env.
 */
struct recipe {
	const char *name; /* NULL: "default" */
	const char *const *commands;
	size_t n_commands;
	const char *const *paths; /* of the repository; none: all */
	size_t n_paths;
	const char *artifact; /* relative to the prefix */
	enum recipe_kind kind;
	const char *const *env; /* "NAME=value" */
	size_t n_env;
	const char *variant;	      /* NULL: "release" */
	const char *variant_args;     /* words for {variant}; NULL: none */
	const char *cc;		      /* name or path; NULL: "gcc" */
	const char *cflags, *ldflags; /* NULL: "-O2", "" */
	uint64_t timeout_ns;	      /* of all commands together; 0: ten minutes */
	bool network;		      /* the build may use it */
};

/* What the placeholders stand for. */
struct recipe_values {
	const char *src, *prefix;
	unsigned jobs;
	const char *cflags; /* with what the build adds */
};

/* A NULL-terminated vector of strings; release with recipe_words_release(), safe to repeat. */
struct recipe_words {
	char **v;
	size_t n, cap;
};

/*
 * One command line as an argument vector, placeholders replaced. -EINVAL: an unknown placeholder,
 * an open quote, an empty line; the message quotes the line.
 */
int recipe_expand(const struct recipe *r, const char *line, const struct recipe_values *v,
		  struct recipe_words *out, struct error *e);

/* Check what can be checked without a commit: commands, artifact (relative, without ".."), paths,
 * env. -EINVAL. */
int recipe_check(const struct recipe *r, struct error *e);

/* A canonical text of all that decides what a build becomes, toolchain apart: part of the key.
 * Appended. */
void recipe_canonical(const struct recipe *r, struct buf *out);

void recipe_words_add(struct recipe_words *w, const char *s);
void recipe_words_release(struct recipe_words *w);
