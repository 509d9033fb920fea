/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/range.h"
#include "bisect/simulate.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/project.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "harness/host.h"
#include "harness/store_read.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char help_plan[] =
	"say what a bisect would cost before anything is built\n"
	"\n"
	"usage: hakperf plan [OPTION ...] GOOD BAD\n"
	"\n"
	"Builds, measurements and minutes that finding a change of 1, 2, 5 and 20 % would take by throughput, at this machine's noise as\n"
	"the record knows it, from simulated searches over as many commits; and by exact count.\n"
	"\n"
	"  --workload W, --class C   default: the one of [main] bisect\n"
	"  --noise S        spread of one log-ratio, when the record has none (2%)\n"
	"  --confidence P   probability at which a commit is named (default 0.99)\n"
	"  --trials N       simulated searches a row (default 60)\n"
	"  --db FILE, --config FILE, --json\n";

#define TYPICAL_BUILD_S 5.0
#define TYPICAL_RUN_S 0.1
#define PAIRS_ENOUGH 8

struct asked {
	const char *workload, *class_name, *db, *config;
	double noise, confidence;
	uint64_t trials;
	bool json;
};

/* What the forecast rests on. */
struct basis {
	size_t commits;
	double noise, build_s, run_s;
	const char *noise_from;
	int64_t pairs;
	bool costs_known;
};

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "workload", required_argument, NULL, 'w' }, { "class", required_argument, NULL, 'C' }, { "noise", required_argument, NULL, 'n' },
		{ "confidence", required_argument, NULL, 'p' }, { "trials", required_argument, NULL, 't' }, { "db", required_argument, NULL, 'D' },
		{ "config", required_argument, NULL, 'c' }, { "json", no_argument, NULL, 'j' }, { 0 },
	};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		bool ok = true;
		switch (o) {
		case 'w': a->workload = optarg; break;
		case 'C': a->class_name = optarg; break;
		case 'n': ok = cli_fraction(optarg, &a->noise) && a->noise > 0 && a->noise < 1; break;
		case 'p': ok = cli_fraction(optarg, &a->confidence) && a->confidence >= 0.5 && a->confidence < 1; break;
		case 't': ok = cli_number(optarg, 1, 100000, &a->trials); break;
		case 'D': a->db = optarg; break;
		case 'c': a->config = optarg; break;
		case 'j': a->json = true; break;
		default: return CLI_USAGE;
		}
		if (!ok)
			return cli_usage("plan", "'%s' is not a value of that option", optarg);
	}
	return argc - optind == 2 ? 0 : cli_usage("plan", "write GOOD and BAD, two revisions");
}

static int count_commits(struct project *p, const char *good, const char *bad, size_t *n, struct error *e)
{
	struct history_commit ends[2] = { 0 };
	struct range r = { 0 };
	size_t n_paths;
	const char *const *paths = subject_paths(&p->subject, &n_paths);
	int rc = history_resolve(p->subject.history, good, &ends[0], e);
	if (!rc)
		rc = history_resolve(p->subject.history, bad, &ends[1], e);
	if (!rc)
		rc = range_between(p->subject.history, &ends[0], &ends[1], false, paths, n_paths, &r, e);
	*n = 0;
	for (size_t i = 1; !rc && i < r.n; i++)
		*n += r.commits[i].changes_subject;
	if (!rc && !*n)
		rc = error_set(e, -EINVAL, "no commit between %s and %s changes the subject: there is nothing to search", good, bad);
	range_release(&r);
	history_commit_release(&ends[0]), history_commit_release(&ends[1]);
	return rc;
}

static bool wanted(const struct store_noise *n, const char *workload)
{
	return !strcmp(n->workload, workload) && !strncmp(n->metric, "ops_per", 7) && n->pairs >= PAIRS_ENOUGH;
}

/* Spread and costs as this machine's record knows them; where it does not, typical ones, and that is said. */
static void look_up(struct project *p, const char *workload, struct basis *b)
{
	struct host_facts facts;
	struct store_noises noises = { 0 };
	host_read("", &facts);
	struct store_rows *r = rows_open(p->store, "SELECT id FROM machine WHERE fingerprint = :f");
	rows_bind_text(r, ":f", facts.fingerprint);
	int64_t machine = rows_next(r, NULL) > 0 ? rows_int(r, 0) : 0;
	rows_close(r);
	if (!machine || store_noise(p->store, machine, (struct store_opt){ 0 }, NULL, &noises, NULL))
		return;
	for (size_t i = 0; i < noises.n; i++) {
		if (!wanted(&noises.items[i], workload) || noises.items[i].pairs < b->pairs)
			continue;
		struct store_optreal build, run;
		b->pairs = noises.items[i].pairs;
		b->noise = noises.items[i].robust_sd;
		b->noise_from = "this machine's record";
		if (!store_costs(p->store, machine, noises.items[i].case_id, &build, &run, NULL)) {
			b->costs_known = build.known && run.known;
			b->build_s = build.known ? build.v * 1e-9 : b->build_s;
			b->run_s = run.known ? run.v * 1e-9 : b->run_s;
		}
	}
	store_free(noises.pool);
}

int cmd_plan(int argc, char **argv)
{
	struct asked a = { .confidence = 0.99, .trials = 60 };
	int rc = parse(argc, argv, &a);
	if (rc)
		return rc;
	static const double changes[] = { 0.01, 0.02, 0.05, 0.20 };
	struct simulate_plan rows[4] = { 0 };
	struct error e = { 0 };
	struct project p;
	struct basis b = { .noise = a.noise > 0 ? a.noise : 0.02, .build_s = TYPICAL_BUILD_S, .run_s = TYPICAL_RUN_S,
			   .noise_from = a.noise > 0 ? "the command line" : "no record yet: a guess, see hakperf doctor" };
	rc = project_open(&p, a.config, a.db, PROJECT_SUBJECT | PROJECT_STORE_WRITE, &e);
	const char *workload = a.workload ? a.workload : rc ? NULL : p.config.main_job.bisect.workload;
	if (!rc && !workload)
		rc = error_set(&e, -EINVAL, "which workload? say --workload");
	if (!rc)
		rc = count_commits(&p, argv[optind], argv[optind + 1], &b.commits, &e);
	if (!rc && !(a.noise > 0))
		look_up(&p, workload, &b);
	struct progress progress;
	progress_begin(&progress, "simulating", 4);
	for (size_t i = 0; !rc && i < 4; i++) {
		/* A measurement is a round: the commit and the reference. */
		rc = simulate_plan(b.commits, b.noise, log1p(changes[i]), a.confidence, b.build_s, 2 * b.run_s, a.trials, 1, &rows[i], &e);
		progress_step(&progress, (double)i + 1, "");
	}
	progress_end(&progress);
	double exact_builds = ceil(log2((double)b.commits + 1)) + 1;
	if (!rc && a.json) {
		json_t *list = json_array();
		for (size_t i = 0; i < 4; i++)
			json_array_append_new(list, json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "change", changes[i], "found", rows[i].found, "builds",
							      rows[i].builds, "measurements", rows[i].measurements, "p95_measurements",
							      rows[i].p95_measurements, "minutes", rows[i].minutes));
		cli_envelope("plan", json_pack("{s:o, s:o}", "good", cli_json_string(argv[optind]), "bad", cli_json_string(argv[optind + 1])),
			     json_pack("{s:I, s:f, s:s, s:f, s:f, s:f, s:o}", "commits", (json_int_t)b.commits, "noise_sd", b.noise, "noise_from",
				       b.noise_from, "build_s", b.build_s, "run_s", b.run_s, "exact_builds", exact_builds, "changes", list));
	} else if (!rc) {
		printf("%zu commits change the subject between; one log-ratio scatters by %.2f %% (%s", b.commits, 100 * b.noise, b.noise_from);
		printf(b.pairs ? ", %lld pairs)\n" : ")\n", (long long)b.pairs);
		printf("a build %.1f s, a run %.2f s (%s)\n\n", b.build_s, b.run_s, b.costs_known ? "as recorded here" : "typical, nothing recorded yet");
		struct table *t = table_new(6, "rrrrrr");
		table_head(t, "change", "found", "builds", "rounds", "95 % within", "minutes");
		for (size_t i = 0; i < 4; i++) {
			char c[5][32], change[16];
			snprintf(change, sizeof(change), "%.0f %%", 100 * changes[i]);
			snprintf(c[0], 32, "%.0f %%", 100 * rows[i].found);
			snprintf(c[1], 32, "%.1f", rows[i].builds);
			snprintf(c[2], 32, "%.0f", rows[i].measurements);
			snprintf(c[3], 32, "%.0f", rows[i].p95_measurements);
			snprintf(c[4], 32, "%.1f", rows[i].minutes);
			table_row(t, change, c[0], c[1], c[2], c[3], c[4]);
		}
		table_print(t, stdout);
		table_free(t);
		printf("\nby exact count: about %.0f builds, one count each, whatever the change; proofs beside the parents come on top\n", exact_builds);
	}
	project_close(&p);
	return rc ? cli_cannot("plan", &e) : CLI_ANSWERED;
}
