/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/*
 * A growing byte string. All-zero is valid and empty; data is NUL-terminated after the first append and NULL
 * before it (buf_str never returns NULL). Out of memory aborts: these are small strings of the toolkit itself.
 * Release with buf_release(), which is safe to repeat; buf_detach() hands the bytes to the caller, who frees them.
 */
struct buf {
	char *data;
	size_t len, cap;
};

void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *buf_str(const struct buf *b);
char *buf_detach(struct buf *b);
void buf_reset(struct buf *b);
void buf_release(struct buf *b);

/* malloc family that aborts with a message instead of returning NULL; x_calloc checks the product. */
void *x_calloc(size_t n, size_t size);
void *x_realloc(void *p, size_t n, size_t size);
char *x_strdup(const char *s);
char *x_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Grow an array for one more element: x_grow(items, n, cap) makes cap > n, keeping items.
 * items: lvalue of pointer type; n, cap: size_t lvalues.
 */
#define x_grow(items, n, cap)                                                                      \
	do {                                                                                       \
		if ((n) >= (cap)) {                                                                \
			(cap) = (cap) ? 2 * (cap) : 16;                                            \
			(items) = x_realloc((items), (cap), sizeof(*(items)));                     \
		}                                                                                  \
	} while (0)
