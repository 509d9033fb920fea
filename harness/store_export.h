/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/store.h"

#include <stdint.h>
#include <stdio.h>

/*
 * Every sample as one line with all its names (columns of the view sample_long), in the order in which rounds were made,
 * runs within a round as they ran. Memory does not grow with the number of samples.
 */
enum store_format {
	STORE_CSV,  /* RFC 4180 with a header line and line feeds; NULL is empty, an empty text is "" */
	STORE_JSON, /* an array of objects with the same names, one line each; NULL is null */
};

/* What is unset is not filtered. */
struct store_filter {
	struct store_opt session_id, case_id;
	const char *metric, *workload;
	const char *commit; /* full id or its beginning */
};

/*
 * Reals are printed so that reading them gives the same double. samples: how many were written; may be NULL.
 * -EPIPE, -ENOSPC … when f cannot be written; f is flushed on success.
 */
int store_export(struct store *s, FILE *f, enum store_format format, const struct store_filter *filter, uint64_t *samples, struct error *e);
