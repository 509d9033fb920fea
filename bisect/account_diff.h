/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/account.h"
#include "bisect/diff.h"
#include "config/config.h"

/*
 * What changed between two accounts of one case, in instructions per operation. Pure. Everything
 * adds up to b_per_op - a_per_op: over paths, over changes, over parts, and over hunks with what
 * lies outside of them.
 */
enum account_kind {
	ACCOUNT_SAME,
	ACCOUNT_GROWN,
	ACCOUNT_SHRUNK,
	ACCOUNT_NEW,
	ACCOUNT_GONE,
	ACCOUNT_MOVED,   /* the function's code stands in another place: inlined, or no longer */
	ACCOUNT_RENAMED, /* the same source lines bear another name */
};
const char *account_kind_name(enum account_kind k);

struct account_change {
	enum account_kind kind;
	const char *path;
	const char *name;            /* chain as account_row_name(), in B; in A when gone */
	const char *was;             /* chain in A where it is another, else NULL */
	const char *function, *file; /* innermost */
	const char *part;            /* of the configuration, NULL: none names it */
	double a, b;                 /* self cost per operation */
	double a_calls, b_calls;     /* per operation */
	double delta;                /* b - a */
};

struct account_path_change {
	const char *path;
	double a_calls, b_calls; /* per operation */
	double a, b;             /* per operation */
};

struct account_part_change {
	const char *part; /* "(no part)" for the rest */
	double a, b;
};

/* Release with account_diff_release(), safe to repeat. Strings are its own. */
struct account_diff {
	double a_per_op, b_per_op;
	struct account_change *changes; /* descending |delta| */
	size_t n_changes;
	size_t n_telling; /* so many of the first explain 95 % of the sum of |delta| */
	struct account_path_change *paths; /* descending |delta| */
	size_t n_paths;
	struct account_part_change
		*parts; /* descending |delta|; none without parts in the configuration */
	size_t n_parts;
	struct account_names *names;
};

/*
 * d: from A's tree to B's with no context lines, NULL: unknown (renames go unseen). parts: of the
 * configuration, may be none.
 */
void account_diff_make(const struct account *a, const struct account *b, const struct diff *d,
		       const struct config_part *parts, size_t n_parts, struct account_diff *out);
void account_diff_release(struct account_diff *x);

/*
 * The part that a row belongs to: the first whose shell pattern matches "file:function" of the
 * innermost code, else of the code around it. NULL: none.
 */
const char *account_part(const struct account *a, size_t row, const struct config_part *parts,
			 size_t n_parts);

struct account_hunk_line {
	bool old; /* a line of A that is gone, else one of B that is new */
	unsigned line;
	double per_op;
};

struct account_hunk {
	size_t file, hunk; /* indices into the diff */
	double a, b; /* what its old lines cost in A, its new ones in B, per operation: code inlined
			there included */
	struct account_hunk_line *lines; /* that cost anything, old before new, ascending */
	size_t n_lines;
};

struct account_outside {
	const char *function, *file; /* borrowed from the accounts */
	double a, b;
};

struct account_hunks {
	struct account_hunk *hunks;      /* descending |b - a|, those that cost anything */
	size_t n_hunks, n_silent;        /* silent: hunks of which nothing ran */
	struct account_outside *outside; /* lines that the diff did not touch, by function;
					    descending |b - a|, changed ones */
	size_t n_outside;
	double outside_a, outside_b;
};

/*
 * d: as above. Debug information names source files in many ways: they are matched by the end of
 * their path.
 */
void account_hunks_make(const struct account *a, const struct account *b, const struct diff *d,
			struct account_hunks *out);
void account_hunks_release(struct account_hunks *h);

/*
 * The file of a diff that a path of debug information means, SIZE_MAX: none, or it cannot be told
 * which.
 */
size_t account_diff_file(const struct diff *d, const char *path, bool old);

/*
 * Where line `line` of A's file is in B, 0 when the diff removed it. Files that the diff does not
 * name keep their lines.
 */
unsigned account_line_in_b(const struct diff *d, size_t file, unsigned line);
