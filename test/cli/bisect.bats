# SPDX-License-Identifier: Apache-2.0
# Bisects on throw-away histories whose culprit is known: one of each kind. test/long/bisect.bats has the slower ones.
bats_require_minimum_version 1.5.0
load helper

exact=(--metric instructions_exact --max-time 1s --no-account)

# ask GOOD BAD [OPTION …]: a bisect, its answer as JSON in $output.
ask() { run --separate-stderr "$hakperf" bisect "$@" --json; }

# killed_at N ACTION GOOD BAD OPTION…: a bisect that is killed when N steps of that kind are in the record.
killed_at() {
	local steps=$1 action=$2 n pid
	shift 2
	"$hakperf" bisect "$@" >/dev/null 2>&1 3>&- &
	pid=$!
	until n=$(sqlite3 results.db "SELECT count(*) FROM bisect_step WHERE action = '$action'" 2>/dev/null) && [ "$n" -ge "$steps" ]; do
		kill -0 "$pid" || return 1
		sleep 0.05
	done
	kill -KILL "$pid"
	wait "$pid" || true
}

@test "exact: one step among odd subjects and commits that leave the subject alone" {
	toy "$BATS_TEST_TMPDIR/one" --commits 12 --step 6=30 --unrelated 2,3,4,8,9 --odd
	ask c0 c11 --metric instructions_exact --max-time 1s
	[ "$status" = 0 ]
	holds 'r["outcome"] == "culprit"' 'len(r["culprits"]) == 1' 'r["culprits"][0]["commit"] == id["c6"]' \
		'r["culprits"][0]["direction"] == "regression"' 'r["culprits"][0]["proved"]' 'r["rest"] == "no change"' \
		'r["commits_changing_subject"] == 6' '3 < r["builds"] <= 5' 'len(r["accounts"]) == 1' \
		'29.9 < r["culprits"][0]["after"] - r["culprits"][0]["before"] < 30.1' # 30 turns of two instructions, every second operation
	# Asked again: nothing is built twice.
	run "$hakperf" bisect c0 c11 "${exact[@]}" --fail-on regression
	[ "$status" = 1 ]
	[[ $output == *"0 builds, "* ]]
	[[ $output != *$'\033'* ]]
	[[ $output == *'\xe9'* ]]
	# The counted commits as bars: low before the culprit, high from it on.
	[[ $output =~ counted,\ from\ good\ to\ bad:\ ▁[▁\ ]*█[█\ ]*\ [0-9.]+\ …\ [0-9.]+\ instructions ]]
}

@test "exact: equal ends have no culprit; between them every step of the staircase, the largest first" {
	toy "$BATS_TEST_TMPDIR/stairs" --commits 6 --step 2=90 --step 4=-20 --revert 5=1
	ask c0 c5 "${exact[@]}"
	[ "$status" = 0 ]
	holds 'r["outcome"] == "no difference"' 'r["culprits"] == []' 'r["elsewhere"] == []' 'r["measurements"] == 2'
	ask c0 c5 "${exact[@]}" --all
	holds 'r["outcome"] == "culprits"' '[c["commit"] for c in r["culprits"]] == [id[c] for c in ("c2", "c5", "c4")]' \
		'[c["direction"] for c in r["culprits"]] == ["regression", "improvement", "improvement"]'
	# Ends that differ: the same steps, without being asked for all.
	ask c0 c4 "${exact[@]}"
	holds '[c["commit"] for c in r["culprits"]] == [id["c2"], id["c4"]]' 'r["builds"] == 0'
	# A better bad end is said to be one, and searched on request.
	ask c2 c4 "${exact[@]}"
	[ "$status" = 0 ]
	holds 'r["outcome"] == "improvement"' 'r["culprits"] == []' '"--improvement" in r["why"]'
	ask c2 c4 "${exact[@]}" --improvement --fail-on regression
	[ "$status" = 0 ]
	holds 'r["culprits"][0]["commit"] == id["c4"]' 'r["culprits"][0]["direction"] == "improvement"'
}

@test "exact: broken commits widen the answer, they do not mislead it; a part of it later, and a replay" {
	toy "$BATS_TEST_TMPDIR/broken" --commits 9 --step 5=30 --fail 4,5 --same 6 --hidden 7 --crash 1
	ask c0 c8 "${exact[@]}"
	[ "$status" = 0 ]
	holds 'r["outcome"] == "set"' '{c["commit"] for c in r["culprits"][0]["set"]} == {id["c4"], id["c5"], id["c6"]}' \
		'"failed" in [c["outcome"] for c in r["broken"]]'
	ask c2 c8 "${exact[@]}"
	holds 'r["outcome"] == "set"' 'r["builds"] <= 2' # the ends, unless they are known
	run --separate-stderr "$hakperf" bisect replay --json
	[ "$status" = 0 ]
	holds 'r["same"]'
}

@test "exact: a commit that loads what the tree before it loads is no suspect, whoever stands between" {
	toy "$BATS_TEST_TMPDIR/alike" --commits 10 --step 6=30 --same 3,5,8 --unrelated 2,4,7
	ask c0 c9 "${exact[@]}" --all
	[ "$status" = 0 ]
	holds 'r["outcome"] == "culprit"' 'r["culprits"][0]["commit"] == id["c6"]' 'r["rest"] == "no change"' \
		'{m["commit"] for m in r["measured"]} == {id[c] for c in ("c0", "c1", "c5", "c6", "c9")}' # c5: beside the culprit
	[ "$(sqlite3 results.db "SELECT count(*) FROM bisect_step WHERE action = 'same'")" = 3 ]
	run --separate-stderr "$hakperf" bisect replay --json
	holds 'r["same"]'
}

@test "exact: merges, and first parents alone" {
	toy "$BATS_TEST_TMPDIR/merges" --commits 6 --merges --step 2=30
	ask c0 c5 "${exact[@]}"
	holds 'r["culprits"][0]["commit"] == id["c2"]'
	# Commit 2 stands on a side branch that 4 merges.
	ask c0 c5 "${exact[@]}" --first-parent
	holds 'r["culprits"][0]["commit"] == id["c4"]'
}

@test "auto searches by the exact count where time agrees" {
	toy "$BATS_TEST_TMPDIR/auto" --commits 3 --step 1=200
	ask c0 c2 --max-time 60s --no-account
	[ "$status" = 0 ]
	holds 'r["metric"] == "instructions_exact"' 'r["culprits"][0]["commit"] == id["c1"]' \
		'r["culprits"][0]["proofs"][0]["time"]["verdict"] == "regression"' 'r["ends"]["time"]["metric"] == "ops_per_cpu_s"'
}

@test "page faults: a step from none to some, which instructions hardly see" {
	toy "$BATS_TEST_TMPDIR/pages" --commits 6 --pages 4=32
	ask c0 c5 --metric page_faults --max-time 60s --no-account
	[ "$status" = 0 ]
	holds 'r["metric"] == "page_faults"' 'r["culprits"][0]["commit"] == id["c4"]' 'r["culprits"][0]["proved"]' \
		'r["culprits"][0]["direction"] == "regression"' 'r["culprits"][0]["proofs"][0]["metric"]["metric"] == "page_faults"' \
		'r["culprits"][0]["before"] < 10 and 3000 < r["culprits"][0]["after"] < 3300' \
		'r["culprits"][0]["proofs"][0]["instructions"]["value"] < 1.003' 'r["rest"] == "no change"'
}

@test "throughput: a killed bisect goes on where it was, to a culprit that is proved in time" {
	toy "$BATS_TEST_TMPDIR/killed" --commits 14 --step 9=200
	local rounds timed=(--metric ops_per_cpu_s --delta 50% --max-time 40s --no-account)
	killed_at 2 measure c0 c13 "${timed[@]}"
	rounds=$(sqlite3 results.db 'SELECT count(*) FROM round')
	ask c0 c13 "${timed[@]}"
	[ "$status" = 0 ]
	holds 'r["outcome"] == "culprit"' 'r["culprits"][0]["commit"] == id["c9"]' 'r["culprits"][0]["proved"]' \
		'r["culprits"][0]["proofs"][0]["time"]["verdict"] == "regression"' 'r["ends"]["time"]["verdict"] == "regression"'
	[ "$(sqlite3 results.db 'SELECT (SELECT count(*) FROM session), (SELECT count(*) FROM sitting)')" = "1|2" ]
	[ "$(sqlite3 results.db 'SELECT count(*) FROM round')" -gt "$rounds" ]
	# Taken again from the record, both sittings together ask for the very same.
	run --separate-stderr "$hakperf" bisect replay --json
	[ "$status" = 0 ]
	holds 'r["same"]' 'r["decisions"][0]["same"]' 'r["steps"][0]["commit"] == id["c9"]'
	run "$hakperf" bisect log
	[[ $output == *" against good; most probable "* && $output == *"measurements known"* ]]
	# A later search over a part of it begins with what is known.
	ask c6 c11 "${timed[@]}"
	holds 'r["culprits"][0]["commit"] == id["c9"]'
	run "$hakperf" bisect log
	[[ $output =~ [1-9][0-9]*\ measurements\ known ]]
	# Where the ends cannot be told apart, configurations of the record are offered in which they can.
	ask c0 c13 --metric ops_per_cpu_s --param cycles=50000 --max-time 0.01s
	[ "$status" = 0 ]
	holds 'r["outcome"] == "cannot tell"' \
		'[(c["workload"], c["cycles"], c["verdict"]) for c in r["elsewhere"]] == [("pairs", 100000, "regression")]'
	run "$hakperf" bisect c0 c13 --metric ops_per_cpu_s --param cycles=50000 --max-time 0.01s
	[[ $output == *"they differ elsewhere: --workload pairs --class small"* ]]
}

@test "throughput: neighbours of a staircase run beside each other; a killed one loses no round" {
	toy "$BATS_TEST_TMPDIR/level" --commits 6 --step 3=200
	local timed=(--metric ops_per_cpu_s --delta 20% --max-time 40s --no-account --all)
	killed_at 1 beside c0 c5 "${timed[@]}"
	ask c0 c5 "${timed[@]}"
	[ "$status" = 0 ]
	holds '[c["commit"] for c in r["culprits"]] == [id["c3"]]' 'r["culprits"][0]["proved"]' 'r["rest"] == "no change"' \
		'0 <= r["hidden"] <= 0.2'
	run --separate-stderr "$hakperf" bisect replay --json
	[ "$status" = 0 ]
	holds 'r["same"]' 'any(x["beside"] for x in r["decisions"])'
	run "$hakperf" bisect replay
	[[ $output == *" taken again: all came out the same"* ]]
	run "$hakperf" bisect log
	[[ $output =~ beside\ [0-9a-f]{12},\ [0-9]+\ round ]]
	# Each round of neighbours that counts was told, and once; the proof rests on rounds that the search never saw.
	run sqlite3 results.db "SELECT (SELECT sum(json_array_length(payload_json, '\$.log_ratios')) FROM bisect_step WHERE action = 'beside')
		= (SELECT count(*) FROM round WHERE kind = 'timed' AND NOT disturbed AND 0 = (SELECT count(*) FROM run JOIN session_arm AS arm ON arm.id = arm_id
			WHERE round_id = round.id AND (arm.role NOT IN ('subject', 'aa', 'control') OR arm.label LIKE '%proof'))),
		(SELECT count(DISTINCT label) FROM session_arm WHERE label LIKE '%, proof')"
	[ "$output" = "1|2" ] || { echo "$output"; false; }
	# A commit stands once on a page, however many arms it had.
	"$hakperf" report --out pages >/dev/null
	! grep -l ', proof\|good end again' pages/*.md
}

@test "throughput: one run that goes wrong is made again, and no commit is blamed for it" {
	toy "$BATS_TEST_TMPDIR/flaky" --commits 4 --step 2=200
	local i once=$BATS_TEST_TMPDIR/once timed=(--metric ops_per_cpu_s --delta 20% --max-time 40s --no-account --all)
	# Every commit of it crashes at its start where there is a file of that name, which is gone then.
	git checkout -q -b flaky c0
	printf '#include <stdlib.h>\n#include <unistd.h>\n__attribute__((constructor)) static void start(void) { if (!unlink("%s")) abort(); }\n' \
		"$once" >>toy/toy.c
	git -c user.name=A -c user.email=a@example.invalid commit -qam flaky
	git -c user.name=A -c user.email=a@example.invalid cherry-pick c0..c3 >/dev/null
	(
		exec 3>&-
		until [ "$(sqlite3 results.db "SELECT count(*) FROM bisect_step WHERE action = 'open'" 2>/dev/null)" = 1 ]; do sleep 0.02; done
		: >"$once"
	) &
	ask flaky~3 flaky "${timed[@]}"
	wait
	[ "$status" = 0 ] || { echo "$stderr"; false; }
	[ ! -e "$once" ]
	holds '[c["subject"] for c in r["culprits"]] == ["commit 2: tune"]' 'r["broken"] == []'
	[ "$(sqlite3 results.db "SELECT count(*) FROM run WHERE outcome = 'crashed'")" = 1 ]
}

@test "one clear line for what cannot be asked" {
	toy "$BATS_TEST_TMPDIR/wrong" --commits 5 --fail 4
	run "$hakperf" bisect c0
	[ "$status" = 2 ]
	run "$hakperf" bisect c0 nowhere
	[ "$status" = 3 ] && [[ $output == *nowhere* ]]
	run "$hakperf" bisect c3 c0
	[ "$status" = 3 ] && [[ $output == *"swap them"* ]]
	run "$hakperf" bisect c2 c2
	[ "$status" = 3 ] && [[ $output == *"one commit"* ]]
	run "$hakperf" bisect c0 c4
	[ "$status" = 3 ] && [[ $output == *"cannot be measured"* ]]
	run "$hakperf" bisect c0 c3 --workload none
	[ "$status" = 3 ] && [[ $output == *"[workload none]"* ]]
	run "$hakperf" bisect c0 c3 --metric no_such_thing
	[ "$status" = 3 ] && [[ $output == *"'no_such_thing' is neither a metric"* ]]
	if ! "$hakperf" doctor --no-noise | grep -q '^ *yes *hardware counters'; then
		run "$hakperf" bisect c0 c3 --metric cycles
		[ "$status" = 3 ] && [[ $output == *PMU* && $output != *"round"* ]]
	fi
	run "$hakperf" bisect c0 c3 --delta lots
	[ "$status" = 2 ]
	[ "${#lines[@]}" = 1 ]
}

@test "plan says what a search would cost, without building anything" {
	toy "$BATS_TEST_TMPDIR/plan" --commits 30 --step 17=30 --unrelated 3,4,5
	run --separate-stderr "$hakperf" plan c0 c29 --trials 10 --noise 1% --json
	[ "$status" = 0 ]
	# The larger the change, the fewer the measurements.
	holds 'r["changes"][0]["measurements"] > r["changes"][3]["measurements"] > 0' 'r["commits"] == 26'
	run sqlite3 results.db 'SELECT count(*) FROM build'
	[ "$output" = 0 ]
	run "$hakperf" plan c5 c5
	[ "$status" = 3 ]
}

@test "simulate runs the real search; the same seed gives the same figures" {
	run --separate-stderr "$hakperf" simulate --commits 32 --snr 2 --trials 40 --seed 3 --spread known --json
	[ "$status" = 0 ]
	first=$output
	holds 'r["right_percent"] >= 90' '5 <= r["mean_builds"] <= 9' 'r["mean_measurements"] <= r["p95_measurements"]'
	run --separate-stderr "$hakperf" simulate --commits 32 --snr 2 --trials 40 --seed 3 --spread known --json
	[ "$output" = "$first" ]
	run "$hakperf" simulate --commits 32 --trials 40 --steps 0
	[[ $output =~ no\ name\ (9[5-9]|100)\.[0-9]+\ % ]]
	# The baseline is right only as far as its repeats go.
	run --separate-stderr "$hakperf" simulate --snr 1 --trials 60 --bisect 3 --json
	holds 'r["right_percent"] < 60'
	run "$hakperf" simulate --steps 17
	[ "$status" = 2 ] && [ "${#lines[@]}" = 1 ]
	run "$hakperf" simulate --bisect 2 --merges
	[ "$status" = 2 ]
}
