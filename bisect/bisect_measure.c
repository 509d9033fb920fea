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

static bool same_tree(const struct bisect *b, size_t i, size_t j)
{
	return !strcmp(b->range.commits[i].tree_key, b->range.commits[j].tree_key);
}

/* What commit i builds, where it or another of the same tree was built; else NULL. Where recipes go
 * by ranges of the history, one tree may build in two ways. */
static const struct build *built_tree(const struct bisect *b, size_t i)
{
	bool one_recipe = b->o->subject->config->n_recipes == 1;
	if (b->commits[i].tried)
		return &b->commits[i].build;
	for (size_t k = 0; k < b->range.n && one_recipe; k++)
		if (b->commits[k].tried && same_tree(b, i, k))
			return &b->commits[k].build;
	return NULL;
}

/* Commit i loads the very code of all its parents: no step is there. Known once all of them are
 * built, or others of their trees: most commits of many histories leave the subject alone. */
static int tell_if_same(struct bisect *b, size_t i, struct error *e)
{
	const struct range_commit *r = &b->range.commits[i];
	struct bisect_commit *c = &b->commits[i];
	if (!b->search || !c->tried || c->same || !r->n_parents || r->n_outside ||
	    !r->changes_subject)
		return 0;
	for (size_t k = 0; k < r->n_parents; k++) {
		const struct build *before = built_tree(b, r->parents[k]);
		if (!before || !bisect_same_code(&c->build, before))
			return 0;
	}
	c->same = true;
	b->n_same++;
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
	for (size_t k = 1; !rc && k < b->range.n; k++)
		for (size_t p = 0; !rc && p < b->range.commits[k].n_parents; p++)
			if (same_tree(b, i, b->range.commits[k].parents[p]))
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

static int another_arm(struct bisect *b, size_t i, const char *label, size_t *arm, struct error *e)
{
	if (*arm != BISECT_NONE)
		return 0;
	struct session_arm spec = subject_arm(b->o->subject, &b->commits[i].build, label,
					      STORE_INT(b->commits[i].commit_id),
					      b->commits[i].build_id);
	return session_add_arm(b->session, &spec, arm, e);
}

static int need_proof_arm(struct bisect *b, size_t i, struct error *e)
{
	char label[64];
	snprintf(label, sizeof(label), "%s, proof", b->range.commits[i].info.short_id);
	return another_arm(b, i, label, &b->commits[i].proof_arm, e);
}

/* The search learns the noise and the level from the reference beside itself. */
int bisect_need_arms(struct bisect *b, const struct bisect_pair *p, struct error *e)
{
	if (p->before == p->after)
		return another_arm(b, p->before, "good end again", &b->good_again, e);
	int rc = p->proof ? need_proof_arm(b, p->before, e) : 0;
	return rc || !p->proof ? rc : need_proof_arm(b, p->after, e);
}

static size_t arm_of(const struct bisect *b, const struct bisect_pair *p, size_t i)
{
	return p->proof ? b->commits[i].proof_arm : b->commits[i].arm;
}

struct verdict_question bisect_question(const struct bisect *b, const struct bisect_pair *p,
					const char *metric)
{
	return (struct verdict_question){ .session_id = session_id(b->session),
					  .case_id = session_case_id(b->session, b->index),
					  .arm_a = session_arm_id(b->session, arm_of(b, p, p->before)),
					  .arm_b = session_arm_id(b->session,
								  p->before == p->after
									  ? b->good_again
									  : arm_of(b, p, p->after)),
					  .metric = metric,
					  .delta = b->o->delta,
					  .no_control = !b->o->control };
}

/* By another metric than the session's own: the newest ratio of the record, NAN where that round
 * has none. */
static int ratio_of_round(struct bisect *b, const struct bisect_pair *p, size_t had, double *x,
			  struct error *e)
{
	struct verdict_question q = bisect_question(b, p, b->metric);
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

int bisect_pair_round(struct bisect *b, const struct bisect_pair *p, double *x, int *bad_side,
		      struct error *e)
{
	struct session_figure f[2];
	*x = NAN;
	*bad_side = 0;
	bool own = b->exact || !strcmp(b->metric, session_metric(b->session, b->index));
	size_t had = 0;
	int rc = bisect_need_arms(b, p, e);
	if (!rc && !own) {
		struct verdict_question q = bisect_question(b, p, b->metric);
		double *all = NULL;
		rc = verdict_ratios(b->o->store, &q, &all, &had, e);
		free(all);
	}
	if (rc)
		return rc;
	size_t arms[2] = { arm_of(b, p, p->before),
			   p->before == p->after ? b->good_again : arm_of(b, p, p->after) };
	rc = session_round(b->session, b->index, arms, 2, controls(b), f, e);
	if (rc)
		return rc;
	b->measurements += 2;
	if (f[0].disturbed)
		*x = NAN;
	else if (own && metric_counts(b->metric))
		*x = stats_count_ratio(f[0].value, f[1].value);
	else if (own)
		*x = stats_log_ratio(f[0].value, f[1].value);
	else
		rc = ratio_of_round(b, p, had, x, e);
	if (f[0].outcome != RUN_OK)
		*bad_side = 1;
	else if (f[1].outcome != RUN_OK)
		*bad_side = 2;
	if (!*bad_side) {
		b->commits[p->before].failed = b->commits[p->after].failed = 0;
		return rc;
	}
	size_t bad = *bad_side == 1 ? p->before : p->after;
	b->commits[bad].failed++;
	snprintf(b->failed_why, sizeof(b->failed_why), "%s", f[*bad_side - 1].why);
	bisect_say(b, -1, "%s: %s", b->range.commits[bad].info.short_id, b->failed_why);
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
	if (!ok)
		return unfit(b, i, BISECT_NOT_COUNTED, x->why, e);
	double log_ratio = stats_log_ratio(b->commits[0].exact.per_op, x->per_op);
	bisect_say(b, -1, "%s  %.2f instructions%s  %s", b->range.commits[i].info.short_id,
		   x->per_op, x->operations ? " per operation" : "",
		   b->range.commits[i].info.subject);
	return told(b, "measure", i,
		    json_pack("{s:f, s:f, s:b}", "log_ratio", log_ratio, "value", x->per_op,
			      "exact", x->exact),
		    true, e);
}

/* Rounds without a figure, as those that were disturbed, are made again; not for ever. */
static int no_figure(struct bisect *b, size_t rounds, struct error *e)
{
	b->without += rounds;
	return b->without < 30 ? 0
			       : error_set(e, -EIO, "%zu rounds gave no figure of %s", b->without,
					   b->metric);
}

/* A run of that commit went wrong. Once may be an accident of the machine; twice in a row is the
 * commit. */
static int went_wrong(struct bisect *b, size_t i, struct error *e)
{
	if (b->commits[i].failed < 2)
		return no_figure(b, 1, e);
	if (i)
		return unfit(b, i, BISECT_NOT_RUNNING, b->failed_why, e);
	return error_set(e, -EIO, "the good end %s does not run any more: %s",
			 b->range.commits[0].info.short_id, b->failed_why);
}

static int measure_timed(struct bisect *b, size_t i, struct error *e)
{
	struct bisect_pair p = { .before = 0, .after = i };
	double x;
	int bad_side;
	int rc = bisect_pair_round(b, &p, &x, &bad_side, e);
	if (rc)
		return rc;
	if (bad_side)
		return went_wrong(b, bad_side == 2 ? i : 0, e);
	if (isnan(x))
		return no_figure(b, 1, e);
	b->without = 0;
	return told(b, "measure", i, json_pack("{s:f}", "log_ratio", x), true, e);
}

size_t *bisect_told(struct bisect *b, const struct bisect_pair *p)
{
	for (size_t k = 0; k < b->n_told; k++) {
		const struct bisect_pair *q = &b->told[k].pair;
		if (q->before == p->before && q->after == p->after && q->proof == p->proof)
			return &b->told[k].n;
	}
	x_grow(b->told, b->n_told, b->cap_told);
	b->told[b->n_told] = (struct bisect_told){ *p, 0 };
	return &b->told[b->n_told++].n;
}

/* Tell the search the rounds of a pair that it does not know yet; *n of them. */
static int tell_rounds(struct bisect *b, const struct bisect_pair *p, size_t *n, struct error *e)
{
	struct verdict_question q = bisect_question(b, p, b->metric);
	size_t *told_before = bisect_told(b, p), all = 0;
	double *x = NULL;
	int rc = verdict_ratios(b->o->store, &q, &x, &all, e);
	json_t *list = json_array();
	for (size_t k = *told_before; !rc && k < all; k++)
		json_array_append_new(list, json_real(x[k]));
	free(x);
	*n = json_array_size(list);
	json_t *payload = json_pack("{s:s, s:o, s:b}", "other", b->range.commits[p->before].info.id,
				    "log_ratios", list, "asked", !p->proof);
	if (rc || !*n) {
		json_decref(payload);
		return rc;
	}
	*told_before += *n;
	return told(b, "beside", p->after, payload, true, e);
}

static void say_pair(struct bisect *b, const struct bisect_pair *p, const struct search_action *a,
		     size_t round)
{
	const char *before = b->range.commits[p->before].info.short_id,
		   *after = b->range.commits[p->after].info.short_id;
	double left_s = 2 * a->expected_cost * session_run_s(b->session, b->index);
	if (left_s >= 1)
		bisect_say(b, -1, "are %s and %s level? round %zu; all are in about %.0f s", before,
			   after, round, left_s);
	else if (a->level)
		bisect_say(b, -1, "are %s and %s level? round %zu", before, after, round);
	else
		bisect_say(b, -1, "is there a step from %s to %s? round %zu", before, after, round);
}

/*
 * Rounds of two commits beside each other, fewer where the time is up. Each is in the record when
 * the next is made; those that a kill kept from being told are told with the next ones.
 */
static int measure_beside(struct bisect *b, const struct search_action *a, double until,
			  struct error *e)
{
	struct bisect_pair p = { .before = a->beside, .after = a->commit };
	size_t known = *bisect_told(b, &p), made = 0, n = 0;
	double x;
	int rc = 0, bad_side = 0;
	while (!rc && !bad_side && made < a->rounds && (!made || bisect_used(b) < until)) {
		say_pair(b, &p, a, known + ++made);
		rc = bisect_pair_round(b, &p, &x, &bad_side, e);
	}
	if (!rc && bad_side)
		return went_wrong(b, bad_side == 2 ? p.after : p.before, e);
	if (!rc)
		rc = tell_rounds(b, &p, &n, e);
	if (!rc && !n)
		return no_figure(b, made, e);
	b->without = 0;
	return rc;
}

int bisect_measure(struct bisect *b, const struct search_action *a, double until, struct error *e)
{
	size_t same = b->n_same;
	bool ok, other_ok = true;
	int rc = bisect_need_arm(b, a->commit, &ok, e);
	if (!rc && ok && a->beside != SEARCH_NONE)
		rc = bisect_need_arm(b, a->beside, &other_ok, e);
	/* A build that cleared a suspect is news: what was asked for may not be needed any more. */
	if (rc || !ok || !other_ok || b->n_same > same)
		return rc;
	if (b->exact)
		return measure_exact(b, a->commit, e);
	return a->beside == SEARCH_NONE ? measure_timed(b, a->commit, e)
					: measure_beside(b, a, until, e);
}

int bisect_tell_proof(struct bisect *b, size_t parent, size_t i, size_t *n, struct error *e)
{
	struct bisect_pair p = { .before = parent, .after = i, .proof = true };
	bool made = b->commits[i].proof_arm != BISECT_NONE &&
		    b->commits[parent].proof_arm != BISECT_NONE;
	*n = 0;
	if (b->exact || !made || !session_arm_relinks(b->session, b->commits[i].arm))
		return 0;
	return tell_rounds(b, &p, n, e);
}

int bisect_refute(struct bisect *b, size_t i, double error_rate, struct error *e)
{
	b->commits[i].refuted = true;
	return told(b, "refute", i, json_pack("{s:f}", "error_rate", error_rate), true, e);
}
