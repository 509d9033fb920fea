/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/counter.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What this machine can measure: each capability is tried, not guessed from versions, and each that is missing comes with
 * what it would take.
 */

#define DOCTOR_CHECKS_MAX 32

struct doctor_check {
	const char *name;  /* static: "callgrind", "hardware counters" */
	bool needed;	   /* the main job cannot run without it */
	bool yes;
	char why[400];	   /* what was tried and seen; never empty */
	char remedy[300];  /* what would help; "" when yes */
};

struct doctor {
	size_t n;
	struct doctor_check item[DOCTOR_CHECKS_MAX];
};

/*
 * Try everything; takes about a second. os: &counter_linux. place: where builds and the database go (need not exist yet).
 * env_path: the PATH that tools are looked up in. Never fails: what cannot be tried is a "no".
 */
void doctor_examine(const struct counter_os *os, const char *place, const char *env_path, struct doctor *d);

/* Append one more finding, for what only higher rooms can try. remedy: NULL when yes. */
void doctor_add(struct doctor *d, const char *name, bool needed, bool yes, const char *why, const char *remedy);

/* Every needed capability is there. */
bool doctor_able(const struct doctor *d);
