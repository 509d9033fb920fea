/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/*
 * The positive control: a small allocator whose free executes a known number of dependent one-cycle additions. A session that does not
 * see the difference between two doses cannot see a regression of that size either.
 *
 * Every free runs CONTROL_BASE + control_extra additions in one chain that goes on from free to free. The base makes that
 * chain the longest path of a tight loop, so that on hot_path each extra addition costs a cycle; under a
 * workload with longer waits of its own (mispredicted branches, cache misses) part of the chain hides behind them.
 * In instructions the difference between two doses is exact everywhere: the difference of the doses, per free.
 */
#define CONTROL_BASE 48
#define CONTROL_EXTRA_MAX 64

extern const uint64_t control_extra __attribute__((visibility("hidden")));
