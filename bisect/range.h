/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/history.h"

/*
 * The commits between good and bad: good itself and every descendant of good that is an ancestor of
 * bad or bad itself (git's --ancestry-path), as a graph in topological order: parents before
 * children, commits[0] is good and commits[n - 1] is bad. A worktree as bad stands after HEAD.
 */
struct range_commit {
	struct history_commit info;
	size_t *parents; /* indices in the range, each below the commit's own; good has none */
	size_t n_parents;
	size_t n_outside;	 /* parents that do not descend from good: a merge brings them in */
	char tree_key[HASH_HEX]; /* history_tree_key() of the subject's paths */
	bool changes_subject; /* the key differs from every parent's in the range (good: false) */
};

struct range {
	struct range_commit *commits;
	size_t n;
};

/*
 * good, bad: resolved commits, borrowed. first_parent: only the chain of first parents from bad
 * down to good. paths: as in history_tree_key(). -EINVAL with a remedy: good is no ancestor of bad
 * (swapped, or side by side: the message names their merge base). -ENODATA: the walk left a shallow
 * clone. One and the same commit gives a range of one. Release with range_release(), safe to
 * repeat.
 */
int range_between(struct history *h, const struct history_commit *good,
		  const struct history_commit *bad, bool first_parent, const char *const *paths,
		  size_t n_paths, struct range *out, struct error *e);
void range_release(struct range *r);

/* Index of the commit with this full id, or r->n. */
size_t range_find(const struct range *r, const char *id);

/* Is commit a an ancestor of commit b, or b itself? Indices in the range. */
bool range_is_ancestor(const struct range *r, size_t a, size_t b);

/*
 * A branch that commit i merges and that does not descend from good, or that first parents leave
 * out: from the commit where it parted from i's other parents ("" where it never was one with
 * them) to its tip.
 */
struct range_branch {
	char fork[HISTORY_ID], tip[HISTORY_ID];
	size_t commits; /* that the merge brings in by it, at least 1 */
};

/* *list: to be freed; NULL and 0 where i merges none. */
int range_branches(struct history *h, const struct range *r, size_t i, struct range_branch **list,
		   size_t *n, struct error *e);

/*
 * Which of n commits does a specification name? "A..B": reachable from B and not from A, as in git;
 * "A..": all but A and its ancestors; "..B": B and its ancestors; A and B as in history_resolve().
 * The working tree counts as a child of HEAD. commits: n borrowed pointers; in: n answers. -EINVAL:
 * not such a specification.
 */
int range_select(struct history *h, const char *spec, const struct history_commit *const *commits,
		 size_t n, bool *in, struct error *e);
