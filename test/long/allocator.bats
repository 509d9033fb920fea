# SPDX-License-Identifier: Apache-2.0
# hakmem at length: sanitizers, longer random runs, a minute of ping-pong, the world; every commit of its history.
bats_require_minimum_version 1.5.0
load ../cli/helper

setup() { cd "$root" || return 1; }

@test "the allocator's own long tests at head" {
	run make -s -C allocator test-long BUILD="$BATS_TEST_TMPDIR/build" CFLAGS="-O2 -Werror"
	echo "$output" | tail -n 60
	[ "$status" = 0 ]
	# Each runner closes with its count, and the world too.
	[ "$(grep -c ' passed, 0 failed' <<<"$output")" -ge 12 ]
	! grep -E '[1-9][0-9]* failed' <<<"$output"
}

@test "every commit builds alone, release and debug, without warnings, and passes its tests" {
	export HAKPERF_CACHE=$BATS_TEST_TMPDIR/cache
	run --separate-stderr "$hakperf" verify-history --no-time --json --db "$BATS_TEST_TMPDIR/r.db"
	[ "$status" = 0 ] || { echo "$output" "$stderr"; false; }
	printf '%s' "$output" >"$BATS_TEST_TMPDIR/table.json"
	run python3 - "$BATS_TEST_TMPDIR/table.json" <<'PY'
import json, sys
commits = json.load(open(sys.argv[1]))["result"]["commits"]
red = [c for c in commits if any(c["tests"][v] != "ok" for v in ("release", "debug"))]
for c in red:
    print(c["commit"], c["subject"], c["tests"])
print(len(commits), len(red))
PY
	echo "$output"
	# All but the one that does not compile.
	[[ ${lines[-1]} =~ ^3[0-9]\ 1$ ]]
}
