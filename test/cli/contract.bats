# SPDX-License-Identifier: Apache-2.0
# What every verb keeps: exit codes, one clear line, JSON, places.
bats_require_minimum_version 1.5.0
load helper

one_line() {
	[ "${#lines[@]}" = 1 ] || { printf '%s\n' "${lines[@]}"; false; }
	[[ ${lines[0]} == hakperf* ]]
}

@test "help: of everything, of a verb, of none" {
	run "$hakperf" help
	[ "$status" = 0 ] && [[ $output == *bisect* && $output == *compare* ]]
	for verb in $("$hakperf" words); do
		run "$hakperf" help "$verb"
		[ "$status" = 0 ] && [[ $output == *"usage: hakperf $verb"* ]] || { echo "$verb: $output"; false; }
		run "$hakperf" "$verb" --help
		[ "$status" = 0 ] && [[ $output == *"usage: hakperf $verb"* ]]
	done
	run "$hakperf" help nothing
	[ "$status" = 2 ]
	run "$hakperf" --version
	[ "$status" = 0 ] && [[ $output == hakperf\ * ]]
	run "$hakperf"
	[ "$status" = 2 ]
	run "$hakperf" frobnicate
	[ "$status" = 2 ]
	one_line
}

@test "an unknown option is wrong use" {
	for verb in build bench compare bisect gc run verify-history doctor export log report; do
		run "$hakperf" "$verb" --no-such-option
		[ "$status" = 2 ] || { echo "$verb: $status $output"; false; }
	done
}

@test "not a git checkout" {
	cd "$BATS_TEST_TMPDIR"
	run "$hakperf" build HEAD
	[ "$status" = 3 ] && [[ $output == *"not a git checkout"* ]]
	one_line
}

@test "a checkout without hakperf.ini" {
	git init -q "$BATS_TEST_TMPDIR/bare" && cd "$BATS_TEST_TMPDIR/bare"
	run "$hakperf" build HEAD
	[ "$status" = 3 ] && [[ $output == *"hakperf.ini"* ]]
	one_line
}

@test "a shallow clone says how to become whole" {
	toy "$BATS_TEST_TMPDIR/deep" --commits 6 --phase 1=one --phase 4=two
	cp hakperf.ini "$BATS_TEST_TMPDIR"
	git clone -q --depth 1 "file://$PWD" "$BATS_TEST_TMPDIR/shallow"
	cd "$BATS_TEST_TMPDIR/shallow"
	cp ../hakperf.ini .
	run "$hakperf" run --quick
	[ "$status" = 3 ] && [[ $output == *shallow* ]]
	one_line
	run "$hakperf" bisect phase:one phase:two
	[ "$status" = 3 ]
	one_line
}

@test "an unknown revision, an unknown phase, several phases of one name" {
	toy "$BATS_TEST_TMPDIR/revs" --commits 5 --phase 1=one --phase 2=twice --phase 3=twice
	run "$hakperf" build nowhere
	[ "$status" = 3 ] && [[ $output == *nowhere* ]]
	one_line
	run "$hakperf" build phase:none
	[ "$status" = 3 ] && [[ $output == *one* ]]
	one_line
	run "$hakperf" build phase:twice
	[ "$status" = 3 ] && [[ $output == *"$(git rev-parse --short=7 c2)"* ]]
	one_line
	run "$hakperf" build phase:ONE
	[ "$status" = 0 ]
}

@test "a mistake in hakperf.ini names file and line" {
	toy "$BATS_TEST_TMPDIR/ini" --commits 2
	echo 'colour = blue' >>hakperf.ini
	run "$hakperf" build c1
	[ "$status" = 3 ] && [[ $output == *"hakperf.ini:"* && $output == *colour* ]]
	one_line
}

@test "a database of another program, a damaged one, a folder that cannot be written" {
	toy "$BATS_TEST_TMPDIR/db" --commits 2
	sqlite3 other.db 'PRAGMA application_id = 7; CREATE TABLE t (x)'
	run "$hakperf" bench c1 --db other.db --rounds 1
	[ "$status" = 3 ] && [[ $output == *other.db* ]]
	one_line
	head -c 5000 /dev/urandom >noise.db
	run "$hakperf" bench c1 --db noise.db --rounds 1
	[ "$status" = 3 ] && [[ $output == *noise.db* ]]
	one_line
	run "$hakperf" bench c1 --db /proc/nowhere/r.db --rounds 1
	[ "$status" = 3 ]
	one_line
}

@test "a second session on one machine is refused with its holder's name, and may wait" {
	toy "$BATS_TEST_TMPDIR/lock" --commits 2
	"$hakperf" bench c0 c1 --rounds 1000 --max-time 6s >/dev/null 2>&1 &
	holder=$!
	for _ in $(seq 100); do
		sqlite3 results.db 'SELECT 1 FROM round LIMIT 1' 2>/dev/null | grep -q 1 && break
		sleep 0.1
	done
	run "$hakperf" bench c0 c1 --rounds 1 --db second.db
	[ "$status" = 3 ] && [[ $output == *"another session"* && $output == *"$holder"* ]]
	one_line
	run "$hakperf" bench c0 c1 --rounds 1 --db second.db --wait 60s
	[ "$status" = 0 ]
	wait "$holder"
}

@test "Ctrl-C keeps what was measured" {
	toy "$BATS_TEST_TMPDIR/ctrlc" --commits 2
	"$hakperf" bench c0 c1 --rounds 1000 >out 2>err &
	pid=$!
	for _ in $(seq 200); do
		[ "$(sqlite3 results.db 'SELECT count(*) FROM round' 2>/dev/null || echo 0)" -ge 2 ] && break
		sleep 0.1
	done
	kill -INT $pid
	wait $pid || true
	[ "$(sqlite3 results.db 'SELECT count(*) FROM round')" -ge 2 ]
	[ "$(sqlite3 results.db 'SELECT state FROM session')" = interrupted ]
	[ "$(wc -l <err)" = 1 ]
}

@test "--json is one envelope: schema, verb, request, result, warnings" {
	toy "$BATS_TEST_TMPDIR/json" --commits 3
	for call in 'build c0 c2' 'bench c0 c2 --rounds 1' 'gc' 'bench c0 --no-time'; do
		# shellcheck disable=SC2086
		run --separate-stderr "$hakperf" $call --json
		[ "$status" = 0 ] || { echo "$call: $stderr"; false; }
		[ "$(field schema)" = 1 ] && [ "$(field verb)" = "${call%% *}" ]
		field request >/dev/null && field result >/dev/null && field warnings >/dev/null
	done
}

@test "run.sh in an archive without history says so" {
	mkdir "$BATS_TEST_TMPDIR/archive" && git -C "$root" archive HEAD run.sh | tar -x -C "$BATS_TEST_TMPDIR/archive"
	run env -u BUILD GIT_CEILING_DIRECTORIES="$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR/archive/run.sh" --quick
	[ "$status" = 3 ] && [[ $output == *"not a git checkout"* ]]
}

@test "run.sh without root and packages names what an administrator must install" {
	[ "$(id -u)" = 0 ] || skip "needs root to become somebody else"
	# bats' own folders are closed to others.
	dir=$(mktemp -d /tmp/hakperf-nobody-XXXXXX)
	mkdir "$dir/bin"
	git clone -q "$root" "$dir/clone"
	printf '#!/bin/sh\necho not-installed\n' >"$dir/bin/dpkg-query"
	printf '#!/bin/sh\nexit 1\n' >"$dir/bin/sudo"
	chmod 755 "$dir" "$dir/bin" "$dir"/bin/*
	chown -R nobody "$dir"
	run setpriv --reuid=nobody --clear-groups env -u BUILD PATH="$dir/bin:$PATH" HOME="$dir" "$dir/clone/run.sh" --quick
	rm -rf "$dir"
	echo "$status: $output"
	[ "$status" = 3 ] && [[ $output == *"apt-get install"* && $output == *libpfm4-dev* ]]
}

@test "completion offers verbs, options and phases" {
	toy "$BATS_TEST_TMPDIR/completion" --commits 3 --phase 1=one
	. "$root/completion/hakperf.bash"
	COMP_WORDS=("$hakperf" bis) COMP_CWORD=1 && _hakperf
	[ "${COMPREPLY[*]}" = bisect ]
	COMP_WORDS=("$hakperf" bisect --max) COMP_CWORD=2 && _hakperf
	[ "${COMPREPLY[*]}" = --max-time ]
	COMP_WORDS=("$hakperf" bisect phase) COMP_CWORD=2 && _hakperf
	[ "${COMPREPLY[*]}" = phase:one ]
}
