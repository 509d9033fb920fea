/* SPDX-License-Identifier: Apache-2.0 */

/* What measuring costs on top of what is measured. Prints figures; passes and fails nothing. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "harness/host.h"
#include "harness/plan.h"
#include "harness/session.h"
#include "harness/store_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN_S 0.3 /* as the target has it */

static struct error e;

static void must(int rc)
{
	if (!rc)
		return;
	fprintf(stderr, "bench-harness: %s\n", e.text);
	exit(3);
}

static double seconds_since(uint64_t began_ns)
{
	return 1e-9 * (double)(clock_mono_ns() - began_ns);
}

static void case_of(struct bench_case *c, const char *cycles, const char *size)
{
	static const char *const words[] = { "{workloads}/hot_path", "--pairs", "{cycles}", "--size", "{size}", NULL };
	*c = (struct bench_case){ .workload = x_strdup("hot_path"), .scale = x_strdup("cycles"), .timeout_ns = 60000000000u };
	c->command = x_calloc(6, sizeof(*c->command));
	for (size_t i = 0; words[i]; i++)
		c->command[i] = x_strdup(words[i]);
	bench_case_set(c, "cycles", cycles);
	bench_case_set(c, "size", size);
}

static void arms_of(struct session *s, struct store *db, const char *control, size_t *arms)
{
	static const char *const doses[] = { "0", "1" };
	for (int i = 0; i < 2; i++) {
		char *prefix = x_printf("%s/%s", control, doses[i]), *file = x_printf("%s/lib/libcontrol.so", prefix);
		struct store_build b = { .key = file, .kind = "file", .outcome = "ok", .artifact = file };
		struct session_arm a = { .label = doses[i], .kind = RUN_PRELOAD, .prefix = prefix, .artifact = file, .relink = true };
		must(store_build(db, &b, &a.build_id, &e));
		must(session_add_arm(s, &a, &arms[i], &e));
		free(prefix), free(file);
	}
}

static double ask(struct store *db, const char *sql)
{
	struct store_rows *r = rows_open(db, sql);
	must(rows_next(r, &e) > 0 ? 0 : -1);
	double v = rows_real(r, 0);
	rows_close(r);
	return v;
}

/* Pairs that last RUN_S here. */
static char *calibrate(struct store *db, const struct session_options *o)
{
	struct session *s;
	struct bench_case c;
	size_t index, arms[2];
	case_of(&c, "1000000", "64");
	must(session_open(o, &s, &e));
	must(session_add_case(s, &c, &index, &e));
	arms_of(s, db, o->control, arms);
	for (int i = 0; i < 5; i++)
		must(session_round(s, index, arms, 2, 0, NULL, &e));
	must(session_close(s, "done", NULL, &e));
	bench_case_release(&c);
	return x_printf("%.0f", 1e6 * RUN_S * 1e9 / ask(db, "SELECT median (value) FROM sample JOIN metric ON metric.id = metric_id WHERE name = 'process_wall_ns'"));
}

static void overhead(struct store *db, struct session_options *o, int rounds)
{
	struct session *s;
	struct bench_case c;
	size_t index, arms[2];
	char *cycles = calibrate(db, o);
	o->request_json = "{\"what\":\"overhead\"}";
	case_of(&c, cycles, "64");
	uint64_t began = clock_mono_ns();
	must(session_open(o, &s, &e));
	must(session_add_case(s, &c, &index, &e));
	arms_of(s, db, o->control, arms);
	double opening = seconds_since(began);
	began = clock_mono_ns();
	for (int i = 0; i < rounds; i++)
		must(session_round(s, index, arms, 2, SESSION_CONTROLS | SESSION_DOUBLE, NULL, &e));
	double measuring = seconds_since(began);
	must(session_close(s, "done", NULL, &e));
#define OF_THIS " JOIN run ON run.id = run_id JOIN round ON round.id = round_id WHERE round.session_id = (SELECT max (id) FROM session)"
	double runs = ask(db, "SELECT count (*) FROM run JOIN round ON round.id = round_id WHERE round.session_id = (SELECT max (id) FROM session)");
	double processes = 1e-9 * ask(db, "SELECT sum (value) FROM sample JOIN metric ON metric.id = metric_id AND name = 'process_wall_ns'" OF_THIS);
	double around = 1e-9 * ask(db, "SELECT sum (value) FROM sample JOIN metric ON metric.id = metric_id AND name = 'harness_ns'" OF_THIS);
	double inside = 1e-9 * ask(db, "SELECT sum (value) FROM sample JOIN metric ON metric.id = metric_id AND name = 'wall_ns'" OF_THIS);
	printf("%.0f runs in %d rounds, each under a fresh link: %.3f s a run of N operations\n", runs, rounds,
	       1e-9 * ask(db, "SELECT median (value) FROM sample JOIN metric ON metric.id = metric_id AND name = 'process_wall_ns'" OF_THIS " AND multiplier = 1"));
	printf("  timed regions                       %8.3f s\n", inside);
	printf("  the workloads' processes            %8.3f s\n", processes);
	printf("  the harness on top of them          %8.3f s   %5.2f %%   (target: 10 %%)\n", measuring - processes, 100 * (measuring - processes) / processes);
	printf("    links, preparation, judging       %8.3f s   %5.2f %%   %.1f ms a run\n", around, 100 * around / processes, 1000 * around / runs);
	printf("    plan, record, machine's state     %8.3f s   %5.2f %%   %.1f ms a round\n", measuring - processes - around,
	       100 * (measuring - processes - around) / processes, 1000 * (measuring - processes - around) / rounds);
	printf("  opening the session                 %8.3f s\n", opening);
	bench_case_release(&c);
	free(cycles);
}

/* 20 cases × 25 rounds × 2 arms: from nothing to the first run. */
static void start(struct store *db, struct session_options *o)
{
	enum { CASES = 20, ROUNDS = 25, ARMS = 2 };
	static struct bench_case cases[CASES];
	struct session *s;
	size_t index[CASES], arms[ARMS], runs = 0;
	o->request_json = "{\"what\":\"start\"}";
	uint64_t began = clock_mono_ns();
	must(session_open(o, &s, &e));
	arms_of(s, db, o->control, arms);
	for (int i = 0; i < CASES; i++) {
		char size[16];
		snprintf(size, sizeof(size), "%d", 16 + 16 * i);
		case_of(&cases[i], "1000", size);
		must(session_add_case(s, &cases[i], &index[i], &e));
		must(session_plan(s, index[i], arms, ARMS, ROUNDS, &e));
	}
	double planned = seconds_since(began);
	must(session_round(s, index[0], arms, ARMS, 0, NULL, &e));
	double first = seconds_since(began);
	runs = (size_t)ask(db, "SELECT sum (planned_rounds) FROM session_cell WHERE session_id = (SELECT max (id) FROM session)");
	must(session_close(s, "done", NULL, &e));
	printf("%zu planned runs: in the record after %.3f s, first round measured after %.3f s   (target: 1 s)\n", runs, planned, first);
	for (int i = 0; i < CASES; i++)
		bench_case_release(&cases[i]);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: bench_harness BUILD ROUNDS\n");
		return 2;
	}
	char *folder = x_strdup("/tmp/hakperf-bench-XXXXXX");
	if (!mkdtemp(folder))
		return 3;
	char *path = x_printf("%s/results.db", folder), *workloads = x_printf("%s/workload", argv[1]), *control = x_printf("%s/control", argv[1]);
	struct store *db;
	must(store_open(path, STORE_CREATE, &db, &e));
	struct session_options o = { .store = db, .verb = "bench-harness", .request_json = "{\"what\":\"calibration\"}", .delta = -1, .workloads = workloads,
				     .control = control, .toolkit_version = "bench", .lock_wait_s = 600 };
	struct host_snapshot before, after;
	host_snapshot("", &before);
	overhead(db, &o, atoi(argv[2]));
	start(db, &o);
	host_snapshot("", &after);
	struct host_change change = host_difference(&before, &after);
	printf("meanwhile: load %.1f, all CPUs %.0f %% busy, steal %.1f %%\n", change.load1, 100 * change.busy_share, 100 * change.steal_share);
	store_close(db);
	fs_remove(folder, NULL);
	free(folder), free(path), free(workloads), free(control);
	return 0;
}
