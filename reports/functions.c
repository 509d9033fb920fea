/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/functions.h"

#include "base/buf.h"
#include "harness/store_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct cost {
	char *object, *function;
	double before, after; /* self instructions per operation; NAN: the function is not there */
	double calls_before, calls_after;
};

struct costs {
	struct cost *items;
	size_t n, cap;
	bool before, after; /* that side was counted */
};

static void release(struct costs *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->items[i].object), free(c->items[i].function);
	free(c->items);
}

static struct cost *find(struct costs *c, const char *object, const char *function)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->items[i].function, function) && !strcmp(c->items[i].object, object))
			return &c->items[i];
	x_grow(c->items, c->n, c->cap);
	c->items[c->n] = (struct cost){ x_strdup(object), x_strdup(function), NAN, NAN, NAN, NAN };
	return &c->items[c->n++];
}

static double plus(double sum, double v)
{
	return isnan(sum) ? v : sum + v;
}

/* Of the newest exact run of that build and case that kept its functions. */
static int load(struct store *s, int64_t build, int64_t case_id, bool after, struct costs *c,
	struct error *e)
{
	struct store_rows *q = rows_open(s,
		"SELECT function_cost.object, function_cost.function, 1.0 * "
		"function_cost.self_instructions / run.operations,"
		" 1.0 * function_cost.calls / run.operations FROM function_cost JOIN run ON run.id "
		"= function_cost.run_id WHERE run.operations > 0 AND run.id ="
		" (SELECT max (run.id) FROM session_arm CROSS JOIN run ON run.arm_id = "
		"session_arm.id CROSS JOIN round ON round.id = run.round_id"
		"  WHERE session_arm.build_id = :build AND round.case_id = :case AND round.kind = "
		"'exact' AND run.outcome = 'ok' AND run.multiplier = 1"
		"  AND EXISTS (SELECT 1 FROM function_cost WHERE run_id = run.id))");
	rows_bind_int(q, ":build", build);
	rows_bind_int(q, ":case", case_id);
	int rc;
	while ((rc = rows_next(q, e)) > 0) {
		struct cost *k = find(c, rows_text(q, 0), rows_text(q, 1));
		*(after ? &c->after : &c->before) = true;
		double *self = after ? &k->after : &k->before,
		       *calls = after ? &k->calls_after : &k->calls_before;
		*self = plus(*self, rows_real(q, 2));
		if (!rows_null(q, 3))
			*calls = plus(*calls, rows_real(q, 3));
	}
	rows_close(q);
	return rc;
}

static double change(const struct cost *c)
{
	return (isnan(c->after) ? 0 : c->after) - (isnan(c->before) ? 0 : c->before);
}

static int larger_first(const void *x, const void *y)
{
	double a = fabs(change(x)), b = fabs(change(y));
	return a < b ? 1
		: a > b
		? -1
		: strcmp(((const struct cost *)x)->function, ((const struct cost *)y)->function);
}

static void number(struct table *t, double v, bool sign)
{
	struct figure f = { .value = v,
		.unit = "instructions/op",
		.metric = "instructions_exact",
		.source = "callgrind",
		.lo = NAN,
		.hi = NAN,
		.decimals = 2,
		.sign = sign,
		.bare = true };
	struct line *l = table_cell(t);
	if (isnan(v))
		line_toned(l, TONE_DIM, "not there");
	else
		line_figure(l, &f);
}

int functions_table(struct store *s, struct page *p, int64_t case_id, int64_t build_a,
	int64_t build_b, size_t most, const char *caption, bool *any, struct error *e)
{
	struct costs c = { 0 };
	int rc = load(s, build_a, case_id, false, &c, e);
	if (!rc)
		rc = load(s, build_b, case_id, true, &c, e);
	if (any)
		*any = false;
	if (rc || !c.before || !c.after) {
		release(&c);
		return rc;
	}
	qsort(c.items, c.n, sizeof(*c.items), larger_first);
	size_t shown = 0;
	struct table *t = NULL;
	for (size_t i = 0; i < c.n && shown < most && fabs(change(&c.items[i])) >= 0.005;
		i++, shown++) {
		if (!t) {
			t = page_table(p, "%s", caption);
			table_column(t, ALIGN_LEFT, "function");
			table_column(t, ALIGN_RIGHT, "before, instructions/op");
			table_column(t, ALIGN_RIGHT, "after");
			table_column(t, ALIGN_RIGHT, "change");
			table_column(t, ALIGN_LEFT, "object");
		}
		table_begin_row(t);
		line_code(table_cell(t), "%s", c.items[i].function);
		number(t, c.items[i].before, false);
		number(t, c.items[i].after, false);
		number(t, change(&c.items[i]), true);
		table_cell_text(t, "%s", c.items[i].object);
	}
	if (any)
		*any = t != NULL;
	release(&c);
	return 0;
}
