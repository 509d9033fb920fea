/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/show.h"
#include "cli/side.h"
#include "cli/sweep_plan.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "harness/child.h"
#include "harness/network.h"
#include "harness/verdict.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char help_sweep[] =
	"which configuration shows the difference of A and B?\n"
	"\n"
	"usage: hakperf sweep [OPTION ...] A B\n"
	"\n"
	"Measures A (before) and B (after) side by side in many configurations, a round at a time: first enough of each for a\n"
	"verdict, then where the next rounds would soonest decide. A and B as for 'hakperf compare'.\n"
	"\n"
	"  --axis NAME=V,V,…  values of one axis, may be given again: workload, class, variant, phase (cold, steady), env\n"
	"                     (VARIABLE=value or none), or any parameter of a workload (cycles, working_set, …);\n"
	"                     default: workloads, classes and variants of hakperf.ini\n"
	"  --max-time T       measuring stops after this long (default 2m)\n"
	"  --delta D          smallest effect of interest (default 1%)\n"
	"  --fdr P            share of false ones among the differences told (default 5%)\n"
	"  --metric M         judge by it instead of each workload's own\n"
	"  --wait T           wait for another session of this machine (default 0)\n"
	"  --db FILE, --config FILE, --json\n";

struct asked {
	const char *metric, *config, *db, *words[2];
	struct sweep_axes axes;
	double max_time, delta, fdr, wait;
	bool json;
};

struct point {
	const struct sweep_place *place;
	const struct side *sides; /* the pair of its variant; NULL: cannot be built */
	size_t index;		  /* of the session's cases */
	bool same;		  /* the two load the same bytes */
	size_t failed;		  /* rounds without a figure, one after another */
	struct verdict_question q;
	struct verdict_answer v;
	double p, adjusted;
	double spent_s; /* on `made` rounds of this sitting */
	size_t made;
};

struct sweep {
	const struct asked *asked;
	struct project p;
	struct sweep_places places;
	struct side (*sides)[2];      /* one pair a variant */
	struct error *broken;	      /* why that pair is not there */
	struct point *points;
	struct session *session;
	size_t first_look; /* rounds that can give a verdict */
	double spent_s;
};

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "axis", required_argument, NULL, 'a' }, { "max-time", required_argument, NULL, 't' }, { "delta", required_argument, NULL, 'd' },
		{ "fdr", required_argument, NULL, 'f' }, { "metric", required_argument, NULL, 'm' }, { "wait", required_argument, NULL, 'W' },
		{ "db", required_argument, NULL, 'D' }, { "config", required_argument, NULL, 'c' }, { "json", no_argument, NULL, 'j' }, { 0 },
	};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		const char *wrong = NULL;
		switch (o) {
		case 'a': wrong = sweep_axis_add(&a->axes, optarg) ? NULL : "axis"; break;
		case 't': wrong = cli_seconds(optarg, &a->max_time) && a->max_time > 0 ? NULL : "max-time"; break;
		case 'd': wrong = cli_fraction(optarg, &a->delta) && a->delta < 1 ? NULL : "delta"; break;
		case 'f': wrong = cli_fraction(optarg, &a->fdr) && a->fdr > 0 && a->fdr < 0.5 ? NULL : "fdr"; break;
		case 'W': wrong = cli_seconds(optarg, &a->wait) ? NULL : "wait"; break;
		case 'm': a->metric = optarg; break;
		case 'D': a->db = optarg; break;
		case 'c': a->config = optarg; break;
		case 'j': a->json = true; break;
		default: return CLI_USAGE;
		}
		if (wrong)
			return cli_usage("sweep", "'%s' is not a value that --%s takes", optarg, wrong);
	}
	if (argc - optind != 2)
		return cli_usage("sweep", "write A and B, two revisions or artifacts");
	a->words[0] = argv[optind], a->words[1] = argv[optind + 1];
	return 0;
}

static bool told(enum stats_verdict v)
{
	return v == STATS_REGRESSION || v == STATS_IMPROVEMENT;
}

/* Differences that do not hold among all that were looked at are not told. */
static enum stats_verdict verdict_of(const struct sweep *s, const struct point *x)
{
	return told(x->v.a.verdict) && x->adjusted > s->asked->fdr ? STATS_UNCLEAR : x->v.a.verdict;
}

static void adjust(struct sweep *s)
{
	size_t n = 0;
	double *p = x_calloc(s->places.n + 1, sizeof(*p));
	for (size_t i = 0; i < s->places.n; i++)
		if (s->points[i].v.a.log.n)
			p[n++] = s->points[i].p;
	stats_bh(p, n, p);
	n = 0;
	for (size_t i = 0; i < s->places.n; i++)
		if (s->points[i].v.a.log.n)
			s->points[i].adjusted = p[n++];
	free(p);
}

static int ask(struct sweep *s, struct point *x, struct error *e)
{
	double *ratios = NULL;
	size_t n = 0;
	x->q.metric = session_metric(s->session, x->index);
	int rc = verdict_ask(s->p.store, &x->q, &x->v, e);
	if (!rc)
		rc = verdict_ratios(s->p.store, &x->q, &ratios, &n, e);
	x->p = stats_cs_p(ratios, n);
	free(ratios);
	return rc;
}

static bool is_open(const struct sweep *s, const struct point *x)
{
	if (!x->sides || x->same || x->failed >= 3 || x->v.mismatch)
		return false;
	enum stats_verdict v = verdict_of(s, x);
	return v == STATS_UNCLEAR || (v == STATS_INVALID && x->v.a.log.n < 2 * s->first_look);
}

/*
 * Seconds of a round of x: as it took so far, else as its variant's others take. A variant of which nothing is known
 * may be a slow one, and waits. 0: nothing is known at all.
 */
static double round_s(const struct sweep *s, const struct point *x)
{
	double kin = 0, all = 0;
	size_t n_kin = 0, n_all = 0;
	if (x->made)
		return x->spent_s / (double)x->made;
	for (size_t i = 0; i < s->places.n; i++) {
		const struct point *y = &s->points[i];
		bool same = y->place && y->place->variant == x->place->variant;
		all += y->spent_s, n_all += y->made;
		kin += same ? y->spent_s : 0, n_kin += same ? y->made : 0;
	}
	return n_kin ? kin / (double)n_kin : n_all ? 1.5 * all / (double)n_all : 0;
}

/* It lacks rounds for a first verdict, and not because most of them are disturbed or fail. */
static bool is_early(const struct sweep *s, const struct point *x)
{
	size_t n = x->v.a.log.n;
	return n < s->first_look && n + x->v.disturbed + x->v.failed < 2 * s->first_look;
}

/* Seconds until x would likely be decided; INFINITY: no time that could be waited for. */
static double seconds_to_decide(const struct sweep *s, const struct point *x, size_t rounds)
{
	double more = is_early(s, x)	      ? (double)(s->first_look - rounds)
		      : x->v.a.more_rounds    ? (double)x->v.a.more_rounds
		      : told(x->v.a.verdict) ? 4
					      : INFINITY;
	return more * round_s(s, x);
}

/*
 * The one whose next round is worth most: first looks before others, and what is soonest decided before what takes longer, so that
 * a time too short for all still answers for some. left_s: no round is begun that would not end by then. NULL: none is left.
 */
static struct point *next_point(struct sweep *s, double left_s)
{
	struct point *best = NULL;
	bool best_early = false;
	double there = INFINITY;
	size_t least = 0;
	for (size_t i = 0; i < s->places.n; i++) {
		struct point *x = &s->points[i];
		if (!is_open(s, x) || round_s(s, x) > left_s)
			continue;
		size_t n = x->v.a.log.n;
		bool early = is_early(s, x);
		double here = seconds_to_decide(s, x, n);
		if (best && (best_early != early ? best_early : here > there || (here >= there && n >= least)))
			continue;
		best = x, best_early = early, there = here, least = n;
	}
	return best;
}

static int measure(struct sweep *s, struct error *e)
{
	struct progress progress;
	uint64_t began = clock_mono_ns();
	int rc = 0;
	progress_begin(&progress, "sweeping", s->asked->max_time);
	for (struct point *x; !rc;) {
		double used = (double)(clock_mono_ns() - began) * 1e-9;
		if (used > s->asked->max_time || !(x = next_point(s, s->asked->max_time - used)))
			break;
		size_t arms[2] = { x->sides[0].arm, x->sides[1].arm };
		struct session_figure f[2];
		char name[200];
		progress_step(&progress, used, bench_case_name(&x->place->c, name, sizeof(name)));
		rc = session_round(s->session, x->index, arms, 2, SESSION_CONTROLS, f, e);
		if (rc)
			break;
		x->spent_s += (double)(clock_mono_ns() - began) * 1e-9 - used;
		x->made++;
		x->failed = f[0].outcome != RUN_OK || f[1].outcome != RUN_OK ? x->failed + 1 : 0;
		rc = ask(s, x, e);
		adjust(s);
	}
	s->spent_s = (double)(clock_mono_ns() - began) * 1e-9;
	progress_end(&progress);
	return rc;
}

static int keep_verdicts(struct sweep *s, struct error *e)
{
	int rc = store_begin(s->p.store, e);
	for (size_t i = 0; !rc && i < s->places.n; i++) {
		struct verdict_answer v = s->points[i].v;
		if (!v.a.log.n && v.a.verdict != STATS_INVALID)
			continue;
		v.a.verdict = verdict_of(s, &s->points[i]);
		rc = verdict_store(s->p.store, &s->points[i].q, &v, false, e);
	}
	if (!rc)
		return store_commit(s->p.store, e);
	store_rollback(s->p.store);
	return rc;
}

static int rank(const struct sweep *s, const struct point *x)
{
	static const int ranks[] = { [STATS_REGRESSION] = 0, [STATS_IMPROVEMENT] = 1, [STATS_UNCLEAR] = 2, [STATS_NO_CHANGE] = 3, [STATS_INVALID] = 4 };
	return !x->sides ? 5 : ranks[verdict_of(s, x)];
}

/* The clearest first: regressions by size, improvements, what is open, what does not differ, what could not be measured. */
static const struct point **in_order(const struct sweep *s)
{
	const struct point **list = x_calloc(s->places.n + 1, sizeof(*list));
	for (size_t i = 0; i < s->places.n; i++) {
		const struct point *x = &s->points[i];
		size_t k = i;
		while (k && (rank(s, x) < rank(s, list[k - 1]) ||
			     (rank(s, x) == rank(s, list[k - 1]) && fabs(x->v.a.log.mid) > fabs(list[k - 1]->v.a.log.mid)))) {
			list[k] = list[k - 1];
			k--;
		}
		list[k] = x;
	}
	return list;
}

static const char *variant_of(const struct sweep *s, const struct point *x)
{
	return s->places.variants[x->place->variant];
}

static const char *why_not(const struct sweep *s, const struct point *x)
{
	return !x->sides ? s->broken[x->place->variant].text : x->same ? "the two load the same bytes" : x->v.detail;
}

static void print_row(const struct sweep *s, struct table *t, const struct point *x)
{
	char name[200], change[32], lo[32], hi[32], interval[80] = "", rounds[24] = "", q[24] = "";
	bool any = x->v.a.log.n > 0, bounded = any && isfinite(x->v.a.log.lo) && isfinite(x->v.a.log.hi);
	if (bounded)
		snprintf(interval, sizeof(interval), "[%s, %s]", table_change(x->v.a.lo, lo, sizeof(lo)), table_change(x->v.a.hi, hi, sizeof(hi)));
	if (any)
		snprintf(rounds, sizeof(rounds), "%zu", x->v.a.log.n), snprintf(q, sizeof(q), "%.2g", x->adjusted);
	table_row(t, bench_case_name(&x->place->c, name, sizeof(name)), variant_of(s, x), x->sides ? stats_verdict_name(verdict_of(s, x)) : "not built",
		  any ? table_change(x->v.a.ratio, change, sizeof(change)) : "", interval, rounds, q, why_not(s, x));
}

static void print_answer(const struct sweep *s)
{
	const struct point **list = in_order(s);
	size_t differ = 0, same = 0, open = 0;
	char name[200], change[32];
	for (size_t i = 0; i < s->places.n; i++) {
		open += is_open(s, list[i]) && list[i]->v.a.log.n < s->first_look;
		differ += list[i]->sides && told(verdict_of(s, list[i]));
		same += list[i]->sides && verdict_of(s, list[i]) == STATS_NO_CHANGE;
	}
	const struct point *most = s->places.n ? list[0] : NULL;
	for (size_t i = 1; i < s->places.n; i++)
		if (told(verdict_of(s, list[i])) && fabs(list[i]->v.a.log.mid) > fabs(most->v.a.log.mid))
			most = list[i];
	if (differ)
		printf("%s and %s differ in %zu of %zu configurations, most in %s, %s: %s by %s\n", s->asked->words[0], s->asked->words[1], differ, s->places.n,
		       bench_case_name(&most->place->c, name, sizeof(name)), variant_of(s, most), table_change(most->v.a.ratio, change, sizeof(change)), most->q.metric);
	else
		printf("%s and %s differ in none of %zu configurations that could be told; in %zu they are the same within the smallest effect of interest\n",
		       s->asked->words[0], s->asked->words[1], s->places.n, same);
	if (open)
		printf("%zu were not looked at long enough for any answer in the %.0f s (--max-time)\n", open, s->asked->max_time);
	printf("\n");
	struct table *t = table_new(8, "lllrlrrl");
	table_head(t, "configuration", "variant", "verdict", "change", "interval", "rounds", "q", "");
	for (size_t i = 0; i < s->places.n; i++)
		print_row(s, t, list[i]);
	table_print(t, stdout);
	table_free(t);
	printf("\nq: adjusted p-value (Benjamini and Hochberg over all configurations looked at); differences are told up to %.3g, so that about\n"
	       "that share of them may be false. To settle one of them, ask it alone: hakperf compare.\n", s->asked->fdr);
	free(list);
}

static json_t *answer_json(const struct sweep *s)
{
	const struct point **list = in_order(s);
	json_t *rows = json_array();
	for (size_t i = 0; i < s->places.n; i++) {
		const struct point *x = list[i];
		char name[200];
		json_t *row = json_pack("{s:o, s:s, s:b}", "case", cli_json_string(bench_case_name(&x->place->c, name, sizeof(name))), "variant", variant_of(s, x),
					"same_bytes", x->same);
		json_t *params = json_object();
		for (size_t k = 0; k < x->place->c.n_params; k++)
			json_object_set_new(params, x->place->c.params[k].name, cli_json_string(x->place->c.params[k].value));
		json_object_set_new(row, "workload", cli_json_string(x->place->c.workload));
		json_object_set_new(row, "class", x->place->c.size_class ? cli_json_string(x->place->c.size_class) : json_null());
		json_object_set_new(row, "phase", json_string(x->place->c.cold ? "cold" : "steady"));
		json_object_set_new(row, "parameters", params);
		bool any = x->v.a.log.n > 0;
		json_object_set_new(row, "ratio", x->sides ? cli_json_figure(any ? x->v.a.ratio : NAN, "ratio", x->q.metric, "interleaved rounds",
			(int64_t)x->v.a.log.n, any ? x->v.a.lo : NAN, any ? x->v.a.hi : NAN, stats_verdict_name(verdict_of(s, x))) : json_null());
		json_object_set_new(row, "q", any ? json_real(x->adjusted) : json_null());
		json_object_set_new(row, "detail", cli_json_string(why_not(s, x)));
		json_array_append_new(rows, row);
	}
	free(list);
	return json_pack("{s:I, s:f, s:f, s:o}", "session", (json_int_t)session_id(s->session), "fdr", s->asked->fdr, "seconds", s->spent_s, "configurations", rows);
}

static json_t *request_json(const struct sweep *s)
{
	json_t *axes = json_object(), *loaded = json_array();
	for (size_t i = 0; i < s->asked->axes.n; i++) {
		json_t *values = json_array();
		for (char **v = s->asked->axes.items[i].values; v && *v; v++)
			json_array_append_new(values, cli_json_string(*v));
		json_object_set_new(axes, s->asked->axes.items[i].name, values);
	}
	for (size_t i = 0; i < s->places.n_variants; i++)
		for (int k = 0; k < 2; k++)
			json_array_append_new(loaded, json_string(s->sides[i][k].loaded));
	return json_pack("{s:o, s:o, s:s*, s:f, s:o, s:o}", "a", cli_json_string(s->asked->words[0]), "b", cli_json_string(s->asked->words[1]), "metric",
			 s->asked->metric, "delta", s->asked->delta < 0 ? STATS_DELTA : s->asked->delta, "axes", axes, "loaded", loaded);
}

/* A pair that cannot be built is a row that says so, unless none can. */
static int open_sides(struct sweep *s, struct error *e)
{
	size_t good = 0;
	s->sides = x_calloc(s->places.n_variants, sizeof(*s->sides));
	s->broken = x_calloc(s->places.n_variants, sizeof(*s->broken));
	for (size_t i = 0; i < s->places.n_variants; i++) {
		int rc = side_pair_open(&s->p, s->sides[i], s->asked->words, s->places.variants[i], false, &s->broken[i]);
		if (rc == -EINTR)
			return error_set(e, rc, "%s", s->broken[i].text);
		good += !rc;
		if (!s->sides[i][0].commit.tree[0] && !s->sides[i][1].commit.tree[0] && !rc)
			s->places.n_variants = i + 1; /* files have no variants */
	}
	return good ? 0 : error_set(e, s->broken[0].code, "%s", s->broken[0].text);
}

static void drop_places(struct sweep *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->places.n; i++) {
		if (s->places.items[i].variant < s->places.n_variants)
			s->places.items[n++] = s->places.items[i];
		else
			bench_case_release(&s->places.items[i].c);
	}
	s->places.n = n;
}

static int open_session(struct sweep *s, const char *request, struct error *e)
{
	const char *events[2];
	int rc = side_metric_events(s->p.store, s->asked->metric, events, e);
	struct session_options o = { .store = s->p.store, .verb = "sweep", .request_json = request, .metric = s->asked->metric, .delta = s->asked->delta,
				     .workloads = s->p.workloads, .control = s->p.control, .toolkit_version = hakperf_version, .lock_wait_s = s->asked->wait,
				     .events = events[0] ? events : NULL };
	if (!s->p.config.subject.network)
		network_leave();
	if (!rc)
		rc = session_open(&o, &s->session, e);
	for (size_t i = 0; !rc && i < s->places.n_variants; i++)
		for (int k = 0; !rc && k < 2 && !s->broken[i].code; k++)
			rc = side_add(&s->p, s->session, &s->sides[i][k], e);
	s->points = x_calloc(s->places.n + 1, sizeof(*s->points));
	s->first_look = 1;
	while (stats_cs_bound(s->first_look, STATS_CONFIDENCE) > s->first_look)
		s->first_look++;
	for (size_t i = 0; !rc && i < s->places.n; i++) {
		struct point *x = &s->points[i];
		size_t variant = s->places.items[i].variant;
		x->place = &s->places.items[i];
		x->v.a.log.mid = 0;
		rc = session_add_case(s->session, &x->place->c, &x->index, e);
		if (rc || s->broken[variant].code)
			continue;
		x->sides = s->sides[variant];
		x->same = side_pair_same(x->sides);
		size_t arms[2] = { x->sides[0].arm, x->sides[1].arm };
		x->q = (struct verdict_question){ .session_id = session_id(s->session), .case_id = session_case_id(s->session, x->index),
						  .arm_a = session_arm_id(s->session, arms[0]), .arm_b = session_arm_id(s->session, arms[1]),
						  .metric = session_metric(s->session, x->index), .delta = s->asked->delta };
		if (x->same)
			x->v.a.verdict = STATS_NO_CHANGE;
		else
			rc = session_plan(s->session, x->index, arms, 2, s->first_look, e);
		if (!rc && !x->same)
			rc = ask(s, x, e);
	}
	adjust(s);
	return rc;
}

static void sweep_release(struct sweep *s)
{
	for (size_t i = 0; s->sides && i < s->places.n_variants; i++)
		side_close(&s->sides[i][0]), side_close(&s->sides[i][1]);
	free(s->sides), free(s->broken), free(s->points);
	sweep_places_release(&s->places);
	project_close(&s->p);
}

int cmd_sweep(int argc, char **argv)
{
	struct asked a = { .delta = -1, .max_time = 120, .fdr = 0.05 };
	int usage = parse(argc, argv, &a);
	if (usage) {
		sweep_axes_release(&a.axes);
		return usage;
	}
	child_catch_signals();
	struct error e = { 0 };
	struct sweep s = { .asked = &a };
	json_t *request = NULL;
	int rc = project_open(&s.p, a.config, a.db, PROJECT_SUBJECT | PROJECT_STORE_WRITE, &e);
	if (!rc)
		rc = sweep_expand(&s.p.config, &a.axes, &s.places, &e);
	if (!rc)
		rc = open_sides(&s, &e);
	if (!rc) {
		drop_places(&s);
		request = request_json(&s);
		char *text = json_dumps(request, JSON_SORT_KEYS | JSON_COMPACT);
		rc = open_session(&s, text, &e);
		free(text);
	}
	bool began = !rc;
	if (!rc)
		rc = measure(&s, &e);
	struct error kept = { 0 };
	if (began && (!rc || rc == -EINTR)) { /* Ctrl-C: what was measured is told */
		int stored = keep_verdicts(&s, &kept);
		if (a.json)
			cli_envelope("sweep", json_incref(request), answer_json(&s));
		else
			print_answer(&s);
		rc = rc ? rc : stored ? error_set(&e, stored, "%s", kept.text) : 0;
	}
	if (s.session) {
		int closed = session_close(s.session, session_state(rc), rc ? e.text : NULL, rc ? NULL : &e);
		rc = rc ? rc : closed;
	}
	json_decref(request);
	sweep_release(&s);
	sweep_axes_release(&a.axes);
	return rc ? cli_cannot("sweep", &e) : CLI_ANSWERED;
}
