/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "cli/page.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Show one session: what was compared, medians of a metric (NULL: its own) and verdicts. -ENOENT: no such session or metric. */
int log_session(struct page *p, int64_t id, const char *metric, bool json, struct error *e);

/* A session as one line of a list. */
json_t *log_session_json(struct page *p, const struct store_session_row *q);

/* Show one bisect: every measurement and decision. -ENOENT: no such bisect. */
int log_bisect(struct page *p, int64_t id, bool json, struct error *e);

/* A bisect as one line of a list. */
json_t *log_bisect_json(struct page *p, const struct store_bisect_row *b);
