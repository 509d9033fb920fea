#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The workload programs as a person meets them, without the harness.

setup() {
	bin=${BUILD:-build}/workload
	names="bench_random_mixed burst hot_path large larson producer_consumer realloc_grow"
}

# The checksum that a workload printed.
sum_of() {
	"$@" | sed -n 's/^Checksum = //p'
}

@test "each prints the case's line and a checksum, and nothing else" {
	for w in $names; do
		run "$bin/$w" 1 # as much as one of whatever comes first
		[ "$status" -eq 0 ]
		if [ "$w" = burst ]; then
			[[ ${lines[2]} =~ ^Peak\ memory\ =\ [1-9][0-9]*\ bytes,\ resident\ at\ the\ end\ =\ [1-9][0-9]*\ bytes$ ]]
			unset "lines[2]"
		fi
		[ "${#lines[@]}" -eq 2 ]
		[[ ${lines[0]} =~ ^Throughput\ =\ [1-9][0-9]*\ operations\ per\ second,\ relative\ time:\ [0-9]+\.[0-9]+\ s\.$ ]]
		[[ ${lines[1]} =~ ^Checksum\ =\ [0-9a-f]{16}$ ]]
	done
}

@test "arguments by position and by name are the same" {
	a=$(sum_of "$bin/bench_random_mixed" 20000 256 42 32 64)
	[ -n "$a" ]
	[ "$a" = "$(sum_of "$bin/bench_random_mixed" --max 64 --min=32 --seed 42 --ws 256 --cycles 20000)" ]
	[ "$a" != "$(sum_of "$bin/bench_random_mixed" 20000 256 43 32 64)" ]
	a=$(sum_of "$bin/hot_path" 5000 64 16 7)
	[ "$a" = "$(sum_of "$bin/hot_path" --pairs 5000 --size 64 --batch 16 --seed 7)" ]
	a=$(sum_of "$bin/larson" 0 8 128 100 20 5 2)
	[ -n "$a" ]
	[ "$a" = "$(sum_of "$bin/larson" --seconds 0 --min 8 --max 128 --chunks 100 --rounds 20 --seed 5 --threads 2)" ]
}

@test "the case's sizes stand unless another range or --decorrelate is asked for" {
	a=$(sum_of "$bin/bench_random_mixed" 20000 256 42)
	[ "$a" = "$(sum_of "$bin/bench_random_mixed" 20000 256 42 16 1039)" ]
	[ "$a" != "$(sum_of "$bin/bench_random_mixed" 20000 256 42 --decorrelate)" ]
}

@test "larson runs for a time when asked" {
	run "$bin/larson" 1 8 1024 100 10 42 2
	[ "$status" -eq 0 ]
	[[ ${lines[0]} =~ relative\ time:\ ([0-9]+)\.[0-9]+\ s\.$ ]]
	[ "${BASH_REMATCH[1]}" -ge 1 ]
}

@test "--help names every option" {
	for w in $names; do
		run "$bin/$w" --help
		[ "$status" -eq 0 ]
		for o in --seed --warmup --cold --help; do
			[[ $output == *"$o"* ]]
		done
	done
	run "$bin/bench_random_mixed" --help
	[[ ${lines[0]} == "Usage: bench_random_mixed [cycles] [ws] [seed] [min] [max] [--NAME VALUE …]" ]]
}

# wrong STATUS TEXT PROGRAM ARG…
wrong() {
	local want=$1 text=$2 program=$3
	shift 3
	run "$bin/$program" "$@"
	echo "$program $*: $status '$output'"
	[ "$status" -eq "$want" ] && [ "${#lines[@]}" -eq 1 ] && [[ $output == "$program: $text" ]]
}

@test "bad input is one clear line and exit code 2" {
	wrong 2 "--ws 0: must be from 1 to 268435456" bench_random_mixed 100 0
	wrong 2 "--cycles '1e6': not a whole number" bench_random_mixed 1e6
	wrong 2 "--cycles '-5': not a whole number" bench_random_mixed -5
	wrong 2 "--seed 99999999999999999999: must be from 1 to 4294967295" bench_random_mixed --seed 99999999999999999999
	wrong 2 "--min 64 is above --max 32" bench_random_mixed --min 64 --max 32
	wrong 2 "unexpected argument '6', see --help" bench_random_mixed 1 2 3 4 5 6
	wrong 2 "unknown option '--size', see --help" bench_random_mixed --size 3
	wrong 2 "--cycles needs a value" bench_random_mixed --cycles
	wrong 2 "--cold takes no value" hot_path --cold=1
	wrong 2 "--cold has no warm-up: leave out --warmup" hot_path --cold --warmup 5
	wrong 2 "--pattern zigzag: not one of its words, see --help" hot_path --pattern zigzag
	wrong 2 "--threads 257: must be from 1 to 256" larson --threads 257
}

@test "an allocator that has no memory is one line and exit code 1" {
	run bash -c "ulimit -v 200000; '$bin/hot_path' --size 1000000000 100"
	[ "$status" -eq 1 ]
	[ "$output" = "hot_path: the allocator under test returned NULL" ]
}

@test "an inherited HAKPERF_FD that is not the harness's changes nothing" {
	a=$(sum_of "$bin/hot_path" 1000)
	[ -n "$a" ]
	for fd in 0 99 -1 x ""; do
		[ "$a" = "$(HAKPERF_FD=$fd sum_of "$bin/hot_path" 1000 </dev/null)" ]
	done
	head -c 1000000 /dev/zero >"$BATS_TEST_TMPDIR/zeros"
	[ "$a" = "$(HAKPERF_FD=7 sum_of "$bin/hot_path" 1000 7<>"$BATS_TEST_TMPDIR/zeros")" ]
}

@test "a workload is the same bytes whatever flags the rest is built with" {
	local a=$BATS_TEST_TMPDIR/a b=$BATS_TEST_TMPDIR/b
	local file
	for file in workload/hot_path control/1/lib/libcontrol.so; do
		make -s "BUILD=$a" OPT=-O2 "$a/$file"
		make -s "BUILD=$b" OPT=-O0 CFLAGS=-DX WERROR=-Werror SAN=-fsanitize=undefined "$b/$file"
		cmp "$a/$file" "$b/$file"
	done
}

@test "workloads and their libc are alone: no other library" {
	for w in $names; do
		run bash -c "LC_ALL=C readelf -d '$bin/$w' | grep NEEDED"
		[ "${#lines[@]}" -eq 1 ]
		[[ $output == *"[libc.so.6]"* ]]
	done
}
