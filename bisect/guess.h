/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * How is this repository built, and what comes out that could be measured? A guess from its files, for `hakperf init`,
 * which a person then reads and corrects. Pure: files in, words out.
 */
struct guess_file {
	const char *path; /* relative to the repository's root */
	const char *text; /* NUL-terminated; "" where it was not read */
	bool executable;
};

enum guess_system { GUESS_NOTHING, GUESS_MAKE, GUESS_CMAKE, GUESS_MESON, GUESS_AUTOTOOLS, GUESS_PYTHON, GUESS_ONE_SOURCE };

#define GUESS_STEPS 4

/* All-zero is valid. Release with guess_release(), safe to repeat. */
struct guess {
	enum guess_system system;
	bool library;	  /* the artifact is a shared library; else a program */
	bool owns_malloc; /* a source defines malloc: the library can be preloaded */
	bool main_c;	  /* a source has a main() that could be a benchmark */
	char *target;	  /* what is built: "fast" of libfast.so, or the program's name; NULL: not found */
	char *build[GUESS_STEPS]; /* commands with {src}, {prefix}, …; NULL after the last */
	char *artifact;	  /* in the prefix */
	char *from;	  /* the file that told, for people; NULL: none did */
};

const char *guess_system_name(enum guess_system s);

/* files: n of them, sorted by path. fallback: a name for what has none, the repository's. */
void guess_build(const struct guess_file *files, size_t n, const char *fallback, struct guess *out);
void guess_release(struct guess *g);
