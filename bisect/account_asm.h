/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "bisect/account.h"

/*
 * The instructions of a function that ran, with how often: its own code, or where it was inlined.
 * Disassembled by objdump (binutils), which must be in PATH.
 */
struct account_instruction {
	uint64_t address;
	char *text;       /* as objdump writes it */
	double per_op;    /* executions per operation */
	const char *file; /* of its source line, "" unknown; strings are the account's */
	unsigned line;
	char *chain; /* "tls_sll_push > block_set_next": what was inlined here, below the function;
			"" its own code */
	bool gap;    /* instructions before it did not run, or lie elsewhere */
};

struct account_listing {
	struct account_instruction *items; /* ascending address */
	size_t n;
	const char *object;  /* the file that has them; the account's */
	double calls_per_op; /* of the function, over all paths */
	double per_op;       /* = sum of items */
};

/*
 * -ENOENT: no instruction of such a function ran, or objdump is not there. Release with
 * account_listing_release().
 */
int account_listing(const struct account *a, const char *function, struct account_listing *out,
		    struct error *e);
void account_listing_release(struct account_listing *l);

/*
 * Two listings side by side: rows of indices, SIZE_MAX where a side has nothing. Equal instructions
 * stand in one row, as many as can be without changing an order; equal are those that differ in
 * addresses alone, which a jump names and a longer function moves. Longer listings than
 * ACCOUNT_ALIGN_MAX stand side by side from the top. *rows: the caller frees. Returns how many.
 * Pure.
 */
#define ACCOUNT_ALIGN_MAX 3000
struct account_pair {
	size_t a, b;
};
size_t account_listing_align(const struct account_listing *a, const struct account_listing *b,
			     struct account_pair **rows);

/*
 * The address and text of a line of `objdump -d --no-show-raw-insn`; false for any other line.
 * Pure.
 */
bool account_objdump_line(const char *line, size_t n, uint64_t *address, struct buf *text);
