/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/bisect_private.h"

#include "base/clock.h"
#include "harness/metric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *text(const char *s)
{
	json_t *j = s ? json_string(s) : json_null();
	return j ? j : json_string("(bytes that are not UTF-8)");
}

static json_t *real(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

json_t *bisect_commit_json(const struct bisect *b, size_t i)
{
	const struct history_commit *c = &b->range.commits[i].info;
	return json_pack("{s:o, s:o, s:o, s:o, s:I}", "commit", text(c->id), "short",
			 text(c->short_id), "subject", text(c->subject), "phase", text(c->phase),
			 "author_time_s", (json_int_t)c->author_time_s);
}

static const char *unit_of(const char *metric)
{
	if (!strcmp(metric, BISECT_EXACT))
		return "instructions/op";
	const struct metric *m = metric_find(metric);
	return m ? m->unit : "";
}

/* The answer of rounds side by side, as a figure of the contract. */
static json_t *time_json(const struct verdict_answer *a, const char *metric)
{
	return json_pack(
		"{s:o, s:o, s:s, s:s, s:s, s:I, s:o, s:o, s:s, s:o, s:o, s:s, s:o, s:I, s:o}",
		"value", real(a->a.ratio), "before", real(a->before), "unit", "ratio", "metric",
		metric, "source", "interleaved rounds", "rounds", (json_int_t)a->a.log.n, "lo",
		real(a->a.lo), "hi", real(a->a.hi), "verdict", stats_verdict_name(a->a.verdict),
		"after", real(a->after), "metric_unit", text(unit_of(metric)), "scope",
		a->redrawn ? "source" : "binary", "detail", text(a->detail), "more_rounds",
		(json_int_t)a->a.more_rounds, "aa_sd", real(a->aa.sd));
}

static json_t *exact_json(const struct bisect *b, size_t at, double before, double after)
{
	const char *verdict = before == after  ? "no change"
			      : after > before ? "regression"
					       : "improvement";
	return json_pack("{s:o, s:o, s:o, s:s, s:s, s:s, s:s, s:o, s:o, s:s}", "value",
			 real(after / before), "before", real(before), "after", real(after), "per",
			 b->commits[at].exact.whole_process ? "run" : "operation", "unit", "ratio",
			 "metric", BISECT_EXACT, "source", "callgrind", "lo", real(after / before),
			 "hi", real(after / before), "verdict", verdict);
}

static json_t *proofs_json(const struct bisect *b, size_t c, const struct bisect_proof **main_proof)
{
	json_t *list = json_array();
	const char *timed_metric =
		b->exact ? session_metric(b->session, b->index) : bisect_time_metric(b->o->c);
	bool own = !b->exact && strcmp(timed_metric, b->metric) != 0;
	for (size_t i = 0; i < b->n_proofs; i++) {
		const struct bisect_proof *p = &b->proofs[i];
		if (p->commit != c)
			continue;
		if (!*main_proof)
			*main_proof = p;
		json_t *j = json_pack(
			"{s:o, s:o, s:o}", "parent", bisect_commit_json(b, p->parent),
			"instructions",
			p->counted ? exact_json(b, c, p->exact_before, p->exact_after) : json_null(),
			"time", p->timed ? time_json(&p->time, timed_metric) : json_null());
		if (own && p->timed)
			json_object_set_new(j, "metric", time_json(&p->own, b->metric));
		json_array_append_new(list, j);
	}
	return list;
}

static bool higher_is_better(const char *metric)
{
	const struct metric *m = metric_find(metric);
	return m && m->better == METRIC_HIGHER;
}

/* The culprit may be inside what a merge brings in from outside of the range: only an offer. */
static json_t *branches_json(const struct bisect *b, size_t i)
{
	struct range_branch *list;
	size_t n;
	json_t *j = json_array();
	if (range_branches(b->o->subject->history, &b->range, i, &list, &n, NULL))
		return j;
	for (size_t k = 0; k < n; k++)
		json_array_append_new(j, json_pack("{s:s, s:s, s:I}", "fork", list[k].fork, "tip",
						   list[k].tip, "commits",
						   (json_int_t)list[k].commits));
	free(list);
	return j;
}

static json_t *step_json(const struct bisect *b, const struct search_step *s)
{
	const struct bisect_proof *p = NULL;
	json_t *j = bisect_commit_json(b, s->commit), *set = json_array(),
	       *proofs = proofs_json(b, s->commit, &p);
	double ratio = exp(s->size), lo = exp(s->lo), hi = exp(s->hi), before = NAN, after = NAN;
	if (b->exact && p && p->counted) {
		before = p->exact_before, after = p->exact_after;
		ratio = lo = hi = after / before;
	} else if (!b->exact && p && p->timed && isfinite(p->own.a.ratio)) {
		before = p->own.before, after = p->own.after;
		ratio = p->own.a.ratio, lo = p->own.a.lo, hi = p->own.a.hi;
	}
	bool worse = higher_is_better(b->metric) ? ratio < 1 : ratio > 1;
	for (size_t i = 0; i < s->n_set; i++) {
		json_t *c = bisect_commit_json(b, s->set[i]);
		json_object_set_new(c, "probability", real(s->probability[i]));
		json_object_set_new(c, "branches", branches_json(b, s->set[i]));
		json_array_append_new(set, c);
	}
	json_object_set_new(j, "metric", json_string(b->metric));
	json_object_set_new(j, "unit", json_string(unit_of(b->metric)));
	json_object_set_new(j, "before", real(before));
	json_object_set_new(j, "after", real(after));
	json_object_set_new(j, "ratio", real(ratio));
	json_object_set_new(j, "lo", real(lo));
	json_object_set_new(j, "hi", real(hi));
	json_object_set_new(j, "direction", json_string(worse ? "regression" : "improvement"));
	json_object_set_new(j, "posterior", real(s->posterior));
	json_object_set_new(j, "named", json_boolean(s->named));
	bool proved = p != NULL;
	for (size_t i = 0; i < b->n_proofs; i++)
		if (b->proofs[i].commit == s->commit)
			proved &= bisect_proof_confirms(b, &b->proofs[i]);
	json_object_set_new(j, "proved", json_boolean(proved));
	json_object_set_new(j, "branches", branches_json(b, s->commit));
	json_object_set_new(j, "set", set);
	json_object_set_new(j, "proofs", proofs);
	return j;
}

/* Every step is named, and only whether the rest of the range is level was left open. */
static bool steps_settled(const struct search_result *r)
{
	for (size_t i = 0; i < r->n_steps; i++)
		if (!r->steps[i].named)
			return false;
	return r->n_steps > 0;
}

static const char *outcome_of(const struct search_result *r, bool out_of_time, size_t left)
{
	if (r->outcome == SEARCH_CULPRIT || (r->outcome == SEARCH_CANNOT_TELL && steps_settled(r)))
		return left > 1 ? "culprits" : left ? "culprit" : "no difference";
	if (r->outcome == SEARCH_SET)
		return "set";
	if (r->outcome == SEARCH_NO_STEP && !out_of_time)
		return "no difference";
	return "cannot tell";
}

static int larger_first(const void *x, const void *y)
{
	double a = fabs(log(json_number_value(json_object_get(*(json_t *const *)x, "ratio"))));
	double b = fabs(log(json_number_value(json_object_get(*(json_t *const *)y, "ratio"))));
	return a < b ? 1 : a > b ? -1 : 0;
}

/* How far apart two steps are from cancelling, as a share of the good end's value: in counts where
 * both were counted beside a parent. */
static double left_of(const struct bisect *b, const struct search_step *x,
		      const struct search_step *y)
{
	const struct bisect_proof *p = NULL, *q = NULL;
	for (size_t i = 0; b->exact && i < b->n_proofs; i++) {
		if (b->proofs[i].commit == x->commit && b->proofs[i].counted)
			p = &b->proofs[i];
		if (b->proofs[i].commit == y->commit && b->proofs[i].counted)
			q = &b->proofs[i];
	}
	double left = fabs(x->size + y->size);
	if (p && q)
		left = fmin(left, fabs(p->exact_after - p->exact_before + q->exact_after -
				       q->exact_before) /
					  b->commits[0].exact.per_op);
	return left;
}

/*
 * Two steps that cancel, such as a commit and its revert, are in the range and not in its
 * difference: only the staircase names them. By time they cancel where their sum is within delta,
 * and within what is known of it.
 */
static void find_cancelled(const struct bisect *b, const struct search_result *r, bool *cancelled)
{
	double delta = log1p(b->o->delta >= 0 ? b->o->delta
			     : b->exact	      ? BISECT_EXACT_DELTA
					      : STATS_DELTA);
	for (size_t i = 0; !b->o->all && i < r->n_steps; i++)
		for (size_t j = i + 1; !cancelled[i] && j < r->n_steps; j++) {
			const struct search_step *x = &r->steps[i], *y = &r->steps[j];
			if (cancelled[j] || (x->size > 0) == (y->size > 0) ||
			    left_of(b, x, y) > delta)
				continue;
			cancelled[i] = cancelled[j] =
				b->exact || (x->hi - x->lo + y->hi - y->lo) / 2 < fabs(x->size);
		}
}

/* The larger first. which: those that cancel, or the others. */
static json_t *steps_json(const struct bisect *b, const struct search_result *r,
			  const bool *cancelled, bool which)
{
	json_t **items = calloc(r->n_steps ? r->n_steps : 1, sizeof(*items)), *list = json_array();
	size_t n = 0;
	for (size_t i = 0; i < r->n_steps; i++)
		if (cancelled[i] == which)
			items[n++] = step_json(b, &r->steps[i]);
	qsort(items, n, sizeof(*items), larger_first);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, items[i]);
	free(items);
	return list;
}

static json_t *broken_json(const struct bisect *b)
{
	json_t *list = json_array();
	for (size_t i = 0; i < b->range.n; i++) {
		const struct bisect_commit *c = &b->commits[i];
		bool unbuilt = c->tried && c->build.outcome != BUILD_OK;
		if (!unbuilt && !c->unfit[0])
			continue;
		const char *outcome = unbuilt ? build_outcome_name(c->build.outcome) : c->unfit;
		const char *detail = unbuilt	    ? c->build.detail
				     : c->exact.why[0] ? c->exact.why
						       : "";
		json_t *j = bisect_commit_json(b, i);
		json_object_set_new(j, "outcome", text(outcome));
		json_object_set_new(j, "detail", text(detail));
		json_array_append_new(list, j);
	}
	return list;
}

/* Every commit that was measured, in order, with what it showed against the good end. */
static json_t *measured_json(const struct bisect *b)
{
	json_t *list = json_array();
	for (size_t i = 0; i < b->range.n; i++)
		if (b->commits[i].exact.counted) {
			json_t *j = bisect_commit_json(b, i);
			json_object_set_new(j, "position", json_integer((json_int_t)i));
			json_object_set_new(j, "value", real(b->commits[i].exact.per_op));
			json_object_set_new(j, "per_malloc", real(b->commits[i].exact.per_malloc));
			json_object_set_new(j, "per_free", real(b->commits[i].exact.per_free));
			json_array_append_new(list, j);
		}
	return list;
}

json_t *bisect_result(struct bisect *b, const char *outcome, const char *why)
{
	char name[128];
	struct search_result r = { 0 };
	if (b->search)
		search_get_result(b->search, &r);
	bool *cancelled = calloc(r.n_steps ? r.n_steps : 1, sizeof(*cancelled));
	size_t left = r.n_steps;
	find_cancelled(b, &r, cancelled);
	for (size_t i = 0; i < r.n_steps; i++)
		left -= cancelled[i];
	char narrow[200];
	if (!outcome) {
		/* The search gets most of the time, not all. */
		bool late = !b->exact && search_next(b->search).kind == SEARCH_MEASURE;
		outcome = outcome_of(&r, late, left);
		why = late ? "the time was up: --max-time gives it more" : r.why;
		if (!*why && !strcmp(outcome, "no difference"))
			why = "no commit of the range moves it by more than delta";
		if (late && steps_settled(&r) && isfinite(r.hidden)) {
			snprintf(
				narrow, sizeof(narrow),
				"a further step of up to %.1f %% may hide: --max-time gives more time to look%s",
				100 * expm1(r.hidden), b->o->all ? "" : ", --all looks everywhere");
			why = narrow;
		}
	}
	size_t changing = 0, last = b->range.n - 1;
	for (size_t i = 1; i < b->range.n; i++)
		changing += b->range.commits[i].changes_subject;
	json_t *ends = json_object();
	if (b->commits[0].exact.counted && b->commits[last].exact.counted)
		json_object_set_new(
			ends, "instructions",
			exact_json(b, 0, b->commits[0].exact.per_op, b->commits[last].exact.per_op));
	if (b->ends_timed)
		json_object_set_new(ends, "time", time_json(&b->ends, b->ends_metric));
	json_t *j = json_object();
	json_object_set_new(j, "outcome", json_string(outcome));
	json_object_set_new(j, "why", text(why));
	json_object_set_new(j, "metric", json_string(b->metric));
	json_object_set_new(j, "unit", json_string(unit_of(b->metric)));
	json_object_set_new(j, "case", json_string(bench_case_name(b->o->c, name, sizeof(name))));
	json_object_set_new(
		j, "variant",
		text(b->o->variant ? b->o->variant : b->o->subject->config->variants[0].name));
	json_object_set_new(j, "good", bisect_commit_json(b, 0));
	json_object_set_new(j, "bad", bisect_commit_json(b, last));
	json_object_set_new(j, "commits", json_integer((json_int_t)last));
	json_object_set_new(j, "commits_changing_subject", json_integer((json_int_t)changing));
	json_object_set_new(j, "ends", ends);
	json_object_set_new(j, "culprits",
			    b->search ? steps_json(b, &r, cancelled, false) : json_array());
	json_object_set_new(j, "cancelled",
			    b->search ? steps_json(b, &r, cancelled, true) : json_array());
	free(cancelled);
	json_object_set_new(j, "broken", broken_json(b));
	json_object_set_new(j, "measured", measured_json(b));
	json_object_set_new(j, "builds", json_integer((json_int_t)b->builds));
	json_object_set_new(j, "measurements", json_integer((json_int_t)b->measurements));
	json_object_set_new(j, "wall_s", real((double)(clock_mono_ns() - b->began_ns) * 1e-9));
	if (b->search && !b->exact)
		json_object_set_new(j, "smallest_seen", real(expm1(r.smallest)));
	else if (b->ends_timed && b->ends.a.log.n)
		json_object_set_new(
			j, "smallest_seen",
			real(expm1(stats_smallest_effect(b->ends.aa.sd, b->ends.a.log.n,
							 STATS_CONFIDENCE, STATS_POWER))));
	/* Outside the steps that were found; between ends that agree, where nobody looked inside,
	 * nothing is known. */
	if (b->search)
		json_object_set_new(
			j, "rest",
			json_string(r.outcome == SEARCH_CULPRIT || r.outcome == SEARCH_NO_STEP
					    ? "no change"
					    : "unclear"));
	if (b->search && !b->exact && isfinite(r.hidden))
		json_object_set_new(j, "hidden", real(expm1(r.hidden)));
	if (!b->ends_same && (!strcmp(outcome, "no difference") || !strcmp(outcome, "cannot tell"))) {
		json_t *elsewhere = NULL;
		/* Only an offer: the answer stands without it. */
		if (!bisect_elsewhere(b, &elsewhere, NULL))
			json_object_set_new(j, "elsewhere", elsewhere);
		else
			json_decref(elsewhere);
	}
	json_object_set_new(j, "session", json_integer(session_id(b->session)));
	json_object_set_new(j, "bisect", json_integer(b->id));
	search_result_release(&r);
	return j;
}
