/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/account.h"

/*
 * Time folded over an account: samples of addresses become samples of its rows, by the same map
 * that the instructions were charged by. Pure.
 *
 * Code that several paths run (or several rows share) is divided as its instructions are. What was
 * sampled where the count ran nothing stays outside: code that the processor alone chooses (the
 * C library has several of a kind), or that the count's shorter run did not come to.
 */
struct account_sample {
	const char *object; /* as the account names files */
	uint64_t address;
	uint64_t samples;
};

struct account_fold {
	double *rows;   /* samples of each row's very own code, n_rows */
	double outside; /* rows and outside: all samples */
	double all;
};

/* samples: may be in any order. Release with account_fold_release(), safe to repeat. */
void account_fold_make(const struct account *a, const struct account_sample *samples, size_t n,
		       struct account_fold *out);
void account_fold_release(struct account_fold *f);

/*
 * Share of all samples that fell into a function wherever it stands on a path, with what is
 * inlined in it; what it calls is not in it.
 */
double account_fold_function(const struct account *a, const struct account_fold *f, size_t path,
			     const char *function);

/* Standard error of a share of n samples: they are as good as independent. */
double account_fold_error(double share, double n);
