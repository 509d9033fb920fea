/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/split.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

struct tried {
	bool *with;
	bool builds;
};

struct finder {
	size_t n, limit;
	split_builds *builds;
	void *ctx;
	struct error *e;
	struct tried *tried;
	size_t n_tried, cap_tried;
	struct split *out;
	size_t cap_groups;
	bool spent;
	int rc;
};

/* Asked once a set; false also when the limit is reached or the caller's function failed. */
static bool ask(struct finder *f, const bool *with)
{
	if (f->rc)
		return false;
	for (size_t i = 0; i < f->n_tried; i++)
		if (!memcmp(f->tried[i].with, with, f->n * sizeof(*with)))
			return f->tried[i].builds;
	if (f->n_tried >= f->limit) {
		f->spent = true;
		return false;
	}
	bool yes = false;
	f->rc = f->builds(f->ctx, with, f->n, &yes, f->e);
	if (f->rc)
		return false;
	x_grow(f->tried, f->n_tried, f->cap_tried);
	struct tried *t = &f->tried[f->n_tried++];
	*t = (struct tried){ .with = x_calloc(f->n, sizeof(*t->with)), .builds = yes };
	memcpy(t->with, with, f->n * sizeof(*t->with));
	return yes;
}

static size_t members(const bool *set, size_t n, size_t *list)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		if (set[i])
			list[k++] = i;
	return k;
}

/*
 * Does what is in groups and the unit build with list[from, to) alone, or (others) with all of the
 * list but that?
 */
static bool builds_with(struct finder *f, const bool *fixed, const size_t *list, size_t n,
			size_t from, size_t to, bool others)
{
	bool *with = x_calloc(f->n, sizeof(*with));
	memcpy(with, fixed, f->n * sizeof(*with));
	for (size_t i = 0; i < n; i++)
		if ((i >= from && i < to) != others)
			with[list[i]] = true;
	bool yes = ask(f, with);
	free(with);
	return yes;
}

/*
 * The algorithm ddmin: a piece that suffices alone, else all but a piece, else smaller pieces.
 * fixed: units that are there in any case; set: in: units of which all together build, out: as few
 * of them as it takes.
 */
static void shrink(struct finder *f, const bool *fixed, bool *set)
{
	size_t *list = x_calloc(f->n + 1, sizeof(*list)), n = members(set, f->n, list), pieces = 1;
	while (n && pieces <= n && !f->rc && !f->spent) {
		size_t size = (n + pieces - 1) / pieces, from = 0;
		bool alone = false, found = false;
		for (; from < n && !found; from += found ? 0 : size)
			found = alone = pieces > 1 &&
					builds_with(f, fixed, list, n, from, from + size, false);
		if (!found)
			for (from = 0; from < n && !found; from += found ? 0 : size)
				found = builds_with(f, fixed, list, n, from, from + size, true);
		size_t to = from + size < n ? from + size : n;
		if (alone) {
			memmove(list, list + from, (to - from) * sizeof(*list));
			n = to - from;
			pieces = n > 1 ? 2 : 1;
		} else if (found) {
			memmove(list + from, list + to, (n - to) * sizeof(*list));
			n -= to - from;
			pieces = pieces > 2 ? pieces - 1 : n > 1 ? 2 : 1;
		} else {
			pieces = pieces == n ? n + 1 : 2 * pieces < n ? 2 * pieces : n;
		}
	}
	memset(set, 0, f->n * sizeof(*set));
	for (size_t i = 0; i < n; i++)
		set[list[i]] = true;
	free(list);
}

static struct split_group group_of(const bool *set, size_t n, bool alone)
{
	struct split_group g = { .units = x_calloc(n + 1, sizeof(*g.units)), .alone = alone };
	g.n_units = members(set, n, g.units);
	return g;
}

static void add_group(struct finder *f, struct split_group g)
{
	x_grow(f->out->groups, f->out->n_groups, f->cap_groups);
	f->out->groups[f->out->n_groups++] = g;
}

/* rest: in: all units; out: without those that build alone, each of which is a group now. */
static void find_singles(struct finder *f, bool *rest)
{
	bool *with = x_calloc(f->n + 1, sizeof(*with));
	for (size_t i = 0; i < f->n; i++) {
		memset(with, 0, f->n * sizeof(*with));
		with[i] = true;
		if (f->n > 1 && !ask(f, with))
			continue;
		add_group(f, group_of(with, f->n, true));
		rest[i] = false;
	}
	free(with);
}

/*
 * Take single units off the whole as long as what is left builds: off[] in the order of taking.
 * Returns how many.
 */
static size_t peel(struct finder *f, bool *rest, bool *whole, size_t *off)
{
	size_t n = 0;
	for (bool again = true; again && !f->rc && !f->spent;) {
		again = false;
		for (size_t i = f->n; i-- > 0;) {
			if (!rest[i])
				continue;
			whole[i] = false;
			if (ask(f, whole)) {
				rest[i] = false;
				off[n++] = i;
				again = true;
			} else {
				whole[i] = true;
			}
		}
	}
	return n;
}

/*
 * The unit with as few others of the rest as it takes to build on what is in groups already: the
 * next group.
 */
static void add_smallest(struct finder *f, size_t unit, bool *rest)
{
	bool *set = x_calloc(f->n, sizeof(*set)), *fixed = x_calloc(f->n, sizeof(*fixed));
	memcpy(set, rest, f->n * sizeof(*set));
	for (size_t i = 0; i < f->out->n_groups; i++)
		for (size_t k = 0; k < f->out->groups[i].n_units; k++)
			fixed[f->out->groups[i].units[k]] = true;
	set[unit] = false;
	fixed[unit] = true;
	shrink(f, fixed, set);
	set[unit] = true;
	if (!f->rc && !f->spent) {
		add_group(f, group_of(set, f->n, false));
		for (size_t i = 0; i < f->n; i++)
			if (set[i])
				rest[i] = false;
	}
	free(set), free(fixed);
}

static void find_chain(struct finder *f, bool *rest)
{
	bool *whole = x_calloc(f->n + 1, sizeof(*whole)), *one = x_calloc(f->n + 1, sizeof(*one));
	size_t *off = x_calloc(f->n + 1, sizeof(*off));
	for (size_t i = 0; i < f->n; i++)
		whole[i] = true;
	size_t n_off = peel(f, rest, whole, off);
	for (size_t i = 0; i < f->n && !f->rc && !f->spent; i++)
		if (rest[i])
			add_smallest(f, i, rest);
	if (memchr(rest, true, f->n * sizeof(*rest)))
		add_group(f, group_of(rest, f->n, false));
	while (n_off-- > 0) {
		one[off[n_off]] = true;
		add_group(f, group_of(one, f->n, false));
		one[off[n_off]] = false;
	}
	free(whole), free(one), free(off);
}

int split_find(size_t n, split_builds *builds, void *ctx, size_t limit, struct split *out,
	       struct error *e)
{
	*out = (struct split){ 0 };
	struct finder f = {
		.n = n, .limit = limit, .builds = builds, .ctx = ctx, .e = e, .out = out
	};
	bool *rest = x_calloc(n + 1, sizeof(*rest));
	for (size_t i = 0; i < n; i++)
		rest[i] = true;
	find_singles(&f, rest);
	if (!f.rc)
		find_chain(&f, rest);
	out->complete = !f.spent;
	out->asked = f.n_tried;
	for (size_t i = 0; i < f.n_tried; i++)
		free(f.tried[i].with);
	free(f.tried), free(rest);
	if (f.rc)
		split_release(out);
	return f.rc;
}

void split_release(struct split *s)
{
	for (size_t i = 0; i < s->n_groups; i++) {
		free(s->groups[i].units);
	}
	free(s->groups);
	*s = (struct split){ 0 };
}
