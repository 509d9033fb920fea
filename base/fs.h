/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Read a whole file (or /proc and /sys entry) into *out, appended. At most max bytes: more is -EFBIG. */
int fs_read(const char *path, size_t max, struct buf *out, struct error *e);

/*
 * The file to be replaced when path is to be written: where its links lead to, or path itself; owned. NULL: a device, a pipe or a
 * socket stands there. It is written to as it is: root could replace even /dev/null by a file.
 */
char *fs_target(const char *path);

/* Replace path by these bytes, whole or not at all: temporary file beside it, fsync, rename. See fs_target(). */
int fs_write(const char *path, const void *bytes, size_t n, struct error *e);

/* mkdir -p. An existing folder is success; an existing file is -ENOTDIR. */
int fs_mkdirs(const char *path, struct error *e);

/* rm -rf, without following symbolic links. A missing path is success. */
int fs_remove(const char *path, struct error *e);

/* Bytes of disk used below path (blocks, as du), 0 when it does not exist. */
uint64_t fs_disk_usage(const char *path);

bool fs_exists(const char *path);
