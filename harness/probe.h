/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* Does a library interpose malloc when it is preloaded? */
enum probe_outcome {
	PROBE_OK, /* malloc, free, calloc, realloc and aligned_alloc resolve into the file and serve
		     a small program */
	PROBE_NOT_INTERPOSING, /* at least one does not, or the loader refused the file */
	PROBE_CRASHED,	       /* the small program died or hung under it */
};

/*
 * Run a small program with path preloaded (absolute; nothing else in its environment but
 * LD_BIND_NOW=1), as the workloads do. why: one line, appended, unless ok. Returns 0 with *outcome;
 * -errno when the probe itself could not be started.
 */
int probe_preload(const char *path, enum probe_outcome *outcome, struct buf *why, struct error *e);
