/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/bisect_steps.h"

#include "base/buf.h"
#include "harness/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

static bool yes(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static int open_graph(const struct range *r, const struct search_options *so, bool first_parent,
		      struct search **s, struct error *e)
{
	uint32_t *start = x_calloc(r->n + 1, sizeof(*start)), *parent = NULL;
	double *weight = x_calloc(r->n, sizeof(*weight));
	size_t edges = 0, cap = 0;
	for (size_t i = 0; i < r->n; i++) {
		start[i] = (uint32_t)edges;
		for (size_t k = 0; k < r->commits[i].n_parents; k++) {
			x_grow(parent, edges, cap);
			parent[edges++] = (uint32_t)r->commits[i].parents[k];
		}
		/* A commit that leaves the subject alone cannot be the culprit. */
		weight[i] = r->commits[i].changes_subject || r->commits[i].n_outside ? 1 : 0;
	}
	start[r->n] = (uint32_t)edges;
	struct search_graph g = { .n = r->n,
				  .parent_start = start,
				  .parent = parent,
				  .weight = weight,
				  .good = 0,
				  .bad = (uint32_t)(r->n - 1),
				  .first_parent = first_parent };
	int rc = search_open(s, &g, so, e);
	free(start), free(parent), free(weight);
	return rc;
}

size_t bisect_step_commit(const struct range *r, const char *id)
{
	/* The record names a working tree by its tree. */
	if (id && !strncmp(id, "worktree:", 9))
		return r->commits[r->n - 1].info.worktree ? r->n - 1 : r->n;
	return id ? range_find(r, id) : r->n;
}

size_t bisect_step_other(const struct range *r, const json_t *payload)
{
	const char *id = json_string_value(json_object_get(payload, "other"));
	return id ? range_find(r, id) : r->n;
}

/* The log-ratios of a step "beside", n of them; to be freed. */
static double *log_ratios(const json_t *payload, size_t *n)
{
	const json_t *list = json_object_get(payload, "log_ratios");
	double *x = x_calloc(json_array_size(list) + 1, sizeof(*x));
	size_t k;
	json_t *v;
	*n = 0;
	json_array_foreach(list, k, v)
		if (isfinite(json_number_value(v)))
			x[(*n)++] = json_number_value(v);
	return x;
}

double bisect_step_log_ratio(const json_t *payload)
{
	size_t n;
	double *x = log_ratios(payload, &n), v = n ? stats_median(x, n) : number(payload, "log_ratio");
	free(x);
	return v;
}

static void set_builds(struct search *s, const struct range *r, const json_t *ids,
		       enum search_build state)
{
	size_t k;
	json_t *id;
	json_array_foreach(ids, k, id) {
		size_t i = json_is_string(id) ? range_find(r, json_string_value(id)) : r->n;
		if (i < r->n)
			search_set_build(s, (uint32_t)i, state);
	}
}

/* All of one commit against one other thing. */
static void observe_alike(struct search *s, const struct range *r, const json_t *id,
			  const json_t *other, const double *x, size_t n)
{
	size_t i = json_is_string(id) ? range_find(r, json_string_value(id)) : r->n,
	       j = json_is_string(other) ? range_find(r, json_string_value(other)) : r->n;
	json_int_t reference = json_integer_value(other);
	if (i == r->n)
		return;
	if (json_is_null(other))
		search_observe_rounds(s, (uint32_t)i, SEARCH_NONE, x, n);
	else if (reference >= 1 && reference <= SEARCH_REFERENCES)
		for (size_t k = 0; k < n; k++)
			search_observe_against(s, (uint32_t)i, (unsigned)reference, x[k]);
	else if (j < r->n && j != i)
		search_observe_rounds(s, (uint32_t)i, (uint32_t)j, x, n);
}

/* Those of one kind stand together, and are told at once. */
static void observe_pairs(struct search *s, const struct range *r, const json_t *pairs)
{
	double *x = x_calloc(json_array_size(pairs) + 1, sizeof(*x));
	size_t n = 0, k;
	json_t *p;
	json_array_foreach(pairs, k, p) {
		const json_t *next = json_array_get(pairs, k + 1);
		double v = json_number_value(json_array_get(p, 2));
		if (isfinite(v))
			x[n++] = v;
		if (next && json_equal(json_array_get(next, 0), json_array_get(p, 0)) &&
		    json_equal(json_array_get(next, 1), json_array_get(p, 1)))
			continue;
		observe_alike(s, r, json_array_get(p, 0), json_array_get(p, 1), x, n);
		n = 0;
	}
	free(x);
}

int bisect_search_open(const struct range *r, const json_t *open, struct search **s,
		       struct error *e)
{
	const json_t *o = json_object_get(open, "options");
	*s = NULL;
	if (!json_is_object(o))
		return error_set(
			e, -EINVAL,
			"the record's search has no options: it was not made by this hakperf");
	struct search_options so = search_defaults();
	so.confidence = number(o, "confidence");
	so.delta = number(o, "delta");
	so.exact = yes(o, "exact");
	so.noise_sd = number(o, "noise_sd");
	so.noise_dof = number(o, "noise_dof");
	so.level_sd = number(o, "level_sd");
	so.layout = yes(o, "fixed_layout") ? SEARCH_LAYOUT_FIXED : SEARCH_LAYOUT_REDRAWN;
	so.layout_sd = number(o, "layout_sd");
	so.build_cost = number(o, "build_cost");
	so.max_steps = (size_t)number(o, "max_steps");
	so.staircase = yes(o, "staircase");
	int rc = open_graph(r, &so, yes(o, "first_parent"), s, e);
	if (rc)
		return rc;
	set_builds(*s, r, json_object_get(open, "built"), SEARCH_BUILT);
	set_builds(*s, r, json_object_get(open, "broken"), SEARCH_BROKEN);
	observe_pairs(*s, r, json_object_get(open, "pairs"));
	return 0;
}

void bisect_feed(struct search *s, const struct range *r, const char *action, size_t at,
		 const json_t *payload)
{
	uint32_t i = (uint32_t)at;
	if (at >= r->n)
		return;
	if (!strcmp(action, "build")) {
		search_set_build(s, i, SEARCH_BUILT);
	} else if (!strcmp(action, "skip")) {
		search_set_build(s, i, SEARCH_BROKEN);
	} else if (!strcmp(action, "same")) {
		search_same(s, i);
	} else if (!strcmp(action, "refute")) {
		search_verdict(s, i, false, number(payload, "error_rate"));
	} else if (!strcmp(action, "measure")) {
		search_observe(s, i, number(payload, "log_ratio"));
	} else if (!strcmp(action, "beside")) {
		size_t other = bisect_step_other(r, payload), n;
		double *x = log_ratios(payload, &n);
		if (other < r->n && other != at)
			search_observe_rounds(s, i, (uint32_t)other, x, n);
		free(x);
	}
}
