/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "reports/page.h"

/*
 * The page as Markdown (CommonMark and GitHub's tables) for a pull request or a terminal. Plots
 * become their words and lines of bars; what HTML folds away follows under a heading. Appended.
 */
void markdown_write(const struct page *p, const char *made, struct buf *out);

/* The same with each plot as the picture STEM-NUMBER.svg beside it, numbered from 1. */
void markdown_illustrated(const struct page *p, const char *made, struct buf *out);
