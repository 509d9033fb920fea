#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# 'git bisect run hakperf judge' beside 'hakperf bisect' on toy histories, both by exact count: what they answer, and
# how many commits they build beside the two ends. Usage: toy.sh BUILD
set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
hakperf=$(realpath "$1")/bin/hakperf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HAKPERF_LOCK=$work/lock GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null NO_COLOR=1

configure() {
	cat >hakperf.ini <<INI
[subject]
name = toy
paths = toy
build = make -C {src}/toy install PREFIX={prefix} CC={cc}
artifact = lib/libtoy.so
build_timeout = 20
run_timeout = 20
[class small]
min = 64
max = 64
[workload pairs]
command = {workloads}/hot_path --pairs {cycles} --size {max} --seed {seed}
classes = small
cycles = 300000
seed = 42
scale = cycles
exact = yes
[main]
bisect = pairs:small
INI
	# During a bisect the configuration of where it began is read from git.
	git add hakperf.ini
	git commit -qm 'Add hakperf.ini'
	git tag -f bad >/dev/null
}

# name NUMBERS: the tags of these commits.
name() {
	local id
	for id in $1; do printf '%s ' "$(git tag --points-at "$id" | grep -m 1 '^c' || echo '?')"; done
}

row() {
	local title=$1 judged answer builds
	shift
	"$root/test/toy/make-history.sh" "$work/toy" "$@"
	cd "$work/toy"
	configure
	export HAKPERF_CACHE=$work/git
	git bisect start bad c0 >/dev/null 2>&1
	git bisect run "$hakperf" judge >"$work/log" 2>&1 || true
	judged=$(grep -c "^running " "$work/log" || true)
	answer=$(sed -n 's/^\([0-9a-f]\{40\}\) is the first bad commit$/\1/p' "$work/log")
	[ -n "$answer" ] || answer=$(sed -n '/first bad commit could be any of/,$p' "$work/log" | grep -oE '^[0-9a-f]{40}$' || true)
	git bisect reset >/dev/null 2>&1
	printf '%-46s %3s built: %-28s' "$title" "$judged" "$(name "$answer")"
	export HAKPERF_CACHE=$work/ours
	"$hakperf" bisect --db "$work/ours.db" --metric instructions_exact --max-time 1s --json c0 bad >"$work/out" 2>/dev/null
	read -r builds answer < <(python3 -c 'import json, sys
r = json.load(sys.stdin)["result"]
ids = [c["commit"] for s in r["culprits"] for c in s["set"]]
print(r["builds"] - 2, " ".join(ids))' <"$work/out")
	printf ' %3s built: %s\n' "$builds" "$(name "$answer")"
	cd "$work"
	rm -rf toy git ours ours.db*
}

printf '\n%-46s %-39s %s\n' 'toy histories of 64 commits, by exact count' 'git bisect run hakperf judge' 'hakperf bisect'
row 'one step, at c40' --commits 64 --step 40=30
row 'a fifth does not build' --commits 64 --step 40=30 --broken 20 --seed 3
row 'c38 to c40 do not build' --commits 64 --step 40=30 --fail 38,39,40
row 'two steps, c20 and c45' --commits 64 --step 20=30 --step 45=40
row 'c20 up, c30 down, c45 up' --commits 64 --step 20=30 --step 30=-25 --step 45=40
row 'three in four leave the subject alone' --commits 64 --step 40=30 \
	--unrelated "$(seq 1 63 | awk '$1 % 4' | paste -sd,)"
