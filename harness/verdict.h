/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/stats.h"
#include "harness/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * From stored rounds to an answer: which rounds count, what the controls say, what stats_compare() makes of it. Reads
 * the record and nothing else, so a report repeats the answer that was given when it was measured.
 *
 * The rule: a round counts when both arms ran well in it at N operations (runs of 2N serve the split into start-up and
 * slope), their work had the same checksum, and the round is not flagged as disturbed. Where three rounds or more, and more than
 * one in four, have no figure, the answer is invalid.
 */
struct verdict_question {
	int64_t session_id, case_id;
	int64_t arm_a, arm_b; /* ids: before, after */
	const char *metric;
	double delta;	   /* a ratio; negative: the default */
	double confidence; /* 0: the default */
	bool no_control;   /* a positive control is not part of this session */
	bool same_bytes;   /* the arms load the same bytes: a difference can only come from elsewhere, so it is invalid */
	double layout_sd;  /* log units, of one arm's fixed link, for "this source" where layout was not redrawn; 0: unknown */
};

struct verdict_answer {
	struct stats_answer a;
	enum stats_better better; /* of the metric */
	size_t disturbed; /* rounds left out by the rule */
	size_t failed;	  /* rounds left out because a run went wrong or gave no figure */
	char why_failed[300]; /* the first of them: "after, crashed: SIGSEGV" */
	bool mismatch;	  /* the arms did different work: checksums differ */
	bool redrawn;	  /* every round had links of its own: the answer is about the source */
	size_t links;
	double before, after;	   /* medians of the metric's values */
	double before_op, after_op; /* per operation; NAN where that has no meaning */
	struct stats_noise aa;	   /* A/A pairs of this case and session, all arms */
	size_t n_control;
	enum stats_control control;
	double control_seen, control_expected; /* median log-ratio, NAN without */
	char detail[600]; /* one line: why invalid, or what was left out; "" when there is nothing to say */
};

/* Returns 0, or -errno with *e when the record cannot be read. */
int verdict_ask(struct store *s, const struct verdict_question *q, struct verdict_answer *out, struct error *e);

/* The same words for the store: keeps the answer as it was given now. */
int verdict_store(struct store *s, const struct verdict_question *q, const struct verdict_answer *a, bool primary, struct error *e);

/* The log-ratios that the answer rests on, in the order of the rounds. *x is the caller's to free. */
int verdict_ratios(struct store *s, const struct verdict_question *q, double **x, size_t *n, struct error *e);
