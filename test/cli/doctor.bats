#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# hakperf doctor as a person and as a program meet it.

bats_require_minimum_version 1.5.0

setup() {
	hakperf=$(realpath "${BUILD:-build}/bin/hakperf")
	cd "$BATS_TEST_TMPDIR"
}

# json FILE EXPRESSION: what python makes of it, with the document as d.
json() {
	python3 -ISc 'import json,sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"
}

@test "the noise floor of each workload, and the smallest effect that a minute can see" {
	export HAKPERF_LOCK=$PWD/lock
	"$hakperf" doctor --noise-time 100ms --json >out
	[ "$(json out '[n["workload"] for n in d["result"]["noise"]]')" = "['hot_path', 'bench_random_mixed', 'larson, one thread', 'larson, two threads']" ]
	[ "$(json out 'all(n["rounds"] >= 8 and n["binary"]["pairs"] and 0 < n["binary"]["lo"] <= n["binary"]["sd"] <= n["binary"]["hi"] for n in d["result"]["noise"])')" = True ]
	[ "$(json out 'all(n["source"]["smallest_effect"] > 0 and n["rounds_a_minute"] > 0 for n in d["result"]["noise"])')" = True ]
	[ "$(json out '[n["metric"] for n in d["result"]["noise"]]')" = "['ops_per_cpu_s', 'ops_per_cpu_s', 'ops_per_cpu_s', 'ops_per_s']" ]
	[ ! -e results.db ]
	# Another session measures: said, and the rest is answered.
	flock lock sleep 20 &
	holder=$!
	sleep 0.3
	run --separate-stderr "$hakperf" doctor
	kill "$holder"
	[ "$status" -eq 0 ]
	[[ $stderr == *"the noise was not measured"* ]]
	[ "${lines[-1]}" = "The main job can run here." ]
}

@test "each capability is a line, each missing one has a remedy, and the end says whether the main job can run" {
	run "$hakperf" doctor --no-noise
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == machine\ * ]]
	[[ $output == *"yes  callgrind"*"instructions in"* ]]
	[[ $output == *"  sampled addresses  "* ]]
	[ "$(grep -cE '^  (no|NO) ' <<<"$output")" -eq "$(grep -c -- '-> ' <<<"$output")" ]
	[ "${lines[-1]}" = "The main job can run here." ]
}

@test "as JSON, in the envelope of every verb" {
	"$hakperf" doctor --no-noise --json >out
	[ "$(json out 'd["verb"], d["result"]["able"], len(d["result"]["fingerprint"])')" = "('doctor', True, 64)" ]
	[ "$(json out 'all(c["yes"] or c["remedy"] for c in d["result"]["checks"])')" = True ]
	[ "$(json out '"kernel" in d["result"]["machine"]')" = True ]
}

@test "without its tools the main job cannot run, and exit 3 says so" {
	mkdir empty
	PATH=$PWD/empty run "$hakperf" doctor
	[ "$status" -eq 3 ]
	[[ $output == *"NO   compiler"*"apt-get install gcc"* ]]
	[[ ${lines[-1]} == *"cannot run"* ]]
}

@test "a place that cannot be written is told with its remedy" {
	HAKPERF_CACHE=/proc/nowhere run "$hakperf" doctor
	[ "$status" -eq 3 ]
	[[ $output == *"NO   disk space"*"HAKPERF_CACHE"* ]]
}

@test "the self-test of the PMU answers pass, fail or unavailable, and writes a bundle without names of this machine" {
	run "$hakperf" doctor --selftest-pmu
	[ "$status" -eq 0 ]
	verdict=$(json hakperf-pmu.json 'd["verdict"]')
	[[ ${lines[-1]} == "$verdict"* ]]
	[[ $verdict =~ ^(pass|fail|unavailable)$ ]]
	[ "$(json hakperf-pmu.json '[e["name"] for e in d["events"]]')" = "['instructions', 'branch-instructions', 'cycles']" ]
	[ "$(json hakperf-pmu.json 'all(e["seen"] is None or e["readings"] for e in d["events"])')" = True ]
	[ "$(json hakperf-pmu.json '"boot" in d["machine"], "kernel" in d["machine"]')" = "(False, True)" ]
	! grep -qF "$(cat /proc/sys/kernel/random/boot_id)" hakperf-pmu.json
	run "$hakperf" doctor --selftest-pmu --bundle other.json --json
	[ "$status" -eq 0 ] && [ -s other.json ]
	run "$hakperf" doctor --selftest-pmu --bundle /proc/nowhere.json
	[ "$status" -eq 3 ]
	[[ $output == *"/proc/nowhere.json"* ]]
}

@test "wrong use is exit 2 and one line" {
	for args in "--nonsense" "--noise-time" "--noise-time 0" "--bundle x" "--selftest-pmu --bundle"; do
		# shellcheck disable=SC2086
		run "$hakperf" doctor $args
		[ "$status" -eq 2 ]
		[ "${#lines[@]}" -eq 1 ]
	done
}
