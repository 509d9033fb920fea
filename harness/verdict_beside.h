/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "harness/verdict.h"

/*
 * What else the rounds of one question show: the other clock, faults and memory, hardware events, and the run's cost taken apart
 * by runs of N and 2N operations into start-up and cost per operation. All of it is descriptive: the primary question carries the
 * error rate, and these share a false-discovery rate (Benjamini and Hochberg over always-valid p-values).
 */
#define VERDICT_BESIDE_MAX 24

struct verdict_beside {
	const char *metric; /* static, or as in the question */
	const char *part;   /* "run"; "slope": per operation; "startup": before the first operation */
	struct stats_answer a; /* regression and improvement only where they hold among all that were looked at */
	double before, after;  /* medians: of the region; per operation for a slope; of the process for start-up */
	double q;	       /* adjusted p-value of "no difference" */
	bool redrawn;
};

/*
 * Metrics without a positive figure in both arms, in one round at least, are left out. main: the answer to the primary question: where it
 * is invalid, nothing is told (*n is 0). list: room for VERDICT_BESIDE_MAX. In a fixed order: the other clock first, the parts last.
 */
int verdict_beside(struct store *s, const struct verdict_question *q, const struct verdict_answer *main, struct verdict_beside *list,
		   size_t *n, struct error *e);

/* Keep them in the record, as descriptive. */
int verdict_beside_store(struct store *s, const struct verdict_question *q, const struct verdict_beside *list, size_t n, struct error *e);

/*
 * An answer by a metric of time, and the other time goes the other way, or the parts do: what people must be told. NULL: nothing
 * contradicts; other metrics may well differ from time.
 */
const struct verdict_beside *verdict_contradiction(const char *metric, const struct verdict_answer *main, const struct verdict_beside *list, size_t n);

/*
 * One arm's layout spread (sd, log units) of a case on this machine, learnt from A/A pairs of sessions that redrew their links and of
 * others that did not, and the degrees of freedom behind it. *sd 0: not known here (fewer than 12 pairs of either kind).
 */
int verdict_layout_learnt(struct store *s, int64_t machine, int64_t case_id, const char *metric, double *sd, double *dof, struct error *e);
