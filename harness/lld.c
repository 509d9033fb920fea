/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/lld.h"

#include "harness/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const unsigned char server[] = {
#include "harness/lld/server.h"
};

#define TIMEOUT_MS 30000

struct lld {
	char *path;
	pthread_mutex_t lock;
	pid_t pid;  /* 0: no server, every link starts lld anew */
	int socket; /* -1: none */
};

static char *find_lld(void)
{
	static const char *const folders[] = { "/usr/local/bin", "/usr/bin", "/bin" };
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		char *path = x_printf("%s/ld.lld", folders[i]);
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

static bool write_all(int fd, const void *bytes, size_t n)
{
	const char *p = bytes;
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		if (k < 0 && errno == ENOTSOCK)
			k = write(fd, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static bool read_all(int fd, void *bytes, size_t n)
{
	char *p = bytes;
	while (n) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int ready = poll(&pfd, 1, TIMEOUT_MS);
		if (ready < 0 && errno == EINTR)
			continue;
		ssize_t k = ready > 0 ? read(fd, p, n) : 0;
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static void stop_server(struct lld *l)
{
	if (!l->pid)
		return;
	close(l->socket);
	kill(l->pid, SIGKILL);
	while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
		;
	l->pid = 0;
	l->socket = -1;
}

/* Without a server links are slower and no less right, so that nothing here is an error. */
static void start_server(struct lld *l)
{
	int pair[2], library = memfd_create("lld-server", MFD_CLOEXEC);
	if (library < 0)
		return;
	if (!write_all(library, server, sizeof(server)) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		close(library);
		return;
	}
	char argv0[] = "ld.lld", preload[] = "LD_PRELOAD=/proc/self/fd/4", now[] = "LD_BIND_NOW=1";
	char *argv[] = { argv0, NULL }, *env[] = { preload, now, NULL };
	/* 3 and 4 may be among our own: move them out of the way first. */
	int theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, 10), lib = fcntl(library, F_DUPFD_CLOEXEC, 10);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, theirs, 3);
	posix_spawn_file_actions_adddup2(&actions, lib, 4);
	posix_spawn_file_actions_addclosefrom_np(&actions, 5);
	/* A group of its own: Ctrl-C is ours to handle. */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
	pid_t pid;
	if (theirs >= 0 && lib >= 0 &&
	    posix_spawn(&pid, l->path, &actions, &attr, argv, env) == 0) {
		l->pid = pid;
		l->socket = pair[0];
	} else {
		close(pair[0]);
	}
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	close(pair[1]);
	close(library);
	if (theirs >= 0)
		close(theirs);
	if (lib >= 0)
		close(lib);
}

int lld_open(struct lld **l, struct error *e)
{
	*l = NULL;
	char *path = find_lld();
	if (!path)
		return error_set(e, -ENOTSUP,
				 "there is no ld.lld on this machine, so that layouts stay fixed: "
				 "install the package lld");
	struct lld *x = x_calloc(1, sizeof(*x));
	x->path = path;
	x->socket = -1;
	pthread_mutex_init(&x->lock, NULL);
	start_server(x);
	*l = x;
	return 0;
}

void lld_close(struct lld *l)
{
	if (!l)
		return;
	stop_server(l);
	pthread_mutex_destroy(&l->lock);
	free(l->path);
	free(l);
}

static int failed(const char *output, struct error *e)
{
	return error_set(e, -EBADMSG, "the link failed: %.*s", (int)strcspn(output, "\n"),
			 *output ? output : "ld.lld says nothing");
}

static int link_anew(struct lld *l, const char *const *args, const char *cwd, struct error *e)
{
	size_t n = 0;
	while (args[n])
		n++;
	const char **argv = x_calloc(n + 2, sizeof(*argv));
	argv[0] = l->path;
	memcpy(argv + 1, args, n * sizeof(*argv));
	struct child_spec spec = { .argv = argv,
				   .cwd = cwd,
				   .cpu = -1,
				   .pass_fd = -1,
				   .timeout_ns = TIMEOUT_MS * 1000000ull,
				   .max_output = 65536 };
	struct child_result r = { 0 };
	int rc = child_run(&spec, &r, e);
	if (!rc && r.outcome == CHILD_NOT_STARTED)
		rc = error_errno(e, r.status, "cannot start %s", l->path);
	else if (!rc && (r.outcome != CHILD_EXITED || r.status))
		rc = failed(buf_str(&r.err), e);
	child_release(&r);
	free(argv);
	return rc;
}

/* Ask the server; false: it is gone, and so is l->pid. */
static bool link_served(struct lld *l, const char *const *args, const char *cwd, int32_t *status,
			struct buf *output)
{
	struct buf request = { 0 };
	uint32_t length = 0;
	buf_add(&request, &length, sizeof(length));
	buf_add(&request, cwd, strlen(cwd) + 1);
	for (; *args; args++)
		buf_add(&request, *args, strlen(*args) + 1);
	length = (uint32_t)(request.len - sizeof(length));
	memcpy(request.data, &length, sizeof(length));
	char text[4096];
	bool ok = write_all(l->socket, request.data, request.len) &&
		  read_all(l->socket, status, sizeof(*status)) &&
		  read_all(l->socket, &length, sizeof(length)) && length <= sizeof(text) &&
		  read_all(l->socket, text, length);
	if (ok)
		buf_add(output, text, length);
	else
		stop_server(l);
	buf_release(&request);
	return ok;
}

int lld_link(struct lld *l, const char *const *args, const char *cwd, struct error *e)
{
	struct buf output = { 0 };
	int32_t status = 0;
	pthread_mutex_lock(&l->lock);
	bool served = l->pid && link_served(l, args, cwd, &status, &output);
	pthread_mutex_unlock(&l->lock);
	int rc = 0;
	if (!served)
		rc = link_anew(l, args, cwd, e);
	else if (!WIFEXITED(status) || WEXITSTATUS(status))
		rc = failed(buf_str(&output), e);
	buf_release(&output);
	return rc;
}
