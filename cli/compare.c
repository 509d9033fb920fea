/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/project.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "harness/artifact.h"
#include "harness/child.h"
#include "harness/relink.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
	"  --rounds N       exactly N rounds\n"
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
	bool wall, json, fail_on;
	const char *a, *b;
	char **command; /* NULL: a workload of the configuration */
};

struct side {
	char *label, *prefix, *artifact;
	enum run_kind kind;
	bool relink;
	struct history_commit commit;
	struct build build;
	struct store_opt commit_id;
	int64_t build_id;
	size_t arm;
	char loaded[HASH_HEX];
};

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "metric", required_argument, NULL, 'm' }, { "workload", required_argument, NULL, 'w' }, { "class", required_argument, NULL, 'C' }, { "param", required_argument, NULL, 'P' },
		{ "variant", required_argument, NULL, 'v' }, { "delta", required_argument, NULL, 'd' }, { "max-time", required_argument, NULL, 't' },
		{ "confidence", required_argument, NULL, 'p' }, { "rounds", required_argument, NULL, 'n' }, { "wall", no_argument, NULL, 'l' },
		{ "wait", required_argument, NULL, 'W' }, { "fail-on", required_argument, NULL, 'F' }, { "db", required_argument, NULL, 'D' },
		{ "config", required_argument, NULL, 'c' }, { "json", no_argument, NULL, 'j' }, { 0 },
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

/* The one shared library in a prefix's lib folder. */
static int library_of(const char *prefix, char **artifact, struct error *e)
{
	char *lib = x_printf("%s/lib", prefix);
	DIR *d = opendir(lib);
	int found = 0;
	for (struct dirent *f; d && (f = readdir(d));) {
		size_t n = strlen(f->d_name);
		if (n > 3 && !strcmp(f->d_name + n - 3, ".so")) {
			free(*artifact);
			*artifact = x_printf("%s/%s", lib, f->d_name);
			found++;
		}
	}
	if (d)
		closedir(d);
	int rc = found == 1 ? 0 : error_set(e, -ENOENT, "%s holds %d libraries (lib/*.so): name the file itself", prefix, found);
	free(lib);
	return rc;
}

static int side_of_file(struct side *s, const char *path, struct error *e)
{
	struct stat st;
	char *real = realpath(path, NULL);
	if (!real || stat(real, &st)) {
		int rc = error_errno(e, errno, "cannot read %s", path);
		free(real);
		return rc;
	}
	int rc = 0;
	size_t n = strlen(real);
	if (S_ISDIR(st.st_mode)) {
		s->prefix = real;
		rc = library_of(real, &s->artifact, e);
		s->relink = relink_possible(real);
	} else {
		s->artifact = real;
		bool library = strstr(real, ".so.") || (n > 3 && !strcmp(real + n - 3, ".so"));
		s->kind = library ? RUN_PRELOAD : RUN_EXEC;
		if (!library && !(st.st_mode & 0111))
			rc = error_set(e, -EACCES, "%s is neither a library (.so) nor a program", path);
	}
	return rc;
}

static int side_open(struct project *p, struct side *s, const char *word, const char *variant, struct error *e)
{
	*s = (struct side){ .label = x_strdup(word), .kind = RUN_PRELOAD };
	if (!strcmp(word, "none"))
		return 0;
	if (fs_exists(word) && (strchr(word, '/') || strstr(word, ".so") || !p->has_subject))
		return side_of_file(s, word, e);
	if (!p->has_subject)
		return error_set(e, -ENOENT, "'%s' is not a file, and there is no hakperf.ini whose subject it could be a revision of", word);
	int rc = history_resolve(p->subject.history, word, &s->commit, e);
	if (!rc)
		rc = subject_build(&p->subject, &s->commit, variant, BUILD_PIN, &s->build, e);
	if (!rc && s->build.outcome != BUILD_OK)
		rc = error_set(e, -ENODATA, "%s cannot be measured: %s (%s), see %s", word, build_outcome_name(s->build.outcome), s->build.detail, s->build.log);
	return rc;
}

static void side_close(struct side *s)
{
	free(s->label), free(s->prefix), free(s->artifact);
	history_commit_release(&s->commit);
	build_release(&s->build);
}

static int record_file(struct store *store, struct side *s, struct error *e)
{
	struct artifact info = { 0 };
	struct store_build b = { .key = "none", .kind = "none", .outcome = "ok" };
	char *key = NULL;
	int rc = s->artifact ? artifact_read(s->artifact, &info, e) : 0;
	if (!rc && s->artifact) {
		key = x_printf("file:%s", info.file);
		b = (struct store_build){ .key = key, .kind = "file", .outcome = "ok", .artifact = s->artifact, .artifact_hash = info.file,
					  .loaded_hash = info.loaded, .build_id = info.build_id[0] ? info.build_id : NULL,
					  .relinkable = STORE_INT(s->relink) };
		snprintf(s->loaded, sizeof(s->loaded), "%s", info.loaded);
	}
	if (!rc)
		rc = store_build(store, &b, &s->build_id, e);
	free(key);
	return rc;
}

static int add_side(struct project *p, struct session *session, struct side *s, struct error *e)
{
	struct session_arm arm;
	int rc;
	if (s->commit.tree[0]) {
		rc = subject_record(&p->subject, p->store, &s->commit, &s->build, &s->commit_id, &s->build_id, e);
		if (!rc)
			arm = subject_arm(&p->subject, &s->build, s->label, s->commit_id, s->build_id);
		snprintf(s->loaded, sizeof(s->loaded), "%s", s->build.loaded_hash);
	} else {
		rc = record_file(p->store, s, e);
		arm = (struct session_arm){ .label = s->label, .kind = s->kind, .prefix = s->kind == RUN_EXEC ? s->artifact : s->prefix,
					    .artifact = s->artifact, .relink = s->relink, .build_id = s->build_id };
	}
	return rc ? rc : session_add_arm(session, &arm, &s->arm, e);
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

static int measure(struct project *p, struct session *s, size_t index, const struct side *sides, const struct asked *a,
		   struct verdict_answer *out, struct error *e)
{
	size_t arms[2] = { sides[0].arm, sides[1].arm };
	struct session_figure f[2];
	struct progress progress;
	uint64_t began = clock_mono_ns();
	int rc = 0;
	struct verdict_question q = { .session_id = session_id(s), .case_id = session_case_id(s, index), .arm_a = session_arm_id(s, arms[0]),
				      .arm_b = session_arm_id(s, arms[1]), .delta = a->delta, .confidence = a->confidence,
				      .no_control = a->command != NULL };
	progress_begin(&progress, "comparing", a->rounds ? (double)a->rounds : a->max_time);
	for (size_t failed = 0; !rc;) {
		q.metric = session_metric(s, index);
		rc = session_rounds_done(s, index) ? verdict_ask(p->store, &q, out, e) : 0;
		double used = (double)(clock_mono_ns() - began) * 1e-9;
		bool open = out->a.verdict == STATS_UNCLEAR || (out->a.verdict == STATS_INVALID && !out->mismatch && out->a.log.n < 24);
		if (rc || (a->rounds ? out->a.log.n >= a->rounds : (!open && out->a.log.n) || used > a->max_time) || failed >= 3)
			break;
		char line[160];
		snprintf(line, sizeof(line), "round %zu  %+.2f %%", out->a.log.n + 1, isfinite(out->a.ratio) ? 100 * (out->a.ratio - 1) : 0.0);
		progress_step(&progress, a->rounds ? (double)out->a.log.n : used, out->a.log.n ? line : "");
		rc = session_round(s, index, arms, 2, a->command ? SESSION_CONTROLS : SESSION_CONTROLS | SESSION_DOUBLE, f, e);
		bool bad = !rc && (f[0].outcome != RUN_OK || f[1].outcome != RUN_OK);
		failed = bad ? failed + 1 : 0;
		if (failed == 3) {
			int i = f[0].outcome != RUN_OK ? 0 : 1;
			snprintf(out->detail, sizeof(out->detail), "%s: %s", sides[i].label, f[i].why[0] ? f[i].why : run_outcome_name(f[i].outcome));
			out->a.verdict = STATS_INVALID;
		}
	}
	progress_end(&progress);
	q.metric = session_metric(s, index);
	return rc ? rc : verdict_store(p->store, &q, out, true, e);
}

static void print_answer(const struct side *sides, const struct bench_case *c, const char *metric, const struct verdict_answer *v, bool same)
{
	char name[128], line[160], before[32], after[32];
	show_verdict(v, line, sizeof(line));
	printf("%s\n\n", line);
	printf("  %s → %s on %s, by %s\n", sides[0].label, sides[1].label, bench_case_name(c, name, sizeof(name)), metric);
	printf("  medians %s → %s, %zu rounds, %s\n", table_number(v->before, before, sizeof(before)), table_number(v->after, after, sizeof(after)),
	       v->a.log.n, v->redrawn ? "a fresh link each: this is about the source" : "layout fixed: this is about these two files");
	if (same)
		printf("  the two load the same bytes: whatever differs is noise\n");
	if (v->a.verdict == STATS_UNCLEAR && v->a.more_rounds)
		printf("  about %zu more rounds would likely decide (--max-time)\n", v->a.more_rounds);
	else if (v->a.verdict == STATS_UNCLEAR && v->a.log.n)
		printf("  no number of rounds that could be waited for would likely decide\n");
	if (v->a.verdict == STATS_NO_CHANGE && v->a.differs)
		printf("  they differ, by less than you care for (--delta)\n");
	if (isfinite(v->aa.sd))
		printf("  noise: two runs of one build differ by %.2f %% (A/A, %zu pairs)\n", 100 * v->aa.sd, v->aa.n);
	if (v->detail[0])
		printf("  %s\n", v->detail);
}

static json_t *answer_json(const struct side *sides, const char *metric, const struct verdict_answer *v, bool same, int64_t session, int64_t case_id)
{
	json_t *f = cli_json_figure(v->a.ratio, "ratio", metric, "interleaved rounds", (int64_t)v->a.log.n, v->a.lo, v->a.hi, stats_verdict_name(v->a.verdict));
	json_object_set_new(f, "detail", json_string(v->detail));
	json_object_set_new(f, "scope", json_string(v->redrawn ? "source" : "binary"));
	json_object_set_new(f, "same_bytes", json_boolean(same));
	json_object_set_new(f, "before", isfinite(v->before) ? json_real(v->before) : json_null());
	json_object_set_new(f, "after", isfinite(v->after) ? json_real(v->after) : json_null());
	json_object_set_new(f, "more_rounds", json_integer((json_int_t)v->a.more_rounds));
	json_object_set_new(f, "aa_sd", isfinite(v->aa.sd) ? json_real(v->aa.sd) : json_null());
	json_object_set_new(f, "session", json_integer(session));
	json_object_set_new(f, "case", json_integer(case_id));
	json_object_set_new(f, "a", cli_json_string(sides[0].label));
	json_object_set_new(f, "b", cli_json_string(sides[1].label));
	return f;
}

static char *request_json(const struct asked *a, const struct bench_case *c)
{
	char name[128];
	json_t *command = json_array();
	for (char **w = a->command; w && *w; w++)
		json_array_append_new(command, cli_json_string(*w));
	json_t *j = json_pack("{s:o, s:o, s:s, s:s*, s:f, s:f, s:o, s:I}", "a", cli_json_string(a->a), "b", cli_json_string(a->b), "case",
			      bench_case_name(c, name, sizeof(name)), "metric", a->metric, "delta", a->delta, "confidence", a->confidence, "command",
			      command, "asked", (json_int_t)clock_mono_ns());
	char *text = json_dumps(j, JSON_SORT_KEYS | JSON_COMPACT);
	json_decref(j);
	return text;
}

int cmd_compare(int argc, char **argv)
{
	struct asked a = { .delta = -1, .max_time = 60 };
	int exit_code = parse(argc, argv, &a);
	if (exit_code)
		return exit_code;
	child_catch_signals();
	struct error e = { 0 };
	struct project p;
	struct side sides[2] = { 0 };
	struct bench_case c = { 0 };
	struct session *session = NULL;
	struct verdict_answer v = { 0 };
	size_t index = 0;
	char *request = NULL;
	int rc = project_open(&p, a.config, a.db, PROJECT_SUBJECT | PROJECT_STORE_WRITE | PROJECT_OPTIONAL, &e);
	if (!rc)
		rc = side_open(&p, &sides[0], a.a, a.variant, &e);
	if (!rc)
		rc = side_open(&p, &sides[1], a.b, a.variant, &e);
	if (!rc && !strcmp(a.a, a.b)) { /* one arm under two names: they must stay apart */
		free(sides[1].label);
		sides[1].label = x_printf("%s (again)", a.b);
	}
	if (!rc)
		rc = choose_case(&p, &a, sides, &c, &e);
	if (!rc) {
		request = request_json(&a, &c);
		struct session_options o = { .store = p.store, .verb = "compare", .request_json = request, .metric = a.metric, .delta = a.delta,
					     .confidence = a.confidence, .workloads = p.workloads, .control = a.command ? NULL : p.control,
					     .toolkit_version = hakperf_version, .lock_wait_s = a.wait };
		rc = session_open(&o, &session, &e);
	}
	if (!rc)
		rc = session_add_case(session, &c, &index, &e);
	for (int i = 0; !rc && i < 2; i++)
		rc = add_side(&p, session, &sides[i], &e);
	if (!rc)
		rc = measure(&p, session, index, sides, &a, &v, &e);
	if (!rc) {
		bool same = sides[0].loaded[0] && !strcmp(sides[0].loaded, sides[1].loaded);
		if (a.json)
			cli_envelope("compare", json_loads(request, 0, NULL), answer_json(sides, session_metric(session, index), &v, same,
				     session_id(session), session_case_id(session, index)));
		else
			print_answer(sides, &c, session_metric(session, index), &v, same);
		exit_code = a.fail_on && v.a.verdict == STATS_REGRESSION ? CLI_FAIL_ON : CLI_ANSWERED;
	}
	if (session) {
		int kept = session_close(session, !rc ? "done" : rc == -EINTR ? "interrupted" : "failed", rc ? e.text : NULL, rc ? NULL : &e);
		rc = rc ? rc : kept;
	}
	free(request);
	side_close(&sides[0]), side_close(&sides[1]);
	bench_case_release(&c);
	project_close(&p);
	return rc ? cli_cannot("compare", &e) : exit_code;
}
