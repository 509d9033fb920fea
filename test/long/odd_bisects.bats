# SPDX-License-Identifier: Apache-2.0
# Bisects whose answer is easily a wrong one that sounds sure: what the artifact alone does not show, and what the range does not hold.
bats_require_minimum_version 1.5.0
load ../cli/helper

id() { git rev-parse "$1"; }

@test "a program that loads other files than the artifact: a change in those is found" {
	git init -q -b main "$BATS_TEST_TMPDIR/beside" && cd "$BATS_TEST_TMPDIR/beside"
	git config user.name n && git config user.email n@example.invalid
	printf '#!/bin/sh\n. "${0%%/*}/../lib/turns.sh"\ni=0\nwhile [ $i -lt $turns ]; do i=$((i + 1)); done\n' >tool
	cat >hakperf.ini <<-'INI'
		[subject]
		name = tool
		use = exec
		build = install -D {src}/tool {prefix}/bin/tool
		  install -D -m 644 {src}/turns.sh {prefix}/lib/turns.sh
		artifact = bin/tool
		[workload run]
		command = {prefix}/bin/tool
		exact = yes
		[main]
		bisect = run
	INI
	local n=0
	for turns in 3000 3000 3000 9000 9000; do
		printf 'turns=%s # %s\n' $turns $n >turns.sh
		git add . && git commit -qm "commit $n" && git tag c$n
		n=$((n + 1))
	done
	run --separate-stderr "$hakperf" bisect c0 c4 --metric instructions_exact --max-time 1s --json
	[ "$(field result.outcome)" = culprit ]
	[ "$(field result.culprits.0.commit)" = "$(id c3)" ]
}

@test "a branch that parted before good: its merge is named, and the next bisect finds its commit" {
	toy "$BATS_TEST_TMPDIR/branch" --commits 5
	git checkout -q -b side c1
	for i in 1 2 3; do
		[ $i != 2 ] || sed -i 's/COST .*/COST 60/' toy/cost.h
		sed -i "s/TUNE .*/TUNE 10$i/" toy/tune.h
		git commit -qam "side $i"
		[ $i != 2 ] || git tag culprit
	done
	git checkout -q main
	git merge -q -s ours side -m merge
	echo '#define COST 60' >toy/cost.h
	git commit -qa --amend -m merge
	sed -i 's/TUNE .*/TUNE 200/' toy/tune.h
	git commit -qam after
	run --separate-stderr "$hakperf" bisect c3 HEAD --metric instructions_exact --max-time 1s --json
	[ "$(field result.culprits.0.commit)" = "$(id HEAD~)" ]
	[ "$(field result.culprits.0.branches.0.commits)" = 3 ]
	run --separate-stderr "$hakperf" bisect "$(field result.culprits.0.branches.0.fork)" "$(field result.culprits.0.branches.0.tip)" \
		--metric instructions_exact --max-time 1s --json
	[ "$(field result.culprits.0.commit)" = "$(id culprit)" ]
	[ "$(field result.culprits.0.branches)" = "[]" ]
}

@test "ends that load the same bytes are not measured" {
	toy "$BATS_TEST_TMPDIR/same" --commits 4 --same 1,2,3
	run --separate-stderr "$hakperf" bisect c0 c3 --json
	[ "$(field result.outcome)" = "no difference" ]
	[ "$(field result.measurements)" = 0 ]
	[[ $(field result.why) == *"the same bytes"* ]]
}
