/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/cgsum.h"

#include "base/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Three words -> index of what they name: functions, edges, addresses. Open addressing, index + 1, 0 is free. */
struct key {
	uint64_t w[3];
};

struct map {
	struct key *key;
	size_t *slot;
	size_t n, cap, nslots;
	size_t next; /* behind the key that was looked up last: files tend to repeat an order */
};

/* Finaliser of MurmurHash3 over the three words. */
static uint64_t mix(const struct key *k)
{
	uint64_t h = 0;
	for (int i = 0; i < 3; i++) {
		h ^= k->w[i];
		h ^= h >> 33;
		h *= 0xff51afd7ed558ccdu;
		h ^= h >> 33;
		h *= 0xc4ceb9fe1a85ec53u;
		h ^= h >> 33;
	}
	return h;
}

static void rehash(struct map *m)
{
	m->nslots = m->nslots ? 2 * m->nslots : 256;
	free(m->slot);
	m->slot = x_calloc(m->nslots, sizeof(*m->slot));
	for (size_t i = 0; i < m->n; i++) {
		size_t at = mix(&m->key[i]) & (m->nslots - 1);
		while (m->slot[at])
			at = (at + 1) & (m->nslots - 1);
		m->slot[at] = i + 1;
	}
}

/* The index of this key; equal to the old m->n when it is new. */
static size_t map_index(struct map *m, struct key k)
{
	if (m->next < m->n && !memcmp(&m->key[m->next], &k, sizeof(k)))
		return m->next++;
	if (2 * (m->n + 1) > m->nslots)
		rehash(m);
	size_t at = mix(&k) & (m->nslots - 1);
	for (; m->slot[at]; at = (at + 1) & (m->nslots - 1))
		if (!memcmp(&m->key[m->slot[at] - 1], &k, sizeof(k))) {
			m->next = m->slot[at];
			return m->slot[at] - 1;
		}
	x_grow(m->key, m->n, m->cap);
	m->key[m->n++] = k;
	m->slot[at] = m->n;
	return m->n - 1;
}

static void map_release(struct map *m)
{
	free(m->key);
	free(m->slot);
	*m = (struct map){ 0 };
}

struct builder {
	struct cgsum *s;
	bool addresses;
	struct map functions, edges, places;
	size_t cap_functions, cap_edges, cap_places;
	struct key last; /* most lines belong to the function of the line before; functions have objects, so 0 is none */
	size_t last_function;
};

static uint64_t word(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static size_t function_of(struct builder *b, const struct cgfile_site *at)
{
	struct cgsum *s = b->s;
	struct key k = { { word(at->object), word(at->home), word(at->function) } };
	if (!memcmp(&k, &b->last, sizeof(k)))
		return b->last_function;
	size_t i = map_index(&b->functions, k);
	b->last = k;
	b->last_function = i;
	if (i == s->nfunctions) {
		x_grow(s->functions, s->nfunctions, b->cap_functions);
		s->functions[s->nfunctions++] = (struct cgsum_function){ .object = at->object,
									 .file = at->home ? at->home : "???",
									 .name = at->function };
	}
	return i;
}

static struct cgsum_address *place_of(struct builder *b, size_t function, const struct cgfile_site *at)
{
	struct cgsum *s = b->s;
	size_t i = map_index(&b->places, (struct key){ { function, at->address, 0 } });
	if (i == s->naddresses) {
		x_grow(s->addresses, s->naddresses, b->cap_places);
		s->addresses[s->naddresses++] = (struct cgsum_address){
			.function = function,
			.address = at->address,
			.line = at->line,
			.file = at->file ? at->file : "???",
		};
	}
	return &s->addresses[i];
}

static int add_self(void *ctx, const struct cgfile_site *at, uint64_t ir)
{
	struct builder *b = ctx;
	size_t f = function_of(b, at);
	b->s->functions[f].self_ir += ir;
	if (b->addresses)
		place_of(b, f, at)->ir += ir;
	return 0;
}

static int add_call(void *ctx, const struct cgfile_site *from, const struct cgfile_site *to, uint64_t calls, uint64_t ir)
{
	struct builder *b = ctx;
	struct cgsum *s = b->s;
	size_t caller = function_of(b, from), callee = function_of(b, to);
	size_t i = map_index(&b->edges, (struct key){ { caller, callee, 0 } });
	if (i == s->nedges) {
		x_grow(s->edges, s->nedges, b->cap_edges);
		s->edges[s->nedges++] = (struct cgsum_edge){ .from = caller, .to = callee };
	}
	s->edges[i].calls += calls;
	s->edges[i].inclusive_ir += ir;
	if (b->addresses) {
		struct cgsum_address *at = place_of(b, caller, from);
		at->calls += calls;
		at->called_ir += ir;
	}
	return 0;
}

static int by_self(const void *a, const void *b)
{
	const struct cgsum_function *x = *(struct cgsum_function *const *)a, *y = *(struct cgsum_function *const *)b;
	if (x->self_ir != y->self_ir)
		return x->self_ir < y->self_ir ? 1 : -1;
	int c = strcmp(x->name, y->name);
	if (!c)
		c = strcmp(x->object, y->object);
	return c ? c : strcmp(x->file, y->file);
}

static int by_ends(const void *a, const void *b)
{
	const struct cgsum_edge *x = a, *y = b;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

static int by_place(const void *a, const void *b)
{
	const struct cgsum_address *x = a, *y = b;
	if (x->function != y->function)
		return x->function < y->function ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

static int by_object_ir(const void *a, const void *b)
{
	const struct cgsum_object *x = a, *y = b;
	if (x->self_ir != y->self_ir)
		return x->self_ir < y->self_ir ? 1 : -1;
	return strcmp(x->path, y->path);
}

/* Functions in their final order; edges and addresses follow them. */
static void order(struct cgsum *s)
{
	struct cgsum_function **sorted = x_calloc(s->nfunctions, sizeof(*sorted));
	struct cgsum_function *moved = x_calloc(s->nfunctions, sizeof(*moved));
	size_t *now = x_calloc(s->nfunctions, sizeof(*now));
	for (size_t i = 0; i < s->nfunctions; i++)
		sorted[i] = &s->functions[i];
	if (s->nfunctions)
		qsort(sorted, s->nfunctions, sizeof(*sorted), by_self);
	for (size_t i = 0; i < s->nfunctions; i++) {
		now[sorted[i] - s->functions] = i;
		moved[i] = *sorted[i];
	}
	for (size_t i = 0; i < s->nedges; i++) {
		s->edges[i].from = now[s->edges[i].from];
		s->edges[i].to = now[s->edges[i].to];
	}
	for (size_t i = 0; i < s->naddresses; i++)
		s->addresses[i].function = now[s->addresses[i].function];
	free(now);
	free(sorted);
	free(s->functions);
	s->functions = moved;
	if (s->nedges)
		qsort(s->edges, s->nedges, sizeof(*s->edges), by_ends);
	if (s->naddresses)
		qsort(s->addresses, s->naddresses, sizeof(*s->addresses), by_place);
}

static void add_up(struct cgsum *s)
{
	struct map objects = { 0 };
	size_t cap = 0;
	for (size_t i = 0; i < s->nfunctions; i++)
		s->functions[i].inclusive_ir = s->functions[i].self_ir;
	for (size_t i = 0; i < s->nedges; i++) {
		const struct cgsum_edge *x = &s->edges[i];
		s->functions[x->to].calls += x->calls;
		if (x->from != x->to)
			s->functions[x->from].inclusive_ir += x->inclusive_ir;
	}
	for (size_t i = 0; i < s->nfunctions; i++) {
		size_t k = map_index(&objects, (struct key){ { word(s->functions[i].object) } });
		if (k == s->nobjects) {
			x_grow(s->objects, s->nobjects, cap);
			s->objects[s->nobjects++] = (struct cgsum_object){ .path = s->functions[i].object };
		}
		s->objects[k].self_ir += s->functions[i].self_ir;
	}
	map_release(&objects);
	if (s->nobjects)
		qsort(s->objects, s->nobjects, sizeof(*s->objects), by_object_ir);
}

int cgsum_read(struct cgsum *s, const char *const *paths, size_t n, bool addresses, struct error *e)
{
	struct builder b = { .s = s, .addresses = addresses };
	struct cgfile_sink sink = { .self = add_self, .call = add_call, .ctx = &b };
	int rc = 0;
	*s = (struct cgsum){ .names = cgfile_open() };
	for (size_t i = 0; i < n && !rc; i++) {
		struct cgfile_stats stats;
		rc = cgfile_read(s->names, paths[i], &sink, &stats, e);
		if (!rc) {
			s->total_ir += stats.total_ir;
			s->parts += stats.parts;
		}
	}
	map_release(&b.functions);
	map_release(&b.edges);
	map_release(&b.places);
	if (rc) {
		cgsum_release(s);
		return rc;
	}
	order(s);
	add_up(s);
	return 0;
}

void cgsum_release(struct cgsum *s)
{
	cgfile_close(s->names);
	free(s->functions);
	free(s->edges);
	free(s->addresses);
	free(s->objects);
	*s = (struct cgsum){ 0 };
}

/* "malloc" is also "malloc@@GLIBC_2.2.5", and "malloc'main" where callers are told apart. */
static bool is_called(const char *name, const char *function)
{
	size_t n = strlen(function);
	return !strncmp(name, function, n) && (!name[n] || name[n] == '@' || name[n] == '\'');
}

struct cgsum_entry cgsum_entry(const struct cgsum *s, const char *object, const char *function)
{
	struct cgsum_entry out = { 0 };
	for (size_t i = 0; i < s->nedges; i++) {
		const struct cgsum_edge *x = &s->edges[i];
		const struct cgsum_function *from = &s->functions[x->from], *to = &s->functions[x->to];
		if (!is_called(to->name, function) || (object && strcmp(to->object, object)))
			continue;
		out.calls += x->calls;
		out.inclusive_ir += x->inclusive_ir;
		if (from->object != to->object) {
			out.outer_calls += x->calls;
			out.outer_inclusive_ir += x->inclusive_ir;
		}
	}
	return out;
}

uint64_t cgsum_object_ir(const struct cgsum *s, const char *object)
{
	for (size_t i = 0; i < s->nobjects; i++)
		if (!strcmp(s->objects[i].path, object))
			return s->objects[i].self_ir;
	return 0;
}
