/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account.h"
#include "bisect/account_asm.h"
#include "bisect/account_diff.h"

#include "base/buf.h"
#include "base/fs.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The arithmetic, on callgrind files written by hand and debug information made up beside them. */
static char folder[] = "/tmp/hakperf-account-XXXXXX";

#define HEAD "version: 1\ncreator: callgrind-3.19.0\npositions: instr line\nevents: Ir\n\n"

static void read_sum(const char *text, struct cgsum *s)
{
	struct error e = { 0 };
	char *path = x_printf("%s/file", folder);
	unlink(path);
	assert_int_equal(fs_write(path, text, strlen(text), &e), 0);
	if (cgsum_read(s, (const char *const[]){ path }, 1, true, &e))
		fail_msg("%s", e.text);
	free(path);
}

/*
 * Debug information: what is inlined at an address of an object, outermost first in `frames`, apart
 * by '/'.
 */
struct known {
	const char *object;
	uint64_t address, entry;
	const char *frames;
	unsigned line;
	const char *file;
};

static size_t made_up(void *ctx, const char *object, uint64_t address, struct account_frame *out,
		      size_t max)
{
	static char names[64][64];
	static size_t next;
	for (const struct known *k = ctx; k->object; k++) {
		if (strcmp(k->object, object) || k->address != address)
			continue;
		size_t n = 1, at = 0;
		for (const char *s = k->frames; *s; s++)
			n += *s == '/';
		assert_true(n <= max);
		for (const char *s = k->frames; at < n; s += strcspn(s, "/") + 1, at++) {
			char *name = names[next++ % 64];
			snprintf(name, 64, "%.*s", (int)strcspn(s, "/"), s);
			out[n - 1 - at] = (struct account_frame){
				.function = name,
				.file = k->file ? k->file : "./src/a.c",
				.line = k->line + (unsigned)(n - 1 - at) * 100,
				.decl_file = k->file ? k->file : "./src/a.c",
				.entry = at == n - 1 ? k->entry : 0,
				.instance = at * 1000 + (unsigned char)name[0]
			};
		}
		return n;
	}
	return 0;
}

static void make(const char *text, const char *object, uint64_t operations,
		 const struct known *known, struct account *a)
{
	struct cgsum s = { 0 };
	read_sum(text, &s);
	struct account_input in = { .sum = &s,
				    .object = object,
				    .operations = operations,
				    .resolve = known ? made_up : NULL,
				    .ctx = (void *)known };
	account_make(&in, a);
	cgsum_release(&s);
}

static bool near(double a, double b)
{
	return fabs(a - b) < 1e-6;
}

/* Rows and places add up to their paths, paths to the total. */
static void assert_balanced(const struct account *a)
{
	double paths = 0;
	for (size_t p = 0; p < a->n_paths; p++) {
		double rows = 0, places = 0, fast = 0;
		for (size_t i = 0; i < a->n_rows; i++) {
			rows += a->rows[i].path == p ? a->rows[i].self_ir : 0;
			fast += a->rows[i].path == p ? a->rows[i].fast_ir : 0;
			assert_true(a->rows[i].parent == SIZE_MAX || a->rows[i].parent < i);
		}
		for (size_t i = 0; i < a->n_places; i++)
			places += a->rows[a->places[i].row].path == p ? a->places[i].ir : 0;
		if (!near(rows, a->paths[p].ir) || !near(places, rows) ||
		    !near(fast, a->paths[p].fast_ir))
			fail_msg("path %s: %f, rows %f, places %f", a->paths[p].name,
				 a->paths[p].ir, rows, places);
		paths += a->paths[p].ir;
	}
	assert_true(near(paths, a->total_ir));
}

static const struct account_row *row(const struct account *a, const char *path, const char *chain)
{
	for (size_t i = 0; i < a->n_rows; i++) {
		char *name = account_row_name(a, i);
		bool is = !strcmp(name, chain) && !strcmp(a->paths[a->rows[i].path].name, path);
		free(name);
		if (is)
			return &a->rows[i];
	}
	fail_msg("no row %s on path %s", chain, path);
	return NULL;
}

/*
 * main calls malloc 100 times and free 100 times; both call slow: 10 times of 20 instructions, 2
 * times of 50. Callers told apart. free goes on into free.cold 2 times. The subject's slow is not
 * the program's slow.
 */
static const char two_paths[] = HEAD "ob=/s.so\nfl=a.c\nfn=malloc'main\n0x10 1 500\n0x12 1 "
				     "300\ncfn=slow'malloc'main\ncalls=10 0x50 9\n0x14 2 200\n\n"
				     "fn=slow'malloc'main\n0x50 9 200\n\n"
				     "fn=free'main\n0x30 5 700\ncfn=free.cold'free'main\ncalls=2 "
				     "0x70 6\n0x34 6 110\n\n"
				     "fn=free.cold'free'main\n0x70 6 "
				     "10\ncfn=slow'free.cold'free'main\ncalls=2 0x50 9\n0x74 6 "
				     "100\n\n"
				     "fn=slow'free.cold'free'main\n0x50 9 100\n\n"
				     "ob=/app\nfl=app.c\nfn=main\n0x100 1 "
				     "1000\ncob=/s.so\ncfi=a.c\ncfn=malloc'main\ncalls=100 0x10 "
				     "1\n0x104 2 1000\n"
				     "cob=/s.so\ncfi=a.c\ncfn=free'main\ncalls=100 0x30 5\n0x108 3 "
				     "810\ncfi=app.c\ncfn=slow'main\ncalls=1 0x200 7\n0x10c 4 "
				     "90\n\n"
				     "fn=slow'main\n0x200 7 90\n\ntotals: 2900\n";

static void paths_are_told_apart(void **state)
{
	(void)state;
	struct account a;
	make(two_paths, "/s.so", 200, NULL, &a);
	assert_balanced(&a);
	assert_int_equal(a.n_paths, 3);
	const struct account_path *m = &a.paths[account_path_find(&a, "malloc")],
				  *f = &a.paths[account_path_find(&a, "free")];
	assert_true(near(m->calls, 100) && near(m->ir, 1000) && near(f->calls, 100) &&
		    near(f->ir, 810));
	assert_string_equal(a.paths[0].name, "(program)");
	assert_true(near(a.paths[0].ir, 1090) && near(a.paths[0].calls, 200));
	assert_true(a.divided_ir == 0 && a.unattributed_ir == 0 && near(a.by_symbol_ir, 1810));

	const struct account_row *r = row(&a, "malloc", "malloc");
	assert_true(near(r->self_ir, 800) && near(r->inclusive_ir, 1000) && near(r->calls, 100) &&
		    near(r->reached, 1));
	r = row(&a, "malloc", "slow");
	assert_true(near(r->self_ir, 200) && near(r->calls, 10) && near(r->reached, 0.1) &&
		    r->fast_ir == 0 && r->by_symbol);
	r = row(&a, "free", "slow");
	assert_true(near(r->self_ir, 100) && near(r->calls, 2) && near(r->reached, 0.02));
	/*
	 * The part that the compiler split off is the function: no call of its own, and its cost is
	 * counted once.
	 */
	r = row(&a, "free", "free");
	assert_true(near(r->self_ir, 710) && near(r->inclusive_ir, 810) && near(r->calls, 100) &&
		    near(r->fast_ir, 700));
	r = row(&a, "(program)", "slow");
	assert_true(near(r->self_ir, 90));
	assert_string_equal(r->object, "/app");

	/* What half of the calls do not reach is the slow path. */
	assert_true(near(m->fast_ir, 800) && near(m->left, 10));
	assert_true(near(f->fast_ir, 700) && near(f->left, 2));

	struct account_function x;
	assert_true(account_function(&a, account_path_find(&a, "free"), "slow", &x));
	assert_true(near(x.inclusive_ir, 100) && near(x.reached, 0.02) && x.own && !x.inlined &&
		    x.fast_ir == 0);
	assert_false(account_function(&a, account_path_find(&a, "free"), "malloc", &x));
	account_release(&a);
	account_release(&a);
}

/* The same without callers told apart: slow is divided by what each caller spent in it. */
static const char undivided[] = HEAD "ob=/s.so\nfl=a.c\nfn=malloc\n0x10 1 800\ncfn=slow\ncalls=10 "
				     "0x50 9\n0x14 2 200\n\n"
				     "fn=free\n0x30 5 700\ncfn=slow\ncalls=2 0x50 9\n0x34 6 "
				     "100\n\nfn=slow\n0x50 9 300\n\n"
				     "ob=/app\nfl=app.c\nfn=main\n0x100 1 "
				     "1000\ncob=/s.so\ncfi=a.c\ncfn=malloc\ncalls=100 0x10 "
				     "1\n0x104 2 1000\n"
				     "cob=/s.so\ncfi=a.c\ncfn=free\ncalls=100 0x30 5\n0x108 3 "
				     "800\n\ntotals: 2800\n";

static void without_callers_costs_are_divided_and_said_so(void **state)
{
	(void)state;
	struct account a;
	make(undivided, "/s.so", 200, NULL, &a);
	assert_balanced(&a);
	assert_true(fabs(row(&a, "malloc", "slow")->self_ir - 200) < 1e-3);
	assert_true(fabs(row(&a, "free", "slow")->self_ir - 100) < 1e-3);
	assert_true(near(a.divided_ir, 300));
	account_release(&a);
}

/*
 * free calls walk, which calls itself twice more: f, f'2, and in turns with step. Inclusive counts
 * an outermost call once.
 */
static const char recursive[] = HEAD "ob=/s.so\nfl=a.c\nfn=free'main\n0x10 1 "
				     "10\ncfn=walk'free'main\ncalls=1 0x50 9\n0x14 2 160\n\n"
				     "fn=walk'free'main\n0x50 9 50\ncfn=walk'2'free'main\ncalls=1 "
				     "0x50 9\n0x54 9 60\ncfn=step'walk'free'main\ncalls=1 0x80 "
				     "9\n0x58 9 50\n\n"
				     "fn=walk'2'free'main\n0x50 9 "
				     "20\ncfn=walk'2'free'main\ncalls=1 0x50 9\n0x54 9 40\n0x5c 9 "
				     "40\n\n"
				     "fn=step'walk'free'main\n0x80 9 "
				     "10\ncfn=walk'step'walk'free'main\ncalls=1 0x50 9\n0x84 9 "
				     "40\n\n"
				     "fn=walk'step'walk'free'main\n0x50 9 40\n\n"
				     "ob=/app\nfl=app.c\nfn=main\n0x100 1 "
				     "5\ncob=/s.so\ncfi=a.c\ncfn=free'main\ncalls=1 0x10 1\n0x104 "
				     "2 170\n\ntotals: 175\n";

static void recursion_counts_once(void **state)
{
	(void)state;
	struct account a;
	make(recursive, "/s.so", 1, NULL, &a);
	assert_balanced(&a);
	const struct account_row *w = row(&a, "free", "walk");
	assert_true(near(w->self_ir, 150) && near(w->inclusive_ir, 160) && near(w->calls, 4) &&
		    near(w->reached, 1));
	assert_true(near(row(&a, "free", "step")->inclusive_ir, 50));
	assert_true(near(row(&a, "free", "free")->inclusive_ir, 170));
	account_release(&a);
}

/*
 * Inlined code: free has put in it 100 times, put has set; put's loop runs 3 times each; rare is
 * entered 5 times.
 */
static const char inlining[] = HEAD "ob=/s.so\nfl=a.c\nfn=free'main\n0x10 1 100\n0x12 1 100\n0x14 "
				    "1 300\n0x16 1 100\n0x18 1 5\n0x1a 1 5\n"
				    "cob=/libc.so\ncfi=???\ncfn=memset'free'main\ncalls=5 0x900 "
				    "0\n0x1a 1 40\n\n"
				    "ob=/libc.so\nfl=???\nfn=memset'free'main\n0x900 0 40\n\n"
				    "ob=???\nfl=???\nfn=???\n0x5000 0 7\n\n"
				    "ob=/app\nfl=app.c\nfn=main\n0x100 1 "
				    "100\ncob=/s.so\ncfi=a.c\ncfn=free'main\ncalls=100 0x10 "
				    "1\n0x104 2 650\n\ntotals: 757\n";
static const struct known inlined[] = {
	{ "/s.so", 0x10, 0x10, "free/free", 1, NULL }, /* split off and inlined again: one function */
	{ "/s.so", 0x12, 0x12, "free/put", 2, NULL },
	{ "/s.so", 0x14, 0x12, "free/put", 3, NULL },
	{ "/s.so", 0x16, 0x16, "free/put/set", 4, NULL },
	{ "/s.so", 0x18, 0x18, "free/rare", 5, NULL },
	{ "/s.so", 0x1a, 0x18, "free/rare", 6, NULL },
	{ NULL, 0, 0, NULL, 0, NULL },
};

static void inlined_code_is_unfolded(void **state)
{
	(void)state;
	struct account a;
	make(inlining, "/s.so", 100, inlined, &a);
	assert_balanced(&a);
	const struct account_row *f = row(&a, "free", "free"), *put = row(&a, "free", "free > put"),
				 *set = row(&a, "free", "free > put > set"),
				 *rare = row(&a, "free", "free > rare");
	assert_true(near(f->self_ir, 100) && near(f->inclusive_ir, 650));
	assert_string_equal(f->file, "src/a.c");
	assert_true(near(put->self_ir, 400) && near(put->inclusive_ir, 500) &&
		    near(put->calls, 100) && near(put->reached, 1));
	assert_true(near(set->self_ir, 100) && near(set->calls, 100) && set->depth == 2);
	/* Inlined and rare: on the slow path inside of a fast function; what it calls is its. */
	assert_true(near(rare->self_ir, 10) && near(rare->inclusive_ir, 50) &&
		    near(rare->reached, 0.05) && rare->fast_ir == 0);
	const struct account_path *p = &a.paths[account_path_find(&a, "free")];
	assert_true(near(p->fast_ir, 600) && near(p->left, 5));
	/* The library's function runs for free; nobody knows the rest. */
	assert_true(near(row(&a, "free", "memset")->self_ir, 40));
	assert_true(near(a.unattributed_ir, 7) && row(&a, "(program)", "???")->unknown);
	assert_true(near(a.paths[0].ir, 107));

	struct account_function x;
	assert_true(account_function(&a, account_path_find(&a, "free"), "set", &x));
	assert_true(x.inlined && !x.own && near(x.inclusive_ir, 100));
	assert_true(account_function(&a, account_path_find(&a, "free"), "put", &x));
	assert_true(near(x.self_ir, 400) && near(x.inclusive_ir, 500) && near(x.fast_ir, 500));
	account_release(&a);
}

/* A program that is itself the subject is one path. */
static void a_program_is_one_path(void **state)
{
	(void)state;
	struct account a;
	make(two_paths, NULL, 1, NULL, &a);
	assert_balanced(&a);
	assert_int_equal(a.n_paths, 1);
	assert_true(near(a.paths[0].ir, 2900));
	account_release(&a);
}

static void names_lose_what_compilers_add(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *name, *plain;
	} rows[] = {
		{ __LINE__, "free", "free" },
		{ __LINE__, "free.cold", "free" },
		{ __LINE__, "free.cold.3", "free" },
		{ __LINE__, "refill.part.0", "refill" },
		{ __LINE__, "refill.constprop.0.isra.0", "refill" },
		{ __LINE__, "f.lto_priv.12", "f" },
		{ __LINE__, "f.llvm.1234567", "f" },
		{ __LINE__, "malloc@@GLIBC_2.2.5", "malloc" },
		{ __LINE__, "f.partial", "f.partial" },
		{ __LINE__, ".cold", ".cold" },
		{ __LINE__, "std::sort(int*, int*)", "std::sort(int*, int*)" },
		{ __LINE__, "", "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char out[64];
		account_plain_function(rows[i].name, out, sizeof(out));
		if (strcmp(out, rows[i].plain))
			fail_msg("line %d: %s", rows[i].line, out);
	}
	char small[4];
	account_plain_function("abcdefg", small, sizeof(small));
	assert_string_equal(small, "abc");
}

static struct diff_hunk hunks_a[] = {
	{ .old_start = 3,
	  .old_lines = 1,
	  .new_start = 3,
	  .new_lines = 2,
	  .heading = "",
	  .text = "-three\n+THREE\n+more\n",
	  .added = 2,
	  .removed = 1 },
	{ .old_start = 10,
	  .old_lines = 0,
	  .new_start = 12,
	  .new_lines = 3,
	  .heading = "",
	  .text = "+x\n+y\n+z\n",
	  .added = 3 },
	{ .old_start = 20,
	  .old_lines = 5,
	  .new_start = 24,
	  .new_lines = 0,
	  .heading = "",
	  .text = "-a\n-b\n-c\n-d\n-e\n",
	  .removed = 5 },
};
static struct diff_file files[] = {
	{ .old_path = "allocator/src/a.c",
	  .new_path = "allocator/src/a.c",
	  .status = 'M',
	  .hunks = hunks_a,
	  .n_hunks = 3 },
	{ .old_path = "allocator/src/old.h", .new_path = "allocator/src/new.h", .status = 'R' },
	{ .new_path = "x/b.c", .status = 'A' },
	{ .new_path = "y/b.c", .status = 'A' },
	{ .old_path = "gone.c", .status = 'D' },
};
static const struct diff one_diff = { .files = files, .n_files = 5 };

static void lines_and_files_are_found_in_a_diff(void **state)
{
	(void)state;
	static const struct {
		int line;
		unsigned a, b;
	} rows[] = {
		{ __LINE__, 1, 1 },   { __LINE__, 2, 2 },   { __LINE__, 3, 0 },
		{ __LINE__, 4, 5 },   { __LINE__, 10, 11 }, { __LINE__, 11, 15 },
		{ __LINE__, 19, 23 }, { __LINE__, 20, 0 },  { __LINE__, 24, 0 },
		{ __LINE__, 25, 24 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (account_line_in_b(&one_diff, 0, rows[i].a) != rows[i].b)
			fail_msg("line %d: %u", rows[i].line,
				 account_line_in_b(&one_diff, 0, rows[i].a));
	assert_int_equal(account_line_in_b(&one_diff, SIZE_MAX, 7), 7);
	static const struct {
		int line;
		const char *path;
		bool old;
		size_t file;
	} paths[] = {
		{ __LINE__, "src/a.c", true, 0 },
		{ __LINE__, "/tmp/build/allocator/src/a.c", false, 0 },
		{ __LINE__, "a.c", false, 0 },
		{ __LINE__, "rc/a.c", false, SIZE_MAX },
		{ __LINE__, "other/a.c", false, SIZE_MAX },
		{ __LINE__, "src/old.h", true, 1 },
		{ __LINE__, "src/old.h", false, SIZE_MAX },
		{ __LINE__, "src/new.h", false, 1 },
		{ __LINE__, "b.c", false,
		  SIZE_MAX }, /* two of that name: it cannot be told which */
		{ __LINE__, "y/b.c", false, 3 },
		{ __LINE__, "gone.c", false, SIZE_MAX },
		{ __LINE__, "gone.c", true, 4 },
		{ __LINE__, "", true, SIZE_MAX },
	};
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		if (account_diff_file(&one_diff, paths[i].path, paths[i].old) != paths[i].file)
			fail_msg("line %d: %zu", paths[i].line,
				 account_diff_file(&one_diff, paths[i].path, paths[i].old));
}

#define BEFORE(body)                                                                               \
	HEAD "ob=/a/s.so\nfl=a.c\n" body "ob=/app\nfl=app.c\nfn=main\n0x100 1 100\n"               \
	     "cob=/a/s.so\ncfi=a.c\ncfn=free'main\ncalls=10 0x10 1\n0x104 2 1\n"
#define AFTER(body)                                                                                \
	HEAD "ob=/b/s.so\nfl=a.c\n" body "ob=/app\nfl=app.c\nfn=main\n0x100 1 100\n"               \
	     "cob=/b/s.so\ncfi=a.c\ncfn=free'main\ncalls=10 0x10 1\n0x104 2 1\n"

static const struct account_change *change(const struct account_diff *d, const char *name)
{
	for (size_t i = 0; i < d->n_changes; i++)
		if (!strcmp(d->changes[i].name, name))
			return &d->changes[i];
	fail_msg("no change %s", name);
	return NULL;
}

/*
 * A: free (100) has set inlined (50); calls check (40), early (30) and gone (20). B: free (110),
 * calls box (60), which has set inlined (50) now; late (30), which is early by another name; check
 * (10).
 */
static void differences_are_told_by_kind_and_add_up(void **state)
{
	(void)state;
	static const char before[] = BEFORE("fn=free'main\n0x10 1 100\n0x12 2 50\n"
					    "cfn=check'free'main\ncalls=10 0x30 1\n0x14 1 "
					    "40\ncfn=early'free'main\ncalls=10 0x40 1\n0x16 1 30\n"
					    "cfn=gone'free'main\ncalls=10 0x50 1\n0x18 1 20\n\n"
					    "fn=check'free'main\n0x30 2 "
					    "40\nfn=early'free'main\n0x40 4 "
					    "30\nfn=gone'free'main\n0x50 21 20\n") "\ntotals: "
										   "340\n";
	static const char after[] = AFTER("fn=free'main\n0x10 1 110\n"
					  "cfn=check'free'main\ncalls=10 0x30 1\n0x14 1 "
					  "10\ncfn=late'free'main\ncalls=10 0x40 1\n0x16 1 30\n"
					  "cfn=box'free'main\ncalls=10 0x60 1\n0x18 1 110\n\n"
					  "fn=check'free'main\n0x30 2 10\nfn=late'free'main\n0x40 "
					  "5 30\nfn=box'free'main\n0x60 13 60\n0x62 2 50\n") "\ntot"
											     "als: "
											     "360"
											     "\n";
	static const struct known in_a[] = {
		{ "/a/s.so", 0x10, 0x10, "free", 1, NULL },
		{ "/a/s.so", 0x12, 0x12, "free/set", 2, "src/set.h" },
		{ "/a/s.so", 0x14, 0x10, "free", 1, NULL },
		{ "/a/s.so", 0x16, 0x10, "free", 1, NULL },
		{ "/a/s.so", 0x18, 0x10, "free", 1, NULL },
		{ "/a/s.so", 0x30, 0x30, "check", 2, NULL },
		{ "/a/s.so", 0x40, 0x40, "early", 4, NULL },
		{ "/a/s.so", 0x50, 0x50, "gone", 21, NULL },
		{ NULL, 0, 0, NULL, 0, NULL },
	};
	static const struct known in_b[] = {
		{ "/b/s.so", 0x10, 0x10, "free", 1, NULL },
		{ "/b/s.so", 0x14, 0x10, "free", 1, NULL },
		{ "/b/s.so", 0x16, 0x10, "free", 1, NULL },
		{ "/b/s.so", 0x18, 0x10, "free", 1, NULL },
		{ "/b/s.so", 0x30, 0x30, "check", 2, NULL },
		{ "/b/s.so", 0x40, 0x40, "late", 5, NULL },
		{ "/b/s.so", 0x60, 0x60, "box", 13, NULL },
		{ "/b/s.so", 0x62, 0x62, "box/set", 2, "src/set.h" },
		{ NULL, 0, 0, NULL, 0, NULL },
	};
	struct account a, b;
	struct account_diff d;
	make(before, "/a/s.so", 10, in_a, &a);
	make(after, "/b/s.so", 10, in_b, &b);
	assert_balanced(&a);
	assert_balanced(&b);
	struct config_part parts[] = { { "gate", (char *[]){ "*a.c:free", NULL } },
				       { "lists", (char *[]){ "*set.h:*", "*:box", NULL } } };
	account_diff_make(&a, &b, &one_diff, parts, 2, &d);
	static const struct {
		int line;
		const char *name, *was;
		enum account_kind kind;
		double delta;
	} rows[] = {
		{ __LINE__, "free", NULL, ACCOUNT_GROWN, 1 },
		{ __LINE__, "check", NULL, ACCOUNT_SHRUNK, -3 },
		{ __LINE__, "late", "early", ACCOUNT_RENAMED, 0 },
		{ __LINE__, "box", NULL, ACCOUNT_NEW, 6 },
		{ __LINE__, "box > set", "free > set", ACCOUNT_MOVED, 0 },
		{ __LINE__, "gone", NULL, ACCOUNT_GONE, -2 },
		{ __LINE__, "main", NULL, ACCOUNT_SAME, 0 },
	};
	double all = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct account_change *c = change(&d, rows[i].name);
		if (c->kind != rows[i].kind || !near(c->delta, rows[i].delta) ||
		    !c->was != !rows[i].was || (c->was && strcmp(c->was, rows[i].was)))
			fail_msg("line %d: %s %f was %s", rows[i].line, account_kind_name(c->kind),
				 c->delta, c->was ? c->was : "-");
	}
	for (size_t i = 0; i < d.n_changes; i++)
		all += d.changes[i].delta;
	assert_true(near(all, 2) && near(d.b_per_op - d.a_per_op, 2));
	/* 6, 3, 2 and 1 of 12: all four are needed for 95 %. */
	assert_string_equal(d.changes[0].name, "box");
	assert_int_equal(d.n_telling, 4);

	double parts_all = 0;
	for (size_t i = 0; i < d.n_parts; i++) {
		parts_all += d.parts[i].b - d.parts[i].a;
		if (!strcmp(d.parts[i].part, "lists"))
			assert_true(near(d.parts[i].a, 5) && near(d.parts[i].b, 11));
	}
	assert_true(near(parts_all, 2));

	/*
	 * Hunks: A's line 21 is gone; B's line 13 is new; the rest is on lines that the diff left
	 * alone.
	 */
	struct account_hunks h;
	account_hunks_make(&a, &b, &one_diff, &h);
	double hunks = h.outside_b - h.outside_a;
	for (size_t i = 0; i < h.n_hunks; i++)
		hunks += h.hunks[i].b - h.hunks[i].a;
	assert_true(near(hunks, 2));
	assert_int_equal(h.n_hunks, 2);
	assert_true(h.hunks[0].hunk == 1 && near(h.hunks[0].b, 6) &&
		    h.hunks[0].lines[0].line == 13 && !h.hunks[0].lines[0].old);
	assert_true(h.hunks[1].hunk == 2 && near(h.hunks[1].a, 2) && h.hunks[1].lines[0].old);
	assert_int_equal(h.n_silent, 1);
	account_hunks_release(&h);
	account_diff_release(&d);

	/* Against itself nothing changed. */
	account_diff_make(&a, &a, NULL, NULL, 0, &d);
	assert_int_equal(d.n_telling, 0);
	assert_int_equal(d.n_parts, 0);
	account_diff_release(&d);
	account_release(&a);
	account_release(&b);
}

/*
 * Code that a changed line inlined is that line's, though its own lines stand in a file that did
 * not change.
 */
static void inlined_code_belongs_to_the_line_that_calls_it(void **state)
{
	(void)state;
	static const char text[] = BEFORE("fn=free'main\n0x10 1 100\n0x12 2 50\n") "\ntotals: "
										   "250\n";
	/* made_up() puts the call a hundred lines below the inlined line. */
	static struct diff_hunk hunk = { .old_start = 102,
					 .old_lines = 1,
					 .new_start = 102,
					 .new_lines = 0,
					 .heading = "",
					 .text = "-call\n" };
	struct diff_file file = {
		.old_path = "src/a.c", .new_path = "src/a.c", .hunks = &hunk, .n_hunks = 1
	};
	const struct diff d = { .files = &file, .n_files = 1 };
	static const struct known known[] = {
		{ "/a/s.so", 0x10, 0x10, "free", 1, NULL },
		{ "/a/s.so", 0x12, 0x12, "free/set", 2, NULL },
		{ NULL, 0, 0, NULL, 0, NULL },
	};
	struct account a;
	struct account_hunks h;
	make(text, "/a/s.so", 10, known, &a);
	account_hunks_make(&a, &a, &d, &h);
	assert_int_equal(h.n_hunks, 1);
	assert_true(near(h.hunks[0].a, 5) && near(h.hunks[0].b, 0) &&
		    h.hunks[0].lines[0].line == 102);
	account_hunks_release(&h);
	account_release(&a);
}

static void objdump_lines_are_read(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *text;
		bool is;
		uint64_t address;
		const char *instruction;
	} rows[] = {
		{ __LINE__, "    1a40:\tmov    %rdi,%rax", true, 0x1a40, "mov %rdi,%rax" },
		{ __LINE__, "ffffffffff600000:\tret    ", true, 0xffffffffff600000, "ret" },
		{ __LINE__, "    1a43:\tlea    0x2(%rip),%rdx        # a4c0 <g>", true, 0x1a43,
		  "lea 0x2(%rip),%rdx # a4c0 <g>" },
		{ __LINE__, "0000000000001a40 <free>:", false, 0, "" },
		{ __LINE__, "Disassembly of section .text:", false, 0, "" },
		{ __LINE__, "", false, 0, "" },
		{ __LINE__, "   1a40:", false, 0, "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf b = { 0 };
		uint64_t address = 0;
		bool is = account_objdump_line(rows[i].text, strlen(rows[i].text), &address, &b);
		if (is != rows[i].is || address != rows[i].address ||
		    strcmp(buf_str(&b), rows[i].instruction))
			fail_msg("line %d: %d %llx %s", rows[i].line, is,
				 (unsigned long long)address, buf_str(&b));
		buf_release(&b);
	}
}

static void functions_are_asked_for_as_people_name_them(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *row, *asked;
		bool is;
	} rows[] = {
		{ __LINE__, "free", "free", true },
		{ __LINE__, "free", "fre", false },
		{ __LINE__, "push", "pool::List::push", true },
		{ __LINE__, "pool::List::push(void*)", "push", true },
		{ __LINE__, "pool::List::push(void*)", "pool::List::push", true },
		{ __LINE__, "pool::List::push(void*)", "pool::List::push(void*)", true },
		{ __LINE__, "pool::List::push(void*)", "other::push", false },
		{ __LINE__, "pool::List::push(void*)", "List", false },
		{ __LINE__, "pool::Arena<16ul, std::less<int> >::take(unsigned long)", "take", true },
		{ __LINE__, "std::sort<f(int)>(int*, int*)", "sort<f(int)>", true },
		{ __LINE__, "(program)", "(below main)", false },
		{ __LINE__, "(below main)", "(below main)", true },
		{ __LINE__, "", "", true },
		{ __LINE__, "free", "", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (account_is_function(rows[i].row, rows[i].asked) != rows[i].is)
			fail_msg("row of line %d", rows[i].line);
}

/* The texts of a listing as one string each side, "|" between rows, "." where a side has none. */
static void aligned(const char *const *a, const char *const *b, const char *left, const char *right,
		    int line)
{
	struct account_listing l[2] = { 0 };
	const char *const *texts[] = { a, b };
	struct buf told[2] = { 0 };
	struct account_pair *rows;
	for (size_t s = 0; s < 2; s++) {
		while (texts[s][l[s].n])
			l[s].n++;
		l[s].items = x_calloc(l[s].n + 1, sizeof(*l[s].items));
		for (size_t i = 0; i < l[s].n; i++)
			l[s].items[i].text = x_strdup(texts[s][i]);
	}
	size_t n = account_listing_align(&l[0], &l[1], &rows);
	for (size_t i = 0; i < n; i++)
		for (size_t s = 0; s < 2; s++) {
			size_t at = s ? rows[i].b : rows[i].a;
			buf_printf(&told[s], "%s|", at == SIZE_MAX ? "." : texts[s][at]);
		}
	if (strcmp(buf_str(&told[0]), left) || strcmp(buf_str(&told[1]), right))
		fail_msg("line %d: %s and %s", line, buf_str(&told[0]), buf_str(&told[1]));
	free(rows);
	for (size_t s = 0; s < 2; s++) {
		account_listing_release(&l[s]);
		buf_release(&told[s]);
	}
}

static void equal_instructions_stand_side_by_side(void **state)
{
	(void)state;
	static const char *const none[] = { NULL }, *const abc[] = { "a", "b", "c", NULL },
				      *const axc[] = { "a", "x", "y", "c", NULL };
	aligned(none, none, "", "", __LINE__);
	aligned(abc, none, "a|b|c|", ".|.|.|", __LINE__);
	aligned(none, abc, ".|.|.|", "a|b|c|", __LINE__);
	aligned(abc, abc, "a|b|c|", "a|b|c|", __LINE__);
	aligned(abc, axc, "a|b|.|.|c|", "a|.|x|y|c|", __LINE__);
	aligned(axc, abc, "a|x|y|.|c|", "a|.|.|b|c|", __LINE__);
	/* A jump's goal and a variable's distance move with the code; an offset in a block does not. */
	static const char *const before[] = { "jne 1234 <free+0x18>", "mov 0x2e1(%rip),%rax # 4010 <pool>",
					      "mov 0x8(%rax),%rdx", NULL },
				*const after[] = { "jne 4321 <free+0x99>", "mov 0x7(%rip),%rax # 5010 <pool>",
						   "mov 0x10(%rax),%rdx", NULL },
				*const others[] = { "je 1234 <free+0x18>", "mov 0x2e1(%rip),%rbx # 4010 <pool>", NULL };
	aligned(before, after,
		"jne 1234 <free+0x18>|mov 0x2e1(%rip),%rax # 4010 <pool>|mov 0x8(%rax),%rdx|.|",
		"jne 4321 <free+0x99>|mov 0x7(%rip),%rax # 5010 <pool>|.|mov 0x10(%rax),%rdx|", __LINE__);
	aligned(others, before, "je 1234 <free+0x18>|mov 0x2e1(%rip),%rbx # 4010 <pool>|.|.|.|",
		".|.|jne 1234 <free+0x18>|mov 0x2e1(%rip),%rax # 4010 <pool>|mov 0x8(%rax),%rdx|", __LINE__);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return fs_remove(folder, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_told_apart),
		cmocka_unit_test(without_callers_costs_are_divided_and_said_so),
		cmocka_unit_test(recursion_counts_once),
		cmocka_unit_test(inlined_code_is_unfolded),
		cmocka_unit_test(a_program_is_one_path),
		cmocka_unit_test(names_lose_what_compilers_add),
		cmocka_unit_test(lines_and_files_are_found_in_a_diff),
		cmocka_unit_test(differences_are_told_by_kind_and_add_up),
		cmocka_unit_test(inlined_code_belongs_to_the_line_that_calls_it),
		cmocka_unit_test(functions_are_asked_for_as_people_name_them),
		cmocka_unit_test(objdump_lines_are_read),
		cmocka_unit_test(equal_instructions_stand_side_by_side),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
