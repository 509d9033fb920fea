/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/verdict_beside.h"

#include "harness/verdict_pairs.h"

#include "base/buf.h"
#include "harness/store_read.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEARNT_PAIRS 12

/* A median of absolute deviations holds about this share of the information that a standard deviation does. */
#define MAD_EFFICIENCY 0.37

static const char *const also[] = {
	"cpu_ns", "wall_ns", "process_cpu_ns", "page_faults", "peak_rss_bytes", "context_switches", "cycles", "instructions", "branch-misses",
	"LLC-load-misses", "dTLB-load-misses",
};

static bool by_wall(const char *metric)
{
	return !strcmp(metric, "ops_per_s") || !strcmp(metric, "wall_ns");
}

/* One answer from its log-ratios; p-value into p[*n]. x: m of them. */
static struct verdict_beside *answer(const struct verdict_question *q, const char *metric, const char *part, enum stats_better better,
				     const double *x, size_t m, struct verdict_beside *list, size_t *n, double *p)
{
	struct stats_question sq = { .confidence = q->confidence, .delta = q->delta, .better = better };
	assert(*n < VERDICT_BESIDE_MAX);
	p[*n] = stats_cs_p(x, m);
	struct verdict_beside *b = &list[(*n)++];
	*b = (struct verdict_beside){ .metric = metric, .part = part, .a = stats_compare(x, m, &sq), .before = NAN, .after = NAN };
	return b;
}

static int whole(struct store *s, const struct verdict_question *q, const char *metric, struct verdict_beside *list, size_t *n, double *p,
		 struct error *e)
{
	struct pairs pairs = { 0 };
	enum stats_better better;
	bool additive;
	int rc = verdict_metric(s, metric, &better, &additive, NULL);
	if (rc) /* a counter that nothing was ever stored of */
		return 0;
	rc = pairs_read(s, q, metric, q->arm_a, q->arm_b, 1, &pairs, e);
	double *x = x_calloc(3 * pairs.n + 1, sizeof(*x)), *a = x + pairs.n, *b = a + pairs.n;
	size_t m = 0;
	bool redrawn = true, any = false;
	for (size_t i = 0; i < pairs.n; i++) {
		const struct pair *k = &pairs.items[i];
		if (!pair_counts(k))
			continue;
		a[m] = k->a.value, b[m] = k->b.value;
		redrawn &= k->a.link && k->b.link;
		any |= k->a.value != 0 || k->b.value != 0;
		x[m++] = pair_ratio(k);
	}
	if (!rc && any) { /* of what there was none on either side, nothing is to be told */
		struct verdict_beside *v = answer(q, metric, "run", better, x, m, list, n, p);
		v->before = stats_median(a, m), v->after = stats_median(b, m), v->redrawn = redrawn;
	}
	free(x);
	pairs_release(&pairs);
	return rc;
}

/* Times of one arm in rounds that have all four runs: t[0], t[1] of N and 2N operations. */
struct split {
	double *a[2], *b[2];
	double ops; /* N */
	size_t n;
	bool redrawn;
};

static void split_release(struct split *t)
{
	for (int i = 0; i < 2; i++)
		free(t->a[i]), free(t->b[i]);
}

static int read_split(struct store *s, const struct verdict_question *q, const char *metric, struct split *t, struct error *e)
{
	struct pairs once = { 0 }, twice = { 0 };
	int rc = pairs_read(s, q, metric, q->arm_a, q->arm_b, 1, &once, e);
	if (!rc)
		rc = pairs_read(s, q, metric, q->arm_a, q->arm_b, 2, &twice, e);
	*t = (struct split){ .redrawn = true };
	for (int i = 0; i < 2; i++)
		t->a[i] = x_calloc(once.n + 1, sizeof(double)), t->b[i] = x_calloc(once.n + 1, sizeof(double));
	for (size_t i = 0, j = 0; !rc && i < once.n && j < twice.n;) {
		const struct pair *k1 = &once.items[i], *k2 = &twice.items[j];
		if (k1->round != k2->round) {
			k1->round < k2->round ? i++ : j++;
			continue;
		}
		i++, j++;
		if (!pair_counts(k1) || !pair_counts(k2))
			continue;
		t->a[0][t->n] = k1->a.value, t->a[1][t->n] = k2->a.value;
		t->b[0][t->n] = k1->b.value, t->b[1][t->n] = k2->b.value;
		t->ops = k1->a.operations;
		t->redrawn &= k1->a.link && k1->b.link;
		t->n++;
	}
	pairs_release(&once), pairs_release(&twice);
	return rc;
}

/* t2 - t1, and what N operations leave of t1. */
static void apart(double *const t[2], size_t n, double *per_n, double *start)
{
	for (size_t i = 0; i < n; i++) {
		per_n[i] = t[1][i] - t[0][i];
		start[i] = t[0][i] - per_n[i];
	}
}

static int part(struct store *s, const struct verdict_question *q, const char *metric, const char *name, struct verdict_beside *list,
		size_t *n, double *p, struct error *e)
{
	struct split t;
	int rc = read_split(s, q, metric, &t, e);
	if (rc || !t.n) {
		split_release(&t);
		return rc;
	}
	bool slope = !strcmp(name, "slope");
	double *per_a = x_calloc(5 * t.n, sizeof(double)), *per_b = per_a + t.n, *start_a = per_b + t.n, *start_b = start_a + t.n, *x = start_b + t.n;
	apart(t.a, t.n, per_a, start_a);
	apart(t.b, t.n, per_b, start_b);
	/* Start-up is 2 t1 - t2 = t1 - (t2 - t1): the difference of two times again, with the same care for the noise that makes it negative. */
	size_t m = slope ? stats_slope_pairs(t.a[0], t.a[1], t.b[0], t.b[1], t.n, x) : stats_slope_pairs(per_a, t.a[0], per_b, t.b[0], t.n, x);
	if (m) {
		struct verdict_beside *v = answer(q, metric, name, STATS_LOWER, x, m, list, n, p);
		double ops = slope && t.ops > 0 ? t.ops : 1;
		v->before = stats_median(slope ? per_a : start_a, t.n) / ops;
		v->after = stats_median(slope ? per_b : start_b, t.n) / ops;
		v->redrawn = t.redrawn;
	}
	free(per_a);
	split_release(&t);
	return 0;
}

int verdict_beside(struct store *s, const struct verdict_question *q, const struct verdict_answer *main, struct verdict_beside *list,
		   size_t *n, struct error *e)
{
	double p[VERDICT_BESIDE_MAX], adjusted[VERDICT_BESIDE_MAX];
	bool wall = by_wall(q->metric);
	const char *own = wall ? "wall_ns" : strcmp(q->metric, "ops_per_cpu_s") ? q->metric : "cpu_ns";
	*n = 0;
	if (main->a.verdict == STATS_INVALID || !main->a.log.n)
		return 0;
	int rc = 0;
	for (size_t i = 0; !rc && i < sizeof(also) / sizeof(also[0]); i++)
		if (strcmp(also[i], own))
			rc = whole(s, q, also[i], list, n, p, e);
	if (!rc)
		rc = part(s, q, wall ? "wall_ns" : "cpu_ns", "slope", list, n, p, e);
	if (!rc)
		rc = part(s, q, wall ? "process_wall_ns" : "process_cpu_ns", "startup", list, n, p, e);
	if (rc || !*n)
		return rc;
	stats_bh(p, *n, adjusted);
	double alpha = 1 - (q->confidence > 0 ? q->confidence : STATS_CONFIDENCE);
	for (size_t i = 0; i < *n; i++) {
		list[i].q = adjusted[i];
		enum stats_verdict *v = &list[i].a.verdict;
		if (adjusted[i] > alpha && (*v == STATS_REGRESSION || *v == STATS_IMPROVEMENT))
			*v = STATS_UNCLEAR;
	}
	return 0;
}

static struct store_optreal known(double v)
{
	return isfinite(v) ? STORE_REAL(v) : (struct store_optreal){ 0 };
}

int verdict_beside_store(struct store *s, const struct verdict_question *q, const struct verdict_beside *list, size_t n, struct error *e)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < n; i++) {
		const struct verdict_beside *b = &list[i];
		struct store_verdict v = {
			.session_id = q->session_id, .case_id = q->case_id, .arm_a = q->arm_a, .arm_b = q->arm_b, .metric = b->metric,
			.scope = b->redrawn ? "source" : "binary", .part = b->part, .verdict = stats_verdict_name(b->a.verdict),
			.rounds = (int64_t)b->a.log.n, .ratio = known(b->a.ratio), .ratio_lo = known(b->a.lo), .ratio_hi = known(b->a.hi),
			.before_value = known(b->before), .after_value = known(b->after), .delta = q->delta < 0 ? STATS_DELTA : q->delta,
			.confidence = q->confidence > 0 ? q->confidence : STATS_CONFIDENCE,
			.rounds_to_decide = b->a.more_rounds ? STORE_INT(b->a.more_rounds) : (struct store_opt){ 0 },
		};
		int64_t id;
		rc = store_verdict(s, &v, &id, e);
	}
	return rc;
}

static int worse(enum stats_verdict v)
{
	return v == STATS_REGRESSION ? 1 : v == STATS_IMPROVEMENT ? -1 : 0;
}

const struct verdict_beside *verdict_contradiction(const char *metric, const struct verdict_answer *main, const struct verdict_beside *list, size_t n)
{
	bool by_time = by_wall(metric) || !strcmp(metric, "ops_per_cpu_s") || !strcmp(metric, "cpu_ns");
	for (size_t i = 0; by_time && i < n; i++) {
		bool time = !strcmp(list[i].metric, "cpu_ns") || !strcmp(list[i].metric, "wall_ns");
		if (time && worse(list[i].a.verdict) * worse(main->a.verdict) < 0)
			return &list[i];
		if (time && main->a.verdict == STATS_NO_CHANGE && worse(list[i].a.verdict))
			return &list[i];
	}
	return NULL;
}

int verdict_layout_learnt(struct store *s, int64_t machine, int64_t case_id, const char *metric, double *sd, double *dof, struct error *e)
{
	struct store_rows *r = rows_open(s,
		"SELECT pair.log_ratio, (SELECT count (*) FROM run JOIN session_arm ON session_arm.id = run.arm_id"
		"  WHERE run.round_id = pair.round_id AND session_arm.role = 'aa' AND run.link_seed IS NOT NULL)"
		" FROM aa_log_ratio AS pair WHERE pair.machine_id = :machine AND pair.case_id = :case AND pair.multiplier = 1"
		" AND pair.metric_id = (SELECT id FROM metric WHERE name = :metric)");
	rows_bind_int(r, ":machine", machine);
	rows_bind_int(r, ":case", case_id);
	rows_bind_text(r, ":metric", metric);
	double *x[2] = { NULL, NULL };
	size_t n[2] = { 0, 0 }, cap[2] = { 0, 0 };
	int rc;
	while ((rc = rows_next(r, e)) > 0) {
		int drawn = rows_int(r, 1) > 0;
		x_grow(x[drawn], n[drawn], cap[drawn]);
		x[drawn][n[drawn]++] = rows_real(r, 0);
	}
	rows_close(r);
	*sd = *dof = 0;
	if (!rc && n[0] >= LEARNT_PAIRS && n[1] >= LEARNT_PAIRS) {
		*sd = stats_layout_sd(stats_noise(x[1], n[1]).sd, stats_noise(x[0], n[0]).sd);
		*dof = MAD_EFFICIENCY * (double)(n[0] < n[1] ? n[0] : n[1]);
	}
	free(x[0]), free(x[1]);
	return rc;
}
