/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "reports/report.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The commits of a report's pictures, in the order of the history: all of them where git can be
 * asked, else those that the record knows, by the time they were authored. Release with
 * axis_release(), safe to repeat; all-zero is valid.
 */
struct axis_commit {
	char *id, *subject, *phase; /* subject, phase: NULL where the record does not know it */
};

struct axis {
	struct axis_commit *commits;
	size_t n;
	uint32_t *by_id; /* indices, sorted by id */
	bool from_git;
};

/* The commits of all sessions in the record between first and last (full ids; NULL: of all commits
 * known). */
int axis_build(struct store *s, const struct report_history *h, const char *first, const char *last,
	struct axis *out, struct error *e);
void axis_release(struct axis *a);

/* Index, or a->n. */
size_t axis_find(const struct axis *a, const char *id);
