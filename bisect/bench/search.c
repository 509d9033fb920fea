/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/simulate.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The bars of the search: one cell a line, as soon as it is there. A cell depends on its options,
 * the trials and the seed alone, so a run that was stopped is taken up by naming the cells that are
 * missing.
 */
enum bar_kind {
	BAR_NONE,
	BAR_RIGHT,      /* share exactly right, at least */
	BAR_WRONG,      /* share with a wrong name, at most */
	BAR_HOLDS,      /* share in which names and sets hold every step, at least */
	BAR_COST,       /* mean measurements + builds × their cost, at most */
	BAR_BUILDS,     /* mean builds, at most */
	BAR_COST_RATIO, /* mean cost against the first cell's, at most; not judged without that cell
			 */
};

struct bar {
	enum bar_kind kind;
	double limit;
};

struct cell {
	const char *name;
	struct simulate_options o; /* over the defaults: zeros are filled in by `fill` */
	struct bar bars[3];
	bool calibrates; /* its posteriors are held against the truth */
};

static const struct cell cells[] = {
	{ "snr2",
	  { .spread_known = true },
	  { { BAR_RIGHT, 0.97 }, { BAR_COST, 138 }, { BAR_BUILDS, 10.5 } },
	  true },
	{ "snr1",
	  { .spread_known = true, .snr = 1 },
	  { { BAR_RIGHT, 0.96 }, { BAR_COST, 226 }, { BAR_BUILDS, 10.5 } },
	  true },
	{ "snr0.5",
	  { .spread_known = true, .snr = 0.5 },
	  { { BAR_RIGHT, 0.95 }, { BAR_COST, 555 }, { BAR_BUILDS, 10.6 } },
	  true },
	{ "1024",
	  { .spread_known = true, .snr = 1, .commits = 1024 },
	  { { BAR_RIGHT, 0.96 }, { BAR_COST, 268 }, { BAR_BUILDS, 12.6 } },
	  true },
	{ "snr2-level",
	  { .spread_known = true, .level_known = true },
	  { { BAR_RIGHT, 0.97 }, { BAR_COST, 138 }, { BAR_BUILDS, 10.5 } },
	  true },
	{ "snr1-level",
	  { .spread_known = true, .level_known = true, .snr = 1 },
	  { { BAR_RIGHT, 0.96 }, { BAR_COST, 226 }, { BAR_BUILDS, 10.5 } },
	  true },
	{ "snr0.5-level",
	  { .spread_known = true, .level_known = true, .snr = 0.5 },
	  { { BAR_RIGHT, 0.95 }, { BAR_COST, 555 }, { BAR_BUILDS, 10.6 } },
	  true },
	{ "1024-level",
	  { .spread_known = true, .level_known = true, .snr = 1, .commits = 1024 },
	  { { BAR_RIGHT, 0.96 }, { BAR_COST, 268 }, { BAR_BUILDS, 12.6 } },
	  true },
	{ "outliers", { .spread_known = true, .outliers = 0.05 }, { { BAR_RIGHT, 0.96 } }, true },
	{ "drift", { .spread_known = true, .drift = 1 }, { { BAR_RIGHT, 0.96 } }, true },
	{ "layout", { .spread_known = true, .layout = 0.25 }, { { BAR_RIGHT, 0.96 } }, true },
	{ "layout-fixed",
	  { .spread_known = true, .layout = 0.25, .layout_fixed = true },
	  { { BAR_WRONG, 0.02 } },
	  true },
	{ "broken", { .spread_known = true, .broken = 0.2 }, { { BAR_HOLDS, 0.96 } }, true },
	{ "merges",
	  { .spread_known = true, .merges = true },
	  { { BAR_RIGHT, 0.96 }, { BAR_COST_RATIO, 1.1 } },
	  true },
	{ "two-steps", { .spread_known = true, .steps = 2 }, { { BAR_RIGHT, 0.95 } }, true },
	{ "no-step",
	  { .spread_known = true, .steps = SIMULATE_NO_STEP },
	  { { BAR_WRONG, 0.005 } },
	  true },
	{ "no-step-level",
	  { .spread_known = true, .level_known = true, .steps = SIMULATE_NO_STEP },
	  { { BAR_WRONG, 0.005 } },
	  true },
	{ "snr2-unknown",
	  { .snr = 2 },
	  { { BAR_RIGHT, 0.97 }, { BAR_COST, 138 }, { BAR_BUILDS, 10.5 } },
	  true },
	{ "snr1-unknown",
	  { .snr = 1 },
	  { { BAR_RIGHT, 0.96 }, { BAR_COST, 226 }, { BAR_BUILDS, 10.5 } },
	  true },
	{ "outliers-unknown", { .outliers = 0.05 }, { { BAR_RIGHT, 0.96 } }, true },
	{ "no-step-unknown", { .steps = SIMULATE_NO_STEP }, { { BAR_WRONG, 0.005 } }, true },
	{ "drift-unpaired",
	  { .spread_known = true, .drift = 1, .drift_unpaired = true },
	  { { BAR_NONE, 0 } },
	  false },
	{ "exact-search", { .exact = true }, { { BAR_NONE, 0 } }, false },
	{ "git-exact", { .answer = SIMULATE_BISECT, .exact = true }, { { BAR_NONE, 0 } }, false },
	{ "git-10-snr2", { .answer = SIMULATE_BISECT, .repeats = 10 }, { { BAR_NONE, 0 } }, false },
	{ "git-10-snr1",
	  { .answer = SIMULATE_BISECT, .repeats = 10, .snr = 1 },
	  { { BAR_NONE, 0 } },
	  false },
	{ "git-10-broken",
	  { .answer = SIMULATE_BISECT, .repeats = 10, .broken = 0.2 },
	  { { BAR_NONE, 0 } },
	  false },
};

static struct simulate_options fill(struct simulate_options o, size_t trials, uint64_t seed)
{
	struct simulate_options d = simulate_defaults();
	o.commits = o.commits ? o.commits : d.commits;
	o.snr = o.snr > 0 ? o.snr : d.snr;
	o.steps = o.steps ? o.steps : d.steps;
	o.repeats = o.repeats ? o.repeats : d.repeats;
	o.drift_rho = d.drift_rho;
	o.build_cost = d.build_cost;
	o.confidence = d.confidence;
	o.trials = trials;
	o.seed = seed;
	return o;
}

static bool write_all(int fd, const void *bytes, size_t n)
{
	for (const char *p = bytes; n;) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		p += w;
		n -= (size_t)w;
	}
	return true;
}

static bool read_all(int fd, void *bytes, size_t n)
{
	for (char *p = bytes; n;) {
		ssize_t r = read(fd, p, n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		p += r;
		n -= (size_t)r;
	}
	return true;
}

/* The worker's sums go through a pipe as they are: both ends are one program. */
static int work(const struct simulate_options *o, size_t first, size_t n, int fd)
{
	struct simulate_result r = { 0 };
	struct error e = { 0 };
	if (simulate_run(o, first, n, &r, &e)) {
		fprintf(stderr, "bench-search: %s\n", e.text);
		return 1;
	}
	return !write_all(fd, &r, sizeof(r)) ||
	       !write_all(fd, r.counts, r.n_counts * sizeof(*r.counts));
}

static bool run_cell(const struct simulate_options *o, size_t workers, struct simulate_result *sum)
{
	bool ok = true;
	int fd[64][2];
	pid_t pid[64];
	fflush(stdout);
	for (size_t w = 0; w < workers; w++) {
		size_t first = o->trials * w / workers, end = o->trials * (w + 1) / workers;
		if (pipe(fd[w]) || (pid[w] = fork()) < 0) {
			perror("bench-search: worker");
			exit(1);
		}
		if (!pid[w]) {
			close(fd[w][0]);
			_exit(work(o, first, end - first, fd[w][1]));
		}
		close(fd[w][1]);
	}
	for (size_t w = 0; w < workers; w++) {
		struct simulate_result part;
		int status = 1;
		if (read_all(fd[w][0], &part, sizeof(part))) {
			part.counts = x_calloc(part.n_counts, sizeof(*part.counts));
			ok &= read_all(fd[w][0], part.counts, part.n_counts * sizeof(*part.counts));
			simulate_add(sum, &part);
			simulate_result_release(&part);
		}
		close(fd[w][0]);
		waitpid(pid[w], &status, 0);
		ok &= status == 0;
	}
	return ok;
}

static double share(size_t k, const struct simulate_result *r)
{
	return (double)k / (double)r->trials;
}

/* "reached" or by how much not, with the standard error where the bar is a share. Counts misses. */
static void judge(const struct bar *b, const struct simulate_result *r, double first_cost,
		  size_t *missed)
{
	double n = (double)r->trials, v = 0;
	const char *what = "";
	bool at_least = b->kind == BAR_RIGHT || b->kind == BAR_HOLDS,
	     percent = at_least || b->kind == BAR_WRONG;
	switch (b->kind) {
	case BAR_NONE: return;
	case BAR_RIGHT: v = share(r->right, r), what = "right"; break;
	case BAR_WRONG: v = share(r->wrong, r), what = "wrong"; break;
	case BAR_HOLDS: v = share(r->set_holds, r), what = "held"; break;
	case BAR_COST: v = r->cost / n, what = "cost"; break;
	case BAR_BUILDS: v = r->builds / n, what = "builds"; break;
	case BAR_COST_RATIO:
		if (!(first_cost > 0)) {
			printf("  cost against snr2: not judged, that cell was not run");
			return;
		}
		v = r->cost / n / first_cost, what = "cost against snr2";
		break;
	}
	bool reached = at_least ? v >= b->limit : v <= b->limit;
	double scale = percent ? 100 : 1;
	printf("  %s %s %g%s", what, at_least ? ">=" : "<=", b->limit * scale, percent ? " %" : "");
	if (reached)
		printf(" reached;");
	else
		printf(" MISSED by %.2f;", fabs(v - b->limit) * scale);
	*missed += !reached;
}

static void print_cell(const struct cell *c, const struct simulate_result *r, double seconds,
		       double first_cost, size_t *missed)
{
	double n = (double)r->trials;
	printf("%-16s %6.2f %6.2f %6.2f %6.2f %7.2f %8.2f %6.0f %6.2f %8.2f %6.3f %5.0f ", c->name,
	       100 * share(r->right, r), 100 * share(r->wrong, r), 100 * share(r->abstained, r),
	       100 * share(r->set_holds, r), r->set_size / n, r->measurements / n,
	       simulate_measurements_quantile(r, 0.95), r->builds / n, r->cost / n,
	       r->answers ? r->posterior / (double)r->answers : NAN, seconds);
	for (size_t j = 0; j < 3; j++)
		judge(&c->bars[j], r, first_cost, missed);
	putchar('\n');
	fflush(stdout);
}

static void print_calibration(const struct simulate_result *r, size_t *missed)
{
	printf("\ncalibration over these cells: answers given with posterior p are right in p "
	       "(bar: within 2 %%, bins of 500 answers or more)\n");
	printf("%12s %8s %8s %8s\n", "posterior", "answers", "mean p", "right");
	for (size_t j = 0; j < SIMULATE_BINS; j++) {
		double n = (double)r->bin_n[j];
		if (!r->bin_n[j])
			continue;
		double p = r->bin_posterior[j] / n, right = (double)r->bin_right[j] / n;
		bool judged = r->bin_n[j] >= 500, off = fabs(p - right) > 0.02;
		printf("%5.2f - %.2f %8zu %8.4f %8.4f  %s\n", (double)j / SIMULATE_BINS,
		       (double)(j + 1) / SIMULATE_BINS, r->bin_n[j], p, right,
		       !judged ? "too few"
		       : off   ? "MISSED"
			       : "reached");
		*missed += judged && off;
	}
	if (r->answers)
		printf("all: %zu answers, mean p %.4f, right %.4f\n", r->answers,
		       r->posterior / (double)r->answers,
		       (double)r->answers_right / (double)r->answers);
}

static bool asked(const char *name, int argc, char **argv, int from)
{
	for (int i = from; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return from == argc;
}

static const struct cell *find(const char *name)
{
	for (size_t j = 0; j < sizeof(cells) / sizeof(cells[0]); j++)
		if (!strcmp(cells[j].name, name))
			return &cells[j];
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "trials", required_argument, NULL, 't' },
						 { "seed", required_argument, NULL, 's' },
						 { 0 } };
	unsigned long trials = 3000, seed = 1;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		char *end = NULL;
		unsigned long v = optarg ? strtoul(optarg, &end, 10) : 0;
		if (o == '?' || !end || *end || (o == 't' && !v)) {
			fprintf(stderr, "usage: bench-search [--trials N] [--seed X] [CELL …]\n");
			return 2;
		}
		*(o == 't' ? &trials : &seed) = v;
	}
	for (int i = optind; i < argc; i++) {
		if (!find(argv[i])) {
			fprintf(stderr, "bench-search: no cell '%s'\n", argv[i]);
			return 2;
		}
	}
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t workers = cpus < 1 ? 1 : cpus > 64 ? 64 : (size_t)cpus, missed = 0;
	double first_cost = 0;
	struct simulate_result all = { 0 };
	printf("%lu trials a cell, seed %lu; 256 commits, SNR 2, 95 %% stop, a build costs 10 "
	       "measurements, spread known unless the name says else\n",
	       trials, seed);
	printf("%-16s %6s %6s %6s %6s %7s %8s %6s %6s %8s %6s %5s\n", "cell", "right%", "wrong%",
	       "abst.%", "held%", "set", "measured", "p95", "builds", "cost", "mean p", "s");
	for (size_t j = 0; j < sizeof(cells) / sizeof(cells[0]); j++) {
		const struct cell *c = &cells[j];
		if (!asked(c->name, argc, argv, optind))
			continue;
		struct simulate_options o = fill(c->o, trials, seed);
		struct simulate_result r = { 0 };
		uint64_t t = clock_mono_ns();
		if (!run_cell(&o, workers, &r)) {
			fprintf(stderr, "bench-search: a worker of cell %s failed\n", c->name);
			return 1;
		}
		if (!strcmp(c->name, "snr2"))
			first_cost = r.cost / (double)r.trials;
		print_cell(c, &r, (double)(clock_mono_ns() - t) * 1e-9, first_cost, &missed);
		if (c->calibrates)
			simulate_add(&all, &r);
		simulate_result_release(&r);
	}
	print_calibration(&all, &missed);
	printf("%zu bars missed\n", missed);
	simulate_result_release(&all);
	return 0;
}
