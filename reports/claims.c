/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/claims.h"

#include "base/buf.h"
#include "reports/parts.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *s)
{
	return x_strdup(s ? s : "");
}

static void read_try(const struct store_rows *r, struct claim_row *k)
{
	json_t *o = json_loads(rows_text(r, 1), 0, NULL);
	if (json_object_get(o, "overall")) {
		free(k->result);
		k->result = copy(rows_text(r, 0));
	} else {
		k->tries = x_realloc(k->tries, k->n_tries + 1, sizeof(*k->tries));
		struct claim_try t = { .place = x_printf("%s, %s", part_str(o, "case"),
					       part_str(o, "variant")),
			.outcome = copy(rows_text(r, 0)),
			.metric = copy(part_str(o, "metric")),
			.detail = copy(rows_text(r, 6)),
			.own = json_is_true(json_object_get(o, "own")),
			.rounds = rows_null(r, 5) ? 0 : rows_int(r, 5),
			.value = rows_null(r, 2) ? NAN : rows_real(r, 2),
			.lo = rows_null(r, 3) ? NAN : rows_real(r, 3),
			.hi = rows_null(r, 4) ? NAN : rows_real(r, 4) };
		size_t at = k->n_tries++;
		if (t.own)
			for (; at; at--)
				k->tries[at] = k->tries[at - 1];
		k->tries[at] = t;
	}
	json_decref(o);
}

static int load_tries(struct store *s, struct claim_row *k, struct error *e)
{
	struct store_rows *r = rows_open(s,
		"SELECT result, configuration_json, value, value_lo, value_hi, rounds, detail "
		"FROM claim_check"
		" WHERE claim_id = :claim AND session_id = :session AND id > ifnull ((SELECT "
		"max (id) FROM claim_check AS older"
		" WHERE older.claim_id = :claim AND json_extract (older.configuration_json, "
		"'$.overall') AND older.id <"
		" (SELECT max (id) FROM claim_check AS newest WHERE newest.claim_id = :claim"
		"  AND json_extract (newest.configuration_json, '$.overall'))), 0) ORDER BY id");
	int rc;
	rows_bind_int(r, ":claim", k->id);
	rows_bind_int(r, ":session", k->session);
	while ((rc = rows_next(r, e)) > 0)
		read_try(r, k);
	rows_close(r);
	return rc;
}

static void read_claim(const struct store_rows *r, struct claim_row *k)
{
	json_t *o = json_loads(rows_text(r, 4), 0, NULL);
	const char *relative = json_string_value(json_object_get(o, "relative_to"));
	*k = (struct claim_row){ .id = rows_int(r, 0),
		.name = copy(rows_text(r, 1)),
		.text = copy(rows_text(r, 2)),
		.commit = copy(rows_text(r, 3)),
		.lo = rows_null(r, 5) ? NAN : rows_real(r, 5),
		.hi = rows_null(r, 6) ? NAN : rows_real(r, 6),
		.unit = copy(rows_text(r, 7)),
		.source = copy(rows_text(r, 8)),
		.date = copy(rows_text(r, 9)),
		.session = rows_null(r, 10) ? 0 : rows_int(r, 10),
		.result = x_strdup("never tried"),
		.relative_to = relative ? x_strdup(relative) : NULL,
		.relative_value = part_num(o, "relative_value"),
		.difference = json_object_get(o, "compare") != NULL,
		.share = json_object_get(o, "function") != NULL,
		.tolerance = part_num(o, "tolerance") };
	k->ratio = k->relative_to && !k->difference;
	k->tolerance = isnan(k->tolerance) ? 0.05 : k->tolerance;
	if (k->share) {
		free(k->unit);
		k->unit = x_printf(
			"%% of %s reach %s", part_str(o, "entry"), part_str(o, "function"));
	}
	json_decref(o);
}

int claim_list_load(struct store *s, struct claim_list *out, struct error *e)
{
	*out = (struct claim_list){ 0 };
	struct store_rows *r = rows_open(s,
		"SELECT id, name, text, revision, configuration_json, value_lo, value_hi, "
		"unit, source, claimed_on,"
		" (SELECT max (session_id) FROM claim_check WHERE claim_id = claim.id) FROM "
		"claim ORDER BY id");
	int rc;
	while ((rc = rows_next(r, e)) > 0) {
		out->items = x_realloc(out->items, out->n + 1, sizeof(*out->items));
		read_claim(r, &out->items[out->n++]);
	}
	rows_close(r);
	for (size_t i = 0; !rc && i < out->n; i++)
		if (out->items[i].session)
			rc = load_tries(s, &out->items[i], e);
	if (rc)
		claim_list_release(out);
	return rc;
}

void claim_list_release(struct claim_list *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct claim_row *k = &c->items[i];
		for (size_t t = 0; t < k->n_tries; t++)
			free(k->tries[t].place), free(k->tries[t].outcome),
				free(k->tries[t].metric), free(k->tries[t].detail);
		free(k->name), free(k->text), free(k->commit), free(k->unit), free(k->source),
			free(k->date), free(k->result);
		free(k->relative_to), free(k->tries);
	}
	free(c->items);
	*c = (struct claim_list){ 0 };
}

const struct claim_row *claim_list_find(const struct claim_list *c, const char *name)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->items[i].name, name))
			return &c->items[i];
	return NULL;
}

const struct claim_try *claim_row_own(const struct claim_row *k)
{
	return k->n_tries && k->tries[0].own ? &k->tries[0] : NULL;
}

static void range(struct line *l, double lo, double hi)
{
	if (lo == hi)
		line_text(l, "%.4g", lo);
	else
		line_text(l, "%.4g–%.4g", lo, hi);
}

void claim_line_claimed(struct line *l, const struct claim_row *k)
{
	range(l, k->lo, k->hi);
	if (k->share || !k->relative_to)
		line_text(l, " %s", k->unit);
	else if (k->difference)
		line_text(l, " %s more than %s", k->unit, k->relative_to);
	else if (isnan(k->relative_value))
		line_text(l, " × %s", k->relative_to);
	else {
		line_text(l, " %s, ", k->unit);
		range(l, k->lo / k->relative_value, k->hi / k->relative_value);
		line_text(l, " × %s", k->relative_to);
	}
}

/* A ratio is what was measured; a figure of another machine is not. */
static double scale(const struct claim_row *k)
{
	return k->ratio && !isnan(k->relative_value) ? 1 / k->relative_value : 1;
}

void claim_line_measured(
	struct line *l, const struct claim_row *k, const struct claim_try *t, bool cell)
{
	if (!t || isnan(t->value)) {
		line_toned(l, TONE_DIM, "–");
		return;
	}
	double by = scale(k);
	struct figure f = { .value = t->value * by,
		.unit = k->ratio   ? "×"
			: k->share ? "%"
				   : k->unit,
		.metric = t->metric,
		.source = k->share   ? "callgrind"
			  : k->ratio ? "paired rounds"
				     : "slope of N and 2N",
		.rounds = t->rounds,
		.lo = t->lo * by,
		.hi = t->hi * by,
		.verdict = t->outcome,
		.decimals = -1 };
	line_figure(l, &f);
	if (cell && !isnan(t->lo) && !isnan(t->hi) && t->lo < t->hi)
		line_small(l, "[%.4g, %.4g], %lld round%s", t->lo * by, t->hi * by,
			(long long)t->rounds, PLURAL(t->rounds));
}

static enum tone tone_of(const char *words)
{
	if (!strcmp(words, "reproduced"))
		return TONE_GOOD;
	if (!strncmp(words, "not reproduced", 14))
		return TONE_BAD;
	return !strcmp(words, "never tried") || !strcmp(words, "not tried") ? TONE_DIM
									    : TONE_UNSURE;
}

static size_t tried(const struct claim_row *k)
{
	size_t n = 0;
	for (size_t i = 0; i < k->n_tries; i++)
		n += strcmp(k->tries[i].outcome, "not tried") != 0;
	return n;
}

void claim_line_result(struct line *l, const struct claim_row *k, bool cell)
{
	line_toned(l, tone_of(k->result), "%s", k->result);
	for (size_t i = 0, n = 0; !strcmp(k->result, "reproduced only elsewhere") && i < k->n_tries; i++)
		if (!strcmp(k->tries[i].outcome, "reproduced"))
			line_text(l, "%s%s", n++ ? "; " : " with ", k->tries[i].place);
	if (tried(k) && !cell)
		line_text(l, " (%zu tried)", tried(k));
	else if (tried(k))
		line_small(l, "%zu configuration%s tried", tried(k), PLURAL(tried(k)));
}

size_t claim_table(struct page *p, const struct claim_list *c, const char *pattern)
{
	struct table *t = NULL;
	size_t n = 0;
	for (size_t i = 0; i < c->n; i++) {
		const struct claim_row *k = &c->items[i];
		if (pattern && fnmatch(pattern, k->name, 0))
			continue;
		if (!n++) {
			t = page_table(p,
				"Claimed, and measured in the configuration that the claim "
				"names. Figures of another machine are held against "
				"ratios: × is times the revision that was claimed beside it.");
			table_column(t, ALIGN_LEFT, "claim");
			table_column(t, ALIGN_LEFT, "claimed");
			table_column(t, ALIGN_LEFT, "measured");
			table_column(t, ALIGN_LEFT, "result");
			table_column(t, ALIGN_LEFT, "where it comes from");
		}
		table_begin_row(t);
		line_code(table_cell(t), "%s", k->name);
		table_hover(t, "%s", k->text);
		claim_line_claimed(table_cell(t), k);
		claim_line_measured(table_cell(t), k, claim_row_own(k), true);
		claim_line_result(table_cell(t), k, true);
		table_cell_text(
			t, "%s%s%s", k->source, *k->source && *k->date ? ", " : "", k->date);
	}
	return n;
}

size_t claim_tries(struct page *p, const struct claim_row *k, const char *pattern)
{
	struct table *t = NULL;
	size_t n = 0;
	for (size_t i = 0; i < k->n_tries; i++) {
		const struct claim_try *y = &k->tries[i];
		if (pattern && fnmatch(pattern, y->place, 0))
			continue;
		if (!n++) {
			t = page_table(p, "%s: what was tried, and what was measured there", k->name);
			table_column(t, ALIGN_LEFT, "configuration");
			table_column(t, ALIGN_LEFT, "measured");
			table_column(t, ALIGN_LEFT, "metric");
			table_column(t, ALIGN_LEFT, "outcome");
		}
		table_begin_row(t);
		table_cell_text(t, "%s%s", y->place, y->own ? " (its own)" : "");
		claim_line_measured(table_cell(t), k, y, true);
		table_cell_text(t, "%s", y->metric);
		struct line *l = table_cell(t);
		line_text(l, "%s", y->outcome);
		if (*y->detail && strcmp(y->outcome, "reproduced"))
			line_small(l, "%s", y->detail);
	}
	return n;
}
