/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"
#include "harness/store.h"
#include "harness/verdict.h"
#include "harness/verdict_beside.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A session made by hand: what the rounds say is known, so the answer is. */
struct made {
	struct store *s;
	int64_t session, case_id, sitting, arm[2], aa, control[2];
	char folder[40];
};

static int arm(struct made *m, int number, const char *role, struct store_opt twin, int64_t *id)
{
	char key[32];
	snprintf(key, sizeof(key), "key%d", number);
	struct store_build b = { .key = key, .kind = "preload", .outcome = "ok" };
	int64_t build;
	int rc = store_build(m->s, &b, &build, NULL);
	struct store_arm a = { .number = number, .role = role, .twin = twin, .build_id = build, .label = key };
	return rc ? rc : store_arm(m->s, m->session, &a, id, NULL);
}

static void make(struct made *m)
{
	strcpy(m->folder, "/tmp/hakperf-verdict-XXXXXX");
	assert_non_null(mkdtemp(m->folder));
	char *db = x_printf("%s/r.db", m->folder);
	int64_t machine, workload;
	assert_int_equal(store_open(db, STORE_CREATE, &m->s, NULL), 0);
	free(db);
	assert_int_equal(store_machine(m->s, "f", NULL, 0, &machine, NULL), 0);
	assert_int_equal(store_workload(m->s, "w", "w", "h", &workload, NULL), 0);
	struct store_case c = { .workload_id = workload };
	assert_int_equal(store_case(m->s, &c, &m->case_id, NULL), 0);
	struct store_session q = { .verb = "test", .request_json = "{}", .machine_id = machine, .toolkit_version = "t" };
	assert_int_equal(store_session_begin(m->s, &q, &m->session, NULL), 0);
	assert_int_equal(store_sitting_begin(m->s, m->session, (struct store_opt){ 0 }, "t", NULL, 0, &m->sitting, NULL), 0);
	assert_int_equal(arm(m, 0, "subject", (struct store_opt){ 0 }, &m->arm[0]), 0);
	assert_int_equal(arm(m, 1, "subject", (struct store_opt){ 0 }, &m->arm[1]), 0);
	assert_int_equal(arm(m, 2, "aa", STORE_INT(m->arm[0]), &m->aa), 0);
	assert_int_equal(arm(m, 3, "control", (struct store_opt){ 0 }, &m->control[0]), 0);
	assert_int_equal(arm(m, 4, "control", STORE_INT(m->control[0]), &m->control[1]), 0);
}

static void unmake(struct made *m)
{
	store_close(m->s);
	fs_remove(m->folder, NULL);
}

struct one {
	int64_t arm;
	double cpu_ns; /* NAN: the run failed */
	const char *checksum;
	int multiplier;
	double wall_ns; /* 0: none */
	bool counted;	/* its page faults were */
	unsigned faults;
};

static void round_of(struct made *m, int number, bool disturbed, const struct one *list, size_t n)
{
	struct store_run runs[8] = { 0 };
	struct store_sample samples[8][4];
	for (size_t i = 0; i < n; i++) {
		samples[i][0] = (struct store_sample){ .metric = "cpu_ns", .value = STORE_FIGURE(list[i].cpu_ns), .source = "thread_cpu_clock", .quality = "measured" };
		/* 1,000 operations at two cycles a nanosecond */
		samples[i][1] = (struct store_sample){ .metric = "tsc_cycles", .value = STORE_FIGURE(2 * list[i].cpu_ns), .source = "tsc", .quality = "measured" };
		samples[i][2] = (struct store_sample){ .metric = "wall_ns", .value = STORE_FIGURE(list[i].wall_ns), .source = "monotonic_clock", .quality = "measured" };
		bool ok = !isnan(list[i].cpu_ns);
		size_t n_samples = list[i].wall_ns > 0 ? 3 : 2;
		if (list[i].counted)
			samples[i][n_samples++] = (struct store_sample){ .metric = "page_faults", .value = STORE_COUNT(list[i].faults),
									 .source = "perf_software", .quality = "measured" };
		runs[i] = (struct store_run){ .arm_id = list[i].arm, .multiplier = list[i].multiplier ? list[i].multiplier : 1, .outcome = ok ? "ok" : "crashed",
					      .operations = STORE_INT(1000), .checksum = list[i].checksum, .link_seed = STORE_INT(number * 8 + (int)i + 1),
					      .samples = samples[i], .n_samples = ok ? n_samples : 0 };
	}
	struct store_round r = { .session_id = m->session, .case_id = m->case_id, .number = number, .sitting = m->sitting, .kind = STORE_TIMED,
				 .disturbed = disturbed, .disturbed_why = disturbed ? "steal" : NULL, .runs = runs, .n_runs = n };
	struct error e = { 0 };
	if (store_round(m->s, &r, NULL, NULL, &e))
		fail_msg("%s", e.text);
}

static struct verdict_answer ask(struct made *m, bool swapped)
{
	struct verdict_question q = { .session_id = m->session, .case_id = m->case_id, .arm_a = m->arm[swapped], .arm_b = m->arm[!swapped],
				      .metric = "cpu_ns", .delta = -1 };
	struct verdict_answer a;
	struct error e = { 0 };
	if (verdict_ask(m->s, &q, &a, &e))
		fail_msg("%s", e.text);
	return a;
}

static struct verdict_answer ask_faults(struct made *m, bool swapped)
{
	struct verdict_question q = { .session_id = m->session, .case_id = m->case_id, .arm_a = m->arm[swapped], .arm_b = m->arm[!swapped],
				      .metric = "page_faults", .delta = -1 };
	struct verdict_answer a;
	struct error e = { 0 };
	if (verdict_ask(m->s, &q, &a, &e))
		fail_msg("%s", e.text);
	return a;
}

/* A little unevenness, the same for every test. */
static double wiggle(int i)
{
	static const double w[] = { 0, 0.002, -0.001, 0.0005, -0.002, 0.001, 0.0015, -0.0005 };
	return 1 + w[i % 8];
}

static void ten_percent_slower(void **state)
{
	(void)state;
	struct made m;
	make(&m);
	for (int i = 0; i < 14; i++)
		round_of(&m, i, false, (struct one[]){ { .arm = m.arm[0], .cpu_ns = 1000 }, { .arm = m.arm[1], .cpu_ns = 1100 * wiggle(i) } }, 2);
	struct verdict_answer a = ask(&m, false), b = ask(&m, true);
	assert_int_equal(a.a.verdict, STATS_REGRESSION);
	assert_true(fabs(a.a.ratio - 1.1) < 0.001);
	assert_int_equal(a.a.log.n, 14);
	assert_int_equal(a.links, 14);
	assert_true(a.redrawn);
	assert_true(fabs(a.before_op - 1) < 1e-9);
	assert_int_equal(b.a.verdict, STATS_IMPROVEMENT);
	assert_true(fabs(a.a.ratio * b.a.ratio - 1) < 1e-12);
	unmake(&m);
}

/* An arm without a single fault is no arm without a figure. */
static void none_of_an_event_is_a_count(void **state)
{
	(void)state;
	static const struct {
		int line;
		unsigned a, b;
		enum stats_verdict verdict, swapped;
		double ratio;
	} rows[] = {
		{ __LINE__, 0, 500, STATS_REGRESSION, STATS_IMPROVEMENT, 1000 },
		{ __LINE__, 100, 300, STATS_REGRESSION, STATS_IMPROVEMENT, 3 },
		{ __LINE__, 0, 0, STATS_NO_CHANGE, STATS_NO_CHANGE, 1 },
		{ __LINE__, 7, 7, STATS_NO_CHANGE, STATS_NO_CHANGE, 1 },
	};
	for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		struct made m;
		make(&m);
		for (int i = 0; i < 16; i++)
			round_of(&m, i, false,
				 (struct one[]){ { .arm = m.arm[0], .cpu_ns = 1000, .counted = true, .faults = rows[k].a },
						 { .arm = m.arm[1], .cpu_ns = 1000, .counted = true, .faults = rows[k].b } }, 2);
		struct verdict_answer a = ask_faults(&m, false), b = ask_faults(&m, true);
		if (a.a.verdict != rows[k].verdict || b.a.verdict != rows[k].swapped || fabs(a.a.ratio / rows[k].ratio - 1) > 1e-9 ||
		    a.failed || a.before != rows[k].a || a.after != rows[k].b)
			fail_msg("line %d: %s, swapped %s, ratio %g, from %g to %g, %zu without a figure", rows[k].line,
				 stats_verdict_name(a.a.verdict), stats_verdict_name(b.a.verdict), a.a.ratio, a.before, a.after, a.failed);
		unmake(&m);
	}
}

static void what_is_left_out_is_said(void **state)
{
	(void)state;
	struct made m;
	make(&m);
	for (int i = 0; i < 20; i++)
		round_of(&m, i, i == 3, (struct one[]){ { .arm = m.arm[0], .cpu_ns = 1000 },
							{ .arm = m.arm[1], .cpu_ns = i == 3 ? 5000 : i == 5 ? NAN : 1100 * wiggle(i) } }, 2);
	/* A round of other arms, and a run of 2N, count for nothing here. */
	round_of(&m, 20, false, (struct one[]){ { .arm = m.arm[0], .cpu_ns = 1 }, { .arm = m.control[0], .cpu_ns = 1 } }, 2);
	round_of(&m, 21, false, (struct one[]){ { .arm = m.arm[0], .cpu_ns = 1, .multiplier = 2 }, { .arm = m.arm[1], .cpu_ns = 1, .multiplier = 2 } }, 2);
	struct verdict_answer a = ask(&m, false);
	assert_int_equal(a.a.log.n, 18);
	assert_int_equal(a.disturbed, 1);
	assert_int_equal(a.failed, 1);
	assert_non_null(strstr(a.detail, "1 disturbed round left out"));
	assert_non_null(strstr(a.detail, "1 round without a figure"));
	unmake(&m);
}

static void other_work_is_invalid(void **state)
{
	(void)state;
	struct made m;
	make(&m);
	for (int i = 0; i < 14; i++)
		round_of(&m, i, false, (struct one[]){ { .arm = m.arm[0], .cpu_ns = 1000, .checksum = "aa" },
						       { .arm = m.arm[1], .cpu_ns = 500, .checksum = i == 9 ? "bb" : "aa" } }, 2);
	struct verdict_answer a = ask(&m, false);
	assert_int_equal(a.a.verdict, STATS_INVALID);
	assert_non_null(strstr(a.detail, "checksums differ"));
	unmake(&m);
}

static void biased_harness_is_invalid(void **state)
{
	(void)state;
	struct made m;
	make(&m);
	for (int i = 0; i < 40; i++)
		round_of(&m, i, false, (struct one[]){ { .arm = m.arm[0], .cpu_ns = 1000 }, { .arm = m.arm[1], .cpu_ns = 1100 },
						       { .arm = m.aa, .cpu_ns = 1050 * wiggle(i) } }, 3);
	struct verdict_answer a = ask(&m, false);
	assert_int_equal(a.a.verdict, STATS_INVALID);
	assert_non_null(strstr(a.detail, "A/A control failed"));
	unmake(&m);
}

static void the_control_must_be_seen(void **state)
{
	(void)state;
	/* 8 cycles a free, half of 1,000 operations, at 2 cycles an operation: the base must become 2 + 4 = 6 cycles an operation. */
	const struct { int line; double control; enum stats_verdict verdict; enum stats_control seen; } rows[] = {
		{ __LINE__, 3000, STATS_NO_CHANGE, STATS_CONTROL_SEEN },
		{ __LINE__, 1000, STATS_INVALID, STATS_CONTROL_MISSED },
	};
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		struct made m;
		make(&m);
		for (int i = 0; i < 40; i++)
			round_of(&m, i, false, (struct one[]){ { .arm = m.arm[0], .cpu_ns = 1000 }, { .arm = m.arm[1], .cpu_ns = 1000 * wiggle(i) },
							       { .arm = m.control[0], .cpu_ns = 1000 },
							       { .arm = m.control[1], .cpu_ns = rows[r].control * wiggle(i + 3) } }, 4);
		struct verdict_answer a = ask(&m, false);
		if (a.a.verdict != rows[r].verdict || a.control != rows[r].seen || fabs(a.control_expected - log(3)) > 1e-9)
			fail_msg("row at line %d: %s, control %d, expected %g", rows[r].line, stats_verdict_name(a.a.verdict), (int)a.control, a.control_expected);
		unmake(&m);
	}
}

static void nothing_measured_is_unclear(void **state)
{
	(void)state;
	struct made m;
	make(&m);
	struct verdict_answer a = ask(&m, false);
	assert_int_equal(a.a.verdict, STATS_UNCLEAR);
	assert_int_equal(a.a.log.n, 0);
	assert_true(isnan(a.before));
	struct verdict_question q = { .session_id = m.session, .case_id = m.case_id, .arm_a = m.arm[0], .arm_b = m.arm[1], .metric = "no such metric", .delta = -1 };
	struct error e = { 0 };
	assert_true(verdict_ask(m.s, &q, &a, &e) < 0);
	assert_non_null(strstr(e.text, "no such metric"));
	unmake(&m);
}

static void an_arm_that_often_fails_is_invalid(void **state)
{
	(void)state;
	static const struct {
		int line, every;
		enum stats_verdict verdict;
	} rows[] = { { __LINE__, 3, STATS_INVALID }, { __LINE__, 2, STATS_INVALID }, { __LINE__, 10, STATS_REGRESSION } };
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		struct made m;
		make(&m);
		for (int i = 0; i < 40; i++)
			round_of(&m, i, false, (struct one[]){ { .arm = m.arm[0], .cpu_ns = 1000 },
							       { .arm = m.arm[1], .cpu_ns = i % rows[r].every ? 1100 * wiggle(i) : NAN } }, 2);
		struct verdict_answer a = ask(&m, false);
		if (a.a.verdict != rows[r].verdict || !strstr(a.detail, "(after, crashed)"))
			fail_msg("row at line %d: %s, %s", rows[r].line, stats_verdict_name(a.a.verdict), a.detail);
		unmake(&m);
	}
}

static void the_same_bytes_cannot_differ(void **state)
{
	(void)state;
	struct made m;
	make(&m);
	for (int i = 0; i < 14; i++)
		round_of(&m, i, false, (struct one[]){ { .arm = m.arm[0], .cpu_ns = 1000 }, { .arm = m.arm[1], .cpu_ns = 1100 * wiggle(i) } }, 2);
	struct verdict_question q = { .session_id = m.session, .case_id = m.case_id, .arm_a = m.arm[0], .arm_b = m.arm[1], .metric = "cpu_ns", .delta = -1,
				      .same_bytes = true };
	struct verdict_answer a;
	assert_int_equal(verdict_ask(m.s, &q, &a, NULL), 0);
	assert_int_equal(a.a.verdict, STATS_INVALID);
	assert_non_null(strstr(a.detail, "same bytes"));
	q.delta = 0.5;
	assert_int_equal(verdict_ask(m.s, &q, &a, NULL), 0);
	assert_int_equal(a.a.verdict, STATS_NO_CHANGE);
	unmake(&m);
}

static const struct verdict_beside *find(const struct verdict_beside *list, size_t n, const char *metric, const char *part)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].metric, metric) && !strcmp(list[i].part, part))
			return &list[i];
	fail_msg("nothing said of %s, %s", metric, part);
	return NULL;
}

/* Cost 1 ns an operation before and after, 100 ns of start before and 300 ns after; wall time goes the other way. */
static void the_rest_is_told_apart(void **state)
{
	(void)state;
	struct made m;
	make(&m);
	for (int i = 0; i < 30; i++)
		round_of(&m, i, i == 7, (struct one[]){
			{ .arm = m.arm[0], .cpu_ns = 1100, .wall_ns = 3000 }, { .arm = m.arm[1], .cpu_ns = 1300 * wiggle(i), .wall_ns = 2000 },
			{ .arm = m.arm[1], .cpu_ns = 1300 * wiggle(i) + 1000, .wall_ns = 4000, .multiplier = 2 },
			{ .arm = m.arm[0], .cpu_ns = 2100, .wall_ns = 6000, .multiplier = 2 } }, 4);
	struct verdict_question q = { .session_id = m.session, .case_id = m.case_id, .arm_a = m.arm[0], .arm_b = m.arm[1], .metric = "cpu_ns", .delta = -1 };
	struct verdict_answer a = ask(&m, false);
	struct verdict_beside list[VERDICT_BESIDE_MAX];
	size_t n;
	assert_int_equal(a.a.verdict, STATS_REGRESSION);
	assert_int_equal(verdict_beside(m.s, &q, &a, list, &n, NULL), 0);
	const struct verdict_beside *wall = find(list, n, "wall_ns", "run"), *slope = find(list, n, "cpu_ns", "slope");
	assert_int_equal(wall->a.verdict, STATS_IMPROVEMENT);
	assert_true(wall->before == 3000 && wall->after == 2000);
	assert_ptr_equal(verdict_contradiction("cpu_ns", &a, list, n), wall);
	assert_null(verdict_contradiction("page_faults", &a, list, n));
	assert_int_equal(slope->a.verdict, STATS_NO_CHANGE);
	assert_int_equal(slope->a.log.n, 29);
	assert_true(fabs(slope->before - 1) < 1e-12 && fabs(slope->after - 1) < 1e-12);
	for (size_t i = 0; i < n; i++)
		assert_true(strcmp(list[i].metric, "tsc_cycles") != 0); /* the same time in other words */
	assert_int_equal(verdict_beside_store(m.s, &q, list, n, NULL), 0);

	/* By wall time the start is the process's, which nobody measured here; slope: 3 to 2 ns. */
	q.metric = "wall_ns";
	assert_int_equal(verdict_beside(m.s, &q, &a, list, &n, NULL), 0);
	slope = find(list, n, "wall_ns", "slope");
	assert_int_equal(slope->a.verdict, STATS_IMPROVEMENT);
	assert_true(fabs(slope->a.ratio - 2 / 3.0) < 1e-12);

	/* Nothing is said beside an answer that does not hold. */
	a.a.verdict = STATS_INVALID;
	assert_int_equal(verdict_beside(m.s, &q, &a, list, &n, NULL), 0);
	assert_int_equal(n, 0);
	unmake(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_percent_slower),
		cmocka_unit_test(none_of_an_event_is_a_count),
		cmocka_unit_test(what_is_left_out_is_said),
		cmocka_unit_test(other_work_is_invalid),
		cmocka_unit_test(biased_harness_is_invalid),
		cmocka_unit_test(the_control_must_be_seen),
		cmocka_unit_test(nothing_measured_is_unclear),
		cmocka_unit_test(an_arm_that_often_fails_is_invalid),
		cmocka_unit_test(the_same_bytes_cannot_differ),
		cmocka_unit_test(the_rest_is_told_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
