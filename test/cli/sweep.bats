# SPDX-License-Identifier: Apache-2.0
# hakperf sweep on a toy history: where does it differ, and where not?
bats_require_minimum_version 1.5.0
load helper

setup() {
	toy "$BATS_TEST_TMPDIR/toy" --commits 4 --same 1 --step 2=60
	sed -i 's/ CC={cc}$/ CC={cc} {variant}/; s/^cycles = .*/cycles = 30000/' hakperf.ini
	cat >>hakperf.ini <<-'INI'
		[variant release]
		arguments = none
		[variant broken]
		arguments = CC=/bin/false
		[class big]
		min = 512
		max = 512
		[workload mixed]
		command = {workloads}/bench_random_mixed --cycles {cycles} --ws {working_set} --seed 42 --min {min} --max {max}
		classes = small big
		cycles = 30000
		working_set = 64
		scale = cycles
	INI
}

sweep() {
	run --separate-stderr "$hakperf" sweep --json "$@"
}

# rows EXPRESSION: what python makes of it, with the configurations as rows.
rows() {
	printf '%s' "$output" | python3 -ISc 'import json,sys
rows = json.load(sys.stdin)["result"]["configurations"]
print(eval(sys.argv[1]))' "$1"
}

@test "every configuration once, differences first, with what could not be built" {
	sweep c0 c3 --axis workload=pairs,mixed --axis class=big --axis working_set=64,512 --axis variant=release,broken --max-time 60s
	echo "$output"
	[ "$status" = 0 ]
	# pairs has no working set; mixed has two values of it; times two variants.
	[ "$(rows 'len(rows), len({(r["case"], r["variant"]) for r in rows})')" = "(6, 6)" ]
	[ "$(rows '{r["ratio"]["verdict"] for r in rows[:3]}')" = "{'regression'}" ]
	[ "$(rows 'all(a["ratio"]["value"] <= b["ratio"]["value"] < 0.95 for a, b in zip(rows[:2], rows[1:3]))')" = True ]
	[ "$(rows 'all(r["variant"] == "broken" and r["ratio"] is None and r["detail"] for r in rows[3:])')" = True ]
	[ "$(rows 'all(r["q"] <= 0.05 for r in rows[:3])')" = True ]
	[ "$(rows 'sorted(r["parameters"]["working_set"] for r in rows if r["workload"] == "mixed" and r["variant"] == "release")')" = "['512', '64']" ]
	# Descriptive, as the record has it.
	[ "$(sqlite3 results.db 'SELECT count (*), sum (is_primary) FROM verdict')" = "3|0" ]
}

@test "builds with the same bytes are not measured; cold and steady are apart" {
	sweep c0 c1 --axis variant=release
	[ "$status" = 0 ]
	[ "$(rows '[(r["same_bytes"], r["ratio"]["verdict"], r["ratio"]["rounds"]) for r in rows]')" = "[(True, 'no change', 0)]" ]
	sweep c0 c3 --axis phase=cold,steady --axis variant=release --max-time 30s
	[ "$(rows 'sorted(r["phase"] for r in rows)')" = "['cold', 'steady']" ]
	[ "$(sqlite3 results.db "SELECT count (DISTINCT case_id) FROM round")" = 2 ]
	run "$hakperf" sweep c0 c3 --axis variant=release --axis env=none,TOY_UNUSED=1 --max-time 30s
	[ "$status" = 0 ]
	[[ ${lines[0]} == "c0 and c3 differ in 2 of 2 configurations, most in pairs small "* ]]
	[[ $output == *"Benjamini and Hochberg"* ]]
}

@test "time that is too short leaves things open, and a sweep asked again goes on" {
	sweep c0 c3 --axis variant=release --axis cycles=1000,2000,3000,4000 --max-time 30ms
	[ "$status" = 0 ]
	[ "$(rows '{r["ratio"]["verdict"] for r in rows}')" = "{'unclear'}" ]
	"$hakperf" sweep c0 c3 --axis variant=release --axis cycles=5000,6000 --max-time 60s >/dev/null 2>&1 &
	pid=$!
	for _ in $(seq 200); do
		sleep 0.05
		[ "$(sqlite3 results.db 'SELECT count (*) FROM round WHERE session_id = 2' 2>/dev/null || echo 0)" -lt 3 ] || break
	done
	kill -KILL "$pid"
	wait "$pid" || true
	sweep c0 c3 --axis variant=release --axis cycles=5000,6000 --max-time 60s
	[ "$(field result.session)" = 2 ]
	[ "$(rows '{r["ratio"]["verdict"] for r in rows}')" = "{'regression'}" ]
}

@test "wrong use" {
	for words in "c0" "c0 c1 c2" "c0 c3 --axis" "c0 c3 --axis x" "c0 c3 --axis x=" "c0 c3 --axis x=1,,2" "c0 c3 --fdr 0" "c0 c3 --max-time 0"; do
		run "$hakperf" sweep $words
		[ "$status" = 2 ] || { echo "$words: $status $output"; false; }
	done
	for words in "c0 c3 --axis nonsense=1" "c0 c3 --axis workload=none" "c0 c3 --axis class=none" "c0 c3 --axis variant=none" "c0 c3 --axis phase=hot" "c0 c9"; do
		run "$hakperf" sweep $words
		[ "$status" = 3 ] && [ "${#lines[@]}" = 1 ] || { echo "$words: $status $output"; false; }
	done
}
