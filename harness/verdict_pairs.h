/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "harness/verdict.h"

/* Inside harness/verdict*.c: what two arms did, round by round, as the record has it. */

/* One arm's part in one round. */
struct side {
	bool ran;
	double value; /* NAN: no figure */
	uint64_t link;
	double operations;
	char *checksum; /* NULL: none */
	char *why;	/* how the run went wrong; NULL: it did not */
};

struct pair {
	int64_t round;
	bool disturbed;
	bool events; /* the metric counts events, of which there may be none */
	struct side a, b;
};

struct pairs {
	struct pair *items;
	size_t n, cap;
};

/* Rounds in which one of the arms ran, at `multiplier` times N operations, by number. All-zero *out; pairs_release(). */
int pairs_read(struct store *s, const struct verdict_question *q, const char *metric, int64_t arm_a, int64_t arm_b, int multiplier,
	       struct pairs *out, struct error *e);
void pairs_release(struct pairs *p);

/* ln(b / a), NAN where a side has no figure. */
double pair_ratio(const struct pair *p);

/* Both ran, did the same work, were not disturbed, and have a ratio. */
bool pair_counts(const struct pair *p);

/* Direction of a metric, and whether it grows with the operations. -ENOENT: unknown to the record. */
int verdict_metric(struct store *s, const char *name, enum stats_better *better, bool *additive, struct error *e);
