/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "harness/cgsum.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Cycle accounting: what each part of the subject's code costs, path by path. Pure arithmetic over
 * a callgrind sum with addresses, made with callers told apart (callgrind_spec.callers), and over
 * what a resolver says of each address.
 *
 * A path is all that runs because one entry point was called: the program calls malloc, malloc
 * calls what it needs. Path 0 is what runs for none: the program itself. Costs are instructions of
 * the region. They add up: over rows of a path, over paths, to the exact count. Where callers are
 * not told apart, a function's cost is divided among its paths by what its callers spent in it; how
 * much was divided so is said.
 */
struct account_frame {
	const char *function; /* NULL: unknown */
	const char *file;     /* of `line`; NULL: unknown */
	unsigned line; /* innermost: of the instruction; else of the call to the frame before */
	const char *decl_file; /* of the function; NULL: unknown */
	uint64_t entry;        /* address at which this copy of the code begins */
	uint64_t instance;     /* tells copies apart */
};

#define ACCOUNT_FRAMES 32

/*
 * Frames of an address of an object, innermost first; returns how many, 0: nothing is known but the
 * symbol.
 */
typedef size_t account_resolver(void *ctx, const char *object, uint64_t address,
				struct account_frame *out, size_t max);

struct account_input {
	const struct cgsum *sum;
	/* The subject's file as sum names it; NULL: the program is the subject, all is one path. */
	const char *object;
	/* NULL-terminated names; NULL: whatever the program calls of that file. */
	const char *const *entries;
	uint64_t operations;	   /* of the region, > 0 */
	account_resolver *resolve; /* NULL: symbols alone */
	void *ctx;
};

struct account_path {
	const char *name; /* of the entry point; "(program)" for path 0 */
	double calls;	  /* by the program; of path 0: operations */
	double ir;	  /* everything below */
	/* Of it in code that at least half of the calls reach; the rest is the slow path. */
	double fast_ir;
	/* Calls from code that half of the calls reach into functions that fewer reach. */
	double left;
};

/*
 * A function on a path (depth 0), or code inlined into its parent row. Rows of a path are in
 * depth-first order, dearest first; a row's children follow it.
 */
struct account_row {
	size_t path, parent; /* parent: index, SIZE_MAX at depth 0 */
	unsigned depth;
	const char *function; /* compilers' suffixes (.cold, .part.0) taken off */
	const char *file;     /* where it is declared, "" unknown */
	const char *object;   /* path of its ELF file */
	bool by_symbol;       /* no debug information: told by the symbol, inlined code unseen */
	bool unknown;         /* not even a symbol */
	double self_ir;       /* of code that is this very row's */
	double inclusive_ir;  /* self, inlined, and all that they called; recursion counts once */
	double calls;         /* depth 0: calls; else how often the inlined code was entered */
	double reached; /* share of the path's calls that come here, at most: exact where a call
			   comes here once */
	double fast_ir; /* of self_ir */
};

struct account_line {
	const char *file; /* "" unknown */
	unsigned line;
};

/* An instruction: on one path, in one row. Ascending (row, address). */
struct account_place {
	size_t row;
	uint64_t address;
	double ir;        /* how often it was executed */
	double called_ir; /* what was called from here */
	bool fast;
	unsigned n_lines; /* > 0: of the instruction, then of the calls it was inlined by */
	struct account_line *lines;
};

/*
 * All strings are the account's own. All-zero is valid; release with account_release(), safe to
 * repeat.
 */
struct account {
	uint64_t operations;
	double total_ir;        /* = sum over paths */
	double unattributed_ir; /* neither debug information nor symbol; part of the total */
	double by_symbol_ir;    /* of the subject's own code: symbol but no debug information */
	double divided_ir;      /* divided among paths by proportion */
	struct account_path *paths;
	size_t n_paths;
	struct account_row *rows;
	size_t n_rows;
	struct account_place *places;
	size_t n_places;
	struct account_names *names;
	struct account_line *lines;
};

void account_make(const struct account_input *in, struct account *out);
void account_release(struct account *a);

/* Index of a path, SIZE_MAX when nothing ran on it. */
size_t account_path_find(const struct account *a, const char *name);

/* "free > tls_sll_push > block_set_next": a row with the rows it was inlined into. Caller frees. */
char *account_row_name(const struct account *a, size_t row);

/*
 * What a function costs on a path wherever it stands, itself or inlined: rows of that name that are
 * in no other such row, added up. False when there is none.
 */
struct account_function {
	double self_ir, inclusive_ir, calls, reached;
	bool inlined, own; /* seen inlined; seen as a function of its own */
	double fast_ir;    /* of self_ir with what is inlined in it */
};
bool account_function(const struct account *a, size_t path, const char *function,
		      struct account_function *out);

/*
 * One string a text: for the structs here and in account_diff.h. names: NULL at first.
 */
struct account_names;
const char *account_name(struct account_names **names, const char *text);
void account_names_release(struct account_names *names);

/* Take "./" and compilers' suffixes off. Pure, into out. */
void account_plain_function(const char *name, char *out, size_t n);

/*
 * Is a row's function the one that a person asks for? In C++ inlined functions bear their plain
 * names, others their whole symbols: "push" and "pool::List::push(void*)" may both be asked for as
 * "push" and as "pool::List::push", the second not as "other::push". Pure.
 */
bool account_is_function(const char *row, const char *asked);
