/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/doctor.h"

#include "base/buf.h"
#include "base/fs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/hakperf-doctor-test-XXXXXX";

/* A kernel that opens nothing, for the reason in ctx. */
static int refuse_open(void *ctx, struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd)
{
	(void)attr, (void)pid, (void)cpu, (void)group_fd;
	return -*(int *)ctx;
}

static int paranoid_four(void *ctx)
{
	(void)ctx;
	return 4;
}

static const struct doctor_check *find(const struct doctor *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (!strcmp(d->item[i].name, name))
			return &d->item[i];
	fail_msg("no check '%s'", name);
	return NULL;
}

static void every_answer_says_why(const struct doctor *d)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_check *c = &d->item[i];
		if (!*c->why || (c->yes ? *c->remedy : !*c->remedy) || strchr(c->why, '\n'))
			fail_msg("%s: '%s' '%s'", c->name, c->why, c->remedy);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(c->name, d->item[k].name);
	}
}

static void this_machine_is_examined(void **state)
{
	(void)state;
	struct doctor d;
	doctor_examine(&counter_linux, folder, "/usr/local/bin:/usr/bin:/bin", &d);
	every_answer_says_why(&d);
	assert_true(find(&d, "callgrind")->yes);
	assert_non_null(strstr(find(&d, "callgrind")->why, "instructions in"));
	assert_true(find(&d, "compiler")->yes);
	assert_true(find(&d, "random layout")->yes);
	assert_true(find(&d, "make")->yes);
}

/* The same machine with nothing installed, no counters, and no room. */
static void what_is_missing_has_a_remedy(void **state)
{
	(void)state;
	int reason = ENOENT;
	struct counter_os os = { .open = refuse_open, .paranoid = paranoid_four, .ctx = &reason };
	struct doctor d;
	doctor_examine(&os, "/proc/no/such/place", folder, &d);
	every_answer_says_why(&d);
	assert_false(doctor_able(&d));
	static const struct {
		int line;
		const char *name, *why, *remedy;
	} rows[] = {
		{ __LINE__, "hardware counters", "no PMU counts this event", "machine with a PMU" },
		{ __LINE__, "software counters", "does not offer", "getrusage" },
		{ __LINE__, "compiler", "gcc", "apt-get install gcc" },
		{ __LINE__, "make", "make", "apt-get install make" },
		{ __LINE__, "gnuplot", "gnuplot", "apt-get install gnuplot-nox" },
		{ __LINE__, "bubblewrap", "bwrap", "apt-get install bubblewrap" },
		{ __LINE__, "disk space", "MiB free", "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct doctor_check *c = find(&d, rows[i].name);
		if (c->yes || !strstr(c->why, rows[i].why) || !strstr(c->remedy, rows[i].remedy))
			fail_msg("line %d: %d '%s' '%s'", rows[i].line, c->yes, c->why, c->remedy);
	}
	reason = EACCES;
	doctor_examine(&os, folder, folder, &d);
	assert_non_null(strstr(find(&d, "hardware counters")->why, "perf_event_paranoid is 4"));
}

static void only_needed_things_stop_the_main_job(void **state)
{
	(void)state;
	struct doctor d = { 0 };
	doctor_add(&d, "needed", true, true, "works", NULL);
	doctor_add(&d, "nice", false, false, "is not there", "install it");
	assert_true(doctor_able(&d));
	doctor_add(&d, "needed too", true, false, "is not there", "install it");
	assert_false(doctor_able(&d));
	assert_int_equal(d.n, 3);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return fs_remove(folder, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(this_machine_is_examined),
		cmocka_unit_test(what_is_missing_has_a_remedy),
		cmocka_unit_test(only_needed_things_stop_the_main_job),
	};
	return cmocka_run_group_tests_name("doctor", tests, make_folder, remove_folder);
}
