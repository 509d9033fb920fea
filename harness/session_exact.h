/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "harness/callgrind.h"
#include "harness/session.h"

/* Enough turns that one of them more or less does not show in the third digit, few enough that callgrind's start is most of the time. */
#define EXACT_OPERATIONS 60000
#define EXACT_WARMUP 6000

/*
 * Exact counts of a session's arms: the timed region under callgrind, or the whole process of programs that mark none, on the
 * canonical link, each made twice to show that it repeats. A build that was counted on this case before is taken from the record.
 */
struct exact_request {
	size_t arm, index; /* of the session's arms and cases */
};

struct exact_answer {
	bool counted; /* per_op is a figure */
	bool exact;   /* it repeats to the instruction */
	bool recorded; /* taken from the record, not made now */
	enum callgrind_outcome outcome;
	char why[600];	       /* why not counted, or not exact */
	uint64_t instructions; /* of the region, of the first count */
	uint64_t least, most;
	uint64_t operations; /* 0: the program counts none, and per_op is the whole run */
	bool whole_process; /* no region: counted from exec to exit, the first process alone */
	char checksum[20];  /* of the work that was done; "" where the program tells none */
	bool other_work;    /* not counted for that: its checksum is another one */
	double per_op;
	double per_malloc, per_free; /* NAN: not called, or not told apart */
};

/*
 * How much of a case is counted: less than its own N where that is enough. A case of few turns has dear ones, and a warm-up
 * of its own that fits them: it stays as it is.
 */
void session_exact_size(const struct bench_case *c, struct run_spec *run);

/* Told after each: which request of how many. Called by the caller's thread. */
typedef void exact_progress(void *ctx, size_t done, size_t n);

/*
 * Answer n requests, `jobs` at a time. again: count though the record has it. Every answer is stored before the next is begun
 * by its thread. Arms that did other work than the first one counted in this session are not counted. Returns 0 whatever came of the counts; -EINTR, or the harness's own failure, with what is done in the record.
 */
int session_exact(struct session *s, const struct exact_request *requests, size_t n, unsigned jobs, bool again, exact_progress *progress,
		  void *ctx, struct exact_answer *out, struct error *e);
