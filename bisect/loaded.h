/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "base/hash.h"

/*
 * What the programs of a prefix may load: a hash over the path and the loaded bytes (harness/artifact.h) of every file in it, and
 * over where its links lead. Left out is what only compilers read (include/, archives, objects, package descriptions, share/hakperf)
 * and what an interpreter makes of the rest (__pycache__). Returns 0, or -errno with *e.
 */
int loaded_of_prefix(const char *prefix, char hash[HASH_HEX], struct error *e);
