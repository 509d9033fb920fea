/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/claim_plan.h"

#include "base/buf.h"
#include "base/clock.h"
#include "bisect/account_run.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/version.h"
#include "harness/network.h"
#include "harness/session.h"
#include "harness/store_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Enough for an interval of a few per cent on most; what is wider then stays unclear. */
#define ROUNDS_OWN 60
#define ROUNDS_SWEEP 40
#define FAILURES 3 /* one after another: it will not come */

struct verify {
	struct project *p;
	const struct claims *claims;
	const size_t *chosen;
	size_t n;
	const struct claim_options *o;
	struct claim_plan plan;
	struct session *session;
	struct progress progress;
	size_t first_look;
	double spent_s;
};

static const struct config_claim *claim_of(const struct verify *v, const struct claim_attempt *a)
{
	return &v->claims->items[v->chosen[a->claim]].k;
}

/* ---- builds ---- */

static int build_revs(struct verify *v, struct error *e)
{
	int rc = 0;
	progress_begin(&v->progress, "building", (double)v->plan.n_revs);
	for (size_t i = 0; !rc && i < v->plan.n_revs; i++) {
		struct claim_rev *r = &v->plan.revs[i];
		struct error why = { 0 };
		progress_step(&v->progress, (double)i, r->label);
		rc = history_resolve(v->p->subject.history, r->word, &r->commit, &why);
		if (!rc)
			rc = subject_build(
				&v->p->subject, &r->commit, r->variant, BUILD_PIN, &r->build, &why);
		r->ok = !rc && r->build.outcome == BUILD_OK;
		if (rc == -EINTR)
			return error_set(e, rc, "%s", why.text);
		if (rc)
			snprintf(r->why, sizeof(r->why), "%.390s", why.text);
		else if (!r->ok)
			snprintf(r->why, sizeof(r->why), "%s: %s: %.300s", r->label,
				build_outcome_name(r->build.outcome),
				r->build.detail ? r->build.detail : "");
		rc = 0;
	}
	progress_end(&v->progress);
	return rc;
}

static const struct claim_rev *missing(const struct verify *v, const struct claim_trial *t)
{
	for (int k = 0; k < 2; k++)
		if (t->rev[k] != CLAIM_NO_REV && !v->plan.revs[t->rev[k]].ok)
			return &v->plan.revs[t->rev[k]];
	return NULL;
}

/* ---- the session ---- */

static json_t *request_json(const struct verify *v)
{
	json_t *names = json_array(), *loaded = json_array();
	for (size_t i = 0; i < v->n; i++)
		json_array_append_new(
			names, cli_json_string(v->claims->items[v->chosen[i]].k.name));
	for (size_t i = 0; i < v->plan.n_revs; i++)
		json_array_append_new(loaded,
			json_string(v->plan.revs[i].ok ? v->plan.revs[i].build.loaded_hash : ""));
	return json_pack("{s:o, s:o, s:b, s:f, s:I}", "claims", names, "loaded", loaded, "sweep",
		v->o->sweep, "confidence", v->o->confidence, "trials",
		(json_int_t)v->plan.n_trials);
}

static int add_arms(struct verify *v, struct error *e)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < v->plan.n_revs; i++) {
		struct claim_rev *r = &v->plan.revs[i];
		if (!r->ok)
			continue;
		rc = subject_record(&v->p->subject, v->p->store, &r->commit, &r->build,
			&r->commit_id, &r->build_id, e);
		struct session_arm arm =
			subject_arm(&v->p->subject, &r->build, r->label, r->commit_id, r->build_id);
		if (!rc)
			rc = session_add_arm(v->session, &arm, &r->arm, e);
	}
	return rc;
}

static int open_session(struct verify *v, struct error *e)
{
	json_t *request = request_json(v);
	char *text = json_dumps(request, JSON_SORT_KEYS | JSON_COMPACT);
	struct session_options o = {
		.store = v->p->store,
		.verb = "claim",
		.request_json = text,
		.delta = -1,
		.confidence = v->o->confidence,
		.workloads = v->p->workloads,
		.control = v->p->control,
		.toolkit_version = hakperf_version,
		.lock_wait_s = v->o->wait,
	};
	if (!v->p->config.subject.network)
		network_leave();
	int rc = session_open(&o, &v->session, e);
	free(text), json_decref(request);
	if (!rc)
		rc = add_arms(v, e);
	for (size_t i = 0; !rc && i < v->plan.n_trials; i++) {
		struct claim_trial *t = v->plan.trials[i];
		const struct claim_rev *broken = missing(v, t);
		if (broken)
			snprintf(t->detail, sizeof(t->detail), "%s", broken->why);
		else if (!t->function)
			rc = session_add_case(v->session, &t->c, &t->index, e);
		if (!broken && t->rev[0] != CLAIM_NO_REV)
			t->same = v->p->config.subject.use == CONFIG_PRELOAD &&
				  !strcmp(v->plan.revs[t->rev[0]].build.loaded_hash,
					  v->plan.revs[t->rev[1]].build.loaded_hash);
	}
	return rc;
}

/* ---- what a trial's rounds say ---- */

static int64_t arm_id(const struct verify *v, size_t rev)
{
	return rev == CLAIM_NO_REV ? 0 : session_arm_id(v->session, v->plan.revs[rev].arm);
}

static int ask_ratio(struct verify *v, struct claim_trial *t, struct error *e)
{
	struct verdict_answer a;
	struct verdict_question q = { .session_id = session_id(v->session),
		.case_id = session_case_id(v->session, t->index),
		.arm_a = arm_id(v, t->rev[0]),
		.arm_b = arm_id(v, t->rev[1]),
		.metric = t->metric ? t->metric : session_metric(v->session, t->index),
		.delta = -1,
		.confidence = v->o->confidence };
	int rc = verdict_ask(v->p->store, &q, &a, e);
	if (rc)
		return rc;
	bool invalid = a.a.verdict == STATS_INVALID;
	t->rounds = a.a.log.n + a.disturbed + a.failed;
	t->n = a.a.log.n;
	t->mid = t->n ? a.a.ratio : NAN;
	t->lo = t->n ? (invalid ? 0 : a.a.lo) : NAN,
	t->hi = t->n ? (invalid ? INFINITY : a.a.hi) : NAN;
	snprintf(t->used, sizeof(t->used), "%s", q.metric);
	snprintf(t->detail, sizeof(t->detail), "%s%.580s", invalid ? "invalid: " : "", a.detail);
	return 0;
}

struct slope {
	double v[2], ops[2];
	bool known[2];
};

static void slope_add(struct slope *s, int multiplier, double value, double operations)
{
	int i = multiplier == 2;
	s->v[i] = value, s->ops[i] = operations, s->known[i] = true;
}

static double slope_of(const struct slope *s)
{
	return s->known[0] && s->known[1] && s->ops[1] > s->ops[0]
		       ? (s->v[1] - s->v[0]) / (s->ops[1] - s->ops[0])
		       : NAN;
}

static void keep(
	const struct claim_trial *t, const struct slope s[2], double **x, size_t *n, size_t *cap)
{
	double d = slope_of(&s[1]) - (t->rev[0] == CLAIM_NO_REV ? 0 : slope_of(&s[0]));
	if (isnan(d))
		return;
	x_grow(*x, *n, *cap);
	(*x)[(*n)++] = d;
}

/* What one operation adds to the metric: of one revision, or of the second more than of the first,
 * round by round. */
static int slopes(struct verify *v, const struct claim_trial *t, const char *metric, double **x,
	size_t *n, struct error *e)
{
	struct store_rows *r = rows_open(v->p->store,
		"SELECT round.number, run.arm_id, run.multiplier, sample.value, run.operations "
		"FROM round CROSS JOIN run ON run.round_id = round.id"
		" CROSS JOIN sample ON sample.run_id = run.id CROSS JOIN metric ON metric.id = "
		"sample.metric_id"
		" WHERE round.session_id = :session AND round.case_id = :case AND round.kind = "
		"'timed' AND NOT round.disturbed AND run.outcome = 'ok'"
		" AND run.operations > 0 AND run.arm_id IN (:a, :b) AND metric.name = :metric "
		"ORDER BY round.number");
	struct slope s[2] = { 0 };
	int64_t round = -1;
	size_t cap = 0;
	int rc;
	rows_bind_int(r, ":session", session_id(v->session));
	rows_bind_int(r, ":case", session_case_id(v->session, t->index));
	rows_bind_int(r, ":a", arm_id(v, t->rev[0]));
	rows_bind_int(r, ":b", arm_id(v, t->rev[1]));
	rows_bind_text(r, ":metric", metric);
	*x = NULL, *n = 0;
	while ((rc = rows_next(r, e)) > 0) {
		if (rows_int(r, 0) != round) {
			keep(t, s, x, n, &cap);
			memset(s, 0, sizeof(s));
			round = rows_int(r, 0);
		}
		slope_add(&s[rows_int(r, 1) == arm_id(v, t->rev[1])], (int)rows_int(r, 2),
			rows_real(r, 3), (double)rows_int(r, 4));
	}
	keep(t, s, x, n, &cap);
	rows_close(r);
	return rc;
}

static int ask_slopes(struct verify *v, struct claim_trial *t, struct error *e)
{
	const char *metric = t->metric ? t->metric : "cpu_ns";
	double *x;
	size_t n;
	int rc = slopes(v, t, metric, &x, &n, e);
	if (!rc && !n && !strcmp(metric, "cycles")) { /* no PMU: the estimate, under its own name */
		free(x);
		metric = "core_cycles_est";
		rc = slopes(v, t, metric, &x, &n, e);
	}
	if (!rc) {
		struct stats_interval ci = stats_cs(x, n, v->o->confidence);
		t->n = n;
		t->rounds = t->rounds < n ? n : t->rounds;
		t->mid = ci.mid, t->lo = n ? ci.lo : NAN, t->hi = n ? ci.hi : NAN;
		snprintf(t->used, sizeof(t->used), "%s", metric);
	}
	free(x);
	return rc;
}

static void judge(struct verify *v, const struct claim_trial *t)
{
	for (size_t i = 0; i < v->plan.n_attempts; i++) {
		struct claim_attempt *a = &v->plan.attempts[i];
		if (v->plan.trials[a->trial] != t)
			continue;
		const struct config_claim *k = claim_of(v, a);
		struct claim_aim aim = claim_aim(k);
		double by = t->slopes ? k->operations : 1;
		a->value = t->mid * by, a->lo = t->lo * by, a->hi = t->hi * by;
		a->outcome = claim_judge(aim.lo, aim.hi, k->tolerance, a->lo, a->hi);
	}
}

static int look(struct verify *v, struct claim_trial *t, struct error *e)
{
	int rc = 0;
	if (t->same && !t->slopes) {
		t->mid = t->lo = t->hi = 1;
		snprintf(t->detail, sizeof(t->detail), "the two load the same bytes");
	} else {
		rc = t->slopes ? ask_slopes(v, t, e) : ask_ratio(v, t, e);
	}
	judge(v, t);
	return rc;
}

/* ---- measuring ---- */

static bool is_open(const struct verify *v, const struct claim_trial *t)
{
	if (t->function || t->same || missing(v, t) || t->failed >= FAILURES ||
		t->rounds >= (t->own ? ROUNDS_OWN : ROUNDS_SWEEP))
		return false;
	for (size_t i = 0; i < v->plan.n_attempts; i++) {
		const struct claim_attempt *a = &v->plan.attempts[i];
		if (v->plan.trials[a->trial] == t &&
			(a->outcome == CLAIM_OPEN || a->outcome == CLAIM_UNTRIED))
			return true;
	}
	return false;
}

/* What the next round is worth: own configurations; what has no interval; what may be met; the rest. */
static int urgency(const struct verify *v, const struct claim_trial *t)
{
	if (t->own)
		return 3;
	if (t->n < v->first_look)
		return 2;
	for (size_t i = 0; i < v->plan.n_attempts; i++) {
		const struct claim_attempt *a = &v->plan.attempts[i];
		const struct config_claim *k = claim_of(v, a);
		struct claim_aim aim = claim_aim(k);
		if (v->plan.trials[a->trial] == t && a->outcome == CLAIM_OPEN &&
			claim_judge(aim.lo, aim.hi, k->tolerance, a->value, a->value) == CLAIM_MET)
			return 1;
	}
	return 0;
}

/* Seconds until it can have its first interval, or its next round. */
static double dear(const struct verify *v, const struct claim_trial *t)
{
	double run_s = session_run_s(v->session, t->index);
	size_t rounds = t->n < v->first_look ? v->first_look - t->n : 1 + t->rounds;
	return (double)rounds * (t->slopes ? 2 : 1) * (run_s > 0 ? run_s : 0.1);
}

/* The soonest of the most urgent, so that time ends with few half measured. */
static struct claim_trial *next_trial(struct verify *v)
{
	struct claim_trial *best = NULL;
	int most = -1;
	for (size_t i = 0; i < v->plan.n_trials; i++) {
		struct claim_trial *t = v->plan.trials[i];
		int now = is_open(v, t) ? urgency(v, t) : -1;
		if (now > most || (now == most && best && dear(v, t) < dear(v, best)))
			best = now >= 0 ? t : NULL, most = now;
	}
	return best;
}

static int measure_round(struct verify *v, struct claim_trial *t, struct error *e)
{
	size_t arms[2], n = 0;
	struct session_figure f[2];
	for (int k = 0; k < 2; k++)
		if (t->rev[k] != CLAIM_NO_REV)
			arms[n++] = v->plan.revs[t->rev[k]].arm;
	int rc = session_round(v->session, t->index, arms, n,
		SESSION_CONTROLS | (t->slopes ? SESSION_DOUBLE_ALL : 0), f, e);
	if (rc)
		return rc;
	bool bad = false;
	for (size_t k = 0; k < n; k++)
		if (f[k].outcome != RUN_OK) {
			bad = true;
			snprintf(t->detail, sizeof(t->detail), "%s", f[k].why);
		}
	t->failed = bad ? t->failed + 1 : 0;
	t->rounds++; /* of this sitting, where the record does not tell it */
	return look(v, t, e);
}

static int measure(struct verify *v, struct error *e)
{
	uint64_t began = clock_mono_ns();
	int rc = 0;
	for (size_t i = 0; !rc && i < v->plan.n_trials; i++)
		if (!v->plan.trials[i]->function && !missing(v, v->plan.trials[i]))
			rc = look(v, v->plan.trials[i], e);
	progress_begin(&v->progress, "trying claims", v->o->max_time);
	for (struct claim_trial *t; !rc && (t = next_trial(v));) {
		double used = (double)(clock_mono_ns() - began) * 1e-9;
		char name[200], words[300];
		if (used > v->o->max_time)
			break;
		snprintf(words, sizeof(words), "%s %s", bench_case_name(&t->c, name, sizeof(name)),
			t->variant);
		progress_step(&v->progress, used, words);
		rc = measure_round(v, t, e);
	}
	progress_end(&v->progress);
	v->spent_s += (double)(clock_mono_ns() - began) * 1e-9;
	return rc;
}

static void counted(void *ctx, size_t done, size_t n)
{
	struct verify *v = ctx;
	(void)n;
	progress_step(&v->progress, (double)done, "");
}

static void read_share(struct claim_trial *t, const struct account_count *c)
{
	struct account_function f;
	t->used[0] = '\0';
	if (!c->counted) {
		snprintf(t->detail, sizeof(t->detail), "not counted: %.500s", c->why);
		return;
	}
	size_t path = account_path_find(&c->account, t->entry);
	if (path == SIZE_MAX) {
		snprintf(t->detail, sizeof(t->detail), "%s is never called here", t->entry);
		return;
	}
	t->mid = account_function(&c->account, path, t->function, &f) ? 100 * f.reached : 0;
	t->lo = t->hi = t->mid;
	t->n = 1;
	snprintf(t->used, sizeof(t->used), "calls, counted by callgrind");
}

static int count_shares(struct verify *v, struct error *e)
{
	static const enum run_kind kinds[] = { [CONFIG_PRELOAD] = RUN_PRELOAD,
		[CONFIG_EXEC] = RUN_EXEC,
		[CONFIG_LIBRARY] = RUN_LIBRARY };
	struct account_want *want = x_calloc(v->plan.n_trials + 1, sizeof(*want));
	struct account_count *out = x_calloc(v->plan.n_trials + 1, sizeof(*out));
	struct claim_trial **of = x_calloc(v->plan.n_trials + 1, sizeof(*of));
	size_t n = 0;
	for (size_t i = 0; i < v->plan.n_trials; i++) {
		struct claim_trial *t = v->plan.trials[i];
		if (!t->function || missing(v, t))
			continue;
		of[n] = t;
		want[n++] = (struct account_want){ .build = &v->plan.revs[t->rev[1]].build,
			.kind = kinds[v->p->config.subject.use],
			.c = &t->c };
	}
	progress_begin(&v->progress, "counting calls", (double)n);
	int rc = n ? account_run(want, n, v->p->subject.jobs, v->p->workloads, counted, v, out, e)
		   : 0;
	progress_end(&v->progress);
	for (size_t i = 0; i < n; i++) {
		if (!rc) {
			read_share(of[i], &out[i]);
			judge(v, of[i]);
		}
		account_count_release(&out[i]);
	}
	free(want), free(out), free(of);
	return rc;
}

/* ---- results ---- */

static json_t *attempt_json(const struct verify *v, const struct claim_attempt *a)
{
	const struct claim_trial *t = v->plan.trials[a->trial];
	struct claim_aim aim = claim_aim(claim_of(v, a));
	char name[200];
	json_t *j = json_pack("{s:o, s:s, s:s, s:b, s:s}", "case",
		cli_json_string(bench_case_name(&t->c, name, sizeof(name))), "variant", t->variant,
		"phase", t->c.cold ? "cold" : "steady", "own", a->own, "outcome",
		claim_outcome_name(a->outcome));
	json_object_set_new(j, "figure",
		cli_json_figure(a->value, aim.unit, t->used[0] ? t->used : NULL,
			t->function ? "callgrind"
			: t->slopes ? "slope of N and 2N"
				    : "interleaved rounds",
			(int64_t)t->n, isfinite(a->lo) ? a->lo : NAN, isfinite(a->hi) ? a->hi : NAN,
			NULL));
	json_object_set_new(j, "detail", cli_json_string(t->detail));
	return j;
}

static enum claim_result conclude(const struct verify *v, size_t claim, size_t *tried)
{
	enum claim_outcome own = CLAIM_UNTRIED,
			   *others = x_calloc(v->plan.n_attempts + 1, sizeof(*others));
	size_t n = 0;
	*tried = 0;
	for (size_t i = 0; i < v->plan.n_attempts; i++) {
		const struct claim_attempt *a = &v->plan.attempts[i];
		if (a->claim != claim)
			continue;
		*tried += a->outcome != CLAIM_UNTRIED;
		if (a->own)
			own = a->outcome;
		else
			others[n++] = a->outcome;
	}
	enum claim_result r = claim_conclude(own, others, n);
	free(others);
	return r;
}

static json_t *claim_json(const struct verify *v, size_t claim)
{
	const struct config_claim *k = &v->claims->items[v->chosen[claim]].k;
	struct claim_aim aim = claim_aim(k);
	size_t tried;
	enum claim_result r = conclude(v, claim, &tried);
	char *words = claim_words(k);
	json_t *tries = json_array();
	for (int own = 1; own >= 0; own--)
		for (size_t i = 0; i < v->plan.n_attempts; i++)
			if (v->plan.attempts[i].claim == claim && v->plan.attempts[i].own == own)
				json_array_append_new(tries, attempt_json(v, &v->plan.attempts[i]));
	json_t *j = json_pack("{s:o, s:o, s:o, s:o, s:s, s:i}", "name", cli_json_string(k->name),
		"text", cli_json_string(k->text), "claimed", cli_json_string(words), "commit",
		cli_json_string(k->commit), "result", claim_result_name(r), "tried", (int)tried);
	json_object_set_new(
		j, "relative_to", k->relative_to ? cli_json_string(k->relative_to) : json_null());
	json_object_set_new(j, "aim",
		json_pack("{s:f, s:f, s:s, s:f}", "lo", aim.lo, "hi", aim.hi, "unit", aim.unit,
			"tolerance", k->tolerance));
	json_object_set_new(j, "tries", tries);
	free(words);
	return j;
}

static struct store_optreal known(double x)
{
	return isfinite(x) ? STORE_REAL(x) : (struct store_optreal){ 0 };
}

static int keep_attempt(const struct verify *v, const struct claim_attempt *a, struct error *e)
{
	const struct claim_trial *t = v->plan.trials[a->trial];
	double scale = claim_aim(claim_of(v, a)).scale;
	char name[200];
	json_t *j = json_pack("{s:o, s:s, s:s, s:b, s:s}", "case",
		cli_json_string(bench_case_name(&t->c, name, sizeof(name))), "variant", t->variant,
		"phase", t->c.cold ? "cold" : "steady", "own", a->own, "metric", t->used);
	char *text = json_dumps(j, JSON_SORT_KEYS | JSON_COMPACT);
	struct store_claim_check row = {
		.claim_id = v->claims->items[v->chosen[a->claim]].id,
		.session_id = STORE_INT(session_id(v->session)),
		.rounds = STORE_INT(t->n),
		.result = claim_outcome_name(a->outcome),
		.configuration_json = text,
		.detail = t->detail[0] ? t->detail : NULL,
		.value = known(a->value * scale),
		.value_lo = known(a->lo * scale),
		.value_hi = known(a->hi * scale),
	};
	int64_t unused;
	int rc = store_claim_check(v->p->store, &row, &unused, e);
	free(text), json_decref(j);
	return rc;
}

/* Every attempt, and for each claim what they come to. */
static int keep_all(const struct verify *v, struct error *e)
{
	int rc = store_begin(v->p->store, e);
	for (size_t i = 0; !rc && i < v->plan.n_attempts; i++)
		if (v->plan.attempts[i].outcome != CLAIM_UNTRIED ||
			v->plan.trials[v->plan.attempts[i].trial]->detail[0])
			rc = keep_attempt(v, &v->plan.attempts[i], e);
	for (size_t i = 0; !rc && i < v->n; i++) {
		size_t tried;
		int64_t unused;
		enum claim_result r = conclude(v, i, &tried);
		char *text = x_printf("{\"overall\":true,\"tried\":%zu}", tried);
		struct store_claim_check row = { .claim_id = v->claims->items[v->chosen[i]].id,
			.session_id = STORE_INT(session_id(v->session)),
			.result = claim_result_name(r),
			.configuration_json = text };
		rc = store_claim_check(v->p->store, &row, &unused, e);
		free(text);
	}
	if (!rc)
		return store_commit(v->p->store, e);
	store_rollback(v->p->store);
	return rc;
}

int claim_verify(struct project *p, const struct claims *c, const size_t *chosen, size_t n,
	const struct claim_options *o, json_t **result, struct error *e)
{
	struct verify v = {
		.p = p, .claims = c, .chosen = chosen, .n = n, .o = o, .first_look = 1
	};
	*result = NULL;
	while (stats_cs_bound(v.first_look, o->confidence) > v.first_look)
		v.first_look++;
	int rc = claim_plan_make(&p->config, c, chosen, n, o, &v.plan, e);
	if (!rc)
		rc = build_revs(&v, e);
	if (!rc)
		rc = open_session(&v, e);
	bool began = !rc;
	if (!rc)
		rc = count_shares(&v, e);
	if (!rc)
		rc = measure(&v, e);
	if (began && (!rc || rc == -EINTR)) { /* Ctrl-C: what was measured is told */
		struct error kept = { 0 };
		int stored = keep_all(&v, &kept);
		json_t *list = json_array();
		for (size_t i = 0; i < n; i++)
			json_array_append_new(list, claim_json(&v, i));
		*result = json_pack("{s:I, s:f, s:f, s:o}", "session",
			(json_int_t)session_id(v.session), "confidence", o->confidence, "seconds",
			v.spent_s, "claims", list);
		rc = rc ? rc : stored ? error_set(e, stored, "%s", kept.text) : 0;
	}
	if (v.session) {
		int closed = session_close(v.session, session_state(rc),
			rc ? e->text : NULL, rc ? NULL : e);
		rc = rc ? rc : closed;
	}
	claim_plan_release(&v.plan);
	return rc;
}
