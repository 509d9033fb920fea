/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

#include <stdbool.h>

/*
 * Catch how a subject is linked while it is built, for recipes that leave no link command: a
 * program stands before the linker, and the link that made the artifact becomes the prefix's
 * share/hakperf/link.cmd and objects/.
 */

/* Put the program into box/ld/ under the linkers' names, and make box/links/ for its notes. */
int linkcatch_install(const char *box, struct error *e);

/*
 * Find the note whose output loads the same bytes as the artifact and move it into
 * prefix/share/hakperf/. false: there is none. A note is a promise, not a proof: the caller replays
 * it.
 */
bool linkcatch_adopt(const char *box, const char *loaded_hash, const char *prefix);
