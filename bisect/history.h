/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The git history of a subject: revisions, commits, the subject's tree. Reads only: neither the
 * user's index nor files nor object database change, and nothing is checked out over anyone's work.
 *
 * A caller opens the repository, resolves revisions to commits, asks for a range (bisect/range.h)
 * or a difference (bisect/diff.h), and exports trees. One handle serves one thread at a time,
 * except history_export() and history_tree_key(), which lock.
 */
struct history;

#define HISTORY_ID 41	    /* 40 hexadecimal digits and a NUL */
#define HISTORY_SHORT_ID 13 /* 12 digits */

/*
 * A commit, or the working tree: the files as they stand (untracked ones too, ignored ones not),
 * whose id is "worktree" and whose one parent is HEAD. Where nothing differs from HEAD its tree is
 * HEAD's, so that it shares HEAD's build. Release with history_commit_release(), safe to repeat;
 * all-zero is valid.
 */
struct history_commit {
	char id[HISTORY_ID];
	char short_id[HISTORY_SHORT_ID];
	char tree[HISTORY_ID]; /* git's id of the root tree */
	char *subject; /* first paragraph's first line, valid UTF-8 without control characters */
	bool subject_escaped;  /* bytes of the subject stand as \xNN */
	char *author;	       /* name, as the subject */
	int64_t author_time_s; /* since 1970; the worktree: HEAD's */
	int64_t commit_time_s;
	char *phase; /* value of the trailer "Phase:", NULL without one */
	char (*parents)[HISTORY_ID];
	size_t n_parents;
	bool worktree; /* this is the working tree */
	bool dirty;    /* worktree only: the tree differs from HEAD's */
};

/*
 * Open the repository at path: a working tree, a folder inside one, a .git folder or a bare
 * repository. Errors say the remedy: not a repository (-ENOENT), owned by another user (-EPERM).
 * Close with history_close(); NULL is allowed there.
 */
int history_open(struct history **h, const char *path, struct error *e);
void history_close(struct history *h);

const char *history_workdir(const struct history *h); /* absolute, ends in '/'; NULL: bare */
const char *history_gitdir(const struct history *h);
bool history_shallow(const struct history *h);

/*
 * Resolve one revision: "worktree", "phase:NAME" (the one commit reachable from HEAD whose last
 * trailer block has "Phase: NAME", case-insensitive; "~N" and "^" may follow), then git's own grammar, peeled to a commit.
 * -ENOENT: unknown; -EEXIST: several; both with the candidates in the message. -EINVAL: a range or
 * not a commit.
 */
int history_resolve(struct history *h, const char *rev, struct history_commit *out,
		    struct error *e);

/* The commit of a full id; "worktree" is allowed. */
int history_lookup(struct history *h, const char *id, struct history_commit *out, struct error *e);

/* A copy of its own for the caller. */
void history_commit_copy(struct history_commit *to, const struct history_commit *from);
void history_commit_release(struct history_commit *c);

/* Whole message as the commit has it, escaped as the subject but with its newlines. Appended to
 * out. */
int history_message(struct history *h, const struct history_commit *c, struct buf *out,
		    struct error *e);

/*
 * All commits reachable from HEAD that open a phase, oldest first (topological). *list: n commits,
 * owned by the caller; release with history_list_release().
 */
int history_phases(struct history *h, struct history_commit **list, size_t *n, struct error *e);
void history_list_release(struct history_commit *list, size_t n);

/*
 * Identity of the subject in a commit: a hash over (path, mode, git object id) of each of the
 * subject's paths, so that commits that do not touch the subject have the same key. paths: relative
 * to the repository's root, borrowed; none, or ".", is everything. *present (may be NULL): how many
 * of the paths exist there.
 */
int history_tree_key(struct history *h, const struct history_commit *c, const char *const *paths,
		     size_t n_paths, char key[HASH_HEX], size_t *present, struct error *e);

/* What an export left out. Release with buf_release(&x->submodules). */
struct history_exported {
	size_t n_submodules;
	struct buf submodules; /* their paths, escaped, one a line */
};

/*
 * Write the subject's paths of a commit below target (an absolute path; made when missing), at
 * their places relative to the repository's root, bytes as in the commit (no filters, no line-end
 * conversion), with symbolic links and executable bits. Submodules become empty folders and are
 * told in *x (may be NULL). Locks: any thread may call. -ENOENT: the commit has none of the paths.
 */
int history_export(struct history *h, const struct history_commit *c, const char *const *paths,
		   size_t n_paths, const char *target, struct history_exported *x, struct error *e);

/* A file's bytes appended to out, and its mode (as git's: 0100644, 0100755, 0120000). */
int history_file(struct history *h, const struct history_commit *c, const char *path,
		 struct buf *out, unsigned *mode, struct error *e);

/* mode 0: the file is taken away. */
struct history_file {
	const char *path;
	const void *bytes;
	size_t n;
	unsigned mode;
};

/*
 * base with other files, in memory: like the working tree it has no id of its own, and base is its one parent.
 * For trees that no commit has; it can be built and exported as any.
 */
int history_overlay(struct history *h, const struct history_commit *base,
		    const struct history_file *files, size_t n, struct history_commit *out,
		    struct error *e);

/*
 * Append n bytes as valid UTF-8 without control characters (keep_newlines: but '\n' and '\t'): any
 * other byte becomes \xNN, and so does nothing else. Returns true when a byte was escaped.
 */
bool history_escape(const char *bytes, size_t n, bool keep_newlines, struct buf *out);

/* For bisect/range.c and bisect/diff.c: the libgit2 handle, borrowed; an error of libgit2's last
 * call into *e. */
struct git_repository;
struct git_repository *history_git(struct history *h);
int history_git_error(const struct history *h, int rc, struct error *e, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
