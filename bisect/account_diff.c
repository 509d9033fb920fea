/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account_diff.h"

#include "base/buf.h"

#include <assert.h>
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NONE SIZE_MAX
#define TELLING 0.95
/* Below this nothing was executed differently: doubles that were divided and added up. */
#define NOTHING 1e-9

const char *account_kind_name(enum account_kind k)
{
	static const char *const names[] = { "same", "grown", "shrunk", "new",
					     "gone", "moved", "renamed" };
	assert((size_t)k < sizeof(names) / sizeof(*names));
	return names[k];
}

/*
 * One side's rows by name: several rows of equal name (statics of one name in one file's copies)
 * are one.
 */
struct side_row {
	const char *path, *chain, *key, *function, *file, *part;
	double self, calls;
	size_t row;     /* the first, for its places */
	size_t partner; /* on the other side, NONE */
};

struct side {
	const struct account *a;
	struct side_row *rows;
	size_t n;
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

const char *account_part(const struct account *a, size_t row, const struct config_part *parts,
			 size_t n_parts)
{
	for (; row != NONE; row = a->rows[row].parent) {
		const struct account_row *r = &a->rows[row];
		char *what = x_printf("%s:%s", r->file, r->function);
		const char *found = NULL;
		for (size_t i = 0; i < n_parts && !found; i++)
			for (char *const *p = parts[i].patterns; p && *p && !found; p++)
				found = fnmatch(*p, what, 0) ? NULL : parts[i].name;
		free(what);
		if (found)
			return found;
	}
	return NULL;
}

/* Objects and files by their last name: builds lie in folders of their own. */
static char *key_of(const struct account *a, size_t row)
{
	const struct account_row *r = &a->rows[row];
	if (r->parent == NONE)
		return x_printf("%s\n%s\n%s@%s", a->paths[r->path].name, base_name(r->object),
				r->function, base_name(r->file));
	char *above = key_of(a, r->parent),
	     *all = x_printf("%s\n%s@%s", above, r->function, base_name(r->file));
	free(above);
	return all;
}

static int by_key(const void *x, const void *y)
{
	const struct side_row *a = x, *b = y;
	int c = strcmp(a->key, b->key);
	return c ? c : a->row < b->row ? -1 : a->row > b->row;
}

static struct side side_of(const struct account *a, const struct config_part *parts, size_t n_parts,
			   struct account_names **names)
{
	struct side s = { .a = a, .rows = x_calloc(a->n_rows + 1, sizeof(*s.rows)) };
	double ops = (double)a->operations;
	for (size_t i = 0; i < a->n_rows; i++) {
		const struct account_row *r = &a->rows[i];
		char *key = key_of(a, i), *chain = account_row_name(a, i);
		const char *part = account_part(a, i, parts, n_parts);
		s.rows[s.n++] = (struct side_row){
			.path = account_name(names, a->paths[r->path].name),
			.chain = account_name(names, chain),
			.key = account_name(names, key),
			.function = account_name(names, r->function),
			.file = account_name(names, r->file),
			.part = part ? account_name(names, part) : NULL,
			.self = r->self_ir / ops,
			.calls = r->calls / ops,
			.row = i,
			.partner = NONE,
		};
		free(key), free(chain);
	}
	qsort(s.rows, s.n, sizeof(*s.rows), by_key);
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (n && s.rows[n - 1].key == s.rows[i].key) {
			s.rows[n - 1].self += s.rows[i].self;
			s.rows[n - 1].calls += s.rows[i].calls;
		} else {
			s.rows[n++] = s.rows[i];
		}
	}
	s.n = n;
	return s;
}

static void match_equal(struct side *a, struct side *b)
{
	for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
		int c = strcmp(a->rows[i].key, b->rows[k].key);
		if (!c)
			a->rows[i].partner = k, b->rows[k].partner = i;
		i += c <= 0;
		k += c >= 0;
	}
}

static void pair(struct side *a, struct side *b, size_t i, size_t k)
{
	a->rows[i].partner = k;
	b->rows[k].partner = i;
}

/* The dearest unmatched row of B for which `fits` says how well (0: not at all). */
static size_t best(const struct side *a, size_t i, const struct side *b, const struct diff *d,
		   double (*fits)(const struct side *, size_t, const struct side *, size_t,
				  const struct diff *))
{
	size_t found = NONE;
	double score = 0;
	for (size_t k = 0; k < b->n; k++) {
		if (b->rows[k].partner != NONE || b->rows[k].path != a->rows[i].path ||
		    b->rows[k].self < NOTHING)
			continue;
		double s = fits(a, i, b, k, d);
		if (s > score || (s > 0 && s == score && b->rows[k].self > b->rows[found].self))
			found = k, score = s;
	}
	return found;
}

static double same_code(const struct side *a, size_t i, const struct side *b, size_t k,
			const struct diff *d)
{
	(void)d;
	const struct side_row *x = &a->rows[i], *y = &b->rows[k];
	return x->function == y->function && !strcmp(base_name(x->file), base_name(y->file));
}

/* The first of a row's places, which are ascending by row. */
static size_t places_of(const struct account *a, size_t row)
{
	size_t lo = 0, hi = a->n_places;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (a->places[mid].row < row)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool has_line(const struct account *a, size_t row, const char *file, unsigned line)
{
	for (size_t i = places_of(a, row); i < a->n_places && a->places[i].row == row; i++)
		if (a->places[i].lines[0].line == line &&
		    !strcmp(base_name(a->places[i].lines[0].file), file))
			return true;
	return false;
}

/*
 * The share of the old row's cost that stands on source lines which the new row has: more than half
 * is a rename.
 */
static double same_lines(const struct side *a, size_t i, const struct side *b, size_t k,
			 const struct diff *d)
{
	double all = 0, kept = 0;
	for (size_t p = places_of(a->a, a->rows[i].row);
	     p < a->a->n_places && a->a->places[p].row == a->rows[i].row; p++) {
		const struct account_place *x = &a->a->places[p];
		if (!x->lines[0].line)
			continue;
		size_t file = account_diff_file(d, x->lines[0].file, true);
		unsigned line = account_line_in_b(d, file, x->lines[0].line);
		const char *name = file != NONE && d->files[file].new_path ? d->files[file].new_path
									   : x->lines[0].file;
		all += x->ir;
		if (line && has_line(b->a, b->rows[k].row, base_name(name), line))
			kept += x->ir;
	}
	return all > 0 && kept > all / 2 ? kept / all : 0;
}

static void match_rest(struct side *a, struct side *b, const struct diff *d, bool *renamed)
{
	for (int pass = 0; pass < (d ? 2 : 1); pass++)
		for (size_t i = 0; i < a->n; i++) {
			if (a->rows[i].partner != NONE || a->rows[i].self < NOTHING)
				continue;
			size_t k = best(a, i, b, d, pass ? same_lines : same_code);
			if (k == NONE)
				continue;
			pair(a, b, i, k);
			renamed[i] = pass == 1;
		}
}

static struct account_change change_of(const struct side_row *x, const struct side_row *y,
				       bool renamed)
{
	const struct side_row *now = y ? y : x;
	struct account_change c = {
		.path = now->path,
		.name = now->chain,
		.function = now->function,
		.file = now->file,
		.part = now->part,
		.a = x ? x->self : 0,
		.b = y ? y->self : 0,
		.a_calls = x ? x->calls : 0,
		.b_calls = y ? y->calls : 0,
	};
	c.delta = c.b - c.a;
	if (!x || (x->self < NOTHING && y && y->self >= NOTHING && x->calls < NOTHING))
		c.kind = ACCOUNT_NEW;
	else if (!y)
		c.kind = ACCOUNT_GONE;
	else if (x->key != y->key)
		c.kind = renamed ? ACCOUNT_RENAMED : ACCOUNT_MOVED, c.was = x->chain;
	else
		c.kind = fabs(c.delta) < NOTHING ? ACCOUNT_SAME
			 : c.delta > 0           ? ACCOUNT_GROWN
						 : ACCOUNT_SHRUNK;
	return c;
}

static int by_delta(const void *x, const void *y)
{
	const struct account_change *a = x, *b = y;
	double d = fabs(b->delta) - fabs(a->delta);
	if (fabs(d) > NOTHING)
		return d > 0 ? 1 : -1;
	int c = strcmp(a->path, b->path);
	return c ? c : strcmp(a->name, b->name);
}

static void add_part(struct account_diff *x, const char *part, double a, double b)
{
	size_t i = 0;
	while (i < x->n_parts && strcmp(x->parts[i].part, part))
		i++;
	if (i == x->n_parts) {
		x->parts = x_realloc(x->parts, ++x->n_parts, sizeof(*x->parts));
		x->parts[i] = (struct account_part_change){ .part = part };
	}
	x->parts[i].a += a;
	x->parts[i].b += b;
}

static int by_part_delta(const void *x, const void *y)
{
	const struct account_part_change *a = x, *b = y;
	double d = fabs(b->b - b->a) - fabs(a->b - a->a);
	return d > 0 ? 1 : d < 0 ? -1 : strcmp(a->part, b->part);
}

static void sum_parts(struct account_diff *x, const struct side *s, bool is_b)
{
	for (size_t i = 0; i < s->n; i++)
		add_part(x, s->rows[i].part ? s->rows[i].part : "(no part)",
			 is_b ? 0 : s->rows[i].self, is_b ? s->rows[i].self : 0);
}

static int by_path_delta(const void *x, const void *y)
{
	const struct account_path_change *a = x, *b = y;
	double d = fabs(b->b - b->a) - fabs(a->b - a->a);
	return d > 0 ? 1 : d < 0 ? -1 : strcmp(a->path, b->path);
}

static void sum_paths(const struct account *a, bool is_b, struct account_diff *x)
{
	for (size_t p = 0; p < a->n_paths; p++) {
		size_t i = 0;
		while (i < x->n_paths && strcmp(x->paths[i].path, a->paths[p].name))
			i++;
		if (i == x->n_paths) {
			x->paths = x_realloc(x->paths, ++x->n_paths, sizeof(*x->paths));
			x->paths[i] = (struct account_path_change){
				.path = account_name(&x->names, a->paths[p].name)
			};
		}
		double per = 1 / (double)a->operations;
		*(is_b ? &x->paths[i].b : &x->paths[i].a) = a->paths[p].ir * per;
		*(is_b ? &x->paths[i].b_calls : &x->paths[i].a_calls) = a->paths[p].calls * per;
	}
}

static void count_telling(struct account_diff *x)
{
	double all = 0, told = 0;
	for (size_t i = 0; i < x->n_changes; i++)
		all += fabs(x->changes[i].delta);
	while (x->n_telling < x->n_changes && told < TELLING * all - NOTHING)
		told += fabs(x->changes[x->n_telling++].delta);
}

void account_diff_make(const struct account *a, const struct account *b, const struct diff *d,
		       const struct config_part *parts, size_t n_parts, struct account_diff *out)
{
	*out = (struct account_diff){ .a_per_op = a->total_ir / (double)a->operations,
				      .b_per_op = b->total_ir / (double)b->operations };
	struct side sa = side_of(a, parts, n_parts, &out->names),
		    sb = side_of(b, parts, n_parts, &out->names);
	bool *renamed = x_calloc(sa.n + 1, sizeof(*renamed));
	match_equal(&sa, &sb);
	match_rest(&sa, &sb, d, renamed);
	out->changes = x_calloc(sa.n + sb.n + 1, sizeof(*out->changes));
	for (size_t i = 0; i < sa.n; i++)
		out->changes[out->n_changes++] =
			change_of(&sa.rows[i],
				  sa.rows[i].partner == NONE ? NULL : &sb.rows[sa.rows[i].partner],
				  renamed[i]);
	for (size_t k = 0; k < sb.n; k++)
		if (sb.rows[k].partner == NONE)
			out->changes[out->n_changes++] = change_of(NULL, &sb.rows[k], false);
	qsort(out->changes, out->n_changes, sizeof(*out->changes), by_delta);
	count_telling(out);
	sum_paths(a, false, out);
	sum_paths(b, true, out);
	if (out->n_paths)
		qsort(out->paths, out->n_paths, sizeof(*out->paths), by_path_delta);
	if (n_parts) {
		sum_parts(out, &sa, false);
		sum_parts(out, &sb, true);
		qsort(out->parts, out->n_parts, sizeof(*out->parts), by_part_delta);
	}
	free(sa.rows), free(sb.rows), free(renamed);
}

void account_diff_release(struct account_diff *x)
{
	free(x->changes), free(x->paths), free(x->parts);
	account_names_release(x->names);
	*x = (struct account_diff){ 0 };
}
