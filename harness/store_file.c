/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/store_file.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return x_strdup(".");
	return slash == path ? x_strdup("/") : x_printf("%.*s", (int)(slash - path), path);
}

bool store_file_writable(const char *path)
{
	char *folder = folder_of(path);
	bool ok = !faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) &&
		  (!faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) || errno == ENOENT);
	free(folder);
	return ok;
}

bool store_file_has_wal(const char *path)
{
	char *wal = x_printf("%s-wal", path);
	struct stat st;
	bool has = !stat(wal, &st) && st.st_size > 0;
	free(wal);
	return has;
}

static uint32_t big_endian(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The header of the file format, https://www.sqlite.org/fileformat2.html#the_database_header */
static int check_header(const char *path, int64_t size, const unsigned char *h, size_t n, struct error *e)
{
	static const char magic[16] = "SQLite format 3";
	if (memcmp(h, magic, n < sizeof(magic) ? n : sizeof(magic)))
		return error_set(e, -EMEDIUMTYPE, "%s is not a database: give another with --db", path);
	if (n < 100)
		return error_set(e, -EUCLEAN, "%s is cut short (%" PRId64 " bytes): restore a copy", path, size);
	uint32_t page = (uint32_t)h[16] << 8 | h[17];
	if (page == 1)
		page = 65536;
	/* The page count is to be believed only if it was written with the last change; the log may hold the rest. */
	if (big_endian(h + 24) == big_endian(h + 92) && !store_file_has_wal(path) && (int64_t)big_endian(h + 28) * page > size)
		return error_set(e, -EUCLEAN,
				 "%s is cut short (%" PRId64 " of %" PRId64 " bytes): restore a copy, or save what can be read with sqlite3's .recover",
				 path, size, (int64_t)big_endian(h + 28) * page);
	return 0;
}

int store_file_check(const char *path, bool may_be_missing, struct error *e)
{
	struct stat st;
	if (stat(path, &st)) {
		if (errno != ENOENT)
			return error_errno(e, errno, "cannot open the database %s", path);
		if (!may_be_missing)
			return error_set(e, -ENOENT, "there is no database at %s: measure something first, or give another with --db", path);
		if (store_file_writable(path))
			return 0;
		return error_set(e, -EROFS, "cannot make %s: its folder does not exist or cannot be written: give a database elsewhere with --db", path);
	}
	if (S_ISDIR(st.st_mode))
		return error_set(e, -EISDIR, "%s is a folder, not a database", path);
	if (!S_ISREG(st.st_mode))
		return error_set(e, -EMEDIUMTYPE, "%s is not a regular file: give another with --db", path);
	if (st.st_size == 0)
		return may_be_missing ? 0 : error_set(e, -ENOENT, "%s is empty: nothing was stored there yet", path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, errno, "cannot read the database %s", path);
	unsigned char header[100];
	ssize_t n = pread(fd, header, sizeof(header), 0);
	int err = errno;
	close(fd);
	if (n < 0)
		return error_errno(e, err, "cannot read the database %s", path);
	return check_header(path, st.st_size, header, (size_t)n, e);
}

/*
 * The writer of a write-ahead log holds byte 120 of the -shm file (https://www.sqlite.org/walformat.html, "WAL Locks").
 * Read from /proc/locks: opening that file here and closing it would drop this process's own locks on it.
 */
void store_file_writer(const char *path, char *out, size_t n)
{
	snprintf(out, n, "another process");
	char *shm = x_printf("%s-shm", path);
	struct stat st;
	int rc = stat(shm, &st);
	free(shm);
	FILE *f = rc ? NULL : fopen("/proc/locks", "re");
	if (!f)
		return;
	char line[256];
	while (fgets(line, sizeof(line), f)) {
		int pid;
		unsigned major_id, minor_id;
		uint64_t inode, from, to;
		if (sscanf(line, "%*d: POSIX ADVISORY WRITE %d %x:%x:%" SCNu64 " %" SCNu64 " %" SCNu64, &pid, &major_id, &minor_id, &inode,
			   &from, &to) != 6)
			continue;
		if (pid <= 0 || major_id != major(st.st_dev) || minor_id != minor(st.st_dev) || inode != st.st_ino || from > 120 || to < 120)
			continue;
		char comm[32] = "", name[40];
		snprintf(name, sizeof(name), "/proc/%d/comm", pid);
		FILE *c = fopen(name, "re");
		if (c) {
			if (fgets(comm, sizeof(comm), c))
				comm[strcspn(comm, "\n")] = '\0';
			fclose(c);
		}
		snprintf(out, n, comm[0] ? "process %d (%s)" : "process %d", pid, comm);
		break;
	}
	fclose(f);
}
