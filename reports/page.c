/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/page_tree.h"

#include "reports/plot.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the UTF-8 sequence at s, 0 when it is none (RFC 3629: no surrogates, nothing overlong
 * or above U+10FFFF). */
static size_t sequence(const unsigned char *s)
{
	if (s[0] < 0x80)
		return 1;
	size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/*
 * Characters that change how others are shown: C1 controls, bidirectional overrides and isolates,
 * invisible joiners, line and paragraph separators, the byte order mark. A subject with such a one
 * could make a page read otherwise than its bytes.
 */
static bool deceptive(const unsigned char *s, size_t n)
{
	if (n == 2)
		return s[0] == 0xc2 && s[1] < 0xa0;
	if (n != 3)
		return false;
	unsigned c = (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
		(c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c == 0xfffe || c == 0xffff;
}

char *text_clean(const char *bytes)
{
	struct buf out = { 0 };
	const unsigned char *s = (const unsigned char *)(bytes ? bytes : "");
	while (*s) {
		size_t n = sequence(s);
		if (n == 1 && (*s == '\n' || *s == '\t')) {
			buf_putc(&out, (char)*s);
		} else if (!n || deceptive(s, n) || (n == 1 && (*s < 0x20 || *s == 0x7f))) {
			for (size_t i = 0; i < (n ? n : 1); i++)
				buf_printf(&out, "\\x%02x", s[i]);
		} else {
			buf_add(&out, s, n);
		}
		s += n ? n : 1;
	}
	return out.data ? buf_detach(&out) : x_strdup("");
}

static char *format(const char *fmt, va_list ap)
{
	char *raw = NULL;
	if (vasprintf(&raw, fmt, ap) < 0)
		abort();
	char *clean = text_clean(raw);
	free(raw);
	return clean;
}

#define FORMAT(text, fmt)                  \
	do {                               \
		va_list ap_;               \
		va_start(ap_, fmt);        \
		(text) = format(fmt, ap_); \
		va_end(ap_);               \
	} while (0)

static void line_release(struct line *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct span *s = &l->spans[i];
		free(s->text), free(s->stem);
		free((void *)s->figure.unit), free((void *)s->figure.metric),
			free((void *)s->figure.source), free((void *)s->figure.verdict);
	}
	free(l->spans);
}

static void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_columns; i++)
		free(t->columns[i].name);
	for (size_t r = 0; r < t->n_rows; r++) {
		for (size_t c = 0; c < t->rows[r].n; c++) {
			line_release(&t->rows[r].cells[c]->line);
			free(t->rows[r].cells[c]->hover);
			free(t->rows[r].cells[c]);
		}
		free(t->rows[r].cells);
	}
	free(t->columns), free(t->rows), free(t->caption);
	free(t);
}

static void node_release(struct node *n)
{
	for (size_t i = 0; i < n->n; i++) {
		node_release(n->children[i]);
		free(n->children[i]);
	}
	free(n->children), free(n->text);
	line_release(&n->line);
	table_free(n->table);
	plot_free(n->plot);
}

struct page *page_new(const char *stem, const char *fmt, ...)
{
	struct page *p = x_calloc(1, sizeof(*p));
	p->stem = x_strdup(stem);
	FORMAT(p->title, fmt);
	p->open = &p->root;
	return p;
}

void page_free(struct page *p)
{
	if (!p)
		return;
	node_release(&p->root);
	line_release(&p->lead);
	for (size_t i = 0; i < p->n_sisters; i++)
		free(p->sisters[i].stem), free(p->sisters[i].name);
	free(p->sisters), free(p->stem), free(p->title);
	free(p);
}

const char *page_stem(const struct page *p)
{
	return p->stem;
}

const char *page_title(const struct page *p)
{
	return p->title;
}

struct line *page_lead(struct page *p)
{
	return &p->lead;
}

static struct node *add(struct page *p, enum node_kind kind)
{
	struct node *parent = p->open, *n = x_calloc(1, sizeof(*n));
	x_grow(parent->children, parent->n, parent->cap);
	parent->children[parent->n++] = n;
	n->kind = kind, n->parent = parent;
	return n;
}

void page_heading(struct page *p, int level, const char *fmt, ...)
{
	struct node *n = add(p, NODE_HEADING);
	assert(level >= 2 && level <= 4);
	n->level = level;
	FORMAT(n->text, fmt);
}

struct line *page_paragraph(struct page *p)
{
	return &add(p, NODE_PARAGRAPH)->line;
}

struct line *page_note(struct page *p)
{
	return &add(p, NODE_NOTE)->line;
}

struct line *page_item(struct page *p)
{
	return &add(p, NODE_ITEM)->line;
}

void page_code(struct page *p, const char *text)
{
	add(p, NODE_CODE)->text = text_clean(text);
}

struct table *page_table(struct page *p, const char *caption_fmt, ...)
{
	struct table *t = x_calloc(1, sizeof(*t));
	add(p, NODE_TABLE)->table = t;
	FORMAT(t->caption, caption_fmt);
	return t;
}

void page_plot(struct page *p, struct plot *plot)
{
	add(p, NODE_PLOT)->plot = plot;
}

struct line *page_open_answer(struct page *p, enum tone tone, const char *label)
{
	struct node *n = add(p, NODE_ANSWER);
	n->tone = tone;
	n->text = text_clean(label);
	p->open = n;
	return &n->line;
}

struct line *page_open_details(struct page *p)
{
	p->open = add(p, NODE_DETAILS);
	return &p->open->line;
}

void page_close(struct page *p)
{
	assert(p->open->parent);
	p->open = p->open->parent;
}

void page_link(struct page *p, const char *stem, const char *fmt, ...)
{
	x_grow(p->sisters, p->n_sisters, p->cap_sisters);
	struct page_sister *s = &p->sisters[p->n_sisters++];
	s->stem = x_strdup(stem);
	FORMAT(s->name, fmt);
}

static struct span *span(struct line *l, enum span_kind kind)
{
	x_grow(l->spans, l->n, l->cap);
	struct span *s = &l->spans[l->n++];
	*s = (struct span){ .kind = kind };
	return s;
}

void line_text(struct line *l, const char *fmt, ...)
{
	struct span *s = span(l, SPAN_TEXT);
	FORMAT(s->text, fmt);
}

void line_strong(struct line *l, const char *fmt, ...)
{
	struct span *s = span(l, SPAN_STRONG);
	FORMAT(s->text, fmt);
}

void line_small(struct line *l, const char *fmt, ...)
{
	struct span *s = span(l, SPAN_SMALL);
	FORMAT(s->text, fmt);
}

void line_quote(struct line *l, const char *fmt, ...)
{
	struct span *s = span(l, SPAN_QUOTE);
	FORMAT(s->text, fmt);
}

void line_code(struct line *l, const char *fmt, ...)
{
	struct span *s = span(l, SPAN_CODE);
	FORMAT(s->text, fmt);
}

void line_toned(struct line *l, enum tone tone, const char *fmt, ...)
{
	struct span *s = span(l, SPAN_TONED);
	s->tone = tone;
	FORMAT(s->text, fmt);
}

void line_link(struct line *l, const char *stem, const char *fmt, ...)
{
	struct span *s = span(l, SPAN_LINK);
	s->stem = x_strdup(stem);
	FORMAT(s->text, fmt);
}

void line_break(struct line *l)
{
	span(l, SPAN_BREAK);
}

static char *own(const char *s)
{
	return s ? text_clean(s) : NULL;
}

void line_figure(struct line *l, const struct figure *f)
{
	struct span *s = span(l, SPAN_FIGURE);
	s->figure = *f;
	s->figure.unit = own(f->unit), s->figure.metric = own(f->metric),
	s->figure.source = own(f->source), s->figure.verdict = own(f->verdict);
}

enum tone verdict_tone(const char *verdict)
{
	static const struct {
		const char *word;
		enum tone tone;
	} words[] = { { "regression", TONE_BAD }, { "improvement", TONE_GOOD },
		{ "no change", TONE_SAME }, { "unclear", TONE_UNSURE }, { "invalid", TONE_VOID } };
	for (size_t i = 0; verdict && i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(words[i].word, verdict))
			return words[i].tone;
	return TONE_NONE;
}

void line_verdict(struct line *l, const char *verdict)
{
	line_toned(l, verdict_tone(verdict), "%s", verdict);
}

const char *tone_name(enum tone t)
{
	static const char *const names[] = { "", "worse", "better", "same", "unclear", "invalid",
		"dim" };
	return names[t];
}

const char *tone_sign(enum tone t)
{
	static const char *const signs[] = { "", "✗", "✓", "=", "?", "⊘", "" };
	return signs[t];
}

void table_column(struct table *t, enum align align, const char *fmt, ...)
{
	assert(!t->n_rows);
	x_grow(t->columns, t->n_columns, t->cap_columns);
	struct column *c = &t->columns[t->n_columns++];
	c->align = align;
	FORMAT(c->name, fmt);
}

void table_begin_row(struct table *t)
{
	assert(!t->n_rows || t->rows[t->n_rows - 1].n == t->n_columns);
	x_grow(t->rows, t->n_rows, t->cap_rows);
	t->rows[t->n_rows++] = (struct row){ 0 };
}

struct line *table_cell(struct table *t)
{
	struct row *r = &t->rows[t->n_rows - 1];
	assert(r->n < t->n_columns);
	struct cell *c = x_calloc(1, sizeof(*c));
	x_grow(r->cells, r->n, r->cap);
	r->cells[r->n++] = c;
	c->shade = NAN;
	return &c->line;
}

void table_cell_text(struct table *t, const char *fmt, ...)
{
	struct span *s = span(table_cell(t), SPAN_TEXT);
	FORMAT(s->text, fmt);
}

static struct cell *last_cell(struct table *t)
{
	struct row *r = &t->rows[t->n_rows - 1];
	return r->cells[r->n - 1];
}

void table_shade(struct table *t, double shade)
{
	last_cell(t)->shade = fmax(-1, fmin(1, shade));
}

void table_hover(struct table *t, const char *fmt, ...)
{
	struct cell *c = last_cell(t);
	free(c->hover);
	FORMAT(c->hover, fmt);
}

size_t table_rows(const struct table *t)
{
	return t->n_rows;
}

static void number(double v, const struct figure *f, struct buf *out)
{
	if (isnan(v))
		buf_puts(out, "–");
	else if (isinf(v))
		buf_puts(out, v < 0 ? "−∞" : "∞");
	else {
		char text[64];
		int decimals = f->decimals;
		if (decimals < 0) {
			double m = fabs(v);
			decimals = m >= 1000 ? 0 : m >= 100 ? 1 : m >= 10 ? 2 : 3;
		}
		snprintf(text, sizeof(text), f->sign ? "%+.*f" : "%.*f", decimals, v);
		/* A typographic minus: a hyphen may end a line. */
		if (text[0] == '-')
			buf_printf(out, "−%s", text + 1);
		else
			buf_puts(out, text);
	}
}

void figure_print(const struct figure *f, struct buf *out)
{
	number(f->value, f, out);
	if (f->unit && *f->unit && !f->bare && !isnan(f->value))
		buf_printf(out, " %s", f->unit);
}

void figure_basis(const struct figure *f, struct buf *out)
{
	const char *sep = "";
	if (!isnan(f->lo) && !isnan(f->hi) && (f->lo != f->value || f->hi != f->value)) {
		buf_puts(out, "[");
		number(f->lo, f, out);
		buf_puts(out, ", ");
		number(f->hi, f, out);
		buf_puts(out, "]");
		sep = ", ";
	}
	if (f->rounds > 0) {
		buf_printf(out, "%s%lld %s%s", sep, (long long)f->rounds,
			f->source && !strcmp(f->source, "callgrind") ? "count" : "round",
			f->rounds == 1 ? "" : "s");
		sep = ", ";
	}
	if (f->source) {
		buf_printf(out, "%s%s", sep, f->source);
		sep = ", ";
	}
	if (f->verdict)
		buf_printf(out, "%s%s", sep, f->verdict);
}
