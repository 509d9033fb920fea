/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/*
 * What went wrong in the world, told once for a person: the thing, the cause, the remedy, in one line.
 * All-zero is "no error". The first cause wins: later calls on a set error change nothing, so that clean-up
 * code may report freely. Functions that take `struct error *e` return 0, or -errno with *e filled.
 */
struct error {
	int code; /* negative errno, 0 while nothing is wrong */
	char text[1000];
};

/*
 * Fill *e unless it is filled already. code: a negative errno. The text is made one line: control bytes become '?'.
 * Returns the code of the first cause, so that `return error_set(e, -ENOENT, "…")` is the usual form. e may be NULL.
 */
int error_set(struct error *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As error_set with code -errnum, ": " and strerror(errnum) appended. errnum: a positive errno. */
int error_errno(struct error *e, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Forget the cause, so that *e can be used again. */
void error_clear(struct error *e);
