/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * The time-stamp counter: reference cycles at a constant rate, called `tsc_cycles` and never `cycles`.
 * A chain of dependent one-cycle additions timed beside a run tells how many reference ticks a core cycle lasted, which
 * scales the run's ticks into `core_cycles_est`: an estimate, and named as one.
 */

/* Ticks now, ordered after earlier loads; 0 on a machine without a TSC. */
uint64_t tsc_now(void);

/* CPUID 8000_0007h EDX bit 8: runs at one rate in all power states. False where there is no TSC. */
bool tsc_invariant(void);

/* Ticks per second, measured against 10 ms of CLOCK_MONOTONIC. 0: no TSC. */
double tsc_hz(void);

/* Ticks that a chain of `length` dependent register additions takes on this core now, the least of `tries`. */
uint64_t tsc_chain(uint64_t length, unsigned tries);

/*
 * Core cycles that `ticks` of the TSC lasted, given that a chain of chain_length one-cycle steps took chain_before
 * ticks just before and chain_after ticks just after. Pure.
 * The slower chain was disturbed or ran at another frequency: when the two differ by more than max_spread (0.02 is
 * 2 %) of the smaller one, the estimate is refused: returns false, and *cycles is untouched.
 */
bool tsc_core_cycles(uint64_t ticks, uint64_t chain_length, uint64_t chain_before, uint64_t chain_after,
		     double max_spread, double *cycles);
