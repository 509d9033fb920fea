/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "harness/counter.h"

/*
 * Does the PMU of this machine count what it says? A loop of a known number of instructions and branches, and a chain of a
 * known number of dependent one-cycle additions, each counted and compared. Well under a second.
 */

enum pmutest_verdict {
	PMUTEST_PASS,	     /* counted, and within bounds */
	PMUTEST_FAIL,	     /* counted, and outside them; or refused by counter_judge() */
	PMUTEST_UNAVAILABLE, /* does not open here */
};

struct pmutest_event {
	struct counter_event event;
	enum pmutest_verdict verdict;
	int open_errno;		  /* positive, 0 when it opened */
	char why[400];		  /* advice, or what was wrong; empty on pass */
	const char *load;	  /* what it counted: "loop" or "chain" */
	struct counter_reading before, after, bracket_before, bracket_after;
	enum counter_quality quality;
	uint64_t bracket, value;  /* of an empty region; of the load, bracket taken off: valid when counted */
	uint64_t lowest, highest; /* the bounds that pass */
};

#define PMUTEST_EVENTS 3
#define PMUTEST_LOOP_ROUNDS 10000000u  /* two instructions, one of them a branch, a round */
#define PMUTEST_CHAIN_LENGTH 16000000u /* one core cycle a step */

struct pmutest {
	struct pmutest_event item[PMUTEST_EVENTS]; /* instructions, branch-instructions, cycles */
	enum pmutest_verdict verdict; /* pass: all that count pass, among them instructions and cycles; unavailable:
					 these two do not open; fail: anything else */
	int paranoid;
	uint64_t chain_ticks; /* TSC ticks of the chain, least of three, 0 without a TSC */
	bool tsc_invariant;
	double tsc_hz;
};

/* os: &counter_linux, or a table of recorded readings. -ENOTSUP on another architecture than x86-64. */
int pmutest_run(const struct counter_os *os, struct pmutest *t, struct error *e);
const char *pmutest_verdict_name(enum pmutest_verdict v);
