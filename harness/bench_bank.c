/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/fs.h"
#include "harness/bench_stats.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESAMPLES  2000
#define BLOCK      10 /* mean length of a resampled stretch of consecutive rounds */
#define LONG_BANK  4000
#define BANK_BYTES (256u << 20)

struct series {
	char *name;
	double *x;
	size_t n, cap;
};

struct bank {
	struct series *series;
	size_t n, cap;
};

static struct series *series_named(struct bank *b, const char *name)
{
	for (size_t i = 0; i < b->n; i++) {
		if (!strcmp(b->series[i].name, name))
			return &b->series[i];
	}
	x_grow(b->series, b->n, b->cap);
	b->series[b->n] = (struct series){ .name = x_strdup(name) };
	return &b->series[b->n++];
}

static void bank_release(struct bank *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->series[i].name);
		free(b->series[i].x);
	}
	free(b->series);
	*b = (struct bank){ 0 };
}

/* A plain CSV, no quotes: a header with "log_ratio" and perhaps "series"; null rounds in the order
 * in which they were made. */
static int bank_read(const char *path, struct bank *b, struct error *e)
{
	struct buf text = { 0 };
	int rc = fs_read(path, BANK_BYTES, &text, e), at_x = -1, at_series = -1;
	char *next = text.data;
	for (size_t line = 1; !rc && next && *next; line++) {
		char *row = strsep(&next, "\n"), *field, *name = "", *value = NULL, *end = NULL;
		for (int i = 0; (field = strsep(&row, ",\r")); i++) {
			if (line == 1 && !strcmp(field, "log_ratio"))
				at_x = i;
			else if (line == 1 && !strcmp(field, "series"))
				at_series = i;
			else if (i == at_x)
				value = field;
			else if (i == at_series)
				name = field;
		}
		if (line == 1) {
			if (at_x < 0)
				rc = error_set(e, -EINVAL,
					       "%s: no column 'log_ratio' in the first line", path);
			continue;
		}
		double x = value ? strtod(value, &end) : NAN;
		if (!value || end == value || *end || !isfinite(x)) {
			rc = error_set(e, -EINVAL, "%s, line %zu: '%s' is no log-ratio", path, line,
				       value ? value : "");
			continue;
		}
		struct series *s = series_named(b, name);
		x_grow(s->x, s->n, s->cap);
		s->x[s->n++] = x;
	}
	if (!rc && !b->n)
		rc = error_set(e, -EINVAL, "%s: no rounds in it", path);
	buf_release(&text);
	return rc;
}

/*
 * One session from real null rounds: stretches of consecutive rounds (stationary bootstrap, Politis
 * and Romano 1994), so that what hangs together in time stays together.
 *
 * Replayed: the arms swap names in drawn rounds, half of each block, as under another draw of the
 * order.
 *
 * As labelled: names stay, around the bank's median, since sessions are to come from a world where
 * the null is true (Hall and Wilson 1991).
 */
static void resampled_session(gsl_rng *g, const struct series *s, double mid, bool replayed,
			      size_t longest, const size_t *bound, struct bench_tally *t)
{
	struct bench_look l = { .half = log1p(STATS_DELTA) };
	enum stats_verdict v = STATS_UNCLEAR;
	size_t at = 0;
	bool swapped[PLAN_BLOCK];
	while (v == STATS_UNCLEAR && l.n < longest) {
		bool jump = l.n == 0 || gsl_rng_uniform_int(g, BLOCK) == 0;
		at = jump ? gsl_rng_uniform_int(g, s->n) : (at + 1) % s->n;
		if (l.n % PLAN_BLOCK == 0)
			bench_draw_block(g, swapped);
		double named = swapped[l.n % PLAN_BLOCK] ? -s->x[at] : s->x[at];
		v = bench_look(&l, replayed ? named : s->x[at] - mid, bound);
	}
	bench_tally_add(t, v, l.n);
}

/*
 * Three questions to a bank. Is it as a whole without bias: its always-valid p-value. Would its
 * rounds under other draws of the order raise false alarms: replayed. And do they as they happened:
 * as labelled, which takes a long bank, since in a short one chance runs of one sign count as real;
 * sessions have at most a quarter of its rounds.
 */
static void resample(gsl_rng *g, const struct bank *b, const size_t *bound)
{
	struct bench_tally all = { 0 };
	size_t n = 0;
	printf("Bank: real null rounds, and %d sessions resampled from each series. Bar: %.1f "
	       "%%.\n",
	       RESAMPLES, 100 * BENCH_FALSE_BAR);
	for (size_t i = 0; i < b->n; i++) {
		const struct series *s = &b->series[i];
		size_t longest = s->n / 4 < BENCH_ROUNDS ? s->n / 4 : BENCH_ROUNDS;
		struct stats_interval ci = stats_cs(s->x, s->n, STATS_CONFIDENCE);
		double p = stats_cs_p(s->x, s->n);
		printf("  %s: %zu rounds, robust sd %.3f %%, median %+.3f %% (%+.3f … %+.3f), p of "
		       "a bias"
		       " %.3f%s\n",
		       *s->name ? s->name : "(unnamed)", s->n, 100 * stats_mad_sd(s->x, s->n),
		       100 * ci.mid, 100 * ci.lo, 100 * ci.hi, p,
		       p <= 1 - STATS_CONFIDENCE ? ": BIASED" : "");
		if (longest < 50) {
			printf("  fewer than 200 rounds: too few to resample\n");
			continue;
		}
		bench_print_head();
		for (int replayed = 1; replayed >= 0; replayed--) {
			struct bench_tally t = { 0 };
			for (int k = 0; k < RESAMPLES; k++)
				resampled_session(g, s, ci.mid, replayed, longest, bound, &t);
			if (replayed) {
				bench_tally_join(&all, &t);
				n++;
			}
			bench_print(replayed ? "replayed" : "as labelled", &t,
				    replayed || s->n >= LONG_BANK ? BENCH_FALSE_BAR : 0);
		}
		if (s->n < LONG_BANK)
			printf("  (fewer than %d rounds: \"as labelled\" is no test)\n", LONG_BANK);
	}
	if (n > 1)
		bench_print("replayed, together", &all, BENCH_FALSE_BAR);
	putchar('\n');
}

int bench_bank(const char *path, gsl_rng *g, const size_t *bound, struct error *e)
{
	struct bank b = { 0 };
	int rc = bank_read(path, &b, e);
	if (!rc)
		resample(g, &b, bound);
	bank_release(&b);
	return rc;
}
