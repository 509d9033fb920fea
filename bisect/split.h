/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The units of a commit (its hunks) in groups that build. Pure: what builds is asked of the caller.
 *
 * Every unit is in one group. Units that build on the parent by themselves come first, each a
 * group. The others follow as a chain: the parent with all groups up to any one of the chain
 * builds. A group of the chain is one unit that could be taken off all that follows it, or where
 * none could, a smallest set by delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating
 * Failure-Inducing Input", 2002).
 */
struct split_group {
	size_t *units;
	size_t n_units;
	bool alone; /* builds on the parent alone; else it stands on all groups before it */
};

/* Release with split_release(), safe to repeat. */
struct split {
	struct split_group *groups;
	size_t n_groups;
	size_t asked;  /* how many different sets were tried */
	bool complete; /* false: the limit came first, and what was left is one group */
};

/* Does the parent with these units (with[n]) build? 0 with the answer in *builds, or -errno. */
typedef int split_builds(void *ctx, const bool *with, size_t n, bool *builds, struct error *e);

/*
 * n units, of which all together are known to build. limit: sets to try at most. Returns 0, or what
 * the caller's function returned.
 */
int split_find(size_t n, split_builds *builds, void *ctx, size_t limit, struct split *out,
	       struct error *e);
void split_release(struct split *s);
