/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/host_lock.h"

#include "base/buf.h"
#include "base/fs.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/hakperf-lock-XXXXXX";
static char *path;

/* A process that takes the lock, says so with one byte, and holds it until it is killed. */
static pid_t holder(void)
{
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct host_lock l;
		close(pipes[0]);
		if (host_lock_take(&l, path, "bisect, 2 min", 0, NULL) || write(pipes[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	char c;
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &c, 1), 1);
	close(pipes[0]);
	return pid;
}

static void one_at_a_time(void **state)
{
	(void)state;
	struct host_lock a, b;
	struct error e = { 0 };
	assert_int_equal(host_lock_take(&a, path, "compare", 0, &e), 0);
	/* another opening of the file, so another owner, be it the same process */
	assert_int_equal(host_lock_take(&b, path, "compare", 0, &e), -EBUSY);
	assert_int_equal(b.fd, -1);
	host_lock_drop(&b);
	host_lock_drop(&a);
	host_lock_drop(&a);
	assert_int_equal(host_lock_take(&b, path, "compare", 0, NULL), 0);
	host_lock_drop(&b);
}

static void the_holder_is_named(void **state)
{
	(void)state;
	pid_t pid = holder();
	struct host_lock l;
	struct error e = { 0 };
	char *name = x_printf("process %ld (bisect, 2 min), since ", (long)pid);
	int rc = host_lock_take(&l, path, "compare", 0, &e);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(rc, -EBUSY);
	if (!strstr(e.text, name) || !strstr(e.text, path))
		fail_msg("%s", e.text);
	free(name);
}

static void it_dies_with_its_owner(void **state)
{
	(void)state;
	pid_t pid = holder();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	struct host_lock l;
	assert_int_equal(host_lock_take(&l, path, "compare", 0, NULL), 0);
	host_lock_drop(&l);
}

static void waiting_gets_it(void **state)
{
	(void)state;
	pid_t pid = holder();
	pid_t killer = fork();
	if (killer == 0) {
		usleep(150000);
		kill(pid, SIGKILL);
		_exit(0);
	}
	struct host_lock l;
	struct error e = { 0 };
	int rc = host_lock_take(&l, path, "compare", UINT64_C(60000000000), &e);
	waitpid(killer, NULL, 0);
	waitpid(pid, NULL, 0);
	if (rc)
		fail_msg("%s", e.text);
	host_lock_drop(&l);
}

static void a_removed_file_keeps_nobody_out(void **state)
{
	(void)state;
	struct host_lock a, b, c;
	assert_int_equal(host_lock_take(&a, path, "compare", 0, NULL), 0);
	assert_int_equal(unlink(path), 0);
	/* The path is free now: one may take it, and from then on nobody else, whatever the old owner does. */
	assert_int_equal(host_lock_take(&b, path, "compare", 0, NULL), 0);
	host_lock_drop(&a);
	assert_int_equal(host_lock_take(&c, path, "compare", 0, NULL), -EBUSY);
	host_lock_drop(&b);
}

static void others_may_use_the_file(void **state)
{
	(void)state;
	unlink(path);
	mode_t old = umask(077);
	struct host_lock l;
	assert_int_equal(host_lock_take(&l, path, "compare", 0, NULL), 0);
	umask(old);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	host_lock_drop(&l);

	/* A link in a folder that everyone may write is a trap, not a lock. */
	char *link = x_printf("%s/link", folder);
	assert_int_equal(symlink(path, link), 0);
	struct error e = { 0 };
	assert_int_equal(host_lock_take(&l, link, "compare", 0, &e), -ELOOP);
	assert_non_null(strstr(e.text, link));
	free(link);
	assert_int_equal(host_lock_take(&l, "/nonexistent/folder/lock", "compare", 0, NULL), -ENOENT);
}

/* A holder that is killed while a child of its own is between fork and exec: the lock is on its way out, not taken. */
static void a_dead_holders_child_is_waited_for(void **state)
{
	(void)state;
	struct host_lock l;
	pid_t pid = fork();
	if (pid == 0) {
		if (host_lock_take(&l, path, "compare", 0, NULL))
			_exit(1);
		if (fork() == 0) {
			nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
			_exit(0);
		}
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(host_lock_take(&l, path, "compare", 0, NULL), 0);
	host_lock_drop(&l);
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	path = x_printf("%s/lock", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	free(path);
	return fs_remove(folder, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(the_holder_is_named),
		cmocka_unit_test(it_dies_with_its_owner),
		cmocka_unit_test(waiting_gets_it),
		cmocka_unit_test(a_removed_file_keeps_nobody_out),
		cmocka_unit_test(others_may_use_the_file),
		cmocka_unit_test(a_dead_holders_child_is_waited_for),
	};
	return cmocka_run_group_tests_name("host_lock", tests, make_folder, remove_folder);
}
