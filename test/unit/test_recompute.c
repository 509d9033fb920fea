/* SPDX-License-Identifier: Apache-2.0 */
/* Every digit of a comparison, recomputed from the same rows by test/recompute/recompute.py. */
#include "base/buf.h"
#include "base/fs.h"
#include "harness/child.h"
#include "harness/stats.h"

#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GROUPS 60
#define ROUNDS 150

static char folder[] = "/tmp/hakperf-recompute-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/rounds.csv", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return fs_remove(folder, NULL);
}

/* What the C code knows of one group. */
struct group {
	double a[ROUNDS], b[ROUNDS];
	size_t n;
};

static void add_row(struct buf *csv, int g, size_t round, int arm, double v, const char *kind,
		    int multiplier, const char *outcome, int disturbed)
{
	buf_printf(csv, "%d,%zu,%d,%.17g,%s,%d,%s,%d\n", g, round, arm, v, kind, multiplier,
		   outcome, disturbed);
}

/* Rounds of one group: spreads, ties, shifts and lengths of all sorts, and rows that must not
 * count. */
static void draw_group(gsl_rng *rng, int g, struct group *out, struct buf *csv)
{
	static const double sds[] = { 0, 0.002, 0.01, 0.05 };
	double sd = sds[gsl_rng_uniform_int(rng, 4)], level = exp(20 * gsl_rng_uniform(rng) - 10);
	double shift = 0.03 * gsl_ran_gaussian(rng, 1) * (double)gsl_rng_uniform_int(rng, 2);
	size_t rounds = g ? gsl_rng_uniform_int(rng, ROUNDS + 1) : 0;
	bool ties = gsl_rng_uniform_int(rng, 3) == 0;
	out->n = 0;
	for (size_t r = 0; r < rounds; r++) {
		double v[2] = { exp(sd * gsl_ran_tdist(rng, 3)),
				exp(shift + sd * gsl_ran_tdist(rng, 3)) };
		for (int i = 0; i < 2; i++)
			v[i] = level * (ties ? round(v[i] * 500) / 500 : v[i]);
		unsigned odd = (unsigned)gsl_rng_uniform_int(rng, 12);
		int first = (int)gsl_rng_uniform_int(rng, 2);
		for (int i = 0; i < 2; i++) {
			int arm = i ^ first;
			if (odd == 0 && arm)
				continue;
			add_row(csv, g, r, arm, odd == 1 && arm ? -1 : v[arm], "timed", 1,
				odd == 2 && !arm ? "crashed" : "ok", odd == 3);
			add_row(csv, g, r, arm, 2.1 * v[arm], "timed", 2, "ok", 0);
		}
		add_row(csv, g, r, 2, v[0], "timed", 1, "ok", 0);
		add_row(csv, g, r, 0, v[0] * 7, "exact", 1, "ok", 0);
		if (odd > 3) {
			out->a[out->n] = v[0];
			out->b[out->n++] = v[1];
		}
	}
	/* A group without a row would not appear at all. */
	add_row(csv, g, ROUNDS, 2, 1, "timed", 1, "ok", 0);
}

static void same_digits(const char *what, int g, const char *text, double want)
{
	double got = strtod(text, NULL);
	if (got != want && !(isnan(got) && isnan(want)))
		fail_msg("group %d: %s is %s there and %.17g here", g, what, text, want);
}

static void digits_agree(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *better, *delta, *confidence;
		bool exact;
	} rows[] = {
		{ __LINE__, "lower", "0.01", "0.995", false },
		{ __LINE__, "higher", "0.003", "0.95", false },
		{ __LINE__, "lower", "0", "0.99", true },
	};
	static struct group groups[GROUPS];
	gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
	gsl_rng_set(rng, 2025);
	int seen[5] = { 0 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf csv = { 0 };
		struct error e = { 0 };
		buf_puts(&csv, "series,round,arm,value,kind,multiplier,outcome,disturbed\n");
		for (int g = 0; g < GROUPS; g++)
			draw_group(rng, g, &groups[g], &csv);
		assert_int_equal(fs_write(path, csv.data, csv.len, &e), 0);
		buf_release(&csv);

		const char *argv[] = { "python3",
				       "test/recompute/recompute.py",
				       path,
				       "--by",
				       "series",
				       "--better",
				       rows[i].better,
				       "--delta",
				       rows[i].delta,
				       "--confidence",
				       rows[i].confidence,
				       rows[i].exact ? "--exact" : NULL,
				       NULL };
		const char *env[] = { "PATH=/usr/bin:/bin", NULL };
		struct child_spec spec = { .argv = argv,
					   .env = env,
					   .cpu = -1,
					   .pass_fd = -1,
					   .timeout_ns = 60000000000u };
		struct child_result r = { 0 };
		assert_int_equal(child_run(&spec, &r, &e), 0);
		if (r.outcome == CHILD_NOT_STARTED) {
			print_message("skip: python3 is not installed\n");
			child_release(&r);
			gsl_rng_free(rng);
			skip();
		}
		if (r.outcome != CHILD_EXITED || r.status)
			fail_msg("recompute.py: %s", buf_str(&r.err));

		char *next = r.out.data, *line;
		for (int g = 0; g < GROUPS; g++) {
			struct group *k = &groups[g];
			double x[ROUNDS];
			struct stats_question q = {
				.confidence = strtod(rows[i].confidence, NULL),
				.delta = strtod(rows[i].delta, NULL),
				.better = rows[i].better[0] == 'h' ? STATS_HIGHER : STATS_LOWER,
				.exact = rows[i].exact,
			};
			struct stats_answer a =
				stats_compare(x, stats_pairs(k->a, k->b, k->n, x), &q);
			line = strsep(&next, "\n");
			assert_non_null(line);
			assert_int_equal(atoi(strsep(&line, "\t")), g);
			assert_int_equal(atoi(strsep(&line, "\t")), a.log.n);
			same_digits("the ratio", g, strsep(&line, "\t"), a.ratio);
			same_digits("the lower bound", g, strsep(&line, "\t"), a.lo);
			same_digits("the upper bound", g, strsep(&line, "\t"), a.hi);
			if (strcmp(line, stats_verdict_name(a.verdict)) != 0)
				fail_msg("row of line %d, group %d: '%s' there, '%s' here",
					 rows[i].line, g, line, stats_verdict_name(a.verdict));
			seen[a.verdict]++;
		}
		assert_string_equal(next, "");
		child_release(&r);
	}
	assert_true(seen[STATS_REGRESSION] > 5 && seen[STATS_IMPROVEMENT] > 5);
	assert_true(seen[STATS_NO_CHANGE] > 5 && seen[STATS_UNCLEAR] > 5);
	gsl_rng_free(rng);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(digits_agree) };
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
