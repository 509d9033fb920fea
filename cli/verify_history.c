/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "bisect/range.h"
#include "cli/cli.h"
#include "cli/measure.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "harness/child.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char help_verify_history[] =
	"build and test every commit of the subject alone, and measure each\n"
	"\n"
	"usage: hakperf verify-history [OPTION ...] [GOOD BAD]\n"
	"\n"
	"Every commit between GOOD and BAD (default: the first and the last phase) that changes the subject is built by itself in\n"
	"each variant and its tests are run ([subject] test in hakperf.ini). Then a table: instructions per malloc and per free,\n"
	"their mean an operation, and nanoseconds on the timed workloads of [main], side by side.\n"
	"\n"
	"  --phases         only commits that open a phase\n"
	"  --variants LIST  comma-separated; default: the first two of hakperf.ini\n"
	"  --no-time        leave the timing out\n"
	"  --no-test        leave the tests out\n"
	"  --rounds N       of timing (default 5: to look at, too few for verdicts)\n"
	"  --retry          test again what was tested before\n"
	"  --db FILE, --config FILE, --json\n"
	"\n"
	"Exit: 0 though commits fail (they are named), 3 not possible here.\n";

#define VARIANTS_MAX 8

struct asked {
	const char *db, *config, *good, *bad;
	char *variants[VARIANTS_MAX];
	size_t n_variants;
	uint64_t rounds;
	bool phases, no_time, no_test, retry, json;
};

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "phases", no_argument, NULL, 'P' }, { "variants", required_argument, NULL, 'v' }, { "no-time", no_argument, NULL, 'T' },
		{ "no-test", no_argument, NULL, 'S' }, { "rounds", required_argument, NULL, 'n' }, { "retry", no_argument, NULL, 'r' },
		{ "db", required_argument, NULL, 'D' }, { "config", required_argument, NULL, 'c' }, { "json", no_argument, NULL, 'j' }, { 0 },
	};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'P': a->phases = true; break;
		case 'T': a->no_time = true; break;
		case 'S': a->no_test = true; break;
		case 'r': a->retry = true; break;
		case 'D': a->db = optarg; break;
		case 'c': a->config = optarg; break;
		case 'j': a->json = true; break;
		case 'v':
			for (char *s = strtok(optarg, ","); s && a->n_variants < VARIANTS_MAX; s = strtok(NULL, ","))
				a->variants[a->n_variants++] = s;
			break;
		case 'n':
			if (!cli_number(optarg, 1, 10000, &a->rounds))
				return cli_usage("verify-history", "'%s' is not a number of rounds", optarg);
			break;
		default: return CLI_USAGE;
		}
	}
	if (argc - optind == 2)
		a->good = argv[optind], a->bad = argv[optind + 1];
	else if (argc != optind)
		return cli_usage("verify-history", "write GOOD and BAD, or neither");
	return 0;
}

static int add_commits(struct measure *m, const struct asked *a, struct error *e)
{
	struct history *h = m->p->subject.history;
	struct history_commit *phases = NULL, ends[2] = { 0 };
	struct range r = { 0 };
	size_t n = 0, n_paths;
	int rc = history_phases(h, &phases, &n, e);
	if (!rc && !a->good && n < 2)
		rc = error_set(e, -ENODATA, "the history has %zu phases: name GOOD and BAD", n);
	for (int i = 0; !rc && i < 2; i++) {
		if (a->good)
			rc = history_resolve(h, i ? a->bad : a->good, &ends[i], e);
		else
			history_commit_copy(&ends[i], &phases[i ? n - 1 : 0]);
	}
	const char *const *paths = subject_paths(&m->p->subject, &n_paths);
	if (!rc)
		rc = range_between(h, &ends[0], &ends[1], false, paths, n_paths, &r, e);
	for (size_t i = 0; !rc && i < r.n; i++) {
		const struct history_commit *info = &r.commits[i].info;
		if ((i && !r.commits[i].changes_subject) || (a->phases && !info->phase))
			continue;
		struct history_commit c = { 0 };
		history_commit_copy(&c, info);
		rc = measure_revision(m, &c, NULL, e);
	}
	range_release(&r);
	history_list_release(phases, n);
	history_commit_release(&ends[0]), history_commit_release(&ends[1]);
	return rc;
}

/* tested: n_arms × n_variants. */
static int test_all(struct measure *m, const struct asked *a, struct build *tested, struct error *e)
{
	int rc = 0;
	progress_begin(&m->progress, "testing", (double)(m->n_arms * a->n_variants));
	for (size_t i = 0; !rc && i < m->n_arms; i++)
		for (size_t v = 0; !rc && v < a->n_variants; v++) {
			struct build *b = &tested[i * a->n_variants + v];
			progress_step(&m->progress, (double)(i * a->n_variants + v), m->arms[i].label);
			rc = subject_test(&m->p->subject, &m->arms[i].commit, a->variants[v], a->retry ? BUILD_RETRY : 0, b, e);
			if (!rc && b->outcome != BUILD_OK)
				progress_note(&m->progress, "%s %s, %s: %s: %s (log: %s)", m->arms[i].commit.short_id, m->arms[i].commit.subject,
					      a->variants[v], build_outcome_name(b->outcome), b->detail, b->log);
		}
	progress_end(&m->progress);
	return rc;
}

static char *tests_of(const struct asked *a, const struct build *tested)
{
	struct buf b = { 0 };
	for (size_t v = 0; v < a->n_variants; v++)
		buf_printf(&b, "%s%s", v ? " " : "", tested[v].outcome == BUILD_NONE ? "–" : tested[v].outcome == BUILD_OK ? "ok" : build_outcome_name(tested[v].outcome));
	return buf_detach(&b);
}

static void print_table(struct measure *m, const struct asked *a, const struct build *tested, struct error *e)
{
	size_t timed[3], n_timed = 0, exact = SIZE_MAX;
	for (size_t k = 0; k < m->n_cases; k++) {
		if (m->cases[k].exact && exact == SIZE_MAX)
			exact = k;
		if (m->cases[k].timed && n_timed < 3)
			timed[n_timed++] = k;
	}
	char heads[3][160] = { "", "", "" }, name[128];
	for (size_t i = 0; i < n_timed; i++)
		snprintf(heads[i], sizeof(heads[i]), "%s ns", bench_case_name(&m->cases[timed[i]].c, name, sizeof(name)));
	struct table *t = table_new(9, "llrrrrrrl");
	table_head(t, "commit", "tests", "malloc", "free", "mean", heads[0], heads[1], heads[2], "subject");
	size_t failed = 0;
	for (size_t i = 0; i < m->n_arms; i++) {
		char cells[6][32] = { "–", "–", "–", "", "", "" };
		const struct exact_answer *x = exact == SIZE_MAX ? NULL : measure_exact_of(m, exact, i);
		if (x && x->counted) {
			snprintf(cells[0], 32, "%.1f", x->per_malloc);
			snprintf(cells[1], 32, "%.1f", x->per_free);
			snprintf(cells[2], 32, "%.2f", (x->per_malloc + x->per_free) / 2);
		}
		for (size_t k = 0; k < n_timed && m->arms[i].ok; k++)
			snprintf(cells[3 + k], 32, "%.2f", 1e9 / measure_median(m, timed[k], i, e));
		char *tests = tests_of(a, &tested[i * a->n_variants]);
		for (size_t v = 0; v < a->n_variants; v++)
			failed += tested[i * a->n_variants + v].outcome > BUILD_OK;
		char *subject = m->arms[i].commit.phase ? x_printf("[%s] %s", m->arms[i].commit.phase, m->arms[i].commit.subject) : x_strdup(m->arms[i].commit.subject);
		table_row(t, m->arms[i].commit.short_id, tests, cells[0], cells[1], cells[2], cells[3], cells[4], cells[5], subject);
		free(tests), free(subject);
	}
	table_print(t, stdout);
	table_free(t);
	printf("%zu commits, %zu of %zu builds with tests failed\n", m->n_arms, failed, a->no_test ? 0 : m->n_arms * a->n_variants);
}

static json_t *table_json(const struct measure *m, const struct asked *a, const struct build *tested)
{
	json_t *list = json_array();
	for (size_t i = 0; i < m->n_arms; i++) {
		json_t *tests = json_object(), *counts = json_object();
		char name[128];
		for (size_t v = 0; v < a->n_variants; v++)
			json_object_set_new(tests, a->variants[v], json_string(build_outcome_name(tested[i * a->n_variants + v].outcome)));
		for (size_t k = 0; k < m->n_cases; k++) {
			const struct exact_answer *x = measure_exact_of(m, k, i);
			if (x->counted)
				json_object_set_new(counts, bench_case_name(&m->cases[k].c, name, sizeof(name)),
						    json_pack("{s:f, s:f, s:f}", "malloc", isfinite(x->per_malloc) ? x->per_malloc : 0.0, "free",
							      isfinite(x->per_free) ? x->per_free : 0.0, "operation", x->per_op));
		}
		json_array_append_new(list, json_pack("{s:s, s:o, s:s*, s:o, s:o}", "commit", m->arms[i].commit.id, "subject",
						      cli_json_string(m->arms[i].commit.subject), "phase", m->arms[i].commit.phase, "tests", tests,
						      "instructions", counts));
	}
	return list;
}

int cmd_verify_history(int argc, char **argv)
{
	struct asked a = { .rounds = 5 };
	int rc = parse(argc, argv, &a);
	if (rc)
		return rc;
	child_catch_signals();
	struct error e = { 0 };
	struct project p;
	struct measure m = { 0 };
	struct build *tested = NULL;
	rc = project_open(&p, a.config, a.db, PROJECT_SUBJECT | PROJECT_STORE_WRITE, &e);
	if (!rc) {
		measure_init(&m, &p, NULL);
		for (size_t i = 0; !a.n_variants && i < 2 && i < p.config.n_variants; i++)
			a.variants[i] = p.config.variants[i].name;
		while (a.n_variants < VARIANTS_MAX && a.variants[a.n_variants])
			a.n_variants++;
		rc = add_commits(&m, &a, &e);
	}
	if (!rc) {
		tested = x_calloc(m.n_arms * a.n_variants, sizeof(*tested));
		rc = a.no_test ? 0 : test_all(&m, &a, tested, &e);
	}
	if (!rc)
		rc = measure_build(&m, 0, &e);
	const struct config_main *job = &p.config.main_job;
	if (!rc && job->bisect.workload)
		rc = measure_cell(&m, job->bisect.workload, job->bisect.class_name, !a.no_time, true, &e);
	for (size_t i = 0; !rc && !a.no_time && i < job->n_timed && i < 3; i++)
		rc = measure_cell(&m, job->timed[i].workload, job->timed[i].class_name, true, false, &e);
	if (!rc) {
		json_t *request = json_pack("{s:I, s:b}", "rounds", (json_int_t)a.rounds, "time", !a.no_time);
		rc = measure_open(&m, "verify-history", request, NULL, 0, &e);
		json_decref(request);
	}
	if (!rc)
		rc = measure_exact(&m, false, &e);
	if (!rc && !a.no_time)
		rc = measure_timed(&m, a.rounds, 0, 0, &e);
	if (!rc && a.json)
		cli_envelope("verify-history", NULL, json_pack("{s:o}", "commits", table_json(&m, &a, tested)));
	else if (!rc)
		print_table(&m, &a, tested, &e);
	rc = measure_close(&m, rc, &e);
	for (size_t i = 0; tested && i < m.n_arms * a.n_variants; i++)
		build_release(&tested[i]);
	free(tested);
	measure_release(&m);
	project_close(&p);
	return rc ? cli_cannot("verify-history", &e) : CLI_ANSWERED;
}
