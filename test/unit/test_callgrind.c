/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/callgrind.h"

#include "base/buf.h"
#include "base/fs.h"
#include "harness/child.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Real runs of valgrind on small programs that the test compiles. What is counted is written in assembly, so that the
 * figures can be counted by hand.
 */
static char folder[] = "/tmp/hakperf-callgrind-XXXXXX";
static char *include_option;

static char *path_of(const char *name)
{
	return x_printf("%s/%s", folder, name);
}

static void compile(const char *name, const char *source, const char *option)
{
	char *c = x_printf("%s/%s.c", folder, name), *out = path_of(name);
	struct error e = { 0 };
	struct child_result r = { 0 };
	assert_int_equal(fs_write(c, source, strlen(source), &e), 0);
	const char *argv[] = { "gcc", "-std=gnu17", "-O2", "-g", "-gdwarf-4", "-fno-builtin", "-fPIC", include_option,
			       "-o",  out,	    c,	   "-lpthread", option, NULL };
	const char *env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", NULL };
	struct child_spec spec = { .argv = argv, .env = env, .cpu = -1, .pass_fd = -1 };
	assert_int_equal(child_run(&spec, &r, &e), 0);
	if (r.outcome != CHILD_EXITED || r.status)
		fail_msg("%s does not compile: %s", name, buf_str(&r.err));
	child_release(&r);
	free(out);
	free(c);
}

/* step: 4 + 3 * 100 = 304 instructions; twice: step, step and 4 of its own. */
static const char program[] =
	"#include \"hakperf/roi.h\"\n"
	"#include <pthread.h>\n"
	"void step(void); void twice(void);\n"
	"__asm__(\".text\\n.globl step\\n.type step,@function\\nstep:\\n mov $100, %ecx\\n1: dec %ecx\\n nop\\n jnz 1b\\n nop\\n nop\\n"
	" ret\\n.size step,.-step\\n\"\n"
	" \".globl twice\\n.type twice,@function\\ntwice:\\n nop\\n call step\\n call step\\n ret\\n.size twice,.-twice\\n\");\n"
	"static int n; static const char *mode;\n"
	"static void *work(void *p) {\n"
	"  struct hakperf_roi r = HAKPERF_ROI_INIT;\n"
	"  hakperf_roi_begin(&r);\n"
	"  for (int i = 0; i < n; i++) twice();\n"
	"  for (int i = 0; i < n; i++) { void *m = malloc(24); __asm__ volatile(\"\" : : \"r\"(m) : \"memory\"); free(m); }\n"
	"  if (*mode == 'c') { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);\n"
	"    for (long i = t.tv_nsec / 1000 % 10000; i > 0; i--) step(); }\n"
	"  if (*mode == 'x') __builtin_trap();\n"
	"  if (*mode == 'h') for (;;) step();\n"
	"  hakperf_roi_end(&r, 2 * (unsigned long)n, 42);\n"
	"  return p; }\n"
	"int main(int argc, char **argv) {\n"
	"  n = atoi(argv[1]); mode = argv[2]; (void)argc;\n"
	"  hakperf_roi_init(0);\n"
	"  for (int i = 0; i < 7; i++) twice();\n"
	"  free(malloc(24));\n"
	"  if (*mode == 't') { pthread_t t[2];\n"
	"    for (int i = 0; i < 2; i++) pthread_create(&t[i], 0, work, 0);\n"
	"    for (int i = 0; i < 2; i++) pthread_join(t[i], 0); }\n"
	"  else work(0);\n"
	"  for (int i = 0; i < 7; i++) twice();\n"
	"  return 0; }\n";

/* A toy that never frees: what its malloc costs is whatever gcc makes of it, but always the same. */
#define TOY(body)                                                                                                       \
	"#include <stddef.h>\n#include <string.h>\n#include <sys/mman.h>\n"                                              \
	"static char pool[64 << 20] __attribute__((aligned(16))); static size_t at;\n"                                  \
	"extern void *__libc_malloc(size_t); extern void __libc_free(void *);\n"                                        \
	"static void *take(size_t n) { void *p = pool + at; at += (n + 31) & ~(size_t)15;\n"                            \
	"  return at > sizeof(pool) ? NULL : p; }\n" body                                                               \
	"void *calloc(size_t n, size_t m) { return malloc(n * m); }\n"                                                  \
	"void *realloc(void *p, size_t n) { void *q = malloc(n); if (p && q) memmove(q, p, n); return q; }\n"           \
	"void *aligned_alloc(size_t a, size_t n) { char *p = malloc(n + a); return p + (a - (size_t)p % a) % a; }\n"

static const char toy[] = TOY("void *malloc(size_t n) { return take(n); }\nvoid free(void *p) { (void)p; }\n");
/* The whole of it in a section of its own, whose file valgrind does not know; and reached by a link. */
static const char section_toy[] = TOY("__attribute__((section(\"odd_text\"))) void *malloc(size_t n) {\n"
				      "  void *p = pool + at; at += (n + 31) & ~(size_t)15; return p; }\n"
				      "__attribute__((section(\"odd_text\"))) void free(void *p) { (void)p; }\n");
/* Reserves 128 GiB at first, which valgrind refuses, and then leans on libc. */
static const char big_toy[] = TOY(
	"static int state;\n"
	"void *malloc(size_t n) {\n"
	"  if (!state) state = mmap(0, (size_t)1 << 37, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)\n"
	"    == MAP_FAILED ? 2 : 1;\n"
	"  return state == 2 ? __libc_malloc(n) : take(n); }\n"
	"void free(void *p) { if (state == 2) __libc_free(p); }\n");
static const char no_toy[] = "int nothing;\n";
static const char plain_program[] = "int main(void) { for (volatile int i = 0; i < 1000; i++) ; return 0; }\n";

static const struct cgsum_function *find(const struct cgsum *s, const char *name)
{
	for (size_t i = 0; i < s->nfunctions; i++)
		if (!strcmp(s->functions[i].name, name))
			return &s->functions[i];
	fail_msg("no function %s", name);
	return NULL;
}

struct setup {
	char *program, *subject;
	const char *argv[4];
	struct callgrind_spec spec;
};

static void prepare(struct setup *s, const char *subject, const char *n, const char *mode)
{
	s->program = path_of("program");
	s->subject = subject ? path_of(subject) : NULL;
	s->argv[0] = s->program;
	s->argv[1] = n;
	s->argv[2] = mode;
	s->argv[3] = NULL;
	s->spec = (struct callgrind_spec){ .run = { .kind = RUN_PRELOAD, .subject = s->subject, .argv = s->argv } };
}

static void release(struct setup *s)
{
	free(s->program);
	free(s->subject);
}

static void count(const struct callgrind_spec *spec, struct callgrind_result *r)
{
	struct error e = { 0 };
	if (callgrind_count(spec, r, &e))
		fail_msg("%s", e.text);
}

static void exact_counts_are_the_ones_counted_by_hand(void **state)
{
	(void)state;
	struct setup s;
	struct callgrind_result r = { 0 };
	prepare(&s, "toy.so", "1000", "-");
	s.spec.addresses = true;
	s.spec.repeats = 2;
	s.spec.keep = path_of("kept %p.out");
	count(&s.spec, &r);
	if (r.outcome != CALLGRIND_EXACT)
		fail_msg("%s: %s", callgrind_outcome_name(r.outcome), r.why);
	assert_int_equal(r.n, 2);
	assert_true(r.ir[0] == r.ir[1] && r.ir_min == r.ir[0] && r.ir_max == r.ir[0]);
	assert_int_equal(r.threads, 1);
	assert_int_equal(r.operations, 2000);
	assert_int_equal(r.checksum, 42);
	assert_int_equal(strncmp(r.creator, "callgrind-", 10), 0);

	/* Before and after the region the same functions ran, and are not in the figures. */
	assert_int_equal(find(&r.sum, "step")->self_ir, 2000 * 304);
	assert_int_equal(find(&r.sum, "step")->calls, 2000);
	assert_int_equal(find(&r.sum, "twice")->self_ir, 1000 * 4);
	assert_int_equal(find(&r.sum, "twice")->inclusive_ir, 1000 * (4 + 608));
	struct cgsum_entry m = cgsum_entry(&r.sum, s.subject, "malloc"), f = cgsum_entry(&r.sum, s.subject, "free");
	assert_int_equal(m.outer_calls, 1000);
	assert_int_equal(f.outer_calls, 1000);
	assert_int_equal(m.outer_inclusive_ir % 1000, 0);
	assert_int_equal(f.outer_inclusive_ir, 1000);
	assert_int_equal(r.subject_ir, m.inclusive_ir + f.inclusive_ir);
	assert_string_equal(r.object, s.subject);
	assert_int_equal(callgrind_entry(&r, "malloc").calls, m.calls);

	/* Side by side, they count the same. */
	struct callgrind_spec beside = { .run = s.spec.run, .repeats = 3, .at_once = true };
	struct callgrind_result again = { 0 };
	count(&beside, &again);
	assert_int_equal(again.outcome, CALLGRIND_EXACT);
	assert_int_equal(again.n, 3);
	assert_true(again.ir_min == r.ir_min && again.ir_max == r.ir_max);
	callgrind_release(&again);

	uint64_t addresses = 0, functions = 0;
	for (size_t i = 0; i < r.sum.naddresses; i++)
		addresses += r.sum.addresses[i].ir;
	for (size_t i = 0; i < r.sum.nfunctions; i++)
		functions += r.sum.functions[i].self_ir;
	assert_int_equal(addresses, r.ir[0]);
	assert_int_equal(functions, r.ir[0]);
	assert_int_equal(r.sum.total_ir, r.ir[0]);

	/* The kept file is the first run's. */
	struct cgsum kept = { 0 };
	assert_int_equal(cgsum_read(&kept, &s.spec.keep, 1, false, NULL), 0);
	assert_int_equal(kept.total_ir, r.ir[0]);
	cgsum_release(&kept);
	free((char *)s.spec.keep);

	/* N and 2N: the slope is what one turn of the two loops costs, to the instruction. */
	struct callgrind_result half = { 0 };
	s.argv[1] = "500";
	s.spec.keep = NULL;
	s.spec.repeats = 1;
	count(&s.spec, &half);
	uint64_t start = 2 * half.ir[0] - r.ir[0];
	assert_true(start < 500);
	callgrind_release(&half);
	callgrind_release(&r);
	callgrind_release(&r);
	release(&s);
}

/* Neither memcheck's malloc nor the environment's size gets into a count. */
static void the_environment_is_fixed(void **state)
{
	(void)state;
	struct setup s;
	struct callgrind_result a = { 0 }, b = { 0 };
	static const char *const env[] = { "SOMETHING=of another length", NULL };
	prepare(&s, "toy.so", "300", "-");
	s.spec.repeats = 1;
	count(&s.spec, &a);
	s.spec.run.env = env;
	s.spec.run.env_padding = 3000;
	s.spec.run.startup_allocations = 17;
	setenv("VALGRIND_OPTS", "--cache-sim=yes --collect-atstart=yes", 1);
	count(&s.spec, &b);
	unsetenv("VALGRIND_OPTS");
	assert_int_equal(a.outcome, CALLGRIND_EXACT);
	assert_int_equal(b.outcome, CALLGRIND_EXACT);
	assert_true(a.ir[0] > 600 * 304);
	assert_int_equal(a.ir[0], b.ir[0]);
	for (size_t i = 0; i < a.sum.nobjects; i++)
		assert_null(strstr(a.sum.objects[i].path, "vgpreload_memcheck"));
	callgrind_release(&a);
	callgrind_release(&b);
	release(&s);
}

static void what_cannot_be_believed_is_said(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *subject, *n, *mode;
		uint64_t timeout_ns;
		enum callgrind_outcome outcome;
		const char *why;
	} rows[] = {
		{ __LINE__, NULL, "100", "-", 0, CALLGRIND_EXACT, "" },
		{ __LINE__, "toy.so", "1000", "t", 0, CALLGRIND_STATISTICAL, "2 threads" },
		{ __LINE__, "toy.so", "100", "c", 0, CALLGRIND_NOT_REPEATING, "differ by" },
		{ __LINE__, "big_toy.so", "100", "-", 0, CALLGRIND_FELL_BACK, "" },
		{ __LINE__, "no_toy.so", "100", "-", 0, CALLGRIND_NOT_INTERPOSING, "malloc" },
		{ __LINE__, "toy.so", "100", "x", 0, CALLGRIND_CRASHED, "SIG" },
		{ __LINE__, "toy.so", "100", "h", 1000000000, CALLGRIND_TIMED_OUT, "slower" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct setup s;
		struct callgrind_result r = { 0 };
		prepare(&s, rows[i].subject, rows[i].n, rows[i].mode);
		s.spec.timeout_ns = rows[i].timeout_ns;
		s.spec.repeats = rows[i].outcome == CALLGRIND_NOT_REPEATING ? 2 : 1;
		count(&s.spec, &r);
		if (r.outcome != rows[i].outcome || !strstr(r.why, rows[i].why) ||
		    (r.outcome != CALLGRIND_EXACT && !*r.why))
			fail_msg("line %d: %s '%s'", rows[i].line, callgrind_outcome_name(r.outcome), r.why);
		/* Where threads are counted, the work of both is there. */
		if (r.outcome == CALLGRIND_STATISTICAL) {
			assert_int_equal(r.threads, 2);
			assert_int_equal(find(&r.sum, "step")->self_ir, 2 * 2000 * 304);
			assert_int_equal(r.operations, 4000);
		}
		callgrind_release(&r);
		release(&s);
	}
}

static void subjects_by_another_name(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *subject;
	} rows[] = { { __LINE__, "section_toy.so" }, { __LINE__, "link.so" } };
	char *to = path_of("toy.so"), *link = path_of("link.so");
	assert_int_equal(symlink(to, link), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct setup s;
		struct callgrind_result r = { 0 };
		prepare(&s, rows[i].subject, "100", "-");
		s.spec.repeats = 1;
		count(&s.spec, &r);
		struct cgsum_entry m = callgrind_entry(&r, "malloc"), f = callgrind_entry(&r, "free");
		if (r.outcome != CALLGRIND_EXACT || m.outer_calls != 100 || f.outer_calls != 100)
			fail_msg("line %d: %s '%s' %llu", rows[i].line, callgrind_outcome_name(r.outcome), r.why,
				 (unsigned long long)m.outer_calls);
		callgrind_release(&r);
		release(&s);
	}
	free(to);
	free(link);
}

static void programs_without_a_region(void **state)
{
	(void)state;
	char *plain = path_of("plain");
	const char *argv[] = { plain, NULL };
	struct callgrind_spec spec = { .run = { .kind = RUN_EXEC, .argv = argv }, .repeats = 1 };
	struct callgrind_result r = { 0 };
	count(&spec, &r);
	if (r.outcome != CALLGRIND_NO_REGION || !strstr(r.why, "no region"))
		fail_msg("%s '%s'", callgrind_outcome_name(r.outcome), r.why);
	callgrind_release(&r);
	spec.whole_process = true;
	count(&spec, &r);
	assert_int_equal(r.outcome, CALLGRIND_EXACT);
	assert_in_range(find(&r.sum, "main")->self_ir, 4000, 8000);
	callgrind_release(&r);
	free(plain);

	struct setup s;
	prepare(&s, NULL, "10", "-");
	s.spec.whole_process = true;
	count(&s.spec, &r);
	if (r.outcome != CALLGRIND_FAILED || !strstr(r.why, "count that region"))
		fail_msg("%s '%s'", callgrind_outcome_name(r.outcome), r.why);
	callgrind_release(&r);
	release(&s);
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	char *here = getcwd(NULL, 0);
	include_option = x_printf("-I%s/harness/workload", here);
	free(here);
	compile("program", program, NULL);
	compile("plain", plain_program, NULL);
	compile("toy.so", toy, "-shared");
	compile("section_toy.so", section_toy, "-shared");
	compile("big_toy.so", big_toy, "-shared");
	compile("no_toy.so", no_toy, "-shared");
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	free(include_option);
	return fs_remove(folder, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_counts_are_the_ones_counted_by_hand),
		cmocka_unit_test(the_environment_is_fixed),
		cmocka_unit_test(what_cannot_be_believed_is_said),
		cmocka_unit_test(subjects_by_another_name),
		cmocka_unit_test(programs_without_a_region),
	};
	return cmocka_run_group_tests_name("callgrind", tests, make_folder, remove_folder);
}
