/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void first_cause_wins(void **state)
{
	(void)state;
	struct error e = { 0 };
	assert_int_equal(error_set(&e, -ENOENT, "no %s\n", "file"), -ENOENT);
	assert_int_equal(error_errno(&e, EIO, "later"), -ENOENT);
	assert_string_equal(e.text, "no file?");
	error_clear(&e);
	assert_int_equal(error_errno(&e, EACCES, "open"), -EACCES);
	assert_string_equal(e.text, "open: Permission denied");
	assert_int_equal(error_set(NULL, -EINVAL, "nobody listens"), -EINVAL);
}

static void long_text_is_cut(void **state)
{
	(void)state;
	struct error e = { 0 };
	char s[3000];
	memset(s, 'x', sizeof(s) - 1);
	s[sizeof(s) - 1] = '\0';
	error_errno(&e, EIO, "%s", s);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

static void buf_grows(void **state)
{
	(void)state;
	struct buf b = { 0 };
	assert_string_equal(buf_str(&b), "");
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	assert_int_equal(b.len, 3890);
	assert_memory_equal(b.data + b.len - 4, "999,", 5);
	char *s = buf_detach(&b);
	assert_int_equal(b.len, 0);
	free(s);
	buf_release(&b);
	buf_release(&b);
}

static void files(void **state)
{
	(void)state;
	char dir[] = "/tmp/hakperf-base-XXXXXX";
	assert_non_null(mkdtemp(dir));
	struct error e = { 0 };
	char *deep = x_printf("%s/a/b c/d", dir), *file = x_printf("%s/f", deep), *under = x_printf("%s/x", file);
	assert_int_equal(fs_mkdirs(deep, &e), 0);
	assert_int_equal(fs_mkdirs(deep, &e), 0);
	assert_int_equal(fs_write(file, "hello", 5, &e), 0);
	assert_int_equal(fs_write(file, "abc", 3, &e), 0);
	struct buf b = { 0 };
	assert_int_equal(fs_read(file, 3, &b, &e), 0);
	assert_string_equal(buf_str(&b), "abc");
	assert_int_equal(fs_read(file, 2, &b, &e), -EFBIG);
	error_clear(&e);
	assert_int_equal(fs_mkdirs(under, &e), -ENOTDIR);
	error_clear(&e);
	char hex[HASH_HEX];
	assert_int_equal(hash_file(file, hex, &e), 0);
	/* FIPS 180-4's example. */
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_true(fs_disk_usage(dir) > 0);
	assert_int_equal(symlink("/etc", under), -1);
	char *link = x_printf("%s/a/etc", dir);
	assert_int_equal(symlink("/etc", link), 0);
	assert_int_equal(fs_remove(dir, &e), 0);
	assert_false(fs_exists(dir));
	assert_true(fs_exists("/etc/passwd"));
	assert_int_equal(fs_remove(dir, &e), 0);
	assert_int_equal(hash_file(file, hex, &e), -ENOENT);
	assert_string_equal(hex, "");
	buf_release(&b);
	free(deep), free(file), free(under), free(link);
}

/* Root may rename onto a device; a link is the user's own. */
static void devices_pipes_and_links_stay(void **state)
{
	(void)state;
	char dir[] = "/tmp/hakperf-base-XXXXXX", got[8] = "";
	assert_non_null(mkdtemp(dir));
	struct error e = { 0 };
	char *pipe_path = x_printf("%s/pipe", dir), *link = x_printf("%s/link", dir), *file = x_printf("%s/file", dir);
	struct stat st;
	assert_int_equal(mkfifo(pipe_path, 0600), 0);
	int fd = open(pipe_path, O_RDWR | O_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(fs_write(pipe_path, "abc", 3, &e), 0);
	assert_int_equal(read(fd, got, sizeof(got)), 3);
	close(fd);
	assert_int_equal(lstat(pipe_path, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(fs_write(file, "old", 3, &e), 0);
	assert_int_equal(symlink("file", link), 0);
	assert_int_equal(fs_write(link, "new!", 4, &e), 0);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(fs_remove(dir, &e), 0);
	free(pipe_path), free(link), free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_cause_wins),
		cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(buf_grows),
		cmocka_unit_test(files),
		cmocka_unit_test(devices_pipes_and_links_stay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
