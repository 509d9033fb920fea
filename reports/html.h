/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "reports/page.h"

/*
 * The page as one HTML file that needs nothing else: styles and pictures inside, no scripts, no
 * network, light and dark, narrow and wide, paper. Plots must be drawn (reports/plot_svg.h); one
 * that is not is told by its caption and numbers. made: the foot line. Appended.
 */
void html_write(const struct page *p, const char *made, struct buf *out);

struct plot;

/* A drawn picture as an SVG file of its own, light and dark. Appended. */
void html_picture(const struct plot *p, struct buf *out);
