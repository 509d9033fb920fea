/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The plan of a session: which runs make up round k, in which order, and with which draws of
 * layout. Pure, and every round can be computed alone from (spec, k), so that a killed session
 * resumes with exactly the runs that are missing.
 *
 * A round runs every arm once on every case (workload and parameters). What it does against bias:
 * - Order. The runs of one case and one length stay together, so that a pair is close in time.
 * Their order is drawn, in blocks of PLAN_BLOCK rounds: half of them drawn orders, half their
 * mirror images, in drawn sequence. So every arm comes before every other one in exactly half of
 * each block, and yet no round's order follows from the last one's: strict turns (AB, BA, AB, BA)
 *   would double what an interference with a period of two rounds does, and a block of b rounds
 * lets it grow by 1 / (b - 1) only. Cases, and N and 2N, are ordered in the same way.
 * - Layout. Each arm draws a fresh link per round, and each arm and case fresh environment padding
 *   and start-up allocations. Runs of N and of 2N operations of one arm share them: their
 *   difference is a slope within one layout.
 * - Controls. Every control_every-th round, from round 0 on, runs one arm a second time under a
 *   link of its own (A/A; the arms in turn) and the positive control's two builds, at drawn places
 *   among the others.
 */
#define PLAN_ARMS_MAX      1024
#define PLAN_CASES_MAX     1024
#define PLAN_PADDING_MAX   4096 /* bytes of environment, inclusive */
#define PLAN_STARTUP_MAX   127  /* allocations before the workload starts, inclusive */
#define PLAN_CONTROL_EVERY 4
#define PLAN_BLOCK         64

struct plan_spec {
	uint64_t seed;
	size_t arms, cases; /* >= 1 each */
	/* Per arm: cannot be relinked, link_seed stays 0. NULL: all can. Borrowed. */
	const bool *fixed_layout;
	unsigned control_every;   /* rounds; 0: no A/A and no positive control */
	bool no_positive_control; /* A/A only */
	/* Every so many rounds, from round 0 on, run 2N operations beside N. 0: never. */
	unsigned double_every;
};

enum plan_role {
	PLAN_SUBJECT, /* arm is measured */
	/* Arm once more: pairs with its PLAN_SUBJECT run of N operations in this round and case. */
	PLAN_AA,
	/* The positive control without and with extra instructions; arm is 0 and means nothing. */
	PLAN_CONTROL_BASE,
	PLAN_CONTROL,
};
const char *plan_role_name(enum plan_role role); /* "subject", "aa", "control-base", "control" */

struct plan_run {
	uint64_t round;
	uint32_t order; /* place in the round, 0 … plan_runs() - 1 */
	uint32_t arm, case_index;
	enum plan_role role;
	uint32_t multiplier;     /* 1 or 2: times the case's N operations */
	uint32_t link_seed;      /* fresh link: 1 … 2^31 - 1; canonical link: 0 */
	uint32_t padding_bytes;  /* 0 … PLAN_PADDING_MAX */
	uint32_t startup_allocs; /* 0 … PLAN_STARTUP_MAX */
};

/* Number of runs in one round. */
size_t plan_runs(const struct plan_spec *spec, uint64_t round);

/* The largest plan_runs() of any round: room that always suffices. */
size_t plan_runs_max(const struct plan_spec *spec);

/*
 * Fill out (room for plan_runs()) in the order in which the runs are to be made; returns their
 * number.
 */
size_t plan_round(const struct plan_spec *spec, uint64_t round, struct plan_run *out);

/* What runs cost on this machine, in nanoseconds of wall time. */
struct plan_cost {
	/* Per case: one run of N operations, start of the process included. Borrowed. */
	const double *run_ns;
	/* Per case: the part of run_ns that 2N operations do not double. NULL: none. Borrowed. */
	const double *fixed_ns;
	double relink_ns; /* one fresh link */
};

/* Time of the rounds first … first + n - 1. */
double plan_time_ns(const struct plan_spec *spec, const struct plan_cost *cost, uint64_t first,
		    uint64_t n);

/* How many whole rounds from `first` on fit into a time. */
uint64_t plan_rounds_within(const struct plan_spec *spec, const struct plan_cost *cost,
			    uint64_t first, double budget_ns);
