# SPDX-License-Identifier: Apache-2.0
# Accounts of throw-away histories: the toy's free costs what a number in a file says.
bats_require_minimum_version 1.5.0
load helper

setup_file() {
	export HAKPERF_CACHE=$BATS_FILE_TMPDIR/cache
	toy "$BATS_FILE_TMPDIR/toy" --commits 8 --step 3=10 --fail 5 --unrelated 6
}

setup() {
	export HAKPERF_CACHE=$BATS_FILE_TMPDIR/cache
	cd "$BATS_FILE_TMPDIR/toy"
}

# py EXPRESSION: with the result of $output as r.
py() { printf '%s' "$output" | python3 -c 'import json,sys; r = json.load(sys.stdin)["result"]; assert eval(sys.argv[1]), sys.argv[1]' "$1"; }

@test "one revision: paths, shares and sums that balance" {
	run --separate-stderr "$hakperf" account c0 --json
	[ "$status" = 0 ]
	[ "$(field verb)" = account ]
	a='r["cases"][0]["accounts"][0]'
	py "$a['counted'] and $a['exact'] and $a['debug_information']"
	py "abs(sum(p['instructions'] for p in $a['paths']) - $a['total']) < 1e-9"
	py "abs(sum(f['self'] for f in $a['functions']) - $a['total']) < 1e-9"
	py "abs($a['total'] * $a['operations'] - $a['instructions_of_region']) < 0.5"
	py "{p['path']: p['calls'] for p in $a['paths'] if p['calls'] < 1} == {'free': 0.5, 'malloc': 0.5}"
	# malloc jumps to block: a tail call is a call; what block's code holds is unfolded.
	py "[f['reached'] for f in $a['functions'] if f['chain'] == 'block' and f['path'] == 'malloc'] == [1.0]"
	py "any(f['chain'] == 'block > slot_new' for f in $a['functions'])"
	run "$hakperf" account c0
	[[ $output == *"pairs small, free: 0.50 calls/op"*"unattributed 0.00/op"* ]]
}

@test "two revisions: the function, the kind and the total of the change" {
	run --separate-stderr "$hakperf" account c2 c3 --json
	[ "$status" = 0 ]
	d='r["cases"][0]["difference"]'
	# ten turns of a loop of two instructions, in every second operation
	py "abs($d['delta'] - 10) < 0.05"
	py "abs(sum(c['delta'] for c in $d['changes']) - $d['delta']) < 1e-9"
	py "($d['changes'][0]['chain'], $d['changes'][0]['path'], $d['changes'][0]['kind']) == ('free', 'free', 'grown')"
	h='r["cases"][0]["by_hunk"]'
	py "abs(sum(k['delta'] for k in $h['hunks']) + $h['unchanged_b'] - $h['unchanged_a'] - $d['delta']) < 1e-9"
	run "$hakperf" account c2 c3
	[[ $output == *"+10.0"*"grown"*"free"* ]]
	[[ $output == *"lines that the commit did not touch"* ]]
}

@test "a commit that does not touch the subject changes nothing" {
	run --separate-stderr "$hakperf" account c4 c7 --json
	py "abs(r['cases'][0]['difference']['delta']) < 1e-9"
	run "$hakperf" account c3 c3
	[ "$status" = 3 ]
	[[ $output == *"same commit"* ]]
}

@test "where: reached, cost and a bound; never ran; unknown" {
	run "$hakperf" account c0 --where free
	[ "$status" = 0 ]
	[[ ${lines[0]} == "free in pairs small, called: reached in 100.0 % of calls of free, "*" instructions per operation"* ]]
	# Where the loop took fewer cycles than free has instructions, a cycle for each bounds nothing.
	[[ ${lines[0]} == *"at most +"*"% of throughput"* || ${lines[0]} == *"no bound by instructions"* ]]
	[[ $output == *"core_cycles_est"* || $output == *"by cycles"* ]]
	run "$hakperf" account c0 --where posix_memalign
	[[ ${lines[0]} == *"reached in 0.0 % of calls"*"the build has it"* ]]
	run "$hakperf" account c0 --where no_such_function
	[ "$status" = 0 ]
	[[ ${lines[0]} == *"knows no function of that name"* ]]
}

@test "asm: the instructions that ran, of one and of two revisions" {
	run "$hakperf" account c0 --asm free
	[ "$status" = 0 ]
	[[ $output == *"free of c0: "*" instructions ran"* ]]
	[[ $output == *"toy.c:"* ]]
	run --separate-stderr "$hakperf" account c2 c3 --asm free --json
	py "abs(sum(i['executions'] for i in r['cases'][0]['assembly'][1]['listing']) - r['cases'][0]['assembly'][1]['instructions']) < 1e-9"
	py "abs(r['cases'][0]['assembly'][1]['instructions'] - r['cases'][0]['assembly'][0]['instructions'] - 10) < 0.05"
	run "$hakperf" account c0 --asm no_such_function
	[ "$status" = 3 ]
	[[ $output == *"no instruction of a function 'no_such_function' ran"* ]]
}

@test "split: the hunks of a commit, what each carries, and their sum" {
	git checkout -q -b split c2
	sed -i 's/^void free(void \*p)$/static void twice(void *p);\nvoid free(void *p)/; s/^	unsigned x = 0;$/	unsigned x = 0; twice(p);/' toy/toy.c
	printf '\n__attribute__((noinline)) static void twice(void *p)\n{\n\t__asm__ volatile("nop\\nnop\\nnop" : : "r"(p));\n}\n' >>toy/toy.c
	echo '#define COST 25' >toy/cost.h
	git commit -q -a -m 'Do twice, and five turns more'
	run --separate-stderr "$hakperf" account --split HEAD --json
	[ "$status" = 0 ]
	py "r['complete'] and abs(sum(g['put_on'] for g in r['groups']) - r['delta']) < 0.01"
	# five turns of two instructions in every second operation
	py "[round(g['put_on'], 1) for g in r['groups'] if 'toy/cost.h' in g['hunks'][0]] == [5.0]"
	py "[round(g['taken_off'], 1) for g in r['groups'] if 'toy/cost.h' in g['hunks'][0]] == [5.0]"
	# three nops, the call and the return, and what the compiler keeps around it
	py "any(2.5 <= g['put_on'] < 5 and 'toy/toy.c' in ' '.join(g['hunks']) for g in r['groups'])"
	run "$hakperf" account --split HEAD # the trees are built and the same by now
	[[ $output == *"the groups add up to the commit"* ]]
	git checkout -q main
}

@test "cycles: per operation, with their source" {
	run --separate-stderr "$hakperf" account c0 --cycles --json
	[ "$status" = 0 ]
	py "any(m in r['cases'][0]['costs'][0] for m in ('cycles', 'core_cycles_est'))"
	py "r['cases'][0]['costs'][0]['cpu_ns']['value'] > 0 and r['cases'][0]['costs'][0]['cpu_ns']['rounds'] >= 3"
	s="r['cases'][0]['sampled'][0]"
	py "('functions' in $s) or $s['why']"
	py "'functions' not in $s or ($s['samples'] > 100 and 0 <= $s['share_not_counted'] < 0.5)"
	py "'functions' not in $s or abs(sum(f['share'] for f in $s['functions']) + $s['share_not_counted'] - 1) < 1e-9"
	# ten turns of a loop more in free: its share of the time grows
	run "$hakperf" account c2 c3 --cycles
	[ "$status" = 0 ]
	[[ $output == *"where the cycles are"* ]]
	[[ $output == *"not sampled"* || $output == *"samples of "*" runs, "* ]]
}

@test "a bisect accounts for its culprit by itself" {
	run "$hakperf" bisect c0 c4 --metric instructions_exact --max-time 1s
	[ "$status" = 0 ]
	[[ $output == *"what $(git rev-parse --short=12 c3) changed"*"+10.0"*"grown"* ]]
	run --separate-stderr "$hakperf" bisect c0 c4 --metric instructions_exact --max-time 1s --json
	py "[a['commit'] for a in r['accounts']] == ['$(git rev-parse c3)']"
	py "abs(r['accounts'][0]['difference']['delta'] - 10) < 0.05 and 'unchanged_lines' in r['accounts'][0]['by_hunk']"
	# The page of the bisect tells them.
	run "$hakperf" report bisect --format md
	[[ $output == *"Lines that did not change cost "*"hakperf account --split"* ]]
}

@test "what cannot be accounted for says why" {
	run "$hakperf" account c5
	[ "$status" = 3 ]
	[[ $output == *"c5 cannot be counted: its build is failed"* ]]
	run "$hakperf" account nonsense
	[ "$status" = 3 ]
	run "$hakperf" account --split c5
	[ "$status" = 3 ]
	[[ $output == *"does not build"* ]]
	for args in "" "a b c" "a b --where f" "--split a --cycles" "--wait never a" "--nonsense"; do
		# shellcheck disable=SC2086
		run "$hakperf" account $args
		[ "$status" = 2 ]
	done
}

@test "without debug information: by symbol, and said so" {
	sed 's/^build = .*/&\n\tsh: strip -g {prefix}\/lib\/libtoy.so/' hakperf.ini >stripped.ini
	run "$hakperf" account c0 --config "$PWD/stripped.ini"
	[ "$status" = 0 ]
	[[ $output == *"no debug information"* ]]
	[[ $output == *"by symbol"* ]]
	rm stripped.ini
}

# sum DIR: a library that is no allocator, and a program linked with it, which marks no region.
sum() {
	mkdir "$1" && cd "$1" || return 1
	printf 'long mix(long x);\nlong sum_all(const long *v, int n);\n' >sum.h
	printf '#include "sum.h"\nlong mix(long x) { return x * 31 + 7; }\nlong sum_all(const long *v, int n) { long s = 0; for (int i = 0; i < n; i++) s += mix(v[i]); return s; }\n' >sum.c
	printf '#include "sum.h"\n#include <stdlib.h>\nint main(int c, char **v) { long a[64] = { c }, s = 0; for (int i = atoi(v[1]); i > 0; i--) s += sum_all(a, 64); return s == 1; }\n' >bench.c
	printf '%s\n' 'install:' $'\tmkdir -p $(PREFIX)/lib $(PREFIX)/bin' \
		$'\t$(CC) -O1 -g -fPIC -shared -o $(PREFIX)/lib/libsum.so sum.c' \
		$'\t$(CC) -O1 -g -o $(PREFIX)/bin/bench bench.c -L$(PREFIX)/lib -lsum' >Makefile
	cat >hakperf.ini <<-'INI'
		[subject]
		name = sum
		use = library
		build = make -C {src} install PREFIX={prefix} CC={cc}
		artifact = lib/libsum.so
		[workload all]
		command = {prefix}/bin/bench {n}
		n = 20000
		scale = n
		exact = yes
		[main]
		bisect = all
	INI
	git init -q . && git add -A && git -c user.name=t -c user.email=t@t commit -q -m one
}

@test "a library that is no allocator, and a program without a region: per run" {
	sum "$BATS_TEST_TMPDIR/sum"
	run --separate-stderr "$hakperf" account HEAD --cycles --json
	echo "$output $stderr"
	[ "$status" = 0 ]
	a='r["cases"][0]["accounts"][0]'
	py "$a['counted'] and [p['path'] for p in $a['paths']] == ['(program)']"
	py "any(f['function'] == 'sum_all' and f['calls'] == 20000 for f in $a['functions'])"
	py "any(f['function'] == 'mix' for f in $a['functions'])"
	py "r['cases'][0]['costs'][0]['cpu_ns']['unit'] == 'per run'"
	s="r['cases'][0]['sampled'][0]"
	py "'functions' not in $s or sum(f['share'] for f in $s['functions'] if 'sum_all' in f['chain'] or 'mix' in f['chain']) > 0.5"
}

@test "threads: the counts are said not to be exact" {
	sed 's|^command = .*|command = {workloads}/larson --rounds 2 --chunks 50 --threads 2 --seed {seed}|; /^scale/d; /^cycles/d' hakperf.ini >threads.ini
	run "$hakperf" account c0 --config "$PWD/threads.ini"
	echo "$output"
	rm threads.ini
	[ "$status" = 0 ]
	[[ $output == *"not exact: 2 threads"* ]]
}
