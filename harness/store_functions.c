/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "harness/store_db.h"

#include <math.h>
#include <stdlib.h>

static void natural_log(sqlite3_context *c, int n, sqlite3_value **v)
{
	(void)n;
	int type = sqlite3_value_numeric_type(v[0]);
	double x = sqlite3_value_double(v[0]);
	if ((type == SQLITE_INTEGER || type == SQLITE_FLOAT) && x > 0)
		sqlite3_result_double(c, log(x));
	else
		sqlite3_result_null(c);
}

struct numbers {
	double *v;
	size_t n, cap;
};

static void median_step(sqlite3_context *c, int n, sqlite3_value **v)
{
	(void)n;
	if (sqlite3_value_type(v[0]) == SQLITE_NULL)
		return;
	struct numbers *a = sqlite3_aggregate_context(c, sizeof(*a));
	if (!a)
		return;
	x_grow(a->v, a->n, a->cap);
	a->v[a->n++] = sqlite3_value_double(v[0]);
}

/* The k-th smallest of n, 0 <= k < n; v is reordered so that v[0..k] hold no larger ones (Hoare's FIND). */
static double nth(double *v, size_t n, size_t k)
{
	size_t lo = 0, hi = n - 1;
	while (lo < hi) {
		double pivot = v[lo + (hi - lo) / 2];
		size_t i = lo, j = hi;
		for (;;) {
			while (v[i] < pivot)
				i++;
			while (v[j] > pivot)
				j--;
			if (i >= j)
				break;
			double t = v[i];
			v[i++] = v[j];
			v[j--] = t;
		}
		/* v[lo..j] <= pivot <= v[j+1..hi] */
		if (k <= j)
			hi = j;
		else
			lo = j + 1;
	}
	return v[k];
}

static void median_final(sqlite3_context *c)
{
	struct numbers *a = sqlite3_aggregate_context(c, 0);
	if (!a || !a->n) {
		sqlite3_result_null(c);
		return;
	}
	double m = nth(a->v, a->n, a->n / 2);
	if (a->n % 2 == 0) {
		double below = a->v[0];
		for (size_t i = 1; i < a->n / 2; i++)
			below = fmax(below, a->v[i]);
		m = below + (m - below) / 2;
	}
	sqlite3_result_double(c, m);
	free(a->v);
}

int db_functions(sqlite3 *db)
{
	const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
	int rc = sqlite3_create_function_v2(db, "ln", 1, flags, NULL, natural_log, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function_v2(db, "median", 1, flags, NULL, NULL, median_step, median_final, NULL);
	return rc;
}
