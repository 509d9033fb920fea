/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/account.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

/* More culprits than these are named by the bisect alone: each costs two counts. */
#define CULPRITS_MAX 3

static void release_borrowed(struct accounting *x)
{
	/* The case belongs to the bisect. */
	x->m.n_cases = 0;
	accounting_release(x);
}

static int account_for(struct project *p, const struct bench_case *c, const char *variant,
		       const char *id, FILE *to, json_t *list, struct error *e)
{
	struct accounting x = { 0 };
	struct history_commit culprit = { 0 }, parent = { 0 };
	measure_init(&x.m, p, variant);
	int rc = history_lookup(p->subject.history, id, &culprit, e);
	if (!rc && !culprit.n_parents) {
		history_commit_release(&culprit);
		return 0;
	}
	if (!rc)
		rc = history_lookup(p->subject.history, culprit.parents[0], &parent, e);
	if (!rc)
		rc = measure_revision(&x.m, &parent, NULL, e);
	if (!rc)
		rc = measure_revision(&x.m, &culprit, NULL, e);
	history_commit_release(&parent), history_commit_release(&culprit);
	x.m.cases = x_calloc(1, sizeof(*x.m.cases));
	x.m.cases[0] = (struct measure_case){ .c = *c, .exact = true };
	x.m.n_cases = 1;
	if (!rc)
		rc = accounting_count(&x, e);
	if (!rc && list)
		json_array_append_new(list, accounting_change_json(&x, 0));
	if (!rc && to) {
		fprintf(to, "\nwhat %s changed (hakperf account tells more):\n",
			x.m.arms[1].commit.short_id);
		show_account_diff(&x, 0, to);
	}
	for (size_t i = 0; x.counts && i < 2; i++)
		account_count_release(&x.counts[i]);
	release_borrowed(&x);
	return rc;
}

/* Beside the bisect's answer, so that its page can tell it. */
static int keep_result(struct store *s, const json_t *result, struct error *e)
{
	json_int_t id = json_integer_value(json_object_get(result, "bisect"));
	char *text = json_dumps(result,
				JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(12));
	int rc = id ? store_bisect_state(s, id, "done", text, e) : 0;
	free(text);
	return rc;
}

int account_culprits(struct project *p, const struct bench_case *c, const char *variant,
		     json_t *result, FILE *to, struct error *e)
{
	size_t i;
	json_t *culprit, *list;
	int rc = 0;
	if (!c->exact)
		return 0;
	list = json_array();
	json_array_foreach(json_object_get(result, "culprits"), i, culprit)
	{
		const char *id = json_string_value(json_object_get(culprit, "commit"));
		if (!rc && id && i < CULPRITS_MAX)
			rc = account_for(p, c, variant, id, to, list, e);
	}
	json_object_set_new(result, "accounts", list);
	return rc ? rc : keep_result(p->store, result, e);
}
