/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "reports/plot.h"

/*
 * Draw all plots of a page with one gnuplot: svg_wide for a screen, svg_narrow for a phone. Their
 * colours are the page's CSS variables (--ink,
 * --soft, --grid, --c0 … --c7, --h0 … --h9), their ids unique among them. Empty plots stay undrawn.
 * -ENOENT: gnuplot is not installed; the page then goes without pictures and says so.
 */
int plot_draw(struct plot *const *plots, size_t n, struct error *e);

/*
 * The pure half, for tests: the script for one picture of this size, and what becomes of gnuplot's
 * SVG. *words: the texts that the placeholders stand for, made by plot_script(), released by
 * plot_words_release().
 */
struct plot_words {
	char **items;
	size_t n, cap;
};
void plot_script(
	const struct plot *p, int width, int height, struct plot_words *words, struct buf *out);
int plot_dress(const struct plot *p, const char *svg, const struct plot_words *words,
	const char *id_prefix, struct buf *out, struct error *e);
void plot_words_release(struct plot_words *w);
