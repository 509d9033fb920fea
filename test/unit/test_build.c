/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/fs.h"
#include "bisect/build.h"
#include "bisect/range.h"
#include "bisect/sandbox.h"
#include "harness/child.h"
#include "harness/relink.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char scratch[] = "/tmp/hakperf-build.XXXXXX";
static char *home;
static struct history *toy; /* commits: 2 does not compile, 3 hangs, 4 crashes in runs, 5 does not
			       interpose, 6 is unrelated, 7 a comment */
static bool boxed;	    /* bubblewrap works here */

static const char *const toy_commands[] = {
	"make -s -j{jobs} -C {src}/toy install PREFIX={prefix} CC={cc} 'CFLAGS={cflags}' {variant}"
};
static const char *const toy_paths[] = { "toy" };

static struct recipe toy_recipe(void)
{
	return (struct recipe){ .commands = toy_commands,
				.n_commands = 1,
				.paths = toy_paths,
				.n_paths = 1,
				.artifact = "lib/libtoy.so",
				.timeout_ns = 60000000000u };
}

static void must(const char *text)
{
	char *line = x_printf("set -eu; unset MAKEFLAGS MFLAGS MAKELEVEL; cd '%s'; "
			      "TOY='%s/test/toy'; unset GIT_CONFIG_GLOBAL; export HOME='%s' GIT_CONFIG_NOSYSTEM=1 "
			      "GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.invalid "
			      "GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.invalid; %s",
			      scratch, home, scratch, text);
	int rc = system(line);
	if (rc)
		fail_msg("script ended with %d: %s", rc, text);
	free(line);
}

static char *below(const char *name)
{
	return x_printf("%s/%s", scratch, name);
}

static struct history *history(const char *name)
{
	struct history *h;
	struct error e = { 0 };
	char *path = below(name);
	if (history_open(&h, path, &e))
		fail_msg("%s", e.text);
	free(path);
	return h;
}

static struct build_cache *cache(const char *name, const struct build_cache_options *o)
{
	struct build_cache *c;
	struct error e = { 0 };
	char *path = below(name);
	if (build_cache_open(&c, path, NULL, o, &e))
		fail_msg("%s", e.text);
	free(path);
	return c;
}

static struct history_commit commit(struct history *h, const char *rev)
{
	struct history_commit c;
	struct error e = { 0 };
	if (history_resolve(h, rev, &c, &e))
		fail_msg("%s", e.text);
	return c;
}

static struct build built(struct build_cache *c, struct history *h, const char *rev,
			  const struct recipe *r, unsigned flags)
{
	struct history_commit at = commit(h, rev);
	struct build b;
	struct error e = { 0 };
	if (build_one(c, h, &at, r, 1, flags, &b, &e))
		fail_msg("%s: %s", rev, e.text);
	history_commit_release(&at);
	return b;
}

static size_t n_in(const char *folder)
{
	char *path = below(folder);
	DIR *d = opendir(path);
	size_t n = 0;
	for (struct dirent *ent; d && (ent = readdir(d));)
		n += ent->d_name[0] != '.';
	if (d)
		closedir(d);
	free(path);
	return n;
}

static void assert_contains(const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		fail_msg("'%s' does not contain '%s'", text ? text : "(null)", part);
}

static int set_up(void **state)
{
	(void)state;
	home = getcwd(NULL, 0);
	if (!mkdtemp(scratch))
		return -1;
	must("\"$TOY/make-history.sh\" toy --commits 10 --fail 2 --hang 3 --crash 4 --hidden 5 "
	     "--unrelated 6 --same 7; "
	     "git init -q -b main any; cd any; mkdir s; echo 'int x;' > s/x.c; "
	     "printf '#!/bin/sh\\necho \"$@\" ran\\n' > s/run; chmod +x s/run; git add .; git "
	     "commit -qm any");
	toy = history("toy");
	boxed = sandbox_works();
	if (!boxed)
		print_message(
			"SKIP the sandboxed half of each test: bubblewrap does not work here\n");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	history_close(toy);
	free(home);
	return fs_remove(scratch, NULL);
}

static void every_outcome_has_its_name(void **state)
{
	(void)state;
	const struct {
		int line;
		const char *rev;
		enum build_outcome outcome;
		const char *detail;
	} rows[] = {
		{ __LINE__, "c0", BUILD_OK, "" },
		{ __LINE__, "c2", BUILD_FAILED, "this commit does not compile" },
		{ __LINE__, "c3", BUILD_TIMED_OUT, "not done after 1 s" },
		{ __LINE__, "c4", BUILD_OK, "" },
		{ __LINE__, "c5", BUILD_NOT_INTERPOSING, "malloc resolves into" },
	};
	for (int plain = boxed ? 0 : 1; plain < 2; plain++) {
		struct build_cache_options o = { .plain = plain };
		struct build_cache *c = cache(plain ? "outcomes-plain" : "outcomes", &o);
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			struct recipe r = toy_recipe();
			if (rows[i].outcome == BUILD_TIMED_OUT)
				r.timeout_ns = 1000000000u;
			struct build b = built(c, toy, rows[i].rev, &r, 0),
				     again = built(c, toy, rows[i].rev, &r, 0);
			if (b.outcome != rows[i].outcome || !strstr(b.detail, rows[i].detail) ||
			    !*b.detail != !*rows[i].detail)
				fail_msg("line %d: %s: %s", rows[i].line,
					 build_outcome_name(b.outcome), b.detail);
			/* Remembered, failures too, with all that is known. */
			if (b.cached || !again.cached || again.outcome != b.outcome ||
			    strcmp(again.detail, b.detail) || strcmp(again.key, b.key) ||
			    again.wall_ns != b.wall_ns || strcmp(again.loaded_hash, b.loaded_hash))
				fail_msg("line %d: second look differs", rows[i].line);
			assert_string_equal(b.sandbox, plain ? "plain" : "bubblewrap");
			assert_true(fs_exists(b.log));
			assert_true(b.outcome != BUILD_OK ||
				    (b.relinkable && b.canonical && strlen(b.build_id) &&
				     fs_exists(b.artifact)));
			build_release(&b);
			build_release(&again);
		}
		assert_int_equal(n_in(plain ? "outcomes-plain/tmp" : "outcomes/tmp"), 0);
		build_cache_close(c);
	}
	/* The hanging build's sleepers are gone with it. */
	must("! ps -eo args | grep -q '^sleep 1000$'");
}

static void odd_recipes_are_told_apart(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *command, *artifact;
		enum recipe_kind kind;
		int rc;
		enum build_outcome outcome, boxed_outcome;
		const char *says;
	} rows[] = {
		{ __LINE__, "true", "lib/x.so", RECIPE_LIBRARY, 0, BUILD_NO_ARTIFACT,
		  BUILD_NO_ARTIFACT, "no lib/x.so in the prefix" },
		{ __LINE__, "install -D s/run {prefix}/bin/run", "bin/run", RECIPE_EXEC, 0,
		  BUILD_OK, BUILD_OK, "" },
		{ __LINE__, "install -m644 -D s/run {prefix}/bin/run", "bin/run", RECIPE_EXEC, 0,
		  BUILD_NO_ARTIFACT, BUILD_NO_ARTIFACT, "not executable" },
		{ __LINE__, "mkdir -p {prefix}/bin/run", "bin/run", RECIPE_EXEC, 0,
		  BUILD_NO_ARTIFACT, BUILD_NO_ARTIFACT, "not a file" },
		{ __LINE__, "ln -s {src}/s/run {prefix}/run", "run", RECIPE_EXEC, 0,
		  BUILD_WROTE_OUTSIDE, BUILD_WROTE_OUTSIDE, "leaves the prefix" },
		{ __LINE__, "ln -s /etc/passwd {prefix}/run", "run", RECIPE_LIBRARY, 0,
		  BUILD_WROTE_OUTSIDE, BUILD_WROTE_OUTSIDE, "leaves the prefix" },
		{ __LINE__, "install -D s/x.c SCRATCH/outside/x", "x", RECIPE_LIBRARY, 0,
		  BUILD_NO_ARTIFACT, BUILD_NO_ARTIFACT, "no x in the prefix" },
		{ __LINE__, "install -D s/x.c /var/tmp/hakperf-test-outside/x", "x", RECIPE_LIBRARY,
		  0, BUILD_NO_ARTIFACT, BUILD_WROTE_OUTSIDE, "" },
		{ __LINE__, "sh: exit 7", "x", RECIPE_LIBRARY, 0, BUILD_FAILED, BUILD_FAILED,
		  "exit code 7" },
		{ __LINE__, "sh: kill -SEGV $$", "x", RECIPE_LIBRARY, 0, BUILD_FAILED, BUILD_FAILED,
		  "SIGSEGV" },
		{ __LINE__, "./configure", "x", RECIPE_LIBRARY, 0, BUILD_FAILED, BUILD_FAILED,
		  "configure" },
		{ __LINE__, "no-such-tool --build", "x", RECIPE_LIBRARY, -ENOENT, 0, 0,
		  "'no-such-tool', which is not installed" },
		{ __LINE__, "make {nothing}", "x", RECIPE_LIBRARY, -EINVAL, 0, 0, "{nothing}" },
		{ __LINE__, "sh: head -c 3000 /bin/true > {prefix}/x", "x", RECIPE_LIBRARY, 0,
		  BUILD_NO_ARTIFACT, BUILD_NO_ARTIFACT, "broken" },
		{ __LINE__,
		  "sh: echo 'cc1: out of memory; gcc: fatal error: Killed signal terminated "
		  "program cc1'; exit 1",
		  "x", RECIPE_LIBRARY, -ENOMEM, 0, 0, "out of memory" },
		/* What speaks of a full disk where the disk is not full is the commit's own. */
		{ __LINE__, "sh: echo 'No space left on device'; exit 1", "x", RECIPE_LIBRARY, 0,
		  BUILD_FAILED, BUILD_FAILED, "No space left" },
		{ __LINE__, "sh: echo 'caf\\303\\251 \\377\\033[31m error: odd'; exit 1", "x",
		  RECIPE_LIBRARY, 0, BUILD_FAILED, BUILD_FAILED, "odd" },
	};
	struct history *any = history("any");
	struct history_commit at = commit(any, "HEAD");
	for (int plain = boxed ? 0 : 1; plain < 2; plain++) {
		struct build_cache_options o = { .plain = plain };
		struct build_cache *c = cache(plain ? "odd-plain" : "odd", &o);
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			struct recipe r = { .commands = &rows[i].command,
					    .n_commands = 1,
					    .artifact = rows[i].artifact,
					    .kind = rows[i].kind };
			struct build b;
			struct error e = { 0 };
			int rc = build_one(c, any, &at, &r, 1, 0, &b, &e);
			if (rc != rows[i].rc ||
			    (!rc && b.outcome != (plain ? rows[i].outcome : rows[i].boxed_outcome)))
				fail_msg("line %d, plain %d: %d %s %s", rows[i].line, plain, rc,
					 rc ? e.text : build_outcome_name(b.outcome),
					 rc ? "" : b.detail);
			if (!strstr(rc ? e.text : b.detail, rows[i].says))
				fail_msg("line %d, plain %d: %s", rows[i].line, plain,
					 rc ? e.text : b.detail);
			build_release(&b);
		}
		assert_int_equal(n_in(plain ? "odd-plain/tmp" : "odd/tmp"), 0);
		build_cache_close(c);
	}
	must("test ! -d /var/tmp/hakperf-test-outside || rm -r /var/tmp/hakperf-test-outside");
	history_commit_release(&at);
	history_close(any);
}

static void the_environment_is_built(void **state)
{
	(void)state;
	static const char *const env[] = { "LANG=x", "TZ=Europe/Berlin", "Q=a=b c" };
	static const char *const commands[] = {
		"sh: env | sort > {prefix}/env; pwd > {prefix}/pwd",
		"sh: ! ping -c1 -W1 127.0.0.2 2>/dev/null; cat /proc/net/dev > {prefix}/net"
	};
	struct history *any = history("any");
	setenv("HAKPERF_LEAK", "1", 1);
	for (int plain = boxed ? 0 : 1; plain < 2; plain++) {
		struct build_cache_options o = { .plain = plain };
		struct build_cache *c = cache(plain ? "env-plain" : "env", &o);
		struct recipe r = { .commands = commands,
				    .n_commands = 2,
				    .artifact = "env",
				    .kind = RECIPE_LIBRARY,
				    .env = env,
				    .n_env = 3,
				    .variant = "debug",
				    .cflags = "-O1 -g",
				    .cc = "gcc" };
		struct build b = built(c, any, "HEAD", &r, 0);
		assert_int_equal(b.outcome, BUILD_OK);
		struct buf text = { 0 };
		struct error e = { 0 };
		assert_int_equal(fs_read(b.artifact, 65536, &text, &e), 0);
		const char *want[] = {
			"\nTZ=Europe/Berlin\n", "\nQ=a=b c\n",	"\nHAKPERF_VARIANT=debug\n",
			"\nCFLAGS=-O1 -g",	"\nLC_ALL=C\n", "\nSOURCE_DATE_EPOCH="
		};
		for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
			assert_contains(buf_str(&text), want[i]);
		assert_null(strstr(buf_str(&text), "HAKPERF_LEAK"));
		assert_null(strstr(buf_str(&text), "TZ=UTC"));
		buf_release(&text);
		if (!plain) {
			char *net = x_printf("%s/net", b.prefix),
			     *pwd = x_printf("%s/pwd", b.prefix);
			assert_int_equal(fs_read(pwd, 100, &text, &e), 0);
			assert_string_equal(buf_str(&text), "/tmp/src\n");
			buf_release(&text);
			assert_int_equal(fs_read(net, 65536, &text, &e), 0);
			assert_null(strstr(buf_str(&text), "eth"));
			assert_contains(buf_str(&text), "lo:");
			buf_release(&text);
			free(net);
			free(pwd);
		}
		build_release(&b);
		build_cache_close(c);
	}
	history_close(any);
}

static void keys_follow_what_decides_a_build(void **state)
{
	(void)state;
	static const char *const env[] = { "A=1" }, *const other[] = {
		"make -C {src}/toy install PREFIX={prefix}"
	};
	struct build_cache *c = cache("keys", NULL);
	struct recipe base = toy_recipe(), debug = base, flags = base, clang = base,
		      with_env = base, command = base, name = base;
	debug.variant = "debug";
	flags.cflags = "-O3";
	clang.cc = "clang";
	with_env.env = env;
	with_env.n_env = 1;
	command.commands = other;
	name.name = "another name";
	const struct {
		int line;
		const char *rev;
		const struct recipe *r;
		bool same;
	} rows[] = {
		{ __LINE__, "c9", &base, true },       { __LINE__, "c8", &base, false },
		{ __LINE__, "c9", &debug, false },     { __LINE__, "c9", &flags, false },
		{ __LINE__, "c9", &clang, false },     { __LINE__, "c9", &with_env, false },
		{ __LINE__, "c9", &command, false },   { __LINE__, "c9", &name, true },
		{ __LINE__, "worktree", &base, true },
	};
	struct error e = { 0 };
	struct history_commit at = commit(toy, "c9");
	char want[BUILD_KEY], got[BUILD_KEY];
	assert_int_equal(build_key(c, toy, &at, &base, want, &e), 0);
	history_commit_release(&at);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		at = commit(toy, rows[i].rev);
		if (build_key(c, toy, &at, rows[i].r, got, &e))
			fail_msg("line %d: %s", rows[i].line, e.text);
		if (!strcmp(want, got) != rows[i].same)
			fail_msg("line %d", rows[i].line);
		history_commit_release(&at);
	}
	struct recipe none = base;
	none.cc = "no-such-cc";
	at = commit(toy, "c9");
	assert_int_equal(build_key(c, toy, &at, &none, got, &e), -ENOENT);
	assert_contains(e.text, "no-such-cc");
	history_commit_release(&at);
	build_cache_close(c);
}

static void equal_code_is_equal_and_unrelated_commits_share(void **state)
{
	(void)state;
	struct recipe r = toy_recipe();
	struct build_cache *c = cache("outcomes", NULL);
	struct build b6 = built(c, toy, "c6", &r, 0), b5 = built(c, toy, "c5", &r, 0);
	assert_string_equal(b5.key, b6.key); /* c6 wrote notes only */
	struct build b7 = built(c, toy, "c7", &r, 0), b8 = built(c, toy, "c8", &r, 0);
	must("git clone -q toy again; cd again; echo '/* reworded once more */' > toy/comment.h; "
	     "git commit -qam again");
	struct history *again = history("again");
	struct build b9 = built(c, toy, "c9", &r, 0), comment = built(c, again, "HEAD", &r, 0);
	assert_string_not_equal(b9.key, comment.key);
	assert_string_equal(b9.loaded_hash, comment.loaded_hash);
	assert_string_not_equal(b8.loaded_hash, b9.loaded_hash);
	history_close(again);
	build_release(&b5);
	build_release(&b6);
	build_release(&b7);
	build_release(&b8);
	build_release(&b9);
	build_release(&comment);
	build_cache_close(c);
}

static void a_sandboxed_build_is_the_same_anywhere(void **state)
{
	(void)state;
	if (!boxed)
		skip();
	struct recipe r = toy_recipe();
	struct build_cache *a = cache("place-a", NULL),
			   *b = cache("another/place/b",
				      &(struct build_cache_options){ .no_ccache = true });
	struct build x = built(a, toy, "c0", &r, 0), y = built(b, toy, "c0", &r, 0);
	assert_string_equal(x.file_hash, y.file_hash);
	build_release(&x);
	build_release(&y);
	build_cache_close(a);
	build_cache_close(b);
}

static void retry_forgets_failures_only(void **state)
{
	(void)state;
	/* Fails as long as a file outside is missing, which no key can see. */
	char *flag = below("flag"), *command = x_printf("sh: cat %s > {prefix}/x", flag);
	const char *commands[] = { command };
	struct recipe r = {
		.commands = commands, .n_commands = 1, .artifact = "x", .kind = RECIPE_LIBRARY
	};
	struct build_cache *c = cache("retry", &(struct build_cache_options){ .plain = true });
	struct history *any = history("any");
	struct build b = built(c, any, "HEAD", &r, 0);
	assert_int_equal(b.outcome, BUILD_FAILED);
	build_release(&b);
	must("echo 1 > flag");
	b = built(c, any, "HEAD", &r, 0);
	assert_int_equal(b.outcome, BUILD_FAILED);
	assert_true(b.cached);
	build_release(&b);
	b = built(c, any, "HEAD", &r, BUILD_RETRY);
	assert_int_equal(b.outcome, BUILD_OK);
	assert_false(b.cached);
	build_release(&b);
	b = built(c, any, "HEAD", &r, BUILD_RETRY);
	assert_true(b.cached);
	build_release(&b);
	history_close(any);
	build_cache_close(c);
	free(flag);
	free(command);
}

static void a_commit_without_the_paths_has_no_source(void **state)
{
	(void)state;
	struct recipe r = toy_recipe();
	struct history *any = history("any");
	struct build_cache *c = cache("outcomes", NULL);
	struct build b = built(c, any, "HEAD", &r, 0);
	assert_int_equal(b.outcome, BUILD_NO_SOURCE);
	assert_contains(b.detail, "toy");
	build_release(&b);
	build_cache_close(c);
	history_close(any);
}

/* Why there is nothing below third_party is not in the compiler's message. */
static void a_build_that_lacks_submodules_says_so(void **state)
{
	(void)state;
	must("git init -q modules; cd modules; mkdir s; echo 'int x;' >s/x.c; git add s; "
	     "git update-index --add --cacheinfo 160000,$(git -C ../toy rev-parse HEAD),s/zlib; "
	     "git commit -qm one; "
	     "git update-index --add --cacheinfo 160000,$(git -C ../toy rev-parse HEAD),s/other; "
	     "git commit -qm two");
	static const char *const paths[] = { "s" };
	static const char *const fails[] = { "sh: cp {src}/s/zlib/zlib.h {prefix}/" };
	static const char *const works[] = { "sh: cp {src}/s/x.c {prefix}/x" };
	const struct {
		int line;
		const char *rev;
		const char *const *commands;
		const char *says; /* NULL: it builds */
	} rows[] = {
		{ __LINE__, "HEAD~1", fails, "(s/zlib is a submodule, empty here" },
		{ __LINE__, "HEAD", fails, "(s/other and 1 more are submodules, empty here" },
		{ __LINE__, "HEAD", works, NULL },
	};
	struct history *h = history("modules");
	struct build_cache_options o = { .plain = true };
	struct build_cache *c = cache("submodules", &o);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct recipe r = { .commands = rows[i].commands, .n_commands = 1, .paths = paths,
				    .n_paths = 1, .artifact = "x", .kind = RECIPE_LIBRARY };
		struct build b = built(c, h, rows[i].rev, &r, 0);
		bool told = strstr(b.detail, "submodule") != NULL;
		if (told != !!rows[i].says || (told && !strstr(b.detail, rows[i].says)))
			fail_msg("line %d: %s: %s", rows[i].line, build_outcome_name(b.outcome), b.detail);
		build_release(&b);
	}
	build_cache_close(c);
	history_close(h);
}

static void a_broken_entry_is_built_again(void **state)
{
	(void)state;
	static const char *const damage[] = { ": > %s/manifest.json", "rm %s/manifest.json",
					      "echo '{}' > %s/manifest.json",
					      ": > %s/prefix/lib/libtoy.so", "rm -r %s/prefix" };
	struct recipe r = toy_recipe();
	struct build_cache *c = cache("outcomes", NULL);
	for (size_t i = 0; i < sizeof(damage) / sizeof(*damage); i++) {
		struct build b = built(c, toy, "c0", &r, 0);
		struct buf line = { 0 };
		const char *at = strstr(damage[i], "%s");
		buf_printf(&line, "%.*s%s%s", (int)(at - damage[i]), damage[i], b.dir, at + 2);
		must(buf_str(&line));
		buf_release(&line);
		struct build again = built(c, toy, "c0", &r, 0);
		if (again.cached || again.outcome != BUILD_OK ||
		    strcmp(again.file_hash, b.file_hash))
			fail_msg("damage %zu", i);
		build_release(&b);
		build_release(&again);
	}
	build_cache_close(c);
}

/* A recipe that tells when it runs and takes its time. */
static const char *const slow_commands[] = {
	"sh: echo run >> $COUNT; sleep 0.3; install -D s/x.c {prefix}/x"
};

static void killed_builders_leave_nothing_half_made(void **state)
{
	(void)state;
	struct history *any = history("any");
	char *count = below("kill-count"), *env = x_printf("COUNT=%s", count);
	const char *envs[] = { env };
	struct recipe r = { .commands = slow_commands,
			    .n_commands = 1,
			    .artifact = "x",
			    .kind = RECIPE_LIBRARY,
			    .env = envs,
			    .n_env = 1 };
	struct build_cache_options o = { .plain = true };
	for (int round = 0; round < 4; round++) {
		pid_t pid = fork();
		if (pid == 0) {
			struct build_cache *c;
			struct build b;
			struct error e = { 0 };
			char *path = below("killed");
			struct history_commit at = commit(any, "HEAD");
			int rc = build_cache_open(&c, path, NULL, &o, &e);
			rc = rc ? rc : build_one(c, any, &at, &r, 1, 0, &b, &e);
			_exit(rc ? 1 : 0);
		}
		struct timespec t = { .tv_nsec = 20000000l + round * 60000000l };
		nanosleep(&t, NULL);
		kill(pid, SIGKILL);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		/* lock/ and tmp/, never an entry. */
		assert_true(n_in("killed") <= 2);
	}
	struct build_cache *c = cache("killed", &o);
	struct build b = built(c, any, "HEAD", &r, 0);
	assert_int_equal(b.outcome, BUILD_OK);
	assert_false(b.cached);
	assert_int_equal(n_in("killed/tmp"), 0);
	assert_int_equal(n_in("killed"), 3);
	build_release(&b);
	build_cache_close(c);
	history_close(any);
	free(env);
	free(count);
}

static void two_builders_build_once(void **state)
{
	(void)state;
	struct history *any = history("any");
	char *count = below("twice-count"), *env = x_printf("COUNT=%s", count);
	const char *envs[] = { env };
	struct recipe r = { .commands = slow_commands,
			    .n_commands = 1,
			    .artifact = "x",
			    .kind = RECIPE_LIBRARY,
			    .env = envs,
			    .n_env = 1 };
	struct build_cache_options o = { .plain = true };
	pid_t pids[3];
	for (int i = 0; i < 3; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct build_cache *c;
			struct build b;
			struct error e = { 0 };
			char *path = below("twice");
			struct history_commit at = commit(any, "HEAD");
			int rc = build_cache_open(&c, path, NULL, &o, &e);
			rc = rc ? rc : build_one(c, any, &at, &r, 1, 0, &b, &e);
			_exit(!rc && b.outcome == BUILD_OK ? 0 : 1);
		}
	}
	for (int i = 0; i < 3; i++) {
		int status;
		waitpid(pids[i], &status, 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	must("test \"$(wc -l < twice-count)\" = 1");
	history_close(any);
	free(env);
	free(count);
}

struct seen {
	size_t calls, last_done;
	bool in_order;
};

static void count(void *ctx, size_t index, const struct build *b, size_t done, size_t n)
{
	struct seen *s = ctx;
	s->calls++;
	s->in_order &= done == s->last_done + 1 && done <= n && index < n &&
		       b->outcome != BUILD_NONE;
	s->last_done = done;
}

static void many_builds_share_and_second_time_is_free(void **state)
{
	(void)state;
	must("\"$TOY/make-history.sh\" range --commits 300 --unrelated \"$(seq -s, 2 299)\" --fail "
	     "1 --step 0=1");
	struct history *h = history("range");
	struct error e = { 0 };
	struct range g;
	struct history_commit a = commit(h, "c0"), b = commit(h, "main");
	assert_int_equal(range_between(h, &a, &b, false, toy_paths, 1, &g, &e), 0);
	assert_int_equal(g.n, 300);
	struct recipe r = toy_recipe();
	struct build_request *req = x_calloc(g.n, sizeof(*req));
	struct build *out = x_calloc(g.n, sizeof(*out));
	for (size_t i = 0; i < g.n; i++)
		req[i] = (struct build_request){ .commit = &g.commits[i].info, .recipe = &r };
	struct build_cache *c = cache("many", NULL);
	for (int round = 0; round < 2; round++) {
		struct seen seen = { .in_order = true };
		if (build_many(c, h, req, g.n, 2, 1, 0, count, &seen, out, &e))
			fail_msg("%s", e.text);
		assert_int_equal(seen.calls, 300);
		assert_true(seen.in_order);
		size_t made = 0;
		for (size_t i = 0; i < g.n; i++) {
			made += !out[i].cached;
			assert_int_equal(out[i].outcome, i == 0 ? BUILD_OK : BUILD_FAILED);
			build_release(&out[i]);
		}
		assert_int_equal(made, round == 0 ? 2 : 0);
	}
	/* --retry tries the one failure of 299 commits once more, not 299 times. */
	struct seen seen = { .in_order = true };
	assert_int_equal(build_many(c, h, req, g.n, 2, 1, BUILD_RETRY, count, &seen, out, &e), 0);
	size_t made = 0;
	for (size_t i = 0; i < g.n; i++) {
		made += !out[i].cached;
		build_release(&out[i]);
	}
	assert_int_equal(made, 1);
	build_cache_close(c);
	history_commit_release(&a);
	history_commit_release(&b);
	range_release(&g);
	free(req);
	free(out);
	history_close(h);
}

static void many_stops_at_the_machines_fault(void **state)
{
	(void)state;
	static const char *const commands[] = {
		"sh: if grep -q 'TUNE 8' toy/tune.h; then echo 'Killed signal terminated program "
		"cc1'; exit 1; fi; install -D toy/toy.c {prefix}/x"
	};
	struct recipe r = {
		.commands = commands, .n_commands = 1, .artifact = "x", .kind = RECIPE_LIBRARY
	};
	struct history_commit at[3] = { commit(toy, "c0"), commit(toy, "c8"), commit(toy, "c9") };
	struct build_request req[3] = { { &at[0], &r }, { &at[1], &r }, { &at[2], &r } };
	struct build out[3] = { 0 };
	struct error e = { 0 };
	struct build_cache *c = cache("fault", NULL);
	assert_int_equal(build_many(c, toy, req, 3, 1, 1, 0, NULL, NULL, out, &e), -ENOMEM);
	assert_int_equal(out[0].outcome, BUILD_OK);
	assert_int_equal(out[1].outcome, BUILD_NONE);
	assert_int_equal(out[2].outcome, BUILD_NONE);
	for (int i = 0; i < 3; i++) {
		build_release(&out[i]);
		history_commit_release(&at[i]);
	}
	build_cache_close(c);
}

static void gc_takes_the_oldest_and_spares_the_pinned(void **state)
{
	(void)state;
	static const char *const commands[] = {
		"sh: dd if=/dev/zero of={prefix}/x bs=1024 count=1000 2>/dev/null"
	};
	struct recipe r = {
		.commands = commands, .n_commands = 1, .artifact = "x", .kind = RECIPE_LIBRARY
	};
	struct build_cache_options o = { .plain = true };
	static const char *const revs[] = { "c0", "c1", "c8", "c9" };
	struct build b[4];
	for (int i = 0; i < 4; i++) {
		o.now_s = 1000 + (uint64_t)i;
		struct build_cache *c = cache("gc", &o);
		b[i] = built(c, toy, revs[i], &r, i == 1 ? BUILD_PIN : 0);
		assert_int_equal(b[i].outcome, BUILD_OK);
		build_cache_close(c);
	}
	/* c0 is used again: c1 is now the oldest, and pinned. */
	o.now_s = 2000;
	struct build_cache *c = cache("gc", &o);
	struct build again = built(c, toy, "c0", &r, 0);
	assert_true(again.cached);
	assert_int_equal(again.used_s, 2000);
	struct build_gc g;
	struct error e = { 0 };
	must("mkdir -p gc/tmp/0123456789012345678901234567890123456789-abcdef/box; echo x > "
	     "gc/tmp/0123456789012345678901234567890123456789-abcdef/box/f");
	assert_int_equal(build_gc(c, UINT64_MAX, &g, &e), 0);
	assert_int_equal(g.kept, 4);
	assert_int_equal(g.removed, 0);
	assert_int_equal(n_in("gc/tmp"), 0);
	uint64_t all = g.used_bytes;
	assert_true(all > 4 * 1000 * 1024 && all < 5 * 1000 * 1024);
	assert_int_equal(build_gc(c, all - 500 * 1024, &g, &e), 0);
	assert_int_equal(g.removed, 1);
	assert_int_equal(g.in_use, 1);
	assert_int_equal(g.kept, 3);
	assert_true(g.freed_bytes >= 1000 * 1024 && g.used_bytes + g.freed_bytes == all);
	assert_true(fs_exists(b[1].artifact));
	assert_false(fs_exists(b[2].artifact));
	assert_true(fs_exists(b[3].artifact));
	build_unpin(&b[1]);
	assert_int_equal(build_gc(c, 0, &g, &e), 0);
	assert_int_equal(g.removed, 3);
	assert_false(fs_exists(b[1].artifact));
	assert_int_equal(build_pin(c, &b[3], &e), -ENOENT);
	assert_contains(e.text, "build it again");
	build_release(&again);
	for (int i = 0; i < 4; i++)
		build_release(&b[i]);
	build_cache_close(c);
}

static void the_cache_says_where_it_cannot_be(void **state)
{
	(void)state;
	must("echo x > afile; mkdir -p readonly; chmod 555 readonly");
	const struct {
		int line;
		const char *name;
		int rc;
		bool unprivileged;
	} rows[] = {
		{ __LINE__, "a b", -EINVAL, false },
		{ __LINE__, "a:b", -EINVAL, false },
		{ __LINE__, "afile/x", -ENOTDIR, false },
		{ __LINE__, "readonly/x", -EACCES, true },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (rows[i].unprivileged && geteuid() == 0) {
			print_message("SKIP line %d: root may write everywhere\n", rows[i].line);
			continue;
		}
		struct build_cache *c;
		struct error e = { 0 };
		char *path = below(rows[i].name);
		if (build_cache_open(&c, path, NULL, NULL, &e) != rows[i].rc ||
		    !strstr(e.text, "HAKPERF_CACHE"))
			fail_msg("line %d: %d %s", rows[i].line, e.code, e.text);
		free(path);
	}
	char *from_env = below("from-env");
	setenv("HAKPERF_CACHE", from_env, 1);
	struct build_cache *c;
	struct error e = { 0 };
	assert_int_equal(build_cache_open(&c, NULL, "/nowhere", NULL, &e), 0);
	assert_string_equal(build_cache_root(c), from_env);
	build_cache_close(c);
	unsetenv("HAKPERF_CACHE");
	free(from_env);
}

static void a_built_prefix_relinks(void **state)
{
	(void)state;
	struct recipe r = toy_recipe();
	struct build_cache *c = cache("outcomes", NULL);
	struct build b = built(c, toy, "c0", &r, BUILD_PIN);
	if (!b.relinkable && strstr(b.relink_why, "no ld.lld")) {
		build_release(&b);
		build_cache_close(c);
		skip();
	}
	struct relink *l;
	struct error e = { 0 };
	char *out = below("relinked.so");
	assert_int_equal(relink_open(&l, b.prefix, &e), 0);
	assert_int_equal(relink_shuffled(l, 9, out, &e), 0);
	assert_true(fs_exists(out));
	relink_close(l);
	free(out);
	build_release(&b);
	build_cache_close(c);
}

static void a_full_disk_is_no_outcome(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("SKIP: mounting a small disk needs root\n");
		skip();
	}
	static const char *const commands[] = {
		"sh: dd if=/dev/zero of={prefix}/x bs=1024 count=4000"
	};
	struct recipe r = {
		.commands = commands, .n_commands = 1, .artifact = "x", .kind = RECIPE_LIBRARY
	};
	struct build_cache_options o = { .plain = true };
	must("mkdir full; mount -t tmpfs -o size=2m none full");
	struct build_cache *c = cache("full", &o);
	struct history_commit at = commit(toy, "c0");
	struct build b;
	struct error e = { 0 };
	int rc = build_one(c, toy, &at, &r, 1, 0, &b, &e);
	must("mount -o remount,size=64m full");
	struct error again = { 0 };
	int rc2 = build_one(c, toy, &at, &r, 1, 0, &b, &again);
	bool made = !rc2 && b.outcome == BUILD_OK && !b.cached;
	build_release(&b);
	build_cache_close(c);
	history_commit_release(&at);
	must("umount full");
	assert_int_equal(rc, -ENOSPC);
	assert_contains(e.text, "disk");
	assert_contains(e.text, "hakperf gc");
	assert_true(made);
}

static void an_interrupt_is_no_outcome(void **state)
{
	(void)state;
	static const char *const commands[] = { "sleep 100" };
	struct recipe r = {
		.commands = commands, .n_commands = 1, .artifact = "x", .kind = RECIPE_LIBRARY
	};
	pid_t pid = fork();
	if (pid == 0) {
		child_catch_signals();
		struct build_cache *c = cache("interrupt", NULL);
		struct history_commit at = commit(toy, "c0");
		struct build b;
		struct error e = { 0 };
		_exit(build_one(c, toy, &at, &r, 1, 0, &b, &e) == -EINTR ? 0 : 1);
	}
	/* Once the command's scratch is there, it is under way or about to be. */
	for (int i = 0; i < 500 && n_in("interrupt/tmp") == 0; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	int status;
	do {
		kill(pid, SIGINT);
		nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	} while (waitpid(pid, &status, WNOHANG) == 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(n_in("interrupt/tmp"), 0);
	must("test -z \"$(ls interrupt | grep -v -e '^lock$' -e '^tmp$' -e '^ccache$')\"");
}

/* Recipes that name no link step: the link is caught. */
static void links_are_caught(void **state)
{
	(void)state;
	must("git init -q -b main shapes; cd shapes; cp \"$TOY/toy.c\" toy.c; touch comment.h "
	     "mode.h; echo '#define COST 3' > cost.h; echo '#define TUNE 1' > tune.h; "
	     "echo '#define PAGES 0' > pages.h; "
	     "echo '{ global: malloc; free; calloc; realloc; aligned_alloc; posix_memalign; "
	     "malloc_usable_size; helper; local: *; };' > map; "
	     "echo 'int helper(int x) { return x + 1; }' > helper.c; printf 'int "
	     "helper(int);\\nint main(void) { return helper(-1); }\\n' > main.c; "
	     "printf 'cmake_minimum_required(VERSION 3.10)\\nproject(toy C)\\nadd_library(toy "
	     "SHARED toy.c helper.c)\\nset_target_properties(toy PROPERTIES VERSION 1.2 SOVERSION "
	     "1)\\n"
	     "target_compile_options(toy PRIVATE -fno-builtin "
	     "-ffunction-sections)\\ninstall(TARGETS toy LIBRARY DESTINATION lib)\\n' > "
	     "CMakeLists.txt; "
	     "git add .; git commit -qm shapes");
	static const struct {
		int line;
		const char *commands[4];
		size_t n;
		const char *artifact;
		enum recipe_kind kind;
		const char *tool;
	} rows[] = {
		/* compile and link apart; the soname is also a file's name by then */
		{ __LINE__,
		  { "gcc -O2 -fPIC -fno-builtin -ffunction-sections -c toy.c", "mkdir {prefix}/lib",
		    "gcc -shared -Wl,-soname,libx.so toy.o -o libx.so",
		    "install -s libx.so {prefix}/lib/libtoy.so" },
		  4,
		  "lib/libtoy.so",
		  RECIPE_PRELOAD,
		  "gcc" },
		/* in one step, from temporary objects, with a version script and a response file */
		{ __LINE__,
		  { "sh: echo '-shared -fPIC \"toy.c\" -Wl,--version-script=map' > args",
		    "gcc -O2 -fno-builtin -ffunction-sections @args -o {prefix}/libtoy.so" },
		  2,
		  "libtoy.so",
		  RECIPE_PRELOAD,
		  "gcc" },
		/* a static library of its own by -L and -l, by another compiler and linker */
		{ __LINE__,
		  { "sh: clang -O2 -c helper.c main.c && ar rcs libown.a helper.o",
		    "clang -fuse-ld=lld main.o -L. -lown -o {prefix}/prog" },
		  2,
		  "prog",
		  RECIPE_EXEC,
		  "clang" },
		/* a shared library under a versioned name */
		{ __LINE__,
		  { "cmake -S . -B b -DCMAKE_INSTALL_PREFIX={prefix} -DCMAKE_BUILD_TYPE=Release",
		    "cmake --build b -j{jobs}", "cmake --install b" },
		  3,
		  "lib/libtoy.so",
		  RECIPE_PRELOAD,
		  "cmake" },
	};
	struct history *h = history("shapes");
	for (int plain = boxed ? 0 : 1; plain < 2; plain++) {
		struct build_cache_options o = { .plain = plain };
		struct build_cache *c = cache(plain ? "shapes-plain" : "shapes-boxed", &o);
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			/* cmake takes a second: once is enough. */
			if (plain && boxed && !strcmp(rows[i].tool, "cmake"))
				continue;
			char *tool = x_printf("/usr/bin/%s", rows[i].tool);
			bool there = access(tool, X_OK) == 0;
			free(tool);
			if (!there) {
				print_message("SKIP line %d: %s is not installed\n", rows[i].line,
					      rows[i].tool);
				continue;
			}
			struct recipe r = { .commands = rows[i].commands,
					    .n_commands = rows[i].n,
					    .artifact = rows[i].artifact,
					    .kind = rows[i].kind };
			struct build b = built(c, h, "HEAD", &r, 0);
			if (b.outcome != BUILD_OK ||
			    (!b.relinkable && !strstr(b.relink_why, "no ld.lld")))
				fail_msg("line %d, plain %d: %s %s, relinking: %s", rows[i].line,
					 plain, build_outcome_name(b.outcome), b.detail,
					 b.relink_why);
			build_release(&b);
		}
		build_cache_close(c);
	}
	history_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_outcome_has_its_name),
		cmocka_unit_test(odd_recipes_are_told_apart),
		cmocka_unit_test(the_environment_is_built),
		cmocka_unit_test(keys_follow_what_decides_a_build),
		cmocka_unit_test(equal_code_is_equal_and_unrelated_commits_share),
		cmocka_unit_test(a_sandboxed_build_is_the_same_anywhere),
		cmocka_unit_test(retry_forgets_failures_only),
		cmocka_unit_test(a_commit_without_the_paths_has_no_source),
		cmocka_unit_test(a_build_that_lacks_submodules_says_so),
		cmocka_unit_test(a_broken_entry_is_built_again),
		cmocka_unit_test(killed_builders_leave_nothing_half_made),
		cmocka_unit_test(two_builders_build_once),
		cmocka_unit_test(many_builds_share_and_second_time_is_free),
		cmocka_unit_test(many_stops_at_the_machines_fault),
		cmocka_unit_test(gc_takes_the_oldest_and_spares_the_pinned),
		cmocka_unit_test(the_cache_says_where_it_cannot_be),
		cmocka_unit_test(a_built_prefix_relinks),
		cmocka_unit_test(a_full_disk_is_no_outcome),
		cmocka_unit_test(an_interrupt_is_no_outcome),
		cmocka_unit_test(links_are_caught),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
