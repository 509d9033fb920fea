/* SPDX-License-Identifier: Apache-2.0 */

/* Sessions with real processes: the positive control's builds under hot_path, kept short. */
#include "base/fs.h"
#include "harness/child.h"
#include "harness/session.h"
#include "harness/session_record.h"
#include "harness/store_read.h"
#include "harness/verdict.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char build[PATH_MAX];
static bool forked; /* in a child of the test: it ends at the first failure, and its parent tells */

#define FAIL(...)                                     \
	do {                                          \
		if (forked) {                         \
			fprintf(stderr, __VA_ARGS__); \
			_exit(1);                     \
		}                                     \
		fail_msg(__VA_ARGS__);                \
	} while (0)

struct sitting {
	char folder[48];
	struct store *db;
	struct session *s;
	struct bench_case c;
	size_t index;
	size_t arm[8], n;
};

static char *in(const struct sitting *t, const char *name)
{
	return x_printf("%s/%s", t->folder, name);
}

static int set_up(void **state)
{
	static struct sitting t;
	ssize_t n = readlink("/proc/self/exe", build, sizeof(build) - 1);
	for (int i = 0; i < 2 && n > 0; i++) {
		build[n] = 0;
		n = strrchr(build, '/') - build;
	}
	build[n] = 0;
	t = (struct sitting){ .folder = "/tmp/hakperf-session-XXXXXX" };
	*state = &t;
	return mkdtemp(t.folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct sitting *t = *state;
	session_close(t->s, "failed", NULL, NULL);
	store_close(t->db);
	bench_case_release(&t->c);
	return fs_remove(t->folder, NULL);
}

/* A case of `program`, one command line with {cycles}. */
static void case_of(struct sitting *t, const char *program, const char *const *arguments)
{
	char *argv[8] = { x_printf("{workloads}/%s", program) };
	for (size_t i = 0; arguments[i]; i++)
		argv[i + 1] = (char *)arguments[i];
	bench_case_release(&t->c);
	bench_case_of_command((const char *const *)argv, &t->c);
	for (char **word = t->c.command; *word; word++)
		if (**word == '{') /* escaped, as a bare command's braces are */
			memmove(*word, *word + 1, strlen(*word));
	bench_case_set(&t->c, "cycles", "20000");
	t->c.scale = x_strdup("cycles");
	t->c.timeout_ns = 60000000000u;
	free(argv[0]);
}

static int try_open(struct sitting *t, const char *request, bool control, double wait_s, struct error *e)
{
	char *db = in(t, "results.db"), *lock = in(t, "lock"), *controls = x_printf("%s/control", build);
	struct error ignored = { 0 };
	int rc = t->db ? 0 : store_open(db, STORE_CREATE, &t->db, e);
	struct session_options o = { .store = t->db, .verb = "test", .request_json = request, .delta = -1, .workloads = build,
				     .control = control ? controls : NULL, .toolkit_version = "test", .lock_path = lock, .lock_wait_s = wait_s };
	if (!rc)
		rc = session_open(&o, &t->s, e ? e : &ignored);
	free(db), free(lock), free(controls);
	t->n = 0;
	return rc;
}

static void open_session(struct sitting *t, const char *request, bool control)
{
	static const char *const arguments[] = { "--pairs", "{cycles}", "--size", "64", NULL };
	struct error e = { 0 };
	if (!t->c.workload)
		case_of(t, "workload/hot_path", arguments);
	if (try_open(t, request, control, 0, &e) || session_add_case(t->s, &t->c, &t->index, &e))
		FAIL("%s", e.text);
}

static void close_session(struct sitting *t, const char *state)
{
	struct error e = { 0 };
	if (session_close(t->s, state, NULL, &e))
		FAIL("%s", e.text);
	t->s = NULL;
}

/* artifact: below the build folder. prefix NULL: the layout stays fixed. */
static void add_arm(struct sitting *t, enum run_kind kind, const char *artifact, const char *prefix)
{
	char *file = x_printf("%s/%s", build, artifact), *root = prefix ? x_printf("%s/%s", build, prefix) : NULL;
	struct store_build b = { .key = file, .kind = "file", .outcome = "ok", .artifact = file };
	struct session_arm a = { .label = artifact, .kind = kind, .artifact = file, .prefix = kind == RUN_EXEC ? file : root, .relink = prefix };
	struct error e = { 0 };
	if (store_build(t->db, &b, &a.build_id, &e) || session_add_arm(t->s, &a, &t->arm[t->n++], &e))
		FAIL("%s", e.text);
	free(file), free(root);
}

static void two_arms(struct sitting *t)
{
	add_arm(t, RUN_PRELOAD, "control/0/lib/libcontrol.so", "control/0");
	add_arm(t, RUN_PRELOAD, "control/64/lib/libcontrol.so", "control/64");
}

static int a_round(struct sitting *t, struct session_figure *figures)
{
	struct error e = { 0 };
	int rc = session_round(t->s, t->index, t->arm, t->n, SESSION_CONTROLS | SESSION_DOUBLE, figures, &e);
	if (rc && rc != -EINTR)
		FAIL("%s", e.text);
	return rc;
}

static int64_t ask_number(struct store *db, const char *sql)
{
	struct store_rows *r = rows_open(db, sql);
	struct error e = { 0 };
	if (rows_next(r, &e) != 1)
		fail_msg("%s: %s", sql, e.text);
	int64_t v = rows_null(r, 0) ? -1 : rows_int(r, 0);
	rows_close(r);
	return v;
}

static void is(struct store *db, int64_t want, const char *sql)
{
	int64_t got = ask_number(db, sql);
	if (got != want)
		fail_msg("%lld, not %lld: %s", (long long)got, (long long)want, sql);
}

/* Two arms; every fourth round both at 2N too, one of them again, and the control's two. */
#define RUNS_OF "(CASE WHEN number % 4 THEN 2 ELSE 7 END)"

static void all_rounds_are_whole(struct store *db)
{
	is(db, 0, "SELECT count (*) FROM round WHERE (SELECT count (*) FROM run WHERE round_id = round.id) <> " RUNS_OF);
	is(db, 0, "SELECT count (*) FROM run WHERE outcome <> 'ok'");
	is(db, 0, "SELECT count (*) FROM run WHERE (SELECT count (*) FROM sample JOIN metric ON metric.id = metric_id"
		  " WHERE run_id = run.id AND name IN ('cpu_ns', 'wall_ns', 'ops_per_cpu_s', 'process_wall_ns', 'harness_ns')) <> 5");
	is(db, 0, "SELECT count (*) FROM (SELECT max (number) + 1 - count (*) AS gaps FROM round GROUP BY session_id, case_id) WHERE gaps");
}

static void a_round_is_stored_whole_with_its_draws(void **state)
{
	struct sitting *t = *state;
	struct session_figure f[2];
	open_session(t, "{}", true);
	two_arms(t);
	assert_false(session_resumed(t->s));
	struct error e = { 0 };
	assert_int_equal(session_plan(t->s, t->index, t->arm, 2, 9, &e), 0);
	is(t->db, 18, "SELECT sum (planned_rounds) FROM session_cell WHERE kind = 'timed'");
	is(t->db, 0, "SELECT count (*) FROM round");
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(a_round(t, f), 0);
		assert_int_equal(f[0].outcome, RUN_OK);
		assert_true(f[0].value > 0 && f[1].value > 0);
		assert_int_equal(session_rounds_done(t->s, t->index), i + 1);
		/* On the disk before the next one begins. */
		is(t->db, (int64_t)i + 1, "SELECT count (*) FROM round");
	}
	is(t->db, 20, "SELECT sum (planned_rounds) FROM session_cell"); /* the tenth was planned when it was made */
	all_rounds_are_whole(t->db);
	is(t->db, 3, "SELECT count (*) FROM run JOIN session_arm ON session_arm.id = arm_id WHERE role = 'aa'");
	is(t->db, 6, "SELECT count (*) FROM run JOIN session_arm ON session_arm.id = arm_id WHERE role = 'control'");
	is(t->db, 6, "SELECT count (*) FROM run WHERE multiplier = 2");
	is(t->db, 1, "SELECT count (DISTINCT checksum) FROM run WHERE multiplier = 1");
	is(t->db, 40000, "SELECT DISTINCT operations FROM run WHERE multiplier = 1");
	is(t->db, 80000, "SELECT DISTINCT operations FROM run WHERE multiplier = 2");
	/* A link of its own for every arm and round, shared by N and 2N. */
	is(t->db, 0, "SELECT count (*) FROM run WHERE link_seed IS NULL OR padding_bytes IS NULL OR startup_allocations IS NULL");
	is(t->db, 29, "SELECT count (DISTINCT link_seed) FROM run");
	is(t->db, 29, "SELECT count (DISTINCT subject_binary_id) FROM run");
	/* Both orders came up. */
	is(t->db, 2, "SELECT count (DISTINCT position) FROM run JOIN round ON round.id = round_id JOIN session_arm ON session_arm.id = arm_id"
		     " WHERE round.number % 4 AND session_arm.number = 0");
	close_session(t, "done");
	is(t->db, 1, "SELECT count (*) FROM session WHERE state = 'done'");
	is(t->db, 1, "SELECT count (*) > 10 FROM host_fact WHERE moment = 'before'");
	is(t->db, 1, "SELECT count (*) > 10 FROM host_fact WHERE moment = 'after'");
}

static pid_t in_a_child(struct sitting *t, void (*what)(struct sitting *))
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		forked = true;
		child_catch_signals();
		what(t);
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void measure_for_ever(struct sitting *t)
{
	open_session(t, "{}", true);
	two_arms(t);
	while (!a_round(t, NULL))
		;
	close_session(t, "interrupted");
}

static void wait_for_rounds(struct sitting *t, int64_t rounds)
{
	char *db = in(t, "results.db");
	for (int i = 0; i < 3000; i++) {
		struct store *s = NULL;
		int64_t n = 0;
		if (!store_open(db, STORE_READ, &s, NULL))
			n = ask_number(s, "SELECT count (*) FROM round");
		store_close(s);
		if (n >= rounds) {
			free(db);
			return;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	fail_msg("no %lld rounds within 30 s", (long long)rounds);
}

static void a_killed_session_resumes_with_what_is_missing(void **state)
{
	struct sitting *t = *state;
	static const long after_ns[] = { 0, 7000000, 23000000, 41000000 };
	int64_t rounds = 0, id = 0;
	for (size_t i = 0; i < 4; i++) {
		pid_t pid = in_a_child(t, measure_for_ever);
		wait_for_rounds(t, rounds + 2);
		nanosleep(&(struct timespec){ .tv_nsec = after_ns[i] }, NULL); /* somewhere in a round */
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);

		open_session(t, "{}", true);
		two_arms(t);
		assert_true(session_resumed(t->s));
		assert_true(!id || id == session_id(t->s));
		id = session_id(t->s);
		rounds = (int64_t)session_rounds_done(t->s, t->index);
		is(t->db, rounds, "SELECT count (*) FROM round");
		assert_int_equal(a_round(t, NULL), 0);
		rounds++;
		all_rounds_are_whole(t->db);
		close_session(t, "interrupted");
		store_close(t->db); /* a child must not inherit it */
		t->db = NULL;
	}
	open_session(t, "{}", true);
	is(t->db, 1, "SELECT count (*) FROM session");
	is(t->db, 9, "SELECT count (*) FROM sitting");
	is(t->db, 2, "SELECT count (*) FROM session_arm WHERE role = 'subject'");
	is(t->db, 0, "SELECT count (*) FROM session_cell WHERE planned_rounds < (SELECT count (*) FROM round)");
	close_session(t, "done");
	/* A finished one is not taken up again, and draws anew. */
	open_session(t, "{}", true);
	assert_false(session_resumed(t->s));
	is(t->db, 2, "SELECT count (DISTINCT plan_seed) FROM session");
}

static void an_interrupt_keeps_what_was_measured(void **state)
{
	struct sitting *t = *state;
	pid_t pid = in_a_child(t, measure_for_ever);
	wait_for_rounds(t, 3);
	kill(pid, SIGINT);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	char *db = in(t, "results.db");
	assert_int_equal(store_open(db, STORE_READ, &t->db, NULL), 0);
	free(db);
	is(t->db, 1, "SELECT count (*) FROM session WHERE state = 'interrupted' AND ended_s IS NOT NULL");
	is(t->db, 1, "SELECT count (*) >= 3 FROM round");
	all_rounds_are_whole(t->db);
}

static void hold_the_lock(struct sitting *t)
{
	open_session(t, "{\"who\":\"holder\"}", false);
	char *flag = in(t, "held");
	fs_write(flag, "", 0, NULL);
	nanosleep(&(struct timespec){ .tv_nsec = 400000000 }, NULL);
	close_session(t, "done");
}

static void one_session_at_a_time(void **state)
{
	struct sitting *t = *state;
	struct error e = { 0 };
	pid_t pid = in_a_child(t, hold_the_lock);
	char *flag = in(t, "held");
	while (!fs_exists(flag))
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	free(flag);
	assert_int_equal(try_open(t, "{}", false, 0, &e), -EBUSY);
	assert_null(t->s);
	char *who = x_printf("process %ld (test)", (long)pid);
	assert_non_null(strstr(e.text, who));
	free(who);
	is(t->db, 1, "SELECT count (*) FROM session"); /* the refused one left nothing */
	assert_int_equal(try_open(t, "{}", false, 30, &e), 0);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	is(t->db, 1, "SELECT count (*) FROM session WHERE state = 'done'");

	/* The lock dies with its owner, however it ends. */
	close_session(t, "done");
	store_close(t->db);
	t->db = NULL;
	pid = in_a_child(t, measure_for_ever);
	wait_for_rounds(t, 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(try_open(t, "{\"n\":2}", false, 0, &e), 0);
}

static void the_control_is_seen_and_the_difference_told(void **state)
{
	struct sitting *t = *state;
	static const char *const arguments[] = { "--pairs", "{cycles}", "--size", "64", NULL };
	case_of(t, "workload/hot_path", arguments);
	bench_case_set(&t->c, "cycles", "200000");
	open_session(t, "{}", true);
	two_arms(t);
	struct verdict_answer v;
	struct error e = { 0 };
	struct verdict_question q = { .session_id = session_id(t->s), .case_id = session_case_id(t->s, t->index), .delta = -1,
				      .arm_a = session_arm_id(t->s, t->arm[0]), .arm_b = session_arm_id(t->s, t->arm[1]) };
	do { /* at a bad moment the first rounds may not do */
		assert_int_equal(a_round(t, NULL), 0);
		q.metric = session_metric(t->s, t->index);
		if (verdict_ask(t->db, &q, &v, &e))
			FAIL("%s", e.text);
	} while (v.a.log.n < 100 && (v.a.verdict == STATS_UNCLEAR || v.n_control < 3 || v.aa.n < 3));
	assert_string_equal(q.metric, "ops_per_cpu_s");
	assert_true(v.redrawn && v.links == v.a.log.n);
	assert_true(v.n_control >= 3 && v.aa.n >= 3);
	assert_true(v.control_expected < -0.01); /* of a rate: more instructions, fewer operations */
	if (v.a.verdict != STATS_REGRESSION || v.a.ratio >= 0.85)
		FAIL("%s, ratio %g in %zu rounds, control %g of %g in %zu pairs: %s", stats_verdict_name(v.a.verdict), v.a.ratio, v.a.log.n, v.control_seen,
		     v.control_expected, v.n_control, v.detail);
}

static void a_failing_arm_is_an_outcome(void **state)
{
	struct sitting *t = *state;
	static const char *const none[] = { "1000", NULL };
	static const struct {
		const char *artifact;
		enum run_kind kind;
		enum run_outcome outcome;
		const char *stored, *why;
	} rows[] = {
		{ "control/0/lib/libcontrol.so", RUN_PRELOAD, RUN_OK, "ok", "" },
		{ "test/misbehave/partial.so", RUN_PRELOAD, RUN_NOT_INTERPOSING, "not interposing", "calloc resolves into" },
		{ "test/misbehave/fallback.so", RUN_PRELOAD, RUN_FELL_BACK, "fell back to libc", "C library's own malloc" },
		{ "test/misbehave/overlap.so", RUN_PRELOAD, RUN_FAILED, "failed", "let another block overwrite" },
	};
	struct session_figure f[4];
	case_of(t, "workload/hot_path", none);
	open_session(t, "{}", false);
	for (size_t i = 0; i < 4; i++)
		add_arm(t, rows[i].kind, rows[i].artifact, NULL);
	for (int round = 0; round < 2; round++)
		assert_int_equal(a_round(t, f), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(f[i].outcome, rows[i].outcome);
		assert_non_null(strstr(f[i].why, rows[i].why));
		assert_true(isnan(f[i].value) == (f[i].outcome != RUN_OK));
		char *sql = x_printf("SELECT count (*) FROM run JOIN session_arm ON session_arm.id = arm_id JOIN round ON round.id = round_id"
				     " WHERE session_arm.label = '%s' AND run.outcome = '%s' AND round.number = 1", rows[i].artifact, rows[i].stored);
		is(t->db, 1, sql);
		free(sql);
	}
	is(t->db, 0, "SELECT count (*) FROM sample JOIN run ON run.id = run_id WHERE outcome <> 'ok'");
}

static void other_work_is_told_apart(void **state)
{
	struct sitting *t = *state;
	static const char *const none[] = { "1000", NULL };
	struct session_figure f[2];
	case_of(t, "workload/hot_path", none);
	free(t->c.command[0]);
	t->c.command[0] = x_strdup("{prefix}");
	open_session(t, "{}", false);
	add_arm(t, RUN_EXEC, "workload/hot_path", NULL);
	add_arm(t, RUN_EXEC, "workload/realloc_grow", NULL);
	assert_int_equal(a_round(t, f), 0);
	assert_true(f[0].outcome == RUN_GARBAGE || f[1].outcome == RUN_GARBAGE);
	is(t->db, 1, "SELECT count (*) >= 1 FROM run WHERE outcome = 'wrong work'");
	is(t->db, 2, "SELECT count (DISTINCT program_binary_id) FROM run");
}

static void disturbances_are_read_back_as_they_were(void **state)
{
	struct sitting *t = *state;
	static const struct {
		int line;
		double preemptions, migrations, steal_share; /* of 1e9 ns of process time */
		unsigned flags;
	} rows[] = {
		{ __LINE__, 3, 0, 0, 0 },   { __LINE__, 4, 0, NAN, 0 }, { __LINE__, 3, NAN, 0, 0 }, { __LINE__, 2, 1, 0, 0 },
		{ __LINE__, 3, 0, 0, 0 },   { __LINE__, 5, 0, 0, 0 },   { __LINE__, 3, 0, 0, 0 },   { __LINE__, 4, 0, 0, 0 },
		{ __LINE__, 30, 0, 0, STATS_BY_PREEMPTION },	       { __LINE__, 3, 0, 0.2, STATS_BY_STEAL },
		{ __LINE__, 3, 9, 0, STATS_BY_MIGRATION },	       { __LINE__, 4, 0, 0.001, 0 },
	};
	enum { N = sizeof(rows) / sizeof(rows[0]) };
	struct case_state live = { 0 }, again = { 0 };
	open_session(t, "{}", false);
	two_arms(t);
	int64_t case_id = session_case_id(t->s, t->index);
	for (size_t i = 0; i < N; i++) {
		struct store_sample samples[3] = {
			{ .metric = "process_wall_ns", .value = STORE_COUNT(500000000), .source = "monotonic_clock", .quality = "measured" },
			{ .metric = "involuntary_switches", .value = STORE_COUNT(rows[i].preemptions), .source = "rusage", .quality = "measured" },
			{ .metric = "cpu_migrations", .value = STORE_COUNT(isnan(rows[i].migrations) ? 0 : rows[i].migrations), .source = "perf_software", .quality = "measured" },
		};
		size_t n = isnan(rows[i].migrations) ? 2 : 3;
		struct store_run runs[2] = { { .arm_id = session_arm_id(t->s, 0), .multiplier = 1, .outcome = "ok", .samples = samples, .n_samples = n },
					     { .arm_id = session_arm_id(t->s, 1), .multiplier = 1, .outcome = "ok", .samples = samples, .n_samples = 1 } };
		struct session_samples made[2] = { { samples, n, n }, { samples, 1, 1 } };
		struct store_opt steal = isnan(rows[i].steal_share) ? (struct store_opt){ 0 } : STORE_INT(1e9 * rows[i].steal_share);
		struct session_disturbance d = session_round_quiet;
		struct buf why = { 0 };
		session_round_add(&d, &made[0]);
		session_round_add(&d, &made[1]);
		unsigned flags = session_round_judge(&live, &d, steal, &why);
		if (flags != rows[i].flags || (flags != 0) != (why.len != 0))
			fail_msg("row at line %d: flags %u, '%s'", rows[i].line, flags, buf_str(&why));
		buf_release(&why);
		struct store_round r = { .session_id = session_id(t->s), .case_id = case_id, .number = (int64_t)i, .steal_ns = steal, .runs = runs, .n_runs = 2 };
		assert_int_equal(store_round(t->db, &r, NULL, NULL, NULL), 0);
	}
	again.id = case_id;
	assert_int_equal(session_record_load(t->s, &again, NULL), 0);
	assert_int_equal(again.rounds_done, N);
	assert_int_equal(again.n_history, N);
	for (size_t i = 0; i < N; i++) {
		const double a[] = { live.history[i].steal_ratio, live.history[i].migrations, live.history[i].preemptions };
		const double b[] = { again.history[i].steal_ratio, again.history[i].migrations, again.history[i].preemptions };
		for (size_t k = 0; k < 3; k++)
			if (a[k] != b[k] && !(isnan(a[k]) && isnan(b[k])))
				fail_msg("row at line %d: quantity %zu was %g, is %g", rows[i].line, k, a[k], b[k]);
	}
	free(live.history), free(again.history), free(again.cells);
}

/* What the user can mend and ask again goes on. */
static void states(void **state)
{
	(void)state;
	assert_string_equal(session_state(0), "done");
	assert_string_equal(session_state(-EINTR), "interrupted");
	assert_string_equal(session_state(-ENOSPC), "interrupted");
	assert_string_equal(session_state(-EIO), "failed");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_round_is_stored_whole_with_its_draws),
		TEST(a_killed_session_resumes_with_what_is_missing),
		TEST(an_interrupt_keeps_what_was_measured),
		TEST(one_session_at_a_time),
		TEST(the_control_is_seen_and_the_difference_told),
		TEST(a_failing_arm_is_an_outcome),
		TEST(other_work_is_told_apart),
		cmocka_unit_test(states),
		TEST(disturbances_are_read_back_as_they_were),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
