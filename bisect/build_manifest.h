/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/build.h"

/*
 * manifest.json of an entry: what was built from what, with what, and how it came out.
 * Paths are not in it: an entry may move.
 */
struct build_manifest_extra {
	uint64_t artifact_size; /* a shorter file was not written whole (power loss) */
	char *artifact;		/* relative to the prefix; owned */
};

int build_manifest_write(const char *path, const struct build *b,
			 const struct build_manifest_extra *x, struct error *e);

/* 0, or -errno where there is none or it is not one of ours. */
int build_manifest_read(const char *path, struct build *b, struct build_manifest_extra *x);
