/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/range.h"
#include "bisect/search.h"

#include <jansson.h>

/*
 * A search as the record keeps it. Step "open" holds the question and what was known before:
 *
 *	{"options": {confidence, delta, exact, noise_sd, noise_dof, level_sd, fixed_layout, layout_sd,
 *build_cost, max_steps, staircase, first_parent}, "built": [id, …], "broken": [id, …], "pairs":
 *[[id, null | other id | number of a reference, log ratio], …]}
 *
 * and each later step tells it one thing: build, skip, measure {log_ratio}, beside {other,
 *log_ratios, asked: by the search, else by a proof}, same, refute {error_rate}. Others (ends,
 *metric, confirm, …) say nothing to the search.
 */

/* Close with search_close(). -EINVAL: not such a step, or not of this range. */
int bisect_search_open(const struct range *r, const json_t *open, struct search **s,
		       struct error *e);

/* Index of a step's commit (id as in the record, NULL for none), or r->n. */
size_t bisect_step_commit(const struct range *r, const char *id);

/* The commit that a step "beside" ran beside, or r->n. */
size_t bisect_step_other(const struct range *r, const json_t *payload);

/* What a step "measure" or "beside" showed: its log-ratio, or their median; 0 for other steps. */
double bisect_step_log_ratio(const json_t *payload);

/* One step. at: index in the range; r->n (a commit that is not of it) is ignored. */
void bisect_feed(struct search *s, const struct range *r, const char *action, size_t at,
		 const json_t *payload);
