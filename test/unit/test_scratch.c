/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/fs.h"
#include "harness/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void age(const char *path)
{
	struct timespec t[2] = { { time(NULL) - 100, 0 }, { time(NULL) - 100, 0 } };
	assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static char *folder(const char *root, const char *name, bool old)
{
	char *path = x_printf("%s/%s", root, name), *file = x_printf("%s/%s/file", root, name);
	struct error e = { 0 };
	assert_int_equal(fs_mkdirs(path, &e), 0);
	assert_int_equal(fs_write(file, "x", 1, &e), 0);
	if (old)
		age(path);
	free(file);
	return path;
}

/* What the killed left is removed; what is held, young, a link or somebody else's is not. */
static void the_killed_leave_nothing(void **state)
{
	(void)state;
	char root[] = "/tmp/hakperf-test-scratch-XXXXXX";
	assert_non_null(mkdtemp(root));
	struct error e = { 0 };
	struct scratch held, again, none = { 0 };
	assert_int_equal(scratch_make(&held, root, &e), 0);
	age(held.path);
	char *left = folder(root, "hakperf.abcdef", true), *young = folder(root, "hakperf.ABCDEF", false);
	char *other = folder(root, "hakperf.abcdefg", true), *theirs = folder(root, "theirs", true), *link = x_printf("%s/hakperf.ghijkl", root);
	assert_int_equal(symlink("theirs", link), 0);
	assert_int_equal(scratch_make(&again, root, &e), 0);
	assert_false(fs_exists(left));
	assert_true(fs_exists(held.path) && fs_exists(young) && fs_exists(other) && fs_exists(theirs) && fs_exists(link));
	scratch_remove(&again);
	scratch_remove(&again);
	scratch_remove(&held);
	scratch_remove(&none);
	char *missing = x_printf("%s/missing", root);
	assert_int_equal(scratch_make(&again, missing, &e), -ENOENT);
	scratch_remove(&again);
	assert_int_equal(fs_remove(root, NULL), 0);
	free(left), free(young), free(other), free(theirs), free(link), free(missing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_killed_leave_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
