/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "base/hash.h"

#include <stdbool.h>

#define ARTIFACT_BUILD_ID 129 /* up to 64 bytes in hexadecimal and a NUL */

/*
 * What a built file is. loaded: a hash over what a process gets to see of it: name, type, flags,
 * address, alignment, size and bytes of the allocated sections without notes, so that build-id,
 * debug information and symbol tables do not count; two links with equal loaded bytes are the same
 * program. A file that is not ELF is hashed whole.
 */
struct artifact {
	bool elf;
	char file[HASH_HEX];
	char loaded[HASH_HEX];
	char build_id[ARTIFACT_BUILD_ID]; /* "" without one */
	bool program;	  /* it can be executed by itself: it names an interpreter, or is linked statically */
	bool origin;	  /* it looks for its libraries relative to where it lies ($ORIGIN) */
	bool owns_malloc; /* it defines a function of that name: an allocator, or a program linked with one */
};

/* Returns 0, or -errno with *e; a file that claims to be ELF and is broken is -EBADMSG. */
int artifact_read(const char *path, struct artifact *out, struct error *e);
