/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_NS 100000000u
#define SETTLED_NS 2000000000u /* no estimate before this: it would jump */

void progress_begin(struct progress *p, const char *what, double total)
{
	struct winsize w = { 0 };
	*p = (struct progress){ .what = what, .total = total, .started_ns = clock_mono_ns(), .terminal = isatty(STDERR_FILENO) };
	p->width = p->terminal && !ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col ? w.ws_col : 80;
}

const char *progress_duration(double seconds, char *out, size_t n)
{
	long s = (long)(seconds + 0.5);
	if (s < 90)
		snprintf(out, n, "%ld s", s);
	else if (s < 5400)
		snprintf(out, n, "%ld min", (s + 30) / 60);
	else
		snprintf(out, n, "%ld h %ld min", s / 3600, s % 3600 / 60);
	return out;
}

void progress_step(struct progress *p, double done, const char *detail)
{
	uint64_t now = clock_mono_ns();
	if (!p->terminal || now - p->shown_ns < REDRAW_NS)
		return;
	p->shown_ns = now;
	char left[64] = "", line[512], how_long[32];
	if (p->total > 0 && done > 0 && now - p->started_ns > SETTLED_NS && done < p->total) {
		double rest = (double)(now - p->started_ns) * 1e-9 * (p->total - done) / done;
		snprintf(left, sizeof(left), ", about %s left", progress_duration(rest, how_long, sizeof(how_long)));
	}
	if (p->total > 0)
		snprintf(line, sizeof(line), "%s: %.0f %%%s  %s", p->what, 100 * done / p->total, left, detail ? detail : "");
	else
		snprintf(line, sizeof(line), "%s  %s", p->what, detail ? detail : "");
	if (p->width < sizeof(line))
		line[p->width - 1] = '\0';
	fprintf(stderr, "\r\033[K%s", line);
}

void progress_note(struct progress *p, const char *fmt, ...)
{
	if (p->terminal)
		fputs("\r\033[K", stderr);
	va_list ap;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	p->shown_ns = 0;
}

void progress_end(struct progress *p)
{
	if (p->terminal)
		fputs("\r\033[K", stderr);
}
