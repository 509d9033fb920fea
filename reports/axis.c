/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/axis.h"

#include "base/buf.h"
#include "harness/store_read.h"

#include <stdlib.h>
#include <string.h>

static void add(struct axis *a, size_t *cap, const char *id, const char *subject, const char *phase)
{
	x_grow(a->commits, a->n, *cap);
	a->commits[a->n++] = (struct axis_commit){ x_strdup(id), subject ? x_strdup(subject) : NULL,
		phase ? x_strdup(phase) : NULL };
}

/* What the record knows, by author time; uncommitted work last. */
static int known(struct store *s, struct axis *a, size_t *cap, struct error *e)
{
	struct store_rows *q = rows_open(s,
		"SELECT full_id, subject, phase FROM commit_info WHERE id IN (SELECT commit_id "
		"FROM session_arm)"
		" ORDER BY author_time_s IS NULL, author_time_s, id");
	int rc;
	while ((rc = rows_next(q, e)) > 0)
		add(a, cap, rows_text(q, 0), rows_text(q, 1), rows_text(q, 2));
	rows_close(q);
	return rc;
}

static int cmp(const void *x, const void *y, void *ctx)
{
	const struct axis *a = ctx;
	return strcmp(a->commits[*(const uint32_t *)x].id, a->commits[*(const uint32_t *)y].id);
}

static void sort(struct axis *a)
{
	a->by_id = x_calloc(a->n + 1, sizeof(*a->by_id));
	for (size_t i = 0; i < a->n; i++)
		a->by_id[i] = (uint32_t)i;
	qsort_r(a->by_id, a->n, sizeof(*a->by_id), cmp, a);
}

/* Subjects and phases of the record into the order of git. */
static void fill(struct axis *to, struct axis *from)
{
	for (size_t i = 0; i < from->n; i++) {
		size_t k = axis_find(to, from->commits[i].id);
		if (k == to->n)
			continue;
		free(to->commits[k].subject), free(to->commits[k].phase);
		to->commits[k].subject = from->commits[i].subject,
		to->commits[k].phase = from->commits[i].phase;
		from->commits[i].subject = from->commits[i].phase = NULL;
	}
}

static void cut(struct axis *a, const char *first, const char *last)
{
	size_t from = first ? axis_find(a, first) : 0, to = last ? axis_find(a, last) : a->n - 1;
	if (!a->n || from >= a->n || to >= a->n || from > to)
		return;
	size_t kept = 0;
	for (size_t i = 0; i < a->n; i++) {
		if (i >= from && i <= to)
			a->commits[kept++] = a->commits[i];
		else
			free(a->commits[i].id), free(a->commits[i].subject),
				free(a->commits[i].phase);
	}
	a->n = kept;
	free(a->by_id);
	sort(a);
}

int axis_build(struct store *s, const struct report_history *h, const char *first, const char *last,
	struct axis *out, struct error *e)
{
	size_t cap = 0, cap_git = 0, n = 0;
	char **ids = NULL;
	struct axis git = { 0 };
	struct error quiet = { 0 };
	*out = (struct axis){ 0 };
	int rc = known(s, out, &cap, e);
	if (rc) {
		axis_release(out);
		return rc;
	}
	sort(out);
	if (first && last && h && h->order && !h->order(h->ctx, first, last, &ids, &n, &quiet)) {
		for (size_t i = 0; i < n; i++) {
			add(&git, &cap_git, ids[i], NULL, NULL);
			free(ids[i]);
		}
		free(ids);
		sort(&git);
		fill(&git, out);
		axis_release(out);
		*out = git;
		out->from_git = true;
	} else {
		cut(out, first, last);
	}
	return 0;
}

void axis_release(struct axis *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->commits[i].id), free(a->commits[i].subject), free(a->commits[i].phase);
	free(a->commits), free(a->by_id);
	*a = (struct axis){ 0 };
}

size_t axis_find(const struct axis *a, const char *id)
{
	size_t lo = 0, hi = a->n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (strcmp(a->commits[a->by_id[mid]].id, id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < a->n && !strcmp(a->commits[a->by_id[lo]].id, id) ? a->by_id[lo] : a->n;
}
