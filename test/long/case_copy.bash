# SPDX-License-Identifier: Apache-2.0
# Copies of hakmem's history to bisect: without trailers, with no-op commits mixed in. Sourced by case_bisect.bats.

# tree_with BASE [FILE TEXT]…: the tree of the allocator at commit BASE, beside the configuration, with these files.
tree_with() {
	local index=$BATS_TEST_TMPDIR/index base=$1 blob
	shift
	rm -f "$index"
	GIT_INDEX_FILE=$index git read-tree --prefix=allocator/ "$base:allocator"
	blob=$(git hash-object -w "$root/hakperf.ini")
	GIT_INDEX_FILE=$index git update-index --add --cacheinfo "100644,$blob,hakperf.ini"
	while [ $# -gt 0 ]; do
		blob=$(printf '%s\n' "$2" | git hash-object -w --stdin)
		GIT_INDEX_FILE=$index git update-index --add --cacheinfo "100644,$blob,$1"
		shift 2
	done
	GIT_INDEX_FILE=$index git write-tree
}

# add TREE SUBJECT PARENT…: a commit of that tree; prints its id.
add() {
	local tree=$1 subject=$2 p
	local -a parents=()
	shift 2
	for p in "$@"; do parents+=(-p "$p"); done
	git commit-tree "$tree" "${parents[@]}" -m "$subject"
}

# copy_history DIR FROM TO PER: commits of FROM..TO that touch the allocator, FROM first, each followed by PER no-op
# commits. Leaves the caller in DIR, with tags good and bad; refs/copied/ID is the copy of commit ID.
copy_history() {
	local dir=$1 from=$2 to=$3 per=$4 original parent tip='' k n=0 subject first=''
	local -A copied=()
	local -a parents
	rm -rf "$dir"
	mkdir -p "$dir"
	git clone -q --bare "$root" "$dir/.git"
	cd "$dir" || return 1
	git config core.bare false
	git config user.name 'Copy' && git config user.email copy@example.invalid
	local inside=0 outside=0
	for original in "$from" $(git rev-list --topo-order --reverse "$from..$to" -- allocator); do
		parents=()
		if [ -n "$tip" ]; then
			for parent in $(git rev-list --parents -n 1 "$original" | cut -d ' ' -f 2-); do
				[ -z "${copied[$parent]:-}" ] || parents+=("${copied[$parent]}")
			done
			# Commits between that leave the allocator alone are not copied.
			[ ${#parents[@]} -gt 0 ] || parents=("$tip")
		fi
		subject=$(git log -1 --format=%s "$original")
		tip=$(add "$(tree_with "$original" allocator/NOTES "note $inside" notes.txt "note $outside")" "$subject" "${parents[@]}")
		git update-ref "refs/copied/$original" "$tip"
		[ -n "$first" ] || first=$tip
		# Two in three leave the subject alone, the third changes a text beside its sources.
		for ((k = 0; k < per; k++)); do
			n=$((n + 1))
			if [ $((n % 3)) = 0 ]; then inside=$n; else outside=$n; fi
			tip=$(add "$(tree_with "$original" allocator/NOTES "note $inside" notes.txt "note $outside")" "Note $n" "$tip")
		done
		copied[$original]=$tip
	done
	git tag good "$first"
	git tag bad "$tip"
	git update-ref refs/heads/copy "$tip"
	git symbolic-ref HEAD refs/heads/copy
	git reset -q --hard
}
