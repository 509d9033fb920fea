/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"
#include "harness/case.h"
#include "harness/store_read.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char ini[] =
	"[subject]\nname = toy\nbuild = make\nartifact = lib/toy.so\nrun_env = A=1\n"
	"[class C0]\nmin = 1\nmax = 15\n[class C1]\nmin = 16\nmax = 31\n"
	"[workload w]\ncommand = {workloads}/w --n {n} --mode={mode} {min} {max} {{}\nclasses = C0 C1\nn = 1000\nmode = a, b\nscale = n\n"
	"[workload plain]\ncommand = {prefix}/bin/toy\njudge = wall\n";

static char folder[] = "/tmp/hakperf-case-XXXXXX";
static struct config config;

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	char *file = x_printf("%s/hakperf.ini", folder);
	struct error e = { 0 };
	int rc = fs_write(file, ini, strlen(ini), &e) ? -1 : config_load(file, &config, &e);
	if (rc)
		fprintf(stderr, "%s\n", e.text);
	free(file);
	return rc;
}

static int tear_down(void **state)
{
	(void)state;
	config_release(&config);
	return fs_remove(folder, NULL);
}

static void expands_classes_and_matrix(void **state)
{
	(void)state;
	struct bench_case *list = NULL;
	size_t n = 0;
	struct error e = { 0 };
	assert_int_equal(bench_cases_expand(&config, "w", NULL, &list, &n, &e), 0);
	assert_int_equal(n, 4);
	assert_string_equal(list[0].size_class, "C0");
	assert_string_equal(bench_case_param(&list[0], "mode"), "a");
	assert_string_equal(bench_case_param(&list[1], "mode"), "b");
	assert_string_equal(list[3].size_class, "C1");
	assert_int_equal(list[3].min_bytes, 16);
	bench_cases_release(list, n);

	list = NULL, n = 0;
	assert_int_equal(bench_cases_expand(&config, "w", "C1", &list, &n, &e), 0);
	assert_int_equal(n, 2);
	bench_cases_release(list, n);

	list = NULL, n = 0;
	assert_int_equal(bench_cases_expand(&config, "nothing", NULL, &list, &n, &e), -ENOENT);
	error_clear(&e);
	assert_int_equal(bench_cases_expand(&config, "w", "C9", &list, &n, &e), -ENOENT);
	assert_int_equal(n, 0);
}

static void fills_the_command(void **state)
{
	(void)state;
	const struct {
		int line;
		unsigned multiplier;
		const char *words[6];
	} rows[] = {
		{ __LINE__, 1, { "/w/w", "--n", "1000", "--mode=a", "1", "15" } },
		{ __LINE__, 2, { "/w/w", "--n", "2000", "--mode=a", "1", "15" } },
	};
	struct bench_case *list = NULL;
	size_t n = 0;
	assert_int_equal(bench_cases_expand(&config, "w", "C0", &list, &n, NULL), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char **argv = bench_case_argv(&list[0], rows[i].multiplier, "/w", NULL);
		for (size_t k = 0; k < 6; k++)
			if (strcmp(argv[k], rows[i].words[k]))
				fail_msg("row at line %d, word %zu: %s", rows[i].line, k, argv[k]);
		assert_string_equal(argv[6], "{}");
		assert_null(argv[7]);
		bench_case_argv_release(argv);
	}
	bench_cases_release(list, n);
}

static void a_bare_command_stays_as_it_is(void **state)
{
	(void)state;
	const char *const words[] = { "/bin/echo", "{x}", "a b", "", NULL };
	struct bench_case c;
	bench_case_of_command(words, &c);
	char **argv = bench_case_argv(&c, 1, "/w", "/p");
	for (size_t i = 0; words[i]; i++)
		assert_string_equal(argv[i], words[i]);
	assert_null(argv[4]);
	assert_string_equal(c.workload, "echo");
	bench_case_argv_release(argv);
	bench_case_release(&c);
	bench_case_release(&c);
}

static void parameters_are_columns(void **state)
{
	(void)state;
	struct bench_case *list = NULL;
	size_t n = 0;
	assert_int_equal(bench_cases_expand(&config, "w", "C1", &list, &n, NULL), 0);
	bench_case_set(&list[0], "cycles", "77");
	bench_case_set(&list[0], "working_set", "many");
	char *db = x_printf("%s/r.db", folder);
	struct store *s;
	struct error e = { 0 };
	assert_int_equal(store_open(db, STORE_CREATE, &s, &e), 0);
	int64_t id, again;
	assert_int_equal(bench_case_store(s, &list[0], "/w/w", "abc", &id, &e), 0);
	assert_int_equal(bench_case_store(s, &list[0], "/elsewhere/w", "abc", &again, &e), 0);
	assert_int_equal(id, again);
	struct store_case_rows rows = { 0 };
	assert_int_equal(store_cases(s, (struct store_opt){ 0 }, &rows, &e), 0);
	assert_int_equal(rows.n, 1);
	const struct store_case *c = &rows.items[0].parameters;
	assert_int_equal(c->min_bytes.v, 16);
	assert_int_equal(c->cycles.v, 77);
	assert_false(c->working_set.known); /* a word is no number: it stays with the others */
	assert_string_equal(c->parameters_json, "{\"mode\":\"a\",\"n\":\"1000\",\"working_set\":\"many\"}");
	assert_string_equal(c->environment_json, "{\"A\":\"1\"}");
	store_free(rows.pool);
	store_close(s);
	free(db);
	bench_cases_release(list, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expands_classes_and_matrix),
		cmocka_unit_test(fills_the_command),
		cmocka_unit_test(a_bare_command_stays_as_it_is),
		cmocka_unit_test(parameters_are_columns),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
