/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/account_json.h"
#include "cli/measure.h"

#include <stdio.h>

/*
 * The verb `account` and what it prints. One or two revisions, each built, each case counted once a revision.
 */
struct accounting {
	struct measure m;	 /* one or two arms, the cases */
	struct account_count *counts; /* n_cases × n_arms */
	size_t detail;		 /* the case that is told in full */
	struct diff diff;	 /* between the two revisions, without context lines */
	bool has_diff;
	bool all;		 /* every row, however cheap */
};

struct account_count *accounting_of(const struct accounting *x, size_t case_index, size_t arm);

/* Cases × entry points of one revision. */
void show_account_paths(const struct accounting *x, FILE *to);
/* One case in full, path by path. */
void show_account_rows(const struct accounting *x, size_t case_index, FILE *to);
/* Cases × entry points of both. */
void show_account_change(const struct accounting *x, FILE *to);
/* What changed in one case: functions, parts, hunks. */
void show_account_diff(const struct accounting *x, size_t case_index, FILE *to);
