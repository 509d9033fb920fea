/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/measure.h"

#include "base/buf.h"
#include "base/clock.h"
#include "cli/side.h"
#include "cli/version.h"
#include "harness/network.h"
#include "harness/session_samples.h"
#include "harness/store_read.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void measure_init(struct measure *m, struct project *p, const char *variant)
{
	*m = (struct measure){ .p = p, .variant = variant };
}

void measure_release(struct measure *m)
{
	for (size_t i = 0; i < m->n_arms; i++) {
		history_commit_release(&m->arms[i].commit);
		build_release(&m->arms[i].build);
		free(m->arms[i].label);
	}
	for (size_t i = 0; i < m->n_cases; i++)
		bench_case_release(&m->cases[i].c);
	free(m->arms), free(m->cases), free(m->exact);
	*m = (struct measure){ 0 };
}

int measure_revision(struct measure *m, struct history_commit *c, const char *label, struct error *e)
{
	(void)e;
	for (size_t i = 0; i < m->n_arms; i++)
		if (!strcmp(m->arms[i].commit.id, c->id) && !strcmp(m->arms[i].commit.tree, c->tree)) {
			history_commit_release(c);
			return 0;
		}
	x_grow(m->arms, m->n_arms, m->cap_arms);
	m->arms[m->n_arms++] = (struct measure_arm){ .commit = *c, .label = x_strdup(label ? label : c->phase ? c->phase : c->short_id) };
	*c = (struct history_commit){ 0 };
	return 0;
}

static void build_done(void *ctx, size_t index, const struct build *b, size_t done, size_t n)
{
	struct measure *m = ctx;
	(void)n;
	progress_step(&m->progress, (double)done, m->arms[index].label);
	if (b->outcome != BUILD_OK)
		progress_note(&m->progress, "%s: %s: %s (log: %s)", m->arms[index].label, build_outcome_name(b->outcome), b->detail ? b->detail : "",
			      b->log ? b->log : "none");
}

int measure_build(struct measure *m, unsigned flags, struct error *e)
{
	const struct history_commit **list = x_calloc(m->n_arms, sizeof(*list));
	struct build *out = x_calloc(m->n_arms, sizeof(*out));
	for (size_t i = 0; i < m->n_arms; i++)
		list[i] = &m->arms[i].commit;
	progress_begin(&m->progress, "building", (double)m->n_arms);
	int rc = subject_build_many(&m->p->subject, list, m->n_arms, m->variant, flags | BUILD_PIN, build_done, m, out, e);
	progress_end(&m->progress);
	for (size_t i = 0; i < m->n_arms; i++) {
		m->arms[i].build = out[i];
		m->builds_made += out[i].outcome != BUILD_NONE && !out[i].cached;
		m->builds_broken += out[i].outcome != BUILD_NONE && out[i].outcome != BUILD_OK;
	}
	free(list), free(out);
	return rc;
}

int measure_cell(struct measure *m, const char *workload, const char *class_name, bool timed, bool exact, struct error *e)
{
	struct bench_case *list = NULL;
	size_t n = 0;
	int rc = bench_cases_expand(&m->p->config, workload, class_name, &list, &n, e);
	if (!rc)
		rc = bench_cases_choose(list, &n, m->params, e);
	if (rc) {
		bench_cases_release(list, n);
		return rc;
	}
	for (size_t i = 0; !rc && i < n; i++) {
		size_t k = 0;
		char a[128], b[128];
		while (k < m->n_cases && strcmp(bench_case_name(&m->cases[k].c, a, sizeof(a)), bench_case_name(&list[i], b, sizeof(b))))
			k++;
		if (k < m->n_cases && n == 1) { /* the same cell, asked for in another way */
			m->cases[k].timed |= timed;
			m->cases[k].exact |= exact && list[i].exact;
			bench_case_release(&list[i]);
			continue;
		}
		x_grow(m->cases, m->n_cases, m->cap_cases);
		m->cases[m->n_cases++] = (struct measure_case){ .c = list[i], .timed = timed, .exact = exact && list[i].exact };
	}
	free(list);
	return rc;
}

static int add_arm(struct measure *m, struct measure_arm *a, struct error *e)
{
	struct store_opt commit;
	int rc = subject_record(&m->p->subject, m->p->store, &a->commit, &a->build, &commit, &a->build_id, e);
	a->commit_id = commit.v;
	if (rc || a->build.outcome != BUILD_OK)
		return rc;
	struct session_arm arm = subject_arm(&m->p->subject, &a->build, a->label, commit, a->build_id);
	rc = session_add_arm(m->session, &arm, &a->arm, e);
	a->ok = !rc;
	return rc;
}

/* A figure that a workload prints is no event; any other name is one of ours or libpfm4's. */
static int metric_events(const struct measure *m, const char *metric, const char *events[2], struct error *e)
{
	events[0] = events[1] = NULL;
	for (size_t i = 0; metric && i < m->n_cases; i++)
		if (m->cases[i].c.figure && !strcmp(metric, session_figure_metric(&m->cases[i].c)))
			return 0;
	return side_metric_events(m->p->store, metric, events, e);
}

int measure_open(struct measure *m, const char *verb, json_t *request, const char *metric, double lock_wait_s, struct error *e)
{
	const char *events[2];
	int rc = metric_events(m, metric, events, e);
	if (rc)
		return rc;
	json_t *commits = json_array();
	for (size_t i = 0; i < m->n_arms; i++)
		json_array_append_new(commits, json_string(m->arms[i].commit.worktree ? m->arms[i].commit.tree : m->arms[i].commit.id));
	json_object_set_new(request, "commits", commits);
	char *text = json_dumps(request, JSON_SORT_KEYS | JSON_COMPACT);
	struct session_options o = {
		.store = m->p->store, .verb = verb, .request_json = text, .metric = metric, .delta = -1, .workloads = m->p->workloads,
		.control = m->p->control, .toolkit_version = hakperf_version, .lock_wait_s = lock_wait_s,
		.events = events[0] ? events : NULL,
	};
	if (!m->p->config.subject.network)
		network_leave();
	rc = session_open(&o, &m->session, e);
	free(text);
	for (size_t i = 0; !rc && i < m->n_arms; i++)
		rc = add_arm(m, &m->arms[i], e);
	for (size_t i = 0; !rc && i < m->n_cases; i++)
		rc = session_add_case(m->session, &m->cases[i].c, &m->cases[i].index, e);
	m->exact = x_calloc(m->n_cases * m->n_arms, sizeof(*m->exact));
	return rc;
}

static void exact_done(void *ctx, size_t done, size_t n)
{
	struct measure *m = ctx;
	(void)n;
	progress_step(&m->progress, (double)done, "");
}

int measure_exact(struct measure *m, bool again, struct error *e)
{
	size_t n = 0, room = m->n_cases * m->n_arms;
	struct exact_request *requests = x_calloc(room, sizeof(*requests));
	struct exact_answer *answers = x_calloc(room, sizeof(*answers));
	size_t *slot = x_calloc(room, sizeof(*slot));
	for (size_t k = 0; k < m->n_cases; k++)
		for (size_t a = 0; a < m->n_arms && m->cases[k].exact; a++)
			if (m->arms[a].ok) {
				slot[n] = k * m->n_arms + a;
				requests[n++] = (struct exact_request){ m->arms[a].arm, m->cases[k].index };
			}
	progress_begin(&m->progress, "counting instructions", (double)n);
	int rc = session_exact(m->session, requests, n, m->p->subject.jobs, again, exact_done, m, answers, e);
	progress_end(&m->progress);
	for (size_t i = 0; !rc && i < n; i++) {
		m->exact[slot[i]] = answers[i];
		if (!answers[i].counted)
			progress_note(&m->progress, "%s: not counted: %s", m->arms[slot[i] % m->n_arms].label, answers[i].why);
	}
	free(requests), free(answers), free(slot);
	return rc;
}

const struct exact_answer *measure_exact_of(const struct measure *m, size_t case_index, size_t arm)
{
	return &m->exact[case_index * m->n_arms + arm];
}

static size_t fewest_rounds(const struct measure *m)
{
	size_t least = SIZE_MAX;
	for (size_t k = 0; k < m->n_cases; k++)
		if (m->cases[k].timed && session_rounds_done(m->session, m->cases[k].index) < least)
			least = session_rounds_done(m->session, m->cases[k].index);
	return least;
}

int measure_timed(struct measure *m, size_t rounds, double seconds, unsigned flags, struct error *e)
{
	size_t *arms = x_calloc(m->n_arms + 1, sizeof(*arms)), n = 0;
	struct session_figure *figures = x_calloc(m->n_arms + 1, sizeof(*figures));
	for (size_t a = 0; a < m->n_arms; a++)
		if (m->arms[a].ok)
			arms[n++] = m->arms[a].arm;
	uint64_t began = clock_mono_ns();
	int rc = 0;
	progress_begin(&m->progress, "timing", seconds > 0 ? seconds : (double)rounds);
	for (size_t done = n ? fewest_rounds(m) : SIZE_MAX; !rc && done != SIZE_MAX && (!rounds || done < rounds); done = fewest_rounds(m)) {
		double used = (double)(clock_mono_ns() - began) * 1e-9;
		if (seconds > 0 && used > seconds)
			break;
		for (size_t k = 0; !rc && k < m->n_cases; k++) {
			if (!m->cases[k].timed || session_rounds_done(m->session, m->cases[k].index) > done)
				continue;
			char name[128], detail[200];
			snprintf(detail, sizeof(detail), "round %zu  %s", done + 1, bench_case_name(&m->cases[k].c, name, sizeof(name)));
			progress_step(&m->progress, seconds > 0 ? (double)(clock_mono_ns() - began) * 1e-9 : (double)done, detail);
			rc = session_round(m->session, m->cases[k].index, arms, n, flags, figures, e);
			for (size_t a = 0; !rc && done == 0 && a < n; a++)
				if (figures[a].outcome != RUN_OK)
					progress_note(&m->progress, "%s: %s: %s", m->arms[a].label, name, figures[a].why);
		}
	}
	progress_end(&m->progress);
	free(arms), free(figures);
	return rc;
}

const char *measure_metric(const struct measure *m, size_t case_index)
{
	return session_metric(m->session, m->cases[case_index].index);
}

static struct verdict_question question(const struct measure *m, size_t k, size_t a, size_t b, double delta)
{
	return (struct verdict_question){
		.session_id = session_id(m->session), .case_id = session_case_id(m->session, m->cases[k].index),
		.arm_a = session_arm_id(m->session, m->arms[a].arm), .arm_b = session_arm_id(m->session, m->arms[b].arm),
		.metric = measure_metric(m, k), .delta = delta,
	};
}

int measure_ask(struct measure *m, size_t case_index, size_t a, size_t b, double delta, struct verdict_answer *out, struct error *e)
{
	struct verdict_question q = question(m, case_index, a, b, delta);
	return verdict_ask(m->p->store, &q, out, e);
}

static int keep_verdict(struct measure *m, size_t k, size_t a, size_t b, double delta, bool primary, struct error *e)
{
	struct verdict_question q = question(m, k, a, b, delta);
	struct verdict_answer answer;
	int rc = verdict_ask(m->p->store, &q, &answer, e);
	return rc ? rc : verdict_store(m->p->store, &q, &answer, primary, e);
}

int measure_verdicts(struct measure *m, double delta, struct error *e)
{
	int rc = store_begin(m->p->store, e);
	for (size_t k = 0; !rc && k < m->n_cases; k++) {
		size_t before = SIZE_MAX, first = SIZE_MAX;
		for (size_t a = 0; !rc && a < m->n_arms && m->cases[k].timed; a++) {
			if (!m->arms[a].ok)
				continue;
			if (before != SIZE_MAX)
				rc = keep_verdict(m, k, before, a, delta, false, e);
			if (!rc && first != SIZE_MAX && first != before)
				rc = keep_verdict(m, k, first, a, delta, false, e);
			first = first == SIZE_MAX ? a : first;
			before = a;
		}
	}
	if (rc) {
		store_rollback(m->p->store);
		return rc;
	}
	return store_commit(m->p->store, e);
}

int measure_close(struct measure *m, int rc, struct error *e)
{
	struct session *s = m->session;
	m->session = NULL;
	if (!s)
		return rc;
	int kept = session_close(s, session_state(rc), rc && e ? e->text : NULL, rc ? NULL : e);
	return rc ? rc : kept;
}

double measure_median(const struct measure *m, size_t case_index, size_t arm, struct error *e)
{
	struct store_rows *r = rows_open(m->p->store, "SELECT median (sample.value) FROM round CROSS JOIN run ON run.round_id = round.id"
						      " CROSS JOIN sample ON sample.run_id = run.id CROSS JOIN metric ON metric.id = sample.metric_id"
						      " WHERE round.session_id = :session AND round.case_id = :case AND round.kind = 'timed'"
						      " AND NOT round.disturbed AND run.outcome = 'ok' AND run.multiplier = 1 AND run.arm_id = :arm"
						      " AND metric.name = :metric");
	rows_bind_int(r, ":session", session_id(m->session));
	rows_bind_int(r, ":case", session_case_id(m->session, m->cases[case_index].index));
	rows_bind_int(r, ":arm", session_arm_id(m->session, m->arms[arm].arm));
	rows_bind_text(r, ":metric", measure_metric(m, case_index));
	double v = rows_next(r, e) > 0 && !rows_null(r, 0) ? rows_real(r, 0) : NAN;
	rows_close(r);
	return v;
}
