/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * A table for a terminal: columns as wide as their contents, the last text column cut where the terminal ends. In a pipe
 * nothing is cut. Cells are UTF-8; their control bytes are the caller's to have removed.
 */
struct table;
struct table *table_new(size_t columns, const char *alignment); /* one letter a column: l, r */
void table_head(struct table *t, ...); /* `columns` strings */
void table_row(struct table *t, ...);
void table_rule(struct table *t);
void table_print(struct table *t, FILE *to);
void table_free(struct table *t);

/* Colour only on terminals and without NO_COLOR; "" otherwise. */
enum table_colour { TABLE_PLAIN, TABLE_BAD, TABLE_GOOD, TABLE_DIM, TABLE_BOLD };
const char *table_colour(enum table_colour c);

/* "12.3 M", "456 k": three digits and a prefix. */
const char *table_number(double v, char *out, size_t n);
/* "+4.2 %" of a ratio. */
const char *table_change(double ratio, char *out, size_t n);
/* A bar of eighths, `width` cells for 1.0. */
const char *table_bar(double share, size_t width, char *out, size_t n);
/* A sparkline of n values, three bytes each. */
const char *table_spark(const double *v, size_t n, char *out, size_t size);
