/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/bisect.h"

#include "base/buf.h"
#include "base/clock.h"
#include "bisect/bisect_private.h"
#include "harness/session_samples.h"
#include "harness/network.h"
#include "harness/store_read.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIME_S 300
#define ENDS_SHARE 0.4 /* of the time, until the ends are told apart */

void bisect_say(struct bisect *b, double share, const char *fmt, ...)
{
	if (!b->o->say)
		return;
	char line[300];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	b->o->say(b->o->ctx, line, share);
}

bool bisect_out_of_time(const struct bisect *b)
{
	return clock_mono_ns() - b->began_ns > b->limit_ns;
}

int bisect_step(struct bisect *b, const char *action, size_t commit, json_t *payload, struct error *e)
{
	char *text = json_dumps(payload, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(17));
	struct store_opt id = { 0 };
	if (commit != BISECT_NONE && b->commits[commit].commit_id)
		id = STORE_INT(b->commits[commit].commit_id);
	int rc = store_bisect_step(b->o->store, b->id, b->seq, action, id, text, e);
	if (!rc)
		b->seq++;
	free(text);
	json_decref(payload);
	return rc;
}

static int record_commit(struct bisect *b, size_t i, struct error *e)
{
	struct bisect_commit *c = &b->commits[i];
	struct store_opt id;
	int rc = subject_record(b->o->subject, b->o->store, &b->range.commits[i].info, &c->build, &id, &c->build_id, e);
	c->commit_id = id.v;
	return rc;
}

int bisect_need_arm(struct bisect *b, size_t i, bool *ok, struct error *e)
{
	struct bisect_commit *c = &b->commits[i];
	const struct history_commit *info = &b->range.commits[i].info;
	int rc = 0;
	if (!c->tried) {
		bisect_say(b, -1, "building %s  %s", info->short_id, info->subject);
		rc = subject_build(b->o->subject, info, b->o->variant, BUILD_PIN, &c->build, e);
		if (rc)
			return rc;
		c->tried = true;
		rc = record_commit(b, i, e);
		if (!rc)
			rc = bisect_step(b, c->build.outcome == BUILD_OK ? "build" : "skip", i,
					 json_pack("{s:s, s:b, s:f, s:s}", "outcome", build_outcome_name(c->build.outcome), "cached",
						   c->build.cached, "seconds", (double)c->build.wall_ns * 1e-9, "detail",
						   c->build.detail ? c->build.detail : ""), e);
		b->builds += !c->build.cached;
	}
	*ok = c->build.outcome == BUILD_OK;
	if (rc || !*ok || c->arm != BISECT_NONE)
		return rc;
	struct session_arm arm = subject_arm(b->o->subject, &c->build, info->short_id, STORE_INT(c->commit_id), c->build_id);
	arm.reference = i == 0;
	return session_add_arm(b->session, &arm, &c->arm, e);
}

int bisect_need_exact(struct bisect *b, size_t i, bool *ok, struct error *e)
{
	struct bisect_commit *c = &b->commits[i];
	int rc = bisect_need_arm(b, i, ok, e);
	if (rc || !*ok || c->exact_tried) {
		*ok = *ok && c->exact.counted;
		return rc;
	}
	struct exact_request q = { .arm = c->arm, .index = b->index };
	rc = session_exact(b->session, &q, 1, 1, b->o->again, NULL, NULL, &c->exact, e);
	c->exact_tried = !rc;
	*ok = c->exact.counted;
	b->measurements += !rc && !c->exact.recorded;
	return rc;
}

/* The search learns the noise and the level from the reference beside itself. */
static int need_good_again(struct bisect *b, struct error *e)
{
	if (b->good_again != BISECT_NONE)
		return 0;
	struct session_arm arm = subject_arm(b->o->subject, &b->commits[0].build, "good end again", STORE_INT(b->commits[0].commit_id),
					     b->commits[0].build_id);
	return session_add_arm(b->session, &arm, &b->good_again, e);
}

int bisect_pair_round(struct bisect *b, size_t commit_a, size_t commit_b, double *x, int *bad_side, struct error *e)
{
	size_t arms[2] = { b->commits[commit_a].arm, b->commits[commit_b].arm };
	struct session_figure f[2];
	int rc = 0;
	if (commit_a == commit_b) {
		rc = need_good_again(b, e);
		arms[1] = b->good_again;
	}
	if (!rc)
		rc = session_round(b->session, b->index, arms, 2, SESSION_CONTROLS, f, e);
	*x = NAN;
	*bad_side = 0;
	if (rc)
		return rc;
	b->measurements += 2;
	*x = stats_log_ratio(f[0].value, f[1].value);
	if (f[0].outcome != RUN_OK)
		*bad_side = 1;
	else if (f[1].outcome != RUN_OK)
		*bad_side = 2;
	if (*bad_side)
		bisect_say(b, -1, "%s: %s", b->range.commits[*bad_side == 1 ? commit_a : commit_b].info.short_id, f[*bad_side - 1].why);
	return 0;
}

/* What the search sees of the posterior after a decision: the commits that hold at least a hundredth of it. */
static json_t *posterior_json(struct bisect *b)
{
	double *p = x_calloc(b->range.n, sizeof(*p));
	search_posterior(b->search, p);
	json_t *list = json_array();
	for (size_t i = 0; i < b->range.n; i++)
		if (p[i] >= 0.01)
			json_array_append_new(list, json_pack("[s, f]", b->range.commits[i].info.id, p[i]));
	free(p);
	return list;
}

static void observe(struct bisect *b, size_t i, double x)
{
	search_observe(b->search, (uint32_t)i, x);
}

static int measure_exact(struct bisect *b, size_t i, struct error *e)
{
	bool ok;
	int rc = bisect_need_exact(b, i, &ok, e);
	if (rc)
		return rc;
	if (!ok) {
		search_set_build(b->search, (uint32_t)i, SEARCH_BROKEN);
		return 0;
	}
	double x = stats_log_ratio(b->commits[0].exact.per_op, b->commits[i].exact.per_op);
	search_set_build(b->search, (uint32_t)i, SEARCH_BUILT);
	observe(b, i, x);
	bisect_say(b, -1, "%s  %.2f instructions%s  %s", b->range.commits[i].info.short_id, b->commits[i].exact.per_op,
		   b->commits[i].exact.operations ? " per operation" : "", b->range.commits[i].info.subject);
	return bisect_step(b, "measure", i, json_pack("{s:f, s:f, s:b, s:o}", "log_ratio", x, "value", b->commits[i].exact.per_op, "exact",
						      b->commits[i].exact.exact, "posterior", posterior_json(b)), e);
}

static int measure_timed(struct bisect *b, size_t i, struct error *e)
{
	bool ok;
	int rc = bisect_need_arm(b, i, &ok, e);
	if (rc)
		return rc;
	if (!ok) {
		search_set_build(b->search, (uint32_t)i, SEARCH_BROKEN);
		return 0;
	}
	search_set_build(b->search, (uint32_t)i, SEARCH_BUILT);
	double x;
	int bad_side;
	rc = bisect_pair_round(b, 0, i, &x, &bad_side, e);
	if (rc)
		return rc;
	if (bad_side == 2) {
		search_set_build(b->search, (uint32_t)i, SEARCH_BROKEN);
		return bisect_step(b, "skip", i, json_pack("{s:s}", "outcome", "does not run"), e);
	}
	if (isnan(x))
		return error_set(e, -EIO, "the good end %s does not run any more", b->range.commits[0].info.short_id);
	observe(b, i, x);
	return bisect_step(b, "measure", i, json_pack("{s:f, s:o}", "log_ratio", x, "posterior", posterior_json(b)), e);
}

/* Weights: a commit that leaves the subject alone cannot be the culprit. */
static int open_search(struct bisect *b, struct error *e)
{
	const struct range *r = &b->range;
	uint32_t *start = x_calloc(r->n + 1, sizeof(*start)), *parent = NULL;
	double *weight = x_calloc(r->n, sizeof(*weight));
	size_t edges = 0, cap = 0;
	for (size_t i = 0; i < r->n; i++) {
		start[i] = (uint32_t)edges;
		for (size_t k = 0; k < r->commits[i].n_parents; k++) {
			x_grow(parent, edges, cap);
			parent[edges++] = (uint32_t)r->commits[i].parents[k];
		}
		weight[i] = r->commits[i].changes_subject || r->commits[i].n_outside ? 1 : 0;
	}
	start[r->n] = (uint32_t)edges;
	struct search_graph g = { .n = r->n, .parent_start = start, .parent = parent, .weight = weight, .good = 0, .bad = (uint32_t)(r->n - 1),
				  .first_parent = b->o->first_parent };
	struct search_options so = search_defaults();
	if (b->o->confidence > 0)
		so.confidence = b->o->confidence;
	so.exact = b->exact;
	so.delta = log1p(b->o->delta >= 0 ? b->o->delta : b->exact ? BISECT_EXACT_DELTA : STATS_DELTA);
	so.max_steps = 0;
	so.staircase = b->o->all;
	if (!b->exact && !session_arm_relinks(b->session, b->commits[0].arm)) {
		so.layout = SEARCH_LAYOUT_FIXED;
		so.layout_sd = 0.01;
	}
	struct store_noises noise = { 0 };
	if (!b->exact && !store_noise(b->o->store, session_machine(b->session), STORE_INT(session_case_id(b->session, b->index)), b->metric, &noise, NULL) &&
	    noise.n && noise.items[0].pairs >= 8)
		so.noise_sd = noise.items[0].robust_sd;
	store_free(noise.pool);
	int rc = search_open(&b->search, &g, &so, e);
	free(start), free(parent), free(weight);
	return rc;
}

/* Builds that are in the cache already cost nothing: the search must know before it chooses. */
static int look_at_cache(struct bisect *b, struct error *e)
{
	const struct history_commit **list = x_calloc(b->range.n, sizeof(*list));
	struct build *found = x_calloc(b->range.n, sizeof(*found));
	for (size_t i = 0; i < b->range.n; i++)
		list[i] = &b->range.commits[i].info;
	int rc = subject_build_many(b->o->subject, list, b->range.n, b->o->variant, BUILD_CACHED_ONLY, NULL, NULL, found, e);
	for (size_t i = 0; i < b->range.n; i++) {
		if (!rc && found[i].outcome == BUILD_OK)
			search_set_build(b->search, (uint32_t)i, SEARCH_BUILT);
		else if (!rc && found[i].outcome != BUILD_NONE)
			search_set_build(b->search, (uint32_t)i, SEARCH_BROKEN);
		build_release(&found[i]);
	}
	free(list), free(found);
	return rc;
}

static int search_on(struct bisect *b, struct error *e)
{
	for (;;) {
		struct search_action a = search_next(b->search);
		if (a.kind == SEARCH_DONE)
			return 0;
		/* A count is one short run a commit and always finished; the limit is for rounds, which could go on for ever. */
		if (!b->exact && bisect_out_of_time(b))
			return 0;
		int rc = b->exact ? measure_exact(b, a.commit, e) : measure_timed(b, a.commit, e);
		if (rc)
			return rc;
		if (!b->exact)
			bisect_say(b, -1, "searching: %s measured, about %.0f measurements to go", b->range.commits[a.commit].info.short_id,
				   a.expected_cost > a.cost ? a.expected_cost - a.cost : 0);
	}
}

/* Take the decisions of an unfinished bisect up again. */
static int replay(struct bisect *b, struct error *e)
{
	struct store_step_rows steps = { 0 };
	int rc = store_steps(b->o->store, b->id, &steps, e);
	for (size_t i = 0; !rc && i < steps.n; i++) {
		const struct store_step_row *s = &steps.items[i];
		b->seq = s->seq + 1;
		size_t at = s->commit ? range_find(&b->range, s->commit) : b->range.n;
		json_t *p = json_loads(s->payload_json, 0, NULL);
		/* Rounds of the two ends are observed from the record itself. */
		bool ends = !b->exact && at == b->range.n - 1;
		if (at < b->range.n && b->search && !ends && !strcmp(s->action, "measure")) {
			search_set_build(b->search, (uint32_t)at, SEARCH_BUILT);
			observe(b, at, json_number_value(json_object_get(p, "log_ratio")));
			b->measurements += b->exact ? 1 : 2;
		} else if (at < b->range.n && b->search && !strcmp(s->action, "skip")) {
			search_set_build(b->search, (uint32_t)at, SEARCH_BROKEN);
		}
		if (!strcmp(s->action, "build") && json_is_false(json_object_get(p, "cached")))
			b->builds++;
		json_decref(p);
	}
	store_free(steps.pool);
	return rc;
}

static int find_or_begin(struct bisect *b, bool *resumed, struct error *e)
{
	*resumed = false;
	struct store_rows *r = rows_open(b->o->store, "SELECT id FROM bisect WHERE session_id = :session");
	rows_bind_int(r, ":session", session_id(b->session));
	int rc = rows_next(r, e);
	if (rc > 0) {
		b->id = rows_int(r, 0);
		*resumed = true;
	}
	rows_close(r);
	if (rc < 0 || *resumed)
		return rc < 0 ? rc : 0;
	int64_t ends[2];
	const struct history_commit *c[2] = { b->o->good, b->o->bad };
	for (int i = 0; i < 2; i++) {
		char *id = c[i]->worktree ? x_printf("worktree:%s", c[i]->tree) : x_strdup(c[i]->id);
		struct store_commit row = { .full_id = id, .subject = c[i]->subject, .phase = c[i]->phase, .subject_escaped = c[i]->subject_escaped };
		if (!c[i]->worktree)
			row.author_time_s = STORE_INT(c[i]->author_time_s);
		rc = store_commit_info(b->o->store, &row, &ends[i], e);
		free(id);
		if (rc)
			return rc;
	}
	return store_bisect_begin(b->o->store, session_id(b->session), ends[0], ends[1], b->metric, &b->id, e);
}

static char *request_json(const struct bisect *b)
{
	const struct bisect_options *o = b->o;
	char name[128];
	json_t *params = json_object();
	for (size_t i = 0; i < o->c->n_params; i++)
		json_object_set_new(params, o->c->params[i].name, json_string(o->c->params[i].value));
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:b, s:b, s:o}", "good", o->good->worktree ? o->good->tree : o->good->id, "bad",
			      o->bad->worktree ? o->bad->tree : o->bad->id, "case", bench_case_name(o->c, name, sizeof(name)), "variant",
			      o->variant ? o->variant : o->subject->config->variants[0].name, "metric", b->metric, "confidence", o->confidence,
			      "delta", o->delta, "first_parent", o->first_parent, "all", o->all, "parameters", params);
	if (o->again)
		json_object_set_new(j, "asked", json_integer((json_int_t)clock_mono_ns()));
	char *text = json_dumps(j, JSON_SORT_KEYS | JSON_COMPACT);
	json_decref(j);
	return text;
}

static int open_session(struct bisect *b, struct error *e)
{
	const struct bisect_options *o = b->o;
	char *request = request_json(b);
	struct session_options so = {
		.store = o->store, .verb = "bisect", .request_json = request, .delta = o->delta, .confidence = o->confidence,
		.metric = b->exact ? NULL : b->metric, .workloads = o->workloads, .control = o->control,
		.toolkit_version = o->toolkit_version, .lock_wait_s = o->lock_wait_s,
	};
	if (!o->subject->config->subject.network)
		network_leave();
	int rc = session_open(&so, &b->session, e);
	free(request);
	return rc ? rc : session_add_case(b->session, o->c, &b->index, e);
}

static int need_end(struct bisect *b, size_t i, const char *which, struct error *e)
{
	bool ok;
	int rc = bisect_need_arm(b, i, &ok, e);
	if (rc || ok)
		return rc;
	return error_set(e, -ENODATA, "the %s end %s cannot be measured: %s (%s); choose another, see %s", which,
			 b->range.commits[i].info.short_id, build_outcome_name(b->commits[i].build.outcome), b->commits[i].build.detail,
			 b->commits[i].build.log);
}

/* The ends by exact count, for the search's own metric. *differ: they do, by more than the threshold. */
static int exact_ends(struct bisect *b, bool *differ, struct error *e)
{
	size_t last = b->range.n - 1;
	bool ok[2];
	int rc = bisect_need_exact(b, 0, &ok[0], e);
	if (!rc)
		rc = bisect_need_exact(b, last, &ok[1], e);
	if (rc)
		return rc;
	for (int i = 0; i < 2; i++)
		if (!ok[i])
			return error_set(e, -ENODATA, "%s cannot be counted under callgrind: %s; try --metric ops_per_cpu_s",
					 b->range.commits[i ? last : 0].info.short_id, b->commits[i ? last : 0].exact.why);
	double x = fabs(stats_log_ratio(b->commits[0].exact.per_op, b->commits[last].exact.per_op));
	*differ = x > log1p(b->o->delta >= 0 ? b->o->delta : BISECT_EXACT_DELTA);
	return bisect_step(b, "ends", BISECT_NONE, json_pack("{s:f, s:f, s:b}", "good", b->commits[0].exact.per_op, "bad",
							     b->commits[last].exact.per_op, "differ", *differ), e);
}

static int timed_ends(struct bisect *b, bool *differ, struct error *e)
{
	int rc = bisect_side_by_side(b, 0, b->range.n - 1, ENDS_SHARE, &b->ends, e);
	if (rc)
		return rc;
	b->ends_timed = true;
	*differ = b->ends.a.verdict == STATS_REGRESSION || b->ends.a.verdict == STATS_IMPROVEMENT;
	return bisect_step(b, "ends", BISECT_NONE, json_pack("{s:s, s:f, s:b}", "verdict", stats_verdict_name(b->ends.a.verdict), "ratio",
							     isfinite(b->ends.a.ratio) ? b->ends.a.ratio : 0.0, "differ", *differ), e);
}

/* auto: the exact count where it separates the ends in the same direction as time, else time. */
static int choose_metric(struct bisect *b, struct error *e)
{
	size_t last = b->range.n - 1;
	bool timed, counted, ok[2] = { false, false };
	if (!b->o->c->exact)
		return 0;
	int rc = timed_ends(b, &timed, e);
	if (!rc)
		rc = bisect_need_exact(b, 0, &ok[0], e);
	if (!rc && ok[0])
		rc = bisect_need_exact(b, last, &ok[1], e);
	if (rc || !ok[0] || !ok[1])
		return rc;
	double x = stats_log_ratio(b->commits[0].exact.per_op, b->commits[last].exact.per_op);
	counted = fabs(x) > log1p(BISECT_EXACT_DELTA);
	b->exact = counted && timed && (x > 0) == (b->ends.a.verdict == STATS_REGRESSION) && b->commits[last].exact.exact;
	if (b->exact)
		b->metric = BISECT_EXACT;
	return bisect_step(b, "metric", BISECT_NONE, json_pack("{s:s, s:f}", "metric", b->metric, "exact_log_ratio", x), e);
}

/* By what a case is judged where nobody said. A foreign program may count no operations, and its time is there always. */
static const char *own_metric(const struct bench_case *c)
{
	if (c->figure)
		return session_figure_metric(c);
	if (strstr(c->command[0], "{workloads}"))
		return bench_case_metric(c);
	return c->by_wall ? "wall_ns" : "cpu_ns";
}

/* The ends do not differ, or cannot be told apart: there is nothing to search for. */
static json_t *ends_result(struct bisect *b)
{
	const struct stats_answer *a = &b->ends.a;
	char why[300];
	if (!b->exact && a->verdict == STATS_INVALID)
		return bisect_result(b, "invalid", b->ends.detail);
	if (b->exact || a->verdict == STATS_NO_CHANGE)
		return bisect_result(b, "no difference", "good and bad do not differ in this configuration: a search would name a random commit");
	snprintf(why, sizeof(why), "good and bad could not be told apart in the time given%s", a->more_rounds ? "" : ", and more rounds would hardly help");
	if (a->more_rounds)
		snprintf(why + strlen(why), sizeof(why) - strlen(why), ": about %zu more rounds would likely decide (--max-time)", a->more_rounds);
	return bisect_result(b, "cannot tell", why);
}

static int ask(struct bisect *b, json_t **result, struct error *e)
{
	bool differ = false, resumed, again = true;
	int rc = find_or_begin(b, &resumed, e);
	if (!rc && resumed)
		rc = replay(b, e); /* counts decisions; the search is not open yet */
	if (!rc)
		rc = need_end(b, 0, "good", e);
	if (!rc)
		rc = need_end(b, b->range.n - 1, "bad", e);
	if (!rc && b->o->metric && !strcmp(b->o->metric, "auto"))
		rc = choose_metric(b, e);
	if (!rc && b->exact)
		rc = exact_ends(b, &differ, e);
	else if (!rc && b->ends_timed)
		differ = b->ends.a.verdict == STATS_REGRESSION || b->ends.a.verdict == STATS_IMPROVEMENT;
	else if (!rc)
		rc = timed_ends(b, &differ, e);
	if (rc)
		return rc;
	if (!differ && !b->o->all) {
		*result = ends_result(b);
		return 0;
	}
	rc = open_search(b, e);
	if (!rc)
		rc = look_at_cache(b, e);
	if (rc)
		return rc;
	search_set_build(b->search, 0, SEARCH_BUILT);
	search_set_build(b->search, (uint32_t)b->range.n - 1, SEARCH_BUILT);
	if (b->exact) {
		observe(b, 0, 0);
		observe(b, b->range.n - 1, stats_log_ratio(b->commits[0].exact.per_op, b->commits[b->range.n - 1].exact.per_op));
	} else {
		struct verdict_question q = { .session_id = session_id(b->session), .case_id = session_case_id(b->session, b->index),
					      .arm_a = session_arm_id(b->session, b->commits[0].arm),
					      .arm_b = session_arm_id(b->session, b->commits[b->range.n - 1].arm), .metric = b->metric };
		double *x;
		size_t n;
		rc = verdict_ratios(b->o->store, &q, &x, &n, e);
		for (size_t i = 0; !rc && i < n; i++)
			observe(b, b->range.n - 1, x[i]);
		free(x);
	}
	if (!rc && resumed) {
		b->builds = b->measurements = 0;
		rc = replay(b, e);
	}
	for (int turn = 0; !rc && again && turn < 4; turn++) {
		rc = search_on(b, e);
		if (!rc)
			rc = bisect_prove(b, &again, e);
	}
	if (!rc)
		*result = bisect_result(b, NULL, NULL);
	return rc;
}

static void release(struct bisect *b)
{
	search_close(b->search);
	for (size_t i = 0; b->commits && i < b->range.n; i++)
		build_release(&b->commits[i].build);
	free(b->commits), free(b->proofs);
	range_release(&b->range);
	json_decref(b->warnings);
}

int bisect_run(const struct bisect_options *o, json_t **result, struct error *e)
{
	struct bisect b = { .o = o, .began_ns = clock_mono_ns(), .warnings = json_array(), .good_again = BISECT_NONE };
	*result = NULL;
	b.limit_ns = (uint64_t)((o->max_time_s > 0 ? o->max_time_s : DEFAULT_TIME_S) * 1e9);
	b.exact = o->metric && !strcmp(o->metric, BISECT_EXACT);
	b.metric = b.exact ? BISECT_EXACT : !o->metric || !strcmp(o->metric, "auto") ? own_metric(o->c) : o->metric;
	size_t n_paths;
	const char *const *paths = subject_paths(o->subject, &n_paths);
	int rc = range_between(o->subject->history, o->good, o->bad, o->first_parent, paths, n_paths, &b.range, e);
	if (!rc && b.range.n < 2)
		rc = error_set(e, -EINVAL, "good and bad are one commit, %s: there is nothing between them", o->good->short_id);
	if (!rc) {
		b.commits = x_calloc(b.range.n, sizeof(*b.commits));
		for (size_t i = 0; i < b.range.n; i++)
			b.commits[i].arm = BISECT_NONE;
		rc = open_session(&b, e);
	}
	if (!rc)
		rc = ask(&b, result, e);
	if (b.session) {
		const char *state = !rc ? "done" : rc == -EINTR ? "interrupted" : "failed";
		char *text = *result ? json_dumps(*result, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
		int kept = b.id ? store_bisect_state(o->store, b.id, state, text, rc ? NULL : e) : 0;
		free(text);
		rc = rc ? rc : kept;
		kept = session_close(b.session, state, rc && e ? e->text : NULL, rc ? NULL : e);
		rc = rc ? rc : kept;
	}
	release(&b);
	if (rc) {
		json_decref(*result);
		*result = NULL;
	}
	return rc;
}
