/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/project.h"
#include "cli/sweep_plan.h"
#include "harness/claim.h"

#include <jansson.h>

/*
 * Claims: those of hakperf.ini, which are entered in the record when they are first looked at, and
 * those that were added to the record alone. A name stands for one claim for good.
 */
struct claims {
	struct claim_entry {
		struct config_claim k;
		int64_t id;
	} * items;
	size_t n, cap;
};

/* All-zero is valid; release with claims_release(), safe to repeat. -EEXIST: the record has another
 * claim of that name. */
int claims_load(struct project *p, struct claims *out, struct error *e);
void claims_release(struct claims *c);

/* Enter one in the record; it is checked against the configuration first. */
int claim_enter(struct project *p, const struct config_claim *k, int64_t *id, struct error *e);

/* The figure as it is to be held against what is measured: as claimed, or as a ratio. */
struct claim_aim {
	double lo, hi;
	const char *unit; /* borrowed from the claim; "ratio" */
	double scale;	  /* a measured ratio times this is in the claim's own unit */
};
struct claim_aim claim_aim(const struct config_claim *k);

/* "59 M ops/s, 6.41 times phase:E1", "634 cycles more than phase:E1", "1..5 % of free reach
 * classify_ptr". Caller frees. */
char *claim_words(const struct config_claim *k);

struct claim_options {
	struct sweep_axes axes; /* more values to try */
	double max_time, confidence, wait;
	bool sweep;
};

/*
 * Try the chosen claims (indices into c, n of them): each in its own configuration first, then in
 * the others. Everything measured and every result goes to the record. *result: for people through
 * claim_print(), and the result of --json; the caller's to release.
 */
int claim_verify(struct project *p, const struct claims *c, const size_t *chosen, size_t n,
	const struct claim_options *o, json_t **result, struct error *e);
