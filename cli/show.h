/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/measure.h"

#include <jansson.h>
#include <stdio.h>

/* What people read on the terminal: one function an answer, shared by the verbs that give it. */

/* A bisect's result as bisect_run() gives it. */
void show_bisect(const json_t *result, FILE *to);

/* "regression +69.0 % [+67.1, +70.9], 14 rounds" in colour where there is a terminal; cost: ratio of a cost (lower is better). Returns out. */
const char *show_verdict(const struct verdict_answer *a, char *out, size_t n);

/* The table of a measurement: revisions × cases, change from the revision before. */
int show_measure(struct measure *m, FILE *to, struct error *e);
