/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/measure.h"
#include "cli/verbs.h"
#include "harness/child.h"
#include "harness/stats.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char help_judge[] =
	"say good or bad of one revision: a predicate for 'git bisect run'\n"
	"\n"
	"usage: hakperf judge [--good REV --bad REV] [OPTION ...] [REV]\n"
	"\n"
	"REV (default HEAD, which 'git bisect run' has checked out) is measured beside GOOD and BAD. The\n"
	"threshold is fixed from the two ends: half way between them. A worked example is in\n"
	"docs/bisect.md.\n"
	"\n"
	"  --good REV, --bad REV  the ends; default: the first good and bad of the running 'git bisect'\n"
	"  --metric M     instructions_exact (default where the workload allows it) or a metric of timed rounds\n"
	"  --workload W, --class C, --variant V\n"
	"  --confidence P of a timed answer (default 0.995)\n"
	"  --max-time T   of measuring (default 60s)\n"
	"  --wait T       wait for another session of this machine (default 60s)\n"
	"  --db FILE, --config FILE   during a 'git bisect' the hakperf.ini of where it started is used\n"
	"\n"
	"Exit, as git wants it: 0 good, 1 bad, 125 cannot tell (broken, or neither), 128 abort (ends that\n"
	"do not differ, wrong use).\n";

enum { JUDGE_GOOD = 0, JUDGE_BAD = 1, JUDGE_SKIP = 125, JUDGE_ABORT = 128 };
enum { GOOD, BAD, CANDIDATE };

struct asked {
	const char *good, *bad, *metric, *workload, *class_name, *variant, *db, *config, *revision;
	double confidence, max_time, wait;
};

static bool parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "good", required_argument, NULL, 'g' },
		{ "bad", required_argument, NULL, 'b' },
		{ "metric", required_argument, NULL, 'm' },
		{ "workload", required_argument, NULL, 'w' },
		{ "class", required_argument, NULL, 'C' },
		{ "variant", required_argument, NULL, 'v' },
		{ "confidence", required_argument, NULL, 'p' },
		{ "max-time", required_argument, NULL, 't' },
		{ "wait", required_argument, NULL, 'W' },
		{ "db", required_argument, NULL, 'D' },
		{ "config", required_argument, NULL, 'c' },
		{ 0 },
	};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		bool ok = true;
		switch (o) {
		case 'g': a->good = optarg; break;
		case 'b': a->bad = optarg; break;
		case 'm': a->metric = optarg; break;
		case 'w': a->workload = optarg; break;
		case 'C': a->class_name = optarg; break;
		case 'v': a->variant = optarg; break;
		case 'p':
			ok = cli_fraction(optarg, &a->confidence) && a->confidence > 0.5 &&
			     a->confidence < 1;
			break;
		case 't': ok = cli_seconds(optarg, &a->max_time) && a->max_time > 0; break;
		case 'W': ok = cli_seconds(optarg, &a->wait); break;
		case 'D': a->db = optarg; break;
		case 'c': a->config = optarg; break;
		default: return false;
		}
		if (!ok) {
			cli_usage("judge", "'%s' is not a value of that option", optarg);
			return false;
		}
	}
	if (!a->good != !a->bad || argc - optind > 1) {
		cli_usage("judge",
			  "name both ends, by --good and --bad, or none, and one revision at most");
		return false;
	}
	a->revision = optind < argc ? argv[optind] : "HEAD";
	return true;
}

static int verdict(const char *revision, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int verdict(const char *revision, int code, const char *fmt, ...)
{
	char text[300];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("%s is %s: %s\n", revision,
	       code == JUDGE_GOOD  ? "good"
	       : code == JUDGE_BAD ? "bad"
				   : "not to be judged",
	       text);
	return code;
}

/* Beyond half of the way from good to bad? distance and end are log-ratios to good. */
static int side_of(double distance, double end)
{
	return distance / end > 0.5 ? JUDGE_BAD : JUDGE_GOOD;
}

static int by_count(struct measure *m, const struct asked *a, int *code, struct error *e)
{
	int rc = measure_exact(m, false, e);
	if (rc)
		return rc;
	const struct exact_answer *x[3];
	for (int i = 0; i < 3; i++) {
		x[i] = measure_exact_of(m, 0, (size_t)i);
		if (!x[i]->counted && i != CANDIDATE)
			return error_set(e, -ENODATA, "%s cannot be counted: %s", m->arms[i].label,
					 x[i]->why);
	}
	const char *per = x[GOOD]->operations ? "an operation" : "a run";
	double end = stats_log_ratio(x[GOOD]->per_op, x[BAD]->per_op);
	if (fabs(end) < 0.002)
		return error_set(
			e, -ENODATA,
			"good and bad do not differ here: %.2f and %.2f instructions %s",
			x[GOOD]->per_op, x[BAD]->per_op, per);
	if (!x[CANDIDATE]->counted)
		*code = verdict(a->revision, JUDGE_SKIP, "%s", x[CANDIDATE]->why);
	else
		*code = verdict(
			a->revision,
			side_of(stats_log_ratio(x[GOOD]->per_op, x[CANDIDATE]->per_op), end),
			"%.2f instructions %s, between %.2f and %.2f", x[CANDIDATE]->per_op, per, x[GOOD]->per_op, x[BAD]->per_op);
	return 0;
}

static int ratios(struct measure *m, int arm, double **x, size_t *n, struct error *e)
{
	struct verdict_question q = { .session_id = session_id(m->session),
				      .case_id = session_case_id(m->session, m->cases[0].index),
				      .arm_a = session_arm_id(m->session, m->arms[GOOD].arm),
				      .arm_b = session_arm_id(m->session, m->arms[arm].arm),
				      .metric = measure_metric(m, 0),
				      .delta = -1 };
	return verdict_ratios(m->p->store, &q, x, n, e);
}

static int by_time(struct measure *m, const struct asked *a, int *code, struct error *e)
{
	uint64_t began = clock_mono_ns();
	double confidence = a->confidence > 0 ? a->confidence : STATS_CONFIDENCE;
	for (size_t rounds = 4;; rounds += 4) {
		int rc = measure_timed(m, rounds, a->max_time, SESSION_CONTROLS, e);
		double *ends = NULL, *x = NULL;
		size_t n_ends = 0, n = 0;
		if (!rc)
			rc = ratios(m, BAD, &ends, &n_ends, e);
		if (!rc)
			rc = ratios(m, CANDIDATE, &x, &n, e);
		struct stats_interval d = { 0 }, c = { 0 };
		if (!rc) {
			d = stats_cs(ends, n_ends, confidence);
			for (size_t i = 0; i < n; i++)
				x[i] -= d.mid / 2;
			c = stats_cs(x, n, confidence);
		}
		free(ends), free(x);
		if (rc)
			return rc;
		bool ends_differ = n_ends && stats_excludes_zero(&d),
		     decided = ends_differ && n && stats_excludes_zero(&c);
		bool late = (double)(clock_mono_ns() - began) * 1e-9 > a->max_time ||
			    (rounds >= 8 && !n);
		if (decided)
			*code = verdict(a->revision, side_of(c.mid + d.mid / 2, d.mid),
					"%+.1f %% from good, bad is at %+.1f %% (%zu rounds of %s)",
					100 * expm1(c.mid + d.mid / 2), 100 * expm1(d.mid), n,
					measure_metric(m, 0));
		else if (late && !ends_differ)
			return error_set(
				e, -ENODATA,
				"good and bad cannot be told apart here within %.0f s: try --max-time, or another workload",
				a->max_time);
		else if (late)
			*code = verdict(a->revision, JUDGE_SKIP,
					n ? "too close to half way after %zu rounds"
					  : "it does not run (%zu rounds)",
					n);
		if (decided || late)
			return 0;
	}
}

/*
 * The ends that a running 'git bisect' began with: the first "# good: [ID] …" and "# bad: [ID] …"
 * of its log. They stay while its refs move, so the threshold does too.
 */
static int ends_of_git(struct measure *m, char good[HISTORY_ID], char bad[HISTORY_ID],
		       struct error *e)
{
	char *path = x_printf("%s/BISECT_LOG", history_gitdir(m->p->subject.history)), line[512];
	FILE *f = fopen(path, "re");
	free(path);
	good[0] = bad[0] = 0;
	while (f && fgets(line, sizeof(line), f)) {
		char word[8], id[HISTORY_ID];
		if (sscanf(line, "# %7[a-z]: [%40[0-9a-f]]", word, id) != 2)
			continue;
		bool is_good = !strcmp(word, "good") || !strcmp(word, "old"),
		     is_bad = !strcmp(word, "bad") || !strcmp(word, "new");
		if (is_good && !good[0])
			memcpy(good, id, sizeof(id));
		if (is_bad && !bad[0])
			memcpy(bad, id, sizeof(id));
	}
	if (f)
		fclose(f);
	if (good[0] && bad[0])
		return 0;
	return error_set(
		e, -EINVAL,
		"name the ends by --good and --bad: no 'git bisect' is running here that says them");
}

static int add(struct measure *m, const char *word, const char *label, struct error *e)
{
	struct history_commit c = { 0 };
	size_t before = m->n_arms;
	int rc = history_resolve(m->p->subject.history, word, &c, e);
	if (!rc)
		rc = measure_revision(m, &c, label, e);
	/* The candidate may be one of the ends: an arm of its own all the same. */
	if (!rc && m->n_arms == before)
		rc = -EEXIST;
	return rc;
}

static int judge(struct measure *m, const struct asked *a, int *code, struct error *e)
{
	const struct config_cell *cell = &m->p->config.main_job.bisect;
	const char *workload = a->workload ? a->workload : cell->workload;
	char from[HISTORY_ID], to[HISTORY_ID];
	int rc = a->good ? 0 : ends_of_git(m, from, to, e);
	if (!rc)
		rc = add(m, a->good ? a->good : from, "good", e);
	if (!rc)
		rc = add(m, a->bad ? a->bad : to, "bad", e);
	if (rc == -EEXIST)
		return error_set(e, -EINVAL, "good and bad are one commit");
	if (!rc)
		rc = add(m, a->revision, a->revision, e);
	if (rc == -EEXIST) {
		struct history_commit c = { 0 };
		rc = history_resolve(m->p->subject.history, a->revision, &c, e);
		bool bad = !rc && !strcmp(c.id, m->arms[BAD].commit.id);
		history_commit_release(&c);
		*code = verdict(a->revision, bad ? JUDGE_BAD : JUDGE_GOOD, "it is that end itself");
		return rc;
	}
	if (!rc && !workload)
		rc = error_set(e, -EINVAL, "which workload? say --workload");
	if (!rc)
		rc = measure_cell(m, workload,
				  a->class_name ? a->class_name
				  : a->workload ? NULL
						: cell->class_name,
				  true, true, e);
	if (!rc)
		rc = measure_build(m, 0, e);
	if (rc)
		return rc;
	for (int i = 0; i < 3; i++) {
		if (m->arms[i].build.outcome == BUILD_OK)
			continue;
		if (i == CANDIDATE) {
			*code = verdict(a->revision, JUDGE_SKIP, "build %s",
					build_outcome_name(m->arms[i].build.outcome));
			return 0;
		}
		return error_set(e, -ENODATA, "the %s end does not build: %s", m->arms[i].label,
				 m->arms[i].build.detail);
	}
	bool exact = m->cases[0].exact && (!a->metric || !strcmp(a->metric, "instructions_exact"));
	json_t *request =
		json_pack("{s:s, s:I}", "judge", a->revision, "asked", (json_int_t)clock_mono_ns());
	rc = measure_open(m, "judge", request, exact ? NULL : a->metric, a->wait, e);
	json_decref(request);
	if (!rc)
		rc = exact ? by_count(m, a, code, e) : by_time(m, a, code, e);
	return measure_close(m, rc, e);
}

int cmd_judge(int argc, char **argv)
{
	struct asked a = { .max_time = 60, .wait = 60 };
	if (!parse(argc, argv, &a))
		return JUDGE_ABORT;
	child_catch_signals();
	struct error e = { 0 };
	struct project p;
	struct measure m = { 0 };
	int code = JUDGE_ABORT;
	int rc = project_open(&p, a.config, a.db, PROJECT_SUBJECT | PROJECT_STORE_WRITE, &e);
	if (!rc) {
		measure_init(&m, &p, a.variant);
		rc = judge(&m, &a, &code, &e);
	}
	measure_release(&m);
	project_close(&p);
	if (rc) {
		cli_cannot("judge", &e);
		return JUDGE_ABORT;
	}
	return code;
}
