/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/guess.h"

#include "base/buf.h"

#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

const char *guess_system_name(enum guess_system s)
{
	static const char *const names[] = {
		[GUESS_NOTHING] = "nothing known", [GUESS_MAKE] = "make", [GUESS_CMAKE] = "CMake", [GUESS_MESON] = "meson",
		[GUESS_AUTOTOOLS] = "autotools", [GUESS_PYTHON] = "a Python script", [GUESS_ONE_SOURCE] = "one source file",
	};
	return names[s];
}

/* The first group of the first match, or NULL; extended, a line at a time. Owned by the caller. */
static char *find(const char *text, const char *pattern)
{
	regex_t re;
	regmatch_t m[2];
	char *found = NULL;
	if (regcomp(&re, pattern, REG_EXTENDED | REG_NEWLINE))
		return NULL;
	if (!regexec(&re, text, 2, m, 0) && m[1].rm_so >= 0)
		found = x_printf("%.*s", (int)(m[1].rm_eo - m[1].rm_so), text + m[1].rm_so);
	regfree(&re);
	return found;
}

static bool matches(const char *text, const char *pattern)
{
	char *found = find(text, pattern);
	free(found);
	return found != NULL;
}

static const struct guess_file *file_named(const struct guess_file *files, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(files[i].path, path))
			return &files[i];
	return NULL;
}

static bool ends(const char *s, const char *end)
{
	size_t a = strlen(s), b = strlen(end);
	return a > b && !strcmp(s + a - b, end);
}

static bool is_source(const char *path)
{
	return ends(path, ".c") || ends(path, ".cc") || ends(path, ".cpp") || ends(path, ".cxx");
}

/* First match of a pattern over all files of a base name, nearest to the root first. */
static char *find_in_all(const struct guess_file *files, size_t n, const char *name, const char *pattern)
{
	for (size_t depth = 0; depth < 4; depth++)
		for (size_t i = 0; i < n; i++) {
			size_t slashes = 0;
			const char *base = files[i].path;
			for (const char *p = files[i].path; *p; p++)
				if (*p == '/') {
					slashes++;
					base = p + 1;
				}
			char *found = slashes == depth && !strcmp(base, name) ? find(files[i].text, pattern) : NULL;
			if (found)
				return found;
		}
	return NULL;
}

/* A program or a library of that name, where its own installation puts it. */
static void artifact_of(struct guess *g)
{
	free(g->artifact);
	g->artifact = g->library ? x_printf("lib/lib%s.so", g->target) : x_printf("bin/%s", g->target);
}

static void step(struct guess *g, char *command)
{
	size_t i = 0;
	while (i + 1 < GUESS_STEPS && g->build[i])
		i++;
	free(g->build[i]);
	g->build[i] = command;
}

/* Projects without an installation of their own: take the file from where the build leaves it. */
static void install_from(struct guess *g, const char *folder)
{
	step(g, g->library ? x_printf("install -D %s/lib%s.so {prefix}/%s", folder, g->target, g->artifact)
			   : x_printf("install -D %s/%s {prefix}/%s", folder, g->target, g->artifact));
}

#define WORD "([A-Za-z0-9_.+-]+)"

static void choose(struct guess *g, char *library, char *program)
{
	g->library = library != NULL;
	g->target = library ? library : program;
	if (library)
		free(program);
	if (g->target)
		artifact_of(g);
}

static void by_cmake(const struct guess_file *files, size_t n, const struct guess_file *told, struct guess *g)
{
	static const char name[] = "CMakeLists.txt";
	choose(g, find_in_all(files, n, name, "add_library[ \t]*\\([ \t]*" WORD "[ \t]+(SHARED|MODULE)"),
	       find_in_all(files, n, name, "add_executable[ \t]*\\([ \t]*" WORD));
	char *installs = find_in_all(files, n, name, "(^[ \t]*install[ \t]*\\()");
	const char *slash = strrchr(told->path, '/');
	step(g, x_printf("cmake -S {src}%s%.*s -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX={prefix} -DCMAKE_INSTALL_LIBDIR=lib",
			 slash ? "/" : "", slash ? (int)(slash - told->path) : 0, told->path));
	step(g, x_strdup("cmake --build build -j {jobs}"));
	if (installs || !g->target)
		step(g, x_strdup("cmake --install build"));
	else
		install_from(g, "build");
	free(installs);
}

static void by_meson(const struct guess_file *files, size_t n, struct guess *g)
{
	static const char name[] = "meson.build";
	static const char *const libraries[] = { "shared_library[ \t]*\\([ \t]*'" WORD "'", "^library[ \t]*\\([ \t]*'" WORD "'",
						 "[^_a-z]library[ \t]*\\([ \t]*'" WORD "'" };
	char *library = NULL;
	for (size_t i = 0; i < 3 && !library; i++)
		library = find_in_all(files, n, name, libraries[i]);
	choose(g, library, find_in_all(files, n, name, "executable[ \t]*\\([ \t]*'" WORD "'"));
	char *installs = find_in_all(files, n, name, "(install[ \t]*:[ \t]*true)");
	step(g, x_strdup("meson setup build {src} --prefix={prefix} --libdir=lib --buildtype=release"));
	step(g, x_strdup("ninja -C build -j {jobs}"));
	if (installs || !g->target)
		step(g, x_strdup("meson install -C build --no-rebuild"));
	else
		install_from(g, "build");
	free(installs);
}

static void by_autotools(const struct guess_file *files, size_t n, struct guess *g)
{
	choose(g, find_in_all(files, n, "Makefile.am", "lib_LTLIBRARIES[ \t]*=[ \t]*lib([A-Za-z0-9_.+-]+)\\.la"),
	       find_in_all(files, n, "Makefile.am", "bin_PROGRAMS[ \t]*=[ \t]*" WORD));
	const char *bootstrap = file_named(files, n, "configure") ? NULL : file_named(files, n, "autogen.sh") ? "sh autogen.sh" : "autoreconf -fi";
	if (bootstrap)
		step(g, x_strdup(bootstrap));
	step(g, x_strdup("./configure --prefix={prefix} --libdir={prefix}/lib"));
	step(g, x_strdup("make -j{jobs} install"));
}

/* The first target of a Makefile that could be a program's name. */
static char *first_target(const char *text)
{
	static const char *const not_programs[] = { "all", "clean", "install", "test", "check", "default", "distclean", "uninstall", "help" };
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		size_t len = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
		bool rule = len && line[len] == ':' && line[len + 1] != '=';
		for (size_t i = 0; rule && i < sizeof(not_programs) / sizeof(*not_programs); i++)
			rule = strlen(not_programs[i]) != len || strncmp(line, not_programs[i], len);
		if (rule)
			return x_printf("%.*s", (int)len, line);
	}
	return NULL;
}

static void by_make(const struct guess_file *makefile, struct guess *g)
{
	const char *text = makefile->text;
	/* Variables in file names, LIB = libx.so, are read as they stand. */
	char *library = find(text, "(lib[A-Za-z0-9_+-]+)\\.so");
	if (library)
		memmove(library, library + 3, strlen(library + 3) + 1);
	choose(g, library, library ? NULL : first_target(text));
	if (!matches(text, "^(install)[ \t]*:")) {
		step(g, x_strdup("make -C {src} -j{jobs} CC={cc}"));
		if (g->target)
			install_from(g, "{src}");
		return;
	}
	const char *prefix = matches(text, "(\\$[({]PREFIX[)}])") ? "PREFIX" : matches(text, "(\\$[({]prefix[)}])") ? "prefix" : "PREFIX";
	bool flags = matches(text, "(\\$[({]CFLAGS[)}])") && !matches(text, "^CFLAGS[ \t]*=");
	step(g, x_printf("make -C {src} -j{jobs} install %s={prefix} CC={cc}%s", prefix, flags ? " CFLAGS={cflags}" : ""));
}

static const struct guess_file *one_script(const struct guess_file *files, size_t n, const char *fallback)
{
	const struct guess_file *first = NULL;
	for (size_t i = 0; i < n; i++) {
		const char *path = files[i].path;
		if (!ends(path, ".py") || strchr(path, '/') || !strcmp(path, "setup.py") || !strcmp(path, "conftest.py"))
			continue;
		size_t len = strlen(fallback);
		if (!strcmp(path, "main.py") || (!strncmp(path, fallback, len) && !strcmp(path + len, ".py")))
			return &files[i];
		if (!first || (files[i].executable && !first->executable))
			first = &files[i];
	}
	return first;
}

static void by_python(const struct guess_file *script, struct guess *g)
{
	g->target = x_printf("%.*s", (int)strlen(script->path) - 3, script->path);
	g->artifact = x_printf("bin/%s", script->path);
	step(g, x_printf("install -D -m 755 {src}/%s {prefix}/%s", script->path, g->artifact));
}

static const struct guess_file *only_source(const struct guess_file *files, size_t n)
{
	const struct guess_file *found = NULL;
	for (size_t i = 0; i < n; i++) {
		if (strchr(files[i].path, '/') || !is_source(files[i].path))
			continue;
		if (found)
			return NULL;
		found = &files[i];
	}
	return found;
}

static void by_source(const struct guess_file *source, struct guess *g)
{
	bool plus = !ends(source->path, ".c");
	g->library = !g->main_c;
	g->target = x_printf("%.*s", (int)(strrchr(source->path, '.') - source->path), source->path);
	artifact_of(g);
	step(g, x_printf("mkdir -p {prefix}/%s", g->library ? "lib" : "bin"));
	step(g, x_printf("%s {cflags} %s-o {prefix}/%s {src}/%s", plus ? "g++" : "{cc}", g->library ? "-shared -fPIC -ffunction-sections " : "",
			 g->artifact, source->path));
}

static void look_at_sources(const struct guess_file *files, size_t n, struct guess *g)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_source(files[i].path))
			continue;
		g->owns_malloc |= matches(files[i].text, "(void[ \t]*\\*[ \t]*malloc[ \t]*\\([^;]*$)");
		g->main_c |= matches(files[i].text, "^(int main)[ \t]*\\(");
	}
}

void guess_build(const struct guess_file *files, size_t n, const char *fallback, struct guess *out)
{
	*out = (struct guess){ 0 };
	look_at_sources(files, n, out);
	static const struct { const char *file; enum guess_system system; } tells[] = {
		{ "meson.build", GUESS_MESON }, { "CMakeLists.txt", GUESS_CMAKE }, { "configure.ac", GUESS_AUTOTOOLS }, { "configure.in", GUESS_AUTOTOOLS },
		{ "Makefile", GUESS_MAKE }, { "GNUmakefile", GUESS_MAKE }, { "makefile", GUESS_MAKE },
	};
	const struct guess_file *told = NULL;
	for (size_t i = 0; i < sizeof(tells) / sizeof(*tells) && !told; i++) {
		told = file_named(files, n, tells[i].file);
		out->system = told ? tells[i].system : GUESS_NOTHING;
	}
	/* Some keep it in a folder of its own: build/cmake, cmake. */
	for (size_t i = 0; i < n && !told; i++)
		if (ends(files[i].path, "/CMakeLists.txt") && strlen(files[i].path) < 40) {
			told = &files[i];
			out->system = GUESS_CMAKE;
		}
	if (out->system == GUESS_MESON)
		by_meson(files, n, out);
	else if (out->system == GUESS_CMAKE)
		by_cmake(files, n, told, out);
	else if (out->system == GUESS_AUTOTOOLS)
		by_autotools(files, n, out);
	else if (out->system == GUESS_MAKE)
		by_make(told, out);
	else if ((told = only_source(files, n))) {
		out->system = GUESS_ONE_SOURCE;
		by_source(told, out);
	} else if ((told = one_script(files, n, fallback))) {
		out->system = GUESS_PYTHON;
		by_python(told, out);
	}
	out->from = told ? x_strdup(told->path) : NULL;
	if (!out->target) {
		out->target = x_strdup(fallback);
		out->library = out->owns_malloc;
		artifact_of(out);
	}
}

void guess_release(struct guess *g)
{
	for (size_t i = 0; i < GUESS_STEPS; i++)
		free(g->build[i]);
	free(g->target), free(g->artifact), free(g->from);
	*g = (struct guess){ 0 };
}
