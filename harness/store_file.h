/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* What can be told of a database file from outside, without opening it. */

/*
 * Is there something that can be opened at path? may_be_missing: a missing or empty file is fine too.
 * -ENOENT missing; -EISDIR, -EMEDIUMTYPE no database; -EUCLEAN cut short; -EACCES not readable; -EROFS its folder does not exist or cannot be written.
 */
int store_file_check(const char *path, bool may_be_missing, struct error *e);

/* May this process write the file and make others beside it? */
bool store_file_writable(const char *path);

/* Is there a write-ahead log with anything in it? */
bool store_file_has_wal(const char *path);

/* Who holds the write lock now: "process 1234 (hakperf)", or "another process" where that cannot be seen. */
void store_file_writer(const char *path, char *out, size_t n);
