/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/account_run.h"
#include "bisect/diff.h"
#include "bisect/split.h"
#include "bisect/subject.h"

/*
 * Which part of a commit carries its cost: its hunks in the smallest groups that build, each put
 * onto the parent and taken from the commit, every such tree built and counted.
 */
struct account_split_options {
	struct subject *subject;
	const struct history_commit *commit; /* with a parent, or the working tree */
	const char *variant;
	const struct bench_case *c;
	const char *workloads;
	size_t limit; /* sets to try to build; 0: 300 */
	void (*say)(void *ctx, const char *line);
	void *ctx;
};

struct account_split_unit {
	size_t file, hunk; /* of the diff; hunk SIZE_MAX: the file as a whole (added, removed,
			      renamed, binary, many hunks) */
};

/* NAN: such a tree does not build, or was not counted. Instructions per operation. */
struct account_split_part {
	double put_on;    /* parent with the group less the parent; in the chain: with all groups
			     before it, less without it */
	double taken_off; /* commit less the commit without the group */
	bool silent;      /* both ways the same bytes are loaded: the group makes no code */
};

struct account_split {
	struct diff diff;
	struct account_split_unit *units;
	size_t n_units;
	struct split split;
	struct account_split_part *parts; /* as split.groups */
	double parent, commit;            /* instructions per operation */
	size_t builds, counts;
};

/*
 * Returns 0, or -errno with *e. -ENODATA: parent or commit cannot be built or counted. Release,
 * safe to repeat.
 */
int account_split_run(const struct account_split_options *o, struct account_split *out,
		      struct error *e);
void account_split_release(struct account_split *s);

/*
 * The text of a file that has some of its hunks: old and new are both sides' bytes, hunks without
 * context. Pure.
 */
void account_split_compose(const struct diff_file *f, const bool *with, const struct buf *old,
			   const struct buf *new, struct buf *out);
