/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "reports/parts.h"

/*
 * A page whose words somebody wrote and whose figures are the record's: text with places for
 * figures, tables and pictures, so that what is told stays what was measured.
 *
 * The text is lines. "# TITLE" comes first, "## " and "### " are headings, "- " an item, a blank
 * line ends a paragraph; the first paragraph is the page's lead. In a line: `code`, **strong**, and
 * places:
 *
 *   {{exact A B CASE}}   A's and B's exact counts, and the difference
 *   {{count A CASE}}     A's exact count          {{cost A CASE}}   A's cost
 *   {{time A B CASE}}    B's cost against A's, interval and verdict
 *   {{claimed N}} {{measured N}} {{result N}}   of the claim N
 *
 * and, alone in a line:
 *
 *   {{bisects}}          what the newest searches found
 *   {{steps CASE}}       every revision against the one before
 *   {{functions A B CASE}}
 *   {{exact-plot CASE}} {{time-plot CASE}}   over commits
 *   {{claims PATTERN}}   claims whose names match a shell pattern
 *   {{tries N PATTERN}}  what was tried of the claim N in such places
 *
 * A and B are labels or commits of the report's session, CASE is WORKLOAD or WORKLOAD:CLASS. What
 * the record does not have is said to be not measured. A place that is none of these is an error
 * that names its line: -EINVAL.
 */
int story_page(
	struct report *rp, const char *name, const char *text, struct page **out, struct error *e);
