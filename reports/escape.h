/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>

/* Text that comes out of text_clean() into the languages of pages. Each function is right
 * everywhere its language allows text. */

/* HTML and SVG: element content and quoted attributes. Appended. */
void escape_html(const char *text, struct buf *out);

/* CommonMark with GitHub's tables: text that stays text anywhere in a line. Appended. */
void escape_markdown(const char *text, struct buf *out);

/* A code span that holds exactly this text, fenced by as many back quotes as it takes. cell: inside
 * a table. Appended. */
void escape_markdown_code(const char *text, bool cell, struct buf *out);
