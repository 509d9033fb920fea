/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/bisect_private.h"

#include "base/buf.h"
#include "base/clock.h"
#include "harness/metric.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One commit of the range at a time: built, made an arm, counted, run beside another; the search
 * and the record are told. */

static void tell(struct bisect *b, const char *action, size_t i, const json_t *payload)
{
	if (b->search)
		bisect_feed(b->search, &b->range, action, i, payload);
}

/* Tell the search and the record the same: that is what makes a resumed search stand where this one
 * did. */
static int told(struct bisect *b, const char *action, size_t i, json_t *payload, bool posterior,
		struct error *e)
{
	tell(b, action, i, payload);
	if (posterior) {
		double *p = x_calloc(b->range.n, sizeof(*p));
		json_t *list = json_array();
		search_posterior(b->search, p);
		/* The commits that hold at least a hundredth of it. */
		for (size_t k = 0; k < b->range.n; k++)
			if (p[k] >= 0.01)
				json_array_append_new(
					list,
					json_pack("[s, f]", b->range.commits[k].info.id, p[k]));
		json_object_set_new(payload, "posterior", list);
		free(p);
	}
	return bisect_step(b, action, i, payload, e);
}

static int record_commit(struct bisect *b, size_t i, struct error *e)
{
	struct bisect_commit *c = &b->commits[i];
	struct store_opt id;
	int rc = subject_record(b->o->subject, b->o->store, &b->range.commits[i].info, &c->build,
				&id, &c->build_id, e);
	c->commit_id = id.v;
	return rc;
}

bool bisect_same_code(const struct build *x, const struct build *y)
{
	return x->outcome == BUILD_OK && y->outcome == BUILD_OK && x->loaded_hash[0] &&
	       !strcmp(x->loaded_hash, y->loaded_hash);
}

/* Commit i loads the very code of all its parents: no step is there. Known once all of them are
 * built. */
static int tell_if_same(struct bisect *b, size_t i, struct error *e)
{
	const struct range_commit *r = &b->range.commits[i];
	struct bisect_commit *c = &b->commits[i];
	if (!b->search || c->same || !r->n_parents || r->n_outside || !r->changes_subject)
		return 0;
	for (size_t k = 0; k < r->n_parents; k++)
		if (!b->commits[r->parents[k]].tried ||
		    !bisect_same_code(&c->build, &b->commits[r->parents[k]].build))
			return 0;
	c->same = true;
	return told(b, "same", i, json_object(), false, e);
}

static int built(struct bisect *b, size_t i, struct error *e)
{
	struct bisect_commit *c = &b->commits[i];
	int rc = record_commit(b, i, e);
	if (!rc)
		rc = told(b, c->build.outcome == BUILD_OK ? "build" : "skip", i,
			  json_pack("{s:s, s:b, s:f, s:s}", "outcome",
				    build_outcome_name(c->build.outcome), "cached", c->build.cached,
				    "seconds", (double)c->build.wall_ns * 1e-9, "detail",
				    c->build.detail ? c->build.detail : ""),
			  false, e);
	b->builds += !c->build.cached;
	if (!rc)
		rc = tell_if_same(b, i, e);
	for (size_t k = i + 1; !rc && k < b->range.n; k++)
		for (size_t p = 0; !rc && p < b->range.commits[k].n_parents; p++)
			if (b->range.commits[k].parents[p] == i && b->commits[k].tried)
				rc = tell_if_same(b, k, e);
	return rc;
}

int bisect_need_arm(struct bisect *b, size_t i, bool *ok, struct error *e)
{
	struct bisect_commit *c = &b->commits[i];
	const struct history_commit *info = &b->range.commits[i].info;
	int rc = 0;
	if (!c->tried) {
		bisect_say(b, -1, "building %s  %s", info->short_id, info->subject);
		uint64_t began = clock_mono_ns();
		rc = subject_build(b->o->subject, info, b->o->variant, BUILD_PIN, &c->build, e);
		b->building_ns += clock_mono_ns() - began;
		if (rc)
			return rc;
		c->tried = true;
		rc = built(b, i, e);
	}
	*ok = c->build.outcome == BUILD_OK;
	if (rc || !*ok || c->arm != BISECT_NONE)
		return rc;
	struct session_arm arm = subject_arm(b->o->subject, &c->build, info->short_id,
					     STORE_INT(c->commit_id), c->build_id);
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
	rc = session_exact(b->session, &q, 1, b->o->subject->jobs, b->o->again, NULL, NULL,
			   &c->exact, e);
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
	struct session_arm arm =
		subject_arm(b->o->subject, &b->commits[0].build, "good end again",
			    STORE_INT(b->commits[0].commit_id), b->commits[0].build_id);
	return session_add_arm(b->session, &arm, &b->good_again, e);
}

struct verdict_question bisect_question(const struct bisect *b, size_t before, size_t after,
					const char *metric)
{
	size_t arm = before == after ? b->good_again : b->commits[after].arm;
	return (struct verdict_question){ .session_id = session_id(b->session),
					  .case_id = session_case_id(b->session, b->index),
					  .arm_a = session_arm_id(b->session,
								  b->commits[before].arm),
					  .arm_b = session_arm_id(b->session, arm),
					  .metric = metric,
					  .delta = b->o->delta,
					  .no_control = !b->o->control };
}

/* By another metric than the session's own: the newest ratio of the record, NAN where that round
 * has none. */
static int ratio_of_round(struct bisect *b, size_t before, size_t after, size_t had, double *x,
			  struct error *e)
{
	struct verdict_question q = bisect_question(b, before, after, b->metric);
	double *all = NULL;
	size_t n = 0;
	int rc = verdict_ratios(b->o->store, &q, &all, &n, e);
	*x = !rc && n > had ? all[n - 1] : NAN;
	free(all);
	return rc;
}

/*
 * A search makes rounds by the hundred: once the controls of the first 64 have shown what the
 * session sees, every sixteenth round carries them, where a control that is slower than the subject
 * would take more time than the search.
 */
static unsigned controls(const struct bisect *b)
{
	size_t round = session_rounds_done(b->session, b->index);
	return round < 64 || round % 16 < 4 ? SESSION_CONTROLS : 0;
}

int bisect_pair_round(struct bisect *b, size_t commit_a, size_t commit_b, double *x, int *bad_side,
		      struct error *e)
{
	size_t arms[2] = { b->commits[commit_a].arm, b->commits[commit_b].arm };
	struct session_figure f[2];
	int rc = 0;
	if (commit_a == commit_b) {
		rc = need_good_again(b, e);
		arms[1] = b->good_again;
	}
	*x = NAN;
	*bad_side = 0;
	bool own = b->exact || !strcmp(b->metric, session_metric(b->session, b->index));
	size_t had = 0;
	if (!rc && !own) {
		struct verdict_question q = bisect_question(b, commit_a, commit_b, b->metric);
		double *all = NULL;
		rc = verdict_ratios(b->o->store, &q, &all, &had, e);
		free(all);
	}
	if (!rc)
		rc = session_round(b->session, b->index, arms, 2, controls(b), f, e);
	if (rc)
		return rc;
	b->measurements += 2;
	if (own && metric_counts(b->metric))
		*x = stats_count_ratio(f[0].value, f[1].value);
	else if (own)
		*x = stats_log_ratio(f[0].value, f[1].value);
	else
		rc = ratio_of_round(b, commit_a, commit_b, had, x, e);
	if (f[0].outcome != RUN_OK)
		*bad_side = 1;
	else if (f[1].outcome != RUN_OK)
		*bad_side = 2;
	if (*bad_side)
		bisect_say(b, -1, "%s: %s",
			   b->range.commits[*bad_side == 1 ? commit_a : commit_b].info.short_id,
			   f[*bad_side - 1].why);
	return rc;
}

/* Built, and of no use. */
static int unfit(struct bisect *b, size_t i, const char *outcome, const char *detail,
		 struct error *e)
{
	struct bisect_commit *c = &b->commits[i];
	snprintf(c->unfit, sizeof(c->unfit), "%s", outcome);
	return told(b, "skip", i, json_pack("{s:s, s:s}", "outcome", outcome, "detail", detail), false,
		    e);
}

static int measure_exact(struct bisect *b, size_t i, struct error *e)
{
	bool ok;
	int rc = bisect_need_exact(b, i, &ok, e);
	if (rc)
		return rc;
	const struct exact_answer *x = &b->commits[i].exact;
	if (!ok && b->commits[i].build.outcome == BUILD_OK)
		return unfit(b, i, BISECT_NOT_COUNTED, x->why, e);
	if (!ok)
		return 0;
	double log_ratio = stats_log_ratio(b->commits[0].exact.per_op, x->per_op);
	bisect_say(b, -1, "%s  %.2f instructions%s  %s", b->range.commits[i].info.short_id,
		   x->per_op, x->operations ? " per operation" : "",
		   b->range.commits[i].info.subject);
	return told(b, "measure", i,
		    json_pack("{s:f, s:f, s:b}", "log_ratio", log_ratio, "value", x->per_op,
			      "exact", x->exact),
		    true, e);
}

static int measure_timed(struct bisect *b, size_t i, struct error *e)
{
	bool ok;
	int rc = bisect_need_arm(b, i, &ok, e);
	if (rc || !ok)
		return rc;
	double x;
	int bad_side;
	rc = bisect_pair_round(b, 0, i, &x, &bad_side, e);
	if (rc)
		return rc;
	if (bad_side == 2 && i)
		return unfit(b, i, BISECT_NOT_RUNNING, "", e);
	if (bad_side)
		return error_set(e, -EIO, "the good end %s does not run any more",
				 b->range.commits[0].info.short_id);
	/* A round without a figure, as one that was disturbed, is made again; not for ever. */
	if (isnan(x))
		return ++b->without < 30 ? 0
					 : error_set(e, -EIO, "%zu rounds gave no figure of %s",
						     b->without, b->metric);
	b->without = 0;
	return told(b, "measure", i, json_pack("{s:f}", "log_ratio", x), true, e);
}

int bisect_measure(struct bisect *b, size_t i, struct error *e)
{
	return b->exact ? measure_exact(b, i, e) : measure_timed(b, i, e);
}

int bisect_tell_beside(struct bisect *b, size_t parent, size_t i, struct error *e)
{
	struct verdict_question q = bisect_question(b, parent, i, b->metric);
	double *x = NULL;
	size_t n = 0;
	if (b->exact || !parent || !session_arm_relinks(b->session, b->commits[i].arm))
		return 0;
	int rc = verdict_ratios(b->o->store, &q, &x, &n, e);
	json_t *list = json_array();
	for (size_t k = 0; !rc && k < n; k++)
		json_array_append_new(list, json_real(x[k]));
	free(x);
	json_t *payload = json_pack("{s:s, s:o}", "other", b->range.commits[parent].info.id,
				    "log_ratios", list);
	if (!rc)
		return told(b, "beside", i, payload, true, e);
	json_decref(payload);
	return rc;
}

int bisect_refute(struct bisect *b, size_t i, double error_rate, struct error *e)
{
	return told(b, "refute", i, json_pack("{s:f}", "error_rate", error_rate), true, e);
}
