/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "bisect/recipe.h"
#include "harness/child.h"

/*
 * Where build commands run: a scratch folder, the box, with src/ and prefix/ in it. Under
 * bubblewrap the box is /tmp, the rest of the machine is read-only, there is no network unless the
 * recipe wants it, processes cannot outlive the command, and paths are the same for every build
 * (/tmp/src, /tmp/prefix). Where bubblewrap is missing or not allowed, commands run plain in the
 * box.
 */
struct sandbox {
	const char *box; /* absolute; borrowed */
	const char *
		ccache; /* folder of the compiler cache; NULL: none (also where the box is plain) */
	bool bubblewrap;
	bool network;
};

/* Does bubblewrap work here? Tries it. */
bool sandbox_works(void);

/* The folder's two places as the commands see them. Owned by the caller. */
char *sandbox_path(const struct sandbox *s, const char *name);

/*
 * Run argv in the box's src/, log appended. env: of the recipe, after the sandbox's own (later
 * wins). Returns 0 with *r filled; -errno for the machine's faults, a program that is not installed
 * (-ENOENT) among them.
 */
int sandbox_run(const struct sandbox *s, const struct recipe *recipe, const struct recipe_values *v,
		char *const *argv, const char *log_path, uint64_t timeout_ns,
		struct child_result *r, struct error *e);

/* Make the box's folders, the compilers' names for ccache, and what catches links
 * (bisect/linkcatch.h). */
int sandbox_prepare(const struct sandbox *s, const struct recipe *recipe, struct error *e);
