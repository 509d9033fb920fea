/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Large blocks, where an allocator's time is the kernel's: mapping, faulting in, giving back. A table of slots as in
 * bench_random_mixed, sizes log-uniform, so that each doubling is as frequent as the next; every page is touched. After D. Lea, "A Memory
 * Allocator" (1996–2000), on when to use mmap and when to keep. Read it with page faults and system time beside it.
 */
#include "workload.h"

struct table {
	unsigned char **slot;
	uint32_t ws, random;
	uint64_t min, max;
	unsigned doublings;
	uint64_t sum;
};

static uint64_t draw_size(struct table *t)
{
	uint32_t r = workload_random(&t->random);
	uint64_t lo = t->min << workload_below(r, t->doublings + 1);
	uint64_t hi = 2 * lo - 1 < t->max ? 2 * lo - 1 : t->max;
	return lo + ((uint64_t)workload_random(&t->random) * (hi - lo + 1) >> 32);
}

static __attribute__((noinline)) void run(struct table *t, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint32_t r = workload_random(&t->random), k = workload_below(r, t->ws);
		unsigned char *p = t->slot[k];
		if (p) {
			t->sum = workload_mix(t->sum, *p);
			hakperf_keep(p);
			free(p);
			t->slot[k] = NULL;
			continue;
		}
		uint64_t size = draw_size(t);
		p = workload_got(malloc(size));
		for (uint64_t at = 0; at < size; at += 4096)
			p[at] = (unsigned char)r;
		hakperf_keep(p);
		t->slot[k] = p;
		t->sum = workload_mix(t->sum, size);
	}
}

int main(int argc, char **argv)
{
	uint64_t cycles = 1000, ws = 32, seed = 42, min = 64u << 10, max = 4u << 20, warmup = HAKPERF_UNKNOWN;
	bool cold = false;
	struct workload_option options[] = {
		{ "cycles", WORKLOAD_NUMBER, &cycles, 1, UINT64_C(1) << 40, 1, .help = "timed operations" },
		{ "ws", WORKLOAD_NUMBER, &ws, 1, 1u << 20, 2, .help = "working set: slots, half of them full in the steady state" },
		{ "seed", WORKLOAD_NUMBER, &seed, 0, UINT32_MAX, 3, .help = "of the random numbers" },
		{ "min", WORKLOAD_NUMBER, &min, 1, 1u << 30, 4, .help = "smallest request in bytes" },
		{ "max", WORKLOAD_NUMBER, &max, 1, 1u << 30, 5, .help = "largest request in bytes" },
		{ "warmup", WORKLOAD_NUMBER, &warmup, 0, UINT64_C(1) << 40, .help = "operations before the timed region (8 for each slot)" },
		{ "cold", WORKLOAD_FLAG, &cold, .help = "time the start: no warm-up, the first block is taken in the timed region" },
		{ NULL },
	};
	workload_parse("large", "Random large blocks over a table of slots, every page touched.", options, argc, argv);
	hakperf_roi_init(cold ? HAKPERF_ROI_COLD : 0);
	struct table t = {
		.slot = workload_pages(ws * sizeof(*t.slot)),
		.ws = (uint32_t)ws,
		.random = workload_seed(hakperf_roi_seed(seed)),
		.min = min,
		.max = max,
	};
	while (min << (t.doublings + 1) <= max)
		t.doublings++;
	/* max itself, a power of two times min, belongs to the doubling below it. */
	if (t.doublings && min << t.doublings == max)
		t.doublings--;
	cycles = hakperf_roi_operations(cycles);
	if (!cold)
		run(&t, hakperf_roi_warmup(warmup == HAKPERF_UNKNOWN ? 8 * ws : warmup));

	struct hakperf_roi roi = HAKPERF_ROI_INIT;
	hakperf_roi_begin(&roi);
	run(&t, cycles);
	hakperf_roi_end(&roi, cycles, t.sum);

	for (uint64_t k = 0; k < ws; k++)
		free(t.slot[k]);
	workload_audit(min, max);
	workload_report(cycles, roi.record.wall_ns, t.sum);
	return 0;
}
