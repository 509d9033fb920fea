/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "cli/account.h"
#include "cli/cli.h"
#include "cli/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows below this share of their path are summed up in one line, unless all are wanted. */
#define SHOWN_SHARE 0.005
/* Lines of a hunk that cost less are left out. */
#define SHOWN_LINE 0.005

struct account_count *accounting_of(const struct accounting *x, size_t case_index, size_t arm)
{
	return &x->counts[case_index * x->m.n_arms + arm];
}

static const char *figure(double v, char *out, size_t n)
{
	if (!isfinite(v))
		snprintf(out, n, "–");
	else if (fabs(v) >= 1e6)
		table_number(v, out, n);
	else
		snprintf(out, n, "%.*f",
			 fabs(v) >= 999.5   ? 0
			 : fabs(v) >= 99.95 ? 1
					    : 2,
			 fabs(v) < 0.005 ? 0 : v);
	return out;
}

static const char *change(double v, char *out, size_t n)
{
	snprintf(out, n, fabs(v) < 0.005 ? "0.00" : "%+.2f", v);
	return out;
}

static const char *percent(double share, char *out, size_t n)
{
	if (!isfinite(share))
		snprintf(out, n, "–");
	else if (share > 0 && share < 0.0005)
		snprintf(out, n, "<0.1 %%");
	else
		snprintf(out, n, "%.1f %%", 100 * share);
	return out;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Names come from debug information and file names: nothing of them may steer the terminal. */
static char *clean(const char *s)
{
	struct buf b = { 0 };
	history_escape(s, strlen(s), false, &b);
	buf_puts(&b, "");
	return buf_detach(&b);
}

/* What is not exact, and why. */
static void show_remarks(const struct accounting *x, FILE *to)
{
	for (size_t k = 0; k < x->m.n_cases; k++)
		for (size_t arm = 0; arm < x->m.n_arms; arm++) {
			const struct account_count *c = accounting_of(x, k, arm);
			char name[128];
			if (c->counted && c->per_run && !arm)
				fprintf(to,
					"%s: the program tells no operations: 'op' is a whole run\n",
					bench_case_name(&x->m.cases[k].c, name, sizeof(name)));
			if (c->counted && c->exact)
				continue;
			char *why = clean(c->why);
			fprintf(to, "%s, %s: %s: %s\n",
				bench_case_name(&x->m.cases[k].c, name, sizeof(name)),
				x->m.arms[arm].label, c->counted ? "not exact" : "not counted",
				why);
			free(why);
		}
}

void show_account_paths(const struct accounting *x, FILE *to)
{
	struct table *t = table_new(8, "llrrrrrr");
	table_head(t, "case", "path", "calls/op", "instr/call", "instr/op", "fast path",
		   "slow path", "leave it");
	for (size_t k = 0; k < x->m.n_cases; k++) {
		const struct account_count *c = accounting_of(x, k, 0);
		char name[128], n[6][48];
		bench_case_name(&x->m.cases[k].c, name, sizeof(name));
		if (!c->counted) {
			table_row(t, name, "not counted", "", "", "", "", "", "");
			continue;
		}
		const struct account *a = &c->account;
		double ops = (double)a->operations;
		for (size_t p = 0; p < a->n_paths; p++) {
			const struct account_path *q = &a->paths[(p + 1) % a->n_paths];
			bool program = (p + 1) % a->n_paths == 0;
			table_row(t, p ? "" : name, q->name, figure(q->calls / ops, n[0], 48),
				  figure(q->ir / q->calls, n[1], 48), figure(q->ir / ops, n[2], 48),
				  program ? "" : figure(q->fast_ir / ops, n[3], 48),
				  program ? "" : figure((q->ir - q->fast_ir) / ops, n[4], 48),
				  program ? "" : percent(fmin(1, q->left / q->calls), n[5], 48));
		}
		table_row(t, "", "in all", "", "", figure(a->total_ir / ops, n[0], 48), "", "", "");
	}
	table_print(t, to);
	table_free(t);
	fputs("Instructions by callgrind. Fast path: code that at least half of a path's calls "
	      "reach; 'leave it': calls that go on into slower code.\n",
	      to);
	show_remarks(x, to);
}

static void add_row(struct table *t, const struct account *a, size_t i)
{
	const struct account_row *r = &a->rows[i];
	double calls = a->paths[r->path].calls, ops = (double)a->operations;
	char n[5][48];
	char *function = clean(r->function),
	     *file = clean(base_name(*r->file ? r->file : r->object));
	char *name = x_printf("%*s%s%s", 2 * (int)r->depth, "", r->depth ? "↳ " : "", function);
	char *where = x_printf("%s%s", file,
			       r->unknown     ? ", unattributed"
			       : r->by_symbol ? ", by symbol"
					      : "");
	table_row(t, name, r->path ? percent(r->reached, n[0], 48) : "",
		  figure(r->calls / ops, n[1], 48), figure(r->self_ir / calls, n[2], 48),
		  figure(r->self_ir / ops, n[3], 48), figure(r->inclusive_ir / ops, n[4], 48),
		  where);
	free(function), free(file), free(name), free(where);
}

void show_account_rows(const struct accounting *x, size_t case_index, FILE *to)
{
	const struct account_count *c = accounting_of(x, case_index, 0);
	char name[128], n[4][48];
	bench_case_name(&x->m.cases[case_index].c, name, sizeof(name));
	if (!c->counted) {
		fprintf(to, "\n%s: not counted: %s\n", name, c->why);
		return;
	}
	const struct account *a = &c->account;
	double ops = (double)a->operations, shown_all = 0;
	const char *op = c->per_run ? "run" : "op";
	for (size_t k = 0; k < a->n_paths; k++) {
		size_t p = (k + 1) % a->n_paths, hidden = 0;
		double rest = 0;
		if (a->paths[p].ir <= 0)
			continue;
		char head[3][24];
		fprintf(to, "\n%s%s, %s%s: %s calls/%s, %s instructions/call, %s/%s\n",
			table_colour(TABLE_BOLD), name, a->paths[p].name, table_colour(TABLE_PLAIN),
			figure(a->paths[p].calls / ops, n[0], 48), op,
			figure(a->paths[p].ir / a->paths[p].calls, n[1], 48),
			figure(a->paths[p].ir / ops, n[2], 48), op);
		snprintf(head[0], 24, "calls/%s", op), snprintf(head[1], 24, "self/%s", op),
			snprintf(head[2], 24, "with all/%s", op);
		struct table *t = table_new(7, "lrrrrrl");
		table_head(t, "function", "reached", head[0], "self/call", head[1], head[2],
			   "where");
		for (size_t i = 0; i < a->n_rows; i++) {
			if (a->rows[i].path != p)
				continue;
			if (x->all || a->rows[i].inclusive_ir >= SHOWN_SHARE * a->paths[p].ir) {
				add_row(t, a, i);
				continue;
			}
			hidden++;
			rest += a->rows[i].self_ir;
		}
		if (hidden) {
			char *what = x_printf("%zu cheaper rows", hidden);
			table_row(t, what, "", "", figure(rest / a->paths[p].calls, n[0], 48),
				  figure(rest / ops, n[1], 48), "", "");
			free(what);
		}
		table_print(t, to);
		table_free(t);
		shown_all += a->paths[p].ir;
	}
	fprintf(to,
		"\n%s: %s instructions/%s on all paths, the region's %s: %s/%s; unattributed %s/%s",
		name, figure(shown_all / ops, n[0], 48), op, c->exact ? "exact count" : "count",
		figure(a->total_ir / ops, n[1], 48), op, figure(a->unattributed_ir / ops, n[2], 48),
		op);
	if (a->divided_ir > 0)
		fprintf(to, "; divided among paths by proportion: %s/%s",
			figure(a->divided_ir / ops, n[3], 48), op);
	fputc('\n', to);
	if (!c->has_debuginfo)
		fputs("The subject has no debug information: functions by symbol, inlined code "
		      "unseen. Build it with -g.\n",
		      to);
}

static double per_call(double per_op, double calls_per_op)
{
	return calls_per_op > 0 ? per_op / calls_per_op : NAN;
}

void show_account_change(const struct accounting *x, FILE *to)
{
	struct table *t = table_new(9, "llrrrrrrr");
	table_head(t, "case", "path", "calls/op", "→", "instr/call", "→", "instr/op", "→",
		   "change/op");
	for (size_t k = 0; k < x->m.n_cases; k++) {
		const struct account_count *a = accounting_of(x, k, 0), *b = accounting_of(x, k, 1);
		char name[128], n[7][48];
		bench_case_name(&x->m.cases[k].c, name, sizeof(name));
		if (!a->counted || !b->counted) {
			table_row(t, name, "not counted", "", "", "", "", "", "", "");
			continue;
		}
		struct account_diff d;
		account_diff_make(&a->account, &b->account, NULL, NULL, 0, &d);
		for (size_t p = 0; p < d.n_paths; p++) {
			const struct account_path_change *q = &d.paths[p];
			if (!strcmp(q->path, "(program)") && fabs(q->b - q->a) < 0.005)
				continue;
			table_row(t, name, q->path, figure(q->a_calls, n[0], 48),
				  figure(q->b_calls, n[1], 48),
				  figure(per_call(q->a, q->a_calls), n[2], 48),
				  figure(per_call(q->b, q->b_calls), n[3], 48),
				  figure(q->a, n[4], 48), figure(q->b, n[5], 48),
				  change(q->b - q->a, n[6], 48));
			name[0] = '\0';
		}
		table_row(t, name, "in all", "", "", "", "", figure(d.a_per_op, n[0], 48),
			  figure(d.b_per_op, n[1], 48), change(d.b_per_op - d.a_per_op, n[2], 48));
		account_diff_release(&d);
	}
	table_print(t, to);
	table_free(t);
	show_remarks(x, to);
}

static void show_changes(const struct account_diff *d, bool all, FILE *to)
{
	struct table *t = table_new(8, "rrrllllr");
	char n[6][48];
	double rest = 0;
	size_t shown = all ? d->n_changes : d->n_telling, left = 0;
	table_head(t, "change/op", "A/op", "B/op", "what", "path", "function", "part", "calls/op");
	for (size_t i = 0; i < d->n_changes; i++) {
		const struct account_change *c = &d->changes[i];
		if (i >= shown || c->kind == ACCOUNT_SAME) {
			rest += c->delta;
			left += fabs(c->delta) >= 1e-9;
			continue;
		}
		char *name = clean(c->name), *was = c->was ? clean(c->was) : NULL;
		char *full = was ? x_printf("%s (was %s)", name, was) : x_strdup(name);
		char *calls = fabs(c->a_calls - c->b_calls) < 0.005
				      ? x_strdup(figure(c->b_calls, n[3], 48))
				      : x_printf("%s → %s", figure(c->a_calls, n[3], 48),
						 figure(c->b_calls, n[4], 48));
		table_row(t, change(c->delta, n[0], 48), figure(c->a, n[1], 48),
			  figure(c->b, n[2], 48), account_kind_name(c->kind), c->path, full,
			  c->part ? c->part : "", calls);
		free(name), free(was), free(full), free(calls);
	}
	if (left) {
		char *what = x_printf("%zu smaller changes", left);
		table_row(t, change(rest, n[0], 48), "", "", "", "", what, "", "");
		free(what);
	}
	table_row(t, change(d->b_per_op - d->a_per_op, n[0], 48), figure(d->a_per_op, n[1], 48),
		  figure(d->b_per_op, n[2], 48), "in all", "", "", "", "");
	table_print(t, to);
	table_free(t);
}

static void show_parts(const struct account_diff *d, FILE *to)
{
	struct table *t = table_new(4, "lrrr");
	char n[3][48];
	table_head(t, "part", "A/op", "B/op", "change/op");
	for (size_t i = 0; i < d->n_parts; i++)
		if (d->parts[i].a >= 0.005 || d->parts[i].b >= 0.005)
			table_row(t, d->parts[i].part, figure(d->parts[i].a, n[0], 48),
				  figure(d->parts[i].b, n[1], 48),
				  change(d->parts[i].b - d->parts[i].a, n[2], 48));
	table_print(t, to);
	table_free(t);
}

static void show_hunk(const struct account_hunk *h, const struct diff *d, FILE *to)
{
	const struct diff_file *f = &d->files[h->file];
	const struct diff_hunk *k = &f->hunks[h->hunk];
	char n[3][48];
	char *path = clean(f->new_path ? f->new_path : f->old_path), *heading = clean(k->heading);
	fprintf(to, "%s%8s%s  %s:%d  -%zu +%zu lines  %s\n", table_colour(TABLE_BOLD),
		change(h->b - h->a, n[0], 48), table_colour(TABLE_PLAIN), path,
		k->new_lines ? k->new_start : k->old_start, k->removed, k->added, heading);
	for (size_t i = 0; i < h->n_lines; i++) {
		const struct account_hunk_line *l = &h->lines[i];
		struct buf b = { 0 };
		if (l->per_op < SHOWN_LINE)
			continue;
		account_hunk_text(k, l->old, l->line, &b);
		const char *s = buf_str(&b);
		fprintf(to, "          %s%c %5s  %5u  %s%s\n",
			table_colour(l->old ? TABLE_GOOD : TABLE_BAD), l->old ? '-' : '+',
			figure(l->per_op, n[1], 48), l->line, s + strspn(s, " \t"),
			table_colour(TABLE_PLAIN));
		buf_release(&b);
	}
	free(path), free(heading);
}

static void show_hunks(const struct account_hunks *h, const struct diff *d, FILE *to)
{
	char n[3][48];
	size_t small = 0;
	double rest = 0;
	for (size_t i = 0; i < h->n_hunks; i++) {
		if (h->hunks[i].a < SHOWN_LINE && h->hunks[i].b < SHOWN_LINE) {
			small++;
			rest += h->hunks[i].b - h->hunks[i].a;
		} else {
			show_hunk(&h->hunks[i], d, to);
		}
	}
	if (small)
		fprintf(to, "%8s  %zu hunks that hardly ran\n", change(rest, n[0], 48), small);
	fprintf(to, "%8s  lines that the commit did not touch%s\n",
		change(h->outside_b - h->outside_a, n[0], 48),
		h->n_outside ? " (the compiler made other code of them, or they run more or less "
			       "often):"
			     : "");
	for (size_t i = 0;
	     i < h->n_outside && fabs(h->outside[i].b - h->outside[i].a) >= SHOWN_LINE; i++) {
		char *function = clean(h->outside[i].function), *file = clean(h->outside[i].file);
		fprintf(to, "          %8s  %s  %s\n",
			change(h->outside[i].b - h->outside[i].a, n[0], 48), function, file);
		free(function), free(file);
	}
	fprintf(to, "%zu hunks of which no instruction ran\n", h->n_silent);
}

void show_account_diff(const struct accounting *x, size_t case_index, FILE *to)
{
	const struct account_count *a = accounting_of(x, case_index, 0),
				   *b = accounting_of(x, case_index, 1);
	const struct config *config = &x->m.p->config;
	char name[128];
	struct account_diff d;
	bench_case_name(&x->m.cases[case_index].c, name, sizeof(name));
	if (!a->counted || !b->counted) {
		fprintf(to, "\n%s: not counted: %s\n", name, a->counted ? b->why : a->why);
		return;
	}
	account_diff_make(&a->account, &b->account, x->has_diff ? &x->diff : NULL, config->parts,
			  config->n_parts, &d);
	fprintf(to, "\n%s%s%s, instructions per %s: what explains 95 %% of the change\n",
		table_colour(TABLE_BOLD), name, table_colour(TABLE_PLAIN),
		a->per_run ? "run" : "operation");
	show_changes(&d, x->all, to);
	if (d.n_parts) {
		fputs("\nby part\n", to);
		show_parts(&d, to);
	}
	if (x->has_diff && x->diff.n_files) {
		struct account_hunks h;
		account_hunks_make(&a->account, &b->account, &x->diff, &h);
		fprintf(to,
			"\n%sby hunk%s (lines with the code inlined into them, instructions per "
			"operation)\n",
			table_colour(TABLE_BOLD), table_colour(TABLE_PLAIN));
		show_hunks(&h, &x->diff, to);
		account_hunks_release(&h);
	}
	account_diff_release(&d);
}
