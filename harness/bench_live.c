/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Real sessions whose truth is known: relinks of one source (nothing differs), and doses of extra instructions (everything does, by a
 * known amount). Every comparison is a session of the record: what a killed bench has finished is not measured again.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "harness/child.h"
#include "harness/host.h"
#include "harness/session.h"
#include "harness/store_read.h"
#include "harness/verdict.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error e;

static void must(int rc)
{
	if (!rc)
		return;
	fprintf(stderr, "bench-live: %s\n", e.text);
	exit(rc == -EINTR ? 130 : 3);
}

static const char *const hot_path[] = { "{workloads}/hot_path", "--pairs", "{cycles}", "--size", "128", NULL };
static const char *const mixed[] = { "{workloads}/bench_random_mixed", "--cycles", "{cycles}", "--ws", "256", NULL };

static void case_of(struct bench_case *c, const char *name, const char *const *words, const char *cycles)
{
	*c = (struct bench_case){ .workload = x_strdup(name), .scale = x_strdup("cycles"), .timeout_ns = 60000000000u };
	c->command = x_calloc(6, sizeof(*c->command));
	for (size_t i = 0; words[i]; i++)
		c->command[i] = x_strdup(words[i]);
	bench_case_set(c, "cycles", cycles);
}

static void add_arm(struct session *s, struct store *db, const char *control, const char *dose, const char *label, size_t *arm)
{
	char *prefix = x_printf("%s/%s", control, dose), *file = x_printf("%s/lib/libcontrol.so", prefix);
	struct store_build b = { .key = file, .kind = "file", .outcome = "ok", .artifact = file };
	struct session_arm a = { .label = label, .kind = RUN_PRELOAD, .prefix = prefix, .artifact = file, .relink = true };
	must(store_build(db, &b, &a.build_id, &e));
	must(session_add_arm(s, &a, arm, &e));
	free(prefix), free(file);
}

/* The session of this request that is done; 0: none. */
static int64_t finished(struct store *db, const char *request)
{
	struct store_rows *r = rows_open(db, "SELECT max (id) FROM session WHERE verb = 'bench-live' AND request_json = :request AND state = 'done'");
	rows_bind_text(r, ":request", request);
	must(rows_next(r, &e) > 0 ? 0 : -EIO);
	int64_t id = rows_int(r, 0);
	rows_close(r);
	return id;
}

struct null_tally {
	size_t sessions, claims, no_change, unclear, invalid, rounds;
};

/* Looked at after every round, as a comparison is; it goes on past "no change", which gives it more chances to be wrong. */
static void one_null(struct store *db, const struct session_options *base, int number, double seconds, struct null_tally *t)
{
	struct session *s;
	struct bench_case c;
	size_t index, arms[2];
	struct session_options o = *base;
	char *request = x_printf("{\"null\":%d,\"seconds\":%g}", number, seconds);
	struct verdict_answer v = { .a = { .verdict = STATS_UNCLEAR } };
	int64_t done = finished(db, request);
	o.request_json = request;
	if (!done) {
		case_of(&c, number % 2 ? "bench_random_mixed" : "hot_path", number % 2 ? mixed : hot_path, number % 2 ? "500000" : "1000000");
		must(session_open(&o, &s, &e));
		must(session_add_case(s, &c, &index, &e));
		add_arm(s, db, base->control, "0", "a", &arms[0]);
		add_arm(s, db, base->control, "0", "b", &arms[1]);
		struct verdict_question q = { .session_id = session_id(s), .case_id = session_case_id(s, index), .arm_a = session_arm_id(s, arms[0]),
					      .arm_b = session_arm_id(s, arms[1]), .metric = session_metric(s, index), .delta = -1 };
		bool claimed = false;
		for (uint64_t began = clock_mono_ns(); !claimed && 1e-9 * (double)(clock_mono_ns() - began) < seconds;) {
			must(session_round(s, index, arms, 2, SESSION_CONTROLS, NULL, &e));
			must(verdict_ask(db, &q, &v, &e));
			claimed = v.a.verdict == STATS_REGRESSION || v.a.verdict == STATS_IMPROVEMENT;
		}
		must(verdict_store(db, &q, &v, true, &e));
		done = session_id(s);
		must(session_close(s, "done", NULL, &e));
		bench_case_release(&c);
	}
	struct store_rows *r = rows_open(db, "SELECT verdict, rounds FROM verdict WHERE session_id = :id ORDER BY id DESC LIMIT 1");
	rows_bind_int(r, ":id", done);
	must(rows_next(r, &e) > 0 ? 0 : -EIO);
	const char *word = rows_text(r, 0);
	t->sessions++;
	t->rounds += (size_t)rows_int(r, 1);
	t->claims += !strcmp(word, "regression") || !strcmp(word, "improvement");
	t->no_change += !strcmp(word, "no change");
	t->unclear += !strcmp(word, "unclear");
	t->invalid += !strcmp(word, "invalid");
	rows_close(r);
	free(request);
}

static void nulls(struct store *db, const struct session_options *o, int n, double seconds)
{
	struct null_tally t = { 0 };
	for (int i = 0; i < n; i++) {
		one_null(db, o, i, seconds, &t);
		fprintf(stderr, "\r%d of %d null comparisons, %zu claims ", i + 1, n, t.claims);
	}
	fputc('\n', stderr);
	printf("%zu comparisons of relinks of one source, %g s each, %.0f rounds on average: %zu differences claimed (target: 0), %zu no change, %zu unclear,"
	       " %zu invalid\n", t.sessions, seconds, (double)t.rounds / (double)t.sessions, t.claims, t.no_change, t.unclear, t.invalid);
}

static const double doses[] = { 0, 1, 2, 4, 8 };
enum { DOSES = sizeof(doses) / sizeof(doses[0]) };

/* y: rounds × DOSES of a metric per free; rounds that lack one arm are left out. */
static size_t response(struct store *db, int64_t session, const char *metric, double *y, size_t room)
{
	struct store_rows *r = rows_open(db, "SELECT round.number, session_arm.number, sample.value * 2.0 / run.operations FROM round"
					     " JOIN run ON run.round_id = round.id JOIN session_arm ON session_arm.id = run.arm_id"
					     " JOIN sample ON sample.run_id = run.id JOIN metric ON metric.id = sample.metric_id"
					     " WHERE round.session_id = :session AND metric.name = :metric AND run.outcome = 'ok' AND NOT round.disturbed"
					     " AND session_arm.role = 'subject' AND run.multiplier = 1 ORDER BY round.number, session_arm.number");
	rows_bind_int(r, ":session", session);
	rows_bind_text(r, ":metric", metric);
	size_t n = 0, have = 0;
	int64_t round = -1;
	while (rows_next(r, &e) > 0 && n < room) {
		if (rows_int(r, 0) != round)
			round = rows_int(r, 0), have = 0;
		if ((size_t)rows_int(r, 1) == have)
			y[n * DOSES + have++] = rows_real(r, 2);
		n += have == DOSES;
		have %= DOSES;
	}
	rows_close(r);
	return n;
}

static void tell_dose(struct store *db, int64_t session, const char *metric, const char *unit, size_t rounds)
{
	double *y = x_calloc(rounds * DOSES + 1, sizeof(*y));
	size_t n = response(db, session, metric, y, rounds);
	if (!n) {
		printf("  %s: not measured here\n", metric);
		free(y);
		return;
	}
	struct stats_dose d = stats_dose(doses, DOSES, y, n, STATS_CONFIDENCE);
	printf("  %-16s %.3f [%.3f, %.3f] %s an extra instruction, %.2f without any; monotone: %s, linear: %s (worst %.3f); %zu rounds\n", metric, d.slope.mid,
	       d.slope.lo, d.slope.hi, unit, d.intercept, d.monotone_shown ? "shown" : d.monotone ? "yes" : "no", d.linear ? "yes" : "no", d.worst, n);
	free(y);
}

static void dose_response(struct store *db, const struct session_options *base, int rounds)
{
	static const char *const names[DOSES] = { "0", "1", "2", "4", "8" };
	struct session *s;
	struct bench_case c;
	size_t index, arms[DOSES];
	struct session_options o = *base;
	char *request = x_printf("{\"doses\":%d}", rounds);
	int64_t done = finished(db, request);
	o.request_json = request;
	if (!done) {
		case_of(&c, "hot_path", hot_path, "1000000");
		must(session_open(&o, &s, &e));
		must(session_add_case(s, &c, &index, &e));
		for (size_t i = 0; i < DOSES; i++)
			add_arm(s, db, base->control, names[i], names[i], &arms[i]);
		must(session_plan(s, index, arms, DOSES, (size_t)rounds, &e));
		while (session_rounds_done(s, index) < (size_t)rounds)
			must(session_round(s, index, arms, DOSES, 0, NULL, &e));
		done = session_id(s);
		must(session_close(s, "done", NULL, &e));
		bench_case_release(&c);
	}
	printf("dose and response: 0, 1, 2, 4, 8 extra dependent instructions per free, hot_path of 128 bytes\n");
	tell_dose(db, done, "cpu_ns", "ns", (size_t)rounds);
	tell_dose(db, done, "core_cycles_est", "cycles", (size_t)rounds);
	free(request);
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "usage: bench_live BUILD DATABASE NULLS SECONDS DOSE-ROUNDS\n");
		return 2;
	}
	char *workloads = x_printf("%s/workload", argv[1]), *control = x_printf("%s/control", argv[1]);
	struct store *db;
	child_catch_signals();
	must(store_open(argv[2], STORE_CREATE, &db, &e));
	struct session_options o = { .store = db, .verb = "bench-live", .delta = -1, .workloads = workloads, .control = control,
				     .toolkit_version = "bench", .lock_wait_s = 600 };
	struct host_snapshot before, after;
	host_snapshot("", &before);
	nulls(db, &o, atoi(argv[3]), atof(argv[4]));
	dose_response(db, &o, atoi(argv[5]));
	host_snapshot("", &after);
	struct host_change change = host_difference(&before, &after);
	printf("meanwhile: load %.1f, all CPUs %.0f %% busy, steal %.1f %%\n", change.load1, 100 * change.busy_share, 100 * change.steal_share);
	store_close(db);
	free(workloads), free(control);
	return 0;
}
