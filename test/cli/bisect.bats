# SPDX-License-Identifier: Apache-2.0
# Bisects on throw-away histories whose culprit is known.
bats_require_minimum_version 1.5.0
load helper

id() { git rev-parse "$1"; }

@test "exact: one step is named, proved, and the ends are not built twice" {
	toy "$BATS_TEST_TMPDIR/one" --commits 12 --step 7=30
	run --separate-stderr "$hakperf" bisect c0 c11 --metric instructions_exact --max-time 1s --json
	[ "$status" = 0 ]
	[ "$(field result.outcome)" = culprit ]
	[ "$(field result.culprits.0.commit)" = "$(id c7)" ]
	[ "$(field result.culprits.0.direction)" = regression ]
	[ "$(field result.culprits.0.proved)" = True ]
	[ "$(field result.builds)" -le 6 ]
	# 30 turns of a loop of two instructions, in every second operation.
	python3 -c "assert 29.9 < $(field result.culprits.0.after) - $(field result.culprits.0.before) < 30.1"
	before=$(field result.builds)
	run --separate-stderr "$hakperf" bisect c0 c11 --metric instructions_exact --max-time 1s --json
	[ "$(field result.builds)" = 0 ]
	[ "$before" != 0 ]
}

@test "exact: every step of a staircase, the largest first, improvements among them" {
	toy "$BATS_TEST_TMPDIR/stairs" --commits 9 --step 2=40 --step 5=-20 --step 7=90
	run --separate-stderr "$hakperf" bisect c0 c8 --metric instructions_exact --max-time 1s --json
	[ "$status" = 0 ]
	[ "$(field result.outcome)" = culprits ]
	[ "$(field result.culprits.0.commit)" = "$(id c7)" ]
	[ "$(field result.culprits.1.commit)" = "$(id c2)" ]
	[ "$(field result.culprits.2.commit)" = "$(id c5)" ]
	[ "$(field result.culprits.2.direction)" = improvement ]
}

@test "exact: broken commits widen the answer, they do not mislead it" {
	toy "$BATS_TEST_TMPDIR/broken" --commits 12 --step 6=30 --fail 5,6 --hidden 8 --crash 3
	run --separate-stderr "$hakperf" bisect c0 c11 --metric instructions_exact --max-time 1s --json
	[ "$status" = 0 ]
	[ "$(field result.outcome)" = set ]
	set=$(field result.culprits.0.set)
	[[ $set == *$(id c6)* && $set == *$(id c7)* ]]
	[[ $set != *$(id c4)\"* && $set != *$(id c9)* ]]
	[[ $(field result.broken) == *"failed"* ]]
}

@test "exact: commits that leave the subject alone are never built nor named" {
	toy "$BATS_TEST_TMPDIR/unrelated" --commits 14 --step 9=30 --unrelated 2,3,4,5,6,7,8,10,11,12
	run --separate-stderr "$hakperf" bisect c0 c13 --metric instructions_exact --max-time 1s --json
	[ "$(field result.culprits.0.commit)" = "$(id c9)" ]
	[ "$(field result.commits_changing_subject)" = 3 ]
	[ "$(field result.builds)" -le 4 ]
}

@test "exact: merges" {
	toy "$BATS_TEST_TMPDIR/merges" --commits 13 --merges --step 8=30
	run --separate-stderr "$hakperf" bisect c0 c12 --metric instructions_exact --max-time 1s --json
	[ "$(field result.culprits.0.commit)" = "$(id c8)" ]
}

@test "ends that do not differ stop the bisect before it names anybody" {
	toy "$BATS_TEST_TMPDIR/same" --commits 8 --step 3=30 --revert 6=2
	run --separate-stderr "$hakperf" bisect c0 c7 --metric instructions_exact --json
	[ "$status" = 0 ]
	[ "$(field result.outcome)" = "no difference" ]
	[ "$(field result.culprits)" = "[]" ]
	[ "$(field result.elsewhere)" = "[]" ]
	run --separate-stderr "$hakperf" bisect c0 c7 --metric instructions_exact --all --max-time 1s --json
	[ "$(field result.culprits.0.commit)" = "$(id c3)" ] || [ "$(field result.culprits.1.commit)" = "$(id c3)" ]
}

@test "throughput: a step far above the noise is named and proved in time" {
	toy "$BATS_TEST_TMPDIR/timed" --commits 10 --step 6=400
	run --separate-stderr "$hakperf" bisect c0 c9 --metric ops_per_cpu_s --max-time 90s --json
	[ "$status" = 0 ]
	[ "$(field result.outcome)" = culprit ]
	[ "$(field result.culprits.0.commit)" = "$(id c6)" ]
	[ "$(field result.culprits.0.proved)" = True ]
	[ "$(field result.culprits.0.proofs.0.time.verdict)" = regression ]
	[ "$(field result.ends.time.verdict)" = regression ]
}

@test "where the ends cannot be told apart, configurations of the record are offered in which they can" {
	toy "$BATS_TEST_TMPDIR/elsewhere" --commits 4 --step 2=400
	run --separate-stderr "$hakperf" bisect c0 c3 --metric ops_per_cpu_s --param cycles=200000 --max-time 12s --json
	[ "$(field result.culprits.0.commit)" = "$(id c2)" ]
	run --separate-stderr "$hakperf" bisect c0 c3 --metric ops_per_cpu_s --max-time 0.01s --json
	[ "$status" = 0 ]
	[ "$(field result.outcome)" = "cannot tell" ]
	[ "$(field result.elsewhere.0.workload)" = pairs ]
	[ "$(field result.elsewhere.0.cycles)" = 200000 ]
	[ "$(field result.elsewhere.0.verdict)" = regression ]
	run "$hakperf" bisect c0 c3 --metric ops_per_cpu_s --max-time 0.01s
	[[ $output == *"they differ elsewhere: --workload pairs --class small"* ]]
}

@test "a killed bisect goes on where it was, to the same answer" {
	toy "$BATS_TEST_TMPDIR/killed" --commits 24 --step 17=400
	timeout -s KILL 4 "$hakperf" bisect c0 c23 --metric ops_per_cpu_s --max-time 90s || true
	first=$(sqlite3 results.db 'SELECT count(*) FROM bisect_step')
	rounds=$(sqlite3 results.db 'SELECT count(*) FROM round')
	[ "$first" -gt 0 ]
	run --separate-stderr "$hakperf" bisect c0 c23 --metric ops_per_cpu_s --max-time 90s --json
	[ "$status" = 0 ]
	[ "$(field result.culprits.0.commit)" = "$(id c17)" ]
	[ "$(sqlite3 results.db 'SELECT count(*) FROM session')" = 1 ]
	[ "$(sqlite3 results.db 'SELECT count(*) FROM sitting')" = 2 ]
	[ "$(sqlite3 results.db 'SELECT count(*) FROM round')" -gt "$rounds" ]
	# Taken again from the record, both sittings together ask for the very same.
	run --separate-stderr "$hakperf" bisect replay --json
	[ "$status" = 0 ]
	[ "$(field result.same)" = True ]
	[ "$(field result.decisions.0.same)" = True ]
	[ "$(field result.steps.0.commit)" = "$(id c17)" ]
	run "$hakperf" bisect log
	[[ $output == *" against good; most probable "* && $output == *"measurements known"* ]]
	# A later search over a part of it begins with what is known.
	run --separate-stderr "$hakperf" bisect c12 c20 --metric ops_per_cpu_s --max-time 90s --json
	[ "$(field result.culprits.0.commit)" = "$(id c17)" ]
	run "$hakperf" bisect log
	[[ $output =~ [1-9][0-9]*\ measurements\ known ]]
}

@test "auto searches by the exact count where time agrees" {
	toy "$BATS_TEST_TMPDIR/auto" --commits 8 --step 4=400
	run --separate-stderr "$hakperf" bisect c0 c7 --max-time 90s --json
	[ "$status" = 0 ]
	[ "$(field result.metric)" = instructions_exact ]
	[ "$(field result.culprits.0.commit)" = "$(id c4)" ]
	[ "$(field result.culprits.0.proofs.0.time.verdict)" = regression ]
}

@test "a better bad end is said to be one, and searched on request" {
	toy "$BATS_TEST_TMPDIR/better" --commits 6 --base 60 --step 4=-40
	run --separate-stderr "$hakperf" bisect c0 c5 --metric instructions_exact --max-time 1s --json
	[ "$status" = 0 ]
	[ "$(field result.outcome)" = improvement ]
	[ "$(field result.culprits)" = "[]" ]
	[[ $(field result.why) == *--improvement* ]]
	run --separate-stderr "$hakperf" bisect c0 c5 --metric instructions_exact --max-time 1s --improvement --fail-on regression --json
	[ "$status" = 0 ]
	[ "$(field result.culprits.0.commit)" = "$(id c4)" ]
	[ "$(field result.culprits.0.direction)" = improvement ]
	toy "$BATS_TEST_TMPDIR/failon" --commits 4 --step 2=30
	run "$hakperf" bisect c0 c3 --metric instructions_exact --max-time 1s --fail-on regression
	[ "$status" = 1 ]
}

@test "exact: first parents alone, commits of equal bytes, and a later search over a part" {
	toy "$BATS_TEST_TMPDIR/first" --commits 13 --merges --step 8=30
	# Commit 8 stands on a side branch that 10 merges.
	run --separate-stderr "$hakperf" bisect c0 c12 --metric instructions_exact --max-time 1s --first-parent --json
	[ "$(field result.culprits.0.commit)" = "$(id c10)" ]
	toy "$BATS_TEST_TMPDIR/equal" --commits 12 --step 7=30 --fail 7 --same 8
	run --separate-stderr "$hakperf" bisect c0 c11 --metric instructions_exact --max-time 1s --json
	[ "$(field result.outcome)" = set ]
	run --separate-stderr "$hakperf" bisect c3 c10 --metric instructions_exact --max-time 1s --json
	[ "$(field result.outcome)" = set ]
	# Both ends are new, and all between is known.
	[ "$(field result.builds)" -le 2 ]
	run --separate-stderr "$hakperf" bisect replay --json
	[ "$(field result.same)" = True ]
}

@test "odd subjects stay valid JSON and harmless on a terminal" {
	toy "$BATS_TEST_TMPDIR/odd" --commits 8 --step 6=30 --odd
	run --separate-stderr "$hakperf" bisect c0 c7 --metric instructions_exact --max-time 1s --json
	[ "$(field result.culprits.0.commit)" = "$(id c6)" ]
	run "$hakperf" bisect c0 c7 --metric instructions_exact --max-time 1s
	[[ $output != *$'\033'* ]]
	[[ $output == *'\xe9'* ]]
	# The counted commits as bars: low before the culprit, high from it on.
	[[ $output =~ counted,\ from\ good\ to\ bad:\ ▁[▁\ ]*█[█\ ]*\ [0-9.]+\ …\ [0-9.]+\ instructions ]]
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
	run "$hakperf" bisect c0 c3 --delta lots
	[ "$status" = 2 ]
	[ "${#lines[@]}" = 1 ]
}

@test "plan says what a search would cost, without building anything" {
	toy "$BATS_TEST_TMPDIR/plan" --commits 30 --step 17=30 --unrelated 3,4,5
	run --separate-stderr "$hakperf" plan c0 c29 --trials 10 --noise 1% --json
	[ "$status" = 0 ]
	[ "$(field result.commits)" = 26 ]
	# The larger the change, the fewer the measurements.
	python3 -c "assert $(field result.changes.0.measurements) > $(field result.changes.3.measurements) > 0"
	run sqlite3 results.db 'SELECT count(*) FROM build'
	[ "$output" = 0 ]
	run "$hakperf" plan c5 c5
	[ "$status" = 3 ]
}

@test "simulate runs the real search; the same seed gives the same figures" {
	run --separate-stderr "$hakperf" simulate --commits 64 --snr 2 --trials 60 --seed 3 --spread known --json
	[ "$status" = 0 ]
	first=$(field result)
	python3 -c "assert $(field result.right_percent) >= 90 and 7 <= $(field result.mean_builds) <= 10 and $(field result.mean_measurements) <= $(field result.p95_measurements)"
	run --separate-stderr "$hakperf" simulate --commits 64 --snr 2 --trials 60 --seed 3 --spread known --json
	[ "$(field result)" = "$first" ]
	run "$hakperf" simulate --commits 64 --trials 60 --steps 0
	[[ $output == *"no name 100.00 %"* || $output == *"no name 98.33 %"* ]]
	# The baseline is right only as far as its repeats go.
	run --separate-stderr "$hakperf" simulate --snr 1 --trials 60 --bisect 3 --json
	python3 -c "assert $(field result.right_percent) < 60"
	run "$hakperf" simulate --steps 17
	[ "$status" = 2 ] && [ "${#lines[@]}" = 1 ]
	run "$hakperf" simulate --bisect 2 --merges
	[ "$status" = 2 ]
}
