/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/session.h"

#include "harness/session_private.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "harness/artifact.h"
#include "harness/counter.h"
#include "harness/host.h"
#include "harness/metric.h"
#include "harness/plan.h"
#include "harness/relink.h"
#include "harness/session_record.h"
#include "harness/session_samples.h"
#include "harness/stats.h"
#include "harness/store_read.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static void facts_of(const struct host_facts *f, struct store_fact *out)
{
	for (size_t i = 0; i < f->n; i++)
		out[i] = (struct store_fact){ f->item[i].key, strcmp(f->item[i].value, "unknown") ? f->item[i].value : NULL };
}

/* Every session draws orders and links of its own, or asking twice would be answered twice by the same draws. */
static int draw_seed(uint64_t *seed, struct error *e)
{
	*seed = 0;
	while (!*seed) {
		if (getrandom(seed, sizeof(*seed), 0) != sizeof(*seed))
			return error_errno(e, errno, "cannot draw a seed");
		*seed &= INT64_MAX;
	}
	return 0;
}

static int recorded_seed(struct session *s, struct error *e)
{
	struct store_rows *r = rows_open(s->store, "SELECT plan_seed FROM session WHERE id = :id");
	rows_bind_int(r, ":id", s->id);
	int rc = rows_next(r, e);
	if (rc > 0)
		s->seed = (uint64_t)rows_int(r, 0);
	rows_close(r);
	return rc < 0 ? rc : 0;
}

static int begin_record(struct session *s, struct error *e)
{
	struct host_facts f;
	struct store_fact facts[HOST_FACTS_MAX];
	host_read("", &f);
	facts_of(&f, facts);
	int rc = store_machine(s->store, f.fingerprint, facts, f.n, &s->machine, e);
	if (!rc)
		rc = store_session_unfinished(s->store, s->o.verb, s->o.request_json, s->machine, &s->id, e);
	if (rc)
		return rc;
	s->resumed = s->id != 0;
	s->seed = s->o.seed & INT64_MAX;
	rc = s->resumed ? recorded_seed(s, e) : s->seed ? 0 : draw_seed(&s->seed, e);
	if (rc)
		return rc;
	if (!s->resumed) {
		struct store_session row = {
			.verb = s->o.verb, .request_json = s->o.request_json, .machine_id = s->machine, .plan_seed = (int64_t)s->seed,
			.delta = STORE_REAL(s->o.delta < 0 ? STATS_DELTA : s->o.delta),
			.confidence = STORE_REAL(s->o.confidence > 0 ? s->o.confidence : STATS_CONFIDENCE),
			.metric = s->o.metric, .toolkit_version = s->o.toolkit_version,
		};
		rc = store_session_begin(s->store, &row, &s->id, e);
	}
	struct store_opt cpu = s->n_cpus ? STORE_INT(s->cpus[0]) : (struct store_opt){ 0 };
	if (!rc)
		rc = store_sitting_begin(s->store, s->id, cpu, s->o.toolkit_version, facts, f.n, &s->sitting, e);
	return rc;
}

/* Fresh links lie in memory where that is offered: writing them must not wait for a disk. */
static int make_scratch(struct session *s, struct error *e)
{
	const char *roots[] = { "/dev/shm", getenv("TMPDIR"), "/tmp" };
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		if (!roots[i] || access(roots[i], W_OK | X_OK))
			continue;
		if (!scratch_make(&s->scratch, roots[i], NULL))
			return 0;
	}
	return error_set(e, -EACCES, "no folder to write fresh links into: /dev/shm and /tmp are not writable; set TMPDIR");
}

static char *copy(const char *s)
{
	return s ? x_strdup(s) : NULL;
}

int session_open(const struct session_options *o, struct session **out, struct error *e)
{
	struct session *s = x_calloc(1, sizeof(*s));
	*out = NULL;
	s->o = *o;
	s->o.metric = s->metric = copy(o->metric);
	s->o.workloads = s->workloads = copy(o->workloads);
	s->o.control = s->control_folder = copy(o->control);
	s->store = o->store;
	s->lock = HOST_LOCK_NONE;
	int rc = host_lock_take(&s->lock, o->lock_path, o->verb, (uint64_t)(o->lock_wait_s * 1e9), e);
	if (!rc) {
		s->n_cpus = host_pick_cpus(CPUS_MAX, s->cpus);
		rc = make_scratch(s, e);
	}
	if (!rc)
		rc = session_events_choose(o->events, &s->events, e);
	if (!rc)
		rc = begin_record(s, e);
	if (rc) {
		session_close(s, NULL, NULL, NULL);
		return rc;
	}
	*out = s;
	return 0;
}

const char *session_state(int rc)
{
	/* A full disk is the machine's, not the question's. */
	return !rc ? "done" : rc == -EINTR || rc == -ENOSPC ? "interrupted" : "failed";
}

int session_close(struct session *s, const char *state, const char *detail, struct error *e)
{
	if (!s)
		return 0;
	int rc = 0;
	if (s->id && state) {
		struct host_facts f;
		struct store_fact facts[HOST_FACTS_MAX];
		host_read("", &f);
		facts_of(&f, facts);
		rc = store_session_end(s->store, s->id, s->sitting, state, detail, facts, f.n, e);
	}
	for (size_t i = 0; i < s->n_arms; i++)
		session_arm_release(&s->arms[i]);
	session_arm_release(&s->control[0]), session_arm_release(&s->control[1]);
	for (size_t i = 0; i < s->n_cases; i++)
		free(s->cases[i].program), free(s->cases[i].metric), free(s->cases[i].history), free(s->cases[i].cells);
	scratch_remove(&s->scratch);
	free(s->arms), free(s->cases), free(s->metric), free(s->workloads), free(s->control_folder);
	session_events_release(&s->events);
	host_lock_drop(&s->lock);
	free(s);
	return rc;
}

int64_t session_id(const struct session *s)
{
	return s->id;
}

int64_t session_machine(const struct session *s)
{
	return s->machine;
}

bool session_resumed(const struct session *s)
{
	return s->resumed;
}

const char *session_advice(const struct session *s)
{
	return buf_str(&s->events.advice);
}

int64_t session_arm_id(const struct session *s, size_t arm)
{
	return s->arms[arm].id;
}

bool session_arm_relinks(const struct session *s, size_t arm)
{
	return s->arms[arm].relink != NULL;
}

int64_t session_case_id(const struct session *s, size_t index)
{
	return s->cases[index].id;
}

size_t session_rounds_done(const struct session *s, size_t index)
{
	return s->cases[index].rounds_done;
}

const char *session_metric(const struct session *s, size_t index)
{
	return s->cases[index].metric;
}

double session_run_s(const struct session *s, size_t index)
{
	const struct case_state *k = &s->cases[index];
	return k->runs ? k->spent_s / (double)k->runs : 0;
}

int session_add_case(struct session *s, const struct bench_case *c, size_t *index, struct error *e)
{
	x_grow(s->cases, s->n_cases, s->cap_cases);
	struct case_state *k = &s->cases[s->n_cases];
	*k = (struct case_state){ .c = c, .metric = x_strdup(s->o.metric ? s->o.metric : c->figure ? session_figure_metric(c) : bench_case_metric(c)) };
	char **argv = bench_case_argv(c, 1, s->o.workloads, "");
	struct artifact program = { 0 };
	bool ours = !strstr(c->command[0], "{prefix}");
	char *found = ours ? session_find_program(argv[0]) : x_strdup(argv[0]);
	int rc = 0;
	if (!found)
		rc = error_set(e, -ENOENT, "workload %s: no program '%s' (not a file, and not in PATH)", c->workload, argv[0]);
	else if (ours)
		rc = artifact_read(found, &program, e);
	k->owns_malloc = program.owns_malloc;
	if (!rc && c->figure) {
		struct metric m = { session_figure_metric(c), c->figure_unit ? c->figure_unit : "", c->figure_lower_is_better ? METRIC_LOWER : METRIC_HIGHER,
				    false, "a figure that the workload prints" };
		int64_t unused;
		rc = store_metric(s->store, &m, &unused, e);
	}
	if (!rc)
		rc = bench_case_store(s->store, c, found, ours ? program.file : NULL, &k->id, e);
	if (!rc)
		rc = session_record_load(s, k, e);
	bench_case_argv_release(argv);
	k->program = found;
	*index = s->n_cases;
	for (size_t i = 0; !rc && i < s->n_cases; i++)
		if (s->cases[i].id == k->id)
			*index = i;
	if (rc || *index < s->n_cases) {
		free(k->program), free(k->metric), free(k->history), free(k->cells);
		return rc;
	}
	s->n_cases++;
	return 0;
}

int session_plan(struct session *s, size_t index, const size_t *arms, size_t n_arms, size_t rounds, struct error *e)
{
	return session_record_plan(s, &s->cases[index], arms, n_arms, rounds, e);
}

struct made {
	struct plan_run plan;
	struct arm_state *arm;
	int64_t arm_id;
	struct run_result result;
	struct session_samples samples;
	char link_hash[HASH_HEX], program_hash[HASH_HEX];
	char *subject; /* file that was put under the workload */
	char checksum[20];
	uint64_t started_unix_ns;
	bool redrawn; /* a fresh link ran */
	bool wrong; /* did other work than the first arm */
	bool not_doubled;
};

static uint64_t unix_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int arm_of(struct session *s, const struct plan_run *p, const size_t *arms, struct made *m, struct error *e)
{
	m->plan = *p;
	if (p->role == PLAN_CONTROL || p->role == PLAN_CONTROL_BASE) {
		m->arm = &s->control[p->role == PLAN_CONTROL];
		m->arm_id = m->arm->id;
		return 0;
	}
	m->arm = &s->arms[arms[p->arm]];
	m->arm_id = m->arm->id;
	if (p->role != PLAN_AA)
		return 0;
	int rc = session_need_aa(s, m->arm, e);
	m->arm_id = m->arm->aa_id;
	return rc;
}

/* A library's fresh link is preloaded; a program's stands in its command where the canonical one did, or is not drawn. */
static int draw_link(struct made *m, char **argv, struct error *e)
{
	struct arm_state *a = m->arm;
	char **word = a->kind == RUN_PRELOAD ? NULL : session_arm_word(argv, a);
	m->subject = a->artifact;
	snprintf(m->link_hash, sizeof(m->link_hash), "%s", a->hash);
	if (!a->relink || !m->plan.link_seed || (a->kind != RUN_PRELOAD && !word))
		return 0;
	int rc = relink_shuffled(a->relink, m->plan.link_seed, a->link_path, e);
	m->subject = a->link_path;
	m->redrawn = true;
	if (word) {
		free(*word);
		*word = x_strdup(a->link_path);
	}
	return rc ? rc : hash_file(a->link_path, m->link_hash, e);
}

/* A figure that was asked for and is not in the output: the run is no answer, and says so. */
static void judge_figure(const struct bench_case *c, struct made *m)
{
	struct run_result *r = &m->result;
	if (r->outcome != RUN_OK || !c->figure || isfinite(session_samples_value(&m->samples, session_figure_metric(c))))
		return;
	r->outcome = RUN_NO_FIGURE;
	snprintf(r->why, sizeof(r->why), "%.100s printed nothing%s, so there is no figure", c->workload, r->out.len ? " that its 'figure' pattern finds a number in" : "");
}

static int run_one(struct session *s, struct case_state *k, struct made *m, struct error *e)
{
	uint64_t began = clock_mono_ns();
	char **argv = bench_case_argv(k->c, m->plan.multiplier, s->o.workloads, m->arm->prefix);
	bool own_program = strstr(k->c->command[0], "{prefix}") != NULL;
	if (!own_program) {
		free(argv[0]);
		argv[0] = x_strdup(k->program);
	}
	int rc = draw_link(m, argv, e);
	if (rc) {
		bench_case_argv_release(argv);
		return rc;
	}
	const char *threads = bench_case_param(k->c, "threads");
	bool one_thread = !k->c->by_wall && (!threads || !strcmp(threads, "1"));
	const char **env = session_arm_env(m->arm, k->c);
	struct run_spec spec = {
		.kind = m->arm->kind, .argv = (const char *const *)argv, .subject = m->arm->proves ? m->subject : NULL,
		.env = env, .events = s->events.spec,
		.startup_allocations = m->plan.startup_allocs, .startup_seed = m->plan.link_seed + 1u,
		.env_padding = m->plan.padding_bytes, .timeout_ns = k->c->timeout_ns * m->plan.multiplier,
		.multiplier = k->c->scale ? 1 : m->plan.multiplier,
		.cpu_plus_1 = one_thread && s->n_cpus ? (unsigned)s->cpus[0] + 1 : 0,
	};
	m->started_unix_ns = unix_ns();
	session_events_arm(&s->events);
	spec.n_events = k->whole_process ? 0 : s->events.n;
	struct counter_set process = { 0 };
	if (k->whole_process)
		session_events_begin_process(&s->events, &process);
	rc = run_once(&spec, &m->result, e);
	session_events_end_process(&s->events, &process, &m->result);
	k->whole_process = !rc && m->result.outcome == RUN_OK ? m->result.whole_process : k->whole_process;
	if (!rc && own_program)
		rc = hash_file(argv[0], m->program_hash, e);
	if (!rc)
		session_samples_fill(&m->samples, &m->result, &s->events, k->c, clock_mono_ns() - began);
	if (!rc)
		judge_figure(k->c, m);
	if (m->result.has_checksum)
		snprintf(m->checksum, sizeof(m->checksum), "%016llx", (unsigned long long)m->result.checksum);
	free(env);
	bench_case_argv_release(argv);
	k->spent_s += (double)(clock_mono_ns() - began) * 1e-9;
	k->runs++;
	return rc;
}

/*
 * A wrong allocator must not look fast: all arms of a round did the same work, or those are wrong that did not do what most did; where
 * none is most, what the first did.
 */
static void check_work(struct made *list, size_t n)
{
	size_t *alike = x_calloc(n + 1, sizeof(*alike));
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			alike[i] += list[i].checksum[0] && list[i].plan.multiplier == list[j].plan.multiplier && !strcmp(list[i].checksum, list[j].checksum);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			if (alike[i] && alike[j] && list[i].plan.multiplier == list[j].plan.multiplier && strcmp(list[i].checksum, list[j].checksum) &&
			    (alike[i] < alike[j] || (alike[i] == alike[j] && j < i)))
				list[i].wrong = true;
	free(alike);
}

/* A program without a scale parameter is asked by its region's request, and may not listen. */
static void check_doubling(struct case_state *k, struct made *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].result.outcome == RUN_OK && list[i].plan.multiplier == 1)
			k->operations = list[i].result.operations;
	for (size_t i = 0; i < n && !k->c->scale; i++)
		if (list[i].result.outcome == RUN_OK && list[i].plan.multiplier != 1 && list[i].result.operations != list[i].plan.multiplier * k->operations) {
			list[i].not_doubled = k->never_doubles = true;
			session_samples_release(&list[i].samples);
		}
}

static int store_made(struct session *s, struct case_state *k, const struct made *list, size_t n, const struct host_change *change,
		      uint64_t began_unix_ns, bool *disturbed, struct error *e)
{
	struct buf why = { 0 };
	struct session_disturbance disturbance = session_round_quiet;
	struct store_run *runs = x_calloc(n, sizeof(*runs));
	for (size_t i = 0; i < n; i++) {
		const struct made *m = &list[i];
		const struct run_result *r = &m->result;
		runs[i] = (struct store_run){
			.arm_id = m->arm_id, .multiplier = (int)m->plan.multiplier,
			.outcome = m->wrong ? "wrong work" : m->not_doubled ? SESSION_NOT_DOUBLED : run_outcome_name(r->outcome),
			.detail = m->wrong ? "its checksum differs from another arm's of this round" : r->why[0] ? r->why : NULL,
			.exit_status = STORE_INT(r->child_outcome == CHILD_SIGNALLED ? -r->child_status : r->child_status),
			.operations = r->operations ? STORE_INT(r->operations) : (struct store_opt){ 0 },
			.checksum = m->checksum[0] ? m->checksum : NULL,
			.proof = r->proved ? m->subject : NULL,
			.subject_hash = m->link_hash[0] ? m->link_hash : NULL,
			.program_hash = m->program_hash[0] ? m->program_hash : NULL,
			.link_seed = m->redrawn ? STORE_INT(m->plan.link_seed) : (struct store_opt){ 0 },
			.padding_bytes = STORE_INT(m->plan.padding_bytes),
			.startup_allocations = STORE_INT(m->plan.startup_allocs),
			.cpu = s->n_cpus ? STORE_INT(s->cpus[0]) : (struct store_opt){ 0 },
			.started_unix_ns = STORE_INT(m->started_unix_ns),
			.whole_process = r->whole_process,
			.samples = m->samples.items, .n_samples = r->outcome == RUN_OK ? m->samples.n : 0,
		};
		session_round_add(&disturbance, &m->samples);
	}
	struct store_opt steal_ns = { 0 };
	if (isfinite(change->steal_share))
		steal_ns = STORE_INT(change->steal_share * change->seconds * 1e9);
	unsigned flags = session_round_judge(k, &disturbance, steal_ns, &why);
	*disturbed = flags != 0;
	struct store_round row = {
		.session_id = s->id, .case_id = k->id, .number = (int64_t)k->next_round, .sitting = s->sitting, .kind = STORE_TIMED,
		.started_unix_ns = STORE_INT(began_unix_ns), .disturbed = flags != 0, .disturbed_why = flags ? buf_str(&why) : NULL, .steal_ns = steal_ns,
		.runs = runs, .n_runs = n,
	};
	if (isfinite(change->load1))
		row.load_1min = STORE_REAL(change->load1);
	int rc = store_round(s->store, &row, NULL, NULL, e);
	buf_release(&why);
	free(runs);
	return rc;
}

/* Programs that count no operations are judged by time. */
static void settle_metric(struct session *s, struct case_state *k, const struct made *list, size_t n)
{
	if (s->o.metric || k->c->figure || !strcmp(k->metric, "cpu_ns") || !strcmp(k->metric, "wall_ns"))
		return;
	for (size_t i = 0; i < n; i++)
		if (list[i].result.outcome == RUN_OK && !list[i].result.operations) {
			free(k->metric);
			k->metric = x_strdup(k->c->by_wall ? "wall_ns" : "cpu_ns");
			return;
		}
}

static void report_figures(const struct case_state *k, const struct made *list, size_t n, const size_t *arms, size_t n_arms,
			   bool disturbed, struct session_figure *figures)
{
	for (size_t a = 0; a < n_arms; a++)
		figures[a] = (struct session_figure){ .arm = arms[a], .outcome = RUN_NOT_STARTED, .value = NAN, .disturbed = disturbed };
	for (size_t i = 0; i < n; i++) {
		const struct made *m = &list[i];
		if (m->plan.role != PLAN_SUBJECT)
			continue;
		struct session_figure *f = &figures[m->plan.arm];
		/* The first run that went wrong tells, else the run of N operations. */
		if (f->why[0])
			continue;
		if (m->wrong)
			f->outcome = RUN_GARBAGE;
		else if (m->plan.multiplier == 1 || m->result.outcome != RUN_OK)
			f->outcome = m->result.outcome;
		if (m->wrong || m->result.why[0])
			snprintf(f->why, sizeof(f->why), "%s", m->wrong ? "it did other work than the arms beside it" : m->result.why);
		if (m->plan.multiplier == 1 && m->result.outcome == RUN_OK)
			f->value = session_samples_value(&m->samples, k->metric);
	}
}

/*
 * The positive control is a library under a workload that frees all the time: it says nothing beside a program that is the
 * subject itself, or one that we do not know to call free often.
 */
static bool takes_control(const struct session *s, const struct case_state *k, const size_t *arms, size_t n_arms)
{
	bool takes = s->o.control && strstr(k->c->command[0], "{workloads}");
	for (size_t i = 0; i < n_arms; i++)
		takes = takes && s->arms[arms[i]].kind == RUN_PRELOAD;
	return takes;
}

static int check_reach(const struct session *s, const struct case_state *k, const size_t *arms, size_t n_arms, struct error *e)
{
	for (size_t i = 0; i < n_arms && k->owns_malloc; i++) {
		const struct arm_state *a = &s->arms[arms[i]];
		if (a->kind == RUN_PRELOAD && a->owns_malloc)
			return error_set(e, -EINVAL, "%s has a malloc of its own (linked statically, or with an allocator): that of %s would never be called in it",
					 k->program, a->artifact);
	}
	return 0;
}

int session_round(struct session *s, size_t index, const size_t *arms, size_t n_arms, unsigned flags, struct session_figure *figures,
		  struct error *e)
{
	struct case_state *k = &s->cases[index];
	bool controls = flags & SESSION_CONTROLS, can_double = k->c->scale || (k->operations && !k->never_doubles);
	bool doubling = can_double && flags & (SESSION_DOUBLE | SESSION_DOUBLE_ALL);
	bool positive = controls && takes_control(s, k, arms, n_arms);
	int rc = check_reach(s, k, arms, n_arms, e);
	if (!rc)
		rc = session_record_plan(s, k, arms, n_arms, 0, e);
	if (!rc && positive)
		rc = session_need_control(s, e);
	if (rc)
		return rc;
	bool *fixed = x_calloc(n_arms, sizeof(*fixed));
	for (size_t i = 0; i < n_arms; i++)
		fixed[i] = !s->arms[arms[i]].relink;
	struct plan_spec spec = {
		.seed = s->seed ^ ((uint64_t)k->id << 32), .arms = n_arms, .cases = 1, .fixed_layout = fixed,
		.control_every = controls ? PLAN_CONTROL_EVERY : 0, .no_positive_control = !positive,
		.double_every = !doubling ? 0 : flags & SESSION_DOUBLE_ALL ? 1 : PLAN_CONTROL_EVERY,
	};
	struct plan_run *plan = x_calloc(plan_runs_max(&spec), sizeof(*plan));
	size_t n = plan_round(&spec, k->next_round, plan);
	struct made *list = x_calloc(n, sizeof(*list));
	struct host_snapshot before, after;
	uint64_t began = unix_ns();
	bool disturbed = false;
	host_snapshot("", &before);
	for (size_t i = 0; !rc && i < n; i++) {
		rc = arm_of(s, &plan[i], arms, &list[i], e);
		if (!rc)
			rc = run_one(s, k, &list[i], e);
	}
	host_snapshot("", &after);
	if (!rc) {
		struct host_change change = host_difference(&before, &after);
		check_doubling(k, list, n);
		check_work(list, n);
		settle_metric(s, k, list, n);
		rc = store_made(s, k, list, n, &change, began, &disturbed, e);
	}
	if (!rc) {
		if (figures)
			report_figures(k, list, n, arms, n_arms, disturbed, figures);
		session_record_done(s, k, arms, n_arms);
	}
	for (size_t i = 0; i < n; i++)
		run_release(&list[i].result), session_samples_release(&list[i].samples);
	free(list), free(plan), free(fixed);
	return rc;
}
