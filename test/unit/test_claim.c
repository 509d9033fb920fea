/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/claim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void an_interval_lies_in_beside_or_across(void **state)
{
	(void)state;
	static const struct {
		int line;
		double lo, hi, tolerance, seen_lo, seen_hi;
		enum claim_outcome is;
	} rows[] = {
		{ __LINE__, 59, 70, 0, 60, 69, CLAIM_MET },
		{ __LINE__, 59, 70, 0, 59, 70, CLAIM_MET },
		{ __LINE__, 59, 70, 0, 58.9, 69, CLAIM_OPEN },
		{ __LINE__, 59, 70, 0, 1, 100, CLAIM_OPEN },
		{ __LINE__, 59, 70, 0, 1.06, 1.08, CLAIM_MISSED },
		{ __LINE__, 59, 70, 0, 70.1, 80, CLAIM_MISSED },
		{ __LINE__, 0.65, 0.65, 0, 0.64, 0.66, CLAIM_OPEN },
		{ __LINE__, 0.65, 0.65, 0.05, 0.62, 0.68, CLAIM_MET },
		{ __LINE__, 0.65, 0.65, 0.05, 0.69, 0.71, CLAIM_MISSED },
		/* A difference may be below nothing: the tolerance widens it there too. */
		{ __LINE__, -10, -10, 0.1, -10.9, -9.1, CLAIM_MET },
		{ __LINE__, -10, 10, 0.1, -10.9, 10.9, CLAIM_MET },
		{ __LINE__, 5, 10, 0.1, -INFINITY, INFINITY, CLAIM_OPEN },
		{ __LINE__, 5, 10, 0.1, NAN, NAN, CLAIM_UNTRIED },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (claim_judge(rows[i].lo, rows[i].hi, rows[i].tolerance, rows[i].seen_lo,
			    rows[i].seen_hi) != rows[i].is)
			fail_msg("row at line %d", rows[i].line);
}

static void its_own_configuration_counts_first(void **state)
{
	(void)state;
#define U CLAIM_UNTRIED
#define O CLAIM_OPEN
#define Y CLAIM_MET
#define N CLAIM_MISSED
	static const struct {
		int line;
		enum claim_outcome own, others[3];
		size_t n;
		enum claim_result is;
	} rows[] = {
		{ __LINE__, U, { 0 }, 0, CLAIM_NOT_TRIED },
		{ __LINE__, Y, { N, N, N }, 3, CLAIM_REPRODUCED },
		{ __LINE__, N, { N, N, N }, 3, CLAIM_NOWHERE },
		{ __LINE__, N, { N, Y, U }, 3, CLAIM_ELSEWHERE },
		{ __LINE__, N, { O, U, U }, 3, CLAIM_NOT_HERE },
		{ __LINE__, O, { N, N, N }, 3, CLAIM_UNCLEAR },
		{ __LINE__, O, { N, Y, N }, 3, CLAIM_ELSEWHERE },
		/* It names no configuration of its own. */
		{ __LINE__, U, { N, N, N }, 3, CLAIM_NOWHERE },
		{ __LINE__, U, { N, O, N }, 3, CLAIM_UNCLEAR },
		{ __LINE__, U, { N, O, Y }, 3, CLAIM_ELSEWHERE },
		{ __LINE__, U, { U, U, U }, 3, CLAIM_NOT_TRIED },
	};
#undef U
#undef O
#undef Y
#undef N
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (claim_conclude(rows[i].own, rows[i].others, rows[i].n) != rows[i].is)
			fail_msg("row at line %d: %s", rows[i].line,
				claim_result_name(
					claim_conclude(rows[i].own, rows[i].others, rows[i].n)));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_interval_lies_in_beside_or_across),
		cmocka_unit_test(its_own_configuration_counts_first),
	};
	return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
