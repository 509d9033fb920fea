/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_stats: what the statistics of a comparison promise, on sessions whose truth is known.
 *
 * Sessions are simulated run by run, two runs a round in the drawn order of harness/plan.h, looked
 * at after every round and stopped by the rule of stats_compare(). A bank of real rounds (--bank)
 * is resampled beside them.
 */
#include "base/buf.h"
#include "harness/bench_stats.h"
#include "harness/plan.h"
#include "harness/stats.h"
#include "harness/stats_inner.h"

#include <getopt.h>
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define HOG_FROM    15
#define COVER_LOOKS 200
#define COVER_ONCE  50

/* How one run's time comes about, in log units beside the true cost. */
struct world {
	const char *name;
	double noise;  /* sd of every run */
	double drift;  /* sd of an AR(1) over runs, correlation 0.95 */
	double ramp;   /* over the whole session */
	double spike;  /* mean height of a spike; one run in twenty has one */
	double layout; /* sd of an offset drawn per arm and round */
	double fixed;  /* sd of an offset drawn per arm and session: one link */
	/* In even rounds the first run is slower by this, in odd ones the second. */
	double turns;
	double second; /* a round's second run is slower by this */
	double hog;    /* from round HOG_FROM on, runs are slower by this and four times as noisy */
};

static const struct world worlds[] = {
	{ "quiet", .noise = 0.006 },
	{ "noisy", .noise = 0.03 },
	{ "drift and ramp", .noise = 0.006, .drift = 0.02, .ramp = 0.1 },
	{ "spikes", .noise = 0.006, .spike = 0.3 },
	{ "layout redrawn", .noise = 0.006, .layout = 0.011 },
	{ "second run slower", .noise = 0.006, .second = 0.05 },
	{ "slower place alternates", .noise = 0.006, .turns = 0.02 },
	{ "hog starts meanwhile", .noise = 0.006, .hog = 0.4 },
	{ "all of these", .noise = 0.006, .drift = 0.02, .ramp = 0.1, .spike = 0.3, .layout = 0.011,
	  .second = 0.01, .hog = 0.4 },
};

struct simulation {
	gsl_rng *rng;
	const struct world *w;
	double effect; /* true ln(b / a) */
	double ar;
	double offset[2];
	size_t round;
	bool swapped[PLAN_BLOCK]; /* order of the arms in this block of rounds */
};

static double normal(struct simulation *s, double sd)
{
	return sd > 0 ? sd * gsl_ran_gaussian_ziggurat(s->rng, 1) : 0;
}

static void session_start(struct simulation *s, const struct world *w, double effect)
{
	s->w = w;
	s->effect = effect;
	s->round = 0;
	s->ar = normal(s, w->drift);
	for (int arm = 0; arm < 2; arm++)
		s->offset[arm] = normal(s, w->fixed);
}

static double run(struct simulation *s, unsigned arm, unsigned place)
{
	const struct world *w = s->w;
	double t = s->offset[arm] + (arm ? s->effect : 0) + normal(s, w->layout);
	bool hog = w->hog > 0 && s->round >= HOG_FROM;
	s->ar = 0.95 * s->ar + normal(s, w->drift * sqrt(1 - 0.95 * 0.95));
	t += s->ar + w->ramp * (double)(2 * s->round + place) / (2 * BENCH_ROUNDS);
	t += place * w->second + (place == s->round % 2 ? w->turns : 0);
	if (w->spike > 0 && gsl_rng_uniform(s->rng) < 0.05)
		t += gsl_ran_exponential(s->rng, w->spike);
	return t + normal(s, w->noise * (hog ? 4 : 1)) + (hog ? w->hog : 0);
}

/* One round's log-ratio. */
static double next_round(struct simulation *s)
{
	double t[2];
	if (s->round % PLAN_BLOCK == 0)
		bench_draw_block(s->rng, s->swapped);
	for (unsigned place = 0; place < 2; place++) {
		unsigned arm = place ^ (unsigned)s->swapped[s->round % PLAN_BLOCK];
		t[arm] = run(s, arm, place);
	}
	s->round++;
	return t[1] - t[0];
}

static size_t *bounds(double confidence)
{
	size_t *k = x_calloc(BENCH_ROUNDS + 1, sizeof(*k));
	for (size_t n = 0; n <= BENCH_ROUNDS; n++)
		k[n] = stats_cs_bound(n, confidence);
	return k;
}

/* Both ways of deciding must agree; checked where it matters, at the end of a session. */
static void check(const double *x, const struct bench_look *l, enum stats_verdict v,
		  double confidence)
{
	struct stats_interval ci = stats_cs(x, l->n, confidence);
	ci.lo -= l->widen;
	ci.hi += l->widen;
	if (stats_decide(&ci, STATS_DELTA, STATS_LOWER) != v) {
		fprintf(stderr, "bench_stats: counts and interval disagree after %zu rounds\n",
			l->n);
		exit(1);
	}
}

static void session(struct simulation *s, double widen, double confidence, const size_t *bound,
		    struct bench_tally *t)
{
	double x[BENCH_ROUNDS];
	struct bench_look l = { .half = log1p(STATS_DELTA), .widen = widen };
	enum stats_verdict v = STATS_UNCLEAR;
	while (v == STATS_UNCLEAR && l.n < BENCH_ROUNDS) {
		x[l.n] = next_round(s);
		v = bench_look(&l, x[l.n], bound);
	}
	if (t->sessions % 16 == 0)
		check(x, &l, v, confidence);
	bench_tally_add(t, v, l.n);
}

static void false_alarms(gsl_rng *g, size_t sessions, const size_t *bound)
{
	struct bench_tally all = { 0 };
	printf("\nFalse alarms: no true difference, a look after each of at most %d rounds, delta "
	       "%.0f %%,"
	       " confidence %.3f.\nBar: %.1f %%.\n",
	       BENCH_ROUNDS, 100 * STATS_DELTA, STATS_CONFIDENCE, 100 * BENCH_FALSE_BAR);
	bench_print_head();
	for (size_t i = 0; i < sizeof(worlds) / sizeof(*worlds); i++) {
		struct simulation s = { .rng = g };
		struct bench_tally t = { 0 };
		for (size_t k = 0; k < sessions; k++) {
			session_start(&s, &worlds[i], 0);
			session(&s, 0, STATS_CONFIDENCE, bound, &t);
		}
		bench_print(worlds[i].name, &t, BENCH_FALSE_BAR);
		bench_tally_join(&all, &t);
	}
	bench_print("together", &all, BENCH_FALSE_BAR);
}

/* One link per arm for the whole session: what is true of the binary is not of the source. */
static void fixed_layout(gsl_rng *g, size_t sessions, const size_t *bound)
{
	static const struct world w = { "fixed", .noise = 0.006, .fixed = 0.011 };
	static const double dofs[] = { 0, 10 };
	double half = (1 - STATS_CONFIDENCE) / 2;
	size_t *bound_half = bounds(1 - half);
	struct simulation s = { .rng = g };
	struct bench_tally plain = { 0 };
	printf("\nLayout fixed (sd %.1f %% an arm), one source linked twice, judged as \"this "
	       "binary\" and as"
	       " \"this source\".\n",
	       100 * w.fixed);
	bench_print_head();
	for (size_t k = 0; k < sessions; k++) {
		session_start(&s, &w, 0);
		session(&s, 0, STATS_CONFIDENCE, bound, &plain);
	}
	bench_print("this binary", &plain, 0);
	for (size_t i = 0; i < 2; i++) {
		struct bench_tally t = { 0 };
		for (size_t k = 0; k < sessions; k++) {
			double sd = w.fixed;
			if (dofs[i] > 0)
				sd *= sqrt(gsl_ran_chisq(g, dofs[i]) / dofs[i]);
			session_start(&s, &w, 0);
			session(&s, stats_layout_width(half, sd, dofs[i]), 1 - half, bound_half,
				&t);
		}
		bench_print(dofs[i] > 0 ? "this source, sd learnt" : "this source, sd known", &t,
			    BENCH_FALSE_BAR);
	}
	free(bound_half);
}

static double draw(gsl_rng *g, int shape)
{
	double x;
	switch (shape) {
	case 0:
		return gsl_ran_gaussian_ziggurat(g, 1);
	case 1: /* skewed, median 0 */
		x = gsl_ran_gaussian_ziggurat(g, 1);
		return x > 0 ? 3 * x : x;
	default: /* tails without a variance */
		return gsl_ran_tdist(g, 2);
	}
}

static void coverage(gsl_rng *g, size_t sessions)
{
	static const char *const shapes[] = { "normal", "skewed", "Student t, 2 degrees" };
	static const double confidences[] = { 0.95, 0.99, STATS_CONFIDENCE };
	printf("\nCoverage: share of samples whose interval misses the true median. Ever: at any "
	       "of %d looks of"
	       " the\nconfidence sequence (at most nominal). Once: order statistics at n = %d (at "
	       "most nominal,"
	       " and near it).\n  %-24s %10s %10s %10s %14s\n",
	       COVER_LOOKS, COVER_ONCE, "", "nominal", "ever", "once", "once, exact");
	for (int shape = 0; shape < 3; shape++) {
		for (size_t c = 0; c < sizeof(confidences) / sizeof(*confidences); c++) {
			size_t *bound = bounds(confidences[c]);
			size_t once = stats_once_bound(COVER_ONCE, confidences[c]);
			size_t missed_ever = 0, missed_once = 0;
			for (size_t t = 0; t < sessions; t++) {
				size_t above = 0;
				bool ever = false;
				for (size_t n = 1; n <= COVER_LOOKS; n++) {
					above += draw(g, shape) > 0;
					size_t most = above > n - above ? above : n - above;
					ever = ever || most >= bound[n];
					if (n == COVER_ONCE)
						missed_once += most >= once;
				}
				missed_ever += ever;
			}
			double exact = 2 * gsl_cdf_binomial_Q((unsigned)once - 1, 0.5, COVER_ONCE);
			printf("  %-24s %8.2f %% %8.2f %% %8.2f %% %12.2f %%\n", shapes[shape],
			       100 * (1 - confidences[c]),
			       100.0 * (double)missed_ever / (double)sessions,
			       100.0 * (double)missed_once / (double)sessions, 100 * exact);
			free(bound);
		}
	}
}

static const double sds[] = { 0.002, 0.005, 0.009, 0.015, 0.02, 0.04, 0.06, 0.1, 0.15 };
#define SDS (sizeof(sds) / sizeof(*sds))

static void print_rounds(size_t n)
{
	if (n)
		printf(" %8zu", n);
	else
		printf("   > %4d", STATS_ROUNDS_MAX);
}

static void rounds_needed(void)
{
	static const double effects[] = { 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2 };
	const size_t n_effects = sizeof(effects) / sizeof(*effects);
	printf("\nRounds needed to see an effect (power %.0f %%), by the robust spread of a pair; "
	       "last:"
	       " \"no change\" under %.0f %%.\n  pair sd  ",
	       100 * STATS_POWER, 100 * STATS_DELTA);
	for (size_t j = 0; j < n_effects; j++)
		printf(" %6.2f %%", 100 * effects[j]);
	printf("  no change\n");
	for (size_t i = 0; i < SDS; i++) {
		printf("  %6.2f %% ", 100 * sds[i]);
		for (size_t j = 0; j < n_effects; j++)
			print_rounds(stats_rounds_needed(sds[i], log1p(effects[j]),
							 STATS_CONFIDENCE, STATS_POWER));
		printf("  ");
		print_rounds(stats_rounds_for_no_change(sds[i], STATS_DELTA, STATS_CONFIDENCE,
							STATS_POWER));
		putchar('\n');
	}
}

static void a_minute(void)
{
	static const double run_s[] = { 0.05, 0.1, 0.3, 1 };
	const size_t n_runs = sizeof(run_s) / sizeof(*run_s);
	const struct plan_spec spec = { .arms = 2,
					.cases = 1,
					.control_every = PLAN_CONTROL_EVERY };
	size_t rounds[sizeof(run_s) / sizeof(*run_s)];
	printf("\nSmallest effect that a minute can see (power %.0f %%), two arms with controls "
	       "every fourth"
	       " round, relinks of 12 ms.\n  run       ",
	       100 * STATS_POWER);
	for (size_t j = 0; j < n_runs; j++)
		printf(" %7.2f s", run_s[j]);
	printf("\n  rounds    ");
	for (size_t j = 0; j < n_runs; j++) {
		double run_ns = 1e9 * run_s[j];
		struct plan_cost cost = { .run_ns = &run_ns, .relink_ns = 12e6 };
		rounds[j] = plan_rounds_within(&spec, &cost, 0, 60e9);
		printf(" %9zu", rounds[j]);
	}
	putchar('\n');
	for (size_t i = 0; i < SDS; i++) {
		printf("  sd %5.2f %%", 100 * sds[i]);
		for (size_t j = 0; j < n_runs; j++) {
			double e = stats_smallest_effect(sds[i], rounds[j], STATS_CONFIDENCE,
							 STATS_POWER);
			if (isfinite(e))
				printf(" %7.2f %%", 100 * expm1(e));
			else
				printf(" %9s", "none");
		}
		putchar('\n');
	}
}

/* The exact recursion behind the tables beside simulated sessions of the same spread. */
static void power_check(gsl_rng *g, size_t sessions, const size_t *bound)
{
	static const struct {
		double sd, effect;
		size_t rounds;
	} cells[] = {
		{ 0.009, 0.01, 36 }, { 0.015, 0.01, 90 }, { 0.04, 0.03, 80 }, { 0.1, 0.05, 200 }
	};
	printf("\nPower, computed and simulated.\n  pair sd   effect  rounds  computed "
	       "simulated\n");
	for (size_t i = 0; i < sizeof(cells) / sizeof(*cells); i++) {
		size_t found = 0;
		for (size_t t = 0; t < sessions; t++) {
			size_t up = 0, n = 0;
			bool stop = false;
			while (!stop && n < cells[i].rounds) {
				n++;
				up += cells[i].effect + normal(&(struct simulation){ .rng = g },
							       cells[i].sd) >
				      0;
				stop = up >= bound[n] || n - up >= bound[n];
			}
			found += up >= bound[n];
		}
		printf("  %5.2f %% %6.2f %% %7zu %7.2f %% %7.2f %%\n", 100 * cells[i].sd,
		       100 * cells[i].effect, cells[i].rounds,
		       100 * stats_power(cells[i].sd, cells[i].effect, cells[i].rounds,
					 STATS_CONFIDENCE),
		       100.0 * (double)found / (double)sessions);
	}
}

static const char usage[] = "usage: bench_stats [--sessions N] [--seed S] [--bank FILE.csv]\n"
			    "FILE.csv: a column log_ratio, and a column series if there are "
			    "several; one null round a line.\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "sessions", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },
		{ "bank", required_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	size_t sessions = 20000;
	unsigned long seed = 1;
	const char *path = NULL;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case 'n':
			sessions = strtoul(optarg, NULL, 10);
			break;
		case 's':
			seed = strtoul(optarg, NULL, 10);
			break;
		case 'b':
			path = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (!sessions || optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	struct error e = { 0 };
	gsl_rng *g = gsl_rng_alloc(gsl_rng_mt19937);
	size_t *bound = bounds(STATS_CONFIDENCE);
	gsl_rng_set(g, seed);
	int rc = path ? bench_bank(path, g, bound, &e) : 0;
	if (rc) {
		fprintf(stderr, "bench_stats: %s\n", e.text);
		goto out;
	}
	gsl_rng_set(g, seed);
	printf("bench-stats: seed %lu\n", seed);
	false_alarms(g, sessions, bound);
	fixed_layout(g, sessions, bound);
	coverage(g, sessions);
	power_check(g, sessions, bound);
	rounds_needed();
	a_minute();
out:
	free(bound);
	gsl_rng_free(g);
	return rc ? 3 : 0;
}
