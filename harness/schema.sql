-- The record of hakperf: what was asked, what was built, what was run, every raw sample, every decision and answer.
--
-- Rules that hold in every table:
--   * Unknown is NULL, never 0 and never a word. A metric that was not counted has no row in sample.
--   * Rows are added and never rewritten, but for the few columns marked (moves).
--   * Text is valid UTF-8; bytes that are not are written \xNN. Columns called …_json hold JSON.
--   * Units are in the names: _ns, _bytes, _s (seconds since 1970, UTC). Counts and enumerations have none.
--   * Summaries are views: harness/views.sql.

-- A metric's name, so that a figure is never stored under another's.
CREATE TABLE metric (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE, -- as in --metric; PMU events under libpfm4's name
	unit TEXT NOT NULL, -- of the stored value: ns, 1/s, instructions, bytes, …
	better TEXT NOT NULL CHECK (better IN ('higher', 'lower')), -- which direction is an improvement
	additive INTEGER NOT NULL CHECK (additive IN (0, 1)), -- 1: grows with the operations, so that value / operations has a meaning
	description TEXT NOT NULL -- one line, for pages
) STRICT;

-- Where a value was read from.
CREATE TABLE source (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE -- monotonic_clock, thread_cpu_clock, pmu, perf_software, tsc, callgrind, rusage, proc, output, …
) STRICT;

-- A computer, known by facts that stay over a boot. Figures of two machines are never compared as if from one.
CREATE TABLE machine (
	id INTEGER PRIMARY KEY,
	fingerprint TEXT NOT NULL UNIQUE, -- SHA-256 over the boot-stable facts, hexadecimal
	first_seen_s INTEGER NOT NULL -- seconds since 1970
) STRICT;

CREATE TABLE machine_fact (
	machine_id INTEGER NOT NULL REFERENCES machine (id),
	name TEXT NOT NULL, -- cpu_model, cores, memory_bytes, …
	value TEXT, -- NULL: unreadable
	PRIMARY KEY (machine_id, name)
) STRICT, WITHOUT ROWID;

-- A commit of the subject's history. Order and ancestry are git's to know and are not stored.
CREATE TABLE commit_info (
	id INTEGER PRIMARY KEY,
	full_id TEXT NOT NULL UNIQUE, -- 40 or 64 hexadecimal digits; 'worktree:' and a tree id for uncommitted work
	subject TEXT NOT NULL, -- first line of the message
	subject_escaped INTEGER NOT NULL CHECK (subject_escaped IN (0, 1)), -- 1: it held bytes that are not UTF-8
	author_time_s INTEGER, -- NULL for uncommitted work
	phase TEXT -- (moves) the Phase trailer, NULL without one
) STRICT;

-- One artifact. The key names its inputs; made again with another outcome or other bytes it is another row.
CREATE TABLE build (
	id INTEGER PRIMARY KEY,
	key TEXT NOT NULL, -- hash of tree, recipe, variant, toolchain and flags; 'file:' and a hash for an artifact given by path
	kind TEXT NOT NULL CHECK (kind IN ('preload', 'library', 'exec', 'control', 'file', 'none')), -- how it is put under the workload
	tree TEXT, -- git tree id of the subject's paths
	variant TEXT NOT NULL, -- release, debug, …; '' without variants
	recipe TEXT, -- name of the recipe in the configuration
	recipe_hash TEXT, -- SHA-256 of the recipe as it was run
	toolchain TEXT, -- compiler and its version, one line
	flags TEXT, -- compiler flags from outside the history
	outcome TEXT NOT NULL, -- ok, failed, timed_out, not_interposing, artifact_missing, wrote_outside
	detail TEXT, -- one line on a bad outcome
	artifact TEXT, -- file name in the prefix, or the path that was given
	artifact_hash TEXT, -- SHA-256 of the canonical link
	loaded_hash TEXT, -- SHA-256 of its allocated sections without notes: equal means no change
	build_id TEXT, -- ELF build id, hexadecimal
	relinkable INTEGER CHECK (relinkable IN (0, 1)), -- 0: the layout is fixed
	sandboxed INTEGER CHECK (sandboxed IN (0, 1)), -- 1: built without network in a sandbox
	wall_ns INTEGER, -- time the build took
	log_path TEXT, -- relative to the cache
	recorded_s INTEGER NOT NULL -- seconds since 1970
) STRICT;
CREATE UNIQUE INDEX build_identity ON build (key, variant, outcome, ifnull (artifact_hash, ''));
CREATE INDEX build_by_artifact ON build (artifact_hash);

-- Commits that leave the subject alone share a build; variants give a commit several.
CREATE TABLE commit_build (
	commit_id INTEGER NOT NULL REFERENCES commit_info (id),
	build_id INTEGER NOT NULL REFERENCES build (id),
	PRIMARY KEY (commit_id, build_id)
) STRICT, WITHOUT ROWID;

-- A program that exercises the subject: the same bytes for every commit.
CREATE TABLE workload (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL, -- section of the configuration
	program TEXT NOT NULL, -- base name of the executed file
	program_hash TEXT -- SHA-256; NULL where the program is part of the build
) STRICT;
CREATE UNIQUE INDEX workload_identity ON workload (name, program, ifnull (program_hash, ''));

-- A workload with every parameter named. A parameter the workload does not have is NULL.
CREATE TABLE bench_case (
	id INTEGER PRIMARY KEY,
	workload_id INTEGER NOT NULL REFERENCES workload (id),
	phase TEXT NOT NULL CHECK (phase IN ('cold', 'steady')), -- what the timed region holds: the start, or what follows a warm-up
	size_class TEXT, -- name of a request range in the configuration: C0 … C7, mixed
	min_bytes INTEGER, -- smallest request
	max_bytes INTEGER, -- largest request, inclusive
	cycles INTEGER, -- turns of the workload's loop at multiplier 1
	working_set INTEGER, -- slots that hold a block or none
	seed INTEGER, -- of the workload's own random numbers
	threads INTEGER, -- of the workload
	rounds INTEGER, -- of the workload itself (larson), not of the session
	chunks INTEGER, -- blocks per thread
	batch INTEGER, -- blocks held at once
	warm_up INTEGER, -- turns of the loop before the timed region
	seconds REAL, -- for workloads that run by the clock
	parameters_json TEXT NOT NULL DEFAULT '{}' CHECK (json_valid (parameters_json)), -- named parameters of foreign commands, keys sorted
	environment_json TEXT NOT NULL DEFAULT '{}' CHECK (json_valid (environment_json)) -- the subject's environment in this case, keys sorted
) STRICT;
CREATE UNIQUE INDEX bench_case_identity ON bench_case (workload_id, phase, ifnull (size_class, ''), ifnull (min_bytes, -1),
	ifnull (max_bytes, -1), ifnull (cycles, -1), ifnull (working_set, -1), ifnull (seed, -1), ifnull (threads, -1), ifnull (rounds, -1),
	ifnull (chunks, -1), ifnull (batch, -1), ifnull (warm_up, -1), ifnull (seconds, -1), parameters_json, environment_json);

-- One question put to one machine: what was asked, and how it was to be answered. Stored before anything is run.
CREATE TABLE session (
	id INTEGER PRIMARY KEY,
	verb TEXT NOT NULL, -- bench, compare, bisect, …
	request_json TEXT NOT NULL CHECK (json_valid (request_json)), -- the request, canonical: equal requests are equal text
	machine_id INTEGER NOT NULL REFERENCES machine (id),
	plan_seed INTEGER NOT NULL, -- all orders, links and paddings are drawn from it
	delta REAL, -- smallest effect of interest, a fraction (0.01 is 1 %)
	confidence REAL, -- asked for, a fraction
	metric_id INTEGER REFERENCES metric (id), -- the primary metric
	state TEXT NOT NULL CHECK (state IN ('running', 'done', 'interrupted', 'failed')), -- (moves)
	detail TEXT, -- (moves) why it failed or stopped, one line
	started_s INTEGER NOT NULL, -- seconds since 1970
	ended_s INTEGER, -- (moves) NULL while running
	toolkit_version TEXT NOT NULL -- that began it
) STRICT;
CREATE INDEX session_by_request ON session (verb, request_json);

-- A session may be killed and taken up again, perhaps after a boot: each time is a sitting.
CREATE TABLE sitting (
	session_id INTEGER NOT NULL REFERENCES session (id),
	number INTEGER NOT NULL, -- from 0
	started_s INTEGER NOT NULL, -- seconds since 1970
	ended_s INTEGER, -- (moves) NULL: killed, or running still
	toolkit_version TEXT NOT NULL, -- that measured in this sitting
	cpu INTEGER, -- that the workloads were pinned to
	PRIMARY KEY (session_id, number)
) STRICT, WITHOUT ROWID;

-- What the machine was like before and after a sitting.
CREATE TABLE host_fact (
	session_id INTEGER NOT NULL, -- with sitting: a row of sitting
	sitting INTEGER NOT NULL, -- number within the session
	moment TEXT NOT NULL CHECK (moment IN ('before', 'after')), -- of the sitting
	name TEXT NOT NULL, -- governor, turbo, load_1min, steal_ns, …
	value TEXT, -- NULL: unreadable
	PRIMARY KEY (session_id, sitting, moment, name),
	FOREIGN KEY (session_id, sitting) REFERENCES sitting (session_id, number)
) STRICT, WITHOUT ROWID;

-- What is compared in a session.
CREATE TABLE session_arm (
	id INTEGER PRIMARY KEY,
	session_id INTEGER NOT NULL REFERENCES session (id),
	number INTEGER NOT NULL, -- from 0, in the order of the request
	role TEXT NOT NULL CHECK (role IN ('subject', 'reference', 'aa', 'control')), -- subject and reference are asked about; aa and control check the measuring
	twin_arm_id INTEGER REFERENCES session_arm (id), -- aa: the arm whose build it repeats; control: the arm it is measured against
	build_id INTEGER NOT NULL REFERENCES build (id),
	commit_id INTEGER REFERENCES commit_info (id), -- NULL for artifacts without history
	label TEXT NOT NULL, -- as the user wrote it: phase:7, HEAD~3, a.so
	environment_json TEXT NOT NULL DEFAULT '{}' CHECK (json_valid (environment_json)), -- the subject's environment in this arm alone
	UNIQUE (session_id, number)
) STRICT;
CREATE INDEX session_arm_by_build ON session_arm (build_id);
CREATE INDEX session_arm_by_commit ON session_arm (commit_id);

-- The plan: how many rounds of which case an arm is to have.
CREATE TABLE session_cell (
	session_id INTEGER NOT NULL REFERENCES session (id),
	arm_id INTEGER NOT NULL REFERENCES session_arm (id),
	case_id INTEGER NOT NULL REFERENCES bench_case (id),
	kind TEXT NOT NULL CHECK (kind IN ('timed', 'exact')), -- exact: under callgrind
	planned_rounds INTEGER NOT NULL, -- (moves) grows while a question stays open
	PRIMARY KEY (session_id, case_id, kind, arm_id)
) STRICT, WITHOUT ROWID;

-- Runs made side by side, in one transaction with all their samples.
CREATE TABLE round (
	id INTEGER PRIMARY KEY,
	session_id INTEGER NOT NULL REFERENCES session (id),
	case_id INTEGER NOT NULL REFERENCES bench_case (id),
	kind TEXT NOT NULL CHECK (kind IN ('timed', 'exact')), -- exact: under callgrind
	number INTEGER NOT NULL, -- from 0 within session, case and kind
	sitting INTEGER NOT NULL, -- in which it was made
	started_unix_ns INTEGER, -- nanoseconds since 1970, for the record only
	steal_ns INTEGER, -- taken by the hypervisor during the round, all CPUs
	load_1min REAL, -- at its end
	disturbed INTEGER NOT NULL DEFAULT 0 CHECK (disturbed IN (0, 1)), -- (moves) by the stated rule, never by hand
	disturbed_why TEXT, -- (moves) one line
	UNIQUE (session_id, case_id, kind, number),
	FOREIGN KEY (session_id, sitting) REFERENCES sitting (session_id, number)
) STRICT;

-- A file that was really executed or preloaded.
CREATE TABLE binary (
	id INTEGER PRIMARY KEY,
	hash TEXT NOT NULL UNIQUE, -- SHA-256
	build_id TEXT -- ELF build id, hexadecimal
) STRICT;

-- One process.
CREATE TABLE run (
	id INTEGER PRIMARY KEY,
	round_id INTEGER NOT NULL REFERENCES round (id),
	position INTEGER NOT NULL, -- order within the round, from 0
	arm_id INTEGER NOT NULL REFERENCES session_arm (id),
	multiplier INTEGER NOT NULL CHECK (multiplier >= 1), -- 1: N operations, 2: 2N
	outcome TEXT NOT NULL, -- ok, crashed, timed_out, not_interposing, bad_output, …: samples count only with ok
	detail TEXT, -- one line on a bad outcome
	exit_status INTEGER, -- exit code, or minus the signal
	operations INTEGER, -- calls of malloc and free in the timed region, all threads
	checksum TEXT, -- of what the workload did, hexadecimal
	proof TEXT, -- the file that malloc resolved into
	subject_binary_id INTEGER REFERENCES binary (id), -- NULL: no subject (the system's allocator)
	program_binary_id INTEGER REFERENCES binary (id),
	link_seed INTEGER, -- of the random link; NULL: the canonical link
	padding_bytes INTEGER, -- random environment padding
	startup_allocations INTEGER, -- random allocations before the workload begins
	cpu INTEGER, -- that it was pinned to
	started_unix_ns INTEGER, -- nanoseconds since 1970
	whole_process INTEGER NOT NULL DEFAULT 0 CHECK (whole_process IN (0, 1)), -- 1: a program without a marked region: figures hold start and end too
	UNIQUE (round_id, position)
) STRICT;
CREATE INDEX run_by_arm ON run (arm_id, round_id);

-- One figure of one run.
CREATE TABLE sample (
	run_id INTEGER NOT NULL REFERENCES run (id),
	metric_id INTEGER NOT NULL REFERENCES metric (id),
	value ANY NOT NULL CHECK (typeof (value) IN ('integer', 'real')), -- of the whole timed region, in the metric's unit; counts stay integers
	source_id INTEGER NOT NULL REFERENCES source (id),
	-- OR, not IN: a list of more than two makes a table of its own for every row that is stored.
	quality TEXT NOT NULL CHECK (quality = 'exact' OR quality = 'measured' OR quality = 'estimated' OR quality = 'bound'), -- exact: repeats to the last digit
	enabled_ns INTEGER, -- of a counter: time it was on
	running_ns INTEGER, -- of a counter: time it really counted
	PRIMARY KEY (run_id, metric_id)
) STRICT, WITHOUT ROWID;

-- What callgrind charged to a function in the timed region.
CREATE TABLE function_cost (
	run_id INTEGER NOT NULL REFERENCES run (id),
	object TEXT NOT NULL, -- base name of the ELF object; '' unknown
	function TEXT NOT NULL, -- symbol, or address where there is none
	file TEXT NOT NULL, -- source file; '' unknown
	self_instructions INTEGER NOT NULL, -- without its callees
	inclusive_instructions INTEGER, -- NULL: not to be had (recursion)
	calls INTEGER, -- NULL: entered by a jump only
	PRIMARY KEY (run_id, object, function, file)
) STRICT, WITHOUT ROWID;

-- The answer as it was given at that time. Raw samples allow to give it again.
CREATE TABLE verdict (
	id INTEGER PRIMARY KEY,
	session_id INTEGER NOT NULL REFERENCES session (id),
	case_id INTEGER NOT NULL REFERENCES bench_case (id),
	metric_id INTEGER NOT NULL REFERENCES metric (id),
	arm_a_id INTEGER NOT NULL REFERENCES session_arm (id), -- before
	arm_b_id INTEGER NOT NULL REFERENCES session_arm (id), -- after
	scope TEXT NOT NULL CHECK (scope IN ('binary', 'source')), -- one link, or over links
	part TEXT NOT NULL CHECK (part IN ('run', 'slope', 'startup')), -- of the run's cost: whole, per operation, before the first
	verdict TEXT NOT NULL CHECK (verdict IN ('regression', 'improvement', 'no change', 'unclear', 'invalid')), -- of b against a
	is_primary INTEGER NOT NULL CHECK (is_primary IN (0, 1)), -- 1: carries the error rate; 0: descriptive
	rounds INTEGER NOT NULL, -- it rests on
	ratio REAL, -- value of b / value of a
	ratio_lo REAL, -- of the interval at the confidence given
	ratio_hi REAL, -- NULL: unbounded, as for ratio_lo
	before_value REAL, -- median of arm a, in the metric's unit
	after_value REAL, -- median of arm b
	delta REAL NOT NULL, -- smallest effect of interest, a fraction
	confidence REAL NOT NULL, -- a fraction
	rounds_to_decide INTEGER, -- more that would likely decide; NULL where decided or unknown
	detail TEXT, -- one line: which control failed, …
	decided_s INTEGER NOT NULL -- seconds since 1970
) STRICT;
CREATE INDEX verdict_by_session ON verdict (session_id, case_id, metric_id);

-- A search for the commit between good and bad. Its measurements are rounds of its session.
CREATE TABLE bisect (
	id INTEGER PRIMARY KEY,
	session_id INTEGER NOT NULL UNIQUE REFERENCES session (id),
	good_commit_id INTEGER NOT NULL REFERENCES commit_info (id),
	bad_commit_id INTEGER NOT NULL REFERENCES commit_info (id),
	metric_id INTEGER REFERENCES metric (id), -- NULL: chosen during the search
	state TEXT NOT NULL CHECK (state IN ('running', 'done', 'interrupted', 'failed')), -- (moves)
	result_json TEXT CHECK (result_json IS NULL OR json_valid (result_json)) -- (moves) NULL until there is one
) STRICT;

-- Every measurement and decision of a search, stored before the next is chosen.
CREATE TABLE bisect_step (
	bisect_id INTEGER NOT NULL REFERENCES bisect (id),
	seq INTEGER NOT NULL, -- from 0
	action TEXT NOT NULL, -- build, measure, skip, split, confirm, result, …
	commit_id INTEGER REFERENCES commit_info (id),
	payload_json TEXT NOT NULL CHECK (json_valid (payload_json)), -- what was measured or why it was decided
	at_s INTEGER NOT NULL, -- seconds since 1970
	PRIMARY KEY (bisect_id, seq)
) STRICT, WITHOUT ROWID;

-- A figure that somebody claimed, with what is needed to try it.
CREATE TABLE claim (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE, -- short, for the command line
	text TEXT NOT NULL, -- what was claimed, in words
	revision TEXT, -- of what, as it is written: phase:7
	commit_id INTEGER REFERENCES commit_info (id), -- (moves) NULL: not resolved yet
	configuration_json TEXT NOT NULL CHECK (json_valid (configuration_json)), -- workload, parameters, variant; {} where the claim says none
	metric TEXT, -- name of the metric it speaks of
	value_lo REAL, -- a single figure has lo = hi
	value_hi REAL, -- in the unit below
	unit TEXT, -- as claimed: 1/s, cycles, …
	source TEXT, -- where it was claimed
	claimed_on TEXT, -- date, ISO 8601
	recorded_s INTEGER NOT NULL -- seconds since 1970
) STRICT;

-- What came of trying it.
CREATE TABLE claim_check (
	id INTEGER PRIMARY KEY,
	claim_id INTEGER NOT NULL REFERENCES claim (id),
	session_id INTEGER REFERENCES session (id), -- whose rounds it rests on
	result TEXT NOT NULL, -- reproduced, not reproduced, reproduced only with …
	configuration_json TEXT NOT NULL CHECK (json_valid (configuration_json)), -- in which it was tried
	value REAL, -- measured, in the claim's unit
	value_lo REAL, -- of its interval
	value_hi REAL, -- of its interval
	rounds INTEGER, -- it rests on
	detail TEXT, -- one line
	checked_s INTEGER NOT NULL -- seconds since 1970
) STRICT;
CREATE INDEX claim_check_by_claim ON claim_check (claim_id);
