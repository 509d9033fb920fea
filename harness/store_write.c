/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/store.h"

#include "base/buf.h"
#include "base/clock.h"
#include "harness/store_db.h"

#include <errno.h>
#include <string.h>

static int64_t *known(struct store_names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (!strcmp(names->items[i].name, name))
			return &names->items[i].id;
	return NULL;
}

static void remember(struct store_names *names, const char *name, int64_t id)
{
	if (names->n < STORE_NAMES)
		names->items[names->n++] = (struct store_name){ x_strdup(name), id };
}

/* ---- names ---- */

static int find_metric(struct store *s, const char *name, int64_t *id, struct error *e)
{
	int64_t *k = known(&s->metrics, name);
	if (k) {
		*id = *k;
		return 1;
	}
	DB_STATEMENT(st, s, e, "SELECT id FROM metric WHERE name = :name");
	db_text(st, ":name", name);
	int rc = db_one(s, st, id, "look a metric up", e);
	if (rc > 0)
		remember(&s->metrics, name, *id);
	return rc;
}

static const char *better_name(enum metric_better b)
{
	return b == METRIC_HIGHER ? "higher" : "lower";
}

static int add_metric(struct store *s, const struct metric *m, int64_t *id, struct error *e)
{
	DB_STATEMENT(st, s, e,
		  "INSERT INTO metric (name, unit, better, additive, description) VALUES (:name, :unit, :better, :additive, :description)");
	db_text(st, ":name", m->name);
	db_text(st, ":unit", m->unit);
	db_text(st, ":better", better_name(m->better));
	db_int(st, ":additive", m->additive);
	db_text(st, ":description", m->description ? m->description : "");
	int rc = db_insert(s, st, id, "store a metric", e);
	if (!rc)
		remember(&s->metrics, m->name, *id);
	return rc;
}

int db_metric(struct store *s, const char *name, int64_t *id, struct error *e)
{
	int rc = find_metric(s, name, id, e);
	if (rc)
		return rc > 0 ? 0 : rc;
	const struct metric *m = metric_find(name);
	if (!m)
		return error_set(e, -EINVAL, "the metric '%s' is unknown: give its unit and direction first", name);
	return add_metric(s, m, id, e);
}

static int same_metric(struct store *s, const struct metric *m, int64_t id, struct error *e)
{
	DB_STATEMENT(st, s, e, "SELECT unit = :unit AND better = :better AND additive = :additive FROM metric WHERE id = :id");
	db_text(st, ":unit", m->unit);
	db_text(st, ":better", better_name(m->better));
	db_int(st, ":additive", m->additive);
	db_int(st, ":id", id);
	int64_t same = 0;
	int rc = db_one(s, st, &same, "look a metric up", e);
	if (rc < 0 || same)
		return rc < 0 ? rc : 0;
	return error_set(e, -EEXIST, "the metric '%s' is in %s with another unit or direction: give it another name", m->name, s->path);
}

int store_metric(struct store *s, const struct metric *m, int64_t *id, struct error *e)
{
	int rc = store_begin(s, e);
	if (rc)
		return rc;
	/* Those of the table keep its unit and direction, in every database. */
	const struct metric *ours = metric_find(m->name);
	rc = find_metric(s, m->name, id, e);
	if (rc > 0)
		rc = same_metric(s, m, *id, e);
	else if (!rc) {
		rc = add_metric(s, ours ? ours : m, id, e);
		if (!rc && ours)
			rc = same_metric(s, m, *id, e);
	}
	return db_end(s, rc, e);
}

static int source_id(struct store *s, const char *name, int64_t *id, struct error *e)
{
	int64_t *k = known(&s->sources, name);
	if (k) {
		*id = *k;
		return 0;
	}
	DB_STATEMENT(find, s, e, "SELECT id FROM source WHERE name = :name");
	db_text(find, ":name", name);
	int rc = db_one(s, find, id, "look a source up", e);
	if (rc == 0) {
		DB_STATEMENT(add, s, e, "INSERT INTO source (name) VALUES (:name)");
		db_text(add, ":name", name);
		rc = db_insert(s, add, id, "store a source", e);
	}
	if (rc < 0)
		return rc;
	remember(&s->sources, name, *id);
	return 0;
}

/* NULL hash: unknown. */
static int binary_id(struct store *s, const char *hash, const char *build_id, struct store_opt *id, struct error *e)
{
	*id = (struct store_opt){ 0 };
	if (!hash || !*hash)
		return 0;
	DB_STATEMENT(find, s, e, "SELECT id FROM binary WHERE hash = :hash");
	db_text(find, ":hash", hash);
	int rc = db_one(s, find, &id->v, "look a file up", e);
	if (rc == 0) {
		DB_STATEMENT(add, s, e, "INSERT INTO binary (hash, build_id) VALUES (:hash, :build_id)");
		db_text(add, ":hash", hash);
		db_text(add, ":build_id", build_id && *build_id ? build_id : NULL);
		rc = db_insert(s, add, &id->v, "store a file", e);
	}
	id->known = rc >= 0;
	return rc < 0 ? rc : 0;
}

/* ---- dimensions ---- */

static int add_machine(struct store *s, const char *fingerprint, const struct store_fact *facts, size_t n, int64_t *id, struct error *e)
{
	DB_STATEMENT(find, s, e, "SELECT id FROM machine WHERE fingerprint = :fingerprint");
	db_text(find, ":fingerprint", fingerprint);
	int rc = db_one(s, find, id, "look the machine up", e);
	if (rc)
		return rc > 0 ? 0 : rc;
	DB_STATEMENT(add, s, e, "INSERT INTO machine (fingerprint, first_seen_s) VALUES (:fingerprint, :now)");
	db_text(add, ":fingerprint", fingerprint);
	db_int(add, ":now", clock_wall_s());
	rc = db_insert(s, add, id, "store the machine", e);
	for (size_t i = 0; !rc && i < n; i++) {
		DB_STATEMENT(fact, s, e, "INSERT OR REPLACE INTO machine_fact (machine_id, name, value) VALUES (:machine, :name, :value)");
		db_int(fact, ":machine", *id);
		db_text(fact, ":name", facts[i].name);
		db_text(fact, ":value", facts[i].value);
		rc = db_done(s, fact, "store the machine", e);
	}
	return rc;
}

int store_machine(struct store *s, const char *fingerprint, const struct store_fact *facts, size_t n, int64_t *id, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_machine(s, fingerprint, facts, n, id, e), e);
}

static int add_commit(struct store *s, const struct store_commit *c, int64_t *id, struct error *e)
{
	DB_STATEMENT(add, s, e,
		  "INSERT INTO commit_info (full_id, subject, subject_escaped, author_time_s, phase)"
		  " VALUES (:full_id, :subject, :escaped, :time, :phase)"
		  " ON CONFLICT (full_id) DO UPDATE SET phase = excluded.phase WHERE phase IS NULL AND excluded.phase IS NOT NULL");
	db_text(add, ":full_id", c->full_id);
	db_text(add, ":subject", c->subject ? c->subject : "");
	db_int(add, ":escaped", c->subject_escaped);
	db_opt(add, ":time", c->author_time_s);
	db_text(add, ":phase", c->phase);
	int rc = db_done(s, add, "store a commit", e);
	if (rc)
		return rc;
	DB_STATEMENT(find, s, e, "SELECT id FROM commit_info WHERE full_id = :full_id");
	db_text(find, ":full_id", c->full_id);
	rc = db_one(s, find, id, "look a commit up", e);
	return rc < 0 ? rc : 0;
}

int store_commit_info(struct store *s, const struct store_commit *c, int64_t *id, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_commit(s, c, id, e), e);
}

static int add_build(struct store *s, const struct store_build *b, int64_t *id, struct error *e)
{
	DB_STATEMENT(add, s, e,
		  "INSERT INTO build (key, kind, tree, variant, recipe, recipe_hash, toolchain, flags, outcome, detail, artifact, artifact_hash,"
		  " loaded_hash, build_id, relinkable, sandboxed, wall_ns, log_path, recorded_s)"
		  " VALUES (:key, :kind, :tree, :variant, :recipe, :recipe_hash, :toolchain, :flags, :outcome, :detail, :artifact, :artifact_hash,"
		  " :loaded_hash, :build_id, :relinkable, :sandboxed, :wall_ns, :log_path, :now)"
		  " ON CONFLICT (key, variant, outcome, ifnull (artifact_hash, '')) DO NOTHING");
	db_text(add, ":key", b->key);
	db_text(add, ":kind", b->kind);
	db_text(add, ":tree", b->tree);
	db_text(add, ":variant", b->variant ? b->variant : "");
	db_text(add, ":recipe", b->recipe);
	db_text(add, ":recipe_hash", b->recipe_hash);
	db_text(add, ":toolchain", b->toolchain);
	db_text(add, ":flags", b->flags);
	db_text(add, ":outcome", b->outcome);
	db_text(add, ":detail", b->detail);
	db_text(add, ":artifact", b->artifact);
	db_text(add, ":artifact_hash", b->artifact_hash);
	db_text(add, ":loaded_hash", b->loaded_hash);
	db_text(add, ":build_id", b->build_id);
	db_opt(add, ":relinkable", b->relinkable);
	db_opt(add, ":sandboxed", b->sandboxed);
	db_opt(add, ":wall_ns", b->wall_ns);
	db_text(add, ":log_path", b->log_path);
	db_int(add, ":now", clock_wall_s());
	int rc = db_done(s, add, "store a build", e);
	if (rc)
		return rc;
	DB_STATEMENT(find, s, e,
		  "SELECT id FROM build WHERE key = :key AND variant = :variant AND outcome = :outcome"
		  " AND ifnull (artifact_hash, '') = ifnull (:artifact_hash, '')");
	db_text(find, ":key", b->key);
	db_text(find, ":variant", b->variant ? b->variant : "");
	db_text(find, ":outcome", b->outcome);
	db_text(find, ":artifact_hash", b->artifact_hash);
	rc = db_one(s, find, id, "look a build up", e);
	return rc < 0 ? rc : 0;
}

int store_build(struct store *s, const struct store_build *b, int64_t *id, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_build(s, b, id, e), e);
}

static int add_commit_build(struct store *s, int64_t commit, int64_t build, struct error *e)
{
	DB_STATEMENT(st, s, e, "INSERT INTO commit_build (commit_id, build_id) VALUES (:commit, :build) ON CONFLICT DO NOTHING");
	db_int(st, ":commit", commit);
	db_int(st, ":build", build);
	return db_done(s, st, "store a commit's build", e);
}

int store_commit_has_build(struct store *s, int64_t commit, int64_t build, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_commit_build(s, commit, build, e), e);
}

static int add_workload(struct store *s, const char *name, const char *program, const char *hash, int64_t *id, struct error *e)
{
	DB_STATEMENT(add, s, e,
		  "INSERT INTO workload (name, program, program_hash) VALUES (:name, :program, :hash)"
		  " ON CONFLICT (name, program, ifnull (program_hash, '')) DO NOTHING");
	db_text(add, ":name", name);
	db_text(add, ":program", program);
	db_text(add, ":hash", hash);
	int rc = db_done(s, add, "store a workload", e);
	if (rc)
		return rc;
	DB_STATEMENT(find, s, e,
		  "SELECT id FROM workload WHERE name = :name AND program = :program AND ifnull (program_hash, '') = ifnull (:hash, '')");
	db_text(find, ":name", name);
	db_text(find, ":program", program);
	db_text(find, ":hash", hash);
	rc = db_one(s, find, id, "look a workload up", e);
	return rc < 0 ? rc : 0;
}

int store_workload(struct store *s, const char *name, const char *program, const char *program_hash, int64_t *id, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_workload(s, name, program, program_hash, id, e), e);
}

static const struct store_parameter parameters[] = {
	{ "min_bytes", "bytes", offsetof(struct store_case, min_bytes) },
	{ "max_bytes", "bytes", offsetof(struct store_case, max_bytes) },
	{ "cycles", "", offsetof(struct store_case, cycles) },
	{ "working_set", "", offsetof(struct store_case, working_set) },
	{ "seed", "", offsetof(struct store_case, seed) },
	{ "threads", "", offsetof(struct store_case, threads) },
	{ "rounds", "", offsetof(struct store_case, rounds) },
	{ "chunks", "", offsetof(struct store_case, chunks) },
	{ "batch", "", offsetof(struct store_case, batch) },
	{ "warm_up", "", offsetof(struct store_case, warm_up) },
};

const struct store_parameter *store_case_parameters(size_t *n)
{
	*n = sizeof(parameters) / sizeof(parameters[0]);
	return parameters;
}

struct store_opt *store_case_slot(struct store_case *c, const struct store_parameter *p)
{
	return (struct store_opt *)((char *)c + p->offset);
}

static void bind_case(sqlite3_stmt *st, const struct store_case *c)
{
	db_int(st, ":workload", c->workload_id);
	db_text(st, ":phase", c->cold ? "cold" : "steady");
	db_text(st, ":size_class", c->size_class);
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		char name[32] = ":";
		strcat(name, parameters[i].name);
		db_opt(st, name, *(const struct store_opt *)((const char *)c + parameters[i].offset));
	}
	db_optreal(st, ":seconds", c->seconds);
	db_text(st, ":parameters", c->parameters_json ? c->parameters_json : "{}");
	db_text(st, ":environment", c->environment_json ? c->environment_json : "{}");
}

static int add_case(struct store *s, const struct store_case *c, int64_t *id, struct error *e)
{
	DB_STATEMENT(find, s, e,
		  "SELECT id FROM bench_case WHERE workload_id = :workload AND phase = :phase AND size_class IS :size_class"
		  " AND min_bytes IS :min_bytes AND max_bytes IS :max_bytes AND cycles IS :cycles AND working_set IS :working_set"
		  " AND seed IS :seed AND threads IS :threads AND rounds IS :rounds AND chunks IS :chunks AND batch IS :batch"
		  " AND warm_up IS :warm_up AND seconds IS :seconds AND parameters_json = :parameters AND environment_json = :environment");
	bind_case(find, c);
	int rc = db_one(s, find, id, "look a case up", e);
	if (rc)
		return rc > 0 ? 0 : rc;
	DB_STATEMENT(add, s, e,
		  "INSERT INTO bench_case (workload_id, phase, size_class, min_bytes, max_bytes, cycles, working_set, seed, threads, rounds,"
		  " chunks, batch, warm_up, seconds, parameters_json, environment_json)"
		  " VALUES (:workload, :phase, :size_class, :min_bytes, :max_bytes, :cycles, :working_set, :seed, :threads, :rounds,"
		  " :chunks, :batch, :warm_up, :seconds, :parameters, :environment)");
	bind_case(add, c);
	return db_insert(s, add, id, "store a case", e);
}

int store_case(struct store *s, const struct store_case *c, int64_t *id, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_case(s, c, id, e), e);
}

/* ---- rounds ---- */

static int add_sample(struct store *s, int64_t run, const struct store_sample *a, struct error *e)
{
	if (a->value.real && a->value.r - a->value.r != 0)
		return error_set(e, -EINVAL, "a sample of '%s' is no finite number", a->metric);
	int64_t metric = 0, source = 0;
	int rc = db_metric(s, a->metric, &metric, e);
	if (!rc)
		rc = source_id(s, a->source, &source, e);
	if (rc)
		return rc;
	DB_STATEMENT(st, s, e,
		  "INSERT INTO sample (run_id, metric_id, value, source_id, quality, enabled_ns, running_ns)"
		  " VALUES (:run, :metric, :value, :source, :quality, :enabled_ns, :running_ns)");
	db_int(st, ":run", run);
	db_int(st, ":metric", metric);
	db_value(st, ":value", a->value);
	db_int(st, ":source", source);
	db_text(st, ":quality", a->quality);
	db_opt(st, ":enabled_ns", a->enabled_ns);
	db_opt(st, ":running_ns", a->running_ns);
	return db_done(s, st, "store a sample", e);
}

static int add_cost(struct store *s, int64_t run, const struct store_cost *c, struct error *e)
{
	DB_STATEMENT(st, s, e,
		  "INSERT INTO function_cost (run_id, object, function, file, self_instructions, inclusive_instructions, calls)"
		  " VALUES (:run, :object, :function, :file, :self, :inclusive, :calls)");
	db_int(st, ":run", run);
	db_text(st, ":object", c->object ? c->object : "");
	db_text(st, ":function", c->function ? c->function : "");
	db_text(st, ":file", c->file ? c->file : "");
	db_int(st, ":self", c->self_instructions);
	db_opt(st, ":inclusive", c->inclusive_instructions);
	db_opt(st, ":calls", c->calls);
	return db_done(s, st, "store a function's cost", e);
}

static int add_run(struct store *s, int64_t round, int64_t position, const struct store_run *r, int64_t *id, struct error *e)
{
	struct store_opt subject, program;
	int rc = binary_id(s, r->subject_hash, r->subject_build_id, &subject, e);
	if (!rc)
		rc = binary_id(s, r->program_hash, r->program_build_id, &program, e);
	if (rc)
		return rc;
	DB_STATEMENT(st, s, e,
		  "INSERT INTO run (round_id, position, arm_id, multiplier, outcome, detail, exit_status, operations, checksum, proof,"
		  " subject_binary_id, program_binary_id, link_seed, padding_bytes, startup_allocations, cpu, started_unix_ns, whole_process)"
		  " VALUES (:round, :position, :arm, :multiplier, :outcome, :detail, :exit_status, :operations, :checksum, :proof,"
		  " :subject, :program, :link_seed, :padding_bytes, :startup_allocations, :cpu, :started, :whole_process)");
	db_int(st, ":round", round);
	db_int(st, ":position", position);
	db_int(st, ":arm", r->arm_id);
	db_int(st, ":multiplier", r->multiplier);
	db_text(st, ":outcome", r->outcome);
	db_text(st, ":detail", r->detail);
	db_opt(st, ":exit_status", r->exit_status);
	db_opt(st, ":operations", r->operations);
	db_text(st, ":checksum", r->checksum);
	db_text(st, ":proof", r->proof);
	db_opt(st, ":subject", subject);
	db_opt(st, ":program", program);
	db_opt(st, ":link_seed", r->link_seed);
	db_opt(st, ":padding_bytes", r->padding_bytes);
	db_opt(st, ":startup_allocations", r->startup_allocations);
	db_opt(st, ":cpu", r->cpu);
	db_opt(st, ":started", r->started_unix_ns);
	db_int(st, ":whole_process", r->whole_process);
	rc = db_insert(s, st, id, "store a run", e);
	for (size_t i = 0; !rc && i < r->n_samples; i++)
		rc = add_sample(s, *id, &r->samples[i], e);
	for (size_t i = 0; !rc && i < r->n_costs; i++)
		rc = add_cost(s, *id, &r->costs[i], e);
	return rc;
}

static int add_round(struct store *s, const struct store_round *r, int64_t *id, int64_t *run_ids, struct error *e)
{
	DB_STATEMENT(st, s, e,
		  "INSERT INTO round (session_id, case_id, kind, number, sitting, started_unix_ns, steal_ns, load_1min, disturbed, disturbed_why)"
		  " VALUES (:session, :case, :kind, :number, :sitting, :started, :steal_ns, :load, :disturbed, :why)");
	db_int(st, ":session", r->session_id);
	db_int(st, ":case", r->case_id);
	db_text(st, ":kind", r->kind == STORE_EXACT ? "exact" : "timed");
	db_int(st, ":number", r->number);
	db_int(st, ":sitting", r->sitting);
	db_opt(st, ":started", r->started_unix_ns);
	db_opt(st, ":steal_ns", r->steal_ns);
	db_optreal(st, ":load", r->load_1min);
	db_int(st, ":disturbed", r->disturbed);
	db_text(st, ":why", r->disturbed_why);
	int64_t round = 0, run = 0;
	int rc = db_insert(s, st, &round, "store the round", e);
	for (size_t i = 0; !rc && i < r->n_runs; i++) {
		rc = add_run(s, round, (int64_t)i, &r->runs[i], &run, e);
		if (run_ids)
			run_ids[i] = run;
	}
	if (id)
		*id = round;
	return rc;
}

int store_round(struct store *s, const struct store_round *r, int64_t *id, int64_t *run_ids, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, add_round(s, r, id, run_ids, e), e);
}

static int set_disturbed(struct store *s, int64_t round, bool disturbed, const char *why, struct error *e)
{
	DB_STATEMENT(st, s, e, "UPDATE round SET disturbed = :disturbed, disturbed_why = :why WHERE id = :round");
	db_int(st, ":disturbed", disturbed);
	db_text(st, ":why", why);
	db_int(st, ":round", round);
	return db_done(s, st, "flag a round", e);
}

int store_round_disturbed(struct store *s, int64_t round, bool disturbed, const char *why, struct error *e)
{
	int rc = store_begin(s, e);
	return rc ? rc : db_end(s, set_disturbed(s, round, disturbed, why, e), e);
}
