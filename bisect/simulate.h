/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/search.h"

/*
 * The real search on synthetic histories. Noise has sd 1 in the unit of one log-ratio; a step is
 * `snr` high. Pure but for the generator, which is seeded: the same options give the same figures,
 * whatever the number of processes.
 */
enum simulate_answer {
	SIMULATE_SEARCH, /* bisect/search */
	SIMULATE_BISECT, /* git bisect by ends' midpoint: `repeats` measurements a commit (and end),
			    their mean against it */
};

/* `steps` for a history without one; 0 is no value, so that tables of options may leave it out. */
#define SIMULATE_NO_STEP SIZE_MAX

struct simulate_options {
	size_t commits;	 /* hypotheses, without the good end; default 256 */
	double snr;	 /* step / noise sd; default 2 */
	size_t trials;	 /* default 1000 */
	uint64_t seed;	 /* default 1; trial t of a cell depends on seed and t alone */
	bool merges;	 /* a third of the commits on side branches */
	double broken;	 /* share of commits that do not build, half of them in runs */
	double outliers; /* share of measurements shifted by 10 sd, either way */
	double drift;	 /* sd of the machine's AR(1) speed, in noise sds, seen by the two runs of a
			    round in turn */
	double drift_rho;    /* its correlation from one run to the next; default 0.9 */
	bool drift_unpaired; /* the drift enters the log-ratio whole, as if the reference were not
				of the same round */
	double layout;	     /* sd of the layout's offset, in steps */
	bool layout_fixed;   /* per build; else drawn anew per run */
	size_t steps; /* 1 to 16, or SIMULATE_NO_STEP: all of height snr, same sign; default 1 */
	bool spread_known; /* the search is told the noise's sd, as learnt from stored rounds */
	bool level_known;  /* and that the reference is the good end, so that commits without the step are
			      level with it */
	double build_cost; /* default 10 */
	double confidence; /* default 0.95 */
	double delta;	   /* in noise sds; default snr / 4 */
	double max_cost;   /* default by search */
	enum simulate_answer answer;
	size_t repeats; /* of SIMULATE_BISECT; default 1 */
	bool exact;	/* SIMULATE_BISECT without noise; the search in its exact mode */
};

#define SIMULATE_BINS 20

/* Sums over trials, so that results of several processes add up with simulate_add(). */
struct simulate_result {
	size_t trials;
	size_t right; /* exactly the truth: every step named and no other; none named where there is
			 none */
	size_t wrong; /* something named that is no step */
	size_t named; /* trials with a name */
	size_t abstained; /* trials without a name, steps or not */
	size_t set_holds; /* every step is named or in an answer's set */
	double set_size;  /* sum over trials of the largest set */
	double measurements, builds, broken_builds, cost;
	double posterior; /* sum over answers */
	size_t answers;	  /* steps answered (named or the most probable of a set) */
	size_t answers_right;
	size_t bin_n[SIMULATE_BINS],
		bin_right[SIMULATE_BINS]; /* calibration: by posterior, of every answer */
	double bin_posterior[SIMULATE_BINS];
	size_t n_counts, cap_counts;
	uint32_t *counts; /* measurements per trial, for quantiles; owned */
};

struct simulate_options simulate_defaults(void);

/* Trials first … first + n - 1 of the cell, added to *r (all-zero or earlier sums). -EINVAL with *e
 * for options out of range. */
int simulate_run(const struct simulate_options *o, size_t first, size_t n,
		 struct simulate_result *r, struct error *e);
void simulate_add(struct simulate_result *sum, const struct simulate_result *part);
void simulate_result_release(struct simulate_result *r);

/* Quantile q in [0,1] of measurements per trial. */
double simulate_measurements_quantile(const struct simulate_result *r, double q);

/*
 * What a search would cost before anything is built.
 * change: as a log-ratio; noise_sd: of one log-ratio; a change below the noise is scaled from a search at signal to noise 1.
 * Figures are means over `trials` simulated
 * searches (some dozens take below a second), found by the search a share `found` of the time.
 */
struct simulate_plan {
	double change;
	double found, builds, measurements, p95_measurements, minutes;
};
int simulate_plan(size_t commits, double noise_sd, double change, double confidence, double build_s,
		  double measure_s, size_t trials, uint64_t seed, struct simulate_plan *p,
		  struct error *e);
