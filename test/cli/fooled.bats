# SPDX-License-Identifier: Apache-2.0
# What would look like an answer and is none: nothing was put under the program, or it did other work.
bats_require_minimum_version 1.5.0
load helper

setup() {
	cd "$BATS_TEST_TMPDIR"
	fast=$build/control/0/lib/libcontrol.so
	slow=$build/control/64/lib/libcontrol.so
	printf '#include <stdlib.h>\nint main(void) { void *volatile p = malloc(64); free(p); return 0; }\n' >p.c
}

@test "a program that no preloaded library reaches is not measured" {
	gcc -o with p.c
	gcc -static -o without p.c
	# It has a malloc of its own, and says so before anything runs.
	run "$hakperf" compare "$fast" "$slow" -- ./without
	[ "$status" = 3 ]
	[[ $output == *"without has a malloc of its own"* ]]
	[ "${#lines[@]}" = 1 ]
	# As static programs that show no symbols, and set-uid ones: seen by what they open.
	strip without
	run --separate-stderr "$hakperf" compare --json "$fast" "$slow" -- ./without
	[ "$(field result.verdict)" = invalid ]
	[[ $(field result.detail) == *"not interposing: no process of"* ]]
	# The loader leaves out what it cannot load, and the program runs all the same.
	echo text >text.so
	run --separate-stderr "$hakperf" compare --json "$fast" ./text.so -- ./with
	[ "$(field result.verdict)" = invalid ]
	[[ $(field result.detail) == *"cannot be preloaded"* ]]
	run --separate-stderr "$hakperf" compare --json --rounds 1 "$fast" "$slow" -- sh -c ./with
	[ "$(field result.failed)" = 0 ]
}

@test "by exact count too: what did other work is neither better nor worse" {
	git init -q -b main .
	git config user.name n && git config user.email n@example.invalid
	printf '#include <stdio.h>\n#include "n.h"\nint main(void)\n{\n\tvolatile unsigned long s = TUNE;\n\tfor (long i = 0; i < N; i++)\n\t\ts += i;\n' >p.c
	printf '\tprintf("Checksum = %%lx\\n", s - TUNE);\n\treturn 0;\n}\n' >>p.c
	cat >hakperf.ini <<-'INI'
		[subject]
		name = p
		use = exec
		build = mkdir -p {prefix}/bin
		  gcc -O1 -o {prefix}/bin/p {src}/p.c
		artifact = bin/p
		[workload sum]
		command = {prefix}/bin/p
		exact = yes
		[main]
		bisect = sum
	INI
	local n=0
	for turns in 100000 100000 50000 100000; do
		printf '#define N %s\n#define TUNE %s\n' $turns $n >n.h
		git add . && git commit -qm "commit $n" && git tag c$n
		n=$((n + 1))
	done
	run "$hakperf" bisect c0 c2 --metric instructions_exact --max-time 1s
	[ "$status" = 3 ]
	[[ $output == *"cannot be compared with good: it did other work"* ]]
	run --separate-stderr "$hakperf" bisect c0 c3 --all --metric instructions_exact --max-time 1s --json
	[ "$(field result.outcome)" = "no difference" ]
	[[ $(field result.broken) == *"$(git rev-parse c2)"* ]]
	[ "$(field result.culprits)" = "[]" ]
	# One arm that did other work is the wrong one, not those that stand behind it.
	run --separate-stderr "$hakperf" bench c0 c2 c1 --rounds 2 --workload sum --json
	[ "$(field result.cases.0.revisions.1.figure.value)" = None ]
	[ "$(field result.cases.0.revisions.2.figure.value)" != None ]
}
