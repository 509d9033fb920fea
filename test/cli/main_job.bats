# SPDX-License-Identifier: Apache-2.0
# The main job on the real history, as a newcomer's clone runs it.
bats_require_minimum_version 1.5.0
load helper

@test "run --quick builds, measures, bisects and reports; asked again it goes on from the record" {
	cd "$root"
	git clone -q "$root" "$BATS_TEST_TMPDIR/clone"
	cd "$BATS_TEST_TMPDIR/clone"
	run --separate-stderr "$hakperf" run --quick
	echo "$output" | tail -n 5
	[ "$status" = 0 ] || { echo "$stderr"; false; }
	# Classes that cost the same share a table.
	grep -q '^hot_path C0 C1 .*, exact instructions' <<<"$output"
	page=${lines[-1]}
	[ "$page" = "$PWD/reports/out/index.html" ]
	[ -s "$page" ] && [ -s "${page%.html}.md" ]
	[ -z "$(git status --porcelain)" ]

	# The exact bisect names the Box as the largest step and leaves out the commit that does not compile.
	box=$(git log --format=%H --grep='^Phase: box-tls-sll$')
	run sqlite3 results.db "SELECT json_extract(result_json, '\$.culprits[0].commit') FROM bisect JOIN metric ON metric.id = metric_id
		WHERE metric.name = 'instructions_exact'"
	[ "$output" = "$box" ]
	# By throughput there is a verdict or an honest 'cannot tell'; never a commit that changes nothing.
	run sqlite3 results.db "SELECT json_extract(result_json, '\$.outcome') FROM bisect JOIN metric ON metric.id = metric_id
		WHERE metric.name = 'ops_per_cpu_s'"
	[[ $output == culprit || $output == culprits || $output == set || $output == "cannot tell" || $output == invalid ]]
	# Every phase and class was counted, every timed cell has rounds.
	[ "$(sqlite3 results.db "SELECT count(DISTINCT build_id || ':' || case_id) FROM exact_count")" -ge 72 ]
	[ "$(sqlite3 results.db "SELECT count(DISTINCT case_id) FROM round WHERE kind = 'timed'")" -ge 5 ]

	run --separate-stderr "$hakperf" build phase:7 --json
	[ "$(field result.builds.0.cached)" = True ]
}
