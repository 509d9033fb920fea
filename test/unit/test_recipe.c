/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/recipe.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const commands[] = { "make install PREFIX={prefix}" };

static void recipes_become_words(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *command, *words; /* joined by '|' */
		const char *says;	     /* the error */
	} rows[] = {
		{ __LINE__, "make -C {src} -j{jobs} PREFIX={prefix}", "make|-C|/s|-j3|PREFIX=/p",
		  NULL },
		{ __LINE__, "a 'b c' \"d e\" f\\ g ''", "a|b c|d e|f g|", NULL },
		{ __LINE__, "make CFLAGS={cflags} {variant}", "make|CFLAGS=-O2 -g|DEBUG=1|X=a b",
		  NULL },
		{ __LINE__, "make ARGS={variant}", "make|ARGS=DEBUG=1 'X=a b'", NULL },
		{ __LINE__, "echo {{src} {} ${HOME} {A} { x", "echo|{src}|{}|${HOME}|{A}|{|x",
		  NULL },
		{ __LINE__, "sh: cd {src} && make > '{prefix}/x'",
		  "/bin/sh|-e|-c| cd /s && make > '/p/x'", NULL },
		{ __LINE__, "'{cc}' '\\' \"\\\"\"", "gcc|\\|\"", NULL },
		{ __LINE__, "make {prefx}", NULL, "{prefx}" },
		{ __LINE__, "make 'x", NULL, "open quote" },
		{ __LINE__, "  ", NULL, "empty" },
		{ __LINE__, "''", NULL, "empty" },
	};
	struct recipe r = { .variant_args = "DEBUG=1 'X=a b'" };
	struct recipe_values v = { .src = "/s", .prefix = "/p", .jobs = 3, .cflags = "-O2 -g" };
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct recipe_words w = { 0 };
		struct error e = { 0 };
		struct buf joined = { 0 };
		int rc = recipe_expand(&r, rows[i].command, &v, &w, &e);
		for (size_t k = 0; k < w.n; k++)
			buf_printf(&joined, "%s%s", k ? "|" : "", w.v[k]);
		if (rows[i].says ? rc != -EINVAL || !strstr(e.text, rows[i].says)
				 : rc || strcmp(buf_str(&joined), rows[i].words))
			fail_msg("line %d: %d '%s' %s", rows[i].line, rc, buf_str(&joined), e.text);
		recipe_words_release(&w);
		buf_release(&joined);
	}
}

static void recipes_are_checked(void **state)
{
	(void)state;
	static const char *const bad_env[] = { "NOVALUE" }, *const bad_paths[] = { "a/../../b" };
	const struct {
		int line;
		struct recipe r;
		const char *says;
	} rows[] = {
		{ __LINE__, { .artifact = "x" }, "no build command" },
		{ __LINE__, { .commands = commands, .n_commands = 1 }, "artifact" },
		{ __LINE__,
		  { .commands = commands, .n_commands = 1, .artifact = "/abs" },
		  "artifact" },
		{ __LINE__,
		  { .commands = commands, .n_commands = 1, .artifact = "lib/../../x" },
		  "artifact" },
		{ __LINE__,
		  { .commands = commands,
		    .n_commands = 1,
		    .artifact = "x",
		    .env = bad_env,
		    .n_env = 1 },
		  "NOVALUE" },
		{ __LINE__,
		  { .commands = commands,
		    .n_commands = 1,
		    .artifact = "x",
		    .paths = bad_paths,
		    .n_paths = 1 },
		  "a/../../b" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct error e = { 0 };
		if (recipe_check(&rows[i].r, &e) != -EINVAL || !strstr(e.text, rows[i].says))
			fail_msg("line %d: %s", rows[i].line, e.text);
	}
}

/* The canonical text is part of a build's key: whatever decides a build must show in it. */
static void what_decides_a_build_is_in_the_text(void **state)
{
	(void)state;
	static const char *const env[] = { "A=1" }, *const split[] = { "make", "install" };
	static const char *const joined[] = { "make\ncommand 7 install" };
	const struct {
		int line;
		struct recipe a, b;
		bool same;
	} rows[] = {
		{ __LINE__, { .name = "x" }, { .name = "y" }, true },
		{ __LINE__,
		  { 0 },
		  { .cc = "gcc", .cflags = "-O2", .ldflags = "", .variant = "release" },
		  true },
		{ __LINE__, { 0 }, { .cc = "clang" }, false },
		{ __LINE__, { 0 }, { .ldflags = "-s" }, false },
		{ __LINE__, { 0 }, { .variant_args = "DEBUG=1" }, false },
		{ __LINE__, { 0 }, { .env = env, .n_env = 1 }, false },
		{ __LINE__, { 0 }, { .network = true }, false },
		{ __LINE__, { 0 }, { .timeout_ns = 1 }, false },
		{ __LINE__, { .kind = RECIPE_EXEC }, { .kind = RECIPE_LIBRARY }, false },
		{ __LINE__, { .artifact = "a" }, { .artifact = "b" }, false },
		{ __LINE__,
		  { .commands = split, .n_commands = 2 },
		  { .commands = joined, .n_commands = 1 },
		  false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf a = { 0 }, b = { 0 };
		recipe_canonical(&rows[i].a, &a);
		recipe_canonical(&rows[i].b, &b);
		if (!strcmp(buf_str(&a), buf_str(&b)) != rows[i].same)
			fail_msg("line %d", rows[i].line);
		buf_release(&a);
		buf_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipes_become_words),
		cmocka_unit_test(recipes_are_checked),
		cmocka_unit_test(what_decides_a_build_is_in_the_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
