/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void one_line(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

static int fill(struct error *e, int code, const char *cause, const char *fmt, va_list ap)
{
	assert(code < 0);
	if (!e)
		return code;
	if (e->code)
		return e->code;
	e->code = code;
	int n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	if (cause && n >= 0 && (size_t)n < sizeof(e->text))
		snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s", cause);
	one_line(e->text);
	return code;
}

int error_set(struct error *e, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	code = fill(e, code, NULL, fmt, ap);
	va_end(ap);
	return code;
}

int error_errno(struct error *e, int errnum, const char *fmt, ...)
{
	char cause[128];
	va_list ap;
	va_start(ap, fmt);
	int code = fill(e, -errnum, strerror_r(errnum, cause, sizeof(cause)), fmt, ap);
	va_end(ap);
	return code;
}

void error_clear(struct error *e)
{
	e->code = 0;
	e->text[0] = '\0';
}
