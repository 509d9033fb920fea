#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# hakperf log and hakperf export: what the database holds, for a person, for a program, and for a terminal that must not obey it.

setup() {
	hakperf=$(realpath "${BUILD:-build}/bin/hakperf")
	root=$(realpath "$BATS_TEST_DIRNAME/../..")
	cd "$BATS_TEST_TMPDIR"
	python3 - "$root" <<-'PY'
		import sqlite3, sys
		root = sys.argv[1]
		db = sqlite3.connect("results.db")
		db.executescript("PRAGMA journal_mode=WAL; PRAGMA application_id=0x68616b70; PRAGMA user_version=1;")
		for name in ("harness/schema.sql", "test/store/v1-rows.sql", "harness/views.sql"):
		    db.executescript(open(f"{root}/{name}").read())
		hostile = 'a,"b"\n\x1b[31m\x07=cmd()|<i>'
		db.execute("UPDATE commit_info SET subject = ?", (hostile,))
		db.execute("UPDATE session_arm SET label = ?", (hostile,))
		db.execute("UPDATE run SET operations = 1000")
		db.execute("UPDATE session SET metric_id = 2, request_json = ?", ('{"revisions":["HEAD"]}',))
		db.execute("UPDATE bisect SET result_json = ?", ('{"culprits":[{"commit":"1111111111111111111111111111111111111111"}]}',))
		db.commit()
		db.close()
	PY
	db=(--db results.db)
}

# json FILE EXPRESSION: what python makes of it, with the document as d.
json() {
	python3 -c 'import json,sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"
}

@test "the list shows sessions, bisects and builds" {
	run "$hakperf" log "${db[@]}"
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == *"2 samples of 1 runs (0 not ok) in 1 rounds"* ]]
	[[ ${lines[1]} == "1 commits; builds: 1 ok" ]]
	[[ $output == *"bench"*"done"* ]]
	[[ $output == *"111111111111  111111111111"*"111111111111"* ]]
}

@test "one session: arms, medians with their case in words, verdicts" {
	run "$hakperf" log "${db[@]}" --session 1
	[ "$status" -eq 0 ]
	[[ $output == *"case 1: hot_path, steady, cycles 1000"* ]]
	[[ $output == *"wall_ns in ns"* ]]
	[[ $output == *"0.25"* ]]
	[[ $output == *"unclear"*"cycles"* ]]
	run "$hakperf" log "${db[@]}" --session 1 --metric cycles
	[[ $output == *"9007 T"*"9.01 T"* ]]
}

@test "any sqlite3 reads every table and view" {
	names=$(sqlite3 results.db "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%'")
	[ "$(wc -w <<<"$names")" -gt 20 ]
	for name in $names; do
		sqlite3 results.db "SELECT * FROM \"$name\"" >/dev/null
	done
	[ "$(sqlite3 results.db "SELECT median FROM arm_summary WHERE runs = 1 LIMIT 1")" != "" ]
}

@test "control bytes of the database do not reach the terminal" {
	for of in "" "--session 1" "--bisect 1"; do
		"$hakperf" log "${db[@]}" $of >out
		! grep -q $'[\x1b\x07]' out
	done
	"$hakperf" log "${db[@]}" --session 1 | grep -q 'x1b\[31m'
}

@test "log as JSON, in the envelope of every verb" {
	"$hakperf" log "${db[@]}" --json >out
	[ "$(json out 'd["schema"], d["verb"], d["result"]["database"]["samples"], d["result"]["builds"]')" = "(1, 'log', 2, {'ok': 1})" ]
	[ "$(json out 'd["result"]["bisects"][0]["result"]["culprits"][0]["commit"]')" = 1111111111111111111111111111111111111111 ]
	[ "$(json out 'd["result"]["sessions"][0]["request"]')" = "{'revisions': ['HEAD']}" ]
	[ "$(json out 'd["result"]["sessions"][0]["started"]')" = 1970-01-01T00:00:00Z ]
	"$hakperf" log "${db[@]}" --session 1 --json >out
	[ "$(json out 'repr(d["result"]["arms"][0]["label"])')" = "'a,\"b\"\\n\\x1b[31m\\x07=cmd()|<i>'" ]
	[ "$(json out 'd["result"]["medians"][0]["median"]["value"], d["result"]["medians"][0]["per_operation"], d["result"]["cases"][0]["cycles"]')" = "(0.25, 0.00025, 1000)" ]
	[ "$(json out 'd["result"]["verdicts"][0]["ratio"]["verdict"]')" = unclear ]
	"$hakperf" log "${db[@]}" --bisect 1 --json >out
	[ "$(json out 'd["result"]["log"][0]["action"]')" = result ]
}

@test "export: the same samples as CSV and as JSON, numbers to the last digit" {
	"$hakperf" export "${db[@]}" >out.csv
	"$hakperf" export "${db[@]}" --format json >out.json
	python3 - <<-'PY'
		import csv, json
		rows = list(csv.DictReader(open("out.csv", newline="")))
		document = json.load(open("out.json"))
		assert document["schema"] == 1 and document["verb"] == "export" and document["warnings"] == []
		assert len(rows) == len(document["result"]) == 2
		for row, same in zip(rows, document["result"]):
		    assert list(row) == list(same)
		    for name, value in same.items():
		        assert row[name] == ("" if value is None else str(value)), (name, row[name], value)
		assert document["result"][0]["value"] == 9007199254740993
		assert document["result"][1]["value"] == 0.25 and document["result"][1]["enabled_ns"] is None
		assert rows[0]["subject"] == 'a,"b"\n\x1b[31m\x07=cmd()|<i>'
	PY
}

@test "export is narrowed, and written whole or not at all" {
	[ "$("$hakperf" export "${db[@]}" --metric cycles --commit 1111 --session 1 --workload hot_path --case 1 | tail -n +2 | grep -c cycles,)" -eq 1 ]
	"$hakperf" export "${db[@]}" --metric cycles --commit 2222 >out
	[ "$(wc -l <out)" -eq 1 ]
	"$hakperf" export "${db[@]}" --format json --session 9 >out
	[ "$(json out 'd["result"]')" = "[]" ]
	"$hakperf" export "${db[@]}" --output whole.csv
	cmp whole.csv <("$hakperf" export "${db[@]}")
	run "$hakperf" export "${db[@]}" --output no/such/folder.csv
	[ "$status" -eq 3 ]
	[ "${#lines[@]}" -eq 1 ]
	run bash -c '"$1" export --db results.db >/dev/full' _ "$hakperf"
	[ "$status" -eq 3 ]
	[[ $output == *"No space left"* ]]
	ls *.csv.?????? 2>/dev/null && return 1
	# A pipe and a link stay what they are, and the database is no place for an export.
	mkfifo pipe
	cmp whole.csv pipe &
	"$hakperf" export "${db[@]}" --output pipe
	wait $!
	[ -p pipe ]
	ln -s whole.csv link.csv
	"$hakperf" export "${db[@]}" --metric cycles --output link.csv
	[ -L link.csv ]
	[ "$(wc -l <link.csv)" = "$("$hakperf" export "${db[@]}" --metric cycles | wc -l)" ]
	run "$hakperf" export "${db[@]}" --output "${db[1]}"
	[ "$status" -eq 3 ]
	[[ $output == *"the database itself"* ]]
	"$hakperf" export "${db[@]}" | head -n 1 >/dev/null
}

@test "wrong use is told in one line with exit 2, what is missing with exit 3" {
	for arguments in "log --session x" "log --session 1 --bisect 1" "log --metric cycles" "log extra" "log --limit -1" \
		"export --format xml" "export --session 0" "export extra" "export --commit ''"; do
		eval run "$hakperf" $arguments --db results.db
		[ "$status" -eq 2 ]
		[ "${#lines[@]}" -eq 1 ]
	done
	for arguments in "log --session 77" "log --bisect 77" "log --session 1 --metric no_such"; do
		run "$hakperf" $arguments --db results.db
		[ "$status" -eq 3 ]
		[ "${#lines[@]}" -eq 1 ]
	done
	run "$hakperf" log --db missing.db
	[ "$status" -eq 3 ]
	[[ $output == *"no database at missing.db"* ]]
	echo hello >foreign
	run "$hakperf" export --db foreign
	[ "$status" -eq 3 ]
	[[ $output == *"not a database"* ]]
}

@test "on a narrow terminal the table is cut, in a pipe it is not" {
	command -v script >/dev/null || skip "script(1) is not installed"
	script -qec "stty cols 60; TERM=dumb $hakperf log --db results.db" /dev/null </dev/null | tr -d '\r' >narrow
	grep -q … narrow
	[ "$(sed -n '/^session/,/^$/p' narrow | python3 -c 'import sys; print(max(len(l.rstrip("\n")) for l in sys.stdin) <= 60)')" = True ]
}
