#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compare a pull request's head with its base, both built and measured on this machine in the same rounds.
#
#   pull-request.sh BASE HEAD [COMMENT]
#
# Writes the comparison as Markdown to COMMENT (comment.md) for whatever posts comments. Exit 0: no regression was shown; 1: one was;
# 2 and 3: not measured. HAKPERF names the command; ROUNDS and MAX_TIME how long to look. A verdict takes 13 rounds that agree.
set -u
hakperf=${HAKPERF:-./run.sh}
base=${1:?usage: pull-request.sh BASE HEAD [COMMENT]} head=${2:?usage: pull-request.sh BASE HEAD [COMMENT]} comment=${3:-comment.md}

$hakperf bench --rounds "${ROUNDS:-40}" --max-time "${MAX_TIME:-5m}" --exact "$base" "$head" >&2 || exit
# The page is written whatever it says; --fail-on makes the exit code of it.
$hakperf report compare "$base..$head" --format md --fail-on regression >"$comment"
