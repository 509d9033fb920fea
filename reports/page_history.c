/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/parts.h"

#include "base/buf.h"
#include "reports/plot.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every measured commit of a range, and where its figures step. */

/* Steps between neighbours of many commits and cases are many questions: of those that are told, at
 * most this share is expected to be chance. */
#define FALSE_DISCOVERIES 0.05
#define EXACT_STEP 0.002

struct step {
	size_t arm, before, c;
	double ratio, lo, hi, p, q;
	size_t rounds;
	bool exact;
	double was, is;
};

struct steps {
	struct step *items;
	size_t n, cap;
};

static bool inside(const struct axis *a, const struct record_arm *arm)
{
	return arm->commit && axis_find(a, arm->commit) < a->n;
}

static void timed_steps(const struct record *r, size_t c, const struct axis *a, struct steps *out)
{
	size_t before = r->n_arms;
	double *x = x_calloc(r->matrix[c].n_rounds + 1, sizeof(*x));
	double confidence =
		r->session->confidence.known ? r->session->confidence.v : STATS_CONFIDENCE;
	for (size_t i = 0; i < r->n_arms; i++) {
		if (!record_timed_of(r, c, i)->n || !inside(a, &r->arms[i]))
			continue;
		size_t n = before < r->n_arms ? record_pairs(r, c, before, i, x) : 0;
		if (n) {
			struct stats_interval ci = stats_cs(x, n, confidence);
			x_grow(out->items, out->n, out->cap);
			out->items[out->n++] = (struct step){ .arm = i,
				.before = before,
				.c = c,
				.ratio = exp(ci.mid),
				.lo = exp(ci.lo),
				.hi = exp(ci.hi),
				.p = stats_cs_p(x, n),
				.rounds = n,
				.was = record_timed_of(r, c, before)->median,
				.is = record_timed_of(r, c, i)->median };
		}
		before = i;
	}
	free(x);
}

static void exact_steps(const struct record *r, size_t c, const struct axis *a, struct steps *out)
{
	size_t before = r->n_arms;
	for (size_t i = 0; i < r->n_arms; i++) {
		const struct record_exact *x = record_exact_of(r, c, i);
		if (!x->counted || !inside(a, &r->arms[i]))
			continue;
		double was = before < r->n_arms ? record_exact_of(r, c, before)->per_op : x->per_op;
		if (fabs(log(x->per_op / was)) > EXACT_STEP) {
			x_grow(out->items, out->n, out->cap);
			out->items[out->n++] = (struct step){ .arm = i,
				.before = before,
				.c = c,
				.ratio = x->per_op / was,
				.exact = true,
				.was = was,
				.is = x->per_op };
		}
		before = i;
	}
}

/* Keeps the timed steps that stand out among all that were looked at. */
static void discover(struct steps *s, double delta)
{
	double *q = x_calloc(s->n + 1, sizeof(*q));
	size_t kept = 0;
	for (size_t i = 0; i < s->n; i++)
		q[i] = s->items[i].p;
	stats_bh(q, s->n, q);
	for (size_t i = 0; i < s->n; i++) {
		s->items[i].q = q[i];
		if (q[i] <= FALSE_DISCOVERIES && fabs(log(s->items[i].ratio)) > log1p(delta))
			s->items[kept++] = s->items[i];
	}
	s->n = kept;
	free(q);
}

static int larger_first(const void *x, const void *y)
{
	double a = fabs(log(((const struct step *)x)->ratio)),
	       b = fabs(log(((const struct step *)y)->ratio));
	return a < b ? 1 : a > b ? -1 : 0;
}

static void steps_table(
	struct report *rp, struct page *p, const struct record *r, struct steps *s, bool exact)
{
	enum { MOST = 60 };
	if (!s->n)
		return;
	qsort(s->items, s->n, sizeof(*s->items), larger_first);
	struct table *t = exact
		? page_table(p,
			  "Steps of the exact count between neighbouring measured commits, above "
			  "%.1f %%, the largest first",
			  100 * EXACT_STEP)
		: page_table(p,
			  "Steps of time between neighbouring measured commits, the largest first. "
			  "They are descriptive: of all those told here at most %.0f %% are "
			  "expected to be chance (Benjamini and Hochberg), and none is smaller "
			  "than the smallest effect of interest.",
			  100 * FALSE_DISCOVERIES);
	table_column(t, ALIGN_LEFT, "commit");
	table_column(t, ALIGN_LEFT, "workload");
	table_column(t, ALIGN_RIGHT, "before");
	table_column(t, ALIGN_RIGHT, "after");
	table_column(t, ALIGN_RIGHT, "change");
	if (!exact)
		table_column(t, ALIGN_RIGHT, "rounds");
	for (size_t i = 0; i < s->n && i < MOST; i++) {
		const struct step *k = &s->items[i];
		const struct record_case *c = &r->cases[k->c];
		part_row_head(t, &r->arms[k->arm]);
		table_cell_text(t, "%s", c->name);
		struct figure f = { .value = k->was,
			.unit = exact ? "instructions/op" : record_cost_unit(c),
			.metric = exact ? "instructions_exact" : c->metric,
			.lo = NAN,
			.hi = NAN,
			.source = exact ? "callgrind" : c->source,
			.decimals = exact ? 2 : -1 };
		line_figure(table_cell(t), &f);
		f.value = k->is;
		line_figure(table_cell(t), &f);
		struct line *l = table_cell(t);
		line_toned(
			l, k->ratio > 1 ? TONE_BAD : TONE_GOOD, "%+.1f %%", 100 * (k->ratio - 1));
		if (!exact && k->lo > 0 && isfinite(k->hi))
			line_small(l, "[%+.1f, %+.1f]", 100 * (k->lo - 1), 100 * (k->hi - 1));
		if (!exact)
			table_cell_text(t, "%zu", k->rounds);
	}
	if (s->n > MOST)
		line_text(page_note(p), "%zu steps in all; the %d largest are shown.", s->n, MOST);
	for (size_t i = 0; i < s->n; i++)
		rp->worse |= s->items[i].ratio > 1;
}

static void commits_table(struct page *p, const struct record *r, const struct axis *a)
{
	enum { MOST = 400 };
	size_t exact = r->n_cases, timed = r->n_cases, shown = 0, n = 0;
	for (size_t c = r->n_cases; c-- > 0;)
		exact = r->cases[c].exact ? c : exact, timed = r->cases[c].timed ? c : timed;
	for (size_t i = 0; i < r->n_arms; i++)
		n += inside(a, &r->arms[i]);
	struct line *l = page_open_details(p);
	line_text(l, "All %zu measured commits", n);
	struct table *t =
		page_table(p, "Figures of the first counted and the first timed workload");
	table_column(t, ALIGN_LEFT, "commit");
	table_column(t, ALIGN_LEFT, "subject");
	if (exact < r->n_cases)
		table_column(t, ALIGN_RIGHT, "%s, instructions/op", r->cases[exact].name);
	if (timed < r->n_cases)
		table_column(t, ALIGN_RIGHT, "%s, %s", r->cases[timed].name,
			record_cost_unit(&r->cases[timed]));
	for (size_t i = 0; i < r->n_arms && shown < MOST; i++) {
		if (!inside(a, &r->arms[i]))
			continue;
		shown++;
		part_row_head(t, &r->arms[i]);
		line_quote(table_cell(t), "%s", r->arms[i].subject ? r->arms[i].subject : "");
		if (exact < r->n_cases) {
			struct figure f = part_exact_figure(record_exact_of(r, exact, i));
			line_figure(table_cell(t), &f);
		}
		if (timed < r->n_cases) {
			struct figure f =
				part_timed_figure(&r->cases[timed], record_timed_of(r, timed, i));
			line_figure(table_cell(t), &f);
		}
	}
	if (n > MOST)
		line_text(page_note(p), "The first %d; hakperf export has all.", MOST);
	page_close(p);
}

/* "A..B": what each names among the commits of this report: a label, a phase or the beginning of an
 * id. */
static size_t named(const struct report *rp, const char *word, size_t n)
{
	char *name = x_printf("%.*s", (int)n, word);
	size_t arm = record_find_arm(&rp->run, name), at = rp->axis.n;
	if (arm < rp->run.n_arms && rp->run.arms[arm].commit)
		at = axis_find(&rp->axis, rp->run.arms[arm].commit);
	for (size_t i = 0; at == rp->axis.n && i < rp->axis.n; i++)
		if (n >= 7 && !strncmp(rp->axis.commits[i].id, name, n))
			at = i;
	free(name);
	return at;
}

static int range(struct report *rp, const char *argument, struct axis *out, struct error *e)
{
	const char *dots = argument ? strstr(argument, "..") : NULL;
	if (argument && !dots)
		return error_set(
			e, -EINVAL, "'%s' is no range: write report history A..B", argument);
	size_t from = argument ? named(rp, argument, (size_t)(dots - argument)) : 0;
	size_t to = argument ? named(rp, dots + 2, strlen(dots + 2))
		: rp->axis.n ? rp->axis.n - 1
			     : 0;
	if (from >= rp->axis.n || to >= rp->axis.n || from > to)
		return error_set(e, -ENOENT,
			"%s names no range of commits that session %lld spans, oldest first",
			argument ? argument : "this", (long long)rp->run.session->id);
	return axis_build(rp->store, rp->o->history, rp->axis.commits[from].id,
		rp->axis.commits[to].id, out, e);
}

int page_history(struct report *rp, const char *argument, struct page **out, struct error *e)
{
	enum { PICTURES = 24 };
	const struct record *r = &rp->run;
	struct axis a = { 0 };
	struct steps timed = { 0 }, exact = { 0 };
	char first[16], last[16];
	if (!rp->has_run)
		return error_set(e, -ENOENT,
			"the record has no session to tell of: 'hakperf run' makes one");
	int rc = range(rp, argument, &a, e);
	if (rc)
		return rc;
	for (size_t c = 0; c < r->n_cases; c++) {
		if (r->cases[c].timed)
			timed_steps(r, c, &a, &timed);
		if (r->cases[c].exact)
			exact_steps(r, c, &a, &exact);
	}
	size_t looked = timed.n;
	discover(&timed, r->session->delta.known ? r->session->delta.v : STATS_DELTA);
	struct page *p = *out = page_new("history", "History: %s to %s",
		short_id(a.commits[0].id, first), short_id(a.commits[a.n - 1].id, last));
	line_text(page_lead(p),
		"%zu commits%s; session %lld. %zu neighbours were compared in time; %zu steps "
		"stand out.",
		a.n, a.from_git ? "" : " in the record", (long long)r->session->id, looked,
		timed.n);
	page_heading(p, 2, "Steps");
	if (!timed.n && !exact.n)
		line_text(page_paragraph(p),
			"No step between neighbouring measured commits stands out.");
	steps_table(rp, p, r, &timed, false);
	steps_table(rp, p, r, &exact, true);
	page_heading(p, 2, "Over commits");
	size_t drawn = 0;
	for (size_t c = 0; c < r->n_cases && drawn < PICTURES; c++) {
		struct plot *plot =
			r->cases[c].exact && !drawn ? part_exact_timeline(r, c, &a, NULL) : NULL;
		if (plot) {
			plot->height = 250;
			plot_caption(plot, "%s: exact counts.", r->cases[c].name);
			plot_alt(plot, "Instructions per operation of %s over commits.",
				r->cases[c].name);
			page_plot(p, plot);
		}
		plot = r->cases[c].timed ? part_timed_timeline(r, c, &a) : NULL;
		if (!plot)
			continue;
		plot->height = 230;
		plot_caption(plot, "%s, by %s: medians over rounds with their 95 %% interval.",
			r->cases[c].name, r->cases[c].metric);
		plot_alt(plot,
			"Time per operation of %s over commits; steps that stand out are in the "
			"table above.",
			r->cases[c].name);
		page_plot(p, plot);
		drawn++;
	}
	commits_table(p, r, &a);
	free(timed.items), free(exact.items);
	axis_release(&a);
	return 0;
}
