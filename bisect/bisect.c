/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/bisect.h"

#include "base/buf.h"
#include "base/clock.h"
#include "bisect/bisect_private.h"
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
/* Of the time: until the search ends, and for asking whether what is left of the range is level. */
#define SEARCH_SHARE 0.8
#define LEVEL_SHARE 0.15

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

double bisect_used(const struct bisect *b)
{
	return (double)(clock_mono_ns() - b->began_ns - b->building_ns) / (double)b->limit_ns;
}

bool bisect_out_of_time(const struct bisect *b)
{
	return bisect_used(b) > 1;
}

int bisect_step(struct bisect *b, const char *action, size_t commit, json_t *payload,
		struct error *e)
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

static int find_or_begin(struct bisect *b, bool *resumed, struct error *e)
{
	*resumed = false;
	struct store_rows *r =
		rows_open(b->o->store, "SELECT id FROM bisect WHERE session_id = :session");
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
		char *id =
			c[i]->worktree ? x_printf("worktree:%s", c[i]->tree) : x_strdup(c[i]->id);
		struct store_commit row = { .full_id = id,
					    .subject = c[i]->subject,
					    .phase = c[i]->phase,
					    .subject_escaped = c[i]->subject_escaped };
		if (!c[i]->worktree)
			row.author_time_s = STORE_INT(c[i]->author_time_s);
		rc = store_commit_info(b->o->store, &row, &ends[i], e);
		free(id);
		if (rc)
			return rc;
	}
	return store_bisect_begin(b->o->store, session_id(b->session), ends[0], ends[1], b->metric,
				  &b->id, e);
}

static char *request_json(const struct bisect *b)
{
	const struct bisect_options *o = b->o;
	char name[128];
	json_t *params = json_object();
	for (size_t i = 0; i < o->c->n_params; i++)
		json_object_set_new(params, o->c->params[i].name,
				    json_string(o->c->params[i].value));
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:b, s:b, s:b, s:b, s:o}",
			      "good", o->good->worktree ? o->good->tree : o->good->id, "bad",
			      o->bad->worktree ? o->bad->tree : o->bad->id, "case",
			      bench_case_name(o->c, name, sizeof(name)), "variant",
			      o->variant ? o->variant : o->subject->config->variants[0].name,
			      "metric", b->metric, "confidence", o->confidence, "delta", o->delta,
			      "first_parent", o->first_parent, "all", o->all, "auto",
			      bisect_chooses(b), "improvement", o->improvement, "parameters", params);
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
		.store = o->store,
		.verb = "bisect",
		.request_json = request,
		.delta = o->delta,
		.confidence = o->confidence,
		.metric = b->exact ? NULL : b->metric,
		.workloads = o->workloads,
		.control = o->control,
		.toolkit_version = o->toolkit_version,
		.lock_wait_s = o->lock_wait_s,
		.events = o->events,
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
	return error_set(e, -ENODATA,
			 "the %s end %s cannot be measured: %s (%s); choose another, see %s", which,
			 b->range.commits[i].info.short_id,
			 build_outcome_name(b->commits[i].build.outcome),
			 b->commits[i].build.detail, b->commits[i].build.log);
}

/* The ends do not differ, or cannot be told apart: there is nothing to search for. */
static json_t *ends_result(struct bisect *b)
{
	const struct stats_answer *a = &b->ends.a;
	char why[400];
	if (b->ends_same)
		return bisect_result(b, "no difference",
				     "good and bad load the same bytes: nothing that runs changed between them");
	if (!b->exact && a->verdict == STATS_INVALID)
		return bisect_result(b, "invalid", b->ends.detail);
	if (b->exact || a->verdict == STATS_NO_CHANGE)
		return bisect_result(
			b, "no difference",
			"good and bad do not differ in this configuration: a search would name a random commit");
	snprintf(why, sizeof(why), "good and bad could not be told apart in the time given%s",
		 a->more_rounds ? "" : ", and more rounds would hardly help");
	if (a->more_rounds)
		snprintf(why + strlen(why), sizeof(why) - strlen(why),
			 ": about %zu more rounds would likely decide (--max-time)",
			 a->more_rounds);
	return bisect_result(b, "cannot tell", why);
}

/* Measure the ends. *differ: they do; *better: bad is the better one. */
static int ends(struct bisect *b, bool *differ, bool *better, struct error *e)
{
	int rc = need_end(b, 0, "good", e);
	if (!rc)
		rc = need_end(b, b->range.n - 1, "bad", e);
	b->ends_same = !rc && !b->o->all && bisect_same_code(&b->commits[0].build, &b->commits[b->range.n - 1].build);
	if (b->ends_same)
		return bisect_step(b, "ends", BISECT_NONE,
				   json_pack("{s:s, s:f, s:b}", "verdict", "no change", "ratio", 1.0,
					     "differ", false),
				   e);
	if (!rc)
		rc = b->exact ? bisect_exact_ends(b, differ, e) : bisect_timed_ends(b, differ, e);
	if (!rc && bisect_chooses(b))
		rc = bisect_choose_metric(b, *differ, e);
	if (!rc && b->exact)
		*better = b->commits[b->range.n - 1].exact.per_op < b->commits[0].exact.per_op;
	else if (!rc)
		*better = b->ends.a.verdict == STATS_IMPROVEMENT;
	return rc;
}

/* Take the search of an unfinished bisect up where it was. *open: there is one. */
static int resume(struct bisect *b, bool *open, struct error *e)
{
	struct store_step_rows steps = { 0 };
	int rc = store_steps(b->o->store, b->id, &steps, e);
	*open = false;
	for (size_t i = 0; !rc && i < steps.n; i++) {
		const struct store_step_row *s = &steps.items[i];
		json_t *p = json_loads(s->payload_json, 0, NULL);
		size_t at = bisect_step_commit(&b->range, s->commit);
		b->seq = s->seq + 1;
		if (!strcmp(s->action, "open")) {
			search_close(b->search);
			rc = bisect_search_open(&b->range, p, &b->search, e);
			*open = true;
			/* What the ends show by now must not change what the search counts. */
			if (!b->chosen)
				b->chosen = json_is_true(json_object_get(json_object_get(p, "options"),
									 "exact"))
						    ? BISECT_EXACT
						    : b->metric;
		} else if (b->search) {
			bisect_feed(b->search, &b->range, s->action, at, p);
		}
		const char *outcome = json_string_value(json_object_get(p, "outcome"));
		if (at < b->range.n && !strcmp(s->action, "skip") && outcome)
			snprintf(b->commits[at].unfit, sizeof(b->commits[at].unfit), "%s", outcome);
		if (!strcmp(s->action, "build") && json_is_false(json_object_get(p, "cached")))
			b->builds++;
		if (!strcmp(s->action, "measure"))
			b->measurements += b->exact ? 1 : 2;
		size_t other = bisect_step_other(&b->range, p);
		if (!strcmp(s->action, "beside") && at < b->range.n && other < b->range.n) {
			size_t n = json_array_size(json_object_get(p, "log_ratios"));
			bool asked = json_is_true(json_object_get(p, "asked"));
			struct bisect_pair pair = { .before = other, .after = at, .proof = !asked };
			b->measurements += asked ? 2 * n : 0;
			*bisect_told(b, &pair) += n;
		}
		if (!strcmp(s->action, "refute") && at < b->range.n)
			b->commits[at].refuted = true;
		if (!strcmp(s->action, "metric"))
			b->chosen = bisect_metric_name(
				b, json_string_value(json_object_get(p, "metric")));
		json_decref(p);
	}
	store_free(steps.pool);
	return rc;
}

static int open_search(struct bisect *b, struct error *e)
{
	json_t *open = NULL;
	int rc = bisect_known(b, &open, e);
	if (!rc)
		rc = bisect_search_open(&b->range, open, &b->search, e);
	if (rc)
		json_decref(open);
	return rc ? rc : bisect_step(b, "open", BISECT_NONE, open, e);
}

static bool any_named(struct bisect *b)
{
	struct search_result r;
	search_get_result(b->search, &r);
	bool named = false;
	for (size_t i = 0; i < r.n_steps; i++)
		named |= r.steps[i].named;
	search_result_release(&r);
	return named;
}

static void say_searched(struct bisect *b, const struct search_action *a)
{
	const char *id = b->range.commits[a->commit].info.short_id;
	double left = a->expected_cost - a->cost;
	/* Counts, and rounds of neighbours, speak for themselves. */
	if (b->exact || a->beside != SEARCH_NONE)
		return;
	if (a->level)
		bisect_say(b, -1, "searching: %s measured, is the rest level?", id);
	else if (left >= 1)
		bisect_say(b, -1, "searching: %s measured, about %.0f measurements to go", id, left);
	else
		bisect_say(b, -1, "searching: %s measured", id);
}

/*
 * Counts are short and always finished; rounds could go on for ever. What is left of the time
 * belongs to the proof, and, unless the whole staircase was asked for, whether the rest of the
 * range is level gets a share of its own, and at most as much as all before it took.
 */
static int search_on(struct bisect *b, struct error *e)
{
	double level = 0;
	for (;;) {
		struct search_action a = search_next(b->search);
		double used = bisect_used(b);
		if (a.kind == SEARCH_DONE || (!b->exact && used > SEARCH_SHARE))
			return 0;
		double until = SEARCH_SHARE;
		if (!b->exact && !b->o->all && a.level && any_named(b)) {
			if (level > LEVEL_SHARE || level > used - level)
				return 0;
			until = fmin(until, used + LEVEL_SHARE - level);
		}
		int rc = bisect_measure(b, &a, until, e);
		if (rc)
			return rc;
		level += a.level ? bisect_used(b) - used : 0;
		say_searched(b, &a);
	}
}

static int ask(struct bisect *b, json_t **result, struct error *e)
{
	bool differ = false, better = false, resumed, open = false, again = true;
	int rc = find_or_begin(b, &resumed, e);
	if (!rc && resumed)
		rc = resume(b, &open, e);
	if (!rc)
		rc = ends(b, &differ, &better, e);
	if (rc)
		return rc;
	bool invalid = b->ends_timed && !b->exact && b->ends.a.verdict == STATS_INVALID;
	if (invalid || (!differ && !b->o->all)) {
		*result = ends_result(b);
		return 0;
	}
	if (better && !b->o->improvement && !b->o->all) {
		*result = bisect_result(
			b, "improvement",
			"bad is better than good: --improvement searches for what made it so, and if "
			"that is not what was meant, good and bad are mixed up");
		return 0;
	}
	if (!open)
		rc = open_search(b, e);
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
	free(b->commits), free(b->proofs), free(b->told);
	range_release(&b->range);
	json_decref(b->warnings);
}

int bisect_run(const struct bisect_options *o, json_t **result, struct error *e)
{
	struct bisect b = { .o = o,
			    .began_ns = clock_mono_ns(),
			    .warnings = json_array(),
			    .good_again = BISECT_NONE };
	*result = NULL;
	b.limit_ns = (uint64_t)((o->max_time_s > 0 ? o->max_time_s : DEFAULT_TIME_S) * 1e9);
	b.exact = o->metric && !strcmp(o->metric, BISECT_EXACT);
	bool timed = !o->metric || !strcmp(o->metric, "auto") || !strcmp(o->metric, "time");
	b.metric = b.exact ? BISECT_EXACT : timed ? bisect_time_metric(o->c) : o->metric;
	size_t n_paths;
	const char *const *paths = subject_paths(o->subject, &n_paths);
	int rc = range_between(o->subject->history, o->good, o->bad, o->first_parent, paths,
			       n_paths, &b.range, e);
	if (!rc && b.range.n < 2)
		rc = error_set(e, -EINVAL,
			       "good and bad are one commit, %s: there is nothing between them",
			       o->good->short_id);
	if (!rc) {
		b.commits = x_calloc(b.range.n, sizeof(*b.commits));
		for (size_t i = 0; i < b.range.n; i++)
			b.commits[i].arm = b.commits[i].proof_arm = BISECT_NONE;
		rc = open_session(&b, e);
	}
	if (!rc)
		rc = ask(&b, result, e);
	if (b.session) {
		const char *state = session_state(rc);
		char *text = *result ? json_dumps(*result, JSON_SORT_KEYS | JSON_COMPACT |
								   JSON_REAL_PRECISION(12))
				     : NULL;
		int kept =
			b.id ? store_bisect_state(o->store, b.id, state, text, rc ? NULL : e) : 0;
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
