/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/claim.h"

#include <assert.h>
#include <math.h>

enum claim_outcome claim_judge(
	double lo, double hi, double tolerance, double seen_lo, double seen_hi)
{
	assert(lo <= hi && tolerance >= 0);
	if (isnan(seen_lo) || isnan(seen_hi))
		return CLAIM_UNTRIED;
	assert(seen_lo <= seen_hi);
	lo -= fabs(lo) * tolerance;
	hi += fabs(hi) * tolerance;
	if (seen_lo >= lo && seen_hi <= hi)
		return CLAIM_MET;
	return seen_hi < lo || seen_lo > hi ? CLAIM_MISSED : CLAIM_OPEN;
}

enum claim_result claim_conclude(enum claim_outcome own, const enum claim_outcome *others, size_t n)
{
	size_t met = 0, missed = own == CLAIM_MISSED, elsewhere = 0;
	for (size_t i = 0; i < n; i++) {
		met += others[i] == CLAIM_MET;
		missed += others[i] == CLAIM_MISSED;
		elsewhere += others[i] == CLAIM_OPEN;
	}
	if (own == CLAIM_MET)
		return CLAIM_REPRODUCED;
	if (met)
		return CLAIM_ELSEWHERE;
	if (own == CLAIM_OPEN || (own == CLAIM_UNTRIED && elsewhere))
		return CLAIM_UNCLEAR;
	if (elsewhere)
		return CLAIM_NOT_HERE;
	return missed ? CLAIM_NOWHERE : CLAIM_NOT_TRIED;
}

const char *claim_outcome_name(enum claim_outcome o)
{
	static const char *const names[] = {
		[CLAIM_UNTRIED] = "not tried",
		[CLAIM_OPEN] = "unclear",
		[CLAIM_MET] = "reproduced",
		[CLAIM_MISSED] = "not reproduced",
	};
	return names[o];
}

const char *claim_result_name(enum claim_result r)
{
	static const char *const names[] = {
		[CLAIM_NOT_TRIED] = "not tried",
		[CLAIM_UNCLEAR] = "unclear",
		[CLAIM_REPRODUCED] = "reproduced",
		[CLAIM_ELSEWHERE] = "reproduced only elsewhere",
		[CLAIM_NOT_HERE] = "not reproduced, elsewhere unclear",
		[CLAIM_NOWHERE] = "not reproduced anywhere",
	};
	return names[r];
}
