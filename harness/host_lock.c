/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/host_lock.h"

#include "base/clock.h"
#include "harness/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { POLL_NS = 50000000, DYING_NS = 2000000000, HOLDER_MAX = 300 };

/* The same answer for every user, so it asks what the folder is, not what this user may do there. */
static const char *machine_path(void)
{
	const char *named = getenv("HAKPERF_LOCK");
	if (named && *named)
		return named;
	struct stat st;
	if (!stat("/run/lock", &st) && S_ISDIR(st.st_mode) && (st.st_mode & 01002) == 01002)
		return "/run/lock/hakperf.lock";
	return "/tmp/hakperf.lock";
}

/*
 * Linux refuses O_CREAT on somebody else's existing file in a sticky folder (fs.protected_regular), so an existing one is
 * opened without it. Reading is enough to lock; writing is for leaving one's name.
 */
static int open_file(const char *path)
{
	for (int tries = 0; tries < 8; tries++) {
		int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 && errno == EACCES)
			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0 || errno != ENOENT)
			return fd < 0 ? -errno : fd;
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
		if (fd >= 0) {
			/* Whoever comes next may be another user; the umask would lock them out. */
			(void)!fchmod(fd, 0666);
			return fd;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EAGAIN;
}

/* Somebody may have removed the file and another one made a new one: a lock on the old one would keep nobody out. */
static bool still_there(int fd, const char *path)
{
	struct stat mine, now;
	return !fstat(fd, &mine) && !stat(path, &now) && mine.st_dev == now.st_dev && mine.st_ino == now.st_ino;
}

static void leave_name(int fd, const char *what)
{
	char text[HOLDER_MAX], when[32];
	time_t now = time(NULL);
	struct tm tm;
	localtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	int n = snprintf(text, sizeof(text), "process %ld (%.200s), since %s\n", (long)getpid(), what, when);
	/* Only for people to read: the lock itself holds without it. */
	if (!ftruncate(fd, 0))
		(void)!pwrite(fd, text, (size_t)n, 0);
}

/*
 * The holder was killed, but a child that it had just started still has the file open: until it runs its program, or
 * dies of its parent's death.
 */
static bool holder_is_gone(int fd)
{
	char text[HOLDER_MAX];
	long pid;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return sscanf(text, "process %ld ", &pid) == 1 && pid > 0 && kill((pid_t)pid, 0) && errno == ESRCH;
}

static int busy(int fd, const char *path, struct error *e)
{
	char text[HOLDER_MAX];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return error_set(e, -EBUSY, "another session measures on this machine: %s; wait for its end, or stop it (lock: %s)",
			 *text ? text : "an unknown process", path);
}

/* One attempt: 0 taken, -EWOULDBLOCK held by another, -EINTR and -ESTALE: once more, at once. */
static int attempt(int fd, const char *path)
{
	if (flock(fd, LOCK_EX | LOCK_NB))
		return -errno;
	return still_there(fd, path) ? 0 : -ESTALE;
}

int host_lock_take(struct host_lock *l, const char *path, const char *what, uint64_t wait_ns, struct error *e)
{
	uint64_t begin = clock_mono_ns();
	path = path ? path : machine_path();
	*l = HOST_LOCK_NONE;
	for (;;) {
		int fd = open_file(path);
		if (fd < 0)
			return error_errno(e, -fd, "cannot open the machine's lock %s", path);
		int rc = attempt(fd, path);
		if (!rc) {
			leave_name(fd, what);
			l->fd = fd;
			return 0;
		}
		bool held = rc == -EWOULDBLOCK;
		uint64_t waited = clock_mono_ns() - begin;
		if (held && waited >= wait_ns && (waited >= DYING_NS || !holder_is_gone(fd)))
			rc = busy(fd, path, e);
		else if (held && child_interrupted())
			rc = error_set(e, -EINTR, "interrupted while waiting for the machine's lock");
		else if (held || rc == -ESTALE || rc == -EINTR)
			rc = 0;
		else
			rc = error_errno(e, -rc, "cannot lock %s", path);
		close(fd);
		if (rc)
			return rc;
		if (held)
			nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
	}
}

void host_lock_drop(struct host_lock *l)
{
	if (l->fd >= 0) {
		(void)!ftruncate(l->fd, 0);
		close(l->fd);
	}
	*l = HOST_LOCK_NONE;
}
