/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"
#include "base/hash.h"
#include "harness/artifact.h"
#include "harness/lld.h"
#include "harness/probe.h"
#include "harness/relink.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char scratch[] = "/tmp/hakperf-relink.XXXXXX";
static char *home;
static bool has_lld;

static int script(const char *text)
{
	char *line = x_printf(
		"set -eu; unset MAKEFLAGS MFLAGS MAKELEVEL; cd '%s'; TOY='%s/test/toy'; %s",
		scratch, home, text);
	int rc = system(line);
	free(line);
	return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

static void must(const char *text)
{
	int rc = script(text);
	if (rc)
		fail_msg("script ended with %d: %s", rc, text);
}

static char *below(const char *name)
{
	return x_printf("%s/%s", scratch, name);
}

/* A program of five objects with three functions each and one constructor each, which print their
 * order. */
static const char make_program[] =
	"mkdir -p prog/share/hakperf/objects; cd prog/share/hakperf; for o in a b c d e; do "
	"printf '#include <stdio.h>\\n#include <stdlib.h>\\nint %s_data = 1;\\n_Thread_local int "
	"%s_tls = 2;\\n"
	"__attribute__((noinline)) int %s_1(int x) { return x * 3 + %s_data; }\\n"
	"__attribute__((noinline)) int %s_2(int x) { return %s_1(x) * 5 + %s_tls; }\\n"
	"__attribute__((constructor)) static void start(void) { printf(\"%s%%d \", %s_2(7)); }\\n' "
	"$o $o $o $o $o $o $o $o $o > $o.c; "
	"gcc -O2 -g -gdwarf-4 -ffunction-sections -c $o.c -o objects/$o.o; done; "
	"printf 'int main(void) { return 0; }\\n' > main.c; gcc -O2 -c main.c -o objects/main.o; "
	"printf '%s\\n' gcc objects/main.o objects/a.o objects/b.o objects/c.o objects/d.o "
	"objects/e.o -o @OUT@ > link.cmd; "
	"gcc objects/main.o objects/a.o objects/b.o objects/c.o objects/d.o objects/e.o -o "
	"../../canonical";

static int set_up(void **state)
{
	(void)state;
	home = getcwd(NULL, 0);
	if (!mkdtemp(scratch))
		return -1;
	struct error e = { 0 };
	struct lld *lld;
	has_lld = lld_open(&lld, &e) == 0;
	if (!has_lld)
		print_message("SKIP all links: %s\n", e.text);
	lld_close(lld);
	must(make_program);
	must("mkdir src; cp \"$TOY/toy.c\" src; cp \"$TOY/toy.mk\" src/Makefile; cd src; touch "
	     "comment.h; echo '#define COST 5' > cost.h; "
	     "echo '#define TUNE 1' > tune.h; echo '#define PAGES 0' > pages.h; touch mode.h; make -s install PREFIX=\"$PWD/../toy\" "
	     "CC=gcc; "
	     "make -s install PREFIX=\"$PWD/../clang\" CC=clang; echo '#define TOY_HIDDEN' > "
	     "mode.h; make -s install PREFIX=\"$PWD/../hidden\" CC=gcc");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(home);
	return fs_remove(scratch, NULL);
}

static struct relink *opened(const char *name)
{
	struct relink *r;
	struct error e = { 0 };
	char *prefix = below(name);
	assert_true(relink_possible(prefix));
	if (relink_open(&r, prefix, &e))
		fail_msg("%s", e.text);
	free(prefix);
	return r;
}

static void file_hash(const char *name, char hex[HASH_HEX])
{
	struct error e = { 0 };
	char *path = below(name);
	if (hash_file(path, hex, &e))
		fail_msg("%s", e.text);
	free(path);
}

static void link_to(struct relink *r, uint64_t seed, const char *name)
{
	struct error e = { 0 };
	char *out = below(name);
	if (relink_shuffled(r, seed, out, &e))
		fail_msg("%s", e.text);
	free(out);
}

static void the_canonical_link_replays_byte_for_byte(void **state)
{
	(void)state;
	if (!has_lld)
		skip();
	static const struct {
		int line;
		const char *prefix, *artifact;
	} rows[] = {
		{ __LINE__, "prog", "prog/canonical" },
		{ __LINE__, "toy", "toy/lib/libtoy.so" },
		{ __LINE__, "clang", "clang/lib/libtoy.so" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct error e = { 0 };
		struct relink *r = opened(rows[i].prefix);
		char *out = below("replayed"), a[HASH_HEX], b[HASH_HEX];
		assert_int_equal(relink_canonical(r, out, &e), 0);
		file_hash("replayed", a);
		file_hash(rows[i].artifact, b);
		if (strcmp(a, b))
			fail_msg("line %d: the links differ", rows[i].line);
		free(out);
		relink_close(r);
	}
}

static void a_seed_is_a_layout(void **state)
{
	(void)state;
	if (!has_lld)
		skip();
	struct relink *r = opened("prog");
	char a[HASH_HEX], b[HASH_HEX], c[HASH_HEX];
	link_to(r, 1, "one");
	link_to(r, 1, "one-again");
	link_to(r, 2, "two");
	file_hash("one", a);
	file_hash("one-again", b);
	file_hash("two", c);
	assert_string_equal(a, b);
	assert_string_not_equal(a, c);
	/* Seeds that lld would read as special are plain here. */
	link_to(r, 0, "s0");
	link_to(r, UINT64_MAX, "s1");
	link_to(r, 0xffffffffu, "s2");
	link_to(r, 0, "s3");
	file_hash("s0", a);
	file_hash("s3", b);
	assert_string_equal(a, b);
	relink_close(r);
}

static void code_and_data_move(void **state)
{
	(void)state;
	if (!has_lld)
		skip();
	struct relink *r = opened("prog");
	link_to(r, 11, "m1");
	link_to(r, 12, "m2");
	must("for k in '_[12]$' '_data$' '_tls$'; do "
	     "nm -n m1 | grep \"$k\" | cut -d' ' -f3 > o1; nm -n m2 | grep \"$k\" | cut -d' ' -f3 "
	     "> o2; test -s o1; ! cmp -s o1 o2; sort o1 > s1; sort o2 | cmp - s1; done");
	relink_close(r);
}

static void constructors_keep_their_order(void **state)
{
	(void)state;
	if (!has_lld)
		skip();
	struct relink *r = opened("prog");
	for (uint64_t seed = 1; seed <= 10; seed++) {
		link_to(r, seed, "run");
		must("prog/canonical > want; ./run > got; cmp want got");
	}
	relink_close(r);
}

static void a_shuffled_library_still_interposes(void **state)
{
	(void)state;
	if (!has_lld)
		skip();
	static const char *const prefixes[] = { "toy", "clang" };
	for (size_t i = 0; i < 2; i++) {
		struct relink *r = opened(prefixes[i]);
		link_to(r, 3, "shuffled.so");
		char *path = below("shuffled.so");
		enum probe_outcome outcome;
		struct buf why = { 0 };
		struct error e = { 0 };
		assert_int_equal(probe_preload(path, &outcome, &why, &e), 0);
		if (outcome != PROBE_OK)
			fail_msg("%s: %s", prefixes[i], buf_str(&why));
		buf_release(&why);
		free(path);
		relink_close(r);
	}
}

static void *link_many(void *arg)
{
	struct relink *r = arg;
	for (int i = 0; i < 5; i++) {
		struct error e = { 0 };
		char *out = x_printf("%s/thread-%lx", scratch, (unsigned long)pthread_self());
		int rc = relink_shuffled(r, 7, out, &e);
		char hex[HASH_HEX], *result = NULL;
		if (!rc && !hash_file(out, hex, &e))
			result = x_strdup(hex);
		free(out);
		if (!result || i == 4)
			return result;
		free(result);
	}
	return NULL;
}

static void threads_may_share_a_handle(void **state)
{
	(void)state;
	if (!has_lld)
		skip();
	struct relink *r = opened("prog");
	pthread_t t[3];
	char *got[3];
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, link_many, r), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], (void **)&got[i]);
	for (int i = 0; i < 3; i++) {
		assert_non_null(got[i]);
		assert_string_equal(got[i], got[0]);
	}
	for (int i = 0; i < 3; i++)
		free(got[i]);
	relink_close(r);
}

/* The warm linker is an optimisation: when it dies, links go on. It is the only child of this test
 * that is called so. */
static void a_dead_server_changes_nothing(void **state)
{
	(void)state;
	if (!has_lld)
		skip();
	char a[HASH_HEX], b[HASH_HEX];
	struct relink *r = opened("prog");
	link_to(r, 5, "before");
	char *kill_server =
		x_printf("for p in $(cat /proc/%d/task/*/children); do test \"$(cat "
			 "/proc/$p/comm)\" = ld.lld && kill -9 $p && exit 0; done; exit 1",
			 getpid());
	must(kill_server);
	link_to(r, 5, "after");
	link_to(r, 5, "after");
	file_hash("before", a);
	file_hash("after", b);
	assert_string_equal(a, b);
	relink_close(r);
	free(kill_server);
}

static void broken_commands_are_told(void **state)
{
	(void)state;
	if (!has_lld)
		skip();
	static const struct {
		int line;
		const char *make;
		int open_rc, link_rc;
		const char *says;
	} rows[] = {
		{ __LINE__, "rm -f x/share/hakperf/link.cmd", -ENOENT, 0, "layout is fixed" },
		{ __LINE__, "printf 'gcc\\nobjects/a.o\\n' > x/share/hakperf/link.cmd", -EINVAL, 0,
		  "@OUT@" },
		{ __LINE__, ": > x/share/hakperf/link.cmd", -EINVAL, 0, "@OUT@" },
		{ __LINE__, "printf 'no-such-compiler\\n-o\\n@OUT@\\n' > x/share/hakperf/link.cmd",
		  -ENOENT, 0, "no-such-compiler" },
		{ __LINE__, "printf 'true\\n-o\\n@OUT@\\n' > x/share/hakperf/link.cmd", -EINVAL, 0,
		  "does not say how it links" },
		{ __LINE__,
		  "printf 'gcc\\n-shared\\nobjects/none.o\\n-o\\n@OUT@\\n' > "
		  "x/share/hakperf/link.cmd",
		  0, -EBADMSG, "none.o" },
		{ __LINE__,
		  "printf 'ld.bfd\\n-shared\\nobjects/none.o\\n-o\\n@OUT@\\n' > "
		  "x/share/hakperf/link.cmd",
		  0, -EBADMSG, "none.o" },
	};
	must("mkdir -p x/share/hakperf/objects");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		must(rows[i].make);
		struct error e = { 0 };
		struct relink *r;
		char *prefix = below("x"), *out = below("x.out");
		int rc = relink_open(&r, prefix, &e);
		if (rc != rows[i].open_rc)
			fail_msg("line %d: %d %s", rows[i].line, rc, e.text);
		if (!rc) {
			rc = relink_shuffled(r, 1, out, &e);
			if (rc != rows[i].link_rc || access(out, F_OK) == 0)
				fail_msg("line %d: %d %s", rows[i].line, rc, e.text);
		}
		if (e.code && !strstr(e.text, rows[i].says))
			fail_msg("line %d: %s", rows[i].line, e.text);
		relink_close(r);
		free(prefix);
		free(out);
	}
}

/* A command that names the linker itself, as one caught during a build does. */
static void a_linker_command_relinks(void **state)
{
	(void)state;
	if (!has_lld)
		skip();
	must("mkdir -p raw/share/hakperf; cp -r toy/share/hakperf/objects raw/share/hakperf; "
	     "printf '%s\\n' /usr/bin/ld.bfd -plugin /nowhere/plugin.so -plugin-opt=-fresolution=x "
	     "-shared -z now -o @OUT@ \"-L$(dirname \"$(gcc -print-file-name=libc.so)\")\" "
	     "objects/toy.o -lc > raw/share/hakperf/link.cmd");
	struct relink *r = opened("raw");
	link_to(r, 1, "raw.so");
	must("nm -D raw.so | grep -q ' T malloc'");
	relink_close(r);
}

static void identity_is_what_is_loaded(void **state)
{
	(void)state;
	must("cp prog/canonical i-copy; cp prog/canonical i-strip; strip --strip-debug i-strip; "
	     "printf x >> i-copy; cp -r prog/share/hakperf id; cd id; "
	     "gcc -Wl,--build-id=0xabcdef0123456789 $(ls objects/*.o | sort -u | grep -v main) "
	     "objects/main.o -o ../i-order; "
	     "gcc objects/main.o objects/a.o objects/b.o objects/c.o objects/d.o objects/e.o "
	     "-Wl,--build-id=0x0123456789012345678901234567890123456789 -o ../i-id");
	static const struct {
		int line;
		const char *name;
		bool same_loaded;
		const char *build_id;
	} rows[] = {
		{ __LINE__, "i-copy", true, NULL },
		{ __LINE__, "i-strip", true, NULL },
		{ __LINE__, "i-id", true, "0123456789012345678901234567890123456789" },
		{ __LINE__, "i-order", false, "abcdef0123456789" },
	};
	struct artifact want, got;
	struct error e = { 0 };
	char *path = below("prog/canonical");
	assert_int_equal(artifact_read(path, &want, &e), 0);
	assert_true(want.elf);
	assert_int_equal(strlen(want.build_id), 40);
	free(path);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		path = below(rows[i].name);
		assert_int_equal(artifact_read(path, &got, &e), 0);
		if (!strcmp(want.loaded, got.loaded) != rows[i].same_loaded ||
		    !strcmp(want.file, got.file))
			fail_msg("line %d", rows[i].line);
		if (strcmp(got.build_id, rows[i].build_id ? rows[i].build_id : want.build_id))
			fail_msg("line %d: build-id %s", rows[i].line, got.build_id);
		free(path);
	}
}

static void broken_files_are_told(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *make;
		int rc;
		bool elf;
	} rows[] = {
		{ __LINE__, "printf '#!/bin/sh\\n' > f", 0, false },
		{ __LINE__, ": > f", 0, false },
		{ __LINE__, "head -c 3000 prog/canonical > f", -EBADMSG, false },
		{ __LINE__, "head -c 20 prog/canonical > f", 0, false },
		{ __LINE__, "rm f", -ENOENT, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		must(rows[i].make);
		struct artifact a;
		struct error e = { 0 };
		char *path = below("f");
		if (artifact_read(path, &a, &e) != rows[i].rc || a.elf != rows[i].elf)
			fail_msg("line %d: %d %s", rows[i].line, e.code, e.text);
		if (!rows[i].rc)
			assert_string_equal(a.file, a.loaded);
		free(path);
	}
}

static void the_probe_tells_what_interposes(void **state)
{
	(void)state;
	must("mkdir -p so; cd so; printf 'int x;\\n' > n.c; gcc -shared -fPIC n.c -o nothing.so; "
	     "printf '#include <stddef.h>\\nvoid *malloc(size_t n) { (void)n; return 0; }\\n' > "
	     "m.c; gcc -shared -fPIC -fno-builtin m.c -o only-malloc.so; "
	     "printf '__attribute__((constructor)) static void f(void) { __builtin_trap(); }\\n' > "
	     "t.c; gcc -shared -fPIC t.c -o trap.so; "
	     "echo garbage > garbage.so; "
	     "cp -r ../src ../crash; cd ../crash; echo '#define TOY_CRASH' > mode.h; make -s "
	     "install PREFIX=\"$PWD/../crash-p\" CC=gcc; "
	     "cd ../crash; sed -i 's/^\\tif (!p)$/\\t__builtin_trap(); if (!p)/' toy.c; echo > "
	     "mode.h; make -s install PREFIX=\"$PWD/../trap-p\" CC=gcc");
	static const struct {
		int line;
		const char *name;
		enum probe_outcome outcome;
		const char *why;
	} rows[] = {
		{ __LINE__, "toy/lib/libtoy.so", PROBE_OK, "" },
		{ __LINE__, "crash-p/lib/libtoy.so", PROBE_OK,
		  "" }, /* dies after a hundred calls: a matter of runs */
		{ __LINE__, "hidden/lib/libtoy.so", PROBE_NOT_INTERPOSING, "malloc resolves into" },
		{ __LINE__, "so/nothing.so", PROBE_NOT_INTERPOSING, "malloc resolves into" },
		{ __LINE__, "so/only-malloc.so", PROBE_NOT_INTERPOSING, "free resolves into" },
		{ __LINE__, "so/garbage.so", PROBE_NOT_INTERPOSING, "cannot be preloaded" },
		{ __LINE__, "so/trap.so", PROBE_CRASHED, "SIG" },
		{ __LINE__, "trap-p/lib/libtoy.so", PROBE_CRASHED, "SIG" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *path = below(rows[i].name);
		enum probe_outcome outcome;
		struct buf why = { 0 };
		struct error e = { 0 };
		if (probe_preload(path, &outcome, &why, &e))
			fail_msg("line %d: %s", rows[i].line, e.text);
		if (outcome != rows[i].outcome || !strstr(buf_str(&why), rows[i].why) ||
		    !*rows[i].why != !why.len)
			fail_msg("line %d: outcome %d, %s", rows[i].line, outcome, buf_str(&why));
		buf_release(&why);
		free(path);
	}
	struct error e = { 0 };
	enum probe_outcome outcome;
	assert_int_equal(probe_preload("/no such", &outcome, NULL, &e), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_canonical_link_replays_byte_for_byte),
		cmocka_unit_test(a_seed_is_a_layout),
		cmocka_unit_test(code_and_data_move),
		cmocka_unit_test(constructors_keep_their_order),
		cmocka_unit_test(a_shuffled_library_still_interposes),
		cmocka_unit_test(threads_may_share_a_handle),
		cmocka_unit_test(a_dead_server_changes_nothing),
		cmocka_unit_test(broken_commands_are_told),
		cmocka_unit_test(a_linker_command_relinks),
		cmocka_unit_test(identity_is_what_is_loaded),
		cmocka_unit_test(broken_files_are_told),
		cmocka_unit_test(the_probe_tells_what_interposes),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
