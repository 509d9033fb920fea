# SPDX-License-Identifier: Apache-2.0
# Bisects on throw-away histories whose culprit is known: the slower ones.
bats_require_minimum_version 1.5.0
load ../cli/helper

id() { git rev-parse "$1"; }

@test "exact: builds that hang, crash or do not interpose share the blame with the commit behind them" {
	local kind said
	for kind in 'hang=timed out' 'crash=cannot be counted' 'hidden=not interposing'; do
		said=${kind#*=}
		toy "$BATS_TEST_TMPDIR/${kind%%=*}" --commits 5 --step 3=30 "--${kind%%=*}" 2
		sed -i 's/build_timeout = 20/build_timeout = 2/' hakperf.ini
		run --separate-stderr "$hakperf" bisect c0 c4 --metric instructions_exact --max-time 1s --json
		[ "$status" = 0 ]
		[ "$(field result.outcome)" = set ]
		[[ $(field result.culprits.0.set) == *$(id c2)* && $(field result.culprits.0.set) == *$(id c3)* ]]
		[ "$(field result.broken.0.commit)" = "$(id c2)" ]
		[ "$(field result.broken.0.outcome)" = "$said" ]
	done
}

@test "exact: a commit and its revert are not the difference" {
	toy "$BATS_TEST_TMPDIR/reverted" --commits 10 --step 3=30 --step 6=-30 --step 8=11
	run --separate-stderr "$hakperf" bisect c0 c9 --metric instructions_exact --max-time 1s --json
	[ "$(field result.outcome)" = culprit ]
	[ "$(field result.culprits.0.commit)" = "$(id c8)" ]
	[[ $(field result.cancelled) == *$(id c3)* && $(field result.cancelled) == *$(id c6)* ]]
	# The whole staircase has them all.
	run --separate-stderr "$hakperf" bisect c0 c9 --metric instructions_exact --max-time 1s --all --json
	[ "$(field result.outcome)" = culprits ]
	[[ $(field result.culprits) == *$(id c3)* && $(field result.culprits) == *$(id c6)* && $(field result.cancelled) == "[]" ]]
}

@test "throughput: the whole staircase, steps that cancel too" {
	toy "$BATS_TEST_TMPDIR/stairs" --commits 7 --step 2=400 --step 5=-400
	run --separate-stderr "$hakperf" bisect c0 c6 --metric ops_per_cpu_s --all --delta 20% --max-time 2m --json
	echo "$output" "$stderr"
	[ "$status" = 0 ]
	[ "$(field result.outcome)" = culprits ]
	[[ $(field result.culprits) == *$(id c2)* && $(field result.culprits) == *$(id c5)* ]]
	[ "$(field result.rest)" = "no change" ]
}

@test "exact: every step of a longer staircase; equal ends, and all between them" {
	toy "$BATS_TEST_TMPDIR/staircase" --commits 9 --step 2=40 --step 5=-20 --step 7=90
	run --separate-stderr "$hakperf" bisect c0 c8 --metric instructions_exact --max-time 1s --json
	[ "$status" = 0 ]
	holds 'r["outcome"] == "culprits"' '[c["commit"] for c in r["culprits"]] == [id[c] for c in ("c7", "c2", "c5")]' \
		'r["culprits"][2]["direction"] == "improvement"' 'len(r["accounts"]) == 3'
	toy "$BATS_TEST_TMPDIR/same" --commits 8 --step 3=30 --revert 6=2
	run --separate-stderr "$hakperf" bisect c0 c7 --metric instructions_exact --json
	holds 'r["outcome"] == "no difference"' 'r["culprits"] == []'
	run --separate-stderr "$hakperf" bisect c0 c7 --metric instructions_exact --all --max-time 1s --json
	holds '{c["commit"] for c in r["culprits"]} == {id["c3"], id["c6"]}'
}

@test "exact: merges and first parents in a longer history; broken neighbours; unrelated commits" {
	toy "$BATS_TEST_TMPDIR/merges" --commits 13 --merges --step 8=30
	run --separate-stderr "$hakperf" bisect c0 c12 --metric instructions_exact --max-time 1s --json
	holds 'r["culprits"][0]["commit"] == id["c8"]'
	# Commit 8 stands on a side branch that 10 merges.
	run --separate-stderr "$hakperf" bisect c0 c12 --metric instructions_exact --max-time 1s --first-parent --json
	holds 'r["culprits"][0]["commit"] == id["c10"]'
	toy "$BATS_TEST_TMPDIR/broken" --commits 12 --step 6=30 --fail 5,6 --hidden 8 --crash 3
	run --separate-stderr "$hakperf" bisect c0 c11 --metric instructions_exact --max-time 1s --json
	holds 'r["outcome"] == "set"' '{id["c6"], id["c7"]} <= {c["commit"] for c in r["culprits"][0]["set"]} <= {id["c5"], id["c6"], id["c7"]}'
	toy "$BATS_TEST_TMPDIR/unrelated" --commits 14 --step 9=30 --unrelated 2,3,4,5,6,7,8,10,11,12
	run --separate-stderr "$hakperf" bisect c0 c13 --metric instructions_exact --max-time 1s --json
	holds 'r["culprits"][0]["commit"] == id["c9"]' 'r["commits_changing_subject"] == 3' 'r["builds"] <= 4'
}

@test "auto: a step that instructions do not see is searched by page faults, and proved in time" {
	toy "$BATS_TEST_TMPDIR/faults" --commits 12 --pages 1=4 --pages 7=32
	run --separate-stderr "$hakperf" bisect c0 c11 --max-time 60s --json
	echo "$output" "$stderr"
	[ "$status" = 0 ]
	holds 'r["metric"] == "page_faults"' 'r["outcome"] in ("culprit", "culprits")' \
		'id["c7"] in [c["commit"] for c in r["culprits"]]' 'all(c["proved"] for c in r["culprits"])' \
		'r["ends"]["time"]["metric"] == "ops_per_cpu_s" and r["ends"]["time"]["verdict"] == "regression"' \
		'abs(r["ends"]["instructions"]["value"] - 1) < 0.003' \
		'[c["proofs"][0]["time"]["verdict"] for c in r["culprits"] if c["commit"] == id["c7"]] == ["regression"]'
	run --separate-stderr "$hakperf" bisect replay --json
	holds 'r["same"]'
}

@test "auto: fewer page faults are an improvement, searched on request" {
	toy "$BATS_TEST_TMPDIR/fewer" --commits 6 --pages 0=40 --pages 3=-36
	run --separate-stderr "$hakperf" bisect c0 c5 --max-time 60s --no-account --json
	holds 'r["outcome"] == "improvement"' 'r["culprits"] == []'
	run --separate-stderr "$hakperf" bisect c0 c5 --max-time 60s --no-account --improvement --json
	echo "$output" "$stderr"
	holds 'r["metric"] == "page_faults"' 'r["culprits"][0]["commit"] == id["c3"]' 'r["culprits"][0]["direction"] == "improvement"' \
		'abs(r["culprits"][0]["ratio"] - 0.1) < 0.01'
}

@test "memory: a step of the peak is named by it; a count that has no noise needs one measurement a commit" {
	toy "$BATS_TEST_TMPDIR/memory" --commits 16 --pages 11=16
	run --separate-stderr "$hakperf" bisect c0 c15 --metric peak_rss_bytes --max-time 60s --no-account --json
	echo "$output" "$stderr"
	[ "$status" = 0 ]
	holds 'r["outcome"] == "culprit"' 'r["culprits"][0]["commit"] == id["c11"]' 'r["culprits"][0]["proved"]' \
		'r["culprits"][0]["after"] - r["culprits"][0]["before"] > 5e6'
	run --separate-stderr "$hakperf" bisect c0 c15 --metric page_faults --max-time 60s --no-account --json
	holds 'r["culprits"][0]["commit"] == id["c11"]' 'r["rest"] == "no change"'
	[ "$(sqlite3 results.db "SELECT count(*) FROM bisect_step WHERE action = 'measure' AND bisect_id = (SELECT max(id) FROM bisect)")" -le 12 ]
	# From memory to instructions and back: two steps of different kinds, each metric sees its own.
	toy "$BATS_TEST_TMPDIR/two" --commits 9 --pages 3=32 --step 6=60
	run --separate-stderr "$hakperf" bisect c0 c8 --metric page_faults --max-time 60s --no-account --json
	holds '[c["commit"] for c in r["culprits"]] == [id["c3"]]'
	run --separate-stderr "$hakperf" bisect c0 c8 --metric instructions_exact --max-time 1s --no-account --json
	holds '[c["commit"] for c in r["culprits"]] == [id["c6"]]'
}

@test "exact: a better bad end is said to be one, and searched on request" {
	toy "$BATS_TEST_TMPDIR/better" --commits 6 --base 60 --step 4=-40
	run --separate-stderr "$hakperf" bisect c0 c5 --metric instructions_exact --max-time 1s --json
	[ "$status" = 0 ]
	holds 'r["outcome"] == "improvement"' 'r["culprits"] == []' '"--improvement" in r["why"]'
	run --separate-stderr "$hakperf" bisect c0 c5 --metric instructions_exact --max-time 1s --improvement --fail-on regression --json
	[ "$status" = 0 ]
	holds 'r["culprits"][0]["commit"] == id["c4"]' 'r["culprits"][0]["direction"] == "improvement"' 'r["culprits"][0]["proved"]'
}
