# SPDX-License-Identifier: Apache-2.0
# The case history of this repository, its phases only ('verify-history' does every commit).
bats_require_minimum_version 1.5.0
load helper

setup_file() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	export HAKPERF_CACHE=$BATS_FILE_TMPDIR/cache
	"${BUILD:-$PWD/build}/bin/hakperf" verify-history --phases --no-time --json --db "$BATS_FILE_TMPDIR/r.db" \
		>"$BATS_FILE_TMPDIR/table.json" 2>"$BATS_FILE_TMPDIR/table.err"
}

setup() {
	cd "$root" || return 1
	export HAKPERF_CACHE=$BATS_FILE_TMPDIR/cache
	table=$BATS_FILE_TMPDIR/table.json
}

# phase NAME KEY: instructions on the bisect's case.
instructions() {
	python3 - "$table" "$1" "$2" <<'PY'
import json, sys
table, name, key = sys.argv[1:]
for c in json.load(open(table))["result"]["commits"]:
    if c.get("phase") == name:
        count = next(iter(c["instructions"].values()))
        print((count["malloc"] + count["free"]) / 2 if key == "mean" else count[key])
PY
}

@test "every phase is there, in the order of the case" {
	run python3 -c 'import json, sys; print(*[c.get("phase") for c in json.load(open(sys.argv[1]))["result"]["commits"]])' "$table"
	[ "$output" = "7 box-tls-sll ptr-trace front-gate E1 E3-1 E3-2 E4 cleanup-1" ]
}

@test "every phase builds alone without warnings and passes its own tests, release and debug" {
	run python3 -c 'import json, sys
for c in json.load(open(sys.argv[1]))["result"]["commits"]:
    for v in ("release", "debug"):
        if c["tests"][v] != "ok": print(c["phase"], v, c["tests"][v])' "$table"
	[ "$status" = 0 ]
	[ -z "$output" ] || {
		echo "$output"
		cat "$BATS_FILE_TMPDIR/table.err"
		# The logs go with the cache: their ends tell which test it was.
		sed -n 's/.*(log: \(.*\))$/\1/p' "$BATS_FILE_TMPDIR/table.err" | xargs -r tail -n 15
		false
	}
}

@test "commits of the case touch nothing outside allocator/" {
	first=$(git log --format=%H --grep='^Phase: 7$' | tail -n 1)
	last=$(git log --format=%H --grep='^Phase: cleanup-1$' | tail -n 1)
	n=$(git rev-list --count "$first^..$last")
	[ "$n" -ge 30 ] && [ "$n" -le 50 ]
	run git log --format= --name-only "$first^..$last"
	[ -z "$(printf '%s\n' "${lines[@]}" | grep -v '^allocator/' || true)" ]
	# One merged side branch of at least three commits.
	merge=$(git rev-list --merges "$first..$last")
	[ "$(printf '%s\n' "$merge" | wc -l)" = 1 ]
	[ "$(git rev-list --count "$merge^1..$merge^2")" -ge 3 ]
}

@test "the Box costs every free, in instructions" {
	python3 -c "assert $(instructions box-tls-sll free) > $(instructions 7 free) + 5"
}

@test "E3-1 makes it worse, E3-2 is back within 2 instructions an operation of Phase 7" {
	python3 -c "assert $(instructions E3-1 mean) > $(instructions E1 mean)"
	python3 -c "assert abs($(instructions E3-2 mean) - $(instructions 7 mean)) <= 2"
}

@test "E4 leaves the fast path alone, the clean-up is neutral" {
	python3 -c "assert abs($(instructions E4 mean) - $(instructions E3-2 mean)) < 0.5"
	python3 -c "assert abs($(instructions cleanup-1 mean) - $(instructions E4 mean)) < 0.5"
}

# world PHASE: programs under its library; what they said lands in world.PHASE.
world() {
	local so
	so=$("$hakperf" build "phase:$1" --json 2>/dev/null | python3 -c 'import json, sys
print(json.load(sys.stdin)["result"]["builds"][0]["artifact"])') &&
		allocator/test/world.sh "$so" --quick >"$BATS_TEST_TMPDIR/world.$1" 2>&1
	echo $? >"$BATS_TEST_TMPDIR/status.$1"
}

@test "programs run on every phase: bash, git, python3, gcc, make, sqlite3, perl, node" {
	phases="7 box-tls-sll ptr-trace front-gate E1 E3-1 E3-2 E4 cleanup-1"
	export hakperf BATS_TEST_TMPDIR
	export -f world
	printf '%s\n' $phases | xargs -P 2 -I{} bash -c 'world {}' 3>&-
	for phase in $phases; do
		output=$(cat "$BATS_TEST_TMPDIR/world.$phase")
		[ "$(cat "$BATS_TEST_TMPDIR/status.$phase")" = 0 ] || { echo "phase $phase"; echo "$output"; false; }
		[[ $output == *" 0 failed"* ]]
		printf '%s\n' "$output" | grep -i skip | grep -v ' 0 skipped' | sed "s/^/# phase $phase: /" >&3 || true
	done
}
