/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/store.h"

#include "base/clock.h"
#include "harness/store_db.h"

#include <errno.h>
#include <stddef.h>

/* Sessions and what is decided in them. */

static int optional_metric(struct store *s, const char *name, struct store_opt *id, struct error *e)
{
	*id = (struct store_opt){ .known = name != NULL };
	return name ? db_metric(s, name, &id->v, e) : 0;
}

static int add_session(struct store *s, const struct store_session *q, int64_t *id, struct error *e)
{
	struct store_opt metric;
	int rc = optional_metric(s, q->metric, &metric, e);
	if (rc)
		return rc;
	DB_STATEMENT(st, s, e,
		     "INSERT INTO session (verb, request_json, machine_id, plan_seed, delta, confidence, metric_id, state, started_s, toolkit_version)"
		     " VALUES (:verb, :request, :machine, :plan_seed, :delta, :confidence, :metric, 'running', :now, :version)");
	db_text(st, ":verb", q->verb);
	db_text(st, ":request", q->request_json);
	db_int(st, ":machine", q->machine_id);
	db_int(st, ":plan_seed", q->plan_seed);
	db_optreal(st, ":delta", q->delta);
	db_optreal(st, ":confidence", q->confidence);
	db_opt(st, ":metric", metric);
	db_int(st, ":now", clock_wall_s());
	db_text(st, ":version", q->toolkit_version);
	return db_insert(s, st, id, "store the session", e);
}

int store_session_begin(struct store *s, const struct store_session *q, int64_t *id, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_session(s, q, id, e), e);
}

static int add_host_facts(struct store *s, int64_t session, int64_t sitting, const char *moment, const struct store_fact *facts, size_t n,
			  struct error *e)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < n; i++) {
		DB_STATEMENT(st, s, e,
			     "INSERT OR REPLACE INTO host_fact (session_id, sitting, moment, name, value)"
			     " VALUES (:session, :sitting, :moment, :name, :value)");
		db_int(st, ":session", session);
		db_int(st, ":sitting", sitting);
		db_text(st, ":moment", moment);
		db_text(st, ":name", facts[i].name);
		db_text(st, ":value", facts[i].value);
		rc = db_done(s, st, "store the host's facts", e);
	}
	return rc;
}

static int set_session_state(struct store *s, int64_t session, const char *state, const char *detail, struct store_opt ended,
			     struct error *e)
{
	DB_STATEMENT(st, s, e, "UPDATE session SET state = :state, detail = :detail, ended_s = :ended WHERE id = :session");
	db_text(st, ":state", state);
	db_text(st, ":detail", detail);
	db_opt(st, ":ended", ended);
	db_int(st, ":session", session);
	int rc = db_done(s, st, "store the session's state", e);
	if (!rc && !sqlite3_changes(s->db))
		rc = error_set(e, -ENOENT, "there is no session %lld in %s", (long long)session, s->path);
	return rc;
}

static int begin_sitting(struct store *s, int64_t session, struct store_opt cpu, const char *version, int64_t *sitting, struct error *e)
{
	int rc = set_session_state(s, session, "running", NULL, (struct store_opt){ 0 }, e);
	if (rc)
		return rc;
	DB_STATEMENT(next, s, e, "SELECT count(*) FROM sitting WHERE session_id = :session");
	db_int(next, ":session", session);
	rc = db_one(s, next, sitting, "begin a sitting", e);
	if (rc < 0)
		return rc;
	DB_STATEMENT(st, s, e,
		     "INSERT INTO sitting (session_id, number, started_s, toolkit_version, cpu) VALUES (:session, :number, :now, :version, :cpu)");
	db_int(st, ":session", session);
	db_int(st, ":number", *sitting);
	db_int(st, ":now", clock_wall_s());
	db_text(st, ":version", version);
	db_opt(st, ":cpu", cpu);
	return db_done(s, st, "begin a sitting", e);
}

int store_sitting_begin(struct store *s, int64_t session, struct store_opt cpu, const char *toolkit_version,
			const struct store_fact *facts, size_t n, int64_t *sitting, struct error *e)
{
	int rc = store_begin(s, e);
	if (rc)
		return rc;
	rc = begin_sitting(s, session, cpu, toolkit_version, sitting, e);
	if (!rc)
		rc = add_host_facts(s, session, *sitting, "before", facts, n, e);
	return db_end(s, rc, e);
}

static int end_sitting(struct store *s, int64_t session, int64_t sitting, struct error *e)
{
	DB_STATEMENT(st, s, e, "UPDATE sitting SET ended_s = :now WHERE session_id = :session AND number = :number");
	db_int(st, ":now", clock_wall_s());
	db_int(st, ":session", session);
	db_int(st, ":number", sitting);
	return db_done(s, st, "end the sitting", e);
}

int store_session_end(struct store *s, int64_t session, int64_t sitting, const char *state, const char *detail,
		      const struct store_fact *facts, size_t n, struct error *e)
{
	int rc = store_begin(s, e);
	if (rc)
		return rc;
	rc = set_session_state(s, session, state, detail, STORE_INT(clock_wall_s()), e);
	if (!rc)
		rc = end_sitting(s, session, sitting, e);
	if (!rc)
		rc = add_host_facts(s, session, sitting, "after", facts, n, e);
	return db_end(s, rc, e);
}

static void bind_arm(sqlite3_stmt *st, int64_t session, const struct store_arm *a)
{
	db_int(st, ":session", session);
	db_int(st, ":number", a->number);
	db_text(st, ":role", a->role);
	db_opt(st, ":twin", a->twin);
	db_int(st, ":build", a->build_id);
	db_opt(st, ":commit", a->commit_id);
	db_text(st, ":label", a->label ? a->label : "");
	db_text(st, ":environment", a->environment_json ? a->environment_json : "{}");
}

static int add_arm(struct store *s, int64_t session, const struct store_arm *a, int64_t *id, struct error *e)
{
	DB_STATEMENT(find, s, e,
		     "SELECT id FROM session_arm WHERE session_id = :session AND number = :number AND role = :role AND twin_arm_id IS :twin"
		     " AND build_id = :build AND commit_id IS :commit AND label = :label AND environment_json = :environment");
	bind_arm(find, session, a);
	int rc = db_one(s, find, id, "look an arm up", e);
	if (rc)
		return rc > 0 ? 0 : rc;
	DB_STATEMENT(add, s, e,
		     "INSERT INTO session_arm (session_id, number, role, twin_arm_id, build_id, commit_id, label, environment_json)"
		     " VALUES (:session, :number, :role, :twin, :build, :commit, :label, :environment)");
	bind_arm(add, session, a);
	return db_insert(s, add, id, "store an arm", e);
}

int store_arm(struct store *s, int64_t session, const struct store_arm *a, int64_t *id, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_arm(s, session, a, id, e), e);
}

static int add_cell(struct store *s, int64_t session, int64_t arm, int64_t case_id, enum store_kind kind, int64_t planned, struct error *e)
{
	DB_STATEMENT(st, s, e,
		     "INSERT INTO session_cell (session_id, arm_id, case_id, kind, planned_rounds) VALUES (:session, :arm, :case, :kind, :planned)"
		     " ON CONFLICT DO UPDATE SET planned_rounds = excluded.planned_rounds");
	db_int(st, ":session", session);
	db_int(st, ":arm", arm);
	db_int(st, ":case", case_id);
	db_text(st, ":kind", kind == STORE_EXACT ? "exact" : "timed");
	db_int(st, ":planned", planned);
	return db_done(s, st, "store the plan", e);
}

int store_cell(struct store *s, int64_t session, int64_t arm, int64_t case_id, enum store_kind kind, int64_t planned_rounds, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_cell(s, session, arm, case_id, kind, planned_rounds, e), e);
}

/* ---- answers ---- */

static int add_verdict(struct store *s, const struct store_verdict *v, int64_t *id, struct error *e)
{
	int64_t metric;
	int rc = db_metric(s, v->metric, &metric, e);
	if (rc)
		return rc;
	DB_STATEMENT(st, s, e,
		     "INSERT INTO verdict (session_id, case_id, metric_id, arm_a_id, arm_b_id, scope, part, verdict, is_primary, rounds, ratio,"
		     " ratio_lo, ratio_hi, before_value, after_value, delta, confidence, rounds_to_decide, detail, decided_s)"
		     " VALUES (:session, :case, :metric, :a, :b, :scope, :part, :verdict, :primary, :rounds, :ratio,"
		     " :lo, :hi, :before, :after, :delta, :confidence, :to_decide, :detail, :now)");
	db_int(st, ":session", v->session_id);
	db_int(st, ":case", v->case_id);
	db_int(st, ":metric", metric);
	db_int(st, ":a", v->arm_a);
	db_int(st, ":b", v->arm_b);
	db_text(st, ":scope", v->scope);
	db_text(st, ":part", v->part);
	db_text(st, ":verdict", v->verdict);
	db_int(st, ":primary", v->primary);
	db_int(st, ":rounds", v->rounds);
	db_optreal(st, ":ratio", v->ratio);
	db_optreal(st, ":lo", v->ratio_lo);
	db_optreal(st, ":hi", v->ratio_hi);
	db_optreal(st, ":before", v->before_value);
	db_optreal(st, ":after", v->after_value);
	db_real(st, ":delta", v->delta);
	db_real(st, ":confidence", v->confidence);
	db_opt(st, ":to_decide", v->rounds_to_decide);
	db_text(st, ":detail", v->detail);
	db_int(st, ":now", clock_wall_s());
	return db_insert(s, st, id, "store a verdict", e);
}

int store_verdict(struct store *s, const struct store_verdict *v, int64_t *id, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_verdict(s, v, id, e), e);
}

static int add_bisect(struct store *s, int64_t session, int64_t good, int64_t bad, const char *name, int64_t *id, struct error *e)
{
	struct store_opt metric;
	int rc = optional_metric(s, name, &metric, e);
	if (rc)
		return rc;
	DB_STATEMENT(st, s, e,
		     "INSERT INTO bisect (session_id, good_commit_id, bad_commit_id, metric_id, state) VALUES (:session, :good, :bad, :metric, 'running')");
	db_int(st, ":session", session);
	db_int(st, ":good", good);
	db_int(st, ":bad", bad);
	db_opt(st, ":metric", metric);
	return db_insert(s, st, id, "store the bisect", e);
}

int store_bisect_begin(struct store *s, int64_t session, int64_t good, int64_t bad, const char *metric, int64_t *id, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_bisect(s, session, good, bad, metric, id, e), e);
}

static int set_bisect_state(struct store *s, int64_t bisect, const char *state, const char *result, struct error *e)
{
	DB_STATEMENT(st, s, e, "UPDATE bisect SET state = :state, result_json = :result WHERE id = :id");
	db_text(st, ":state", state);
	db_text(st, ":result", result);
	db_int(st, ":id", bisect);
	int rc = db_done(s, st, "store the bisect's state", e);
	if (!rc && !sqlite3_changes(s->db))
		rc = error_set(e, -ENOENT, "there is no bisect %lld in %s", (long long)bisect, s->path);
	return rc;
}

int store_bisect_state(struct store *s, int64_t bisect, const char *state, const char *result_json, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, set_bisect_state(s, bisect, state, result_json, e), e);
}

static int add_step(struct store *s, int64_t bisect, int64_t seq, const char *action, struct store_opt commit, const char *payload,
		    struct error *e)
{
	DB_STATEMENT(count, s, e, "SELECT ifnull (max (seq), -1) + 1 FROM bisect_step WHERE bisect_id = :bisect");
	db_int(count, ":bisect", bisect);
	int64_t next = 0;
	int rc = db_one(s, count, &next, "store a step of the bisect", e);
	if (rc < 0)
		return rc;
	if (seq != next)
		return error_set(e, -EINVAL, "step %lld of bisect %lld cannot follow %lld others: another process is searching too",
				 (long long)seq, (long long)bisect, (long long)next);
	DB_STATEMENT(st, s, e,
		     "INSERT INTO bisect_step (bisect_id, seq, action, commit_id, payload_json, at_s) VALUES (:bisect, :seq, :action, :commit, :payload, :now)");
	db_int(st, ":bisect", bisect);
	db_int(st, ":seq", seq);
	db_text(st, ":action", action);
	db_opt(st, ":commit", commit);
	db_text(st, ":payload", payload ? payload : "{}");
	db_int(st, ":now", clock_wall_s());
	return db_done(s, st, "store a step of the bisect", e);
}

int store_bisect_step(struct store *s, int64_t bisect, int64_t seq, const char *action, struct store_opt commit,
		      const char *payload_json, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_step(s, bisect, seq, action, commit, payload_json, e), e);
}

static void bind_claim(sqlite3_stmt *st, const struct store_claim *c)
{
	db_text(st, ":name", c->name);
	db_text(st, ":text", c->text);
	db_text(st, ":revision", c->revision);
	db_text(st, ":configuration", c->configuration_json ? c->configuration_json : "{}");
	db_text(st, ":metric", c->metric);
	db_optreal(st, ":lo", c->value_lo);
	db_optreal(st, ":hi", c->value_hi);
	db_text(st, ":unit", c->unit);
	db_text(st, ":source", c->source);
	db_text(st, ":claimed_on", c->claimed_on);
}

static int add_claim(struct store *s, const struct store_claim *c, int64_t *id, struct error *e)
{
	DB_STATEMENT(find, s, e,
		     "SELECT id FROM claim WHERE name = :name AND text = :text AND revision IS :revision"
		     " AND configuration_json = :configuration AND metric IS :metric AND value_lo IS :lo AND value_hi IS :hi AND unit IS :unit"
		     " AND source IS :source AND claimed_on IS :claimed_on");
	bind_claim(find, c);
	int rc = db_one(s, find, id, "look a claim up", e);
	if (rc < 0)
		return rc;
	if (rc > 0) {
		DB_STATEMENT(resolve, s, e, "UPDATE claim SET commit_id = :commit WHERE id = :id AND commit_id IS NULL");
		db_opt(resolve, ":commit", c->commit_id);
		db_int(resolve, ":id", *id);
		return db_done(s, resolve, "store a claim", e);
	}
	DB_STATEMENT(add, s, e,
		     "INSERT INTO claim (name, text, revision, commit_id, configuration_json, metric, value_lo, value_hi, unit, source, claimed_on, recorded_s)"
		     " VALUES (:name, :text, :revision, :commit, :configuration, :metric, :lo, :hi, :unit, :source, :claimed_on, :now)");
	bind_claim(add, c);
	db_opt(add, ":commit", c->commit_id);
	db_int(add, ":now", clock_wall_s());
	return db_insert(s, add, id, "store a claim", e);
}

int store_claim(struct store *s, const struct store_claim *c, int64_t *id, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_claim(s, c, id, e), e);
}

static int add_claim_check(struct store *s, const struct store_claim_check *c, int64_t *id, struct error *e)
{
	DB_STATEMENT(st, s, e,
		     "INSERT INTO claim_check (claim_id, session_id, result, configuration_json, value, value_lo, value_hi, rounds, detail, checked_s)"
		     " VALUES (:claim, :session, :result, :configuration, :value, :lo, :hi, :rounds, :detail, :now)");
	db_int(st, ":claim", c->claim_id);
	db_opt(st, ":session", c->session_id);
	db_text(st, ":result", c->result);
	db_text(st, ":configuration", c->configuration_json ? c->configuration_json : "{}");
	db_optreal(st, ":value", c->value);
	db_optreal(st, ":lo", c->value_lo);
	db_optreal(st, ":hi", c->value_hi);
	db_opt(st, ":rounds", c->rounds);
	db_text(st, ":detail", c->detail);
	db_int(st, ":now", clock_wall_s());
	return db_insert(s, st, id, "store a claim's check", e);
}

int store_claim_check(struct store *s, const struct store_claim_check *c, int64_t *id, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_claim_check(s, c, id, e), e);
}
