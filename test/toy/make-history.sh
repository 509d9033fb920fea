#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make a git repository whose history is a toy subject (toy.c): the cost of a free is a number in a file.
# Same arguments, same commit ids. Commits count from 0, the last is HEAD of branch main; 'c0', 'c1', … are tags.
set -eu

usage() {
	cat <<'USAGE'
usage: make-history.sh DIR [option …]
  --commits N             commits in all (10)
  --base COST             cost of a free at the beginning (20)
  --costs A,B,…           cost of each commit, the last for all that follow (no --step, no --merges with it)
  --step I=D              commit I adds D to the cost (repeatable)
  --pages I=D             commit I adds D to the fresh pages touched by every 1024th free, 0 at the
                          beginning: page faults, memory and time that instructions hardly see (repeatable)
  --fail I,… --hang I,… --crash I,… --hidden I,…
                          commits that do not compile; whose build hangs; that die after a hundred mallocs;
                          that build but do not interpose
  --broken P --seed S     P percent of the commits, drawn by S, do not compile (never the first or the last)
  --unrelated I,…         commits that touch nothing of the subject
  --same I,…              commits that change a comment: the loaded bytes stay equal
  --revert I=K            commit I takes the toy back to the state of commit K
  --merges                a third of the commits stand on side branches that are merged
  --phase I=NAME          trailer 'Phase: NAME' in commit I (repeatable)
  --odd                   subjects with quotes, markup, control and non-UTF-8 bytes
USAGE
}

toy=$(cd "$(dirname "$0")" && pwd)
dir='' n=10 base=20 costs='' steps='' pages='' fail='' hang='' crash='' hidden='' broken=0 seed=1 unrelated='' same=''
revert='' merges=0 phases='' odd=0
while [ $# -gt 0 ]; do
	case $1 in
	--commits) n=$2; shift ;;
	--base) base=$2; shift ;;
	--costs) costs=$2; shift ;;
	--step) steps="$steps $2"; shift ;;
	--pages) pages="$pages $2"; shift ;;
	--fail) fail=$2; shift ;;
	--hang) hang=$2; shift ;;
	--crash) crash=$2; shift ;;
	--hidden) hidden=$2; shift ;;
	--broken) broken=$2; shift ;;
	--seed) seed=$2; shift ;;
	--unrelated) unrelated=$2; shift ;;
	--same) same=$2; shift ;;
	--revert) revert="$revert $2"; shift ;;
	--merges) merges=1 ;;
	--phase) phases="$phases;$2"; shift ;;
	--odd) odd=1 ;;
	--help) usage; exit 0 ;;
	-*) usage >&2; exit 2 ;;
	*) [ -z "$dir" ] || { usage >&2; exit 2; }; dir=$1 ;;
	esac
	shift
done
[ -n "$dir" ] || { usage >&2; exit 2; }

git init -q -b main "$dir"
LC_ALL=C awk -v toy="$toy" -v n="$n" -v base="$base" -v costs="$costs" -v steps="$steps" -v pages="$pages" -v fail="$fail" -v hang="$hang" \
	-v crash="$crash" -v hidden="$hidden" -v broken="$broken" -v seed="$seed" -v unrelated="$unrelated" -v same="$same" \
	-v revert="$revert" -v merges="$merges" -v phases="$phases" -v odd="$odd" '
function set_of(list, set,	parts, k, i) {
	k = split(list, parts, ",")
	for (i = 1; i <= k; i++) set[parts[i]] = 1
}
function map_of(list, sep, map,	parts, pair, k, i, at) {
	k = split(list, parts, sep)
	for (i = 1; i <= k; i++) {
		at = index(parts[i], "=")
		if (at) map[substr(parts[i], 1, at - 1)] = substr(parts[i], at + 1)
	}
}
function inline_file(mode, path, text) {
	printf "M %s inline %s\ndata <<END-OF-FILE\n%s\nEND-OF-FILE\n\n", mode, path, text
}
function copy_file(path, from,	line, text) {
	while ((getline line < from) > 0) text = text line "\n"
	close(from)
	inline_file("100644", path, text)
}
# Park and Miller, so that a seed means the same everywhere.
function draw() { state = (state * 16807) % 2147483647; return state / 2147483647 }

BEGIN {
	set_of(fail, is_fail); set_of(hang, is_hang); set_of(crash, is_crash); set_of(hidden, is_hidden)
	set_of(unrelated, is_unrelated); set_of(same, is_same)
	map_of(steps, " ", step); map_of(pages, " ", page_step); map_of(revert, " ", back); map_of(phases, ";", phase)
	n_costs = split(costs, cost_list, ",")
	state = seed % 2147483646 + 1
	main_at = -1; side_at = -1
	for (i = 0; i < n; i++) {
		drawn = draw() * 100 < broken && i > 0 && i < n - 1
		role = merges && i < n - 1 ? i % 6 : 0
		if (role == 4 && side_at < 0) role = 0
		if (role == 1 || role == 2) { parent = side_at >= 0 ? side_at : main_at; ref = "side" }
		else { parent = main_at; ref = "main" }
		if (role == 1) fork_at = main_at

		c = parent >= 0 ? cost[parent] : base
		f = parent >= 0 ? fresh[parent] : 0
		t = parent >= 0 ? tune[parent] : 0
		if (role == 4) { c += cost[side_at] - cost[fork_at]; f += fresh[side_at] - fresh[fork_at] }
		if (n_costs) c = i < n_costs ? cost_list[i + 1] : cost_list[n_costs]
		if (i in step) c += step[i]
		if (i in page_step) f += page_step[i]
		what = "tune"
		if (i in back) { c = cost[back[i]]; f = fresh[back[i]]; t = tune[back[i]]; what = "revert to commit " back[i] }
		else if (i in is_unrelated) what = "write notes"
		else if (i in is_same) what = "reword a comment"
		else t = i
		if (role == 4) what = "merge side"
		mode = drawn || (i in is_fail) ? "FAIL" : i in is_hang ? "HANG" : i in is_crash ? "CRASH" : i in is_hidden ? "HIDDEN" : "OK"
		cost[i] = c; fresh[i] = f; tune[i] = t

		subject = "commit " i ": " what
		if (odd && i % 4 == 1) subject = subject " \"quoted\" '\''single'\'' $(touch x) `y` \\n"
		if (odd && i % 4 == 2) subject = subject " latin \351 and \377 bytes"
		if (odd && i % 4 == 3) subject = subject " <b>&amp;</b> \033[31mred | pipe"
		when = 1700000000 + 60 * i
		printf "commit refs/heads/%s\nmark :%d\n", ref, i + 1
		printf "author Toy Maker <toy@example.invalid> %d +0000\n", when
		printf "committer Toy Maker <toy@example.invalid> %d +0000\n", when
		printf "data <<END-OF-MESSAGE\n%s\n", subject
		if (i in phase) printf "\nThe commit opens a phase.\n\nPhase: %s\n", phase[i]
		printf "END-OF-MESSAGE\n\n"
		if (parent >= 0) printf "from :%d\n", parent + 1
		if (role == 4) printf "merge :%d\n", side_at + 1
		if (i == 0) {
			copy_file("toy/toy.c", toy "/toy.c")
			copy_file("toy/Makefile", toy "/toy.mk")
			inline_file("100644", "toy/comment.h", "/* none */")
			inline_file("100644", "notes.txt", "notes")
		}
		if (i in is_unrelated) inline_file("100644", "notes.txt", "note " i)
		else {
			if (i in is_same) inline_file("100644", "toy/comment.h", "/* reworded in " i " */")
			inline_file("100644", "toy/cost.h", "#define COST " c)
			inline_file("100644", "toy/pages.h", "#define PAGES " f)
			inline_file("100644", "toy/tune.h", "#define TUNE " t)
			inline_file("100644", "toy/mode.h", "#define TOY_" mode)
			if (mode == "HANG" || (parent >= 0 && was[parent] == "HANG") || (role == 4 && was[side_at] == "HANG"))
				copy_file("toy/Makefile", toy "/toy.mk")
			if (mode == "HANG")
				inline_file("100644", "toy/Makefile", "install:\n\tsleep 1000 & sleep 1000")
		}
		was[i] = (i in is_unrelated) && parent >= 0 ? was[parent] : mode
		printf "\nreset refs/tags/c%d\nfrom :%d\n\n", i, i + 1
		if (ref == "side") side_at = i
		else main_at = i
		if (role == 4) side_at = -1
	}
	print "done"
}' | git -C "$dir" fast-import --quiet --done
git -C "$dir" update-ref -d refs/heads/side
git -C "$dir" config user.name 'Toy Maker'
git -C "$dir" config user.email toy@example.invalid
git -C "$dir" config gc.auto 0
git -C "$dir" reset -q --hard main
