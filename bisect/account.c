/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account_private.h"

#include "base/buf.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NONE SIZE_MAX

/* Inlined copies met while the addresses of one node are gone through: outer ones come first. */
struct copy {
	uint64_t instance;
	size_t parent; /* copy, NONE: the function itself */
	bool at_entry;
	double entry,
		most; /* executions of the instruction where it begins, and of its busiest one */
	double count;
};

/* What an address is, whatever path it runs on: frames by name, outermost first. */
struct spot {
	size_t n;
	struct account_frame frame[ACCOUNT_FRAMES]; /* innermost first; strings are the account's */
	bool by_symbol, unknown;
};

/* Rows are found by (parent, path, function, file, object): open addressing over indices + 1. */
struct maker {
	const struct account_input *in;
	struct account *a;
	struct account_graph g;
	size_t cap_rows, cap_places, cap_lines;
	size_t *slot, n_slots;
	size_t *line_at; /* of each place: index into the lines, which move while they grow */
	size_t cap_line_at;
	struct copy *copies;
	size_t n_copies, cap_copies;
	size_t *node_row;  /* nodes × paths: the depth-0 row, NONE */
	double *row_reach; /* depth 0: reach added up over contexts */
	size_t cap_reach;
};

static const char *plain_path(const char *path)
{
	while (path && path[0] == '.' && path[1] == '/')
		path += 2;
	return path && strcmp(path, "???") ? path : "";
}

static bool no_symbol(const char *name)
{
	return !strcmp(name, "???") || !strncmp(name, "0x", 2);
}

/*
 * A function in itself is one function: compilers split a part off and inline it again, or unroll
 * recursion. The outer frame stays, at the inner one's line.
 */
static size_t join_equal(struct account_frame *f, size_t n)
{
	size_t out = 0;
	for (size_t i = 0; i < n; i++) {
		if (out && f[out - 1].function == f[i].function) {
			const char *file = f[out - 1].file;
			unsigned line = f[out - 1].line;
			f[out - 1] = f[i];
			f[out - 1].file = file;
			f[out - 1].line = line;
		} else {
			f[out++] = f[i];
		}
	}
	return out;
}

static void look(struct maker *m, size_t node, const struct cgsum_address *x, struct spot *s)
{
	const struct cgsum_function *f = &m->g.sum->functions[node];
	struct account_names **names = &m->a->names;
	s->n = m->in->resolve
		       ? m->in->resolve(m->in->ctx, f->object, x->address, s->frame, ACCOUNT_FRAMES)
		       : 0;
	s->by_symbol = !s->n;
	s->unknown = s->by_symbol && no_symbol(m->g.name[node]);
	if (!s->n) {
		s->frame[0] = (struct account_frame){ .file = x->file,
						      .line = (unsigned)x->line,
						      .decl_file = f->file };
		s->n = 1;
	}
	/*
	 * Of the function that has the code the symbol is the name that callers know: aliases, C++
	 * signatures.
	 */
	struct account_frame *own = &s->frame[s->n - 1];
	if (!no_symbol(m->g.name[node]) || !own->function)
		own->function = m->g.name[node];
	for (size_t i = 0; i < s->n; i++) {
		struct account_frame *k = &s->frame[i];
		k->function = account_name(names, k->function ? k->function : "???");
		k->file = account_name(names, plain_path(k->file));
		k->decl_file = account_name(names, plain_path(k->decl_file));
	}
	s->n = join_equal(s->frame, s->n);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
	h *= 0xff51afd7ed558ccdu;
	return h ^ (h >> 33);
}

static uint64_t key_of(const struct account_row *r)
{
	uint64_t h = mix(r->path, r->parent);
	h = mix(h, (uint64_t)(uintptr_t)r->function);
	h = mix(h, (uint64_t)(uintptr_t)r->file);
	return mix(h, (uint64_t)(uintptr_t)r->object);
}

static bool same_row(const struct account_row *x, const struct account_row *y)
{
	return x->path == y->path && x->parent == y->parent && x->function == y->function &&
	       x->file == y->file && x->object == y->object;
}

static size_t row_of(struct maker *m, const struct account_row *want)
{
	struct account *a = m->a;
	if (2 * (a->n_rows + 1) > m->n_slots) {
		m->n_slots = m->n_slots ? 2 * m->n_slots : 256;
		free(m->slot);
		m->slot = x_calloc(m->n_slots, sizeof(*m->slot));
		for (size_t i = 0; i < a->n_rows; i++) {
			size_t at = key_of(&a->rows[i]) & (m->n_slots - 1);
			while (m->slot[at])
				at = (at + 1) & (m->n_slots - 1);
			m->slot[at] = i + 1;
		}
	}
	size_t at = key_of(want) & (m->n_slots - 1);
	for (; m->slot[at]; at = (at + 1) & (m->n_slots - 1))
		if (same_row(&a->rows[m->slot[at] - 1], want))
			return m->slot[at] - 1;
	x_grow(a->rows, a->n_rows, m->cap_rows);
	a->rows[a->n_rows++] = *want;
	m->slot[at] = a->n_rows;
	return a->n_rows - 1;
}

/*
 * The depth-0 row of a node on a path; s: an address of it that debug information knows, if there
 * is one.
 */
static size_t own_row(struct maker *m, size_t node, size_t path, const struct spot *s)
{
	const struct account_frame *own = &s->frame[s->n - 1];
	struct account_row want = { .path = path,
				    .parent = NONE,
				    .function = own->function,
				    .file = own->decl_file,
				    .object = account_name(&m->a->names,
							   m->g.sum->functions[node].object),
				    .by_symbol = s->by_symbol,
				    .unknown = s->unknown };
	size_t row = row_of(m, &want);
	m->node_row[node * m->g.n_paths + path] = row;
	if (!m->g.part[node])
		m->a->rows[row].calls += m->g.calls[node * m->g.n_paths + path];
	while (m->cap_reach <= row) {
		size_t old = m->cap_reach;
		m->cap_reach = old ? 2 * old : 64;
		m->row_reach = x_realloc(m->row_reach, m->cap_reach, sizeof(*m->row_reach));
		memset(m->row_reach + old, 0, (m->cap_reach - old) * sizeof(*m->row_reach));
	}
	if (!m->g.part[node])
		m->row_reach[row] += m->g.reach[node * m->g.n_paths + path];
	return row;
}

static void add_place(struct maker *m, size_t row, const struct spot *s,
		      const struct cgsum_address *x, double mass)
{
	struct account *a = m->a;
	size_t n_lines = s->n;
	x_grow(a->places, a->n_places, m->cap_places);
	x_grow(m->line_at, a->n_places, m->cap_line_at);
	static const size_t room = ACCOUNT_FRAMES;
	size_t used =
		a->n_places ? m->line_at[a->n_places - 1] + a->places[a->n_places - 1].n_lines : 0;
	if (used + room > m->cap_lines) {
		m->cap_lines = m->cap_lines ? 2 * m->cap_lines : 1024;
		a->lines = x_realloc(a->lines, m->cap_lines, sizeof(*a->lines));
	}
	for (size_t i = 0; i < n_lines; i++)
		a->lines[used + i] = (struct account_line){ s->frame[i].file, s->frame[i].line };
	m->line_at[a->n_places] = used;
	a->places[a->n_places++] = (struct account_place){ .row = row,
							   .address = x->address,
							   .ir = mass * (double)x->ir,
							   .called_ir = mass * (double)x->called_ir,
							   .n_lines = (unsigned)n_lines };
}

static size_t copy_of(struct maker *m, uint64_t instance)
{
	size_t k = 0;
	while (k < m->n_copies && m->copies[k].instance != instance)
		k++;
	return k;
}

static void meet_copies(struct maker *m, const struct spot *s, const struct cgsum_address *x)
{
	size_t parent = NONE;
	for (size_t i = s->n - 1; i-- > 0;) {
		const struct account_frame *f = &s->frame[i];
		size_t k = copy_of(m, f->instance);
		if (k == m->n_copies) {
			x_grow(m->copies, m->n_copies, m->cap_copies);
			m->copies[m->n_copies++] = (struct copy){ .instance = f->instance,
								  .parent = parent,
								  .entry = (double)x->ir };
		}
		struct copy *c = &m->copies[k];
		if (!c->at_entry && x->address >= f->entry) {
			c->at_entry = true;
			c->entry = (double)x->ir;
		}
		c->most = fmax(c->most, (double)x->ir);
		parent = k;
	}
}

/*
 * How often each copy was entered. Optimisers move instructions, so that the one where a copy is
 * said to begin may stand in a branch of it: the busiest one counts, unless it ran more often than
 * the code around was entered, in a loop.
 */
static void count_copies(struct maker *m, double entered)
{
	for (size_t k = 0; k < m->n_copies; k++) {
		struct copy *c = &m->copies[k];
		double around = c->parent == NONE ? entered : m->copies[c->parent].most;
		c->count = c->most <= around ? c->most : c->entry;
	}
}

static double copy_count(struct maker *m, uint64_t instance)
{
	size_t k = copy_of(m, instance);
	double n = k < m->n_copies ? m->copies[k].count : 0;
	if (k < m->n_copies)
		m->copies[k].count = 0; /* each is counted into its row once */
	return n;
}

/* All addresses of one node on one path: [from, to) of the sum's. */
static void add_node(struct maker *m, size_t node, size_t path, size_t from, size_t to,
		     const struct spot *spots)
{
	struct account *a = m->a;
	double mass = m->g.mass[node * m->g.n_paths + path];
	size_t lead = 0;
	while (from + lead + 1 < to && spots[lead].by_symbol)
		lead++;
	size_t top = own_row(m, node, path, &spots[spots[lead].by_symbol ? 0 : lead]);
	m->n_copies = 0;
	for (size_t i = from; i < to; i++)
		meet_copies(m, &spots[i - from], &m->g.sum->addresses[i]);
	count_copies(m, m->g.sum->functions[node].calls ? (double)m->g.sum->functions[node].calls
							: (double)m->g.sum->addresses[from].ir);
	for (size_t i = from; i < to; i++) {
		const struct cgsum_address *x = &m->g.sum->addresses[i];
		const struct spot *s = &spots[i - from];
		double ir = mass * (double)x->ir,
		       with_called = m->g.nested[node] ? 0 : ir + mass * (double)x->called_ir;
		size_t row = top;
		a->rows[row].inclusive_ir += with_called;
		for (size_t k = s->n - 1; k-- > 0;) {
			struct account_row want = { .path = path,
						    .parent = row,
						    .depth = (unsigned)(s->n - 1 - k),
						    .function = s->frame[k].function,
						    .file = s->frame[k].decl_file,
						    .object = a->rows[row].object };
			row = row_of(m, &want);
			a->rows[row].inclusive_ir += with_called;
			a->rows[row].calls += mass * copy_count(m, s->frame[k].instance);
		}
		a->rows[row].self_ir += ir;
		a->paths[path].ir += ir;
		if (s->unknown)
			a->unattributed_ir += ir;
		if (s->by_symbol && !s->unknown && m->in->object &&
		    !strcmp(m->g.sum->functions[node].object, m->in->object))
			a->by_symbol_ir += ir;
		if (mass < 1 - 1e-9)
			a->divided_ir += ir;
		add_place(m, row, s, x, mass);
	}
}

static void add_all(struct maker *m)
{
	const struct cgsum *sum = m->g.sum;
	struct spot *spots = NULL;
	size_t cap = 0;
	for (size_t from = 0, to; from < sum->naddresses; from = to) {
		size_t node = sum->addresses[from].function;
		for (to = from; to < sum->naddresses && sum->addresses[to].function == node; to++)
			;
		if (to - from > cap) {
			cap = 2 * (to - from);
			spots = x_realloc(spots, cap, sizeof(*spots));
		}
		for (size_t i = from; i < to; i++)
			look(m, node, &sum->addresses[i], &spots[i - from]);
		for (size_t p = 0; p < m->g.n_paths; p++)
			if (m->g.mass[node * m->g.n_paths + p] > 0)
				add_node(m, node, p, from, to, spots);
	}
	free(spots);
}

static size_t top_of(const struct account *a, size_t row)
{
	while (a->rows[row].parent != NONE)
		row = a->rows[row].parent;
	return row;
}

/* Several contexts of a function have run the same address: one place. */
static int by_place(const void *x, const void *y, void *places)
{
	const struct account_place *list = places, *a = &list[*(const size_t *)x],
				   *b = &list[*(const size_t *)y];
	if (a->row != b->row)
		return a->row < b->row ? -1 : 1;
	return a->address < b->address ? -1 : a->address > b->address;
}

static void merge_places(struct maker *m)
{
	struct account *a = m->a;
	size_t *order = x_calloc(a->n_places + 1, sizeof(*order)), n = 0;
	struct account_place *out = x_calloc(a->n_places + 1, sizeof(*out));
	for (size_t i = 0; i < a->n_places; i++) {
		order[i] = i;
		a->places[i].lines = a->lines + m->line_at[i];
	}
	if (a->n_places)
		qsort_r(order, a->n_places, sizeof(*order), by_place, a->places);
	for (size_t i = 0; i < a->n_places; i++) {
		const struct account_place *x = &a->places[order[i]];
		if (n && out[n - 1].row == x->row && out[n - 1].address == x->address) {
			out[n - 1].ir += x->ir;
			out[n - 1].called_ir += x->called_ir;
		} else {
			out[n++] = *x;
		}
	}
	free(a->places), free(order);
	a->places = out;
	a->n_places = n;
}

static void judge_speed(struct maker *m)
{
	struct account *a = m->a;
	for (size_t i = 0; i < a->n_rows; i++) {
		struct account_row *r = &a->rows[i];
		double calls = a->paths[r->path].calls,
		       above = r->parent == NONE ? m->row_reach[i] : a->rows[r->parent].reached;
		/* Parents come before their children. */
		r->reached = r->parent == NONE ? fmin(1, above)
			     : calls > 0       ? fmin(above, r->calls / calls)
					       : 0;
	}
	for (size_t i = 0; i < a->n_places; i++) {
		struct account_place *x = &a->places[i];
		struct account_row *r = &a->rows[x->row];
		double calls = a->paths[r->path].calls;
		x->fast = a->rows[top_of(a, x->row)].reached >= 0.5 && x->ir >= 0.5 * calls;
		if (x->fast) {
			r->fast_ir += x->ir;
			a->paths[r->path].fast_ir += x->ir;
		}
	}
	bool *fast = x_calloc(m->g.sum->nfunctions * m->g.n_paths + 1, sizeof(*fast));
	for (size_t i = 0; i < m->g.sum->nfunctions * m->g.n_paths; i++)
		fast[i] = m->node_row[i] != NONE && a->rows[m->node_row[i]].reached >= 0.5;
	account_graph_left(&m->g, fast);
	for (size_t p = 0; p < m->g.n_paths; p++)
		a->paths[p].left = m->g.path_left[p];
	free(fast);
}

/* A row and its cost with everything inlined into it: what rows are sorted by. */
struct costed {
	const struct account_row *row;
	double whole;
};

static struct costed *whole_costs(const struct account *a)
{
	struct costed *list = x_calloc(a->n_rows + 1, sizeof(*list));
	for (size_t i = a->n_rows; i-- > 0;) {
		list[i].row = &a->rows[i];
		list[i].whole += a->rows[i].self_ir;
		if (a->rows[i].parent != NONE)
			list[a->rows[i].parent].whole += list[i].whole;
	}
	return list;
}

static int by_cost(const void *x, const void *y, void *list)
{
	const struct costed *i = (struct costed *)list + *(const size_t *)x,
			    *k = (struct costed *)list + *(const size_t *)y;
	const struct account_row *a = i->row, *b = k->row;
	if (a->path != b->path)
		return a->path < b->path ? -1 : 1;
	if (i->whole != k->whole)
		return i->whole < k->whole ? 1 : -1;
	int c = strcmp(a->function, b->function);
	if (!c)
		c = strcmp(a->file, b->file);
	return c ? c : strcmp(a->object, b->object);
}

static size_t put_in_order(const size_t *child, const size_t *next, size_t row, size_t *order,
			   size_t n)
{
	order[n++] = row;
	for (size_t k = child[row]; k != NONE; k = next[k])
		n = put_in_order(child, next, k, order, n);
	return n;
}

/* Depth first, dearest first. */
static void order_rows(struct account *a)
{
	size_t n = a->n_rows, at = 0;
	size_t *sorted = x_calloc(n + 1, sizeof(*sorted)), *order = x_calloc(n + 1, sizeof(*order)),
	       *now = x_calloc(n + 1, sizeof(*now));
	size_t *child = x_calloc(n + 1, sizeof(*child)), *next = x_calloc(n + 1, sizeof(*next));
	struct costed *whole = whole_costs(a);
	struct account_row *rows = x_calloc(n + 1, sizeof(*rows));
	for (size_t i = 0; i < n; i++)
		sorted[i] = i, child[i] = next[i] = NONE;
	if (n)
		qsort_r(sorted, n, sizeof(*sorted), by_cost, whole);
	for (size_t i = n; i-- > 0;) {
		size_t parent = a->rows[sorted[i]].parent;
		if (parent != NONE) {
			next[sorted[i]] = child[parent];
			child[parent] = sorted[i];
		}
	}
	for (size_t i = 0; i < n; i++)
		if (a->rows[sorted[i]].parent == NONE)
			at = put_in_order(child, next, sorted[i], order, at);
	assert(at == n);
	for (size_t i = 0; i < n; i++)
		now[order[i]] = i;
	for (size_t i = 0; i < n; i++) {
		rows[i] = a->rows[order[i]];
		if (rows[i].parent != NONE)
			rows[i].parent = now[rows[i].parent];
	}
	for (size_t i = 0; i < a->n_places; i++)
		a->places[i].row = now[a->places[i].row];
	free(a->rows), free(sorted), free(order), free(now), free(child), free(next), free(whole);
	a->rows = rows;
	/* Places follow their rows. */
	size_t *places = x_calloc(a->n_places + 1, sizeof(*places));
	struct account_place *moved = x_calloc(a->n_places + 1, sizeof(*moved));
	for (size_t i = 0; i < a->n_places; i++)
		places[i] = i;
	if (a->n_places)
		qsort_r(places, a->n_places, sizeof(*places), by_place, a->places);
	for (size_t i = 0; i < a->n_places; i++)
		moved[i] = a->places[places[i]];
	free(places), free(a->places);
	a->places = moved;
}

void account_make(const struct account_input *in, struct account *out)
{
	assert(in->operations > 0);
	*out = (struct account){ .operations = in->operations,
				 .total_ir = (double)in->sum->total_ir };
	struct maker m = { .in = in, .a = out };
	account_graph_make(in, &out->names, &m.g);
	out->n_paths = m.g.n_paths;
	out->paths = x_calloc(out->n_paths, sizeof(*out->paths));
	for (size_t p = 0; p < out->n_paths; p++)
		out->paths[p] =
			(struct account_path){ .name = m.g.path[p], .calls = m.g.path_calls[p] };
	m.node_row = x_calloc(in->sum->nfunctions * m.g.n_paths + 1, sizeof(*m.node_row));
	for (size_t i = 0; i < in->sum->nfunctions * m.g.n_paths; i++)
		m.node_row[i] = NONE;
	add_all(&m);
	merge_places(&m);
	judge_speed(&m);
	order_rows(out);
	account_graph_release(&m.g);
	free(m.slot), free(m.line_at), free(m.copies), free(m.node_row), free(m.row_reach);
}

void account_release(struct account *a)
{
	free(a->paths), free(a->rows), free(a->places), free(a->lines);
	account_names_release(a->names);
	*a = (struct account){ 0 };
}

size_t account_path_find(const struct account *a, const char *name)
{
	for (size_t p = 0; p < a->n_paths; p++)
		if (!strcmp(a->paths[p].name, name))
			return p;
	return NONE;
}

char *account_row_name(const struct account *a, size_t row)
{
	const struct account_row *r = &a->rows[row];
	if (r->parent == NONE)
		return x_strdup(r->function);
	char *above = account_row_name(a, r->parent),
	     *all = x_printf("%s > %s", above, r->function);
	free(above);
	return all;
}

bool account_function(const struct account *a, size_t path, const char *function,
		      struct account_function *out)
{
	bool found = false;
	*out = (struct account_function){ 0 };
	for (size_t i = 0; i < a->n_rows; i++) {
		const struct account_row *r = &a->rows[i];
		size_t up = i;
		if (r->path != path)
			continue;
		while (up != NONE && !account_is_function(a->rows[up].function, function))
			up = a->rows[up].parent;
		if (up == NONE)
			continue;
		found = true;
		out->fast_ir += r->fast_ir;
		if (account_is_function(r->function, function))
			out->self_ir += r->self_ir;
		size_t above = r->parent;
		while (above != NONE && !account_is_function(a->rows[above].function, function))
			above = a->rows[above].parent;
		if (up != i || above != NONE)
			continue;
		out->inclusive_ir += r->inclusive_ir;
		out->calls += r->calls;
		out->reached += r->reached;
		out->inlined |= r->parent != NONE;
		out->own |= r->parent == NONE;
	}
	out->reached = fmin(out->reached, 1);
	return found;
}
