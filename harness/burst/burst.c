/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fragmentation: a live set of constant bytes drifts over sizes. Each phase frees a random part of what lives and fills up again with
 * blocks of the phase's own size, so that survivors of all earlier sizes pin the memory around them. After M. Johnstone and
 * P. Wilson, "The Memory Fragmentation Problem: Solved?", ISMM 1998. Before the region ends most of the live set is freed: what
 * the process still holds then is memory that the allocator keeps.
 *
 * Peak and final memory of the process are printed and go into the record; both hold the workload's own table too.
 */
#include "workload.h"

#include <stdio.h>

struct burst {
	unsigned char **block;
	uint32_t *bytes;
	uint64_t n, room, live, limit;
	uint32_t random, keep_percent, phases, min, max;
	uint64_t operations, sum;
};

/* From min to max in equal ratios, without libm: a power of two between, then linear inside it. */
static uint32_t size_of_phase(const struct burst *b, uint32_t phase)
{
	uint64_t lo = b->min, hi = b->max, steps = b->phases > 1 ? b->phases - 1 : 1;
	unsigned doublings = 0;
	while (lo << (doublings + 1) <= hi)
		doublings++;
	uint64_t at = (uint64_t)phase * doublings * 1024 / steps; /* in 1024ths of a doubling */
	uint64_t base = lo << (at / 1024);
	uint64_t size = base + base * (at % 1024) / 1024;
	return (uint32_t)(phase + 1 == b->phases && b->phases > 1 ? hi : size);
}

static void drop(struct burst *b, uint64_t i)
{
	b->sum = workload_mix(b->sum, *b->block[i]);
	b->live -= b->bytes[i];
	hakperf_keep(b->block[i]);
	free(b->block[i]);
	b->operations++;
	b->n--;
	b->block[i] = b->block[b->n];
	b->bytes[i] = b->bytes[b->n];
}

static void thin_out(struct burst *b, uint32_t keep_percent)
{
	for (uint64_t i = b->n; i--;)
		if (workload_below(workload_random(&b->random), 100) >= keep_percent)
			drop(b, i);
}

static __attribute__((noinline)) void phase_run(struct burst *b, uint32_t phase)
{
	uint32_t size = size_of_phase(b, phase);
	thin_out(b, b->keep_percent);
	while (b->live + size <= b->limit && b->n < b->room) {
		unsigned char *p = workload_got(malloc(size));
		for (uint32_t at = 0; at < size; at += 4096)
			p[at] = (unsigned char)(phase + b->n);
		hakperf_keep(p);
		b->block[b->n] = p;
		b->bytes[b->n++] = size;
		b->live += size;
		b->operations++;
	}
}

int main(int argc, char **argv)
{
	uint64_t megabytes = 16, min = 16, max = 32768, phases = 12, keep = 20, turns = 1, seed = 42, warmup = 0;
	bool cold = false;
	struct workload_option options[] = {
		{ "megabytes", WORKLOAD_NUMBER, &megabytes, 1, 1u << 20, 1, .help = "live bytes, in MiB of requests" },
		{ "min", WORKLOAD_NUMBER, &min, 1, 1u << 20, 2, .help = "bytes of a request in the first phase" },
		{ "max", WORKLOAD_NUMBER, &max, 1, 1u << 20, 3, .help = "bytes of a request in the last phase" },
		{ "phases", WORKLOAD_NUMBER, &phases, 1, 10000, 4, .help = "sizes passed through" },
		{ "keep", WORKLOAD_NUMBER, &keep, 0, 100, 5, .help = "per cent of the live blocks that survive a phase" },
		{ "seed", WORKLOAD_NUMBER, &seed, 0, UINT32_MAX, 6, .help = "of the random choice" },
		{ "turns", WORKLOAD_NUMBER, &turns, 1, 1u << 30, .help = "times through all phases in the timed region" },
		{ "warmup", WORKLOAD_NUMBER, &warmup, 0, 1u << 30, .help = "times through all phases before it" },
		{ "cold", WORKLOAD_FLAG, &cold, .help = "as --warmup 0, and the first block is taken in the timed region" },
		{ NULL },
	};
	workload_parse("burst", "A live set drifts over sizes; what does it leave behind?", options, argc, argv);
	hakperf_roi_init(cold ? HAKPERF_ROI_COLD : 0);
	const struct hakperf_request *q = hakperf_roi_request();
	if (q && q->multiplier)
		turns *= q->multiplier;
	uint64_t room = (megabytes << 20) / min + 1;
	struct burst b = {
		.block = workload_pages(room * sizeof(*b.block)),
		.bytes = workload_pages(room * sizeof(*b.bytes)),
		.room = room,
		.limit = megabytes << 20,
		.random = workload_seed(hakperf_roi_seed(seed)),
		.keep_percent = (uint32_t)keep,
		.phases = (uint32_t)phases,
		.min = (uint32_t)min,
		.max = (uint32_t)max,
	};
	for (uint64_t i = 0; i < (cold ? 0 : warmup) * phases; i++)
		phase_run(&b, (uint32_t)(i % phases));

	struct hakperf_roi roi = HAKPERF_ROI_INIT;
	b.operations = 0;
	hakperf_roi_begin(&roi);
	for (uint64_t i = 0; i < turns * phases; i++)
		phase_run(&b, (uint32_t)(i % phases));
	thin_out(&b, 10);
	hakperf_roi_end(&roi, b.operations, b.sum);

	uint64_t operations = b.operations, sum = b.sum, peak, now;
	hakperf_rss(&peak, &now);
	thin_out(&b, 0);
	workload_audit(min, max);
	workload_report(operations, roi.record.wall_ns, sum);
	dprintf(1, "Peak memory = %llu bytes, resident at the end = %llu bytes\n", (unsigned long long)peak, (unsigned long long)now);
	return 0;
}
