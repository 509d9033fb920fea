/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/record.h"

#include "base/buf.h"
#include "harness/metric.h"
#include "harness/verdict.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t cell(const struct record *r, size_t case_index, size_t arm)
{
	return case_index * r->n_arms + arm;
}

const struct record_exact *record_exact_of(const struct record *r, size_t case_index, size_t arm)
{
	return &r->exact[cell(r, case_index, arm)];
}

const struct record_timed *record_timed_of(const struct record *r, size_t case_index, size_t arm)
{
	return &r->timed[cell(r, case_index, arm)];
}

const char *record_cost_unit(const struct record_case *c)
{
	return c->inverse							 ? "ns/op"
		: c->additive && c->metric_unit && !strcmp(c->metric_unit, "ns") ? "ns/op"
		: c->metric_unit						 ? c->metric_unit
										 : "";
}

size_t record_find_case(const struct record *r, const char *name)
{
	size_t i = 0;
	while (i < r->n_cases && strcmp(r->cases[i].name, name))
		i++;
	return i;
}

size_t record_find_arm(const struct record *r, const char *wanted)
{
	size_t n = strlen(wanted);
	for (size_t i = 0; i < r->n_arms; i++)
		if (!strcmp(r->arms[i].label, wanted) ||
			(r->arms[i].commit && n >= 7 && !strncmp(r->arms[i].commit, wanted, n)))
			return i;
	return r->n_arms;
}

/* A bisect may run one build under several arms: the good end beside itself, and those of proofs. */
static bool again(const struct record *r, const struct store_arm_row *a)
{
	for (size_t i = 0; i < r->n_arms && !strcmp(r->session->verb, "bisect"); i++)
		if (r->arms[i].build_id == a->build_id && a->commit_id.known &&
		    r->arms[i].commit_id == a->commit_id.v)
			return true;
	return false;
}

static void load_arms(struct record *r)
{
	r->arms = x_calloc(r->arm_rows.n + 1, sizeof(*r->arms));
	for (size_t i = 0; i < r->arm_rows.n; i++) {
		const struct store_arm_row *a = &r->arm_rows.items[i];
		if ((strcmp(a->role, "subject") && strcmp(a->role, "reference")) || again(r, a))
			continue;
		struct record_arm *to = &r->arms[r->n_arms];
		*to = (struct record_arm){ .id = a->id,
			.build_id = a->build_id,
			.commit_id = a->commit_id.known ? a->commit_id.v : 0,
			.label = a->label,
			.commit = a->commit,
			.subject = a->subject,
			.phase = a->phase,
			.outcome = a->outcome,
			.variant = a->variant,
			.loaded_hash = a->loaded_hash };
		to->same_code = r->n_arms && to->loaded_hash && to[-1].loaded_hash &&
			!strcmp(to->loaded_hash, to[-1].loaded_hash);
		r->n_arms++;
	}
}

static char *case_words(const struct store_case_row *c)
{
	struct buf b = { 0 };
	size_t n;
	const struct store_parameter *p = store_case_parameters(&n);
	buf_printf(&b, "%s, %s", c->workload, c->parameters.cold ? "cold start" : "steady state");
	if (strcmp(c->workload, c->program))
		buf_printf(&b, ", program %s", c->program);
	if (c->parameters.size_class)
		buf_printf(&b, ", size class %s", c->parameters.size_class);
	for (size_t i = 0; i < n; i++) {
		struct store_case copy = c->parameters;
		const struct store_opt *v = store_case_slot(&copy, &p[i]);
		if (v->known)
			buf_printf(&b, ", %s %lld", p[i].name, (long long)v->v);
	}
	if (c->parameters.seconds.known)
		buf_printf(&b, ", seconds %g", c->parameters.seconds.v);
	if (c->parameters.parameters_json && strcmp(c->parameters.parameters_json, "{}"))
		buf_printf(&b, ", %s", c->parameters.parameters_json);
	if (c->parameters.environment_json && strcmp(c->parameters.environment_json, "{}"))
		buf_printf(&b, ", environment %s", c->parameters.environment_json);
	return buf_detach(&b);
}

/* What a case is judged by: as its verdicts say, else as the session, else CPU time for one thread
 * and wall time for more. */
static const char *case_metric(const struct record *r, const struct store_case_row *c)
{
	for (size_t i = r->verdicts.n; i-- > 0;)
		if (r->verdicts.items[i].v.case_id == c->id)
			return r->verdicts.items[i].v.metric;
	if (r->session->metric && strcmp(r->session->metric, "instructions_exact"))
		return r->session->metric;
	return c->parameters.threads.known && c->parameters.threads.v > 1 ? "ops_per_s"
									  : "ops_per_cpu_s";
}

static void load_cases(struct record *r)
{
	r->cases = x_calloc(r->case_rows.n + 1, sizeof(*r->cases));
	r->n_cases = r->case_rows.n;
	for (size_t i = 0; i < r->n_cases; i++) {
		const struct store_case_row *c = &r->case_rows.items[i];
		const char *metric = case_metric(r, c);
		const struct metric *m = metric_find(metric);
		r->cases[i] = (struct record_case){
			.id = c->id,
			.workload = c->workload,
			.size_class = c->parameters.size_class,
			.words = case_words(c),
			.metric = metric,
			.name = c->parameters.size_class
				? x_printf("%s %s", c->workload, c->parameters.size_class)
				: x_strdup(c->workload),
			.inverse = !strncmp(metric, "ops_per_", 8),
			.additive = m && m->additive,
			.metric_unit = m ? m->unit : NULL,
			.higher_better = m && m->better == METRIC_HIGHER,
			.aa = { NAN, NAN, NAN, 0 },
		};
	}
}

static size_t case_index(const struct record *r, int64_t id)
{
	size_t lo = 0, hi = r->n_cases; /* by id */
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (r->cases[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->n_cases && r->cases[lo].id == id ? lo : r->n_cases;
}

static int by_id(const void *x, const void *y)
{
	int64_t a = ((const int64_t *)x)[0], b = ((const int64_t *)y)[0];
	return a < b ? -1 : a > b;
}

/* (id, index) of the arms, sorted: sessions have a thousand of them. */
struct arm_map {
	int64_t (*pairs)[2];
	size_t n;
};

static struct arm_map map_arms(const struct record *r)
{
	struct arm_map m = { x_calloc(r->n_arms + 1, sizeof(*m.pairs)), r->n_arms };
	for (size_t i = 0; i < r->n_arms; i++)
		m.pairs[i][0] = r->arms[i].id, m.pairs[i][1] = (int64_t)i;
	qsort(m.pairs, m.n, sizeof(*m.pairs), by_id);
	return m;
}

static size_t arm_index(const struct arm_map *m, int64_t id)
{
	int64_t key[2] = { id, 0 };
	const int64_t *found = bsearch(key, m->pairs, m->n, sizeof(*m->pairs), by_id);
	return found ? (size_t)found[1] : SIZE_MAX;
}

/*
 * Counts belong to builds: those of an earlier session serve as well, the latest session's count.
 * The best is to ask the builds of this session's arms for every count there is on this session's
 * cases.
 */
static const char exact_sql[] =
	"SELECT asked.id, round.case_id, metric.name, median (1.0 * sample.value / CASE WHEN "
	"metric.additive THEN run.operations ELSE 1 END),"
	" min (1.0 * sample.value / CASE WHEN metric.additive THEN run.operations ELSE 1 END),"
	" max (1.0 * sample.value / CASE WHEN metric.additive THEN run.operations ELSE 1 END), "
	"count (*)"
	" FROM session_arm AS asked"
	" CROSS JOIN session_arm AS counted ON counted.build_id = asked.build_id"
	" CROSS JOIN run ON run.arm_id = counted.id AND run.multiplier = 1 AND run.outcome = 'ok'"
	" CROSS JOIN round ON round.id = run.round_id AND round.kind = 'exact'"
	" CROSS JOIN sample ON sample.run_id = run.id"
	" CROSS JOIN metric ON metric.id = sample.metric_id"
	" WHERE asked.session_id = :session AND asked.role IN ('subject', 'reference')"
	" AND metric.name IN ('instructions_exact', 'instructions_per_malloc', "
	"'instructions_per_free')"
	" GROUP BY asked.id, round.case_id, metric.name, round.session_id ORDER BY asked.id, "
	"round.case_id, metric.name, round.session_id";

static int load_exact(struct record *r, const struct arm_map *map, struct error *e)
{
	struct store_rows *q = rows_open(r->store, exact_sql);
	rows_bind_int(q, ":session", r->session->id);
	int rc;
	while ((rc = rows_next(q, e)) > 0) {
		size_t a = arm_index(map, rows_int(q, 0)), c = case_index(r, rows_int(q, 1));
		if (a == SIZE_MAX || c == r->n_cases || rows_null(q, 3))
			continue;
		struct record_exact *x = &r->exact[cell(r, c, a)];
		const char *metric = rows_text(q, 2);
		if (!strcmp(metric, "instructions_per_malloc")) {
			x->per_malloc = rows_real(q, 3);
		} else if (!strcmp(metric, "instructions_per_free")) {
			x->per_free = rows_real(q, 3);
		} else {
			x->per_op = rows_real(q, 3), x->least = rows_real(q, 4),
			x->most = rows_real(q, 5);
			x->repeats = rows_int(q, 6);
			x->counted = r->cases[c].exact = true;
		}
	}
	rows_close(q);
	return rc;
}

static double cost(const struct record_case *c, double value, double operations)
{
	return c->inverse ? 1e9 / value : c->additive ? value / operations : value;
}

static void summarise(struct record_timed *t, const double *v, size_t n)
{
	struct stats_interval ci = stats_once(v, n, 0.95);
	*t = (struct record_timed){ n, ci.mid, isfinite(ci.lo) ? ci.lo : NAN,
		isfinite(ci.hi) ? ci.hi : NAN };
}

/* Values of one case; every case has a metric of its own. */
static const char timed_sql[] = "SELECT run.arm_id, sample.value, run.operations, source.name, "
				"round.number FROM round CROSS JOIN run ON run.round_id = round.id"
				" CROSS JOIN sample ON sample.run_id = run.id AND sample.metric_id "
				"= (SELECT id FROM metric WHERE name = :metric)"
				" CROSS JOIN source ON source.id = sample.source_id"
				" WHERE round.session_id = :session AND round.case_id = :case AND "
				"round.kind = 'timed' AND NOT round.disturbed"
				" AND run.outcome = 'ok' AND run.multiplier = 1";

static const char *known_source(const char *name)
{
	static const char *const known[] = { "thread_cpu_clock", "monotonic_clock", "pmu",
		"perf_software", "tsc", "rusage", "proc", "output" };
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i], name))
			return known[i];
	return "see the record";
}

static double *matrix_row(struct record_matrix *m, size_t n_arms, size_t round, size_t *cap)
{
	while (m->n_rounds <= round) {
		if (m->n_rounds >= *cap) {
			*cap = *cap ? 2 * *cap : 32;
			m->v = x_realloc(m->v, *cap * n_arms, sizeof(*m->v));
		}
		for (size_t a = 0; a < n_arms; a++)
			m->v[m->n_rounds * n_arms + a] = NAN;
		m->n_rounds++;
	}
	return m->v + round * n_arms;
}

static int load_timed_case(struct record *r, size_t c, const struct arm_map *map, struct error *e)
{
	struct record_case *k = &r->cases[c];
	struct record_matrix *m = &r->matrix[c];
	size_t cap = 0;
	struct store_rows *q = rows_open(r->store, timed_sql);
	rows_bind_text(q, ":metric", k->metric);
	rows_bind_int(q, ":session", r->session->id);
	rows_bind_int(q, ":case", k->id);
	int rc;
	while ((rc = rows_next(q, e)) > 0) {
		size_t a = arm_index(map, rows_int(q, 0));
		double v = cost(k, rows_real(q, 1), rows_null(q, 2) ? NAN : rows_real(q, 2));
		if (a == SIZE_MAX || isnan(v))
			continue;
		matrix_row(m, r->n_arms, (size_t)rows_int(q, 4), &cap)[a] = v;
		if (!k->timed)
			k->timed = true, k->source = known_source(rows_text(q, 3));
	}
	rows_close(q);
	double *v = x_calloc(m->n_rounds + 1, sizeof(*v));
	for (size_t a = 0; a < r->n_arms; a++) {
		size_t n = 0;
		for (size_t i = 0; i < m->n_rounds; i++)
			if (!isnan(m->v[i * r->n_arms + a]))
				v[n++] = m->v[i * r->n_arms + a];
		if (n)
			summarise(&r->timed[cell(r, c, a)], v, n);
	}
	free(v);
	return rc;
}

static int load_rounds(struct record *r, struct error *e)
{
	struct store_rows *q = rows_open(r->store,
		"SELECT case_id, count (*), sum (disturbed) FROM round WHERE session_id = :session "
		"AND kind = 'timed' GROUP BY case_id");
	rows_bind_int(q, ":session", r->session->id);
	int rc;
	while ((rc = rows_next(q, e)) > 0) {
		size_t c = case_index(r, rows_int(q, 0));
		if (c < r->n_cases)
			r->cases[c].rounds = (size_t)rows_int(q, 1),
			r->cases[c].disturbed = (size_t)rows_int(q, 2);
	}
	rows_close(q);
	if (rc)
		return rc;
	q = rows_open(r->store,
		"SELECT round.case_id, count (*) FROM round CROSS JOIN run ON run.round_id = "
		"round.id"
		" WHERE round.session_id = :session AND round.kind = 'timed' AND run.outcome <> "
		"'ok' GROUP BY round.case_id");
	rows_bind_int(q, ":session", r->session->id);
	while ((rc = rows_next(q, e)) > 0) {
		size_t c = case_index(r, rows_int(q, 0));
		if (c < r->n_cases)
			r->cases[c].failed = (size_t)rows_int(q, 1);
	}
	rows_close(q);
	return rc;
}

static int load_aa(struct record *r, size_t c, struct error *e)
{
	double *x = NULL;
	size_t n = 0, cap = 0;
	struct store_rows *q = rows_open(r->store,
		"SELECT log_ratio FROM aa_log_ratio WHERE session_id = :session AND case_id = "
		":case AND multiplier = 1"
		" AND metric_id = (SELECT id FROM metric WHERE name = :metric)");
	rows_bind_int(q, ":session", r->session->id);
	rows_bind_int(q, ":case", r->cases[c].id);
	rows_bind_text(q, ":metric", r->cases[c].metric);
	int rc;
	while ((rc = rows_next(q, e)) > 0) {
		x_grow(x, n, cap);
		x[n++] = rows_real(q, 0);
	}
	rows_close(q);
	r->cases[c].aa = stats_noise(x, n);
	free(x);
	return rc;
}

int record_load(struct store *s, int64_t session, struct record *out, struct error *e)
{
	*out = (struct record){ .store = s };
	struct store_opt id = STORE_INT(session);
	int rc = store_sessions(s, id, &out->sessions, e);
	if (!rc) {
		out->session = &out->sessions.items[0];
		rc = store_arms(s, session, &out->arm_rows, e);
	}
	if (!rc)
		rc = store_cases(s, id, &out->case_rows, e);
	if (!rc)
		rc = store_verdicts(s, session, &out->verdicts, e);
	if (rc) {
		record_release(out);
		return rc;
	}
	load_arms(out);
	load_cases(out);
	size_t cells = out->n_arms * out->n_cases + 1;
	out->exact = x_calloc(cells, sizeof(*out->exact));
	out->timed = x_calloc(cells, sizeof(*out->timed));
	out->matrix = x_calloc(out->n_cases + 1, sizeof(*out->matrix));
	for (size_t i = 0; i < cells; i++) {
		out->exact[i] = (struct record_exact){
			.per_op = NAN, .per_malloc = NAN, .per_free = NAN, .least = NAN, .most = NAN
		};
		out->timed[i] = (struct record_timed){ .median = NAN, .lo = NAN, .hi = NAN };
	}
	struct arm_map map = map_arms(out);
	rc = load_exact(out, &map, e);
	if (!rc)
		rc = load_rounds(out, e);
	for (size_t c = 0; !rc && c < out->n_cases; c++) {
		if (out->cases[c].rounds)
			rc = load_timed_case(out, c, &map, e);
		if (!rc && out->cases[c].rounds)
			rc = load_aa(out, c, e);
	}
	free(map.pairs);
	if (rc)
		record_release(out);
	return rc;
}

void record_release(struct record *r)
{
	for (size_t i = 0; i < r->n_cases; i++)
		free(r->cases[i].name), free(r->cases[i].words);
	for (size_t i = 0; i < r->n_cases && r->matrix; i++)
		free(r->matrix[i].v);
	free(r->matrix), free(r->arms), free(r->cases), free(r->exact), free(r->timed);
	store_free(r->sessions.pool), store_free(r->arm_rows.pool), store_free(r->case_rows.pool),
		store_free(r->verdicts.pool);
	*r = (struct record){ 0 };
}

static const char *static_verdict(const char *word)
{
	for (int v = STATS_UNCLEAR; v <= STATS_INVALID; v++)
		if (!strcmp(stats_verdict_name((enum stats_verdict)v), word))
			return stats_verdict_name((enum stats_verdict)v);
	return stats_verdict_name(STATS_UNCLEAR);
}

/* A ratio of the metric as a ratio of the cost. */
static void set_ratio(
	const struct record_case *c, struct record_change *k, double ratio, double lo, double hi)
{
	k->ratio = c->inverse ? 1 / ratio : ratio;
	k->lo = c->inverse ? 1 / hi : lo;
	k->hi = c->inverse ? lo > 0 ? 1 / lo : INFINITY : hi;
}

size_t record_pairs(const struct record *r, size_t case_at, size_t a, size_t b, double *x)
{
	const struct record_matrix *m = &r->matrix[case_at];
	size_t n = 0;
	for (size_t i = 0; i < m->n_rounds; i++) {
		double ratio = stats_log_ratio(m->v[i * r->n_arms + a], m->v[i * r->n_arms + b]);
		if (!isnan(ratio))
			x[n++] = ratio;
	}
	return n;
}

/* Judged by the costs of many arms: no controls are asked. */
static void change_of_pairs(
	const struct record *r, size_t case_at, size_t a, size_t b, struct record_change *out)
{
	const struct record_case *c = &r->cases[case_at];
	double *x = x_calloc(r->matrix[case_at].n_rounds + 1, sizeof(*x));
	size_t n = record_pairs(r, case_at, a, b, x);
	struct stats_question q = { .delta = r->session->delta.known ? r->session->delta.v : -1,
		.confidence = r->session->confidence.known ? r->session->confidence.v : 0,
		.better = c->higher_better && !c->inverse ? STATS_HIGHER : STATS_LOWER };
	struct stats_answer answer = stats_compare(x, n, &q);
	*out = (struct record_change){ .known = n > 0,
		.ratio = answer.ratio,
		.lo = answer.lo,
		.hi = answer.hi,
		.rounds = (int64_t)n,
		.verdict = stats_verdict_name(answer.verdict),
		.more_rounds = (int64_t)answer.more_rounds };
	free(x);
}

int record_change(const struct record *r, size_t case_at, size_t a, size_t b,
	struct record_change *out, struct error *e)
{
	const struct record_case *c = &r->cases[case_at];
	*out = (struct record_change){ .ratio = NAN, .lo = NAN, .hi = NAN };
	for (size_t i = r->verdicts.n; i-- > 0;) {
		const struct store_verdict *v = &r->verdicts.items[i].v;
		if (v->case_id != c->id || v->arm_a != r->arms[a].id || v->arm_b != r->arms[b].id ||
			strcmp(v->metric, c->metric) || strcmp(v->part, "run"))
			continue;
		out->known = v->rounds > 0;
		set_ratio(c, out, v->ratio.known ? v->ratio.v : NAN,
			v->ratio_lo.known ? v->ratio_lo.v : 0,
			v->ratio_hi.known ? v->ratio_hi.v : INFINITY);
		out->rounds = v->rounds;
		out->verdict = static_verdict(v->verdict);
		out->more_rounds = v->rounds_to_decide.known ? v->rounds_to_decide.v : 0;
		snprintf(out->detail, sizeof(out->detail), "%s", v->detail ? v->detail : "");
		return 0;
	}
	if (!record_timed_of(r, case_at, a)->n || !record_timed_of(r, case_at, b)->n)
		return 0;
	if (r->n_arms > RECORD_MANY_ARMS) {
		change_of_pairs(r, case_at, a, b, out);
		return 0;
	}
	struct verdict_question q = { .session_id = r->session->id,
		.case_id = c->id,
		.arm_a = r->arms[a].id,
		.arm_b = r->arms[b].id,
		.metric = c->metric,
		.delta = r->session->delta.known ? r->session->delta.v : -1,
		.confidence = r->session->confidence.known ? r->session->confidence.v : 0 };
	struct verdict_answer answer;
	int rc = verdict_ask(r->store, &q, &answer, e);
	if (rc)
		return rc;
	out->known = answer.a.log.n > 0;
	set_ratio(c, out, answer.a.ratio, answer.a.lo, answer.a.hi);
	out->rounds = (int64_t)answer.a.log.n;
	out->verdict = stats_verdict_name(answer.a.verdict);
	out->more_rounds = (int64_t)answer.a.more_rounds;
	snprintf(out->detail, sizeof(out->detail), "%s", answer.detail);
	return 0;
}

double record_noise(const struct record_case *c)
{
	return c->aa.n >= 3 ? expm1(2 * c->aa.sd) : NAN;
}

int record_beyond_noise(const struct record_case *c, const struct record_change *k)
{
	if (!k->known || !isfinite(k->ratio) || k->ratio <= 0 || isnan(record_noise(c)))
		return -1;
	return fabs(log(k->ratio)) > 2 * c->aa.sd;
}

int record_newest(struct store *s, const char *verb, int64_t *session, struct error *e)
{
	struct store_rows *q = rows_open(s,
		"SELECT id FROM session WHERE :verb IS NULL OR verb = :verb"
		" ORDER BY verb = 'claim', id DESC LIMIT 1");
	rows_bind_text(q, ":verb", verb);
	int rc = rows_next(q, e);
	*session = rc > 0 ? rows_int(q, 0) : 0;
	rows_close(q);
	return rc < 0 ? rc : 0;
}
