/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "harness/cgsum.h"
#include "harness/run.h"

/*
 * Exact instruction counts: a workload's region of interest under callgrind, run again until it is plain whether the
 * count repeats. One thread repeats to the instruction; several threads, and allocators driven by the clock, do not, and
 * then the spread is the answer.
 */

#define CALLGRIND_REPEATS_MAX 16

enum callgrind_outcome {
	CALLGRIND_EXACT,	   /* one thread, every repeat gave the same count */
	CALLGRIND_STATISTICAL,	   /* more than one thread: ir[] is a sample, whether its values agree or not */
	CALLGRIND_NOT_REPEATING,   /* one thread, and the counts differ: driven by the clock or by addresses */
	CALLGRIND_FELL_BACK,	   /* the subject did not serve the region: no instruction of it ran there, or libc's malloc did */
	CALLGRIND_NOT_INTERPOSING, /* as RUN_NOT_INTERPOSING */
	CALLGRIND_NO_REGION,	   /* nothing was collected: the program marks no region of interest */
	CALLGRIND_CRASHED,	   /* the program was killed by a signal under valgrind */
	CALLGRIND_TIMED_OUT,
	CALLGRIND_FAILED,	   /* anything else; why tells */
};
#define CALLGRIND_OUTCOMES (CALLGRIND_FAILED + 1)

const char *callgrind_outcome_name(enum callgrind_outcome o);

struct callgrind_spec {
	/* What to run. Events, padding, start-up allocations, wrapper and timeout of it are not used: an exact count has a
	 * fixed environment and fixed paths. */
	struct run_spec run;
	unsigned repeats;	/* 0 means 2; at most CALLGRIND_REPEATS_MAX */
	bool at_once;		/* the repeats run side by side: for programs that do not get in each other's way */
	bool whole_process;	/* count from exec to exit, for programs without a region; starts up with the environment's size */
	bool addresses;		/* --dump-instr=yes: cost of every instruction */
	unsigned callers;	/* functions are told apart by so many of their callers: "free" becomes "free'run'main"; 0: not */
	const char *keep;	/* absolute path for the first repeat's output file, kept whatever the outcome; NULL: none kept */
	uint64_t timeout_ns;	/* of one repeat; 0: ten minutes. Callgrind is 20 to 100 times slower than the processor */
};

struct callgrind_result {
	enum callgrind_outcome outcome;
	char why[600]; /* one line for a person, "" when exact */
	unsigned n;    /* repeats that gave a count */
	uint64_t ir[CALLGRIND_REPEATS_MAX]; /* instructions of the region, all threads, in the order of the runs */
	uint64_t ir_min, ir_max;
	char *object;	      /* the subject's file as `sum` names it (links resolved); NULL without one. Owned */
	uint64_t subject_ir;  /* of the first: executed in that file itself; 0 without a subject */
	uint64_t operations;  /* as the program reported them, 0: unknown */
	uint64_t checksum;
	bool has_checksum;
	size_t threads;	      /* records that the program wrote, 0 without roi.h */
	struct cgsum sum;     /* of the first; its totals are those of ir[0] */
	char creator[64];     /* the tool and its version */
};

/*
 * Run spec->run under callgrind, `repeats` times. Returns 0 with *r filled whatever the outcome; -errno with *e when the
 * harness itself failed, then *r is empty: -ENOENT: valgrind is not installed; -EINTR: interrupted. *r must be all-zero or released.
 */
int callgrind_count(const struct callgrind_spec *spec, struct callgrind_result *r, struct error *e);
void callgrind_release(struct callgrind_result *r); /* safe to repeat */

/*
 * Calls into an entry point ("malloc") in the region, by whoever owns it. Valgrind knows the file of code in .text alone; entry
 * points that lie in a section of their own (tcmalloc's do) are found under the unknown file "???".
 */
struct cgsum_entry callgrind_entry(const struct callgrind_result *r, const char *function);

/*
 * The tool's own static program, NULL when it is not there. Debian's `valgrind` is a shell script, which would be run
 * with the subject preloaded; this one is not touched by LD_PRELOAD. It must be told --tool=callgrind all the same:
 * otherwise it takes itself for memcheck, and replaces malloc.
 */
const char *callgrind_tool(void);
