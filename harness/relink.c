/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/relink.h"

#include "base/buf.h"
#include "base/fs.h"
#include "harness/child.h"
#include "harness/lld.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUT "@OUT@"
/* Stands for the output while the driver is asked what it would do: @OUT@ itself would look like a
 * response file. */
#define OUT_PROBE "/hakperf/relink/out"
#define MAX_COMMAND (4u << 20)
#define DRIVER_TIMEOUT_NS 60000000000u

/*
 * What is shuffled. Not ".init", ".fini", ".init_array" and their like: there order is meaning
 * (crti.o opens a function that crtn.o closes, constructors build on each other).
 */
static const char *const shuffled[] = {
	".text*", ".rodata*", ".data*", ".bss*", ".tdata*", ".tbss*"
};
#define N_SHUFFLED (sizeof(shuffled) / sizeof(*shuffled))

struct words {
	char **v;
	size_t n, cap;
};

struct relink {
	struct lld *lld;      /* the shared one; NULL until this handle counts among its users */
	char *folder;	      /* prefix/share/hakperf */
	struct words command; /* as in link.cmd */
	struct words linker;  /* arguments for lld, without the program; the output is a word equal
				 to OUT_PROBE */
};

/* One warm linker a process, for as long as a handle is open. */
static struct {
	pthread_mutex_t lock;
	struct lld *lld;
	size_t users;
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const char *const child_env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL };

static void words_add(struct words *w, const char *s, size_t n)
{
	while (w->n + 2 > w->cap)
		x_grow(w->v, w->cap, w->cap);
	w->v[w->n] = x_printf("%.*s", (int)n, s);
	w->v[++w->n] = NULL;
}

static void words_release(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
	*w = (struct words){ 0 };
}

static char *command_path(const char *prefix)
{
	return x_printf("%s/share/hakperf/link.cmd", prefix);
}

bool relink_possible(const char *prefix)
{
	char *path = command_path(prefix);
	bool is = access(path, R_OK) == 0;
	free(path);
	return is;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool is_linker(const char *program)
{
	return !strncmp(base_name(program), "ld", 2);
}

static int read_command(struct relink *r, const char *prefix, struct error *e)
{
	char *path = command_path(prefix);
	struct buf text = { 0 };
	size_t outs = 0;
	int rc = access(path, F_OK) ? error_set(e, -ENOENT,
						"%s has no link command (share/hakperf/link.cmd): "
						"its layout is fixed",
						prefix)
				    : fs_read(path, MAX_COMMAND, &text, e);
	for (const char *p = buf_str(&text); !rc && *p;) {
		size_t len = strcspn(p, "\n");
		words_add(&r->command, p, len);
		outs += len == strlen(OUT) && !strncmp(p, OUT, len);
		p += len + (p[len] == '\n');
	}
	if (!rc && (r->command.n < 2 || outs != 1))
		rc = error_set(e, -EINVAL,
			       "%s is no link command: one argument per line, and the line %s once",
			       path, OUT);
	free(path);
	buf_release(&text);
	return rc;
}

/* Words of one line as gcc -### and clang -### print them: apart by blanks, "…" with backslash
 * escapes. */
static void split_printed(const char *p, const char *end, struct words *out)
{
	while (p < end) {
		while (p < end && *p == ' ')
			p++;
		if (p == end)
			break;
		struct buf word = { 0 };
		buf_puts(&word, "");
		for (bool quoted = false; p < end && (quoted || *p != ' '); p++) {
			if (*p == '"')
				quoted = !quoted;
			else if (*p == '\\' && p + 1 < end)
				buf_putc(&word, *++p);
			else
				buf_putc(&word, *p);
		}
		words_add(out, word.data, word.len);
		buf_release(&word);
	}
}

/* The last line that begins with a blank and names the output is the link. */
static bool find_link(const char *printed, struct words *out)
{
	bool found = false;
	for (const char *p = printed; *p;) {
		size_t len = strcspn(p, "\n");
		if (*p == ' ' && memmem(p, len, OUT_PROBE, strlen(OUT_PROBE))) {
			words_release(out);
			split_printed(p, p + len, out);
			found = out->n > 1;
		}
		p += len + (p[len] == '\n');
	}
	return found;
}

/* lld takes what collect2 was told, but for what is meant for collect2 and for the other linkers'
 * plugins. */
static void keep_for_lld(const struct words *all, struct words *out)
{
	for (size_t i = 1; i < all->n; i++) {
		const char *w = all->v[i];
		if (!strcmp(w, "-plugin") || !strcmp(w, "--plugin")) {
			i++;
			continue;
		}
		if (!strncmp(w, "-plugin-opt=", 12) || !strncmp(w, "--plugin-opt=", 13) ||
		    !strncmp(w, "-fuse-ld=", 9) || !strcmp(w, "-flto"))
			continue;
		words_add(out, w, strlen(w));
	}
}

static int ask_driver(struct relink *r, struct error *e)
{
	const char **argv = x_calloc(r->command.n + 3, sizeof(*argv));
	size_t n = 0;
	argv[n++] = r->command.v[0];
	argv[n++] = "-###";
	argv[n++] = "-fuse-ld=lld";
	for (size_t i = 1; i < r->command.n; i++) {
		const char *w = r->command.v[i];
		if (strncmp(w, "-fuse-ld=", 9))
			argv[n++] = strcmp(w, OUT) ? w : OUT_PROBE;
	}
	struct child_spec spec = { .argv = argv,
				   .env = child_env,
				   .cwd = r->folder,
				   .cpu = -1,
				   .pass_fd = -1,
				   .timeout_ns = DRIVER_TIMEOUT_NS };
	struct child_result res = { 0 };
	struct words all = { 0 };
	int rc = child_run(&spec, &res, e);
	if (!rc && res.outcome == CHILD_NOT_STARTED)
		rc = error_errno(e, res.status, "cannot start '%s', which %s/link.cmd names",
				 argv[0], r->folder);
	else if (!rc && !find_link(buf_str(&res.err), &all))
		rc = error_set(e, -EINVAL, "'%s -###' does not say how it links %s/link.cmd: %.*s",
			       argv[0], r->folder, (int)strcspn(buf_str(&res.err), "\n"),
			       buf_str(&res.err));
	if (!rc)
		keep_for_lld(&all, &r->linker);
	words_release(&all);
	child_release(&res);
	free(argv);
	return rc;
}

static void take_linker(struct relink *r)
{
	struct words all = { 0 };
	for (size_t i = 0; i < r->command.n; i++) {
		const char *w = strcmp(r->command.v[i], OUT) ? r->command.v[i] : OUT_PROBE;
		words_add(&all, w, strlen(w));
	}
	keep_for_lld(&all, &r->linker);
	words_release(&all);
}

static int share_lld(struct relink *r, struct error *e)
{
	pthread_mutex_lock(&shared.lock);
	int rc = shared.users ? 0 : lld_open(&shared.lld, e);
	if (!rc) {
		shared.users++;
		r->lld = shared.lld;
	}
	pthread_mutex_unlock(&shared.lock);
	return rc;
}

static void leave_lld(struct relink *r)
{
	if (!r->lld)
		return;
	pthread_mutex_lock(&shared.lock);
	if (--shared.users == 0) {
		lld_close(shared.lld);
		shared.lld = NULL;
	}
	pthread_mutex_unlock(&shared.lock);
	r->lld = NULL;
}

int relink_open(struct relink **r, const char *prefix, struct error *e)
{
	*r = NULL;
	struct relink *x = x_calloc(1, sizeof(*x));
	x->folder = x_printf("%s/share/hakperf", prefix);
	int rc = read_command(x, prefix, e);
	if (!rc && is_linker(x->command.v[0]))
		take_linker(x);
	else if (!rc)
		rc = ask_driver(x, e);
	rc = rc ? rc : share_lld(x, e);
	if (rc)
		relink_close(x);
	else
		*r = x;
	return rc;
}

void relink_close(struct relink *r)
{
	if (!r)
		return;
	leave_lld(r);
	words_release(&r->command);
	words_release(&r->linker);
	free(r->folder);
	free(r);
}

int relink_canonical(struct relink *r, const char *out, struct error *e)
{
	assert(out[0] == '/');
	const char **argv = x_calloc(r->command.n + 1, sizeof(*argv));
	for (size_t i = 0; i < r->command.n; i++)
		argv[i] = strcmp(r->command.v[i], OUT) ? r->command.v[i] : out;
	struct child_spec spec = { .argv = argv,
				   .env = child_env,
				   .cwd = r->folder,
				   .cpu = -1,
				   .pass_fd = -1,
				   .timeout_ns = DRIVER_TIMEOUT_NS };
	struct child_result res = { 0 };
	int rc = child_run(&spec, &res, e);
	if (!rc && res.outcome == CHILD_NOT_STARTED)
		rc = error_errno(e, res.status, "cannot start '%s', which %s/link.cmd names",
				 argv[0], r->folder);
	else if (!rc && (res.outcome != CHILD_EXITED || res.status))
		rc = error_set(e, -EBADMSG, "the link of %s/link.cmd fails: %.*s", r->folder,
			       (int)strcspn(buf_str(&res.err), "\n"), buf_str(&res.err));
	child_release(&res);
	free(argv);
	return rc;
}

/* lld knows two special seeds, 0 (its own choice) and -1 (reverse): 1 … 2^31 - 1 are plain. */
static uint32_t lld_seed(uint64_t seed)
{
	return (uint32_t)(seed % 0x7fffffffu) + 1;
}

int relink_shuffled(struct relink *r, uint64_t seed, const char *out, struct error *e)
{
	assert(out[0] == '/');
	char *options[N_SHUFFLED];
	const char **argv = x_calloc(r->linker.n + N_SHUFFLED + 3, sizeof(*argv));
	size_t n = 0;
	argv[n++] = "--threads=1";
	argv[n++] = "--strip-debug";
	for (size_t i = 0; i < N_SHUFFLED; i++)
		argv[n++] = options[i] =
			x_printf("--shuffle-sections=%s=%u", shuffled[i], lld_seed(seed));
	for (size_t i = 0; i < r->linker.n; i++)
		argv[n++] = strcmp(r->linker.v[i], OUT_PROBE) ? r->linker.v[i] : out;
	int rc = lld_link(r->lld, argv, r->folder, e);
	for (size_t i = 0; i < N_SHUFFLED; i++)
		free(options[i]);
	free(argv);
	return rc;
}
