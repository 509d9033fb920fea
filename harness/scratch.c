/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/scratch.h"

#include "base/buf.h"
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAME	"hakperf."
#define DRAWN	"XXXXXX"
#define YOUNG_S 60 /* its maker may not have come to lock it yet */

static int hold(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void remove_if_left(const char *path)
{
	struct stat st;
	if (lstat(path, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mtime + YOUNG_S > time(NULL))
		return;
	int fd = hold(path);
	if (fd < 0)
		return;
	fs_remove(path, NULL);
	close(fd);
}

static void remove_left(const char *root)
{
	DIR *d = opendir(root);
	for (struct dirent *f; d && (f = readdir(d));) {
		if (strncmp(f->d_name, NAME, strlen(NAME)) || strlen(f->d_name) != strlen(NAME DRAWN))
			continue;
		char *path = x_printf("%s/%s", root, f->d_name);
		remove_if_left(path);
		free(path);
	}
	if (d)
		closedir(d);
}

int scratch_make(struct scratch *s, const char *root, struct error *e)
{
	*s = (struct scratch){ .path = x_printf("%s/" NAME DRAWN, root), .fd = -1 };
	remove_left(root);
	if (!mkdtemp(s->path)) {
		int rc = error_errno(e, errno, "cannot make a scratch folder %s", s->path);
		free(s->path);
		*s = (struct scratch){ 0 };
		return rc;
	}
	s->fd = hold(s->path);
	return 0;
}

void scratch_remove(struct scratch *s)
{
	if (!s->path)
		return;
	fs_remove(s->path, NULL);
	if (s->fd >= 0)
		close(s->fd);
	free(s->path);
	*s = (struct scratch){ 0 };
}
