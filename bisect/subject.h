/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/build.h"
#include "bisect/history.h"
#include "config/config.h"
#include "harness/session.h"
#include "harness/store.h"

/*
 * The configured subject: its history, its recipes and the builds made of it. Joins config, history, builds, store and
 * session, so that a verb says "this revision, that variant" and gets an arm to measure.
 */
struct subject {
	const struct config *config; /* borrowed */
	struct history *history;
	struct build_cache *cache;
	char *root; /* where build/prefix and results.db lie: the configuration's folder */
	unsigned jobs;
};

/* Opens the repository that the configuration names, and the cache. Close with subject_close(), safe to repeat. */
int subject_open(const struct config *c, struct subject *out, struct error *e);
void subject_close(struct subject *s);

/* The subject's paths as history and range want them. */
const char *const *subject_paths(const struct subject *s, size_t *n);

/* Find or make the build of a commit in a variant (NULL: the default). As build_one(). flags: BUILD_… */
int subject_build(struct subject *s, const struct history_commit *c, const char *variant, unsigned flags, struct build *out,
		  struct error *e);

/* As subject_build(), with the recipe's tests run after the build steps: ok means that they passed. -ENOENT: it has none. */
int subject_test(struct subject *s, const struct history_commit *c, const char *variant, unsigned flags, struct build *out,
		 struct error *e);

/* Many at once, two commits at a time on two CPUs: as build_many(). variant as above. */
int subject_build_many(struct subject *s, const struct history_commit *const *commits, size_t n, const char *variant, unsigned flags,
		       build_progress *progress, void *ctx, struct build *out, struct error *e);

/* Enter commit and build in the record. commit_id may come back unknown for artifacts without history. */
int subject_record(struct subject *s, struct store *store, const struct history_commit *c, const struct build *b,
		   struct store_opt *commit_id, int64_t *build_id, struct error *e);

/* An arm of a session for an ok build. Strings are borrowed from b. */
struct session_arm subject_arm(const struct subject *s, const struct build *b, const char *label, struct store_opt commit_id,
			       int64_t build_id);
