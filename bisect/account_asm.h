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
 * The address and text of a line of `objdump -d --no-show-raw-insn`; false for any other line.
 * Pure.
 */
bool account_objdump_line(const char *line, size_t n, uint64_t *address, struct buf *text);
