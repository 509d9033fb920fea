/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/build.h"

#include <pthread.h>
#include <sys/types.h>

/*
 * The cache's folder, for bisect/build.c:
 *   <key>/         an entry: prefix/, build.log, manifest.json
 *   lock/<key>     flock: exclusive while built or removed, shared while used
 *   tmp/<key>-*    scratch of the builder that holds the lock
 *   ccache/        the compiler cache
 */
struct toolchain {
	char *cc;   /* as the recipe names it */
	char *line; /* path and first line of --version */
	char *text; /* all that goes into the key */
};

struct build_cache {
	char *root;
	struct build_cache_options options;
	pthread_mutex_t lock; /* of what follows */
	enum { SANDBOX_UNKNOWN, SANDBOX_BUBBLEWRAP, SANDBOX_PLAIN } sandbox;
	struct toolchain **toolchains;
	size_t n_toolchains, cap_toolchains;
};

bool build_cache_bubblewrap(struct build_cache *c);
int64_t build_cache_now(const struct build_cache *c);

/* Borrowed until the cache is closed. -ENOENT: no such compiler. */
int build_cache_toolchain(struct build_cache *c, const char *cc, const struct toolchain **out,
			  struct error *e);

char *build_cache_path(const struct build_cache *c, const char *folder,
		       const char *name); /* owned by the caller */

/*
 * Lock a key. wait: until it is free or an interrupt comes (-EINTR); otherwise -EWOULDBLOCK without
 * an error text when it is taken. *fd: to be closed, which unlocks.
 */
int build_cache_lock(struct build_cache *c, const char *key, bool exclusive, bool wait, int *fd,
		     struct error *e);

/* Read an entry. 1: there and whole; 0: not there, or not whole; it counts as used from now when
 * touch. *b: all-zero. */
int build_cache_load(struct build_cache *c, const char *key, bool touch, struct build *b);

/* Make an entry disappear at once, then remove its files. The key is locked by the caller. */
int build_cache_drop(struct build_cache *c, const char *key, struct error *e);

/* Remove what killed builders of a key left in tmp/. The key is locked by the caller. */
int build_cache_tidy(struct build_cache *c, const char *key, struct error *e);
