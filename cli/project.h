/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "bisect/subject.h"
#include "config/config.h"
#include "harness/store.h"

/*
 * What most verbs stand on: the configuration, its subject, the record, and where our programs lie. Parts that a verb does
 * not need stay closed. All-zero is valid; release with project_close(), safe to repeat.
 */
struct project {
	char *root;	 /* of the configuration or the git repository; else the current folder */
	char *db;	 /* path of the record */
	char *workloads; /* folder of our workload programs */
	char *control;	 /* folder of the positive control's builds */
	char *null_allocator; /* path of the floor's library */
	struct config config;
	bool has_config;
	struct subject subject;
	bool has_subject;
	struct store *store;
};

enum { PROJECT_CONFIG = 1, PROJECT_SUBJECT = 2 | PROJECT_CONFIG, PROJECT_STORE_WRITE = 4, PROJECT_STORE_READ = 8,
       PROJECT_OPTIONAL = 16 /* config and subject where they are to be had: no error without */ };

/*
 * config: path of the file; NULL: $HAKPERF_CONFIG, else hakperf.ini at the repository's root. db: path; NULL: as in cli_db_path(),
 * or results.db in the current folder where there is no repository.
 */
int project_open(struct project *p, const char *config, const char *db, unsigned what, struct error *e);
void project_close(struct project *p);
