/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/build_cache.h"

#include "base/clock.h"
#include "base/fs.h"
#include "bisect/build_manifest.h"
#include "bisect/sandbox.h"
#include "harness/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

char *build_cache_path(const struct build_cache *c, const char *folder, const char *name)
{
	return x_printf("%s/%s%s%s", c->root, folder, name ? "/" : "", name ? name : "");
}

/* Absolute, without making anything. Owned by the caller. */
static char *absolute(const char *path)
{
	if (*path == '/')
		return x_strdup(path);
	char *cwd = getcwd(NULL, 0);
	char *p = x_printf("%s/%s", cwd ? cwd : "", path);
	free(cwd);
	return p;
}

int build_cache_open(struct build_cache **c, const char *root, const char *base,
		     const struct build_cache_options *o, struct error *e)
{
	*c = NULL;
	const char *env = getenv("HAKPERF_CACHE");
	char *path = root	   ? absolute(root)
		     : env && *env ? absolute(env)
				   : x_printf("%s/build/prefix", base);
	static const char *const folders[] = { "lock", "tmp" };
	int rc = 0;
	struct error cause = { 0 };
	if (strpbrk(path, " :\n"))
		rc = error_set(e, -EINVAL,
			       "the build cache %s cannot serve: the loader splits LD_PRELOAD at "
			       "blanks and colons; set HAKPERF_CACHE to another folder",
			       path);
	for (size_t i = 0; i < 2 && !rc; i++) {
		char *folder = x_printf("%s/%s", path, folders[i]);
		rc = fs_mkdirs(folder, &cause);
		if (!rc && access(folder, W_OK))
			rc = error_errno(&cause, errno, "cannot write to %s", folder);
		if (rc)
			rc = error_set(e, rc, "%s: set HAKPERF_CACHE to a folder of yours",
				       cause.text);
		free(folder);
	}
	if (rc) {
		free(path);
		return rc;
	}
	struct build_cache *x = x_calloc(1, sizeof(*x));
	x->root = path;
	x->options = o ? *o : (struct build_cache_options){ 0 };
	pthread_mutex_init(&x->lock, NULL);
	*c = x;
	return 0;
}

void build_cache_close(struct build_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_toolchains; i++) {
		free(c->toolchains[i]->cc);
		free(c->toolchains[i]->line);
		free(c->toolchains[i]->text);
		free(c->toolchains[i]);
	}
	free(c->toolchains);
	free(c->root);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

const char *build_cache_root(const struct build_cache *c)
{
	return c->root;
}

bool build_cache_bubblewrap(struct build_cache *c)
{
	pthread_mutex_lock(&c->lock);
	if (c->sandbox == SANDBOX_UNKNOWN)
		c->sandbox = !c->options.plain && sandbox_works() ? SANDBOX_BUBBLEWRAP
								  : SANDBOX_PLAIN;
	bool is = c->sandbox == SANDBOX_BUBBLEWRAP;
	pthread_mutex_unlock(&c->lock);
	return is;
}

int64_t build_cache_now(const struct build_cache *c)
{
	return c->options.now_s ? (int64_t)c->options.now_s : clock_wall_s();
}

/* What one program prints, on either stream. */
static int ask(const char *const *argv, struct buf *out, struct error *e)
{
	static const char *const env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL };
	struct child_spec spec = { .argv = argv,
				   .env = env,
				   .cpu = -1,
				   .pass_fd = -1,
				   .timeout_ns = 30000000000u,
				   .max_output = 65536 };
	struct child_result r = { 0 };
	int rc = child_run(&spec, &r, e);
	if (!rc && (r.outcome != CHILD_EXITED || r.status)) {
		struct buf how = { 0 };
		child_describe(&r, &how);
		rc = error_set(e, -ENOENT,
			       "the compiler '%s' does not tell its version (%s): install it, or "
			       "name another as 'cc' in hakperf.ini",
			       argv[0], buf_str(&how));
		buf_release(&how);
	}
	if (!rc) {
		buf_puts(out, buf_str(&r.out));
		buf_puts(out, buf_str(&r.err));
	}
	child_release(&r);
	return rc;
}

/* Path and version of compiler and linker, and the machine. */
static int describe_toolchain(const char *cc, struct toolchain *t, struct error *e)
{
	struct buf version = { 0 }, where = { 0 }, linker = { 0 };
	const char *which[] = { "/bin/sh", "-c", "command -v \"$0\"", cc, NULL };
	const char *ask_version[] = { cc, "--version", NULL };
	const char *ask_linker[] = { "ld", "--version", NULL };
	struct utsname u;
	uname(&u);
	int rc = ask(ask_version, &version, e);
	rc = rc ? rc : ask(which, &where, e);
	/* A missing ld is the build's to complain about. */
	struct error ignored = { 0 };
	if (!rc)
		ask(ask_linker, &linker, &ignored);
	if (!rc) {
		char *given =
			x_printf("%.*s", (int)strcspn(buf_str(&where), "\n"), buf_str(&where));
		char *real = realpath(given, NULL);
		t->cc = x_strdup(cc);
		t->line = x_printf("%.*s (%s)", (int)strcspn(buf_str(&version), "\n"),
				   buf_str(&version), real ? real : given);
		t->text = x_printf("%s\n%s\n%s\n%.*s\n", u.machine, real ? real : given,
				   buf_str(&version), (int)strcspn(buf_str(&linker), "\n"),
				   buf_str(&linker));
		free(given);
		free(real);
	}
	buf_release(&version);
	buf_release(&where);
	buf_release(&linker);
	return rc;
}

int build_cache_toolchain(struct build_cache *c, const char *cc, const struct toolchain **out,
			  struct error *e)
{
	int rc = 0;
	pthread_mutex_lock(&c->lock);
	size_t i = 0;
	while (i < c->n_toolchains && strcmp(c->toolchains[i]->cc, cc))
		i++;
	if (i == c->n_toolchains) {
		struct toolchain *t = x_calloc(1, sizeof(*t));
		rc = describe_toolchain(cc, t, e);
		if (rc) {
			free(t);
		} else {
			x_grow(c->toolchains, c->n_toolchains, c->cap_toolchains);
			c->toolchains[c->n_toolchains++] = t;
		}
	}
	if (!rc)
		*out = c->toolchains[i];
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static void pause_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	nanosleep(&t, NULL);
}

int build_cache_lock(struct build_cache *c, const char *key, bool exclusive, bool wait, int *fd,
		     struct error *e)
{
	char *path = build_cache_path(c, "lock", key);
	int rc = 0;
	for (long ms = 1;;) {
		int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
		if (f < 0) {
			rc = error_errno(e, errno, "cannot lock %s", path);
			break;
		}
		struct stat held, named;
		if (flock(f, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0) {
			/* gc unlinks the lock of an entry that it removed: then this is not the
			 * key's lock any more. */
			if (!fstat(f, &held) && !stat(path, &named) &&
			    held.st_ino == named.st_ino && held.st_dev == named.st_dev) {
				*fd = f;
				break;
			}
			close(f);
			continue;
		}
		int why = errno;
		close(f);
		if (why != EWOULDBLOCK && why != EINTR) {
			rc = error_errno(e, why, "cannot lock %s", path);
			break;
		}
		if (!wait) {
			rc = -EWOULDBLOCK;
			break;
		}
		if (child_interrupted()) {
			rc = error_set(e, -EINTR,
				       "interrupted while waiting for another builder of %.12s",
				       key);
			break;
		}
		/* flock(2) cannot be waited for and interrupted from another thread, so it is asked
		 * again. */
		pause_ms(ms);
		ms = ms < 50 ? 2 * ms : 50;
	}
	free(path);
	return rc;
}

int build_cache_load(struct build_cache *c, const char *key, bool touch, struct build *b)
{
	char *dir = build_cache_path(c, key, NULL), *path = x_printf("%s/manifest.json", dir);
	struct build_manifest_extra x = { 0 };
	struct build got = { 0 };
	struct stat st;
	int there = build_manifest_read(path, &got, &x) == 0 && !strcmp(got.key, key);
	if (there) {
		got.cached = true;
		got.prefix = x_printf("%s/prefix", dir);
		got.log = x_printf("%s/build.log", dir);
		got.dir = x_strdup(dir);
		if (stat(path, &st) == 0)
			got.used_s = st.st_mtime;
	}
	if (there && got.outcome == BUILD_OK) {
		got.artifact = x_printf("%s/%s", got.prefix, x.artifact);
		there = stat(got.artifact, &st) == 0 && (uint64_t)st.st_size == x.artifact_size;
	}
	if (there && touch) {
		struct timespec now[2] = { { .tv_sec = build_cache_now(c) },
					   { .tv_sec = build_cache_now(c) } };
		if (utimensat(AT_FDCWD, path, now, 0) == 0)
			got.used_s = build_cache_now(c);
	}
	if (there)
		*b = got;
	else
		build_release(&got);
	free(x.artifact);
	free(dir);
	free(path);
	return there;
}

int build_cache_drop(struct build_cache *c, const char *key, struct error *e)
{
	char *dir = build_cache_path(c, key, NULL),
	     *gone = x_printf("%s/tmp/%s-gone.XXXXXX", c->root, key);
	int rc = 0;
	if (fs_exists(dir)) {
		if (!mkdtemp(gone))
			rc = error_errno(e, errno, "cannot make a folder in %s/tmp", c->root);
		/* rename(2) replaces an empty folder. */
		else if (rename(dir, gone))
			rc = error_errno(e, errno, "cannot remove %s", dir);
		else
			rc = fs_remove(gone, e);
	}
	free(dir);
	free(gone);
	return rc;
}

int build_cache_tidy(struct build_cache *c, const char *key, struct error *e)
{
	char *path = build_cache_path(c, "tmp", NULL);
	DIR *d = opendir(path);
	int rc = 0;
	for (struct dirent *ent; d && !rc && (ent = readdir(d));) {
		if (strncmp(ent->d_name, key, BUILD_KEY - 1))
			continue;
		char *stale = x_printf("%s/%s", path, ent->d_name);
		rc = fs_remove(stale, e);
		free(stale);
	}
	if (d)
		closedir(d);
	free(path);
	return rc;
}

int build_pin(struct build_cache *c, struct build *b, struct error *e)
{
	if (b->pin)
		return 0;
	int fd = -1;
	int rc = build_cache_lock(c, b->key, false, true, &fd, e);
	if (rc)
		return rc;
	struct build now = { 0 };
	bool there = build_cache_load(c, b->key, true, &now) && now.outcome == BUILD_OK;
	build_release(&now);
	/* 0 means "not pinned", so the descriptor must not be 0. */
	if (there && fd == 0) {
		fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
		close(0);
	}
	if (!there) {
		close(fd);
		return error_set(e, -ENOENT,
				 "the build %.12s is not in the cache any more: build it again",
				 b->key);
	}
	b->pin = fd;
	return 0;
}

void build_unpin(struct build *b)
{
	if (b->pin)
		close(b->pin);
	b->pin = 0;
}

struct gc_entry {
	char key[BUILD_KEY];
	int64_t used_s;
	uint64_t bytes;
};

static int older_first(const void *a, const void *b)
{
	const struct gc_entry *x = a, *y = b;
	return x->used_s < y->used_s ? -1 : x->used_s > y->used_s ? 1 : strcmp(x->key, y->key);
}

static bool is_key(const char *name)
{
	return strlen(name) == BUILD_KEY - 1 && strspn(name, "0123456789abcdef") == BUILD_KEY - 1;
}

/* Somebody builds at this moment, or has just been killed. */
static bool scratch_in_use(const struct build_cache *c)
{
	char *path = build_cache_path(c, "tmp", NULL);
	DIR *d = opendir(path);
	bool used = false;
	for (struct dirent *ent; d && (ent = readdir(d));)
		used |= strcmp(ent->d_name, ".") && strcmp(ent->d_name, "..");
	if (d)
		closedir(d);
	free(path);
	return used;
}

/* What killed builders left: whatever in tmp/ belongs to a key that nobody holds. */
static void gc_scratch(struct build_cache *c)
{
	char *path = build_cache_path(c, "tmp", NULL);
	DIR *d = opendir(path);
	for (struct dirent *ent; d && (ent = readdir(d));) {
		char key[BUILD_KEY] = "";
		int fd;
		if (strlen(ent->d_name) >= BUILD_KEY)
			memcpy(key, ent->d_name, BUILD_KEY - 1);
		if (!is_key(key) || build_cache_lock(c, key, true, false, &fd, NULL))
			continue;
		char *stale = x_printf("%s/%s", path, ent->d_name);
		fs_remove(stale, NULL);
		free(stale);
		close(fd);
	}
	if (d)
		closedir(d);
	free(path);
}

static size_t gc_list(struct build_cache *c, struct gc_entry **list)
{
	size_t n = 0, cap = 0;
	DIR *d = opendir(c->root);
	for (struct dirent *ent; d && (ent = readdir(d));) {
		if (!is_key(ent->d_name))
			continue;
		x_grow(*list, n, cap);
		struct gc_entry *x = &(*list)[n++];
		*x = (struct gc_entry){ 0 };
		memcpy(x->key, ent->d_name, BUILD_KEY);
		char *dir = build_cache_path(c, x->key, NULL),
		     *manifest = x_printf("%s/manifest.json", dir);
		struct stat st;
		/* Without a manifest it is nothing that could be used: first to go. */
		x->used_s = stat(manifest, &st) == 0 ? st.st_mtime : 0;
		x->bytes = fs_disk_usage(dir);
		free(dir);
		free(manifest);
	}
	if (d)
		closedir(d);
	if (n)
		qsort(*list, n, sizeof(**list), older_first);
	return n;
}

static int gc_one(struct build_cache *c, const char *key, bool *busy, struct error *e)
{
	int fd, rc = build_cache_lock(c, key, true, false, &fd, e);
	*busy = rc == -EWOULDBLOCK;
	if (rc)
		return *busy ? 0 : rc;
	rc = build_cache_drop(c, key, e);
	if (!rc) {
		char *lock = build_cache_path(c, "lock", key);
		unlink(lock);
		free(lock);
	}
	close(fd);
	return rc;
}

int build_gc(struct build_cache *c, uint64_t limit_bytes, struct build_gc *out, struct error *e)
{
	*out = (struct build_gc){ 0 };
	gc_scratch(c);
	struct gc_entry *list = NULL;
	size_t n = gc_list(c, &list);
	char *tmp = build_cache_path(c, "tmp", NULL), *ccache = build_cache_path(c, "ccache", NULL);
	uint64_t ccache_bytes = fs_disk_usage(ccache);
	out->used_bytes = ccache_bytes + fs_disk_usage(tmp);
	for (size_t i = 0; i < n; i++)
		out->used_bytes += list[i].bytes;
	int rc = 0;
	for (size_t i = 0; i < n && !rc; i++) {
		bool busy = false;
		if (out->used_bytes <= limit_bytes) {
			out->kept += n - i;
			break;
		}
		rc = gc_one(c, list[i].key, &busy, e);
		if (rc)
			break;
		if (busy) {
			out->in_use++;
			out->kept++;
			continue;
		}
		out->removed++;
		out->freed_bytes += list[i].bytes;
		out->used_bytes -= list[i].bytes;
	}
	if (!rc && out->used_bytes > limit_bytes && ccache_bytes && !scratch_in_use(c)) {
		rc = fs_remove(ccache, e);
		out->freed_bytes += ccache_bytes;
		out->used_bytes -= ccache_bytes;
	}
	free(list);
	free(tmp);
	free(ccache);
	return rc;
}
