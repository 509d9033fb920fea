# SPDX-License-Identifier: Apache-2.0
# A revision beside other allocators.
bats_require_minimum_version 1.5.0
load helper

# row CASE ALLOCATOR: a case's row of that allocator, as JSON.
row() {
	printf '%s' "$output" | python3 -c 'import json,sys
case = json.load(sys.stdin)["result"]["cases"][int(sys.argv[1])]
print(json.dumps([r for r in case["allocators"] if r["allocator"] == sys.argv[2]][0]))' "$1" "$2"
}

# of JSON EXPRESSION: python over r.
of() { python3 -c 'import json,sys; r = json.loads(sys.argv[1]); sys.exit(0 if eval(sys.argv[2]) else 1)' "$1" "$2"; }

noticed() {
	printf '%s' "$output" | python3 -c 'import json,sys
for w in json.load(sys.stdin)["result"]["wrong_use"]:
    if w["allocator"] == sys.argv[1] and w["wrong_use"] == sys.argv[2]: print(w["outcome"])' "$1" "$2"
}

@test "throughput, instructions, memory and wrong use, side by side and in the record" {
	toy "$BATS_TEST_TMPDIR/peers" --commits 2
	run --separate-stderr "$hakperf" peers c0 --rounds 2 --only jemalloc --only glibc --only null --json
	echo "$output" "$stderr"
	[ "$status" = 0 ]
	[ "$(field result.allocators.0.role)" = subject ]
	for name in "toy c0" jemalloc glibc "null (floor)"; do
		r=$(row 0 "$name")
		of "$r" 'r["ops_per_cpu_s"]["value"] > 1e5 and r["ops_per_s"]["value"] > 1e5'
		of "$r" '1 < r["instructions"]["value"] < 1000 and r["instructions"]["source"] == "callgrind, exact"'
		of "$r" '2**19 < r["peak_rss_bytes"] < 2**28'
	done
	# The floor is below all others; a toy that runs forty instructions more a free is not below glibc's.
	floor=$(row 0 "null (floor)")
	for name in "toy c0" jemalloc glibc; do
		of "[$floor, $(row 0 "$name")]" 'r[0]["instructions"]["value"] < r[1]["instructions"]["value"]'
	done
	for crime in "double free" "interior pointer" "wild pointer"; do
		[ "$(noticed glibc "$crime")" = named ]
	done
	[ "$(noticed "null (floor)" "double free")" = "corrupts memory" ]
	[ "$(noticed "null (floor)" "wild pointer")" = unnoticed ]
	[ "$(noticed jemalloc "wild pointer")" = stopped ]
	[ "$(sqlite3 results.db "SELECT verb, state FROM session")" = "peers|done" ]
	[ "$(sqlite3 results.db "SELECT count (*) FROM run JOIN round ON round.id = round_id JOIN bench_case ON bench_case.id = case_id
		JOIN workload ON workload.id = workload_id WHERE workload.name LIKE 'wrong_use/%'")" = 12 ]
	# What makes jemalloc's counts repeat is on the record, in an arm of its own.
	[ "$(sqlite3 results.db "SELECT count (*) FROM session_arm WHERE environment_json LIKE '%dirty_decay_ms:-1%'")" = 1 ]

	# The page draws the same.
	run "$hakperf" report peers
	[ "$status" = 0 ]
	[[ $output == "# toy c0 beside other allocators"* ]]
	grep -q '^| null (floor) |.* 2 |$' <<<"$output"
	grep -q '^| jemalloc |.*\\\* |' <<<"$output"
	grep -q '^| glibc | double free | named |' <<<"$output"
	run "$hakperf" report
	[ -s reports/out/peers.html ] && grep -q 'href="peers.html"' reports/out/index.html
}

@test "a page about peers needs peers" {
	toy "$BATS_TEST_TMPDIR/none" --commits 1
	run "$hakperf" build HEAD
	"$hakperf" compare none none --rounds 1 -- true >/dev/null 2>&1 || true
	run "$hakperf" report peers
	[ "$status" = 3 ] && [ "${#lines[@]}" = 1 ] && [[ $output == *"hakperf peers"* ]]
}

@test "another library by path; the tables; what cannot be" {
	toy "$BATS_TEST_TMPDIR/with" --commits 2 --step 1=200
	run --separate-stderr "$hakperf" build c1 --json
	cp "$(field result.builds.0.artifact)" slow.so
	run --separate-stderr "$hakperf" peers c0 --rounds 1 --only none --with slow.so --no-exact
	[ "$status" = 0 ]
	[[ $output == *"toy c0"* && $output == *"slow.so"* && $output == *"wrong use"* ]]
	[[ $output != *jemalloc* && $output != *nan* ]]
	run --separate-stderr "$hakperf" peers c0 --with missing.so
	[ "$status" = 3 ]
	[ "${#stderr_lines[@]}" = 1 ]
	[[ $stderr == *"cannot read missing.so"* ]]
	sed -i 's/^paths = toy/paths = toy\nuse = exec/' hakperf.ini
	run --separate-stderr "$hakperf" peers c0
	[ "$status" = 3 ]
	[[ $stderr == *"it has no peers among allocators"* ]]
}
