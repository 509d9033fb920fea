/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/bisect_private.h"

#include "base/buf.h"
#include "harness/store_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is known before the search asks for anything: builds in the cache, costs and noise of this
 * machine, what was measured here before. */

/* A/A pairs of the record from which its noise is believed, and what they count for at most: noise
 * moves from day to day. */
#define NOISE_PAIRS 8
#define NOISE_WORTH 50
/* Layout spread of one link in log units, where a subject cannot be relinked: as of function orders
 * of one object file. */
#define LAYOUT_SD 0.01
/* What the harness may favour the reference by, in log units; A/A pairs would tell of more. */
#define LEVEL_SD 0.002

static json_t *options_json(struct bisect *b)
{
	struct search_options d = search_defaults();
	bool fixed = !b->exact && !session_arm_relinks(b->session, b->commits[0].arm);
	double delta = log1p(b->o->delta >= 0 ? b->o->delta
			     : b->exact	      ? BISECT_EXACT_DELTA
					      : STATS_DELTA);
	double noise_sd = 0, noise_dof = 0, build_cost = d.build_cost;
	int64_t machine = session_machine(b->session),
		case_id = session_case_id(b->session, b->index);
	struct store_noises noise = { 0 };
	if (!b->exact &&
	    !store_noise(b->o->store, machine, STORE_INT(case_id), b->metric, &noise, NULL) &&
	    noise.n && noise.items[0].pairs >= NOISE_PAIRS && noise.items[0].robust_sd > 0) {
		noise_sd = noise.items[0].robust_sd;
		noise_dof = fmin(NOISE_WORTH, (double)noise.items[0].pairs);
	}
	store_free(noise.pool);
	struct store_optreal build_ns, run_ns;
	/* A measurement is a round of two runs. */
	if (!store_costs(b->o->store, machine, case_id, &build_ns, &run_ns, NULL) &&
	    build_ns.known && run_ns.known && run_ns.v > 0)
		build_cost = build_ns.v / (2 * run_ns.v);
	return json_pack("{s:f, s:f, s:b, s:f, s:f, s:f, s:b, s:f, s:f, s:i, s:b, s:b}", "confidence",
			 b->o->confidence > 0 ? b->o->confidence : d.confidence, "delta", delta,
			 "exact", b->exact, "noise_sd", noise_sd, "noise_dof", noise_dof,
			 "level_sd", b->exact || fixed ? 0 : LEVEL_SD,
			 "fixed_layout", fixed, "layout_sd", fixed ? LAYOUT_SD : 0, "build_cost",
			 build_cost, "max_steps", 0, "staircase", b->o->all, "first_parent",
			 b->o->first_parent);
}

/* The first commit of each key: those that leave the subject alone share a build. */
static size_t with_key(const struct bisect *b, char (*keys)[BUILD_KEY], const char *key)
{
	for (size_t i = 0; i < b->range.n; i++)
		if (!strcmp(keys[i], key))
			return i;
	return b->range.n;
}

/* Builds in the cache cost nothing: the search must know before it chooses. */
static int builds(struct bisect *b, json_t *built, json_t *broken, char (*keys)[BUILD_KEY],
		  struct error *e)
{
	const struct history_commit **list = x_calloc(b->range.n, sizeof(*list));
	struct build *found = x_calloc(b->range.n, sizeof(*found));
	for (size_t i = 0; i < b->range.n; i++)
		list[i] = &b->range.commits[i].info;
	int rc = subject_build_many(b->o->subject, list, b->range.n, b->o->variant,
				    BUILD_CACHED_ONLY, NULL, NULL, found, e);
	for (size_t i = 0; i < b->range.n; i++) {
		memcpy(keys[i], found[i].key, BUILD_KEY);
		if (!rc && (found[i].outcome == BUILD_OK || !i || i + 1 == b->range.n))
			json_array_append_new(built, json_string(list[i]->id));
		else if (!rc && found[i].outcome != BUILD_NONE)
			json_array_append_new(broken, json_string(list[i]->id));
		build_release(&found[i]);
	}
	free(list), free(found);
	return rc;
}

static void add_pair(const struct bisect *b, json_t *pairs, size_t i, json_t *against, double x)
{
	json_array_append_new(pairs,
			      json_pack("[s, o, f]", b->range.commits[i].info.id, against, x));
}

/* ---- exact counts ---- */

static const char COUNTED_BUILDS[] =
	"SELECT DISTINCT build.id, build.key FROM build"
	" JOIN session_arm AS arm ON arm.build_id = build.id"
	" JOIN session ON session.id = arm.session_id"
	" JOIN session_cell AS cell ON cell.arm_id = arm.id"
	" WHERE session.machine_id = :machine AND cell.case_id = :case AND cell.kind = 'exact'"
	" AND build.outcome = 'ok' ORDER BY build.id";

static int exact_counts(struct bisect *b, char (*keys)[BUILD_KEY], json_t *pairs, struct error *e)
{
	int64_t case_id = session_case_id(b->session, b->index);
	struct store_rows *r = rows_open(b->o->store, COUNTED_BUILDS);
	rows_bind_int(r, ":machine", session_machine(b->session));
	rows_bind_int(r, ":case", case_id);
	int rc;
	while ((rc = rows_next(r, e)) > 0) {
		size_t i = with_key(b, keys, rows_text(r, 1));
		struct store_exact x;
		if (i == b->range.n || i == 0 || i + 1 == b->range.n)
			continue;
		if ((rc = store_exact(b->o->store, rows_int(r, 0), case_id, BISECT_EXACT, 1, &x,
				      e)))
			break;
		if (!x.found || x.repeats < 2 || (x.operations.known && x.operations.v <= 0))
			continue;
		if (strcmp(x.checksum, b->commits[0].exact.checksum)) /* other work: asked anew, it is skipped */
			continue;
		struct exact_answer *a = &b->commits[i].exact;
		a->per_op = x.median / (x.operations.known ? (double)x.operations.v : 1);
		a->operations = x.operations.known ? (uint64_t)x.operations.v : 0;
		a->counted = a->recorded = true;
		a->exact = x.least >= x.most;
		a->per_malloc = a->per_free = NAN;
		add_pair(b, pairs, i, json_null(),
			 stats_log_ratio(b->commits[0].exact.per_op, a->per_op));
	}
	rows_close(r);
	if (rc < 0)
		return rc;
	add_pair(b, pairs, 0, json_null(), 0);
	add_pair(b, pairs, b->range.n - 1, json_null(),
		 stats_log_ratio(b->commits[0].exact.per_op,
				 b->commits[b->range.n - 1].exact.per_op));
	return 0;
}

/* ---- timed rounds ---- */

/* Two arms of an earlier session that ran in the same rounds of this case. */
struct old_arm {
	int64_t id;
	char key[BUILD_KEY];
	size_t at; /* in the range, or range.n */
};

struct old_pair {
	int64_t session;
	struct old_arm before, after;
};

/* Of each round every arm beside the first: pairs of the others would tell the same noise twice. */
static const char MEASURED_PAIRS[] =
	"WITH first AS (SELECT round.id AS round_id, round.session_id, min(arm.number) AS number"
	" FROM round JOIN session ON session.id = round.session_id"
	" JOIN run ON run.round_id = round.id JOIN session_arm AS arm ON arm.id = run.arm_id"
	" WHERE session.machine_id = :machine AND session.id <> :session"
	" AND round.case_id = :case AND round.kind = 'timed'"
	" AND arm.role IN ('subject', 'reference') GROUP BY round.id)"
	" SELECT DISTINCT a.session_id, a.id, before.key, z.id, after.key FROM first"
	" JOIN session_arm AS a ON a.session_id = first.session_id AND a.number = first.number"
	" JOIN build AS before ON before.id = a.build_id"
	" JOIN run ON run.round_id = first.round_id"
	" JOIN session_arm AS z ON z.id = run.arm_id AND z.number > a.number"
	" JOIN build AS after ON after.id = z.build_id"
	" WHERE a.environment_json = '{}' AND z.environment_json = '{}'"
	" AND z.role IN ('subject', 'reference') ORDER BY a.session_id, a.number, z.number";

static struct old_arm old_arm(const struct bisect *b, char (*keys)[BUILD_KEY], struct store_rows *r,
			      int column)
{
	struct old_arm a = { .id = rows_int(r, column) };
	snprintf(a.key, sizeof(a.key), "%s", rows_text(r, column + 1));
	a.at = with_key(b, keys, a.key);
	return a;
}

static int old_pairs(struct bisect *b, char (*keys)[BUILD_KEY], struct old_pair **list, size_t *n,
		     struct error *e)
{
	size_t cap = 0;
	struct store_rows *r = rows_open(b->o->store, MEASURED_PAIRS);
	rows_bind_int(r, ":machine", session_machine(b->session));
	rows_bind_int(r, ":session", session_id(b->session));
	rows_bind_int(r, ":case", session_case_id(b->session, b->index));
	int rc;
	while ((rc = rows_next(r, e)) > 0) {
		x_grow(*list, *n, cap);
		(*list)[(*n)++] = (struct old_pair){ .session = rows_int(r, 0),
						     .before = old_arm(b, keys, r, 1),
						     .after = old_arm(b, keys, r, 3) };
	}
	rows_close(r);
	return rc;
}

/* How the search calls a reference: null for the good end, a commit of the range, or a number for
 * another build. NULL: no number is left. */
static json_t *reference_json(const struct bisect *b, const struct old_arm *a,
			      char (*outside)[BUILD_KEY], size_t *n_outside)
{
	if (a->at == 0)
		return json_null();
	if (a->at < b->range.n)
		return json_string(b->range.commits[a->at].info.id);
	for (size_t k = 0; k < *n_outside; k++)
		if (!strcmp(outside[k], a->key))
			return json_integer((json_int_t)k + 1);
	if (*n_outside == SEARCH_REFERENCES)
		return NULL;
	memcpy(outside[(*n_outside)++], a->key, BUILD_KEY);
	return json_integer((json_int_t)*n_outside);
}

static int pairs_of(struct bisect *b, const struct old_pair *p, const json_t *against,
		    json_t *pairs, struct error *e)
{
	struct verdict_question q = { .session_id = p->session,
				      .case_id = session_case_id(b->session, b->index),
				      .arm_a = p->before.id,
				      .arm_b = p->after.id,
				      .metric = b->metric,
				      .delta = -1 };
	double *x = NULL;
	size_t n = 0;
	int rc = verdict_ratios(b->o->store, &q, &x, &n, e);
	for (size_t k = 0; !rc && k < n; k++)
		if (isfinite(x[k]))
			add_pair(b, pairs, p->after.at, json_deep_copy(against), x[k]);
	free(x);
	return rc;
}

/*
 * Rounds of earlier sessions in which commits of this range ran. Layouts that stay with a build
 * would make pairs of different sessions agree for no good reason, so a fixed layout begins anew.
 */
static int earlier_rounds(struct bisect *b, char (*keys)[BUILD_KEY], json_t *pairs, struct error *e)
{
	struct old_pair *list = NULL;
	char outside[SEARCH_REFERENCES][BUILD_KEY];
	size_t n = 0, n_outside = 0;
	int rc = old_pairs(b, keys, &list, &n, e);
	for (size_t i = 0; !rc && i < n; i++) {
		if (list[i].after.at == b->range.n || list[i].after.at == list[i].before.at)
			continue;
		json_t *against = reference_json(b, &list[i].before, outside, &n_outside);
		if (against)
			rc = pairs_of(b, &list[i], against, pairs, e);
		json_decref(against);
	}
	free(list);
	return rc;
}

/* The rounds of the ends are measurements of bad against the reference. */
static int rounds_of_ends(struct bisect *b, json_t *pairs, struct error *e)
{
	struct bisect_pair ends = { .before = 0, .after = b->range.n - 1 };
	struct verdict_question q = bisect_question(b, &ends, b->metric);
	double *x = NULL;
	size_t n = 0;
	int rc = verdict_ratios(b->o->store, &q, &x, &n, e);
	for (size_t i = 0; !rc && i < n; i++)
		add_pair(b, pairs, b->range.n - 1, json_null(), x[i]);
	free(x);
	return rc;
}

int bisect_known(struct bisect *b, json_t **open, struct error *e)
{
	json_t *built = json_array(), *broken = json_array(), *pairs = json_array(),
	       *options = options_json(b);
	char(*keys)[BUILD_KEY] = x_calloc(b->range.n, sizeof(*keys));
	bool fixed = json_is_true(json_object_get(options, "fixed_layout"));
	int rc = builds(b, built, broken, keys, e);
	if (!rc && b->exact)
		rc = exact_counts(b, keys, pairs, e);
	else if (!rc)
		rc = rounds_of_ends(b, pairs, e);
	if (!rc && !b->exact && !fixed && !b->o->again)
		rc = earlier_rounds(b, keys, pairs, e);
	free(keys);
	*open = json_pack("{s:o, s:o, s:o, s:o}", "options", options, "built", built, "broken",
			  broken, "pairs", pairs);
	return rc;
}

/* ---- where the ends do differ ---- */

static const char DIFFERENT_CASES[] =
	"SELECT workload.name, bench_case.size_class, bench_case.working_set, bench_case.cycles,"
	" metric.name, verdict.verdict, verdict.ratio, max(verdict.id)"
	" FROM verdict JOIN session_arm AS a ON a.id = verdict.arm_a_id"
	" JOIN session_arm AS z ON z.id = verdict.arm_b_id"
	" JOIN session ON session.id = verdict.session_id"
	" JOIN bench_case ON bench_case.id = verdict.case_id"
	" JOIN workload ON workload.id = bench_case.workload_id"
	" JOIN metric ON metric.id = verdict.metric_id WHERE session.machine_id = :machine"
	" AND a.build_id = :good AND z.build_id = :bad AND verdict.case_id <> :case"
	" AND verdict.part = 'run' AND verdict.verdict IN ('regression', 'improvement')"
	" GROUP BY verdict.case_id, verdict.metric_id"
	" ORDER BY abs(ln(verdict.ratio)) DESC LIMIT 8";

int bisect_elsewhere(struct bisect *b, json_t **list, struct error *e)
{
	*list = json_array();
	struct store_rows *r = rows_open(b->o->store, DIFFERENT_CASES);
	rows_bind_int(r, ":machine", session_machine(b->session));
	rows_bind_int(r, ":good", b->commits[0].build_id);
	rows_bind_int(r, ":bad", b->commits[b->range.n - 1].build_id);
	rows_bind_int(r, ":case", session_case_id(b->session, b->index));
	int rc;
	while ((rc = rows_next(r, e)) > 0) {
		json_t *j = json_pack("{s:s, s:s?, s:s, s:s, s:f}", "workload", rows_text(r, 0),
				      "class", rows_null(r, 1) ? NULL : rows_text(r, 1), "metric",
				      rows_text(r, 4), "verdict", rows_text(r, 5), "ratio",
				      rows_real(r, 6));
		if (!rows_null(r, 2))
			json_object_set_new(j, "working_set", json_integer(rows_int(r, 2)));
		if (!rows_null(r, 3))
			json_object_set_new(j, "cycles", json_integer(rows_int(r, 3)));
		json_array_append_new(*list, j);
	}
	rows_close(r);
	return rc;
}
