/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int fs_read(const char *path, size_t max, struct buf *out, struct error *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, errno, "cannot read %s", path);
	int rc = 0;
	char chunk[16384];
	size_t total = 0;
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = error_errno(e, errno, "cannot read %s", path);
			break;
		}
		if (n == 0)
			break;
		total += (size_t)n;
		if (total > max) {
			rc = error_set(e, -EFBIG, "%s is larger than %zu bytes", path, max);
			break;
		}
		buf_add(out, chunk, (size_t)n);
	}
	close(fd);
	return rc;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

char *fs_target(const char *path)
{
	struct stat st;
	if (stat(path, &st))
		return x_strdup(path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return NULL;
	char *real = realpath(path, NULL);
	return real ? real : x_strdup(path);
}

static int write_through(const char *path, const void *bytes, size_t n, struct error *e)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc = fd < 0 ? -errno : write_all(fd, bytes, n);
	if (fd >= 0 && close(fd) && !rc)
		rc = -errno;
	return rc ? error_errno(e, -rc, "cannot write %s", path) : 0;
}

static int replace(const char *path, const void *bytes, size_t n, struct error *e)
{
	char *tmp = x_printf("%s.XXXXXX", path);
	int fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0) {
		int rc = error_errno(e, errno, "cannot write beside %s", path);
		free(tmp);
		return rc;
	}
	int rc = write_all(fd, bytes, n);
	if (!rc && (fchmod(fd, 0644) || fsync(fd)))
		rc = -errno;
	if (close(fd) && !rc)
		rc = -errno;
	if (!rc && rename(tmp, path))
		rc = -errno;
	if (rc) {
		error_errno(e, -rc, "cannot write %s", path);
		unlink(tmp);
	}
	free(tmp);
	return rc;
}

int fs_write(const char *path, const void *bytes, size_t n, struct error *e)
{
	char *target = fs_target(path);
	int rc = target ? replace(target, bytes, n, e) : write_through(path, bytes, n, e);
	free(target);
	return rc;
}

int fs_mkdirs(const char *path, struct error *e)
{
	char *p = x_strdup(path);
	int rc = 0;
	for (char *s = p + 1; !rc; s++) {
		if (*s && *s != '/')
			continue;
		char keep = *s;
		*s = '\0';
		struct stat st;
		if (mkdir(p, 0777) && errno != EEXIST)
			rc = error_errno(e, errno, "cannot make the folder %s", p);
		else if (stat(p, &st) || !S_ISDIR(st.st_mode))
			rc = error_set(e, -ENOTDIR, "%s is in the way: it is not a folder", p);
		*s = keep;
		if (!keep)
			break;
	}
	free(p);
	return rc;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st, (void)f;
	int rc = flag == FTW_DP ? rmdir(path) : unlink(path);
	return rc && errno != ENOENT ? -1 : 0;
}

int fs_remove(const char *path, struct error *e)
{
	struct stat st;
	if (lstat(path, &st))
		return errno == ENOENT ? 0 : error_errno(e, errno, "cannot remove %s", path);
	if (nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS))
		return error_errno(e, errno, "cannot remove %s", path);
	return 0;
}

/* nftw(3) offers its callback no context; the sum is per thread and reset by the only caller. */
static _Thread_local uint64_t usage_bytes;

static int add_usage(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)path, (void)f;
	if (flag != FTW_NS)
		usage_bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

uint64_t fs_disk_usage(const char *path)
{
	usage_bytes = 0;
	nftw(path, add_usage, 32, FTW_PHYS);
	return usage_bytes;
}

bool fs_exists(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0;
}
