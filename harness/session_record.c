/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/session_record.h"

#include "base/buf.h"
#include "harness/store_read.h"

#include <math.h>
#include <stdlib.h>

const struct session_disturbance session_round_quiet = { NAN, NAN, NAN };

static void sum(double *to, double v)
{
	if (!isnan(v))
		*to = isnan(*to) ? v : *to + v;
}

void session_round_add(struct session_disturbance *d, const struct session_samples *run)
{
	sum(&d->process_ns, session_samples_value(run, "process_wall_ns"));
	sum(&d->preemptions, session_samples_value(run, "involuntary_switches"));
	sum(&d->migrations, session_samples_value(run, "cpu_migrations"));
}

static struct stats_disturbance as_stats(const struct session_disturbance *d, struct store_opt steal_ns)
{
	return (struct stats_disturbance){
		.steal_ratio = steal_ns.known && d->process_ns > 0 ? (double)steal_ns.v / d->process_ns : NAN,
		.migrations = d->migrations,
		.preemptions = d->preemptions,
	};
}

unsigned session_round_judge(struct case_state *k, const struct session_disturbance *d, struct store_opt steal_ns, struct buf *why)
{
	struct stats_disturbance now = as_stats(d, steal_ns);
	unsigned flags = stats_disturbed(k->history, k->n_history, &now);
	x_grow(k->history, k->n_history, k->cap_history);
	k->history[k->n_history++] = now;
	if (flags & STATS_BY_STEAL)
		buf_printf(why, "steal %.1f %%; ", 100 * now.steal_ratio);
	if (flags & STATS_BY_MIGRATION)
		buf_printf(why, "%.0f migrations; ", now.migrations);
	if (flags & STATS_BY_PREEMPTION)
		buf_printf(why, "%.0f preemptions; ", now.preemptions);
	return flags;
}

static double real_or_nan(const struct store_rows *r, int column)
{
	return rows_null(r, column) ? NAN : rows_real(r, column);
}

static int load_rounds(struct session *s, struct case_state *k, struct error *e)
{
	struct store_rows *r = rows_open(s->store,
		"SELECT round.number, round.steal_ns, sum (sample.value) FILTER (WHERE metric.name = 'process_wall_ns'),"
		" sum (sample.value) FILTER (WHERE metric.name = 'involuntary_switches'),"
		" sum (sample.value) FILTER (WHERE metric.name = 'cpu_migrations')"
		" FROM round LEFT JOIN run ON run.round_id = round.id LEFT JOIN sample ON sample.run_id = run.id"
		" LEFT JOIN metric ON metric.id = sample.metric_id"
		" WHERE round.session_id = :session AND round.case_id = :case AND round.kind = 'timed'"
		" GROUP BY round.id ORDER BY round.number");
	rows_bind_int(r, ":session", s->id);
	rows_bind_int(r, ":case", k->id);
	int rc;
	while ((rc = rows_next(r, e)) > 0) {
		struct session_disturbance d = { real_or_nan(r, 2), real_or_nan(r, 3), real_or_nan(r, 4) };
		x_grow(k->history, k->n_history, k->cap_history);
		k->history[k->n_history++] = as_stats(&d, rows_opt(r, 1));
		k->next_round = (uint64_t)rows_int(r, 0) + 1;
		k->rounds_done++;
	}
	rows_close(r);
	return rc;
}

static struct session_cell *cell(struct case_state *k, int64_t arm_id)
{
	for (size_t i = 0; i < k->n_cells; i++)
		if (k->cells[i].arm_id == arm_id)
			return &k->cells[i];
	x_grow(k->cells, k->n_cells, k->cap_cells);
	k->cells[k->n_cells] = (struct session_cell){ .arm_id = arm_id };
	return &k->cells[k->n_cells++];
}

static int load_plan(struct session *s, struct case_state *k, struct error *e)
{
	struct store_rows *r = rows_open(s->store,
		"SELECT arm_id, planned_rounds, (SELECT count (DISTINCT round.id) FROM run JOIN round ON round.id = run.round_id"
		"  WHERE run.arm_id = session_cell.arm_id AND round.case_id = session_cell.case_id AND round.kind = 'timed')"
		" FROM session_cell WHERE session_id = :session AND case_id = :case AND kind = 'timed'");
	rows_bind_int(r, ":session", s->id);
	rows_bind_int(r, ":case", k->id);
	int rc;
	while ((rc = rows_next(r, e)) > 0) {
		struct session_cell *c = cell(k, rows_int(r, 0));
		c->planned = (size_t)rows_int(r, 1);
		c->done = (size_t)rows_int(r, 2);
	}
	rows_close(r);
	return rc;
}

void session_record_done(struct session *s, struct case_state *k, const size_t *arms, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cell(k, s->arms[arms[i]].id)->done++;
	k->next_round++;
	k->rounds_done++;
}

static int load_operations(struct session *s, struct case_state *k, struct error *e)
{
	struct store_rows *r = rows_open(s->store,
		"SELECT max (run.operations) FILTER (WHERE run.multiplier = 1 AND run.outcome = 'ok'), sum (run.outcome = '" SESSION_NOT_DOUBLED "') FROM round"
		" JOIN run ON run.round_id = round.id WHERE round.session_id = :session AND round.case_id = :case AND round.kind = 'timed'");
	rows_bind_int(r, ":session", s->id);
	rows_bind_int(r, ":case", k->id);
	int rc = rows_next(r, e);
	if (rc > 0) {
		k->operations = (uint64_t)rows_int(r, 0);
		k->never_doubles = rows_int(r, 1) > 0;
	}
	rows_close(r);
	return rc < 0 ? rc : 0;
}

int session_record_load(struct session *s, struct case_state *k, struct error *e)
{
	int rc = load_rounds(s, k, e);
	if (!rc)
		rc = load_operations(s, k, e);
	return rc ? rc : load_plan(s, k, e);
}

int session_record_plan(struct session *s, struct case_state *k, const size_t *arms, size_t n, size_t rounds, struct error *e)
{
	bool open = false;
	int rc = 0;
	for (size_t i = 0; !rc && i < n; i++) {
		struct session_cell *c = cell(k, s->arms[arms[i]].id);
		size_t want = rounds > c->done ? rounds : c->done + 1;
		if (c->planned >= want)
			continue;
		if (!open)
			rc = store_begin(s->store, e);
		open = !rc;
		if (!rc)
			rc = store_cell(s->store, s->id, c->arm_id, k->id, STORE_TIMED, (int64_t)want, e);
		if (!rc)
			c->planned = want;
	}
	if (open && rc)
		store_rollback(s->store);
	else if (open)
		rc = store_commit(s->store, e);
	return rc;
}
