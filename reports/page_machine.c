/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What was counted and where from, how noisy it was, what disturbed it; and what else is in the
 * record. */

/* Of very many runs every so manieth is looked at: the same metrics are read from all. */
static int counted(struct page *p, const struct record *r, struct error *e)
{
	struct store_rows *q = rows_open(r->store,
		"SELECT metric.name, metric.unit, metric.description, source.name, found.quality "
		"FROM"
		" (SELECT DISTINCT sample.metric_id AS metric_id, sample.source_id AS source_id, "
		"sample.quality AS quality FROM round CROSS JOIN run ON run.round_id = round.id"
		"  CROSS JOIN sample ON sample.run_id = run.id WHERE round.session_id = :session "
		"AND run.id % :stride = 0) AS found"
		" JOIN metric ON metric.id = found.metric_id JOIN source ON source.id = "
		"found.source_id ORDER BY metric.id, source.id");
	rows_bind_int(q, ":session", r->session->id);
	rows_bind_int(q, ":stride", 1 + r->session->runs / 5000);
	struct table *t = page_table(p,
		"What was counted in session %lld. Quality: exact repeats to the last digit, "
		"estimated is a stand-in that says so.",
		(long long)r->session->id);
	table_column(t, ALIGN_LEFT, "metric");
	table_column(t, ALIGN_LEFT, "unit");
	table_column(t, ALIGN_LEFT, "source");
	table_column(t, ALIGN_LEFT, "quality");
	table_column(t, ALIGN_LEFT, "what it is");
	int rc;
	while ((rc = rows_next(q, e)) > 0) {
		table_begin_row(t);
		table_cell_text(t, "%s", rows_text(q, 0));
		table_cell_text(t, "%s", rows_text(q, 1));
		table_cell_text(t, "%s", rows_text(q, 3));
		table_cell_text(t, "%s", rows_text(q, 4));
		table_cell_text(t, "%s", rows_text(q, 2));
	}
	rows_close(q);
	return rc;
}

static int disturbed(struct page *p, const struct record *r, struct error *e)
{
	enum { MOST = 50 };
	struct store_rows *q = rows_open(r->store,
		"SELECT case_id, number, disturbed_why, load_1min, steal_ns FROM round WHERE "
		"session_id = :session AND disturbed"
		" ORDER BY id LIMIT 51");
	rows_bind_int(q, ":session", r->session->id);
	struct table *t = NULL;
	int rc;
	size_t n = 0;
	while ((rc = rows_next(q, e)) > 0 && ++n <= MOST) {
		if (!t) {
			page_heading(p, 2, "Disturbed rounds");
			t = page_table(p,
				"Left out of every figure, by a rule that looks at the host and "
				"never at the figure");
			table_column(t, ALIGN_LEFT, "workload");
			table_column(t, ALIGN_RIGHT, "round");
			table_column(t, ALIGN_LEFT, "why");
			table_column(t, ALIGN_RIGHT, "load");
		}
		size_t c = 0;
		while (c < r->n_cases && r->cases[c].id != rows_int(q, 0))
			c++;
		table_begin_row(t);
		table_cell_text(t, "%s", c < r->n_cases ? r->cases[c].name : "?");
		table_cell_text(t, "%lld", (long long)rows_int(q, 1));
		table_cell_text(t, "%s", rows_text(q, 2) ? rows_text(q, 2) : "");
		if (rows_null(q, 3))
			line_toned(table_cell(t), TONE_DIM, "–");
		else
			table_cell_text(t, "%.2f", rows_real(q, 3));
	}
	rows_close(q);
	if (n > MOST)
		line_text(page_note(p), "The first %d of them.", MOST);
	if (rc >= 0 && !n)
		line_text(page_paragraph(p), "No round of this session was disturbed.");
	return rc < 0 ? rc : 0;
}

static int sessions(struct page *p, struct store *s, struct error *e)
{
	enum { MOST = 30 };
	struct store_session_rows rows = { 0 };
	int rc = store_sessions(s, (struct store_opt){ 0 }, &rows, e);
	if (rc)
		return rc;
	page_heading(p, 2, "What else is in the record");
	struct table *t = page_table(
		p, "Sessions, newest first%s", rows.n > MOST ? " (the newest thirty)" : "");
	table_column(t, ALIGN_LEFT, "session");
	table_column(t, ALIGN_LEFT, "verb");
	table_column(t, ALIGN_LEFT, "began");
	table_column(t, ALIGN_LEFT, "state");
	table_column(t, ALIGN_RIGHT, "arms");
	table_column(t, ALIGN_RIGHT, "rounds");
	table_column(t, ALIGN_RIGHT, "runs");
	for (size_t i = 0; i < rows.n && i < MOST; i++) {
		const struct store_session_row *k = &rows.items[i];
		char when[32];
		table_begin_row(t);
		table_cell_text(t, "%lld", (long long)k->id);
		table_cell_text(t, "%s", k->verb);
		table_cell_text(t, "%s", part_time(k->started_s, when));
		table_cell_text(t, "%s", k->state);
		table_cell_text(t, "%lld", (long long)k->arms);
		table_cell_text(t, "%lld", (long long)k->rounds);
		table_cell_text(t, "%lld", (long long)k->runs);
	}
	store_free(rows.pool);
	return 0;
}

int page_machine(struct report *rp, struct page **out, struct error *e)
{
	if (!rp->has_run)
		return error_set(e, -ENOENT,
			"the record has no session to tell of: 'hakperf run' makes one");
	struct page *p = *out =
		page_new("machine", "The machine: what it counted and how noisy it was");
	int rc = part_machine(p, &rp->run, false, e);
	if (!rc)
		rc = counted(p, &rp->run, e);
	if (!rc)
		rc = disturbed(p, &rp->run, e);
	return rc ? rc : sessions(p, rp->store, e);
}
