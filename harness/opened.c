/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/opened.h"

#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

int opened_watch(const char *path)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd >= 0 && inotify_add_watch(fd, path, IN_OPEN) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int opened_since(int watch)
{
	_Alignas(struct inotify_event) char events[4096];
	if (watch < 0)
		return -1;
	ssize_t n = read(watch, events, sizeof(events));
	int seen = n > 0 ? 1 : n < 0 && errno == EAGAIN ? 0 : -1;
	close(watch);
	return seen;
}
