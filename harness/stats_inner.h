/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/* Shared by the files of the module, for nobody else. */

#define STATS_MAD_TO_SD 1.4826 /* 1 / 0.6745: MAD of a normal sample to its standard deviation */
#define STATS_MEDIAN_SE                                                                            \
	1.2533 /* sqrt(pi / 2): standard error of a normal sample's median, x sd / sqrt(n) */

/* A sorted copy, to be freed by the caller; x holds no NAN. */
double *stats_sorted(const double *x, size_t n);
double stats_sorted_median(const double *sorted, size_t n);

/* P(X >= k) for X ~ Binomial(n, p). */
double stats_binomial_tail(size_t k, size_t n, double p);

/*
 * stats_cs_bound(n) from k = stats_cs_bound(n - 1), which it equals or exceeds by one: one more
 * agreeing sign never loses what was decided, one more disagreeing sign never decides.
 */
size_t stats_cs_next_bound(size_t k, size_t n, double confidence);

/*
 * What a fixed layout of both arms, sd each and learnt with dof degrees of freedom (<= 0: known),
 * adds to either side of an interval at error alpha.
 */
double stats_layout_width(double alpha, double sd, double dof);
