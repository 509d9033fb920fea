/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/pmutest.h"

#include "harness/tsc.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
static void loop(void)
{
	uint64_t n = PMUTEST_LOOP_ROUNDS;
	__asm__ volatile(".p2align 5\n1:\tdec %0\n\tjnz 1b" : "+r"(n) : : "cc");
}
#else
static void loop(void)
{
}
#endif

static void chain(void)
{
	tsc_chain(PMUTEST_CHAIN_LENGTH, 1);
}

static void nothing(void)
{
}

/*
 * Bounds: instructions and branches of user code are exact but for a few an interrupt, so 0.01 %. The chain's cycles are
 * a floor that a core cannot beat; the loop around it and interrupts add to it.
 */
static const struct {
	const char *name, *load;
	void (*run)(void);
	uint64_t lowest, highest;
} plan[PMUTEST_EVENTS] = {
	{ "instructions", "loop", loop, 2 * (uint64_t)PMUTEST_LOOP_ROUNDS / 10000 * 9999,
	  2 * (uint64_t)PMUTEST_LOOP_ROUNDS / 10000 * 10001 },
	{ "branch-instructions", "loop", loop, PMUTEST_LOOP_ROUNDS / 10000 * 9999,
	  PMUTEST_LOOP_ROUNDS / 10000 * 10001 },
	{ "cycles", "chain", chain, PMUTEST_CHAIN_LENGTH / 100 * 99, PMUTEST_CHAIN_LENGTH / 100 * 110 },
};

static int bracket(struct counter_set *cs, void (*run)(void), struct counter_reading *before,
		   struct counter_reading *after, struct error *e)
{
	int rc = counter_read(cs, before, e);
	if (!rc) {
		run();
		rc = counter_read(cs, after, e);
	}
	return rc;
}

static void judge(struct pmutest_event *x)
{
	enum counter_quality empty = counter_judge(&x->bracket_before, &x->bracket_after, &x->bracket);
	uint64_t gross = 0;
	x->quality = counter_judge(&x->before, &x->after, &gross);
	x->verdict = PMUTEST_FAIL;
	if (empty != COUNTER_COUNTED || x->quality != COUNTER_COUNTED) {
		snprintf(x->why, sizeof(x->why), "%s: opens, but its readings are '%s' (empty region: '%s')",
			 x->event.name, counter_quality_name(x->quality), counter_quality_name(empty));
		return;
	}
	x->value = counter_net(gross, x->bracket);
	if (x->value >= x->lowest && x->value <= x->highest)
		x->verdict = PMUTEST_PASS;
	else
		snprintf(x->why, sizeof(x->why), "%s: %llu counted where %llu to %llu were due", x->event.name,
			 (unsigned long long)x->value, (unsigned long long)x->lowest,
			 (unsigned long long)x->highest);
}

static void test_event(const struct counter_os *os, size_t i, struct pmutest_event *x)
{
	struct counter_set cs = { 0 };
	struct error e = { 0 };
	*x = (struct pmutest_event){ .load = plan[i].load, .lowest = plan[i].lowest, .highest = plan[i].highest };
	int rc = counter_encode(plan[i].name, false, &x->event, &e);
	if (!rc)
		rc = counter_open(&cs, os, COUNTER_THREAD, &x->event, 1, &e);
	if (rc) {
		x->verdict = PMUTEST_UNAVAILABLE;
		x->open_errno = -rc;
		snprintf(x->why, sizeof(x->why), "%.*s", (int)sizeof(x->why) - 1, e.text);
		return;
	}
	rc = counter_start(&cs, &e);
	if (!rc)
		rc = bracket(&cs, nothing, &x->bracket_before, &x->bracket_after, &e);
	if (!rc)
		rc = bracket(&cs, plan[i].run, &x->before, &x->after, &e);
	if (!rc)
		rc = counter_stop(&cs, &e);
	counter_close(&cs);
	if (rc) {
		x->verdict = PMUTEST_FAIL;
		x->quality = COUNTER_NEVER_RAN;
		snprintf(x->why, sizeof(x->why), "%.*s", (int)sizeof(x->why) - 1, e.text);
		return;
	}
	judge(x);
}

int pmutest_run(const struct counter_os *os, struct pmutest *t, struct error *e)
{
	memset(t, 0, sizeof(*t));
#if !defined(__x86_64__)
	return error_set(e, -ENOTSUP, "the PMU self-test knows its loops on x86-64 only");
#endif
	(void)e;
	t->paranoid = os->paranoid(os->ctx);
	t->chain_ticks = tsc_chain(PMUTEST_CHAIN_LENGTH, 3);
	t->tsc_invariant = tsc_invariant();
	t->tsc_hz = tsc_hz();
	bool failed = false;
	for (size_t i = 0; i < PMUTEST_EVENTS; i++) {
		test_event(os, i, &t->item[i]);
		failed |= t->item[i].verdict == PMUTEST_FAIL;
	}
	enum pmutest_verdict instructions = t->item[0].verdict, cycles = t->item[PMUTEST_EVENTS - 1].verdict;
	if (instructions == PMUTEST_UNAVAILABLE && cycles == PMUTEST_UNAVAILABLE)
		t->verdict = PMUTEST_UNAVAILABLE;
	else if (failed || instructions != PMUTEST_PASS || cycles != PMUTEST_PASS)
		t->verdict = PMUTEST_FAIL;
	else
		t->verdict = PMUTEST_PASS;
	return 0;
}

const char *pmutest_verdict_name(enum pmutest_verdict v)
{
	static const char *const names[] = {
		[PMUTEST_PASS] = "pass",
		[PMUTEST_FAIL] = "fail",
		[PMUTEST_UNAVAILABLE] = "unavailable",
	};
	assert((size_t)v < sizeof(names) / sizeof(*names));
	return names[v];
}
