/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account_json.h"

#include "bisect/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static json_t *text(const char *s)
{
	if (!s)
		return json_null();
	struct buf b = { 0 };
	history_escape(s, strlen(s), false, &b);
	json_t *j = json_string(buf_str(&b));
	buf_release(&b);
	return j;
}

static json_t *path_json(const struct account *a, const struct account_path *p)
{
	double ops = (double)a->operations, calls = p->calls;
	json_t *j = json_pack("{s:o, s:f, s:f, s:f, s:f}", "path", text(p->name), "calls",
			      calls / ops, "instructions", p->ir / ops, "fast", p->fast_ir / ops,
			      "slow", (p->ir - p->fast_ir) / ops);
	json_object_set_new(j, "instructions_per_call",
			    calls > 0 ? json_real(p->ir / calls) : json_null());
	json_object_set_new(j, "leaves_fast_path",
			    calls > 0 ? json_real(fmin(1, p->left / calls)) : json_null());
	return j;
}

static json_t *row_json(const struct account *a, size_t i)
{
	const struct account_row *r = &a->rows[i];
	double ops = (double)a->operations;
	char *chain = account_row_name(a, i);
	json_t *j = json_pack("{s:o, s:o, s:i, s:o, s:o, s:o, s:f, s:f, s:f, s:f, s:f, s:b, s:b}",
			      "path", text(a->paths[r->path].name), "function", text(r->function),
			      "depth", (int)r->depth, "chain", text(chain), "file", text(r->file),
			      "object", text(r->object), "self", r->self_ir / ops, "inclusive",
			      r->inclusive_ir / ops, "calls", r->calls / ops, "reached", r->reached,
			      "fast", r->fast_ir / ops, "by_symbol", r->by_symbol, "unknown",
			      r->unknown);
	free(chain);
	return j;
}

json_t *account_json(const struct account_count *c)
{
	const struct account *a = &c->account;
	json_t *j = json_pack("{s:b, s:b, s:s}", "counted", c->counted, "exact", c->exact, "remark",
			      c->why);
	if (!c->counted)
		return j;
	double ops = (double)a->operations;
	json_t *paths = json_array(), *rows = json_array();
	for (size_t p = 0; p < a->n_paths; p++)
		json_array_append_new(paths, path_json(a, &a->paths[p]));
	for (size_t i = 0; i < a->n_rows; i++)
		json_array_append_new(rows, row_json(a, i));
	json_t *more = json_pack(
		"{s:s, s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:b, s:o, s:o}", "source", "callgrind",
		"unit", c->per_run ? "instructions/run" : "instructions/op", "operations",
		(json_int_t)a->operations,
		"instructions_of_region", (json_int_t)(a->total_ir + 0.5), "total",
		a->total_ir / ops, "unattributed", a->unattributed_ir / ops, "by_symbol",
		a->by_symbol_ir / ops, "divided", a->divided_ir / ops, "debug_information",
		c->has_debuginfo, "paths", paths, "functions", rows);
	json_object_set_new(more, "mapping_seconds", json_real(c->mapping_s));
	json_object_update(j, more);
	json_decref(more);
	return j;
}

static json_t *change_json(const struct account_change *c)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:f, s:f, s:f}", "kind",
			 account_kind_name(c->kind), "path", text(c->path), "chain", text(c->name),
			 "was", text(c->was), "function", text(c->function), "file", text(c->file),
			 "part", text(c->part), "a", c->a, "b", c->b, "delta", c->delta, "a_calls",
			 c->a_calls, "b_calls", c->b_calls);
}

json_t *account_diff_json(const struct account_diff *x)
{
	json_t *changes = json_array(), *paths = json_array(), *parts = json_array();
	for (size_t i = 0; i < x->n_changes; i++)
		if (x->changes[i].kind != ACCOUNT_SAME)
			json_array_append_new(changes, change_json(&x->changes[i]));
	for (size_t i = 0; i < x->n_paths; i++) {
		const struct account_path_change *p = &x->paths[i];
		json_array_append_new(paths, json_pack("{s:o, s:f, s:f, s:f, s:f, s:f}", "path",
						       text(p->path), "a", p->a, "b", p->b, "delta",
						       p->b - p->a, "a_calls", p->a_calls,
						       "b_calls", p->b_calls));
	}
	for (size_t i = 0; i < x->n_parts; i++)
		json_array_append_new(parts, json_pack("{s:o, s:f, s:f, s:f}", "part",
						       text(x->parts[i].part), "a", x->parts[i].a,
						       "b", x->parts[i].b, "delta",
						       x->parts[i].b - x->parts[i].a));
	return json_pack("{s:f, s:f, s:f, s:I, s:o, s:o, s:o}", "a", x->a_per_op, "b", x->b_per_op,
			 "delta", x->b_per_op - x->a_per_op, "telling", (json_int_t)x->n_telling,
			 "changes", changes, "paths", paths, "parts", parts);
}

void account_hunk_text(const struct diff_hunk *h, bool old, unsigned line, struct buf *out)
{
	long at = old ? h->old_start : h->new_start;
	for (const char *s = h->text; *s; s++) {
		size_t n = strcspn(s, "\n");
		if (*s == ' ' || *s == (old ? '-' : '+')) {
			if (at++ == (long)line) {
				buf_add(out, s + 1, n - 1);
				return;
			}
		}
		s += n;
		if (!*s)
			return;
	}
}

static json_t *hunk_json(const struct account_hunk *h, const struct diff *d)
{
	const struct diff_file *f = &d->files[h->file];
	const struct diff_hunk *k = &f->hunks[h->hunk];
	json_t *lines = json_array();
	for (size_t i = 0; i < h->n_lines; i++) {
		struct buf b = { 0 };
		account_hunk_text(k, h->lines[i].old, h->lines[i].line, &b);
		json_array_append_new(lines,
				      json_pack("{s:b, s:i, s:f, s:o}", "removed", h->lines[i].old,
						"line", (int)h->lines[i].line, "instructions",
						h->lines[i].per_op, "text", text(buf_str(&b))));
		buf_release(&b);
	}
	return json_pack("{s:o, s:o, s:i, s:i, s:i, s:i, s:o, s:f, s:f, s:f, s:o}", "old_file",
			 text(f->old_path), "new_file", text(f->new_path), "old_start",
			 k->old_start, "old_lines", k->old_lines, "new_start", k->new_start,
			 "new_lines", k->new_lines, "heading", text(k->heading), "a", h->a, "b",
			 h->b, "delta", h->b - h->a, "lines", lines);
}

json_t *account_hunks_json(const struct account_hunks *h, const struct diff *d)
{
	json_t *hunks = json_array(), *outside = json_array();
	for (size_t i = 0; i < h->n_hunks; i++)
		json_array_append_new(hunks, hunk_json(&h->hunks[i], d));
	for (size_t i = 0; i < h->n_outside; i++)
		json_array_append_new(outside,
				      json_pack("{s:o, s:o, s:f, s:f, s:f}", "function",
						text(h->outside[i].function), "file",
						text(h->outside[i].file), "a", h->outside[i].a, "b",
						h->outside[i].b, "delta",
						h->outside[i].b - h->outside[i].a));
	return json_pack("{s:o, s:I, s:o, s:f, s:f}", "hunks", hunks, "hunks_without_cost",
			 (json_int_t)h->n_silent, "unchanged_lines", outside, "unchanged_a",
			 h->outside_a, "unchanged_b", h->outside_b);
}
