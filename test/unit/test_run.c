/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"
#include "harness/run.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The build folder, from this program's own place in it. */
static char build[PATH_MAX];
static char misbehave[PATH_MAX + 32];
static char folder[] = "/tmp/hakperf-run-XXXXXX";

static int set_up(void **state)
{
	(void)state;
	ssize_t n = readlink("/proc/self/exe", build, sizeof(build) - 1);
	for (int i = 0; i < 2 && n > 0; i++) {
		build[n] = 0;
		n = strrchr(build, '/') - build;
	}
	build[n] = 0;
	snprintf(misbehave, sizeof(misbehave), "%s/test/misbehave/misbehave", build);
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return fs_remove(folder, NULL);
}

static const char *in_build(const char *path)
{
	static char full[64][PATH_MAX + 64];
	static unsigned next;
	char *p = full[next++ % 64];
	snprintf(p, sizeof(full[0]), "%s/%s", build, path);
	return p;
}

static struct run_spec spec_of(const char *const argv[], const char *subject)
{
	return (struct run_spec){ .argv = argv, .subject = subject, .timeout_ns = 60000000000u, .record_required = true };
}

static void run_ok(const struct run_spec *spec, struct run_result *r)
{
	struct error e = { 0 };
	int rc = run_once(spec, r, &e);
	if (rc || r->outcome != RUN_OK)
		fail_msg("%s %s: %d %s, %s %s", spec->argv[0], spec->subject ? spec->subject : "", rc, e.text,
			 run_outcome_name(r->outcome), r->why);
}

static void parses_the_lines(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *text;
		bool throughput;
		double ops, s;
		bool checksum;
		uint64_t sum;
	} rows[] = {
		{ __LINE__, "Throughput = 6119404 operations per second, relative time: 0.016 s.\nChecksum = 0a\n", true, 6119404, 0.016, true, 10 },
		{ __LINE__, "Throughput =  6119404 operations per second, relative time: 0.016s.", true, 6119404, 0.016, false, 0 },
		{ __LINE__, "hello\nThroughput = x\nThroughput = 5 operations per second, relative time: 2 s.", true, 5, 2, false, 0 },
		{ __LINE__, "Throughput = 5 operations per minute, relative time: 2 s.", false, 0, 0, false, 0 },
		{ __LINE__, "Throughput = 5 operations per second, relative time: 2", false, 0, 0, false, 0 },
		{ __LINE__, "", false, 0, 0, false, 0 },
		{ __LINE__, "Checksum = ffffffffffffffff", false, 0, 0, true, UINT64_MAX },
		{ __LINE__, "Checksum = fffffffffffffffff\n", false, 0, 0, false, 0 },
		{ __LINE__, "my Checksum = 1\n", false, 0, 0, false, 0 },
		{ __LINE__, "Checksum = 1 or so\n", false, 0, 0, false, 0 },
		{ __LINE__, "Checksum = \n", false, 0, 0, false, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double ops = 0, s = 0;
		uint64_t sum = 0;
		bool t = run_parse_throughput(rows[i].text, &ops, &s), c = run_parse_checksum(rows[i].text, &sum);
		if (t != rows[i].throughput || ops != rows[i].ops || s != rows[i].s || c != rows[i].checksum || sum != rows[i].sum)
			fail_msg("row at line %d: %d %g %g, %d %llx", rows[i].line, t, ops, s, c, (unsigned long long)sum);
	}
}

static void tells_outcomes_apart(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *what;
		enum run_outcome outcome;
		const char *why; /* contained */
	} rows[] = {
		{ __LINE__, "ok", RUN_OK, "" },
		{ __LINE__, "quiet", RUN_OK, "" },
		{ __LINE__, "crash", RUN_CRASHED, "killed by SIGABRT" },
		{ __LINE__, "exit", RUN_FAILED, "exit code 3: it went wrong" },
		{ __LINE__, "hang", RUN_TIMED_OUT, "timed out after 0.5 s" },
		{ __LINE__, "forks", RUN_OK, "" },
		{ __LINE__, "no-end", RUN_NO_RECORD, "a region began and did not end" },
		{ __LINE__, "no-checksum", RUN_NO_CHECKSUM, "a throughput without a checksum" },
		{ __LINE__, "no-operations", RUN_GARBAGE, "a region without operations" },
		{ __LINE__, "exaggerate", RUN_GARBAGE, "the throughput line says" },
		{ __LINE__, "other-checksum", RUN_GARBAGE, "the checksum line says 0000000000000abd, the record 0000000000000abc" },
		{ __LINE__, "nonsense", RUN_GARBAGE, "the throughput line is impossible: -5 operations" },
		{ __LINE__, "impossible", RUN_GARBAGE, "a region longer than the process" },
		{ __LINE__, "many", RUN_GARBAGE, "more than 256 threads marked a region" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *const argv[] = { misbehave, rows[i].what, NULL };
		struct run_spec spec = spec_of(argv, NULL);
		struct run_result r = { 0 };
		struct error e = { 0 };
		if (rows[i].outcome == RUN_TIMED_OUT)
			spec.timeout_ns = 500000000;
		int rc = run_once(&spec, &r, &e);
		if (rc || r.outcome != rows[i].outcome || !strstr(r.why, rows[i].why) || (r.outcome == RUN_OK) != (r.why[0] == 0))
			fail_msg("row at line %d: %d %s, %s '%s'", rows[i].line, rc, e.text, run_outcome_name(r.outcome), r.why);
		run_release(&r);
		run_release(&r);
	}
	const char *const argv[] = { "/nowhere/workload", NULL };
	struct run_spec spec = spec_of(argv, NULL);
	struct run_result r = { 0 };
	assert_int_equal(run_once(&spec, &r, NULL), 0);
	assert_int_equal(r.outcome, RUN_NOT_STARTED);
	assert_non_null(strstr(r.why, "No such file"));
	run_release(&r);
}

static void proves_who_owns_malloc(void **state)
{
	(void)state;
	char text[sizeof(folder) + 16];
	snprintf(text, sizeof(text), "%s/text.so", folder);
	assert_int_equal(fs_write(text, "not ELF\n", 8, NULL), 0);
	const struct {
		int line;
		const char *subject;
		bool libc_allowed;
		enum run_outcome outcome;
		const char *why;
	} rows[] = {
		{ __LINE__, in_build("null/lib/libnull.so"), false, RUN_OK, "" },
		{ __LINE__, in_build("control/0/lib/libcontrol.so"), false, RUN_OK, "" },
		{ __LINE__, in_build("test/misbehave/partial.so"), false, RUN_NOT_INTERPOSING, "calloc resolves into " },
		{ __LINE__, in_build("test/misbehave/fallback.so"), false, RUN_FELL_BACK, "the C library's own malloc holds " },
		{ __LINE__, in_build("test/misbehave/fallback.so"), true, RUN_OK, "" },
		{ __LINE__, text, false, RUN_NOT_INTERPOSING, "LD_PRELOAD cannot be preloaded" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *const argv[] = { in_build("workload/hot_path"), "--pairs", "1000", NULL };
		struct run_spec spec = spec_of(argv, rows[i].subject);
		struct run_result r = { 0 };
		struct error e = { 0 };
		spec.libc_heap_allowed = rows[i].libc_allowed;
		int rc = run_once(&spec, &r, &e);
		if (rc || r.outcome != rows[i].outcome || !strstr(r.why, rows[i].why) ||
		    r.proved != (r.outcome == RUN_OK || r.outcome == RUN_FELL_BACK))
			fail_msg("row at line %d: %d %s, %s '%s', proved %d", rows[i].line, rc, e.text, run_outcome_name(r.outcome),
				 r.why, r.proved);
		run_release(&r);
	}
	/* Without a subject the C library is what is measured, and nothing is claimed to be proved. */
	const char *const argv[] = { in_build("workload/hot_path"), "--pairs", "1000", NULL };
	struct run_spec spec = spec_of(argv, NULL);
	struct run_result r = { 0 };
	run_ok(&spec, &r);
	assert_false(r.proved);
	assert_true(r.libc_heap_bytes > 0 && r.libc_heap_bytes != HAKPERF_UNKNOWN);
	run_release(&r);
}

static void a_file_under_another_name_is_the_same_file(void **state)
{
	(void)state;
	char name[sizeof(folder) + 16];
	snprintf(name, sizeof(name), "%s/other.so", folder);
	assert_int_equal(symlink(in_build("null/lib/libnull.so"), name), 0);
	const char *const argv[] = { misbehave, "ok", NULL };
	struct run_spec spec = spec_of(argv, name);
	struct run_result r = { 0 };
	run_ok(&spec, &r);
	assert_true(r.proved);
	run_release(&r);
}

/* Kind `library`: the program itself is the file that must own the functions. */
static void a_linked_allocator_is_proved_too(void **state)
{
	(void)state;
	const char *linked = in_build("test/misbehave/misbehave-linked");
	const char *const inside[] = { linked, "ok", NULL }, *const outside[] = { misbehave, "ok", NULL };
	struct run_spec spec = spec_of(inside, linked);
	struct run_result r = { 0 };
	spec.kind = RUN_LIBRARY;
	run_ok(&spec, &r);
	assert_true(r.proved);
	assert_true(r.libc_heap_bytes == 0);
	run_release(&r);
	spec = spec_of(outside, misbehave);
	spec.kind = RUN_LIBRARY;
	assert_int_equal(run_once(&spec, &r, NULL), 0);
	assert_int_equal(r.outcome, RUN_NOT_INTERPOSING);
	run_release(&r);
}

static void refuses_what_cannot_be_meant(void **state)
{
	(void)state;
	const char *const argv[] = { misbehave, NULL };
	const char *const preload[] = { "LD_PRELOAD=/x.so", NULL }, *const nameless[] = { "oops", NULL };
	char spaced[sizeof(folder) + 16];
	snprintf(spaced, sizeof(spaced), "%s/a b.so", folder);
	assert_int_equal(fs_write(spaced, "", 0, NULL), 0);
	const struct {
		int line;
		const char *subject;
		const char *const *env;
		int rc;
		const char *text;
	} rows[] = {
		{ __LINE__, "relative.so", NULL, -EINVAL, "subject relative.so: must be an absolute path" },
		{ __LINE__, "/nowhere/x.so", NULL, -ENOENT, "subject /nowhere/x.so: No such file or directory" },
		{ __LINE__, spaced, NULL, -EINVAL, "the loader takes no path with a space or a colon, move it" },
		{ __LINE__, NULL, preload, -EINVAL, "environment 'LD_PRELOAD=/x.so': LD_PRELOAD is set by the harness, leave it out" },
		{ __LINE__, NULL, nameless, -EINVAL, "environment 'oops': must be NAME=value" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct run_spec spec = spec_of(argv, rows[i].subject);
		struct run_result r = { 0 };
		struct error e = { 0 };
		spec.env = rows[i].env;
		int rc = run_once(&spec, &r, &e);
		if (rc != rows[i].rc || !strstr(e.text, rows[i].text))
			fail_msg("row at line %d: %d '%s'", rows[i].line, rc, e.text);
	}
}

/* The work, and so the checksum, is the subject's business in nothing. */
static void checksums_agree_over_subjects(void **state)
{
	(void)state;
	const char *const subjects[] = { NULL, in_build("null/lib/libnull.so"), in_build("control/8/lib/libcontrol.so") };
	static const struct {
		int line;
		const char *argv[8];
		uint64_t operations;
		size_t records;
	} rows[] = {
		{ __LINE__, { "workload/bench_random_mixed", "50000", "256", "42" }, 50000, 1 },
		{ __LINE__, { "workload/bench_random_mixed", "50000", "256", "42", "16", "64" }, 50000, 1 },
		{ __LINE__, { "workload/bench_random_mixed", "--cycles", "50000", "--cold" }, 50000, 1 },
		{ __LINE__, { "workload/bench_random_mixed", "--cycles", "50000", "--decorrelate" }, 50000, 1 },
		{ __LINE__, { "workload/hot_path", "20000" }, 40000, 1 },
		{ __LINE__, { "workload/hot_path", "20000", "--pattern", "random" }, 40000, 1 },
		{ __LINE__, { "workload/hot_path", "20000", "--cold" }, 40000, 1 },
		{ __LINE__, { "workload/larson", "--rounds", "30", "--chunks", "100" }, 6000, 1 },
		{ __LINE__, { "workload/larson", "--rounds", "30", "--chunks", "100", "--threads", "3" }, 18000, 3 },
		{ __LINE__, { "workload/larson", "--rounds", "30", "--chunks", "100", "--threads", "2", "--cold" }, 12200, 2 },
		{ __LINE__, { "workload/producer_consumer", "5000", "--pairs", "2", "--warmup", "100" }, 20000, 4 },
		{ __LINE__, { "workload/burst", "--megabytes", "1", "--phases", "5" }, 0, 1 },
		{ __LINE__, { "workload/large", "200", "--max", "300000" }, 200, 1 },
		{ __LINE__, { "workload/realloc_grow", "5000", "--buffers", "10" }, 5000, 1 },
	};
	uint64_t sums[sizeof(rows) / sizeof(rows[0])];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t first = 0;
		for (size_t k = 0; k < sizeof(subjects) / sizeof(subjects[0]); k++) {
			const char *argv[9] = { 0 };
			memcpy(argv, rows[i].argv, sizeof(rows[i].argv));
			argv[0] = in_build(argv[0]);
			struct run_spec spec = spec_of(argv, subjects[k]);
			struct run_result r = { 0 };
			run_ok(&spec, &r);
			if (!k)
				first = r.checksum;
			if (!r.has_checksum || r.checksum != first ||
			    (rows[i].operations && r.operations != rows[i].operations) || r.n_records != rows[i].records)
				fail_msg("row at line %d: subject %zu: checksum %llx, first %llx, %llu operations, %zu records", rows[i].line,
					 k, (unsigned long long)r.checksum, (unsigned long long)first, (unsigned long long)r.operations,
					 r.n_records);
			run_release(&r);
		}
		sums[i] = first;
		for (size_t j = 0; j < i; j++)
			assert_true(sums[j] != first);
	}
}

static void a_wrong_allocator_does_not_look_fast(void **state)
{
	(void)state;
	const char *const argv[] = { in_build("workload/hot_path"), "1000", NULL };
	struct run_spec spec = spec_of(argv, in_build("test/misbehave/overlap.so"));
	struct run_result r = { 0 };
	assert_int_equal(run_once(&spec, &r, NULL), 0);
	assert_int_equal(r.outcome, RUN_FAILED);
	assert_non_null(strstr(r.why, "the allocator under test let another block overwrite"));
	run_release(&r);
}

static void the_request_is_obeyed(void **state)
{
	(void)state;
	static const char *const programs[] = { "workload/bench_random_mixed", "workload/hot_path", "workload/larson",
						"workload/producer_consumer", "workload/realloc_grow", "workload/large" };
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		const char *const argv[] = { in_build(programs[i]), i == 5 ? "--max" : NULL, "70000", NULL };
		struct run_spec spec = spec_of(argv, NULL);
		struct run_result r = { 0 };
		spec.operations = 4000;
		run_ok(&spec, &r);
		assert_int_equal(r.operations, 4000);
		uint64_t sum = r.checksum;
		run_release(&r);

		spec.multiplier = 2;
		run_ok(&spec, &r);
		assert_int_equal(r.operations, 8000);
		run_release(&r);

		spec.multiplier = 0;
		spec.has_seed = true;
		spec.seed = 99;
		run_ok(&spec, &r);
		if (i != 1) /* hot_path touches the same bytes in any order */
			assert_true(r.checksum != sum);
		sum = r.checksum;
		run_release(&r);

		spec.has_warmup = true;
		spec.warmup = 100;
		run_ok(&spec, &r);
		assert_int_equal(r.operations, 4000);
		assert_true(r.checksum != sum);
		run_release(&r);
	}
}

static void startup_allocations_and_padding(void **state)
{
	(void)state;
	const char *const argv[] = { misbehave, "ok", NULL };
	struct run_spec spec = spec_of(argv, NULL);
	struct run_prepared p;
	struct child_result c = { 0 };
	struct run_result r = { 0 };
	spec.startup_allocations = 123;
	spec.startup_seed = 7;
	assert_int_equal(run_prepare(&spec, &p, NULL), 0);
	assert_int_equal(child_run(&p.child, &c, NULL), 0);
	assert_int_equal(p.area->process.startup_done, 123);
	assert_int_equal(run_finish(&p, &c, &r, NULL), 0);
	assert_int_equal(r.outcome, RUN_OK);
	child_release(&c);
	run_release(&r);
	run_prepared_release(&p);
	run_prepared_release(&p);
}

static void the_environment_is_built(void **state)
{
	(void)state;
	assert_int_equal(setenv("HAKPERF_TEST_LEAK", "1", 1), 0);
	const char *const argv[] = { "/usr/bin/env", NULL }, *const env[] = { "MALLOC_CONF=a:b", "LC_ALL=C.UTF-8", NULL };
	struct run_spec spec = spec_of(argv, NULL);
	struct run_result r = { 0 };
	char expected[300];
	spec.env = env;
	spec.env_padding = 5;
	spec.record_required = false;
	run_ok(&spec, &r);
	assert_true(r.whole_process);
	assert_true(r.wall_ns > 0);
	int fd = -1;
	const char *at = strstr(buf_str(&r.out), "HAKPERF_FD=");
	assert_non_null(at);
	assert_int_equal(sscanf(at, "HAKPERF_FD=%d", &fd), 1);
	snprintf(expected, sizeof(expected),
		 "LD_BIND_NOW=1\nHAKPERF_FD=%d\nMALLOC_CONF=a:b\nLC_ALL=C.UTF-8\nPATH=/usr/local/bin:/usr/bin:/bin\nTZ=UTC\nHAKPERF_PAD=xxxxx\n", fd);
	assert_string_equal(buf_str(&r.out), expected);
	run_release(&r);

	spec.record_required = true;
	assert_int_equal(run_once(&spec, &r, NULL), 0);
	assert_int_equal(r.outcome, RUN_NO_RECORD);
	run_release(&r);

	/* The subject is preloaded into the program and into nothing else. */
	spec = spec_of(argv, in_build("null/lib/libnull.so"));
	spec.record_required = false;
	run_ok(&spec, &r);
	assert_non_null(strstr(buf_str(&r.out), "libnull.so\n"));
	assert_false(r.proved);
	run_release(&r);
	spec.kind = RUN_EXEC;
	run_ok(&spec, &r);
	assert_null(strstr(buf_str(&r.out), "LD_PRELOAD"));
	run_release(&r);
}

static void warmup_is_not_in_the_region(void **state)
{
	(void)state;
	const char *const argv[] = { misbehave, "slow-warmup", NULL };
	struct run_spec spec = spec_of(argv, NULL);
	struct run_result r = { 0 };
	run_ok(&spec, &r);
	assert_true(r.process_user_ns + r.process_sys_ns > 50000000);
	assert_true(r.cpu_ns < 50000000);
	run_release(&r);
}

static void regions_of_a_track_add_up(void **state)
{
	(void)state;
	const char *const argv[] = { misbehave, "tracks", NULL };
	struct run_spec spec = spec_of(argv, NULL);
	struct run_result r = { 0 };
	run_ok(&spec, &r);
	assert_int_equal(r.n_records, 1);
	assert_int_equal(r.records[0].regions, 5);
	assert_int_equal(r.operations, 10000);
	assert_int_equal(r.checksum, 15);
	/* Four gaps of 2 ms of work lie between them. */
	assert_true(r.wall_ns + 8000000 <= r.records[0].end_ns - r.records[0].begin_ns);
	run_release(&r);
}

static struct run_event_spec event(uint32_t type, uint64_t config, uint32_t group)
{
	struct run_event_spec v = { .group = group };
	v.attr.size = sizeof(v.attr);
	v.attr.type = type;
	v.attr.config = config;
	v.attr.exclude_hv = 1;
	return v;
}

static void events_are_counted_in_the_region(void **state)
{
	(void)state;
	const char *const argv[] = { misbehave, "pages", NULL };
	const struct run_event_spec events[] = {
		event(0xfffe, 1, 0), /* no such kind of event: what does not open spoils nothing */
		event(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, 1),
		event(0xfffe, 1, 1),
		event(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, 1),
	};
	struct run_spec spec = spec_of(argv, NULL);
	struct run_result r = { 0 };
	spec.events = events;
	spec.n_events = 4;
	run_ok(&spec, &r);
	assert_int_equal(r.n_events, 4);
	if (r.event[1].open_errno == EACCES || r.event[1].open_errno == EPERM || r.event[1].open_errno == ENOSYS) {
		print_message("perf_event_open is not allowed here: %s\n", strerror(r.event[1].open_errno));
		run_release(&r);
		skip();
	}
	assert_false(r.event[0].counted);
	assert_int_equal(r.event[0].open_errno, ENOENT);
	assert_true(r.event[1].counted);
	assert_int_equal(r.event[1].value, 300);
	assert_int_equal(r.minor_faults, 300);
	assert_false(r.event[2].counted);
	assert_true(r.event[3].counted);
	assert_true(r.event[3].value > 0);
	run_release(&r);
}

/* Instructions of the region by callgrind's own total; 0 when valgrind is not there. */
static uint64_t callgrind_total(const char *const argv[], const char *subject)
{
	static const char tool[] = "/usr/libexec/valgrind/callgrind-amd64-linux";
	char out[sizeof(folder) + 16], option[sizeof(out) + 32];
	uint64_t total = 0;
	if (access(tool, X_OK) != 0)
		return 0;
	snprintf(out, sizeof(out), "%s/cg.out", folder);
	snprintf(option, sizeof(option), "--callgrind-out-file=%s", out);
	const char *const wrapper[] = { tool, "--tool=callgrind", "--collect-atstart=no", option, NULL };
	const char *const wrapper_env[] = { "VALGRIND_LAUNCHER=/usr/bin/valgrind", "VALGRIND_LIB=/usr/libexec/valgrind", NULL };
	struct run_spec spec = spec_of(argv, subject);
	struct run_result r = { 0 };
	struct buf text = { 0 };
	spec.wrapper = wrapper;
	spec.wrapper_env = wrapper_env;
	run_ok(&spec, &r);
	assert_true(r.valgrind);
	assert_int_equal(r.proved, subject != NULL);
	assert_true(r.core_cycles_est == 0);
	assert_int_equal(fs_read(out, 64 << 20, &text, NULL), 0);
	const char *at = strstr(buf_str(&text), "\ntotals: ");
	assert_non_null(at);
	total = strtoull(at + strlen("\ntotals: "), NULL, 10);
	buf_release(&text);
	run_release(&r);
	return total;
}

static void callgrind_sees_the_region_alone(void **state)
{
	(void)state;
	const char *const loop[] = { misbehave, "loop", NULL }, *const threads[] = { misbehave, "threads", NULL };
	uint64_t one = callgrind_total(loop, NULL);
	if (!one) {
		print_message("no callgrind-amd64-linux under /usr/libexec/valgrind\n");
		skip();
	}
	/* 200,000 and what lies between the requests and the loop. */
	assert_in_range(one, 200000, 200100);
	assert_int_equal(callgrind_total(loop, NULL), one);
	assert_in_range(callgrind_total(threads, NULL), 400000, 400200);
}

static void control_doses_are_exact(void **state)
{
	(void)state;
	const char *const argv[] = { in_build("workload/hot_path"), "3000", NULL };
	uint64_t none = callgrind_total(argv, in_build("control/0/lib/libcontrol.so"));
	if (!none) {
		print_message("no callgrind-amd64-linux under /usr/libexec/valgrind\n");
		skip();
	}
	assert_int_equal(callgrind_total(argv, in_build("control/1/lib/libcontrol.so")), none + 3000);
	assert_int_equal(callgrind_total(argv, in_build("control/64/lib/libcontrol.so")), none + 64 * 3000);
}

/* The public header in C++ and in two files of one program. */
static void threads_may_end_at_once(void **state)
{
	(void)state;
	const char *const argv[] = { in_build("test/misbehave/at_once"), NULL };
	struct run_spec spec = spec_of(argv, in_build("control/0/lib/libcontrol.so"));
	struct run_result r = { 0 };
	spec.record_required = false;
	run_ok(&spec, &r);
	run_release(&r);
}

static void header_works_in_cxx(void **state)
{
	(void)state;
	char a[64], b[64], program[64], include[PATH_MAX + 64];
	static const char main_text[] = "#include <hakperf/roi.h>\nvoid other(struct hakperf_roi *);\n"
					"int main() { struct hakperf_roi roi = HAKPERF_ROI_INIT; hakperf_roi_init(0);\n"
					"hakperf_roi_begin(&roi); other(&roi); return hakperf_roi_request() == nullptr; }\n";
	static const char other_text[] = "#include <vector>\n#include <hakperf/roi.h>\nvoid other(struct hakperf_roi *);\n"
					 "void other(struct hakperf_roi *r) { hakperf_roi_end(r, hakperf_roi_operations(5), 6); }\n";
	snprintf(a, sizeof(a), "%s/a.cc", folder);
	snprintf(b, sizeof(b), "%s/b.cc", folder);
	snprintf(program, sizeof(program), "%s/cxx", folder);
	snprintf(include, sizeof(include), "-I%s", "harness/workload");
	if (access("/usr/bin/g++", X_OK) != 0) {
		print_message("no g++ here\n");
		skip();
	}
	assert_int_equal(fs_write(a, main_text, strlen(main_text), NULL), 0);
	assert_int_equal(fs_write(b, other_text, strlen(other_text), NULL), 0);
	const char *const compile[] = { "/usr/bin/g++", "-std=c++17", "-Wall", "-Wextra", "-Wshadow", "-Werror", include, a, b, "-o", program, NULL };
	const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	struct child_spec child = { .argv = compile, .env = env, .cpu = -1, .pass_fd = -1, .timeout_ns = 60000000000u };
	struct child_result c = { 0 };
	assert_int_equal(child_run(&child, &c, NULL), 0);
	if (c.outcome != CHILD_EXITED || c.status)
		fail_msg("%s", buf_str(&c.err));
	child_release(&c);
	const char *const argv[] = { program, NULL };
	struct run_spec spec = spec_of(argv, in_build("null/lib/libnull.so"));
	struct run_result r = { 0 };
	spec.multiplier = 3;
	run_ok(&spec, &r);
	assert_true(r.proved);
	assert_int_equal(r.operations, 15);
	assert_int_equal(r.checksum, 6);
	run_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_the_lines),
		cmocka_unit_test(tells_outcomes_apart),
		cmocka_unit_test(proves_who_owns_malloc),
		cmocka_unit_test(a_file_under_another_name_is_the_same_file),
		cmocka_unit_test(a_linked_allocator_is_proved_too),
		cmocka_unit_test(refuses_what_cannot_be_meant),
		cmocka_unit_test(checksums_agree_over_subjects),
		cmocka_unit_test(a_wrong_allocator_does_not_look_fast),
		cmocka_unit_test(the_request_is_obeyed),
		cmocka_unit_test(startup_allocations_and_padding),
		cmocka_unit_test(the_environment_is_built),
		cmocka_unit_test(warmup_is_not_in_the_region),
		cmocka_unit_test(regions_of_a_track_add_up),
		cmocka_unit_test(events_are_counted_in_the_region),
		cmocka_unit_test(callgrind_sees_the_region_alone),
		cmocka_unit_test(control_doses_are_exact),
		cmocka_unit_test(threads_may_end_at_once),
		cmocka_unit_test(header_works_in_cxx),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
