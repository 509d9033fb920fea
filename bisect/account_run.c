/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account_run.h"

#include "base/buf.h"
#include "base/clock.h"
#include "harness/artifact.h"
#include "harness/child.h"
#include "harness/debuginfo.h"
#include "harness/host.h"
#include "harness/session_exact.h"
#include "harness/session_samples.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char *const allocator_entries[] = {
	"malloc",
	"free",
	"calloc",
	"realloc",
	"aligned_alloc",
	"posix_memalign",
	"memalign",
	"reallocarray",
	"valloc",
	"pvalloc",
	"malloc_usable_size",
	"free_sized",
	"free_aligned_sized",
	"cfree",
	NULL,
};

/* Debug information by object, opened when the first address asks. */
struct mapper {
	struct opened {
		char *path;
		struct debuginfo *info; /* NULL: not readable, or not an ELF file */
	} * objects;
	size_t n, cap, last;
};

static struct debuginfo *info_of(struct mapper *m, const char *object)
{
	if (m->last < m->n && !strcmp(m->objects[m->last].path, object))
		return m->objects[m->last].info;
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->objects[i].path, object)) {
			m->last = i;
			return m->objects[i].info;
		}
	x_grow(m->objects, m->n, m->cap);
	m->last = m->n;
	struct opened *o = &m->objects[m->n++];
	*o = (struct opened){ .path = x_strdup(object) };
	if (object[0] == '/' && debuginfo_open(&o->info, object, NULL))
		o->info = NULL;
	return o->info;
}

static size_t resolve(void *ctx, const char *object, uint64_t address, struct account_frame *out,
		      size_t max)
{
	struct debuginfo_frame f[ACCOUNT_FRAMES];
	struct debuginfo *info = info_of(ctx, object);
	size_t n = info ? debuginfo_frames(info, address, f,
					   max < ACCOUNT_FRAMES ? max : ACCOUNT_FRAMES)
			: 0;
	for (size_t i = 0; i < n; i++)
		out[i] = (struct account_frame){ .function = f[i].function,
						 .file = f[i].file,
						 .line = f[i].line,
						 .decl_file = f[i].decl_file ? f[i].decl_file
									     : f[i].file,
						 .entry = f[i].entry,
						 .instance = f[i].instance };
	return n;
}

static void mapper_release(struct mapper *m)
{
	for (size_t i = 0; i < m->n; i++) {
		debuginfo_close(m->objects[i].info);
		free(m->objects[i].path);
	}
	free(m->objects);
}

void account_of_sum(const struct cgsum *sum, const char *object, const char *const *entries,
		    uint64_t operations, struct account_count *out)
{
	struct mapper m = { 0 };
	uint64_t began = clock_mono_ns();
	out->per_run = !operations;
	struct account_input in = { .sum = sum,
				    .object = object,
				    .entries = entries,
				    .operations = operations ? operations : 1,
				    .resolve = resolve,
				    .ctx = &m };
	account_make(&in, &out->account);
	out->mapping_s = (double)(clock_mono_ns() - began) * 1e-9;
	struct debuginfo *info = object ? info_of(&m, object) : NULL;
	out->has_debuginfo = !object || (info && debuginfo_has(info));
	out->counted = true;
	mapper_release(&m);
}

/* The workload's program when the subject is linked into it. */
static char *linked_program(const struct callgrind_spec *spec)
{
	char *real = realpath(spec->run.argv[0], NULL);
	return real ? real : x_strdup(spec->run.argv[0]);
}

static void take(const struct account_want *want, const struct callgrind_spec *spec,
		 struct callgrind_result *r, struct account_count *out)
{
	bool counted = r->outcome == CALLGRIND_EXACT || r->outcome == CALLGRIND_STATISTICAL ||
		       r->outcome == CALLGRIND_NOT_REPEATING;
	snprintf(out->why, sizeof(out->why), "%s", r->why);
	if (!counted || !r->n)
		return;
	out->exact = r->outcome == CALLGRIND_EXACT;
	bool linked = want->kind == RUN_LIBRARY && spec->run.subject;
	char *object = want->kind == RUN_PRELOAD ? x_strdup(r->object)
		       : linked			 ? linked_program(spec)
						 : NULL;
	account_of_sum(&r->sum, object, linked ? allocator_entries : NULL, r->operations, out);
	free(object);
}

/* How a case of a build is run. All-zero is valid; strings are its own but for the build's. */
struct command {
	char **argv, *library_path;
	const char **env;
	struct run_spec run;
};

static void command_release(struct command *c)
{
	bench_case_argv_release(c->argv);
	free(c->env), free(c->library_path);
	*c = (struct command){ 0 };
}

static int command_make(const struct account_want *want, const char *workloads, struct command *c,
			struct error *e)
{
	const struct bench_case *k = want->c;
	struct artifact file = { 0 };
	size_t n = 0;
	int rc = want->kind == RUN_LIBRARY ? artifact_read(want->build->artifact, &file, e) : 0;
	c->argv = bench_case_argv(k, 1, workloads, want->build->prefix);
	if (!rc && !strstr(k->command[0], "{prefix}")) {
		char *program = session_find_program(c->argv[0]);
		if (!program)
			rc = error_set(e, -ENOENT, "workload %s: no program '%s'", k->workload,
				       c->argv[0]);
		free(c->argv[0]);
		c->argv[0] = program ? program : x_strdup("");
	}
	while (k->environment && k->environment[n])
		n++;
	c->env = x_calloc(n + 2, sizeof(*c->env));
	bool own = false;
	for (size_t i = 0; i < n; i++) {
		c->env[i] = k->environment[i];
		own |= !strncmp(k->environment[i], "LD_LIBRARY_PATH=", 16);
	}
	if (!own)
		c->env[n] = c->library_path =
			session_library_path(want->kind, want->build->prefix);
	/* What is linked with a library that is no allocator has no malloc to own. */
	bool proves = want->kind == RUN_PRELOAD || file.owns_malloc;
	c->run = (struct run_spec){ .kind = want->kind,
				    .subject = proves ? want->build->artifact : NULL,
				    .argv = (const char *const *)c->argv,
				    .env = c->env,
				    .timeout_ns = k->timeout_ns };
	return rc;
}

static int count_one(const struct account_want *want, const char *workloads,
		     struct account_count *out, struct error *e)
{
	struct callgrind_result r = { 0 };
	struct command c = { 0 };
	int rc = command_make(want, workloads, &c, e);
	struct callgrind_spec spec = {
		.run = c.run,
		.repeats = 1,
		.addresses = true,
		.callers = want->kind == RUN_EXEC ? 0 : ACCOUNT_CALLERS,
	};
	session_exact_size(want->c, &spec.run);
	if (!rc)
		rc = callgrind_count(&spec, &r, e);
	if (!rc && r.outcome == CALLGRIND_NO_REGION) {
		callgrind_release(&r);
		spec.whole_process = true;
		rc = callgrind_count(&spec, &r, e);
	}
	if (!rc)
		take(want, &spec, &r, out);
	callgrind_release(&r);
	command_release(&c);
	return rc;
}

int account_sample(const struct account_want *want, const char *workloads, double seconds,
		   uint64_t enough, struct profile *out, struct error *e)
{
	struct command c = { 0 };
	int cpu;
	int rc = command_make(want, workloads, &c, e);
	if (!rc && !want->c->by_wall && host_pick_cpus(1, &cpu) == 1)
		c.run.cpu_plus_1 = (unsigned)cpu + 1;
	if (!rc)
		rc = profile_run(&c.run, &counter_linux, seconds, enough, out, e);
	command_release(&c);
	return rc;
}

struct pool {
	const struct account_want *want;
	const char *workloads;
	struct account_count *out;
	size_t n, next, done;
	account_progress *progress;
	void *ctx;
	struct error error;
	pthread_mutex_t lock;
};

static void *work(void *arg)
{
	struct pool *p = arg;
	pthread_mutex_lock(&p->lock);
	while (!p->error.code && p->next < p->n) {
		size_t mine = p->next++;
		struct error e = { 0 };
		pthread_mutex_unlock(&p->lock);
		int rc = child_interrupted()
				 ? error_set(&e, -EINTR, "interrupted")
				 : count_one(&p->want[mine], p->workloads, &p->out[mine], &e);
		pthread_mutex_lock(&p->lock);
		if (rc)
			error_set(&p->error, rc, "%s", e.text);
		p->done++;
		if (p->progress)
			p->progress(p->ctx, p->done, p->n);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int account_run(const struct account_want *want, size_t n, unsigned jobs, const char *workloads,
		account_progress *progress, void *ctx, struct account_count *out, struct error *e)
{
	struct pool p = { .want = want,
			  .workloads = workloads,
			  .out = out,
			  .n = n,
			  .progress = progress,
			  .ctx = ctx,
			  .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t threads[16];
	unsigned wanted = jobs < 1 ? 1 : jobs > 16 ? 16 : jobs, started = 0;
	while (started < wanted && started < n &&
	       !pthread_create(&threads[started], NULL, work, &p))
		started++;
	if (!started)
		work(&p);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&p.lock);
	return p.error.code ? error_set(e, p.error.code, "%s", p.error.text) : 0;
}

void account_count_release(struct account_count *c)
{
	account_release(&c->account);
	*c = (struct account_count){ 0 };
}
