/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/tsc.h"

#include "base/clock.h"

#include <stddef.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>

uint64_t tsc_now(void)
{
	_mm_lfence();
	uint64_t t = __rdtsc();
	_mm_lfence();
	return t;
}

bool tsc_invariant(void)
{
	unsigned a, b, c, d;
	return __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & (1u << 8));
}

/* Register additions: some cores carry out additions of a small constant while renaming, in no time at all. */
static uint64_t chain_once(uint64_t length)
{
	uint64_t rounds = length / 16, x = 0, step = 1;
	uint64_t begin = tsc_now();
	for (uint64_t i = 0; i < rounds; i++)
		__asm__ volatile("add %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\t"
				 "add %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\t"
				 "add %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\t"
				 "add %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0"
				 : "+r"(x)
				 : "r"(step)
				 : "cc");
	return tsc_now() - begin;
}
#else
uint64_t tsc_now(void)
{
	return 0;
}

bool tsc_invariant(void)
{
	return false;
}

static uint64_t chain_once(uint64_t length)
{
	(void)length;
	return 0;
}
#endif

double tsc_hz(void)
{
	uint64_t ns0 = clock_mono_ns(), t0 = tsc_now(), ns1, t1;
	do {
		ns1 = clock_mono_ns();
		t1 = tsc_now();
	} while (ns1 - ns0 < 10000000);
	return t1 > t0 ? (double)(t1 - t0) * 1e9 / (double)(ns1 - ns0) : 0;
}

uint64_t tsc_chain(uint64_t length, unsigned tries)
{
	uint64_t least = UINT64_MAX;
	for (unsigned i = 0; i < tries; i++) {
		uint64_t t = chain_once(length);
		if (t < least)
			least = t;
	}
	return tries ? least : 0;
}

bool tsc_core_cycles(uint64_t ticks, uint64_t chain_length, uint64_t chain_before, uint64_t chain_after,
		     double max_spread, double *cycles)
{
	uint64_t low = chain_before < chain_after ? chain_before : chain_after;
	uint64_t high = chain_before < chain_after ? chain_after : chain_before;
	if (!low || !chain_length || (double)(high - low) > max_spread * (double)low)
		return false;
	double ticks_per_cycle = ((double)low + (double)high) / 2 / (double)chain_length;
	*cycles = (double)ticks / ticks_per_cycle;
	return true;
}
