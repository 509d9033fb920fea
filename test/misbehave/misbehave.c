/* SPDX-License-Identifier: Apache-2.0 */

/* A program with a region of interest that does one thing per name, for test_run: what the harness must tell apart. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hakperf/roi.h"

#define LOOP_TURNS 100000u

/* Two instructions a turn. */
static void known_loop(void)
{
#if defined(__x86_64__)
	uint64_t n = LOOP_TURNS;
	__asm__ volatile("1:\n\tdec %0\n\tjnz 1b" : "+r"(n) : : "cc");
#elif defined(__aarch64__)
	uint64_t n = LOOP_TURNS;
	__asm__ volatile("1:\n\tsubs %0, %0, #1\n\tb.ne 1b" : "+r"(n) : : "cc");
#endif
}

static void work(void)
{
	for (int i = 0; i < 1000; i++) {
		void *p = malloc(100);
		hakperf_keep(p);
		free(p);
	}
}

static void spin(uint64_t cpu_ns)
{
	uint64_t start = hakperf_clock(CLOCK_THREAD_CPUTIME_ID);
	while (hakperf_clock(CLOCK_THREAD_CPUTIME_ID) - start < cpu_ns)
		work();
}

static void line(const struct hakperf_roi *roi, uint64_t operations, uint64_t checksum)
{
	double s = (double)roi->record.wall_ns / 1e9;
	printf("Throughput = %.0f operations per second, relative time: %.6f s.\n", (double)operations / s, s);
	if (checksum)
		printf("Checksum = %016llx\n", (unsigned long long)checksum);
}

static void *thread_loop(void *barrier)
{
	struct hakperf_roi roi = HAKPERF_ROI_INIT;
	hakperf_roi_prepare(&roi);
	pthread_barrier_wait(barrier);
	hakperf_roi_begin(&roi);
	known_loop();
	hakperf_roi_end(&roi, LOOP_TURNS, 1);
	return NULL;
}

static int threads(void)
{
	pthread_t t[2];
	pthread_barrier_t barrier;
	pthread_barrier_init(&barrier, NULL, 2);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&t[i], NULL, thread_loop, &barrier))
			return 1;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	return 0;
}

static int touch_pages(size_t n)
{
	struct hakperf_roi roi = HAKPERF_ROI_INIT;
	char *p = mmap(NULL, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || madvise(p, n * 4096, MADV_NOHUGEPAGE))
		return 1;
	hakperf_roi_begin(&roi);
	for (size_t i = 0; i < n; i++)
		p[i * 4096] = 1;
	hakperf_roi_end(&roi, n, 1);
	return 0;
}

static int many(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct hakperf_roi roi = HAKPERF_ROI_INIT;
		hakperf_roi_begin(&roi);
		hakperf_roi_end(&roi, 1, 1);
	}
	return 0;
}

static int tracks(void)
{
	for (int i = 0; i < 5; i++) {
		struct hakperf_roi roi = HAKPERF_ROI_INIT;
		roi.track = 7;
		hakperf_roi_begin(&roi);
		work();
		hakperf_roi_end(&roi, 2000, 3);
		spin(2000000);
	}
	return 0;
}

static int end_early(const char *what)
{
	if (strcmp(what, "crash") == 0)
		abort();
	if (strcmp(what, "hang") == 0)
		pause();
	if (strcmp(what, "exit") != 0)
		return 0;
	fputs("first line\nit went wrong\n", stderr);
	return 3;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "ok";
	struct hakperf_roi roi = HAKPERF_ROI_INIT;
	if (strcmp(what, "threads") == 0)
		return threads();
	if (strcmp(what, "pages") == 0)
		return touch_pages(300);
	if (strcmp(what, "many") == 0)
		return many(HAKPERF_RECORDS + 1);
	if (strcmp(what, "tracks") == 0)
		return tracks();
	if (strcmp(what, "slow-warmup") == 0)
		spin(100000000);
	if (strcmp(what, "forks") == 0 && fork() == 0)
		pause();

	/* Nothing but the work between begin and end where instructions are counted. */
	uint64_t operations = strcmp(what, "no-operations") ? 2000 : 0;
	uint64_t checksum = strcmp(what, "no-checksum") && strcmp(what, "quiet") ? 0xabc : 0;
	void (*body)(void) = strcmp(what, "loop") == 0 ? known_loop : work;
	int ends_early = !strcmp(what, "crash") || !strcmp(what, "exit") || !strcmp(what, "hang") || !strcmp(what, "no-end");
	hakperf_roi_begin(&roi);
	if (ends_early)
		return end_early(what);
	body();
	hakperf_roi_end(&roi, operations, checksum);
	if (strcmp(what, "exaggerate") == 0)
		line(&roi, 20000, 0xabc);
	else if (strcmp(what, "other-checksum") == 0)
		line(&roi, 2000, 0xabd);
	else if (strcmp(what, "nonsense") == 0)
		puts("Throughput = -5 operations per second, relative time: 0.1 s.\nChecksum = 1");
	else if (strcmp(what, "impossible") == 0 && hakperf_roi_state.area)
		hakperf_roi_state.area->record[0].wall_ns = UINT64_MAX / 2;
	else if (strcmp(what, "quiet") != 0)
		line(&roi, operations, checksum);
	return 0;
}
