#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Make what the documentation shows of a record: docs/case.md with its pictures, and docs/report.png, the main page as a browser draws it.
#
#   docs/pictures.sh        from results.db, after ./run.sh and hakperf claim verify
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
hakperf=${HAKPERF:-build/bin/hakperf}

"$hakperf" report case --pictures --out docs
page=$("$hakperf" report)
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update \
	--disable-sync --hide-scrollbars --user-data-dir="$profile" --window-size=1240,1560 --screenshot="$PWD/docs/report.png" "file://$page" 2>/dev/null
size=$(stat -c %s docs/report.png)
echo "docs/report.png: $((size / 1024)) KiB"
