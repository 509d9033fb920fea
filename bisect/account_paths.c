/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account_private.h"

#include "base/buf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SWEEPS_MAX 300
#define SETTLED 1e-13

static const char PROGRAM[] = "(program)", OTHERS[] = "(other entries)";

struct work {
	const struct account_input *in;
	struct account_graph *g;
	size_t n;             /* nodes */
	size_t *first, *edge; /* edges into node i: edge[first[i]] … */
	double *share;        /* of edge k among its target's, recursion left out */
	size_t *order;        /* nodes, callers before callees as far as there is such an order */
	size_t *entry;        /* path that a call from outside opens, 0: none */
};

/*
 * "free'run'main" is free, called by run, called by main; "f'2'f" is f the second time. A name may
 * begin with a quote.
 */
static size_t name_length(const char *s)
{
	const char *quote = *s ? strchr(s + 1, '\'') : NULL;
	return quote ? (size_t)(quote - s) : strlen(s);
}

/*
 * Is the function active already among the callers that its full name tells? A part of a function
 * counts as that function.
 */
static bool is_nested(const char *full, const char *plain)
{
	char token[4096], caller[4096];
	const char *s = full + name_length(full);
	for (bool first = true; *s == '\''; first = false) {
		size_t k = strcspn(++s, "'");
		if (k && strspn(s, "0123456789") >= k) {
			if (first)
				return true;
		} else {
			snprintf(token, sizeof(token), "%.*s", (int)k, s);
			account_plain_function(token, caller, sizeof(caller));
			if (!strcmp(caller, plain))
				return true;
		}
		s += k;
	}
	return false;
}

static void name_nodes(struct work *w)
{
	char plain[4096], whole[4096];
	for (size_t i = 0; i < w->n; i++) {
		const char *full =
			w->g->sum->functions[i].name ? w->g->sum->functions[i].name : "???";
		snprintf(whole, sizeof(whole), "%.*s", (int)name_length(full), full);
		account_plain_function(whole, plain, sizeof(plain));
		w->g->name[i] = account_name(w->g->names, plain);
		w->g->nested[i] = is_nested(full, plain);
		w->g->part[i] = strstr(whole, ".cold") || strstr(whole, ".part");
	}
}

static bool in_subject(const struct work *w, size_t node)
{
	return w->in->object && !strcmp(w->g->sum->functions[node].object, w->in->object);
}

/* Does a call along this edge enter the subject, if it is made outside? */
static bool enters(const struct work *w, const struct cgsum_edge *x)
{
	if (!in_subject(w, x->to))
		return false;
	if (!w->in->entries)
		return !in_subject(w, x->from);
	for (const char *const *s = w->in->entries; *s; s++)
		if (!strcmp(*s, w->g->name[x->to]))
			return true;
	return false;
}

struct candidate {
	const char *name;
	uint64_t calls;
};

static int by_calls(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->calls != y->calls)
		return x->calls < y->calls ? 1 : -1;
	return strcmp(x->name, y->name);
}

static void find_paths(struct work *w)
{
	struct account_graph *g = w->g;
	struct candidate *list = NULL;
	size_t n = 0, cap = 0;
	for (size_t k = 0; k < g->sum->nedges; k++) {
		const struct cgsum_edge *x = &g->sum->edges[k];
		size_t i = 0;
		if (!enters(w, x))
			continue;
		while (i < n && list[i].name != g->name[x->to])
			i++;
		if (i == n) {
			x_grow(list, n, cap);
			list[n++] = (struct candidate){ .name = g->name[x->to] };
		}
		list[i].calls += x->calls;
	}
	if (n)
		qsort(list, n, sizeof(*list), by_calls);
	bool others = n > ACCOUNT_PATHS_MAX - 1;
	size_t own = others ? ACCOUNT_PATHS_MAX - 2 : n;
	g->n_paths = 1 + own + others;
	g->path = x_calloc(g->n_paths, sizeof(*g->path));
	g->path[0] = account_name(g->names, PROGRAM);
	for (size_t i = 0; i < own; i++)
		g->path[i + 1] = list[i].name;
	if (others)
		g->path[g->n_paths - 1] = account_name(g->names, OTHERS);
	for (size_t k = 0; k < g->sum->nedges; k++) {
		const struct cgsum_edge *x = &g->sum->edges[k];
		if (!enters(w, x))
			continue;
		size_t p = 1;
		while (p < g->n_paths - 1 && g->path[p] != g->name[x->to])
			p++;
		w->entry[x->to] = p;
	}
	free(list);
}

/* Edges by their target, with the share of each. */
static void index_edges(struct work *w)
{
	const struct cgsum *s = w->g->sum;
	double *all = x_calloc(w->n + 1, sizeof(*all));
	for (size_t k = 0; k < s->nedges; k++)
		w->first[s->edges[k].to + 1]++;
	for (size_t i = 0; i < w->n; i++)
		w->first[i + 1] += w->first[i];
	size_t *at = x_calloc(w->n + 1, sizeof(*at));
	memcpy(at, w->first, w->n * sizeof(*at));
	for (size_t k = 0; k < s->nedges; k++) {
		const struct cgsum_edge *x = &s->edges[k];
		w->edge[at[x->to]++] = k;
		/* A call that took nothing still says who called. */
		w->share[k] =
			x->from == x->to ? 0 : (double)x->inclusive_ir + 1e-6 * (double)x->calls;
		all[x->to] += w->share[k];
	}
	for (size_t k = 0; k < s->nedges; k++)
		w->share[k] = all[s->edges[k].to] > 0 ? w->share[k] / all[s->edges[k].to] : 0;
	free(all), free(at);
}

static bool has_callers(const struct work *w, size_t node)
{
	for (size_t i = w->first[node]; i < w->first[node + 1]; i++)
		if (w->share[w->edge[i]] > 0)
			return true;
	return false;
}

/* Breadth first from those that nobody calls; edges are ascending by caller. */
static void sort_nodes(struct work *w)
{
	const struct cgsum *s = w->g->sum;
	bool *seen = x_calloc(w->n + 1, sizeof(*seen));
	size_t *out = x_calloc(w->n + 1, sizeof(*out));
	size_t head = 0, tail = 0;
	for (size_t k = 0; k < s->nedges; k++)
		out[s->edges[k].from + 1] = k + 1;
	for (size_t i = 0; i < w->n; i++)
		out[i + 1] = out[i + 1] > out[i] ? out[i + 1] : out[i];
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < w->n; i++) {
			if (seen[i] || (!pass && has_callers(w, i)))
				continue;
			seen[i] = true;
			w->order[tail++] = i;
			for (; head < tail; head++)
				for (size_t k = out[w->order[head]]; k < out[w->order[head] + 1];
				     k++)
					if (!seen[s->edges[k].to]) {
						seen[s->edges[k].to] = true;
						w->order[tail++] = s->edges[k].to;
					}
		}
	free(seen), free(out);
}

/* The mass that a call along edge k has on path p, of the caller's mass. */
static double carried(const struct work *w, size_t k, size_t p)
{
	const struct cgsum_edge *x = &w->g->sum->edges[k];
	const double *from = &w->g->mass[x->from * w->g->n_paths];
	size_t opened = enters(w, x) ? w->entry[x->to] : 0;
	if (!opened)
		return from[p];
	return p == opened ? from[p] + from[0] : p ? from[p] : 0;
}

static double settle(struct work *w, size_t node)
{
	size_t n = w->g->n_paths;
	double *mine = &w->g->mass[node * n], moved = 0;
	if (!has_callers(w, node)) {
		moved = 1 - mine[0];
		mine[0] = 1;
		return moved;
	}
	for (size_t p = 0; p < n; p++) {
		double v = 0;
		for (size_t i = w->first[node]; i < w->first[node + 1]; i++)
			if (w->share[w->edge[i]] > 0)
				v += w->share[w->edge[i]] * carried(w, w->edge[i], p);
		moved = fmax(moved, fabs(v - mine[p]));
		mine[p] = v;
	}
	return moved;
}

static void spread(struct work *w)
{
	struct account_graph *g = w->g;
	double moved = 1;
	for (int sweep = 0; sweep < SWEEPS_MAX && moved > SETTLED; sweep++) {
		moved = 0;
		for (size_t i = 0; i < w->n; i++)
			moved = fmax(moved, settle(w, w->order[i]));
	}
	for (size_t i = 0; i < w->n; i++) {
		double *mine = &g->mass[i * g->n_paths], all = 0;
		for (size_t p = 0; p < g->n_paths; p++)
			all += mine[p];
		for (size_t p = 0; p < g->n_paths; p++)
			mine[p] = all > 0 ? mine[p] / all : p == 0;
	}
}

static void count_calls(struct work *w)
{
	struct account_graph *g = w->g;
	g->path_calls[0] = (double)w->in->operations;
	for (size_t k = 0; k < g->sum->nedges; k++) {
		const struct cgsum_edge *x = &g->sum->edges[k];
		for (size_t p = 0; p < g->n_paths; p++)
			g->calls[x->to * g->n_paths + p] += (double)x->calls * carried(w, k, p);
		size_t opened = enters(w, x) ? w->entry[x->to] : 0;
		if (opened)
			g->path_calls[opened] += (double)x->calls * g->mass[x->from * g->n_paths];
	}
}

static void find_reach(struct work *w)
{
	struct account_graph *g = w->g;
	double moved = 1;
	for (int sweep = 0; sweep < 20 && moved > SETTLED; sweep++) {
		moved = 0;
		for (size_t o = 0; o < w->n; o++)
			for (size_t node = w->order[o], p = 0; p < g->n_paths; p++) {
				double v = 0;
				for (size_t i = w->first[node]; i < w->first[node + 1]; i++) {
					const struct cgsum_edge *x = &g->sum->edges[w->edge[i]];
					double calls = (double)x->calls * carried(w, w->edge[i], p);
					bool opens = p && enters(w, x) && w->entry[x->to] == p &&
						     g->mass[x->from * g->n_paths] > 0;
					double above =
						opens ? 1 : g->reach[x->from * g->n_paths + p];
					if (g->path_calls[p] > 0 && x->from != node)
						v += fmin(above, calls / g->path_calls[p]);
				}
				if (!has_callers(w, node))
					v = p == 0;
				v = fmin(v, 1);
				moved = fmax(moved, fabs(v - g->reach[node * g->n_paths + p]));
				g->reach[node * g->n_paths + p] = v;
			}
	}
}

void account_graph_make(const struct account_input *in, struct account_names **names,
			struct account_graph *g)
{
	size_t n = in->sum->nfunctions, edges = in->sum->nedges;
	*g = (struct account_graph){ .sum = in->sum, .names = names };
	struct work w = { .in = in, .g = g, .n = n };
	g->name = x_calloc(n + 1, sizeof(*g->name));
	g->nested = x_calloc(n + 1, sizeof(*g->nested));
	g->part = x_calloc(n + 1, sizeof(*g->part));
	w.first = x_calloc(n + 2, sizeof(*w.first));
	w.edge = x_calloc(edges + 1, sizeof(*w.edge));
	w.share = x_calloc(edges + 1, sizeof(*w.share));
	w.order = x_calloc(n + 1, sizeof(*w.order));
	w.entry = x_calloc(n + 1, sizeof(*w.entry));
	name_nodes(&w);
	find_paths(&w);
	g->path_calls = x_calloc(g->n_paths, sizeof(double));
	g->path_left = x_calloc(g->n_paths, sizeof(double));
	g->mass = x_calloc(n * g->n_paths + 1, sizeof(double));
	g->calls = x_calloc(n * g->n_paths + 1, sizeof(double));
	g->reach = x_calloc(n * g->n_paths + 1, sizeof(double));
	index_edges(&w);
	sort_nodes(&w);
	spread(&w);
	count_calls(&w);
	find_reach(&w);
	free(w.first), free(w.edge), free(w.share), free(w.order), free(w.entry);
}

void account_graph_left(struct account_graph *g, const bool *fast)
{
	for (size_t k = 0; k < g->sum->nedges; k++) {
		const struct cgsum_edge *x = &g->sum->edges[k];
		for (size_t p = 1; p < g->n_paths; p++) {
			double mass = g->mass[x->from * g->n_paths + p];
			if (mass > 0 && fast[x->from * g->n_paths + p] &&
			    !fast[x->to * g->n_paths + p])
				g->path_left[p] += (double)x->calls * mass;
		}
	}
}

void account_graph_release(struct account_graph *g)
{
	free(g->path), free(g->path_calls), free(g->path_left), free(g->mass), free(g->calls),
		free(g->reach), free(g->name), free(g->nested), free(g->part);
	*g = (struct account_graph){ 0 };
}
