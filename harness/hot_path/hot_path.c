/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One size, nothing but the allocator's fast path: malloc–free pairs, batches freed in the order they were taken, and batches freed
 * in a random order drawn beforehand. A pair is two operations. What the loop itself costs is the same for every
 * subject; runs of N and 2N pairs part the start-up from the cost per pair.
 */
#include "workload.h"

#define ORDERS 64u /* random orders drawn beforehand, used in turn */
#define BATCH_MAX 4096u

enum pattern { ALL, PAIRS, BATCHES, RANDOM };
static const char *const patterns[] = { "all", "pairs", "batches", "random", NULL };

struct hot {
	size_t size;
	uint32_t batch;
	uint32_t next_order;
	uint16_t *order; /* ORDERS times batch indices */
	unsigned char **block;
	uint64_t sum;
};

static inline unsigned char *take(size_t size, uint32_t tag)
{
	unsigned char *p = workload_got(malloc(size));
	*p = (unsigned char)tag;
	hakperf_keep(p);
	return p;
}

static inline uint64_t give(unsigned char *p, uint64_t sum)
{
	sum = workload_mix(sum, *p);
	hakperf_keep(p);
	free(p);
	return sum;
}

static __attribute__((noinline)) void run_pairs(struct hot *h, uint32_t n)
{
	uint64_t sum = h->sum;
	size_t size = h->size;
	for (uint32_t i = 0; i < n; i++)
		sum = give(take(size, i), sum);
	h->sum = sum;
}

static __attribute__((noinline)) void run_batch(struct hot *h, uint32_t n)
{
	uint64_t sum = h->sum;
	size_t size = h->size;
	unsigned char **block = h->block;
	for (uint32_t i = 0; i < n; i++)
		block[i] = take(size, i);
	for (uint32_t i = 0; i < n; i++)
		sum = give(block[i], sum);
	h->sum = sum;
}

static __attribute__((noinline)) void run_random(struct hot *h, uint32_t n)
{
	uint64_t sum = h->sum;
	size_t size = h->size;
	unsigned char **block = h->block;
	const uint16_t *order = h->order + (size_t)(h->next_order++ % ORDERS) * h->batch;
	for (uint32_t i = 0; i < n; i++)
		block[i] = take(size, i);
	if (n == h->batch)
		for (uint32_t i = 0; i < n; i++)
			sum = give(block[order[i]], sum);
	else
		for (uint32_t i = 0; i < n; i++)
			sum = give(block[i], sum);
	h->sum = sum;
}

static void run(struct hot *h, enum pattern pattern, uint64_t pairs)
{
	enum pattern now = pattern == ALL ? PAIRS : pattern;
	while (pairs) {
		uint32_t n = pairs < h->batch ? (uint32_t)pairs : h->batch;
		(now == PAIRS ? run_pairs : now == BATCHES ? run_batch : run_random)(h, n);
		pairs -= n;
		if (pattern == ALL)
			now = now == RANDOM ? PAIRS : now + 1;
	}
}

static void draw_orders(struct hot *h, uint64_t seed)
{
	uint32_t random = workload_seed(seed);
	for (uint32_t k = 0; k < ORDERS; k++) {
		uint16_t *order = h->order + (size_t)k * h->batch;
		for (uint32_t i = 0; i < h->batch; i++) {
			uint32_t j = workload_below(workload_random(&random), i + 1);
			order[i] = order[j];
			order[j] = (uint16_t)i;
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t pairs = 4000000, size = 128, batch = 32, seed = 42, warmup = HAKPERF_UNKNOWN;
	unsigned pattern = ALL;
	bool cold = false;
	struct workload_option options[] = {
		{ "pairs", WORKLOAD_NUMBER, &pairs, 1, UINT64_C(1) << 40, 1, .help = "timed pairs of malloc and free" },
		{ "size", WORKLOAD_NUMBER, &size, 1, 1u << 30, 2, .help = "bytes of every request" },
		{ "batch", WORKLOAD_NUMBER, &batch, 1, BATCH_MAX, 3, .help = "blocks held at once" },
		{ "seed", WORKLOAD_NUMBER, &seed, 0, UINT32_MAX, 4, .help = "of the random order" },
		{ "pattern", WORKLOAD_CHOICE, &pattern, .choices = patterns, .help = "pairs, batches in order, batches in random order, or the three in turn" },
		{ "warmup", WORKLOAD_NUMBER, &warmup, 0, UINT64_C(1) << 40, .help = "pairs before the timed region (200 batches, at least 10000)" },
		{ "cold", WORKLOAD_FLAG, &cold, .help = "time the start: no warm-up, the first block is taken in the timed region" },
		{ NULL },
	};
	workload_parse("hot_path", "malloc and free at one size, a batch at a time.", options, argc, argv);

	hakperf_roi_init(cold ? HAKPERF_ROI_COLD : 0);
	struct hot h = {
		.size = size,
		.batch = (uint32_t)batch,
		.order = workload_pages(ORDERS * batch * sizeof(uint16_t)),
		.block = workload_pages(batch * sizeof(unsigned char *)),
	};
	draw_orders(&h, hakperf_roi_seed(seed));
	if (warmup == HAKPERF_UNKNOWN)
		warmup = 200 * batch < 10000 ? 10000 : 200 * batch;
	pairs = (hakperf_roi_operations(2 * pairs) + 1) / 2;
	if (!cold)
		run(&h, pattern, hakperf_roi_warmup(warmup));

	struct hakperf_roi roi = HAKPERF_ROI_INIT;
	hakperf_roi_begin(&roi);
	run(&h, pattern, pairs);
	hakperf_roi_end(&roi, 2 * pairs, h.sum);

	workload_audit(size, size);
	workload_report(2 * pairs, roi.record.wall_ns, h.sum);
	return 0;
}
