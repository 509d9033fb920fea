/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/show.h"

#include "base/buf.h"
#include "cli/table.h"
#include "harness/metric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static double num(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *show_verdict(const struct verdict_answer *a, char *out, size_t n)
{
	char change[32], lo[32], hi[32];
	enum stats_verdict v = a->a.verdict;
	const char *colour = v == STATS_REGRESSION || v == STATS_INVALID ? table_colour(TABLE_BAD) : v == STATS_IMPROVEMENT ? table_colour(TABLE_GOOD) : "";
	if (!a->a.log.n) {
		snprintf(out, n, "%s", v == STATS_UNCLEAR ? "no rounds" : stats_verdict_name(v));
		return out;
	}
	bool bounded = isfinite(a->a.log.lo) && isfinite(a->a.log.hi);
	snprintf(out, n, "%s%s%s%s %s%s%s%s%s%s", colour, stats_verdict_name(v), colour[0] ? table_colour(TABLE_PLAIN) : "", "",
		 table_change(a->a.ratio, change, sizeof(change)), bounded ? " [" : "", bounded ? table_change(a->a.lo, lo, sizeof(lo)) : "",
		 bounded ? ", " : "", bounded ? table_change(a->a.hi, hi, sizeof(hi)) : "", bounded ? "]" : "");
	return out;
}

static void commit_line(const json_t *c, FILE *to)
{
	const char *phase = str(c, "phase");
	fprintf(to, "%s%s%s  %s%s%s%s", table_colour(TABLE_BOLD), str(c, "short"), table_colour(TABLE_PLAIN), str(c, "subject"),
		*phase ? "  (phase " : "", phase, *phase ? ")" : "");
}

/* Programs without a region are counted whole. */
static const char *per(const json_t *count)
{
	return !strcmp(str(count, "per"), "run") ? "a run" : "an operation";
}

static void proof_line(const json_t *p, const char *key, FILE *to)
{
	const json_t *f = json_object_get(p, key);
	char change[32], lo[32], hi[32], before[32], after[32];
	bool timed = strcmp(key, "instructions") != 0;
	if (!json_is_object(f))
		return;
	fprintf(to, "      beside its parent %s, by %s: %s %s", str(json_object_get(p, "parent"), "short"),
		timed ? str(f, "metric") : "exact count", str(f, "verdict"), table_change(num(f, "value"), change, sizeof(change)));
	if (timed && num(f, "lo") > 0 && isfinite(num(f, "hi")))
		fprintf(to, " [%s, %s]", table_change(num(f, "lo"), lo, sizeof(lo)), table_change(num(f, "hi"), hi, sizeof(hi)));
	if (timed)
		fprintf(to, ", %s → %s %s, %.0f rounds", table_number(num(f, "before"), before, sizeof(before)), table_number(num(f, "after"), after, sizeof(after)),
			str(f, "metric_unit"), num(f, "rounds"));
	else
		fprintf(to, ", %.2f → %.2f instructions %s", num(f, "before"), num(f, "after"), per(f));
	if (*str(f, "detail"))
		fprintf(to, " (%s)", str(f, "detail"));
	fputc('\n', to);
}

/* A merge is to blame for what it brings in; which commit of it is another search. */
static void branch_lines(const json_t *c, FILE *to)
{
	size_t i;
	json_t *b;
	json_array_foreach(json_object_get(c, "branches"), i, b) {
		double n = num(b, "commits");
		const char *fork = str(b, "fork"), *tip = str(b, "tip");
		fprintf(to, "      %.7s merges %.0f commit%s of a branch that %s: ", str(c, "commit"), n, n == 1 ? "" : "s",
			*fork ? "is not searched here" : "shares no history");
		if (*fork)
			fprintf(to, "hakperf bisect %.12s %.12s looks among them\n", fork, tip);
		else
			fprintf(to, "its last one is %.12s\n", tip);
	}
}

static void culprit(const json_t *c, size_t rank, FILE *to)
{
	char change[32], lo[32], hi[32];
	fprintf(to, "%zu. ", rank);
	commit_line(c, to);
	fprintf(to, "\n   %s%s%s of %s %s", table_colour(!strcmp(str(c, "direction"), "regression") ? TABLE_BAD : TABLE_GOOD), str(c, "direction"),
		table_colour(TABLE_PLAIN), str(c, "metric"), table_change(num(c, "ratio"), change, sizeof(change)));
	if (num(c, "lo") > 0 && isfinite(num(c, "hi")) && num(c, "lo") != num(c, "hi"))
		fprintf(to, " [%s, %s]", table_change(num(c, "lo"), lo, sizeof(lo)), table_change(num(c, "hi"), hi, sizeof(hi)));
	fprintf(to, ", posterior %.3f%s\n", num(c, "posterior"), json_is_true(json_object_get(c, "proved")) ? ", proved beside its parent" : "");
	size_t i;
	json_t *x;
	if (!json_is_true(json_object_get(c, "named"))) {
		fprintf(to, "   one of these (credible set):\n");
		json_array_foreach(json_object_get(c, "set"), i, x) {
			char bar[64];
			fprintf(to, "     %5.1f %% %-10s ", 100 * num(x, "probability"), table_bar(num(x, "probability"), 10, bar, sizeof(bar)));
			commit_line(x, to);
			fputc('\n', to);
			branch_lines(x, to);
		}
	} else {
		branch_lines(c, to);
	}
	json_array_foreach(json_object_get(c, "proofs"), i, x) {
		proof_line(x, "instructions", to);
		proof_line(x, "metric", to); /* only there where the search went by another than time */
		proof_line(x, "time", to);
	}
}

/* Where the ends do differ, as far as the record knows; and how to find out. */
static void elsewhere(const json_t *result, FILE *to)
{
	const json_t *list = json_object_get(result, "elsewhere");
	size_t i;
	json_t *c;
	if (!json_is_array(list))
		return;
	json_array_foreach(list, i, c) {
		char change[32];
		fprintf(to, "they differ elsewhere: --workload %s%s%s", str(c, "workload"), *str(c, "class") ? " --class " : "", str(c, "class"));
		if (json_is_number(json_object_get(c, "working_set")))
			fprintf(to, " (working set %.0f)", num(c, "working_set"));
		fprintf(to, ": %s of %s %s\n", str(c, "verdict"), str(c, "metric"), table_change(num(c, "ratio"), change, sizeof(change)));
	}
	if (!json_array_size(list))
		fprintf(to, "to find a configuration that shows a difference: hakperf sweep %s %s\n",
			str(json_object_get(result, "good"), "short"), str(json_object_get(result, "bad"), "short"));
}

/* The counted commits in the history's order, a bar each; where all fit, a blank for each commit that was not counted. */
static void counted_shape(const json_t *result, FILE *to)
{
	enum { WIDTH = 64 };
	const json_t *list = json_object_get(result, "measured");
	double v[WIDTH], least = INFINITY, most = -INFINITY, commits = num(result, "commits");
	size_t n = json_array_size(list), i;
	bool all = commits <= WIDTH;
	char bars[4 * WIDTH];
	json_t *c;
	if (n < 3 || (!all && n > WIDTH))
		return;
	for (i = 0; i < WIDTH; i++)
		v[i] = NAN;
	json_array_foreach(list, i, c) {
		double at = all ? num(c, "position") : (double)i;
		if (!(at >= 0 && at < WIDTH))
			return;
		v[(size_t)at] = num(c, "value");
		least = fmin(least, num(c, "value")), most = fmax(most, num(c, "value"));
	}
	fprintf(to, "  counted, from good to bad: %s  %.2f … %.2f instructions %s\n", table_spark(v, all ? (size_t)commits : n, bars, sizeof(bars)), least, most,
		per(json_object_get(json_object_get(result, "ends"), "instructions")));
}

void show_bisect(const json_t *result, FILE *to)
{
	const char *outcome = str(result, "outcome");
	const json_t *culprits = json_object_get(result, "culprits"), *ends = json_object_get(result, "ends");
	fprintf(to, "%s, %s, variant %s: %.0f commits, %.0f of them touch the subject\n  good ", str(result, "case"), str(result, "metric"),
		str(result, "variant"), num(result, "commits"), num(result, "commits_changing_subject"));
	commit_line(json_object_get(result, "good"), to);
	fputs("\n  bad  ", to);
	commit_line(json_object_get(result, "bad"), to);
	fputc('\n', to);
	const json_t *t = json_object_get(ends, "time");
	char change[32];
	if (t)
		fprintf(to, "  ends by %s: %s %s, %.0f rounds%s%s\n", str(t, "metric"), str(t, "verdict"),
			table_change(num(t, "value"), change, sizeof(change)), num(t, "rounds"), *str(t, "detail") ? "; " : "", str(t, "detail"));
	t = json_object_get(ends, "instructions");
	if (t)
		fprintf(to, "  ends by exact count: %.2f → %.2f instructions %s\n", num(t, "before"), num(t, "after"), per(t));
	counted_shape(result, to);
	fputc('\n', to);
	size_t i;
	json_t *c;
	json_array_foreach(culprits, i, c)
		culprit(c, i + 1, to);
	if (!json_array_size(culprits)) {
		fprintf(to, "%s: %s\n", outcome, str(result, "why"));
		if (isfinite(num(result, "smallest_seen")))
			fprintf(to, "a difference of %.1f %% would have been seen\n", 100 * num(result, "smallest_seen"));
		elsewhere(result, to);
	} else if (*str(result, "why")) {
		fprintf(to, "%s: %s\n", outcome, str(result, "why"));
	}
	json_array_foreach(json_object_get(result, "cancelled"), i, c) {
		fprintf(to, "cancelled within the range, %s: ", table_change(num(c, "ratio"), change, sizeof(change)));
		commit_line(c, to);
		fputc('\n', to);
	}
	if (json_array_size(culprits) && !strcmp(str(result, "rest"), "no change"))
		fprintf(to, "the rest of the range: no change\n");
	json_array_foreach(json_object_get(result, "broken"), i, c) {
		fprintf(to, "skipped: ");
		commit_line(c, to);
		fprintf(to, ": %s\n", str(c, "outcome"));
	}
	fprintf(to, "\n%.0f builds, %.0f measurements, %.0f s\n", num(result, "builds"), num(result, "measurements"), num(result, "wall_s"));
}

/* A cost per operation where the metric allows: people compare nanoseconds. */
static void figure(const char *metric, double v, char *out, size_t n)
{
	char number[32];
	if (!strncmp(metric, "ops_per", 7))
		snprintf(out, n, "%.2f ns", 1e9 / v);
	else
		snprintf(out, n, "%s", table_number(v, number, sizeof(number)));
}

static int timed_table(struct measure *m, size_t k, FILE *to, struct error *e)
{
	char name[128];
	const char *metric = measure_metric(m, k);
	fprintf(to, "\n%s%s%s, judged by %s\n", table_colour(TABLE_BOLD), bench_case_name(&m->cases[k].c, name, sizeof(name)), table_colour(TABLE_PLAIN), metric);
	bool per_op = !strncmp(metric, "ops_per", 7);
	struct table *t = table_new(6, "lrrrll");
	table_head(t, "revision", per_op ? "M ops/s" : metric, per_op ? "per op" : "", "rounds", "against the one before", "against the first");
	size_t before = SIZE_MAX, first = SIZE_MAX;
	int rc = 0;
	for (size_t a = 0; !rc && a < m->n_arms; a++) {
		if (!m->arms[a].ok)
			continue;
		struct verdict_answer x = { 0 }, y = { 0 };
		char v1[128] = "", v2[128] = "", value[32] = "", cost[32] = "", rounds[32] = "";
		double v = NAN;
		if (before == SIZE_MAX) {
			for (size_t b = a + 1; b < m->n_arms; b++)
				if (m->arms[b].ok) {
					rc = measure_ask(m, k, a, b, -1, &x, e);
					v = x.before;
					break;
				}
			if (isnan(v) && !rc) /* alone */
				v = measure_median(m, k, a, e);
		} else {
			rc = measure_ask(m, k, before, a, -1, &x, e);
			v = x.after;
			show_verdict(&x, v1, sizeof(v1));
			if (!rc && first != before) {
				rc = measure_ask(m, k, first, a, -1, &y, e);
				show_verdict(&y, v2, sizeof(v2));
			}
		}
		if (isnan(v) && !rc) /* none beside the one before, which went wrong */
			v = measure_median(m, k, a, e);
		if (isnan(v))
			snprintf(value, sizeof(value), "–");
		else if (per_op)
			snprintf(value, sizeof(value), "%.1f", v / 1e6);
		else
			table_number(v, value, sizeof(value));
		if (per_op && !isnan(v))
			figure(metric, v, cost, sizeof(cost));
		snprintf(rounds, sizeof(rounds), "%zu", x.a.log.n ? x.a.log.n : session_rounds_done(m->session, m->cases[k].index));
		table_row(t, m->arms[a].label, value, cost, rounds, v1, v2);
		first = first == SIZE_MAX ? a : first;
		before = a;
	}
	if (!rc)
		table_print(t, to);
	table_free(t);
	return rc;
}

static bool same_figure(double a, double b)
{
	return a == b || (isnan(a) && isnan(b));
}

/* Two classes of a workload that cost the same in every arm. */
static bool exact_alike(const struct measure *m, size_t k, size_t l)
{
	const struct bench_case *c = &m->cases[k].c, *d = &m->cases[l].c;
	if (strcmp(c->workload, d->workload) || !c->size_class || !d->size_class ||
	    strcmp(c->varied ? c->varied : "", d->varied ? d->varied : ""))
		return false;
	for (size_t a = 0; a < m->n_arms; a++) {
		const struct exact_answer *x = measure_exact_of(m, k, a), *y = measure_exact_of(m, l, a);
		if (x->counted != y->counted || x->exact != y->exact ||
		    x->whole_process != y->whole_process ||
		    (x->counted && !(same_figure(x->per_op, y->per_op) &&
				     same_figure(x->per_malloc, y->per_malloc) &&
				     same_figure(x->per_free, y->per_free))))
			return false;
	}
	return true;
}

/* One table for case k and those after it that are alike; nothing where one before it said it all. */
static void exact_table(const struct measure *m, size_t k, FILE *to)
{
	char name[128];
	bool whole = false;
	for (size_t l = 0; l < k; l++)
		if (m->cases[l].exact && exact_alike(m, l, k))
			return;
	for (size_t a = 0; a < m->n_arms; a++)
		whole |= measure_exact_of(m, k, a)->whole_process;
	fprintf(to, "\n%s%s", table_colour(TABLE_BOLD), bench_case_name(&m->cases[k].c, name, sizeof(name)));
	for (size_t l = k + 1; l < m->n_cases; l++)
		if (m->cases[l].exact && exact_alike(m, k, l))
			fprintf(to, " %s", m->cases[l].c.size_class);
	fprintf(to, "%s, exact instructions (callgrind, %s)\n", table_colour(TABLE_PLAIN),
		whole ? "whole process, not its children" : "timed region");
	struct table *t = table_new(5, "lrrrr");
	table_head(t, "revision", "per malloc", "per free", whole ? "whole run" : "per operation", "change");
	double before = NAN;
	for (size_t a = 0; a < m->n_arms; a++) {
		const struct exact_answer *x = measure_exact_of(m, k, a);
		char malloc_cost[32] = "–", free_cost[32] = "–", op[32] = "–", change[32] = "";
		if (x->counted) {
			if (isfinite(x->per_malloc))
				snprintf(malloc_cost, sizeof(malloc_cost), "%.1f", x->per_malloc);
			if (isfinite(x->per_free))
				snprintf(free_cost, sizeof(free_cost), "%.1f", x->per_free);
			snprintf(op, sizeof(op), "%.2f%s", x->per_op, x->exact ? "" : " ±");
			if (isfinite(before))
				snprintf(change, sizeof(change), "%+.2f", x->per_op - before);
			before = x->per_op;
		} else if (!m->arms[a].ok) {
			snprintf(op, sizeof(op), "%s", build_outcome_name(m->arms[a].build.outcome));
		}
		table_row(t, m->arms[a].label, malloc_cost, free_cost, op, change);
	}
	table_print(t, to);
	table_free(t);
}

int show_measure(struct measure *m, FILE *to, struct error *e)
{
	int rc = 0;
	for (size_t k = 0; k < m->n_cases; k++)
		if (m->cases[k].exact)
			exact_table(m, k, to);
	for (size_t k = 0; !rc && k < m->n_cases; k++)
		if (m->cases[k].timed)
			rc = timed_table(m, k, to, e);
	return rc;
}
