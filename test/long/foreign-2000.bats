# SPDX-License-Identifier: Apache-2.0
# A stranger's long history, a twentieth of it broken, bisected unattended.
bats_require_minimum_version 1.5.0
load ../cli/helper

@test "2,000 commits, 5 % of them broken: the planted commit is found by exact count" {
	toy "$BATS_TEST_TMPDIR/long" --commits 2000 --broken 5 --step 1234=30 --seed 7
	local began=$SECONDS
	run --separate-stderr "$hakperf" bisect c0 c1999 --metric instructions_exact --max-time 8m --json
	echo "$output" "$stderr"
	[ "$status" = 0 ]
	[ "$(field result.outcome)" = culprit ]
	[ "$(field result.culprits.0.commit)" = "$(git rev-parse c1234)" ]
	[ "$(field result.culprits.0.proved)" = True ]
	[ "$(field result.builds)" -le 30 ]
	echo "# $(field result.builds) builds, $(field result.measurements) measurements, $((SECONDS - began)) s" >&3
}

@test "the same among broken neighbours: the answer is a set that holds it" {
	toy "$BATS_TEST_TMPDIR/neighbours" --commits 2000 --broken 5 --step 777=30 --seed 7 --fail 775,776,778
	run --separate-stderr "$hakperf" bisect c0 c1999 --metric instructions_exact --max-time 1s --json
	echo "$output" "$stderr"
	[ "$status" = 0 ]
	[ "$(field result.outcome)" = set ]
	[[ $(field result.culprits.0.set) == *$(git rev-parse c777)* ]]
	echo "# $(field result.builds) builds, $(field result.measurements) measurements" >&3
}

@test "by throughput: 2,000 commits with merges, 5 % of them broken" {
	toy "$BATS_TEST_TMPDIR/timed" --commits 2000 --merges --broken 5 --step 1236=200 --seed 7
	run --separate-stderr "$hakperf" bisect c0 c1999 --metric ops_per_cpu_s --max-time 2m --json
	echo "$output" "$stderr"
	[ "$status" = 0 ]
	case $(field result.outcome) in
	culprit) [ "$(field result.culprits.0.commit)" = "$(git rev-parse c1236)" ] ;;
	set) [[ $(field result.culprits.0.set) == *$(git rev-parse c1236)* ]] ;;
	*) false ;;
	esac
	[ "$(field result.builds)" -le 40 ]
	echo "# $(field result.outcome), $(field result.builds) builds, $(field result.measurements) measurements" >&3
	run --separate-stderr "$hakperf" bisect replay --json
	[ "$(field result.same)" = True ]
}
