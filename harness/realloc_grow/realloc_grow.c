/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Buffers that grow by realloc, several at once and in random order, until each is full, is freed and begins again: string builders
 * and vectors. Growth is by half of the present size, the factor that A. Alexandrescu's fbvector (folly, FBVector.md) argues
 * for, so that an allocator may reuse what the buffer left behind. Contents are checked at every step. An operation is one
 * realloc, or the free at the end.
 */
#include "workload.h"

struct buffer {
	unsigned char *p;
	uint64_t bytes;
};

struct grow {
	struct buffer *buffer;
	uint32_t buffers, random;
	uint64_t min, max, sum;
};

static __attribute__((noinline)) void run(struct grow *g, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		struct buffer *b = &g->buffer[workload_below(workload_random(&g->random), g->buffers)];
		if (b->bytes >= g->max) {
			g->sum = workload_mix(g->sum, b->p[b->bytes - 1]);
			hakperf_keep(b->p);
			free(b->p);
			*b = (struct buffer){ NULL, 0 };
			continue;
		}
		uint64_t bytes = b->bytes ? b->bytes + b->bytes / 2 + 1 : g->min;
		bytes = bytes < g->max ? bytes : g->max;
		unsigned char *p = workload_got(realloc(b->p, bytes));
		if (b->bytes) /* what was there is still there */
			g->sum = workload_mix(g->sum, p[0] + 256u * p[b->bytes - 1]);
		p[0] = (unsigned char)i;
		p[bytes - 1] = (unsigned char)(i >> 8);
		hakperf_keep(p);
		*b = (struct buffer){ p, bytes };
	}
}

int main(int argc, char **argv)
{
	uint64_t cycles = 500000, min = 16, max = 65536, buffers = 64, seed = 42, warmup = HAKPERF_UNKNOWN;
	bool cold = false;
	struct workload_option options[] = {
		{ "cycles", WORKLOAD_NUMBER, &cycles, 1, UINT64_C(1) << 40, 1, .help = "timed operations" },
		{ "min", WORKLOAD_NUMBER, &min, 1, 1u << 30, 2, .help = "bytes that a buffer begins with" },
		{ "max", WORKLOAD_NUMBER, &max, 1, 1u << 30, 3, .help = "bytes at which it is freed" },
		{ "buffers", WORKLOAD_NUMBER, &buffers, 1, 1u << 24, 4, .help = "buffers that grow side by side" },
		{ "seed", WORKLOAD_NUMBER, &seed, 0, UINT32_MAX, 5, .help = "of the random numbers" },
		{ "warmup", WORKLOAD_NUMBER, &warmup, 0, UINT64_C(1) << 40, .help = "operations before the timed region (40 for each buffer)" },
		{ "cold", WORKLOAD_FLAG, &cold, .help = "time the start: no warm-up, the first block is taken in the timed region" },
		{ NULL },
	};
	workload_parse("realloc_grow", "Buffers grow by half with realloc until they are full.", options, argc, argv);
	hakperf_roi_init(cold ? HAKPERF_ROI_COLD : 0);
	struct grow g = {
		.buffer = workload_pages(buffers * sizeof(*g.buffer)),
		.buffers = (uint32_t)buffers,
		.random = workload_seed(hakperf_roi_seed(seed)),
		.min = min,
		.max = max,
	};
	cycles = hakperf_roi_operations(cycles);
	if (!cold)
		run(&g, hakperf_roi_warmup(warmup == HAKPERF_UNKNOWN ? 40 * buffers : warmup));

	struct hakperf_roi roi = HAKPERF_ROI_INIT;
	hakperf_roi_begin(&roi);
	run(&g, cycles);
	hakperf_roi_end(&roi, cycles, g.sum);

	for (uint64_t k = 0; k < buffers; k++)
		free(g.buffer[k].p);
	workload_audit(min, max);
	workload_report(cycles, roi.record.wall_ns, g.sum);
	return 0;
}
