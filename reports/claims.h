/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/store_read.h"
#include "reports/page.h"

/*
 * Claims as the record has them, each with what its newest verification tried. All-zero is empty;
 * release with claim_list_release(), safe to repeat.
 */
struct claim_try {
	char *place;	       /* "mixed_ws256 C5, release" */
	char *outcome;	       /* "reproduced", "not reproduced", "unclear", "not tried" */
	char *metric, *detail; /* may be "" */
	bool own;
	int64_t rounds;
	double value, lo, hi; /* in the claim's unit; NAN: none */
};

struct claim_row {
	int64_t id, session; /* session 0: never tried */
	char *name, *text, *commit, *unit, *source, *date, *result;
	char *relative_to;     /* NULL: none */
	double relative_value; /* NAN: none */
	bool ratio, difference, share;
	double lo, hi, tolerance;
	struct claim_try *tries; /* its own configuration first */
	size_t n_tries;
};

struct claim_list {
	struct claim_row *items;
	size_t n;
};

int claim_list_load(struct store *s, struct claim_list *out, struct error *e);
void claim_list_release(struct claim_list *c);

/* NULL: none of that name. */
const struct claim_row *claim_list_find(const struct claim_list *c, const char *name);
/* The one in its own configuration, NULL without. */
const struct claim_try *claim_row_own(const struct claim_row *k);

void claim_line_claimed(struct line *l, const struct claim_row *k);
/* cell: of a table, where the interval stands below the figure. */
void claim_line_measured(
	struct line *l, const struct claim_row *k, const struct claim_try *t, bool cell);
/* "not reproduced anywhere (11 tried)" with its tone. */
void claim_line_result(struct line *l, const struct claim_row *k, bool cell);

/* Rows of claims whose names match a shell pattern; NULL: all. Returns how many. */
size_t claim_table(struct page *p, const struct claim_list *c, const char *pattern);

/* What was tried of one, in places that match a shell pattern; NULL: all. Returns how many. */
size_t claim_tries(struct page *p, const struct claim_row *k, const char *pattern);
