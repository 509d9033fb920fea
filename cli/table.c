/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include "base/buf.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

struct table {
	size_t columns, n, cap;
	char *alignment;
	char **cells;	 /* n × columns; a row of NULLs is a rule */
	bool has_head;
};

struct table *table_new(size_t columns, const char *alignment)
{
	struct table *t = x_calloc(1, sizeof(*t));
	t->columns = columns;
	t->alignment = x_strdup(alignment);
	return t;
}

static void add(struct table *t, va_list *ap)
{
	if (t->n * t->columns >= t->cap) {
		t->cap = t->cap ? 2 * t->cap : 16 * t->columns;
		t->cells = x_realloc(t->cells, t->cap, sizeof(*t->cells));
	}
	for (size_t i = 0; i < t->columns; i++)
		t->cells[t->n * t->columns + i] = ap ? x_strdup(va_arg(*ap, const char *)) : NULL;
	t->n++;
}

void table_head(struct table *t, ...)
{
	va_list ap;
	va_start(ap, t);
	add(t, &ap);
	va_end(ap);
	t->has_head = true;
}

void table_row(struct table *t, ...)
{
	va_list ap;
	va_start(ap, t);
	add(t, &ap);
	va_end(ap);
}

void table_rule(struct table *t)
{
	add(t, NULL);
}

/* Columns that a string takes on a terminal: escape sequences take none. */
static size_t width_of(const char *s)
{
	size_t w = 0;
	mbstate_t state = { 0 };
	while (*s) {
		if (*s == '\033') {
			s += strcspn(s, "m");
			s += *s == 'm';
			continue;
		}
		wchar_t c;
		size_t n = mbrtowc(&c, s, MB_CUR_MAX, &state);
		if (n == (size_t)-1 || n == (size_t)-2) {
			memset(&state, 0, sizeof(state));
			n = 1, c = L'?';
		}
		int cw = wcwidth(c);
		w += cw > 0 ? (size_t)cw : 0;
		s += n;
	}
	return w;
}

static size_t terminal_width(FILE *to)
{
	struct winsize ws = { 0 };
	if (!isatty(fileno(to)))
		return 0;
	return !ioctl(fileno(to), TIOCGWINSZ, &ws) && ws.ws_col > 20 ? ws.ws_col : 80;
}

/* Print at most `room` columns of s; 0 means all. */
static void print_cut(FILE *to, const char *s, size_t room)
{
	if (!room || width_of(s) <= room) {
		fputs(s, to);
		return;
	}
	mbstate_t state = { 0 };
	for (size_t w = 0; *s && w + 1 < room;) {
		wchar_t c;
		size_t n = mbrtowc(&c, s, MB_CUR_MAX, &state);
		if (n == (size_t)-1 || n == (size_t)-2)
			break;
		fwrite(s, 1, n, to);
		w += wcwidth(c) > 0 ? (size_t)wcwidth(c) : 0;
		s += n;
	}
	fputs("…", to);
}

void table_print(struct table *t, FILE *to)
{
	size_t *width = x_calloc(t->columns, sizeof(*width)), all = 0, term = terminal_width(to);
	for (size_t r = 0; r < t->n; r++)
		for (size_t c = 0; c < t->columns && t->cells[r * t->columns]; c++) {
			size_t w = width_of(t->cells[r * t->columns + c]);
			width[c] = w > width[c] ? w : width[c];
		}
	for (size_t c = 0; c < t->columns; c++)
		all += width[c] + (c ? 2 : 0);
	for (size_t r = 0; r < t->n; r++) {
		char **row = &t->cells[r * t->columns];
		size_t at = 0;
		if (!row[0]) {
			for (size_t i = 0; i < all && (!term || i < term); i++)
				fputs("─", to);
			fputc('\n', to);
			continue;
		}
		for (size_t c = 0; c < t->columns; c++) {
			size_t w = width_of(row[c]), pad = width[c] - w;
			if (c)
				fputs("  ", to), at += 2;
			if (t->alignment[c] == 'r')
				fprintf(to, "%*s", (int)pad, "");
			bool last = c + 1 == t->columns;
			print_cut(to, row[c], last && term && at < term ? term - at : 0);
			if (t->alignment[c] != 'r' && !last)
				fprintf(to, "%*s", (int)pad, "");
			at += width[c];
		}
		fputc('\n', to);
		if (r == 0 && t->has_head) {
			for (size_t i = 0; i < all && (!term || i < term); i++)
				fputs("─", to);
			fputc('\n', to);
		}
	}
	free(width);
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->n * t->columns; i++)
		free(t->cells[i]);
	free(t->cells), free(t->alignment);
	free(t);
}

const char *table_colour(enum table_colour c)
{
	static const char *const codes[] = { "\033[0m", "\033[31m", "\033[32m", "\033[2m", "\033[1m" };
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	if (!isatty(STDOUT_FILENO) || (no && *no) || !term || !strcmp(term, "dumb"))
		return "";
	return codes[c];
}

const char *table_number(double v, char *out, size_t n)
{
	static const char *const prefixes[] = { "", " k", " M", " G", " T" };
	size_t p = 0;
	if (!isfinite(v)) {
		snprintf(out, n, "–");
		return out;
	}
	while (fabs(v) >= 999.5 && p < 4)
		v /= 1000, p++;
	snprintf(out, n, "%.*f%s", fabs(v) >= 99.95 ? 0 : fabs(v) >= 9.995 ? 1 : 2, v, prefixes[p]);
	return out;
}

const char *table_change(double ratio, char *out, size_t n)
{
	if (!isfinite(ratio))
		snprintf(out, n, "–");
	else if (ratio >= 100) /* from next to nothing: a count that was 0 */
		snprintf(out, n, "×%.0f", ratio);
	else
		snprintf(out, n, "%+.1f %%", 100 * (ratio - 1));
	return out;
}

const char *table_bar(double share, size_t width, char *out, size_t n)
{
	static const char *const parts[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	size_t eighths = share <= 0 ? 0 : (size_t)(fmin(share, 1) * 8 * (double)width + 0.5);
	out[0] = '\0';
	for (size_t i = 0; i < eighths / 8 && strlen(out) + 4 < n; i++)
		strcat(out, "█");
	if (strlen(out) + 4 < n)
		strcat(out, parts[eighths % 8]);
	return out;
}

const char *table_spark(const double *v, size_t n, char *out, size_t size)
{
	static const char *const levels[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	double lo = INFINITY, hi = -INFINITY;
	out[0] = '\0';
	for (size_t i = 0; i < n; i++)
		if (isfinite(v[i]))
			lo = fmin(lo, v[i]), hi = fmax(hi, v[i]);
	for (size_t i = 0; i < n && strlen(out) + 4 < size; i++)
		strcat(out, !isfinite(v[i]) ? " " : levels[hi > lo ? (int)(7.999 * (v[i] - lo) / (hi - lo)) : 3]);
	return out;
}
