/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands before the linker while a subject is built: ld, ld.bfd, ld.gold and ld.lld in the folder
 * that COMPILER_PATH and PATH name first are this program. It runs the real linker, and when that
 * made something, notes in a new folder below $HAKPERF_LINKS how: link.cmd as harness/relink.h
 * wants it, the inputs that the build made in objects/, and the output as out.
 *
 * Nothing that goes wrong in the noting may disturb the build: then there is no note.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const real_folders[] = { "/usr/local/bin", "/usr/bin", "/bin" };

struct words {
	char **v;
	size_t n, cap;
};

struct note {
	const char *folder;	   /* of this link, "" while there is none */
	const char *box;	   /* what lies below is the build's own and will be gone */
	struct words args, search; /* search: the -L folders, in order */
	FILE *cmd;
	unsigned objects;
};

static void *need(void *p)
{
	if (!p)
		_exit(127);
	return p;
}

static void add(struct words *w, const char *s, size_t n)
{
	if (w->n + 1 >= w->cap) {
		w->cap = w->cap ? 2 * w->cap : 64;
		w->v = need(realloc(w->v, w->cap * sizeof(*w->v)));
	}
	w->v[w->n++] = need(strndup(s, n));
	w->v[w->n] = NULL;
}

__attribute__((format(printf, 1, 2))) static char *text(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		_exit(127);
	va_end(ap);
	return s;
}

static int starts(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

static void add_words(struct words *w, char *const *argv, int depth);

/* A response file's words: apart by blanks, with quotes and backslashes. */
static int add_file(struct words *w, const char *path, int depth)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	struct words inner = { 0 };
	char *word = NULL;
	size_t len = 0;
	FILE *out = NULL;
	int quote = 0;
	for (int c; (c = getc(f)) != EOF;) {
		if (!quote && strchr(" \t\r\n", c)) {
			if (out) {
				fclose(out);
				add(&inner, word, len);
				free(word);
				out = NULL;
			}
			continue;
		}
		if (!out)
			out = need(open_memstream(&word, &len));
		if (c == quote)
			quote = 0;
		else if (!quote && (c == '\'' || c == '"'))
			quote = c;
		else if (c == '\\' && quote != '\'' && (c = getc(f)) != EOF)
			putc(c, out);
		else
			putc(c, out);
	}
	if (out) {
		fclose(out);
		add(&inner, word, len);
		free(word);
	}
	fclose(f);
	if (inner.n)
		add_words(w, inner.v, depth + 1);
	return 1;
}

static void add_words(struct words *w, char *const *argv, int depth)
{
	for (; *argv; argv++)
		if ((*argv)[0] != '@' || depth > 8 || !add_file(w, *argv + 1, depth))
			add(w, *argv, strlen(*argv));
}

static char *real_linker(const char *name)
{
	for (size_t i = 0; i < sizeof(real_folders) / sizeof(*real_folders); i++) {
		char *path = text("%s/%s", real_folders[i], name);
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

static int is_file(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Does the build own this file? Then it is kept as a link of its own (or a copy) and the note's
 * name of it comes back. */
static char *keep(struct note *n, const char *path)
{
	char real[PATH_MAX];
	size_t box = strlen(n->box);
	if (!is_file(path) || !realpath(path, real))
		return NULL;
	if (strncmp(real, n->box, box) || real[box] != '/')
		return text("%s", real);
	const char *base = strrchr(real, '/') + 1;
	char *name = text("objects/%03u-%s", n->objects++, base),
	     *to = text("%s/%s", n->folder, name);
	if (link(real, to)) {
		free(name);
		name = NULL;
	}
	free(to);
	return name;
}

/* The file that -lNAME means, if it is one of the build's own. */
static char *own_library(const struct note *n, const char *name)
{
	static const char *const ends[] = { "so", "a" };
	for (size_t i = 0; i < n->search.n; i++) {
		for (size_t k = 0; k < 2; k++) {
			char *path = name[0] == ':'
					     ? text("%s/%s", n->search.v[i], name + 1)
					     : text("%s/lib%s.%s", n->search.v[i], name, ends[k]);
			if (is_file(path))
				return path;
			free(path);
		}
	}
	return NULL;
}

static void say(struct note *n, const char *word)
{
	fprintf(n->cmd, "%s\n", word);
}

/* The option's own word and the next say no file that is read: they stay as they are. */
static int has_plain_value(const char *word)
{
	static const char *const options[] = {
		"-soname", "-h",     "-m", "-rpath",	 "-rpath-link",	    "-z",
		"-e",	   "-entry", "-u", "-undefined", "-dynamic-linker", "-I",
		"-init",   "-fini",  "-a", "-b",	 "-format",	    "-F",
		"-f",	   "-Y",     "-y", "-defsym",	 "-wrap",	    "-hash-style"
	};
	const char *w = word[0] == '-' && word[1] == '-' ? word + 1 : word;
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		if (!strcmp(w, options[i]))
			return 1;
	return 0;
}

/* --option=FILE where the file is read: the value, or NULL. */
static const char *file_value(const char *word)
{
	static const char *const options[] = {
		"-version-script=",	  "-dynamic-list=",	    "-script=",
		"-retain-symbols-file=",  "-just-symbols=",	    "-export-dynamic-symbol-list=",
		"-symbol-ordering-file=", "-section-ordering-file="
	};
	const char *w = word[0] == '-' && word[1] == '-' ? word + 1 : word;
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		if (starts(w, options[i]))
			return strchr(word, '=') + 1;
	return NULL;
}

/* An input, or an option: whatever names a file of the build is renamed. */
static int say_word(struct note *n, const char *word)
{
	char *kept = NULL;
	const char *value = file_value(word);
	if (starts(word, "-l") && word[2]) {
		char *library = own_library(n, word + 2);
		kept = library ? keep(n, library) : NULL;
		say(n, kept ? kept : word);
	} else if (value && is_file(value)) {
		kept = keep(n, value);
		fprintf(n->cmd, "%.*s%s\n", (int)(value - word), word, kept ? kept : value);
	} else if (*word != '-' && is_file(word)) {
		kept = keep(n, word);
		if (!kept)
			return 0;
		say(n, kept);
	} else {
		say(n, word);
	}
	free(kept);
	return 1;
}

/* Options with a value of their own that the replay must not have: they write files, or are the
 * compiler's temporary ones. */
static int is_dropped(const char *word, int *with_value)
{
	static const char *const pairs[] = { "-plugin", "--plugin",	    "-Map",
					     "--Map",	"-dependency-file", "--dependency-file" };
	static const char *const single[] = { "-plugin-opt=",	"--plugin-opt=",      "-Map=",
					      "--Map=",		"--dependency-file=", "-L",
					      "--library-path=" };
	*with_value = 0;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		if (!strcmp(word, pairs[i]))
			return *with_value = 1;
	for (size_t i = 0; i < sizeof(single) / sizeof(*single); i++)
		if (starts(word, single[i]))
			return 1;
	return 0;
}

/* -L folders of the system stay; those of the build are resolved to files. */
static void note_search(struct note *n)
{
	for (size_t i = 1; i < n->args.n; i++) {
		const char *w = n->args.v[i], *folder = NULL;
		if (starts(w, "--library-path="))
			folder = w + 15;
		else if (starts(w, "-L") && w[2])
			folder = w + 2;
		else if (!strcmp(w, "-L") && i + 1 < n->args.n)
			folder = n->args.v[i + 1];
		char real[PATH_MAX];
		if (!folder || !realpath(folder, real))
			continue;
		if (starts(real, n->box) && real[strlen(n->box)] == '/')
			add(&n->search, real, strlen(real));
		else
			fprintf(n->cmd, "-L%s\n", real);
	}
}

static int write_note(struct note *n, const char *linker, size_t out_at, size_t out_skip)
{
	say(n, linker);
	note_search(n);
	for (size_t i = 1; i < n->args.n; i++) {
		int with_value;
		if (i == out_at) {
			fputs("-o\n@OUT@\n", n->cmd);
			i += out_skip;
		} else if (is_dropped(n->args.v[i], &with_value)) {
			i += with_value || !strcmp(n->args.v[i], "-L");
		} else if (has_plain_value(n->args.v[i])) {
			say(n, n->args.v[i++]);
			if (i < n->args.n)
				say(n, n->args.v[i]);
		} else if (!say_word(n, n->args.v[i])) {
			return 0;
		}
	}
	return 1;
}

/* Where the output is named, and as what. 0: this link makes no program or library. */
static size_t find_output(const struct words *args, const char **out, size_t *skip)
{
	size_t at = 0;
	for (size_t i = 1; i < args->n; i++) {
		const char *w = args->v[i];
		if (!strcmp(w, "-r") || !strcmp(w, "-i") || !strcmp(w, "--relocatable"))
			return 0;
		if ((!strcmp(w, "-o") || !strcmp(w, "--output")) && i + 1 < args->n) {
			at = i;
			*skip = 1;
			*out = args->v[i + 1];
		} else if (starts(w, "-o") && w[2]) {
			at = i;
			*skip = 0;
			*out = w + 2;
		} else if (starts(w, "--output=")) {
			at = i;
			*skip = 0;
			*out = w + 9;
		}
	}
	return at;
}

static void take_note(char *const *argv, const char *linker)
{
	const char *links = getenv("HAKPERF_LINKS"), *folder_of_build = getenv("HAKPERF_BOX"),
		   *out = NULL;
	char *box = folder_of_build ? realpath(folder_of_build, NULL) : NULL;
	struct note n = { .box = box };
	size_t skip = 0;
	add_words(&n.args, argv, 0);
	size_t at = find_output(&n.args, &out, &skip);
	if (!links || !box || !at || !is_file(out))
		return;
	char *folder = text("%s/XXXXXX", links);
	if (!mkdtemp(folder))
		return;
	n.folder = folder;
	char *objects = text("%s/objects", folder), *cmd = text("%s/link.cmd", folder),
	     *kept = text("%s/out", folder);
	int ok = mkdir(objects, 0777) == 0 && (n.cmd = fopen(cmd, "we")) &&
		 write_note(&n, linker, at, skip);
	if (n.cmd && fclose(n.cmd))
		ok = 0;
	/* Without out the note is no note. */
	if (ok && link(out, kept))
		unlink(cmd);
	free(objects);
	free(cmd);
	free(kept);
	free(folder);
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
	char *linker = real_linker(name);
	if (!linker) {
		fprintf(stderr, "%s: not installed\n", name);
		return 127;
	}
	(void)argc;
	argv[0] = linker;
	pid_t pid = fork();
	if (pid < 0)
		execv(linker, argv);
	if (pid == 0) {
		execv(linker, argv);
		_exit(127);
	}
	int status;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	if (WEXITSTATUS(status) == 0)
		take_note(argv, linker);
	return WEXITSTATUS(status);
}
