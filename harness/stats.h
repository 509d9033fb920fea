/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Statistics of paired rounds. Pure: no clock, file, process or global; the same numbers in, the
 * same numbers out.
 *
 * The unit is one round, in which every arm ran once. For two arms a (before) and b (after) and one
 * metric, a round gives one log-ratio x = ln(b / a). Everything here is in log-ratios unless said
 * otherwise: 0.01 is "b is 1.005 % more than a", and swapping the arms negates every x, every
 * interval and every verdict exactly.
 *
 * The steps of a comparison:
 *   1. stats_pairs() (or stats_slope_pairs() for N and 2N operations) turns the rounds' values into
 *      x[];
 *   2. stats_compare() after every round gives interval and verdict; stop at the first that is not
 *      "unclear";
 *   3. exp() of the interval is what people read: stats_answer carries it.
 *
 * The interval is a confidence sequence: the probability that it ever, over all looks of an endless
 * session, misses the true median is at most 1 - confidence. It uses signs only, so that spikes,
 * skew and changing spread do not matter; what it needs is that within a round neither arm is
 * favoured, which the randomised order provides (harness/plan.h).
 *
 * Sources: H. Robbins, "Statistical methods related to the law of the iterated logarithm", Ann.
 * Math. Stat. 41 (1970); S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform,
 * nonparametric, nonasymptotic confidence sequences", Ann. Stat. 49 (2021). docs/statistics.md
 * tells the whole story.
 */

/*
 * Confidence of verdicts: at most 0.5 % of null sessions, however long, ever claim a difference.
 * Shape of the mixing Beta: 2 gives a first verdict after 13 agreeing rounds and is within a few
 * rounds of the best shape for effects from a third of a pair's spread upwards.
 */
#define STATS_CONFIDENCE 0.995
#define STATS_BETA_SHAPE 2.0
#define STATS_DELTA      0.01 /* smallest effect of interest, as a ratio: 0.01 is 1 % */
#define STATS_POWER      0.90 /* at which "the smallest effect that can be seen" is stated */
#define STATS_ROUNDS_MAX 4000 /* as far as predictions look ahead */

/* == One sample == */

/*
 * Median of n values (mean of the middle two), NAN for n = 0. Values may be infinite, not NAN; x
 * stays as it is.
 */
double stats_median(const double *x, size_t n);

/*
 * 1.4826 x median absolute deviation from the median: the standard deviation, if normal, unmoved by
 * outliers. NAN for n = 0.
 */
double stats_mad_sd(const double *x, size_t n);

/*
 * An interval on the median of log-ratios. Closed; lo = -INFINITY and hi = INFINITY while n is too
 * small to say.
 */
struct stats_interval {
	double mid; /* sample median, NAN for n = 0 */
	double lo, hi;
	size_t n; /* rounds behind it */
};

/*
 * Always valid: may be looked at after every round, and the session may stop because of what it
 * shows. With k = stats_cs_bound(n), the interval is [x(n-k+1), x(k)] of the sorted values. Ties
 * are allowed and make it wider, not wrong. 0.5 < confidence < 1. Values may be infinite, not NAN.
 */
struct stats_interval stats_cs(const double *x, size_t n, double confidence);

/*
 * How many of n signs must agree before a median is ruled out: the smallest k with 2^n B(s+k,
 * s+n-k) / B(s, s) >= 1 / (1 - confidence), s = STATS_BETA_SHAPE; n + 1 when even n of n do not
 * suffice.
 */
size_t stats_cs_bound(size_t n, double confidence);

/*
 * Always-valid two-sided p-value of "the median is 0": stats_cs() excludes 0 exactly when this is
 * <= 1 - confidence. 1 for n = 0.
 */
double stats_cs_p(const double *x, size_t n);

/*
 * As stats_cs, but for one look at an n fixed beforehand (order statistics, exact binomial):
 * narrower, and wrong when looked at often.
 */
struct stats_interval stats_once(const double *x, size_t n, double confidence);
size_t stats_once_bound(size_t n, double confidence);

/*
 * Difference beyond 0 either way, or wholly within +-half_width. An interval of n = 0 does neither.
 */
bool stats_excludes_zero(const struct stats_interval *ci);
bool stats_within(const struct stats_interval *ci, double half_width);

/* == Pairs == */

/* ln(b / a); NAN unless both are finite and positive. */
double stats_log_ratio(double a, double b);

/*
 * The same of two counts of events, where none is an answer too: 0 is taken as a half, so that none
 * and none are equal and some are more than none. NAN unless both are finite and not negative.
 */
double stats_count_ratio(double a, double b);

/*
 * Log-ratios of n rounds into x (room for n), rounds without a usable value left out; returns how
 * many were usable. A caller that loses rounds must say so: rounds that are lost in one arm only
 * are no accident.
 */
size_t stats_pairs(const double *a, const double *b, size_t n, double *x);

/*
 * Log-ratio of the costs per operation from runs of N (a1, b1) and 2N (a2, b2) operations: ln((b2 -
 * b1) / (a2 - a1)). Noise can make a difference <= 0: against a positive one that is -INFINITY or
 * INFINITY, which signs can use; where both are, the round says nothing and is left out. Returns
 * the number usable.
 */
size_t stats_slope_pairs(const double *a1, const double *a2, const double *b1, const double *b2,
			 size_t n, double *x);

/* == Verdicts == */

enum stats_verdict {
	STATS_UNCLEAR,     /* not enough rounds, or an effect near the border of delta */
	STATS_REGRESSION,  /* b is worse: the interval excludes 0 */
	STATS_IMPROVEMENT, /* b is better */
	STATS_NO_CHANGE,   /* the interval lies within +-ln(1 + delta) */
	STATS_INVALID,     /* a control failed: no figure of this session is to be trusted */
};

enum stats_better { STATS_HIGHER, STATS_LOWER }; /* which direction of the metric is good */

/*
 * "regression", "improvement", "no change", "unclear", "invalid": the words of every page and
 * table.
 */
const char *stats_verdict_name(enum stats_verdict v);

/*
 * What the positive control says. OPEN: too few rounds to tell; then "no change" has to wait, since
 * a harness that sees nothing would say the same.
 */
enum stats_control {
	STATS_CONTROL_NONE,
	STATS_CONTROL_SEEN,
	STATS_CONTROL_OPEN,
	STATS_CONTROL_MISSED
};

/*
 * x: n log-ratios control / control base. expected: the log-ratio that the extra instructions must
 * make (either sign, not 0). sd: robust spread of a pair in this session (A/A and main pairs); the
 * control's own is used when larger. With se = 1.2533 sd / sqrt(n) (a median's), towards expected:
 * SEEN when median - 2.33 se > 0, from 3 rounds on; MISSED when median + 2.33 se < expected / 2,
 * from 3 rounds on; else OPEN.
 */
enum stats_control stats_control_check(const double *x, size_t n, double expected, double sd);

/*
 * Is the harness itself biased? A/A pairs whose confidence sequence at 0.999 excludes 0 by more
 * than half of delta cannot be chance, and then no verdict about that workload holds.
 */
bool stats_aa_biased(const double *aa, size_t n, double delta);

struct stats_question {
	double confidence; /* 0: STATS_CONFIDENCE */
	/* As a ratio, the user's. Negative: STATS_DELTA. 0: any difference counts. */
	double delta;
	enum stats_better better;
	bool exact; /* a metric that repeats exactly: the interval is the range of x, one x suffices
		     */
	enum stats_control control;
	bool biased; /* stats_aa_biased() */
	/*
	 * "This source" from links that could not be redrawn: sd of the layout offset of one arm
	 * (log units) as learnt from other subjects, and the degrees of freedom behind it. 0:
	 * layout is drawn anew every round, or the question is "this binary".
	 */
	double layout_sd;
	double layout_dof; /* <= 0: layout_sd is known exactly */
};

struct stats_answer {
	enum stats_verdict verdict;
	struct stats_interval log; /* log-ratio b / a */
	double ratio, lo, hi;      /* exp of it: 1.02 is "b is 2 % more" */
	/* Excludes 0. With NO_CHANGE: a difference is there, smaller than the user cares for. */
	bool differs;
	bool within; /* lies within +-delta */
	/* UNCLEAR only because the positive control has not been seen yet. */
	bool awaits_control;
	/*
	 * UNCLEAR: rounds beyond those at hand after which a verdict is likely (80 %), judged by
	 * median and spread so far; 0 where none within STATS_ROUNDS_MAX, and for every other
	 * verdict.
	 */
	size_t more_rounds;
};

/*
 * The answer after n rounds. The rule, in this order: a control failed: invalid; the interval lies
 * within +-ln(1 + delta): no change (whether or not it excludes 0); it excludes 0: regression or
 * improvement by the metric's direction; else unclear.
 */
struct stats_answer stats_compare(const double *x, size_t n, const struct stats_question *q);

/* The rule alone, on an interval. */
enum stats_verdict stats_decide(const struct stats_interval *ci, double delta,
				enum stats_better better);

/* == Layout: this binary, this source == */

/*
 * Rounds that share a link are no independent draws of layout: one value (the median) per distinct
 * link, in order of first appearance, into out (room for n). Returns the number of links. What
 * stats_compare says of them it says of the source.
 */
size_t stats_by_link(const double *x, const uint64_t *link, size_t n, double *out);

/*
 * The interval of "this source" when each arm had one fixed link: the confidence sequence at half
 * the error, and the layout offset of both arms (normal, sd layout_sd each, Student's t with
 * layout_dof where it was learnt) at the other half, added.
 */
struct stats_interval stats_layout_fixed(const double *x, size_t n, double confidence,
					 double layout_sd, double layout_dof);

/*
 * One arm's layout sd from the pair sd over fresh links and that of one fixed link: sqrt((drawn^2 -
 * fixed^2) / 2), 0 when negative.
 */
double stats_layout_sd(double sd_drawn, double sd_fixed);

/* == Noise and power == */

/*
 * Spread of A/A pairs, whose true median is 0: 1.4826 x median |x|, with a 95 % look-once interval.
 * NAN for n = 0.
 */
struct stats_noise {
	double sd, sd_lo, sd_hi;
	size_t n;
};
struct stats_noise stats_noise(const double *aa, size_t n);

/*
 * Power of a session that looks after every round, for normal pairs of spread sd and a true
 * log-ratio effect, counting only stops in the right direction; exact by recursion over the number
 * of signs; O(rounds^1.5).
 */
double stats_power(double sd, double effect, size_t rounds, double confidence);

/*
 * Smallest effect seen with the given power within so many rounds; INFINITY when they are too few
 * for any. 0 for sd = 0.
 */
double stats_smallest_effect(double sd, size_t rounds, double confidence, double power);

/* Rounds within which an effect is seen with the given power; 0: not within STATS_ROUNDS_MAX. */
size_t stats_rounds_needed(double sd, double effect, double confidence, double power);

/*
 * Rounds after which "no change" under delta (a ratio) is certified with the given power, when
 * nothing changed; 0 as above.
 */
size_t stats_rounds_for_no_change(double sd, double delta, double confidence, double power);

/* == Many questions == */

/*
 * Adjusted p-values in the order of p; q may be p. Values in [0, 1]. Holm (1979): family-wise;
 * Benjamini & Hochberg (1995): false discovery.
 */
void stats_holm(const double *p, size_t n, double *q);
void stats_bh(const double *p, size_t n, double *q);

/* == Disturbed rounds == */

/* What the host did to one round, all of its runs together. NAN: unknown. */
struct stats_disturbance {
	double steal_ratio; /* stolen time / wall time */
	double migrations;  /* between CPUs, count */
	double preemptions; /* involuntary context switches, count */
};

enum { STATS_BY_STEAL = 1, STATS_BY_MIGRATION = 2, STATS_BY_PREEMPTION = 4 };

/*
 * Is this round disturbed, judged by the rounds of the session before it, the last 24 of these n? A
 * quantity counts when it exceeds their median + 6 x 1.4826 x MAD by more than a floor (steal 1 % of
 * the time, 1 migration, 4 preemptions). What lasts is no disturbance but the machine as it is now:
 * half a window later it flags no more. Returns the set of STATS_BY_…, 0 for undisturbed and always
 * for the first 8 rounds. It looks back only, so that a round's flag never changes and an
 * interrupted session resumes to the same flags; and it does not look at the figure, so that
 * leaving flagged rounds out favours no arm.
 */
unsigned stats_disturbed(const struct stats_disturbance *earlier, size_t n,
			 const struct stats_disturbance *now);

/* == Start-up and slope, dose and response == */

/*
 * Times t1 of ops operations and t2 of 2 x ops, one pair a round: per_op = (t2 - t1) / ops,
 * start_up = 2 t1 - t2, in the unit of t. Both intervals are confidence sequences on the median of
 * the per-round values. ops > 0; values finite.
 */
void stats_split(const double *t1, const double *t2, size_t n, double ops, double confidence,
		 struct stats_interval *per_op, struct stats_interval *start_up);

struct stats_dose {
	struct stats_interval slope; /* response per unit of dose, over rounds */
	double intercept;            /* median over rounds and doses of y - slope x dose */
	bool monotone;               /* each next dose's median step has the slope's sign */
	bool monotone_shown;         /* and each step's interval excludes 0 */
	bool linear;  /* each dose's interval holds the line through the first dose */
	double worst; /* largest |median distance from that line| */
};

/*
 * Does the response follow the dose? One row of y per round, one column per dose: y[r * doses + d],
 * in the unit in which the response adds up (time per operation, not its logarithm); values finite.
 * dose: doses >= 2 values, strictly rising. The unit is the round: each gives its own Theil-Sen
 * slope (the median of the slopes between all pairs of doses; Theil 1950, Sen 1968), and the
 * interval is the confidence sequence of these. Steps and distances from the line are judged within
 * rounds too; their doses - 1 intervals share the error evenly (Bonferroni).
 */
struct stats_dose stats_dose(const double *dose, size_t doses, const double *y, size_t rounds,
			     double confidence);
