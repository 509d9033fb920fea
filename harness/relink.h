/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Fresh links of one build's objects, in a random order of sections, so that layout is drawn and
 * not hoped for.
 *
 * A prefix that can be relinked holds share/hakperf/link.cmd: one argument per line, the first the
 * compiler driver (or the linker itself, when its base name begins with "ld"), objects relative to
 * share/hakperf, the output as the literal @OUT@. What cannot be relinked is labelled "layout
 * fixed".
 *
 * The caller's steps: relink_open() once per prefix, relink_shuffled() per run into a scratch file,
 * relink_close(). All handles of a process share one warm linker (harness/lld.h), which lives as
 * long as the first to last of them.
 */
struct relink;

/*
 * Read the link command and derive the linker's own command line from the driver's (one start of
 * the driver, no link). -ENOENT: the prefix has no link command; -EINVAL: it breaks the contract;
 * -ENOTSUP: no ld.lld on this machine.
 */
int relink_open(struct relink **r, const char *prefix, struct error *e);
void relink_close(struct relink *r); /* NULL is allowed */

/* Replay the command as it is: the canonical link, byte for byte where the toolchain is the
 * build's. out: absolute path. */
int relink_canonical(struct relink *r, const char *out, struct error *e);

/*
 * Link with lld, sections of code and data shuffled by seed (the same seed gives the same bytes;
 * constructors and .init keep their order), without debug information. out: absolute path, replaced
 * whole. Any number of threads may call. -EBADMSG: the link fails, *e quotes the linker.
 */
int relink_shuffled(struct relink *r, uint64_t seed, const char *out, struct error *e);

/* The quick look: is there a link command? A trial link decides (bisect/build.h keeps its answer
 * per build). */
bool relink_possible(const char *prefix);
