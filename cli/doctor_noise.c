/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor_noise.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/project.h"
#include "cli/table.h"
#include "cli/version.h"
#include "harness/child.h"
#include "harness/host.h"
#include "harness/session.h"
#include "harness/verdict.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS_LEAST 8

/*
 * Runs that a round of two arms costs on average: its two, and every fourth round an A/A repeat, the control's two, and two of twice the
 * operations.
 */
#define RUNS_A_ROUND (2 + (1 + 2 + 2 * 2) / 4.0)

struct list {
	struct bench_case items[DOCTOR_NOISE_MAX];
	size_t n;
};

static void add_ours(struct list *l, const char *name, bool by_wall, const char *const *words)
{
	struct bench_case *c = &l->items[l->n++];
	*c = (struct bench_case){ .workload = x_strdup(name), .by_wall = by_wall, .timeout_ns = 60000000000u };
	size_t n = 0;
	while (words[n])
		n++;
	c->command = x_calloc(n + 1, sizeof(*c->command));
	for (size_t i = 0; i < n; i++)
		c->command[i] = x_strdup(words[i]);
	bench_case_set(c, "threads", by_wall ? "2" : "1");
}

static void our_workloads(struct list *l)
{
	add_ours(l, "hot_path", false, (const char *const[]){ "{workloads}/hot_path", "--pairs", "1000000", "--size", "128", NULL });
	add_ours(l, "bench_random_mixed", false, (const char *const[]){ "{workloads}/bench_random_mixed", "--cycles", "500000", "--ws", "256", NULL });
	add_ours(l, "larson, one thread", false, (const char *const[]){ "{workloads}/larson", "--rounds", "100", "--threads", "1", NULL });
	add_ours(l, "larson, two threads", true, (const char *const[]){ "{workloads}/larson", "--rounds", "100", "--threads", "2", NULL });
}

static bool has(const struct list *l, const struct bench_case *c)
{
	char a[160], b[160];
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(bench_case_name(&l->items[i], a, sizeof(a)), bench_case_name(c, b, sizeof(b))))
			return true;
	return false;
}

static int add_cell(struct list *l, const struct config *c, const struct config_cell *cell, struct error *e)
{
	struct bench_case *cases = NULL;
	size_t n = 0;
	int rc = bench_cases_expand(c, cell->workload, cell->class_name, &cases, &n, e);
	for (size_t i = 0; i < n; i++) {
		bool takes = l->n < DOCTOR_NOISE_MAX && !has(l, &cases[i]) && strncmp(cases[i].command[0], "{workloads}/", 12) == 0;
		if (takes)
			l->items[l->n++] = cases[i];
		else
			bench_case_release(&cases[i]);
	}
	free(cases);
	return rc;
}

static int choose(const struct project *p, struct list *l, struct error *e)
{
	const struct config_main *job = &p->config.main_job;
	int rc = 0;
	if (p->has_config && job->bisect.workload && job->bisect.class_name)
		rc = add_cell(l, &p->config, &job->bisect, e);
	for (size_t i = 0; !rc && p->has_config && i < job->n_timed; i++)
		rc = add_cell(l, &p->config, &job->timed[i], e);
	if (!rc && !l->n)
		our_workloads(l);
	return rc;
}

enum { FIXED, FIXED_AGAIN, DRAWN, DRAWN_AGAIN, ARMS };

static int add_arms(struct project *p, struct session *s, size_t *arms, struct error *e)
{
	static const char *const labels[ARMS] = { "one link", "one link, again", "fresh links", "fresh links, again" };
	char *prefix = x_printf("%s/0", p->control), *file = x_printf("%s/lib/libcontrol.so", prefix);
	struct store_build b = { .key = "noise", .kind = "control", .outcome = "ok", .artifact = file };
	struct session_arm a = { .kind = RUN_PRELOAD, .prefix = prefix, .artifact = file };
	int rc = store_build(p->store, &b, &a.build_id, e);
	for (int i = 0; !rc && i < ARMS; i++) {
		a.label = labels[i];
		a.relink = i >= DRAWN;
		rc = session_add_arm(s, &a, &arms[i], e);
	}
	free(prefix), free(file);
	return rc;
}

static int noise_of(struct project *p, struct session *s, size_t index, size_t a, size_t b, struct stats_noise *out, struct error *e)
{
	struct verdict_question q = { .session_id = session_id(s), .case_id = session_case_id(s, index), .arm_a = session_arm_id(s, a),
				      .arm_b = session_arm_id(s, b), .metric = session_metric(s, index), .delta = -1 };
	double *x = NULL;
	size_t n = 0;
	int rc = verdict_ratios(p->store, &q, &x, &n, e);
	*out = stats_noise(x, n);
	free(x);
	return rc;
}

static double smallest(const struct stats_noise *noise, size_t rounds)
{
	return isfinite(noise->sd) ? stats_smallest_effect(noise->sd, rounds, STATS_CONFIDENCE, STATS_POWER) : INFINITY;
}

static int measure(struct project *p, struct session *s, const struct bench_case *c, const size_t *arms, double seconds, struct doctor_noise *out,
		   struct error *e)
{
	size_t index;
	uint64_t began = clock_mono_ns();
	*out = (struct doctor_noise){ 0 };
	bench_case_name(c, out->name, sizeof(out->name));
	int rc = session_add_case(s, c, &index, e);
	for (double used = 0; !rc && (out->rounds < ROUNDS_LEAST || used < seconds); used = (double)(clock_mono_ns() - began) * 1e-9) {
		struct session_figure f[ARMS];
		rc = session_round(s, index, arms, ARMS, 0, f, e);
		for (int i = 0; !rc && i < ARMS; i++)
			if (f[i].outcome != RUN_OK) {
				snprintf(out->why, sizeof(out->why), "%s", f[i].why);
				return 0;
			}
		out->rounds++;
	}
	if (!rc)
		rc = noise_of(p, s, index, arms[FIXED], arms[FIXED_AGAIN], &out->binary, e);
	if (!rc)
		rc = noise_of(p, s, index, arms[DRAWN], arms[DRAWN_AGAIN], &out->source, e);
	if (rc)
		return rc;
	snprintf(out->metric, sizeof(out->metric), "%s", session_metric(s, index));
	out->run_s = session_run_s(s, index);
	out->rounds_a_minute = (size_t)(60 / (out->run_s * RUNS_A_ROUND));
	out->smallest_binary = smallest(&out->binary, out->rounds_a_minute);
	out->smallest_source = smallest(&out->source, out->rounds_a_minute);
	return 0;
}

static int session_for(struct project *p, double seconds, struct doctor_noise *rows, size_t *n, struct error *e)
{
	struct list l = { .n = 0 };
	struct session *s = NULL;
	struct progress progress;
	size_t arms[ARMS];
	int rc = choose(p, &l, e);
	struct session_options o = { .store = p->store, .verb = "doctor", .request_json = "{}", .delta = -1, .workloads = p->workloads,
				     .toolkit_version = hakperf_version };
	if (!rc)
		rc = session_open(&o, &s, e);
	if (!rc)
		rc = add_arms(p, s, arms, e);
	progress_begin(&progress, "noise", (double)l.n);
	for (; !rc && *n < l.n; ++*n) {
		char name[160];
		progress_step(&progress, (double)*n, bench_case_name(&l.items[*n], name, sizeof(name)));
		rc = measure(p, s, &l.items[*n], arms, seconds, &rows[*n], e);
	}
	progress_end(&progress);
	if (s)
		session_close(s, rc ? "failed" : "done", NULL, NULL);
	for (size_t i = 0; i < l.n; i++)
		bench_case_release(&l.items[i]);
	return rc;
}

int doctor_noise(double seconds, struct doctor_noise *rows, size_t *n, struct error *e)
{
	struct project p = { 0 };
	const char *tmp = getenv("TMPDIR");
	char *folder = x_printf("%s/hakperf-noise-XXXXXX", !access("/dev/shm", W_OK | X_OK) ? "/dev/shm" : tmp && *tmp ? tmp : "/tmp");
	*n = 0;
	if (!mkdtemp(folder)) {
		int rc = error_errno(e, errno, "cannot make a scratch folder %s", folder);
		free(folder);
		return rc;
	}
	child_catch_signals();
	char *db = x_printf("%s/noise.db", folder);
	int rc = project_open(&p, NULL, db, PROJECT_CONFIG | PROJECT_STORE_WRITE | PROJECT_OPTIONAL, e);
	if (!rc)
		rc = session_for(&p, seconds, rows, n, e);
	project_close(&p);
	fs_remove(folder, NULL);
	free(db), free(folder);
	return rc;
}

static const char *percent(double log_units, char *out, size_t n)
{
	if (isfinite(log_units))
		snprintf(out, n, "%.2f %%", 100 * expm1(log_units));
	else
		snprintf(out, n, "–");
	return out;
}

void doctor_noise_print(const struct doctor_noise *rows, size_t n, FILE *to)
{
	struct host_snapshot now;
	host_snapshot("", &now);
	fprintf(to, "\nnoise now (load %.1f): two runs of one build in one round differ by (sd), and the smallest effect that a minute of\n"
		    "'hakperf compare' sees in nine of ten cases\n\n", now.load1);
	struct table *t = table_new(7, "lrrrrrr");
	table_head(t, "workload", "a run", "rounds", "this binary", "sees", "this source", "sees");
	for (size_t i = 0; i < n; i++) {
		const struct doctor_noise *x = &rows[i];
		char run[32], rounds[32], b[32], sb[32], s[32], ss[32];
		snprintf(run, sizeof(run), "%.0f ms", 1000 * x->run_s);
		snprintf(rounds, sizeof(rounds), "%zu", x->rounds);
		if (x->why[0])
			table_row(t, x->name, "–", rounds, "–", "–", "–", "–");
		else
			table_row(t, x->name, run, rounds, percent(x->binary.sd, b, sizeof(b)), percent(x->smallest_binary, sb, sizeof(sb)),
				  percent(x->source.sd, s, sizeof(s)), percent(x->smallest_source, ss, sizeof(ss)));
	}
	table_print(t, to);
	table_free(t);
	for (size_t i = 0; i < n; i++)
		if (rows[i].why[0])
			fprintf(to, "%s: not measured: %s\n", rows[i].name, rows[i].why);
}

static json_t *figure(const struct stats_noise *noise, double smallest_effect)
{
	return json_pack("{s:o, s:o, s:o, s:I, s:o}", "sd", isfinite(noise->sd) ? json_real(noise->sd) : json_null(), "lo",
			 isfinite(noise->sd_lo) ? json_real(noise->sd_lo) : json_null(), "hi", isfinite(noise->sd_hi) ? json_real(noise->sd_hi) : json_null(),
			 "pairs", (json_int_t)noise->n, "smallest_effect", isfinite(smallest_effect) ? json_real(expm1(smallest_effect)) : json_null());
}

json_t *doctor_noise_json(const struct doctor_noise *rows, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		const struct doctor_noise *x = &rows[i];
		json_t *row = json_pack("{s:o, s:o}", "workload", cli_json_string(x->name), "why", x->why[0] ? cli_json_string(x->why) : json_null());
		if (!x->why[0])
			json_object_update_new(row, json_pack("{s:s, s:f, s:I, s:I, s:o, s:o}", "metric", x->metric, "run_s", x->run_s, "rounds", (json_int_t)x->rounds,
							      "rounds_a_minute", (json_int_t)x->rounds_a_minute, "binary", figure(&x->binary, x->smallest_binary),
							      "source", figure(&x->source, x->smallest_source)));
		json_array_append_new(list, row);
	}
	return list;
}
