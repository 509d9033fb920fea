/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

#include <stdint.h>

/*
 * One measuring session at a time on a machine. The lock is flock(2) on a file that all users share, so it dies with
 * its owner however that ends. Start from HOST_LOCK_NONE: all-zero would be file descriptor 0.
 */
struct host_lock {
	int fd;
};
#define HOST_LOCK_NONE ((struct host_lock){ .fd = -1 })

/*
 * Take the lock, waiting up to wait_ns (0: not at all). path: NULL for the machine's own, /run/lock/hakperf.lock or, where
 * there is no /run/lock for everyone, /tmp/hakperf.lock ($HAKPERF_LOCK names another, for tests of hakperf itself). what: told to others ("compare, 60 s").
 * -EBUSY: *e says who holds it, since when and for what. -EINTR: child_interrupted() while waiting.
 */
int host_lock_take(struct host_lock *l, const char *path, const char *what, uint64_t wait_ns, struct error *e);

/* Safe to repeat, and on HOST_LOCK_NONE. */
void host_lock_drop(struct host_lock *l);
