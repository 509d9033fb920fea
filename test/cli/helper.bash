# Shared by the bats files: the command, scratch folders, toy histories.
root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
build=${BUILD:-$root/build}
hakperf=$build/bin/hakperf
# Tests of commands do not wait for a measuring session of the machine: their figures are not believed anyway.
export HAKPERF_LOCK=$BATS_RUN_TMPDIR/lock
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null NO_COLOR=1

# toy DIR [option …]: a history of test/toy and a configuration for it; the builds of a file's tests share one cache.
toy() {
	local dir=$1
	shift
	"$root/test/toy/make-history.sh" "$dir" "$@"
	cat >"$dir/hakperf.ini" <<INI
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
cycles = 100000
seed = 42
scale = cycles
exact = yes
[main]
bisect = pairs:small
timed = pairs:small
INI
	export HAKPERF_CACHE=$BATS_FILE_TMPDIR/cache
	cd "$dir" || return 1
}

# field FILTER: a value out of the JSON in $output.
field() {
	printf '%s' "$output" | python3 -ISc 'import json,sys
v = json.load(sys.stdin)
for k in sys.argv[1].split("."):
    v = v[int(k)] if k.lstrip("-").isdigit() else v[k]
print(json.dumps(v) if isinstance(v, (dict, list)) else v)' "$1"
}

# holds EXPRESSION…: each of them, in Python, is true of the JSON in $output. d is the document, r its result, id a tag's
# commit (id["c7"]).
holds() {
	printf '%s' "$output" | python3 -ISc 'import json, sys
tags = (line.split() for line in sys.argv[1].splitlines())
d = json.load(sys.stdin)
names = {"d": d, "r": d["result"], "id": {name[len("refs/tags/"):]: commit for commit, name in tags}}
wrong = [x for x in sys.argv[2:] if not eval(x, names)]
for x in wrong:
    print("does not hold:", x, file=sys.stderr)
sys.exit(bool(wrong))' "$(git show-ref --tags 2>/dev/null)" "$@"
}
