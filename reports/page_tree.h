/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "reports/page.h"

/* The tree of a page, for the writers. Texts are clean (see text_clean()) and owned. */
enum span_kind {
	SPAN_TEXT,
	SPAN_STRONG,
	SPAN_SMALL,
	SPAN_QUOTE,
	SPAN_CODE,
	SPAN_TONED,
	SPAN_LINK,
	SPAN_BREAK,
	SPAN_FIGURE
};

struct span {
	enum span_kind kind;
	enum tone tone;
	char *text;	      /* NULL for breaks and figures */
	char *stem;	      /* of links */
	struct figure figure; /* its strings are owned */
};

struct line {
	struct span *spans;
	size_t n, cap;
};

struct cell {
	struct line line;
	double shade; /* NAN: none */
	char *hover;  /* NULL: none */
};

struct column {
	enum align align;
	char *name;
};

struct row {
	struct cell **cells;
	size_t n, cap;
};

struct table {
	char *caption;
	struct column *columns;
	size_t n_columns, cap_columns;
	struct row *rows;
	size_t n_rows, cap_rows;
};

enum node_kind {
	NODE_HEADING,
	NODE_PARAGRAPH,
	NODE_NOTE,
	NODE_ITEM,
	NODE_CODE,
	NODE_TABLE,
	NODE_PLOT,
	NODE_ANSWER,
	NODE_DETAILS
};

struct node {
	enum node_kind kind;
	int level;	  /* of headings */
	enum tone tone;	  /* of answers */
	char *text;	  /* of headings and code; the label of answers */
	struct line line; /* of paragraphs, notes, items; the head of answers and details */
	struct table *table;
	struct plot *plot;
	struct node **children;
	size_t n, cap;
	struct node *parent;
};

struct page_sister {
	char *stem, *name;
};

struct page {
	char *stem, *title;
	struct line lead;
	struct node root, *open;
	struct page_sister *sisters;
	size_t n_sisters, cap_sisters;
};

/* "worse", "better", … and a one-character sign for each tone; "" for TONE_NONE. */
const char *tone_name(enum tone t);
const char *tone_sign(enum tone t);
