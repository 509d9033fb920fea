/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/bisect_replay.h"

#include "bisect/bisect_steps.h"
#include "harness/store_read.h"

#include <errno.h>
#include <string.h>

static int range_of(struct subject *s, const struct store_bisect_row *b, bool first_parent,
		    struct range *range, struct error *e)
{
	const char *ends[2] = { b->good, b->bad };
	struct history_commit c[2] = { 0 };
	size_t n_paths;
	const char *const *paths = subject_paths(s, &n_paths);
	int rc = 0;
	for (int i = 0; !rc && i < 2; i++) {
		if (!strncmp(ends[i], "worktree:", 9))
			rc = error_set(
				e, -EINVAL,
				"bisect %lld had the working tree as an end, which has moved on since",
				(long long)b->id);
		else
			rc = history_resolve(s->history, ends[i], &c[i], e);
	}
	if (!rc)
		rc = range_between(s->history, &c[0], &c[1], first_parent, paths, n_paths, range,
				   e);
	history_commit_release(&c[0]), history_commit_release(&c[1]);
	return rc;
}

/* other: the commit that it ran beside, or r->n for the reference. */
static json_t *decision(struct search *search, const struct range *r,
			const struct store_step_row *s, size_t at, size_t other,
			const json_t *payload, bool *same)
{
	struct search_action a = search_next(search);
	const struct history_commit *c = &r->commits[at].info;
	bool measures = a.kind == SEARCH_MEASURE;
	uint32_t beside = other < r->n ? (uint32_t)other : SEARCH_NONE;
	json_t *asked = measures ? json_string(r->commits[a.commit].info.id) : json_null();
	bool agrees = measures && a.commit == at && a.beside == beside;
	*same &= agrees;
	return json_pack("{s:I, s:s, s:s, s:s, s:s?, s:o, s:b, s:o?}", "seq", (json_int_t)s->seq,
			 "commit", c->id, "short", c->short_id, "subject", c->subject, "beside",
			 other < r->n ? r->commits[other].info.short_id : NULL, "asked", asked,
			 "same", agrees, "log_ratio", json_real(bisect_step_log_ratio(payload)));
}

/* What the search asked for; a proof's rounds are not its own. */
static bool decided(const struct store_step_row *s, const json_t *payload)
{
	return !strcmp(s->action, "measure") ||
	       (!strcmp(s->action, "beside") && json_is_true(json_object_get(payload, "asked")));
}

static json_t *steps_json(struct search *search, const struct range *r)
{
	struct search_result result;
	json_t *list = json_array();
	search_get_result(search, &result);
	for (size_t i = 0; i < result.n_steps; i++)
		json_array_append_new(list, json_pack("{s:s, s:f, s:b, s:f}", "commit",
						      r->commits[result.steps[i].commit].info.id,
						      "posterior", result.steps[i].posterior,
						      "named", result.steps[i].named, "size",
						      result.steps[i].size));
	search_result_release(&result);
	return list;
}

static bool lists(const json_t *recorded, const json_t *id)
{
	size_t i;
	json_t *x;
	json_array_foreach(recorded, i, x)
		if (json_equal(x, id))
			return true;
	return false;
}

/* The culprits of the recorded answer; an unfinished bisect has none. */
static json_t *recorded_json(const struct store_bisect_row *b)
{
	json_t *answer = b->result_json ? json_loads(b->result_json, 0, NULL) : NULL,
	       *list = json_array(), *c;
	size_t i;
	json_array_foreach(json_object_get(answer, "culprits"), i, c)
		json_array_append(list, json_object_get(c, "commit"));
	json_array_foreach(json_object_get(answer, "cancelled"), i, c)
		json_array_append(list, json_object_get(c, "commit"));
	json_decref(answer);
	return list;
}

static int take_again(struct subject *s, const struct store_bisect_row *b,
		      const struct store_step_rows *steps, json_t **result, struct error *e)
{
	struct range range = { 0 };
	struct search *search = NULL;
	json_t *decisions = json_array();
	bool same = true;
	int rc = 0;
	for (size_t i = 0; !rc && i < steps->n; i++) {
		const struct store_step_row *step = &steps->items[i];
		json_t *payload = json_loads(step->payload_json, 0, NULL);
		if (!strcmp(step->action, "open") && !search) {
			rc = range_of(s, b,
				      json_is_true(json_object_get(
					      json_object_get(payload, "options"), "first_parent")),
				      &range, e);
			if (!rc)
				rc = bisect_search_open(&range, payload, &search, e);
		} else if (search) {
			size_t at = bisect_step_commit(&range, step->commit);
			if (at < range.n && decided(step, payload))
				json_array_append_new(
					decisions,
					decision(search, &range, step, at,
						 bisect_step_other(&range, payload), payload,
						 &same));
			bisect_feed(search, &range, step->action, at, payload);
		}
		json_decref(payload);
	}
	if (!rc && !search)
		rc = error_set(
			e, -EINVAL,
			"bisect %lld ended before its search: its ends did not differ, or it was killed",
			(long long)b->id);
	if (!rc) {
		json_t *recorded = recorded_json(b), *now = steps_json(search, &range), *x;
		size_t i;
		bool done = b->result_json != NULL;
		same &= !done || json_array_size(now) == json_array_size(recorded);
		json_array_foreach(now, i, x)
			same &= !done || lists(recorded, json_object_get(x, "commit"));
		*result = json_pack("{s:I, s:s?, s:O, s:b, s:o, s:o}", "bisect", (json_int_t)b->id,
				    "metric", b->metric, "decisions", decisions, "same", same,
				    "steps", now, "recorded", recorded);
	}
	json_decref(decisions);
	search_close(search);
	range_release(&range);
	return rc;
}

int bisect_replay(struct subject *s, struct store *store, int64_t id, json_t **result,
		  struct error *e)
{
	struct store_bisect_rows rows = { 0 };
	struct store_step_rows steps = { 0 };
	*result = NULL;
	int rc = store_bisects(store, (struct store_opt){ .known = true, .v = id }, &rows, e);
	if (!rc)
		rc = store_steps(store, id, &steps, e);
	if (!rc)
		rc = take_again(s, &rows.items[0], &steps, result, e);
	store_free(rows.pool);
	store_free(steps.pool);
	return rc;
}
