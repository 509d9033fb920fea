/*
 * run - run every case of the given test programs, each in a process of its own, and judge it.
 *
 * run [--so FILE] [--hakmem 0|1] [--debug 0|1] [--header 0|1] [--box 0|1] [--scale N] [--seed N]
 *     [--jobs N] [--timeout SECONDS] [--only TEXT] [--verbose] PROGRAM... [--static PROGRAM...]
 *
 * Programs after --static carry the allocator themselves: nothing is preloaded there.
 * Prints what failed and what was skipped and why, last "N passed, N failed"; exit 1 if any failed.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 16, TEXT_MAX = 8192, EXIT_SKIP = 77 };

struct job {
	pid_t pid;		/* 0: free */
	int out, err;		/* memfds */
	bool late;
	double start, deadline;
	char name[512];
};

struct runner {
	char so[4096];		/* "": nothing to preload */
	const char *only;
	bool verbose;
	int jobs;
	double timeout_s;
	int passed, failed, skipped;
	struct job slot[JOBS_MAX];
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "run: %s: %s\n", what, strerror(errno));
	exit(2);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The first TEXT_MAX - 1 bytes of what a child wrote. */
static void slurp(int fd, char text[TEXT_MAX])
{
	ssize_t n = pread(fd, text, TEXT_MAX - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	close(fd);
}

/* Does text begin with word, as a whole word? */
static bool begins(const char *text, const char *word)
{
	size_t n = strlen(word);

	return !strncmp(text, word, n) && !isalnum((unsigned char)text[n]);
}

/* Does one line of err say "hakmem: KIND: ADDRESS" and the class? "any" and "-" match all. */
static bool message_right(const char *err, const char *expect)
{
	char kind[64], address[64], class_name[64], word[80], one[1024];

	if (sscanf(expect, "%63[^\t]\t%63s\t%63s", kind, address, class_name) != 3)
		return false;
	snprintf(word, sizeof(word), "class %s", class_name);
	for (const char *line = err; line; line = strchr(line, '\n')) {
		const char *at = one;

		line += *line == '\n';
		snprintf(one, sizeof(one), "%.*s", (int)strcspn(line, "\n"), line);
		if (strncmp(at, "hakmem: ", 8))
			continue;
		at += 8;
		if (strcmp(kind, "any")) {
			if (!begins(at, kind))
				continue;
			at += strlen(kind);
		}
		at = strstr(at, ": 0x");
		if (!at || (strcmp(address, "-") && !begins(at + 2, address)))
			continue;
		if (!strcmp(class_name, "-"))
			return true;
		for (at = strstr(at, word); at; at = strstr(at + 1, word))
			if (begins(at, word))
				return true;
	}
	return false;
}

static void describe(char *text, size_t size, int status, bool late)
{
	if (late)
		snprintf(text, size, "timed out");
	else if (WIFSIGNALED(status))
		snprintf(text, size, "died of %s", strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "exit code %d", WEXITSTATUS(status));
}

static void judge(struct runner *r, struct job *j, int status, double cpu_s)
{
	static const char expect[] = "expect abort ", allow[] = "allow abort";
	char out[TEXT_MAX], err[TEXT_MAX], how[128], want[256] = "";
	bool aborted = !j->late && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
	const char *at;
	bool ok;

	slurp(j->out, out);
	slurp(j->err, err);
	j->pid = 0;
	describe(how, sizeof(how), status, j->late);
	at = strstr(out, expect);
	if (!j->late && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP) {
		printf("skip %s: %s%s", j->name, err, strchr(err, '\n') ? "" : "\n");
		r->skipped++;
		return;
	}
	if (at) {
		at += sizeof(expect) - 1;
		snprintf(want, sizeof(want), "%.*s", (int)strcspn(at, "\n"), at);
		ok = aborted && message_right(err, want);
	} else if (aborted && strstr(out, allow)) {
		ok = strstr(err, "hakmem: ") != NULL;
	} else {
		ok = !j->late && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	}
	if (ok) {
		r->passed++;
		if (r->verbose)
			printf("ok   %s (%.2f s, CPU %.2f s)\n", j->name, now_s() - j->start,
			       cpu_s);
		return;
	}
	r->failed++;
	printf("FAIL %s: %s\n", j->name, how);
	if (*want)
		printf("     wanted abort and \"hakmem: %s\"\n", want);
	if (*err)
		printf("     stderr: %s%s", err, err[strlen(err) - 1] == '\n' ? "" : "\n");
}

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec * 1e-6;
}

/* Judge what has ended; with wait_for_one, return only after that or when nothing runs. */
static int reap(struct runner *r, bool wait_for_one)
{
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	for (;;) {
		int busy = 0;

		for (int i = 0; i < r->jobs; i++) {
			struct job *j = &r->slot[i];
			struct rusage u;
			int status;

			if (!j->pid)
				continue;
			if (wait4(j->pid, &status, WNOHANG, &u) == j->pid) {
				/* Whatever the case has forked goes with it. */
				kill(-j->pid, SIGKILL);
				judge(r, j, status, seconds(&u.ru_utime) + seconds(&u.ru_stime));
				wait_for_one = false;
				continue;
			}
			if (now_s() > j->deadline && !j->late) {
				j->late = true;
				kill(-j->pid, SIGKILL);
			}
			busy++;
		}
		if (!busy || !wait_for_one)
			return busy;
		sigtimedwait(&chld, NULL, &(struct timespec){ .tv_nsec = 100000000 });
	}
}

static void start(struct runner *r, const char *program, const char *name, bool preload)
{
	const char *base = strrchr(program, '/');
	struct job *j = NULL;
	char full[sizeof(j->name)];

	snprintf(full, sizeof(full), "%s %s", base ? base + 1 : program, name);
	if (r->only && !strstr(full, r->only))
		return;
	while (!j) {
		for (int i = 0; i < r->jobs && !j; i++)
			if (!r->slot[i].pid)
				j = &r->slot[i];
		if (!j)
			reap(r, true);
	}
	memcpy(j->name, full, sizeof(full));
	j->out = memfd_create("out", MFD_CLOEXEC);
	j->err = memfd_create("err", MFD_CLOEXEC);
	if (j->out < 0 || j->err < 0)
		die("memfd_create");
	j->late = false;
	j->start = now_s();
	j->deadline = j->start + r->timeout_s;
	fflush(stdout);
	j->pid = fork();
	if (j->pid < 0)
		die("fork");
	if (j->pid) {
		setpgid(j->pid, j->pid);
		return;
	}
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigset_t none;

	/* Many cases are meant to abort: no cores. */
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(j->out, STDOUT_FILENO);
	dup2(j->err, STDERR_FILENO);
	if (preload && *r->so) {
		setenv("LD_PRELOAD", r->so, 1);
		setenv("LD_BIND_NOW", "1", 1);
		setenv("HAKMEM_TEST_SO", r->so, 1);
	}
	execl(program, program, name, (char *)NULL);
	_exit(127);
}

static void run_program(struct runner *r, const char *program, bool preload)
{
	char command[4200], name[256];
	FILE *list;
	int cases = 0;

	snprintf(command, sizeof(command), "'%s' --list", program);
	list = popen(command, "r");
	if (!list)
		die(program);
	while (fgets(name, sizeof(name), list)) {
		name[strcspn(name, "\n")] = '\0';
		cases++;
		start(r, program, name, preload);
	}
	if (pclose(list) != 0 || !cases) {
		printf("FAIL %s: lists no cases\n", program);
		r->failed++;
	}
}

int main(int argc, char **argv)
{
	static const char *const facts[][2] = {
		{ "--hakmem", "HAKMEM_TEST_HAKMEM" }, { "--debug", "HAKMEM_TEST_DEBUG" },
		{ "--header", "HAKMEM_TEST_HEADER" }, { "--box", "HAKMEM_TEST_BOX" },
		{ "--scale", "HAKMEM_TEST_SCALE" },   { "--seed", "HAKMEM_TEST_SEED" },
	};
	static struct runner r = { .jobs = 2, .timeout_s = 60 };
	bool preload = true;
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
		bool known = false;

		if (!strcmp(a, "--static")) {
			preload = false;
			continue;
		}
		if (!strcmp(a, "--verbose")) {
			r.verbose = true;
			continue;
		}
		if (strncmp(a, "--", 2)) {
			run_program(&r, a, preload);
			continue;
		}
		i++;
		for (size_t k = 0; k < sizeof(facts) / sizeof(facts[0]); k++)
			if (!strcmp(a, facts[k][0])) {
				setenv(facts[k][1], value, 1);
				known = true;
			}
		if (known)
			continue;
		if (!strcmp(a, "--so")) {
			if (!realpath(value, r.so))
				die(value);
		} else if (!strcmp(a, "--jobs")) {
			r.jobs = atoi(value);
			r.jobs = r.jobs < 1 ? 1 : r.jobs > JOBS_MAX ? JOBS_MAX : r.jobs;
		} else if (!strcmp(a, "--timeout")) {
			r.timeout_s = atof(value);
		} else if (!strcmp(a, "--only")) {
			r.only = value;
		} else {
			fprintf(stderr, "run: unknown option %s\n", a);
			return 2;
		}
	}
	while (reap(&r, true))
		;
	if (r.skipped)
		printf("%d skipped, as said above\n", r.skipped);
	if (!r.passed && !r.failed)
		printf("no case was run\n");
	printf("%d passed, %d failed\n", r.passed, r.failed);
	return r.failed || !r.passed;
}
