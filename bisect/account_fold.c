/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account_fold.h"

#include "base/buf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NONE SIZE_MAX

static int compare(const struct account *a, const struct account_place *x, const char *object,
		   uint64_t address)
{
	int c = strcmp(a->rows[x->row].object, object);
	return c ? c : x->address < address ? -1 : x->address > address;
}

static int by_address(const void *x, const void *y, void *account)
{
	const struct account *a = account;
	const struct account_place *i = &a->places[*(const size_t *)x],
				   *k = &a->places[*(const size_t *)y];
	return compare(a, i, a->rows[k->row].object, k->address);
}

/* The first place of that address in the sorted order, or where it would be. */
static size_t first_of(const struct account *a, const size_t *order, const struct account_sample *s)
{
	size_t lo = 0, hi = a->n_places;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (compare(a, &a->places[order[mid]], s->object, s->address) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void account_fold_make(const struct account *a, const struct account_sample *samples, size_t n,
		       struct account_fold *out)
{
	size_t *order = x_calloc(a->n_places + 1, sizeof(*order));
	*out = (struct account_fold){ .rows = x_calloc(a->n_rows + 1, sizeof(*out->rows)) };
	for (size_t i = 0; i < a->n_places; i++)
		order[i] = i;
	if (a->n_places)
		qsort_r(order, a->n_places, sizeof(*order), by_address, (void *)a);
	for (size_t i = 0; i < n; i++) {
		const struct account_sample *s = &samples[i];
		size_t from = first_of(a, order, s), to = from;
		double ir = 0;
		for (; to < a->n_places &&
		       !compare(a, &a->places[order[to]], s->object, s->address);
		     to++)
			ir += a->places[order[to]].ir;
		out->all += (double)s->samples;
		if (!(ir > 0))
			out->outside += (double)s->samples;
		for (size_t k = from; ir > 0 && k < to; k++) {
			const struct account_place *x = &a->places[order[k]];
			out->rows[x->row] += (double)s->samples * x->ir / ir;
		}
	}
	free(order);
}

void account_fold_release(struct account_fold *f)
{
	free(f->rows);
	*f = (struct account_fold){ 0 };
}

double account_fold_function(const struct account *a, const struct account_fold *f, size_t path,
			     const char *function)
{
	double sum = 0;
	for (size_t i = 0; i < a->n_rows; i++) {
		size_t up = i;
		while (up != NONE && !account_is_function(a->rows[up].function, function))
			up = a->rows[up].parent;
		if (up != NONE && a->rows[i].path == path)
			sum += f->rows[i];
	}
	return f->all > 0 ? sum / f->all : NAN;
}

double account_fold_error(double share, double n)
{
	return n > 0 ? sqrt(fmax(share * (1 - share), 0) / n) : INFINITY;
}
