/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/verdict.h"

#include "harness/verdict_pairs.h"

#include "base/buf.h"
#include "harness/metric.h"
#include "harness/store_read.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Extra dependent instructions per free of the positive control, each one core cycle (harness/control). */
#define CONTROL_INSTRUCTIONS 8

/*
 * All runs of two arms, failed ones too: a run that has no figure must be seen, or a crashing arm would quietly lose its
 * bad rounds.
 */
static const char pairs_sql[] =
	"SELECT round.number, round.disturbed, run.arm_id, run.outcome, sample.value, run.link_seed, run.operations, run.checksum, run.detail,"
	" (SELECT unit = 'events' FROM metric WHERE name = :metric)"
	" FROM round CROSS JOIN run ON run.round_id = round.id"
	" LEFT JOIN sample ON sample.run_id = run.id AND sample.metric_id = (SELECT id FROM metric WHERE name = :metric)"
	" WHERE round.session_id = :session AND round.case_id = :case AND round.kind = 'timed' AND run.multiplier = :multiplier"
	" AND run.arm_id IN (:a, :b) ORDER BY round.number, run.position";

int pairs_read(struct store *s, const struct verdict_question *q, const char *metric, int64_t arm_a, int64_t arm_b, int multiplier,
	       struct pairs *out, struct error *e)
{
	struct store_rows *r = rows_open(s, pairs_sql);
	rows_bind_text(r, ":metric", metric);
	rows_bind_int(r, ":session", q->session_id);
	rows_bind_int(r, ":case", q->case_id);
	rows_bind_int(r, ":multiplier", multiplier);
	rows_bind_int(r, ":a", arm_a);
	rows_bind_int(r, ":b", arm_b);
	int rc;
	while ((rc = rows_next(r, e)) > 0) {
		int64_t round = rows_int(r, 0);
		if (!out->n || out->items[out->n - 1].round != round) {
			x_grow(out->items, out->n, out->cap);
			out->items[out->n++] = (struct pair){ .round = round, .disturbed = rows_int(r, 1), .events = rows_int(r, 9),
							      .a.value = NAN, .b.value = NAN };
		}
		struct pair *p = &out->items[out->n - 1];
		struct side *side = rows_int(r, 2) == arm_a ? &p->a : &p->b;
		const char *outcome = rows_text(r, 3), *detail = rows_text(r, 8);
		bool ok = !strcmp(outcome, "ok");
		side->ran = true;
		if (ok && !rows_null(r, 4))
			side->value = rows_real(r, 4);
		side->link = (uint64_t)rows_int(r, 5);
		side->operations = rows_null(r, 6) ? NAN : rows_real(r, 6);
		side->checksum = rows_text(r, 7) ? x_strdup(rows_text(r, 7)) : NULL;
		side->why = ok ? NULL : x_printf("%s%s%s", outcome, detail ? ": " : "", detail ? detail : "");
	}
	rows_close(r);
	return rc;
}

static void side_release(struct side *side)
{
	free(side->checksum), free(side->why);
}

void pairs_release(struct pairs *p)
{
	for (size_t i = 0; i < p->n; i++)
		side_release(&p->items[i].a), side_release(&p->items[i].b);
	free(p->items);
	*p = (struct pairs){ 0 };
}

static bool mismatched(const struct pair *p)
{
	return p->a.checksum && p->b.checksum && strcmp(p->a.checksum, p->b.checksum);
}

double pair_ratio(const struct pair *p)
{
	return p->events ? stats_count_ratio(p->a.value, p->b.value) : stats_log_ratio(p->a.value, p->b.value);
}

bool pair_counts(const struct pair *p)
{
	return p->a.ran && p->b.ran && !p->disturbed && !mismatched(p) && !isnan(pair_ratio(p));
}

struct arm_pair {
	int64_t a, b;
};

/* Pairs (twin, arm) of a role in this session: A/A repeats, or the control and its base. */
static int twins(struct store *s, int64_t session, const char *role, struct arm_pair **list, size_t *n, struct error *e)
{
	struct store_rows *r = rows_open(s, "SELECT twin_arm_id, id FROM session_arm WHERE session_id = :session AND role = :role"
					    " AND twin_arm_id IS NOT NULL ORDER BY number");
	rows_bind_int(r, ":session", session);
	rows_bind_text(r, ":role", role);
	int rc;
	while ((rc = rows_next(r, e)) > 0) {
		*list = x_realloc(*list, *n + 1, sizeof(**list));
		(*list)[(*n)++] = (struct arm_pair){ rows_int(r, 0), rows_int(r, 1) };
	}
	rows_close(r);
	return rc;
}

static int role_ratios(struct store *s, const struct verdict_question *q, const char *role, double **x, size_t *n, struct error *e)
{
	struct arm_pair *list = NULL;
	size_t n_list = 0, cap = 0;
	int rc = twins(s, q->session_id, role, &list, &n_list, e);
	for (size_t i = 0; !rc && i < n_list; i++) {
		struct pairs p = { 0 };
		rc = pairs_read(s, q, q->metric, list[i].a, list[i].b, 1, &p, e);
		for (size_t k = 0; !rc && k < p.n; k++) {
			double v = pair_ratio(&p.items[k]);
			if (p.items[k].disturbed || isnan(v))
				continue;
			x_grow(*x, *n, cap);
			(*x)[(*n)++] = v;
		}
		pairs_release(&p);
	}
	free(list);
	return rc;
}

/*
 * What the extra instructions must do to a cost metric: each costs a core cycle on every free, half the operations. In log
 * units, for a metric that is lower when better; NAN where cycles are not known even roughly.
 */
static int control_expected(struct store *s, const struct verdict_question *q, double *out, struct error *e)
{
	struct store_rows *r = rows_open(s,
		"SELECT median (1.0 * cycles.value / run.operations)"
		" FROM session_arm AS base"
		" CROSS JOIN run ON run.arm_id = base.id AND run.multiplier = 1 AND run.outcome = 'ok'"
		" CROSS JOIN round ON round.id = run.round_id AND round.case_id = :case AND round.kind = 'timed'"
		" CROSS JOIN sample AS cycles ON cycles.run_id = run.id"
		" CROSS JOIN metric ON metric.id = cycles.metric_id AND metric.name IN ('core_cycles_est', 'tsc_cycles')"
		" WHERE base.session_id = :session AND base.role = 'control' AND base.twin_arm_id IS NULL"
		" GROUP BY metric.name ORDER BY metric.name LIMIT 1");
	rows_bind_int(r, ":session", q->session_id);
	rows_bind_int(r, ":case", q->case_id);
	*out = NAN;
	int rc = rows_next(r, e);
	if (rc > 0 && !rows_null(r, 0) && rows_real(r, 0) > 0) {
		*out = log1p(CONTROL_INSTRUCTIONS / 2.0 / rows_real(r, 0));
		rc = 0;
	}
	rows_close(r);
	return rc < 0 ? rc : 0;
}

int verdict_metric(struct store *s, const char *name, enum stats_better *better, bool *additive, struct error *e)
{
	const struct metric *m = metric_find(name);
	if (m) {
		*better = m->better == METRIC_HIGHER ? STATS_HIGHER : STATS_LOWER;
		*additive = m->additive;
		return 0;
	}
	struct store_rows *r = rows_open(s, "SELECT better, additive FROM metric WHERE name = :name");
	rows_bind_text(r, ":name", name);
	int rc = rows_next(r, e);
	if (rc > 0) {
		*better = !strcmp(rows_text(r, 0), "higher") ? STATS_HIGHER : STATS_LOWER;
		*additive = rows_int(r, 1);
		rc = 0;
	} else if (!rc) {
		rc = error_set(e, -ENOENT, "the record has no metric '%s'", name);
	}
	rows_close(r);
	return rc;
}

struct usable {
	double *x, *a, *b, *a_op, *b_op;
	uint64_t *link;
	size_t n;
};

static void usable_release(struct usable *u)
{
	free(u->x), free(u->a), free(u->b), free(u->a_op), free(u->b_op), free(u->link);
}

static void select_rounds(const struct pairs *p, struct usable *u, struct verdict_answer *out)
{
	size_t room = p->n ? p->n : 1;
	u->x = x_calloc(room, sizeof(double)), u->a = x_calloc(room, sizeof(double)), u->b = x_calloc(room, sizeof(double));
	u->a_op = x_calloc(room, sizeof(double)), u->b_op = x_calloc(room, sizeof(double)), u->link = x_calloc(room, sizeof(uint64_t));
	out->redrawn = true;
	for (size_t i = 0; i < p->n; i++) {
		const struct pair *k = &p->items[i];
		if (!k->a.ran || !k->b.ran) /* a round of other arms, as a search has many */
			continue;
		if (mismatched(k))
			out->mismatch = true;
		double v = pair_ratio(k);
		if (isnan(v)) {
			if (!out->failed++ && (k->a.why || k->b.why))
				snprintf(out->why_failed, sizeof(out->why_failed), "%s, %s", k->a.why ? "before" : "after", k->a.why ? k->a.why : k->b.why);
			continue;
		}
		if (k->disturbed) {
			out->disturbed++;
			continue;
		}
		u->x[u->n] = v;
		u->a[u->n] = k->a.value, u->b[u->n] = k->b.value;
		u->a_op[u->n] = k->a.value / k->a.operations, u->b_op[u->n] = k->b.value / k->b.operations;
		u->link[u->n] = k->a.link * 2654435761u + k->b.link;
		out->redrawn &= k->a.link && k->b.link;
		u->n++;
	}
}

static void explain(struct verdict_answer *out, const struct stats_question *sq, bool same_but_differs)
{
	struct buf b = { 0 };
	if (out->mismatch)
		buf_puts(&b, "the two did different work (their checksums differ); ");
	if (sq->biased)
		buf_puts(&b, "two runs of one build differ in this session (A/A control failed); ");
	if (out->control == STATS_CONTROL_MISSED)
		buf_printf(&b, "the positive control was not seen (expected %+.1f %%, saw %+.1f %%); ", 100 * expm1(out->control_expected),
			   100 * expm1(out->control_seen));
	if (same_but_differs)
		buf_puts(&b, "the two load the same bytes, and yet differ: something beside them does it; ");
	if (out->failed)
		buf_printf(&b, "%zu round%s without a figure%s%s%s; ", out->failed, out->failed == 1 ? "" : "s", out->why_failed[0] ? " (" : "",
			   out->why_failed, out->why_failed[0] ? ")" : "");
	if (out->disturbed)
		buf_printf(&b, "%zu disturbed round%s left out; ", out->disturbed, out->disturbed == 1 ? "" : "s");
	if (b.len >= 2)
		snprintf(out->detail, sizeof(out->detail), "%.*s", (int)(b.len - 2), b.data);
	buf_release(&b);
}

/* Rounds lost in one arm are no accident: what is left of an arm that fails in one of four is not what it does. */
static bool too_many_failed(size_t failed, size_t good)
{
	return failed >= 3 && failed * 4 > failed + good;
}

static int load(struct store *s, const struct verdict_question *q, struct pairs *p, struct usable *u, struct verdict_answer *out,
		struct error *e)
{
	assert(q->arm_a != q->arm_b);
	int rc = pairs_read(s, q, q->metric, q->arm_a, q->arm_b, 1, p, e);
	if (!rc)
		select_rounds(p, u, out);
	return rc;
}

int verdict_ratios(struct store *s, const struct verdict_question *q, double **x, size_t *n, struct error *e)
{
	struct pairs p = { 0 };
	struct usable u = { 0 };
	struct verdict_answer unused = { 0 };
	int rc = load(s, q, &p, &u, &unused, e);
	*x = u.x, *n = u.n;
	u.x = NULL;
	usable_release(&u);
	pairs_release(&p);
	return rc;
}

int verdict_ask(struct store *s, const struct verdict_question *q, struct verdict_answer *out, struct error *e)
{
	*out = (struct verdict_answer){ .control_seen = NAN, .control_expected = NAN, .before_op = NAN, .after_op = NAN };
	struct pairs p = { 0 };
	struct usable u = { 0 };
	double *aa = NULL, *control = NULL;
	size_t n_aa = 0;
	bool additive = false;
	struct stats_question sq = { .confidence = q->confidence, .delta = q->delta, .layout_sd = 0 };
	int rc = verdict_metric(s, q->metric, &sq.better, &additive, e);
	out->better = sq.better;
	if (!rc)
		rc = load(s, q, &p, &u, out, e);
	if (!rc)
		rc = role_ratios(s, q, "aa", &aa, &n_aa, e);
	if (!rc && !q->no_control)
		rc = role_ratios(s, q, "control", &control, &out->n_control, e);
	if (!rc && out->n_control)
		rc = control_expected(s, q, &out->control_expected, e);
	if (rc)
		goto out;

	out->aa = stats_noise(aa, n_aa);
	double delta = q->delta < 0 ? STATS_DELTA : q->delta;
	sq.biased = stats_aa_biased(aa, n_aa, delta);
	if (out->n_control && sq.better == STATS_HIGHER)
		out->control_expected = -out->control_expected;
	bool cost = strstr(q->metric, "ops_per") || strstr(q->metric, "cpu_ns") || strstr(q->metric, "wall_ns") || strstr(q->metric, "cycles");
	if (out->n_control && cost && !isnan(out->control_expected)) {
		double sd = fmax(isnan(out->aa.sd) ? 0 : out->aa.sd, u.n ? stats_mad_sd(u.x, u.n) : 0);
		out->control_seen = stats_median(control, out->n_control);
		out->control = stats_control_check(control, out->n_control, out->control_expected, sd);
	}
	sq.control = out->control;
	double *per_link = x_calloc(u.n + 1, sizeof(double));
	out->links = stats_by_link(u.x, u.link, u.n, per_link);
	free(per_link);
	if (!out->redrawn)
		sq.layout_sd = q->layout_sd;
	out->a = stats_compare(u.x, u.n, &sq);
	bool same_but_differs = q->same_bytes && (out->a.verdict == STATS_REGRESSION || out->a.verdict == STATS_IMPROVEMENT);
	if (out->mismatch || same_but_differs || too_many_failed(out->failed, u.n))
		out->a.verdict = STATS_INVALID;
	out->before = stats_median(u.a, u.n), out->after = stats_median(u.b, u.n);
	if (additive && u.n && isfinite(u.a_op[0])) {
		out->before_op = stats_median(u.a_op, u.n);
		out->after_op = stats_median(u.b_op, u.n);
	}
	explain(out, &sq, same_but_differs);
out:
	free(aa), free(control);
	usable_release(&u);
	pairs_release(&p);
	return rc;
}

static struct store_optreal known(double v)
{
	return isfinite(v) ? STORE_REAL(v) : (struct store_optreal){ 0 };
}

int verdict_store(struct store *s, const struct verdict_question *q, const struct verdict_answer *a, bool primary, struct error *e)
{
	struct store_verdict v = {
		.session_id = q->session_id, .case_id = q->case_id, .arm_a = q->arm_a, .arm_b = q->arm_b,
		.metric = q->metric, .scope = a->redrawn ? "source" : "binary", .part = "run",
		.verdict = stats_verdict_name(a->a.verdict), .primary = primary, .rounds = (int64_t)a->a.log.n,
		.ratio = known(a->a.ratio), .ratio_lo = known(a->a.lo), .ratio_hi = known(a->a.hi),
		.before_value = known(a->before), .after_value = known(a->after),
		.delta = q->delta < 0 ? STATS_DELTA : q->delta,
		.confidence = q->confidence > 0 ? q->confidence : STATS_CONFIDENCE,
		.rounds_to_decide = a->a.more_rounds ? STORE_INT(a->a.more_rounds) : (struct store_opt){ 0 },
		.detail = a->detail[0] ? a->detail : NULL,
	};
	int64_t id;
	return store_verdict(s, &v, &id, e);
}
