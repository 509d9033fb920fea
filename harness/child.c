/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/child.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RSS_MOVED_PAGES 64
#define RSS_SLACK (512u << 10) /* the kernel counts resident pages in batches */
#define DEFAULT_OUTPUT (1u << 20)
#define TICK_NS 200000000u	 /* a signal that went to another thread is noticed after this */
#define TICK_BLIND_NS 5000000u /* without pidfd_open(2) the end is noticed after this */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

void child_catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

bool child_interrupted(void)
{
	return interrupted != 0;
}

/* What the new process tells on the error pipe: a failed step, or that it went on without its own network. */
enum step { STEP_NETWORK_SHARED = 1, STEP_CWD, STEP_STREAMS, STEP_PIN, STEP_EXEC };

static const char *const step_names[] = {
	[STEP_CWD] = "change to the working folder",
	[STEP_STREAMS] = "set up the standard streams",
	[STEP_PIN] = "pin to the CPU",
	[STEP_EXEC] = "exec",
};

struct step_report {
	int step, err;
};

/* Everything the new process needs, made before fork: afterwards only async-signal-safe calls are allowed. */
struct launch {
	const struct child_spec *spec;
	char *path; /* resolved argv[0] */
	char *const *argv, *const *env;
	int in, out, err, report;
	pid_t parent;
	sigset_t mask; /* to be restored */
	cpu_set_t cpus;
	char uid_map[64], gid_map[64];
};

static void write_small(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t ignored = write(fd, text, strlen(text));
	(void)ignored;
	close(fd);
}

/* Root needs no user namespace; others keep their identity inside one. */
static bool leave_network(const struct launch *l)
{
	if (unshare(CLONE_NEWNET) == 0)
		return true;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
		return false;
	write_small("/proc/self/setgroups", "deny");
	write_small("/proc/self/uid_map", l->uid_map);
	write_small("/proc/self/gid_map", l->gid_map);
	return true;
}

static void tell(const struct launch *l, enum step step, int err)
{
	struct step_report report = { step, err };
	ssize_t ignored = write(l->report, &report, sizeof(report));
	(void)ignored;
}

static _Noreturn void give_up(const struct launch *l, enum step step)
{
	tell(l, step, errno);
	_exit(127);
}

/* dup2() onto itself would leave the close-on-exec flag: the descriptors of struct launch are all above 2. */
static _Noreturn void become(const struct launch *l)
{
	const struct child_spec *spec = l->spec;
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != l->parent)
		_exit(127);
	struct sigaction plain = { .sa_handler = SIG_DFL };
	static const int reset[] = { SIGPIPE, SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGCHLD, SIGALRM };
	for (size_t i = 0; i < sizeof(reset) / sizeof(reset[0]); i++)
		sigaction(reset[i], &plain, NULL);
	sigprocmask(SIG_SETMASK, &l->mask, NULL);
	struct rlimit no_core = { 0, 0 };
	setrlimit(RLIMIT_CORE, &no_core);
	if (dup2(l->in, 0) < 0 || dup2(l->out, 1) < 0 || dup2(l->err, 2) < 0)
		give_up(l, STEP_STREAMS);
#ifdef SYS_close_range
	syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
#endif
	if (spec->pass_fd > 2 && fcntl(spec->pass_fd, F_SETFD, 0) < 0)
		give_up(l, STEP_STREAMS);
	if (spec->cwd && chdir(spec->cwd) < 0)
		give_up(l, STEP_CWD);
	if (spec->cpu >= 0 && sched_setaffinity(0, sizeof(l->cpus), &l->cpus) < 0)
		give_up(l, STEP_PIN);
	if (spec->own_network && !leave_network(l))
		tell(l, STEP_NETWORK_SHARED, errno);
	execve(l->path, l->argv, l->env);
	give_up(l, STEP_EXEC);
}

/* The program's path: as given, or looked up in the PATH it will itself see. Owned by the caller. */
static char *resolve(const struct child_spec *spec)
{
	const char *name = spec->argv[0], *path = NULL;
	if (strchr(name, '/'))
		return x_strdup(name);
	for (size_t i = 0; spec->env && spec->env[i]; i++)
		if (strncmp(spec->env[i], "PATH=", 5) == 0)
			path = spec->env[i] + 5;
	while (path && *path) {
		size_t n = strcspn(path, ":");
		char *candidate = n ? x_printf("%.*s/%s", (int)n, path, name) : x_printf("./%s", name);
		if (access(candidate, X_OK) == 0)
			return candidate;
		free(candidate);
		path += n + (path[n] == ':');
	}
	return x_strdup(name);
}

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Keep descriptors clear of 0–2, so that dup2() in the child cannot overwrite one that is still needed. */
static int lift(int fd)
{
	if (fd < 0 || fd > 2)
		return fd;
	int up = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int err = errno;
	close(fd);
	errno = err;
	return up;
}

static int open_pipe(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	ends[0] = lift(ends[0]);
	ends[1] = lift(ends[1]);
	return ends[0] < 0 || ends[1] < 0 ? -errno : 0;
}

struct stream {
	int fd;
	struct buf *keep;
	size_t max, *dropped;
};

/* Read what is there. Closes the stream at its end. */
static void drain(struct stream *s)
{
	char bytes[16384];
	while (s->fd >= 0) {
		ssize_t n = read(s->fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			shut(&s->fd);
			return;
		}
		size_t room = s->max > s->keep->len ? s->max - s->keep->len : 0;
		size_t kept = (size_t)n < room ? (size_t)n : room;
		if (kept)
			buf_add(s->keep, bytes, kept);
		*s->dropped += (size_t)n - kept;
	}
}

/* Has the program ended? It stays a zombie, so its process group's number stays its own. */
static bool ended(pid_t pid)
{
	siginfo_t info = { 0 };
	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

static void wait_for_exec(int fd, struct child_result *r)
{
	struct step_report report;
	for (;;) {
		ssize_t n = read(fd, &report, sizeof(report));
		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(report))
			return;
		if (report.step == STEP_NETWORK_SHARED) {
			r->network_shared = true;
			continue;
		}
		r->outcome = CHILD_NOT_STARTED;
		r->status = report.err;
		r->failed_step = step_names[report.step];
	}
}

/* Wait for the end, the deadline or an interruption, draining the streams. Kills the group before it returns. */
static int watch(pid_t pid, uint64_t start_ns, const struct child_spec *spec, struct stream streams[2],
		 const sigset_t *waiting_mask, struct child_result *r)
{
	int rc = 0, pidfd = -1;
#ifdef SYS_pidfd_open
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
#endif
	while (!ended(pid)) {
		uint64_t now = clock_mono_ns(), wait_ns = pidfd >= 0 ? TICK_NS : TICK_BLIND_NS;
		if (interrupted) {
			rc = -EINTR;
			break;
		}
		if (spec->timeout_ns) {
			if (now - start_ns >= spec->timeout_ns) {
				r->outcome = CHILD_TIMED_OUT;
				break;
			}
			uint64_t left = spec->timeout_ns - (now - start_ns);
			wait_ns = left < wait_ns ? left : wait_ns;
		}
		struct pollfd fds[3] = {
			{ .fd = pidfd, .events = POLLIN },
			{ .fd = streams[0].fd, .events = POLLIN },
			{ .fd = streams[1].fd, .events = POLLIN },
		};
		struct timespec t = { (time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u) };
		ppoll(fds, 3, &t, waiting_mask);
		drain(&streams[0]);
		drain(&streams[1]);
	}
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL); /* should it not have got as far as its own group */
	shut(&pidfd);
	return rc;
}

static void account(const struct rusage *ru, int status, struct child_result *r)
{
	r->user_ns = (uint64_t)ru->ru_utime.tv_sec * 1000000000u + (uint64_t)ru->ru_utime.tv_usec * 1000u;
	r->sys_ns = (uint64_t)ru->ru_stime.tv_sec * 1000000000u + (uint64_t)ru->ru_stime.tv_usec * 1000u;
	r->voluntary_switches = (uint64_t)ru->ru_nvcsw;
	r->involuntary_switches = (uint64_t)ru->ru_nivcsw;
	r->minor_faults = (uint64_t)ru->ru_minflt;
	r->major_faults = (uint64_t)ru->ru_majflt;
	r->max_rss_bytes = (uint64_t)ru->ru_maxrss * 1024u;
	if (r->outcome == CHILD_TIMED_OUT || r->outcome == CHILD_NOT_STARTED)
		return;
	r->outcome = WIFSIGNALED(status) ? CHILD_SIGNALLED : CHILD_EXITED;
	r->status = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

/* Pages of the caller that are resident now. 0: unknown. */
static unsigned long own_pages(void)
{
	char text[128];
	unsigned long pages = 0;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return sscanf(text, "%*u %lu", &pages) == 1 ? pages : 0;
}

/*
 * What a child has as its largest resident set before its program begins: the copy of ours that exec throws away. Tried by a
 * child that does nothing, and again when we have grown or shrunk. 0: unknown.
 */
static uint64_t rss_floor_bytes(void)
{
	static _Thread_local unsigned long pages;
	static _Thread_local uint64_t floor_bytes;
	unsigned long now = own_pages(), moved = now > pages ? now - pages : pages - now;
	if (floor_bytes && moved < RSS_MOVED_PAGES)
		return floor_bytes;
	struct rusage ru;
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid < 0 || wait4(pid, &status, 0, &ru) != pid)
		return 0;
	pages = now;
	floor_bytes = (uint64_t)ru.ru_maxrss * 1024u + RSS_SLACK;
	return floor_bytes;
}

int child_run(const struct child_spec *spec, struct child_result *r, struct error *e)
{
	static char *const no_env[] = { NULL };
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, report[2] = { -1, -1 }, null = -1, log = -1, rc = 0;
	bool masked = false;
	struct launch l = { .spec = spec, .parent = getpid() };
	sigset_t both;

	assert(spec->argv && spec->argv[0]);
	*r = (struct child_result){ .timeout_ns = spec->timeout_ns };
	if (interrupted)
		return error_set(e, -EINTR, "interrupted before %s was started", spec->argv[0]);
	l.path = resolve(spec);
	/* execve(2) takes pointers to non-const and leaves the strings alone. */
	memcpy(&l.argv, &spec->argv, sizeof(l.argv));
	l.env = no_env;
	if (spec->env)
		memcpy(&l.env, &spec->env, sizeof(l.env));
	if (spec->cpu >= 0) {
		CPU_ZERO(&l.cpus);
		if (spec->cpu < CPU_SETSIZE)
			CPU_SET(spec->cpu, &l.cpus);
	}
	snprintf(l.uid_map, sizeof(l.uid_map), "%u %u 1\n", geteuid(), geteuid());
	snprintf(l.gid_map, sizeof(l.gid_map), "%u %u 1\n", getegid(), getegid());

	null = lift(open("/dev/null", O_RDONLY | O_CLOEXEC));
	if (null < 0) {
		rc = error_errno(e, errno, "cannot open /dev/null");
		goto out;
	}
	if (spec->log_path) {
		log = lift(open(spec->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
		if (log < 0) {
			rc = error_errno(e, errno, "cannot append to the log %s", spec->log_path);
			goto out;
		}
	} else if (open_pipe(out) || open_pipe(err)) {
		rc = error_errno(e, errno, "cannot make pipes for %s", spec->argv[0]);
		goto out;
	}
	if (open_pipe(report)) {
		rc = error_errno(e, errno, "cannot make pipes for %s", spec->argv[0]);
		goto out;
	}
	l.in = null;
	l.out = spec->log_path ? log : out[1];
	l.err = spec->log_path ? log : err[1];
	l.report = report[1];

	/* A signal is let in only while waiting, so that none falls between the look at the flag and the wait. */
	sigemptyset(&both);
	sigaddset(&both, SIGINT);
	sigaddset(&both, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &both, &l.mask);
	masked = true;

	r->rss_floor_bytes = rss_floor_bytes();
	uint64_t start_ns = clock_mono_ns();
	pid_t pid = fork();
	if (pid < 0) {
		rc = error_errno(e, errno, "cannot start %s: fork", spec->argv[0]);
		goto out;
	}
	if (pid == 0)
		become(&l);
	setpgid(pid, pid);
	shut(&report[1]);
	shut(&out[1]);
	shut(&err[1]);
	wait_for_exec(report[0], r);

	struct stream streams[2] = {
		{ out[0], &r->out, spec->max_output ? spec->max_output : DEFAULT_OUTPUT, &r->out_dropped },
		{ err[0], &r->err, spec->max_output ? spec->max_output : DEFAULT_OUTPUT, &r->err_dropped },
	};
	for (int i = 0; i < 2; i++)
		if (streams[i].fd >= 0)
			fcntl(streams[i].fd, F_SETFL, O_NONBLOCK);
	rc = watch(pid, start_ns, spec, streams, &l.mask, r);

	int status = 0;
	struct rusage ru = { 0 };
	while (wait4(pid, &status, 0, &ru) < 0 && errno == EINTR)
		;
	r->wall_ns = clock_mono_ns() - start_ns;
	/* A process that left the group may hold the other ends: take what is there, do not wait for the end. */
	drain(&streams[0]);
	drain(&streams[1]);
	out[0] = streams[0].fd;
	err[0] = streams[1].fd;
	account(&ru, status, r);
	if (rc == -EINTR)
		error_set(e, rc, "interrupted while %s ran", spec->argv[0]);
out:
	if (masked)
		pthread_sigmask(SIG_SETMASK, &l.mask, NULL);
	shut(&out[0]);
	shut(&out[1]);
	shut(&err[0]);
	shut(&err[1]);
	shut(&report[0]);
	shut(&report[1]);
	shut(&null);
	shut(&log);
	free(l.path);
	if (rc)
		child_release(r);
	return rc;
}

void child_release(struct child_result *r)
{
	buf_release(&r->out);
	buf_release(&r->err);
	*r = (struct child_result){ 0 };
}

void child_describe(const struct child_result *r, struct buf *out)
{
	const char *name;
	switch (r->outcome) {
	case CHILD_EXITED:
		buf_printf(out, "exit code %d", r->status);
		return;
	case CHILD_SIGNALLED:
		name = sigabbrev_np(r->status);
		if (name)
			buf_printf(out, "killed by SIG%s", name);
		else
			buf_printf(out, "killed by signal %d", r->status);
		return;
	case CHILD_TIMED_OUT:
		buf_printf(out, "timed out after %.6g s", (double)r->timeout_ns / 1e9);
		return;
	case CHILD_NOT_STARTED:
		buf_printf(out, "not started: %s%s%s", r->failed_step ? r->failed_step : "", r->failed_step ? ": " : "",
			   strerror(r->status));
		return;
	}
}
