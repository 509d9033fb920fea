/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/build.h"

#include "base/clock.h"
#include "base/fs.h"
#include "bisect/build_cache.h"
#include "bisect/build_manifest.h"
#include "bisect/linkcatch.h"
#include "bisect/loaded.h"
#include "bisect/sandbox.h"
#include "harness/artifact.h"
#include "harness/probe.h"
#include "harness/relink.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_NS 600000000000u
#define MAX_LOG (8u << 20)
#define FULL_BYTES                                                                                 \
	(16u << 20) /* less free space than this, and a failure that speaks of it is the disk's */
#define NOTHING_BYTES (1u << 20) /* less than this, and there is no room to speak of it */

/* One build under way. */
struct making {
	struct build_cache *cache;
	const struct recipe *recipe;
	unsigned jobs;
	char *scratch, *box, *entry, *log, *prefix; /* prefix: where it lies while it is built */
	struct sandbox sandbox;
	struct build *b;
	struct build_manifest_extra extra;
};

static const char * or (const char *s, const char *otherwise)
{
	return s ? s : otherwise;
}

static void set(char **s, char *value)
{
	free(*s);
	*s = value;
}

int build_key(struct build_cache *c, struct history *h, const struct history_commit *commit,
	      const struct recipe *r, char key[BUILD_KEY], struct error *e)
{
	const struct toolchain *t;
	char tree[HASH_HEX], hex[HASH_HEX];
	int rc = history_tree_key(h, commit, r->paths, r->n_paths, tree, NULL, e);
	rc = rc ? rc : build_cache_toolchain(c, or (r->cc, "gcc"), &t, e);
	if (rc)
		return rc;
	struct buf text = { 0 };
	buf_printf(&text, "hakperf build %d\n%s\n%s", r->kind == RECIPE_PRELOAD ? 1 : 2, tree,
		   t->text);
	recipe_canonical(r, &text);
	hash_bytes(text.data, text.len, hex);
	buf_release(&text);
	snprintf(key, BUILD_KEY, "%.*s", BUILD_KEY - 1, hex);
	return 0;
}

static void __attribute__((format(printf, 3, 4)))
decide(struct making *m, enum build_outcome outcome, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	struct buf line = { 0 };
	buf_puts(&line, "");
	history_escape(text, strcspn(text, "\n"), false, &line);
	free(text);
	m->b->outcome = outcome;
	set(&m->b->detail, buf_detach(&line));
}

static char *line_at(const char *log, const char *p)
{
	while (p > log && p[-1] != '\n')
		p--;
	p += strspn(p, " \t");
	size_t len = strcspn(p, "\n");
	return x_printf("%.*s", (int)(len < 300 ? len : 300), p);
}

/* The first line that holds one of the words, earlier words first; NULL: none does. Owned by the
 * caller. */
static char *log_line(const char *log, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *found = strstr(log, words[i]);
		if (found)
			return line_at(log, found);
	}
	return NULL;
}

/* What a command said last; NULL when it said nothing. */
static char *last_line(const char *log)
{
	size_t n = strlen(log);
	while (n && log[n - 1] == '\n')
		n--;
	char *line = line_at(log, log + n);
	if (strncmp(line, "$ ", 2) && *line)
		return line;
	free(line);
	return NULL;
}

static bool disk_has_less(const char *path, uint64_t bytes)
{
	struct statvfs v;
	return statvfs(path, &v) == 0 &&
	       ((uint64_t)v.f_bavail * v.f_frsize < bytes || (v.f_files && v.f_favail < 100));
}

static void read_log(const struct making *m, struct buf *log)
{
	struct error ignored = { 0 };
	fs_read(m->log, MAX_LOG, log, &ignored);
}

/* A shell, and bubblewrap, tell of a signal as 128 and its number. */
static void describe_end(const struct making *m, const struct child_result *r, struct buf *out)
{
	struct child_result said = *r;
	if (m->sandbox.bubblewrap && said.outcome == CHILD_EXITED && said.status > 128 &&
	    sigabbrev_np(said.status - 128)) {
		said.outcome = CHILD_SIGNALLED;
		said.status -= 128;
	}
	child_describe(&said, out);
}

/*
 * A command failed. Is it the commit's doing, or the machine's? A machine's fault read as "this
 * commit is broken" would be remembered and mislead every later search, so it is an error.
 */
static int judge_failure(struct making *m, const char *command, const struct child_result *r,
			 struct error *e)
{
	static const char *const full[] = { "No space left on device", "Disk quota exceeded" };
	static const char *const memory[] = { "Killed signal terminated program",
					      "virtual memory exhausted",
					      "Cannot allocate memory" };
	static const char *const outside[] = { "Read-only file system" };
	static const char *const telling[] = {
		/* The linker says what is wrong before collect2 says that something was. */
		"undefined reference", "ld: cannot", "error:", "Error:", "fatal:",
		"No rule to make target", "rror"
	};
	struct buf log = { 0 }, how = { 0 };
	read_log(m, &log);
	describe_end(m, r, &how);
	const char *text = buf_str(&log);
	char *line = NULL;
	int rc = 0;
	char *said = log_line(text, full, 2);
	/* A full disk has no room for the log to say so either. */
	if (disk_has_less(m->box, said ? FULL_BYTES : NOTHING_BYTES))
		rc = error_set(e, -ENOSPC,
			       "the disk of %s is full: free space there, 'hakperf gc' removes old "
			       "builds (%s)",
			       m->cache->root, said ? said : "a build failed on it");
	else if ((line = log_line(text, memory, 3)))
		rc = error_set(e, -ENOMEM, "a build ran out of memory: build fewer at once (%s)",
			       line);
	else if (m->sandbox.bubblewrap && (line = log_line(text, outside, 1)))
		decide(m, BUILD_WROTE_OUTSIDE, "'%s' writes outside its prefix: %s", command, line);
	else {
		line = log_line(text, telling, sizeof(telling) / sizeof(*telling));
		if (!line)
			line = last_line(text);
		decide(m, BUILD_FAILED, "'%s': %s%s%s", command, buf_str(&how), line ? ": " : "",
		       line ? line : "");
	}
	free(said);
	free(line);
	buf_release(&log);
	buf_release(&how);
	return rc;
}

static int note_command(struct making *m, char *const *argv, struct error *e)
{
	FILE *f = fopen(m->log, "ae");
	if (!f)
		return error_errno(e, errno, "cannot write %s", m->log);
	fputs("$", f);
	for (size_t i = 0; argv[i]; i++)
		fprintf(f, " %s", argv[i]);
	fputc('\n', f);
	return fclose(f) ? error_errno(e, errno, "cannot write %s", m->log) : 0;
}

/* Run the commands. Afterwards either the outcome is decided or all of them ended well. */
static int run_commands(struct making *m, struct error *e)
{
	const struct recipe *r = m->recipe;
	char *src = sandbox_path(&m->sandbox, "src"), *prefix = sandbox_path(&m->sandbox, "prefix");
	/* Plain boxes lie in different places: the compiler is told to write the sandbox's path. */
	char *cflags = m->sandbox.bubblewrap ? x_strdup(or (r->cflags, "-O2"))
					     : x_printf("%s -ffile-prefix-map=%s=/tmp/src",
							or (r->cflags, "-O2"), src);
	struct recipe_values v = {
		.src = src, .prefix = prefix, .jobs = m->jobs, .cflags = cflags
	};
	uint64_t timeout = r->timeout_ns ? r->timeout_ns : DEFAULT_TIMEOUT_NS,
		 start = clock_mono_ns();
	int rc = sandbox_prepare(&m->sandbox, r, e);
	for (size_t i = 0; i < r->n_commands && !rc && m->b->outcome == BUILD_NONE; i++) {
		struct recipe_words argv = { 0 };
		struct child_result res = { 0 };
		uint64_t spent = clock_mono_ns() - start;
		rc = recipe_expand(r, r->commands[i], &v, &argv, e);
		rc = rc ? rc : note_command(m, argv.v, e);
		rc = rc ? rc
			: sandbox_run(&m->sandbox, r, &v, argv.v, m->log,
				      timeout > spent ? timeout - spent : 1, &res, e);
		if (!rc && res.outcome == CHILD_TIMED_OUT)
			decide(m, BUILD_TIMED_OUT, "'%s': not done after %.0f s", r->commands[i],
			       (double)timeout / 1e9);
		else if (!rc && (res.outcome != CHILD_EXITED || res.status))
			rc = judge_failure(m, r->commands[i], &res, e);
		child_release(&res);
		recipe_words_release(&argv);
	}
	free(src);
	free(prefix);
	free(cflags);
	return rc;
}

static void missing(struct making *m)
{
	struct stat st;
	char *path = x_printf("%s/%s", m->prefix, m->recipe->artifact);
	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
		char target[4096];
		ssize_t n = readlink(path, target, sizeof(target) - 1);
		decide(m, BUILD_WROTE_OUTSIDE, "%s is a link to %.*s, which leaves the prefix",
		       m->recipe->artifact, (int)(n > 0 ? n : 0), target);
	} else {
		bool empty = rmdir(m->prefix) == 0;
		decide(m, BUILD_NO_ARTIFACT,
		       "the commands ended well and there is no %s in the prefix%s",
		       m->recipe->artifact, empty ? ", which is empty" : "");
	}
	free(path);
}

/* Find the artifact: a file in the prefix, reached without leaving it. NULL: the outcome is
 * decided. Owned by the caller. */
static char *find_artifact(struct making *m)
{
	char *path = x_printf("%s/%s", m->prefix, m->recipe->artifact);
	char *real = realpath(path, NULL), *root = realpath(m->prefix, NULL);
	struct stat st;
	if (!real || !root || stat(real, &st)) {
		missing(m);
	} else if (strncmp(real, root, strlen(root)) || real[strlen(root)] != '/') {
		decide(m, BUILD_WROTE_OUTSIDE, "%s is a link that leaves the prefix",
		       m->recipe->artifact);
	} else if (!S_ISREG(st.st_mode)) {
		decide(m, BUILD_NO_ARTIFACT, "%s is not a file", m->recipe->artifact);
	} else if (m->recipe->kind == RECIPE_EXEC && !(st.st_mode & 0111)) {
		decide(m, BUILD_NO_ARTIFACT, "%s is not executable", m->recipe->artifact);
	}
	free(real);
	free(root);
	if (m->b->outcome == BUILD_NONE)
		return path;
	free(path);
	return NULL;
}

/* Does the replayed link give the artifact, byte for byte or at least in what is loaded? */
static void compare_replay(struct making *m, struct relink *r, const char *out, bool *bytes,
			   bool *loaded)
{
	struct artifact a;
	struct error ignored = { 0 };
	bool replayed = relink_canonical(r, out, &ignored) == 0 &&
			artifact_read(out, &a, &ignored) == 0;
	*bytes = replayed && !strcmp(a.file, m->b->file_hash);
	*loaded = replayed && !strcmp(a.loaded, m->b->loaded_hash);
}

/*
 * Try what relinking promises, once per build: a shuffled link, and the canonical one byte for
 * byte. A link that was caught, not named by the recipe, must also give the artifact: else other
 * objects than the artifact's would be measured.
 */
static void try_relink(struct making *m)
{
	struct relink *r = NULL;
	struct error e = { 0 };
	char *out = x_printf("%s/trial", m->scratch);
	bool caught = !relink_possible(m->prefix) &&
		      linkcatch_adopt(m->box, m->b->loaded_hash, m->prefix),
	     loaded = false;
	int rc = relink_open(&r, m->prefix, &e);
	rc = rc ? rc : relink_shuffled(r, 1, out, &e);
	if (r)
		compare_replay(m, r, out, &m->b->canonical, &loaded);
	if (!rc && caught && !loaded)
		rc = error_set(&e, -EINVAL,
			       "the link that was caught does not give the artifact again");
	m->b->relinkable = rc == 0;
	if (rc == -ENOENT && !relink_possible(m->prefix))
		set(&m->b->relink_why, x_strdup("the build leaves no link command, and no link "
						"that made the artifact was caught"));
	else
		set(&m->b->relink_why, x_strdup(e.text));
	unlink(out);
	relink_close(r);
	free(out);
}

static int prove_interposition(struct making *m, const char *artifact, struct error *e)
{
	enum probe_outcome p;
	struct buf why = { 0 };
	int rc = probe_preload(artifact, &p, &why, e);
	if (!rc && p == PROBE_NOT_INTERPOSING)
		decide(m, BUILD_NOT_INTERPOSING, "%s builds and does not interpose: %s",
		       m->recipe->artifact, buf_str(&why));
	else if (!rc && p == PROBE_CRASHED)
		decide(m, BUILD_CRASHING, "%s: %s", m->recipe->artifact, buf_str(&why));
	buf_release(&why);
	return rc;
}

/* The commands ended well: what did they make? */
static int judge_artifact(struct making *m, struct error *e)
{
	char *artifact = find_artifact(m);
	if (!artifact)
		return 0;
	struct artifact a;
	struct stat st;
	struct error broken = { 0 };
	int rc = artifact_read(artifact, &a, &broken);
	if (rc == -EBADMSG) {
		decide(m, BUILD_NO_ARTIFACT, "%s", broken.text);
		rc = 0;
	} else if (rc) {
		rc = error_set(e, rc, "%s", broken.text);
	} else {
		memcpy(m->b->file_hash, a.file, HASH_HEX);
		memcpy(m->b->loaded_hash, a.loaded, HASH_HEX);
		set(&m->b->build_id, x_strdup(a.build_id));
		m->extra.artifact_size = stat(artifact, &st) == 0 ? (uint64_t)st.st_size : 0;
		if (m->recipe->kind == RECIPE_PRELOAD)
			rc = prove_interposition(m, artifact, e);
	}
	if (!rc && m->b->outcome == BUILD_NONE) {
		m->b->outcome = BUILD_OK;
		try_relink(m);
		/* A program, and a library that looks beside itself, load more than the artifact. */
		if (m->recipe->kind != RECIPE_PRELOAD || a.origin)
			rc = loaded_of_prefix(m->prefix, m->b->loaded_hash, e);
	}
	free(artifact);
	return rc;
}

static int keep(struct making *m, struct error *e)
{
	char *manifest = x_printf("%s/manifest.json", m->entry),
	     *prefix = x_printf("%s/prefix", m->entry);
	char *dir = build_cache_path(m->cache, m->b->key, NULL);
	int rc = 0;
	if (fs_exists(m->prefix) && rename(m->prefix, prefix))
		rc = error_errno(e, errno, "cannot move %s", m->prefix);
	rc = rc ? rc : build_manifest_write(manifest, m->b, &m->extra, e);
	if (!rc && rename(m->entry, dir))
		rc = error_errno(e, errno, "cannot move a build to %s", dir);
	free(manifest);
	free(prefix);
	free(dir);
	return rc;
}

static int lay_out(struct making *m, struct error *e)
{
	m->scratch = x_printf("%s/tmp/%s-XXXXXX", m->cache->root, m->b->key);
	if (!mkdtemp(m->scratch)) {
		int rc = error_errno(e, errno, "cannot make a folder in %s/tmp", m->cache->root);
		set(&m->scratch, NULL);
		return rc;
	}
	m->box = x_printf("%s/box", m->scratch);
	m->entry = x_printf("%s/entry", m->scratch);
	m->log = x_printf("%s/build.log", m->entry);
	m->prefix = x_printf("%s/prefix", m->box);
	int rc = fs_mkdirs(m->box, e);
	return rc ? rc : fs_mkdirs(m->entry, e);
}

/* A history has no more of a submodule than the id of its commit: that may be why. */
static void blame_submodules(struct build *b, const struct history_exported *x)
{
	if (b->outcome == BUILD_OK || !x->n_submodules)
		return;
	const char *list = buf_str(&x->submodules);
	char *more = x->n_submodules > 1 ? x_printf(" and %zu more are submodules", x->n_submodules - 1)
					 : x_strdup(" is a submodule");
	set(&b->detail, x_printf("%s (%.*s%s, empty here: only the repository's own files are built)",
				 b->detail, (int)strcspn(list, "\n"), list, more));
	free(more);
}

/* Make the build of a locked key: the entry is in place afterwards, or *e says why not. */
static int make(struct build_cache *c, struct history *h, const struct history_commit *commit,
		const struct recipe *r, unsigned jobs, struct build *b, struct error *e)
{
	struct making m = { .cache = c, .recipe = r, .jobs = jobs, .b = b };
	struct history_exported exported = { 0 };
	const struct toolchain *t;
	char *ccache = NULL;
	uint64_t start = clock_mono_ns();
	int rc = build_cache_toolchain(c, or (r->cc, "gcc"), &t, e);
	rc = rc ? rc : lay_out(&m, e);
	if (rc)
		goto out;
	m.sandbox = (struct sandbox){ .box = m.box,
				      .bubblewrap = build_cache_bubblewrap(c),
				      .network = r->network };
	if (m.sandbox.bubblewrap && !c->options.no_ccache && access("/usr/bin/ccache", X_OK) == 0)
		m.sandbox.ccache = ccache = build_cache_path(c, "ccache", NULL);
	memcpy(b->commit, commit->id, HISTORY_ID);
	b->recipe = x_strdup(or (r->name, "default"));
	b->variant = x_strdup(or (r->variant, "release"));
	b->toolchain = x_strdup(t->line);
	b->sandbox = x_strdup(m.sandbox.bubblewrap ? "bubblewrap" : "plain");
	b->detail = x_strdup("");
	m.extra.artifact = x_strdup(r->artifact);
	char *src = x_printf("%s/src", m.box);
	rc = history_export(h, commit, r->paths, r->n_paths, src, &exported, e);
	free(src);
	rc = rc ? rc : run_commands(&m, e);
	if (!rc && b->outcome == BUILD_NONE)
		rc = judge_artifact(&m, e);
	if (!rc)
		blame_submodules(b, &exported);
	b->wall_ns = clock_mono_ns() - start;
	b->created_s = build_cache_now(c);
	rc = rc ? rc : keep(&m, e);
out:
	buf_release(&exported.submodules);
	if (m.scratch)
		fs_remove(m.scratch, rc ? NULL : e);
	char *owned[] = { m.scratch, m.box, m.entry, m.log, m.prefix, m.extra.artifact, ccache };
	for (size_t i = 0; i < sizeof(owned) / sizeof(*owned); i++)
		free(owned[i]);
	return rc;
}

/* Look an entry up under the flags. 1: *b is filled and the answer. */
static int answer(struct build_cache *c, const char *key, unsigned flags, struct build *b)
{
	if (!build_cache_load(c, key, true, b))
		return 0;
	if (b->outcome == BUILD_OK || !(flags & BUILD_RETRY))
		return 1;
	build_release(b);
	return 0;
}

/* Under the key's lock: somebody else's work may be there by now; otherwise make it. */
static int find_or_make(struct build_cache *c, struct history *h,
			const struct history_commit *commit, const struct recipe *r, unsigned jobs,
			unsigned flags, const char *key, struct build *out, struct error *e)
{
	if (answer(c, key, flags, out))
		return 0;
	struct build b = { 0 };
	memcpy(b.key, key, BUILD_KEY);
	int rc = history_tree_key(h, commit, r->paths, r->n_paths, b.tree_key, NULL, e);
	rc = rc ? rc : build_cache_tidy(c, key, e);
	rc = rc ? rc : build_cache_drop(c, key, e);
	rc = rc ? rc : make(c, h, commit, r, jobs, &b, e);
	build_release(&b);
	if (!rc && !build_cache_load(c, key, true, out))
		rc = error_set(e, -EIO, "the build %.12s vanished from %s as soon as it was made",
			       key, c->root);
	out->cached = false;
	return rc;
}

int build_one(struct build_cache *c, struct history *h, const struct history_commit *commit,
	      const struct recipe *r, unsigned jobs, unsigned flags, struct build *out,
	      struct error *e)
{
	char tree[HASH_HEX], key[BUILD_KEY];
	size_t present = 0;
	*out = (struct build){ 0 };
	int rc = recipe_check(r, e);
	rc = rc ? rc : history_tree_key(h, commit, r->paths, r->n_paths, tree, &present, e);
	rc = rc ? rc : build_key(c, h, commit, r, key, e);
	if (rc)
		return rc;
	if (!present) {
		memcpy(out->key, key, BUILD_KEY);
		memcpy(out->commit, commit->id, HISTORY_ID);
		memcpy(out->tree_key, tree, HASH_HEX);
		out->outcome = BUILD_NO_SOURCE;
		out->detail = x_printf("%s has none of the subject's paths (%s%s)",
				       commit->short_id, r->paths[0], r->n_paths > 1 ? ", …" : "");
		return 0;
	}
	/* A build can be collected between being found and being pinned: then it is made again. */
	do {
		build_release(out);
		rc = 0;
		if (!answer(c, key, flags, out)) {
			if (flags & BUILD_CACHED_ONLY) {
				memcpy(out->key, key, BUILD_KEY);
				return 0;
			}
			int fd;
			rc = build_cache_lock(c, key, true, true, &fd, e);
			if (rc)
				return rc;
			rc = find_or_make(c, h, commit, r, jobs ? jobs : 1, flags, key, out, e);
			close(fd);
			flags &= ~(unsigned)BUILD_RETRY;
		}
		if (!rc && (flags & BUILD_PIN) && out->outcome == BUILD_OK) {
			struct error gone = { 0 };
			bool cached = out->cached;
			rc = build_pin(c, out, &gone);
			out->cached = cached;
			if (rc && rc != -ENOENT)
				error_set(e, rc, "%s", gone.text);
		}
	} while (rc == -ENOENT && !(e && e->code));
	if (rc)
		build_release(out);
	return rc;
}
