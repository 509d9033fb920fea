/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/store.h"
#include "reports/page.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What callgrind charged to functions, of two builds on one case: the largest differences as a
 * table. *any (may be NULL): there was something to tell. Nothing is added to the page where one of
 * the two was not counted. most: rows at most.
 */
int functions_table(struct store *s, struct page *p, int64_t case_id, int64_t build_a,
	int64_t build_b, size_t most, const char *caption, bool *any, struct error *e);
