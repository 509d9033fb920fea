/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/fs.h"
#include "bisect/loaded.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void put(const char *prefix, const char *path, const char *text, mode_t mode)
{
	char *full = x_printf("%s/%s", prefix, path), *folder = x_strdup(full);
	*strrchr(folder, '/') = '\0';
	struct error e = { 0 };
	assert_int_equal(fs_mkdirs(folder, &e), 0);
	assert_int_equal(fs_write(full, text, strlen(text), &e), 0);
	assert_int_equal(chmod(full, mode), 0);
	free(full), free(folder);
}

/* What a script loads beside itself counts; what only a compiler reads does not. */
static void all_that_is_loaded_counts(void **state)
{
	(void)state;
	static const struct row {
		int line;
		const char *path, *text;
		mode_t mode;
		bool differs;
	} rows[] = {
		{ __LINE__, "lib/mod.py", "work", 0644, true },
		{ __LINE__, "lib/mod.py", "play", 0644, false }, /* as at first */
		{ __LINE__, "lib/mod.py", "play", 0755, true },
		{ __LINE__, "lib/more/deep.py", "", 0644, true },
		{ __LINE__, "share/data", "x", 0644, true },
		{ __LINE__, "share/hakperf/objects/x.c", "x", 0644, false },
		{ __LINE__, "include/x.h", "x", 0644, false },
		{ __LINE__, "lib/libx.a", "x", 0644, false },
		{ __LINE__, "lib/pkgconfig/x.pc", "x", 0644, false },
		{ __LINE__, "lib/__pycache__/mod.pyc", "x", 0644, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char prefix[] = "/tmp/hakperf-loaded-XXXXXX", before[HASH_HEX], after[HASH_HEX];
		struct error e = { 0 };
		assert_non_null(mkdtemp(prefix));
		put(prefix, "bin/tool", "run", 0755);
		put(prefix, "lib/mod.py", "play", 0644);
		assert_int_equal(loaded_of_prefix(prefix, before, &e), 0);
		put(prefix, rows[i].path, rows[i].text, rows[i].mode);
		assert_int_equal(loaded_of_prefix(prefix, after, &e), 0);
		if ((strcmp(before, after) != 0) != rows[i].differs)
			fail_msg("line %d", rows[i].line);
		char *link = x_printf("%s/lib/link", prefix);
		assert_int_equal(symlink("mod.py", link), 0);
		assert_int_equal(loaded_of_prefix(prefix, before, &e), 0);
		assert_string_not_equal(before, after);
		assert_int_equal(fs_remove(prefix, &e), 0);
		assert_int_equal(loaded_of_prefix(prefix, before, &e), -ENOENT);
		free(link);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_is_loaded_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
