/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/bisect.h"

#include "base/buf.h"
#include "cli/account.h"
#include "cli/bisect_record.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/project.h"
#include "cli/show.h"
#include "cli/side.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "harness/child.h"
#include "harness/session_samples.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const char help_bisect[] =
	"find the commit between GOOD and BAD that moved the figure\n"
	"\n"
	"usage: hakperf bisect [OPTION ...] GOOD BAD\n"
	"       hakperf bisect log [ID] [--db FILE] [--json]\n"
	"       hakperf bisect replay [ID] [--db FILE] [--config FILE] [--json]\n"
	"\n"
	"First good and bad are measured side by side: if they do not differ in this configuration, it\n"
	"stops and says so. Then the commits between are searched, the most telling measurement for its\n"
	"cost next; each culprit is proved against its parents. Every measurement is in results.db before\n"
	"the next: a killed bisect, asked again, goes on. 'log' shows every decision of one (the newest,\n"
	"or the one of that number in 'hakperf log'); 'replay' takes them again from the record, without\n"
	"measuring, and says whether they come out the same.\n"
	"\n"
	"  --metric M         instructions_exact (one count a commit), time (what the workload is judged by),\n"
	"                     ops_per_cpu_s, ops_per_s, page_faults, peak_rss_bytes, …; default auto:\n"
	"                     the quietest metric that separates the ends as time does, the exact count\n"
	"                     before all others\n"
	"  --workload W       workload of hakperf.ini; default: the one of [main] bisect\n"
	"  --class C          its size class\n"
	"  --param NAME=VALUE one of its parameters, may be given again: chooses in a matrix, or sets\n"
	"                     another value\n"
	"  --variant V        build variant; default: the first\n"
	"  --confidence P     probability at which a commit is named (default 0.99)\n"
	"  --delta D          smallest step of interest (default 1%, of exact counts 0.2%)\n"
	"  --max-time T       measuring stops after this long, builds not counted (default 5m)\n"
	"  --all              the whole staircase, steps that cancel too, though the ends agree\n"
	"  --improvement      search too where bad is the better end: for what improved it\n"
	"  --first-parent     follow first parents alone: a merged branch is one commit\n"
	"  --no-account       do not count what the culprits changed: two counts less a culprit\n"
	"  --again            measure anew, though the record has an unfinished one\n"
	"  --wait T           wait for another session of this machine (default 0)\n"
	"  --fail-on regression   exit 1 when a regression was found\n"
	"  --db FILE, --config FILE, --json\n"
	"\n"
	"GOOD, BAD: phase:NAME, worktree, or anything git understands.\n"
	"Exit: 0 answered whatever the answer, 1 only under --fail-on, 2 wrong use, 3 not possible here.\n";

struct asked {
	const char *metric, *workload, *class_name, *variant, *config, *db;
	struct cli_params params;
	double confidence, delta, max_time, wait;
	bool all, improvement, first_parent, no_account, again, json, fail_on;
};

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "metric", required_argument, NULL, 'm' },
		{ "workload", required_argument, NULL, 'w' },
		{ "class", required_argument, NULL, 'C' },
		{ "param", required_argument, NULL, 'P' },
		{ "variant", required_argument, NULL, 'v' },
		{ "confidence", required_argument, NULL, 'p' },
		{ "delta", required_argument, NULL, 'd' },
		{ "max-time", required_argument, NULL, 't' },
		{ "all", no_argument, NULL, 'a' },
		{ "improvement", no_argument, NULL, 'i' },
		{ "first-parent", no_argument, NULL, 'f' },
		{ "no-account", no_argument, NULL, 'n' },
		{ "again", no_argument, NULL, 'A' },
		{ "wait", required_argument, NULL, 'W' },
		{ "fail-on", required_argument, NULL, 'F' },
		{ "db", required_argument, NULL, 'D' },
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		bool ok = true;
		switch (o) {
		case 'm': a->metric = optarg; break;
		case 'w': a->workload = optarg; break;
		case 'C': a->class_name = optarg; break;
		case 'P': ok = cli_param(&a->params, optarg); break;
		case 'v': a->variant = optarg; break;
		case 'p':
			ok = cli_fraction(optarg, &a->confidence) && a->confidence >= 0.5 &&
			     a->confidence < 1;
			break;
		case 'd': ok = cli_fraction(optarg, &a->delta) && a->delta < 1; break;
		case 't': ok = cli_seconds(optarg, &a->max_time) && a->max_time > 0; break;
		case 'W': ok = cli_seconds(optarg, &a->wait); break;
		case 'F': ok = a->fail_on = !strcmp(optarg, "regression"); break;
		case 'a': a->all = true; break;
		case 'i': a->improvement = true; break;
		case 'f': a->first_parent = true; break;
		case 'n': a->no_account = true; break;
		case 'A': a->again = true; break;
		case 'D': a->db = optarg; break;
		case 'c': a->config = optarg; break;
		case 'j': a->json = true; break;
		default: return CLI_USAGE;
		}
		if (!ok)
			return cli_usage("bisect", "'%s' is not a value that --%s takes", optarg,
					 o == 'p'   ? "confidence"
					 : o == 'd' ? "delta"
					 : o == 't' ? "max-time"
					 : o == 'W' ? "wait"
					 : o == 'P' ? "param"
						    : "fail-on");
	}
	return argc - optind == 2 ? 0 : cli_usage("bisect", "write GOOD and BAD, two revisions");
}

static void say(void *ctx, const char *line, double share)
{
	struct progress *p = ctx;
	(void)share;
	progress_step(p, 0, line);
}

static int choose_case(const struct project *p, const struct asked *a, struct bench_case *out,
		       struct error *e)
{
	const struct config_cell *cell = &p->config.main_job.bisect;
	const char *workload = a->workload ? a->workload : cell->workload;
	const char *class_name = a->class_name ? a->class_name
				 : a->workload ? NULL
					       : cell->class_name;
	if (!workload)
		return error_set(
			e, -EINVAL,
			"%s names no workload to bisect on ([main] bisect = …): say --workload",
			p->config.path);
	struct bench_case *list = NULL;
	size_t n = 0;
	int rc = bench_cases_expand(&p->config, workload, class_name, &list, &n, e);
	if (!rc)
		rc = bench_cases_choose(list, &n, a->params.items, e);
	if (rc) {
		bench_cases_release(list, n);
		return rc;
	}
	if (n > 1)
		cli_warn("%s has %zu cases; bisecting on the first (say %s)", workload, n,
			 list[0].varied ? "--param" : "--class");
	*out = list[0];
	for (size_t i = 1; i < n; i++)
		bench_case_release(&list[i]);
	free(list);
	return 0;
}

/* What cannot be counted here is said before anything is built. */
static int choose_events(const struct project *p, const struct bench_case *c, const char *metric,
			 const char *events[2], struct error *e)
{
	static const char *const own[] = { "auto", "time", "instructions_exact" };
	events[0] = events[1] = NULL;
	for (size_t i = 0; metric && i < sizeof(own) / sizeof(*own); i++)
		if (!strcmp(metric, own[i]))
			return 0;
	if (metric && c->figure && !strcmp(metric, session_figure_metric(c)))
		return 0;
	return side_metric_events(p->store, metric, events, e);
}

static bool found_regression(const json_t *result)
{
	size_t i;
	json_t *c;
	json_array_foreach(json_object_get(result, "culprits"), i, c)
		if (!strcmp(json_string_value(json_object_get(c, "direction")), "regression"))
			return true;
	return false;
}

int cmd_bisect(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "log"))
		return bisect_record_log(argc, argv);
	if (argc > 1 && !strcmp(argv[1], "replay"))
		return bisect_record_replay(argc, argv);
	struct asked a = { .delta = -1 };
	int rc = parse(argc, argv, &a);
	if (rc)
		return rc;
	const char *good = argv[optind], *bad = argv[optind + 1];
	struct error e = { 0 };
	struct project p;
	struct bench_case c = { 0 };
	const char *events[2] = { NULL, NULL };
	struct history_commit ends[2] = { 0 };
	struct progress progress;
	json_t *result = NULL;
	child_catch_signals();
	rc = project_open(&p, a.config, a.db, PROJECT_SUBJECT | PROJECT_STORE_WRITE, &e);
	if (!rc)
		rc = choose_case(&p, &a, &c, &e);
	if (!rc)
		rc = choose_events(&p, &c, a.metric, events, &e);
	if (!rc)
		rc = history_resolve(p.subject.history, good, &ends[0], &e);
	if (!rc)
		rc = history_resolve(p.subject.history, bad, &ends[1], &e);
	if (!rc) {
		progress_begin(&progress, "bisect", 0);
		struct bisect_options o = {
			.subject = &p.subject,
			.store = p.store,
			.c = &c,
			.good = &ends[0],
			.bad = &ends[1],
			.good_label = good,
			.bad_label = bad,
			.variant = a.variant,
			.metric = a.metric ? a.metric : "auto",
			.events = events[0] ? events : NULL,
			.confidence = a.confidence,
			.delta = a.delta,
			.max_time_s = a.max_time,
			.first_parent = a.first_parent,
			.all = a.all,
			.improvement = a.improvement,
			.again = a.again,
			.workloads = p.workloads,
			.control = p.control,
			.toolkit_version = hakperf_version,
			.lock_wait_s = a.wait,
			.say = say,
			.ctx = &progress,
		};
		rc = bisect_run(&o, &result, &e);
		progress_end(&progress);
	}
	int exit_code = rc ? cli_cannot("bisect", &e) : CLI_ANSWERED;
	if (!rc) {
		if (a.fail_on && found_regression(result))
			exit_code = CLI_FAIL_ON;
		if (a.json && !a.no_account &&
		    account_culprits(&p, &c, a.variant, result, NULL, &e))
			cli_warn("no account of the culprit: %s", e.text);
		if (a.json)
			cli_envelope("bisect",
				     json_pack("{s:o, s:o, s:s}", "good", cli_json_string(good),
					       "bad", cli_json_string(bad), "metric",
					       a.metric ? a.metric : "auto"),
				     json_incref(result));
		else
			show_bisect(result, stdout);
		if (!a.json && !a.no_account &&
		    account_culprits(&p, &c, a.variant, result, stdout, &e))
			cli_warn("no account of the culprit: %s", e.text);
	}
	json_decref(result);
	bench_case_release(&c);
	history_commit_release(&ends[0]), history_commit_release(&ends[1]);
	project_close(&p);
	return exit_code;
}
