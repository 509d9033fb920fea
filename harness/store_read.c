/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/store_read.h"

#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Strings of one list, in chunks that never move; and the list's array. */
struct chunk {
	struct chunk *next;
	size_t used, size;
	char bytes[];
};

struct store_pool {
	void *items;
	struct chunk *chunks;
};

void store_free(struct store_pool *pool)
{
	if (!pool)
		return;
	while (pool->chunks) {
		struct chunk *c = pool->chunks;
		pool->chunks = c->next;
		free(c);
	}
	free(pool->items);
	free(pool);
}

static char *pool_take(struct store_pool *pool, size_t n)
{
	struct chunk *c = pool->chunks;
	if (!c || c->size - c->used < n) {
		size_t size = n > 4000 ? n : 4000;
		c = x_realloc(NULL, sizeof(*c) + size, 1);
		*c = (struct chunk){ .next = pool->chunks, .size = size };
		pool->chunks = c;
	}
	char *p = c->bytes + c->used;
	c->used += n;
	return p;
}

static const char *keep_optional(struct store_pool *pool, const struct store_rows *r, int column)
{
	const char *s = rows_text(r, column);
	if (!s)
		return NULL;
	size_t n = strlen(s) + 1;
	return memcpy(pool_take(pool, n), s, n);
}

/* For columns that are NOT NULL: never NULL, even from a damaged database. */
static const char *keep(struct store_pool *pool, const struct store_rows *r, int column)
{
	const char *s = keep_optional(pool, r, column);
	return s ? s : "";
}

/*
 * Load a list: for each row of r one more element, all-zero, named `it`, filled by the statement that follows; `pool` owns its strings.
 * Used as: LOAD(out, r, e, it) { it->… = rows_…(r, 0); } LOADED(out, r, rc).
 */
#define LOAD(out, r, e, it)                                                                                         \
	int rc = 0;                                                                                                 \
	size_t cap = 0;                                                                                             \
	memset((out), 0, sizeof(*(out)));                                                                           \
	struct store_pool *pool = (out)->pool = x_calloc(1, sizeof(*pool));                                         \
	for (__typeof__((out)->items) it; (rc = rows_next((r), (e))) > 0 && (it = (__typeof__(it))one_more(         \
		(void **)&(out)->items, &(out)->n, &cap, sizeof(*(out)->items), pool));)

#define LOADED(out, r, rc)                        \
	do {                                      \
		rows_close(r);                    \
		if (rc < 0) {                     \
			store_free((out)->pool);  \
			memset((out), 0, sizeof(*(out))); \
		}                                 \
		return rc;                        \
	} while (0)

static void *one_more(void **items, size_t *n, size_t *cap, size_t size, struct store_pool *pool)
{
	if (*n == *cap) {
		*cap = *cap ? 2 * *cap : 16;
		*items = pool->items = x_realloc(pool->items, *cap, size);
	}
	return memset((char *)*items + size * (*n)++, 0, size);
}

static const char *kind_name(enum store_kind kind)
{
	return kind == STORE_EXACT ? "exact" : "timed";
}

static enum store_kind kind_of(const struct store_rows *r, int column)
{
	const char *s = rows_text(r, column);
	return s && !strcmp(s, "exact") ? STORE_EXACT : STORE_TIMED;
}

/* ---- raw figures ---- */

int store_points(struct store *s, int64_t session, int64_t case_id, enum store_kind kind, const char *metric, struct store_points *out,
		 struct error *e)
{
	struct store_rows *r = rows_open(
		s, "SELECT round.id, round.number, round.disturbed, run.id, run.arm_id, session_arm.number, session_arm.twin_arm_id, session_arm.role,"
		   " run.outcome = 'ok', run.position, run.multiplier, run.operations, run.link_seed, sample.enabled_ns, sample.running_ns,"
		   " sample.value, source.name, sample.quality"
		   " FROM round CROSS JOIN run ON run.round_id = round.id"
		   " CROSS JOIN sample ON sample.run_id = run.id AND sample.metric_id = (SELECT id FROM metric WHERE name = :metric)"
		   " CROSS JOIN session_arm ON session_arm.id = run.arm_id CROSS JOIN source ON source.id = sample.source_id"
		   " WHERE round.session_id = :session AND round.case_id = :case AND round.kind = :kind ORDER BY round.number, run.position");
	rows_bind_int(r, ":session", session);
	rows_bind_int(r, ":case", case_id);
	rows_bind_text(r, ":kind", kind_name(kind));
	rows_bind_text(r, ":metric", metric);
	LOAD(out, r, e, p)
	{
		p->round_id = rows_int(r, 0);
		p->round = rows_int(r, 1);
		p->disturbed = rows_int(r, 2);
		p->run_id = rows_int(r, 3);
		p->arm_id = rows_int(r, 4);
		p->arm = rows_int(r, 5);
		p->twin_arm_id = rows_int(r, 6);
		p->role = rows_text(r, 7) ? *rows_text(r, 7) : 's';
		p->ok = rows_int(r, 8);
		p->position = (int)rows_int(r, 9);
		p->multiplier = (int)rows_int(r, 10);
		p->operations = rows_opt(r, 11);
		p->link_seed = rows_opt(r, 12);
		p->enabled_ns = rows_opt(r, 13);
		p->running_ns = rows_opt(r, 14);
		p->exact = rows_type(r, 15) == ROWS_INTEGER ? STORE_COUNT(rows_int(r, 15)) : STORE_FIGURE(rows_real(r, 15));
		p->value = rows_real(r, 15);
		p->source = keep(pool, r, 16);
		p->quality = keep(pool, r, 17);
	}
	LOADED(out, r, rc);
}

/* A metric's id; 0 for one that has no figures here. A bound id lets SQLite go to a metric's samples at once. */
static int metric_known(struct store *s, const char *metric, int64_t *id, struct error *e)
{
	struct store_rows *r = rows_open(s, "SELECT id FROM metric WHERE name = :name");
	rows_bind_text(r, ":name", metric);
	int rc = rows_next(r, e);
	*id = rc > 0 ? rows_int(r, 0) : 0;
	rows_close(r);
	return rc < 0 ? rc : 0;
}

int store_medians(struct store *s, struct store_opt session, enum store_kind kind, const char *metric, struct store_medians *out,
		  struct error *e)
{
	int64_t id;
	memset(out, 0, sizeof(*out));
	int known = metric_known(s, metric, &id, e);
	if (known < 0)
		return known;
	struct store_rows *r = rows_open(
		s, session.known ? "SELECT session_id, case_id, arm_id, runs, multiplier, median, least, most, per_operation FROM arm_summary"
				   " WHERE session_id = :session AND kind = :kind AND metric_id = :metric"
				   " ORDER BY session_id, case_id, arm_id, multiplier"
				 : "SELECT session_id, case_id, arm_id, runs, multiplier, median, least, most, per_operation FROM arm_summary"
				   " WHERE kind = :kind AND metric_id = :metric ORDER BY session_id, case_id, arm_id, multiplier");
	if (session.known)
		rows_bind_int(r, ":session", session.v);
	rows_bind_text(r, ":kind", kind_name(kind));
	rows_bind_int(r, ":metric", id);
	LOAD(out, r, e, p)
	{
		p->session_id = rows_int(r, 0);
		p->case_id = rows_int(r, 1);
		p->arm_id = rows_int(r, 2);
		p->runs = rows_int(r, 3);
		p->multiplier = (int)rows_int(r, 4);
		p->median = rows_real(r, 5);
		p->least = rows_real(r, 6);
		p->most = rows_real(r, 7);
		p->per_operation = rows_optreal(r, 8);
	}
	(void)pool;
	LOADED(out, r, rc);
}

int store_noise(struct store *s, int64_t machine, struct store_opt case_id, const char *metric, struct store_noises *out, struct error *e)
{
	struct store_rows *r = rows_open(
		s, "SELECT aa_log_ratio.case_id, workload.name, metric.name, count (*), avg (log_ratio * log_ratio), median (abs (log_ratio))"
		   " FROM aa_log_ratio JOIN bench_case ON bench_case.id = aa_log_ratio.case_id"
		   " JOIN workload ON workload.id = bench_case.workload_id JOIN metric ON metric.id = aa_log_ratio.metric_id"
		   " WHERE machine_id = :machine AND multiplier = 1 AND (:case IS NULL OR aa_log_ratio.case_id = :case)"
		   " AND (:metric IS NULL OR metric.name = :metric)"
		   " GROUP BY aa_log_ratio.case_id, metric.name ORDER BY aa_log_ratio.case_id, metric.name");
	rows_bind_int(r, ":machine", machine);
	rows_bind_opt(r, ":case", case_id);
	rows_bind_text(r, ":metric", metric);
	LOAD(out, r, e, p)
	{
		p->case_id = rows_int(r, 0);
		p->workload = keep(pool, r, 1);
		p->metric = keep(pool, r, 2);
		p->pairs = rows_int(r, 3);
		p->sd = sqrt(rows_real(r, 4));
		/* 1 / Phi^-1(3/4): of a normal spread both agree. */
		p->robust_sd = 1.4826 * rows_real(r, 5);
	}
	LOADED(out, r, rc);
}

int store_aa_ratios(struct store *s, int64_t machine, int64_t case_id, const char *metric, struct store_ratios *out, struct error *e)
{
	struct store_rows *r = rows_open(
		s, "SELECT log_ratio FROM aa_log_ratio WHERE machine_id = :machine AND case_id = :case AND multiplier = 1"
		   " AND metric_id = (SELECT id FROM metric WHERE name = :metric) ORDER BY round_id");
	rows_bind_int(r, ":machine", machine);
	rows_bind_int(r, ":case", case_id);
	rows_bind_text(r, ":metric", metric);
	LOAD(out, r, e, p)
	{
		*p = rows_real(r, 0);
	}
	(void)pool;
	LOADED(out, r, rc);
}

int store_costs(struct store *s, int64_t machine, int64_t case_id, struct store_optreal *build_ns, struct store_optreal *run_ns, struct error *e)
{
	struct store_rows *r = rows_open(
		s, "SELECT (SELECT median (wall_ns) FROM build WHERE outcome = 'ok' AND id IN (SELECT build_id FROM session_arm"
		   " WHERE session_id IN (SELECT id FROM session WHERE machine_id = :machine))),"
		   " (SELECT median (sample.value) FROM session JOIN round ON round.session_id = session.id JOIN run ON run.round_id = round.id"
		   " JOIN sample ON sample.run_id = run.id AND sample.metric_id = (SELECT id FROM metric WHERE name = 'process_wall_ns')"
		   " WHERE session.machine_id = :machine AND round.case_id = :case AND round.kind = 'timed' AND run.outcome = 'ok')");
	rows_bind_int(r, ":machine", machine);
	rows_bind_int(r, ":case", case_id);
	int rc = rows_next(r, e);
	if (rc > 0) {
		*build_ns = rows_optreal(r, 0);
		*run_ns = rows_optreal(r, 1);
		rc = 0;
	}
	rows_close(r);
	return rc;
}

int store_exact(struct store *s, int64_t build, int64_t case_id, const char *metric, int multiplier, struct store_exact *out, struct error *e)
{
	struct store_rows *r = rows_open(
		s, "SELECT median, least, most, runs, operations, session_id, last_run_id, (SELECT checksum FROM run WHERE id = last_run_id)"
		   " FROM exact_count WHERE build_id = :build"
		   " AND case_id = :case AND metric_id = (SELECT id FROM metric WHERE name = :metric) AND multiplier = :multiplier"
		   " ORDER BY last_run_id DESC LIMIT 1");
	rows_bind_int(r, ":build", build);
	rows_bind_int(r, ":case", case_id);
	rows_bind_text(r, ":metric", metric);
	rows_bind_int(r, ":multiplier", multiplier);
	*out = (struct store_exact){ 0 };
	int rc = rows_next(r, e);
	if (rc > 0) {
		*out = (struct store_exact){ .found = true, .median = rows_real(r, 0), .least = rows_real(r, 1), .most = rows_real(r, 2),
					     .repeats = rows_int(r, 3), .operations = rows_opt(r, 4), .session_id = rows_int(r, 5),
					     .last_run_id = rows_int(r, 6) };
		snprintf(out->checksum, sizeof(out->checksum), "%s", rows_null(r, 7) ? "" : rows_text(r, 7));
		rc = 0;
	}
	rows_close(r);
	return rc;
}

/* ---- sessions ---- */

int store_sessions(struct store *s, struct store_opt id, struct store_session_rows *out, struct error *e)
{
	struct store_rows *r = rows_open(
		s, "SELECT session.id, session.machine_id, plan_seed, started_s, verb, request_json, state, detail, metric.name, toolkit_version,"
		   " ended_s, delta, confidence,"
		   " (SELECT count (*) FROM session_arm WHERE session_id = session.id),"
		   " (SELECT count (*) FROM round WHERE session_id = session.id),"
		   " (SELECT count (*) FROM round JOIN run ON run.round_id = round.id WHERE round.session_id = session.id),"
		   " (SELECT count (*) FROM sitting WHERE session_id = session.id)"
		   " FROM session LEFT JOIN metric ON metric.id = session.metric_id WHERE :id IS NULL OR session.id = :id"
		   " ORDER BY session.id DESC");
	rows_bind_opt(r, ":id", id);
	LOAD(out, r, e, p)
	{
		p->id = rows_int(r, 0);
		p->machine_id = rows_int(r, 1);
		p->plan_seed = rows_int(r, 2);
		p->started_s = rows_int(r, 3);
		p->verb = keep(pool, r, 4);
		p->request_json = keep(pool, r, 5);
		p->state = keep(pool, r, 6);
		p->detail = keep_optional(pool, r, 7);
		p->metric = keep_optional(pool, r, 8);
		p->toolkit_version = keep(pool, r, 9);
		p->ended_s = rows_opt(r, 10);
		p->delta = rows_optreal(r, 11);
		p->confidence = rows_optreal(r, 12);
		p->arms = rows_int(r, 13);
		p->rounds = rows_int(r, 14);
		p->runs = rows_int(r, 15);
		p->sittings = rows_int(r, 16);
	}
	if (!rc && id.known && !out->n)
		rc = error_set(e, -ENOENT, "there is no session %" PRId64 " in %s: see 'hakperf log'", id.v, store_path(s));
	LOADED(out, r, rc);
}

int store_session_unfinished(struct store *s, const char *verb, const char *request_json, int64_t machine, int64_t *id, struct error *e)
{
	struct store_rows *r = rows_open(
		s, "SELECT id FROM session WHERE verb = :verb AND request_json = :request AND machine_id = :machine"
		   " AND state IN ('running', 'interrupted') ORDER BY id DESC LIMIT 1");
	rows_bind_text(r, ":verb", verb);
	rows_bind_text(r, ":request", request_json);
	rows_bind_int(r, ":machine", machine);
	int rc = rows_next(r, e);
	*id = rc > 0 ? rows_int(r, 0) : 0;
	rows_close(r);
	return rc < 0 ? rc : 0;
}

int store_arms(struct store *s, int64_t session, struct store_arm_rows *out, struct error *e)
{
	struct store_rows *r = rows_open(
		s, "SELECT session_arm.id, number, session_arm.build_id, twin_arm_id, commit_id, role, label, environment_json, full_id, subject, phase, key,"
		   " variant, artifact_hash, loaded_hash, outcome"
		   " FROM session_arm JOIN build ON build.id = session_arm.build_id LEFT JOIN commit_info ON commit_info.id = commit_id"
		   " WHERE session_id = :session ORDER BY number");
	rows_bind_int(r, ":session", session);
	LOAD(out, r, e, p)
	{
		p->id = rows_int(r, 0);
		p->number = rows_int(r, 1);
		p->build_id = rows_int(r, 2);
		p->twin = rows_opt(r, 3);
		p->commit_id = rows_opt(r, 4);
		p->role = keep(pool, r, 5);
		p->label = keep(pool, r, 6);
		p->environment_json = keep(pool, r, 7);
		p->commit = keep_optional(pool, r, 8);
		p->subject = keep_optional(pool, r, 9);
		p->phase = keep_optional(pool, r, 10);
		p->build_key = keep(pool, r, 11);
		p->variant = keep(pool, r, 12);
		p->artifact_hash = keep_optional(pool, r, 13);
		p->loaded_hash = keep_optional(pool, r, 14);
		p->outcome = keep(pool, r, 15);
	}
	LOADED(out, r, rc);
}

int store_cells(struct store *s, int64_t session, bool only_missing, struct store_cell_rows *out, struct error *e)
{
	struct store_rows *r = rows_open(
		s, "WITH done (arm_id, case_id, kind, rounds) AS MATERIALIZED ("
		   " SELECT run.arm_id, round.case_id, round.kind, count (DISTINCT round.id) FROM round JOIN run ON run.round_id = round.id"
		   " WHERE round.session_id = :session GROUP BY run.arm_id, round.case_id, round.kind)"
		   " SELECT cell.arm_id, cell.case_id, cell.kind, planned_rounds, ifnull (done.rounds, 0),"
		   " (SELECT ifnull (max (number), -1) + 1 FROM round"
		   "  WHERE session_id = cell.session_id AND case_id = cell.case_id AND kind = cell.kind)"
		   " FROM session_cell AS cell JOIN session_arm ON session_arm.id = cell.arm_id"
		   " LEFT JOIN done ON done.arm_id = cell.arm_id AND done.case_id = cell.case_id AND done.kind = cell.kind"
		   " WHERE cell.session_id = :session AND (NOT :missing OR ifnull (done.rounds, 0) < planned_rounds)"
		   " ORDER BY cell.case_id, cell.kind, session_arm.number");
	rows_bind_int(r, ":session", session);
	rows_bind_int(r, ":missing", only_missing);
	LOAD(out, r, e, p)
	{
		p->arm_id = rows_int(r, 0);
		p->case_id = rows_int(r, 1);
		p->kind = kind_of(r, 2);
		p->planned = rows_int(r, 3);
		p->done = rows_int(r, 4);
		p->next_round = rows_int(r, 5);
	}
	(void)pool;
	LOADED(out, r, rc);
}

int store_cases(struct store *s, struct store_opt session, struct store_case_rows *out, struct error *e)
{
	/* Columns 8 on are those of store_case_parameters(), in its order. */
	struct store_rows *r = rows_open(
		s, "SELECT bench_case.id, workload.name, workload.program, workload.program_hash, workload_id, phase, size_class, seconds,"
		   " min_bytes, max_bytes, cycles, working_set, seed, threads, rounds, chunks, batch, warm_up, parameters_json, environment_json"
		   " FROM bench_case JOIN workload ON workload.id = workload_id WHERE :session IS NULL"
		   " OR bench_case.id IN (SELECT case_id FROM session_cell WHERE session_id = :session"
		   " UNION SELECT case_id FROM round WHERE session_id = :session) ORDER BY bench_case.id");
	rows_bind_opt(r, ":session", session);
	size_t n;
	const struct store_parameter *parameter = store_case_parameters(&n);
	LOAD(out, r, e, p)
	{
		p->id = rows_int(r, 0);
		p->workload = keep(pool, r, 1);
		p->program = keep(pool, r, 2);
		p->program_hash = keep_optional(pool, r, 3);
		p->parameters.workload_id = rows_int(r, 4);
		p->parameters.cold = !strcmp(keep(pool, r, 5), "cold");
		p->parameters.size_class = keep_optional(pool, r, 6);
		p->parameters.seconds = rows_optreal(r, 7);
		for (size_t i = 0; i < n; i++) {
			assert(!strcmp(rows_name(r, 8 + (int)i), parameter[i].name));
			*store_case_slot(&p->parameters, &parameter[i]) = rows_opt(r, 8 + (int)i);
		}
		p->parameters.parameters_json = keep(pool, r, 8 + (int)n);
		p->parameters.environment_json = keep(pool, r, 9 + (int)n);
	}
	LOADED(out, r, rc);
}

int store_verdicts(struct store *s, int64_t session, struct store_verdict_rows *out, struct error *e)
{
	struct store_rows *r = rows_open(
		s, "SELECT verdict.id, decided_s, case_id, arm_a_id, arm_b_id, metric.name, scope, part, verdict, is_primary, rounds, ratio,"
		   " ratio_lo, ratio_hi, before_value, after_value, delta, confidence, rounds_to_decide, detail"
		   " FROM verdict JOIN metric ON metric.id = metric_id WHERE session_id = :session ORDER BY verdict.id");
	rows_bind_int(r, ":session", session);
	LOAD(out, r, e, p)
	{
		p->id = rows_int(r, 0);
		p->decided_s = rows_int(r, 1);
		p->v.session_id = session;
		p->v.case_id = rows_int(r, 2);
		p->v.arm_a = rows_int(r, 3);
		p->v.arm_b = rows_int(r, 4);
		p->v.metric = keep(pool, r, 5);
		p->v.scope = keep(pool, r, 6);
		p->v.part = keep(pool, r, 7);
		p->v.verdict = keep(pool, r, 8);
		p->v.primary = rows_int(r, 9);
		p->v.rounds = rows_int(r, 10);
		p->v.ratio = rows_optreal(r, 11);
		p->v.ratio_lo = rows_optreal(r, 12);
		p->v.ratio_hi = rows_optreal(r, 13);
		p->v.before_value = rows_optreal(r, 14);
		p->v.after_value = rows_optreal(r, 15);
		p->v.delta = rows_real(r, 16);
		p->v.confidence = rows_real(r, 17);
		p->v.rounds_to_decide = rows_opt(r, 18);
		p->v.detail = keep_optional(pool, r, 19);
	}
	LOADED(out, r, rc);
}

/* ---- searches ---- */

int store_bisects(struct store *s, struct store_opt id, struct store_bisect_rows *out, struct error *e)
{
	struct store_rows *r = rows_open(
		s, "SELECT bisect.id, session_id, started_s, (SELECT count (*) FROM bisect_step WHERE bisect_id = bisect.id),"
		   " good.full_id, bad.full_id, metric.name, bisect.state, result_json"
		   " FROM bisect JOIN session ON session.id = session_id JOIN commit_info AS good ON good.id = good_commit_id"
		   " JOIN commit_info AS bad ON bad.id = bad_commit_id LEFT JOIN metric ON metric.id = bisect.metric_id"
		   " WHERE :id IS NULL OR bisect.id = :id ORDER BY bisect.id DESC");
	rows_bind_opt(r, ":id", id);
	LOAD(out, r, e, p)
	{
		p->id = rows_int(r, 0);
		p->session_id = rows_int(r, 1);
		p->started_s = rows_int(r, 2);
		p->steps = rows_int(r, 3);
		p->good = keep(pool, r, 4);
		p->bad = keep(pool, r, 5);
		p->metric = keep_optional(pool, r, 6);
		p->state = keep(pool, r, 7);
		p->result_json = keep_optional(pool, r, 8);
	}
	if (!rc && id.known && !out->n)
		rc = error_set(e, -ENOENT, "there is no bisect %" PRId64 " in %s: see 'hakperf log'", id.v, store_path(s));
	LOADED(out, r, rc);
}

int store_steps(struct store *s, int64_t bisect, struct store_step_rows *out, struct error *e)
{
	struct store_rows *r = rows_open(
		s, "SELECT seq, at_s, action, full_id, payload_json FROM bisect_step LEFT JOIN commit_info ON commit_info.id = commit_id"
		   " WHERE bisect_id = :bisect ORDER BY seq");
	rows_bind_int(r, ":bisect", bisect);
	LOAD(out, r, e, p)
	{
		p->seq = rows_int(r, 0);
		p->at_s = rows_int(r, 1);
		p->action = keep(pool, r, 2);
		p->commit = keep_optional(pool, r, 3);
		p->payload_json = keep(pool, r, 4);
	}
	LOADED(out, r, rc);
}
