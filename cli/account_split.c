/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account_split.h"

#include "base/buf.h"
#include "cli/account.h"
#include "cli/cli.h"
#include "cli/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void say(void *ctx, const char *line)
{
	struct progress *p = ctx;
	progress_step(p, 0, line);
}

static char *unit_name(const struct account_split *s, size_t unit)
{
	const struct account_split_unit *u = &s->units[unit];
	const struct diff_file *f = &s->diff.files[u->file];
	const char *raw = f->new_path ? f->new_path : f->old_path;
	struct buf path = { 0 };
	history_escape(raw, strlen(raw), false, &path);
	char *name;
	if (u->hunk == SIZE_MAX) {
		name = x_printf("%s (%s)", buf_str(&path),
				f->status == 'A'   ? "new"
				: f->status == 'D' ? "removed"
				: f->status == 'R' ? "renamed"
						   : "whole");
	} else {
		const struct diff_hunk *h = &f->hunks[u->hunk];
		name = x_printf("%s:%d -%zu +%zu", buf_str(&path),
				h->new_lines ? h->new_start : h->old_start, h->removed, h->added);
	}
	buf_release(&path);
	return name;
}

static const char *change(double v, char *out, size_t n)
{
	if (!isfinite(v))
		return "–";
	if (fabs(v) < 0.005)
		return "0.00";
	snprintf(out, n, "%+.2f", v);
	return out;
}

struct ranked {
	size_t group;
	double size;
};

static int by_size(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	if (a->size != b->size)
		return a->size < b->size ? 1 : -1;
	return a->group < b->group ? -1 : a->group > b->group;
}

static double size_of(const struct account_split_part *p)
{
	return fmax(isfinite(p->put_on) ? fabs(p->put_on) : 0,
		    isfinite(p->taken_off) ? fabs(p->taken_off) : 0);
}

static void show_group(const struct account_split *s, size_t group, struct table *t)
{
	const struct split_group *g = &s->split.groups[group];
	const struct account_split_part *p = &s->parts[group];
	char n[2][32], number[32];
	snprintf(number, sizeof(number), "%zu", group + 1);
	for (size_t i = 0; i < g->n_units; i++) {
		char *name = unit_name(s, g->units[i]);
		if (i)
			table_row(t, "", "", "", "", name);
		else
			table_row(t, number, change(p->put_on, n[0], 32),
				  change(p->taken_off, n[1], 32),
				  g->alone ? "parent" : "groups before", name);
		free(name);
	}
}

static void show_account_split(const struct account_split *s, FILE *to)
{
	struct table *t = table_new(5, "rrrll");
	struct ranked *order = x_calloc(s->split.n_groups + 1, sizeof(*order));
	double on = 0, off = 0, whole = s->commit - s->parent;
	size_t silent = 0, elsewhere = 0;
	char n[4][32];
	table_head(t, "group", "put on", "taken off", "stands on", "hunks");
	for (size_t i = 0; i < s->split.n_groups; i++) {
		order[i] = (struct ranked){ i, size_of(&s->parts[i]) };
		on += isfinite(s->parts[i].put_on) ? s->parts[i].put_on : 0;
		off += isfinite(s->parts[i].taken_off) ? s->parts[i].taken_off : 0;
	}
	qsort(order, s->split.n_groups, sizeof(*order), by_size);
	for (size_t i = 0; i < s->split.n_groups; i++) {
		if (s->parts[order[i].group].silent)
			silent++;
		else if (order[i].size < 0.005)
			elsewhere++;
		else
			show_group(s, order[i].group, t);
	}
	table_rule(t);
	table_row(t, "sum", change(on, n[0], 32), change(off, n[1], 32), "", "");
	table_row(t, "commit", change(whole, n[2], 32), change(whole, n[3], 32), "", "");
	table_print(t, to);
	table_free(t);
	free(order);
	fputs("Instructions per operation: what the group adds to what it stands on; and what the "
	      "commit costs more than without the group (–: does\n"
	      "not build without it).\n",
	      to);
	fprintf(to,
		"%zu hunks or files in %zu groups, %zu of them without any code, %zu with code "
		"that this workload does not run; %zu sets tried, %zu builds, %zu counts.\n",
		s->n_units, s->split.n_groups, silent, elsewhere, s->split.asked, s->builds,
		s->counts);
	if (!s->split.complete)
		fputs("The limit of sets came first: the last group was not taken apart.\n", to);
	if (fabs(on - whole) < 0.01)
		fputs("Put on, the groups add up to the commit.\n", to);
	else
		fprintf(to,
			"Put on, the groups do not add up to the commit: %s is what they cost "
			"together and none alone.\n",
			change(whole - on, n[0], 32));
}

static json_t *real_or_null(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *account_split_json(const struct account_split *s)
{
	json_t *groups = json_array();
	for (size_t i = 0; i < s->split.n_groups; i++) {
		const struct split_group *g = &s->split.groups[i];
		json_t *hunks = json_array();
		for (size_t k = 0; k < g->n_units; k++) {
			char *name = unit_name(s, g->units[k]);
			json_array_append_new(hunks, cli_json_string(name));
			free(name);
		}
		json_array_append_new(
			groups,
			json_pack("{s:I, s:o, s:o, s:b, s:b, s:o}", "group", (json_int_t)i + 1,
				  "put_on", real_or_null(s->parts[i].put_on), "taken_off",
				  real_or_null(s->parts[i].taken_off), "silent", s->parts[i].silent,
				  "alone", g->alone, "hunks", hunks));
	}
	return json_pack("{s:f, s:f, s:f, s:s, s:b, s:I, s:I, s:I, s:o}", "parent", s->parent,
			 "commit", s->commit, "delta", s->commit - s->parent, "unit",
			 "instructions/op", "complete", s->split.complete, "sets_tried",
			 (json_int_t)s->split.asked, "builds", (json_int_t)s->builds, "counts",
			 (json_int_t)s->counts, "groups", groups);
}

int accounting_split(struct accounting *x, size_t k, bool json, const char *revision,
		     struct error *e)
{
	struct account_split s;
	struct measure *m = &x->m;
	char name[128];
	bench_case_name(&m->cases[k].c, name, sizeof(name));
	progress_begin(&m->progress, "taking apart", 0);
	struct account_split_options o = { .subject = &m->p->subject,
					   .commit = &m->arms[0].commit,
					   .variant = m->variant,
					   .c = &m->cases[k].c,
					   .workloads = m->p->workloads,
					   .say = say,
					   .ctx = &m->progress };
	int rc = account_split_run(&o, &s, e);
	progress_end(&m->progress);
	if (rc)
		return rc;
	if (json) {
		cli_envelope("account",
			     json_pack("{s:o, s:s, s:b}", "revision", cli_json_string(revision),
				       "case", name, "split", 1),
			     account_split_json(&s));
	} else {
		printf("%s  %s\n%s: %.2f → %.2f instructions/op\n\n", m->arms[0].commit.short_id,
		       m->arms[0].commit.subject, name, s.parent, s.commit);
		show_account_split(&s, stdout);
	}
	account_split_release(&s);
	return 0;
}
