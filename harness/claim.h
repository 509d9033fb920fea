/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/*
 * A claimed figure held against measured ones. Pure.
 *
 * A claim is a range [lo, hi], widened on both sides by its tolerance, a fraction of the value:
 * what was told as "−10 %" was not meant to the digit. What was measured is an interval on the same
 * figure. One lies in the other, beside it, or across an end of it.
 */
enum claim_outcome {
	CLAIM_UNTRIED, /* no figure: not built, not counted, no time left */
	CLAIM_OPEN,    /* the interval lies across an end of the range, or is unbounded */
	CLAIM_MET,
	CLAIM_MISSED,
};

enum claim_result {
	CLAIM_NOT_TRIED,
	CLAIM_UNCLEAR,	  /* in its own configuration not decided, and met in none of the others */
	CLAIM_REPRODUCED, /* in its own configuration */
	CLAIM_ELSEWHERE,  /* not in its own, but in another: "only with these parameters" */
	CLAIM_NOT_HERE,	  /* not in its own; in others it is not decided */
	CLAIM_NOWHERE,	  /* in no configuration that was tried */
};

/* seen_lo <= seen_hi, or NAN: no figure. */
enum claim_outcome claim_judge(
	double lo, double hi, double tolerance, double seen_lo, double seen_hi);

/*
 * own: the configuration that the claim names; CLAIM_UNTRIED where it names none, then every one
 * that was tried is another. "Nowhere" is said where nothing is left open.
 */
enum claim_result claim_conclude(
	enum claim_outcome own, const enum claim_outcome *others, size_t n);

/* "not tried", "unclear", "reproduced", "not reproduced" */
const char *claim_outcome_name(enum claim_outcome o);

/* The same, and "reproduced only elsewhere", "not reproduced, elsewhere unclear", "not reproduced
 * anywhere". */
const char *claim_result_name(enum claim_result r);
