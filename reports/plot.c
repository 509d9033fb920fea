/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/plot.h"

#include "reports/page.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT(text, fmt)                           \
	do {                                        \
		char *raw_ = NULL;                  \
		va_list ap_;                        \
		va_start(ap_, fmt);                 \
		if (vasprintf(&raw_, fmt, ap_) < 0) \
			abort();                    \
		va_end(ap_);                        \
		free(text);                         \
		(text) = text_clean(raw_);          \
		free(raw_);                         \
	} while (0)

struct plot *plot_new(
	enum plot_kind kind, const char *title, const char *x_label, const char *y_label)
{
	struct plot *p = x_calloc(1, sizeof(*p));
	*p = (struct plot){ .kind = kind,
		.title = text_clean(title),
		.x_label = text_clean(x_label),
		.y_label = text_clean(y_label),
		.height = 340,
		.x_lo = INFINITY,
		.x_hi = -INFINITY };
	return p;
}

void plot_free(struct plot *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_series; i++) {
		for (size_t k = 0; k < p->series[i]->n; k++)
			free(p->series[i]->points[k].hover);
		free(p->series[i]->points), free(p->series[i]->name), free(p->series[i]);
	}
	for (size_t i = 0; i < p->n_ticks; i++)
		free(p->ticks[i].text);
	for (size_t i = 0; i < p->n_rows; i++)
		free(p->rows[i].text);
	free(p->series), free(p->ticks), free(p->rows), free(p->broken);
	free(p->title), free(p->y_label), free(p->x_label), free(p->caption), free(p->alt),
		free(p->svg_wide), free(p->svg_narrow);
	free(p);
}

void plot_caption(struct plot *p, const char *fmt, ...)
{
	FORMAT(p->caption, fmt);
}

void plot_alt(struct plot *p, const char *fmt, ...)
{
	FORMAT(p->alt, fmt);
}

struct plot_series *plot_add_series(
	struct plot *p, const char *name, enum plot_mark mark, int colour, bool joined)
{
	struct plot_series *s = x_calloc(1, sizeof(*s));
	x_grow(p->series, p->n_series, p->cap_series);
	p->series[p->n_series++] = s;
	*s = (struct plot_series){
		.name = text_clean(name), .mark = mark, .colour = colour, .joined = joined
	};
	return s;
}

static struct plot_point *point(
	struct plot_series *s, double x, double y, double lo, double hi, double z)
{
	x_grow(s->points, s->n, s->cap);
	struct plot_point *k = &s->points[s->n++];
	*k = (struct plot_point){ .x = x, .y = y, .lo = lo, .hi = hi, .z = z };
	return k;
}

void plot_add_point(
	struct plot_series *s, double x, double y, double lo, double hi, const char *hover_fmt, ...)
{
	if (!isfinite(x) || !isfinite(y))
		return;
	struct plot_point *k = point(s, x, y, lo, hi, NAN);
	if (hover_fmt)
		FORMAT(k->hover, hover_fmt);
}

void plot_add_cell(
	struct plot_series *s, double x, double row, double shade, const char *hover_fmt, ...)
{
	if (!isfinite(shade))
		return;
	struct plot_point *k = point(s, x, row, NAN, NAN, fmax(0, fmin(1, shade)));
	if (hover_fmt)
		FORMAT(k->hover, hover_fmt);
}

void plot_add_tick(struct plot *p, double x, bool strong, const char *text)
{
	x_grow(p->ticks, p->n_ticks, p->cap_ticks);
	p->ticks[p->n_ticks++] = (struct plot_tick){ x, text_clean(text), strong };
}

void plot_add_row(struct plot *p, double y, const char *text)
{
	x_grow(p->rows, p->n_rows, p->cap_rows);
	p->rows[p->n_rows++] = (struct plot_tick){ y, text_clean(text), false };
}

void plot_add_broken(struct plot *p, double x)
{
	x_grow(p->broken, p->n_broken, p->cap_broken);
	p->broken[p->n_broken++] = x;
}

bool plot_empty(const struct plot *p)
{
	for (size_t i = 0; i < p->n_series; i++)
		if (p->series[i]->n)
			return false;
	return true;
}

const char *plot_mark_sign(enum plot_mark m)
{
	static const char *const signs[] = { "●", "■", "▲", "◆", "○" };
	return signs[m];
}

static void range(const struct plot_series *s, bool shade, double *lo, double *hi)
{
	*lo = INFINITY, *hi = -INFINITY;
	for (size_t i = 0; i < s->n; i++) {
		*lo = fmin(*lo, shade ? s->points[i].z : s->points[i].y);
		*hi = fmax(*hi, shade ? s->points[i].z : s->points[i].y);
	}
}

void plot_print(const struct plot *p, struct buf *out)
{
	enum { WIDEST = 64 };
	bool shade = p->kind == PLOT_HEAT;
	for (size_t i = 0; i < p->n_series && !shade; i++) {
		const struct plot_series *s = p->series[i];
		double lo, hi;
		if (!s->n)
			continue;
		range(s, shade, &lo, &hi);
		/* Of many points every column shows its largest: a peak must not fall between two
		 * columns. */
		size_t columns = s->n < WIDEST ? s->n : WIDEST;
		for (size_t c = 0; c < columns; c++) {
			double v = -INFINITY;
			for (size_t k = c * s->n / columns; k < (c + 1) * s->n / columns; k++)
				v = fmax(v, s->points[k].y);
			int level = hi > lo ? (int)lround(7 * (v - lo) / (hi - lo)) : 0;
			buf_printf(out, "\xe2\x96%c", (char)(0x81 + level));
		}
		buf_printf(out, "  %s: %.4g … %.4g (%zu points)\n", s->name, lo, hi, s->n);
	}
}

static json_t *real(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *ticks_json(const struct plot_tick *t, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			list, json_pack("{s:o, s:s}", "at", real(t[i].x), "text", t[i].text));
	return list;
}

json_t *plot_json(const struct plot *p)
{
	json_t *series = json_array(), *broken = json_array();
	for (size_t i = 0; i < p->n_series; i++) {
		json_t *points = json_array();
		for (size_t k = 0; k < p->series[i]->n; k++) {
			const struct plot_point *v = &p->series[i]->points[k];
			json_t *one = json_pack("{s:o, s:o}", "x", real(v->x), "y", real(v->y));
			if (p->kind == PLOT_HEAT)
				json_object_set_new(one, "shade", real(v->z));
			if (isfinite(v->lo) && isfinite(v->hi))
				json_object_set_new(one, "lo", real(v->lo)),
					json_object_set_new(one, "hi", real(v->hi));
			if (v->hover)
				json_object_set_new(one, "text", json_string(v->hover));
			json_array_append_new(points, one);
		}
		json_array_append_new(series,
			json_pack("{s:s, s:o}", "name", p->series[i]->name, "points", points));
	}
	for (size_t i = 0; i < p->n_broken; i++)
		json_array_append_new(broken, real(p->broken[i]));
	return json_pack("{s:s, s:s, s:s, s:s?, s:o, s:o, s:o, s:o}", "title", p->title, "x",
		p->x_label, "y", p->y_label, "caption", p->caption, "ticks",
		ticks_json(p->ticks, p->n_ticks), "rows", ticks_json(p->rows, p->n_rows), "series",
		series, "broken", broken);
}
