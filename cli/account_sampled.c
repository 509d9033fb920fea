/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "bisect/account_fold.h"
#include "cli/account.h"
#include "cli/cli.h"
#include "cli/table.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* For each case and revision. 8,000 samples tell a share of 10 % to ± 0.7 %. */
#define SECONDS 1.5
#define ENOUGH 8000
#define TOLD 0.95 /* rows are told until they hold this share of the samples */

/* A share's interval is two standard errors to either side. */
#define ERRORS 2

static struct accounting_samples *samples_of(const struct accounting *x, size_t k, size_t arm)
{
	return x->samples ? &x->samples[k * x->m.n_arms + arm] : NULL;
}

static void fold(const struct account *a, struct accounting_samples *s)
{
	const struct profile *p = &s->profile;
	struct account_sample *list = x_calloc(p->n_places + 1, sizeof(*list));
	for (size_t i = 0; i < p->n_places; i++)
		list[i] = (struct account_sample){ .object = p->objects[p->places[i].object],
						   .address = p->places[i].address,
						   .samples = p->places[i].samples };
	s->fold = x_calloc(1, sizeof(*s->fold));
	account_fold_make(a, list, p->n_places, s->fold);
	s->fold->all += (double)p->unmapped;
	s->fold->outside += (double)p->unmapped;
	free(list);
}

int accounting_sample(struct accounting *x, struct error *e)
{
	static const enum run_kind kinds[] = { [CONFIG_PRELOAD] = RUN_PRELOAD,
					       [CONFIG_EXEC] = RUN_EXEC,
					       [CONFIG_LIBRARY] = RUN_LIBRARY };
	struct measure *m = &x->m;
	size_t n = m->n_cases * m->n_arms;
	x->samples = x_calloc(n, sizeof(*x->samples));
	progress_begin(&m->progress, "sampling", (double)n);
	for (size_t i = 0; i < n; i++) {
		struct accounting_samples *s = &x->samples[i];
		struct account_count *c = &x->counts[i];
		struct account_want want = { .build = &m->arms[i % m->n_arms].build,
					     .kind = kinds[m->p->config.subject.use],
					     .c = &m->cases[i / m->n_arms].c };
		struct error why = { 0 };
		progress_step(&m->progress, (double)i, "");
		if (!m->cases[i / m->n_arms].timed)
			continue;
		if (!c->counted) {
			s->why = x_printf(
				"not counted, so that there is nothing to fold samples over: %s",
				c->why);
			continue;
		}
		int rc = account_sample(&want, m->p->workloads, SECONDS, ENOUGH, &s->profile, &why);
		if (rc == -EINTR) {
			progress_end(&m->progress);
			return error_set(e, rc, "%s", why.text);
		}
		if (rc)
			s->why = x_strdup(why.text);
		else if (!s->profile.samples)
			s->why = x_strdup("no sample fell into the region: it is too short");
		else
			fold(&c->account, s);
	}
	progress_end(&m->progress);
	return 0;
}

void accounting_samples_release(struct accounting *x)
{
	for (size_t i = 0; x->samples && i < x->m.n_cases * x->m.n_arms; i++) {
		struct accounting_samples *s = &x->samples[i];
		profile_release(&s->profile);
		if (s->fold)
			account_fold_release(s->fold);
		free(s->fold), free(s->why);
	}
	free(x->samples);
	x->samples = NULL;
}

bool accounting_sampled(const struct accounting *x, size_t k, size_t arm, size_t path,
			const char *function, double *share, double *error)
{
	const struct accounting_samples *s = samples_of(x, k, arm);
	if (!s || !s->fold)
		return false;
	*share = account_fold_function(&accounting_of(x, k, arm)->account, s->fold, path, function);
	*error = ERRORS * account_fold_error(*share, s->fold->all);
	return true;
}

double accounting_sampled_at(const struct accounting *x, size_t k, size_t arm, const char *object,
			     uint64_t address)
{
	const struct accounting_samples *s = samples_of(x, k, arm);
	if (!s || !s->fold)
		return NAN;
	for (size_t i = 0; i < s->profile.n_places; i++) {
		const struct profile_place *p = &s->profile.places[i];
		if (p->address == address && !strcmp(s->profile.objects[p->object], object))
			return (double)p->samples / s->fold->all;
	}
	return 0;
}

/* A row of one or two revisions: told by path and chain. */
struct line {
	const char *path;
	char *name; /* chain, "" what the count did not run */
	double share[2], ir[2]; /* ir: per operation */
};

struct lines {
	struct line *items;
	size_t n, cap;
};

static struct line *line_of(struct lines *l, const char *path, char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->items[i].path, path) && !strcmp(l->items[i].name, name)) {
			free(name);
			return &l->items[i];
		}
	x_grow(l->items, l->n, l->cap);
	l->items[l->n] = (struct line){ .path = path, .name = name };
	return &l->items[l->n++];
}

static void add_lines(const struct accounting *x, size_t k, size_t arm, struct lines *l)
{
	const struct account *a = &accounting_of(x, k, arm)->account;
	const struct account_fold *f = samples_of(x, k, arm)->fold;
	for (size_t i = 0; i < a->n_rows; i++) {
		if (a->rows[i].self_ir <= 0)
			continue;
		/* Names come from debug information: nothing of them may steer the terminal. */
		char *chain = account_row_name(a, i);
		struct buf name = { 0 };
		history_escape(chain, strlen(chain), false, &name);
		struct line *r = line_of(l, a->paths[a->rows[i].path].name, buf_detach(&name));
		free(chain);
		r->share[arm] += f->rows[i] / f->all;
		r->ir[arm] += a->rows[i].self_ir / (double)a->operations;
	}
	line_of(l, "", x_strdup(""))->share[arm] += f->outside / f->all;
}

struct scale {
	double per_op[2], all[2]; /* cycles of an operation, or ms of a run; samples */
	double error[2];	  /* of per_op, two standard errors */
	const char *unit;
};

static double size_of(const struct line *l, const struct scale *s, size_t n)
{
	return n < 2 ? l->share[0] : fabs(l->share[1] * s->per_op[1] - l->share[0] * s->per_op[0]);
}

struct order {
	const struct line *line;
	double size;
};

static int by_size(const void *x, const void *y)
{
	const struct order *a = x, *b = y;
	return a->size > b->size ? -1 : a->size < b->size;
}

static const char *figure(double v, char *out, size_t n)
{
	if (!isfinite(v))
		return "–";
	if (fabs(v) >= 1e6)
		return table_number(v, out, n);
	snprintf(out, n, "%.2f", v);
	return out;
}

/* Of a row's cycles: the share's and the total's, which all rows have in common. */
static double error_of(const struct line *l, const struct scale *s, size_t arm)
{
	return hypot(ERRORS * account_fold_error(l->share[arm], s->all[arm]) * s->per_op[arm],
		     l->share[arm] * s->error[arm]);
}

/*
 * Two standard errors of a median of few rounds. The spread from the range, by the mean range of n
 * normal values (Tippett 1925); of more than five rounds as of five, which is rather too wide.
 */
static double median_error(const struct accounting_cost *c)
{
	static const double mean_range[] = { [2] = 1.128, [3] = 1.693, [4] = 2.059, [5] = 2.326 };
	size_t n = c->rounds < 5 ? c->rounds : 5;
	if (n < 2)
		return INFINITY;
	return ERRORS * 1.2533 * (c->most - c->least) / mean_range[n] / sqrt((double)n);
}

static void add_row(struct table *t, const struct line *l, const struct scale *s, size_t n)
{
	char f[8][48];
	const char *name = *l->name ? l->name : "(code that the count did not run)";
	double a = l->share[0] * s->per_op[0], b = l->share[1] * s->per_op[1];
	if (n < 2) {
		snprintf(f[0], 48, "%.1f %%", 100 * l->share[0]);
		snprintf(f[1], 48, "± %.1f",
			 100 * ERRORS * account_fold_error(l->share[0], s->all[0]));
		table_row(t, f[0], f[1], figure(a, f[2], 48),
			  *l->name ? figure(l->ir[0], f[3], 48) : "–",
			  strcmp(s->unit, "cycles/op") ? ""
			  : l->ir[0] > 0.005	       ? figure(a / l->ir[0], f[4], 48)
						       : "–",
			  l->path, name);
		return;
	}
	snprintf(f[0], 48, "%+.2f", b - a);
	snprintf(f[1], 48, "± %.2f", hypot(error_of(l, s, 0), error_of(l, s, 1)));
	snprintf(f[2], 48, "%+.2f", l->ir[1] - l->ir[0]);
	table_row(t, f[0], f[1], figure(a, f[3], 48), figure(b, f[4], 48), *l->name ? f[2] : "–",
		  l->path, name);
}

static void print_lines(const struct lines *l, const struct scale *s, size_t n, bool all, FILE *to)
{
	struct table *t = table_new(7, "rrrrrll");
	struct order *order = x_calloc(l->n + 1, sizeof(*order));
	double sum = 0, told = 0, rest = 0;
	size_t left = 0;
	bool cycles = !strcmp(s->unit, "cycles/op");
	char f[2][48];
	snprintf(f[0], 48, "A %s", s->unit), snprintf(f[1], 48, "B %s", s->unit);
	if (n < 2)
		table_head(t, "of the time", "", s->unit, cycles ? "instr/op" : "instr/run",
			   cycles ? "cycles/instr" : "", "path", "function");
	else
		table_head(t, "change", "", f[0], f[1], "instr", "path", "function");
	for (size_t i = 0; i < l->n; i++) {
		order[i] = (struct order){ &l->items[i], size_of(&l->items[i], s, n) };
		sum += order[i].size;
	}
	if (l->n)
		qsort(order, l->n, sizeof(*order), by_size);
	for (size_t i = 0; i < l->n; i++) {
		const struct line *r = order[i].line;
		if ((all || told < TOLD * sum) && order[i].size > 0) {
			add_row(t, r, s, n);
		} else if (order[i].size > 0) {
			left++;
			rest += n < 2 ? r->share[0]
				      : r->share[1] * s->per_op[1] - r->share[0] * s->per_op[0];
		}
		told += order[i].size;
	}
	if (left) {
		char *what = x_printf("%zu smaller", left);
		snprintf(f[0], 48, n < 2 ? "%.1f %%" : "%+.2f", n < 2 ? 100 * rest : rest);
		table_row(t, f[0], "", "", "", "", "", what);
		free(what);
	}
	if (n == 2) {
		snprintf(f[0], 48, "%+.2f", s->per_op[1] - s->per_op[0]);
		snprintf(f[1], 48, "± %.2f", hypot(s->error[0], s->error[1]));
		char a[48], b[48];
		table_row(t, f[0], f[1], figure(s->per_op[0], a, 48), figure(s->per_op[1], b, 48),
			  "", "", "in all");
	}
	table_print(t, to);
	table_free(t);
	free(order);
}

static void say_source(const struct profile *p, const char *label, FILE *to)
{
	if (p->why)
		fprintf(to,
			"%s: %llu samples of %u runs, by a timer every %.0f µs; %s\n", label,
			(unsigned long long)p->samples, p->runs, (double)p->period / 1000, p->why);
	else
		fprintf(to,
			"%s: %llu samples of %u runs, one every %llu cycles of the PMU, "
			"precise_ip %u\n",
			label, (unsigned long long)p->samples, p->runs,
			(unsigned long long)p->period, p->precise);
}

void show_account_sampled(struct accounting *x, size_t k, FILE *to, struct error *e)
{
	char name[128];
	struct lines l = { 0 };
	struct scale s = { .unit = "cycles/op" };
	size_t n = x->m.n_arms;
	bench_case_name(&x->m.cases[k].c, name, sizeof(name));
	fprintf(to, "\n%s%s%s, where the cycles are: samples of the region, by function\n",
		table_colour(TABLE_BOLD), name, table_colour(TABLE_PLAIN));
	for (size_t i = 0; i < n; i++) {
		const struct accounting_samples *g = samples_of(x, k, i);
		struct accounting_cost c;
		bool per_run = g->fold && accounting_run_time(x, k, i, &c, e);
		if (!g->fold || (!per_run && !accounting_cycles(x, k, i, &c, e))) {
			fprintf(to, "%s: not sampled: %s\n", x->m.arms[i].label,
				g->why ? g->why
				       : "neither cycles nor time of an operation are known");
			goto out;
		}
		s.unit = per_run ? "ms/run" : "cycles/op";
		s.per_op[i] = per_run ? c.per_op * 1e-6 : c.per_op;
		s.error[i] = median_error(&c) * (per_run ? 1e-6 : 1);
		s.all[i] = g->fold->all;
		add_lines(x, k, i, &l);
	}
	print_lines(&l, &s, n, x->all, to);
	for (size_t i = 0; i < n; i++)
		say_source(&samples_of(x, k, i)->profile, x->m.arms[i].label, to);
	fprintf(to,
		"A function's share of the samples times %s; ±: two standard errors%s. One link,\n"
		"as built: its layout is in these figures. An interrupt is often noted at the "
		"instruction after the one that took the time.\n",
		s.unit, n < 2 ? " of the share" : ", of the shares and of the totals");
out:
	for (size_t i = 0; i < l.n; i++)
		free(l.items[i].name);
	free(l.items);
}

json_t *accounting_sampled_json(struct accounting *x, size_t k, size_t arm, struct error *e)
{
	const struct accounting_samples *s = samples_of(x, k, arm);
	if (!s || !s->fold)
		return json_pack("{s:o}", "why",
				 s && s->why ? cli_json_string(s->why) : json_null());
	const struct account *a = &accounting_of(x, k, arm)->account;
	const struct profile *p = &s->profile;
	struct accounting_cost c;
	bool costed = accounting_cycles(x, k, arm, &c, e);
	json_t *rows = json_array();
	for (size_t i = 0; i < a->n_rows; i++) {
		if (s->fold->rows[i] <= 0)
			continue;
		char *chain = account_row_name(a, i);
		double share = s->fold->rows[i] / s->fold->all;
		json_t *row = json_pack("{s:o, s:o, s:f, s:f}", "path",
					cli_json_string(a->paths[a->rows[i].path].name), "chain",
					cli_json_string(chain), "share", share, "standard_error",
					account_fold_error(share, s->fold->all));
		json_object_set_new(row, "cycles",
				    costed ? json_real(share * c.per_op) : json_null());
		json_array_append_new(rows, row);
		free(chain);
	}
	return json_pack("{s:s, s:i, s:I, s:o, s:I, s:I, s:I, s:f, s:o, s:o}", "event", p->event,
			 "precise", (int)p->precise, "period", (json_int_t)p->period, "no_pmu",
			 p->why ? cli_json_string(p->why) : json_null(), "samples",
			 (json_int_t)p->samples, "runs", (json_int_t)p->runs, "outside_region",
			 (json_int_t)p->outside, "share_not_counted",
			 s->fold->outside / s->fold->all, "scaled_by",
			 costed ? json_string(c.metric) : json_null(), "functions", rows);
}
