# SPDX-License-Identifier: Apache-2.0
# hakmem's own history, in copies without trailers and with a hundred no-op commits mixed in, bisected unattended.
bats_require_minimum_version 1.5.0
load ../cli/helper
load case_copy

setup_file() {
	make -s -C "$root" "BUILD=$build" all
	export HAKPERF_CACHE=$BATS_FILE_TMPDIR/cache
}

# The full id of the commit that opens a phase here.
phase() { git -C "$root" log --format='%H %(trailers:key=Phase,valueonly,separator=%x20)' | awk -v want="$1" '$2 == want { print $1 }'; }
copied() { git rev-parse "refs/copied/$(phase "$1")"; }

# named ID: is it among the culprits of $output, and named?
named() {
	printf '%s' "$output" | python3 -c 'import json, sys
c = [x for x in json.load(sys.stdin)["result"]["culprits"] if x["commit"] == sys.argv[1]]
sys.exit(not (c and c[0]["named"]))' "$1"
}

# The culprits are commits of the history, none of the no-ops.
no_notes() {
	printf '%s' "$output" | python3 -c 'import json, sys
sys.exit(any(c["subject"].startswith("Note ") for c in json.load(sys.stdin)["result"]["culprits"]))'
}
told() {
	printf '%s' "$output" | python3 -c 'import json, sys
r = json.load(sys.stdin)["result"]
print("# %s by %s: %d of %d commits touch the subject; %d builds, %d measurements, %.0f s; hidden %s" % (r["outcome"],
	r["metric"], r["commits_changing_subject"], r["commits"], r["builds"], r["measurements"], r["wall_s"], r.get("hidden")))
for c in r["culprits"]:
	print("#   %+.1f %% [%+.1f, %+.1f] posterior %.3f %s %s" % (100 * (c["ratio"] - 1), 100 * ((c["lo"] or 0) - 1),
		100 * ((c["hi"] or 9) - 1), c["posterior"], "proved" if c["proved"] else "not proved", c["subject"]))' >&3
}

@test "exact: every step from Phase 7 to the clean-up, and no no-op" {
	copy_history "$BATS_FILE_TMPDIR/copy" "$(phase 7)" "$(phase cleanup-1)" 3
	[ "$(git rev-list --count good..bad)" -ge 125 ]
	run --separate-stderr "$hakperf" bisect good bad --metric instructions_exact --all --max-time 2m --json
	[ "$status" = 0 ] || { echo "$output $stderr"; false; }
	told
	[ "$(field result.outcome)" = culprits ]
	no_notes
	for p in box-tls-sll E3-1 E3-2; do named "$(copied "$p")"; done
	# The rest is level: what is named accounts for the whole difference of the ends.
	printf '%s' "$output" | python3 -c 'import json, sys
r = json.load(sys.stdin)["result"]
moved = sum(c["after"] - c["before"] for c in r["culprits"] if c["before"] is not None)
ends = r["ends"]["instructions"]
assert abs(moved - (ends["after"] - ends["before"])) < 0.02 * ends["before"], (moved, ends)'
}

# The smallest effect of the source that a minute shows on the configuration that is searched, in per cent. Two at least: the minutes
# that follow may be in another mood than the seconds that are asked.
a_minute_shows() {
	"$hakperf" doctor --noise-time 12s --json | python3 -c 'import json, math, sys
hot = json.load(sys.stdin)["result"]["noise"][0]
assert hot["workload"] == "hot_path C4", hot
print(max(2, math.ceil(1000 * hot["source"]["smallest_effect"]) / 10))'
}

@test "throughput: every step above what a minute shows, the rest is level" {
	cd "$BATS_FILE_TMPDIR/copy"
	delta=$(a_minute_shows)
	run --separate-stderr "$hakperf" bisect good bad --metric time --all --delta "$delta%" --max-time 25m --json
	[ "$status" = 0 ] || { echo "$output $stderr"; false; }
	echo "# a minute shows $delta %" >&3
	told
	[ "$(field result.outcome)" = culprits ]
	no_notes
	for p in box-tls-sll E3-2; do named "$(copied "$p")"; done
	[ "$(field result.rest)" = "no change" ]
	printf '%s' "$output" | python3 -c 'import json, sys
r, delta = json.load(sys.stdin)["result"], float(sys.argv[1]) / 100
assert 0 <= r["hidden"] <= delta * 1.000001, r["hidden"]
assert all(c["named"] for c in r["culprits"])' "$delta"
}

@test "the Box, reverted inside the range, is not named" {
	copy_history "$BATS_FILE_TMPDIR/reverted" "$(phase 7)" "$(phase ptr-trace)~1" 3
	box=$(copied box-tls-sll)
	git revert --no-edit "$box" >/dev/null
	# What is to be found: one more counter on every free.
	sed -i -e '/^HAK_PUBLIC void HAK(free)(/,/^{/s|^{|{\n\tcopied_frees += 3;\n\tcopied_frees ^= 5;|' \
		-e 's|^HAK_PUBLIC void HAK(free)(|static volatile unsigned long copied_frees;\n&|' allocator/src/front_gate.c
	git diff --quiet && { echo "no free() to change"; false; }
	git commit -qam 'Count every free'
	counter=$(git rev-parse HEAD)
	git commit -q --allow-empty -m 'Note last' && git tag -f bad HEAD
	run --separate-stderr "$hakperf" bisect good bad --metric instructions_exact --max-time 1m --json
	[ "$status" = 0 ] || { echo "$output $stderr"; false; }
	told
	named "$counter"
	no_notes
	[[ $(field result.culprits) != *$box* ]]
}
