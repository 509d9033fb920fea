/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/parts.h"

#include "base/buf.h"
#include "reports/functions.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two revisions of one session, case by case. */

static bool has_both(const struct record *r, const char *a, const char *b, size_t *i, size_t *k)
{
	*i = a ? record_find_arm(r, a) : 0;
	*k = b ? record_find_arm(r, b) : r->n_arms - 1;
	return r->n_arms >= 2 && *i < r->n_arms && *k < r->n_arms && *i != *k;
}

/* The report's own session where it has both, else the newest one that does; *own is what *out
 * points to then. */
static int choose(struct report *rp, const char *a, const char *b, struct record *own,
	const struct record **out, size_t *i, size_t *k, struct error *e)
{
	struct store_session_rows rows = { 0 };
	*out = NULL;
	if (rp->has_run && has_both(&rp->run, a, b, i, k)) {
		*out = &rp->run;
		return 0;
	}
	int rc = rp->o->session ? 0 : store_sessions(rp->store, (struct store_opt){ 0 }, &rows, e);
	for (size_t n = 0; !rc && !*out && n < rows.n; n++) {
		rc = record_load(rp->store, rows.items[n].id, own, e);
		if (!rc && has_both(own, a, b, i, k))
			*out = own;
		else
			record_release(own);
	}
	store_free(rows.pool);
	if (!rc && !*out)
		rc = a ? error_set(e, -ENOENT,
				 "no session of the record measured both %s and %s side by side: "
				 "'hakperf bench %s %s' does",
				 a, b, a, b)
		       : error_set(e, -ENOENT,
				 "no session of the record has two revisions: 'hakperf compare A "
				 "B' measures them");
	return rc;
}

static void exact_rows(struct page *p, const struct record *r, size_t a, size_t b)
{
	struct table *t = NULL;
	for (size_t c = 0; c < r->n_cases; c++) {
		const struct record_exact *x = record_exact_of(r, c, a),
					  *y = record_exact_of(r, c, b);
		if (!x->counted || !y->counted)
			continue;
		if (!t) {
			page_heading(p, 2, "Instructions");
			t = page_table(p,
				"Exact counts by callgrind, per operation; a count of one thread "
				"repeats to the instruction");
			table_column(t, ALIGN_LEFT, "workload");
			table_column(t, ALIGN_RIGHT, "before");
			table_column(t, ALIGN_RIGHT, "after");
			table_column(t, ALIGN_RIGHT, "change");
			table_column(t, ALIGN_RIGHT, "change, %%");
		}
		table_begin_row(t);
		table_cell_text(t, "%s", r->cases[c].name);
		table_hover(t, "%s", r->cases[c].words);
		struct figure f = part_exact_figure(x);
		line_figure(table_cell(t), &f);
		f = part_exact_figure(y);
		line_figure(table_cell(t), &f);
		f = (struct figure){ .value = y->per_op - x->per_op,
			.unit = "instructions/op",
			.metric = "instructions_exact",
			.source = "callgrind",
			.lo = NAN,
			.hi = NAN,
			.decimals = 2,
			.sign = true,
			.bare = true };
		line_figure(table_cell(t), &f);
		double ratio = y->per_op / x->per_op;
		line_toned(table_cell(t),
			fabs(ratio - 1) < 1e-6 ? TONE_SAME
				: ratio > 1    ? TONE_BAD
					       : TONE_GOOD,
			"%+.1f %%", 100 * (ratio - 1));
	}
}

static int timed_rows(struct report *rp, struct page *p, const struct record *r, size_t a, size_t b,
	struct error *e)
{
	struct table *t = NULL;
	int rc = 0;
	for (size_t c = 0; !rc && c < r->n_cases; c++) {
		const struct record_case *k = &r->cases[c];
		const struct record_timed *x = record_timed_of(r, c, a),
					  *y = record_timed_of(r, c, b);
		struct record_change ch;
		if (!x->n || !y->n)
			continue;
		rc = record_change(r, c, a, b, &ch, e);
		if (rc)
			break;
		if (!t) {
			page_heading(p, 2, "Time");
			t = page_table(p,
				"Medians over rounds; the change is paired within rounds, with its "
				"always-valid interval");
			table_column(t, ALIGN_LEFT, "workload");
			table_column(t, ALIGN_LEFT, "unit");
			table_column(t, ALIGN_RIGHT, "before");
			table_column(t, ALIGN_RIGHT, "after");
			table_column(t, ALIGN_RIGHT, "change");
			table_column(t, ALIGN_LEFT, "verdict");
			table_column(t, ALIGN_LEFT, "beyond noise");
			table_column(t, ALIGN_RIGHT, "rounds");
		}
		table_begin_row(t);
		table_cell_text(t, "%s", k->name);
		table_hover(t, "%s", k->words);
		table_cell_text(t, "%s", record_cost_unit(k));
		struct figure f = part_timed_figure(k, x);
		line_figure(table_cell(t), &f);
		f = part_timed_figure(k, y);
		line_figure(table_cell(t), &f);
		part_change_cells(t, k, &ch);
		part_noise_cell(t, k, &ch);
		table_cell_text(t, "%lld", (long long)ch.rounds);
		rp->worse |= ch.known && !strcmp(ch.verdict, "regression");
	}
	return rc;
}

static void answer(struct report *rp, struct page *p, const struct record *r, size_t a, size_t b)
{
	size_t worse = 0, better = 0, same = 0, open = 0;
	for (size_t c = 0; c < r->n_cases; c++) {
		struct record_change ch;
		struct error quiet = { 0 };
		if (!record_timed_of(r, c, a)->n || !record_timed_of(r, c, b)->n ||
			record_change(r, c, a, b, &ch, &quiet) || !ch.known)
			continue;
		worse += !strcmp(ch.verdict, "regression"),
			better += !strcmp(ch.verdict, "improvement"),
			same += !strcmp(ch.verdict, "no change");
		open += !strcmp(ch.verdict, "unclear") || !strcmp(ch.verdict, "invalid");
	}
	if (!(worse + better + same + open))
		return;
	enum tone tone = worse ? TONE_BAD : better ? TONE_GOOD : open ? TONE_UNSURE : TONE_SAME;
	struct line *l = page_open_answer(p, tone, "In time");
	line_text(l, "%zu workload%s: ", worse + better + same + open,
		PLURAL(worse + better + same + open));
	if (worse)
		line_toned(l, TONE_BAD, "%zu regression%s", worse, PLURAL(worse));
	if (better)
		line_text(l, worse ? ", " : ""),
			line_toned(l, TONE_GOOD, "%zu improvement%s", better, PLURAL(better));
	if (same)
		line_text(l, worse + better ? ", " : ""),
			line_toned(l, TONE_SAME, "%zu without change", same);
	if (open)
		line_text(l, worse + better + same ? ", " : ""),
			line_toned(l, TONE_UNSURE, "%zu not decided", open);
	page_close(p);
	rp->worse |= worse > 0;
}

int page_compare(struct report *rp, const char *argument, struct page **out, struct error *e)
{
	char *a = argument ? x_strdup(argument) : NULL, *b = a ? strstr(a, "..") : NULL;
	struct record own = { 0 };
	const struct record *r = NULL;
	size_t i = 0, k = 0;
	int rc = 0;
	if (a && !b)
		rc = error_set(
			e, -EINVAL, "'%s' names no two revisions: write report compare A..B", a);
	if (b)
		*b = '\0', b += 2;
	if (!rc)
		rc = choose(rp, a, b, &own, &r, &i, &k, e);
	if (!rc) {
		char when[32];
		struct page *p = *out =
			page_new("compare", "%s against %s", r->arms[k].label, r->arms[i].label);
		struct line *l = page_lead(p);
		line_text(l, "Before: ");
		part_commit(l, r->arms[i].commit ? r->arms[i].commit : r->arms[i].label,
			r->arms[i].subject, r->arms[i].phase);
		line_text(l, ". After: ");
		part_commit(l, r->arms[k].commit ? r->arms[k].commit : r->arms[k].label,
			r->arms[k].subject, r->arms[k].phase);
		line_text(l, ". Side by side in session %lld, %s.", (long long)r->session->id,
			part_time(r->session->started_s, when));
		answer(rp, p, r, i, k);
		rc = timed_rows(rp, p, r, i, k, e);
		exact_rows(p, r, i, k);
		for (size_t c = 0; !rc && c < r->n_cases; c++)
			if (record_exact_of(r, c, i)->counted &&
				record_exact_of(r, c, k)->counted) {
				char caption[200];
				snprintf(caption, sizeof(caption),
					"By function on %s: self instructions per operation",
					r->cases[c].name);
				rc = functions_table(rp->store, p, r->cases[c].id,
					r->arms[i].build_id, r->arms[k].build_id, 10, caption, NULL,
					e);
				break;
			}
		if (!rc) {
			page_heading(p, 2, "The machine");
			rc = part_machine(p, r, true, e);
		}
	}
	free(a);
	record_release(&own);
	return rc;
}
