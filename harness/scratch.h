/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

/*
 * A folder for what a process needs while it lives, held by a lock that dies with it: what a killed one left below the same root is
 * removed by the next that makes one there.
 */
struct scratch {
	char *path; /* NULL: none */
	int fd;
};

/* Returns 0 with *s to be removed by scratch_remove(), or -errno. All-zero *s is valid to remove. */
int scratch_make(struct scratch *s, const char *root, struct error *e);
void scratch_remove(struct scratch *s);
