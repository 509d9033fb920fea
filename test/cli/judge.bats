# SPDX-License-Identifier: Apache-2.0
# The predicate for plain 'git bisect run'.
bats_require_minimum_version 1.5.0
load helper

@test "judge gives git's codes, and git bisect run goes by them" {
	toy "$BATS_TEST_TMPDIR/judge" --commits 7 --step 4=30 --fail 2
	run "$hakperf" judge --good c0 --bad c6 c1
	[ "$status" = 0 ] && [[ $output == *"c1 is good"* ]]
	run "$hakperf" judge --good c0 --bad c6 c4
	[ "$status" = 1 ] && [[ $output == *"c4 is bad"* ]]
	run "$hakperf" judge --good c0 --bad c6 c2
	[ "$status" = 125 ]
	run "$hakperf" judge --good c0 --bad c6 c6
	[ "$status" = 1 ]
	run "$hakperf" judge --good c0 --bad c1 c1
	[ "$status" = 1 ]
	run "$hakperf" judge --good c0 --bad c1 c3
	[ "$status" = 128 ] && [[ $output == *"do not differ"* ]]
	run "$hakperf" judge --good c0
	[ "$status" = 128 ]
	run "$hakperf" judge --good c0 --bad nowhere
	[ "$status" = 128 ]
	# From a commit that has the configuration to older ones that lack it.
	git add hakperf.ini && git commit -qm 'Add hakperf.ini'
	git bisect start HEAD c0 >&2
	run git bisect run "$hakperf" judge --good c0 --bad main
	[ "$status" = 0 ]
	[[ $output == *"$(git rev-parse c4) is the first bad commit"* ]]
	git bisect reset >&2
	# The ends may be left out: those that git began with.
	git bisect start HEAD c0 >&2
	run git bisect run "$hakperf" judge
	[ "$status" = 0 ]
	[[ $output == *"$(git rev-parse c4) is the first bad commit"* ]]
	git bisect reset >&2
	run "$hakperf" judge
	[ "$status" = 128 ] && [[ $output == *"name the ends"* ]]
}

@test "judge by throughput" {
	toy "$BATS_TEST_TMPDIR/timed" --commits 4 --step 2=200
	run "$hakperf" judge --good c0 --bad c3 --metric ops_per_cpu_s c1
	[ "$status" = 0 ] || { echo "$status $output"; false; }
	run "$hakperf" judge --good c0 --bad c3 --metric ops_per_cpu_s c2
	[ "$status" = 1 ]
}

@test "judge by an event of libpfm4, and what is no metric" {
	toy "$BATS_TEST_TMPDIR/event" --commits 4 --pages 2=32
	local event=PERF_COUNT_SW_PAGE_FAULTS
	run "$hakperf" judge --good c0 --bad c3 --metric "$event" c1
	[ "$status" = 0 ] && [[ $output == *"c1 is good"*"rounds of $event"* ]] || { echo "$status $output"; false; }
	run "$hakperf" judge --good c0 --bad c3 --metric "$event" c2
	[ "$status" = 1 ] || { echo "$status $output"; false; }
	run "$hakperf" judge --good c0 --bad c3 --metric warmth c2
	[ "$status" = 128 ] && [[ $output == *"'warmth' is neither a metric"* ]]
}
