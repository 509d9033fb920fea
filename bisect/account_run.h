/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/account.h"
#include "bisect/build.h"
#include "harness/callgrind.h"
#include "harness/case.h"
#include "harness/profile.h"

/*
 * Make accounts: a build's case under callgrind with addresses and callers, mapped through the
 * debug information of the build's artifact and of the workload.
 */

/* Callers that functions are told apart by: deeper than any allocator's slow path. */
#define ACCOUNT_CALLERS 16

struct account_want {
	const struct build *build; /* outcome ok; borrowed */
	enum run_kind kind;
	const struct bench_case *c; /* borrowed */
};

struct account_count {
	bool counted;  /* account is filled */
	bool exact;    /* one thread: the count is what any repeat gives */
	char why[600]; /* why not counted, or a remark */
	struct account account;
	double mapping_s;   /* of it: debug information and arithmetic */
	bool has_debuginfo; /* of the subject */
	bool per_run;       /* the program counts no operations: figures are of a whole run */
};

/*
 * Told after each: how many of how many. By the caller's thread or another, never by two at once.
 */
typedef void account_progress(void *ctx, size_t done, size_t n);

/*
 * Make n accounts, `jobs` at a time. workloads: folder of our own programs. out[n]: all-zero.
 * Returns 0 whatever came of the counts; -errno with *e when the harness failed (-EINTR:
 * interrupted); out[] is to be released in both cases.
 */
int account_run(const struct account_want *want, size_t n, unsigned jobs, const char *workloads,
		account_progress *progress, void *ctx, struct account_count *out, struct error *e);
void account_count_release(struct account_count *c);

/*
 * Where the case's region spends its time, sampled as profile_run() says; the build's own link, the
 * one that account_run() counts. *out: to be released with profile_release().
 */
int account_sample(const struct account_want *want, const char *workloads, double seconds,
		   uint64_t enough, struct profile *out, struct error *e);

/*
 * Account of a sum that is there already. object, entries, operations: as in account_input; 0
 * operations: per run.
 */
void account_of_sum(const struct cgsum *sum, const char *object, const char *const *entries,
		    uint64_t operations, struct account_count *out);
