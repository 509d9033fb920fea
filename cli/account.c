/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/account.h"

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/verbs.h"
#include "harness/child.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const char help_account[] =
	"what each function of the subject costs, and which of it is on the fast path\n"
	"\n"
	"usage: hakperf account [OPTION ...] REV\n"
	"       hakperf account [OPTION ...] A B\n"
	"       hakperf account [OPTION ...] --split COMMIT\n"
	"\n"
	"Counts the instructions of the region of interest by callgrind, exactly, and says where\n"
	"they went: malloc, free and the other entry points apart, by function and by code inlined\n"
	"into it. With two revisions: what is new, gone, grown or moved, by part, and beside each\n"
	"hunk of the difference what its lines cost before and after.\n"
	"\n"
	"  --workload W   workload of hakperf.ini; default: those of [main] exact\n"
	"  --class C      its size class; default: all, and the one of [main] bisect in full\n"
	"  --variant V    build variant; default: the first\n"
	"  --where F      is function F on the fast path: its cost, and what removing it can bring\n"
	"  --asm F        the instructions of F that ran, with counts, source lines and inlined\n"
	"                 code; of two revisions side by side; with --cycles their time too\n"
	"  --split        which hunks of the commit carry its change: in groups that build, put on\n"
	"                 the parent and taken off again\n"
	"  --cycles       cycles per operation too, by a PMU or estimated, and by function,\n"
	"                 sampled; a few seconds a case\n"
	"  --all          every row, however cheap\n"
	"  --wait T       wait for another session of this machine (default 0)\n"
	"  --db FILE, --config FILE, --json\n"
	"\n"
	"Exit: 0 answered, 2 wrong use, 3 not possible here.\n";

struct asked {
	const char *workload, *class_name, *variant, *config, *db, *where, *listing;
	bool json, all, cycles, split;
	double wait;
};

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "workload", required_argument, NULL, 'w' },
		{ "class", required_argument, NULL, 'C' },
		{ "variant", required_argument, NULL, 'v' },
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "all", no_argument, NULL, 'a' },
		{ "where", required_argument, NULL, 'f' },
		{ "asm", required_argument, NULL, 'i' },
		{ "cycles", no_argument, NULL, 'y' },
		{ "split", no_argument, NULL, 's' },
		{ "wait", required_argument, NULL, 'W' },
		{ "db", required_argument, NULL, 'D' },
		{ 0 },
	};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'w': a->workload = optarg; break;
		case 'C': a->class_name = optarg; break;
		case 'v': a->variant = optarg; break;
		case 'c': a->config = optarg; break;
		case 'j': a->json = true; break;
		case 'a': a->all = true; break;
		case 'f': a->where = optarg; break;
		case 'i': a->listing = optarg; break;
		case 'y': a->cycles = true; break;
		case 's': a->split = true; break;
		case 'D': a->db = optarg; break;
		case 'W':
			if (!cli_seconds(optarg, &a->wait))
				return cli_usage("account", "'%s' is not a value that --wait takes",
						 optarg);
			break;
		default: return CLI_USAGE;
		}
	}
	if ((a->where || a->split) && argc - optind != 1)
		return cli_usage("account", "--%s takes one revision",
				 a->where ? "where" : "split");
	if (a->split && (a->where || a->listing || a->cycles))
		return cli_usage("account", "--split stands alone");
	return argc - optind == 1 || argc - optind == 2 ? 0
							: cli_usage("account", "write one "
									       "revision, or two");
}

static int add_cases(struct accounting *x, const struct asked *a, struct error *e)
{
	struct measure *m = &x->m;
	const struct config_main *main_job = &m->p->config.main_job;
	int rc = 0;
	if (a->workload)
		rc = measure_cell(m, a->workload, a->class_name, false, true, e);
	for (size_t i = 0; !rc && !a->workload && i < main_job->n_exact; i++)
		rc = measure_cell(m, main_job->exact[i].workload,
				  a->class_name ? a->class_name : main_job->exact[i].class_name,
				  false, true, e);
	if (!rc && !a->workload && !main_job->n_exact && main_job->bisect.workload)
		rc = measure_cell(m, main_job->bisect.workload,
				  a->class_name ? a->class_name : main_job->bisect.class_name,
				  false, true, e);
	if (!rc && !m->n_cases)
		rc = error_set(e, -EINVAL,
			       "%s names nothing to count ([main] exact = …): say --workload",
			       m->p->config.path);
	const struct config_cell *cell = &main_job->bisect;
	for (size_t k = 0; !rc && k < m->n_cases && cell->workload; k++)
		if (!strcmp(m->cases[k].c.workload, cell->workload) && cell->class_name &&
		    m->cases[k].c.size_class && !strcmp(m->cases[k].c.size_class, cell->class_name))
			x->detail = k;
	return rc;
}

/* One function's question is about one case, unless the user asks for more. */
static void keep_detail(struct accounting *x)
{
	struct measure *m = &x->m;
	for (size_t k = 0; k < m->n_cases; k++)
		if (k != x->detail)
			bench_case_release(&m->cases[k].c);
	m->cases[0] = m->cases[x->detail];
	m->n_cases = 1;
	x->detail = 0;
}

static void counted(void *ctx, size_t done, size_t n)
{
	struct accounting *x = ctx;
	(void)n;
	progress_step(&x->m.progress, (double)done, "");
}

static int check_builds(const struct measure *m, struct error *e)
{
	for (size_t i = 0; i < m->n_arms; i++)
		if (m->arms[i].build.outcome != BUILD_OK)
			return error_set(e, -ENOENT, "%s cannot be counted: its build is %s: %s",
					 m->arms[i].label,
					 build_outcome_name(m->arms[i].build.outcome),
					 m->arms[i].build.detail ? m->arms[i].build.detail : "");
	return 0;
}

static int count_all(struct accounting *x, struct error *e)
{
	static const enum run_kind kinds[] = { [CONFIG_PRELOAD] = RUN_PRELOAD,
					       [CONFIG_EXEC] = RUN_EXEC,
					       [CONFIG_LIBRARY] = RUN_LIBRARY };
	struct measure *m = &x->m;
	size_t n = m->n_cases * m->n_arms;
	struct account_want *want = x_calloc(n, sizeof(*want));
	x->counts = x_calloc(n, sizeof(*x->counts));
	for (size_t i = 0; i < n; i++)
		want[i] = (struct account_want){ .build = &m->arms[i % m->n_arms].build,
						 .kind = kinds[m->p->config.subject.use],
						 .c = &m->cases[i / m->n_arms].c };
	progress_begin(&m->progress, "counting instructions", (double)n);
	int rc =
		account_run(want, n, m->p->subject.jobs, m->p->workloads, counted, x, x->counts, e);
	progress_end(&m->progress);
	free(want);
	return rc;
}

static int find_diff(struct accounting *x, struct error *e)
{
	size_t n;
	struct subject *s = &x->m.p->subject;
	const char *const *paths = subject_paths(s, &n);
	int rc = diff_trees(s->history, &x->m.arms[0].commit, &x->m.arms[1].commit, paths, n, 0,
			    &x->diff, e);
	x->has_diff = !rc;
	return rc;
}

int accounting_count(struct accounting *x, struct error *e)
{
	int rc = measure_build(&x->m, 0, e);
	if (!rc)
		rc = check_builds(&x->m, e);
	if (!rc)
		rc = count_all(x, e);
	if (!rc && x->m.n_arms == 2)
		rc = find_diff(x, e);
	return rc;
}

static void add_change(const struct accounting *x, size_t k, json_t *j)
{
	const struct account *a = &accounting_of(x, k, 0)->account,
			     *b = &accounting_of(x, k, 1)->account;
	const struct config *c = &x->m.p->config;
	struct account_diff d;
	struct account_hunks h;
	account_diff_make(a, b, &x->diff, c->parts, c->n_parts, &d);
	account_hunks_make(a, b, &x->diff, &h);
	json_object_set_new(j, "difference", account_diff_json(&d));
	json_object_set_new(j, "by_hunk", account_hunks_json(&h, &x->diff));
	account_diff_release(&d);
	account_hunks_release(&h);
}

json_t *accounting_change_json(const struct accounting *x, size_t k)
{
	char name[128];
	const struct account_count *a = accounting_of(x, k, 0), *b = accounting_of(x, k, 1);
	json_t *j = json_pack("{s:s, s:s, s:s}", "case",
			      bench_case_name(&x->m.cases[k].c, name, sizeof(name)), "parent",
			      x->m.arms[0].commit.id, "commit", x->m.arms[1].commit.id);
	if (a->counted && b->counted)
		add_change(x, k, j);
	else
		json_object_set_new(j, "not_counted",
				    cli_json_string(a->counted ? b->why : a->why));
	return j;
}

static json_t *case_json(const struct accounting *x, size_t k)
{
	char name[128];
	json_t *list = json_array(),
	       *j = json_pack("{s:s}", "case",
			      bench_case_name(&x->m.cases[k].c, name, sizeof(name)));
	for (size_t a = 0; a < x->m.n_arms; a++) {
		json_t *one = account_json(accounting_of(x, k, a));
		json_object_set_new(one, "commit", json_string(x->m.arms[a].commit.id));
		json_array_append_new(list, one);
	}
	json_object_set_new(j, "accounts", list);
	if (x->m.n_arms == 2 && accounting_of(x, k, 0)->counted && accounting_of(x, k, 1)->counted)
		add_change(x, k, j);
	return j;
}

static int answer_json(struct accounting *x, const struct asked *a, char **revisions, int n,
		       struct error *e)
{
	json_t *cases = json_array(), *request = json_object(), *list = json_array();
	int rc = 0;
	for (size_t k = 0; k < x->m.n_cases && !rc; k++) {
		json_t *one = case_json(x, k), *listing = NULL;
		if (x->timed) {
			json_t *costs = json_array();
			for (size_t i = 0; i < x->m.n_arms; i++)
				json_array_append_new(costs, accounting_costs_json(x, k, i, e));
			json_object_set_new(one, "costs", costs);
		}
		if (x->samples) {
			json_t *sampled = json_array();
			for (size_t i = 0; i < x->m.n_arms; i++)
				json_array_append_new(sampled, accounting_sampled_json(x, k, i, e));
			json_object_set_new(one, "sampled", sampled);
		}
		if (a->where)
			json_object_set_new(one, "where",
					    accounting_where(x, k, a->where, NULL, e));
		if (a->listing) {
			rc = accounting_asm(x, k, a->listing, NULL, &listing, e);
			json_object_set_new(one, "assembly", listing);
		}
		json_array_append_new(cases, one);
	}
	for (int i = 0; i < n; i++)
		json_array_append_new(list, cli_json_string(revisions[i]));
	json_object_set_new(request, "revisions", list);
	const char *const words[][2] = { { "workload", a->workload },
					 { "class", a->class_name },
					 { "variant", a->variant },
					 { "where", a->where },
					 { "asm", a->listing } };
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		json_object_set_new(request, words[i][0],
				    words[i][1] ? cli_json_string(words[i][1]) : json_null());
	json_t *result = json_pack("{s:o}", "cases", cases);
	if (rc) {
		json_decref(request), json_decref(result);
		return rc;
	}
	cli_envelope("account", request, result);
	return 0;
}

static int answer_text(struct accounting *x, const struct asked *a, struct error *e)
{
	int rc = 0;
	if (a->where) {
		for (size_t k = 0; k < x->m.n_cases; k++)
			json_decref(accounting_where(x, k, a->where, stdout, e));
		return 0;
	}
	for (size_t i = 0; i < x->m.n_arms; i++)
		printf("%s%s  %s  %s\n",
		       x->m.n_arms < 2 ? ""
		       : i             ? "B  "
				       : "A  ",
		       x->m.arms[i].commit.short_id, x->m.arms[i].label,
		       x->m.arms[i].commit.subject);
	putchar('\n');
	if (a->listing) {
		for (size_t k = 0; k < x->m.n_cases && !rc; k++) {
			json_t *unused;
			rc = accounting_asm(x, k, a->listing, stdout, &unused, e);
			json_decref(unused);
		}
		return rc;
	}
	if (x->m.n_arms < 2) {
		show_account_paths(x, stdout);
		show_account_rows(x, x->detail, stdout);
	} else {
		show_account_change(x, stdout);
		show_account_diff(x, x->detail, stdout);
	}
	if (x->timed)
		show_account_cycles(x, stdout, e);
	if (x->samples)
		show_account_sampled(x, x->detail, stdout, e);
	return 0;
}

void accounting_release(struct accounting *x)
{
	for (size_t i = 0; x->counts && i < x->m.n_cases * x->m.n_arms; i++)
		account_count_release(&x->counts[i]);
	free(x->counts);
	accounting_samples_release(x);
	diff_release(&x->diff);
	measure_release(&x->m);
}

/* What never ran needs no cost of an instruction. */
static bool ran_anywhere(const struct accounting *x, const char *function)
{
	struct account_function f;
	for (size_t k = 0; k < x->m.n_cases; k++) {
		const struct account *a = &accounting_of(x, k, 0)->account;
		for (size_t p = 0; p < a->n_paths; p++)
			if (account_function(a, p, function, &f))
				return true;
	}
	return false;
}

int cmd_account(int argc, char **argv)
{
	struct asked a = { 0 };
	int rc = parse(argc, argv, &a);
	if (rc)
		return rc;
	child_catch_signals();
	struct error e = { 0 };
	struct project p;
	struct accounting x = { .all = a.all };
	bool timed = a.cycles || a.where;
	rc = project_open(&p, a.config, a.db, PROJECT_SUBJECT | (timed ? PROJECT_STORE_WRITE : 0),
			  &e);
	if (!rc)
		measure_init(&x.m, &p, a.variant);
	for (int i = optind; !rc && i < argc; i++) {
		struct history_commit c = { 0 };
		rc = history_resolve(p.subject.history, argv[i], &c, &e);
		if (!rc)
			rc = measure_revision(&x.m, &c, argv[i], &e);
	}
	if (!rc && argc - optind == 2 && x.m.n_arms == 1)
		rc = error_set(&e, -EINVAL, "%s and %s are the same commit", argv[optind],
			       argv[optind + 1]);
	if (!rc)
		rc = add_cases(&x, &a, &e);
	if (!rc && (a.where || a.listing || a.split) && !a.workload && !a.class_name)
		keep_detail(&x);
	for (size_t k = 0; !rc && k < x.m.n_cases; k++)
		x.m.cases[k].timed = timed;
	if (!rc && a.split) {
		rc = accounting_split(&x, x.detail, a.json, argv[optind], &e);
		goto out;
	}
	if (!rc)
		rc = accounting_count(&x, &e);
	if (!rc && timed && (a.cycles || ran_anywhere(&x, a.where)))
		rc = accounting_time(&x, "account", a.wait, &e);
	if (!rc && x.timed)
		rc = accounting_sample(&x, &e);
	if (!rc)
		rc = a.json ? answer_json(&x, &a, argv + optind, argc - optind, &e)
			    : answer_text(&x, &a, &e);
	rc = measure_close(&x.m, rc, &e);
out:
	accounting_release(&x);
	project_close(&p);
	return rc ? cli_cannot("account", &e) : CLI_ANSWERED;
}
