/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Run one program to its end: argv vector, no shell, an environment that is built and not inherited, a process
 * group of its own that a deadline kills whole, standard streams bounded, accounting by wait4(2).
 * Between fork and exec only async-signal-safe calls are made.
 */
enum child_outcome {
	CHILD_EXITED,	 /* status = exit code */
	CHILD_SIGNALLED, /* status = signal number */
	CHILD_TIMED_OUT, /* the deadline killed the group */
	CHILD_NOT_STARTED, /* exec or set-up failed: status = errno */
};

struct child_spec {
	const char *const *argv; /* NULL-terminated; argv[0] is a path (or looked up in the spec's PATH if without '/') */
	const char *const *env;	 /* NULL-terminated "NAME=value"; NULL means empty */
	const char *cwd;	 /* NULL: inherited */
	uint64_t timeout_ns;	 /* 0: none */
	int cpu;		 /* pin to this CPU; negative: not pinned */
	int pass_fd;		 /* kept open in the child under the same number; negative: none */
	size_t max_output;	 /* bytes kept of each stream, more is drained and counted; 0 means 1 MiB */
	const char *log_path;	 /* append both streams to this file instead of keeping them; NULL: keep */
	bool own_network;	 /* start in an empty network namespace where the machine allows it; no failure where it does not */
};

struct child_result {
	enum child_outcome outcome;
	int status;
	const char *failed_step; /* CHILD_NOT_STARTED: "exec", "pin to the CPU", …; static */
	uint64_t timeout_ns;	 /* of the spec, for child_describe() */
	bool network_shared;	 /* own_network was asked for and not to be had */
	uint64_t wall_ns, user_ns, sys_ns;
	uint64_t voluntary_switches, involuntary_switches, minor_faults, major_faults;
	uint64_t max_rss_bytes; /* ru_maxrss of the largest of its processes: survives exec, so that it begins at the next */
	uint64_t rss_floor_bytes; /* what of the caller a child has resident before exec, and a little: max_rss_bytes tells only above it */
	struct buf out, err;
	size_t out_dropped, err_dropped;
};

/*
 * The program gets /dev/null as standard input, no core file, default signal handling, and no descriptor but the standard ones and
 * pass_fd. When it ends, whatever is still alive in its process group is killed, and its output up to then is kept; it dies with the
 * calling thread. A process that leaves the group (setsid) is out of reach.
 * Returns 0 when the child was started and reaped, whatever its outcome; -errno with *e when even that failed.
 * A SIGINT or SIGTERM that reaches the caller while it waits kills the group too and gives -EINTR (see child_interrupted).
 * *r must be all-zero or released. Release with child_release(), safe to repeat.
 */
int child_run(const struct child_spec *spec, struct child_result *r, struct error *e);
void child_release(struct child_result *r);

/*
 * Ctrl-C keeps what was measured: child_catch_signals() installs handlers for SIGINT and SIGTERM that only set a flag;
 * child_interrupted() reads it. Long loops ask it between runs and end in order.
 */
void child_catch_signals(void);
bool child_interrupted(void);

/* One line for a person: "exit code 3", "killed by SIGSEGV", "timed out after 60 s", "not started: No such file …". */
void child_describe(const struct child_result *r, struct buf *out);
