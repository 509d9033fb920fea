/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "bisect/bisect.h"
#include "cli/account.h"
#include "cli/cli.h"
#include "cli/measure.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "harness/child.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char help_run[] =
	"the main job: build every phase, measure, bisect, report\n"
	"\n"
	"usage: hakperf run [--quick | --thorough] [--db FILE] [--config FILE]\n"
	"\n"
	"Builds every commit that opens a phase, counts instructions on each by size class, times them side by side,\n"
	"bisects from [main] good to bad by exact count and by throughput, and writes reports/out/index.html, whose path it\n"
	"prints last. Five minutes on two cores; killed, it goes on where it was.\n"
	"\n"
	"  --quick      90 seconds; verdicts by time may be 'unclear'\n"
	"  --thorough   times every phase and size class with enough rounds for verdicts; says how long it will take\n"
	"  --db FILE, --config FILE\n";

struct mode {
	const char *name;
	double timing_s, bisect_exact_s, bisect_timed_s;
	size_t rounds; /* most rounds a case */
	bool every_class, account; /* account: of the culprits of the bisect by instructions */
};

static const struct mode modes[] = {
	{ "normal", 110, 40, 60, 64, false, true },
	{ "quick", 22, 12, 22, 13, false, false },
	{ "thorough", 0, 120, 300, 20, true, true },
};

struct job {
	const struct mode *mode;
	struct project p;
	struct measure m;
	json_t *exact, *timed; /* results of the bisects */
	uint64_t began_ns;
};

static void headline(const struct job *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void headline(const struct job *j, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	printf("[%3.0f s] ", (double)(clock_mono_ns() - j->began_ns) * 1e-9);
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
	va_end(ap);
}

static int add_phases(struct job *j, struct error *e)
{
	struct history_commit *list = NULL;
	size_t n = 0;
	int rc = history_phases(j->p.subject.history, &list, &n, e);
	for (size_t i = 0; !rc && i < n; i++) {
		struct history_commit c = list[i];
		list[i] = (struct history_commit){ 0 };
		rc = measure_revision(&j->m, &c, NULL, e);
	}
	if (!rc && n < 2)
		rc = error_set(e, -ENODATA, "the history has %zu commits with a 'Phase: NAME' trailer, and the main job compares phases: "
			       "is this a shallow clone? (git fetch --unshallow) Else use bench and bisect", n);
	history_list_release(list, n);
	return rc;
}

static int add_cells(struct job *j, struct error *e)
{
	const struct config_main *cfg = &j->p.config.main_job;
	int rc = 0;
	for (size_t i = 0; !rc && i < cfg->n_exact; i++)
		rc = measure_cell(&j->m, cfg->exact[i].workload, cfg->exact[i].class_name, j->mode->every_class, true, e);
	for (size_t i = 0; !rc && i < cfg->n_timed; i++)
		rc = measure_cell(&j->m, cfg->timed[i].workload, cfg->timed[i].class_name, true, false, e);
	return rc;
}

static int measure_phases(struct job *j, struct error *e)
{
	size_t timed = 0;
	json_t *request = json_pack("{s:s}", "mode", j->mode->name);
	int rc = measure_open(&j->m, "run", request, NULL, 0, e);
	json_decref(request);
	if (!rc) {
		headline(j, "counting instructions of every phase and size class (callgrind)");
		rc = measure_exact(&j->m, false, e);
	}
	for (size_t k = 0; k < j->m.n_cases; k++)
		timed += j->m.cases[k].timed;
	if (!rc) {
		char how_long[32];
		/* A run of 15 ms, its link and start-up; every fourth round runs of 2N, an A/A repeat and two controls. */
		double estimate = (double)(j->mode->rounds * timed) * ((double)j->m.n_arms * 1.25 + 0.75) * 0.035;
		if (j->mode->timing_s > 0 && estimate > j->mode->timing_s)
			estimate = j->mode->timing_s;
		headline(j, "timing %zu phases side by side on %zu workloads, about %s", j->m.n_arms, timed,
			 progress_duration(estimate, how_long, sizeof(how_long)));
		rc = measure_timed(&j->m, j->mode->rounds, j->mode->timing_s, SESSION_CONTROLS | SESSION_DOUBLE, e);
	}
	if (!rc)
		rc = measure_verdicts(&j->m, -1, e);
	if (!rc)
		rc = show_measure(&j->m, stdout, e);
	return measure_close(&j->m, rc, e);
}

static void say(void *ctx, const char *line, double share)
{
	(void)share;
	progress_step(ctx, 0, line);
}

static int bisect_by(struct job *j, const char *metric, double max_time, json_t **result, struct error *e)
{
	const struct config_main *cfg = &j->p.config.main_job;
	struct bench_case *list = NULL;
	size_t n = 0;
	struct history_commit good = { 0 }, bad = { 0 };
	struct progress progress;
	int rc = bench_cases_expand(&j->p.config, cfg->bisect.workload, cfg->bisect.class_name, &list, &n, e);
	if (!rc)
		rc = history_resolve(j->p.subject.history, cfg->good, &good, e);
	if (!rc)
		rc = history_resolve(j->p.subject.history, cfg->bad, &bad, e);
	if (!rc) {
		headline(j, "bisecting %s to %s by %s", cfg->good, cfg->bad, metric ? metric : "throughput");
		progress_begin(&progress, "bisect", 0);
		struct bisect_options o = {
			.subject = &j->p.subject, .store = j->p.store, .c = &list[0], .good = &good, .bad = &bad, .good_label = cfg->good,
			.bad_label = cfg->bad, .metric = metric ? metric : "time", .improvement = true, .delta = -1, .max_time_s = max_time, .workloads = j->p.workloads,
			.control = j->p.control, .toolkit_version = hakperf_version, .say = say, .ctx = &progress,
		};
		rc = bisect_run(&o, result, e);
		progress_end(&progress);
	}
	if (!rc) {
		putchar('\n');
		show_bisect(*result, stdout);
		struct error why = { 0 };
		if (j->mode->account && metric && account_culprits(&j->p, &list[0], NULL, *result, NULL, &why))
			printf("no account of the culprits: %s\n", why.text);
		putchar('\n');
	}
	bench_cases_release(list, n);
	history_commit_release(&good), history_commit_release(&bad);
	return rc;
}

static int whole_job(struct job *j, struct error *e)
{
	const struct config_main *cfg = &j->p.config.main_job;
	measure_init(&j->m, &j->p, NULL);
	int rc = add_phases(j, e);
	if (!rc)
		rc = add_cells(j, e);
	if (!rc) {
		headline(j, "building %zu phases of %s", j->m.n_arms, j->p.config.subject.name);
		rc = measure_build(&j->m, 0, e);
	}
	if (!rc) {
		headline(j, "%zu built now, %zu kept, %zu broken; builds use %.0f MiB below %s", j->m.builds_made, j->m.n_arms - j->m.builds_made,
			 j->m.builds_broken, (double)fs_disk_usage(build_cache_root(j->p.subject.cache)) / 1048576,
			 build_cache_root(j->p.subject.cache));
		rc = measure_phases(j, e);
	}
	if (!rc && cfg->good && cfg->bad && cfg->bisect.workload) {
		rc = bisect_by(j, "instructions_exact", j->mode->bisect_exact_s, &j->exact, e);
		if (!rc)
			rc = bisect_by(j, NULL, j->mode->bisect_timed_s, &j->timed, e);
	}
	return rc;
}

int cmd_run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' }, { "thorough", no_argument, NULL, 't' }, { "db", required_argument, NULL, 'D' },
		{ "config", required_argument, NULL, 'c' }, { 0 },
	};
	struct job j = { .mode = &modes[0], .began_ns = clock_mono_ns() };
	const char *db = NULL, *config = NULL;
	for (int o; (o = getopt_long(argc, argv, "q", options, NULL)) != -1;) {
		switch (o) {
		case 'q': j.mode = &modes[1]; break;
		case 't': j.mode = &modes[2]; break;
		case 'D': db = optarg; break;
		case 'c': config = optarg; break;
		default: return CLI_USAGE;
		}
	}
	if (optind < argc)
		return cli_usage("run", "takes no '%s'", argv[optind]);
	child_catch_signals();
	struct error e = { 0 };
	int rc = project_open(&j.p, config, db, PROJECT_SUBJECT | PROJECT_STORE_WRITE, &e);
	if (!rc)
		rc = whole_job(&j, &e);
	char *page = NULL;
	if (!rc)
		rc = run_report(&j.p, &page, &e);
	if (!rc) {
		headline(&j, "done; the report:");
		puts(page);
	}
	free(page);
	json_decref(j.exact), json_decref(j.timed);
	measure_release(&j.m);
	project_close(&j.p);
	return rc ? cli_cannot("run", &e) : CLI_ANSWERED;
}
