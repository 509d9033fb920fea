#include "util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int g_hak_verbose;

struct line {
	char text[256];
	size_t used;
};

static void put(struct line *l, const char *s, size_t n)
{
	if (n > sizeof(l->text) - 1 - l->used)
		n = sizeof(l->text) - 1 - l->used;
	memcpy(l->text + l->used, s, n);
	l->used += n;
}

static void put_number(struct line *l, uint64_t value, unsigned base)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value > 0);
	put(l, digits + at, sizeof(digits) - at);
}

static const char *put_argument(struct line *l, const char *f, va_list *ap)
{
	const char *s;
	int d;

	switch (*f) {
	case 's':
		s = va_arg(*ap, const char *);
		put(l, s, strlen(s));
		break;
	case 'd':
		d = va_arg(*ap, int);
		if (d < 0)
			put(l, "-", 1);
		put_number(l, d < 0 ? -(uint64_t)d : (uint64_t)d, 10);
		break;
	case 'u':
		put_number(l, va_arg(*ap, unsigned), 10);
		break;
	case 'x':
		put_number(l, va_arg(*ap, unsigned), 16);
		break;
	case 'z':
		f++;
		put_number(l, va_arg(*ap, size_t), 10);
		break;
	case 'p':
		put(l, "0x", 2);
		put_number(l, (uintptr_t)va_arg(*ap, void *), 16);
		break;
	default:
		put(l, f, 1);
		break;
	}
	return f + 1;
}

static void write_line(const char *format, va_list *ap)
{
	struct line l = {.used = 0};
	const char *f = format;
	ssize_t ignored;

	put(&l, "hakmem: ", 8);
	while (*f != '\0') {
		if (*f == '%' && f[1] != '\0') {
			f = put_argument(&l, f + 1, ap);
			continue;
		}
		put(&l, f++, 1);
	}
	l.text[l.used++] = '\n';
	ignored = write(STDERR_FILENO, l.text, l.used);
	(void)ignored;
}

void hak_log(const char *format, ...)
{
	int keep = errno;
	va_list ap;

	va_start(ap, format);
	write_line(format, &ap);
	va_end(ap);
	errno = keep;
}

void hak_fatal(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	write_line(format, &ap);
	va_end(ap);
	abort();
}

long hak_env(const char *name, long otherwise)
{
	const char *s = getenv(name);
	bool negative;
	long value = 0;

	if (!s || *s == '\0')
		return otherwise;
	negative = *s == '-';
	for (s += negative; *s != '\0'; s++) {
		if (*s < '0' || *s > '9' || value > 1000000000)
			return otherwise;
		value = value * 10 + (*s - '0');
	}
	return negative ? -value : value;
}
