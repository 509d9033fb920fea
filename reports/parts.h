/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "reports/axis.h"
#include "reports/page.h"
#include "reports/record.h"
#include "reports/report.h"

#include <jansson.h>

/* What pages have in common. */

/* "36f14c5e7982", for a full id; others as they are. Returns out. */
const char *short_id(const char *commit, char out[16]);

/* Id, subject and phase of a commit as one run of text. phase, subject: may be NULL. */
void part_commit(struct line *l, const char *commit, const char *subject, const char *phase);
/* The same from an object of a bisect's result. */
void part_commit_json(struct line *l, const json_t *c);

/* Begin a table's row: the arm's label, its commit below. */
void part_row_head(struct table *t, const struct record_arm *a);

/* A change of a cost in per cent with its interval, and its verdict: one cell each. */
void part_change_cells(struct table *t, const struct record_case *c, const struct record_change *k);
/* "yes", "no" or why it cannot be said: against what A/A pairs of this session differ by. */
void part_noise_cell(struct table *t, const struct record_case *c, const struct record_change *k);

/* Figures with their basis. */
struct figure part_exact_figure(const struct record_exact *x);
struct figure part_timed_figure(const struct record_case *c, const struct record_timed *t);

/* Exact counts or costs of one case over commits; NULL when there is nothing to show. extra: more
 * counts, (commit, value) of a bisect's result. */
struct plot *part_exact_timeline(
	const struct record *r, size_t case_index, const struct axis *a, const json_t *extra);
struct plot *part_timed_timeline(const struct record *r, size_t case_index, const struct axis *a);

/* What this machine is, what it could not count, how noisy it was. brief: the lines a reader of
 * figures needs. */
int part_machine(struct page *p, const struct record *r, bool brief, struct error *e);

/* Answer of a bisect: a card. Returns whether it found a regression. */
bool part_bisect_answer(
	struct page *p, const json_t *result, const char *label, int64_t id, bool link);

/* JSON, tolerant: "" and NAN where there is nothing. */
const char *part_str(const json_t *o, const char *key);
double part_num(const json_t *o, const char *key);

/* "3 rounds", "1 round". */
#define PLURAL(n) ((n) == 1 ? "" : "s")

/* "2025-11-08 14:02 UTC"; out has room for 32. */
const char *part_time(int64_t unix_s, char out[32]);

/* So many bisects, the newest, have a page of their own. */
#define REPORT_BISECTS 12
/* And so many stories are linked. */
#define REPORT_STORIES 8

/* The pages; each is in a file of its own. */
struct report {
	struct store *store;
	const struct report_options *o;
	struct record run; /* of the main session; no arms: none */
	bool has_run;
	struct axis axis;
	struct store_bisect_rows bisects; /* newest first */
	bool worse;
};
int page_main(struct report *rp, struct page **out, struct error *e);
/* argument: label or commit of the base; NULL: the first. */
int page_phases(struct report *rp, const char *argument, struct page **out, struct error *e);
int page_bisect(
	struct report *rp, int64_t id, struct page **out, struct error *e); /* id 0: the newest */
int page_machine(struct report *rp, struct page **out, struct error *e);
int page_compare(struct report *rp, const char *argument, struct page **out, struct error *e);
int page_history(struct report *rp, const char *argument, struct page **out, struct error *e);
int page_claims(struct report *rp, struct page **out, struct error *e);
int page_peers(struct report *rp, struct page **out, struct error *e);
