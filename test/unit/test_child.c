/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"
#include "harness/child.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/hakperf-child-XXXXXX";

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return fs_remove(folder, NULL);
}

static const char *const plain_env[] = { "PATH=/usr/bin:/bin", NULL };

static struct child_spec shell(const char *const argv[])
{
	return (struct child_spec){ .argv = argv, .env = plain_env, .cpu = -1, .pass_fd = -1, .timeout_ns = 20000000000u };
}

static bool alive(pid_t pid)
{
	char path[64];
	struct buf b = { 0 };
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (fs_read(path, 4096, &b, NULL) != 0) {
		buf_release(&b);
		return false;
	}
	const char *after_name = strrchr(buf_str(&b), ')');
	bool dead = !after_name || after_name[2] == 'Z' || after_name[2] == 'X';
	buf_release(&b);
	return !dead;
}

/* Killed processes take a moment to go. */
static bool gone_soon(pid_t pid)
{
	for (int i = 0; i < 500; i++) {
		if (!alive(pid))
			return true;
		usleep(10000);
	}
	return false;
}

static void outcomes(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *argv[4];
		enum child_outcome outcome;
		int status;
		const char *text;
	} rows[] = {
		{ __LINE__, { "true" }, CHILD_EXITED, 0, "exit code 0" },
		{ __LINE__, { "/bin/sh", "-c", "exit 3" }, CHILD_EXITED, 3, "exit code 3" },
		{ __LINE__, { "/bin/sh", "-c", "kill -SEGV $$" }, CHILD_SIGNALLED, SIGSEGV, "killed by SIGSEGV" },
		{ __LINE__, { "/bin/sh", "-c", "kill -40 $$" }, CHILD_SIGNALLED, 40, "killed by signal 40" },
		{ __LINE__, { "/nowhere/program" }, CHILD_NOT_STARTED, ENOENT, "not started: exec: No such file or directory" },
		{ __LINE__, { "/etc/passwd" }, CHILD_NOT_STARTED, EACCES, "not started: exec: Permission denied" },
		{ __LINE__, { "no-such-program-in-the-path" }, CHILD_NOT_STARTED, ENOENT, "not started: exec: No such file or directory" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct child_spec spec = shell(rows[i].argv);
		struct child_result r = { 0 };
		struct error e = { 0 };
		struct buf text = { 0 };
		int rc = child_run(&spec, &r, &e);
		child_describe(&r, &text);
		if (rc || r.outcome != rows[i].outcome || r.status != rows[i].status || strcmp(buf_str(&text), rows[i].text) != 0)
			fail_msg("row at line %d: rc %d, outcome %d, status %d, '%s', %s", rows[i].line, rc, (int)r.outcome,
				 r.status, buf_str(&text), e.text);
		buf_release(&text);
		child_release(&r);
	}
}

static void set_up_failures_name_the_step(void **state)
{
	(void)state;
	const char *const argv[] = { "/bin/true", NULL };
	struct child_result r = { 0 };
	struct buf text = { 0 };
	struct child_spec spec = shell(argv);
	spec.cwd = "/nowhere";
	assert_int_equal(child_run(&spec, &r, NULL), 0);
	child_describe(&r, &text);
	assert_string_equal(buf_str(&text), "not started: change to the working folder: No such file or directory");
	child_release(&r);
	buf_reset(&text);

	spec = shell(argv);
	spec.cpu = 1000;
	assert_int_equal(child_run(&spec, &r, NULL), 0);
	child_describe(&r, &text);
	assert_string_equal(buf_str(&text), "not started: pin to the CPU: Invalid argument");
	child_release(&r);
	buf_release(&text);

	spec = shell(argv);
	spec.log_path = "/nowhere/log";
	struct error e = { 0 };
	assert_int_equal(child_run(&spec, &r, &e), -ENOENT);
	assert_string_equal(e.text, "cannot append to the log /nowhere/log: No such file or directory");
}

static void output_is_kept_and_bounded(void **state)
{
	(void)state;
	const char *const argv[] = { "/bin/sh", "-c", "head -c 300000 /dev/zero; echo oops >&2; cat", NULL };
	struct child_spec spec = shell(argv);
	struct child_result r = { 0 };
	spec.max_output = 1000;
	assert_int_equal(child_run(&spec, &r, NULL), 0);
	assert_int_equal(r.outcome, CHILD_EXITED); /* `cat` saw the end of /dev/null */
	assert_int_equal(r.out.len, 1000);
	assert_int_equal(r.out_dropped, 299000);
	assert_string_equal(buf_str(&r.err), "oops\n");
	assert_int_equal(r.err_dropped, 0);
	child_release(&r);
	child_release(&r);
}

static void log_takes_both_streams(void **state)
{
	(void)state;
	char path[96];
	snprintf(path, sizeof(path), "%s/log", folder);
	const char *const argv[] = { "/bin/sh", "-c", "echo one; echo two >&2", NULL };
	struct child_spec spec = shell(argv);
	spec.log_path = path;
	for (int i = 0; i < 2; i++) {
		struct child_result r = { 0 };
		assert_int_equal(child_run(&spec, &r, NULL), 0);
		assert_int_equal(r.out.len + r.err.len, 0);
		child_release(&r);
	}
	struct buf b = { 0 };
	assert_int_equal(fs_read(path, 1000, &b, NULL), 0);
	assert_string_equal(buf_str(&b), "one\ntwo\none\ntwo\n");
	buf_release(&b);
}

static void deadline_kills_the_whole_group(void **state)
{
	(void)state;
	const char *const argv[] = { "/bin/sh", "-c", "sleep 1000 & echo $!; (trap '' TERM; sleep 1000) & echo $!; wait", NULL };
	struct child_spec spec = shell(argv);
	struct child_result r = { 0 };
	struct buf text = { 0 };
	spec.timeout_ns = 300000000;
	assert_int_equal(child_run(&spec, &r, NULL), 0);
	assert_int_equal(r.outcome, CHILD_TIMED_OUT);
	child_describe(&r, &text);
	assert_string_equal(buf_str(&text), "timed out after 0.3 s");
	int a = 0, b = 0;
	assert_int_equal(sscanf(buf_str(&r.out), "%d %d", &a, &b), 2);
	assert_true(gone_soon(a));
	assert_true(gone_soon(b));
	buf_release(&text);
	child_release(&r);
}

static void nothing_is_left_behind(void **state)
{
	(void)state;
	const char *const argv[] = { "/bin/sh", "-c", "sleep 1000 & echo $!", NULL };
	struct child_spec spec = shell(argv);
	struct child_result r = { 0 };
	assert_int_equal(child_run(&spec, &r, NULL), 0); /* would wait for its deadline if it waited for the pipe's end */
	assert_int_equal(r.outcome, CHILD_EXITED);
	assert_true(gone_soon(atoi(buf_str(&r.out))));
	child_release(&r);
}

static void environment_is_exact(void **state)
{
	(void)state;
	assert_int_equal(setenv("HAKPERF_TEST_LEAK", "1", 1), 0);
	const char *const argv[] = { "/usr/bin/env", NULL };
	const char *const env[] = { "A=1", "B=two words", NULL };
	struct child_spec spec = shell(argv);
	struct child_result r = { 0 };
	spec.env = env;
	assert_int_equal(child_run(&spec, &r, NULL), 0);
	assert_string_equal(buf_str(&r.out), "A=1\nB=two words\n");
	child_release(&r);
	spec.env = NULL;
	assert_int_equal(child_run(&spec, &r, NULL), 0);
	assert_int_equal(r.out.len, 0);
	child_release(&r);
}

static void descriptors_and_cpu(void **state)
{
	(void)state;
	cpu_set_t set;
	int cpu = -1;
	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			cpu = i;
	int passed = memfd_create("passed", MFD_CLOEXEC), leaky = dup(passed);
	assert_true(passed > 2 && leaky > 2);
	char script[200], expected[200];
	snprintf(script, sizeof(script), "echo hello >&%d; (echo x >&%d) 2>/dev/null && echo leaked; grep Cpus_allowed_list /proc/self/status",
		 passed, leaky);
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	struct child_spec spec = shell(argv);
	struct child_result r = { 0 };
	spec.pass_fd = passed;
	spec.cpu = cpu;
	assert_int_equal(child_run(&spec, &r, NULL), 0);
	snprintf(expected, sizeof(expected), "Cpus_allowed_list:\t%d\n", cpu);
	assert_string_equal(buf_str(&r.out), expected);
	char bytes[16] = { 0 };
	assert_int_equal(pread(passed, bytes, sizeof(bytes), 0), 6);
	assert_string_equal(bytes, "hello\n");
	close(passed);
	close(leaky);
	child_release(&r);
}

static void accounting(void **state)
{
	(void)state;
	const char *const argv[] = { "/bin/sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done", NULL };
	struct child_spec spec = shell(argv);
	struct child_result r = { 0 };
	assert_int_equal(child_run(&spec, &r, NULL), 0);
	assert_true(r.user_ns + r.sys_ns > 0);
	assert_true(r.wall_ns > 0);
	assert_true(r.minor_faults > 0);
	assert_true(r.max_rss_bytes > 100000);
	child_release(&r);
}

static void own_network_has_no_way_out(void **state)
{
	(void)state;
	const char *const argv[] = { "/bin/sh", "-c", "tail -n +3 /proc/net/dev | grep -vc '^ *lo:'", NULL };
	struct child_spec spec = shell(argv);
	struct child_result r = { 0 };
	spec.own_network = true;
	assert_int_equal(child_run(&spec, &r, NULL), 0);
	if (r.network_shared) {
		child_release(&r);
		print_message("network namespaces are not allowed here\n");
		skip();
	}
	assert_string_equal(buf_str(&r.out), "0\n");
	child_release(&r);
}

static void *interrupt_later(void *ctx)
{
	usleep(200000);
	kill(*(pid_t *)ctx, SIGINT);
	return NULL;
}

/* In a process of its own: the flag stays set for ever. */
static void interruption_kills_and_returns(void **state)
{
	(void)state;
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const char *const argv[] = { "/bin/sleep", "1000", NULL };
		struct child_spec spec = shell(argv);
		struct child_result r = { 0 };
		struct error e = { 0 };
		pthread_t t;
		pid_t self = getpid();
		child_catch_signals();
		if (child_interrupted() || pthread_create(&t, NULL, interrupt_later, &self))
			_exit(1);
		if (child_run(&spec, &r, &e) != -EINTR || !child_interrupted())
			_exit(2);
		if (strcmp(e.text, "interrupted while /bin/sleep ran") != 0)
			_exit(3);
		if (child_run(&spec, &r, NULL) != -EINTR)
			_exit(4);
		pthread_join(t, NULL);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outcomes),
		cmocka_unit_test(set_up_failures_name_the_step),
		cmocka_unit_test(output_is_kept_and_bounded),
		cmocka_unit_test(log_takes_both_streams),
		cmocka_unit_test(deadline_kills_the_whole_group),
		cmocka_unit_test(nothing_is_left_behind),
		cmocka_unit_test(environment_is_exact),
		cmocka_unit_test(descriptors_and_cpu),
		cmocka_unit_test(accounting),
		cmocka_unit_test(own_network_has_no_way_out),
		cmocka_unit_test(interruption_kills_and_returns),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
