/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "harness/store_read.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a verb shows of the database: the open store and the strings made for the answer, which live until page_release().
 * What the database holds may come from anywhere, so page_text() makes control bytes and broken UTF-8 visible.
 */
struct page {
	struct store *s;
	char **kept;
	size_t n, cap;
};

const char *page_keep(struct page *p, char *s);		/* takes s over */
const char *page_text(struct page *p, const char *s);	/* NULL becomes a dash */
const char *page_int(struct page *p, int64_t v);
const char *page_figure(struct page *p, double v);	/* three digits and a prefix */
const char *page_time(struct page *p, int64_t s, bool iso); /* iso: UTC, ISO 8601; else local, for people */
void page_release(struct page *p);			/* the strings; the store stays open */

/* Unknown is null. */
json_t *page_json_text(const char *s);
json_t *page_json_int(struct store_opt v);
json_t *page_json_real(struct store_optreal v);
json_t *page_json_parsed(const char *text); /* JSON that was stored as text */
