/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One line on a terminal that says what is going on, how far it is and how long it will take; nothing at all in a
 * pipe. Lines that must stay are printed with progress_note(), on stderr in both cases.
 */
struct progress {
	bool terminal;
	const char *what; /* borrowed */
	double total;	  /* units of work; 0: unknown */
	uint64_t started_ns, shown_ns;
	size_t width;
};

void progress_begin(struct progress *p, const char *what, double total);
/* done of total units; detail may be NULL. Cheap: redraws ten times a second at most. */
void progress_step(struct progress *p, double done, const char *detail);
void progress_note(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void progress_end(struct progress *p);

/* "45 s", "3 min", "1 h 20 min". Returns out. */
const char *progress_duration(double seconds, char *out, size_t n);
