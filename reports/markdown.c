/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/markdown.h"

#include "reports/escape.h"
#include "reports/page_tree.h"
#include "reports/plot.h"

#include <stdlib.h>
#include <string.h>

static void wrapped(const char *mark, const char *text, struct buf *out)
{
	size_t n = strlen(text), end = n;
	while (end && text[end - 1] == ' ') /* a mark closes only behind a letter */
		end--;
	if (!end)
		return;
	char *bare = x_printf("%.*s", (int)end, text);
	buf_puts(out, mark);
	escape_markdown(bare, out);
	buf_puts(out, mark);
	buf_puts(out, end < n ? " " : "");
	free(bare);
}

static void figure(const struct figure *f, bool cell, struct buf *out)
{
	struct buf b = { 0 };
	figure_print(f, &b);
	escape_markdown(buf_str(&b), out);
	buf_reset(&b);
	figure_basis(f, &b);
	if (!cell && !f->told && b.len) { /* a table says it in its columns and caption */
		buf_puts(out, " (");
		escape_markdown(buf_str(&b), out);
		buf_putc(out, ')');
	}
	buf_release(&b);
}

static void line(const struct line *l, bool cell, struct buf *out)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct span *s = &l->spans[i];
		switch (s->kind) {
		case SPAN_TEXT: escape_markdown(s->text, out); break;
		case SPAN_SMALL:
			buf_puts(out, cell && i ? " " : "");
			escape_markdown(s->text, out);
			break;
		case SPAN_STRONG: wrapped("**", s->text, out); break;
		case SPAN_QUOTE:
		case SPAN_CODE: escape_markdown_code(s->text, cell, out); break;
		case SPAN_BREAK: buf_puts(out, cell ? "; " : "  \n"); break;
		case SPAN_FIGURE: figure(&s->figure, cell, out); break;
		case SPAN_TONED:
			buf_puts(out, cell && i ? " " : "");
			if (*tone_sign(s->tone))
				buf_printf(out, "%s ", tone_sign(s->tone));
			escape_markdown(s->text, out);
			break;
		case SPAN_LINK:
			buf_putc(out, '[');
			escape_markdown(s->text, out);
			buf_printf(out, "](%s.md)", s->stem);
			break;
		}
	}
}

static void table(const struct table *t, struct buf *out)
{
	buf_puts(out, "|");
	for (size_t c = 0; c < t->n_columns; c++) {
		buf_putc(out, ' ');
		escape_markdown(t->columns[c].name, out);
		buf_puts(out, " |");
	}
	buf_puts(out, "\n|");
	for (size_t c = 0; c < t->n_columns; c++)
		buf_puts(out, t->columns[c].align == ALIGN_RIGHT ? " ---: |" : " --- |");
	buf_putc(out, '\n');
	for (size_t r = 0; r < t->n_rows; r++) {
		buf_puts(out, "|");
		for (size_t c = 0; c < t->rows[r].n; c++) {
			buf_putc(out, ' ');
			line(&t->rows[r].cells[c]->line, true, out);
			buf_puts(out, " |");
		}
		buf_putc(out, '\n');
	}
	buf_puts(out, "\n");
	wrapped("_", t->caption, out);
	buf_puts(out, "\n\n");
}

/* A fence longer than any run of back quotes inside. */
static void code(const char *text, struct buf *out)
{
	size_t longest = 2, run = 0, n = strlen(text);
	for (size_t i = 0; i < n; i++) {
		run = text[i] == '`' ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	char *fence = x_calloc(longest + 2, 1);
	memset(fence, '`', longest + 1);
	if (n)
		buf_printf(
			out, "%s\n%s%s%s\n\n", fence, text, text[n - 1] == '\n' ? "" : "\n", fence);
	free(fence);
}

/* Where pictures stand beside the text: number of the one before. NULL: they are told in words. */
struct pictures {
	const char *stem;
	size_t n;
};

static void plot(const struct plot *p, struct pictures *pictures, struct buf *out)
{
	if (pictures && p->svg_wide) {
		buf_puts(out, "![");
		escape_markdown(p->alt ? p->alt : p->title, out);
		buf_printf(out, "](%s-%zu.svg)\n\n", pictures->stem, ++pictures->n);
		wrapped("**", p->title, out);
		buf_puts(out, p->caption ? " " : "");
		escape_markdown(p->caption ? p->caption : "", out);
		buf_puts(out, "\n\n");
		return;
	}
	wrapped("**", p->title, out);
	buf_puts(out, p->caption ? " " : "");
	escape_markdown(p->caption ? p->caption : "", out);
	buf_puts(out, "\n\n");
	escape_markdown(p->alt ? p->alt : "", out);
	buf_puts(out, p->alt ? "\n\n" : "");
	struct buf bars = { 0 };
	plot_print(p, &bars);
	code(buf_str(&bars), out);
	buf_release(&bars);
}

static void nodes(const struct node *parent, struct pictures *pictures, struct buf *out);

static void node(const struct node *n, bool last_item, struct pictures *pictures, struct buf *out)
{
	switch (n->kind) {
	case NODE_HEADING:
		buf_printf(out, "%.*s ", n->level, "####");
		escape_markdown(n->text, out);
		buf_puts(out, "\n\n");
		break;
	case NODE_PARAGRAPH:
	case NODE_NOTE:
		line(&n->line, false, out);
		buf_puts(out, "\n\n");
		break;
	case NODE_ITEM:
		buf_puts(out, "- ");
		line(&n->line, false, out);
		buf_puts(out, last_item ? "\n\n" : "\n");
		break;
	case NODE_CODE: code(n->text, out); break;
	case NODE_TABLE: table(n->table, out); break;
	case NODE_PLOT: plot(n->plot, pictures, out); break;
	case NODE_ANSWER:
		wrapped("**", n->text, out);
		buf_puts(out, ": ");
		line(&n->line, false, out);
		buf_puts(out, "\n\n");
		nodes(n, pictures, out);
		break;
	case NODE_DETAILS:
		buf_puts(out, "#### ");
		line(&n->line, false, out);
		buf_puts(out, "\n\n");
		nodes(n, pictures, out);
		break;
	}
}

static void nodes(const struct node *parent, struct pictures *pictures, struct buf *out)
{
	for (size_t i = 0; i < parent->n; i++)
		node(parent->children[i],
			i + 1 == parent->n || parent->children[i + 1]->kind != NODE_ITEM,
			pictures, out);
}

static void write(const struct page *p, const char *made, struct pictures *pictures, struct buf *out)
{
	buf_puts(out, "# ");
	escape_markdown(p->title, out);
	buf_puts(out, "\n\n");
	if (p->lead.n) {
		line(&p->lead, false, out);
		buf_puts(out, "\n\n");
	}
	nodes(&p->root, pictures, out);
	if (p->n_sisters > 1) {
		buf_puts(out, "Pages: ");
		for (size_t i = 0; i < p->n_sisters; i++) {
			buf_puts(out, i ? " · [" : "[");
			escape_markdown(p->sisters[i].name, out);
			buf_printf(out, "](%s.md)", p->sisters[i].stem);
		}
		buf_puts(out, "\n\n");
	}
	escape_markdown(made, out);
	buf_putc(out, '\n');
}

void markdown_write(const struct page *p, const char *made, struct buf *out)
{
	write(p, made, NULL, out);
}

void markdown_illustrated(const struct page *p, const char *made, struct buf *out)
{
	struct pictures pictures = { .stem = p->stem };
	write(p, made, &pictures, out);
}
