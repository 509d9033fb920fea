/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH(a) (sizeof(a) / sizeof(*(a)))

static struct plan_run *round_of(const struct plan_spec *s, uint64_t k, size_t *n)
{
	struct plan_run *v = calloc(plan_runs_max(s), sizeof(*v));
	assert_non_null(v);
	*n = plan_round(s, k, v);
	assert_int_equal(*n, plan_runs(s, k));
	assert_true(*n <= plan_runs_max(s));
	return v;
}

static const struct row {
	int line;
	struct plan_spec spec;
	size_t runs_0, runs_1, runs_4;
} rows[] = {
	{ __LINE__, { .seed = 1, .arms = 1, .cases = 1 }, 1, 1, 1 },
	{ __LINE__, { .seed = 2, .arms = 2, .cases = 1, .control_every = 4 }, 5, 2, 5 },
	{ __LINE__,
	  { .seed = 3, .arms = 2, .cases = 3, .control_every = 4, .double_every = 1 },
	  21,
	  12,
	  21 },
	{ __LINE__,
	  { .seed = 4,
	    .arms = 5,
	    .cases = 2,
	    .control_every = 4,
	    .double_every = 2,
	    .no_positive_control = true },
	  22,
	  10,
	  22 },
	{ __LINE__,
	  { .seed = 5, .arms = 9, .cases = 7, .control_every = 3, .double_every = 5 },
	  147,
	  63,
	  63 },
};

/* Every round holds each arm once per case and length, controls where they belong, and nothing
 * else. */
static void rounds_are_complete(void **state)
{
	(void)state;
	for (const struct row *r = rows; r < rows + LENGTH(rows); r++) {
		const struct plan_spec *s = &r->spec;
		if (plan_runs(s, 0) != r->runs_0 || plan_runs(s, 1) != r->runs_1 ||
		    plan_runs(s, 4) != r->runs_4)
			fail_msg("row of line %d", r->line);
		for (uint64_t k = 0; k < 24; k++) {
			size_t n, seen[2][7][9] = { 0 }, role[4][7] = { 0 };
			struct plan_run *v = round_of(s, k, &n);
			bool control = s->control_every && k % s->control_every == 0;
			bool twice = s->double_every && k % s->double_every == 0;
			for (size_t i = 0; i < n; i++) {
				assert_int_equal(v[i].order, i);
				assert_int_equal(v[i].round, k);
				assert_in_range(v[i].multiplier, 1, 2);
				assert_in_range(v[i].case_index, 0, s->cases - 1);
				assert_in_range(v[i].arm, 0, s->arms - 1);
				assert_in_range(v[i].link_seed, 1, INT32_MAX);
				assert_in_range(v[i].padding_bytes, 0, PLAN_PADDING_MAX);
				assert_in_range(v[i].startup_allocs, 0, PLAN_STARTUP_MAX);
				role[v[i].role][v[i].case_index]++;
				if (v[i].role == PLAN_SUBJECT)
					seen[v[i].multiplier - 1][v[i].case_index][v[i].arm]++;
				else
					assert_int_equal(v[i].multiplier, 1);
				if (v[i].role == PLAN_AA)
					assert_int_equal(v[i].arm, k / s->control_every % s->arms);
			}
			for (size_t c = 0; c < s->cases; c++) {
				for (size_t a = 0; a < s->arms; a++) {
					assert_int_equal(seen[0][c][a], 1);
					assert_int_equal(seen[1][c][a], twice);
				}
				assert_int_equal(role[PLAN_AA][c], control);
				assert_int_equal(role[PLAN_CONTROL][c],
						 control && !s->no_positive_control);
				assert_int_equal(role[PLAN_CONTROL_BASE][c],
						 control && !s->no_positive_control);
			}
			free(v);
		}
	}
}

static void a_round_can_be_computed_alone(void **state)
{
	(void)state;
	struct plan_spec s = {
		.seed = 9, .arms = 4, .cases = 2, .control_every = 4, .double_every = 1
	};
	struct plan_run *first[40];
	size_t n, m;
	for (uint64_t k = 0; k < 40; k++)
		first[k] = round_of(&s, k, &n);
	for (uint64_t k = 40; k-- > 0;) {
		struct plan_run *again = round_of(&s, k, &m);
		assert_memory_equal(again, first[k], m * sizeof(*again));
		free(again);
	}
	/* Another seed is another plan; far rounds and extreme seeds work. */
	s.seed = 10;
	struct plan_run *other = round_of(&s, 0, &n);
	assert_memory_not_equal(other, first[0], n * sizeof(*other));
	free(other);
	s.seed = UINT64_MAX;
	free(round_of(&s, UINT64_MAX - 1, &n));
	for (uint64_t k = 0; k < 40; k++)
		free(first[k]);
}

/*
 * In each block of PLAN_BLOCK turns everything comes before every other thing half of the time:
 * arms in both lengths, cases, and the lengths themselves.
 */
static void order_is_balanced(void **state)
{
	(void)state;
	for (size_t arms = 2; arms <= 6; arms++) {
		struct plan_spec s = { .seed = 77, .arms = arms, .cases = 3, .double_every = 2 };
		for (uint64_t block = 0; block < 6; block += 2) {
			size_t before[2][3][6][6] = { 0 }, cases[3][3] = { 0 }, n_first = 0;
			size_t double_before[3][6][6] = { 0 };
			for (uint64_t k = block * PLAN_BLOCK; k < (block + 2) * PLAN_BLOCK; k++) {
				size_t n;
				struct plan_run *v = round_of(&s, k, &n);
				for (size_t i = 0; i < n; i++) {
					/* One case and one length stay together. */
					if (i % arms)
						assert_true(v[i].case_index ==
								    v[i - 1].case_index &&
							    v[i].multiplier == v[i - 1].multiplier);
					for (size_t j = 0; j < i; j++) {
						if (v[i].case_index != v[j].case_index) {
							cases[v[j].case_index][v[i].case_index] +=
								v[i].arm == 0 && v[j].arm == 0 &&
								v[i].multiplier == 1 &&
								v[j].multiplier == 1;
						} else if (v[i].multiplier != v[j].multiplier) {
							n_first += v[i].arm == 0 && v[j].arm == 0 &&
								   v[i].case_index == 0 &&
								   v[j].multiplier == 1;
						} else if (v[i].multiplier == 2) {
							double_before[v[i].case_index][v[j].arm]
								     [v[i].arm]++;
						} else {
							before[(k / PLAN_BLOCK) % 2]
							      [v[i].case_index][v[j].arm]
							      [v[i].arm]++;
						}
					}
				}
				free(v);
			}
			for (size_t a = 0; a < arms; a++) {
				for (size_t b = 0; b < arms; b++) {
					size_t half = a == b ? 0 : PLAN_BLOCK / 2;
					for (size_t c = 0; c < 3; c++) {
						assert_int_equal(before[0][c][a][b], half);
						assert_int_equal(before[1][c][a][b], half);
						assert_int_equal(double_before[c][a][b], half);
					}
				}
			}
			for (size_t c = 0; c < 3; c++) {
				for (size_t d = 0; d < 3; d++)
					assert_int_equal(cases[c][d], c == d ? 0 : PLAN_BLOCK);
			}
			assert_int_equal(n_first, PLAN_BLOCK / 2);
		}
	}
}

/*
 * Which of two arms goes first is as good as a coin: over 16,000 rounds no fixed pattern of period
 * 2, 3, 4 or 16 that interferes with a place gains anything, and rounds tell of each other only
 * what a balanced block must.
 */
static void order_is_drawn(void **state)
{
	(void)state;
	enum { ROUNDS = 16000 };
	static int sign[ROUNDS];
	struct plan_spec s = { .seed = 4, .arms = 2, .cases = 1 };
	for (uint64_t k = 0; k < ROUNDS; k++) {
		struct plan_run v[2];
		plan_round(&s, k, v);
		sign[k] = v[0].arm == 0 ? 1 : -1;
	}
	static const int periods[] = { 2, 3, 4, 16 };
	for (size_t p = 0; p < LENGTH(periods); p++) {
		for (int phase = 0; phase < periods[p]; phase++) {
			long sum = 0, n = 0;
			for (int k = phase; k < ROUNDS; k += periods[p], n++)
				sum += sign[k];
			assert_true(fabs((double)sum) < 4.5 * sqrt((double)n));
		}
	}
	for (int lag = 1; lag <= 4; lag++) {
		double products = 0;
		for (int k = 0; k + lag < ROUNDS; k++)
			products += sign[k] * sign[k + lag];
		double expected = -ROUNDS / (PLAN_BLOCK - 1.0) * (PLAN_BLOCK - lag) / PLAN_BLOCK;
		assert_true(fabs(products - expected) < 4.5 * 126);
	}
}

/* With more arms each round is an order of its own: all six of three arms, about equally often.
 * 6,000 rounds, sd 29. */
static void all_orders_occur(void **state)
{
	(void)state;
	struct plan_spec s = { .seed = 12, .arms = 3, .cases = 1 };
	int seen[27] = { 0 }, kinds = 0;
	for (uint64_t k = 0; k < 6000; k++) {
		struct plan_run v[3];
		plan_round(&s, k, v);
		seen[9 * v[0].arm + 3 * v[1].arm + v[2].arm]++;
	}
	for (int i = 0; i < 27; i++) {
		if (!seen[i])
			continue;
		kinds++;
		assert_in_range(seen[i], 1000 - 130, 1000 + 130);
	}
	assert_int_equal(kinds, 6);
}

static int by_number(const void *p, const void *q)
{
	uint32_t a = *(const uint32_t *)p, b = *(const uint32_t *)q;
	return a < b ? -1 : a > b;
}

/* Layout is fresh per arm and round, shared by the lengths and cases of one arm and round as the
 * header says. */
static void layout_is_drawn(void **state)
{
	(void)state;
	static const bool fixed[] = { false, true, false };
	struct plan_spec s = {
		.seed = 6, .arms = 3, .cases = 2, .control_every = 4, .double_every = 1
	};
	enum { ROUNDS = 1000 };
	static uint32_t links[ROUNDS * 6];
	size_t n_links = 0, n;
	double padding = 0, startup = 0;
	uint32_t most_padding = 0, most_startup = 0;
	for (uint64_t k = 0; k < ROUNDS; k++) {
		struct plan_run *v = round_of(&s, k, &n);
		for (size_t i = 0; i < n; i++) {
			bool fresh = v[i].case_index == 0 && v[i].multiplier == 1;
			if (fresh)
				links[n_links++] = v[i].link_seed;
			for (size_t j = 0; j < i; j++) {
				if (v[j].arm != v[i].arm || v[j].role != v[i].role)
					continue;
				assert_int_equal(v[j].link_seed, v[i].link_seed);
				if (v[j].case_index != v[i].case_index)
					continue;
				assert_int_equal(v[j].padding_bytes, v[i].padding_bytes);
				assert_int_equal(v[j].startup_allocs, v[i].startup_allocs);
			}
			padding += v[i].padding_bytes / (double)n;
			startup += v[i].startup_allocs / (double)n;
			if (v[i].padding_bytes > most_padding)
				most_padding = v[i].padding_bytes;
			if (v[i].startup_allocs > most_startup)
				most_startup = v[i].startup_allocs;
		}
		free(v);
	}
	assert_int_equal(n_links, ROUNDS * 3 + ROUNDS / 4 * 3);
	qsort(links, n_links, sizeof(*links), by_number);
	size_t equal = 0;
	for (size_t i = 1; i < n_links; i++)
		equal += links[i] == links[i - 1];
	assert_in_range(equal, 0, 1);
	/* Means of about 2,000 independent draws each at least: within four of their standard
	 * errors. */
	assert_true(fabs(padding / ROUNDS - 2048) < 110);
	assert_true(fabs(startup / ROUNDS - 63.5) < 3.4);
	assert_in_range(most_padding, 4085, PLAN_PADDING_MAX);
	assert_int_equal(most_startup, PLAN_STARTUP_MAX);

	s.fixed_layout = fixed;
	for (uint64_t k = 0; k < 24; k++) {
		struct plan_run *v = round_of(&s, k, &n);
		for (size_t i = 0; i < n; i++) {
			bool subject = v[i].role == PLAN_SUBJECT || v[i].role == PLAN_AA;
			assert_int_equal(v[i].link_seed == 0, subject && v[i].arm == 1);
		}
		free(v);
	}
}

/* The A/A run stands beside the run it pairs with, the control's two beside each other. */
static void pairs_stay_close(void **state)
{
	(void)state;
	struct plan_spec s = { .seed = 8, .arms = 6, .cases = 2, .control_every = 1 };
	int before = 0, base_first = 0;
	for (uint64_t k = 0; k < 400; k++) {
		size_t n;
		struct plan_run *v = round_of(&s, k, &n);
		for (size_t i = 0; i < n; i++) {
			if (v[i].role == PLAN_AA) {
				size_t left = i, right = i;
				while (left > 0 && (v[left].role != PLAN_SUBJECT))
					left--;
				while (right + 1 < n && v[right].role != PLAN_SUBJECT)
					right++;
				bool is_left =
					v[left].role == PLAN_SUBJECT && v[left].arm == v[i].arm;
				bool is_right =
					v[right].role == PLAN_SUBJECT && v[right].arm == v[i].arm;
				assert_true(is_left || is_right);
				before += is_right;
			}
			if (v[i].role == PLAN_CONTROL) {
				bool next = i + 1 < n && v[i + 1].role == PLAN_CONTROL_BASE;
				bool last = i > 0 && v[i - 1].role == PLAN_CONTROL_BASE;
				assert_true(next || last);
				base_first += last;
			}
		}
		free(v);
	}
	/* 800 draws each, sd 14. */
	assert_in_range(before, 330, 470);
	assert_in_range(base_first, 330, 470);
}

static void time_adds_up(void **state)
{
	(void)state;
	static const bool fixed[] = { false, true };
	double run_ns[] = { 1e6, 3e6 }, fixed_ns[] = { 0, 1e6 };
	struct plan_cost cost = { run_ns, fixed_ns, 1e4 };
	struct plan_spec s = { .seed = 1,
			       .arms = 2,
			       .cases = 2,
			       .control_every = 4,
			       .double_every = 2,
			       .fixed_layout = fixed };
	/* An ordinary round: two arms x 4 ms and a link; 2N adds two arms x 7 ms; controls three
	 * runs x 4 ms and links of their own. */
	assert_true(fabs(plan_time_ns(&s, &cost, 1, 1) - (8e6 + 1e4)) < 1);
	assert_true(fabs(plan_time_ns(&s, &cost, 2, 1) - (22e6 + 1e4)) < 1);
	assert_true(fabs(plan_time_ns(&s, &cost, 0, 1) - (34e6 + 4e4)) < 1);
	assert_true(fabs(plan_time_ns(&s, &cost, 4, 1) - (34e6 + 3e4)) < 1);
	assert_true(fabs(plan_time_ns(&s, &cost, 0, 8) - (4 * 8e6 + 2 * 22e6 + 2 * 34e6 + 13e4)) <
		    1);
	assert_true(plan_time_ns(&s, &cost, 5, 0) == 0);
	double total = plan_time_ns(&s, &cost, 3, 17);
	assert_int_equal(plan_rounds_within(&s, &cost, 3, total + 1), 17);
	assert_int_equal(plan_rounds_within(&s, &cost, 3, total - 1), 16);
	assert_int_equal(plan_rounds_within(&s, &cost, 0, 0), 0);
	cost.fixed_ns = NULL;
	assert_true(fabs(plan_time_ns(&s, &cost, 2, 1) - (24e6 + 1e4)) < 1);
}

static void roles_have_names(void **state)
{
	(void)state;
	assert_string_equal(plan_role_name(PLAN_SUBJECT), "subject");
	assert_string_equal(plan_role_name(PLAN_AA), "aa");
	assert_string_equal(plan_role_name(PLAN_CONTROL_BASE), "control-base");
	assert_string_equal(plan_role_name(PLAN_CONTROL), "control");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rounds_are_complete),
		cmocka_unit_test(a_round_can_be_computed_alone),
		cmocka_unit_test(order_is_balanced),
		cmocka_unit_test(order_is_drawn),
		cmocka_unit_test(all_orders_occur),
		cmocka_unit_test(layout_is_drawn),
		cmocka_unit_test(pairs_stay_close),
		cmocka_unit_test(time_adds_up),
		cmocka_unit_test(roles_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
