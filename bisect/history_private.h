/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/history.h"

#include <git2.h>
#include <pthread.h>

/* For bisect/history.c and bisect/history_tree.c. */
struct history {
	git_repository *git;
	char *path; /* as the caller named it, for messages */
	pthread_mutex_t lock;
	bool memory; /* the worktree's blobs and trees go to memory, not to the user's object
			database */
};
