/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account_run.h"

#include "base/buf.h"
#include "base/fs.h"
#include "bisect/account_asm.h"
#include "harness/child.h"
#include "harness/debuginfo.h"

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
 * Accounts of real programs under valgrind. What they cost is written in assembly, so that it can
 * be counted by hand: each NOPS(n) is n instructions wherever the compiler puts it.
 */
static char folder[] = "/tmp/hakperf-account-XXXXXX";

#define CALLS 200

static char *path_of(const char *name)
{
	return x_printf("%s/%s", folder, name);
}

static void tool(const char *const *argv)
{
	struct error e = { 0 };
	struct child_result r = { 0 };
	const char *env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", NULL };
	struct child_spec spec = {
		.argv = argv, .env = env, .cpu = -1, .pass_fd = -1, .cwd = folder
	};
	assert_int_equal(child_run(&spec, &r, &e), 0);
	if (r.outcome != CHILD_EXITED || r.status)
		fail_msg("%s: %s", argv[0], buf_str(&r.err));
	child_release(&r);
}

static void put(const char *name, const char *text)
{
	struct error e = { 0 };
	char *path = path_of(name);
	assert_int_equal(fs_write(path, text, strlen(text), &e), 0);
	free(path);
}

#define NOPS "#define NOPS(n) __asm__ volatile(\".rept \" #n \"\\nnop\\n.endr\")\n"

/* The program has a `helper` too: of 9 instructions and a ret, called once a turn. */
static const char program[] = NOPS "#include \"hakperf/roi.h\"\n"
				   "__attribute__((noinline)) static void helper(void) { NOPS(9); "
				   "}\n"
				   "int main(void) {\n"
				   "  struct hakperf_roi r = HAKPERF_ROI_INIT;\n"
				   "  hakperf_roi_init(0);\n"
				   "  void *(*volatile m)(size_t) = malloc; void (*volatile "
				   "f)(void *) = free;\n"
				   "  f(m(8));\n"
				   "  hakperf_roi_begin(&r);\n"
				   "  for (int i = 0; i < 200; i++) { void *p = m(24); helper(); "
				   "f(p); }\n"
				   "  hakperf_roi_end(&r, 400, 42);\n"
				   "  return 0; }\n";

/*
 * malloc: middle (2) inlined, with inner (5) inlined twice in it; helper (3 and ret) called; far
 * (6), of another file. free: rec (4) called, which calls itself twice more; every 10th call slow
 * (30 and ret); at its end tail (7 and ret).
 */
static const char subject[] = NOPS
	"#include <stddef.h>\n#include <stdint.h>\n#include <stdlib.h>\n#include <string.h>\n"
	"static char pool[1 << 20] __attribute__((aligned(16))); static size_t at; static unsigned "
	"turn;\n"
	"__attribute__((visibility(\"hidden\"))) void far(void);\n"
	"__attribute__((noinline)) static void helper(void) { NOPS(3); }\n"
	"static inline __attribute__((always_inline)) void inner(void) { NOPS(5); }\n"
	"static inline __attribute__((always_inline)) void middle(void) { NOPS(2); inner(); "
	"inner(); }\n"
	"__attribute__((noinline)) static void tail(void) { NOPS(7); }\n"
	"__attribute__((noinline)) static void slow(void) { NOPS(30); }\n"
	"__attribute__((noinline, noclone)) static int rec(int n) { NOPS(4); if (!n) return 0;\n"
	"  int r = rec(n - 1); __asm__ volatile(\"\" : \"+r\"(r)); return r + 1; }\n"
	"void *malloc(size_t n) { char *p = pool + at; at += (n + 31) & ~(size_t)15; middle(); "
	"helper(); far(); return p; }\n"
	"void free(void *p) { (void)p; rec(2); if (turn++ % 10 == 0) slow(); tail(); }\n"
	"void *calloc(size_t n, size_t m) { return malloc(n * m); }\n"
	"void *realloc(void *p, size_t n) { (void)p; return malloc(n); }\n"
	"void *aligned_alloc(size_t a, size_t n) { char *p = malloc(n + a); return p + (a - "
	"(uintptr_t)p % a) % a; }\n";
static const char far_source[] = NOPS "__attribute__((visibility(\"hidden\"))) void "
				      "far(void);\nvoid far(void) { NOPS(6); }\n";

static void build_subject(const char *name, const char *cc, const char *a, const char *b)
{
	const char *argv[] = { cc,        "-std=gnu17", "-g", "-gdwarf-4", "-fno-builtin", "-fPIC",
			       "-shared", "-o",         name, "subject.c", "far.c",        a,
			       b,         NULL };
	tool(argv);
}

static void count(const char *library, struct account_count *out)
{
	struct error e = { 0 };
	struct callgrind_result r = { 0 };
	char *run = path_of("program"), *lib = path_of(library);
	const char *argv[] = { run, NULL };
	struct callgrind_spec spec = { .run = { .kind = RUN_PRELOAD, .subject = lib, .argv = argv },
				       .repeats = 1,
				       .addresses = true,
				       .callers = ACCOUNT_CALLERS };
	if (callgrind_count(&spec, &r, &e))
		fail_msg("%s", e.text);
	if (r.outcome != CALLGRIND_EXACT)
		fail_msg("%s: %s", callgrind_outcome_name(r.outcome), r.why);
	*out = (struct account_count){ 0 };
	account_of_sum(&r.sum, r.object, NULL, r.operations, out);
	assert_int_equal(out->account.operations, 2 * CALLS);
	assert_true((double)r.ir[0] == out->account.total_ir);
	double all = 0;
	for (size_t p = 0; p < out->account.n_paths; p++)
		all += out->account.paths[p].ir;
	assert_true(fabs(all - out->account.total_ir) < 1e-6);
	callgrind_release(&r);
	free(run), free(lib);
}

static const struct account_row *find(const struct account *a, const char *path, const char *chain)
{
	for (size_t i = 0; i < a->n_rows; i++) {
		char *name = account_row_name(a, i);
		bool is = !strcmp(name, chain) && !strcmp(a->paths[a->rows[i].path].name, path);
		free(name);
		if (is)
			return &a->rows[i];
	}
	return NULL;
}

/* Self cost per call of the path, which has CALLS calls; -1: no such row. */
static double self(const struct account *a, const char *path, const char *chain)
{
	const struct account_row *r = find(a, path, chain);
	return r ? r->self_ir / CALLS : -1;
}

static void assert_paths(const struct account *a)
{
	size_t m = account_path_find(a, "malloc"), f = account_path_find(a, "free");
	assert_true(m != SIZE_MAX && f != SIZE_MAX);
	assert_true(a->paths[m].calls == CALLS && a->paths[f].calls == CALLS);
	assert_true(a->divided_ir == 0);
	/*
	 * Functions of their own: hand-counted, and the program's helper is another than the
	 * subject's.
	 */
	const struct account_row *h = find(a, "malloc", "helper"),
				 *other = find(a, "(program)", "helper"),
				 *rec = find(a, "free", "rec"), *t = find(a, "free", "tail"),
				 *s = find(a, "free", "slow");
	assert_true(h && other && rec && t && s);
	assert_true(strcmp(h->object, other->object) != 0);
	assert_true(h->calls == CALLS && other->calls == CALLS && t->calls == CALLS &&
		    t->reached == 1);
	assert_true(rec->calls == 3 * CALLS && rec->reached == 1);
	assert_true(rec->inclusive_ir == rec->self_ir);
	assert_true(s->calls == CALLS / 10 && fabs(s->reached - 0.1) < 1e-9 && s->fast_ir == 0);
	assert_true(fabs(a->paths[f].left - CALLS / 10) < 1e-9);
	/* Slow: that function, and the few instructions around its call. */
	double slow = a->paths[f].ir - a->paths[f].fast_ir - s->self_ir;
	assert_true(slow > 0 && slow < 0.5 * CALLS);
}

static void optimised_code_is_told_as_counted_by_hand(void **state)
{
	(void)state;
	struct account_count c;
	count("o2.so", &c);
	const struct account *a = &c.account;
	assert_true(c.has_debuginfo && a->unattributed_ir == 0 && a->by_symbol_ir == 0);
	assert_paths(a);
	assert_true(self(a, "malloc", "malloc > middle") == 2);
	assert_true(self(a, "malloc", "malloc > middle > inner") == 10);
	const struct account_row *inner = find(a, "malloc", "malloc > middle > inner"),
				 *middle = find(a, "malloc", "malloc > middle");
	assert_true(inner->calls == 2 * CALLS && inner->reached == 1 && middle->calls == CALLS);
	assert_true(middle->inclusive_ir == 12 * CALLS && middle->fast_ir == 2 * CALLS);
	assert_true(self(a, "malloc", "helper") == 4);
	assert_true(self(a, "(program)", "helper") == 10);
	assert_true(self(a, "malloc", "far") == 7);
	assert_true(self(a, "free", "tail") == 8);
	assert_true(self(a, "free", "slow") == 3.1);

	/* The listing: what ran, each with its count; tail is seven nops and a ret. */
	struct account_listing l;
	struct error e = { 0 };
	if (account_listing(a, "tail", &l, &e))
		fail_msg("%s", e.text);
	assert_int_equal(l.n, 8);
	assert_true(l.per_op == 4 && l.calls_per_op == 0.5 && l.items[0].per_op == 0.5);
	for (size_t i = 0; i < l.n; i++)
		assert_string_equal(l.items[i].text, i < 7 ? "nop" : "ret");
	assert_string_equal(l.items[0].file + strlen(l.items[0].file) - 9, "subject.c");
	account_listing_release(&l);
	assert_int_equal(account_listing(a, "inner", &l, &e), 0);
	assert_int_equal(l.n, 10);
	assert_string_equal(l.items[3].chain, "");
	account_listing_release(&l);
	assert_int_equal(account_listing(a, "malloc", &l, &e), 0);
	bool seen = false;
	for (size_t i = 0; i < l.n; i++)
		seen |= !strcmp(l.items[i].chain, "middle > inner") &&
			!strcmp(l.items[i].text, "nop");
	assert_true(seen);
	account_listing_release(&l);
	assert_int_equal(account_listing(a, "calloc", &l, &e), -ENOENT);
	account_count_release(&c);
	account_count_release(&c);
}

static void unoptimised_code(void **state)
{
	(void)state;
	struct account_count c;
	count("o0.so", &c);
	const struct account *a = &c.account;
	assert_paths(a);
	/*
	 * What must be inlined is, even here; the compiler may add a nop of its own to each copy.
	
	 */
	double inner = self(a, "malloc", "malloc > middle > inner");
	assert_true(inner >= 10 && inner <= 12);
	assert_true(self(a, "malloc", "malloc > middle") >= 2 && self(a, "malloc", "far") > 7);
	account_count_release(&c);
}

static void link_time_optimised_code(void **state)
{
	(void)state;
	struct account_count c;
	count("lto.so", &c);
	const struct account *a = &c.account;
	assert_paths(a);
	assert_true(self(a, "malloc", "malloc > far") == 6);
	assert_null(find(a, "malloc", "far"));
	assert_true(self(a, "malloc", "malloc > middle > inner") == 10);
	const struct account_row *r = find(a, "malloc", "malloc > far");
	assert_true(strlen(r->file) > 5 && !strcmp(r->file + strlen(r->file) - 5, "far.c"));
	account_count_release(&c);
}

static void another_compiler(void **state)
{
	(void)state;
	if (access("/usr/bin/clang", X_OK)) {
		print_message("skipped: clang is not installed\n");
		skip();
	}
	build_subject("clang.so", "clang", "-O2", "-fomit-frame-pointer");
	struct account_count c;
	count("clang.so", &c);
	assert_paths(&c.account);
	assert_true(self(&c.account, "malloc", "malloc > middle > inner") == 10);
	account_count_release(&c);
}

static void stripped_code_is_told_by_symbol(void **state)
{
	(void)state;
	struct account_count c;
	tool((const char *const[]){ "strip", "-s", "-o", "stripped.so", "o2.so", NULL });
	count("stripped.so", &c);
	const struct account *a = &c.account;
	assert_false(c.has_debuginfo);
	const struct account_row *m = find(a, "malloc", "malloc");
	assert_true(m && m->by_symbol && !m->unknown);
	/* Exported names are known; what is inlined and what is static is not. */
	assert_true(a->by_symbol_ir > 0 && a->unattributed_ir > 0);
	assert_null(find(a, "malloc", "malloc > middle"));
	account_count_release(&c);
}

static void two_builds_side_by_side(void **state)
{
	(void)state;
	struct account_count a, b;
	count("o2.so", &a);
	count("lto.so", &b);
	struct account_function x, y;
	size_t pa = account_path_find(&a.account, "malloc"),
	       pb = account_path_find(&b.account, "malloc");
	assert_true(account_function(&a.account, pa, "far", &x) &&
		    account_function(&b.account, pb, "far", &y));
	assert_true(x.own && !x.inlined && y.inlined && !y.own);
	assert_true(x.self_ir == 7 * CALLS && y.self_ir == 6 * CALLS);
	account_count_release(&a);
	account_count_release(&b);
}

static void debug_information_that_is_missing_or_broken(void **state)
{
	(void)state;
	struct debuginfo *d;
	struct error e = { 0 };
	struct debuginfo_frame f[DEBUGINFO_FRAMES];
	char *path = path_of("nothing-here"), *text = path_of("subject.c"), *lib = path_of("o2.so"),
	     *cut = path_of("cut.so");
	assert_int_equal(debuginfo_open(&d, path, &e), -ENOENT);
	assert_null(d);
	error_clear(&e);
	assert_int_equal(debuginfo_open(&d, text, &e), -ENOEXEC);
	error_clear(&e);
	assert_int_equal(debuginfo_open(&d, lib, &e), 0);
	assert_true(debuginfo_has(d));
	assert_true(debuginfo_mentions(d, "middle") && debuginfo_mentions(d, "far") &&
		    !debuginfo_mentions(d, "midle"));
	assert_int_equal(debuginfo_frames(d, 0xffffffffff, f, DEBUGINFO_FRAMES), 0);
	debuginfo_close(d);
	debuginfo_close(NULL);

	/* Cut off and with bytes changed: whatever is answered, nothing crashes. */
	struct buf whole = { 0 };
	assert_int_equal(fs_read(lib, 16 << 20, &whole, &e), 0);
	unsigned state_ = 1;
	for (int i = 0; i < 60; i++) {
		struct buf b = { 0 };
		size_t n = i < 20 ? whole.len * (size_t)(i + 1) / 20 : whole.len;
		buf_add(&b, whole.data, n);
		for (int k = 0; i >= 20 && k < 200; k++) {
			state_ = state_ * 1103515245u + 12345u;
			b.data[64 + state_ % (b.len - 64)] = (char)(state_ >> 16);
		}
		unlink(cut);
		assert_int_equal(fs_write(cut, b.data, b.len, &e), 0);
		if (!debuginfo_open(&d, cut, &e)) {
			for (uint64_t address = 0x1000; address < 0x1600; address += 3)
				debuginfo_frames(d, address, f, DEBUGINFO_FRAMES);
			debuginfo_mentions(d, "far");
			debuginfo_close(d);
		}
		error_clear(&e);
		buf_release(&b);
	}
	buf_release(&whole);
	free(path), free(text), free(lib), free(cut);
}

static int set_up(void **state)
{
	(void)state;
	char cwd[4096];
	if (!mkdtemp(folder) || !getcwd(cwd, sizeof(cwd)))
		return -1;
	char *include = x_printf("-I%s/harness/workload", cwd);
	put("program.c", program);
	put("subject.c", subject);
	put("far.c", far_source);
	tool((const char *const[]){ "gcc", "-std=gnu17", "-O2", "-g", "-gdwarf-4", "-fno-builtin",
				    include, "-o", "program", "program.c", NULL });
	build_subject("o0.so", "gcc", "-O0", "-Wall");
	build_subject("o2.so", "gcc", "-O2", "-Wall");
	build_subject("lto.so", "gcc", "-O2", "-flto");
	free(include);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return fs_remove(folder, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(optimised_code_is_told_as_counted_by_hand),
		cmocka_unit_test(unoptimised_code),
		cmocka_unit_test(link_time_optimised_code),
		cmocka_unit_test(another_compiler),
		cmocka_unit_test(stripped_code_is_told_by_symbol),
		cmocka_unit_test(two_builds_side_by_side),
		cmocka_unit_test(debug_information_that_is_missing_or_broken),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
