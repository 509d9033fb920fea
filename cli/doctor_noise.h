/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/stats.h"

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

/*
 * The noise floor of this machine, now: a short session per workload in which nothing differs. The subject is the positive control's base
 * build, twice with one fixed link ("this binary") and twice with a fresh link each ("this source"). Nothing is kept.
 */
#define DOCTOR_NOISE_MAX 24

struct doctor_noise {
	char name[160], metric[40];
	char why[300]; /* not measured: why; else "" */
	size_t rounds;
	double run_s; /* of one run, start and harness included */
	size_t rounds_a_minute; /* of two arms with their controls */
	struct stats_noise binary, source;
	double smallest_binary, smallest_source; /* log units: effects that such a minute sees in nine of ten cases; INFINITY: none */
};

/*
 * The workloads are those of hakperf.ini's [main], else ours. seconds: for each. Returns 0 with *n rows, or -errno with *e when
 * nothing could be measured at all (-EBUSY: another session).
 */
int doctor_noise(double seconds, struct doctor_noise *rows, size_t *n, struct error *e);

void doctor_noise_print(const struct doctor_noise *rows, size_t n, FILE *to);
json_t *doctor_noise_json(const struct doctor_noise *rows, size_t n);
