/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/plot_svg.h"

#include "base/fs.h"
#include "harness/child.h"
#include "reports/escape.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Colours go through gnuplot as ones that nobody would choose, (group, index, …), and come back as
 * CSS variables: (1, 1, n) ink, soft and grid; (2, 1, n) the palette; (2, 2, n) shades of a heat
 * map; (3, 1, n) the tones worse, better, total.
 */
enum { SHADES = 10, DENSE = 300 };

/* So many points a series that each is a dot. */
static bool dense(const struct plot *p)
{
	return p->kind == PLOT_TIMELINE && p->n_series && p->series[0]->n > DENSE;
}

static const char timeline_gp[] =
#include "reports/timeline.gp.h"
	;
static const char boxes_gp[] =
#include "reports/boxes.gp.h"
	;

void plot_words_release(struct plot_words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->items[i]);
	free(w->items);
	*w = (struct plot_words){ 0 };
}

static size_t characters(const char *s)
{
	size_t n = 0;
	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* A word's place holder: as long as the word, so that gnuplot leaves room for it. */
static void word(struct plot_words *w, const char *text, size_t longest, struct buf *out)
{
	x_grow(w->items, w->n, w->cap);
	size_t n = characters(text);
	char *kept = x_strdup(text);
	if (n > longest) { /* cut between characters */
		size_t i = 0, c = 0;
		for (; kept[i] && c < longest; i++)
			c += ((unsigned char)kept[i + 1] & 0xc0) != 0x80;
		kept[i] = '\0';
		char *cut = x_printf("%s…", kept);
		free(kept);
		kept = cut;
		n = longest + 1;
	}
	buf_printf(out, "\"W%zu", w->n);
	for (size_t i = (size_t)snprintf(NULL, 0, "W%zu", w->n); i < n; i++)
		buf_putc(out, '_');
	buf_putc(out, '"');
	w->items[w->n++] = kept;
}

static void y_range(const struct plot *p, double *lo, double *hi)
{
	*lo = p->from_zero ? 0 : INFINITY, *hi = -INFINITY;
	double sum = 0;
	for (size_t i = 0; i < p->n_series; i++)
		for (size_t k = 0; k < p->series[i]->n; k++) {
			const struct plot_point *v = &p->series[i]->points[k];
			double y = p->kind == PLOT_WATERFALL ? (sum += v->y) : v->y;
			*lo = fmin(*lo, isfinite(v->lo) ? fmin(v->lo, y) : y),
			*hi = fmax(*hi, isfinite(v->hi) ? fmax(v->hi, y) : y);
		}
	if (p->kind == PLOT_WATERFALL)
		*lo = fmin(*lo, 0), *hi = fmax(*hi, 0);
	if (!isfinite(*lo) || !isfinite(*hi))
		*lo = 0, *hi = 1;
	double room = *hi > *lo ? 0.08 * (*hi - *lo) : fmax(fabs(*hi) * 0.1, 1e-9);
	*hi += room;
	if (!p->from_zero || *lo < 0)
		*lo -= p->n_broken ? 1.6 * room : room;
}

static void ticks(const struct plot *p, int width, struct plot_words *w, struct buf *out)
{
	/* Names stand at a slant: one needs about 15 pixels of width. Where there is less, every
	 * second one, fourth one … goes. */
	int margin = 60;
	for (size_t i = 0; i < p->n_rows; i++)
		margin = (int)characters(p->rows[i].text) * 7 > margin
			? (int)characters(p->rows[i].text) * 7
			: margin;
	size_t strong = 0, room = (size_t)(width - (margin < width / 2 ? margin : width / 2)) / 16;
	for (size_t i = 0; i < p->n_ticks; i++)
		strong += p->ticks[i].strong;
	size_t stride = 1;
	while (p->n_ticks / stride > room)
		stride *= 2;
	bool only_strong = p->n_ticks > room && strong && strong <= room;
	buf_puts(out, "set xtics (");
	const char *sep = "";
	for (size_t i = 0; i < p->n_ticks; i++) {
		if (only_strong ? !p->ticks[i].strong : i % stride)
			continue;
		buf_puts(out, sep);
		word(w, p->ticks[i].text, width < 500 ? 12 : 24, out);
		buf_printf(out, " %.9g", p->ticks[i].x);
		sep = ", ";
	}
	buf_printf(out, ") rotate by -35 left nomirror scale 0.4 tc rgb '#010101'\n");
	for (size_t i = 0; i < p->n_ticks; i++)
		if (p->ticks[i].strong)
			buf_printf(out,
				"set arrow from %.9g, graph 0 to %.9g, graph 1 nohead back lw 0.8 "
				"dt (3,5) lc rgb '#010102'\n",
				p->ticks[i].x, p->ticks[i].x);
}

static void points(const struct plot *p, double y_lo, struct buf *out)
{
	static const int gnuplot_mark[] = { 7, 5, 9, 13, 6 };
	buf_printf(out, "series = %zu\ndense = %d\n", p->n_series, dense(p));
	buf_puts(out, "marks = \"");
	for (size_t i = 0; i < p->n_series; i++)
		buf_printf(out, "%d ", gnuplot_mark[p->series[i]->mark]);
	buf_puts(out, "\"\ncolours = \"");
	for (size_t i = 0; i < p->n_series; i++)
		buf_printf(out, "#0201%02x ", (unsigned)p->series[i]->colour % 8);
	buf_puts(out, "\"\njoined = \"");
	for (size_t i = 0; i < p->n_series; i++)
		buf_printf(out, "%d ", p->series[i]->joined);
	buf_puts(out, "\"\n$points << E\n");
	for (size_t i = 0; i < p->n_series; i++) {
		for (size_t k = 0; k < p->series[i]->n; k++) {
			const struct plot_point *v = &p->series[i]->points[k];
			buf_printf(out, "%.9g %.9g %.9g %.9g\n", v->x, v->y,
				isfinite(v->lo) ? v->lo : v->y, isfinite(v->hi) ? v->hi : v->y);
		}
		buf_puts(out, "\n\n");
	}
	buf_puts(out, "E\n$broken << E\n");
	for (size_t i = 0; i < p->n_broken; i++)
		buf_printf(out, "%.9g %.9g\n", p->broken[i], y_lo);
	buf_puts(out, p->n_broken ? "E\n" : "0 NaN\nE\n");
}

static void boxes(const struct plot *p, struct buf *out)
{
	buf_puts(out, "$boxes << E\n");
	double sum = 0;
	for (size_t i = 0; i < p->n_series; i++)
		for (size_t k = 0; k < p->series[i]->n; k++) {
			const struct plot_point *v = &p->series[i]->points[k];
			if (p->kind == PLOT_HEAT) {
				unsigned shade = (unsigned)fmin(SHADES - 1, floor(v->z * SHADES));
				buf_printf(out, "%.9g %.9g 0.46 0.44 %u\n", v->x, v->y,
					0x020200u + shade);
			} else { /* the first bar is what all begins with */
				double from = k ? sum : 0;
				unsigned tone = !k ? 2 : v->y > 0 ? 0 : 1;
				sum = from + v->y;
				buf_printf(out, "%.9g %.9g 0.36 %.9g %u\n", v->x, (from + sum) / 2,
					fabs(v->y) / 2, 0x030100u + tone);
			}
		}
	buf_puts(out, "E\n");
}

/* What each step of a waterfall is, above its bar. */
static void bar_labels(const struct plot *p, struct plot_words *w, struct buf *out)
{
	double sum = 0;
	const struct plot_series *s = p->series[0];
	for (size_t k = 0; k < s->n; k++) {
		char text[32];
		double from = sum;
		sum += s->points[k].y;
		if (k && s->points[k].y == 0)
			continue;
		snprintf(text, sizeof(text), k ? "%+.3g" : "%.4g", s->points[k].y);
		buf_puts(out, "set label ");
		word(w, text, 12, out);
		buf_printf(out, " at %.9g, %.9g center offset 0, 0.7 tc rgb '#010101'\n",
			s->points[k].x, fmax(from, sum));
	}
}

void plot_script(
	const struct plot *p, int width, int height, struct plot_words *words, struct buf *out)
{
	double lo, hi;
	bool heat = p->kind == PLOT_HEAT, narrow = width < 500;
	y_range(p, &lo, &hi);
	buf_printf(out,
		"set terminal svg size %d, %d fixed font 'sans-serif,%d' name 'hp' noenhanced "
		"butt\n",
		width, height, narrow ? 11 : 13);
	buf_puts(out,
		"set encoding utf8\nset key off\nset border 3 lw 0.8 lc rgb '#010102'\nset grid y "
		"lw 0.6 lt 1 lc rgb '#010103'\nset tics front\n");
	buf_printf(out, "set xrange [%.9g:%.9g]\n", p->x_lo, p->x_hi);
	if (heat) {
		buf_printf(
			out, "set yrange [%.9g:%.9g]\nset ytics (", (double)p->n_rows - 0.5, -0.5);
		for (size_t i = 0; i < p->n_rows; i++) {
			buf_puts(out, i ? ", " : "");
			word(words, p->rows[i].text, narrow ? 12 : 20, out);
			buf_printf(out, " %.9g", p->rows[i].x);
		}
		buf_puts(out, ") nomirror scale 0 tc rgb '#010101'\nunset grid\n");
	} else {
		buf_printf(out,
			"set yrange [%.9g:%.9g]\nset ytics nomirror scale 0.4 tc rgb '#010101'\n",
			lo, hi);
		buf_puts(out, "set ylabel ");
		word(words, p->y_label, 60, out);
		buf_puts(out, " tc rgb '#010102'\n");
	}
	buf_puts(out, "set xlabel ");
	word(words, p->x_label, 70, out);
	buf_puts(out, " tc rgb '#010102'\n");
	ticks(p, width, words, out);
	buf_printf(out, "point_size = %.2f\n", dense(p) ? 0.3 : narrow ? 0.5 : 0.62);
	if (p->kind == PLOT_TIMELINE) {
		points(p, lo + 0.03 * (hi - lo), out);
		buf_puts(out, timeline_gp);
	} else {
		if (p->kind == PLOT_WATERFALL && p->n_series &&
			p->series[0]->n <= (narrow ? 6u : 24u))
			bar_labels(p, words, out);
		boxes(p, out);
		buf_puts(out, boxes_gp);
	}
}

/* "rgb(  2,   1,   3)" at s: its variable, and how long the text is; NULL: a colour of gnuplot's
 * own. */
static const char *colour(const char *s, size_t *length, char *out, size_t room)
{
	static const char *const inks[] = { "var(--ink)", "var(--ink)", "var(--soft)",
		"var(--grid)" };
	static const char *const tones[] = { "var(--bad)", "var(--good)", "var(--soft)" };
	int r, g, b, n = 0;
	if (sscanf(s, "rgb( %d , %d , %d )%n", &r, &g, &b, &n) != 3 || !n)
		return NULL;
	*length = (size_t)n;
	if (r == 1 && g == 1 && b >= 0 && b < 4)
		return inks[b];
	if (r == 3 && g == 1 && b >= 0 && b < 3)
		return tones[b];
	if (r == 2 && (g == 1 || g == 2)) {
		snprintf(out, room, "var(--%c%d)", g == 1 ? 'c' : 'h', b);
		return out;
	}
	return NULL;
}

/* One line of gnuplot's, with our colours, words and ids. */
static void dress_text(const char *s, size_t n, const struct plot_words *words,
	const char *id_prefix, struct buf *out)
{
	const char *end = s + n;
	while (s < end) {
		char name[32];
		size_t skip = 0, index;
		int used = 0;
		const char *c;
		if (*s == 'r' && (c = colour(s, &skip, name, sizeof(name)))) {
			buf_puts(out, c);
			s += skip;
		} else if (!strncmp(s, "gpPt", 4)) {
			buf_printf(out, "%sp", id_prefix);
			s += 4;
		} else if (!strncmp(s, "xlink:href", 10)) { /* SVG 2 and every present browser */
			buf_puts(out, "href");
			s += 10;
		} else if (*s == 'W' && s[-1] == '>' && sscanf(s, "W%zu%n", &index, &used) == 1 &&
			index < words->n) {
			escape_html(words->items[index], out);
			s += used;
			s += strspn(s, "_");
		} else if (!strncmp(s, " font-family=\"sans-serif\"", 25)) {
			s += 25;
		} else {
			buf_putc(out, *s++);
		}
	}
}

struct dresser {
	const struct plot *p;
	size_t group; /* gnuplot's number of the plot we are in; 0: none */
	size_t point; /* of that group, from 0 */
	bool hovers;  /* dots are drawn and say what they are */
};

/* The point that the next mark of this group stands for. */
static const struct plot_point *point_of(struct dresser *d)
{
	const struct plot *p = d->p;
	if (p->kind != PLOT_TIMELINE) {
		size_t k = d->point++;
		for (size_t i = 0; i < p->n_series; i++) {
			if (k < p->series[i]->n)
				return &p->series[i]->points[k];
			k -= p->series[i]->n;
		}
		return NULL;
	}
	/* Groups are the steps of every series, then the bars, then the points. */
	if (d->group <= 2 * p->n_series || d->group > 3 * p->n_series)
		return NULL;
	const struct plot_series *s = p->series[d->group - 1 - 2 * p->n_series];
	return d->point < s->n ? &s->points[d->point++] : NULL;
}

/* A mark gets a title, which browsers show when the pointer rests on it. */
static bool mark(struct dresser *d, const char *line, size_t n, const struct plot_words *words,
	const char *id_prefix, struct buf *out)
{
	const char *element = d->p->kind == PLOT_TIMELINE ? "use" : "polygon";
	const char *at = strchr(line, '<'), *close = memmem(line, n, "/>", 2);
	if (!d->group || !at || at >= line + n || strncmp(at + 1, element, strlen(element)) ||
		!close)
		return false;
	const struct plot_point *k = point_of(d);
	if (!k || !k->hover)
		return false;
	double x, y;
	const char *where = dense(d->p) ? strstr(at, "translate(") : NULL;
	if (where &&
		sscanf(where, "translate(%lf,%lf)", &x, &y) ==
			2) { /* a thousand of them: a dot is a line of no length with round ends */
		if (!d->hovers) {
			dress_text(
				close + 2, n - (size_t)(close + 2 - line), words, id_prefix, out);
			return true;
		}
		buf_printf(out, "<path class=\"d%d\" d=\"M%.1f,%.1fh0\"><title>",
			d->p->series[d->group - 1 - 2 * d->p->n_series]->colour % 8, x, y);
		escape_html(k->hover, out);
		buf_puts(out, "</title></path>\n");
		/* What follows the mark on gnuplot's line closes its group. */
		dress_text(close + 2, n - (size_t)(close + 2 - line), words, id_prefix, out);
		return true;
	}
	dress_text(line, (size_t)(close - line), words, id_prefix, out);
	buf_puts(out, "><title>");
	escape_html(k->hover, out);
	buf_printf(out, "</title></%s>", element);
	dress_text(close + 2, n - (size_t)(close + 2 - line), words, id_prefix, out);
	buf_putc(out, '\n');
	return true;
}

int plot_dress(const struct plot *p, const char *svg, const struct plot_words *words,
	const char *id_prefix, struct buf *out, struct error *e)
{
	const char *s = strstr(svg, "<svg"), *body = s ? strstr(s, "<defs>") : NULL;
	int w, h;
	const char *box = s ? strstr(s, "viewBox=\"0 0 ") : NULL;
	if (!body || !box || sscanf(box, "viewBox=\"0 0 %d %d\"", &w, &h) != 2)
		return error_set(e, -EPROTO,
			"gnuplot wrote no picture that hakperf can read (is it version 5.4?)");
	buf_printf(out, "<svg class=\"picture\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"",
		w, h);
	escape_html(p->alt ? p->alt : p->title, out);
	buf_puts(out, "\">\n<g>\n"); /* gnuplot's canvas, which is closed at its end */
	struct dresser d = { .p = p, .hovers = w >= 500 };
	for (s = body; *s;) {
		size_t n = strcspn(s, "\n");
		const char *next = s[n] ? s + n + 1 : s + n, *filter = strstr(s, "<filter");
		size_t group;
		if (filter && filter < s + n) { /* of no use to us */
			const char *end = strstr(s, "</filter>");
			next = end ? end + strlen("</filter>") + 1 : next;
		} else if (sscanf(s, " <g id=\"hp_plot_%zu\"", &group) == 1) {
			d.group = group, d.point = 0;
			buf_puts(out,
				"<g>\n"); /* gnuplot's own title would hide those of the points */
		} else if (!strncmp(s, "<g ", 3) && !strncmp(next, "</g>\n", 5)) {
			next += 5; /* gnuplot opens many groups for nothing */
		} else if (!mark(&d, s, n, words, id_prefix, out)) {
			dress_text(s, n, words, id_prefix, out);
			buf_putc(out, '\n');
		}
		s = next;
	}
	return 0;
}

/* One picture of a batch: gnuplot starts once for all of a page. */
struct picture {
	struct plot *plot;
	char prefix[24];
	char **svg; /* of the plot */
	struct plot_words words;
};

static int run_gnuplot(const char *folder, const struct buf *script, struct error *e)
{
	char *path = x_printf("%s/script", folder);
	struct child_result r = { 0 };
	const char *argv[] = { "gnuplot", "-d", path, NULL };
	const char *env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL };
	struct child_spec spec = {
		.argv = argv, .env = env, .timeout_ns = 120000000000u, .cpu = -1, .pass_fd = -1
	};
	int rc = fs_write(path, script->data, script->len, e);
	if (!rc)
		rc = child_run(&spec, &r, e);
	if (!rc && r.outcome == CHILD_NOT_STARTED)
		rc = error_set(e, -ENOENT,
			"gnuplot is not installed: pages go without pictures (apt-get install "
			"gnuplot-nox)");
	else if (!rc && (r.outcome != CHILD_EXITED || r.status))
		rc = error_set(e, -EPROTO, "gnuplot failed: %.300s", buf_str(&r.err));
	child_release(&r);
	free(path);
	return rc;
}

static int collect(const char *folder, struct picture *list, size_t n, struct error *e)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < n; i++) {
		char *path = x_printf("%s/%zu.svg", folder, i);
		struct buf raw = { 0 }, out = { 0 };
		rc = fs_read(path, 64u << 20, &raw, e);
		if (!rc)
			rc = plot_dress(list[i].plot, buf_str(&raw), &list[i].words, list[i].prefix,
				&out, e);
		if (!rc)
			*list[i].svg = buf_detach(&out);
		buf_release(&raw), buf_release(&out);
		free(path);
	}
	return rc;
}

int plot_draw(struct plot *const *plots, size_t n, struct error *e)
{
	char folder[] = "/tmp/hakperf-plot-XXXXXX";
	struct picture *list = x_calloc(2 * n, sizeof(*list));
	struct buf script = { 0 };
	size_t pictures = 0;
	int rc = 0;
	if (!mkdtemp(folder)) {
		free(list);
		return error_errno(e, errno, "cannot make a folder for gnuplot below /tmp");
	}
	for (size_t i = 0; i < 2 * n; i++) {
		struct plot *p = plots[i / 2];
		bool narrow = i & 1;
		if (plot_empty(p))
			continue;
		struct picture *k = &list[pictures];
		k->plot = p, k->svg = narrow ? &p->svg_narrow : &p->svg_wide;
		snprintf(k->prefix, sizeof(k->prefix), "p%zu%c", i / 2, narrow ? 'n' : 'w');
		buf_printf(&script, "reset\nset output '%s/%zu.svg'\n", folder, pictures++);
		plot_script(p, narrow ? 340 : 920, narrow && p->height > 300 ? 300 : p->height,
			&k->words, &script);
	}
	if (pictures) {
		buf_puts(&script, "unset output\n");
		rc = run_gnuplot(folder, &script, e);
	}
	if (!rc)
		rc = collect(folder, list, pictures, e);
	for (size_t i = 0; i < pictures; i++)
		plot_words_release(&list[i].words);
	fs_remove(folder, e);
	free(list);
	buf_release(&script);
	return rc;
}
