/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/log.h"
#include "cli/table.h"

#include "base/buf.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

json_t *log_session_json(struct page *p, const struct store_session_row *q)
{
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:o}", "id", (json_int_t)q->id, "verb",
			 cli_json_string(q->verb), "request", page_json_parsed(q->request_json), "state", cli_json_string(q->state), "detail",
			 page_json_text(q->detail), "started", page_time(p, q->started_s, true), "ended",
			 q->ended_s.known ? json_string(page_time(p, q->ended_s.v, true)) : json_null(), "metric", page_json_text(q->metric), "delta",
			 page_json_real(q->delta), "confidence", page_json_real(q->confidence), "arms", (json_int_t)q->arms, "rounds",
			 (json_int_t)q->rounds, "runs", (json_int_t)q->runs, "sittings", (json_int_t)q->sittings, "toolkit",
			 cli_json_string(q->toolkit_version));
}

struct session_page {
	struct store_session_rows session;
	struct store_arm_rows arms;
	struct store_case_rows cases;
	struct store_cell_rows missing;
	struct store_medians medians;
	struct store_verdict_rows verdicts;
	const char *metric, *unit;
	enum store_kind kind;
};

/* Timed medians where there are any, else the exact counts: a session may have one or both. */
static int load_medians(struct page *p, int64_t id, struct session_page *d, struct error *e)
{
	d->kind = STORE_TIMED;
	int rc = store_medians(p->s, STORE_INT(id), d->kind, d->metric, &d->medians, e);
	if (rc || d->medians.n)
		return rc;
	store_free(d->medians.pool);
	d->kind = STORE_EXACT;
	return store_medians(p->s, STORE_INT(id), d->kind, d->metric, &d->medians, e);
}

/* Where nobody asked for a metric, the one that its question was answered by. */
static const char *judged_by(const struct session_page *d)
{
	for (size_t i = d->verdicts.n; i-- > 0;)
		if (d->verdicts.items[i].v.primary)
			return d->verdicts.items[i].v.metric;
	return d->verdicts.n ? d->verdicts.items[d->verdicts.n - 1].v.metric : "ops_per_cpu_s";
}

static int load_session(struct page *p, int64_t id, const char *metric, struct session_page *d, struct error *e)
{
	*d = (struct session_page){ 0 };
	int rc = store_sessions(p->s, STORE_INT(id), &d->session, e);
	if (!rc)
		rc = store_arms(p->s, id, &d->arms, e);
	if (!rc)
		rc = store_cases(p->s, STORE_INT(id), &d->cases, e);
	if (!rc)
		rc = store_cells(p->s, id, true, &d->missing, e);
	if (!rc)
		rc = store_verdicts(p->s, id, &d->verdicts, e);
	if (rc)
		return rc;
	d->metric = metric ? metric : d->session.items[0].metric ? d->session.items[0].metric : judged_by(d);
	struct store_rows *r = rows_open(p->s, "SELECT unit FROM metric WHERE name = :name");
	rows_bind_text(r, ":name", d->metric);
	rc = rows_next(r, e);
	if (rc > 0)
		d->unit = page_text(p, rows_text(r, 0));
	else if (!rc && metric)
		rc = error_set(e, -ENOENT, "there are no figures of a metric '%s' in %s", metric, store_path(p->s));
	rows_close(r);
	return rc < 0 ? rc : load_medians(p, id, d, e);
}

static void session_page_release(struct session_page *d)
{
	store_free(d->session.pool);
	store_free(d->arms.pool);
	store_free(d->cases.pool);
	store_free(d->missing.pool);
	store_free(d->medians.pool);
	store_free(d->verdicts.pool);
}

static const struct store_arm_row *arm_of(const struct session_page *d, int64_t id)
{
	for (size_t i = 0; i < d->arms.n; i++)
		if (d->arms.items[i].id == id)
			return &d->arms.items[i];
	return NULL;
}

static const char *arm_label(struct page *p, const struct session_page *d, int64_t id)
{
	const struct store_arm_row *a = arm_of(d, id);
	if (!a)
		return "?";
	bool check = !strcmp(a->role, "aa") || !strcmp(a->role, "control");
	return page_keep(p, x_printf("%s%s%s%s%s", page_text(p, a->label), check ? " (" : "", check ? page_text(p, a->role) : "", check ? ")" : "",
				*a->variant && strcmp(a->variant, "release") ? page_keep(p, x_printf(" [%s]", page_text(p, a->variant))) : ""));
}

/* "hot_path C4, steady, min_bytes 80, cycles 1000": every parameter by name. */
static const char *case_words(struct page *p, const struct session_page *d, int64_t id)
{
	for (size_t i = 0; i < d->cases.n; i++) {
		struct store_case_row *c = &d->cases.items[i];
		if (c->id != id)
			continue;
		struct buf b = { 0 };
		buf_printf(&b, "%s%s%s, %s", page_text(p, c->workload), c->parameters.size_class ? " " : "",
			   c->parameters.size_class ? page_text(p, c->parameters.size_class) : "", c->parameters.cold ? "cold" : "steady");
		size_t n;
		const struct store_parameter *parameter = store_case_parameters(&n);
		for (size_t k = 0; k < n; k++) {
			struct store_opt v = *store_case_slot(&c->parameters, &parameter[k]);
			if (v.known)
				buf_printf(&b, ", %s %" PRId64, parameter[k].name, v.v);
		}
		if (c->parameters.seconds.known)
			buf_printf(&b, ", seconds %g", c->parameters.seconds.v);
		if (strcmp(c->parameters.parameters_json, "{}"))
			buf_printf(&b, ", %s", page_text(p, c->parameters.parameters_json));
		if (strcmp(c->parameters.environment_json, "{}"))
			buf_printf(&b, ", environment %s", page_text(p, c->parameters.environment_json));
		return page_keep(p, buf_detach(&b));
	}
	return "?";
}

static json_t *case_json(struct store_case_row *c)
{
	json_t *o = json_pack("{s:I, s:o, s:s, s:o}", "id", (json_int_t)c->id, "workload", cli_json_string(c->workload), "phase",
			      c->parameters.cold ? "cold" : "steady", "size_class", page_json_text(c->parameters.size_class));
	size_t n;
	const struct store_parameter *parameter = store_case_parameters(&n);
	for (size_t k = 0; k < n; k++)
		json_object_set_new(o, parameter[k].name, page_json_int(*store_case_slot(&c->parameters, &parameter[k])));
	json_object_set_new(o, "seconds", page_json_real(c->parameters.seconds));
	json_object_set_new(o, "parameters", page_json_parsed(c->parameters.parameters_json));
	json_object_set_new(o, "environment", page_json_parsed(c->parameters.environment_json));
	json_object_set_new(o, "program_hash", page_json_text(c->program_hash));
	return o;
}

/* The arms that are asked about, in their order, a bar each. */
static void print_shape(const struct session_page *d, int64_t case_id)
{
	enum { WIDTH = 64 };
	double v[WIDTH];
	size_t n = 0;
	char bars[4 * WIDTH];
	for (size_t i = 0; i < d->medians.n && n < WIDTH; i++) {
		const struct store_median *m = &d->medians.items[i];
		const struct store_arm_row *a = arm_of(d, m->arm_id);
		if (m->case_id == case_id && m->multiplier == 1 && a && (!strcmp(a->role, "subject") || !strcmp(a->role, "reference")))
			v[n++] = m->per_operation.known ? m->per_operation.v : m->median;
	}
	if (n > 2)
		printf("%s  arms in their order, from the least to the most\n", table_spark(v, n, bars, sizeof(bars)));
}

static void print_medians(struct page *p, const struct session_page *d)
{
	int64_t last = 0;
	struct table *t = NULL;
	for (size_t i = 0; i <= d->medians.n; i++) {
		const struct store_median *m = i < d->medians.n ? &d->medians.items[i] : NULL;
		if (t && (!m || m->case_id != last)) {
			table_print(t, stdout);
			table_free(t);
			t = NULL;
			print_shape(d, last);
		}
		if (!m)
			break;
		if (!t) {
			printf("\ncase %" PRId64 ": %s\n", m->case_id, case_words(p, d, m->case_id));
			t = table_new(7, "rrrrrrl");
			table_head(t, d->metric, "per operation", "least", "most", "runs", "×", "arm");
			last = m->case_id;
		}
		table_row(t, page_figure(p, m->median), page_figure(p, m->per_operation.known ? m->per_operation.v : NAN), page_figure(p, m->least),
			  page_figure(p, m->most), page_int(p, m->runs), page_int(p, m->multiplier), arm_label(p, d, m->arm_id));
	}
}

static void print_verdicts(struct page *p, const struct session_page *d)
{
	if (!d->verdicts.n)
		return;
	struct table *t = table_new(8, "llrrrlll");
	table_head(t, "verdict", "metric", "change", "interval", "rounds", "scope", "before → after", "case");
	for (size_t i = 0; i < d->verdicts.n; i++) {
		const struct store_verdict *v = &d->verdicts.items[i].v;
		char change[32], lo[32], hi[32];
		table_row(t, page_keep(p, x_printf("%s%s", page_text(p, v->verdict), v->primary ? "" : " (descriptive)")), page_text(p, v->metric),
			  page_keep(p, x_strdup(table_change(v->ratio.known ? v->ratio.v : NAN, change, sizeof(change)))),
			  page_keep(p, v->ratio_lo.known && v->ratio_hi.known ? x_printf("%s … %s", table_change(v->ratio_lo.v, lo, sizeof(lo)),
										   table_change(v->ratio_hi.v, hi, sizeof(hi)))
								       : x_strdup("–")),
			  page_int(p, v->rounds), page_keep(p, x_printf("%s, %s", page_text(p, v->scope), page_text(p, v->part))),
			  page_keep(p, x_printf("%s → %s", arm_label(p, d, v->arm_a), arm_label(p, d, v->arm_b))), page_int(p, v->case_id));
	}
	printf("\n");
	table_print(t, stdout);
	table_free(t);
}

static void print_session(struct page *p, const struct session_page *d)
{
	const struct store_session_row *q = &d->session.items[0];
	printf("session %" PRId64 ": %s, %s%s%s, began %s, %" PRId64 " sitting%s, hakperf %s\n", q->id, page_text(p, q->verb), page_text(p, q->state),
	       q->detail ? ": " : "", q->detail ? page_text(p, q->detail) : "", page_time(p, q->started_s, false), q->sittings, q->sittings == 1 ? "" : "s",
	       page_text(p, q->toolkit_version));
	printf("asked: %s\n\n", page_text(p, q->request_json));
	struct table *t = table_new(7, "rllllll");
	table_head(t, "arm", "role", "label", "commit", "phase", "variant", "subject");
	for (size_t i = 0; i < d->arms.n; i++) {
		const struct store_arm_row *a = &d->arms.items[i];
		table_row(t, page_int(p, a->number), page_text(p, a->role), page_text(p, a->label), a->commit ? page_keep(p, x_printf("%.12s", page_text(p, a->commit))) : "–",
			  a->phase ? page_text(p, a->phase) : "", page_text(p, a->variant), a->subject ? page_text(p, a->subject) : "");
	}
	table_print(t, stdout);
	table_free(t);
	if (d->medians.n)
		printf("\n%s in %s, %s; undisturbed rounds\n", page_text(p, d->metric), d->unit, d->kind == STORE_EXACT ? "exact counts" : "timed runs");
	else
		printf("\nno figures of %s\n", page_text(p, d->metric));
	print_medians(p, d);
	print_verdicts(p, d);
	int64_t missing = 0;
	for (size_t i = 0; i < d->missing.n; i++)
		missing += d->missing.items[i].planned - d->missing.items[i].done;
	if (missing)
		printf("\nof the plan %" PRId64 " runs in %zu cells are missing\n", missing, d->missing.n);
}

static json_t *session_page_json(struct page *p, const struct session_page *d)
{
	json_t *o = log_session_json(p, &d->session.items[0]), *arms = json_array(), *cases = json_array(), *medians = json_array(),
	       *verdicts = json_array();
	for (size_t i = 0; i < d->arms.n; i++) {
		const struct store_arm_row *a = &d->arms.items[i];
		json_array_append_new(arms, json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", (json_int_t)a->id, "number",
						      (json_int_t)a->number, "role", cli_json_string(a->role), "label", cli_json_string(a->label), "commit",
						      page_json_text(a->commit), "phase", page_json_text(a->phase), "subject", page_json_text(a->subject),
						      "variant", cli_json_string(a->variant), "build", cli_json_string(a->build_key), "artifact_hash",
						      page_json_text(a->artifact_hash)));
	}
	for (size_t i = 0; i < d->cases.n; i++)
		json_array_append_new(cases, case_json(&d->cases.items[i]));
	for (size_t i = 0; i < d->medians.n; i++) {
		const struct store_median *m = &d->medians.items[i];
		json_array_append_new(medians, json_pack("{s:I, s:I, s:i, s:f, s:f, s:I, s:o, s:o}", "case", (json_int_t)m->case_id, "arm",
							 (json_int_t)m->arm_id, "multiplier", m->multiplier, "least", m->least, "most", m->most, "runs",
							 (json_int_t)m->runs, "per_operation", page_json_real(m->per_operation), "median",
							 cli_json_figure(m->median, d->unit, d->metric, NULL, m->runs, NAN, NAN, NULL)));
	}
	for (size_t i = 0; i < d->verdicts.n; i++) {
		const struct store_verdict *v = &d->verdicts.items[i].v;
		double none = NAN;
		json_array_append_new(verdicts, json_pack("{s:I, s:I, s:I, s:o, s:o, s:b, s:f, s:f, s:o, s:o, s:o}", "case", (json_int_t)v->case_id,
							  "before", (json_int_t)v->arm_a, "after", (json_int_t)v->arm_b, "scope", cli_json_string(v->scope),
							  "part", cli_json_string(v->part), "primary", v->primary, "delta", v->delta, "confidence",
							  v->confidence, "rounds_to_decide", page_json_int(v->rounds_to_decide), "detail",
							  page_json_text(v->detail), "ratio",
							  cli_json_figure(v->ratio.known ? v->ratio.v : none, "1", v->metric, NULL, v->rounds,
									  v->ratio_lo.known ? v->ratio_lo.v : none, v->ratio_hi.known ? v->ratio_hi.v : none,
									  v->verdict)));
	}
	json_object_set_new(o, "arms", arms);
	json_object_set_new(o, "cases", cases);
	json_object_set_new(o, "medians", medians);
	json_object_set_new(o, "verdicts", verdicts);
	return o;
}

int log_session(struct page *p, int64_t id, const char *metric, bool json, struct error *e)
{
	struct session_page d;
	int rc = load_session(p, id, metric, &d, e);
	if (!rc && json)
		cli_envelope("log", json_pack("{s:I}", "session", (json_int_t)id), session_page_json(p, &d));
	else if (!rc)
		print_session(p, &d);
	session_page_release(&d);
	return rc;
}
