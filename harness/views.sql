-- Summaries of harness/schema.sql. They hold nothing, so that a migration drops them and makes them anew.
-- Plain SQL: any sqlite3 reads them.

-- One line per run with all names.
CREATE VIEW run_long AS
SELECT round.id AS round_id, run.id AS run_id, round.session_id AS session_id, session.verb AS verb, machine.fingerprint AS machine,
	round.number AS round, round.kind AS kind, round.sitting AS sitting, round.disturbed AS disturbed, round.disturbed_why AS disturbed_why,
	round.steal_ns AS steal_ns, run.position AS position, session_arm.number AS arm, session_arm.role AS role,
	session_arm.label AS label, twin.number AS twin_arm, commit_info.full_id AS commit_id, commit_info.subject AS subject,
	commit_info.phase AS commit_phase, build.key AS build_key, build.variant AS variant,
	workload.name AS workload, workload.program AS program, round.case_id AS case_id, bench_case.phase AS phase,
	bench_case.size_class AS size_class, bench_case.min_bytes AS min_bytes, bench_case.max_bytes AS max_bytes,
	bench_case.cycles AS cycles, bench_case.working_set AS working_set, bench_case.seed AS seed, bench_case.threads AS threads,
	bench_case.rounds AS rounds, bench_case.chunks AS chunks, bench_case.batch AS batch, bench_case.warm_up AS warm_up,
	bench_case.seconds AS seconds, bench_case.parameters_json AS parameters, bench_case.environment_json AS environment,
	session_arm.environment_json AS arm_environment, run.multiplier AS multiplier, run.operations AS operations,
	run.outcome AS outcome, run.checksum AS checksum, subject_binary.hash AS subject_hash, program_binary.hash AS program_hash,
	run.link_seed AS link_seed, run.padding_bytes AS padding_bytes, run.startup_allocations AS startup_allocations, run.cpu AS cpu,
	run.started_unix_ns AS started_unix_ns, run.whole_process AS whole_process
-- CROSS JOIN fixes the order of the loops, so that rows come sorted by round and position without a sort.
FROM round
	CROSS JOIN run ON run.round_id = round.id
	CROSS JOIN session ON session.id = round.session_id
	CROSS JOIN machine ON machine.id = session.machine_id
	CROSS JOIN session_arm ON session_arm.id = run.arm_id
	CROSS JOIN build ON build.id = session_arm.build_id
	CROSS JOIN bench_case ON bench_case.id = round.case_id
	CROSS JOIN workload ON workload.id = bench_case.workload_id
	LEFT JOIN session_arm AS twin ON twin.id = session_arm.twin_arm_id
	LEFT JOIN commit_info ON commit_info.id = session_arm.commit_id
	LEFT JOIN binary AS subject_binary ON subject_binary.id = run.subject_binary_id
	LEFT JOIN binary AS program_binary ON program_binary.id = run.program_binary_id;

-- One line per sample with all names: what export writes, and the place to start for a query of one's own.
CREATE VIEW sample_long AS
SELECT run_long.*, metric.name AS metric, metric.unit AS unit, metric.better AS better, sample.value AS value, source.name AS source,
	sample.quality AS quality, sample.enabled_ns AS enabled_ns, sample.running_ns AS running_ns
FROM run_long
	JOIN sample ON sample.run_id = run_long.run_id
	JOIN metric ON metric.id = sample.metric_id
	JOIN source ON source.id = sample.source_id;

-- Medians by arm over undisturbed, successful runs; per_operation is NULL for metrics that do not grow with the operations.
-- A median is the mean of the value or the two values in the middle.
CREATE VIEW arm_summary AS
SELECT session_id, case_id, kind, arm_id, metric_id, multiplier, count (*) AS runs,
	avg (value) FILTER (WHERE 2 * place BETWEEN among AND among + 2) AS median, min (value) AS least, max (value) AS most,
	avg (cost) FILTER (WHERE 2 * cost_place BETWEEN among AND among + 2) AS per_operation
FROM (
	SELECT *, count (*) OVER arm AS among, row_number () OVER (arm ORDER BY value) AS place,
		CASE WHEN cost IS NOT NULL THEN row_number () OVER (arm ORDER BY cost) END AS cost_place
	FROM (
		SELECT round.session_id AS session_id, round.case_id AS case_id, round.kind AS kind, run.arm_id AS arm_id,
			sample.metric_id AS metric_id, run.multiplier AS multiplier, sample.value AS value,
			CASE WHEN metric.additive THEN 1.0 * sample.value / run.operations END AS cost
		FROM round
			CROSS JOIN run ON run.round_id = round.id
			CROSS JOIN sample ON sample.run_id = run.id
			CROSS JOIN metric ON metric.id = sample.metric_id
		WHERE run.outcome = 'ok' AND NOT round.disturbed
	)
	WINDOW arm AS (PARTITION BY session_id, case_id, kind, arm_id, metric_id, multiplier)
)
GROUP BY session_id, case_id, kind, arm_id, metric_id, multiplier;

-- Log-ratio of two runs of one build in one round: what the machine calls different when nothing is.
CREATE VIEW aa_log_ratio AS
SELECT session.machine_id AS machine_id, round.session_id AS session_id, round.id AS round_id, round.case_id AS case_id,
	a.metric_id AS metric_id, repeated.multiplier AS multiplier, ln (1.0 * b.value / a.value) AS log_ratio
FROM session_arm AS arm
	CROSS JOIN run AS repeated ON repeated.arm_id = arm.id
	CROSS JOIN round ON round.id = repeated.round_id
	CROSS JOIN run AS twin ON twin.round_id = round.id AND twin.arm_id = arm.twin_arm_id AND twin.multiplier = repeated.multiplier
	CROSS JOIN sample AS b ON b.run_id = repeated.id
	CROSS JOIN sample AS a ON a.run_id = twin.id AND a.metric_id = b.metric_id AND a.source_id = b.source_id
	CROSS JOIN session ON session.id = round.session_id
WHERE arm.role = 'aa' AND round.kind = 'timed' AND NOT round.disturbed AND repeated.outcome = 'ok' AND twin.outcome = 'ok'
	AND a.value > 0 AND b.value > 0;

-- Exact counts, repeats of one session together: least and most differ where the count does not repeat.
CREATE VIEW exact_count AS
SELECT build_id, case_id, metric_id, multiplier, session_id, count (*) AS runs,
	avg (value) FILTER (WHERE 2 * place BETWEEN among AND among + 2) AS median, min (value) AS least, max (value) AS most,
	max (operations) AS operations, max (run_id) AS last_run_id
FROM (
	SELECT *, count (*) OVER repeats AS among, row_number () OVER (repeats ORDER BY value) AS place
	FROM (
		SELECT session_arm.build_id AS build_id, round.case_id AS case_id, sample.metric_id AS metric_id,
			run.multiplier AS multiplier, round.session_id AS session_id, sample.value AS value,
			run.operations AS operations, run.id AS run_id
		FROM session_arm
			CROSS JOIN run ON run.arm_id = session_arm.id
			CROSS JOIN round ON round.id = run.round_id
			CROSS JOIN sample ON sample.run_id = run.id
		WHERE round.kind = 'exact' AND run.outcome = 'ok'
	)
	WINDOW repeats AS (PARTITION BY build_id, case_id, metric_id, multiplier, session_id)
)
GROUP BY build_id, case_id, metric_id, multiplier, session_id;
