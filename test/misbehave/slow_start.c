/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The positive control's allocator with a start that costs: each of the first 8,000 mallocs waits for TURNS turns of a loop. All of them
 * lie before the timed region of a workload that warms up, and after it the code is the same whatever TURNS is. Linked with the
 * control's object, its malloc renamed.
 */
#include <stddef.h>
#include <stdint.h>

#ifndef TURNS
#define TURNS 4000
#endif
enum { SLOW_CALLS = 8000 };

extern void *control_malloc(size_t);
void *malloc(size_t n);

void *malloc(size_t n)
{
	static unsigned calls;
	if (__builtin_expect(calls < SLOW_CALLS, 0)) {
		calls++;
		for (volatile unsigned i = 0; i < TURNS; i++)
			;
	}
	return control_malloc(n);
}
