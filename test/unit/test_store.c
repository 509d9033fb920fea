/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/fs.h"
#include "harness/store.h"
#include "harness/store_export.h"
#include "harness/store_read.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What the store gives back is what went in; summaries are right; the export says it all. */

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define GOOD "1111111111111111111111111111111111111111"
#define BAD "2222222222222222222222222222222222222222"
#define HOSTILE "Robert'); DROP TABLE sample;-- \"q\", <b>&amp; \n\t\x1b[31m \\ %s \xc3\xa4"

#define OK(call)                                                    \
	do {                                                        \
		struct error e_ = { 0 };                            \
		struct error *oe = &e_;                             \
		int rc_ = (call);                                   \
		if (rc_)                                            \
			fail_msg("%s: %d %s", #call, rc_, e_.text); \
	} while (0)

struct fixture {
	char dir[64];
	char *path;
	struct store *s;
	int64_t machine, good, bad, build_good, build_bad, workload, c4, mixed, session, arm_good, arm_bad, arm_aa, sitting;
};

static int set_up(void **state)
{
	struct fixture *f = x_calloc(1, sizeof(*f));
	strcpy(f->dir, access("/dev/shm", W_OK) ? "/tmp/hakperf-store-XXXXXX" : "/dev/shm/hakperf-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->path = x_printf("%s/results.db", f->dir);
	OK(store_open(f->path, STORE_CREATE, &f->s, oe));
	struct store_fact facts[] = { { "cpu_model", "A & B" }, { "microcode", NULL } };
	OK(store_machine(f->s, "fp1", facts, 2, &f->machine, oe));
	OK(store_commit_info(f->s, &(struct store_commit){ .full_id = GOOD, .subject = "good", .phase = "7", .author_time_s = STORE_INT(0) },
			     &f->good, oe));
	OK(store_commit_info(f->s, &(struct store_commit){ .full_id = BAD, .subject = HOSTILE, .subject_escaped = true }, &f->bad, oe));
	struct store_build b = { .key = "k1", .kind = "preload", .variant = "release", .outcome = "ok", .artifact_hash = HASH_A,
				 .relinkable = STORE_INT(1), .wall_ns = STORE_INT(3000000000) };
	OK(store_build(f->s, &b, &f->build_good, oe));
	b.key = "k2", b.artifact_hash = HASH_B, b.wall_ns = STORE_INT(5000000000);
	OK(store_build(f->s, &b, &f->build_bad, oe));
	OK(store_commit_has_build(f->s, f->good, f->build_good, oe));
	OK(store_commit_has_build(f->s, f->good, f->build_good, oe));
	OK(store_workload(f->s, "hot_path", "hot_path", HASH_A, &f->workload, oe));
	OK(store_case(f->s, &(struct store_case){ .workload_id = f->workload, .size_class = "C4", .min_bytes = STORE_INT(80),
						  .max_bytes = STORE_INT(143), .cycles = STORE_INT(1000), .warm_up = STORE_INT(0) },
		      &f->c4, oe));
	OK(store_case(f->s, &(struct store_case){ .workload_id = f->workload, .cold = true, .size_class = "mixed" }, &f->mixed, oe));
	struct store_session q = { .verb = "compare", .request_json = "{\"a\":1}", .machine_id = f->machine, .plan_seed = INT64_MIN,
				   .delta = STORE_REAL(0.01), .confidence = STORE_REAL(0.99), .metric = "ops_per_cpu_s",
				   .toolkit_version = "test" };
	OK(store_session_begin(f->s, &q, &f->session, oe));
	OK(store_arm(f->s, f->session, &(struct store_arm){ .number = 0, .role = "reference", .build_id = f->build_good,
							    .commit_id = STORE_INT(f->good), .label = "phase:7" }, &f->arm_good, oe));
	OK(store_arm(f->s, f->session, &(struct store_arm){ .number = 1, .role = "subject", .build_id = f->build_bad,
							    .commit_id = STORE_INT(f->bad), .label = "HEAD" }, &f->arm_bad, oe));
	OK(store_arm(f->s, f->session, &(struct store_arm){ .number = 2, .role = "aa", .twin = STORE_INT(f->arm_good),
							    .build_id = f->build_good, .commit_id = STORE_INT(f->good), .label = "phase:7" },
		     &f->arm_aa, oe));
	struct store_fact before[] = { { "governor", "performance" }, { "turbo", NULL } };
	OK(store_sitting_begin(f->s, f->session, STORE_INT(1), "test", before, 2, &f->sitting, oe));
	assert_int_equal(f->sitting, 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	store_close(f->s);
	OK(fs_remove(f->dir, oe));
	free(f->path);
	free(f);
	return 0;
}

/* One round: each arm's ops_per_cpu_s and cpu_ns; a negative rate leaves the arm out. */
static int put(struct fixture *f, int64_t number, double good, double bad, double aa, bool disturbed, struct error *e)
{
	struct store_sample samples[3][2];
	struct store_run runs[3];
	size_t n = 0;
	const double rate[] = { good, bad, aa };
	const int64_t arm[] = { f->arm_good, f->arm_bad, f->arm_aa };
	for (size_t i = 0; i < 3; i++) {
		if (rate[i] < 0)
			continue;
		samples[n][0] = (struct store_sample){ "ops_per_cpu_s", STORE_FIGURE(rate[i]), "thread_cpu_clock", "measured", { 0 }, { 0 } };
		samples[n][1] = (struct store_sample){ "cpu_ns", STORE_COUNT(1e12 / rate[i]), "thread_cpu_clock", "measured", { 0 }, { 0 } };
		runs[n] = (struct store_run){ .arm_id = arm[i], .multiplier = 1, .outcome = "ok", .operations = STORE_INT(1000),
					      .checksum = "ffffffffffffffff", .subject_hash = i == 1 ? HASH_B : HASH_A,
					      .program_hash = HASH_A, .link_seed = STORE_INT(number), .samples = samples[n], .n_samples = 2 };
		n++;
	}
	struct store_round r = { .session_id = f->session, .case_id = f->c4, .number = number, .sitting = f->sitting, .disturbed = disturbed,
				 .disturbed_why = disturbed ? "steal" : NULL, .runs = runs, .n_runs = n };
	return store_round(f->s, &r, NULL, NULL, e);
}

static void dimensions_are_found_again(void **state)
{
	struct fixture *f = *state;
	int64_t id;
	OK(store_machine(f->s, "fp1", NULL, 0, &id, oe));
	assert_int_equal(id, f->machine);
	OK(store_machine(f->s, "fp2", NULL, 0, &id, oe));
	assert_int_not_equal(id, f->machine);
	OK(store_commit_info(f->s, &(struct store_commit){ .full_id = GOOD, .subject = "other", .phase = "8" }, &id, oe));
	assert_int_equal(id, f->good);
	OK(store_commit_info(f->s, &(struct store_commit){ .full_id = BAD, .phase = "E1" }, &id, oe));
	OK(store_workload(f->s, "hot_path", "hot_path", HASH_A, &id, oe));
	assert_int_equal(id, f->workload);
	OK(store_workload(f->s, "hot_path", "hot_path", NULL, &id, oe));
	assert_int_not_equal(id, f->workload);
	struct store_arm_rows arms;
	OK(store_arms(f->s, f->session, &arms, oe));
	assert_int_equal(arms.n, 3);
	assert_string_equal(arms.items[0].phase, "7");
	assert_string_equal(arms.items[0].subject, "good");
	assert_string_equal(arms.items[1].phase, "E1");
	assert_string_equal(arms.items[1].subject, HOSTILE);
	assert_string_equal(arms.items[2].role, "aa");
	assert_int_equal(arms.items[2].twin.v, f->arm_good);
	assert_false(arms.items[1].twin.known);
	assert_string_equal(arms.items[1].artifact_hash, HASH_B);
	store_free(arms.pool);
}

static void cases_differ_in_every_parameter(void **state)
{
	struct fixture *f = *state;
	struct store_case base = { .workload_id = f->workload, .size_class = "C1" };
	int64_t first, id;
	OK(store_case(f->s, &base, &first, oe));
	size_t n;
	const struct store_parameter *p = store_case_parameters(&n);
	int64_t last = first;
	for (size_t i = 0; i < n; i++) {
		struct store_case c = base;
		/* 0 is a value, absent is none. */
		*store_case_slot(&c, &p[i]) = STORE_INT(0);
		OK(store_case(f->s, &c, &id, oe));
		assert_true(id > last);
		last = id;
		OK(store_case(f->s, &c, &id, oe));
		assert_int_equal(id, last);
	}
	struct store_case c[] = { base, base, base, base, base, base };
	c[0].cold = true;
	c[1].size_class = NULL;
	c[2].size_class = "";
	c[3].seconds = STORE_REAL(0.5);
	c[4].parameters_json = "{\"level\":9}";
	c[5].environment_json = "{\"MALLOC_CONF\":\"dirty_decay_ms:-1\"}";
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct error e = { 0 };
		int rc = store_case(f->s, &c[i], &id, &e);
		/* An empty name and none would look the same on a page, so one of them is refused. */
		if (i == 2) {
			assert_int_equal(rc, -EEXIST);
			continue;
		}
		assert_int_equal(rc, 0);
		assert_true(id > last);
		last = id;
	}
	OK(store_case(f->s, &base, &id, oe));
	assert_int_equal(id, first);
	struct store_case_rows rows;
	OK(store_cases(f->s, (struct store_opt){ 0 }, &rows, oe));
	assert_int_equal(rows.n, 2 + 1 + n + 5);
	const struct store_case *back = &rows.items[0].parameters;
	assert_int_equal(rows.items[0].id, f->c4);
	assert_string_equal(rows.items[0].program, "hot_path");
	assert_int_equal(back->min_bytes.v, 80);
	assert_int_equal(back->max_bytes.v, 143);
	assert_true(back->warm_up.known);
	assert_int_equal(back->warm_up.v, 0);
	assert_false(back->threads.known);
	assert_false(back->cold);
	assert_true(rows.items[1].parameters.cold);
	store_free(rows.pool);
	OK(store_cases(f->s, STORE_INT(f->session), &rows, oe));
	assert_int_equal(rows.n, 0);
	store_free(rows.pool);
}

static void a_build_made_anew_is_another_row(void **state)
{
	struct fixture *f = *state;
	int64_t id, failed;
	struct store_build b = { .key = "k1", .kind = "preload", .variant = "release", .outcome = "failed", .detail = "exit code 2" };
	OK(store_build(f->s, &b, &failed, oe));
	assert_int_not_equal(failed, f->build_good);
	OK(store_build(f->s, &b, &id, oe));
	assert_int_equal(id, failed);
	b.outcome = "ok", b.artifact_hash = HASH_A;
	OK(store_build(f->s, &b, &id, oe));
	assert_int_equal(id, f->build_good);
	b.artifact_hash = HASH_B;
	OK(store_build(f->s, &b, &id, oe));
	assert_int_not_equal(id, f->build_good);
	struct error e = { 0 };
	b.kind = "magic", b.key = "k9";
	assert_int_equal(store_build(f->s, &b, &id, &e), -EINVAL);
	assert_non_null(strstr(e.text, "kind"));
}

static void figures_come_back_as_they_went_in(void **state)
{
	struct fixture *f = *state;
	const int64_t past_double = (INT64_C(1) << 53) + 1;
	struct store_sample samples[] = {
		{ "instructions", STORE_COUNT(past_double), "pmu", "measured", STORE_INT(0), { 0 } },
		{ "page_faults", STORE_COUNT(0), "perf_software", "measured", { 0 }, STORE_INT(5) },
		{ "wall_ns", STORE_FIGURE(0.1), "monotonic_clock", "measured", { 0 }, { 0 } },
		{ "cycles", STORE_COUNT(INT64_MAX), "pmu", "measured", { 0 }, { 0 } },
		{ "core_cycles_est", STORE_FIGURE(5e-324), "tsc", "estimated", { 0 }, { 0 } },
		{ "ops_per_s", STORE_FIGURE(3), "monotonic_clock", "measured", { 0 }, { 0 } },
	};
	struct store_run run = { .arm_id = f->arm_good, .multiplier = 2, .outcome = "ok", .samples = samples, .n_samples = 6 };
	struct store_round round = { .session_id = f->session, .case_id = f->c4, .runs = &run, .n_runs = 1 };
	int64_t round_id = 0, run_id = 0;
	OK(store_round(f->s, &round, &round_id, &run_id, oe));
	assert_true(round_id > 0 && run_id > 0);
	struct store_points p;
	OK(store_points(f->s, f->session, f->c4, STORE_TIMED, "instructions", &p, oe));
	assert_int_equal(p.n, 1);
	assert_false(p.items[0].exact.real);
	assert_true(p.items[0].exact.i == past_double);
	assert_true(p.items[0].enabled_ns.known);
	assert_int_equal(p.items[0].enabled_ns.v, 0);
	assert_false(p.items[0].running_ns.known);
	assert_false(p.items[0].operations.known);
	assert_int_equal(p.items[0].multiplier, 2);
	assert_int_equal(p.items[0].role, 'r');
	assert_string_equal(p.items[0].source, "pmu");
	store_free(p.pool);
	OK(store_points(f->s, f->session, f->c4, STORE_TIMED, "page_faults", &p, oe));
	assert_int_equal(p.n, 1);
	assert_true(p.items[0].value == 0);
	assert_int_equal(p.items[0].running_ns.v, 5);
	store_free(p.pool);
	/* Not counted is absent, not zero; unknown metrics are absent too. */
	OK(store_points(f->s, f->session, f->c4, STORE_TIMED, "context_switches", &p, oe));
	assert_int_equal(p.n, 0);
	store_free(p.pool);
	OK(store_points(f->s, f->session, f->c4, STORE_EXACT, "instructions", &p, oe));
	assert_int_equal(p.n, 0);
	store_free(p.pool);
	OK(store_points(f->s, f->session, f->c4, STORE_TIMED, "ops_per_s", &p, oe));
	assert_true(p.items[0].exact.real);
	store_free(p.pool);
	OK(store_points(f->s, f->session, f->c4, STORE_TIMED, "core_cycles_est", &p, oe));
	assert_true(p.items[0].value == 5e-324);
	store_free(p.pool);
}

static int64_t count(struct store *s, const char *sql)
{
	struct store_rows *r = rows_open(s, sql);
	struct error e = { 0 };
	assert_int_equal(rows_next(r, &e), 1);
	int64_t n = rows_int(r, 0);
	rows_close(r);
	return n;
}

static void a_bad_round_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct error e = { 0 };
	OK(put(f, 0, 100, 90, 101, false, oe));
	struct {
		int line;
		struct store_sample bad;
		int code;
	} rows[] = {
		{ __LINE__, { "no_such_metric", STORE_COUNT(1), "pmu", "measured", { 0 }, { 0 } }, -EINVAL },
		{ __LINE__, { "cycles", STORE_FIGURE(NAN), "pmu", "measured", { 0 }, { 0 } }, -EINVAL },
		{ __LINE__, { "cycles", STORE_FIGURE(INFINITY), "pmu", "measured", { 0 }, { 0 } }, -EINVAL },
		{ __LINE__, { "cycles", STORE_COUNT(1), "pmu", "splendid", { 0 }, { 0 } }, -EINVAL },
		{ __LINE__, { "wall_ns", STORE_COUNT(1), "never_seen_source", "measured", { 0 }, { 0 } }, -EEXIST },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_sample samples[] = { { "wall_ns", STORE_COUNT(1), "new_source", "measured", { 0 }, { 0 } }, rows[i].bad };
		struct store_run run = { .arm_id = f->arm_good, .multiplier = 1, .outcome = "ok", .samples = samples, .n_samples = 2 };
		struct store_round round = { .session_id = f->session, .case_id = f->c4, .number = 1, .runs = &run, .n_runs = 1 };
		error_clear(&e);
		if (store_round(f->s, &round, NULL, NULL, &e) != rows[i].code)
			fail_msg("row of line %d: %d %s", rows[i].line, e.code, e.text);
		assert_true(e.text[0]);
	}
	struct store_run twice[] = { { .arm_id = 999, .multiplier = 1, .outcome = "ok" } };
	struct store_round round = { .session_id = f->session, .case_id = f->c4, .number = 1, .runs = twice, .n_runs = 1 };
	error_clear(&e);
	assert_int_equal(store_round(f->s, &round, NULL, NULL, &e), -EINVAL); /* foreign key */
	error_clear(&e);
	assert_int_equal(put(f, 0, 1, 1, 1, false, &e), -EEXIST);
	assert_int_equal(count(f->s, "SELECT count(*) FROM round"), 1);
	assert_int_equal(count(f->s, "SELECT count(*) FROM run"), 3);
	assert_int_equal(count(f->s, "SELECT count(*) FROM sample"), 6);
	assert_int_equal(count(f->s, "SELECT count(*) FROM source WHERE name = 'new_source'"), 0);
	/* Names looked up in the undone rounds are not believed later. */
	struct store_sample again = { "wall_ns", STORE_COUNT(1), "new_source", "measured", { 0 }, { 0 } };
	struct store_run run = { .arm_id = f->arm_good, .multiplier = 1, .outcome = "ok", .samples = &again, .n_samples = 1 };
	round = (struct store_round){ .session_id = f->session, .case_id = f->c4, .number = 1, .runs = &run, .n_runs = 1 };
	OK(store_round(f->s, &round, NULL, NULL, oe));
	assert_int_equal(count(f->s, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
	assert_int_equal(count(f->s, "SELECT count(*) FROM sample JOIN source ON source.id = source_id WHERE source.name = 'new_source'"), 1);
}

static void many_calls_are_one_transaction(void **state)
{
	struct fixture *f = *state;
	OK(store_begin(f->s, oe));
	OK(put(f, 0, 100, 90, 101, false, oe));
	OK(put(f, 1, 100, 90, 101, false, oe));
	store_rollback(f->s);
	assert_int_equal(count(f->s, "SELECT count(*) FROM round"), 0);
	OK(store_begin(f->s, oe));
	OK(put(f, 0, 100, 90, 101, false, oe));
	struct error e = { 0 };
	assert_int_equal(put(f, 0, 100, 90, 101, false, &e), -EEXIST);
	struct error later = { 0 };
	assert_int_equal(store_commit(f->s, &later), -EEXIST);
	assert_string_equal(later.text, e.text);
	assert_int_equal(count(f->s, "SELECT count(*) FROM round"), 0);
	OK(store_begin(f->s, oe));
	OK(put(f, 0, 100, 90, 101, false, oe));
	OK(store_begin(f->s, oe));
	OK(put(f, 1, 100, 90, 101, false, oe));
	OK(store_commit(f->s, oe));
	OK(store_commit(f->s, oe));
	assert_int_equal(count(f->s, "SELECT count(*) FROM round"), 2);
}

static void points_come_in_round_order(void **state)
{
	struct fixture *f = *state;
	OK(put(f, 1, 102, 92, 103, true, oe));
	OK(put(f, 0, 100, 90, 101, false, oe));
	OK(put(f, 2, 104, -1, -1, false, oe));
	struct store_points p;
	OK(store_points(f->s, f->session, f->c4, STORE_TIMED, "ops_per_cpu_s", &p, oe));
	assert_int_equal(p.n, 7);
	const double want[] = { 100, 90, 101, 102, 92, 103, 104 };
	for (size_t i = 0; i < p.n; i++) {
		assert_true(p.items[i].value == want[i]);
		assert_int_equal(p.items[i].round, i / 3);
		assert_int_equal(p.items[i].position, i % 3);
		assert_int_equal(p.items[i].disturbed, i / 3 == 1);
		assert_true(p.items[i].ok);
	}
	assert_int_equal(p.items[1].arm, 1);
	assert_int_equal(p.items[1].role, 's');
	assert_int_equal(p.items[2].role, 'a');
	assert_int_equal(p.items[2].twin_arm_id, f->arm_good);
	int64_t round = p.items[3].round_id;
	store_free(p.pool);
	OK(store_round_disturbed(f->s, round, false, NULL, oe));
	assert_int_equal(count(f->s, "SELECT count(*) FROM round WHERE disturbed OR disturbed_why IS NOT NULL"), 0);
}

static void medians(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 5; i++)
		OK(put(f, i, (double[]){ 5, 1, 4, 2, 3 }[i], i + 1, 1, i == 4, oe));
	struct store_medians m;
	OK(store_medians(f->s, STORE_INT(f->session), STORE_TIMED, "ops_per_cpu_s", &m, oe));
	assert_int_equal(m.n, 3);
	assert_int_equal(m.items[0].arm_id, f->arm_good);
	assert_true(m.items[0].median == 3); /* of 5 1 4 2: the fifth round is disturbed */
	assert_true(m.items[0].least == 1 && m.items[0].most == 5);
	assert_int_equal(m.items[0].runs, 4);
	assert_false(m.items[0].per_operation.known); /* a rate has no cost per operation */
	store_free(m.pool);
	OK(store_medians(f->s, (struct store_opt){ 0 }, STORE_TIMED, "cpu_ns", &m, oe));
	assert_int_equal(m.n, 3);
	assert_true(m.items[2].median == 1e12 && m.items[2].per_operation.v == 1e9);
	store_free(m.pool);
	/* What others read in the file is what we read, whatever computes it. */
	static const char *const views[] = { "temp.arm_summary", "main.arm_summary", "temp.arm_summary" };
	for (int i = 0; i < 2; i++) {
		char *sql = x_printf("SELECT count(*) FROM (SELECT * FROM %s EXCEPT SELECT * FROM %s)", views[i], views[i + 1]);
		assert_int_equal(count(f->s, sql), 0);
		free(sql);
	}
	assert_int_equal(count(f->s, "SELECT count(*) FROM main.arm_summary WHERE runs = 4 AND median = 3"), 1);
	OK(store_medians(f->s, STORE_INT(f->session), STORE_EXACT, "cpu_ns", &m, oe));
	assert_int_equal(m.n, 0);
	store_free(m.pool);
	OK(store_medians(f->s, STORE_INT(f->session), STORE_TIMED, "no_such_metric", &m, oe));
	assert_int_equal(m.n, 0);
	store_free(m.pool);
	struct error e = { 0 };
	struct store_rows *r;
	r = rows_open(f->s, "SELECT median (column1), ln (1), ln (0), ln (-1), ln ('x'), median (NULL) FROM"
			    " (VALUES (3), (NULL), (1), (2), (9223372036854775807), (2))");
	assert_int_equal(rows_next(r, &e), 1);
	assert_true(rows_real(r, 0) == 2);
	assert_true(!rows_null(r, 1) && rows_real(r, 1) == 0);
	for (int i = 2; i < 6; i++)
		assert_true(rows_null(r, i));
	rows_close(r);
	/* Against sorting, over many lengths, with ties. */
	for (int k = 1; k < 200; k++) {
		r = rows_open(f->s, "WITH RECURSIVE n (i, x) AS (SELECT 1, 12345 UNION ALL"
				    " SELECT i + 1, (x * 1103515245 + 12345) & 2147483647 FROM n WHERE i < :k),"
				    " v AS MATERIALIZED (SELECT (x >> 8) % (1 + i / 3) AS x FROM n)"
				    " SELECT median (x), (SELECT avg (x) FROM (SELECT x FROM v ORDER BY x LIMIT 2 - :k % 2 OFFSET (:k - 1) / 2)) FROM v");
		rows_bind_int(r, ":k", k);
		assert_int_equal(rows_next(r, &e), 1);
		assert_true(rows_real(r, 0) == rows_real(r, 1));
		rows_close(r);
	}
}

static void noise_is_that_of_aa_pairs(void **state)
{
	struct fixture *f = *state;
	struct store_noises noise;
	OK(store_noise(f->s, f->machine, (struct store_opt){ 0 }, NULL, &noise, oe));
	assert_int_equal(noise.n, 0);
	store_free(noise.pool);
	const double shift[] = { 0.01, -0.02, 0.03, 5 };
	for (int i = 0; i < 4; i++)
		OK(put(f, i, 100, 50, 100 * exp(shift[i]), i == 3, oe));
	OK(put(f, 4, 100, 50, -1, false, oe));
	OK(store_noise(f->s, f->machine, STORE_INT(f->c4), "ops_per_cpu_s", &noise, oe));
	assert_int_equal(noise.n, 1);
	assert_string_equal(noise.items[0].workload, "hot_path");
	assert_int_equal(noise.items[0].pairs, 3);
	assert_true(fabs(noise.items[0].sd - sqrt((0.01 * 0.01 + 0.02 * 0.02 + 0.03 * 0.03) / 3)) < 1e-12);
	assert_true(fabs(noise.items[0].robust_sd - 1.4826 * 0.02) < 1e-12);
	store_free(noise.pool);
	OK(store_noise(f->s, f->machine, (struct store_opt){ 0 }, NULL, &noise, oe));
	assert_int_equal(noise.n, 2); /* cpu_ns too */
	store_free(noise.pool);
	OK(store_noise(f->s, f->machine + 1, (struct store_opt){ 0 }, NULL, &noise, oe));
	assert_int_equal(noise.n, 0);
	store_free(noise.pool);
	struct store_ratios ratios;
	OK(store_aa_ratios(f->s, f->machine, f->c4, "ops_per_cpu_s", &ratios, oe));
	assert_int_equal(ratios.n, 3);
	assert_true(fabs(ratios.items[1] + 0.02) < 1e-12);
	store_free(ratios.pool);
	struct store_optreal build_ns, run_ns;
	OK(store_costs(f->s, f->machine, f->c4, &build_ns, &run_ns, oe));
	assert_true(build_ns.known && build_ns.v == 4e9);
	assert_false(run_ns.known);
}

static void put_exact(struct fixture *f, int64_t number, int64_t instructions)
{
	struct store_sample sample = { "instructions_exact", STORE_COUNT(instructions), "callgrind", "exact", { 0 }, { 0 } };
	struct store_cost costs[] = {
		{ "libhakmem.so", "free", "free.c", 700, STORE_INT(900), STORE_INT(500) },
		{ "libhakmem.so", "free", NULL, 0, { 0 }, { 0 } },
	};
	struct store_run run = { .arm_id = f->arm_good, .multiplier = 1, .outcome = "ok", .operations = STORE_INT(1000), .samples = &sample,
				 .n_samples = 1, .costs = costs, .n_costs = 2 };
	struct store_round round = { .session_id = f->session, .case_id = f->c4, .kind = STORE_EXACT, .number = number, .runs = &run, .n_runs = 1 };
	OK(store_round(f->s, &round, NULL, NULL, oe));
}

static void exact_counts(void **state)
{
	struct fixture *f = *state;
	struct store_exact x;
	OK(store_exact(f->s, f->build_good, f->c4, "instructions_exact", 1, &x, oe));
	assert_false(x.found);
	put_exact(f, 0, 23000);
	put_exact(f, 1, 23000);
	OK(store_exact(f->s, f->build_good, f->c4, "instructions_exact", 1, &x, oe));
	assert_true(x.found);
	assert_true(x.least == 23000 && x.most == 23000 && x.median == 23000);
	assert_int_equal(x.repeats, 2);
	assert_int_equal(x.operations.v, 1000);
	put_exact(f, 2, 23007);
	OK(store_exact(f->s, f->build_good, f->c4, "instructions_exact", 1, &x, oe));
	assert_true(x.least == 23000 && x.most == 23007);
	struct store_rows *r = rows_open(f->s, "SELECT self_instructions, calls, file FROM function_cost WHERE run_id = :run ORDER BY file");
	rows_bind_int(r, ":run", x.last_run_id);
	struct error e = { 0 };
	assert_int_equal(rows_next(r, &e), 1);
	assert_string_equal(rows_text(r, 2), "");
	assert_true(rows_null(r, 1));
	assert_int_equal(rows_next(r, &e), 1);
	assert_int_equal(rows_int(r, 1), 500);
	rows_close(r);
	OK(store_exact(f->s, f->build_bad, f->c4, "instructions_exact", 1, &x, oe));
	assert_false(x.found);
	OK(store_exact(f->s, f->build_good, f->c4, "instructions_exact", 2, &x, oe));
	assert_false(x.found);
}

static void a_session_is_taken_up_again(void **state)
{
	struct fixture *f = *state;
	OK(store_cell(f->s, f->session, f->arm_good, f->c4, STORE_TIMED, 2, oe));
	OK(store_cell(f->s, f->session, f->arm_bad, f->c4, STORE_TIMED, 2, oe));
	OK(store_cell(f->s, f->session, f->arm_good, f->mixed, STORE_EXACT, 1, oe));
	OK(store_cell(f->s, f->session, f->arm_bad, f->c4, STORE_TIMED, 3, oe));
	OK(put(f, 0, 100, 90, -1, false, oe));
	OK(put(f, 1, 100, 90, -1, false, oe));
	struct store_cell_rows cells;
	OK(store_cells(f->s, f->session, false, &cells, oe));
	assert_int_equal(cells.n, 3);
	store_free(cells.pool);
	OK(store_cells(f->s, f->session, true, &cells, oe));
	assert_int_equal(cells.n, 2);
	assert_int_equal(cells.items[0].arm_id, f->arm_bad);
	assert_int_equal(cells.items[0].planned, 3);
	assert_int_equal(cells.items[0].done, 2);
	assert_int_equal(cells.items[0].next_round, 2);
	assert_int_equal(cells.items[0].kind, STORE_TIMED);
	assert_int_equal(cells.items[1].kind, STORE_EXACT);
	assert_int_equal(cells.items[1].next_round, 0);
	store_free(cells.pool);
	int64_t id;
	OK(store_session_unfinished(f->s, "compare", "{\"a\":1}", f->machine, &id, oe));
	assert_int_equal(id, f->session);
	OK(store_session_unfinished(f->s, "compare", "{\"a\":2}", f->machine, &id, oe));
	assert_int_equal(id, 0);
	OK(store_session_unfinished(f->s, "compare", "{\"a\":1}", f->machine + 1, &id, oe));
	assert_int_equal(id, 0);
	struct store_fact after[] = { { "load_1min", "0.5" } };
	OK(store_session_end(f->s, f->session, 0, "interrupted", "by SIGINT", after, 1, oe));
	OK(store_session_unfinished(f->s, "compare", "{\"a\":1}", f->machine, &id, oe));
	assert_int_equal(id, f->session);
	int64_t sitting;
	OK(store_sitting_begin(f->s, f->session, (struct store_opt){ 0 }, "test2", NULL, 0, &sitting, oe));
	assert_int_equal(sitting, 1);
	struct store_session_rows sessions;
	OK(store_sessions(f->s, STORE_INT(f->session), &sessions, oe));
	assert_int_equal(sessions.n, 1);
	assert_string_equal(sessions.items[0].state, "running");
	assert_null(sessions.items[0].detail);
	assert_false(sessions.items[0].ended_s.known);
	assert_true(sessions.items[0].plan_seed == INT64_MIN);
	assert_true(sessions.items[0].delta.v == 0.01);
	assert_string_equal(sessions.items[0].metric, "ops_per_cpu_s");
	assert_int_equal(sessions.items[0].rounds, 2);
	assert_int_equal(sessions.items[0].runs, 4);
	assert_int_equal(sessions.items[0].arms, 3);
	assert_int_equal(sessions.items[0].sittings, 2);
	store_free(sessions.pool);
	OK(store_session_end(f->s, f->session, 1, "done", NULL, NULL, 0, oe));
	OK(store_session_unfinished(f->s, "compare", "{\"a\":1}", f->machine, &id, oe));
	assert_int_equal(id, 0);
	assert_int_equal(count(f->s, "SELECT count(*) FROM host_fact WHERE value IS NULL"), 1);
	assert_int_equal(count(f->s, "SELECT count(*) FROM host_fact WHERE moment = 'after' AND sitting = 0"), 1);
	struct error e = { 0 };
	assert_int_equal(store_session_end(f->s, 99, 0, "done", NULL, NULL, 0, &e), -ENOENT);
	error_clear(&e);
	assert_int_equal(store_sessions(f->s, STORE_INT(99), &sessions, &e), -ENOENT);
	assert_int_equal(sessions.n, 0);
	error_clear(&e);
	/* The same number cannot become another arm. */
	assert_int_equal(store_arm(f->s, f->session, &(struct store_arm){ .number = 1, .role = "subject", .build_id = f->build_good,
									  .label = "HEAD" }, &id, &e), -EEXIST);
	error_clear(&e);
	assert_int_equal(store_session_begin(f->s, &(struct store_session){ .verb = "compare", .request_json = "{not json", .machine_id = 1,
									    .toolkit_version = "" }, &id, &e), -EINVAL);
}

static void searches_verdicts_claims(void **state)
{
	struct fixture *f = *state;
	int64_t bisect, id;
	OK(store_bisect_begin(f->s, f->session, f->good, f->bad, "instructions_exact", &bisect, oe));
	OK(store_bisect_step(f->s, bisect, 0, "measure", STORE_INT(f->bad), "{\"value\":42}", oe));
	OK(store_bisect_step(f->s, bisect, 1, "result", (struct store_opt){ 0 }, NULL, oe));
	struct error e = { 0 };
	assert_int_equal(store_bisect_step(f->s, bisect, 1, "measure", (struct store_opt){ 0 }, NULL, &e), -EINVAL);
	error_clear(&e);
	assert_int_equal(store_bisect_step(f->s, bisect, 3, "measure", (struct store_opt){ 0 }, NULL, &e), -EINVAL);
	error_clear(&e);
	assert_int_equal(store_bisect_begin(f->s, f->session, f->good, f->bad, NULL, &id, &e), -EEXIST);
	OK(store_bisect_state(f->s, bisect, "done", "{\"culprits\":[]}", oe));
	struct store_bisect_rows bisects;
	OK(store_bisects(f->s, (struct store_opt){ 0 }, &bisects, oe));
	assert_int_equal(bisects.n, 1);
	assert_string_equal(bisects.items[0].good, GOOD);
	assert_string_equal(bisects.items[0].bad, BAD);
	assert_string_equal(bisects.items[0].result_json, "{\"culprits\":[]}");
	assert_int_equal(bisects.items[0].steps, 2);
	store_free(bisects.pool);
	struct store_step_rows steps;
	OK(store_steps(f->s, bisect, &steps, oe));
	assert_int_equal(steps.n, 2);
	assert_string_equal(steps.items[0].commit, BAD);
	assert_string_equal(steps.items[0].payload_json, "{\"value\":42}");
	assert_null(steps.items[1].commit);
	store_free(steps.pool);

	struct store_verdict v = { .session_id = f->session, .case_id = f->c4, .arm_a = f->arm_good, .arm_b = f->arm_bad,
				   .metric = "ops_per_cpu_s", .scope = "source", .part = "run", .verdict = "unclear", .primary = true, .rounds = 8,
				   .ratio = STORE_REAL(0.9), .ratio_lo = STORE_REAL(-INFINITY), .delta = 0.01, .confidence = 0.99,
				   .rounds_to_decide = STORE_INT(20) };
	OK(store_verdict(f->s, &v, &id, oe));
	v.verdict = "no change";
	OK(store_verdict(f->s, &v, &id, oe));
	v.verdict = "fine";
	error_clear(&e);
	assert_int_equal(store_verdict(f->s, &v, &id, &e), -EINVAL);
	struct store_verdict_rows verdicts;
	OK(store_verdicts(f->s, f->session, &verdicts, oe));
	assert_int_equal(verdicts.n, 2);
	assert_string_equal(verdicts.items[0].v.verdict, "unclear");
	assert_true(verdicts.items[0].v.primary && verdicts.items[0].v.ratio.v == 0.9);
	assert_false(verdicts.items[0].v.ratio_lo.known || verdicts.items[0].v.ratio_hi.known);
	assert_int_equal(verdicts.items[0].v.rounds_to_decide.v, 20);
	store_free(verdicts.pool);

	struct store_claim c = { .name = "phase7-256", .text = "70 M ops/s at 256 B", .revision = "phase:7", .metric = "ops_per_s",
				 .value_lo = STORE_REAL(70e6), .value_hi = STORE_REAL(70e6), .unit = "1/s", .claimed_on = "2025-11-10" };
	int64_t again;
	OK(store_claim(f->s, &c, &id, oe));
	c.commit_id = STORE_INT(f->good);
	OK(store_claim(f->s, &c, &again, oe));
	assert_int_equal(again, id);
	assert_int_equal(count(f->s, "SELECT count(*) FROM claim WHERE commit_id IS NOT NULL"), 1);
	c.value_hi = STORE_REAL(71e6);
	error_clear(&e);
	assert_int_equal(store_claim(f->s, &c, &again, &e), -EEXIST);
	OK(store_claim_check(f->s, &(struct store_claim_check){ .claim_id = id, .result = "not reproduced", .value = STORE_REAL(6e6) }, &again, oe));
}

static void metrics_keep_their_meaning(void **state)
{
	struct fixture *f = *state;
	int64_t id, again;
	struct metric m = { "requests_per_s", "1/s", METRIC_HIGHER, false, "of the server" };
	OK(store_metric(f->s, &m, &id, oe));
	OK(store_metric(f->s, &m, &again, oe));
	assert_int_equal(id, again);
	struct error e = { 0 };
	m.unit = "1/min";
	assert_int_equal(store_metric(f->s, &m, &again, &e), -EEXIST);
	error_clear(&e);
	m = (struct metric){ "context_switches", "events", METRIC_HIGHER, true, "" };
	assert_int_equal(store_metric(f->s, &m, &again, &e), -EEXIST);
	m = metric_of_event("skl::INST_RETIRED:ANY_P");
	OK(store_metric(f->s, &m, &again, oe));
	size_t n;
	const struct metric *all = metric_table(&n);
	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(metric_find(all[i].name), &all[i]);
		OK(store_metric(f->s, &all[i], &again, oe));
	}
	assert_null(metric_find("cycle"));
}

static void bytes_that_are_not_utf8(void **state)
{
	struct fixture *f = *state;
	struct {
		int line;
		const char *in, *out;
	} rows[] = {
		{ __LINE__, "plain", "plain" },
		{ __LINE__, "\xff", "\\xff" },
		{ __LINE__, "a\xc3", "a\\xc3" },
		{ __LINE__, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ __LINE__, "\xc0\xaf", "\\xc0\\xaf" },		/* overlong */
		{ __LINE__, "\xed\xa0\x80", "\\xed\\xa0\\x80" }, /* surrogate */
		{ __LINE__, "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" }, /* past the last code point */
		{ __LINE__, "\xe2\x82", "\\xe2\\x82" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t id;
		OK(store_workload(f->s, rows[i].in, "x", NULL, &id, oe));
		struct store_rows *r = rows_open(f->s, "SELECT name FROM workload WHERE id = :id");
		rows_bind_int(r, ":id", id);
		struct error e = { 0 };
		assert_int_equal(rows_next(r, &e), 1);
		if (strcmp(rows_text(r, 0), rows[i].out))
			fail_msg("row of line %d: %s", rows[i].line, rows_text(r, 0));
		rows_close(r);
		int64_t again;
		OK(store_workload(f->s, rows[i].in, "x", NULL, &again, oe));
		assert_int_equal(id, again);
	}
}

static char *exported(struct fixture *f, enum store_format format, const struct store_filter *filter, uint64_t *n)
{
	char *text = NULL;
	size_t size;
	FILE *m = open_memstream(&text, &size);
	OK(store_export(f->s, m, format, filter, n, oe));
	fclose(m);
	return text;
}

static size_t lines(const char *s)
{
	size_t n = 0;
	for (; *s; s++)
		n += *s == '\n';
	return n;
}

static void export_says_it_all(void **state)
{
	struct fixture *f = *state;
	uint64_t n;
	char *t = exported(f, STORE_JSON, NULL, &n);
	assert_string_equal(t, "[]");
	assert_int_equal(n, 0);
	free(t);
	OK(put(f, 0, 100.1, 90, 1.0 / 3, false, oe));
	OK(put(f, 1, 100, 90, -1, false, oe));
	t = exported(f, STORE_CSV, NULL, &n);
	assert_int_equal(n, 10);
	assert_memory_equal(t, "round_id,run_id,session_id,verb,machine,round,", 46);
	assert_non_null(strstr(t, ",ops_per_cpu_s,1/s,higher,0.33333333333333331,thread_cpu_clock,measured,,\n"));
	assert_non_null(strstr(t, ",ops_per_cpu_s,1/s,higher,90.0,"));
	assert_non_null(strstr(t, "\"Robert'); DROP TABLE sample;-- \"\"q\"\", <b>&amp; \n\t\x1b[31m \\ %s \xc3\xa4\""));
	free(t);
	t = exported(f, STORE_CSV, &(struct store_filter){ .metric = "cpu_ns", .commit = "1111" }, &n);
	assert_int_equal(n, 3);
	assert_int_equal(lines(t), 4);
	free(t);
	struct {
		int line;
		struct store_filter filter;
		uint64_t n;
	} rows[] = {
		{ __LINE__, { .session_id = STORE_INT(f->session) }, 10 },
		{ __LINE__, { .session_id = STORE_INT(f->session + 1) }, 0 },
		{ __LINE__, { .case_id = STORE_INT(f->mixed) }, 0 },
		{ __LINE__, { .case_id = STORE_INT(f->c4), .metric = "ops_per_cpu_s" }, 5 },
		{ __LINE__, { .workload = "hot_path", .commit = BAD }, 4 },
		{ __LINE__, { .workload = "larson" }, 0 },
		{ __LINE__, { .commit = "3" }, 0 },
		{ __LINE__, { .metric = HOSTILE }, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t = exported(f, STORE_JSON, &rows[i].filter, &n);
		if (n != rows[i].n)
			fail_msg("row of line %d: %d samples", rows[i].line, (int)n);
		free(t);
	}
	t = exported(f, STORE_JSON, &(struct store_filter){ .commit = BAD, .metric = "ops_per_cpu_s" }, &n);
	assert_non_null(strstr(t, "\"subject\":\"Robert'); DROP TABLE sample;-- \\\"q\\\", <b>&amp; \\u000a\\u0009\\u001b[31m \\\\ %s \xc3\xa4\""));
	assert_non_null(strstr(t, "\"twin_arm\":null"));
	assert_non_null(strstr(t, "\"value\":90.0"));
	free(t);
	struct error e = { 0 };
	FILE *full = fopen("/dev/full", "w");
	assert_non_null(full);
	assert_int_equal(store_export(f->s, full, STORE_CSV, NULL, NULL, &e), -ENOSPC);
	fclose(full);
	/* It says what the view says, value by value. */
	t = exported(f, STORE_CSV, NULL, NULL);
	struct store_rows *r = rows_open(f->s, "SELECT * FROM sample_long ORDER BY round_id, position, metric");
	struct buf want = { 0 };
	for (int i = 0; i < rows_columns(r); i++)
		buf_printf(&want, "%s%c", rows_name(r, i), i + 1 < rows_columns(r) ? ',' : '\n');
	error_clear(&e);
	while (rows_next(r, &e) > 0)
		for (int i = 0; i < rows_columns(r); i++) {
			const char *v = rows_text(r, i);
			bool real = rows_type(r, i) == ROWS_REAL, quoted = v && (!*v || strpbrk(v, ",\"\n"));
			if (real)
				buf_puts(&want, rows_real(r, i) == 1.0 / 3 ? "0.33333333333333331" : v);
			else if (quoted)
				for (buf_putc(&want, '"'); *v || (buf_putc(&want, '"'), 0); v++)
					buf_printf(&want, "%s%c", *v == '"' ? "\"" : "", *v);
			else
				buf_puts(&want, v ? v : "");
			buf_putc(&want, i + 1 < rows_columns(r) ? ',' : '\n');
		}
	rows_close(r);
	assert_string_equal(t, buf_str(&want));
	buf_release(&want);
	free(t);
	/* It streams: no rows are gathered before the first is written. */
	r = rows_open(f->s, "EXPLAIN QUERY PLAN SELECT * FROM run_long ORDER BY round_id, position");
	while (rows_next(r, &e) > 0)
		assert_null(strstr(rows_text(r, 3), "TEMP B-TREE"));
	rows_close(r);
}

static void every_column_is_explained(void **state)
{
	(void)state;
	struct buf text = { 0 };
	OK(fs_read("harness/schema.sql", 1 << 20, &text, oe));
	/* Keys and references say what they are by themselves. */
	size_t columns = 0;
	bool table = false;
	for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n")) {
		if (!strncmp(line, "CREATE", 6) || line[0] == ')')
			table = !strncmp(line, "CREATE TABLE", 12);
		if (!table || line[0] != '\t' || line[1] < 'a' || line[1] > 'z')
			continue;
		columns++;
		if (!strstr(line, " -- ") && !strstr(line, " REFERENCES ") && !strstr(line, " PRIMARY KEY"))
			fail_msg("a column without a comment: %s", line);
	}
	assert_true(columns > 150);
	buf_release(&text);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(dimensions_are_found_again),
		T(cases_differ_in_every_parameter),
		T(a_build_made_anew_is_another_row),
		T(figures_come_back_as_they_went_in),
		T(a_bad_round_leaves_nothing),
		T(many_calls_are_one_transaction),
		T(points_come_in_round_order),
		T(medians),
		T(noise_is_that_of_aa_pairs),
		T(exact_counts),
		T(a_session_is_taken_up_again),
		T(searches_verdicts_claims),
		T(metrics_keep_their_meaning),
		T(bytes_that_are_not_utf8),
		T(export_says_it_all),
		cmocka_unit_test(every_column_is_explained),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
