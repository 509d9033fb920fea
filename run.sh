#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The front door: installs what is missing, builds the toolkit, runs a verb.
#
#   ./run.sh                 the main job (see ./run.sh help run)
#   ./run.sh test            the tests;  ./run.sh test-long  the long ones
#   ./run.sh VERB …          any verb of hakperf
set -eu

fail() { printf 'run.sh: %s\n' "$*" >&2; exit 3; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
called_from=$PWD
build=${BUILD:-$here/build}

toolkit=(gcc g++ make pkg-config git libc6-dev libpfm4-dev libsqlite3-dev libgsl-dev libinih-dev libgit2-dev libdw-dev libelf-dev
	libjansson-dev nettle-dev lld valgrind gnuplot-nox bubblewrap ca-certificates)
testing=(libcmocka-dev bats clang shellcheck sqlite3 python3 perl procps chromium libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4
	libxml2-utils cmake meson ninja-build autoconf automake)

missing_packages() {
	local package
	for package in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
	done
}

# install_packages NAME…: the ones that are missing, by apt, as root or by sudo.
install_packages() {
	local -a want as_root=()
	command -v dpkg-query >/dev/null || {
		printf 'run.sh: not a Debian system: trying without installing anything; needed are the counterparts of: %s\n' "$*" >&2
		return 0
	}
	mapfile -t want < <(missing_packages "$@")
	[ ${#want[@]} -gt 0 ] || return 0
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null && sudo -n true 2>/dev/null ||
			fail "not root, and packages are missing: ask an administrator for 'apt-get install ${want[*]}'"
		as_root=(sudo -n)
	fi
	printf 'installing %d packages: %s\n' "${#want[@]}" "${want[*]}" >&2
	mkdir -p "$build"
	local log=$build/packages.log
	export DEBIAN_FRONTEND=noninteractive
	local -a apt=("${as_root[@]}" apt-get -q -o DPkg::Lock::Timeout=120)
	"${apt[@]}" install -y --no-install-recommends "${want[@]}" >"$log" 2>&1 </dev/null || {
		"${apt[@]}" update >>"$log" 2>&1 </dev/null &&
			"${apt[@]}" install -y --no-install-recommends "${want[@]}" >>"$log" 2>&1 </dev/null
	} || fail "cannot install packages (no network?): see $log, or install by hand: ${want[*]}"
}

build_toolkit() {
	local log=$build/make.log
	make -C "$here" -q "BUILD=$build" all >/dev/null 2>&1 && return 0
	[ ! -t 2 ] || printf 'building the toolkit …\r' >&2
	make -C "$here" -s "-j$(nproc)" "BUILD=$build" all >"$log" 2>&1 </dev/null || {
		tail -n 20 "$log" >&2
		fail "the toolkit does not build: see $log"
	}
	[ ! -t 2 ] || printf '\033[K' >&2
}

verb=${1:-run}
case $verb in
-q | --quick | --thorough) verb=run ;;
*) [ $# -eq 0 ] || shift ;;
esac

mkdir -p "$build" 2>/dev/null && [ -w "$build" ] ||
	fail "cannot write below $here: copy the repository to a folder of yours, or set BUILD to one (BUILD=\$HOME/hakperf-build ./run.sh)"
git -C "$here" rev-parse --git-dir >/dev/null 2>&1 || command -v git >/dev/null 2>&1 || install_packages git
git -C "$here" rev-parse --git-dir >/dev/null 2>&1 ||
	fail "$here is not a git checkout (an archive has no history to measure): clone the repository"

case $verb in
test | test-long)
	install_packages "${toolkit[@]}" "${testing[@]}"
	command -v node >/dev/null || install_packages nodejs
	export WERROR=-Werror
	build_toolkit
	exec "$here/test/run" "$verb" "$@"
	;;
*)
	install_packages "${toolkit[@]}"
	build_toolkit
	cd "$called_from"
	git rev-parse --git-dir >/dev/null 2>&1 || cd "$here"
	exec "$build/bin/hakperf" "$verb" "$@"
	;;
esac
