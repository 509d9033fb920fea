/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Producers allocate, consumers free: every block dies in another thread than it was born in, for ever. After C. Lever and D. Boreham,
 * "malloc() Performance in a Multithreaded Linux Environment", USENIX 2000, and the producer–consumer blow-up of E. Berger and others,
 * "Hoard: A Scalable Memory Allocator for Multithreaded Applications", ASPLOS 2000.
 *
 * Each pair of threads has a ring of batches between them, guarded by two semaphores, so that hand-over costs little per block. A
 * block is two operations, one of each thread.
 */
#include "workload.h"

#include <pthread.h>
#include <semaphore.h>

#define RING 8u

struct pair {
	unsigned char **block; /* RING times batch */
	uint32_t batch, min, span, random, number;
	uint64_t blocks, warmup;
	sem_t empty, full;
	uint64_t sum, begin_ns[2], end_ns[2]; /* producer, consumer */
};

static pthread_barrier_t start;

static void wait_for(sem_t *s)
{
	while (sem_wait(s) != 0)
		; /* EINTR */
}

static __attribute__((noinline)) void produce(struct pair *p, uint64_t blocks)
{
	uint32_t random = p->random;
	for (uint64_t done = 0, turn = 0; done < blocks; turn++) {
		unsigned char **batch = p->block + turn % RING * p->batch;
		uint32_t n = blocks - done < p->batch ? (uint32_t)(blocks - done) : p->batch;
		wait_for(&p->empty);
		for (uint32_t i = 0; i < n; i++) {
			uint32_t r = workload_random(&random);
			unsigned char *b = workload_got(malloc(p->min + workload_below(r, p->span)));
			*b = (unsigned char)r;
			hakperf_keep(b);
			batch[i] = b;
		}
		sem_post(&p->full);
		done += n;
	}
	p->random = random;
}

static __attribute__((noinline)) void consume(struct pair *p, uint64_t blocks)
{
	uint64_t sum = p->sum;
	for (uint64_t done = 0, turn = 0; done < blocks; turn++) {
		unsigned char **batch = p->block + turn % RING * p->batch;
		uint32_t n = blocks - done < p->batch ? (uint32_t)(blocks - done) : p->batch;
		wait_for(&p->full);
		for (uint32_t i = 0; i < n; i++) {
			sum = workload_mix(sum, *batch[i]);
			hakperf_keep(batch[i]);
			free(batch[i]);
		}
		sem_post(&p->empty);
		done += n;
	}
	p->sum = sum;
}

static void *producer(void *ctx)
{
	struct pair *p = ctx;
	struct hakperf_roi roi = HAKPERF_ROI_INIT;
	produce(p, p->warmup);
	hakperf_roi_prepare(&roi);
	pthread_barrier_wait(&start);
	hakperf_roi_begin(&roi);
	produce(p, p->blocks);
	hakperf_roi_end(&roi, p->blocks, 0);
	p->begin_ns[0] = roi.record.begin_ns;
	p->end_ns[0] = roi.record.end_ns;
	return NULL;
}

static void *consumer(void *ctx)
{
	struct pair *p = ctx;
	struct hakperf_roi roi = HAKPERF_ROI_INIT;
	consume(p, p->warmup);
	hakperf_roi_prepare(&roi);
	pthread_barrier_wait(&start);
	hakperf_roi_begin(&roi);
	consume(p, p->blocks);
	hakperf_roi_end(&roi, p->blocks, p->sum);
	p->begin_ns[1] = roi.record.begin_ns;
	p->end_ns[1] = roi.record.end_ns;
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t blocks = 1000000, min = 16, max = 1024, batch = 64, seed = 42, pairs = 1, warmup = 20000;
	bool cold = false;
	struct workload_option options[] = {
		{ "blocks", WORKLOAD_NUMBER, &blocks, 1, UINT64_C(1) << 40, 1, .help = "blocks through each pair of threads" },
		{ "min", WORKLOAD_NUMBER, &min, 1, 1u << 30, 2, .help = "smallest request in bytes" },
		{ "max", WORKLOAD_NUMBER, &max, 1, 1u << 30, 3, .help = "largest request in bytes" },
		{ "batch", WORKLOAD_NUMBER, &batch, 1, 65536, 4, .help = "blocks handed over at once" },
		{ "seed", WORKLOAD_NUMBER, &seed, 0, UINT32_MAX, 5, .help = "of the random numbers" },
		{ "pairs", WORKLOAD_NUMBER, &pairs, 1, HAKPERF_RECORDS / 2, 6, .help = "producers, each with a consumer of its own" },
		{ "warmup", WORKLOAD_NUMBER, &warmup, 0, UINT64_C(1) << 40, .help = "blocks of each pair before the timed region" },
		{ "cold", WORKLOAD_FLAG, &cold, .help = "time the start: no warm-up" },
		{ NULL },
	};
	workload_parse("producer_consumer", "One thread of each pair allocates, the other frees.", options, argc, argv);
	hakperf_roi_init(cold ? HAKPERF_ROI_COLD : 0);
	uint64_t operations = hakperf_roi_operations(2 * blocks * pairs);
	blocks = (operations + 2 * pairs - 1) / (2 * pairs);
	warmup = cold ? 0 : hakperf_roi_warmup(warmup);
	seed = hakperf_roi_seed(seed);

	struct pair *all = workload_pages(pairs * sizeof(*all));
	pthread_t *thread = workload_pages(2 * pairs * sizeof(*thread));
	pthread_barrier_init(&start, NULL, (unsigned)(2 * pairs));
	for (uint64_t i = 0; i < pairs; i++) {
		struct pair *p = &all[i];
		*p = (struct pair){
			.block = workload_pages(RING * batch * sizeof(*p->block)),
			.batch = (uint32_t)batch,
			.min = (uint32_t)min,
			.span = (uint32_t)(max - min + 1),
			.random = workload_seed(seed + i),
			.blocks = blocks,
			.warmup = warmup,
		};
		sem_init(&p->empty, 0, RING);
		sem_init(&p->full, 0, 0);
		int err = pthread_create(&thread[2 * i], NULL, producer, p);
		if (!err)
			err = pthread_create(&thread[2 * i + 1], NULL, consumer, p);
		if (err)
			workload_die(1, "cannot create a thread: %s", strerror(err));
	}
	uint64_t begin_ns = UINT64_MAX, end_ns = 0, sum = 0;
	for (uint64_t i = 0; i < pairs; i++) {
		for (int k = 0; k < 2; k++) {
			pthread_join(thread[2 * i + (uint64_t)k], NULL);
			begin_ns = all[i].begin_ns[k] < begin_ns ? all[i].begin_ns[k] : begin_ns;
			end_ns = all[i].end_ns[k] > end_ns ? all[i].end_ns[k] : end_ns;
		}
		sum += all[i].sum;
	}
	workload_audit(min, max);
	workload_report(2 * blocks * pairs, end_ns - begin_ns, sum);
	return 0;
}
