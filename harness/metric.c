/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/metric.h"

#include <string.h>

static const struct metric table[] = {
	{ "ops_per_s", "1/s", METRIC_HIGHER, false, "operations (calls of malloc or free) per second of wall time" },
	{ "ops_per_cpu_s", "1/s", METRIC_HIGHER, false, "operations per second of CPU time, all threads" },
	{ "wall_ns", "ns", METRIC_LOWER, true, "wall time of the timed region" },
	{ "cpu_ns", "ns", METRIC_LOWER, true, "CPU time of the timed region, summed over threads" },
	{ "instructions_exact", "instructions", METRIC_LOWER, true, "instructions of the timed region, counted by callgrind" },
	{ "instructions_per_malloc", "instructions", METRIC_LOWER, false, "instructions per call of malloc, counted by callgrind" },
	{ "instructions_per_free", "instructions", METRIC_LOWER, false, "instructions per call of free, counted by callgrind" },
	{ "cycles", "cycles", METRIC_LOWER, true, "core cycles in user mode, counted by the PMU" },
	{ "instructions", "instructions", METRIC_LOWER, true, "instructions in user mode, counted by the PMU" },
	{ "branches", "events", METRIC_LOWER, true, "branches in user mode, counted by the PMU" },
	{ "branch-misses", "events", METRIC_LOWER, true, "mispredicted branches in user mode, counted by the PMU" },
	{ "L1-dcache-load-misses", "events", METRIC_LOWER, true, "loads that missed the first data cache, counted by the PMU" },
	{ "LLC-load-misses", "events", METRIC_LOWER, true, "loads that missed the last cache, counted by the PMU" },
	{ "dTLB-load-misses", "events", METRIC_LOWER, true, "loads that missed the data TLB, counted by the PMU" },
	{ "tsc_cycles", "TSC ticks", METRIC_LOWER, true, "reference cycles of the timed region: not core cycles" },
	{ "core_cycles_est", "cycles", METRIC_LOWER, true, "core cycles estimated from the TSC and a dependent-add chain beside the run" },
	{ "task_clock_ns", "ns", METRIC_LOWER, true, "CPU time by the kernel's task clock" },
	{ "page_faults", "events", METRIC_LOWER, true, "page faults, kernel work included" },
	{ "minor_faults", "events", METRIC_LOWER, true, "page faults without input or output" },
	{ "major_faults", "events", METRIC_LOWER, true, "page faults with input or output" },
	{ "context_switches", "events", METRIC_LOWER, true, "context switches" },
	{ "voluntary_switches", "events", METRIC_LOWER, true, "context switches while waiting" },
	{ "involuntary_switches", "events", METRIC_LOWER, true, "context switches by preemption" },
	{ "cpu_migrations", "events", METRIC_LOWER, true, "moves to another CPU" },
	{ "peak_rss_bytes", "bytes", METRIC_LOWER, false, "largest resident set of the process (VmHWM)" },
	{ "rss_after_bytes", "bytes", METRIC_LOWER, false, "resident set after the timed region" },
	{ "user_ns", "ns", METRIC_LOWER, true, "user time of the whole process" },
	{ "sys_ns", "ns", METRIC_LOWER, true, "system time of the whole process" },
	{ "process_cpu_ns", "ns", METRIC_LOWER, true, "CPU time of the whole process, start and end included" },
	{ "process_wall_ns", "ns", METRIC_LOWER, true, "wall time of the whole process, start and end included" },
	{ "harness_ns", "ns", METRIC_LOWER, false, "wall time the harness itself spent on the run, outside the timed region" },
};

const struct metric *metric_table(size_t *n)
{
	*n = sizeof(table) / sizeof(table[0]);
	return table;
}

const struct metric *metric_find(const char *name)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return NULL;
}

bool metric_counts(const char *name)
{
	const struct metric *m = metric_find(name);
	return m && !strcmp(m->unit, "events");
}

struct metric metric_of_event(const char *libpfm_name)
{
	return (struct metric){ libpfm_name, "events", METRIC_LOWER, true, "hardware event counted by the PMU in user mode" };
}
