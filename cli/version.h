/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The toolkit's version: a tag or commit, "-dirty" when built from an uncommitted tree. */
extern const char hakperf_version[];
