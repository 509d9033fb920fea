/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/guess.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define MALLOC_C "void *malloc(size_t n)\n{\n}\n"
#define MAIN_C "int main(void)\n{\n}\n"

static void what_is_built_and_how(void **state)
{
	(void)state;
	const struct {
		int line;
		struct guess_file files[4];
		enum guess_system system;
		const char *artifact, *step; /* step: one of the commands is this */
		bool library, owns_malloc;
	} rows[] = {
		{ __LINE__, { { "README", "", false } }, GUESS_NOTHING, "bin/repo", NULL, false, false },
		{ __LINE__, { { "a.c", MALLOC_C, false } }, GUESS_ONE_SOURCE, "lib/liba.so",
		  "{cc} {cflags} -shared -fPIC -ffunction-sections -o {prefix}/lib/liba.so {src}/a.c", true, true },
		{ __LINE__, { { "a.cpp", MAIN_C, false } }, GUESS_ONE_SOURCE, "bin/a", "g++ {cflags} -o {prefix}/bin/a {src}/a.cpp", false, false },
		/* A declaration is no definition. */
		{ __LINE__, { { "a.c", "void *malloc(size_t n);\n" MAIN_C, false } }, GUESS_ONE_SOURCE, "bin/a", NULL, false, false },
		{ __LINE__, { { "a.c", MAIN_C, false }, { "b.c", "", false } }, GUESS_NOTHING, "bin/repo", NULL, false, false },
		{ __LINE__, { { "Makefile", "all: tool\ntool: tool.c\n\tcc\n", false } }, GUESS_MAKE, "bin/tool", "install -D {src}/tool {prefix}/bin/tool",
		  false, false },
		{ __LINE__, { { "Makefile", "LIB = libx-y.so\ninstall: $(LIB)\n\tcp $(LIB) $(PREFIX)/lib\n", false } }, GUESS_MAKE, "lib/libx-y.so",
		  "make -C {src} -j{jobs} install PREFIX={prefix} CC={cc}", true, false },
		{ __LINE__, { { "Makefile", "install: libx.so\n\t$(CC) $(CFLAGS)\n\tcp libx.so $(prefix)/lib\n", false } }, GUESS_MAKE, "lib/libx.so",
		  "make -C {src} -j{jobs} install prefix={prefix} CC={cc} CFLAGS={cflags}", true, false },
		{ __LINE__, { { "CMakeLists.txt", "project(p)\nadd_executable(t a.c)\nadd_library( s SHARED b.c)\ninstall(TARGETS s)\n", false } },
		  GUESS_CMAKE, "lib/libs.so", "cmake --install build", true, false },
		{ __LINE__, { { "CMakeLists.txt", "add_library(s STATIC b.c)\nadd_executable(t a.c)\n", false } }, GUESS_CMAKE, "bin/t",
		  "install -D build/t {prefix}/bin/t", false, false },
		{ __LINE__, { { "cmake/CMakeLists.txt", "add_library(s SHARED b.c)\n", false } }, GUESS_CMAKE, "lib/libs.so",
		  "cmake -S {src}/cmake -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX={prefix} -DCMAKE_INSTALL_LIBDIR=lib", true, false },
		{ __LINE__, { { "meson.build", "project('p', 'c')\nl = library('fast', 'f.c', install : true)\n", false }, { "f.c", MALLOC_C, false } },
		  GUESS_MESON, "lib/libfast.so", "meson install -C build --no-rebuild", true, true },
		{ __LINE__, { { "meson.build", "executable('t', 't.c')\n", false } }, GUESS_MESON, "bin/t", "install -D build/t {prefix}/bin/t", false, false },
		/* Names of other functions that end in library( are not libraries. */
		{ __LINE__, { { "meson.build", "x = cc.find_library('m')\nexecutable('t', 't.c', install: true)\n", false } }, GUESS_MESON, "bin/t", NULL, false, false },
		{ __LINE__, { { "Makefile.am", "lib_LTLIBRARIES = libz.la\n", false }, { "configure.ac", "", false } }, GUESS_AUTOTOOLS, "lib/libz.so",
		  "autoreconf -fi", true, false },
		{ __LINE__, { { "Makefile.am", "bin_PROGRAMS = z\n", false }, { "configure", "", true }, { "configure.ac", "", false } }, GUESS_AUTOTOOLS,
		  "bin/z", "./configure --prefix={prefix} --libdir={prefix}/lib", false, false },
		{ __LINE__, { { "a.py", "", false }, { "b.py", "", true }, { "setup.py", "", true } }, GUESS_PYTHON, "bin/b.py",
		  "install -D -m 755 {src}/b.py {prefix}/bin/b.py", false, false },
		{ __LINE__, { { "a.py", "", true }, { "repo.py", "", false } }, GUESS_PYTHON, "bin/repo.py", NULL, false, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct guess g;
		size_t n = 0;
		while (n < 4 && rows[i].files[n].path)
			n++;
		guess_build(rows[i].files, n, "repo", &g);
		bool step = !rows[i].step;
		for (size_t k = 0; k < GUESS_STEPS && g.build[k]; k++)
			step = step || !strcmp(g.build[k], rows[i].step);
		if (g.system != rows[i].system || strcmp(g.artifact, rows[i].artifact) || !step || g.library != rows[i].library ||
		    g.owns_malloc != rows[i].owns_malloc)
			fail_msg("row at line %d: %s, %s, library %d, malloc %d, last step %s", rows[i].line, guess_system_name(g.system), g.artifact,
				 g.library, g.owns_malloc, g.build[0] ? g.build[0] : "none");
		guess_release(&g);
		guess_release(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_built_and_how) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
