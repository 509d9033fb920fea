/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The case's first benchmark: a table of `ws` slots; each cycle draws a slot, frees what is in it or allocates and touches
 * a block for it, so a cycle is one operation.
 *
 * By default the low ten bits of the draw that chose the slot are also the size, as in the case: with a working set of
 * a power of two from 1024 on, every slot then keeps one size for ever. --decorrelate, and every other range,
 * draws the size by itself.
 */
#include "workload.h"

#define CASE_MIN 16u
#define CASE_MAX 1039u

struct table {
	void **slot;
	uint32_t ws, min, span; /* span 0: the case's sizes */
	uint32_t random;
	uint64_t sum;
};

static inline __attribute__((always_inline)) void cycles_run(struct table *t, uint64_t n, bool own_draw)
{
	void **slot = t->slot;
	uint32_t random = t->random, ws = t->ws, min = t->min, span = t->span;
	uint64_t sum = t->sum;
	for (uint64_t i = 0; i < n; i++) {
		uint32_t r = workload_random(&random);
		uint32_t k = r % ws;
		unsigned char *p = slot[k];
		if (p) {
			sum = workload_mix(sum, *p);
			hakperf_keep(p);
			free(p);
			slot[k] = NULL;
		} else {
			size_t size = own_draw ? min + workload_below(workload_random(&random), span) : CASE_MIN + (r & 0x3ff);
			p = workload_got(malloc(size));
			*p = (unsigned char)(r >> 16);
			hakperf_keep(p);
			slot[k] = p;
			sum = workload_mix(sum, size);
		}
	}
	t->random = random;
	t->sum = sum;
}

static __attribute__((noinline)) void run_case(struct table *t, uint64_t n)
{
	cycles_run(t, n, false);
}

static __attribute__((noinline)) void run_uniform(struct table *t, uint64_t n)
{
	cycles_run(t, n, true);
}

int main(int argc, char **argv)
{
	uint64_t cycles = 10000000, ws = 8192, seed = 1234567, min = CASE_MIN, max = CASE_MAX, warmup = HAKPERF_UNKNOWN;
	bool cold = false, decorrelate = false;
	struct workload_option options[] = {
		{ "cycles", WORKLOAD_NUMBER, &cycles, 1, UINT64_C(1) << 40, 1, .help = "timed operations" },
		{ "ws", WORKLOAD_NUMBER, &ws, 1, 1u << 28, 2, .help = "working set: slots, half of them full in the steady state" },
		{ "seed", WORKLOAD_NUMBER, &seed, 1, UINT32_MAX, 3, .help = "of the random numbers" },
		{ "min", WORKLOAD_NUMBER, &min, 1, 1u << 30, 4, .help = "smallest request in bytes" },
		{ "max", WORKLOAD_NUMBER, &max, 1, 1u << 30, 5, .help = "largest request in bytes" },
		{ "decorrelate", WORKLOAD_FLAG, &decorrelate, .help = "sizes from a draw of their own in the default range too" },
		{ "warmup", WORKLOAD_NUMBER, &warmup, 0, UINT64_C(1) << 40, .help = "operations before the timed region (8 for each slot, at least 50000)" },
		{ "cold", WORKLOAD_FLAG, &cold, .help = "time the start: no warm-up, the first block is taken in the timed region" },
		{ NULL },
	};
	workload_parse("bench_random_mixed", "Random allocations and frees over a table of slots.", options, argc, argv);

	hakperf_roi_init(cold ? HAKPERF_ROI_COLD : 0);
	bool uniform = decorrelate || min != CASE_MIN || max != CASE_MAX;
	uint64_t asked = hakperf_roi_seed(seed);
	struct table t = {
		.slot = workload_pages(ws * sizeof(void *)),
		.ws = (uint32_t)ws,
		.min = (uint32_t)min,
		.span = (uint32_t)(max - min + 1),
		.random = (uint32_t)asked ? (uint32_t)asked : 1, /* as the case: the seed is the first state */
	};
	void (*run)(struct table *, uint64_t) = uniform ? run_uniform : run_case;
	if (warmup == HAKPERF_UNKNOWN)
		warmup = 8 * ws < 50000 ? 50000 : 8 * ws;
	cycles = hakperf_roi_operations(cycles);
	if (!cold)
		run(&t, hakperf_roi_warmup(warmup));

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
