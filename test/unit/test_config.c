/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"
#include "config/config.h"

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

static char folder[] = "/tmp/hakperf-config-XXXXXX";
static char file[64];

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(file, sizeof(file), "%s/hakperf.ini", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return fs_remove(folder, NULL);
}

static int load(const char *text, struct config *c, struct error *e)
{
	assert_int_equal(fs_write(file, text, strlen(text), NULL), 0);
	return config_load(file, c, e);
}

#define SUBJECT "[subject]\nname = toy\nbuild = make\nartifact = lib/toy.so\n"

static void reads_everything(void **state)
{
	(void)state;
	struct config c;
	struct error e = { 0 };
	int rc = load(SUBJECT "use = exec\npaths = a \"b c\"\nnetwork = yes\nbuild_timeout = 7\n"
			      "[recipe old]\nrange = v1..v2\nbuild = cc -o \\\n\t{prefix}/x\n\tstrip {prefix}/x\n"
			      "[variant release]\narguments = none\n[variant debug]\narguments = DEBUG=1\n"
			      "[class C0]\nmin = 1\nmax = 15 ; bytes\n"
			      "[workload w]\ncommand = {prefix}/toy {n}\n\t{min}\nclasses = C0\nn = 1, 2\nscale = n\njudge = wall\nphase = cold\n"
			      "[claim fast]\ntext = it is\n\tquick\ncommit = v1\nvalue = 59..70\nunit = M ops/s\n"
			      "relative_to = v0\nrelative_value = 9.2\ntolerance = 10%\nworkload = w\nclass = C0\nvariant = debug\n"
			      "[part gate]\nmatch = front_*:*\n"
			      "[main]\ngood = A\nbad = B\nbisect = w:C0\nexact = w\ntimed = w:C0 w\n",
		      &c, &e);
	assert_string_equal(e.text, "");
	assert_int_equal(rc, 0);
	assert_int_equal(c.subject.use, CONFIG_EXEC);
	assert_string_equal(c.subject.paths[1], "b c");
	assert_null(c.subject.paths[2]);
	assert_true(c.subject.network);
	assert_int_equal(c.subject.build_timeout_s, 7);
	assert_int_equal(c.n_recipes, 2);
	assert_string_equal(c.recipes[1].build[0], "cc -o {prefix}/x");
	assert_string_equal(c.recipes[1].build[1], "strip {prefix}/x");
	assert_string_equal(c.recipes[1].artifact, "lib/toy.so");
	assert_string_equal(c.variants[0].arguments, "");
	assert_string_equal(config_variant(&c, "debug")->arguments, "DEBUG=1");
	assert_int_equal(config_class(&c, "C0")->max, 15);
	const struct config_workload *w = config_workload(&c, "w");
	assert_string_equal(w->command[2], "{min}");
	assert_string_equal(config_param(w, "n"), "1");
	assert_string_equal(w->params[0].values[1], "2");
	assert_int_equal(w->judge, CONFIG_BY_WALL);
	assert_string_equal(w->phase, "cold");
	assert_string_equal(c.claims[0].text, "it is quick");
	assert_true(c.claims[0].lo == 59 && c.claims[0].hi == 70);
	assert_true(c.claims[0].relative_value == 9.2 && c.claims[0].tolerance == 0.1 && c.claims[0].operations == 1);
	assert_string_equal(c.main_job.bisect.class_name, "C0");
	assert_int_equal(c.main_job.n_timed, 2);
	assert_null(c.main_job.timed[1].class_name);
	assert_null(config_workload(&c, "none"));
	assert_string_equal(c.folder, folder);
	config_release(&c);
	config_release(&c);
}

static void one_clear_line(void **state)
{
	(void)state;
	const struct {
		int line;
		const char *text, *message; /* what the message must hold */
	} rows[] = {
		{ __LINE__, "", "[subject] has no build command" },
		{ __LINE__, "[subject]\nname = toy\n", "no build command" },
		{ __LINE__, "[subject]\nname = toy\nbuild = x\n", "no artifact" },
		{ __LINE__, "[subject]\nname = toy\nbuild = x\nartifact = ../y\n", "inside the prefix" },
		{ __LINE__, SUBJECT "nmae = x\n", ":5: [subject] has no key 'nmae'" },
		{ __LINE__, SUBJECT "use = magic\n", ":5: use = magic: write preload, exec or library" },
		{ __LINE__, SUBJECT "name = other\nname = third\n", ":6: 'name' stands twice" },
		{ __LINE__, SUBJECT "build_timeout = 0\n", "1 to 86400" },
		{ __LINE__, SUBJECT "cc =\n", ":5: 'cc' has no value" },
		{ __LINE__, SUBJECT "[sujbect]\na = b\n", ":6: no such section: [sujbect]" },
		{ __LINE__, SUBJECT "[class]\nmin = 1\n", "wants a name" },
		{ __LINE__, SUBJECT "[main extra]\ngood = x\n", "takes no name" },
		{ __LINE__, SUBJECT "[class C]\nmin = 1x\n", ":6: min = 1x: not a whole number" },
		{ __LINE__, SUBJECT "[class C]\nmin = -1\n", "not a whole number" },
		{ __LINE__, SUBJECT "[class C]\nmin = 99999999999999999999\n", "not a whole number" },
		{ __LINE__, SUBJECT "[class C]\nmin = 5\nmax = 4\n", "at least min" },
		{ __LINE__, SUBJECT "[workload w]\nn = 1\n", ":6: [workload w] has no command" },
		{ __LINE__, SUBJECT "[workload w]\ncommand = x\nfigre = 1\n", ":6: [workload w]: 'figre' is neither a key nor a parameter" },
		{ __LINE__, SUBJECT "[workload w]\ncommand = x\nfigure = ([0-9\n", ":6: [workload w]: figure = ([0-9: " },
		{ __LINE__, SUBJECT "[workload w]\ncommand = x\nfigure = [0-9]+\n", "put the number into a group" },
		{ __LINE__, SUBJECT "[workload w]\ncommand = x {m}\nn = 1\n", "{m} is not one of its parameters" },
		{ __LINE__, SUBJECT "[workload w]\ncommand = x\nscale = n\n", "scale = n is not" },
		{ __LINE__, SUBJECT "[workload w]\ncommand = x\nclasses = C9\n", "no [class C9]" },
		{ __LINE__, SUBJECT "[workload w]\ncommand = x\nWs = 9\n", "has no key 'Ws'" },
		{ __LINE__, SUBJECT "[main]\nbisect = w\n", "no [workload w]" },
		{ __LINE__, SUBJECT "[main]\nbisect = w x\n", "one cell" },
		{ __LINE__, SUBJECT "[claim c]\nvalue = 5..x\n", "LOW..HIGH" },
		{ __LINE__, SUBJECT "[claim c]\nvalue = 5\ncommit = v1\n", ":6: [claim c]: no text" },
		{ __LINE__, SUBJECT "[claim c]\ntext = t\nvalue = 5\n", "no commit" },
		{ __LINE__, SUBJECT "[claim c]\ntext = t\ncommit = v1\nvalue = 5\nworkload = w\n", "[claim c]: there is no [workload w]" },
		{ __LINE__, SUBJECT "[claim c]\ntext = t\ncommit = v1\nvalue = 5\nvariant = fast\n" "[variant release]\narguments = none\n", "there is no [variant fast]" },
		{ __LINE__, SUBJECT "[claim c]\ntext = t\ncommit = v1\nvalue = 7..5\n", "the lower end comes first" },
		{ __LINE__, SUBJECT "[claim c]\ntext = t\ncommit = v1\n", "no value: write" },
		{ __LINE__, SUBJECT "[claim c]\ntext = t\ncommit = v1\nvalue = 5\ncompare = sum\n", "write ratio or difference" },
		{ __LINE__, SUBJECT "[claim c]\ntext = t\ncommit = v1\nvalue = 5\ncompare = difference\n", "compare = difference needs relative_to" },
		{ __LINE__, SUBJECT "[claim c]\ntext = t\ncommit = v1\nvalue = 5\nrelative_value = 2\n", "relative_value needs relative_to" },
		{ __LINE__, SUBJECT "[claim c]\ntext = t\ncommit = v1\nvalue = 5\nrelative_value = -2\n", "write a number above 0" },
		{ __LINE__, SUBJECT "[claim c]\ntext = t\ncommit = v1\nvalue = -5\nrelative_to = v0\n", "a ratio is above 0" },
		{ __LINE__, SUBJECT "[claim c]\ntext = t\ncommit = v1\nvalue = 5\nfunction = f\n", "needs both: function" },
		{ __LINE__, SUBJECT "[claim c]\ntext = t\ncommit = v1\nvalue = 5\nparams = n=1\n", "say which" },
		{ __LINE__, SUBJECT "[workload w]\ncommand = x {n}\nn = 1\n[claim c]\ntext = t\ncommit = v1\nvalue = 5\nworkload = w\nparams = m=1\n", "params = m=1: NAME=VALUE of [workload w]" },
		{ __LINE__, SUBJECT "[story a/b]\nfile = x\n", "lower-case letters" },
		{ __LINE__, SUBJECT "[story s]\ntitle = x\n", "[story s] has no file" },
		{ __LINE__, SUBJECT "[story s]\nfiel = x\n", "has no key 'fiel'" },
		{ __LINE__, SUBJECT "[recipe r]\nrange = v1\n", "write A..B" },
		{ __LINE__, SUBJECT "nonsense\n", "neither a [section]" },
		{ __LINE__, SUBJECT "[a section whose name is very long and would be cut in silence]\nx = y\n", ":5: the section's name" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config c;
		struct error e = { 0 };
		int rc = load(rows[i].text, &c, &e);
		if (rc != -EINVAL || !strstr(e.text, rows[i].message))
			fail_msg("row at line %d: %d, '%s'", rows[i].line, rc, e.text);
	}
}

static void long_lines_are_refused(void **state)
{
	(void)state;
	const struct { int line; size_t n; int rc; } rows[] = {
		{ __LINE__, 150, 0 }, { __LINE__, 195, -EINVAL }, { __LINE__, 400, -EINVAL }, { __LINE__, 5000, -EINVAL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = { 0 };
		buf_puts(&b, SUBJECT "cflags = ");
		for (size_t k = 0; k < rows[i].n - 10; k++)
			buf_putc(&b, 'x');
		buf_putc(&b, '\n');
		struct config c;
		struct error e = { 0 };
		int rc = load(buf_str(&b), &c, &e);
		if (rc != rows[i].rc || (rc && !strstr(e.text, ":5: the line is longer")))
			fail_msg("row at line %d: %d, '%s'", rows[i].line, rc, e.text);
		config_release(&c);
		buf_release(&b);
	}
}

static void missing_file(void **state)
{
	(void)state;
	struct config c;
	struct error e = { 0 };
	assert_int_equal(config_load("/nowhere/hakperf.ini", &c, &e), -ENOENT);
	assert_string_equal(e.text, "cannot read /nowhere/hakperf.ini: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_everything),
		cmocka_unit_test(one_clear_line),
		cmocka_unit_test(long_lines_are_refused),
		cmocka_unit_test(missing_file),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
