/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/parts.h"

#include "base/buf.h"
#include "bisect/bisect_steps.h"
#include "reports/functions.h"
#include "reports/plot.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One search: the answer, how it narrowed, everything it measured, what the culprit is, what the
 * search cost. */

struct step {
	int64_t seq;
	const char *commit;
	double log_ratio, value;
	json_t *payload;
	const char *action;
};

struct steps {
	struct store_step_rows rows;
	struct step *items; /* of rows, same order */
};

static int load_steps(struct store *s, int64_t id, struct steps *out, struct error *e)
{
	int rc = store_steps(s, id, &out->rows, e);
	out->items = x_calloc(out->rows.n + 1, sizeof(*out->items));
	for (size_t i = 0; !rc && i < out->rows.n; i++) {
		const struct store_step_row *r = &out->rows.items[i];
		json_t *j = json_loads(r->payload_json, 0, NULL);
		out->items[i] = (struct step){ r->seq, r->commit, part_num(j, "log_ratio"),
			part_num(j, "value"), j, r->action };
	}
	return rc;
}

static void release_steps(struct steps *s)
{
	for (size_t i = 0; i < s->rows.n && s->items; i++)
		json_decref(s->items[i].payload);
	free(s->items);
	store_free(s->rows.pool);
}

/* Uncertainty that is left, in bits; what is below a hundredth each is not in the record and
 * counted as one. NAN: of several steps at once. */
static double bits(const json_t *posterior)
{
	double h = 0, rest = 1;
	size_t i;
	json_t *pair;
	json_array_foreach (posterior, i, pair) {
		double p = fmin(1, json_number_value(json_array_get(pair, 1)));
		h -= p > 0 ? p * log2(p) : 0;
		rest -= p;
	}
	if (rest < -0.01)
		return NAN;
	return fmax(0, h - (rest > 0.001 ? rest * log2(rest) : 0));
}

static void narrowing(struct page *p, const struct steps *s, const struct axis *a)
{
	enum { MOST = 40 };
	size_t measured = 0, shown = 0, k = 0;
	for (size_t i = 0; i < s->rows.n; i++)
		measured += json_array_size(json_object_get(s->items[i].payload, "posterior")) > 0;
	if (measured < 2 || a->n < 3)
		return;
	page_heading(p, 2, "How the search went");
	struct plot *plot = plot_new(PLOT_HEAT, "How the answer narrowed.",
		a->from_git ? "commits between good and bad, oldest first"
			    : "measured commits, oldest first",
		"");
	struct plot_series *cells = plot_add_series(plot, "probability", PLOT_SQUARE, 0, false);
	char id[16], row[40];
	for (size_t i = 0; i < s->rows.n; i++) {
		const json_t *posterior = json_object_get(s->items[i].payload, "posterior");
		size_t n;
		json_t *pair;
		if (!json_array_size(posterior))
			continue;
		/* Of very many measurements evenly spaced ones, the last among them. */
		bool show = measured <= MOST || k == measured - 1 ||
			k * MOST / measured != (k + 1) * MOST / measured;
		k++;
		if (!show)
			continue;
		snprintf(row, sizeof(row), "%zu. %s", k,
			s->items[i].commit ? short_id(s->items[i].commit, id) : "");
		plot_add_row(plot, (double)shown, row);
		json_array_foreach (posterior, n, pair) {
			const char *commit = json_string_value(json_array_get(pair, 0));
			double share = json_number_value(json_array_get(pair, 1));
			size_t at = commit ? axis_find(a, commit) : a->n;
			if (at < a->n)
				plot_add_cell(cells, (double)at, (double)shown, sqrt(share),
					"%s %s: %.1f %% after measurement %zu",
					short_id(commit, id),
					a->commits[at].subject ? a->commits[at].subject : "",
					100 * share, k);
		}
		shown++;
	}
	plot->x_lo = -0.6, plot->x_hi = (double)a->n - 0.4;
	for (size_t i = 0; i < a->n; i++)
		if (a->commits[i].phase)
			plot_add_tick(plot, (double)i, false, a->commits[i].phase);
	plot->height = (int)(120 + 17 * shown);
	plot_caption(plot,
		"A row is a measurement, in their order, with the commit that was measured; a cell "
		"is the probability that the step is at that commit (stronger is more, below "
		"1 %% is blank). The table below has the same in figures.");
	plot_alt(plot,
		"Probability over commits after each of %zu measurements; it ends on few commits.",
		measured);
	page_plot(p, plot);
}

static const char *subject_at(const struct axis *a, const char *commit)
{
	size_t at = commit ? axis_find(a, commit) : a->n;
	return at < a->n ? a->commits[at].subject : NULL;
}

static void what_came(struct line *l, const struct step *m, bool exact)
{
	const json_t *j = m->payload;
	if (!strcmp(m->action, "measure")) {
		if (exact && isfinite(m->value)) {
			struct figure f = { .value = m->value,
				.unit = "instructions/op",
				.metric = "instructions_exact",
				.source = "callgrind",
				.lo = NAN,
				.hi = NAN,
				.decimals = 2 };
			line_figure(l, &f);
		} else if (isfinite(m->log_ratio)) {
			line_text(l, "%+.2f %% of the reference, one round",
				100 * expm1(m->log_ratio));
		}
	} else if (!strcmp(m->action, "beside")) {
		size_t n = json_array_size(json_object_get(j, "log_ratios"));
		char id[16];
		line_text(l, "%+.2f %%, median of %zu round%s beside ",
			100 * expm1(bisect_step_log_ratio(j)), n, n == 1 ? "" : "s");
		line_code(l, "%s", short_id(part_str(j, "other"), id));
		if (!json_is_true(json_object_get(j, "asked")))
			line_text(l, ", of the proof");
	} else if (!strcmp(m->action, "same")) {
		line_text(l, "loads the very code of its parents");
	} else if (!strcmp(m->action, "refute")) {
		line_text(l, "no different from its parent: searching on");
	} else if (!strcmp(m->action, "build")) {
		line_text(l, "%s%s", part_str(j, "outcome"),
			json_is_true(json_object_get(j, "cached")) ? ", kept from before" : "");
	} else if (!strcmp(m->action, "ends")) {
		line_text(l,
			json_is_true(json_object_get(j, "differ")) ? "good and bad differ"
								   : "good and bad do not differ");
		if (*part_str(j, "verdict"))
			line_text(l, ": %s", part_str(j, "verdict"));
	} else if (!strcmp(m->action, "confirm")) {
		line_text(l, "beside its parent: %s", part_str(j, "time"));
		if (isfinite(part_num(j, "rounds")) && part_num(j, "rounds") > 0)
			line_text(l, ", %.0f rounds", part_num(j, "rounds"));
		if (isfinite(part_num(j, "exact_before")))
			line_text(l, ", %.2f → %.2f instructions/op", part_num(j, "exact_before"),
				part_num(j, "exact_after"));
	} else if (!strcmp(m->action, "metric")) {
		line_text(l, "%s chosen", part_str(j, "metric"));
	} else {
		line_text(l, "%s", part_str(j, "outcome"));
		if (*part_str(j, "detail")) {
			line_text(l, ": ");
			line_quote(l, "%s", part_str(j, "detail"));
		}
	}
}

static void every_step(struct page *p, const struct steps *s, const struct axis *a, bool exact)
{
	if (!s->rows.n)
		return;
	page_heading(p, 2, "Every step of the search");
	struct table *t = page_table(p,
		"Each is in the record before the next was chosen. Left: the uncertainty about the "
		"place after it, in bits (0: certain).");
	table_column(t, ALIGN_LEFT, "step");
	table_column(t, ALIGN_LEFT, "what");
	table_column(t, ALIGN_LEFT, "commit");
	table_column(t, ALIGN_LEFT, "what came of it");
	table_column(t, ALIGN_LEFT, "most probable then");
	table_column(t, ALIGN_RIGHT, "left, bits");
	for (size_t i = 0; i < s->rows.n; i++) {
		const struct step *m = &s->items[i];
		const json_t *posterior = json_object_get(m->payload, "posterior");
		table_begin_row(t);
		table_cell_text(t, "%lld", (long long)m->seq);
		table_cell_text(t, "%s", m->action);
		struct line *l = table_cell(t);
		if (m->commit) {
			char id[16];
			line_code(l, "%s", short_id(m->commit, id));
			if (subject_at(a, m->commit))
				table_hover(t, "%s", subject_at(a, m->commit));
		}
		what_came(table_cell(t), m, exact);
		l = table_cell(t);
		double best = 0;
		const char *commit = NULL;
		size_t k;
		json_t *pair;
		json_array_foreach (posterior, k, pair)
			if (json_number_value(json_array_get(pair, 1)) > best)
				best = json_number_value(json_array_get(pair, 1)),
				commit = json_string_value(json_array_get(pair, 0));
		if (commit) {
			char id[16];
			line_code(l, "%s", short_id(commit, id));
			line_text(l, " %.1f %%", 100 * best);
			double left = bits(posterior);
			if (isnan(left)) {
				line_toned(table_cell(t), TONE_DIM, "–");
				table_hover(t, "several steps are in question at once");
			} else {
				table_cell_text(t, "%.2f", left);
			}
		} else {
			table_cell(t);
		}
	}
}

static void message(struct report *rp, struct page *p, const char *commit)
{
	char *author = NULL, *text = NULL, *stat = NULL;
	struct error quiet = { 0 };
	const struct report_history *h = rp->o->history;
	if (!h || !h->explain || h->explain(h->ctx, commit, &author, &text, &stat, &quiet))
		return;
	struct line *l = page_open_details(p);
	line_text(l, "Its message and what it changed");
	line_text(page_paragraph(p), "By %s.", author);
	page_code(p, text);
	page_code(p, stat);
	page_close(p);
	free(author), free(text), free(stat);
}

static int one_id(struct store *s, const char *sql, const char *text, int64_t *out, struct error *e)
{
	struct store_rows *q = rows_open(s, sql);
	rows_bind_text(q, ":text", text);
	int rc = rows_next(q, e);
	*out = rc > 0 ? rows_int(q, 0) : 0;
	rows_close(q);
	return rc < 0 ? rc : 0;
}

static int build_of(
	struct store *s, int64_t session, const char *commit, int64_t *out, struct error *e)
{
	struct store_rows *q = rows_open(s,
		"SELECT session_arm.build_id FROM session_arm JOIN commit_info ON commit_info.id = "
		"session_arm.commit_id"
		" WHERE commit_info.full_id = :commit ORDER BY session_arm.session_id = :session "
		"DESC, session_arm.id DESC LIMIT 1");
	rows_bind_text(q, ":commit", commit);
	rows_bind_int(q, ":session", session);
	int rc = rows_next(q, e);
	*out = rc > 0 ? rows_int(q, 0) : 0;
	rows_close(q);
	return rc < 0 ? rc : 0;
}

/* Tabs stand escaped in an account. */
static const char *unindented(const char *s)
{
	for (;;) {
		if (*s == ' ' || *s == '\t')
			s++;
		else if (!strncmp(s, "\\x09", 4))
			s += 4;
		else
			return s;
	}
}

static void hunk_row(struct table *t, const json_t *h)
{
	const char *file = part_str(h, *part_str(h, "new_file") ? "new_file" : "old_file");
	size_t i, told = 0;
	json_t *line;
	table_begin_row(t);
	struct line *l = table_cell(t);
	line_code(l, "%s:%.0f", file, part_num(h, "new_start"));
	if (*part_str(h, "heading"))
		line_small(l, "%s", part_str(h, "heading"));
	table_cell_text(t, "%.2f", part_num(h, "a"));
	table_cell_text(t, "%.2f", part_num(h, "b"));
	table_cell_text(t, "%+.2f", part_num(h, "delta"));
	l = table_cell(t);
	json_array_foreach (json_object_get(h, "lines"), i, line) {
		double cost = part_num(line, "instructions");
		if (!(cost >= 0.5) || told == 4)
			continue;
		if (told++)
			line_break(l);
		line_text(l, "%s%.2f ",
			json_is_true(json_object_get(line, "removed")) ? "− " : "+ ", cost);
		line_quote(l, "%s", unindented(part_str(line, "text")));
	}
}

/* What each hunk of the culprit's difference costs, where it was accounted for. */
static void hunks(struct page *p, const json_t *result, const char *commit)
{
	size_t i, k;
	json_t *account, *h;
	json_array_foreach (json_object_get(result, "accounts"), i, account) {
		const json_t *by_hunk = json_object_get(account, "by_hunk"),
			     *list = json_object_get(by_hunk, "hunks");
		if (strcmp(part_str(account, "commit"), commit) || !by_hunk)
			continue;
		struct table *t = !json_array_size(list) ? NULL : page_table(p,
			"What each hunk of it costs: instructions per operation of its lines, "
			"before and after, by callgrind through the debug information (%s)",
			part_str(account, "case"));
		if (t) {
			table_column(t, ALIGN_LEFT, "hunk");
			table_column(t, ALIGN_RIGHT, "before, instructions/op");
			table_column(t, ALIGN_RIGHT, "after");
			table_column(t, ALIGN_RIGHT, "change");
			table_column(t, ALIGN_LEFT, "its dearest lines");
		}
		json_array_foreach (list, k, h)
			if (k < 12)
				hunk_row(t, h);
		struct line *l = page_note(p);
		if (!t)
			line_text(l, "No line of its hunks is an instruction that ran. ");
		if (json_array_size(list) > 12)
			line_text(l, "%zu further hunks are cheaper. ", json_array_size(list) - 12);
		line_text(l,
			"Lines that did not change cost %.2f before and %.2f after; hunks without "
			"cost: %.0f. ",
			part_num(by_hunk, "unchanged_a"), part_num(by_hunk, "unchanged_b"),
			part_num(by_hunk, "hunks_without_cost"));
		line_code(l, "hakperf account --split %.12s", commit);
		line_text(l, " measures them apart.");
	}
}

static int culprits(struct report *rp, struct page *p, const json_t *result,
	const struct store_bisect_row *b, int64_t case_id, struct error *e)
{
	const json_t *list = json_object_get(result, "culprits");
	size_t i, k;
	json_t *c, *proof;
	int rc = 0;
	if (!json_array_size(list))
		return 0;
	page_heading(p, 2, json_array_size(list) == 1 ? "The commit" : "The commits");
	json_array_foreach (list, i, c) {
		struct line *l = page_paragraph(p);
		line_strong(l, "%zu. ", i + 1);
		part_commit_json(l, c);
		message(rp, p, part_str(c, "commit"));
		hunks(p, result, part_str(c, "commit"));
		json_array_foreach (json_object_get(c, "proofs"), k, proof) {
			int64_t before = 0, after = 0;
			char caption[200], id[16];
			rc = build_of(rp->store, b->session_id,
				part_str(json_object_get(proof, "parent"), "commit"), &before, e);
			if (!rc)
				rc = build_of(
					rp->store, b->session_id, part_str(c, "commit"), &after, e);
			snprintf(caption, sizeof(caption),
				"What it cost, by function: self instructions per operation beside "
				"its parent %s, by callgrind",
				short_id(part_str(json_object_get(proof, "parent"), "commit"), id));
			if (!rc && before && after && case_id)
				rc = functions_table(
					rp->store, p, case_id, before, after, 10, caption, NULL, e);
			if (rc)
				return rc;
		}
	}
	return rc;
}

static void cost(struct page *p, const json_t *result)
{
	double n = part_num(result, "commits_changing_subject"),
	       builds = part_num(result, "builds"), measured = part_num(result, "measurements");
	if (!(n >= 1))
		return;
	page_heading(p, 2, "What the search cost");
	struct table *t = page_table(p,
		"This search, and a binary search that never errs and needs one measurement a "
		"commit: with noise it needs many a commit, and errs all the same");
	table_column(t, ALIGN_LEFT, "search");
	table_column(t, ALIGN_RIGHT, "new builds");
	table_column(t, ALIGN_RIGHT, "measurements");
	table_column(t, ALIGN_RIGHT, "time, s");
	table_begin_row(t);
	table_cell_text(t, "this one");
	table_cell_text(t, "%.0f", builds);
	table_cell_text(t, "%.0f", measured);
	table_cell_text(t, "%.0f", part_num(result, "wall_s"));
	table_begin_row(t);
	table_cell_text(t, "binary, without noise");
	table_cell_text(t, "up to %.0f", ceil(log2(n + 1)));
	table_cell_text(t, "%.0f", ceil(log2(n + 1)));
	line_toned(table_cell(t), TONE_DIM, "–");
	line_text(page_note(p),
		"%.0f commits between good and bad, %.0f of them touch the subject: log₂ of it, "
		"%.1f bits, is what any search has to learn. Endpoints and the proof beside the "
		"parents come on top.",
		part_num(result, "commits"), n, log2(n));
}

static void skipped(struct page *p, const json_t *result)
{
	const json_t *broken = json_object_get(result, "broken");
	size_t i;
	json_t *c;
	if (!json_array_size(broken))
		return;
	page_heading(p, 3, "Skipped, since they could not be measured");
	json_array_foreach (broken, i, c) {
		struct line *l = page_item(p);
		part_commit_json(l, c);
		line_text(l, ": %s ", part_str(c, "outcome"));
		if (*part_str(c, "detail"))
			line_quote(l, "%s", part_str(c, "detail"));
	}
}

static void repeat(struct page *p, const json_t *result)
{
	char good[16], bad[16];
	const char *name = part_str(result, "case"), *space = strchr(name, ' ');
	struct buf b = { 0 };
	buf_printf(&b, "hakperf bisect --metric %s --workload %.*s", part_str(result, "metric"),
		space ? (int)(space - name) : (int)strlen(name), name);
	if (space)
		buf_printf(&b, " --class %s", space + 1);
	buf_printf(&b, " --variant %s %s %s", part_str(result, "variant"),
		short_id(part_str(json_object_get(result, "good"), "commit"), good),
		short_id(part_str(json_object_get(result, "bad"), "commit"), bad));
	page_heading(p, 2, "To repeat it");
	page_code(p, buf_str(&b));
	buf_release(&b);
}

int page_bisect(struct report *rp, int64_t id, struct page **out, struct error *e)
{
	const struct store_bisect_row *b = NULL;
	for (size_t i = 0; i < rp->bisects.n && !b; i++)
		if (!id || rp->bisects.items[i].id == id)
			b = &rp->bisects.items[i];
	if (!b)
		return id
			? error_set(e, -ENOENT,
				  "there is no bisect %lld in the record (see 'hakperf log')",
				  (long long)id)
			: error_set(e, -ENOENT,
				  "the record has no bisect: 'hakperf bisect GOOD BAD' makes one");
	char stem[40], when[32], a1[16], a2[16];
	snprintf(stem, sizeof(stem), "bisect-%lld", (long long)b->id);
	struct page *p = *out = page_new(stem, "Bisect %lld: %s to %s", (long long)b->id,
		short_id(b->good, a1), short_id(b->bad, a2));
	line_text(page_lead(p), "By %s; session %lld, %s; %s, %lld steps in the record.",
		b->metric ? b->metric : "a metric chosen on the way", (long long)b->session_id,
		part_time(b->started_s, when), b->state, (long long)b->steps);
	json_t *result = b->result_json ? json_loads(b->result_json, 0, NULL) : NULL;
	struct steps steps = { 0 };
	struct axis axis = { 0 };
	int64_t case_id = 0;
	bool exact = !strcmp(result ? part_str(result, "metric")
			: b->metric ? b->metric
				    : "",
		"instructions_exact");
	if (result) {
		rp->worse |= part_bisect_answer(p, result,
			exact ? "Largest step in instructions" : "Largest step in time", b->id,
			false);
	} else {
		line_toned(page_open_answer(p, TONE_UNSURE, "No answer yet"), TONE_UNSURE,
			"This search is %s. Asked again, it goes on where it stopped.", b->state);
		page_close(p);
	}
	int rc = load_steps(rp->store, b->id, &steps, e);
	if (!rc)
		rc = axis_build(rp->store, rp->o->history, b->good, b->bad, &axis, e);
	if (!rc)
		rc = one_id(rp->store,
			"SELECT case_id FROM session_cell WHERE session_id = CAST (:text AS "
			"INTEGER) UNION SELECT case_id FROM round"
			" WHERE session_id = CAST (:text AS INTEGER) LIMIT 1",
			(snprintf(a1, sizeof(a1), "%lld", (long long)b->session_id), a1), &case_id,
			e);
	if (!rc && result && exact) {
		struct record none = { 0 };
		struct plot *plot = part_exact_timeline(&none, 0, &axis, result);
		if (plot) {
			plot_caption(plot,
				"%s: the commits that this search counted, by callgrind; a level "
				"holds until the next count.",
				part_str(result, "case"));
			plot_alt(plot, "Instructions per operation of the counted commits.");
			page_heading(p, 2, "What was counted");
			page_plot(p, plot);
		}
	}
	if (!rc) {
		narrowing(p, &steps, &axis);
		rc = result ? culprits(rp, p, result, b, case_id, e) : 0;
	}
	if (!rc) {
		if (result)
			cost(p, result), skipped(p, result);
		every_step(p, &steps, &axis, exact);
		if (result)
			repeat(p, result);
	}
	json_decref(result);
	release_steps(&steps);
	axis_release(&axis);
	return rc;
}
