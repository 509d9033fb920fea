/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "base/hash.h"
#include "harness/host_lock.h"

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The machine: facts that travel with every figure, what disturbed a round, and which CPU to run on. Everything is
 * read below a root ("" is the real machine), so that tests read recorded trees of /sys and /proc.
 */

#define HOST_VALUE_MAX 512
#define HOST_FACTS_MAX 48

struct host_fact {
	const char *key;	    /* static: "cpu_model", "governor", "thp" */
	char value[HOST_VALUE_MAX]; /* "unknown" when it could not be read; never empty */
	bool stable;		    /* stays over reboots of an unchanged machine: part of the fingerprint */
};

struct host_facts {
	size_t n;
	struct host_fact item[HOST_FACTS_MAX];
	char fingerprint[HASH_HEX]; /* SHA-256 over "key=value\n" of the stable facts, in their fixed order */
};

/* Read everything. Never fails: what cannot be read is "unknown". root: "" or a folder with proc/ and sys/ below it. */
void host_read(const char *root, struct host_facts *out);

/* A fact's value, "unknown" for a key that does not exist. */
const char *host_fact(const struct host_facts *f, const char *key);

/* What disturbs, as running totals; UINT64_MAX or NAN where unreadable. One tick is 1/sysconf(_SC_CLK_TCK) s. */
struct host_snapshot {
	uint64_t mono_ns;
	uint64_t busy_ticks, total_ticks, steal_ticks; /* all CPUs, /proc/stat */
	uint64_t switches;			       /* context switches of the machine */
	uint64_t swap_in_pages, swap_out_pages;
	double load1;
	uint64_t runnable; /* processes that could run at this moment, the reader among them */
	uint64_t available_bytes;
};

void host_snapshot(const char *root, struct host_snapshot *out);

/* From before to after; NAN where either was unreadable. Pure. */
struct host_change {
	double seconds;
	double busy_share, steal_share; /* 0..1 of all CPU time */
	double switches_per_s;
	double swap_pages;
	double load1; /* at the end */
};

struct host_change host_difference(const struct host_snapshot *before, const struct host_snapshot *after);

/* One logical CPU as /sys/devices/system/cpu and /proc/stat describe it. */
struct host_cpu {
	int id;
	int core;	  /* the lowest id among its SMT siblings: same core, same number */
	uint64_t speed;	  /* cpu_capacity, else maximal frequency in kHz, else 0: only compared */
	bool isolated;	  /* kept free of ordinary work (isolcpus) */
	uint64_t busy_ticks, total_ticks;
};

struct host_cpus {
	size_t n;
	struct host_cpu *item; /* online CPUs, ascending id */
};

/* -errno when /sys names no CPU. Release with host_cpus_release(), safe to repeat. */
int host_cpus_read(const char *root, struct host_cpus *out, struct error *e);
void host_cpus_release(struct host_cpus *c);

/*
 * Choose up to `want` CPUs of `allowed` to measure on, best first: fast cores first, then isolated ones, then by how
 * busy the CPU's whole core (SMT siblings too) was between the two readings, CPU 0 (which takes the interrupts) last among
 * equals; never two of one core while another core is free. Pure. Returns how many were chosen.
 * Busy shares within 5 % count as equal: a choice should not change from run to run for nothing.
 */
size_t host_cpus_choose(const struct host_cpus *before, const struct host_cpus *after, const cpu_set_t *allowed,
			size_t want, int *out);

/* The above on the running machine and the calling thread's affinity mask, over 50 ms. Returns how many were chosen. */
size_t host_pick_cpus(size_t want, int *out);
