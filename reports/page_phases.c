/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/parts.h"

#include "base/buf.h"
#include "harness/metric.h"
#include "reports/functions.h"
#include "reports/plot.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every revision of the main session × every case: what each cost, against the one before and
 * against the base. */

/* The chosen one where it was timed, else the first that was. */
static size_t base_arm(const struct record *r, size_t c, size_t chosen)
{
	if (record_timed_of(r, c, chosen)->n)
		return chosen;
	for (size_t a = 0; a < r->n_arms; a++)
		if (record_timed_of(r, c, a)->n)
			return a;
	return r->n_arms;
}

static int detail_table(
	struct report *rp, struct page *p, size_t c, size_t chosen, struct error *e)
{
	const struct record *r = &rp->run;
	const struct record_case *k = &r->cases[c];
	struct table *t = page_table(p,
		"%s, by %s (%s). Change: paired within rounds, with the always-valid interval at "
		"%.3g %%; noise: twice the spread of A/A pairs.",
		k->words, k->metric, k->source,
		r->session->confidence.known ? 100 * r->session->confidence.v : 99.5);
	table_column(t, ALIGN_LEFT, "revision");
	table_column(t, ALIGN_RIGHT, "median, %s", record_cost_unit(k));
	if (k->inverse)
		table_column(t, ALIGN_RIGHT, "M ops/s");
	table_column(t, ALIGN_RIGHT, "rounds");
	table_column(t, ALIGN_RIGHT, "against the one before");
	table_column(t, ALIGN_LEFT, "verdict");
	table_column(t, ALIGN_LEFT, "beyond noise");
	table_column(t, ALIGN_RIGHT, "against %s", r->arms[base_arm(r, c, chosen)].label);
	table_column(t, ALIGN_LEFT, "verdict");
	size_t base = base_arm(r, c, chosen), before = r->n_arms;
	int rc = 0;
	for (size_t a = 0; !rc && a < r->n_arms; a++) {
		const struct record_timed *v = record_timed_of(r, c, a);
		struct record_change to_before = { 0 }, to_base = { 0 };
		if (!v->n)
			continue;
		part_row_head(t, &r->arms[a]);
		struct figure f = part_timed_figure(k, v);
		struct line *l = table_cell(t);
		line_figure(l, &f);
		if (!isnan(v->lo))
			line_small(l, "[%.4g, %.4g]", v->lo, v->hi);
		if (k->inverse)
			table_cell_text(t, "%.1f", 1e3 / v->median);
		table_cell_text(t, "%zu", v->n);
		if (before < r->n_arms)
			rc = record_change(r, c, before, a, &to_before, e);
		if (!rc && a != base)
			rc = record_change(r, c, base, a, &to_base, e);
		if (rc)
			break;
		part_change_cells(t, k, &to_before);
		part_noise_cell(t, k, &to_before);
		part_change_cells(t, k, &to_base);
		rp->worse |= to_before.known && !strcmp(to_before.verdict, "regression");
		before = a;
	}
	return rc;
}

static void waterfall(struct page *p, const struct record *r, size_t c)
{
	struct plot *plot = plot_new(PLOT_WATERFALL, "What each revision cost.",
		"revisions, in order", "instructions per operation");
	struct plot_series *s =
		plot_add_series(plot, "instructions per operation", PLOT_SQUARE, 0, false);
	double before = NAN;
	size_t n = 0;
	char id[16];
	for (size_t a = 0; a < r->n_arms; a++) {
		const struct record_exact *x = record_exact_of(r, c, a);
		if (!x->counted)
			continue;
		plot_add_point(s, (double)n, isnan(before) ? x->per_op : x->per_op - before, NAN,
			NAN, "%s %s: %+.2f to %.2f instructions/op", r->arms[a].label,
			r->arms[a].subject ? r->arms[a].subject : "",
			isnan(before) ? 0 : x->per_op - before, x->per_op);
		plot_add_tick(plot, (double)n++, false,
			strlen(r->arms[a].label) >= 40 ? short_id(r->arms[a].label, id)
						       : r->arms[a].label);
		before = x->per_op;
	}
	plot->x_lo = -0.6, plot->x_hi = (double)n - 0.4;
	if (n < 2) {
		plot_free(plot);
		return;
	}
	plot_caption(plot,
		"%s, exact counts. The first bar is what the first revision costs; each further one hangs "
		"from where the last ended: up is dearer, down cheaper, none is no change.",
		r->cases[c].name);
	plot_alt(plot,
		"Waterfall of the change in instructions per operation, revision by revision.");
	page_plot(p, plot);
}

static double heat_cost(const struct record *r, size_t c, size_t a, bool exact)
{
	if (!exact)
		return record_timed_of(r, c, a)->median;
	return record_exact_of(r, c, a)->counted ? record_exact_of(r, c, a)->per_op : NAN;
}

/* Rows are cases; a cell is its cost against the base's. */
static void heat(struct page *p, const struct record *r, size_t chosen, bool exact)
{
	double least = INFINITY, most = -INFINITY;
	size_t rows = 0, n = r->n_arms;
	if (n < 2 || n > 100)
		return;
	double *ratio = x_calloc(r->n_cases * n + 1, sizeof(*ratio));
	for (size_t c = 0; c < r->n_cases; c++) {
		double base = heat_cost(r, c, chosen, exact);
		for (size_t a = 0; a < n; a++) {
			double v = heat_cost(r, c, a, exact);
			base = isnan(base) ? v : base;
			ratio[c * n + a] = v / base;
			least = fmin(least, ratio[c * n + a]), most = fmax(most, ratio[c * n + a]);
		}
		rows += exact ? r->cases[c].exact : r->cases[c].timed;
	}
	if (rows < 2 || !(most > least)) {
		free(ratio);
		return;
	}
	struct plot *plot = plot_new(PLOT_HEAT,
		exact ? "Instructions, size class by phase." : "Time, workload by phase.",
		"revisions, in order", "");
	struct plot_series *s =
		plot_add_series(plot, "cost against the base", PLOT_SQUARE, 0, false);
	size_t row = 0;
	char id[16];
	for (size_t c = 0; c < r->n_cases; c++) {
		if (!(exact ? r->cases[c].exact : r->cases[c].timed))
			continue;
		for (size_t a = 0; a < n; a++)
			plot_add_cell(s, (double)a, (double)row,
				(ratio[c * n + a] - least) / (most - least),
				"%s, %s: %+.1f %% against %s", r->cases[c].name,
				r->arms[a].label, 100 * (ratio[c * n + a] - 1), r->arms[chosen].label);
		plot_add_row(plot, (double)row++, r->cases[c].name);
	}
	for (size_t a = 0; a < n; a++)
		plot_add_tick(plot, (double)a, false,
			strlen(r->arms[a].label) >= 40 ? short_id(r->arms[a].label, id)
						       : r->arms[a].label);
	plot->x_lo = -0.6, plot->x_hi = (double)n - 0.4, plot->height = (int)(130 + 24 * rows);
	plot_caption(plot,
		"Cost against %s: the faintest cell is %+.1f %%, the strongest "
		"%+.1f %%. %s",
		r->arms[chosen].label, 100 * (least - 1), 100 * (most - 1),
		exact ? "Exact counts."
		      : "Medians of this session; the tables tell which of these differences can "
			"be trusted.");
	plot_alt(plot, "Heat map of costs by case and revision; the tables have the figures.");
	page_plot(p, plot);
	free(ratio);
}

static int functions(struct report *rp, struct page *p, size_t c, struct error *e)
{
	const struct record *r = &rp->run;
	size_t before = r->n_arms, told = 0;
	int rc = 0;
	for (size_t a = 0; !rc && a < r->n_arms && told < 40; a++) {
		const struct record_exact *x = record_exact_of(r, c, a);
		if (!x->counted)
			continue;
		if (before < r->n_arms &&
			fabs(x->per_op - record_exact_of(r, c, before)->per_op) >= 0.005) {
			struct line *l;
			char caption[256];
			if (!told++)
				page_heading(p, 2, "Which functions a step is made of");
			l = page_open_details(p);
			line_text(l, "%s to %s: %+.2f instructions per operation",
				r->arms[before].label, r->arms[a].label,
				x->per_op - record_exact_of(r, c, before)->per_op);
			snprintf(caption, sizeof(caption),
				"Self instructions per operation on %s, by callgrind; the largest "
				"changes",
				r->cases[c].name);
			bool any;
			rc = functions_table(r->store, p, r->cases[c].id, r->arms[before].build_id,
				r->arms[a].build_id, 8, caption, &any, e);
			if (!rc && !any)
				line_text(page_note(p),
					"The record has no functions of one of the two.");
			page_close(p);
		}
		before = a;
	}
	return rc;
}

struct side_metric {
	const char *name, *head;
	double scale;
	bool per_operation;
	int decimals;
};

/* Of the metrics beside the judged one: what was counted of them, by revision. */
static int beside(struct page *p, const struct record *r, size_t c, struct error *e)
{
	static const struct side_metric wanted[] = {
		{ "ops_per_cpu_s", "M ops/s of CPU time", 1e-6, false, 1 },
		{ "ops_per_s", "M ops/s of wall time", 1e-6, false, 1 },
		{ "cycles", "cycles/op (PMU)", 1, true, 2 },
		{ "instructions", "instructions/op (PMU)", 1, true, 2 },
		{ "branch-misses", "branch misses/op", 1, true, 4 },
		{ "core_cycles_est", "core cycles/op, estimated", 1, true, 2 },
		{ "page_faults", "page faults a run", 1, false, 0 },
		{ "sys_ns", "system time a run, ms", 1e-6, false, 2 },
		{ "peak_rss_bytes", "peak memory, MiB", 1.0 / 1048576, false, 2 },
	};
	enum { N = sizeof(wanted) / sizeof(wanted[0]) };
	struct store_medians all[N] = { 0 };
	int rc = 0;
	size_t there = 0;
	double *value = x_calloc(N * r->n_arms + 1, sizeof(*value));
	int64_t *runs = x_calloc(N * r->n_arms + 1, sizeof(*runs));
	bool has[N] = { false };
	for (size_t i = 0; i < N * r->n_arms; i++)
		value[i] = NAN;
	for (size_t m = 0; !rc && m < N; m++) {
		rc = store_medians(r->store, STORE_INT(r->session->id), STORE_TIMED, wanted[m].name,
			&all[m], e);
		for (size_t i = 0; !rc && i < all[m].n; i++) {
			const struct store_median *k = &all[m].items[i];
			for (size_t a = 0;
				k->case_id == r->cases[c].id && k->multiplier == 1 && a < r->n_arms;
				a++)
				if (r->arms[a].id == k->arm_id &&
					(!wanted[m].per_operation || k->per_operation.known)) {
					value[m * r->n_arms + a] = wanted[m].scale *
						(wanted[m].per_operation ? k->per_operation.v
									 : k->median);
					runs[m * r->n_arms + a] = k->runs;
					there += !has[m], has[m] = true;
				}
		}
		store_free(all[m].pool);
	}
	if (!rc && there) {
		struct table *t = page_table(p,
			"%s: medians over its rounds of what was measured beside. A metric without "
			"a column was not counted here.",
			r->cases[c].name);
		table_column(t, ALIGN_LEFT, "revision");
		for (size_t m = 0; m < N; m++)
			if (has[m])
				table_column(t, ALIGN_RIGHT, "%s", wanted[m].head);
		for (size_t a = 0; a < r->n_arms; a++) {
			part_row_head(t, &r->arms[a]);
			for (size_t m = 0; m < N; m++) {
				if (!has[m])
					continue;
				struct figure f = { .value = value[m * r->n_arms + a],
					.metric = wanted[m].name,
					.lo = NAN,
					.hi = NAN,
					.rounds = runs[m * r->n_arms + a],
					.decimals = wanted[m].decimals,
					.bare = true,
					.unit = wanted[m].head };
				line_figure(table_cell(t), &f);
			}
		}
	}
	free(value), free(runs);
	return rc;
}

int page_phases(struct report *rp, const char *argument, struct page **out, struct error *e)
{
	const struct record *r = &rp->run;
	if (!rp->has_run)
		return error_set(e, -ENOENT,
			"the record has no session to tell of: 'hakperf run' makes one");
	size_t base = argument ? record_find_arm(r, argument) : 0;
	if (argument && base >= r->n_arms)
		return error_set(e, -ENOENT,
			"session %lld measured no '%s': the base is one of its revisions",
			(long long)r->session->id, argument);
	struct page *p = *out = page_new("phases", "Phases: every revision, every workload");
	line_text(page_lead(p),
		"Session %lld: %zu revisions, %zu cases. The base is %s. Less "
		"is better in every column but operations per second.",
		(long long)r->session->id, r->n_arms, r->n_cases,
		r->n_arms ? r->arms[base].label : "none");
	size_t exact = r->n_cases, timed = r->n_cases;
	for (size_t c = r->n_cases; c-- > 0;) {
		exact = r->cases[c].exact ? c : exact;
		timed = r->cases[c].timed ? c : timed;
	}
	/* A case that was both counted and timed tells most. */
	for (size_t c = 0; c < r->n_cases; c++)
		if (r->cases[c].exact && r->cases[c].timed) {
			exact = timed = c;
			break;
		}
	int rc = 0;
	if (exact < r->n_cases) {
		page_heading(p, 2, "Instructions");
		if (r->n_arms <= 64)
			waterfall(p, r, exact);
		heat(p, r, base, true);
		rc = functions(rp, p, exact, e);
	}
	if (!rc && timed < r->n_cases) {
		page_heading(p, 2, "Time");
		heat(p, r, base, false);
		for (size_t c = 0; !rc && c < r->n_cases && r->n_arms <= RECORD_MANY_ARMS; c++) {
			if (!r->cases[c].timed)
				continue;
			page_heading(p, 3, "%s", r->cases[c].name);
			struct plot *plot =
				r->n_arms > 2 ? part_timed_timeline(r, c, &rp->axis) : NULL;
			if (plot) {
				plot->height = 250;
				plot_caption(plot,
					"%s, by %s: medians over rounds with their 95 %% interval.",
					r->cases[c].name, r->cases[c].metric);
				plot_alt(plot,
					"Time per operation of %s over revisions; the table below "
					"has the figures.",
					r->cases[c].name);
				page_plot(p, plot);
			}
			rc = detail_table(rp, p, c, base, e);
		}
		if (!rc && r->n_arms > RECORD_MANY_ARMS)
			line_text(page_paragraph(p),
				"With %zu revisions, the history page tells each workload by its "
				"steps.",
				r->n_arms);
	}
	if (!rc && timed < r->n_cases && r->n_arms <= RECORD_MANY_ARMS) {
		page_heading(p, 2, "Beside time");
		for (size_t c = 0; !rc && c < r->n_cases; c++)
			if (r->cases[c].timed) {
				line_text(page_open_details(p), "%s", r->cases[c].name);
				rc = beside(p, r, c, e);
				page_close(p);
			}
	}
	return rc;
}
