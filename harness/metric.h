/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * The metrics that hakperf knows by itself: one table for the store, the plan's words and the pages' labels.
 * A metric of this table always has this unit and direction. Others (raw PMU events, figures that a foreign
 * workload prints) come with a unit and direction of their own.
 */
enum metric_better { METRIC_HIGHER, METRIC_LOWER };

struct metric {
	const char *name;	  /* as in --metric */
	const char *unit;	  /* of a stored value */
	enum metric_better better; /* which direction is an improvement */
	bool additive;		  /* grows with the operations: value / operations has a meaning */
	const char *description;
};

/* All of them, in the order in which pages list them. */
const struct metric *metric_table(size_t *n);

/* NULL for a name that is not in the table. */
const struct metric *metric_find(const char *name);

/* It counts events, of which there may be none. false for a name that is not in the table. */
bool metric_counts(const char *name);

/* A hardware event counted by name: events, fewer is better. Strings are borrowed from the caller. */
struct metric metric_of_event(const char *libpfm_name);
