# The case re-enacted

In November 2025 hakmem's maintainers saw 6.1 M operations per second where 59 to 70 M had been claimed, read the source, and called the cause confirmed. This page goes through their investigation point by point: what was concluded, what could have been known, and what a minute of measuring shows on the history in `allocator/`, which re-enacts theirs. Every figure below comes out of the record of one machine when the page is made.

## What this can show, and what it cannot

The original repository and its binaries are gone. What is measured here is hakmem as it grew in this repository: the same structure, the same phases in the same order, each slow for the reason that the case gives. So this page can say which methods find the commit and which do not, how far a claimed figure is from what such a change costs, and which explanations a measurement could have told apart. It cannot say which of them was true in November 2025.

The record was made on two cores of a virtual machine without hardware counters that had other work to do meanwhile. Intervals by time are wide for that, some verdicts are unclear, and the page says so; instruction counts do not care.

## The answer first

{{bisects}}

{{steps hot_path:C4}}

{{exact-plot hot_path:C4}}

{{time-plot hot_path:C4}}

- **The Box TLS-SLL is the largest step**: {{exact 7 box-tls-sll hot_path:C4}}; {{time 7 box-tls-sll hot_path:C4}}.
- The front gate that asks the registry first, which was suspected: {{exact ptr-trace front-gate hot_path:C4}}. It classifies what the header does not settle, and that is off the fast path.
- C7 headers (E1) gave some back: {{exact front-gate E1 hot_path:C4}}; {{time front-gate E1 hot_path:C4}}. One class without a header had cost every call a test.
- E3-1 took nothing off the path and put a counter and a check on it: {{exact E1 E3-1 hot_path:C4}}; {{time E1 E3-1 hot_path:C4}}.
- With two threads that counter is shared, and the answer is another one. In the rounds of this page larson with two threads says of E3-1 {{time E1 E3-1 larson_t2:mixed}} and of the Box {{time 7 box-tls-sll larson_t2:mixed}}. A search that asks it, `hakperf bisect phase:7 phase:E3-1 --workload larson_t2 --metric ops_per_s`, named E3-1 in 35 seconds on the same machine: −26.6 % of throughput [−54.8, −1.5], proved beside its parent. Instructions and time name two commits, for two questions.
- E3-2 recovers what the Box took: {{exact E3-1 E3-2 hot_path:C4}}; {{time E3-1 E3-2 hot_path:C4}}.

## Which configuration shows it

The same step, from Phase 7 to the Box, on the workloads of the main job:

- One size in a tight loop: {{time 7 box-tls-sll hot_path:C4}}.
- A mix of sizes, working set 256: {{time 7 box-tls-sll mixed_ws256:mixed}}.
- The same mix, working set 8192: {{time 7 box-tls-sll mixed_ws8192:mixed}}.
- Larson with one thread: {{time 7 box-tls-sll larson_t1:mixed}}.
- Larson with two threads: {{time 7 box-tls-sll larson_t2:mixed}}.

A tight loop over one size shows a few instructions more on every free at once. A mix hides them behind its own mispredicted branches, and two threads behind the spread of their scheduling: where a line says unclear, a single run there says nothing at all. The build variant decides most: debug builds part the phases by factors, release builds by per cents (point 2).

E3-1's shared counter is one instruction, and every thread of the program writes it: {{time E1 E3-1 larson_t1:mixed}} with one thread, {{time E1 E3-1 larson_t2:mixed}} with two.

## Point 1: "256 B gives 6.11 M"

The second argument of `bench_random_mixed` is the working set, not the size: `100000 256 42` means 100,000 cycles, 256 slots, seed 42, sizes of 16 to 1039 bytes. The tables took the working set for a size, so that rows called 128, 256, 512 and 1024 B all held the same mix of sizes. A parameter that travels without its name is confused sooner or later. Here every parameter is a named column of the record and a word on every page.

The claims of the table, at the size they name, and (`e3-1-ws256`) in the configuration that was really run:

{{claims e3-1-*}}

**What could have been known:** run A and B in the same rounds, and look at the interval. The table had one run a cell; "+4 %, noise" and "−10 %" came from the same kind of run, and nothing told which of the two to believe.

## Point 2: Phase 7's 59 to 70 M

Nobody reproduced them. Checked out again, Phase 7 measured 6,121,111 where the "regressed" head had 6,119,404: the same to 0.03 %. Absolute figures of another machine cannot be tried here, so they are held as ratios to what was measured at the time for the head before E3-1:

{{claims phase7-*}}

In release, Phase 7 against that head is {{measured phase7-128}} at 128 B on the mix and {{time E1 7 hot_path:C4}} on the hot path: nowhere near six times. Debug builds are another matter. There the checks of later phases (a scan of the list on each push, alignment and owner checks) cost several times what the allocator does, and Phase 7, which had none of them, stands far ahead:

{{tries phase7-128 *debug}}

The claimed ratio, 6 to 8, lies among these and nowhere in release. So what was called a regression of the allocator may have been the price of checks, in builds that carried them. That is a reading, not a finding: the binaries are gone. Three explanations stay open, and each is now one command:

- The binary was not rebuilt after the checkout. The figures of two commits agree to 0.03 %, closer than two runs of one binary do here. hakperf stores the hash of the file that was really executed, and says "the two load the same bytes".
- Both builds carried debug checks, so that the fast path was never measured: 163 ns an operation is far from 8 to 12 cycles. The build variant is an axis of every measurement here; `hakperf sweep A B` asks all of them.
- Start-up inside a run of 100,000 operations drowned the difference. Runs of N and 2N operations part the two; cold start and steady state are never one figure here.

**What could have been known:** a bisect on that configuration would have named a random commit, since its ends do not differ. hakperf measures the ends first, and stops when it cannot tell them apart.

## Point 3: "root cause confirmed"

It was read off the source: the registry look-up, believed to cost 50 to 100 cycles, was taken to be on the fast path of every free. Counting calls settles that in seconds: {{measured slow-path-share}} of frees reach the classifier at all, as had been claimed ({{claimed slow-path-share}}). E3-1 removed nine lines of comment about a look-up that was never there.

{{functions E1 E3-1 hot_path:C4}}

The cycle claims, per free, are differences of two revisions measured side by side, by what a further operation adds:

{{claims box-*}}

{{claims mincore}}

{{claims push-direct}}

A guess can be right about the direction and wrong by a factor. The checked push does cost, in release far less than believed; in debug more. `mincore` is a system call: what it costs depends on the kernel and the machine, which is why a number of cycles must not travel without them.

**What could have been known:** `hakperf account REV --where classify_ptr` says in one line in what share of frees a function is reached, and what removing it can bring at most.

## Point 4: what the Box is made of

{{functions 7 box-tls-sll hot_path:C4}}

The push went from three instructions within `free` to a function in a translation unit of its own, which checks again what `free` had checked. `hakperf account phase:7 phase:box-tls-sll` sets the hunks beside these lines, and `--split` measures them apart.

## Point 5: E3-2 and E4

{{claims e3-2}}

{{claims e4}}

Against Phase 7, E3-2 stands at {{exact 7 E3-2 hot_path:C4}}: what the Box took is back. The 30 to 50 M were an extrapolation from a figure that was not a release build's hot path, and no configuration tried here gives five times. E4 makes the slow path cheaper: {{time E3-2 E4 mixed_ws256:mixed}} on the mix. What 1 to 5 % of frees do cannot bring 400 %, whatever they cost: Amdahl's law would have said so before a line was written.

## Point 6: the clean-up, "stable"

{{claims larson-*}}

"Stable" needs an interval and a smallest effect of interest. 52.8 and 52.35 M may be the same or may differ by 0.9 %; single runs of this workload differ by more than that.

## The three questions

- **Which command gave 59 to 70 M?** Not answerable: the claim did not say. A claim is kept here with commit, configuration, source and date, and `hakperf claim verify` tries it.
- **At which commit did throughput fall?** Here: the Box TLS-SLL, in instructions and in time on the hot path, named unattended and proved beside its parent. On a mix of sizes in a working set the same commit is a few per cent, which single runs do not show.
- **Can 59 to 70 M be reached?** On this machine, Phase 7 makes an operation on the hot path in {{cost 7 hot_path:C4}}. At 5 GHz and 10 cycles an operation it would be 500 M operations per second; 6 M is 163 ns an operation, which no fast path costs. The question to ask was not how to make the fast path faster, but what was being measured.

## How to investigate

- First prove what was run: file hash, flags, variant, environment.
- Name every parameter.
- Measure good and bad in the same rounds; if they do not differ beyond noise, do not bisect: sweep.
- Count before reading: calls per operation and instructions per operation tell what is on the path.
- Let counts say where to look, and time whether it matters.
- Write down what is claimed, with enough beside it that somebody else can try it.
