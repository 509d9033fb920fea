# SPDX-License-Identifier: Apache-2.0
# Real sessions of known truth: relinks of one source do not differ, doses of extra instructions do, and by how much.
bats_require_minimum_version 1.5.0
load ../cli/helper

setup_file() {
	make -s -C "$root" "BUILD=$build" all bench-live-bins misbehave
}

@test "twenty comparisons of relinks claim nothing, and the response follows the dose" {
	cd "$BATS_TEST_TMPDIR"
	run --separate-stderr "$build/bench/bench_live" "$build" live.db 20 10 40
	echo "$output"
	[ "$status" = 0 ]
	# A false claim is to be expected once in two hundred of these, at most.
	[[ $output == *"20 comparisons of relinks of one source"*" 0 differences claimed"*" 0 invalid"* ]]
	[[ $output =~ cpu_ns\ +([0-9.]+)\ \[([0-9.-]+),\ ([0-9.-]+)\]\ ns\ an\ extra\ instruction ]]
	python3 -c "import sys; lo, hi = map(float, sys.argv[1:]); assert 0 < lo < hi < 3" "${BASH_REMATCH[2]}" "${BASH_REMATCH[3]}"
	# Asked again it measures nothing anew.
	sessions=$(sqlite3 live.db 'SELECT count (*) FROM session')
	run --separate-stderr "$build/bench/bench_live" "$build" live.db 20 10 40
	[ "$(sqlite3 live.db 'SELECT count (*) FROM session')" = "$sessions" ]
}

@test "a hog that starts halfway, twenty times, makes nothing differ" {
	cd "$BATS_TEST_TMPDIR"
	for _ in $(seq 20); do
		(
			sleep 2
			for _ in 1 2; do timeout 2 sh -c 'while :; do :; done' & done
			wait
		) &
		hogs=$!
		run --separate-stderr "$hakperf" compare --json --delta 0.01% --max-time 4s "$build/test/misbehave/quick_start.so" \
			"$build/test/misbehave/quick_start_too.so" -- "$build/workload/hot_path" 100000 64
		wait "$hogs"
		case $(field result.verdict) in "no change" | unclear | invalid) ;; *) echo "$output"; return 1 ;; esac
	done
}
