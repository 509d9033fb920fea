/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/page_tree.h"

#include "reports/plot.h"

#include <math.h>

static json_t *real(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *word(const char *s)
{
	return s ? json_string(s) : json_null();
}

static json_t *figure(const struct figure *f)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "value", real(f->value),
		"unit", word(f->unit), "metric", word(f->metric), "source", word(f->source),
		"rounds", f->rounds ? json_integer((json_int_t)f->rounds) : json_null(), "lo",
		real(f->lo), "hi", real(f->hi), "verdict", word(f->verdict));
}

/* A line is its text, and beside it the figures and verdicts that it holds. */
static void line_into(const struct line *l, json_t *o)
{
	struct buf text = { 0 };
	json_t *figures = json_array();
	for (size_t i = 0; i < l->n; i++) {
		const struct span *s = &l->spans[i];
		if (s->kind == SPAN_FIGURE) {
			figure_print(&s->figure, &text);
			json_array_append_new(figures, figure(&s->figure));
		} else if (s->kind == SPAN_BREAK) {
			buf_putc(&text, '\n');
		} else {
			if (s->kind == SPAN_SMALL && i)
				buf_putc(&text, ' ');
			buf_puts(&text, s->text);
		}
		if (s->kind == SPAN_TONED)
			json_object_set_new(o, "tone", json_string(tone_name(s->tone)));
	}
	json_object_set_new(o, "text", json_string(buf_str(&text)));
	if (json_array_size(figures) == 1)
		json_object_set(o, "figure", json_array_get(figures, 0));
	else if (json_array_size(figures))
		json_object_set(o, "figures", figures);
	json_decref(figures);
	buf_release(&text);
}

static json_t *table(const struct table *t)
{
	json_t *columns = json_array(), *rows = json_array();
	for (size_t c = 0; c < t->n_columns; c++)
		json_array_append_new(columns, json_string(t->columns[c].name));
	for (size_t r = 0; r < t->n_rows; r++) {
		json_t *row = json_array();
		for (size_t c = 0; c < t->rows[r].n; c++) {
			json_t *cell = json_object();
			line_into(&t->rows[r].cells[c]->line, cell);
			if (t->rows[r].cells[c]->hover)
				json_object_set_new(
					cell, "hover", json_string(t->rows[r].cells[c]->hover));
			json_array_append_new(row, cell);
		}
		json_array_append_new(rows, row);
	}
	return json_pack("{s:s, s:s, s:o, s:o}", "kind", "table", "caption", t->caption, "columns",
		columns, "rows", rows);
}

static json_t *nodes(const struct node *parent);

static json_t *node(const struct node *n)
{
	static const char *const kinds[] = { "heading", "paragraph", "note", "item", "code",
		"table", "plot", "answer", "details" };
	if (n->kind == NODE_TABLE)
		return table(n->table);
	json_t *o = json_object();
	json_object_set_new(o, "kind", json_string(kinds[n->kind]));
	if (n->kind == NODE_PLOT) {
		json_object_update_new(o, plot_json(n->plot));
	} else if (n->kind == NODE_HEADING || n->kind == NODE_CODE) {
		json_object_set_new(o, "text", json_string(n->text));
	} else {
		line_into(&n->line, o);
	}
	if (n->kind == NODE_HEADING)
		json_object_set_new(o, "level", json_integer(n->level));
	if (n->kind == NODE_ANSWER) {
		json_object_set_new(o, "label", json_string(n->text));
		json_object_set_new(o, "tone", json_string(tone_name(n->tone)));
	}
	if (n->n)
		json_object_set_new(o, "content", nodes(n));
	return o;
}

static json_t *nodes(const struct node *parent)
{
	json_t *list = json_array();
	for (size_t i = 0; i < parent->n; i++)
		json_array_append_new(list, node(parent->children[i]));
	return list;
}

json_t *page_json(const struct page *p)
{
	json_t *o = json_pack(
		"{s:s, s:s, s:o}", "page", p->stem, "title", p->title, "content", nodes(&p->root));
	if (p->lead.n) {
		json_t *lead = json_object();
		line_into(&p->lead, lead);
		json_object_set_new(o, "lead", lead);
	}
	return o;
}
