/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/fs.h"
#include "bisect/guess.h"
#include "bisect/history.h"
#include "bisect/range.h"
#include "cli/cli.h"
#include "cli/verbs.h"
#include "config/config.h"

#include <errno.h>
#include <getopt.h>
#include <git2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char help_init[] =
	"write a commented hakperf.ini for a repository\n"
	"\n"
	"usage: hakperf init [--repo PATH] [--config FILE] [--print] [--json]\n"
	"\n"
	"Guesses from HEAD's files how the project is built (make, CMake, meson, autotools, one source file, a Python script)\n"
	"and what to measure of it; read the file and correct it. An existing file is never overwritten.\n"
	"\n"
	"  --repo PATH     the subject's repository, a folder or a bare one; default: the one around this folder\n"
	"  --config FILE   the file to write; default: hakperf.ini at the root of the repository around this folder, else here\n"
	"  --print         write to standard output instead\n"
	"  --json          {file, system, use, artifact}\n";

#define FILES_MAX 20000
#define TEXT_MAX (256u << 10)

/* What the guess needs of a commit's tree. */
struct files {
	git_repository *git;
	struct guess_file *items;
	size_t n, cap;
};

static bool wants_text(const char *name)
{
	static const char *const names[] = { "Makefile", "GNUmakefile", "makefile", "Makefile.am", "CMakeLists.txt", "meson.build" };
	static const char *const suffixes[] = { ".c", ".cc", ".cpp", ".cxx" };
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i]))
			return true;
	const char *dot = strrchr(name, '.');
	for (size_t i = 0; dot && i < sizeof(suffixes) / sizeof(*suffixes); i++)
		if (!strcmp(dot, suffixes[i]))
			return true;
	return false;
}

static char *text_of(const struct files *f, const git_tree_entry *entry)
{
	git_blob *blob = NULL;
	char *text = NULL;
	if (wants_text(git_tree_entry_name(entry)) && !git_blob_lookup(&blob, f->git, git_tree_entry_id(entry)) &&
	    git_blob_rawsize(blob) <= (git_object_size_t)TEXT_MAX)
		text = x_printf("%.*s", (int)git_blob_rawsize(blob), (const char *)git_blob_rawcontent(blob));
	git_blob_free(blob);
	return text ? text : x_strdup("");
}

static int take_file(const char *root, const git_tree_entry *entry, void *ctx)
{
	struct files *f = ctx;
	if (git_tree_entry_type(entry) != GIT_OBJECT_BLOB)
		return 0;
	if (f->n == FILES_MAX)
		return -1;
	x_grow(f->items, f->n, f->cap);
	f->items[f->n++] = (struct guess_file){ .path = x_printf("%s%s", root, git_tree_entry_name(entry)), .text = text_of(f, entry),
						.executable = git_tree_entry_filemode(entry) == GIT_FILEMODE_BLOB_EXECUTABLE };
	return 0;
}

static int read_head(struct history *h, struct files *f, struct error *e)
{
	struct history_commit head = { 0 };
	git_oid oid;
	git_tree *tree = NULL;
	int rc = history_resolve(h, "HEAD", &head, e);
	if (rc)
		return rc;
	f->git = history_git(h);
	if (git_oid_fromstr(&oid, head.tree) || git_tree_lookup(&tree, f->git, &oid))
		rc = error_set(e, -EIO, "cannot read the files of HEAD (%s)", head.short_id);
	else
		git_tree_walk(tree, GIT_TREEWALK_PRE, take_file, f);
	git_tree_free(tree);
	history_commit_release(&head);
	return rc;
}

static void files_release(struct files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free((char *)(uintptr_t)f->items[i].path);
		free((char *)(uintptr_t)f->items[i].text);
	}
	free(f->items);
}

/* The repository's own name: its folder's, without ".git" and what a section may not hold. */
static char *name_of(const struct history *h)
{
	const char *dir = history_workdir(h) ? history_workdir(h) : history_gitdir(h);
	char *copy = x_strdup(dir), *end = copy + strlen(copy);
	while (end > copy && end[-1] == '/')
		*--end = '\0';
	const char *slash = strrchr(copy, '/');
	char *name = x_strdup(slash ? slash + 1 : copy);
	size_t n = strlen(name);
	if (n > 4 && !strcmp(name + n - 4, ".git"))
		name[n - 4] = '\0';
	for (char *c = name; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-", *c))
			*c = '-';
	free(copy);
	return name;
}

static enum config_use use_of(const struct guess *g)
{
	return g->library && g->owns_malloc ? CONFIG_PRELOAD : g->library ? CONFIG_LIBRARY : CONFIG_EXEC;
}

static const char *use_name(enum config_use use)
{
	static const char *const names[] = { [CONFIG_PRELOAD] = "preload", [CONFIG_EXEC] = "exec", [CONFIG_LIBRARY] = "library" };
	return names[use];
}

static void put_subject(struct buf *b, const struct guess *g, const char *name, const char *repository)
{
	buf_printf(b, "[subject]\n; name = %s\n", name);
	if (repository)
		buf_printf(b, "repository = %s\n", repository);
	buf_puts(b, "; What in the tree matters, so that other commits share a build: paths = src include\n"
		    "; preload: a library that replaces malloc; exec: a program; library: a program linked with what is measured.\n");
	buf_printf(b, "use = %s\n", use_name(use_of(g)));
	buf_puts(b, "; One step a line, without a shell ('sh: …' asks for one), in the exported tree. {src} {prefix} {jobs} {cc} {cflags} {variant}\n");
	for (size_t i = 0; i < GUESS_STEPS && g->build[i]; i++)
		buf_printf(b, "build = %s\n", g->build[i]);
	if (!g->build[0])
		buf_puts(b, "; Nothing known was found: write how it is built.\nbuild = make -C {src} install PREFIX={prefix}\n");
	buf_printf(b, "; What is measured, a path in the prefix.\nartifact = %s\n", g->artifact);
	buf_puts(b, "; cc = gcc\n; cflags = -O2 -g -ffunction-sections\n; build_timeout = 300\n; run_timeout = 60\n; run_env = NAME=value\n\n"
		    "; History that was built otherwise:\n; [recipe old]\n; range = v1.0..v2.0\n; build = make -C {src} old PREFIX={prefix}\n\n");
}

static void put_preload(struct buf *b)
{
	buf_puts(b, "; A workload of hakperf's (docs/workloads.md). Parameters have names; several values span a matrix.\n"
		    "[workload pairs]\ncommand = {workloads}/hot_path --pairs {cycles} --size {size}\n"
		    "cycles = 1000000\nsize = 128\n"
		    "; The parameter that is doubled, to part the start from the cost of an operation.\nscale = cycles\n"
		    "; One thread, no clock: its instructions can be counted exactly.\nexact = yes\n");
}

static void put_program(struct buf *b, const struct guess *g)
{
	bool python = g->system == GUESS_PYTHON;
	buf_printf(b, "; Time, page faults and memory of the whole process, or of the region that it marks with hakperf/roi.h. Arguments of\n"
		      "; the command are named parameters:  command = {prefix}/… {n}  and  n = 1000 100000\n"
		      "[workload run]\ncommand = %s{prefix}/%s\n", python ? "python3 " : "", g->library ? "bin/PROGRAM" : g->artifact);
	buf_puts(b, "; judge = wall\n"
		    "; One process, no clock: its instructions can be counted exactly.\n; exact = yes\n"
		    "; A figure from its output instead of time:\n; figure = ^latency: ([0-9.]+) ms\n; figure_unit = ms\n; figure_better = lower\n");
}

static void write_text(const struct guess *g, const char *name, const char *repository, struct buf *b)
{
	buf_printf(b, "; What hakperf measures here; every key is explained in hakperf's docs/configuration.md.\n; Guessed from %s: %s.\n\n",
		   g->from ? g->from : "nothing", guess_system_name(g->system));
	put_subject(b, g, name, repository);
	if (use_of(g) == CONFIG_PRELOAD)
		put_preload(b);
	else
		put_program(b, g);
}

/* Where the file goes, and whether the subject is another repository than the one around us. */
static int place(const char *config, const char *repo, char **path, char **repository, struct error *e)
{
	struct error none = { 0 };
	char *root = NULL, *around = cli_root(&root, &none) ? NULL : realpath(root, NULL), *subject = realpath(repo ? repo : ".", NULL);
	int rc = 0;
	if (!around && !repo)
		rc = error_set(e, -ENOENT, "this is not a git checkout: go into one, or name one by --repo");
	else if (!subject)
		rc = error_errno(e, errno, "cannot read the repository %s", repo);
	if (!rc) {
		*path = config ? x_strdup(config) : around ? x_printf("%s/hakperf.ini", around) : x_strdup("hakperf.ini");
		bool same = around && (!repo || !strcmp(around, subject));
		*repository = same && !config ? NULL : same ? x_strdup(around) : x_strdup(subject);
	}
	free(root), free(around), free(subject);
	return rc;
}

static int look(const char *repo, struct guess *g, char **name, struct error *e)
{
	struct history *h = NULL;
	struct files f = { 0 };
	int rc = history_open(&h, repo, e);
	if (!rc)
		rc = read_head(h, &f, e);
	if (!rc) {
		*name = name_of(h);
		guess_build(f.items, f.n, *name, g);
	}
	files_release(&f);
	history_close(h);
	return rc;
}

static void say(const struct guess *g, const char *path)
{
	printf("wrote %s: %s%s%s, use = %s, artifact = %s\n", path, guess_system_name(g->system), g->from ? " by " : "", g->from ? g->from : "",
	       use_name(use_of(g)), g->artifact);
	if (use_of(g) == CONFIG_LIBRARY)
		printf("the library does not define malloc: let the build link a program with it, and name that in [workload run]\n");
	printf("read and correct it, then: hakperf build HEAD; hakperf bench HEAD~10 HEAD; hakperf bisect GOOD BAD\n"
	       "results.db and build/ will lie beside it: they belong into .gitignore\n");
}

int cmd_init(int argc, char **argv)
{
	static const struct option options[] = {
		{ "repo", required_argument, NULL, 'r' }, { "config", required_argument, NULL, 'c' }, { "print", no_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' }, { 0 },
	};
	const char *repo = NULL, *config = NULL;
	bool print = false, json = false;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'r': repo = optarg; break;
		case 'c': config = optarg; break;
		case 'p': print = true; break;
		case 'j': json = true; break;
		default: return CLI_USAGE;
		}
	}
	if (optind < argc)
		return cli_usage("init", "unexpected '%s'", argv[optind]);
	struct error e = { 0 };
	struct guess g = { 0 };
	struct buf text = { 0 };
	char *path = NULL, *repository = NULL, *name = NULL;
	int rc = place(config, repo, &path, &repository, &e);
	if (!rc && !print && fs_exists(path))
		rc = error_set(&e, -EEXIST, "%s is there already and stays as it is: edit it, or name another file by --config", path);
	if (!rc)
		rc = look(repo ? repo : ".", &g, &name, &e);
	if (!rc) {
		write_text(&g, name, repository, &text);
		if (print)
			fputs(buf_str(&text), stdout);
		else
			rc = fs_write(path, text.data, text.len, &e);
	}
	if (!rc && json)
		cli_envelope("init", json_pack("{s:s*}", "repo", repo), json_pack("{s:o, s:s, s:s, s:o}", "file", print ? json_null() : cli_json_string(path),
			     "system", guess_system_name(g.system), "use", use_name(use_of(&g)), "artifact", cli_json_string(g.artifact)));
	else if (!rc && !print)
		say(&g, path);
	guess_release(&g);
	buf_release(&text);
	free(path), free(repository), free(name);
	return rc ? cli_cannot("init", &e) : CLI_ANSWERED;
}
