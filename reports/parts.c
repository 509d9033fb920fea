/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/parts.h"

#include "reports/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *part_str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

double part_num(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *part_time(int64_t unix_s, char out[32])
{
	time_t t = (time_t)unix_s;
	struct tm tm;
	if (!gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm))
		snprintf(out, 32, "an unknown time");
	return out;
}

const char *short_id(const char *commit, char out[16])
{
	size_t n = strspn(commit, "0123456789abcdef");
	snprintf(out, 16, "%.*s", commit[n] ? 15 : 12, commit);
	return out;
}

/* A label is the user's: only a full id is cut. */
static const char *label(const char *text, char out[16])
{
	return strlen(text) >= 40 && strspn(text, "0123456789abcdef") == strlen(text)
		? short_id(text, out)
		: text;
}

void part_commit(struct line *l, const char *commit, const char *subject, const char *phase)
{
	char id[16];
	if (commit && *commit)
		line_code(l, "%s", short_id(commit, id));
	if (subject && *subject) {
		line_text(l, " ");
		line_quote(l, "%s", subject);
	}
	if (phase && *phase)
		line_text(l, " (phase %s)", phase);
}

void part_commit_json(struct line *l, const json_t *c)
{
	part_commit(l, part_str(c, "commit"), part_str(c, "subject"), part_str(c, "phase"));
}

void part_row_head(struct table *t, const struct record_arm *a)
{
	char id[16];
	struct line *l;
	table_begin_row(t);
	l = table_cell(t);
	line_text(l, "%s", label(a->label, id));
	if (a->commit && strncmp(a->commit, a->label, 7))
		line_small(l, "%s", short_id(a->commit, id));
	if (a->subject)
		table_hover(t, "%s", a->subject);
}

struct figure part_exact_figure(const struct record_exact *x)
{
	return (struct figure){ .value = x->per_op,
		.unit = "instructions/op",
		.metric = "instructions_exact",
		.source = "callgrind",
		.rounds = x->repeats,
		.lo = x->least,
		.hi = x->most,
		.decimals = 2,
		.bare = true };
}

struct figure part_timed_figure(const struct record_case *c, const struct record_timed *t)
{
	return (struct figure){ .value = t->median,
		.unit = record_cost_unit(c),
		.metric = c->metric,
		.source = c->source,
		.rounds = (int64_t)t->n,
		.lo = t->lo,
		.hi = t->hi,
		.decimals = -1,
		.bare = true };
}

static double percent(double ratio)
{
	return 100 * (ratio - 1);
}

void part_change_cells(struct table *t, const struct record_case *c, const struct record_change *k)
{
	struct line *l = table_cell(t);
	if (!k->known) {
		line_toned(l, TONE_DIM, "–");
		line_toned(table_cell(t), TONE_DIM, "–");
		return;
	}
	struct figure f = { .value = percent(k->ratio),
		.unit = "%",
		.metric = c->metric,
		.source = "paired rounds",
		.rounds = k->rounds,
		.lo = percent(k->lo),
		.hi = percent(k->hi),
		.verdict = k->verdict,
		.decimals = 1,
		.sign = true };
	line_figure(l, &f);
	if (k->lo > 0 && isfinite(k->hi))
		line_small(l, "[%+.1f, %+.1f]", percent(k->lo), percent(k->hi));
	else
		line_small(l, "no interval yet");
	l = table_cell(t);
	line_verdict(l, k->verdict);
	if (k->more_rounds > 0)
		line_small(l, "about %lld more round%s", (long long)k->more_rounds,
			PLURAL(k->more_rounds));
	if (*k->detail)
		table_hover(t, "%s", k->detail);
}

void part_noise_cell(struct table *t, const struct record_case *c, const struct record_change *k)
{
	struct line *l = table_cell(t);
	int beyond = record_beyond_noise(c, k);
	if (beyond < 0)
		line_toned(l, TONE_DIM, k->known ? "too few A/A pairs" : "–");
	else
		line_text(l, beyond ? "yes" : "no");
}

static void ticks(struct plot *p, const struct axis *a)
{
	char id[16];
	size_t phases = 0;
	p->x_lo = -0.6, p->x_hi = (double)a->n - 0.4;
	for (size_t i = 0; i < a->n; i++)
		phases += a->commits[i].phase != NULL;
	for (size_t i = 0; i < a->n; i++) {
		const struct axis_commit *c = &a->commits[i];
		if (c->phase)
			plot_add_tick(p, (double)i, true, c->phase);
		else if (!phases && a->n <= 48)
			plot_add_tick(p, (double)i, false, short_id(c->id, id));
	}
}

/* Of many commits pictures tell the ids alone. */
static const char *subject_of(const struct axis *a, size_t i)
{
	return a->n <= 300 && a->commits[i].subject ? a->commits[i].subject : "";
}

/* Commits that did not build, of this session's arms and of a bisect. */
static void broken(
	struct plot *p, const struct record *r, const struct axis *a, const json_t *extra_broken)
{
	for (size_t i = 0; i < r->n_arms; i++)
		if (r->arms[i].outcome && strcmp(r->arms[i].outcome, "ok") && r->arms[i].commit &&
			axis_find(a, r->arms[i].commit) < a->n)
			plot_add_broken(p, (double)axis_find(a, r->arms[i].commit));
	size_t i;
	json_t *c;
	json_array_foreach (extra_broken, i, c)
		if (axis_find(a, part_str(c, "commit")) < a->n)
			plot_add_broken(p, (double)axis_find(a, part_str(c, "commit")));
}

struct plot *part_exact_timeline(
	const struct record *r, size_t case_at, const struct axis *a, const json_t *result)
{
	double *value = x_calloc(a->n + 1, sizeof(*value));
	size_t n = 0, i;
	for (i = 0; i < a->n; i++)
		value[i] = NAN;
	for (i = 0; case_at < r->n_cases && i < r->n_arms; i++) {
		size_t at = r->arms[i].commit ? axis_find(a, r->arms[i].commit) : a->n;
		if (at < a->n && record_exact_of(r, case_at, i)->counted)
			value[at] = record_exact_of(r, case_at, i)->per_op;
	}
	json_t *c;
	json_array_foreach (json_object_get(result, "measured"), i, c) {
		size_t at = axis_find(a, part_str(c, "commit"));
		if (at < a->n && isnan(value[at]))
			value[at] = part_num(c, "value");
	}
	struct plot *p = plot_new(PLOT_TIMELINE, "Instructions per operation",
		a->from_git ? "commits, oldest first, phases marked"
			    : "measured commits, oldest first, phases marked",
		"instructions per operation");
	struct plot_series *s = plot_add_series(p, "exact count (callgrind)", PLOT_DISC, 0, true);
	for (i = 0; i < a->n; i++) {
		char id[16];
		if (isnan(value[i]))
			continue;
		plot_add_point(s, (double)i, value[i], NAN, NAN,
			"%s %s%s%s%s: %.2f instructions/op", short_id(a->commits[i].id, id),
			subject_of(a, i), a->commits[i].phase ? " (phase " : "",
			a->commits[i].phase ? a->commits[i].phase : "",
			a->commits[i].phase ? ")" : "", value[i]);
		n++;
	}
	free(value);
	ticks(p, a);
	broken(p, r, a, json_object_get(result, "broken"));
	if (!n) {
		plot_free(p);
		return NULL;
	}
	return p;
}

struct plot *part_timed_timeline(const struct record *r, size_t case_at, const struct axis *a)
{
	const struct record_case *c = &r->cases[case_at];
	struct plot *p = plot_new(PLOT_TIMELINE, c->inverse ? "Time per operation" : "Cost",
		a->from_git ? "commits, oldest first, phases marked"
			    : "measured commits, oldest first, phases marked",
		record_cost_unit(c));
	struct plot_series *s = plot_add_series(p, "median over rounds", PLOT_SQUARE, 1, true);
	size_t n = 0;
	for (size_t i = 0; i < r->n_arms; i++) {
		const struct record_timed *t = record_timed_of(r, case_at, i);
		size_t at = r->arms[i].commit ? axis_find(a, r->arms[i].commit) : a->n;
		char id[16];
		if (at == a->n || !t->n)
			continue;
		if (a->n > 300) {
			plot_add_point(s, (double)at, t->median, t->lo, t->hi, "%s: %.3g %s",
				short_id(r->arms[i].commit, id), t->median, record_cost_unit(c));
			n++;
			continue;
		}
		plot_add_point(s, (double)at, t->median, t->lo, t->hi, "%s %s%s%s%s: %.3g %s%s",
			short_id(r->arms[i].commit, id), subject_of(a, at),
			r->arms[i].phase ? " (phase " : "",
			r->arms[i].phase ? r->arms[i].phase : "", r->arms[i].phase ? ")" : "",
			t->median, record_cost_unit(c),
			isnan(t->lo) ? ", too few rounds for an interval" : "");
		n++;
	}
	ticks(p, a);
	broken(p, r, a, NULL);
	if (!n) {
		plot_free(p);
		return NULL;
	}
	return p;
}

static void fact(struct table *t, const char *name, const char *value)
{
	table_begin_row(t);
	table_cell_text(t, "%s", name);
	if (value && *value)
		table_cell_text(t, "%s", value);
	else
		line_toned(table_cell(t), TONE_DIM, "not readable here");
}

static int host_value(const struct record *r, const char *moment, const char *name, char *out,
	size_t n, struct error *e)
{
	struct store_rows *q = rows_open(r->store,
		"SELECT value FROM host_fact WHERE session_id = :session AND moment = :moment AND "
		"name = :name"
		" ORDER BY sitting DESC LIMIT 1");
	rows_bind_int(q, ":session", r->session->id);
	rows_bind_text(q, ":moment", moment);
	rows_bind_text(q, ":name", name);
	int rc = rows_next(q, e);
	snprintf(out, n, "%s", rc > 0 && rows_text(q, 0) ? rows_text(q, 0) : "");
	rows_close(q);
	return rc < 0 ? rc : 0;
}

static int facts(struct page *p, const struct record *r, bool brief, struct error *e)
{
	static const char *const main_facts[] = { "cpu_model", "cpus_online", "memory", "kernel",
		"virtualisation", "governor", "turbo", "aslr", "thp", NULL };
	struct table *t =
		page_table(p, "The machine, by facts that stay over a boot; and how busy it was");
	table_column(t, ALIGN_LEFT, "fact");
	table_column(t, ALIGN_LEFT, "value");
	int rc = 0;
	if (brief) {
		for (size_t i = 0; !rc && main_facts[i]; i++) {
			char value[600];
			rc = host_value(r, "before", main_facts[i], value, sizeof(value), e);
			fact(t, main_facts[i], value);
		}
	} else {
		struct store_rows *q = rows_open(r->store,
			"SELECT name, value FROM machine_fact WHERE machine_id = :m ORDER BY name");
		rows_bind_int(q, ":m", r->session->machine_id);
		while ((rc = rows_next(q, e)) > 0)
			fact(t, rows_text(q, 0), rows_text(q, 1));
		rows_close(q);
	}
	char before[64] = "", after[64] = "", both[160];
	if (!rc)
		rc = host_value(r, "before", "load", before, sizeof(before), e);
	if (!rc)
		rc = host_value(r, "after", "load", after, sizeof(after), e);
	snprintf(both, sizeof(both), "%s before, %s after", *before ? before : "unknown",
		*after ? after : "unknown");
	fact(t, "load (1 minute)", both);
	return rc;
}

/* Which of the metrics that hakperf knows have no sample in this session: told, since an absent row
 * is not a zero. */
static int uncounted(struct page *p, const struct record *r, struct error *e)
{
	static const char *const wanted[] = { "cycles", "instructions", "branches", "branch-misses",
		"L1-dcache-load-misses", "LLC-load-misses", "dTLB-load-misses", "page_faults",
		"context_switches", "cpu_migrations", "peak_rss_bytes", NULL };
	struct buf absent = { 0 };
	size_t hardware = 0;
	int rc = 0;
	for (size_t i = 0; rc >= 0 && wanted[i]; i++) {
		struct store_rows *q = rows_open(r->store,
			"SELECT 1 FROM sample WHERE metric_id = (SELECT id FROM metric WHERE name "
			"= :name) AND run_id IN"
			" (SELECT run.id FROM run JOIN round ON round.id = run.round_id WHERE "
			"round.session_id = :session"
			" AND round.kind = 'timed' LIMIT 200) LIMIT 1");
		rows_bind_text(q, ":name", wanted[i]);
		rows_bind_int(q, ":session", r->session->id);
		rc = rows_next(q, e);
		if (!rc) {
			buf_printf(&absent, "%s%s", absent.len ? ", " : "", wanted[i]);
			hardware += i < 7;
		}
		rows_close(q);
	}
	if (rc >= 0) {
		char pmus[256] = "";
		rc = host_value(r, "before", "pmus", pmus, sizeof(pmus), e);
		struct line *l = page_paragraph(p);
		if (absent.len) {
			line_strong(l, "Not counted: ");
			line_text(l, "%s. Such figures are absent, not zero. ", buf_str(&absent));
			if (hardware)
				line_text(l,
					"Hardware events need a PMU that this machine lets us open "
					"(it offers: %s); ",
					*pmus ? pmus : "nothing readable");
			line_code(l, "hakperf doctor");
			line_text(l, " says what each would take.");
		} else {
			line_text(l, "Every metric of the default set was counted here.");
		}
	}
	buf_release(&absent);
	return rc < 0 ? rc : 0;
}

static void noise(struct page *p, const struct record *r)
{
	size_t timed = 0;
	for (size_t c = 0; c < r->n_cases; c++)
		timed += r->cases[c].rounds > 0;
	if (!timed)
		return;
	struct table *t = page_table(p,
		"Noise of this run: what two runs of one build in the same round differ by (A/A "
		"pairs). A change within ± the bound, twice "
		"the robust spread, is what this machine calls different when nothing is.");
	table_column(t, ALIGN_LEFT, "workload");
	table_column(t, ALIGN_RIGHT, "A/A pairs");
	table_column(t, ALIGN_RIGHT, "bound");
	table_column(t, ALIGN_RIGHT, "rounds");
	table_column(t, ALIGN_RIGHT, "disturbed");
	table_column(t, ALIGN_RIGHT, "failed runs");
	for (size_t i = 0; i < r->n_cases; i++) {
		const struct record_case *c = &r->cases[i];
		if (!c->rounds)
			continue;
		table_begin_row(t);
		table_cell_text(t, "%s", c->name);
		table_hover(t, "%s", c->words);
		table_cell_text(t, "%zu", c->aa.n);
		if (isnan(record_noise(c)))
			line_toned(table_cell(t), TONE_DIM, "too few pairs");
		else
			table_cell_text(t, "±%.1f %%", 100 * record_noise(c));
		table_cell_text(t, "%zu", c->rounds);
		table_cell_text(t, "%zu", c->disturbed);
		table_cell_text(t, "%zu", c->failed);
	}
}

int part_machine(struct page *p, const struct record *r, bool brief, struct error *e)
{
	int rc = uncounted(p, r, e);
	noise(p, r);
	return rc ? rc : facts(p, r, brief, e);
}
