/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <linux/perf_event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Performance counters: libpfm4 names become encoded events, events become groups that run whole or not at all,
 * and a reading is believed only when its group was on the PMU all the time it was enabled.
 *
 * The caller's steps for a workload that carries hakperf/roi.h:
 *   1. counter_encode() each name;
 *   2. counter_passes() splits the events into groups that this machine runs whole;
 *   3. one run per pass, its attributes sent to the workload, which opens them in its own threads;
 *   4. counter_judge() on every reading that comes back; counter_net() takes the empty bracket off.
 * For a program without roi.h: counter_open() with COUNTER_CHILDREN, run it, counter_read().
 */

#define COUNTER_MAX 8	    /* events in one group */
#define COUNTER_NAME_MAX 96 /* bytes of a name, with its NUL */

struct counter_event {
	char name[COUNTER_NAME_MAX];   /* as the caller asked for it: the metric's name in results */
	char canonical[2 * COUNTER_NAME_MAX]; /* libpfm4's full name, with the PMU it was encoded for: provenance */
	struct perf_event_attr attr;   /* of a group leader; counter_attr_member() makes the others */
};

/*
 * Encode one event by libpfm4 name: "cycles", "LLC-load-misses", "skl::INST_RETIRED:ANY_P", "r1c2".
 * Hardware events count user code only and are pinned. Software events count the kernel's work too when kernel_too,
 * unless the name chooses itself (":u", ":k"). Encoding proves nothing about this machine: only opening does.
 * Returns 0, or -errno with *e naming the event and the remedy: -EINVAL bad name or umask, -ENAMETOOLONG.
 */
int counter_encode(const char *name, bool kernel_too, struct counter_event *ev, struct error *e);

/* Counted by the kernel itself, without a PMU. */
bool counter_is_software(const struct counter_event *ev);

/* The same event as second or later member of a group: never pinned, enabled by its leader alone. */
struct perf_event_attr counter_attr_member(const struct counter_event *ev);

/* May this process count the kernel's side? Its effective capabilities or the paranoid level allow it. */
bool counter_kernel_allowed(int paranoid);

/* /proc/sys/kernel/perf_event_paranoid, or COUNTER_PARANOID_UNKNOWN. */
#define COUNTER_PARANOID_UNKNOWN 1000
int counter_paranoid(void);

/*
 * What to tell a person when perf_event_open gave this errno for this event. Pure.
 * paranoid: the current level or COUNTER_PARANOID_UNKNOWN; group_size: events in the group with this one.
 */
void counter_advice(const struct counter_event *ev, int errnum, int paranoid, size_t group_size, char *out, size_t n);

/*
 * One event's reading; times in ns, cumulative since the group was opened. enabled_ns == COUNTER_LOST: the kernel took a
 * pinned group off the PMU for good (its read is empty), and nothing read from it is a figure.
 */
#define COUNTER_LOST UINT64_MAX
struct counter_reading {
	uint64_t value, enabled_ns, running_ns;
};

enum counter_quality {
	COUNTER_COUNTED,     /* running == enabled > 0: the only one whose value is a figure */
	COUNTER_NEVER_RAN,   /* the group did not get onto the PMU, or lost it */
	COUNTER_MULTIPLEXED, /* it ran part of the time: would need scaling, so it is refused */
	COUNTER_WRAPPED,     /* the value went backwards or moved by 2^47 and more */
	COUNTER_NOT_ENABLED, /* no time passed between the readings */
};

/* Judge the difference of two cumulative readings; *value is set only for COUNTER_COUNTED. Pure. */
enum counter_quality counter_judge(const struct counter_reading *before, const struct counter_reading *after,
				   uint64_t *value);
const char *counter_quality_name(enum counter_quality q);

/* value - bracket, 0 when the empty bracket was dearer than the region. Pure. */
uint64_t counter_net(uint64_t value, uint64_t bracket);

/* The kernel, as a table: tests put another one in its place. Each returns -errno on failure. */
struct counter_os {
	int (*open)(void *ctx, struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd);
	ssize_t (*read)(void *ctx, int fd, void *bytes, size_t n);
	int (*ioctl)(void *ctx, int fd, unsigned long request, unsigned long arg);
	int (*close)(void *ctx, int fd);
	int (*paranoid)(void *ctx);
	void *ctx;
};
extern const struct counter_os counter_linux;

enum counter_scope {
	COUNTER_THREAD,	  /* the calling thread, as one group; counter_start() and counter_stop() bracket */
	COUNTER_CHILDREN, /* programs that the calling thread starts from now on, from their exec to their end, with
			     all their threads and children; no group: every event by itself */
};

/* All-zero is valid and empty. */
struct counter_set {
	const struct counter_os *os;
	enum counter_scope scope;
	size_t n;
	int fd[COUNTER_MAX];
	uint64_t id[COUNTER_MAX];
	char name[COUNTER_MAX][COUNTER_NAME_MAX];
};

/*
 * Open n events, 1 <= n <= COUNTER_MAX, stopped. os: borrowed until counter_close(); &counter_linux.
 * Returns 0, or -errno with *e naming the event and the remedy; then *cs is empty.
 * Release with counter_close(), which is safe to repeat. See perf_event_open(2).
 */
int counter_open(struct counter_set *cs, const struct counter_os *os, enum counter_scope scope,
		 const struct counter_event *ev, size_t n, struct error *e);
void counter_close(struct counter_set *cs);

/* COUNTER_THREAD only. */
int counter_start(struct counter_set *cs, struct error *e);
int counter_stop(struct counter_set *cs, struct error *e);

/*
 * Read cs->n readings in the order of opening. A group that does not fit the PMU reads as never run, not as an error.
 * -EIO with *e when the kernel's answer has another shape than asked for.
 */
int counter_read(struct counter_set *cs, struct counter_reading *out, struct error *e);

/* Events measured together in one run: indices into the caller's list. */
struct counter_pass {
	size_t n;
	size_t index[COUNTER_MAX];
};

/*
 * Split ev[0..n) into passes that run whole here, each tried by opening it and counting a short loop. Software events
 * share passes among themselves, never with hardware ones: they must not fall with a PMU that is not there.
 * An event that does not run even alone is in no pass, and *advice (if not NULL) tells why, one line an event.
 * passes: room for n. Returns the number of passes, at most n.
 */
size_t counter_passes(const struct counter_os *os, const struct counter_event *ev, size_t n,
		      struct counter_pass *passes, struct buf *advice);

/* "libpfm4 4.13: perf perf_raw amd64_fam19h_zen3": the library and the PMUs whose names it takes for this machine's. */
void counter_library(struct buf *out);
