/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/probe.h"

#include "harness/child.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const unsigned char interpose[] = {
#include "harness/probe/interpose.h"
};

static const uint64_t TIMEOUT_NS = 10000000000u;

/* The program as a file in memory; its descriptor, or -errno. */
static int load(struct error *e)
{
	int fd = memfd_create("interpose", MFD_CLOEXEC);
	if (fd < 0)
		return error_errno(e, errno, "cannot make a file in memory");
	for (size_t at = 0; at < sizeof(interpose);) {
		ssize_t n = write(fd, interpose + at, sizeof(interpose) - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int rc = error_errno(e, errno, "cannot fill a file in memory");
			close(fd);
			return rc;
		}
		at += (size_t)n;
	}
	return fd;
}

static bool same_file(const char *a, const struct stat *b)
{
	struct stat st;
	return !stat(a, &st) && st.st_dev == b->st_dev && st.st_ino == b->st_ino;
}

static size_t line_length(const char *s)
{
	return strcspn(s, "\n");
}

/* Judge the probe's lines: all five functions resolve into the file; why names the first that does
 * not. */
static bool resolves(const char *out, const struct stat *file, size_t *n, struct buf *why)
{
	bool ok = true;
	for (const char *p = out; *p && *n < 5; (*n)++) {
		size_t len = line_length(p), name = strcspn(p, " \n");
		if (name < len) {
			char *where = strndup(p + name + 1, len - name - 1);
			if (where && !same_file(where, file) && ok) {
				buf_printf(why, "%.*s resolves into %s", (int)name, p, where);
				ok = false;
			}
			free(where);
		}
		p += len + (p[len] == '\n');
	}
	return ok;
}

static enum probe_outcome judge(const struct child_result *r, const struct stat *file,
				struct buf *why)
{
	size_t n = 0;
	const char *out = buf_str(&r->out), *err = buf_str(&r->err);
	if (!resolves(out, file, &n, why)) {
		/* The loader says on stderr why it left a library out. */
		if (strstr(err, "cannot be preloaded"))
			buf_printf(why, " (%.*s)", (int)line_length(err), err);
		return PROBE_NOT_INTERPOSING;
	}
	if (n == 5 && strstr(out, "\nserves") && r->outcome == CHILD_EXITED && r->status == 0)
		return PROBE_OK;
	if (r->outcome == CHILD_EXITED && r->status == 3)
		buf_puts(why,
			 "a small program under it got no memory, or memory with wrong contents");
	else {
		buf_puts(why, "a small program under it ended badly: ");
		child_describe(r, why);
	}
	if (*err)
		buf_printf(why, ": %.*s", (int)line_length(err), err);
	return PROBE_CRASHED;
}

int probe_preload(const char *path, enum probe_outcome *outcome, struct buf *why, struct error *e)
{
	struct stat file;
	if (stat(path, &file))
		return error_errno(e, errno, "cannot read %s", path);
	if (strpbrk(path, " :"))
		return error_set(e, -EINVAL,
				 "'%s' cannot be preloaded: the loader splits LD_PRELOAD at blanks "
				 "and colons; move it",
				 path);
	int fd = load(e);
	if (fd < 0)
		return fd;
	char *program = x_printf("/proc/self/fd/%d", fd),
	     *preload = x_printf("LD_PRELOAD=%s", path);
	const char *argv[] = { program, NULL }, *env[] = { preload, "LD_BIND_NOW=1", NULL };
	struct child_spec spec = { .argv = argv,
				   .env = env,
				   .cpu = -1,
				   .pass_fd = fd,
				   .timeout_ns = TIMEOUT_NS,
				   .max_output = 65536 };
	struct child_result r = { 0 };
	int rc = child_run(&spec, &r, e);
	if (!rc && r.outcome == CHILD_NOT_STARTED)
		rc = error_errno(e, r.status, "cannot start the interposition probe");
	if (!rc)
		*outcome = judge(&r, &file, why);
	child_release(&r);
	close(fd);
	free(program);
	free(preload);
	return rc;
}
