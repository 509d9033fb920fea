/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/child.h"
#include "hakperf/roi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One run of one program under one subject: the environment and the shared memory of hakperf/roi.h are built, the program
 * runs as a child process, and what came back is judged before any figure is believed.
 *
 * The caller's steps: fill a run_spec; run_once(); look at outcome first; run_release(). Whoever puts
 * something else between the two (callgrind) uses run_prepare(), child_run() on prepared.child, run_finish().
 */
enum run_kind {
	RUN_PRELOAD, /* subject: a library for LD_PRELOAD; the five functions must resolve into it, or, in a program without
			roi.h, a process of it must at least have loaded it */
	RUN_LIBRARY, /* the program was linked with the subject; subject, if given, is the file that must own the five functions */
	RUN_EXEC,    /* the program is the subject: nothing is proved but that it ran */
};

enum run_outcome {
	RUN_OK,
	RUN_NOT_STARTED,     /* exec or set-up failed */
	RUN_CRASHED,	     /* killed by a signal */
	RUN_FAILED,	     /* exit code other than 0 */
	RUN_TIMED_OUT,
	RUN_NOT_INTERPOSING, /* a function resolves into another file than the subject, or no process loaded that */
	RUN_FELL_BACK,	     /* the functions are the subject's, but the C library's heap served memory behind them */
	RUN_NO_RECORD,	     /* a record was required and none came back whole */
	RUN_NO_CHECKSUM,     /* the program printed a throughput line without a checksum, or its record has none */
	RUN_GARBAGE,	     /* record or line impossible, or the two contradict each other */
	RUN_NO_FIGURE,	     /* it ran, and printed nothing that the workload's pattern finds a figure in */
};
#define RUN_OUTCOMES (RUN_NO_FIGURE + 1)

/* "ok", "not interposing", …: the words for the store and for people. */
const char *run_outcome_name(enum run_outcome o);

struct run_event_spec {
	struct perf_event_attr attr; /* see hakperf_event_request for what the program overrides */
	uint32_t group;		     /* neighbours of equal number are opened as one group */
};

/* All-zero is valid but for argv: no subject, no events, one times the operations, not pinned, no deadline. */
struct run_spec {
	enum run_kind kind;
	const char *subject;	     /* path of the .so (absolute) or file; NULL: the C library's own malloc, nothing is proved */
	const char *const *argv;     /* NULL-terminated; argv[0] a path */
	const char *const *env;	     /* "NAME=value" of the subject, NULL-terminated; NULL: none */
	const char *const *wrapper;  /* argv put before the program (a valgrind tool), NULL: none. It gets LD_PRELOAD too: must be static */
	const char *const *wrapper_env; /* "NAME=value" for the wrapper; NULL: none */
	const char *cwd;	     /* NULL: inherited */
	const struct run_event_spec *events;
	size_t n_events;	     /* at most HAKPERF_EVENTS */
	uint64_t operations;	     /* 0: the program's own; only programs with roi.h that ask for it obey */
	uint64_t multiplier;	     /* 0 means 1: 2 gives the run of 2N operations */
	bool has_warmup, has_seed;
	uint64_t warmup, seed;
	uint32_t startup_allocations;
	uint64_t startup_seed;
	size_t env_padding;	     /* bytes of HAKPERF_PAD, the variable's value */
	unsigned cpu_plus_1;	     /* 0: not pinned; N: pinned to CPU N-1 */
	uint64_t timeout_ns;	     /* 0: none */
	bool record_required;	     /* without it a program that writes no record is measured as a whole process */
	bool libc_heap_allowed;	     /* the subject is known to stand on the C library's malloc */
};

/* Sum over the records: never counted in one of them is never counted. */
struct run_event {
	bool counted;	       /* running == enabled > 0 in every record */
	uint64_t value;	       /* without the empty bracket, saturated at 0; only when counted */
	uint64_t raw, bracket; /* sums as read */
	uint64_t enabled_ns, running_ns;
	int open_errno, read_errno; /* the first, 0 if none */
};

struct run_result {
	enum run_outcome outcome;
	char why[400]; /* one line for a person, "" when ok */
	bool whole_process; /* no record: wall_ns, cpu_ns, faults and memory are those of the process with all its children */
	bool proved;	    /* the five functions were seen to resolve into the subject */
	bool valgrind;

	uint64_t operations; /* 0: unknown */
	uint64_t wall_ns;    /* of the region: first begin to last end; with tracks, the longest track's regions added up */
	uint64_t cpu_ns;     /* summed over threads, the empty bracket taken off */
	uint64_t tsc;	     /* summed over threads; 0: none */
	double core_cycles_est; /* CPU time in core cycles by the chain beside it; 0: none */
	double chain_spread; /* |after - before| / smaller, the worst record's; frequency moved or a try was disturbed */
	uint64_t checksum;   /* summed over threads, modulo 2^64 */
	bool has_checksum;
	uint64_t minor_faults, major_faults, voluntary_switches, involuntary_switches; /* in the region, summed */
	uint64_t user_ns, sys_ns; /* in the region by getrusage, summed */
	uint64_t peak_rss_bytes, end_rss_bytes; /* VmHWM and VmRSS after the region; whole process: ru_maxrss and 0. 0: cannot tell */
	uint64_t libc_heap_bytes; /* HAKPERF_UNKNOWN: cannot tell */
	size_t n_events;
	struct run_event event[HAKPERF_EVENTS]; /* in the order of the spec */
	size_t n_records;
	struct hakperf_record *records; /* as written by the program; owned */

	double line_ops_per_s, line_s; /* the program's own line; 0: none */

	uint64_t process_wall_ns, process_user_ns, process_sys_ns; /* from fork to exit */
	enum child_outcome child_outcome;
	int child_status;
	struct buf out, err; /* of the program, bounded; owned */
};

/*
 * Run once. Returns 0 with *r filled whatever the outcome, or -errno with *e when the harness itself failed (-EINTR: interrupted);
 * then *r is released. *r must be all-zero or released.
 */
int run_once(const struct run_spec *spec, struct run_result *r, struct error *e);
void run_release(struct run_result *r); /* safe to repeat */

/* What run_once() prepares; child may be changed (timeout, log) before child_run(). All-zero is valid. */
struct run_prepared {
	const struct run_spec *spec; /* borrowed until run_finish() */
	struct child_spec child;
	int fd;
	struct hakperf_area *area;
	char **argv, **env; /* what child points to */
	uint64_t subject_device, subject_inode;
	int watch; /* of the preloaded file, harness/opened.h; only with spec */
};

/* Returns 0, or -errno with *e; then *p is released. Release with run_prepared_release(), safe to repeat. */
int run_prepare(const struct run_spec *spec, struct run_prepared *p, struct error *e);
void run_prepared_release(struct run_prepared *p);

/* Judge what came back. Takes over c's output. As run_once(). */
int run_finish(struct run_prepared *p, struct child_result *c, struct run_result *r, struct error *e);

/* "Throughput = N operations per second, relative time: S s." anywhere in text; false without such a line. Pure. */
bool run_parse_throughput(const char *text, double *ops_per_s, double *seconds);
/* "Checksum = HEX" on a line of its own. Pure. */
bool run_parse_checksum(const char *text, uint64_t *checksum);
