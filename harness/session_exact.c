/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/session_exact.h"

#include "base/buf.h"
#include "harness/session_private.h"
#include "harness/store_read.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_COSTS_MAX 300 /* functions kept of one count, dearest first */

struct job {
	const struct exact_request *request;
	struct exact_answer *answer;
	struct callgrind_result result;
	struct error error;
	int rc;
	bool whole_process;
	bool at_once;	 /* its repeats run side by side */
	bool *no_region; /* per case, shared by the jobs: its program marks none */
};

struct pool {
	struct session *s;
	struct job **todo; /* not answered from the record */
	size_t n, next;
	size_t *finished; /* indices into todo, in the order of their end */
	size_t n_finished;
	bool stop;
	pthread_mutex_t lock;
	pthread_cond_t one_done;
};

void session_exact_size(const struct bench_case *c, struct run_spec *run)
{
	const char *turns = c->scale ? bench_case_param(c, c->scale) : NULL;
	if (turns && strtod(turns, NULL) < EXACT_OPERATIONS)
		return;
	run->operations = EXACT_OPERATIONS;
	run->has_warmup = true;
	run->warmup = EXACT_WARMUP;
}

static int count_one(struct session *s, struct job *j)
{
	const struct arm_state *a = &s->arms[j->request->arm];
	const struct case_state *k = &s->cases[j->request->index];
	char **argv = bench_case_argv(k->c, 1, s->o.workloads, a->prefix);
	if (!strstr(k->c->command[0], "{prefix}")) {
		free(argv[0]);
		argv[0] = x_strdup(k->program);
	}
	const char **env = session_arm_env(a, k->c);
	struct callgrind_spec spec = {
		.run = { .kind = a->kind, .subject = a->proves ? a->artifact : NULL, .argv = (const char *const *)argv,
			 .env = env },
		.repeats = 2,
		.at_once = j->at_once,
		.whole_process = __atomic_load_n(&j->no_region[j->request->index], __ATOMIC_RELAXED),
	};
	session_exact_size(k->c, &spec.run);
	int rc = callgrind_count(&spec, &j->result, &j->error);
	if (!rc && !spec.whole_process && j->result.outcome == CALLGRIND_NO_REGION) {
		callgrind_release(&j->result);
		spec.whole_process = true;
		rc = callgrind_count(&spec, &j->result, &j->error);
		__atomic_store_n(&j->no_region[j->request->index], true, __ATOMIC_RELAXED);
	}
	j->whole_process = spec.whole_process;
	free(env);
	bench_case_argv_release(argv);
	return rc;
}

static void *work(void *arg)
{
	struct pool *p = arg;
	pthread_mutex_lock(&p->lock);
	while (!p->stop && p->next < p->n) {
		size_t mine = p->next++;
		pthread_mutex_unlock(&p->lock);
		p->todo[mine]->rc = count_one(p->s, p->todo[mine]);
		pthread_mutex_lock(&p->lock);
		if (p->todo[mine]->rc)
			p->stop = true;
		p->finished[p->n_finished++] = mine;
		pthread_cond_signal(&p->one_done);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static double per_call(const struct callgrind_result *r, const char *function)
{
	struct cgsum_entry entry = callgrind_entry(r, function);
	return entry.outer_calls ? (double)entry.outer_inclusive_ir / (double)entry.outer_calls : NAN;
}

static void answer_of(const struct callgrind_result *r, struct exact_answer *a)
{
	a->outcome = r->outcome;
	snprintf(a->why, sizeof(a->why), "%s", r->why);
	a->per_malloc = a->per_free = a->per_op = NAN;
	a->counted = r->n > 0 &&
		     (r->outcome == CALLGRIND_EXACT || r->outcome == CALLGRIND_STATISTICAL || r->outcome == CALLGRIND_NOT_REPEATING);
	a->exact = a->counted && r->outcome == CALLGRIND_EXACT;
	if (!a->counted)
		return;
	a->instructions = r->ir[0], a->least = r->ir_min, a->most = r->ir_max, a->operations = r->operations;
	a->per_op = (double)a->instructions / (a->operations ? (double)a->operations : 1);
	if (r->has_checksum)
		snprintf(a->checksum, sizeof(a->checksum), "%016llx", (unsigned long long)r->checksum);
	a->per_malloc = per_call(r, "malloc");
	a->per_free = per_call(r, "free");
}

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	return slash ? slash + 1 : path;
}

static size_t costs_of(const struct cgsum *sum, struct store_cost *costs)
{
	size_t n = 0;
	for (size_t i = 0; i < sum->nfunctions && n < EXACT_COSTS_MAX; i++) {
		const struct cgsum_function *f = &sum->functions[i];
		bool again = false;
		for (size_t k = 0; k < n && !again; k++)
			again = !strcmp(costs[k].function, f->name ? f->name : "") && !strcmp(costs[k].object, base_name(f->object) ? base_name(f->object) : "") &&
				!strcmp(costs[k].file, f->file ? f->file : "");
		if (again)
			continue;
		costs[n++] = (struct store_cost){
			.object = base_name(f->object) ? base_name(f->object) : "", .function = f->name ? f->name : "", .file = f->file ? f->file : "",
			.self_instructions = (int64_t)f->self_ir, .inclusive_instructions = STORE_INT(f->inclusive_ir), .calls = STORE_INT(f->calls),
		};
	}
	return n;
}

static int next_exact_round(struct session *s, int64_t case_id, int64_t *number, struct error *e)
{
	struct store_rows *r = rows_open(s->store, "SELECT ifnull (max (number) + 1, 0) FROM round"
						   " WHERE session_id = :session AND case_id = :case AND kind = 'exact'");
	rows_bind_int(r, ":session", s->id);
	rows_bind_int(r, ":case", case_id);
	int rc = rows_next(r, e);
	*number = rc > 0 ? rows_int(r, 0) : 0;
	rows_close(r);
	return rc < 0 ? rc : 0;
}

static int keep(struct session *s, const struct job *j, struct error *e)
{
	const struct arm_state *a = &s->arms[j->request->arm];
	const struct case_state *k = &s->cases[j->request->index];
	const struct callgrind_result *r = &j->result;
	const struct exact_answer *x = j->answer;
	struct store_run runs[CALLGRIND_REPEATS_MAX] = { 0 };
	struct store_sample samples[CALLGRIND_REPEATS_MAX][3];
	struct store_cost *costs = x_calloc(EXACT_COSTS_MAX, sizeof(*costs));
	size_t n = x->counted ? r->n : 1;
	const char *quality = x->exact ? "exact" : "measured";
	for (size_t i = 0; i < n; i++) {
		size_t m = 0;
		if (x->counted)
			samples[i][m++] = (struct store_sample){ "instructions_exact", STORE_COUNT(r->ir[i]), "callgrind", quality, { 0 }, { 0 } };
		if (x->counted && i == 0 && isfinite(x->per_malloc))
			samples[i][m++] = (struct store_sample){ "instructions_per_malloc", STORE_FIGURE(x->per_malloc), "callgrind", quality, { 0 }, { 0 } };
		if (x->counted && i == 0 && isfinite(x->per_free))
			samples[i][m++] = (struct store_sample){ "instructions_per_free", STORE_FIGURE(x->per_free), "callgrind", quality, { 0 }, { 0 } };
		runs[i] = (struct store_run){
			.arm_id = a->id, .multiplier = 1, .outcome = x->counted ? "ok" : callgrind_outcome_name(r->outcome),
			.detail = x->why[0] ? x->why : NULL, .operations = r->operations ? STORE_INT(r->operations) : (struct store_opt){ 0 },
			.checksum = x->checksum[0] ? x->checksum : NULL, .whole_process = x->whole_process, .proof = a->artifact, .subject_hash = a->hash[0] ? a->hash : NULL,
			.samples = samples[i], .n_samples = m,
		};
	}
	if (x->counted) {
		runs[0].costs = costs;
		runs[0].n_costs = costs_of(&r->sum, costs);
	}
	struct store_round round = { .session_id = s->id, .case_id = k->id, .sitting = s->sitting, .kind = STORE_EXACT, .runs = runs, .n_runs = n };
	int rc = next_exact_round(s, k->id, &round.number, e);
	if (!rc)
		rc = store_round(s->store, &round, NULL, NULL, e);
	free(costs);
	return rc;
}

static int recorded_figure(struct session *s, int64_t build, int64_t case_id, const char *metric, double *out, struct error *e)
{
	struct store_exact x;
	int rc = store_exact(s->store, build, case_id, metric, 1, &x, e);
	*out = !rc && x.found ? x.median : NAN;
	return rc;
}

/* counted stays false when the record has nothing. */
static int from_record(struct session *s, const struct exact_request *q, struct exact_answer *a, struct error *e)
{
	int64_t build = s->arms[q->arm].build.v, case_id = s->cases[q->index].id;
	struct store_exact x;
	int rc = store_exact(s->store, build, case_id, "instructions_exact", 1, &x, e);
	if (rc || !x.found || x.repeats < 2)
		return rc;
	*a = (struct exact_answer){ .counted = true, .recorded = true, .exact = x.least >= x.most, .outcome = CALLGRIND_EXACT,
				    .instructions = (uint64_t)x.median, .least = (uint64_t)x.least, .most = (uint64_t)x.most,
				    .operations = x.operations.known ? (uint64_t)x.operations.v : 0, .whole_process = !x.operations.known };
	a->per_op = x.median / (a->operations ? (double)a->operations : 1);
	if (!a->exact)
		a->outcome = CALLGRIND_NOT_REPEATING;
	snprintf(a->checksum, sizeof(a->checksum), "%s", x.checksum);
	rc = recorded_figure(s, build, case_id, "instructions_per_malloc", &a->per_malloc, e);
	if (!rc)
		rc = recorded_figure(s, build, case_id, "instructions_per_free", &a->per_free, e);
	return rc;
}

static int run_pool(struct pool *p, unsigned jobs, exact_progress *progress, void *ctx, size_t done, size_t all, struct error *e)
{
	pthread_t threads[16];
	unsigned n_threads = jobs < 1 ? 1 : jobs > 16 ? 16 : jobs, started = 0;
	int rc = 0;
	for (; started < n_threads && started < p->n; started++)
		if (pthread_create(&threads[started], NULL, work, p))
			break;
	if (!started && p->n)
		return error_set(e, -EAGAIN, "cannot start a thread to count with");
	pthread_mutex_lock(&p->lock);
	for (size_t seen = 0; seen < p->n; seen++) {
		while (p->n_finished == seen && !(p->stop && p->n_finished == p->next))
			pthread_cond_wait(&p->one_done, &p->lock);
		if (p->n_finished == seen)
			break;
		struct job *j = p->todo[p->finished[seen]];
		pthread_mutex_unlock(&p->lock);
		if (j->rc) {
			rc = rc ? rc : error_set(e, j->rc, "%s", j->error.text);
		} else {
			answer_of(&j->result, j->answer);
			j->answer->whole_process = j->whole_process;
			int kept = keep(p->s, j, e);
			rc = rc ? rc : kept;
			callgrind_release(&j->result);
		}
		if (progress)
			progress(ctx, ++done, all);
		pthread_mutex_lock(&p->lock);
		p->stop |= rc != 0;
	}
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return rc;
}

/* A wrong allocator must not look frugal. The count stays in the record, with its checksum. */
static void check_work(struct case_state *k, struct exact_answer *a)
{
	if (!a->counted || !a->checksum[0])
		return;
	if (!k->exact_work[0])
		memcpy(k->exact_work, a->checksum, sizeof(k->exact_work));
	if (!strcmp(k->exact_work, a->checksum))
		return;
	a->counted = a->exact = false;
	a->other_work = true;
	snprintf(a->why, sizeof(a->why), "it did other work than the first one counted (checksum %s, not %s)", a->checksum, k->exact_work);
}

int session_exact(struct session *s, const struct exact_request *requests, size_t n, unsigned jobs, bool again, exact_progress *progress,
		  void *ctx, struct exact_answer *out, struct error *e)
{
	struct job *list = x_calloc(n, sizeof(*list));
	struct pool p = { .s = s, .todo = x_calloc(n, sizeof(*p.todo)), .finished = x_calloc(n, sizeof(*p.finished)),
			  .lock = PTHREAD_MUTEX_INITIALIZER, .one_done = PTHREAD_COND_INITIALIZER };
	bool *no_region = x_calloc(s->n_cases + 1, sizeof(*no_region));
	int rc = 0;
	for (size_t i = 0; !rc && i < n; i++) {
		list[i] = (struct job){ .request = &requests[i], .answer = &out[i], .no_region = no_region };
		out[i] = (struct exact_answer){ 0 };
		if (!again)
			rc = from_record(s, &requests[i], &out[i], e);
		if (!out[i].counted)
			p.todo[p.n++] = &list[i];
	}
	/* Only of workloads is it known that two of one build do not share a port or a file. */
	for (size_t i = 0; i < p.n; i++)
		p.todo[i]->at_once = jobs >= 2 * p.n &&
				     strstr(s->cases[p.todo[i]->request->index].c->command[0], "{workloads}");
	if (!rc)
		rc = run_pool(&p, jobs, progress, ctx, n - p.n, n, e);
	for (size_t i = 0; !rc && i < n; i++)
		check_work(&s->cases[requests[i].index], &out[i]);
	for (size_t i = 0; i < n; i++)
		callgrind_release(&list[i].result);
	free(list), free(p.todo), free(p.finished), free(no_region);
	return rc;
}
