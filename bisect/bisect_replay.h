/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/subject.h"
#include "harness/store.h"

#include <jansson.h>

/*
 * Take the decisions of a recorded bisect again, from the record alone: nothing is built or
 *measured. id: of the bisect. *result, the caller's to json_decref():
 *
 *	{bisect, metric, decisions: [{seq, commit, short, subject, asked: the commit that the search
 *asks for now, same, log_ratio}], same: all of them, and the steps, are, steps: [{commit,
 *posterior, named, size}] of the search now, recorded: [ids of the culprits in the recorded
 *answer]}
 *
 * -ENOENT: there is no such bisect; -EINVAL: it ended before its search, or its commits are not in
 *this repository.
 */
int bisect_replay(struct subject *s, struct store *store, int64_t id, json_t **result,
		  struct error *e);
