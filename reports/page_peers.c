/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/parts.h"
#include "reports/plot.h"

#include "base/buf.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A revision beside installed allocators: the newest session of 'hakperf peers'. */

#define WRONG_USE "wrong_use/"

static bool is_workload(const struct record *r, size_t c)
{
	return strncmp(r->cases[c].workload, WRONG_USE, strlen(WRONG_USE)) != 0;
}

static bool was_timed(const struct record *r, size_t arm)
{
	for (size_t c = 0; c < r->n_cases; c++)
		if (is_workload(r, c) && record_timed_of(r, c, arm)->n)
			return true;
	return false;
}

/* The arm's count, or that of the arm "LABEL (ENVIRONMENT)" which makes it repeat; *marked: the latter. */
static const struct record_exact *count_of(
	const struct record *r, size_t c, size_t arm, bool *marked)
{
	size_t n = strlen(r->arms[arm].label);
	*marked = false;
	if (record_exact_of(r, c, arm)->counted)
		return record_exact_of(r, c, arm);
	for (size_t i = 0; i < r->n_arms; i++)
		if (!strncmp(r->arms[i].label, r->arms[arm].label, n) &&
			!strncmp(r->arms[i].label + n, " (", 2) &&
			record_exact_of(r, c, i)->counted) {
			*marked = true;
			return record_exact_of(r, c, i);
		}
	return record_exact_of(r, c, arm);
}

static int peak_of(const struct record *r, size_t c, size_t arm, double *out, struct error *e)
{
	struct store_rows *q = rows_open(r->store,
		"SELECT median FROM arm_summary JOIN metric ON metric.id = metric_id WHERE session_id = :session"
		" AND case_id = :case AND kind = 'timed' AND arm_id = :arm AND multiplier = 1"
		" AND metric.name = 'peak_rss_bytes'");
	rows_bind_int(q, ":session", r->session->id);
	rows_bind_int(q, ":case", r->cases[c].id);
	rows_bind_int(q, ":arm", r->arms[arm].id);
	int rc = rows_next(q, e);
	*out = rc > 0 && !rows_null(q, 0) ? rows_real(q, 0) : NAN;
	rows_close(q);
	return rc < 0 ? rc : 0;
}

static int peer_row(struct table *t, const struct record *r, size_t c, size_t arm, bool *any_marked,
	struct error *e)
{
	const struct record_timed *timed = record_timed_of(r, c, arm);
	bool marked;
	const struct record_exact *x = count_of(r, c, arm, &marked);
	double peak;
	int rc = peak_of(r, c, arm, &peak, e);
	if (rc)
		return rc;
	table_begin_row(t);
	table_cell_text(t, "%s", r->arms[arm].label);
	struct figure f = part_timed_figure(&r->cases[c], timed);
	line_figure(table_cell(t), &f);
	struct line *l = table_cell(t);
	if (x->counted) {
		f = part_exact_figure(x);
		line_figure(l, &f);
		if (marked)
			line_text(l, " *");
		*any_marked |= marked;
	} else {
		line_text(l, "–");
	}
	l = table_cell(t);
	if (isfinite(peak))
		line_figure(l, &(struct figure){ .value = peak / 1048576,
				       .unit = "MiB",
				       .metric = "peak_rss_bytes",
				       .source = "VmHWM",
				       .rounds = (int64_t)timed->n,
				       .lo = NAN,
				       .hi = NAN,
				       .decimals = 1,
				       .bare = true });
	else
		line_text(l, "–");
	if (!arm) {
		table_cell_text(t, "–");
		table_cell_text(t, "–");
	} else {
		struct record_change ch;
		rc = record_change(r, c, arm, 0, &ch, e);
		if (!rc)
			part_change_cells(t, &r->cases[c], &ch);
	}
	table_cell_text(t, "%zu", timed->n);
	return rc;
}

static int tables(struct page *p, const struct record *r, struct error *e)
{
	bool marked = false;
	int rc = 0;
	page_heading(p, 2, "By workload");
	for (size_t c = 0; !rc && c < r->n_cases; c++) {
		if (!is_workload(r, c) || !r->cases[c].timed)
			continue;
		struct table *t = page_table(p, "%s: %s", r->cases[c].name, r->cases[c].words);
		table_column(t, ALIGN_LEFT, "allocator");
		table_column(t, ALIGN_RIGHT, "%s", record_cost_unit(&r->cases[c]));
		table_column(t, ALIGN_RIGHT, "instructions/op");
		table_column(t, ALIGN_RIGHT, "peak, MiB");
		table_column(t, ALIGN_RIGHT, "cost of %s against it", r->arms[0].label);
		table_column(t, ALIGN_LEFT, "verdict");
		table_column(t, ALIGN_RIGHT, "rounds");
		for (size_t arm = 0; !rc && arm < r->n_arms; arm++)
			if (record_timed_of(r, c, arm)->n)
				rc = peer_row(t, r, c, arm, &marked, e);
	}
	if (!rc && marked)
		line_text(page_note(p), "* counted with the purging by the clock switched off, "
					"which is on in the timed runs.");
	return rc;
}

/* One place a workload, one sign an allocator: how much more the subject gets done. */
static int picture(struct page *p, const struct record *r, struct error *e)
{
	struct plot *plot = plot_new(PLOT_TIMELINE, "Beside other allocators", "workload",
		"throughput, subject / other");
	size_t at = 0, told = 0;
	int rc = 0;
	plot->from_zero = true;
	for (size_t c = 0; c < r->n_cases; c++)
		if (is_workload(r, c) && r->cases[c].timed)
			plot_add_tick(plot, (double)at++, false, r->cases[c].name);
	plot->x_lo = -0.5, plot->x_hi = (double)at - 0.5;
	for (size_t arm = 1; !rc && arm < r->n_arms; arm++) {
		if (!was_timed(r, arm))
			continue;
		struct plot_series *s = plot_add_series(plot, r->arms[arm].label,
			(enum plot_mark)(told % 5), (int)(told % 8), false);
		double shift = 0.12 * ((double)(told % 5) - 2);
		told++;
		at = 0;
		for (size_t c = 0; !rc && c < r->n_cases; c++) {
			struct record_change ch = { 0 };
			if (!is_workload(r, c) || !r->cases[c].timed)
				continue;
			if (record_timed_of(r, c, arm)->n)
				rc = record_change(r, c, arm, 0, &ch, e);
			/* The change is one of cost: throughput is its inverse. */
			if (!rc && ch.known && ch.ratio > 0)
				plot_add_point(s, (double)at + shift, 1 / ch.ratio,
					isfinite(ch.hi) ? 1 / ch.hi : NAN,
					ch.lo > 0 && isfinite(ch.hi) ? 1 / ch.lo : NAN,
					"%s, %s: %.2f times, %s", r->arms[arm].label,
					r->cases[c].name, 1 / ch.ratio, ch.verdict);
			at++;
		}
	}
	plot_caption(plot,
		"how many times the throughput of each other allocator %s has; 1 is the same, "
		"above is more. Bars are always-valid intervals of paired rounds.",
		r->arms[0].label);
	plot_alt(plot, "Throughput of %s over that of each other allocator, by workload; the "
		       "tables below have the figures.",
		r->arms[0].label);
	if (rc || plot_empty(plot))
		plot_free(plot);
	else
		page_plot(p, plot);
	return rc;
}

static int wrong_use(struct page *p, const struct record *r, struct error *e)
{
	struct table *t = NULL;
	struct store_rows *q = rows_open(r->store,
		"SELECT session_arm.label, workload.name, run.outcome, coalesce(run.detail, '') FROM round"
		" JOIN run ON run.round_id = round.id JOIN session_arm ON session_arm.id = run.arm_id"
		" JOIN bench_case ON bench_case.id = round.case_id"
		" JOIN workload ON workload.id = bench_case.workload_id"
		" WHERE round.session_id = :session AND workload.name LIKE '" WRONG_USE "%'"
		" ORDER BY session_arm.number, workload.name");
	rows_bind_int(q, ":session", r->session->id);
	int rc;
	while ((rc = rows_next(q, e)) > 0) {
		if (!t) {
			page_heading(p, 2, "Wrong use");
			t = page_table(p, "What each does about a double free, an interior and a wild "
					  "pointer, blocks of 128 bytes");
			table_column(t, ALIGN_LEFT, "allocator");
			table_column(t, ALIGN_LEFT, "wrong use");
			table_column(t, ALIGN_LEFT, "outcome");
			table_column(t, ALIGN_LEFT, "its words");
		}
		table_begin_row(t);
		table_cell_text(t, "%s", rows_text(q, 0));
		char *name = x_strdup(rows_text(q, 1) + strlen(WRONG_USE));
		for (char *c = name; *c; c++)
			if (*c == '_')
				*c = ' ';
		table_cell_text(t, "%s", name);
		free(name);
		table_cell_text(t, "%s", rows_text(q, 2));
		struct line *l = table_cell(t);
		if (*rows_text(q, 3))
			line_quote(l, "%s", rows_text(q, 3));
	}
	rows_close(q);
	return rc;
}

static void answer(struct page *p, const struct record *r)
{
	size_t faster = 0, slower = 0, same = 0, open = 0;
	for (size_t c = 0; c < r->n_cases; c++)
		for (size_t arm = 1; is_workload(r, c) && arm < r->n_arms; arm++) {
			struct record_change ch;
			struct error quiet = { 0 };
			if (!record_timed_of(r, c, arm)->n ||
				record_change(r, c, arm, 0, &ch, &quiet) || !ch.known)
				continue;
			faster += !strcmp(ch.verdict, "improvement");
			slower += !strcmp(ch.verdict, "regression");
			same += !strcmp(ch.verdict, "no change");
			open += !strcmp(ch.verdict, "unclear") || !strcmp(ch.verdict, "invalid");
		}
	if (!(faster + slower + same + open))
		return;
	struct line *l = page_open_answer(p, TONE_NONE, "In throughput");
	line_text(l, "%s is faster than another in %zu, slower in %zu, the same in %zu of %zu pairs of "
		     "workload and allocator; %zu are not decided.",
		r->arms[0].label, faster, slower, same, faster + slower + same + open, open);
	page_close(p);
}

int page_peers(struct report *rp, struct page **out, struct error *e)
{
	struct record r = { 0 };
	char when[32];
	int64_t id = 0;
	int rc = record_newest(rp->store, "peers", &id, e);
	if (!rc && !id)
		rc = error_set(e, -ENOENT,
			"no session of the record stands a revision beside other allocators: 'hakperf "
			"peers' does");
	if (!rc)
		rc = record_load(rp->store, id, &r, e);
	if (!rc && !r.n_arms)
		rc = error_set(e, -ENOENT, "session %lld measured nothing", (long long)id);
	if (!rc) {
		struct page *p = *out =
			page_new("peers", "%s beside other allocators", r.arms[0].label);
		struct line *l = page_lead(p);
		part_commit(l, r.arms[0].commit ? r.arms[0].commit : r.arms[0].label,
			r.arms[0].subject, r.arms[0].phase);
		line_text(l,
			". Side by side in session %lld, %s. The files of others cannot be relinked: "
			"their layout is fixed, and a per cent or two may be its.",
			(long long)id, part_time(r.session->started_s, when));
		answer(p, &r);
		rc = picture(p, &r, e);
		if (!rc)
			rc = tables(p, &r, e);
		if (!rc)
			rc = wrong_use(p, &r, e);
		if (!rc) {
			page_heading(p, 2, "The machine");
			rc = part_machine(p, &r, true, e);
		}
	}
	record_release(&r);
	return rc;
}
