/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What an ELF file's debug information says about an address: the function whose code it is, and
 * all functions that were inlined there. Addresses are the file's own (as nm and objdump print
 * them, and callgrind with --dump-instr=yes). DWARF 2 to 5 by libdw, link-time optimised files
 * included; compilation units are read when an address asks for them.
 */
struct debuginfo;

/*
 * One function at an address. Strings live until debuginfo_close(); NULL is unknown.
 * line: frame 0: of the instruction; frame k: where it calls (inlines) frame k - 1. 0 is unknown.
 */
struct debuginfo_frame {
	const char *function;
	const char *file; /* of `line` */
	unsigned line;
	const char *decl_file; /* where the function is defined, as far as can be told */
	uint64_t entry;        /* address at which this very copy of the code begins */
	uint64_t instance; /* tells copies apart, never 0; equal for all addresses of one copy */
};

/* Most frames that are told of one address; what is inlined deeper counts as the deepest. */
#define DEBUGINFO_FRAMES 32

/*
 * path: ELF file. Returns 0, also when the file has no debug information (debuginfo_has() is false
 * then). -errno with *e: not readable, no ELF file. Close with debuginfo_close(); NULL is allowed
 * there.
 */
int debuginfo_open(struct debuginfo **d, const char *path, struct error *e);
void debuginfo_close(struct debuginfo *d);
bool debuginfo_has(const struct debuginfo *d);

/*
 * The frames of an address, innermost first, at most max. Returns their number; 0: nothing is known
 * of it. An address in assembly has one frame with a line and no function.
 */
size_t debuginfo_frames(struct debuginfo *d, uint64_t address, struct debuginfo_frame *out,
			size_t max);

/*
 * Does the file's code have a function of that name, its own or inlined, or is one mentioned that
 * was optimised away?
 */
bool debuginfo_mentions(struct debuginfo *d, const char *function);
