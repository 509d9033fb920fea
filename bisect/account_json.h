/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/account_diff.h"
#include "bisect/account_run.h"

#include <jansson.h>

/*
 * Accounts as JSON, for --json, the record of a bisect and reports. Figures are numbers per
 * operation unless the key says otherwise; their source is callgrind. Strings that are not UTF-8
 * are escaped. The caller owns what comes back.
 */
json_t *account_json(const struct account_count *c);
json_t *account_diff_json(const struct account_diff *x);

/* hunks with the text of their lines. */
json_t *account_hunks_json(const struct account_hunks *h, const struct diff *d);

/* Text of a line in a hunk's side, without its sign; "" when it is not there. Appended. */
void account_hunk_text(const struct diff_hunk *h, bool old, unsigned line, struct buf *out);
