#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check every figure of `hakperf compare … --json` against the raw rounds of `hakperf export --format csv`.

    answer.py ANSWER.json ROUNDS.csv

Shares nothing with the toolkit but the rules of docs/statistics.md. Prints how many figures agree; ends with 1 and one line
each where one does not. Figures are compared in the 12 digits that are printed.
"""
import csv
import json
import math
import statistics
import sys

import recompute

MAD_TO_SD = 1.4826


class Rounds:
    """{(arm, multiplier): {round: {metric: value}}} of the undisturbed rounds in which every run of two arms went well."""

    def __init__(self, rows, session, case):
        self.value, self.better, self.events, self.role, self.twin, self.operations = {}, {}, {}, {}, {}, {}
        sums = {}
        for row in rows:
            if (row["session_id"], row["case_id"], row["kind"]) != (session, case, "timed"):
                continue
            arm, number, times = int(row["arm"]), int(row["round"]), int(row["multiplier"])
            self.role[arm], self.better[row["metric"]] = row["role"], row["better"]
            self.events[row["metric"]] = row["unit"] == "events"
            if row["twin_arm"]:
                self.twin[arm] = int(row["twin_arm"])
            if row["disturbed"] != "0" or row["outcome"] != "ok":
                continue
            self.value.setdefault((arm, times), {}).setdefault(number, {})[row["metric"]] = float(row["value"])
            sums[arm, times, number] = row["checksum"]
            if row["operations"]:
                self.operations[times] = int(row["operations"])
        self.sums = sums

    def pairs(self, metric, times, a=0, b=1):
        """{round: (value of a, value of b)}, both positive or counts of events, same work done."""
        found = {}
        before, after = self.value.get((a, times), {}), self.value.get((b, times), {})
        for number in sorted(set(before) & set(after)):
            v = before[number].get(metric, math.nan), after[number].get(metric, math.nan)
            if (min(v) > 0 or self.events[metric] and min(v) == 0) and self.sums[a, times, number] == self.sums[b, times, number]:
                found[number] = v
        return found

    def log_ratios(self, metric, a=0, b=1):
        """None of an event counts as a half."""
        return [math.log(after or 0.5) - math.log(before or 0.5) for before, after in self.pairs(metric, 1, a, b).values()]


def p_value(x):
    n, s = len(x), max(sum(v > 0 for v in x), sum(v < 0 for v in x))
    if 2 * s <= n:
        return 1.0
    won = 2**n * 6 * math.factorial(s + 1) * math.factorial(n - s + 1)
    return min(1.0, math.factorial(n + 3) / won)


def adjusted(p):
    order = sorted(range(len(p)), key=lambda i: p[i])
    q, best = [0.0] * len(p), 1.0
    for rank in range(len(p), 0, -1):
        best = min(best, p[order[rank - 1]] * len(p) / rank)
        q[order[rank - 1]] = best
    return q


def log_ratio_of_differences(first, second):
    """ln(second / first) where a difference of two times may be negative by noise; None: says nothing."""
    if first <= 0 and second <= 0:
        return None
    return math.inf if first <= 0 else -math.inf if second <= 0 else math.log(second) - math.log(first)


class Checker:
    def __init__(self):
        self.agree, self.wrong = 0, []

    def same(self, name, printed, computed):
        if printed is None:
            ok = computed is None or not math.isfinite(computed)
        elif isinstance(printed, (int, float)) and not isinstance(printed, bool):
            # 12 digits were printed; one unit in the last is the rounding of either side.
            ok = computed == printed or abs(computed - printed) <= 1e-11 * abs(printed)
        else:
            ok = printed == computed
        if ok:
            self.agree += 1
        else:
            self.wrong.append(f"{name}: printed {printed}, computed {computed}")

    def figure(self, name, figure, x, better, delta, confidence):
        n, ratio, low, high, verdict = recompute.compare(x, better, delta, confidence, False)
        self.same(name + " rounds", figure["rounds"], n)
        self.same(name + " ratio", figure["value"], ratio)
        self.same(name + " lo", figure["lo"], low or None)  # no ratio is 0: that is no bound
        self.same(name + " hi", figure["hi"], high)
        return verdict


def split(r, clock, part):
    """Log-ratios, median before and after, of what N operations cost beyond the start, or of the start."""
    once, twice = r.pairs(clock, 1), r.pairs(clock, 2)
    both = [(once[n], twice[n]) for n in once if n in twice]
    cost = [tuple(t2[i] - t1[i] for i in (0, 1)) for t1, t2 in both]
    if part == "startup":
        cost = [tuple(t1[i] - c[i] for i in (0, 1)) for (t1, _), c in zip(both, cost)]
    x = [log_ratio_of_differences(*c) for c in cost]
    per = r.operations[1] if part == "slope" else 1
    return [v for v in x if v is not None], *(statistics.median(c[i] for c in cost) / per for i in (0, 1))


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        envelope = json.load(f)
    answer, request = envelope["result"], envelope["request"]
    with open(sys.argv[2], newline="", encoding="utf-8") as f:
        r = Rounds(csv.DictReader(f), str(answer["session"]), str(answer["case"]))
    delta, confidence = repr(request["delta"]), repr(request["confidence"])
    check = Checker()

    pairs = r.pairs(answer["metric"], 1)
    x = r.log_ratios(answer["metric"])
    verdict = check.figure("answer", answer, x, r.better[answer["metric"]], delta, confidence)
    check.same("verdict", answer["verdict"], verdict)
    check.same("before", answer["before"], statistics.median(a for a, b in pairs.values()))
    check.same("after", answer["after"], statistics.median(b for a, b in pairs.values()))

    same = []
    for arm, twin in r.twin.items():
        if r.role[arm] == "aa":
            same += [abs(v) for v in r.log_ratios(answer["metric"], twin, arm)]
    check.same("A/A pairs", answer["aa_pairs"], len(same))
    check.same("A/A sd", answer["aa_sd"], MAD_TO_SD * statistics.median(same) if same else None)

    p = []
    verdicts = []
    for figure in answer["beside"]:
        metric, part = figure["metric"], figure["part"]
        better = r.better[metric]
        if part == "run":
            found = r.pairs(metric, 1)
            x = r.log_ratios(metric)
            before, after = (statistics.median(v[i] for v in found.values()) for i in (0, 1))
        else:
            x, before, after = split(r, metric, part)
        name = f"{part} {metric}"
        verdicts.append(check.figure(name, figure, x, better, delta, confidence))
        check.same(name + " before", figure["before"], before)
        check.same(name + " after", figure["after"], after)
        p.append(p_value(x))
    for figure, q, verdict in zip(answer["beside"], adjusted(p), verdicts):
        name = f"{figure['part']} {figure['metric']}"
        check.same(name + " q", figure["q"], q)
        if q > 1 - request["confidence"] and verdict in ("regression", "improvement"):
            verdict = "unclear"
        check.same(name + " verdict", figure["verdict"], verdict)

    print(f"{check.agree} figures agree, {len(check.wrong)} do not")
    print("\n".join(check.wrong))
    sys.exit(1 if check.wrong else 0)


if __name__ == "__main__":
    main()
