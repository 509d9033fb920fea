/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/html.h"

#include "reports/escape.h"
#include "reports/page_tree.h"
#include "reports/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char css[] =
#include "reports/page.css.h"
	;

static const char *tone_class(enum tone t)
{
	static const char *const names[] = { "", "bad", "good", "same", "unsure", "void", "dim" };
	return names[t];
}

static void element(const char *tag, const char *text, struct buf *out)
{
	buf_printf(out, "<%s>", tag);
	escape_html(text, out);
	buf_printf(out, "</%s>", tag);
}

static void figure(const struct figure *f, struct buf *out)
{
	struct buf value = { 0 }, basis = { 0 };
	figure_print(f, &value);
	figure_basis(f, &basis);
	buf_puts(out, "<span class=\"figure\"");
	if (basis.len) {
		buf_puts(out, " title=\"");
		if (f->metric) {
			escape_html(f->metric, out);
			buf_puts(out, ": ");
		}
		escape_html(buf_str(&basis), out);
		buf_putc(out, '"');
	}
	buf_putc(out, '>');
	escape_html(buf_str(&value), out);
	buf_puts(out, "</span>");
	buf_release(&value), buf_release(&basis);
}

static void line(const struct line *l, struct buf *out)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct span *s = &l->spans[i];
		switch (s->kind) {
		case SPAN_TEXT: escape_html(s->text, out); break;
		case SPAN_STRONG: element("strong", s->text, out); break;
		case SPAN_SMALL: element("small", s->text, out); break;
		case SPAN_QUOTE: element("q", s->text, out); break;
		case SPAN_CODE: element("code", s->text, out); break;
		case SPAN_BREAK: buf_puts(out, "<br>"); break;
		case SPAN_FIGURE: figure(&s->figure, out); break;
		case SPAN_TONED:
			buf_printf(out, "<span class=\"%s\">", tone_class(s->tone));
			if (*tone_sign(s->tone))
				buf_printf(out, "<span aria-hidden=\"true\">%s</span>&#160;",
					tone_sign(s->tone));
			escape_html(s->text, out);
			buf_puts(out, "</span>");
			break;
		case SPAN_LINK:
			buf_puts(out, "<a href=\"");
			escape_html(s->stem, out);
			buf_puts(out, ".html\">");
			escape_html(s->text, out);
			buf_puts(out, "</a>");
			break;
		}
	}
}

static void block(const char *open, const struct line *l, const char *close, struct buf *out)
{
	buf_puts(out, open);
	line(l, out);
	buf_puts(out, close);
}

static void cell(const struct table *t, const struct row *r, size_t c, struct buf *out)
{
	const struct cell *k = r->cells[c];
	bool right = t->columns[c].align == ALIGN_RIGHT, head = c == 0;
	buf_puts(out, head ? "<th scope=\"row\"" : "<td");
	bool shaded = !isnan(k->shade) && fabs(k->shade) >= 0.02;
	const char *shade = shaded ? k->shade > 0 ? "worse" : "better" : "";
	if (right || shaded)
		buf_printf(out, " class=\"%s%s%s\"", right ? "r" : "", right && shaded ? " " : "",
			shade);
	if (shaded)
		buf_printf(out, " data-shade style=\"--depth:%.2f\"", 0.06 + 0.34 * fabs(k->shade));
	if (k->hover) {
		buf_puts(out, " title=\"");
		escape_html(k->hover, out);
		buf_putc(out, '"');
	}
	buf_putc(out, '>');
	line(&k->line, out);
	buf_puts(out, head ? "</th>" : "</td>");
}

static void table(const struct table *t, struct buf *out)
{
	/* A table wider than the window scrolls by itself; keyboards reach it. */
	buf_puts(out, "<p class=\"caption\">");
	escape_html(t->caption, out);
	buf_puts(out, "</p>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"");
	escape_html(t->caption, out);
	buf_puts(out, "\"><table>\n<thead><tr>");
	for (size_t c = 0; c < t->n_columns; c++) {
		buf_puts(out,
			t->columns[c].align == ALIGN_RIGHT ? "<th scope=\"col\" class=\"r\">"
							   : "<th scope=\"col\">");
		escape_html(t->columns[c].name, out);
		buf_puts(out, "</th>");
	}
	buf_puts(out, "</tr></thead>\n<tbody>\n");
	for (size_t r = 0; r < t->n_rows; r++) {
		buf_puts(out, "<tr>");
		for (size_t c = 0; c < t->rows[r].n; c++)
			cell(t, &t->rows[r], c, out);
		buf_puts(out, "</tr>\n");
	}
	buf_puts(out, "</tbody></table></div>\n");
}

static void plot(const struct plot *p, struct buf *out)
{
	buf_puts(out, "<figure>\n");
	if (p->svg_wide)
		buf_printf(out, "<div class=\"wide\">%s</div>\n<div class=\"narrow\">%s</div>\n",
			p->svg_wide, p->svg_narrow ? p->svg_narrow : p->svg_wide);
	else if (!plot_empty(p))
		buf_puts(out,
			"<p class=\"note\">(No picture: gnuplot was not there to draw it.)</p>\n");
	if (p->kind == PLOT_TIMELINE && (p->n_series > 1 || p->n_broken)) {
		buf_puts(out, "<ul class=\"legend\">");
		for (size_t i = 0; i < p->n_series; i++) {
			buf_printf(out,
				"<li><span aria-hidden=\"true\" "
				"style=\"color:var(--c%d)\">%s</span> ",
				p->series[i]->colour % 8, plot_mark_sign(p->series[i]->mark));
			escape_html(p->series[i]->name, out);
			buf_puts(out, "</li>");
		}
		if (p->n_broken)
			buf_puts(out,
				"<li><span aria-hidden=\"true\" class=\"bad\">×</span> could not "
				"be measured</li>");
		buf_puts(out, "</ul>\n");
	}
	buf_puts(out, "<figcaption>");
	element("strong", p->title, out);
	if (p->caption) {
		buf_puts(out, " ");
		escape_html(p->caption, out);
	}
	buf_puts(out, "</figcaption></figure>\n");
}

static void nodes(const struct node *parent, struct buf *out);

static void node(const struct node *n, struct buf *out)
{
	switch (n->kind) {
	case NODE_HEADING:
		buf_printf(out, "<h%d>", n->level);
		escape_html(n->text, out);
		buf_printf(out, "</h%d>\n", n->level);
		break;
	case NODE_PARAGRAPH: block("<p>", &n->line, "</p>\n", out); break;
	case NODE_NOTE: block("<p class=\"note\">", &n->line, "</p>\n", out); break;
	case NODE_ITEM: block("<li>", &n->line, "</li>\n", out); break;
	case NODE_CODE:
		element("pre", n->text, out);
		buf_putc(out, '\n');
		break;
	case NODE_TABLE: table(n->table, out); break;
	case NODE_PLOT: plot(n->plot, out); break;
	case NODE_ANSWER:
		buf_printf(out, "<section class=\"answer %s\"><p class=\"label\">",
			tone_class(n->tone));
		escape_html(n->text, out);
		block("</p>\n<p class=\"head\">", &n->line, "</p>\n", out);
		nodes(n, out);
		buf_puts(out, "</section>\n");
		break;
	case NODE_DETAILS:
		block("<details><summary>", &n->line, "</summary>\n", out);
		nodes(n, out);
		buf_puts(out, "</details>\n");
		break;
	}
}

/* Neighbours of one kind share a frame: items a list, answers a row of cards. */
static void nodes(const struct node *parent, struct buf *out)
{
	for (size_t i = 0; i < parent->n; i++) {
		enum node_kind kind = parent->children[i]->kind;
		bool framed = kind == NODE_ITEM || kind == NODE_ANSWER;
		bool first = !i || parent->children[i - 1]->kind != kind,
		     last = i + 1 == parent->n || parent->children[i + 1]->kind != kind;
		if (framed && first)
			buf_puts(out,
				kind == NODE_ITEM ? "<ul class=\"items\">\n"
						  : "<div class=\"answers\">\n");
		node(parent->children[i], out);
		if (framed && last)
			buf_puts(out, kind == NODE_ITEM ? "</ul>\n" : "</div>\n");
	}
}

static void navigation(const struct page *p, struct buf *out)
{
	if (!p->n_sisters)
		return;
	buf_puts(out, "<nav aria-label=\"Pages\"><ul>");
	for (size_t i = 0; i < p->n_sisters; i++) {
		buf_puts(out, "<li><a href=\"");
		escape_html(p->sisters[i].stem, out);
		buf_puts(out, ".html\"");
		if (!strcmp(p->sisters[i].stem, p->stem))
			buf_puts(out, " aria-current=\"page\"");
		buf_putc(out, '>');
		escape_html(p->sisters[i].name, out);
		buf_puts(out, "</a></li>");
	}
	buf_puts(out, "</ul></nav>\n");
}

void html_write(const struct page *p, const char *made, struct buf *out)
{
	buf_puts(out,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"style-src 'unsafe-inline'; img-src data:\">\n"
		"<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" "
		"href=\"data:,\">\n");
	element("title", p->title, out);
	buf_printf(out,
		"\n<style>\n%s</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">To the "
		"content</a>\n",
		css);
	navigation(p, out);
	buf_puts(out, "<header>");
	element("h1", p->title, out);
	if (p->lead.n)
		block("\n<p class=\"lead\">", &p->lead, "</p>", out);
	buf_puts(out, "</header>\n<main id=\"main\">\n");
	nodes(&p->root, out);
	buf_puts(out, "</main>\n<footer><p>");
	escape_html(made, out);
	buf_puts(out, "</p></footer>\n</body>\n</html>\n");
}

void html_picture(const struct plot *p, struct buf *out)
{
	size_t head = strcspn(p->svg_wide, ">");
	buf_printf(out, "%.*s xmlns=\"http://www.w3.org/2000/svg\" style=\"background:var(--paper)\">",
		(int)head, p->svg_wide);
	buf_printf(out, "\n<style>\n%s</style>%s\n", css, p->svg_wide + head + 1);
}
