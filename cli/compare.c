/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/project.h"
#include "cli/show.h"
#include "cli/side.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "harness/child.h"
#include "harness/network.h"
#include "harness/verdict_beside.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char help_compare[] =
	"two artifacts, one command, a verdict\n"
	"\n"
	"usage: hakperf compare [OPTION ...] A B -- COMMAND [ARGUMENT ...]\n"
	"       hakperf compare [OPTION ...] A B [--workload W [--class C] [--param NAME=VALUE ...]]\n"
	"\n"
	"A is before, B is after. Each is a library (a.so) that is preloaded, a prefix that holds one, a program (with {} in\n"
	"COMMAND for its path), a revision (of hakperf.ini's subject), or 'none' for the system's own allocator.\n"
	"Rounds go on until there is a verdict or the time is up: regression, improvement, no change, unclear (with the rounds\n"
	"that would likely decide) or invalid (a control failed).\n"
	"\n"
	"  --metric M       judge by it; default: CPU time of the region or process, wall time with --wall\n"
	"  --wall           judge by wall time: for several threads, input and output\n"
	"  --delta D        smallest effect of interest, yours to choose (default 1%)\n"
	"  --max-time T     measuring stops after this long (default 60s)\n"
	"  --confidence P   that a difference found is one, however often it is looked at (default 0.995)\n"
	"  --rounds N       exactly N rounds, even of two that load the same bytes\n"
	"  --split          runs of twice the operations in every round: start-up and cost per operation apart\n"
	"  --binary         keep the canonical links: about these two files, not about their sources\n"
	"  --variant V      build variant of revisions\n"
	"  --wait T         wait for another session of this machine (default 0)\n"
	"  --fail-on regression   exit 1 on a regression\n"
	"  --db FILE        default: results.db at the repository's root, else in this folder\n"
	"  --config FILE, --json\n";

struct asked {
	const char *metric, *workload, *class_name, *variant, *config, *db;
	struct cli_params params;
	double delta, max_time, confidence, wait;
	uint64_t rounds;
	bool wall, split, binary, json, fail_on;
	const char *a, *b;
	char **command; /* NULL: a workload of the configuration */
};

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "metric", required_argument, NULL, 'm' }, { "workload", required_argument, NULL, 'w' }, { "class", required_argument, NULL, 'C' }, { "param", required_argument, NULL, 'P' },
		{ "variant", required_argument, NULL, 'v' }, { "delta", required_argument, NULL, 'd' }, { "max-time", required_argument, NULL, 't' },
		{ "confidence", required_argument, NULL, 'p' }, { "rounds", required_argument, NULL, 'n' }, { "wall", no_argument, NULL, 'l' },
		{ "wait", required_argument, NULL, 'W' }, { "fail-on", required_argument, NULL, 'F' }, { "db", required_argument, NULL, 'D' },
		{ "config", required_argument, NULL, 'c' }, { "json", no_argument, NULL, 'j' }, { "split", no_argument, NULL, 's' },
		{ "binary", no_argument, NULL, 'b' }, { 0 },
	};
	/* What stands behind "--" is the command, whatever it looks like. */
	int own = argc;
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--")) {
			own = i;
			a->command = argv + i + 1;
			break;
		}
	for (int o; (o = getopt_long(own, argv, "", options, NULL)) != -1;) {
		const char *wrong = NULL;
		switch (o) {
		case 'm': a->metric = optarg; break;
		case 'w': a->workload = optarg; break;
		case 'C': a->class_name = optarg; break;
		case 'P': wrong = cli_param(&a->params, optarg) ? NULL : "param"; break;
		case 'v': a->variant = optarg; break;
		case 'd': wrong = cli_fraction(optarg, &a->delta) && a->delta < 1 ? NULL : "delta"; break;
		case 't': wrong = cli_seconds(optarg, &a->max_time) && a->max_time > 0 ? NULL : "max-time"; break;
		case 'p': wrong = cli_fraction(optarg, &a->confidence) && a->confidence > 0.5 && a->confidence < 1 ? NULL : "confidence"; break;
		case 'n': wrong = cli_number(optarg, 1, 100000, &a->rounds) ? NULL : "rounds"; break;
		case 'W': wrong = cli_seconds(optarg, &a->wait) ? NULL : "wait"; break;
		case 'F': wrong = (a->fail_on = !strcmp(optarg, "regression")) ? NULL : "fail-on"; break;
		case 'l': a->wall = true; break;
		case 's': a->split = true; break;
		case 'b': a->binary = true; break;
		case 'D': a->db = optarg; break;
		case 'c': a->config = optarg; break;
		case 'j': a->json = true; break;
		default: return CLI_USAGE;
		}
		if (wrong)
			return cli_usage("compare", "'%s' is not a value that --%s takes", optarg, wrong);
	}
	if (own - optind != 2)
		return cli_usage("compare", "write A and B, two artifacts or revisions");
	a->a = argv[optind], a->b = argv[optind + 1];
	if (a->command && !*a->command)
		return cli_usage("compare", "no command behind '--'");
	if (a->command && a->workload)
		return cli_usage("compare", "either --workload or a command behind '--'");
	return 0;
}

static int choose_case(const struct project *p, const struct asked *a, const struct side *sides, struct bench_case *out, struct error *e)
{
	if (a->command) {
		bench_case_of_command((const char *const *)a->command, out);
		bool programs = sides[0].kind == RUN_EXEC || sides[1].kind == RUN_EXEC, used = false;
		for (char **word = out->command; *word; word++)
			if (!strcmp(*word, "{{}")) { /* "{}" as bench_case_of_command() escaped it */
				free(*word);
				*word = x_strdup("{prefix}");
				used = true;
			}
		if (programs && !used)
			return error_set(e, -EINVAL, "A or B is a program: write {} in the command where its path belongs");
		if (programs && !strcmp(out->command[0], "{prefix}")) {
			const char *slash = strrchr(sides[0].artifact, '/');
			free(out->workload);
			out->workload = x_strdup(slash ? slash + 1 : sides[0].artifact);
		}
		out->by_wall = a->wall;
		return 0;
	}
	if (!p->has_config)
		return error_set(e, -EINVAL, "which command? write it behind '--', or --workload W with a hakperf.ini");
	const struct config_cell *cell = &p->config.main_job.bisect;
	const char *workload = a->workload ? a->workload : cell->workload;
	if (!workload)
		return error_set(e, -EINVAL, "which workload? say --workload, or a command behind '--'");
	struct bench_case *list = NULL;
	size_t n = 0;
	int rc = bench_cases_expand(&p->config, workload, a->class_name ? a->class_name : a->workload ? NULL : cell->class_name, &list, &n, e);
	if (!rc)
		rc = bench_cases_choose(list, &n, a->params.items, e);
	if (rc) {
		bench_cases_release(list, n);
		return rc;
	}
	if (n > 1)
		cli_warn("%s has %zu cases; comparing on the first (say %s)", workload, n, list[0].varied ? "--param" : "--class");
	*out = list[0];
	out->by_wall |= a->wall;
	for (size_t i = 1; i < n; i++)
		bench_case_release(&list[i]);
	free(list);
	return 0;
}

struct comparison {
	const struct asked *asked;
	struct project p;
	struct side sides[2];
	bool same;
	struct bench_case c;
	struct session *session;
	size_t index;
	struct verdict_question q;
	struct verdict_answer v;
	struct verdict_beside beside[VERDICT_BESIDE_MAX];
	size_t n_beside;
	struct stats_interval source; /* of "this source", where layout was fixed and its spread is known here; n 0: not known */
	double layout_sd;
};

/* What a further round could still change. */
static bool open_question(const struct comparison *x)
{
	const struct verdict_answer *v = &x->v;
	if (!v->a.log.n)
		return true;
	return v->a.verdict == STATS_UNCLEAR || (v->a.verdict == STATS_INVALID && !v->mismatch && v->a.log.n < 24);
}

static int ask(struct comparison *x, struct error *e)
{
	x->q.metric = session_metric(x->session, x->index);
	return session_rounds_done(x->session, x->index) ? verdict_ask(x->p.store, &x->q, &x->v, e) : 0;
}

/* The first number of rounds that can give a verdict. */
static size_t fewest_rounds(double confidence)
{
	size_t n = 1;
	while (stats_cs_bound(n, confidence > 0 ? confidence : STATS_CONFIDENCE) > n)
		n++;
	return n;
}

static int measure(struct comparison *x, struct error *e)
{
	const struct asked *a = x->asked;
	size_t arms[2] = { x->sides[0].arm, x->sides[1].arm };
	unsigned flags = SESSION_CONTROLS | (a->split ? SESSION_DOUBLE_ALL : SESSION_DOUBLE);
	struct session_figure f[2];
	struct progress progress;
	uint64_t began = clock_mono_ns();
	int rc = session_plan(x->session, x->index, arms, 2, a->rounds ? a->rounds : fewest_rounds(a->confidence), e);
	if (!rc)
		rc = ask(x, e);
	progress_begin(&progress, "comparing", a->rounds ? (double)a->rounds : a->max_time);
	for (size_t failed = 0; !rc && failed < 3;) {
		size_t n = x->v.a.log.n;
		double used = (double)(clock_mono_ns() - began) * 1e-9;
		if (a->rounds ? n >= a->rounds : !open_question(x) || used > a->max_time)
			break;
		char line[160];
		snprintf(line, sizeof(line), "round %zu  %+.2f %%", n + 1, isfinite(x->v.a.ratio) ? 100 * (x->v.a.ratio - 1) : 0.0);
		progress_step(&progress, a->rounds ? (double)n : used, n ? line : "");
		rc = session_round(x->session, x->index, arms, 2, flags, f, e);
		if (rc)
			break;
		failed = f[0].outcome != RUN_OK || f[1].outcome != RUN_OK ? failed + 1 : 0;
		rc = ask(x, e);
	}
	progress_end(&progress);
	return rc;
}

/* Without a run: they are one program. */
static void answer_same(struct comparison *x)
{
	x->v = (struct verdict_answer){ .a = { .verdict = STATS_NO_CHANGE, .ratio = 1, .lo = 1, .hi = 1, .within = true }, .redrawn = side_pair_relinks(x->sides),
					.before = NAN, .after = NAN, .before_op = NAN, .after_op = NAN, .control_seen = NAN, .control_expected = NAN };
	x->v.aa.sd = NAN;
	snprintf(x->v.detail, sizeof(x->v.detail), "the two load the same bytes (not rebuilt?): nothing to measure; --rounds N measures all the same");
}

static int learn_layout(struct comparison *x, struct error *e)
{
	double sd, dof, *r = NULL;
	size_t n = 0;
	if (x->v.redrawn || !x->v.a.log.n || x->sides[0].kind == RUN_EXEC)
		return 0;
	int rc = verdict_layout_learnt(x->p.store, session_machine(x->session), x->q.case_id, x->q.metric, &sd, &dof, e);
	if (!rc && sd > 0)
		rc = verdict_ratios(x->p.store, &x->q, &r, &n, e);
	if (!rc && n) {
		x->layout_sd = sd;
		x->source = stats_layout_fixed(r, n, x->q.confidence > 0 ? x->q.confidence : STATS_CONFIDENCE, sd, dof);
	}
	free(r);
	return rc;
}

static int conclude(struct comparison *x, struct error *e)
{
	int rc = verdict_beside(x->p.store, &x->q, &x->v, x->beside, &x->n_beside, e);
	if (!rc)
		rc = learn_layout(x, e);
	if (!rc)
		rc = store_begin(x->p.store, e);
	if (rc)
		return rc;
	rc = verdict_store(x->p.store, &x->q, &x->v, true, e);
	if (!rc)
		rc = verdict_beside_store(x->p.store, &x->q, x->beside, x->n_beside, e);
	if (!rc)
		return store_commit(x->p.store, e);
	store_rollback(x->p.store);
	return rc;
}

static void print_part(const struct verdict_beside *b)
{
	struct verdict_answer v = { .a = b->a };
	bool start = !strcmp(b->part, "startup");
	double unit = start ? 1e-6 : 1;
	char line[160];
	printf("  %s: %s, %.3g → %.3g %s, by %zu rounds with twice the operations too\n", start ? "start-up" : "each operation",
	       show_verdict(&v, line, sizeof(line)), b->before * unit, b->after * unit, start ? "ms" : "ns", b->a.log.n);
}

static void print_beside(const struct comparison *x)
{
	const struct verdict_beside *against = verdict_contradiction(x->q.metric, &x->v, x->beside, x->n_beside);
	struct buf same = { 0 }, open = { 0 };
	char line[160];
	for (size_t i = 0; i < x->n_beside; i++) {
		const struct verdict_beside *b = &x->beside[i];
		struct verdict_answer v = { .a = b->a };
		if (strcmp(b->part, "run"))
			print_part(b);
		else if (b->a.verdict == STATS_NO_CHANGE)
			buf_printf(&same, "%s%s", same.len ? ", " : "", b->metric);
		else if (b->a.verdict == STATS_UNCLEAR)
			buf_printf(&open, "%s%s", open.len ? ", " : "", b->metric);
		else
			printf("  also %s: %s%s\n", b->metric, show_verdict(&v, line, sizeof(line)), b == against ? ", which does not agree" : "");
	}
	if (same.len || open.len)
		printf("  beside it%s%s%s%s%s (descriptive, at one false-discovery rate)\n", same.len ? " no change: " : "", buf_str(&same), same.len && open.len ? ";" : "",
		       open.len ? " unclear: " : "", buf_str(&open));
	buf_release(&same), buf_release(&open);
}

/* The rounds in the order in which they were made: drift and outliers show. */
static void print_rounds(const struct comparison *x)
{
	enum { WIDTH = 60 };
	double *r = NULL, least = INFINITY, most = -INFINITY;
	size_t n = 0, from;
	char bars[4 * WIDTH];
	struct error quiet = { 0 };
	if (!x->v.a.log.n || verdict_ratios(x->p.store, &x->q, &r, &n, &quiet) || n < 2) {
		free(r);
		return;
	}
	from = n > WIDTH ? n - WIDTH : 0;
	for (size_t i = from; i < n; i++)
		least = fmin(least, r[i]), most = fmax(most, r[i]);
	printf("  by round%s: %s  %+.1f %% … %+.1f %%\n", from ? ", the last sixty" : "", table_spark(r + from, n - from, bars, sizeof(bars)), 100 * expm1(least),
	       100 * expm1(most));
	free(r);
}

static void print_answer(const struct comparison *x)
{
	const struct verdict_answer *v = &x->v;
	char name[128], line[160], before[32], after[32];
	printf("%s\n\n", show_verdict(v, line, sizeof(line)));
	printf("  %s → %s on %s, by %s\n", x->sides[0].label, x->sides[1].label, bench_case_name(&x->c, name, sizeof(name)), x->q.metric);
	if (v->a.log.n)
		printf("  medians %s → %s, %zu rounds, %s\n", table_number(v->before, before, sizeof(before)), table_number(v->after, after, sizeof(after)),
		       v->a.log.n, v->redrawn ? "a fresh link each: this is about the source" : "layout fixed: this is about these two files");
	print_rounds(x);
	if (x->same && v->a.log.n)
		printf("  the two load the same bytes: whatever differs is noise\n");
	if (x->source.n && isfinite(x->source.lo) && isfinite(x->source.hi))
		printf("  of the source: %s [%+.1f %%, %+.1f %%], the layout's spread of %.2f %% added\n",
		       stats_verdict_name(stats_decide(&x->source, x->q.delta < 0 ? STATS_DELTA : x->q.delta, v->better)), 100 * expm1(x->source.lo),
		       100 * expm1(x->source.hi), 100 * x->layout_sd);
	if (v->a.verdict == STATS_UNCLEAR && v->a.more_rounds)
		printf("  about %zu more rounds would likely decide (--max-time)\n", v->a.more_rounds);
	else if (v->a.verdict == STATS_UNCLEAR && v->a.log.n)
		printf("  no number of rounds that could be waited for would likely decide\n");
	if (v->a.verdict == STATS_NO_CHANGE && v->a.differs)
		printf("  they differ, by less than you care for (--delta)\n");
	if (isfinite(v->aa.sd))
		printf("  noise: two runs of one build differ by %.2f %% (A/A, %zu pairs)\n", 100 * v->aa.sd, v->aa.n);
	print_beside(x);
	if (v->detail[0])
		printf("  %s\n", v->detail);
}

static json_t *real_or_null(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *beside_json(const struct comparison *x)
{
	json_t *list = json_array();
	for (size_t i = 0; i < x->n_beside; i++) {
		const struct verdict_beside *b = &x->beside[i];
		json_t *f = cli_json_figure(b->a.ratio, "ratio", b->metric, "interleaved rounds", (int64_t)b->a.log.n, b->a.lo, b->a.hi, stats_verdict_name(b->a.verdict));
		json_object_set_new(f, "part", json_string(b->part));
		json_object_set_new(f, "before", real_or_null(b->before));
		json_object_set_new(f, "after", real_or_null(b->after));
		json_object_set_new(f, "q", real_or_null(b->q));
		json_array_append_new(list, f);
	}
	return list;
}

static json_t *answer_json(const struct comparison *x)
{
	const struct verdict_answer *v = &x->v;
	json_t *f = cli_json_figure(v->a.ratio, "ratio", x->q.metric, "interleaved rounds", (int64_t)v->a.log.n, v->a.lo, v->a.hi, stats_verdict_name(v->a.verdict));
	json_object_set_new(f, "detail", cli_json_string(v->detail));
	json_object_set_new(f, "scope", json_string(v->redrawn ? "source" : "binary"));
	json_object_set_new(f, "same_bytes", json_boolean(x->same));
	json_object_set_new(f, "before", real_or_null(v->before));
	json_object_set_new(f, "after", real_or_null(v->after));
	json_object_set_new(f, "more_rounds", json_integer((json_int_t)v->a.more_rounds));
	json_object_set_new(f, "disturbed", json_integer((json_int_t)v->disturbed));
	json_object_set_new(f, "failed", json_integer((json_int_t)v->failed));
	json_object_set_new(f, "aa_sd", real_or_null(v->aa.sd));
	json_object_set_new(f, "aa_pairs", json_integer((json_int_t)v->aa.n));
	json_object_set_new(f, "source", x->source.n ? json_pack("{s:o, s:o, s:f}", "lo", real_or_null(exp(x->source.lo)), "hi", real_or_null(exp(x->source.hi)),
								 "layout_sd", x->layout_sd) : json_null());
	json_object_set_new(f, "beside", beside_json(x));
	json_object_set_new(f, "session", json_integer(session_id(x->session)));
	json_object_set_new(f, "case", json_integer(session_case_id(x->session, x->index)));
	json_object_set_new(f, "a", cli_json_string(x->sides[0].label));
	json_object_set_new(f, "b", cli_json_string(x->sides[1].label));
	return f;
}

/* What makes it the same question: an interrupted one goes on where it was, and what was rebuilt meanwhile is another one. */
static json_t *request_json(const struct comparison *x)
{
	const struct asked *a = x->asked;
	char name[128];
	json_t *command = json_array();
	for (char **w = a->command; w && *w; w++)
		json_array_append_new(command, cli_json_string(*w));
	json_t *j = json_pack("{s:o, s:o, s:s, s:s, s:s, s:s*, s:s*, s:f, s:f, s:o, s:b, s:b, s:b}", "a", cli_json_string(a->a), "b", cli_json_string(a->b),
			      "loaded_a", x->sides[0].loaded, "loaded_b", x->sides[1].loaded, "case", bench_case_name(&x->c, name, sizeof(name)), "metric", a->metric,
			      "variant", a->variant, "delta", a->delta < 0 ? STATS_DELTA : a->delta, "confidence", a->confidence > 0 ? a->confidence : STATS_CONFIDENCE,
			      "command", command, "wall", a->wall, "split", a->split, "binary", a->binary);
	return j;
}

static int open_comparison(struct comparison *x, const char *request, struct error *e)
{
	const struct asked *a = x->asked;
	const char *events[2];
	int rc = side_metric_events(x->p.store, a->metric, events, e);
	struct session_options o = { .store = x->p.store, .verb = "compare", .request_json = request, .metric = a->metric, .delta = a->delta,
				     .confidence = a->confidence, .workloads = x->p.workloads, .control = a->command ? NULL : x->p.control,
				     .toolkit_version = hakperf_version, .lock_wait_s = a->wait, .events = events[0] ? events : NULL };
	if (x->p.has_config && !x->p.config.subject.network)
		network_leave();
	if (!rc)
		rc = session_open(&o, &x->session, e);
	if (!rc)
		rc = session_add_case(x->session, &x->c, &x->index, e);
	for (int i = 0; !rc && i < 2; i++)
		rc = side_add(&x->p, x->session, &x->sides[i], e);
	if (rc)
		return rc;
	x->q = (struct verdict_question){ .session_id = session_id(x->session), .case_id = session_case_id(x->session, x->index),
					  .arm_a = session_arm_id(x->session, x->sides[0].arm), .arm_b = session_arm_id(x->session, x->sides[1].arm),
					  .metric = session_metric(x->session, x->index), .delta = a->delta, .confidence = a->confidence,
					  .no_control = a->command != NULL, .same_bytes = x->same };
	return 0;
}

/* Ctrl-C: what was measured is in the record, and is worth telling. */
static int tell(struct comparison *x, json_t *request, int rc, struct error *e)
{
	struct error ignored = { 0 };
	if (rc && rc != -EINTR)
		return rc;
	int told = conclude(x, rc ? &ignored : e);
	if (told)
		return rc ? rc : told;
	if (x->asked->json)
		cli_envelope("compare", json_incref(request), answer_json(x));
	else
		print_answer(x);
	return rc;
}

int cmd_compare(int argc, char **argv)
{
	struct asked a = { .delta = -1, .max_time = 60 };
	int exit_code = parse(argc, argv, &a);
	if (exit_code)
		return exit_code;
	child_catch_signals();
	struct error e = { 0 };
	struct comparison x = { .asked = &a };
	const char *words[2] = { a.a, a.b };
	json_t *request = NULL;
	char *text = NULL;
	int rc = project_open(&x.p, a.config, a.db, PROJECT_SUBJECT | PROJECT_STORE_WRITE | PROJECT_OPTIONAL, &e);
	if (!rc)
		rc = side_pair_open(&x.p, x.sides, words, a.variant, a.binary, &e);
	if (!rc)
		rc = choose_case(&x.p, &a, x.sides, &x.c, &e);
	if (!rc) {
		x.same = side_pair_same(x.sides);
		request = request_json(&x);
		text = json_dumps(request, JSON_SORT_KEYS | JSON_COMPACT);
		rc = open_comparison(&x, text, &e);
	}
	if (!rc) {
		if (x.same && x.sides[0].loaded[0] && !a.rounds)
			answer_same(&x);
		else
			rc = measure(&x, &e);
		rc = tell(&x, request, rc, &e);
		exit_code = a.fail_on && x.v.a.verdict == STATS_REGRESSION ? CLI_FAIL_ON : CLI_ANSWERED;
	}
	if (x.session) {
		int kept = session_close(x.session, session_state(rc), rc ? e.text : NULL, rc ? NULL : &e);
		rc = rc ? rc : kept;
	}
	json_decref(request);
	free(text);
	side_close(&x.sides[0]), side_close(&x.sides[1]);
	bench_case_release(&x.c);
	project_close(&x.p);
	return rc ? cli_cannot("compare", &e) : exit_code;
}
