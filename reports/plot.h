/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A picture over commits as numbers and words. gnuplot draws it (reports/plot_svg.h) from numbers
 * alone: words never reach gnuplot, they are put into its SVG afterwards, escaped. The same numbers
 * serve as text and as JSON.
 */
enum plot_kind {
	PLOT_TIMELINE,	/* points with intervals; neighbours of one series joined by steps */
	PLOT_WATERFALL, /* y is the change of a step; bars hang from where the last one ended */
	PLOT_HEAT,	/* y is a row (0 at the top), z its shade 0 … 1 */
};

enum plot_mark { PLOT_DISC, PLOT_SQUARE, PLOT_TRIANGLE, PLOT_DIAMOND, PLOT_RING };

struct plot_point {
	double x, y;
	double lo, hi; /* of the bar; NAN: none */
	double z;      /* PLOT_HEAT */
	char *hover;   /* owned; NULL: none */
};

struct plot_series {
	char *name;
	enum plot_mark mark;
	int colour;		   /* 0 … 7, of the page's palette */
	bool joined;		   /* by steps */
	struct plot_point *points; /* rising x */
	size_t n, cap;
};

struct plot_tick {
	double x;
	char *text;
	bool strong; /* a phase: a line through the whole picture */
};

struct plot {
	enum plot_kind kind;
	char *title, *y_label, *x_label, *caption, *alt;
	double x_lo, x_hi;
	bool from_zero; /* the y axis begins at 0 */
	int height;	/* of the wide picture, in pixels */
	struct plot_series **series;
	size_t n_series, cap_series;
	struct plot_tick *ticks, *rows; /* rows: names on the y axis of PLOT_HEAT */
	size_t n_ticks, cap_ticks, n_rows, cap_rows;
	double *broken; /* x of commits that could not be measured */
	size_t n_broken, cap_broken;
	char *svg_wide, *svg_narrow; /* set by plot_draw(); NULL: not drawn */
};

/* All texts are cleaned and copied. */
struct plot *plot_new(
	enum plot_kind kind, const char *title, const char *x_label, const char *y_label);
void plot_free(struct plot *p); /* takes NULL */
void plot_caption(struct plot *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What somebody who does not see the picture has to know. */
void plot_alt(struct plot *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct plot_series *plot_add_series(
	struct plot *p, const char *name, enum plot_mark mark, int colour, bool joined);
void plot_add_point(struct plot_series *s, double x, double y, double lo, double hi,
	const char *hover_fmt, ...) __attribute__((format(printf, 6, 7)));
void plot_add_cell(struct plot_series *s, double x, double row, double shade, const char *hover_fmt,
	...) __attribute__((format(printf, 5, 6)));
void plot_add_tick(struct plot *p, double x, bool strong, const char *text);
void plot_add_row(struct plot *p, double y, const char *text);
void plot_add_broken(struct plot *p, double x);
bool plot_empty(const struct plot *p);

/* Every series as a line of bars (▁ … █) with its range. Appended. */
void plot_print(const struct plot *p, struct buf *out);
json_t *plot_json(const struct plot *p);

/* The mark's sign in text: ●, ■, ▲, ◆, ○. */
const char *plot_mark_sign(enum plot_mark m);
