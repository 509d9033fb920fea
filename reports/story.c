/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/story.h"

#include "base/buf.h"
#include "reports/claims.h"
#include "reports/functions.h"
#include "reports/plot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 5

struct story {
	struct report *rp;
	struct page *page;
	struct claim_list claims;
	size_t number; /* of the line that is read, from 1 */
	struct error *e;
};

struct place {
	char *text;
	char *words[WORDS_MAX];
	size_t n;
};

static void place_read(struct place *p, const char *text, size_t n)
{
	*p = (struct place){ .text = x_printf("%.*s", (int)n, text) };
	char *save;
	for (char *w = strtok_r(p->text, " ", &save); w && p->n < WORDS_MAX;
		w = strtok_r(NULL, " ", &save))
		p->words[p->n++] = w;
}

static bool is(const struct place *p, const char *name, size_t arguments)
{
	return p->n == arguments + 1 && !strcmp(p->words[0], name);
}

static int bad(const struct story *s, const struct place *p)
{
	return error_set(s->e, -EINVAL,
		"line %zu: {{%s …}} is no place for a figure, or has too many or too few words",
		s->number, p->n ? p->words[0] : "");
}

/* ---- what places stand for ---- */

static size_t find_case(const struct story *s, const char *cell)
{
	char *name = x_strdup(cell), *colon = strchr(name, ':');
	if (colon)
		*colon = ' ';
	size_t c = s->rp->has_run ? record_find_case(&s->rp->run, name) : 0;
	free(name);
	return s->rp->has_run ? c : SIZE_MAX;
}

static bool find(const struct story *s, const char *a, const char *b, const char *cell, size_t *i,
	size_t *k, size_t *c)
{
	const struct record *r = &s->rp->run;
	if (!s->rp->has_run)
		return false;
	*c = find_case(s, cell);
	*i = record_find_arm(r, a), *k = record_find_arm(r, b);
	return *c < r->n_cases && *i < r->n_arms && *k < r->n_arms;
}

static void missing(struct line *l)
{
	line_toned(l, TONE_DIM, "not measured");
}

static void put_exact(const struct story *s, struct line *l, const struct place *p)
{
	const struct record *r = &s->rp->run;
	size_t a, b, c;
	if (!find(s, p->words[1], p->words[2], p->words[3], &a, &b, &c) ||
		!record_exact_of(r, c, a)->counted || !record_exact_of(r, c, b)->counted) {
		missing(l);
		return;
	}
	const struct record_exact *x = record_exact_of(r, c, a), *y = record_exact_of(r, c, b);
	struct figure f = part_exact_figure(y);
	f.bare = false, f.unit = "instructions per operation";
	line_text(l, "%.2f → ", x->per_op);
	line_figure(l, &f);
	line_text(l, ", %+.2f", y->per_op - x->per_op);
}

static void put_count(const struct story *s, struct line *l, const struct place *p)
{
	size_t a, b, c;
	if (!find(s, p->words[1], p->words[1], p->words[2], &a, &b, &c) ||
		!record_exact_of(&s->rp->run, c, a)->counted) {
		missing(l);
		return;
	}
	struct figure f = part_exact_figure(record_exact_of(&s->rp->run, c, a));
	f.bare = false, f.unit = "instructions per operation";
	line_figure(l, &f);
}

static void put_cost(const struct story *s, struct line *l, const struct place *p)
{
	size_t a, b, c;
	if (!find(s, p->words[1], p->words[1], p->words[2], &a, &b, &c) ||
		!record_timed_of(&s->rp->run, c, a)->n) {
		missing(l);
		return;
	}
	struct figure f =
		part_timed_figure(&s->rp->run.cases[c], record_timed_of(&s->rp->run, c, a));
	f.bare = false;
	line_figure(l, &f);
}

static int put_time(const struct story *s, struct line *l, const struct place *p)
{
	struct record_change k = { 0 };
	size_t a, b, c;
	int rc = find(s, p->words[1], p->words[2], p->words[3], &a, &b, &c)
			 ? record_change(&s->rp->run, c, a, b, &k, s->e)
			 : 0;
	if (rc || !k.known) {
		missing(l);
		return rc;
	}
	struct figure f = { .value = 100 * (k.ratio - 1),
		.unit = "%",
		.metric = s->rp->run.cases[c].metric,
		.source = "paired rounds",
		.rounds = k.rounds,
		.lo = 100 * (k.lo - 1),
		.hi = 100 * (k.hi - 1),
		.decimals = 1,
		.sign = true,
		.told = true,
		.verdict = k.verdict };
	line_figure(l, &f);
	line_text(l, " of time (");
	if (k.lo > 0 && isfinite(k.hi))
		line_text(l, "[%+.1f, %+.1f], ", 100 * (k.lo - 1), 100 * (k.hi - 1));
	line_text(l, "%lld rounds: ", (long long)k.rounds);
	line_verdict(l, k.verdict);
	line_text(l, ")");
	s->rp->worse |= !strcmp(k.verdict, "regression");
	return 0;
}

static int put_claim(const struct story *s, struct line *l, const struct place *p)
{
	const struct claim_row *k = claim_list_find(&s->claims, p->words[1]);
	if (!k)
		missing(l);
	else if (!strcmp(p->words[0], "claimed"))
		claim_line_claimed(l, k);
	else if (!strcmp(p->words[0], "measured"))
		claim_line_measured(l, k, claim_row_own(k), false);
	else
		claim_line_result(l, k, false);
	return 0;
}

static int put(const struct story *s, struct line *l, const struct place *p)
{
	if (is(p, "exact", 3))
		return put_exact(s, l, p), 0;
	if (is(p, "count", 2))
		return put_count(s, l, p), 0;
	if (is(p, "cost", 2))
		return put_cost(s, l, p), 0;
	if (is(p, "time", 3))
		return put_time(s, l, p);
	if (is(p, "claimed", 1) || is(p, "measured", 1) || is(p, "result", 1))
		return put_claim(s, l, p);
	return bad(s, p);
}

/* ---- places of their own line ---- */

static int steps_row(const struct story *s, struct table *t, size_t c, size_t before, size_t a)
{
	const struct record *r = &s->rp->run;
	const struct record_exact *x = record_exact_of(r, c, a);
	const struct record_timed *y = record_timed_of(r, c, a);
	struct record_change k = { 0 };
	part_row_head(t, &r->arms[a]);
	struct line *l = table_cell(t);
	struct figure f = part_exact_figure(x);
	if (x->counted)
		line_figure(l, &f);
	else
		line_toned(l, TONE_DIM, "–");
	l = table_cell(t);
	if (x->counted && before < r->n_arms && record_exact_of(r, c, before)->counted)
		line_text(l, "%+.2f", x->per_op - record_exact_of(r, c, before)->per_op);
	else
		line_toned(l, TONE_DIM, "–");
	l = table_cell(t);
	f = part_timed_figure(&r->cases[c], y);
	if (y->n)
		line_figure(l, &f);
	else
		line_toned(l, TONE_DIM, "–");
	int rc = before < r->n_arms && y->n ? record_change(r, c, before, a, &k, s->e) : 0;
	if (!rc)
		part_change_cells(t, &r->cases[c], &k);
	return rc;
}

static int put_steps(const struct story *s, const struct place *p)
{
	const struct record *r = &s->rp->run;
	size_t c = find_case(s, p->words[1]), before = SIZE_MAX;
	int rc = 0;
	if (!s->rp->has_run || c >= r->n_cases) {
		missing(page_paragraph(s->page));
		return 0;
	}
	struct table *t = page_table(s->page,
		"%s: every revision against the one before. Instructions are counted by "
		"callgrind; time is the median over rounds, "
		"its change paired within rounds, with the always-valid interval.",
		r->cases[c].words);
	table_column(t, ALIGN_LEFT, "revision");
	table_column(t, ALIGN_RIGHT, "instructions/op");
	table_column(t, ALIGN_RIGHT, "change");
	table_column(t, ALIGN_RIGHT, "%s", record_cost_unit(&r->cases[c]));
	table_column(t, ALIGN_RIGHT, "change");
	table_column(t, ALIGN_LEFT, "verdict");
	for (size_t a = 0; !rc && a < r->n_arms; a++) {
		if (!record_exact_of(r, c, a)->counted && !record_timed_of(r, c, a)->n)
			continue;
		rc = steps_row(s, t, c, before, a);
		before = a;
	}
	return rc;
}

static int put_functions(const struct story *s, const struct place *p)
{
	size_t a, b, c;
	bool any = false;
	char caption[200];
	int rc = 0;
	if (find(s, p->words[1], p->words[2], p->words[3], &a, &b, &c)) {
		const struct record *r = &s->rp->run;
		snprintf(caption, sizeof(caption),
			"%s to %s on %s: self instructions per operation, by callgrind; the "
			"largest changes",
			r->arms[a].label, r->arms[b].label, r->cases[c].name);
		rc = functions_table(s->rp->store, s->page, r->cases[c].id, r->arms[a].build_id,
			r->arms[b].build_id, 8, caption, &any, s->e);
	}
	if (!rc && !any)
		missing(page_paragraph(s->page));
	return rc;
}

static void put_plot(const struct story *s, const struct place *p, bool exact)
{
	const struct record *r = &s->rp->run;
	size_t c = find_case(s, p->words[1]);
	struct plot *plot = !s->rp->has_run || c >= r->n_cases ? NULL
			    : exact ? part_exact_timeline(r, c, &s->rp->axis, NULL)
				    : part_timed_timeline(r, c, &s->rp->axis);
	if (!plot) {
		missing(page_paragraph(s->page));
		return;
	}
	plot_caption(plot,
		exact ? "%s, exact counts."
		      : "%s: medians over rounds; bars are their 95 %% intervals.",
		r->cases[c].name);
	plot_alt(plot, "%s of %s over commits; the tables have the figures.",
		exact ? "Instructions per operation" : "Cost", r->cases[c].name);
	page_plot(s->page, plot);
}

/* The newest finished search of a kind; false: none. */
static bool put_bisect(const struct story *s, bool exact)
{
	for (size_t i = 0; i < s->rp->bisects.n; i++) {
		const struct store_bisect_row *b = &s->rp->bisects.items[i];
		json_t *result = b->result_json ? json_loads(b->result_json, 0, NULL) : NULL;
		bool found = result && exact == !strcmp(part_str(result, "metric"), "instructions_exact");
		if (found)
			s->rp->worse |= part_bisect_answer(s->page, result,
				exact ? "In instructions" : "In time", b->id, false);
		json_decref(result);
		if (found)
			return true;
	}
	return false;
}

static void put_bisects(const struct story *s)
{
	bool exact = put_bisect(s, true);
	if (!put_bisect(s, false) && !exact)
		missing(page_paragraph(s->page));
}

static int put_block(const struct story *s, const struct place *p, bool *block)
{
	*block = true;
	if (is(p, "claims", 1)) {
		if (!claim_table(s->page, &s->claims, p->words[1]))
			missing(page_paragraph(s->page));
		return 0;
	}
	if (is(p, "tries", 2)) {
		const struct claim_row *k = claim_list_find(&s->claims, p->words[1]);
		if (!k || !claim_tries(s->page, k, p->words[2]))
			missing(page_paragraph(s->page));
		return 0;
	}
	if (is(p, "steps", 1))
		return put_steps(s, p);
	if (is(p, "functions", 3))
		return put_functions(s, p);
	if (is(p, "exact-plot", 1) || is(p, "time-plot", 1))
		return put_plot(s, p, p->words[0][0] == 'e'), 0;
	if (is(p, "bisects", 0))
		return put_bisects(s), 0;
	*block = false;
	return 0;
}

/* ---- the text ---- */

/* Up to the mark that closes it; NULL: it does not. */
static const char *closes(const char *s, const char *mark)
{
	return strstr(s, mark);
}

static int words(const struct story *s, struct line *l, const char *text)
{
	int rc = 0;
	while (!rc && *text) {
		size_t plain = strcspn(text, "`*{");
		const char *end = NULL;
		if (plain) {
			line_text(l, "%.*s", (int)plain, text);
			text += plain;
		} else if (*text == '`' && (end = closes(text + 1, "`"))) {
			line_code(l, "%.*s", (int)(end - text - 1), text + 1);
			text = end + 1;
		} else if (!strncmp(text, "**", 2) && (end = closes(text + 2, "**"))) {
			line_strong(l, "%.*s", (int)(end - text - 2), text + 2);
			text = end + 2;
		} else if (!strncmp(text, "{{", 2) && (end = closes(text + 2, "}}"))) {
			struct place p;
			place_read(&p, text + 2, (size_t)(end - text - 2));
			rc = put(s, l, &p);
			free(p.text);
			text = end + 2;
		} else {
			line_text(l, "%c", *text++);
		}
	}
	return rc;
}

struct reader {
	struct story s;
	const char *name;
	struct buf open; /* lines of the paragraph or item that is read */
	bool item, lead; /* an item; the lead is there already */
};

static int flush(struct reader *r)
{
	int rc = 0;
	if (r->open.len) {
		struct line *l = r->item   ? page_item(r->s.page)
				 : r->lead ? page_paragraph(r->s.page)
					   : page_lead(r->s.page);
		r->lead = true;
		rc = words(&r->s, l, buf_str(&r->open));
	}
	buf_reset(&r->open);
	r->item = false;
	return rc;
}

static int block(struct reader *r, const char *line, bool *done)
{
	size_t n = strlen(line);
	*done = false;
	if (n < 5 || strncmp(line, "{{", 2) || strcmp(line + n - 2, "}}") ||
		strstr(line, "}}") != line + n - 2)
		return 0;
	struct place p;
	place_read(&p, line + 2, n - 4);
	int rc = flush(r);
	if (!rc)
		rc = put_block(&r->s, &p, done);
	free(p.text);
	return rc;
}

static int read_line(struct reader *r, const char *line)
{
	bool done;
	if (!r->s.page) {
		if (!strncmp(line, "# ", 2))
			r->s.page = page_new(r->name, "%s", line + 2);
		return r->s.page || !*line
			       ? 0
			       : error_set(r->s.e, -EINVAL,
					 "line %zu: the title comes first: # TITLE", r->s.number);
	}
	if (!*line)
		return flush(r);
	int rc = block(r, line, &done);
	if (rc || done)
		return rc;
	size_t level = strspn(line, "#");
	if (level >= 2 && level <= 4 && line[level] == ' ') {
		rc = flush(r);
		r->lead = true;
		if (!rc)
			page_heading(r->s.page, (int)level, "%s", line + level + 1);
		return rc;
	}
	if (!strncmp(line, "- ", 2)) {
		rc = flush(r);
		r->item = r->lead = true;
		line += 2;
	}
	line += strspn(line, " \t");
	buf_printf(&r->open, "%s%s", r->open.len ? " " : "", line);
	return rc;
}

int story_page(
	struct report *rp, const char *name, const char *text, struct page **out, struct error *e)
{
	struct reader r = { .s = { .rp = rp, .e = e }, .name = name };
	int rc = claim_list_load(rp->store, &r.s.claims, e);
	while (!rc && *text) {
		size_t n = strcspn(text, "\n"), bare = n;
		while (bare && strchr(" \t\r", text[bare - 1]))
			bare--;
		char *line = x_printf("%.*s", (int)bare, text);
		r.s.number++;
		rc = read_line(&r, line);
		free(line);
		text += n + (text[n] == '\n');
	}
	if (!rc)
		rc = r.s.page ? flush(&r)
			      : error_set(e, -EINVAL,
					"the story is empty: its first line is # TITLE");
	buf_release(&r.open);
	claim_list_release(&r.s.claims);
	if (rc) {
		page_free(r.s.page);
		r.s.page = NULL;
	}
	*out = r.s.page;
	return rc;
}
