/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/callgrind.h"

#include "base/buf.h"
#include "base/fs.h"
#include "harness/scratch.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEN_MINUTES_NS UINT64_C(600000000000)

#if defined(__aarch64__)
#define TOOL "callgrind-arm64-linux"
#else
#define TOOL "callgrind-amd64-linux"
#endif

const char *callgrind_outcome_name(enum callgrind_outcome o)
{
	static const char *const names[CALLGRIND_OUTCOMES] = {
		[CALLGRIND_EXACT] = "exact",
		[CALLGRIND_STATISTICAL] = "statistical",
		[CALLGRIND_NOT_REPEATING] = "not repeating",
		[CALLGRIND_FELL_BACK] = "fell back",
		[CALLGRIND_NOT_INTERPOSING] = "not interposing",
		[CALLGRIND_NO_REGION] = "no region",
		[CALLGRIND_CRASHED] = "crashed",
		[CALLGRIND_TIMED_OUT] = "timed out",
		[CALLGRIND_FAILED] = "failed",
	};
	assert((size_t)o < CALLGRIND_OUTCOMES);
	return names[o];
}

const char *callgrind_tool(void)
{
	static const char *const places[] = {
		"/usr/libexec/valgrind/" TOOL,
		"/usr/lib/x86_64-linux-gnu/valgrind/" TOOL,
		"/usr/lib/valgrind/" TOOL,
		"/usr/local/libexec/valgrind/" TOOL,
	};
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (!access(places[i], X_OK))
			return places[i];
	return NULL;
}

static int conclude(struct callgrind_result *r, enum callgrind_outcome o, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Returns 1: an outcome is an answer, and no further repeat is wanted. */
static int conclude(struct callgrind_result *r, enum callgrind_outcome o, const char *fmt, ...)
{
	va_list ap;
	r->outcome = o;
	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return 1;
}

/* The last line that valgrind or the program wrote on stderr: usually the reason for an end. */
static void last_words(const struct buf *err, char *out, size_t n)
{
	const char *s = buf_str(err), *end = s + err->len;
	while (end > s && (end[-1] == '\n' || end[-1] == ' '))
		end--;
	const char *from = end;
	while (from > s && from[-1] != '\n')
		from--;
	snprintf(out, n, "%s%.*s", from < end ? "; it said: " : "", (int)(end - from > 200 ? 200 : end - from), from);
}

static int judge_run(struct callgrind_result *r, const struct run_result *run)
{
	char words[260];
	last_words(&run->err, words, sizeof(words));
	switch (run->outcome) {
	case RUN_OK:
		return 0;
	case RUN_NOT_INTERPOSING:
		return conclude(r, CALLGRIND_NOT_INTERPOSING, "%s", run->why);
	case RUN_FELL_BACK:
		return conclude(r, CALLGRIND_FELL_BACK, "under valgrind: %s", run->why);
	case RUN_CRASHED:
		return conclude(r, CALLGRIND_CRASHED, "under valgrind: %s%s", run->why, words);
	case RUN_TIMED_OUT:
		return conclude(r, CALLGRIND_TIMED_OUT, "under valgrind, which is 20 to 100 times slower: %s", run->why);
	default:
		return conclude(r, CALLGRIND_FAILED, "under valgrind: %s (%s)%s", run->why, run_outcome_name(run->outcome),
				words);
	}
}

static bool is_libc(const char *object)
{
	const char *slash = strrchr(object, '/');
	const char *name = slash ? slash + 1 : object;
	return !strncmp(name, "libc.so", 7) || !strncmp(name, "libc-2.", 7) || !strncmp(name, "libc.musl", 9);
}

/* Calls that reached the C library's own allocator in the region. */
static uint64_t libc_allocations(const struct cgsum *s)
{
	static const char *const names[] = { "malloc", "calloc", "realloc", "aligned_alloc", "memalign", "posix_memalign" };
	uint64_t calls = 0;
	for (size_t i = 0; i < s->nobjects; i++)
		for (size_t k = 0; is_libc(s->objects[i].path) && k < sizeof(names) / sizeof(*names); k++)
			calls += cgsum_entry(s, s->objects[i].path, names[k]).calls;
	return calls;
}

/* The loader opened the subject by one name, valgrind tells the one behind all links. */
static char *object_of(const struct cgsum *s, const char *subject)
{
	char *real = realpath(subject, NULL);
	if (!real || cgsum_object_ir(s, subject)) {
		free(real);
		return x_strdup(subject);
	}
	return real;
}

struct cgsum_entry callgrind_entry(const struct callgrind_result *r, const char *function)
{
	struct cgsum_entry own = cgsum_entry(&r->sum, r->object, function);
	if (!r->object || own.calls)
		return own;
	return cgsum_entry(&r->sum, "???", function);
}

static int judge_subject(const struct callgrind_spec *spec, struct callgrind_result *r)
{
	if (spec->run.kind != RUN_PRELOAD || !spec->run.subject)
		return 0;
	r->object = object_of(&r->sum, spec->run.subject);
	r->subject_ir = cgsum_object_ir(&r->sum, r->object);
	if (!r->subject_ir && !callgrind_entry(r, "malloc").calls && !callgrind_entry(r, "free").calls)
		return conclude(r, CALLGRIND_FELL_BACK,
				"no instruction of %s ran in the region: something else served it under valgrind",
				spec->run.subject);
	uint64_t calls = libc_allocations(&r->sum);
	if (calls && !spec->run.libc_heap_allowed && !spec->whole_process)
		return conclude(r, CALLGRIND_FELL_BACK,
				"%llu allocations of the region reached the C library's own allocator under valgrind",
				(unsigned long long)calls);
	return 0;
}

/* The count of one output file, and of the first one everything in it. An unreadable file is an outcome of the run. */
static int take_file(const struct callgrind_spec *spec, struct callgrind_result *r, const char *path)
{
	struct cgfile_stats stats;
	struct cgfile_sink none = { 0 };
	struct error e = { 0 };
	struct cgfile *f = cgfile_open();
	int rc = cgfile_read(f, path, &none, &stats, &e);
	cgfile_close(f);
	if (!rc && !stats.total_ir)
		return conclude(r, CALLGRIND_NO_REGION,
				"callgrind collected nothing: the program marks no region of interest (hakperf/roi.h), or "
				"did not reach it");
	if (!rc && !r->n) {
		snprintf(r->creator, sizeof(r->creator), "%s", stats.creator);
		rc = cgsum_read(&r->sum, &path, 1, spec->addresses, &e);
	}
	struct stat st;
	if (rc && !stat(path, &st) && !st.st_size)
		return conclude(r, CALLGRIND_FAILED, "%s replaced itself by another program, which callgrind does not follow: name that one",
				spec->run.argv[0]);
	if (rc)
		return conclude(r, CALLGRIND_FAILED, "callgrind's output: %s", e.text);
	r->ir[r->n++] = stats.total_ir;
	return r->n == 1 ? judge_subject(spec, r) : 0;
}

/* '%' begins a substitution in valgrind's file names. */
static char *file_option(const char *path)
{
	struct buf b = { 0 };
	buf_puts(&b, "--callgrind-out-file=");
	for (; *path; path++)
		buf_puts(&b, *path == '%' ? "%%" : (char[]){ *path, '\0' });
	return buf_detach(&b);
}

/* Where a program of that name lies; NULL: nowhere. The PATH is the one that a run has. */
static char *in_path(const char *name)
{
	static const char *const folders[] = { "/usr/local/bin", "/usr/bin", "/bin" };
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		char *path = x_printf("%s/%s", folders[i], name);
		if (!access(path, X_OK))
			return path;
		free(path);
	}
	return NULL;
}

/*
 * The words in front of a script: its "#!" line, with /usr/bin/env resolved, which would replace itself and leave valgrind
 * behind. words: room for two, owned by the caller. Returns how many; 0: not a script.
 */
static size_t interpreter(const char *program, char *words[2])
{
	char line[256] = "", first[256] = "", rest[256] = "";
	FILE *f = fopen(program, "re");
	bool script = f && fgets(line, sizeof(line), f) && sscanf(line, "#! %255s %255[^\n]", first, rest) >= 1;
	if (f)
		fclose(f);
	if (!script || strncmp(line, "#!", 2))
		return 0;
	const char *slash = strrchr(first, '/');
	bool by_env = slash && !strcmp(slash, "/env") && rest[0] != '-' && !strpbrk(rest, " \t=");
	words[0] = by_env ? in_path(rest) : x_strdup(first);
	if (!words[0])
		return 0;
	words[1] = by_env || !rest[0] ? NULL : x_strdup(rest);
	return words[1] ? 2 : 1;
}

static int run_tool(const struct callgrind_spec *spec, const char *out_file, struct run_result *run, struct error *e)
{
	char *out = file_option(out_file), callers[48];
	snprintf(callers, sizeof(callers), "--separate-callers=%u", spec->callers);
	const char *wrapper[] = {
		callgrind_tool(),
		"--tool=callgrind",
		"--command-line-only=yes", /* no .valgrindrc, no VALGRIND_OPTS */
		"-q",
		out,
		spec->whole_process ? "--collect-atstart=yes" : "--collect-atstart=no",
		spec->whole_process ? "--instr-atstart=yes" : "--instr-atstart=no",
		spec->addresses ? "--dump-instr=yes" : "--dump-instr=no",
		"--cache-sim=no",
		"--branch-sim=no",
		callers,
		"--child-silent-after-fork=yes",
		"--vgdb=no",
		NULL,
	};
	static const char *const env[] = { "VALGRIND_LAUNCHER=/usr/bin/valgrind", NULL };
	struct run_spec s = spec->run;
	char *script[2] = { NULL, NULL };
	size_t n = 0, n_script = interpreter(s.argv[0], script);
	while (s.argv[n])
		n++;
	const char **argv = x_calloc(n + n_script + 1, sizeof(*argv));
	for (size_t i = 0; i < n_script; i++)
		argv[i] = script[i];
	memcpy(argv + n_script, s.argv, n * sizeof(*argv));
	s.argv = argv;
	s.wrapper = wrapper;
	s.wrapper_env = env;
	s.events = NULL;
	s.n_events = 0;
	s.env_padding = 0;
	s.startup_allocations = 0;
	s.timeout_ns = spec->timeout_ns ? spec->timeout_ns : TEN_MINUTES_NS;
	int rc = run_once(&s, run, e);
	free(out), free(argv), free(script[0]), free(script[1]);
	return rc;
}

static int same_work(struct callgrind_result *r, const struct run_result *run)
{
	if (!r->n) {
		r->operations = run->operations;
		r->checksum = run->checksum;
		r->has_checksum = run->has_checksum;
		r->threads = run->n_records;
		return 0;
	}
	if (r->checksum == run->checksum && r->operations == run->operations)
		return 0;
	return conclude(r, CALLGRIND_NOT_REPEATING,
			"the runs did different work: %llu operations with checksum %llx, then %llu with %llx",
			(unsigned long long)r->operations, (unsigned long long)r->checksum,
			(unsigned long long)run->operations, (unsigned long long)run->checksum);
}

/* One repeat. */
struct repeat {
	const struct callgrind_spec *spec;
	char *file;
	bool started; /* in a thread of its own, not yet joined */
	pthread_t thread;
	struct run_result run;
	int rc;
	struct error error;
};

static void *run_repeat(void *arg)
{
	struct repeat *t = arg;
	t->rc = run_tool(t->spec, t->file, &t->run, &t->error);
	return NULL;
}

/* Begin them all, where that is asked for; what no thread can be had for runs when its turn comes. */
static void begin_repeats(const struct callgrind_spec *spec, struct repeat *list, unsigned n, const char *scratch)
{
	for (unsigned i = 0; i < n; i++) {
		list[i] = (struct repeat){ .spec = spec };
		list[i].file = !i && spec->keep ? x_strdup(spec->keep) : x_printf("%s/callgrind.%u", scratch, i);
	}
	for (unsigned i = 0; i < n && spec->at_once && n > 1; i++)
		list[i].started = !pthread_create(&list[i].thread, NULL, run_repeat, &list[i]);
}

static void end_repeats(struct repeat *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (list[i].started)
			pthread_join(list[i].thread, NULL);
		run_release(&list[i].run);
		free(list[i].file);
	}
}

/* 0: counted; 1: the outcome is settled; -errno. */
static int take_repeat(struct repeat *t, struct callgrind_result *r, struct error *e)
{
	if (t->started)
		pthread_join(t->thread, NULL);
	else
		run_repeat(t);
	t->started = false;
	int rc = t->rc ? error_set(e, t->rc, "%s", t->error.text) : judge_run(r, &t->run);
	if (!rc && t->spec->whole_process && t->run.n_records)
		rc = conclude(r, CALLGRIND_FAILED,
			      "the program marks a region of interest, which switches the counting itself: count that region");
	if (!rc)
		rc = same_work(r, &t->run);
	if (!rc)
		rc = take_file(t->spec, r, t->file);
	return rc;
}

static void sum_up(struct callgrind_result *r)
{
	r->ir_min = r->ir_max = r->ir[0];
	for (unsigned i = 1; i < r->n; i++) {
		r->ir_min = r->ir[i] < r->ir_min ? r->ir[i] : r->ir_min;
		r->ir_max = r->ir[i] > r->ir_max ? r->ir[i] : r->ir_max;
	}
	double spread = 100.0 * (double)(r->ir_max - r->ir_min) / (double)r->ir_min;
	if (r->threads > 1 && r->n == 1)
		conclude(r, CALLGRIND_STATISTICAL, "%zu threads: another run would count otherwise", r->threads);
	else if (r->threads > 1)
		conclude(r, CALLGRIND_STATISTICAL, "%zu threads: the counts of %u runs lie within %.3g %%", r->threads, r->n,
			 spread);
	else if (r->ir_min != r->ir_max)
		conclude(r, CALLGRIND_NOT_REPEATING,
			 "the counts of %u runs differ by %.3g %%: the subject follows the clock, addresses or the kernel's "
			 "answers", r->n, spread);
}

int callgrind_count(const struct callgrind_spec *spec, struct callgrind_result *r, struct error *e)
{
	unsigned repeats = spec->repeats ? spec->repeats : 2;
	assert(repeats <= CALLGRIND_REPEATS_MAX);
	*r = (struct callgrind_result){ .outcome = CALLGRIND_EXACT };
	if (!callgrind_tool())
		return error_set(e, -ENOENT, "valgrind's %s is not installed: run 'apt-get install valgrind'", TOOL);
	const char *tmp = getenv("TMPDIR");
	struct scratch scratch;
	int rc = scratch_make(&scratch, tmp && *tmp ? tmp : "/tmp", e);
	if (rc)
		return rc;
	struct repeat list[CALLGRIND_REPEATS_MAX];
	begin_repeats(spec, list, repeats, scratch.path);
	for (unsigned i = 0; !rc && i < repeats; i++)
		rc = take_repeat(&list[i], r, e);
	end_repeats(list, repeats);
	scratch_remove(&scratch);
	if (rc < 0) {
		callgrind_release(r);
		return rc;
	}
	if (!rc)
		sum_up(r);
	else if (r->n)
		r->ir_min = r->ir_max = r->ir[0];
	return 0;
}

void callgrind_release(struct callgrind_result *r)
{
	cgsum_release(&r->sum);
	free(r->object);
	*r = (struct callgrind_result){ 0 };
}
