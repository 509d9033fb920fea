/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

#include <stddef.h>

/* SHA-256 (FIPS 180-4) as 64 lower-case hexadecimal digits and a NUL. */
#define HASH_HEX 65

void hash_bytes(const void *bytes, size_t n, char hex[HASH_HEX]);

/* Hash of a file's bytes. -errno when it cannot be read; then hex is "". */
int hash_file(const char *path, char hex[HASH_HEX], struct error *e);
