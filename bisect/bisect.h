/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/subject.h"
#include "harness/session.h"

#include <jansson.h>

/*
 * A bisect, from question to answer: endpoints first, then the search over the commits between
 * them, then each culprit against its parents side by side. Every measurement and decision is in
 * the record before the next; the same question asked again after a kill goes on where it was.
 */
struct bisect_options {
	struct subject *subject; /* all borrowed */
	struct store *store;
	const struct bench_case *c;
	const struct history_commit *good, *bad; /* resolved */
	const char *good_label, *bad_label;	 /* as the user wrote them */
	const char *variant;			 /* NULL: the default */
	const char *metric; /* "auto", "instructions_exact", "time" (what the case is judged by), or
			       a metric of timed rounds; NULL: auto */
	const char *const *events; /* as of session_options; NULL: the default set */
	double confidence;  /* posterior at which a commit is named; 0: 0.99 */
	double delta;	    /* smallest step of interest, a ratio; negative: 0.01 */
	double max_time_s;  /* of measuring, builds not counted; 0: 300 */
	bool first_parent, all; /* all: the whole staircase, cancelling steps too */
	bool improvement;	/* search too where bad is the better end */
	bool again;		/* do not take up an unfinished one, nor counts from the record */
	const char *workloads, *control, *toolkit_version;
	double lock_wait_s;
	/* Told of each decision, one line; share: of the expected work, 0 … 1, negative where
	 * unknown. May be NULL. */
	void (*say)(void *ctx, const char *line, double share);
	void *ctx;
};

/*
 * Returns 0 with *result, which the caller releases with json_decref() and whose shape
 * docs/bisect.md tells; -errno with *e when it cannot be asked here: -EINVAL good is no ancestor of
 * bad; -ENODATA an endpoint does not build; -EINTR interrupted, with everything measured so far in
 * the record; -EBUSY another session has the machine.
 */
int bisect_run(const struct bisect_options *o, json_t **result, struct error *e);
