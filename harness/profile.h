/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/counter.h"
#include "harness/run.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where a region of interest spends its time: the kernel interrupts it every so many cycles (or
 * nanoseconds) and notes the address. perf_event_open(2), "MMAP layout".
 *
 * cycles of the PMU where it counts, as precise as it offers; else the CPU's clock by a timer,
 * which every machine has. Both are sampled in user code only. The workload is not changed: samples
 * carry their thread and the time of CLOCK_MONOTONIC, and those outside of the regions that its
 * records tell are left out.
 */
struct profile_place {
	size_t object;    /* index */
	uint64_t address; /* the file's own, as nm prints it */
	uint64_t samples;
};

/* All-zero is valid and empty. Release with profile_release(), safe to repeat. */
struct profile {
	char event[COUNTER_NAME_MAX]; /* "cycles" or "cpu-clock" */
	unsigned precise;             /* of a PMU: 0 to 3, as in perf_event_attr.precise_ip */
	uint64_t period;              /* cycles, or ns of cpu-clock, from sample to sample */
	char *why;                    /* the PMU's cycles are not sampled here; NULL: they are */
	char **objects;               /* paths of files, links resolved */
	size_t n_objects;
	struct profile_place *places; /* ascending (object, address) */
	size_t n_places;
	uint64_t samples;  /* in the regions: those of places, and unmapped ones */
	uint64_t unmapped; /* at no file's address: generated code, the kernel's own page */
	uint64_t outside;  /* before, after and beside the regions */
	unsigned runs;
};

/*
 * Run spec again and again until `enough` samples fell into its regions or `seconds` are over, at
 * least once. A run of which the kernel dropped samples is not used: the next one samples half as
 * often. os: &counter_linux. Only os->open is used, and mmap(2) of what it gives.
 * Returns 0, or -errno with *e: nothing can be sampled here (the remedy in *e), a run did not end
 * well, -EINTR. Then *out is released.
 */
int profile_run(const struct run_spec *spec, const struct counter_os *os, double seconds,
		uint64_t enough, struct profile *out, struct error *e);
void profile_release(struct profile *p);

/* profile_run() with rings of so many pages, a power of two. */
int profile_run_in(const struct run_spec *spec, const struct counter_os *os, size_t pages,
		   double seconds, uint64_t enough, struct profile *out, struct error *e);

/* What would be sampled here: event, precise, period and why of *out. Fails and is released as
 * profile_run(). */
int profile_try(const struct counter_os *os, struct profile *out, struct error *e);

/* What the kernel wrote into a ring, taken apart. */
struct profile_map {
	uint32_t pid;
	uint64_t time_ns, begin, end, offset; /* offset: of `begin` in the file */
	char *path;
};
struct profile_sample {
	uint32_t pid, tid;
	uint64_t time_ns, ip;
};
struct profile_fork {
	uint32_t pid, parent;
};
struct profile_trace {
	struct profile_map *maps;
	size_t n_maps, cap_maps;
	struct profile_fork *forks;
	size_t n_forks, cap_forks;
	struct profile_sample *samples;
	size_t n_samples, cap_samples;
	uint64_t dropped; /* records that the kernel says it dropped, and times it throttled */
};

/*
 * Add the records of `n` bytes, begun at a record. -EBADMSG: they are no records. Pure. Release
 * with profile_trace_release(), safe to repeat.
 */
int profile_trace_add(struct profile_trace *t, const unsigned char *bytes, size_t n,
		      struct error *e);
void profile_trace_release(struct profile_trace *t);

/* The map that held this address at this time, the process's own or one that it got by fork(2);
 * NULL: none. */
const struct profile_map *profile_map_of(const struct profile_trace *t,
					 const struct profile_sample *s);
