/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/hash.h"
#include "cli/project.h"
#include "harness/session.h"

/*
 * One of the two that are compared, as a person names it: a library, a prefix that holds one, a program, a revision of the configured
 * subject, or 'none' for the system's own allocator. All-zero is valid; side_close() is safe to repeat.
 */
struct side {
	char *label; /* as written; made distinct by side_pair_open() */
	char *prefix, *artifact; /* of files; NULL: none */
	enum run_kind kind;
	bool relink;
	struct history_commit commit; /* of revisions: tree is not "" */
	struct build build;
	struct store_opt commit_id;
	int64_t build_id;
	size_t arm;
	char loaded[HASH_HEX]; /* what a process gets to see of it; "": nothing is put under the workload */
};

/*
 * Find both, building revisions in a variant (NULL: the default). A revision that cannot be built is an error with its outcome; then
 * both are closed. fixed: keep the canonical links.
 */
int side_pair_open(struct project *p, struct side sides[2], const char *const words[2], const char *variant, bool fixed, struct error *e);
void side_close(struct side *s);

/* Enter it in the record, as an arm of the session. */
int side_add(struct project *p, struct session *session, struct side *s, struct error *e);

/* Both put the same bytes under the workload; a program's own bytes say nothing about the files it reads. */
bool side_pair_same(const struct side sides[2]);

/* The arms have links of their own for every run. */
bool side_pair_relinks(const struct side sides[2]);

/*
 * What a session must open so that it can be judged by this metric: events[0] is a libpfm4 name or NULL for the default set, events[1] is
 * NULL. Enters unknown events into the record. -EINVAL: neither a metric of ours nor an event, or one that timed runs do not give.
 */
int side_metric_events(struct store *store, const char *metric, const char *events[2], struct error *e);
