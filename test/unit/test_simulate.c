/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/simulate.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH(a) (sizeof(a) / sizeof(*(a)))

static struct simulate_result run(struct simulate_options o, size_t first, size_t n)
{
	struct simulate_result r = { 0 };
	struct error e = { 0 };
	if (simulate_run(&o, first, n, &r, &e))
		fail_msg("%s", e.text);
	return r;
}

/*
 * Cells of the bars, with few trials and bounds that a search which stalls, blames at random or
 * builds without need would miss by far. The figures themselves are bench-search's.
 */
static void cells_keep_their_bounds(void **state)
{
	(void)state;
	static const struct row {
		int line;
		struct simulate_options o; /* over the defaults: zeros are left as they are there */
		size_t trials, right, wrong, held; /* at least, at most, at least */
		double cost, builds;		   /* at most, on average */
	} rows[] = {
		{ __LINE__, { .snr = 2, .spread_known = true }, 60, 57, 3, 57, 145, 11 },
		{ __LINE__, { .snr = 2 }, 60, 56, 4, 56, 165, 11.5 },
		{ __LINE__,
		  { .snr = 1, .spread_known = true, .commits = 128 },
		  30,
		  27,
		  3,
		  27,
		  240,
		  10.5 },
		{ __LINE__,
		  { .snr = 1, .spread_known = true, .level_known = true, .commits = 128 },
		  30,
		  27,
		  3,
		  27,
		  205,
		  10.5 },
		{ __LINE__,
		  { .snr = 2, .spread_known = true, .outliers = 0.05 },
		  60,
		  55,
		  4,
		  55,
		  190,
		  12 },
		{ __LINE__,
		  { .snr = 2, .spread_known = true, .drift = 1 },
		  60,
		  55,
		  4,
		  55,
		  175,
		  12 },
		{ __LINE__,
		  { .snr = 2, .spread_known = true, .layout = 0.25 },
		  60,
		  55,
		  4,
		  55,
		  185,
		  12 },
		{ __LINE__,
		  { .snr = 2, .spread_known = true, .broken = 0.2 },
		  60,
		  30,
		  3,
		  56,
		  200,
		  14 },
		{ __LINE__,
		  { .snr = 2, .spread_known = true, .merges = true },
		  60,
		  56,
		  4,
		  56,
		  160,
		  12 },
		{ __LINE__,
		  { .snr = 2, .spread_known = true, .layout = 0.25, .layout_fixed = true },
		  60,
		  0,
		  3,
		  55,
		  600,
		  30 },
		{ __LINE__,
		  { .snr = 2, .spread_known = true, .steps = 2 },
		  60,
		  58,
		  2,
		  58,
		  360,
		  20 },
		{ __LINE__,
		  { .snr = 2, .spread_known = true, .steps = SIMULATE_NO_STEP },
		  60,
		  59,
		  1,
		  59,
		  300,
		  4 },
		{ __LINE__, { .exact = true }, 20, 20, 0, 20, 125, 11 },
	};
	for (const struct row *w = rows; w < rows + LENGTH(rows); w++) {
		struct simulate_options d = simulate_defaults(), o = w->o;
		o.commits = o.commits ? o.commits : d.commits;
		o.snr = o.snr > 0 ? o.snr : d.snr;
		o.steps = o.steps ? o.steps : d.steps;
		o.seed = 3, o.drift_rho = d.drift_rho, o.build_cost = d.build_cost;
		o.confidence = d.confidence, o.repeats = d.repeats;
		struct simulate_result r = run(o, 0, w->trials);
		double n = (double)r.trials;
		if (r.right < w->right || r.wrong > w->wrong || r.set_holds < w->held ||
		    r.cost / n > w->cost || r.builds / n > w->builds)
			fail_msg(
				"row of line %d: %zu right, %zu wrong, %zu hold, cost %.1f, %.2f builds",
				w->line, r.right, r.wrong, r.set_holds, r.cost / n, r.builds / n);
		simulate_result_release(&r);
	}
}

static void parts_add_up_to_the_whole(void **state)
{
	(void)state;
	struct simulate_options o = simulate_defaults();
	o.commits = 64;
	struct simulate_result whole = run(o, 0, 12), sum = run(o, 0, 5), rest = run(o, 5, 7);
	simulate_add(&sum, &rest);
	assert_int_equal(sum.trials, 12);
	assert_int_equal(sum.right, whole.right);
	assert_true(fabs(sum.cost - whole.cost) < 1e-6);
	assert_int_equal(sum.n_counts, whole.n_counts);
	assert_true(simulate_measurements_quantile(&sum, 0.95) ==
		    simulate_measurements_quantile(&whole, 0.95));
	assert_true(simulate_measurements_quantile(&whole, 0) <= whole.measurements / 12);
	o.seed = 2;
	struct simulate_result other = run(o, 0, 12);
	assert_true(other.measurements != whole.measurements);
	simulate_result_release(&whole), simulate_result_release(&sum);
	simulate_result_release(&rest), simulate_result_release(&other);
	assert_null(whole.counts);
}

/* The baseline: right by halving where nothing scatters, often wrong where it does. */
static void git_bisect_beside_it(void **state)
{
	(void)state;
	struct simulate_options o = simulate_defaults();
	o.answer = SIMULATE_BISECT;
	o.exact = true;
	struct simulate_result r = run(o, 0, 100);
	assert_int_equal(r.right, 100);
	assert_true(r.builds / 100 >= 9 && r.builds / 100 <= 11);
	simulate_result_release(&r);
	o.exact = false;
	o.snr = 1;
	o.repeats = 10;
	r = run(o, 0, 200);
	/* Half way between two ends that scatter too: fewer than half are right. */
	assert_true(r.right >= 60 && r.right <= 120);
	assert_true(r.measurements == 10 * r.builds);
	simulate_result_release(&r);
}

static void options_out_of_range_are_refused(void **state)
{
	(void)state;
	for (int k = 0; k < 8; k++) {
		struct simulate_options o = simulate_defaults();
		struct simulate_result r = { 0 };
		struct error e = { 0 };
		switch (k) {
		case 0: o.commits = 0; break;
		case 1: o.snr = -1; break;
		case 2: o.steps = 17; break;
		case 3: o.broken = 1; break;
		case 4: o.outliers = 0.6; break;
		case 5: o.drift_rho = 1; break;
		case 6: o.commits = 3, o.steps = 4; break;
		case 7: o.answer = SIMULATE_BISECT, o.merges = true; break;
		default: break;
		}
		if (simulate_run(&o, 0, 1, &r, &e) != -EINVAL || !e.text[0])
			fail_msg("option %d was taken", k);
	}
}

static void a_forecast_grows_with_the_noise(void **state)
{
	(void)state;
	struct error e = { 0 };
	struct simulate_plan easy, hard, none;
	assert_int_equal(simulate_plan(60, 0.01, 0.05, 0.99, 5, 0.2, 20, 1, &easy, &e), 0);
	assert_int_equal(simulate_plan(60, 0.04, 0.05, 0.99, 5, 0.2, 20, 1, &hard, &e), 0);
	assert_true(hard.measurements > 2 * easy.measurements);
	assert_true(easy.builds >= 6 && easy.builds <= 12 && easy.found >= 0.9);
	double seconds = easy.builds * 5 + easy.measurements * 0.2;
	assert_true(fabs(easy.minutes - seconds / 60) < 1e-9);
	assert_int_equal(simulate_plan(60, 0, 0.05, 0.99, 5, 0.2, 20, 1, &none, &e), -EINVAL);
	/* However small a change is in its noise: half of it takes four times the measurements, and builds are then cheap
	 * beside them. */
	assert_int_equal(simulate_plan(60, 0.5, 0.02, 0.99, 5, 0.2, 20, 1, &easy, &e), 0);
	assert_int_equal(simulate_plan(60, 0.5, 0.01, 0.99, 5, 0.2, 20, 1, &hard, &e), 0);
	assert_true(hard.measurements > 3 * easy.measurements && hard.measurements < 5 * easy.measurements);
	assert_true(easy.measurements > 10000 && easy.builds >= 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cells_keep_their_bounds),
		cmocka_unit_test(parts_add_up_to_the_whole),
		cmocka_unit_test(git_bisect_beside_it),
		cmocka_unit_test(options_out_of_range_are_refused),
		cmocka_unit_test(a_forecast_grows_with_the_noise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
