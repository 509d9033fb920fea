/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "cli/cli.h"
#include "cli/measure.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "harness/child.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char help_bench[] =
	"measure revisions side by side\n"
	"\n"
	"usage: hakperf bench [OPTION ...] REV ...\n"
	"\n"
	"Rounds interleave all revisions in random order, each run under a fresh random link; each revision is compared\n"
	"with the one before it and with the first. Everything goes to results.db.\n"
	"\n"
	"  --workload W   workload of hakperf.ini, may be given again; default: those of [main]\n"
	"  --class C      its size class; default: [main]'s, or all of the workload's\n"
	"  --param NAME=VALUE  one of their parameters, may be given again: chooses in a matrix, or sets another value\n"
	"  --rounds N     rounds a case (default 16: a verdict takes 13 that agree)\n"
	"  --max-time T   stop after this long though rounds are missing\n"
	"  --exact        count instructions exactly too (callgrind), where the workload allows\n"
	"  --no-time      only count\n"
	"  --metric M     judge by this metric instead of the workload's own\n"
	"  --variant V    build variant; default: the first\n"
	"  --delta D      smallest effect of interest (default 1%)\n"
	"  --wait T       wait for another session of this machine (default 0)\n"
	"  --db FILE, --config FILE, --json\n";

#define WORKLOADS_MAX 32

struct asked {
	const char *workloads[WORKLOADS_MAX], *class_name, *metric, *variant, *config, *db;
	size_t n_workloads;
	struct cli_params params;
	uint64_t rounds;
	double max_time, delta, wait;
	bool exact, no_time, json;
};

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "workload", required_argument, NULL, 'w' }, { "class", required_argument, NULL, 'C' }, { "param", required_argument, NULL, 'P' }, { "rounds", required_argument, NULL, 'n' },
		{ "max-time", required_argument, NULL, 't' }, { "exact", no_argument, NULL, 'x' }, { "no-time", no_argument, NULL, 'X' },
		{ "metric", required_argument, NULL, 'm' }, { "variant", required_argument, NULL, 'v' }, { "delta", required_argument, NULL, 'd' },
		{ "wait", required_argument, NULL, 'W' }, { "db", required_argument, NULL, 'D' }, { "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' }, { 0 },
	};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		const char *wrong = NULL;
		switch (o) {
		case 'w':
			if (a->n_workloads == WORKLOADS_MAX)
				return cli_usage("bench", "more than %d workloads", WORKLOADS_MAX);
			a->workloads[a->n_workloads++] = optarg;
			break;
		case 'C': a->class_name = optarg; break;
		case 'P': wrong = cli_param(&a->params, optarg) ? NULL : "param"; break;
		case 'n': wrong = cli_number(optarg, 1, 100000, &a->rounds) ? NULL : "rounds"; break;
		case 't': wrong = cli_seconds(optarg, &a->max_time) ? NULL : "max-time"; break;
		case 'd': wrong = cli_fraction(optarg, &a->delta) && a->delta < 1 ? NULL : "delta"; break;
		case 'W': wrong = cli_seconds(optarg, &a->wait) ? NULL : "wait"; break;
		case 'x': a->exact = true; break;
		case 'X': a->no_time = a->exact = true; break;
		case 'm': a->metric = optarg; break;
		case 'v': a->variant = optarg; break;
		case 'D': a->db = optarg; break;
		case 'c': a->config = optarg; break;
		case 'j': a->json = true; break;
		default: return CLI_USAGE;
		}
		if (wrong)
			return cli_usage("bench", "'%s' is not a value that --%s takes", optarg, wrong);
	}
	return optind < argc ? 0 : cli_usage("bench", "which revisions?");
}

static int add_cells(struct measure *m, const struct asked *a, struct error *e)
{
	const struct config_main *main_job = &m->p->config.main_job;
	int rc = 0;
	for (size_t i = 0; !rc && i < a->n_workloads; i++)
		rc = measure_cell(m, a->workloads[i], a->class_name, !a->no_time, a->exact, e);
	for (size_t i = 0; !rc && !a->n_workloads && i < main_job->n_timed; i++)
		rc = measure_cell(m, main_job->timed[i].workload, a->class_name ? a->class_name : main_job->timed[i].class_name, !a->no_time, a->exact, e);
	if (!rc && !m->n_cases)
		rc = error_set(e, -EINVAL, "%s names nothing to time ([main] timed = …): say --workload", m->p->config.path);
	return rc;
}

static json_t *verdict_json(const struct verdict_answer *a, const char *metric)
{
	json_t *f = cli_json_figure(a->a.ratio, "ratio", metric, "interleaved rounds", (int64_t)a->a.log.n, a->a.lo, a->a.hi, stats_verdict_name(a->a.verdict));
	json_object_set_new(f, "detail", json_string(a->detail));
	json_object_set_new(f, "scope", json_string(a->redrawn ? "source" : "binary"));
	return f;
}

static json_t *case_json(struct measure *m, size_t k, struct error *e)
{
	char name[128];
	json_t *rows = json_array();
	const char *metric = measure_metric(m, k);
	size_t before = SIZE_MAX, first = SIZE_MAX;
	for (size_t a = 0; a < m->n_arms; a++) {
		json_t *row = json_pack("{s:o, s:s, s:s}", "revision", cli_json_string(m->arms[a].label), "commit", m->arms[a].commit.id, "outcome",
					build_outcome_name(m->arms[a].build.outcome));
		const struct exact_answer *x = measure_exact_of(m, k, a);
		if (x->counted)
			json_object_set_new(row, "instructions", cli_json_figure(x->per_op, x->operations ? "instructions/op" : "instructions", "instructions_exact",
				"callgrind", 2, (double)x->least / (x->operations ? (double)x->operations : 1),
				(double)x->most / (x->operations ? (double)x->operations : 1), NULL));
		if (m->arms[a].ok && m->cases[k].timed) {
			struct verdict_answer v;
			json_object_set_new(row, "figure", cli_json_figure(measure_median(m, k, a, e), "", metric, "median of rounds",
				(int64_t)session_rounds_done(m->session, m->cases[k].index), NAN, NAN, NULL));
			if (before != SIZE_MAX && !measure_ask(m, k, before, a, -1, &v, e))
				json_object_set_new(row, "against_before", verdict_json(&v, metric));
			if (first != SIZE_MAX && !measure_ask(m, k, first, a, -1, &v, e))
				json_object_set_new(row, "against_first", verdict_json(&v, metric));
			first = first == SIZE_MAX ? a : first;
			before = a;
		}
		json_array_append_new(rows, row);
	}
	return json_pack("{s:s, s:s, s:o}", "case", bench_case_name(&m->cases[k].c, name, sizeof(name)), "metric", metric, "revisions", rows);
}

int cmd_bench(int argc, char **argv)
{
	struct asked a = { .rounds = 16, .delta = -1 };
	int rc = parse(argc, argv, &a);
	if (rc)
		return rc;
	child_catch_signals();
	struct error e = { 0 };
	struct project p;
	struct measure m = { 0 };
	rc = project_open(&p, a.config, a.db, PROJECT_SUBJECT | PROJECT_STORE_WRITE, &e);
	if (!rc)
		measure_init(&m, &p, a.variant);
	for (int i = optind; !rc && i < argc; i++) {
		struct history_commit c = { 0 };
		rc = history_resolve(p.subject.history, argv[i], &c, &e);
		if (!rc)
			rc = measure_revision(&m, &c, argv[i], &e);
	}
	m.params = a.params.items;
	if (!rc)
		rc = add_cells(&m, &a, &e);
	if (!rc)
		rc = measure_build(&m, 0, &e);
	if (!rc) {
		json_t *request = json_pack("{s:s*, s:s*, s:s*, s:I}", "variant", a.variant, "metric", a.metric, "class", a.class_name, "rounds", (json_int_t)a.rounds);
		json_t *list = json_array();
		for (size_t i = 0; i < a.n_workloads; i++)
			json_array_append_new(list, json_string(a.workloads[i]));
		json_object_set_new(request, "workloads", list);
		json_t *params = json_array();
		for (size_t i = 0; i < a.params.n; i++)
			json_array_append_new(params, cli_json_string(a.params.items[i]));
		json_object_set_new(request, "params", params);
		rc = measure_open(&m, "bench", request, a.metric, a.wait, &e);
		json_decref(request);
	}
	if (!rc && a.exact)
		rc = measure_exact(&m, false, &e);
	if (!rc && !a.no_time)
		rc = measure_timed(&m, a.rounds, a.max_time, SESSION_CONTROLS | SESSION_DOUBLE, &e);
	if (!rc && !a.no_time)
		rc = measure_verdicts(&m, a.delta, &e);
	if (!rc && a.json) {
		json_t *cases = json_array();
		for (size_t k = 0; k < m.n_cases; k++)
			json_array_append_new(cases, case_json(&m, k, &e));
		cli_envelope("bench", json_pack("{s:I}", "rounds", (json_int_t)a.rounds), json_pack("{s:I, s:o}", "session", session_id(m.session), "cases", cases));
	} else if (!rc) {
		rc = show_measure(&m, stdout, &e);
		if (!rc && *session_advice(m.session))
			printf("\nnot counted here (hakperf doctor tells more):\n%s", session_advice(m.session));
	}
	rc = measure_close(&m, rc, &e);
	measure_release(&m);
	project_close(&p);
	return rc ? cli_cannot("bench", &e) : CLI_ANSWERED;
}
