# SPDX-License-Identifier: Apache-2.0
# Strangers: small repositories of several shapes, from init to a bisect of a planted change.
bats_require_minimum_version 1.5.0
load helper

# begin NAME: an empty repository to stand in.
begin() {
	export HAKPERF_CACHE=$BATS_FILE_TMPDIR/cache
	mkdir -p "$BATS_TEST_TMPDIR/$1" && cd "$BATS_TEST_TMPDIR/$1" || return 1
	git init -q -b main
	git config user.name 'A Stranger' && git config user.email stranger@example.invalid
	printf 'build/\nresults.db*\nhakperf.ini\n' >.gitignore
}

commit() { git add -A && git commit -q -m "$1" && git tag "$1"; }

# allocator FILE COST: one file that replaces malloc; every free runs COST additions.
allocator() {
	{
		echo "#define COST $2"
		echo '#define TOY_OK'
		echo '#define TUNE 0'
		echo '#define PAGES 0'
		grep -v '#include "' "$root/test/toy/toy.c"
	} >"$1"
}

# program FILE TURNS: prints a figure that says how much work it did, and does it.
program() {
	cat >"$1" <<C
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	unsigned long n = argc > 1 ? strtoul(argv[1], 0, 10) : 1000, turns = $2, sum = 1;
	for (unsigned long i = 0; i < n * turns; i++)
		sum = sum * 6364136223846793005u + i;
	printf("sum %lx\nwork: %lu turns\n", sum, n * turns);
	return 0;
}
C
}

lines_of_ini() { grep -c '^[^;#[:space:]]' hakperf.ini; }

# finds REV OPTION…: the bisect between the ends names exactly that commit.
finds() {
	local want
	want=$(git rev-parse "$1")
	shift
	run --separate-stderr "$hakperf" bisect good bad --max-time 1s --json "$@"
	echo "$output" "$stderr"
	[ "$status" = 0 ]
	[ "$(field result.outcome)" = culprit ]
	[ "$(field result.culprits.0.commit)" = "$want" ]
	[ "$(field result.culprits.0.direction)" = regression ]
}

# init SYSTEM USE ARTIFACT: what init says, in no more than twelve lines.
init() {
	run "$hakperf" init
	echo "$output"
	[ "$status" = 0 ]
	[[ ${lines[0]} == *": $1 by "*", use = $2, artifact = $3" ]]
	[ "$(lines_of_ini)" -le 12 ]
}

@test "make: an allocator with an install of its own" {
	begin make
	printf 'PREFIX ?= out\nlibfast.so: fast.c\n\t$(CC) $(CFLAGS) -fPIC -fno-builtin -c -o fast.o fast.c\n\t$(CC) -shared -o $@ fast.o\n' >Makefile
	printf 'install: libfast.so\n\tmkdir -p $(PREFIX)/lib\n\tcp libfast.so $(PREFIX)/lib\n' >>Makefile
	allocator fast.c 20 && commit good
	echo notes >notes && commit notes
	allocator fast.c 50 && commit slower
	echo more >>notes && commit bad
	init make preload lib/libfast.so
	sed -i 's/^cycles = .*/cycles = 100000/' hakperf.ini
	run "$hakperf" init
	[ "$status" = 3 ]
	[[ $output == *"is there already and stays as it is"* ]]
	finds slower --metric instructions_exact
	# The recipe names no link step: it was caught, and is drawn anew for every run.
	run --separate-stderr "$hakperf" bench good bad --rounds 2 --json
	[ "$(sqlite3 results.db 'SELECT count (DISTINCT link_seed) > 3 FROM run')" = 1 ]
}

@test "cmake: an allocator without an install" {
	begin cmake
	printf 'cmake_minimum_required(VERSION 3.13)\nproject(fast C)\nadd_library(fast SHARED fast.c)\n' >CMakeLists.txt
	printf 'target_compile_options(fast PRIVATE -fno-builtin)\n' >>CMakeLists.txt
	allocator fast.c 20 && commit good
	allocator fast.c 60 && commit bad
	init CMake preload lib/libfast.so
	sed -i 's/^cycles = .*/cycles = 100000/' hakperf.ini
	finds bad --metric instructions_exact
}

@test "meson: a library that is no allocator, linked into a program that marks its region" {
	begin meson
	cp "$root/harness/workload/hakperf/roi.h" .
	cat >meson.build <<'M'
project('mix', 'c')
mix = library('mix', 'mix.c', install: true)
executable('bench', 'bench.c', link_with: mix, install: true)
M
	printf 'unsigned mix(unsigned x, unsigned n);\n' >mix.h
	cat >bench.c <<'C'
#include "roi.h"
#include "mix.h"
#include <stdio.h>
int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 1000, x = 1;
	struct hakperf_roi roi = HAKPERF_ROI_INIT;
	for (unsigned i = 0; i < 1000; i++)
		x = mix(x, i);
	hakperf_roi_begin(&roi);
	for (unsigned i = 0; i < n; i++)
		x = mix(x, i);
	hakperf_roi_end(&roi, n, x);
	printf("x = %u, %.1f ns\n", x, (double)roi.record.wall_ns / n);
	return 0;
}
C
	mixing() { printf '#include "mix.h"\nunsigned mix(unsigned x, unsigned n)\n{\n\tunsigned y = x;\n\tfor (volatile int i = 0; i < %d; i++)\n\t\ty = y * 31 + n;\n\treturn y ? x * 31 + n : 0;\n}\n' "$1" >mix.c; }
	mixing 10 && commit good
	mixing 14 && commit slower
	echo >>bench.c && commit bad
	init meson library lib/libmix.so
	sed -i -e 's|^command = .*|command = {prefix}/bin/bench {n}\nn = 200000\nscale = n\nexact = yes|' hakperf.ini
	[ "$(lines_of_ini)" -le 13 ]
	finds slower --metric instructions_exact
	# The region alone, per operation: four turns of a loop of a few instructions more.
	python3 -c "assert 4 * 5 <= $(field result.culprits.0.after) - $(field result.culprits.0.before) <= 4 * 12"
	run --separate-stderr "$hakperf" bench good bad --rounds 2 --json
	[ "$(field result.cases.0.metric)" = ops_per_cpu_s ]
	[ "$(sqlite3 results.db "SELECT count (*) FROM run WHERE outcome = 'ok' AND operations = 200000 AND NOT whole_process")" -ge 4 ]
	# 2N operations are twice the region.
	[ "$(sqlite3 results.db "SELECT count (*) FROM run WHERE multiplier = 2 AND operations = 400000")" -ge 2 ]
}

@test "autotools: a program, counted whole, relinked in its place" {
	begin autotools
	printf 'AC_INIT([count], [1])\nAM_INIT_AUTOMAKE([foreign])\nAC_PROG_CC\nAC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n' >configure.ac
	printf 'bin_PROGRAMS = count\ncount_SOURCES = main.c\n' >Makefile.am
	program main.c 20 && commit good
	program main.c 25 && commit bad
	init autotools exec bin/count
	sed -i -e 's|^command = .*|command = {prefix}/bin/count {n}\nn = 50000|' -e 's/^; exact/exact/' hakperf.ini
	finds bad --metric instructions_exact
	[ "$(field result.culprits.0.proofs.0.instructions.per)" = run ]
	# Whole runs: 5 × 50,000 turns of four or five instructions.
	python3 -c "assert 4 * 250000 <= $(field result.culprits.0.after) - $(field result.culprits.0.before) <= 6 * 250000"
	run --separate-stderr "$hakperf" bench good bad --rounds 3 --json
	[ "$(field result.cases.0.metric)" = cpu_ns ]
	[ "$(sqlite3 results.db "SELECT count (*) > 4 FROM run WHERE link_seed IS NOT NULL AND whole_process AND outcome = 'ok'")" = 1 ]
	[ "$(sqlite3 results.db "SELECT count (DISTINCT subject_binary_id) > 4 FROM run WHERE link_seed IS NOT NULL")" = 1 ]
	# perf events of the whole process, from its second run on.
	[ "$(sqlite3 results.db "SELECT count (*) > 3 FROM sample JOIN metric ON metric.id = metric_id WHERE metric.name = 'page_faults' AND value > 10")" = 1 ]
}

@test "a Python script: judged by a figure from its output, over a matrix" {
	begin python
	script() { printf '#!/usr/bin/env python3\nimport sys\nn = int(sys.argv[1])\nprint("done")\nprint("latency: %%.1f ms" %% (n * %s))\n' "$1" >tool.py; }
	script 1.0 && commit good
	script 1.5 && commit slower
	echo '# done' >>tool.py && commit bad
	init "a Python script" exec bin/tool.py
	sed -i -e 's|^\(command = .*\)|\1 {n}\nn = 10 20|' -e 's/^; figure/figure/' hakperf.ini
	run --separate-stderr "$hakperf" bench good bad --rounds 1 --json
	[ "$(field result.cases.1.case)" = "run n=20" ]
	[ "$(field result.cases.1.revisions.1.figure.value)" = 30.0 ]
	[ "$(field result.cases.0.metric)" = "figure ms" ]
	# Memory of the whole process: an interpreter's.
	[ "$(sqlite3 results.db "SELECT count (*) >= 4 FROM sample JOIN metric ON metric.id = metric_id
		WHERE metric.name = 'peak_rss_bytes' AND value BETWEEN 6000000 AND 60000000")" = 1 ]
	run --separate-stderr "$hakperf" bisect good bad --param n=20 --max-time 20s --json
	echo "$output" "$stderr"
	[ "$(field result.case)" = "run n=20" ]
	[ "$(field result.culprits.0.commit)" = "$(git rev-parse slower)" ]
	[ "$(field result.culprits.0.direction)" = regression ] # more milliseconds are worse
	python3 -c "assert abs($(field result.culprits.0.ratio) - 1.5) < 0.001"
}

@test "C++: one file" {
	begin cpp
	new() {
		cat >fast.cpp <<C
#include <cstddef>
#include <cstring>
#include <cerrno>
static char *at, *end;
extern "C" void *mmap(void *, std::size_t, int, int, int, long);
struct block { block *next; std::size_t n; };
static thread_local block *lists[64];
static int order(std::size_t n) { return n <= 16 ? 4 : 64 - __builtin_clzl(n - 1); }
extern "C" void *malloc(std::size_t n)
{
	int k = order(n);
	if (block *b = lists[k]) { lists[k] = b->next; return b + 1; }
	std::size_t bytes = (std::size_t(1) << k) + sizeof(block);
	if (!at || std::size_t(end - at) < bytes) {
		std::size_t take = bytes < (64u << 20) ? (64u << 20) : bytes;
		void *p = mmap(nullptr, take, 3, 0x22, -1, 0);
		if (p == (void *)-1) { errno = ENOMEM; return nullptr; }
		at = static_cast<char *>(p); end = at + take;
	}
	block *b = reinterpret_cast<block *>(at);
	at += bytes;
	b->n = std::size_t(1) << k;
	return b + 1;
}
extern "C" void free(void *p)
{
	for (volatile int i = 0; i < $1; i = i + 1) { }
	if (!p) return;
	block *b = static_cast<block *>(p) - 1;
	int k = order(b->n);
	b->next = lists[k]; lists[k] = b;
}
extern "C" void *calloc(std::size_t a, std::size_t b) { void *p = malloc(a * b); return p ? std::memset(p, 0, a * b) : p; }
extern "C" void *realloc(void *p, std::size_t n)
{
	void *q = malloc(n);
	if (p && q) { std::size_t old = (static_cast<block *>(p) - 1)->n; std::memcpy(q, p, old < n ? old : n); free(p); }
	return q;
}
extern "C" void *aligned_alloc(std::size_t a, std::size_t n)
{
	if (a <= 16) return malloc(n);
	char *p = static_cast<char *>(malloc(n + a + sizeof(block)));
	block *b = reinterpret_cast<block *>((reinterpret_cast<std::size_t>(p) + a + sizeof(block) - 1) & ~(a - 1)) - 1;
	b->n = n;
	return b + 1;
}
C
	}
	new 5 && commit good
	new 9 && commit bad
	init "one source file" preload lib/libfast.so
	sed -i -e 's/^cycles = .*/cycles = 50000/' -e 's/-shared -fPIC/-shared -fPIC -fno-builtin -ftls-model=initial-exec/' hakperf.ini
	finds bad --metric instructions_exact
}

@test "recipes by range: history that was built otherwise; a bare repository from elsewhere" {
	begin ranges
	program old.c 10 && commit good
	git mv old.c new.c && program new.c 10 && commit moved
	program new.c 12 && commit bad
	git clone -q --bare . "$BATS_TEST_TMPDIR/ranges.git"
	mkdir "$BATS_TEST_TMPDIR/aside" && cd "$BATS_TEST_TMPDIR/aside"
	run "$hakperf" init --repo ../ranges.git
	[ "$status" = 0 ]
	sed -i -e 's|^command = .*|command = {prefix}/bin/new {n}\nn = 50000|' -e 's/^; exact/exact/' hakperf.ini
	cat >>hakperf.ini <<'INI'
[recipe old]
range = ..good
build = mkdir -p {prefix}/bin
build = {cc} {cflags} -o {prefix}/bin/new {src}/old.c
INI
	run --separate-stderr "$hakperf" bisect good bad --max-time 1s --metric instructions_exact --json
	echo "$output" "$stderr"
	[ "$(field result.culprits.0.commit)" = "$(git -C ../ranges.git rev-parse bad)" ]
	[ -f results.db ]
}

# says TEXT COMMAND…: one line on stderr that holds it, and exit code 3.
says() {
	local text=$1
	shift
	run --separate-stderr "$@"
	echo "status $status"
	echo "$stderr"
	[ "$status" = 3 ]
	[ "${#stderr_lines[@]}" = 1 ]
	[[ $stderr == *"$text"* ]]
}

@test "what is wrong is one clear line" {
	begin wrong
	program main.c 1
	allocator fast.c 1
	printf 'int nothing;\n' >none.c
	commit good
	ini() { printf '[subject]\nname = w\nuse = %s\nbuild = mkdir -p {prefix}/lib\nbuild = %s\nartifact = lib/%s\n[workload w]\ncommand = %s\n%s\n' "$@" >hakperf.ini; }
	ini exec 'cc -o {prefix}/lib/main {src}/main.c' main '{prefix}/lib/main' 'figrue = x'
	says "hakperf.ini:8: [workload w]: 'figrue' is neither a key nor a parameter that the command uses" "$hakperf" build HEAD
	sed -i 's/^figrue.*//; s/^use/usage/' hakperf.ini
	says "hakperf.ini:3: [subject] has no key 'usage'" "$hakperf" build HEAD
	# A build's outcome is an answer: one line tells it, and measuring refuses it.
	ini exec 'cc -o {prefix}/lib/main {src}/main.c' other '{prefix}/lib/other'
	says "artifact missing (the commands ended well and there is no lib/other in the prefix)" "$hakperf" compare HEAD none --workload w
	ini preload 'cc -shared -o {prefix}/lib/none.so {src}/none.c' none.so '{workloads}/hot_path 10'
	says "not interposing (lib/none.so builds and does not interpose: malloc resolves into " "$hakperf" compare HEAD none --workload w
	ini exec 'cc -o /usr/lib/stray {src}/main.c' main '{prefix}/lib/main'
	run --separate-stderr "$hakperf" build HEAD --json
	[ "$(field result.builds.0.outcome)" != ok ]
	[ ! -e /usr/lib/stray ]
	if [ "$(field result.builds.0.sandbox)" = bubblewrap ]; then
		[[ "$(field result.builds.0.detail)" == *"writes outside its prefix"* ]]
	fi
	# It runs, and prints nothing that a figure could be read from.
	ini exec 'cc -o {prefix}/lib/main {src}/main.c' main '{prefix}/lib/main' 'figure = latency ([0-9]+)'
	run --separate-stderr "$hakperf" bench HEAD --rounds 1
	[ "$status" = 0 ]
	[ "${#stderr_lines[@]}" = 1 ]
	[[ $stderr == *"HEAD: w: w printed nothing that its 'figure' pattern finds a number in, so there is no figure" ]]
	[ "$(sqlite3 results.db "SELECT DISTINCT outcome FROM run")" = "no figure" ]
	ini exec 'install -D /bin/true {prefix}/lib/main' main '{prefix}/lib/main' 'figure = latency ([0-9]+)'
	run --separate-stderr "$hakperf" bench HEAD --rounds 1
	[[ $stderr == *"w printed nothing, so there is no figure" ]]
	says "no [variant fast]" "$hakperf" build HEAD --variant fast
}

@test "docs/configuration.md names every section and key that the file may have" {
	cd "$root"
	keys=$(sed -n '/^static int recipe_key/,/^static const struct kind/p' config/config.c |
		grep -o -e 'strcmp(key, "[a-z_]*"' -e '{ "[a-z_]*", &' | grep -o '"[a-z_]*"' | tr -d '"' | sort -u)
	sections=$(sed -n '/^static const struct kind/,/^};/p' config/config.c | grep -o '{ "[a-z]*"' | grep -o '[a-z]*')
	[ "$(echo "$keys" | wc -l)" -ge 40 ]
	[ "$(echo "$sections" | wc -l)" -ge 8 ]
	for key in $keys; do
		grep -q "\`$key\`" docs/configuration.md || { echo "no word about the key $key"; false; }
	done
	for section in $sections; do
		grep -q "^## \[$section[] ]" docs/configuration.md || { echo "no section [$section]"; false; }
	done
}
