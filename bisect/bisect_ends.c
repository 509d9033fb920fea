/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/bisect_private.h"

#include "base/buf.h"
#include "harness/metric.h"
#include "harness/session_samples.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of the time, until the ends are told apart. A staircase by a metric that was named is looked for
 * whatever they say. */
#define ENDS_SHARE 0.4
#define ENDS_SHARE_ALL 0.1

/* A foreign program may count no operations, and its time is there always. */
const char *bisect_time_metric(const struct bench_case *c)
{
	if (c->figure)
		return session_figure_metric(c);
	if (strstr(c->command[0], "{workloads}"))
		return bench_case_metric(c);
	return c->by_wall ? "wall_ns" : "cpu_ns";
}

bool bisect_chooses(const struct bisect *b)
{
	return !b->o->metric || !strcmp(b->o->metric, "auto");
}

const char *bisect_metric_name(const struct bisect *b, const char *name)
{
	const struct metric *m = name ? metric_find(name) : NULL;
	return name && !strcmp(name, BISECT_EXACT) ? BISECT_EXACT : m ? m->name : b->metric;
}

int bisect_exact_ends(struct bisect *b, bool *differ, struct error *e)
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
			return error_set(
				e, -ENODATA,
				"%s cannot be %s: %s%s", b->range.commits[i ? last : 0].info.short_id,
				b->commits[i ? last : 0].exact.other_work ? "compared with good"
									  : "counted under callgrind",
				b->commits[i ? last : 0].exact.why,
				b->commits[i ? last : 0].exact.other_work
					? ""
					: "; try --metric ops_per_cpu_s");
	double x = fabs(stats_log_ratio(b->commits[0].exact.per_op, b->commits[last].exact.per_op));
	*differ = x > log1p(b->o->delta >= 0 ? b->o->delta : BISECT_EXACT_DELTA);
	return bisect_step(b, "ends", BISECT_NONE,
			   json_pack("{s:f, s:f, s:b}", "good", b->commits[0].exact.per_op, "bad",
				     b->commits[last].exact.per_op, "differ", *differ),
			   e);
}

static bool separates(const struct stats_answer *a)
{
	return a->verdict == STATS_REGRESSION || a->verdict == STATS_IMPROVEMENT;
}

int bisect_timed_ends(struct bisect *b, bool *differ, struct error *e)
{
	struct bisect_pair ends = { .before = 0, .after = b->range.n - 1 };
	double share = b->o->all && !bisect_chooses(b) ? ENDS_SHARE_ALL : ENDS_SHARE;
	int rc = bisect_side_by_side(b, &ends, b->metric, share, &b->ends, e);
	if (rc)
		return rc;
	b->ends_timed = true;
	b->ends_metric = b->metric;
	*differ = separates(&b->ends.a);
	return bisect_step(b, "ends", BISECT_NONE,
			   json_pack("{s:s, s:f, s:b}", "verdict",
				     stats_verdict_name(b->ends.a.verdict), "ratio",
				     isfinite(b->ends.a.ratio) ? b->ends.a.ratio : 0.0, "differ",
				     *differ),
			   e);
}

/* The exact count repeats: nothing is quieter. *log_ratio stays NAN where the ends cannot be
 * counted. */
static int try_exact(struct bisect *b, bool *separated, double *log_ratio, struct error *e)
{
	size_t last = b->range.n - 1;
	bool ok[2] = { false, false };
	*separated = false;
	*log_ratio = NAN;
	int rc = bisect_need_exact(b, 0, &ok[0], e);
	if (!rc && ok[0])
		rc = bisect_need_exact(b, last, &ok[1], e);
	if (rc || !ok[0] || !ok[1])
		return rc;
	*log_ratio = stats_log_ratio(b->commits[0].exact.per_op, b->commits[last].exact.per_op);
	*separated = fabs(*log_ratio) > log1p(BISECT_EXACT_DELTA) && b->commits[last].exact.exact &&
		     (*log_ratio > 0) == (b->ends.a.verdict == STATS_REGRESSION);
	return 0;
}

/* Difference over noise of the ends by one metric of the rounds that were made; 0 where it does not
 * separate them as time does. A/A pairs are few by then: the pairs of the ends scatter as much. */
static int loudness(struct bisect *b, const char *metric, double *out, struct error *e)
{
	struct bisect_pair ends = { .before = 0, .after = b->range.n - 1 };
	struct verdict_question q = bisect_question(b, &ends, metric);
	struct verdict_answer a;
	double *x = NULL;
	size_t n = 0;
	*out = 0;
	int rc = verdict_ask(b->o->store, &q, &a, e);
	if (rc == -ENOENT) {
		if (e)
			*e = (struct error){ 0 };
		return 0;
	}
	if (!rc && a.a.verdict == b->ends.a.verdict)
		rc = verdict_ratios(b->o->store, &q, &x, &n, e);
	if (!rc && n)
		*out = fabs(a.a.log.mid) / fmax(fmax(a.aa.sd, stats_mad_sd(x, n)), 1e-6);
	free(x);
	return rc;
}

/*
 * Counts that a machine may have and that scatter less than time; each is used only where the very
 * rounds that separate the ends by time separate them by it too, in the same direction.
 */
int bisect_choose_metric(struct bisect *b, bool timed, struct error *e)
{
	static const char *const quiet[] = { "page_faults", "instructions", "branch-misses",
					     "cycles", "peak_rss_bytes" };
	bool counted = false;
	double x = NAN, best = 0;
	int rc = b->o->c->exact ? try_exact(b, &counted, &x, e) : 0;
	if (rc)
		return rc;
	if (b->chosen) {
		b->metric = b->chosen;
		b->exact = !strcmp(b->metric, BISECT_EXACT);
		return 0;
	}
	if (!timed)
		return 0;
	if (counted) {
		b->exact = true;
		b->metric = BISECT_EXACT;
	} else {
		const char *own = b->metric;
		rc = loudness(b, own, &best, e);
		for (size_t i = 0; !rc && i < sizeof(quiet) / sizeof(*quiet); i++) {
			double v;
			if (!metric_find(quiet[i]))
				continue;
			rc = loudness(b, quiet[i], &v, e);
			if (!rc && v > 2 * best) {
				best = v;
				b->metric = metric_find(quiet[i])->name;
			}
		}
	}
	if (rc)
		return rc;
	json_t *payload = json_pack("{s:s}", "metric", b->metric);
	if (isfinite(x))
		json_object_set_new(payload, "exact_log_ratio", json_real(x));
	return bisect_step(b, "metric", BISECT_NONE, payload, e);
}
