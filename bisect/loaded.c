/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/loaded.h"

#include "base/buf.h"
#include "harness/artifact.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool left_out(const char *path)
{
	static const char *const folders[] = { "include", "share/hakperf" }, *const ends[] = { ".a", ".o", ".la", ".pc" };
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path, *dot = strrchr(name, '.');
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (!strcmp(path, folders[i]))
			return true;
	for (size_t i = 0; dot && i < sizeof(ends) / sizeof(*ends); i++)
		if (!strcmp(dot, ends[i]))
			return true;
	return !strcmp(name, "__pycache__");
}

static int describe_file(const char *full, const char *path, const struct stat *st, struct buf *text, struct error *e)
{
	if (S_ISLNK(st->st_mode)) {
		char to[PATH_MAX];
		ssize_t n = readlink(full, to, sizeof(to));
		if (n < 0)
			return error_errno(e, errno, "cannot read the link %s", full);
		buf_printf(text, "%s -> %.*s\n", path, (int)n, to);
		return 0;
	}
	struct artifact a;
	if (!S_ISREG(st->st_mode))
		return 0;
	int rc = artifact_read(full, &a, e);
	if (!rc)
		buf_printf(text, "%s %d %s\n", path, (st->st_mode & 0111) != 0, a.loaded);
	return rc;
}

static int describe(const char *prefix, const char *below, struct buf *text, struct error *e)
{
	char *folder = *below ? x_printf("%s/%s", prefix, below) : x_strdup(prefix);
	struct dirent **list = NULL;
	int rc = 0, n = scandir(folder, &list, NULL, alphasort);
	if (n < 0)
		rc = error_errno(e, errno, "cannot read the folder %s", folder);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		if (!rc && strcmp(name, ".") && strcmp(name, "..")) {
			char *path = *below ? x_printf("%s/%s", below, name) : x_strdup(name), *full = x_printf("%s/%s", prefix, path);
			struct stat st;
			if (lstat(full, &st))
				rc = error_errno(e, errno, "cannot read %s", full);
			else if (!left_out(path))
				rc = S_ISDIR(st.st_mode) ? describe(prefix, path, text, e) : describe_file(full, path, &st, text, e);
			free(path), free(full);
		}
		free(list[i]);
	}
	free(list), free(folder);
	return rc;
}

int loaded_of_prefix(const char *prefix, char hash[HASH_HEX], struct error *e)
{
	struct buf text = { 0 };
	int rc = describe(prefix, "", &text, e);
	if (!rc)
		hash_bytes(text.data, text.len, hash);
	buf_release(&text);
	return rc;
}
