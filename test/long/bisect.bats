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
