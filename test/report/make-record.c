/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "harness/stats.h"
#include "harness/store.h"
#include "harness/verdict.h"

#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A record of measurements that nobody made, with a known truth: for tests of reports and their
 * benchmark. make-record FILE [--commits N] [--cases N] [--rounds N] [--hostile] Commits carry
 * costs that step at known places; rounds are lognormal around them with drift within the session,
 * A/A pairs included. Same arguments, same bytes but for the times. --hostile: subjects, phases and
 * labels that try to be markup.
 */
static uint64_t state = 88172645463325252u;

static double uniform(void)
{
	state ^= state << 13, state ^= state >> 7, state ^= state << 17;
	return ((double)(state >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static struct error err;

static void check(int rc)
{
	if (rc) {
		fprintf(stderr, "make-record: %s\n", err.text);
		exit(1);
	}
}

static const char *const hostile_subjects[] = {
	"<script>alert(1)</script>",
	"\"><img src=x onerror=alert(1)>",
	"| a | b |\n|---|---|",
	"`code` *bold* _it_ [link](javascript:alert(1))",
	"\\\"; set output '/tmp/x'; system(\"touch /tmp/hakperf-hostile\") #",
	"@everyone see https://example.invalid #1",
	"&lt;b&gt; ]]> --> </style>",
	"caf\xe9 not UTF-8 \x1b[31mred\x1b[0m",
	"right\xe2\x80\xaeleft override",
	"1. list\n# heading\n- item",
	"{s}%n%s%x",
	"' || '1'='1",
};

struct commit {
	char id[41], subject[200], phase[64];
	bool has_phase;
	double instructions, ns; /* per operation, of the first case */
	int64_t row, build;
};

/* The steps of the case's sketch: instructions step at the Box, time at E3-1, both come back. */
static const struct {
	const char *phase, *subject;
	double instructions, ns;
} phases[] = {
	{ "7", "Give small blocks a header and push frees straight onto the TLS list", 23, 2.58 },
	{ "box-tls-sll", "Push every free block through Box TLS-SLL", 31, 2.71 },
	{ "ptr-trace", "Read and write next pointers through tracing macros", 31.5, 2.72 },
	{ "front-gate", "Ask the registry first when classifying", 31.5, 2.72 },
	{ "E1", "Give C7 a header too", 31.5, 2.70 },
	{ "E3-1", "Remove the registry look-up from the fast path", 33.5, 4.36 },
	{ "E3-2", "Release: mark the header and push directly; debug: the box", 23, 2.43 },
	{ "E4", "Slow path: probe the header before asking the registry", 23, 2.43 },
	{ "cleanup-1", "Drop tuning variables and guard diagnostics by the build", 23, 2.44 },
};
enum { PHASES = sizeof(phases) / sizeof(phases[0]) };

static void make_commits(struct commit *c, size_t n, bool hostile)
{
	for (size_t i = 0; i < n; i++) {
		size_t segment = n < PHASES ? i : i * PHASES / n;
		bool opens = n < PHASES || !i || (i - 1) * PHASES / n != segment;
		for (size_t k = 0; k < 40; k++)
			c[i].id[k] = "0123456789abcdef"[(size_t)(uniform() * 16)];
		c[i].instructions = phases[segment].instructions, c[i].ns = phases[segment].ns;
		c[i].has_phase = opens;
		if (hostile) {
			const char *s = hostile_subjects[i %
				(sizeof(hostile_subjects) / sizeof(hostile_subjects[0]))];
			snprintf(c[i].subject, sizeof(c[i].subject), "%s", s);
			snprintf(c[i].phase, sizeof(c[i].phase), "%.40s", s);
		} else {
			snprintf(c[i].subject, sizeof(c[i].subject), "%s",
				opens ? phases[segment].subject
				      : "Ordinary work between the phases");
			snprintf(c[i].phase, sizeof(c[i].phase), "%s", phases[segment].phase);
		}
	}
}

static void store_commits(struct store *s, struct commit *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct store_commit row = { .full_id = c[i].id,
			.subject = c[i].subject,
			.phase = c[i].has_phase ? c[i].phase : NULL,
			.author_time_s = STORE_INT(1762252540 + 3600 * (int64_t)i) };
		check(store_commit_info(s, &row, &c[i].row, &err));
		struct store_build b = { .key = c[i].id,
			.kind = "preload",
			.variant = "release",
			.outcome = "ok",
			.artifact_hash = c[i].id,
			.loaded_hash = c[i].id,
			.wall_ns = STORE_INT(1500000000) };
		check(store_build(s, &b, &c[i].build, &err));
		check(store_commit_has_build(s, c[i].row, c[i].build, &err));
	}
}

static int64_t make_session(
	struct store *s, int64_t machine, const char *verb, const char *request, const char *metric)
{
	static const struct store_fact facts[] = { { "cpu_model", "Synthetic 1" },
		{ "cpus_online", "2 on 2 cores" }, { "kernel", "6.1" }, { "load", "0.20" },
		{ "pmus", "breakpoint software" }, { "governor", NULL } };
	struct store_session q = { .verb = verb,
		.request_json = request,
		.machine_id = machine,
		.plan_seed = 42,
		.delta = STORE_REAL(0.01),
		.confidence = STORE_REAL(0.995),
		.metric = metric,
		.toolkit_version = "synthetic" };
	int64_t id, sitting;
	check(store_session_begin(s, &q, &id, &err));
	check(store_sitting_begin(s, id, STORE_INT(1), "synthetic", facts,
		sizeof(facts) / sizeof(facts[0]), &sitting, &err));
	return id;
}

static int64_t make_arm(struct store *s, int64_t session, int64_t number, const char *role,
	const struct commit *c, int64_t twin, const char *label)
{
	struct store_arm a = { .number = number,
		.role = role,
		.build_id = c->build,
		.commit_id = STORE_INT(c->row),
		.label = label,
		.twin = twin ? STORE_INT(twin) : (struct store_opt){ 0 } };
	int64_t id;
	check(store_arm(s, session, &a, &id, &err));
	return id;
}

enum { OPERATIONS = 8000000 };

static struct store_run timed_run(int64_t arm, double ns, struct store_sample out[4])
{
	out[0] = (struct store_sample){ .metric = "ops_per_cpu_s",
		.value = STORE_FIGURE(1e9 / ns),
		.source = "thread_cpu_clock",
		.quality = "measured" };
	out[1] = (struct store_sample){ .metric = "ops_per_s",
		.value = STORE_FIGURE(0.99e9 / ns),
		.source = "monotonic_clock",
		.quality = "measured" };
	out[2] = (struct store_sample){ .metric = "page_faults",
		.value = STORE_COUNT(100 + 20 * uniform()),
		.source = "perf_software",
		.quality = "measured" };
	out[3] = (struct store_sample){ .metric = "peak_rss_bytes",
		.value = STORE_COUNT(2000000 + 4096 * (int64_t)(8 * uniform())),
		.source = "proc",
		.quality = "measured" };
	return (struct store_run){ .arm_id = arm,
		.multiplier = 1,
		.outcome = "ok",
		.operations = STORE_INT(OPERATIONS),
		.checksum = "1",
		.link_seed = STORE_INT(1 + (int64_t)(1e9 * uniform())),
		.samples = out,
		.n_samples = 4 };
}

static void timed_round(struct store *s, int64_t session, int64_t case_id, int64_t number,
	const int64_t *arms, const double *ns, size_t n, int64_t aa)
{
	struct store_run *runs = x_calloc(n + 1, sizeof(*runs));
	struct store_sample(*samples)[4] = x_calloc(n + 1, sizeof(*samples));
	double drift = 1 + 0.03 * sin((double)number), noise = 0.006;
	for (size_t i = 0; i < n; i++)
		runs[i] = timed_run(arms[i], ns[i] * drift * exp(noise * normal()), samples[i]);
	if (aa)
		runs[n] = timed_run(aa, ns[0] * drift * exp(noise * normal()), samples[n]);
	struct store_round r = { .session_id = session,
		.case_id = case_id,
		.number = number,
		.kind = STORE_TIMED,
		.runs = runs,
		.n_runs = n + (aa != 0) };
	check(store_round(s, &r, NULL, NULL, &err));
	free(runs), free(samples);
}

static void exact_round(struct store *s, int64_t session, int64_t case_id, int64_t number,
	int64_t arm, double per_op)
{
	int64_t count = (int64_t)llround(per_op * OPERATIONS);
	struct store_sample samples[] = {
		{ .metric = "instructions_exact",
			.value = STORE_COUNT(count),
			.source = "callgrind",
			.quality = "exact" },
		{ .metric = "instructions_per_malloc",
			.value = STORE_FIGURE(per_op * 0.8),
			.source = "callgrind",
			.quality = "exact" },
		{ .metric = "instructions_per_free",
			.value = STORE_FIGURE(per_op * 1.2),
			.source = "callgrind",
			.quality = "exact" },
	};
	struct store_cost costs[] = {
		{ .object = "libhakmem.so",
			.function = "free",
			.file = "front_gate.c",
			.self_instructions = count / 2,
			.calls = STORE_INT(OPERATIONS / 2) },
		{ .object = "libhakmem.so",
			.function = "malloc",
			.file = "tiny.c",
			.self_instructions = count / 4,
			.calls = STORE_INT(OPERATIONS / 2) },
		{ .object = "libhakmem.so",
			.function = "tls_sll_push",
			.file = "<i>box</i>.c",
			.self_instructions = count / 4 },
	};
	struct store_run runs[2];
	for (int k = 0; k < 2; k++)
		runs[k] = (struct store_run){ .arm_id = arm,
			.multiplier = 1,
			.outcome = "ok",
			.operations = STORE_INT(OPERATIONS),
			.samples = samples,
			.n_samples = 3,
			.costs = costs,
			.n_costs = 3 };
	struct store_round r = { .session_id = session,
		.case_id = case_id,
		.number = number,
		.kind = STORE_EXACT,
		.runs = runs,
		.n_runs = 2 };
	check(store_round(s, &r, NULL, NULL, &err));
}

static int64_t make_case(struct store *s, size_t k)
{
	char workload[40], class_name[8];
	struct store_case c = { .size_class = class_name,
		.min_bytes = STORE_INT(16 << (k % 6)),
		.max_bytes = STORE_INT((32 << (k % 6)) - 1),
		.cycles = STORE_INT(4000000),
		.seed = STORE_INT(42),
		.batch = STORE_INT(32) };
	snprintf(workload, sizeof(workload), k < 8 ? "hot_path" : "mixed_ws%zu",
		(size_t)256 << (k - 8) / 8);
	snprintf(class_name, sizeof(class_name), "C%zu", k % 8);
	int64_t id;
	check(store_workload(s, workload, workload, "0123", &c.workload_id, &err));
	check(store_case(s, &c, &id, &err));
	return id;
}

static void verdicts(
	struct store *s, int64_t session, int64_t case_id, const int64_t *arms, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct verdict_question q = { .session_id = session,
			.case_id = case_id,
			.arm_a = arms[i - 1],
			.arm_b = arms[i],
			.metric = "ops_per_cpu_s",
			.delta = -1 };
		struct verdict_answer a;
		check(verdict_ask(s, &q, &a, &err));
		check(verdict_store(s, &q, &a, false, &err));
	}
}

static json_t *commit_json(const struct commit *c)
{
	/* Stored subjects are UTF-8: what is not is escaped on the way in, as the searching code
	 * does. */
	json_t *subject = json_string(c->subject),
	       *phase = c->has_phase ? json_string(c->phase) : json_null();
	return json_pack("{s:s, s:o, s:o, s:I}", "commit", c->id, "subject",
		subject ? subject : json_string("(not UTF-8)"), "phase",
		phase ? phase : json_string("(not UTF-8)"), "author_time_s",
		(json_int_t)1762252540);
}

/* A search by time that ends at the step into the sixth phase; its posterior doubles with every
 * measurement. */
static void make_bisect(struct store *s, int64_t machine, const struct commit *c, size_t n,
	int64_t case_id, bool exact)
{
	const char *metric = exact ? "instructions_exact" : "ops_per_cpu_s";
	int64_t session = make_session(s, machine, "bisect",
			exact ? "{\"by\":\"exact\"}" : "{\"by\":\"time\"}", metric),
		id;
	size_t culprit = 1;
	for (size_t i = 1; i < n; i++)
		if (exact ? fabs(c[i].instructions - c[i - 1].instructions) > 4
			  : fabs(c[i].ns - c[i - 1].ns) > 1) {
			culprit = i;
			break;
		}
	check(store_bisect_begin(s, session, c[0].row, c[n - 1].row, metric, &id, &err));
	int64_t arms[2] = { make_arm(s, session, 0, "reference", &c[0], 0, "good"),
		make_arm(s, session, 1, "subject", &c[culprit], 0, "culprit") };
	double ns[2] = { c[0].ns, c[culprit].ns };
	for (int64_t r = 0; r < 24 && !exact; r++)
		timed_round(s, session, case_id, r, arms, ns, 2, 0);
	size_t lo = 1, hi = n - 1, seq = 0;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (mid >= culprit)
			hi = mid;
		else
			lo = mid + 1;
		json_t *posterior = json_array();
		for (size_t i = lo; i <= hi; i++)
			json_array_append_new(posterior,
				json_pack("[s, f]", c[i].id, 1.0 / (double)(hi - lo + 1)));
		char *text = json_dumps(
			json_pack("{s:f, s:f, s:o}", "log_ratio", log(c[mid].ns / c[0].ns), "value",
				exact ? c[mid].instructions : c[mid].ns, "posterior", posterior),
			JSON_SORT_KEYS);
		check(store_bisect_step(
			s, id, (int64_t)seq++, "measure", STORE_INT(c[mid].row), text, &err));
		free(text);
	}
	double before = exact ? c[culprit - 1].instructions : 1e9 / c[culprit - 1].ns,
	       after = exact ? c[culprit].instructions : 1e9 / c[culprit].ns;
	json_t *proof = json_pack(
		"{s:f, s:f, s:f, s:s, s:s, s:s, s:i, s:f, s:f, s:s, s:s, s:s, s:f}", "value",
		after / before, "before", before, "after", after, "unit", "ratio", "metric", metric,
		"source", exact ? "callgrind" : "interleaved rounds", "rounds", 24, "lo",
		after / before * 0.994, "hi", after / before * 1.006, "verdict", "regression",
		"metric_unit", "1/s", "scope", "source", "aa_sd", 0.006);
	json_t *one = commit_json(&c[culprit]);
	json_object_update_new(one,
		json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:s, s:f, s:b, s:b, s:[o], s:[{s:o, "
			  "s:o, s:o}]}",
			"metric", metric, "unit", exact ? "instructions/op" : "1/s", "before",
			before, "after", after, "ratio", after / before, "lo",
			after / before * (exact ? 1 : 0.994), "hi",
			after / before * (exact ? 1 : 1.006), "direction", "regression",
			"posterior", 0.998, "named", 1, "proved", 1, "set",
			commit_json(&c[culprit]), "proofs", "parent", commit_json(&c[culprit - 1]),
			"instructions", exact ? proof : json_null(), "time",
			exact ? json_null() : json_incref(proof)));
	json_t *measured = json_array(), *broken = json_array();
	for (size_t i = 0; i < n && exact; i += n > 40 ? n / 20 : 2) {
		json_t *m = commit_json(&c[i]);
		json_object_set_new(m, "value", json_real(c[i].instructions));
		json_array_append_new(measured, m);
	}
	if (n > 12) {
		json_t *b = commit_json(&c[n / 3]);
		json_object_set_new(b, "outcome", json_string("failed"));
		json_object_set_new(
			b, "detail", json_string("error: <expected> ';' before '}' token"));
		json_array_append_new(broken, b);
	}
	json_t *result = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:i, s:i, s:{}, "
				   "s:[o], s:o, s:o, s:i, s:i, s:f, s:I, s:I}",
		"outcome", "culprit", "why", "", "metric", metric, "unit",
		exact ? "instructions/op" : "1/s", "case", "hot_path C0", "variant", "release",
		"good", commit_json(&c[0]), "bad", commit_json(&c[n - 1]), "commits", (int)n - 1,
		"commits_changing_subject", (int)n - 1, "ends", "culprits", one, "broken", broken,
		"measured", measured, "builds", 6, "measurements", (int)seq, "wall_s", 61.5,
		"session", (json_int_t)session, "bisect", (json_int_t)id);
	char *text = json_dumps(result, JSON_SORT_KEYS | JSON_COMPACT);
	check(store_bisect_state(s, id, "done", text, &err));
	check(store_session_end(s, session, 0, "done", NULL, NULL, 0, &err));
	free(text);
	json_decref(result);
}

/* Claims with what came of trying them, in a session of their own that has no rounds. */
static void make_claims(struct store *s, int64_t session, bool hostile)
{
	static const struct {
		const char *name, *text, *configuration, *outcome;
		double lo, hi, seen;
	} rows[] = {
		{ "phase7-128", "Phase 7 reaches 59 M ops/s",
			"{\"relative_to\":\"phase:E1\",\"relative_value\":9.2}", "not reproduced", 59,
			59, 9.8 },
		{ "checked-push", "The checked push costs 20 to 50 cycles",
			"{\"compare\":\"difference\",\"relative_to\":\"phase:7\"}", "reproduced", 20,
			50, 31 },
		{ "slow-path", "1 to 5 % of frees reach the classifier",
			"{\"entry\":\"free\",\"function\":\"classify\"}", "unclear", 1, 5, 4.8 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *evil = hostile_subjects[i];
		const struct store_claim c = { .name = rows[i].name,
			.text = hostile ? evil : rows[i].text,
			.revision = hostile ? evil : "phase:7",
			.configuration_json = rows[i].configuration,
			.unit = hostile ? evil : "M ops/s",
			.source = hostile ? evil : "a report",
			.claimed_on = "2025-11",
			.value_lo = STORE_REAL(rows[i].lo),
			.value_hi = STORE_REAL(rows[i].hi) };
		int64_t id, unused;
		check(store_claim(s, &c, &id, &err));
		for (int k = 0; k < 4; k++) {
			char *text = x_printf("{\"case\":\"mixed C%d\",\"metric\":\"ops_per_cpu_s\","
					      "\"own\":%s,\"variant\":\"release\"}",
				k, k ? "false" : "true");
			const struct store_claim_check try = { .claim_id = id,
				.session_id = STORE_INT(session),
				.rounds = STORE_INT(20),
				.result = rows[i].outcome,
				.configuration_json = k == 3 ? "{\"overall\":true,\"tried\":3}" : text,
				.value = STORE_REAL(rows[i].seen),
				.value_lo = STORE_REAL(rows[i].seen * 0.97),
				.value_hi = STORE_REAL(rows[i].seen * 1.03),
				.detail = hostile ? evil : "2 disturbed rounds left out" };
			check(store_claim_check(s, &try, &unused, &err));
			free(text);
		}
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "commits", required_argument, NULL, 'c' },
		{ "cases", required_argument, NULL, 'k' },
		{ "rounds", required_argument, NULL, 'r' }, { "hostile", no_argument, NULL, 'h' },
		{ 0 } };
	size_t n = 18, cases = 10;
	int64_t rounds = 24;
	bool hostile = false;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (o) {
		case 'c': n = strtoul(optarg, NULL, 10); break;
		case 'k': cases = strtoul(optarg, NULL, 10); break;
		case 'r': rounds = strtol(optarg, NULL, 10); break;
		case 'h': hostile = true; break;
		default: return 2;
		}
	if (optind + 1 != argc || n < 2 || !cases)
		return fprintf(stderr,
			       "usage: make-record FILE [--commits N] [--cases N] [--rounds N] "
			       "[--hostile]\n"),
		       2;
	struct store *s;
	check(store_open(argv[optind], STORE_CREATE, &s, &err));
	check(store_begin(s, &err));
	struct commit *c = x_calloc(n, sizeof(*c));
	int64_t machine, *arms = x_calloc(n, sizeof(*arms));
	double *ns = x_calloc(n, sizeof(*ns));
	static const struct store_fact facts[] = { { "cpu_model", "Synthetic 1" },
		{ "kernel", "6.1" } };
	make_commits(c, n, hostile);
	store_commits(s, c, n);
	check(store_machine(s, "synthetic", facts, 2, &machine, &err));
	char label[64];
	int64_t session = make_session(s, machine, "run", "{}", NULL);
	for (size_t i = 0; i < n; i++)
		arms[i] = make_arm(s, session, (int64_t)i, "subject", &c[i], 0,
			(snprintf(label, sizeof(label), "%.*s", c[i].has_phase ? 60 : 12,
				 c[i].has_phase ? c[i].phase : c[i].id),
				label));
	int64_t aa = make_arm(s, session, 100000, "aa", &c[0], arms[0], "again"), first = 0;
	for (size_t k = 0; k < cases; k++) {
		int64_t case_id = make_case(s, k);
		first = k ? first : case_id;
		for (size_t i = 0; i < n; i++)
			ns[i] = c[i].ns * (1 + 0.4 * (double)k);
		for (int64_t r = 0; r < rounds; r++)
			timed_round(s, session, case_id, r, arms, ns, n, r % 4 ? 0 : aa);
		for (size_t i = 0; i < n && k < 8; i++)
			exact_round(s, session, case_id, (int64_t)i, arms[i],
				c[i].instructions + (double)(k / 4));
		if (n <= 64)
			verdicts(s, session, case_id, arms, n);
	}
	check(store_session_end(s, session, 0, "done", NULL, NULL, 0, &err));
	make_claims(s, session, hostile);
	make_bisect(s, machine, c, n, first, true);
	make_bisect(s, machine, c, n, first, false);
	check(store_commit(s, &err));
	store_close(s);
	free(c), free(arms), free(ns);
	return 0;
}
