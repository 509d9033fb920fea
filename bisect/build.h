/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/history.h"
#include "bisect/recipe.h"

/*
 * Builds: a commit and a recipe become a prefix in the cache, once. An entry appears by one rename
 * when it is whole, so that a kill leaves nothing half-made; builders of one key wait for each
 * other; failures are remembered too.
 *
 * An entry is a folder <root>/<key>/ with prefix/ (outcome ok, and what else there is to look at),
 * build.log and manifest.json. What is the machine's fault and not the commit's (disk full, a tool
 * not installed, killed for memory, interrupted) is an error and never an outcome, and is not
 * remembered.
 */
enum build_outcome {
	BUILD_NONE, /* nothing was built yet */
	BUILD_OK,
	BUILD_FAILED, /* a command ended with a failure */
	BUILD_TIMED_OUT,
	BUILD_NO_SOURCE,       /* the commit has none of the subject's paths */
	BUILD_NO_ARTIFACT,     /* the commands ended well, the artifact is not in the prefix */
	BUILD_WROTE_OUTSIDE,   /* the commands, or the artifact's link, leave the prefix */
	BUILD_NOT_INTERPOSING, /* preload: a function of the five is not the artifact's */
	BUILD_CRASHING,	       /* preload: the program that should prove it dies */
};

#define BUILD_KEY 41 /* 40 hexadecimal digits and a NUL */

/* All-zero is valid. Release with build_release(), which unpins too and is safe to repeat. */
struct build {
	char key[BUILD_KEY];
	enum build_outcome outcome;
	bool cached;	/* found, not made, by this call */
	char *detail;	/* one line for a person: what went wrong; "" when ok */
	char *dir;	/* the entry, absolute */
	char *prefix;	/* dir/prefix */
	char *artifact; /* absolute path of the artifact; NULL unless ok */
	char *log;	/* dir/build.log */
	char *recipe, *variant;
	char *toolchain;	 /* first line of the compiler's --version, and its path */
	char commit[HISTORY_ID]; /* the commit it was first made for */
	char tree_key[HASH_HEX];
	char *sandbox;		    /* "bubblewrap" or "plain" */
	uint64_t wall_ns;	    /* of the build */
	char file_hash[HASH_HEX];   /* of the artifact's bytes */
	char loaded_hash[HASH_HEX]; /* of what a program loads: of a library to be preloaded that file, else the
				       prefix; see harness/artifact.h and bisect/loaded.h */
	char *build_id;		    /* "" without one */
	bool relinkable;	    /* harness/relink.h can draw fresh layouts */
	bool canonical;		    /* replaying the link gives the artifact byte for byte */
	char *relink_why;	    /* why not relinkable; "" when it is */
	int64_t created_s, used_s;
	int pin; /* 0: not pinned; otherwise the lock's file descriptor */
};

void build_release(struct build *b);

/* "ok", "failed", "timed out", "not interposing", … */
const char *build_outcome_name(enum build_outcome o);

struct build_cache;

struct build_cache_options {
	bool plain; /* never use bubblewrap */
	bool no_ccache;
	uint64_t now_s; /* 0: the clock (tests set it) */
};

/*
 * root: the cache's folder, made when missing; NULL: $HAKPERF_CACHE, else build/prefix below base
 * (a repository's root). o: NULL for the defaults. Close with build_cache_close(); NULL is allowed
 * there. A handle may be shared by threads.
 */
int build_cache_open(struct build_cache **c, const char *root, const char *base,
		     const struct build_cache_options *o, struct error *e);
void build_cache_close(struct build_cache *c);
const char *build_cache_root(const struct build_cache *c);

/*
 * The key of a commit under a recipe: subject's tree, recipe, variant, toolchain (path and version
 * of compiler and linker) and flags. -ENOENT: the recipe's compiler is not there.
 */
int build_key(struct build_cache *c, struct history *h, const struct history_commit *commit,
	      const struct recipe *r, char key[BUILD_KEY], struct error *e);

enum {
	BUILD_RETRY = 1,      /* forget a remembered failure and build again */
	BUILD_PIN = 2,	      /* an ok build comes back pinned, see build_pin() */
	BUILD_CACHED_ONLY = 4 /* build nothing: what is missing comes back as BUILD_NONE */
};

/*
 * Find or make one build. jobs: what {jobs} stands for, at least 1. flags: BUILD_RETRY | BUILD_PIN
 * | BUILD_CACHED_ONLY. Returns 0 with the outcome in *out, whatever it is; -errno only for the
 * machine's faults. *out: all-zero or released.
 */
int build_one(struct build_cache *c, struct history *h, const struct history_commit *commit,
	      const struct recipe *r, unsigned jobs, unsigned flags, struct build *out,
	      struct error *e);

struct build_request {
	const struct history_commit *commit; /* borrowed */
	const struct recipe *recipe;	     /* borrowed */
};

/* Called as each build is done, never by two threads at once: done of n so far. */
typedef void build_progress(void *ctx, size_t index, const struct build *b, size_t done, size_t n);

/*
 * Find or make n builds, at most `parallel` commits at a time, each with `jobs` jobs. Requests with
 * equal keys share one build. out[n]: all-zero. Stops at the first fault of the machine or at an
 * interrupt (-EINTR); what is done then is in out[] and in the cache.
 */
int build_many(struct build_cache *c, struct history *h, const struct build_request *req, size_t n,
	       unsigned parallel, unsigned jobs, unsigned flags, build_progress *progress,
	       void *ctx, struct build *out, struct error *e);

/*
 * Keep gc away from an ok build while it is used: a shared lock that dies with the process.
 * -ENOENT: gc was quicker, build it again. Pinning also marks the entry as used now.
 */
int build_pin(struct build_cache *c, struct build *b, struct error *e);
void build_unpin(struct build *b);

struct build_gc {
	size_t removed, kept, in_use; /* entries */
	uint64_t freed_bytes, used_bytes;
};

/*
 * Remove entries, least recently used first, until the cache uses at most limit bytes, and what
 * killed builders left behind. Pinned entries and running builds stay (in_use). limit UINT64_MAX
 * only counts and tidies.
 */
int build_gc(struct build_cache *c, uint64_t limit_bytes, struct build_gc *out, struct error *e);
