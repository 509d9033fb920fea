/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/simulate.h"

#include "base/buf.h"

#include <errno.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct simulate_options simulate_defaults(void)
{
	return (struct simulate_options){
		.commits = 256,
		.snr = 2,
		.trials = 1000,
		.seed = 1,
		.drift_rho = 0.9,
		.steps = 1,
		.build_cost = 10,
		.confidence = 0.95,
		.repeats = 1,
	};
}

/* One synthetic history with its truth and the state of the machine that measures it. */
struct history {
	const struct simulate_options *o;
	gsl_rng *rng;
	size_t n; /* commits, the good end included as commit 0 */
	uint32_t *parent_start, *parent;
	uint64_t *has_step; /* bit k: has step k */
	bool *broken;
	double *offset;
	uint32_t step[64];
	double drift;
};

static size_t steps_of(const struct simulate_options *o)
{
	return o->steps == SIMULATE_NO_STEP ? 0 : o->steps;
}

static double normal(struct history *h, double sd)
{
	return gsl_ran_gaussian_ziggurat(h->rng, sd);
}

/*
 * A third of the commits on side branches: branches of 1 to 8 commits leave the main line and come
 * back after as many commits of the main line or more, some of them at once open.
 */
static void draw_graph(struct history *h)
{
	size_t n = h->n, main = 0, side = 0, left = 0, wait = 0, at = 0;
	h->parent_start = x_calloc(n + 1, sizeof(*h->parent_start));
	h->parent = x_calloc(2 * n, sizeof(*h->parent));
	for (size_t i = 1; i < n; i++) {
		h->parent_start[i] = (uint32_t)at;
		bool open = left || wait;
		bool room = i + 12 < n;
		if (h->o->merges && !open && room && gsl_rng_uniform(h->rng) < 0.2) {
			left = 1 + gsl_rng_uniform_int(h->rng, 8);
			wait = 1;
			side = main;
			open = true;
		}
		if (open && left && gsl_rng_uniform(h->rng) < 0.5) {
			h->parent[at++] = (uint32_t)side;
			side = i;
			left--;
		} else if (open && !left) {
			h->parent[at++] = (uint32_t)main;
			h->parent[at++] = (uint32_t)side;
			main = i;
			wait = 0;
		} else {
			h->parent[at++] = (uint32_t)main;
			main = i;
		}
	}
	/* The tip closes what is open. */
	if ((left || wait) && side != main && n > 2) {
		h->parent_start[n] = (uint32_t)at;
		uint32_t tip = (uint32_t)n - 1;
		bool tip_is_main = main == tip;
		uint32_t first = h->parent[h->parent_start[tip]];
		at = h->parent_start[tip];
		h->parent[at++] = first;
		uint32_t other = tip_is_main ? (uint32_t)side : (uint32_t)main;
		if (other != first && other != tip)
			h->parent[at++] = other;
	}
	h->parent_start[n] = (uint32_t)at;
}

static void draw_truth(struct history *h)
{
	const struct simulate_options *o = h->o;
	size_t n = h->n;
	h->has_step = x_calloc(n, sizeof(*h->has_step));
	h->broken = x_calloc(n, sizeof(*h->broken));
	h->offset = x_calloc(n, sizeof(*h->offset));
	for (size_t k = 0; k < steps_of(o); k++) {
		bool again = true;
		while (again) {
			h->step[k] = (uint32_t)(1 + gsl_rng_uniform_int(h->rng, n - 1));
			again = false;
			for (size_t j = 0; j < k; j++)
				again |= h->step[j] == h->step[k];
		}
	}
	for (uint32_t i = 1; i < n; i++) {
		for (uint32_t k = h->parent_start[i]; k < h->parent_start[i + 1]; k++)
			h->has_step[i] |= h->has_step[h->parent[k]];
		for (size_t k = 0; k < steps_of(o); k++)
			if (h->step[k] == i)
				h->has_step[i] |= (uint64_t)1 << k;
	}
	/* Half of the broken commits alone, half in runs of four. */
	double rate = o->broken / 2;
	for (uint32_t i = 1; i + 1 < n; i++) {
		if (gsl_rng_uniform(h->rng) < rate)
			h->broken[i] = true;
		if (gsl_rng_uniform(h->rng) < rate / 4)
			for (uint32_t j = i; j < i + 4 && j + 1 < n; j++)
				h->broken[j] = true;
	}
	for (uint32_t i = 0; i < n; i++)
		h->offset[i] = normal(h, o->layout * o->snr);
	h->drift = normal(h, o->drift);
}

/* The machine's speed at the next run: AR(1) of stationary sd `drift`. */
static double next_drift(struct history *h)
{
	double rho = h->o->drift_rho;
	h->drift = rho * h->drift + normal(h, h->o->drift * sqrt(1 - rho * rho));
	return h->drift;
}

static double level(const struct history *h, uint32_t commit)
{
	return h->o->snr * __builtin_popcountll(h->has_step[commit]);
}

/* Against the reference, or (beside not SEARCH_NONE) another commit. */
static double measure(struct history *h, uint32_t commit, uint32_t beside)
{
	const struct simulate_options *o = h->o;
	bool pair = beside != SEARCH_NONE;
	double y = level(h, commit) - (pair ? level(h, beside) : 0);
	if (o->exact)
		return y;
	y += normal(h, 1);
	if (o->outliers > 0 && gsl_rng_uniform(h->rng) < o->outliers)
		y += gsl_rng_uniform(h->rng) < 0.5 ? 10 : -10;
	if (o->layout > 0)
		y += o->layout_fixed ? h->offset[commit] - (pair ? h->offset[beside] : 0)
				     : normal(h, o->layout * o->snr);
	if (o->drift > 0) {
		/* The reference runs first, the subject right after it. */
		double before = o->drift_unpaired ? 0 : next_drift(h);
		y += next_drift(h) - before;
	}
	return y;
}

static void history_release(struct history *h)
{
	free(h->parent_start), free(h->parent), free(h->has_step), free(h->broken), free(h->offset);
	gsl_rng_free(h->rng);
}

static void history_draw(struct history *h, const struct simulate_options *o, size_t trial)
{
	*h = (struct history){ .o = o, .n = o->commits + 1, .rng = gsl_rng_alloc(gsl_rng_mt19937) };
	/* Seeds of neighbouring trials are spread by a multiplication (Knuth's 64-bit constant). */
	gsl_rng_set(h->rng,
		    (unsigned long)((o->seed * 1000003u + trial + 1) * 6364136223846793005u >> 32));
	draw_graph(h);
	draw_truth(h);
}

static bool is_step(const struct history *h, uint32_t commit)
{
	for (size_t k = 0; k < steps_of(h->o); k++)
		if (h->step[k] == commit)
			return true;
	return false;
}

/* One trial's outcome, before it goes into the sums. */
struct outcome {
	size_t measurements, builds, broken;
};

static void count_answer(struct simulate_result *r, double posterior, bool right)
{
	size_t bin = (size_t)(posterior * SIMULATE_BINS);
	bin = bin < SIMULATE_BINS ? bin : SIMULATE_BINS - 1;
	r->bin_n[bin]++;
	r->bin_right[bin] += right;
	r->bin_posterior[bin] += posterior;
	r->answers++;
	r->answers_right += right;
	r->posterior += posterior;
}

static void judge(const struct history *h, const struct search_result *s, struct simulate_result *r)
{
	size_t named = 0, right = 0, largest = 0, held = 0;
	for (size_t j = 0; j < s->n_steps; j++) {
		const struct search_step *t = &s->steps[j];
		bool true_step = is_step(h, t->commit);
		count_answer(r, t->posterior, true_step);
		named += t->named;
		right += t->named && true_step;
		largest = t->n_set > largest ? t->n_set : largest;
	}
	for (size_t k = 0; k < steps_of(h->o); k++) {
		bool in = false;
		for (size_t j = 0; j < s->n_steps; j++)
			for (size_t i = 0; i < s->steps[j].n_set; i++)
				in |= s->steps[j].set[i] == h->step[k];
		held += in;
	}
	r->named += named > 0;
	r->abstained += named == 0;
	r->wrong += named > right;
	r->right += named == right && right == steps_of(h->o);
	r->set_holds += held == steps_of(h->o);
	r->set_size += (double)largest;
}

static int run_search(struct history *h, struct simulate_result *r, struct outcome *out,
		      struct error *e)
{
	const struct simulate_options *o = h->o;
	struct search_graph g = { .n = h->n,
				  .parent_start = h->parent_start,
				  .parent = h->parent,
				  .bad = (uint32_t)h->n - 1 };
	struct search_options so = search_defaults();
	so.confidence = o->confidence;
	so.delta = o->exact ? o->snr / 4 : o->delta > 0 ? o->delta : o->snr > 0 ? o->snr / 4 : 0.5;
	so.exact = o->exact;
	so.build_cost = o->build_cost;
	so.max_cost = o->max_cost;
	so.max_steps = steps_of(o) > 1 ? 0 : 1;
	/* Stored noise is what rounds of this machine show: layout redrawn per run is part of it,
	 * and what pairing leaves of the drift. */
	double redrawn = o->layout_fixed ? 0 : o->layout * o->snr;
	double left = o->drift * o->drift * (o->drift_unpaired ? 1 : 2 * (1 - o->drift_rho));
	so.noise_sd = o->spread_known ? sqrt(1 + redrawn * redrawn + left) : 0;
	so.noise_dof = 1000;
	so.level_sd = o->level_known && !o->layout_fixed ? 0.02 : 0;
	if (o->layout > 0 && o->layout_fixed) {
		so.layout = SEARCH_LAYOUT_FIXED;
		so.layout_sd = o->layout * o->snr;
	}
	struct search *s;
	int rc = search_open(&s, &g, &so, e);
	if (rc)
		return rc;
	for (struct search_action a; (a = search_next(s)).kind == SEARCH_MEASURE;) {
		if (h->broken[a.commit]) {
			search_set_build(s, a.commit, SEARCH_BROKEN);
			continue;
		}
		double *x = x_calloc(a.rounds, sizeof(*x));
		for (size_t k = 0; k < a.rounds; k++)
			x[k] = measure(h, a.commit, a.beside);
		search_observe_rounds(s, a.commit, a.beside, x, a.rounds);
		free(x);
	}
	struct search_result result;
	search_get_result(s, &result);
	judge(h, &result, r);
	*out = (struct outcome){ result.measurements, result.builds, result.broken };
	search_result_release(&result);
	search_close(s);
	return 0;
}

/* `git bisect` on a line: means of `repeats` against the ends' midpoint; broken commits are stepped
 * over to a neighbour. */
static double mean_of(struct history *h, uint32_t commit, struct outcome *out)
{
	double sum = 0;
	for (size_t k = 0; k < h->o->repeats; k++)
		sum += measure(h, commit, SEARCH_NONE);
	out->measurements += h->o->repeats;
	out->builds++;
	return sum / (double)h->o->repeats;
}

static void run_bisect(struct history *h, struct simulate_result *r, struct outcome *out)
{
	*out = (struct outcome){ 0 };
	uint32_t good = 0, bad = (uint32_t)h->n - 1;
	double low = mean_of(h, good, out), high = mean_of(h, bad, out), middle = (low + high) / 2;
	while (bad - good > 1) {
		uint32_t at = good + (bad - good) / 2, away = 0;
		uint32_t found = at;
		while (h->broken[found] && away < bad - good) {
			out->builds++, out->broken++;
			away++;
			uint32_t side = away & 1 ? at + (away + 1) / 2 : at - away / 2;
			if (side > good && side < bad)
				found = side;
		}
		if (h->broken[found])
			break;
		bool slow = (mean_of(h, found, out) > middle) == (high > low);
		*(slow ? &bad : &good) = found;
	}
	bool right = is_step(h, bad);
	count_answer(r, 1, right);
	r->named++;
	r->wrong += !right;
	r->right += right && steps_of(h->o) == 1;
	r->set_holds += right;
	r->set_size += 1;
}

int simulate_run(const struct simulate_options *o, size_t first, size_t n,
		 struct simulate_result *r, struct error *e)
{
	if (o->commits < 1 || o->commits > 20000 || !(o->snr >= 0) || !o->steps ||
	    steps_of(o) > 16 || steps_of(o) > o->commits || !(o->broken >= 0 && o->broken <= 0.9) ||
	    !(o->outliers >= 0 && o->outliers <= 0.5) || !(o->drift >= 0) || !(o->layout >= 0) ||
	    !(fabs(o->drift_rho) < 1) || !o->repeats)
		return error_set(e, -EINVAL,
				 "simulate: an option is out of its range (commits 1..20000, steps "
				 "1..16, shares 0..0.5)");
	if (o->answer == SIMULATE_BISECT && o->merges)
		return error_set(e, -EINVAL,
				 "simulate: the git bisect baseline runs on linear histories");
	for (size_t t = first; t < first + n; t++) {
		struct history h;
		struct outcome out = { 0 };
		history_draw(&h, o, t);
		int rc = 0;
		if (o->answer == SIMULATE_BISECT)
			run_bisect(&h, r, &out);
		else
			rc = run_search(&h, r, &out, e);
		history_release(&h);
		if (rc)
			return rc;
		r->trials++;
		r->measurements += (double)out.measurements;
		r->builds += (double)out.builds;
		r->broken_builds += (double)out.broken;
		r->cost += (double)out.measurements + o->build_cost * (double)out.builds;
		if (r->n_counts >= r->cap_counts) {
			r->cap_counts = r->cap_counts ? 2 * r->cap_counts : 64;
			r->counts = x_realloc(r->counts, r->cap_counts, sizeof(*r->counts));
		}
		r->counts[r->n_counts++] = (uint32_t)out.measurements;
	}
	return 0;
}

void simulate_add(struct simulate_result *sum, const struct simulate_result *p)
{
	sum->trials += p->trials;
	sum->right += p->right;
	sum->wrong += p->wrong;
	sum->named += p->named;
	sum->abstained += p->abstained;
	sum->set_holds += p->set_holds;
	sum->set_size += p->set_size;
	sum->measurements += p->measurements;
	sum->builds += p->builds;
	sum->broken_builds += p->broken_builds;
	sum->cost += p->cost;
	sum->posterior += p->posterior;
	sum->answers += p->answers;
	sum->answers_right += p->answers_right;
	for (size_t j = 0; j < SIMULATE_BINS; j++) {
		sum->bin_n[j] += p->bin_n[j];
		sum->bin_right[j] += p->bin_right[j];
		sum->bin_posterior[j] += p->bin_posterior[j];
	}
	sum->counts = x_realloc(sum->counts, sum->n_counts + p->n_counts + 1, sizeof(*sum->counts));
	if (p->n_counts)
		memcpy(sum->counts + sum->n_counts, p->counts, p->n_counts * sizeof(*p->counts));
	sum->n_counts += p->n_counts;
	sum->cap_counts = sum->n_counts;
}

void simulate_result_release(struct simulate_result *r)
{
	free(r->counts);
	*r = (struct simulate_result){ 0 };
}

static int by_count(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	return a < b ? -1 : a > b;
}

double simulate_measurements_quantile(const struct simulate_result *r, double q)
{
	if (!r->n_counts)
		return 0;
	uint32_t *sorted = x_calloc(r->n_counts, sizeof(*sorted));
	memcpy(sorted, r->counts, r->n_counts * sizeof(*sorted));
	qsort(sorted, r->n_counts, sizeof(*sorted), by_count);
	size_t at = (size_t)ceil(q * (double)r->n_counts);
	double v = sorted[at ? at - 1 : 0];
	free(sorted);
	return v;
}

int simulate_plan(size_t commits, double noise_sd, double change, double confidence, double build_s,
		  double measure_s, size_t trials, uint64_t seed, struct simulate_plan *p,
		  struct error *e)
{
	if (!(noise_sd > 0) || !(fabs(change) > 0) || !(build_s >= 0) || !(measure_s > 0) || !trials)
		return error_set(
			e, -EINVAL,
			"plan: noise, change, seconds of a measurement and trials must be positive");
	struct simulate_options o = simulate_defaults();
	o.commits = commits;
	/* k measurements in a noise √k times as wide tell what one does: below signal to noise 1 a
	 * search is simulated at 1, where a build costs the fewer of its measurements, and scaled. */
	double snr = fabs(change) / noise_sd, each = snr < 1 ? 1 / (snr * snr) : 1;
	o.snr = fmax(1, snr);
	o.seed = seed;
	o.confidence = confidence;
	o.spread_known = o.level_known = true;
	o.build_cost = build_s / measure_s / each;
	struct simulate_result r = { 0 };
	int rc = simulate_run(&o, 0, trials, &r, e);
	if (!rc) {
		double n = (double)r.trials;
		*p = (struct simulate_plan){
			.change = change,
			.found = (double)r.right / n,
			.builds = r.builds / n,
			.measurements = each * r.measurements / n,
			.p95_measurements = each * simulate_measurements_quantile(&r, 0.95),
			.minutes = (r.builds * build_s + each * r.measurements * measure_s) / n / 60,
		};
	}
	simulate_result_release(&r);
	return rc;
}
