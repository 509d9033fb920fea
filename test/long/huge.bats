# SPDX-License-Identifier: Apache-2.0
# What is too large for every day: a callgrind file of a gigabyte.
bats_require_minimum_version 1.5.0
load ../cli/helper

@test "a callgrind file of a gigabyte is read in bounded memory" {
	make -s -C "$root" "BUILD=$build" "$build/test/test_cgfile"
	free=$(df --output=avail -k "${TMPDIR:-/tmp}" | tail -n 1)
	[ "$free" -gt 2500000 ] || skip "needs 2.5 GB in ${TMPDIR:-/tmp}, there are $((free / 1024)) MB"
	HAKPERF_BIG_LINES=115000000 run "$build/test/test_cgfile"
	echo "$output"
	[ "$status" = 0 ]
}
