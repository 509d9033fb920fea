/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/claim.h"

#include "base/buf.h"
#include "cli/cli.h"
#include "harness/store_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the columns of a claim have no place for, and its configuration. */
static const struct {
	const char *name;
	size_t offset;
} words[] = {
	{ "workload", offsetof(struct config_claim, workload) },
	{ "class", offsetof(struct config_claim, class_name) },
	{ "variant", offsetof(struct config_claim, variant) },
	{ "relative_to", offsetof(struct config_claim, relative_to) },
	{ "function", offsetof(struct config_claim, function) },
	{ "entry", offsetof(struct config_claim, entry) },
};
#define WORDS (sizeof(words) / sizeof(words[0]))

static char **word_of(struct config_claim *k, size_t i)
{
	return (char **)((char *)k + words[i].offset);
}

static char *configuration_of(const struct config_claim *k)
{
	json_t *o = json_object();
	for (size_t i = 0; i < WORDS; i++) {
		const char *v = *(char *const *)((const char *)k + words[i].offset);
		if (v)
			json_object_set_new(o, words[i].name, cli_json_string(v));
	}
	if (k->params) {
		json_t *list = json_array();
		for (char **p = k->params; *p; p++)
			json_array_append_new(list, cli_json_string(*p));
		json_object_set_new(o, "params", list);
	}
	if (!isnan(k->relative_value))
		json_object_set_new(o, "relative_value", json_real(k->relative_value));
	if (k->difference)
		json_object_set_new(o, "compare", json_string("difference"));
	if (k->operations != 1)
		json_object_set_new(o, "operations", json_real(k->operations));
	if (k->tolerance != CONFIG_CLAIM_TOLERANCE)
		json_object_set_new(o, "tolerance", json_real(k->tolerance));
	char *text = json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT);
	json_decref(o);
	return text;
}

int claim_enter(struct project *p, const struct config_claim *k, int64_t *id, struct error *e)
{
	int rc = config_claim_check(&p->config, k, e);
	if (rc)
		return rc;
	char *configuration = configuration_of(k);
	struct store_claim row = {
		.name = k->name,
		.text = k->text,
		.revision = k->commit,
		.configuration_json = configuration,
		.metric = k->metric,
		.unit = k->unit,
		.source = k->source,
		.claimed_on = k->date,
		.value_lo = STORE_REAL(k->lo),
		.value_hi = STORE_REAL(k->hi),
	};
	struct history_commit c = { 0 };
	struct error quiet = { 0 };
	if (p->has_subject && !history_resolve(p->subject.history, k->commit, &c, &quiet)) {
		const struct store_commit info = { .full_id = c.id,
			.subject = c.subject,
			.phase = c.phase,
			.subject_escaped = c.subject_escaped,
			.author_time_s = STORE_INT(c.author_time_s) };
		int64_t commit;
		if (!c.worktree && !store_commit_info(p->store, &info, &commit, &quiet))
			row.commit_id = STORE_INT(commit);
	}
	history_commit_release(&c);
	rc = store_claim(p->store, &row, id, e);
	if (rc == -EEXIST) {
		error_clear(e);
		rc = error_set(e, rc,
			"the record has a claim '%s' that says something else: a changed claim "
			"is another one, give it another name",
			k->name);
	}
	free(configuration);
	return rc;
}

static char *copy(const char *s)
{
	return s ? x_strdup(s) : NULL;
}

static void read_row(const struct store_rows *r, struct config_claim *k)
{
	config_claim_defaults(k);
	k->name = copy(rows_text(r, 1)), k->text = copy(rows_text(r, 2)),
	k->commit = copy(rows_text(r, 3));
	k->metric = copy(rows_text(r, 5)), k->unit = copy(rows_text(r, 8)),
	k->source = copy(rows_text(r, 9)), k->date = copy(rows_text(r, 10));
	k->lo = rows_null(r, 6) ? NAN : rows_real(r, 6),
	k->hi = rows_null(r, 7) ? NAN : rows_real(r, 7);
	json_t *o = json_loads(rows_text(r, 4), 0, NULL);
	for (size_t i = 0; i < WORDS; i++)
		*word_of(k, i) = copy(json_string_value(json_object_get(o, words[i].name)));
	if (json_object_get(o, "relative_value"))
		k->relative_value = json_number_value(json_object_get(o, "relative_value"));
	if (json_object_get(o, "operations"))
		k->operations = json_number_value(json_object_get(o, "operations"));
	if (json_object_get(o, "tolerance"))
		k->tolerance = json_number_value(json_object_get(o, "tolerance"));
	k->difference = json_object_get(o, "compare") != NULL;
	const json_t *list = json_object_get(o, "params");
	if (list) {
		k->params = x_calloc(json_array_size(list) + 1, sizeof(*k->params));
		for (size_t i = 0; i < json_array_size(list); i++)
			k->params[i] = copy(json_string_value(json_array_get(list, i)));
	}
	json_decref(o);
}

int claims_load(struct project *p, struct claims *out, struct error *e)
{
	*out = (struct claims){ 0 };
	int rc = store_begin(p->store, e);
	for (size_t i = 0; !rc && i < p->config.n_claims; i++) {
		int64_t unused;
		rc = claim_enter(p, &p->config.claims[i], &unused, e);
	}
	if (rc) {
		store_rollback(p->store);
		return rc;
	}
	rc = store_commit(p->store, e);
	struct store_rows *r = rows_open(p->store,
		"SELECT id, name, text, revision, configuration_json, metric, value_lo, "
		"value_hi, unit, source,"
		" claimed_on FROM claim ORDER BY id");
	for (int more = 1; !rc && (more = rows_next(r, e)) != 0;) {
		if (more < 0) {
			rc = more;
			break;
		}
		x_grow(out->items, out->n, out->cap);
		out->items[out->n] = (struct claim_entry){ .id = rows_int(r, 0) };
		read_row(r, &out->items[out->n++].k);
	}
	rows_close(r);
	if (rc)
		claims_release(out);
	return rc;
}

void claims_release(struct claims *c)
{
	for (size_t i = 0; i < c->n; i++)
		config_claim_release(&c->items[i].k);
	free(c->items);
	*c = (struct claims){ 0 };
}

struct claim_aim claim_aim(const struct config_claim *k)
{
	const char *unit = k->unit ? k->unit : "";
	if (k->function)
		return (struct claim_aim){ k->lo, k->hi, "%", 1 };
	if (k->relative_to && !k->difference) {
		double by = isnan(k->relative_value) ? 1 : k->relative_value;
		return (struct claim_aim){ k->lo / by, k->hi / by, "ratio", by };
	}
	return (struct claim_aim){ k->lo, k->hi, unit, 1 };
}

static void range(struct buf *b, double lo, double hi)
{
	if (lo == hi)
		buf_printf(b, "%.4g", lo);
	else
		buf_printf(b, "%.4g–%.4g", lo, hi);
}

char *claim_words(const struct config_claim *k)
{
	struct claim_aim aim = claim_aim(k);
	struct buf b = { 0 };
	range(&b, k->lo, k->hi);
	if (k->function) {
		buf_printf(&b, " %% of %s reach %s", k->entry, k->function);
	} else if (k->difference) {
		buf_printf(&b, " %s more than %s", k->unit ? k->unit : "", k->relative_to);
	} else if (k->relative_to) {
		if (isnan(k->relative_value)) {
			buf_printf(&b, " × %s", k->relative_to);
		} else {
			buf_printf(&b, " %s: ", k->unit ? k->unit : "");
			range(&b, aim.lo, aim.hi);
			buf_printf(&b, " × %s", k->relative_to);
		}
	} else {
		buf_printf(&b, " %s", k->unit ? k->unit : "");
	}
	return buf_detach(&b);
}
