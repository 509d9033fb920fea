/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account_diff.h"

#include "base/buf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NONE SIZE_MAX
#define NOTHING 1e-9

/* How many whole components both paths end in, when one of them is the end of the other; else 0. */
static size_t common_end(const char *x, const char *y)
{
	size_t i = strlen(x), k = strlen(y), components = 0;
	while (i && k && x[i - 1] == y[k - 1]) {
		i--, k--;
		components += x[i] == '/';
	}
	bool x_ended = i == 0 && (k == 0 || y[k - 1] == '/'),
	     y_ended = k == 0 && (i == 0 || x[i - 1] == '/');
	return x_ended || y_ended ? components + 1 : 0;
}

size_t account_diff_file(const struct diff *d, const char *path, bool old)
{
	size_t found = NONE, most = 0;
	bool several = false;
	for (size_t i = 0; d && *path && i < d->n_files; i++) {
		const char *name = old ? d->files[i].old_path : d->files[i].new_path;
		size_t n = name ? common_end(name, path) : 0;
		several = n && n == most ? true : n > most ? false : several;
		if (n > most)
			found = i, most = n;
	}
	return several ? NONE : found;
}

unsigned account_line_in_b(const struct diff *d, size_t file, unsigned line)
{
	if (!d || file == NONE)
		return line;
	long at = (long)line, shift = 0;
	for (size_t i = 0; i < d->files[file].n_hunks; i++) {
		const struct diff_hunk *h = &d->files[file].hunks[i];
		if (at >= h->old_start && at < h->old_start + h->old_lines)
			return 0;
		if (h->old_lines ? at >= h->old_start + h->old_lines : at > h->old_start)
			shift += h->new_lines - h->old_lines;
	}
	return (unsigned)(at + shift);
}

struct building {
	const struct diff *d;
	struct account_hunks *out;
	size_t *slot;  /* index + 1 of each hunk of the diff, counted through */
	size_t *first; /* number of each file's first hunk */
	size_t cap_hunks, cap_outside;
};

/* The hunk whose changed lines on that side hold the line, NONE. */
static size_t hunk_at(const struct diff_file *f, unsigned line, bool old)
{
	for (size_t i = 0; i < f->n_hunks; i++) {
		long start = old ? f->hunks[i].old_start : f->hunks[i].new_start,
		     n = old ? f->hunks[i].old_lines : f->hunks[i].new_lines;
		if ((long)line >= start && (long)line < start + n)
			return i;
	}
	return NONE;
}

static struct account_hunk *hunk_of(struct building *w, size_t file, size_t hunk)
{
	size_t *slot = &w->slot[w->first[file] + hunk];
	if (!*slot) {
		x_grow(w->out->hunks, w->out->n_hunks, w->cap_hunks);
		w->out->hunks[w->out->n_hunks++] =
			(struct account_hunk){ .file = file, .hunk = hunk };
		*slot = w->out->n_hunks;
	}
	return &w->out->hunks[*slot - 1];
}

static void add_line(struct account_hunk *h, bool old, unsigned line, double v)
{
	size_t i = 0;
	while (i < h->n_lines && (h->lines[i].old != old || h->lines[i].line != line))
		i++;
	if (i == h->n_lines) {
		h->lines = x_realloc(h->lines, ++h->n_lines, sizeof(*h->lines));
		h->lines[i] = (struct account_hunk_line){ .old = old, .line = line };
	}
	h->lines[i].per_op += v;
}

static void add_outside(struct building *w, const char *function, const char *file, bool old,
			double v)
{
	struct account_hunks *o = w->out;
	size_t i = 0;
	while (i < o->n_outside &&
	       (strcmp(o->outside[i].function, function) || strcmp(o->outside[i].file, file)))
		i++;
	if (i == o->n_outside) {
		x_grow(o->outside, o->n_outside, w->cap_outside);
		o->outside[o->n_outside++] =
			(struct account_outside){ .function = function, .file = file };
	}
	*(old ? &o->outside[i].a : &o->outside[i].b) += v;
	*(old ? &o->outside_a : &o->outside_b) += v;
}

/*
 * An instruction belongs to the changed line it was made of, else to the changed line that inlined
 * it.
 */
static void add_place(struct building *w, const struct account *a, const struct account_place *x,
		      bool old)
{
	double v = x->ir / (double)a->operations;
	for (unsigned i = 0; i < x->n_lines; i++) {
		size_t file = account_diff_file(w->d, x->lines[i].file, old);
		size_t hunk =
			file == NONE ? NONE : hunk_at(&w->d->files[file], x->lines[i].line, old);
		if (hunk == NONE)
			continue;
		struct account_hunk *h = hunk_of(w, file, hunk);
		*(old ? &h->a : &h->b) += v;
		add_line(h, old, x->lines[i].line, v);
		return;
	}
	add_outside(w, a->rows[x->row].function, a->rows[x->row].file, old, v);
}

static int by_hunk(const void *x, const void *y)
{
	const struct account_hunk *a = x, *b = y;
	double d = fabs(b->b - b->a) - fabs(a->b - a->a);
	if (fabs(d) > NOTHING)
		return d > 0 ? 1 : -1;
	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	return a->hunk < b->hunk ? -1 : a->hunk > b->hunk;
}

static int by_line(const void *x, const void *y)
{
	const struct account_hunk_line *a = x, *b = y;
	if (a->old != b->old)
		return a->old ? -1 : 1;
	return a->line < b->line ? -1 : a->line > b->line;
}

static int by_change(const void *x, const void *y)
{
	const struct account_outside *a = x, *b = y;
	double d = fabs(b->b - b->a) - fabs(a->b - a->a);
	if (fabs(d) > NOTHING)
		return d > 0 ? 1 : -1;
	int c = strcmp(a->function, b->function);
	return c ? c : strcmp(a->file, b->file);
}

void account_hunks_make(const struct account *a, const struct account *b, const struct diff *d,
			struct account_hunks *out)
{
	*out = (struct account_hunks){ 0 };
	struct building w = { .d = d,
			      .out = out,
			      .first = x_calloc(d->n_files + 1, sizeof(*w.first)) };
	size_t n = 0;
	for (size_t i = 0; i < d->n_files; i++) {
		w.first[i] = n;
		n += d->files[i].n_hunks;
	}
	w.slot = x_calloc(n + 1, sizeof(*w.slot));
	for (size_t i = 0; i < a->n_places; i++)
		add_place(&w, a, &a->places[i], true);
	for (size_t i = 0; i < b->n_places; i++)
		add_place(&w, b, &b->places[i], false);
	out->n_silent = n - out->n_hunks;
	for (size_t i = 0; i < out->n_hunks; i++)
		qsort(out->hunks[i].lines, out->hunks[i].n_lines, sizeof(*out->hunks[i].lines),
		      by_line);
	if (out->n_hunks)
		qsort(out->hunks, out->n_hunks, sizeof(*out->hunks), by_hunk);
	if (out->n_outside)
		qsort(out->outside, out->n_outside, sizeof(*out->outside), by_change);
	while (out->n_outside && fabs(out->outside[out->n_outside - 1].b -
				      out->outside[out->n_outside - 1].a) < NOTHING)
		out->n_outside--;
	free(w.slot), free(w.first);
}

void account_hunks_release(struct account_hunks *h)
{
	for (size_t i = 0; i < h->n_hunks; i++)
		free(h->hunks[i].lines);
	free(h->hunks), free(h->outside);
	*h = (struct account_hunks){ 0 };
}
