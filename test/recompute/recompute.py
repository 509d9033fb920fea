#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recompute a comparison from raw rounds, with code that shares nothing with harness/stats.

Reads a CSV with a header: at least the columns round, arm, value; `hakperf export --format csv`
is one. Of rows that have these columns, only those of kind "timed", multiplier 1, outcome "ok"
and disturbed 0 count. A round counts when both arms have one positive value in it; of the unit
"events" a 0 counts as a half. Prints one line per group:

    group <TAB> rounds <TAB> ratio <TAB> low <TAB> high <TAB> verdict

The ratio b / a is the exponential of the median of ln(b) - ln(a) over rounds. The bounds are
order statistics: the k-th smallest and k-th largest, where k is the smallest count of heads
among n tosses at which a bet with a Beta(2, 2) mixture of coins against a fair one has
multiplied its stake by 1 / (1 - confidence). That is decided in whole numbers here.

With --ratios, prints the log-ratios themselves as CSV (series,log_ratio): a bank for
`make bench-stats BANK=`.
"""
import argparse
import csv
import math
import sys
from fractions import Fraction


def heads_needed(n, confidence):
    """Smallest s with 2^n 6 (s+1)! (n-s+1)! / (n+3)! >= 1 / (1 - confidence), or n + 1."""
    stake = 1 / (1 - Fraction(confidence))
    won = 2**n * 6 * math.factorial(n + 1)
    need = stake * math.factorial(n + 3)
    if won < need:
        return n + 1
    s = n
    while 2 * (s - 1) >= n:
        fewer = won * (n - s + 2) // (s + 1)
        if fewer < need:
            break
        won, s = fewer, s - 1
    return s


def compare(x, better, delta, confidence, exact):
    x = sorted(x)
    n = len(x)
    low, high, mid = -math.inf, math.inf, math.nan
    if n:
        mid = 0.5 * (x[(n - 1) // 2] + x[n // 2])
        k = n if exact else heads_needed(n, confidence)
        if k <= n:
            low, high = x[n - k], x[k - 1]
    half = math.log1p(float(Fraction(delta)))
    if low >= -half and high <= half:
        verdict = "no change"
    elif low > 0:
        verdict = "improvement" if better == "higher" else "regression"
    elif high < 0:
        verdict = "regression" if better == "higher" else "improvement"
    else:
        verdict = "unclear"
    return n, math.exp(mid), math.exp(low), math.exp(high), verdict


def counts(row):
    wanted = {"kind": "timed", "multiplier": "1", "outcome": "ok", "disturbed": "0"}
    return all(row.get(name, value) == value for name, value in wanted.items())


def number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def read(lines, options):
    """groups: {group: {round: {arm: [values]}}}, in the order of appearance."""
    groups = {}
    rows = csv.DictReader(lines)
    for name in ["round", "arm", "value"] + options.by:
        if name not in (rows.fieldnames or []):
            sys.exit(f"recompute.py: no column '{name}'")
    for row in rows:
        group = groups.setdefault(tuple(row[name] for name in options.by), {})
        if not counts(row) or any(row.get(name) != value for name, value in options.where):
            continue
        if row["arm"] in (options.a, options.b):
            arms = group.setdefault(row["round"], {})
            value = number(row["value"])
            none = value == 0 and row.get("unit") == "events"
            arms.setdefault(row["arm"], []).append(0.5 if none else value)
    return groups


def log_ratios(rounds, a, b):
    for arms in rounds.values():
        before, after = arms.get(a, []), arms.get(b, [])
        if len(before) > 1 or len(after) > 1:
            sys.exit("recompute.py: an arm ran twice in one round: choose one session, case and "
                     "metric with --where or --by")
        if all(len(v) == 1 and v[0] > 0 and math.isfinite(v[0]) for v in (before, after)):
            yield math.log(after[0]) - math.log(before[0])


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("file", nargs="?", default="-", help="CSV; standard input without")
    p.add_argument("--a", default="0", help="the arm before (default 0)")
    p.add_argument("--b", default="1", help="the arm after (default 1)")
    p.add_argument("--better", choices=["higher", "lower"], default="lower")
    p.add_argument("--delta", default="0.01", help="smallest effect of interest (default 0.01)")
    p.add_argument("--confidence", default="0.995")
    p.add_argument("--exact", action="store_true", help="the interval is the range of the ratios")
    p.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE",
                   help="only these rows; may repeat")
    p.add_argument("--by", action="append", default=[], metavar="COLUMN",
                   help="one answer per value; may repeat")
    p.add_argument("--ratios", action="store_true", help="print the log-ratios instead")
    options = p.parse_args()
    options.where = [w.split("=", 1) for w in options.where]
    if any(len(w) != 2 for w in options.where):
        p.error("--where wants COLUMN=VALUE")
    if options.file == "-":
        groups = read(sys.stdin, options)
    else:
        with open(options.file, newline="", encoding="utf-8") as f:
            groups = read(f, options)
    if options.ratios:
        print("series,log_ratio")
    for group, rounds in groups.items():
        x = list(log_ratios(rounds, options.a, options.b))
        name = " ".join(group)
        if options.ratios:
            for v in x:
                print(f"{name.replace(',', ' ')},{v!r}")
            continue
        n, ratio, low, high, verdict = compare(x, options.better, options.delta,
                                               options.confidence, options.exact)
        print("\t".join([name, str(n), repr(ratio), repr(low), repr(high), verdict]))


if __name__ == "__main__":
    main()
