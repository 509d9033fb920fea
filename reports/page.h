/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One page as what it says, not as how it looks: headings, paragraphs, figures, tables, plots,
 * details. reports/html.h, reports/markdown.h and page_json() are three readings of the same tree,
 * so that they cannot differ.
 *
 * Texts are plain: any bytes may be given anywhere, they are made valid UTF-8 without control
 * characters here, and escaped by whoever writes them out. A page owns everything below it; release
 * with page_free().
 *
 * The author's steps: page_new(); page_heading(), page_paragraph(), page_table() … in reading
 * order; what a function returns is filled through line_…() or table_…() and belongs to the page.
 * page_open()/page_close() nest.
 */
struct page;
struct line; /* a run of text with figures, code and links in it */
struct table;
struct plot; /* reports/plot.h */

/* What a word or cell says beside its colour: writers add a sign of their own, so that colour is
 * never the only one. */
enum tone {
	TONE_NONE,
	TONE_BAD,    /* worse, failed */
	TONE_GOOD,   /* better */
	TONE_SAME,   /* shown to be no change */
	TONE_UNSURE, /* unclear */
	TONE_VOID,   /* invalid: not to be trusted */
	TONE_DIM,    /* beside the point */
};

/* A figure never goes without what is needed to judge it. NAN: not known. */
struct figure {
	double value;
	const char *unit;    /* "instructions/op", "ns/op", "%" */
	const char *metric;  /* name in the record */
	const char *source;  /* callgrind, thread_cpu_clock, … */
	int64_t rounds;	     /* behind it; 0: none */
	double lo, hi;	     /* interval, in the value's unit */
	const char *verdict; /* NULL: none is asked */
	int decimals;	     /* to print; negative: four significant digits */
	bool sign;	     /* print a + */
	bool bare;	     /* the unit stands elsewhere (a column's head) */
	bool told;	     /* what it rests on stands beside it in words */
};

struct page *page_new(const char *stem, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void page_free(struct page *p); /* takes NULL */

const char *page_stem(const struct page *p); /* file name without ending */
const char *page_title(const struct page *p);

/* The line below the title: what was asked, of what, when. */
struct line *page_lead(struct page *p);

void page_heading(struct page *p, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4))); /* 2 … 4 */
struct line *page_paragraph(struct page *p);
struct line *page_note(struct page *p); /* a remark in smaller letters */
struct line *page_item(struct page *p); /* of a list; neighbours are one list */
void page_code(struct page *p, const char *text);
struct table *page_table(struct page *p, const char *caption_fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Takes over the plot. */
void page_plot(struct page *p, struct plot *plot);

/* A frame around an answer, in its tone; or something folded away under a line that always shows.
 */
struct line *page_open_answer(struct page *p, enum tone tone, const char *label);
struct line *page_open_details(struct page *p);
void page_close(struct page *p);

/* Links to the sister pages: shown at the top, the page's own marked. */
void page_link(struct page *p, const char *stem, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- lines ---- */
void line_text(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void line_strong(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void line_small(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Words of somebody else (a commit's subject, a program's output), marked as such: Markdown shows
 * them as code, where no markup or mention is seen. */
void line_quote(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void line_code(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void line_toned(struct line *l, enum tone tone, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* stem: of a sister page; the link goes to its file. */
void line_link(struct line *l, const char *stem, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void line_break(struct line *l);
void line_figure(struct line *l, const struct figure *f);
/* One of the verdicts' words with its tone. */
void line_verdict(struct line *l, const char *verdict);
enum tone verdict_tone(const char *verdict);

/* ---- tables: columns first, then rows cell by cell ---- */
enum align { ALIGN_LEFT, ALIGN_RIGHT };
void table_column(struct table *t, enum align align, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void table_begin_row(struct table *t);
struct line *table_cell(struct table *t);
void table_cell_text(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Of the cell made last: its shade in a heat map, -1 (better) … 1 (worse); what hovering says. */
void table_shade(struct table *t, double shade);
void table_hover(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t table_rows(const struct table *t);

/* The whole page as JSON: the same tree, figures as objects of the contract. */
json_t *page_json(const struct page *p);

/* A figure as people read it: "45.28 instructions/op". Appended. */
void figure_print(const struct figure *f, struct buf *out);
/* What it rests on: "callgrind, 2 counts", "median of 24 rounds, thread_cpu_clock, [4.81, 4.97]";
 * "" when nothing is known. Appended. */
void figure_basis(const struct figure *f, struct buf *out);

/* Bytes as text that any writer may escape: valid UTF-8, no control characters, what is neither
 * stands as \xNN. */
char *text_clean(const char *bytes);
