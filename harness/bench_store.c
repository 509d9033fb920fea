/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "harness/store.h"
#include "harness/store_export.h"
#include "harness/store_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* 1,000 rounds × 50 arms × 2 multipliers × 10 metrics = 1,000,000 samples, as a long session would store them. */
enum { CASES = 20, ROUNDS = 50, ARMS = 50, MULTIPLIERS = 2, METRICS = 10, RUNS = ARMS * MULTIPLIERS };

static struct error e;

static void must(int rc)
{
	if (!rc)
		return;
	fprintf(stderr, "bench-store: %s\n", e.text);
	exit(3);
}

static double cpu_s(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + 1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

/* VmHWM since the last call. */
static double peak_mb(void)
{
	struct buf b = { 0 };
	double kb = 0;
	if (!fs_read("/proc/self/status", 1 << 16, &b, NULL)) {
		const char *at = strstr(buf_str(&b), "VmHWM:");
		kb = at ? strtod(at + 6, NULL) : 0;
	}
	buf_release(&b);
	FILE *f = fopen("/proc/self/clear_refs", "w");
	if (f) {
		fputs("5\n", f);
		fclose(f);
	}
	return kb / 1024;
}

static uint64_t began_ns;
static double began_cpu;

static void begin(void)
{
	began_ns = clock_mono_ns();
	began_cpu = cpu_s();
}

static void end(const char *what, uint64_t n)
{
	double wall = 1e-9 * (double)(clock_mono_ns() - began_ns), cpu = cpu_s() - began_cpu;
	printf("%-58s %9llu %8.3f s %8.3f s CPU %7.1f MB peak\n", what, (unsigned long long)n, wall, cpu, peak_mb());
	fflush(stdout);
}

static void fill(struct store *s, int64_t *session, int64_t *first_case)
{
	static const char *const names[METRICS] = { "wall_ns", "cpu_ns", "ops_per_s", "ops_per_cpu_s", "tsc_cycles", "core_cycles_est", "page_faults",
						    "context_switches", "peak_rss_bytes", "sys_ns" };
	int64_t machine, workload, cases[CASES], arms[ARMS], sitting;
	must(store_begin(s, &e));
	must(store_machine(s, "fp", NULL, 0, &machine, &e));
	must(store_workload(s, "bench_random_mixed", "bench_random_mixed", "hash", &workload, &e));
	must(store_session_begin(s, &(struct store_session){ .verb = "bench", .request_json = "{}", .machine_id = machine, .toolkit_version = "b" },
				 session, &e));
	must(store_sitting_begin(s, *session, STORE_INT(1), "b", NULL, 0, &sitting, &e));
	for (int i = 0; i < CASES; i++)
		must(store_case(s, &(struct store_case){ .workload_id = workload, .working_set = STORE_INT(i) }, &cases[i], &e));
	for (int i = 0; i < ARMS; i++) {
		char key[20], id[41];
		snprintf(key, sizeof(key), "key%d", i);
		snprintf(id, sizeof(id), "%040d", i);
		int64_t build, commit;
		must(store_commit_info(s, &(struct store_commit){ .full_id = id, .subject = "a subject of ordinary length, with a comma" }, &commit, &e));
		must(store_build(s, &(struct store_build){ .key = key, .kind = "preload", .outcome = "ok" }, &build, &e));
		struct store_arm arm = { .number = i, .role = i == 1 ? "aa" : "subject", .build_id = build, .commit_id = STORE_INT(commit), .label = key };
		if (i == 1)
			arm.twin = STORE_INT(arms[0]);
		must(store_arm(s, *session, &arm, &arms[i], &e));
	}
	must(store_commit(s, &e));
	*first_case = cases[0];
	static struct store_run runs[RUNS];
	static struct store_sample samples[RUNS][METRICS];
	uint64_t x = 88172645463325252u;
	for (int round = 0; round < ROUNDS * CASES; round++) {
		for (int i = 0; i < RUNS; i++) {
			for (int m = 0; m < METRICS; m++) {
				x ^= x << 13, x ^= x >> 7, x ^= x << 17;
				double v = 1e8 * (1 + 1e-2 * (double)(x >> 11) / (double)(1ull << 53));
				samples[i][m] = (struct store_sample){ names[m], m % 2 ? STORE_FIGURE(v) : STORE_COUNT(v), "monotonic_clock", "measured", { 0 }, { 0 } };
			}
			runs[i] = (struct store_run){ .arm_id = arms[i % ARMS], .multiplier = 1 + i / ARMS, .outcome = "ok", .operations = STORE_INT(1000000),
						      .checksum = "0123456789abcdef", .link_seed = STORE_INT(x >> 1), .padding_bytes = STORE_INT(x & 4095),
						      .samples = samples[i], .n_samples = METRICS };
		}
		must(store_round(s, &(struct store_round){ .session_id = *session, .case_id = cases[round % CASES], .number = round / CASES,
							   .runs = runs, .n_runs = RUNS }, NULL, NULL, &e));
	}
}

static uint64_t all_rows(struct store *s, const char *sql, int64_t session, int64_t case_id)
{
	struct store_rows *r = rows_open(s, sql);
	if (strstr(sql, ":session"))
		rows_bind_int(r, ":session", session);
	if (strstr(sql, ":case"))
		rows_bind_int(r, ":case", case_id);
	uint64_t n = 0;
	int rc;
	while ((rc = rows_next(r, &e)) > 0)
		n++;
	must(rc);
	rows_close(r);
	return n;
}

int main(int argc, char **argv)
{
	char *dir = x_printf("%s/hakperf-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (!mkdtemp(dir)) {
		perror(dir);
		return 3;
	}
	char *path = x_printf("%s/results.db", dir);
	struct store *s;
	int64_t session, case_id;
	uint64_t n;
	printf("%-58s %9s %10s\n", "", "rows", "wall");
	begin();
	must(store_open(path, STORE_CREATE, &s, &e));
	fill(s, &session, &case_id);
	end("write a million samples in 1,000 rounds, each on the disk", (uint64_t)RUNS * METRICS * ROUNDS * CASES);
	store_close(s);
	struct stat st;
	if (!stat(path, &st))
		printf("%-58s %9.1f bytes a sample\n", "size of the file", (double)st.st_size / 1e6);

	begin();
	must(store_open(path, STORE_READ, &s, &e));
	struct store_session_rows sessions;
	must(store_sessions(s, (struct store_opt){ 0 }, &sessions, &e));
	end("open, list sessions with their counts", sessions.n);
	store_free(sessions.pool);
	begin();
	struct store_points points;
	must(store_points(s, session, case_id, STORE_TIMED, "ops_per_cpu_s", &points, &e));
	end("one question: all points of a case and metric", points.n);
	store_free(points.pool);
	begin();
	struct store_noises noises;
	must(store_noise(s, 1, (struct store_opt){ 0 }, NULL, &noises, &e));
	end("A/A noise of every case and metric", noises.n);
	store_free(noises.pool);
	begin();
	n = all_rows(s, "SELECT arm_id, median, per_operation FROM arm_summary WHERE session_id = :session AND case_id = :case", session, case_id);
	end("medians of one case: every arm and metric", n);
	begin();
	struct store_medians medians;
	must(store_medians(s, STORE_INT(session), STORE_TIMED, "ops_per_cpu_s", &medians, &e));
	end("a report's table: medians of every case and arm, one metric", medians.n);
	store_free(medians.pool);
	begin();
	n = all_rows(s, "SELECT * FROM arm_summary", 0, 0);
	end("medians of everything", n);
	for (int format = STORE_CSV; format <= STORE_JSON; format++) {
		FILE *null = fopen("/dev/null", "w");
		begin();
		must(store_export(s, null, (enum store_format)format, NULL, &n, &e));
		end(format == STORE_CSV ? "export all as CSV" : "export all as JSON", n);
		fclose(null);
	}
	store_close(s);
	must(fs_remove(dir, &e));
	free(dir);
	free(path);
	return 0;
}
