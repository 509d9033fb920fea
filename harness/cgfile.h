/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Read callgrind's output files ("Callgrind Format Specification" of the valgrind manual), streaming: memory is bounded
 * by the number of distinct names, never by the size of the file. Name and position compression, several parts,
 * threads and jump lines are understood; only the event Ir is kept. A file that is cut off, does not add up or
 * breaks the grammar is refused with the line's number.
 */

/*
 * Where a cost fell. The strings are interned: within one cgfile the same text of the same kind is the same pointer,
 * valid until cgfile_close(). "???" is callgrind's own word for what it does not know; object is never NULL, "" when
 * the file names none.
 */
struct cgfile_site {
	const char *object;	/* ob=: path of the ELF file */
	const char *file;	/* fl=, or fi=/fe= while inside inlined or included code */
	const char *home;	/* fl= of the function itself: with object and function, its identity */
	const char *function;	/* fn= */
	uint64_t address;	/* object-relative, 0 without --dump-instr=yes */
	uint64_t line;		/* 0 is unknown */
};

/*
 * Callbacks, in the order of the file; any may be NULL. A negative return stops the reading with that code.
 *   self: ir instructions executed at this place itself.
 *   call: `calls` calls from this place to that function, which took ir instructions with all that they called. Callgrind
 *         treats a jump into another function (a tail call) as a call.
 *   part: a new part begins (thread 0 when threads were not separated).
 */
struct cgfile_sink {
	int (*part)(void *ctx, unsigned pid, unsigned part, unsigned thread);
	int (*self)(void *ctx, const struct cgfile_site *at, uint64_t ir);
	int (*call)(void *ctx, const struct cgfile_site *from, const struct cgfile_site *to, uint64_t calls, uint64_t ir);
	void *ctx;
};

struct cgfile; /* the interned names */

struct cgfile_stats {
	uint64_t lines, bytes, parts;
	uint64_t total_ir; /* sum over self costs, equal to the sum of the parts' totals */
	size_t names, name_bytes;
	char creator[64]; /* "callgrind-3.19.0", "" when the file does not say */
};

struct cgfile *cgfile_open(void);
void cgfile_close(struct cgfile *f);

/*
 * Read one file through the sink. Several files may be read one after the other (one per thread): names stay interned.
 * Returns 0, or -errno with *e: -EBADMSG "FILE:LINE: what is wrong", -ENODATA cut off, -E2BIG more names than
 * CGFILE_NAMES_MAX or longer than CGFILE_NAME_BYTES_MAX together, a negative callback's own code. stats: may be NULL.
 */
#define CGFILE_NAMES_MAX (1u << 21)
#define CGFILE_NAME_BYTES_MAX (256u << 20)
#define CGFILE_LINE_MAX (1u << 20)
int cgfile_read(struct cgfile *f, const char *path, const struct cgfile_sink *sink, struct cgfile_stats *stats,
		struct error *e);
