/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "cli/account.h"
#include "cli/table.h"
#include "harness/store_read.h"

#include <math.h>
#include <stdlib.h>

/* Runs of N and 2N in each round: what one operation adds, start-up left out. */
#define ROUNDS 5

int accounting_time(struct accounting *x, const char *verb, double lock_wait_s, struct error *e)
{
	struct measure *m = &x->m;
	json_t *request = json_pack("{s:s, s:i}", "for", "account", "rounds", ROUNDS),
	       *cases = json_array();
	char name[128];
	for (size_t k = 0; k < m->n_cases; k++)
		if (m->cases[k].timed)
			json_array_append_new(cases, json_string(bench_case_name(
							     &m->cases[k].c, name, sizeof(name))));
	json_object_set_new(request, "cases", cases);
	int rc = measure_open(m, verb, request, NULL, lock_wait_s, e);
	json_decref(request);
	if (!rc)
		rc = measure_timed(m, ROUNDS, 0, SESSION_DOUBLE_ALL, e);
	x->timed = !rc;
	return rc;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/*
 * What one operation adds to a metric, round by round: (2N - N) / operations, ascending. Returns
 * how many rounds, -errno.
 */
static int slopes(struct measure *m, size_t k, size_t arm, const char *metric, double *out,
		  size_t max, struct error *e)
{
	static const char sql[] = "SELECT sum (CASE run.multiplier WHEN 2 THEN sample.value ELSE "
				  "-sample.value END),"
				  " sum (CASE run.multiplier WHEN 2 THEN run.operations ELSE "
				  "-run.operations END)"
				  " FROM round CROSS JOIN run ON run.round_id = round.id CROSS "
				  "JOIN sample ON sample.run_id = run.id"
				  " CROSS JOIN metric ON metric.id = sample.metric_id"
				  " WHERE round.session_id = :session AND round.case_id = :case "
				  "AND round.kind = 'timed' AND run.outcome = 'ok'"
				  " AND run.multiplier IN (1, 2) AND run.arm_id = :arm AND "
				  "metric.name = :metric"
				  " GROUP BY round.id HAVING count (*) = 2 ORDER BY round.id";
	struct store_rows *r = rows_open(m->p->store, sql);
	rows_bind_int(r, ":session", session_id(m->session));
	rows_bind_int(r, ":case", session_case_id(m->session, m->cases[k].index));
	rows_bind_int(r, ":arm", session_arm_id(m->session, m->arms[arm].arm));
	rows_bind_text(r, ":metric", metric);
	size_t n = 0;
	int rc;
	while ((rc = rows_next(r, e)) > 0)
		if (n < max && !rows_null(r, 1) && rows_int(r, 1) > 0)
			out[n++] = rows_real(r, 0) / (double)rows_int(r, 1);
	rows_close(r);
	qsort(out, n, sizeof(*out), by_value);
	return rc < 0 ? rc : (int)n;
}

/* CPU time of runs of N, ascending: what there is of a program that tells no operations. */
static int run_times(struct measure *m, size_t k, size_t arm, double *out, size_t max,
		     struct error *e)
{
	static const char sql[] = "SELECT sample.value FROM round CROSS JOIN run ON run.round_id = "
				  "round.id CROSS JOIN sample ON sample.run_id = run.id"
				  " CROSS JOIN metric ON metric.id = sample.metric_id"
				  " WHERE round.session_id = :session AND round.case_id = :case "
				  "AND round.kind = 'timed' AND run.outcome = 'ok'"
				  " AND run.multiplier = 1 AND run.arm_id = :arm AND metric.name = "
				  "'cpu_ns' AND run.operations IS NULL ORDER BY round.id";
	struct store_rows *r = rows_open(m->p->store, sql);
	rows_bind_int(r, ":session", session_id(m->session));
	rows_bind_int(r, ":case", session_case_id(m->session, m->cases[k].index));
	rows_bind_int(r, ":arm", session_arm_id(m->session, m->arms[arm].arm));
	size_t n = 0;
	int rc;
	while ((rc = rows_next(r, e)) > 0)
		if (n < max)
			out[n++] = rows_real(r, 0);
	rows_close(r);
	qsort(out, n, sizeof(*out), by_value);
	return rc < 0 ? rc : (int)n;
}

static bool cost_of(const char *metric, const double *v, int n, struct accounting_cost *out)
{
	if (n <= 0)
		return false;
	*out = (struct accounting_cost){ .metric = metric,
					 .per_op = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2,
					 .least = v[0],
					 .most = v[n - 1],
					 .rounds = (size_t)n };
	return true;
}

bool accounting_cost(struct accounting *x, size_t k, size_t arm, const char *metric,
		     struct accounting_cost *out, struct error *e)
{
	double v[64];
	int n = x->timed && x->m.cases[k].timed && x->m.arms[arm].ok
			? slopes(&x->m, k, arm, metric, v, 64, e)
			: 0;
	return cost_of(metric, v, n, out);
}

bool accounting_run_time(struct accounting *x, size_t k, size_t arm, struct accounting_cost *out,
			 struct error *e)
{
	double v[64];
	int n = x->timed && x->m.cases[k].timed && x->m.arms[arm].ok
			? run_times(&x->m, k, arm, v, 64, e)
			: 0;
	return cost_of("cpu_ns", v, n, out);
}

bool accounting_cycles(struct accounting *x, size_t k, size_t arm, struct accounting_cost *out,
		       struct error *e)
{
	return accounting_cost(x, k, arm, "cycles", out, e) ||
	       accounting_cost(x, k, arm, "core_cycles_est", out, e);
}

static void cost_row(struct accounting *x, struct table *t, size_t k, size_t arm, struct error *e)
{
	struct accounting_cost c, ns, misses;
	char name[128], n[7][64];
	const struct account_count *a = accounting_of(x, k, arm);
	bench_case_name(&x->m.cases[k].c, name, sizeof(name));
	if (accounting_run_time(x, k, arm, &c, e)) {
		snprintf(n[0], 64, "%.3f … %.3f ms", c.least * 1e-6, c.most * 1e-6);
		snprintf(n[1], 64, "%.3f ms a run", c.per_op * 1e-6);
		table_row(t, name, x->m.arms[arm].label, "–", n[0], n[1], "–", "–", "–", c.metric);
		return;
	}
	if (!accounting_cycles(x, k, arm, &c, e)) {
		table_row(t, name, x->m.arms[arm].label, "not measured", "", "", "", "", "", "");
		return;
	}
	snprintf(n[0], 64, "%.2f", c.per_op);
	snprintf(n[1], 64, "%.2f … %.2f", c.least, c.most);
	snprintf(n[2], 64, "–"), snprintf(n[3], 64, "–"), snprintf(n[4], 64, "–"),
		snprintf(n[5], 64, "–");
	if (accounting_cost(x, k, arm, "cpu_ns", &ns, e))
		snprintf(n[2], 64, "%.2f", ns.per_op);
	if (a->counted) {
		double ir = a->account.total_ir / (double)a->account.operations;
		snprintf(n[3], 64, "%.2f", ir);
		snprintf(n[4], 64, "%.2f", c.per_op / ir);
	}
	if (accounting_cost(x, k, arm, "branch-misses", &misses, e))
		snprintf(n[5], 64, "%.4f", misses.per_op);
	table_row(t, name, x->m.arms[arm].label, n[0], n[1], n[2], n[3], n[4], n[5], c.metric);
}

void show_account_cycles(struct accounting *x, FILE *to, struct error *e)
{
	struct table *t = table_new(9, "llrrrrrrl");
	table_head(t, "case", "revision", "cycles/op", "of rounds", "ns/op", "instr/op",
		   "cycles/instr", "mispredicts", "source");
	for (size_t k = 0; k < x->m.n_cases; k++)
		for (size_t a = 0; a < x->m.n_arms; a++)
			if (x->m.cases[k].timed)
				cost_row(x, t, k, a, e);
	fputs("\nCycles per operation of the whole loop, the workload's own part in it: runs of 2N "
	      "less runs of N, median of the rounds.\n",
	      to);
	table_print(t, to);
	table_free(t);
	fputs("cycles: counted by the PMU. core_cycles_est: estimated from the TSC and a chain of "
	      "dependent additions beside the run.\n",
	      to);
}

static json_t *cost_json(const struct accounting_cost *c)
{
	return json_pack("{s:f, s:s, s:s, s:s, s:I, s:f, s:f}", "value", c->per_op, "unit",
			 "per operation", "metric", c->metric, "source",
			 "slope of N and 2N, median of rounds", "rounds", (json_int_t)c->rounds,
			 "least", c->least, "most", c->most);
}

json_t *accounting_costs_json(struct accounting *x, size_t k, size_t arm, struct error *e)
{
	static const char *const metrics[] = { "cycles",           "core_cycles_est",
					       "tsc_cycles",       "cpu_ns",
					       "branch-misses",    "LLC-load-misses",
					       "dTLB-load-misses", "page_faults" };
	json_t *j = json_object();
	for (size_t i = 0; i < sizeof(metrics) / sizeof(*metrics); i++) {
		struct accounting_cost c;
		if (accounting_cost(x, k, arm, metrics[i], &c, e))
			json_object_set_new(j, metrics[i], cost_json(&c));
	}
	struct accounting_cost c;
	if (accounting_run_time(x, k, arm, &c, e))
		json_object_set_new(j, "cpu_ns",
				    json_pack("{s:f, s:s, s:s, s:s, s:I, s:f, s:f}", "value",
					      c.per_op, "unit", "per run", "metric", c.metric,
					      "source", "runs of N, median of rounds", "rounds",
					      (json_int_t)c.rounds, "least", c.least, "most",
					      c.most));
	return j;
}
