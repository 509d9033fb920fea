/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/history.h"

/* One run of changed lines with their context. Lines count from 1; a side without lines has its
 * lines at 0. */
struct diff_hunk {
	int old_start, old_lines, new_start, new_lines;
	char *heading; /* what follows the second @@, escaped; "" without */
	char *text;    /* each line with its ' ', '+' or '-', escaped, with newlines */
	size_t added, removed;
};

struct diff_file {
	char *old_path, *new_path; /* raw bytes as git has them; equal but for renames; NULL: not on
				      that side */
	char status;		   /* A added, D deleted, M modified, R renamed, T type changed */
	bool binary;		   /* then no hunks */
	struct diff_hunk *hunks;
	size_t n_hunks;
	size_t added, removed; /* lines */
};

struct diff {
	struct diff_file *files;
	size_t n_files;
	size_t added, removed;
};

/*
 * What turns one tree into another, renames found, limited to paths (as in history_tree_key();
 * none: all). from NULL: the empty tree. context: lines around each change. Release with
 * diff_release(), safe to repeat.
 */
int diff_trees(struct history *h, const struct history_commit *from,
	       const struct history_commit *to, const char *const *paths, size_t n_paths,
	       unsigned context, struct diff *out, struct error *e);

/* A commit against its first parent (a root commit: against nothing). */
int diff_commit(struct history *h, const struct history_commit *c, const char *const *paths,
		size_t n_paths, unsigned context, struct diff *out, struct error *e);
void diff_release(struct diff *d);
