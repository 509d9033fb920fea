/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "cli/cli.h"
#include "cli/peers.h"
#include "cli/table.h"
#include "harness/store_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct cell {
	double cpu, wall, peak_bytes; /* medians; NAN: not measured */
	size_t rounds;
	struct verdict_answer against; /* the subject against it; a.log.n 0: none */
};

static int median_of(struct peers *p, size_t k, size_t i, const char *metric, double *out, size_t *rounds, struct error *e)
{
	struct store_rows *r = rows_open(p->p.store,
		"SELECT median (sample.value), count (*) FROM round JOIN run ON run.round_id = round.id"
		" JOIN sample ON sample.run_id = run.id JOIN metric ON metric.id = sample.metric_id"
		" WHERE round.session_id = :session AND round.case_id = :case AND round.kind = 'timed' AND NOT round.disturbed"
		" AND run.outcome = 'ok' AND run.multiplier = 1 AND run.arm_id = :arm AND metric.name = :metric");
	rows_bind_int(r, ":session", session_id(p->session));
	rows_bind_int(r, ":case", session_case_id(p->session, p->index[k]));
	rows_bind_int(r, ":arm", session_arm_id(p->session, p->list[i].arm));
	rows_bind_text(r, ":metric", metric);
	int rc = rows_next(r, e);
	*out = rc > 0 && !rows_null(r, 0) ? rows_real(r, 0) : NAN;
	if (rounds)
		*rounds = rc > 0 ? (size_t)rows_int(r, 1) : 0;
	rows_close(r);
	return rc < 0 ? rc : 0;
}

static int fill(struct peers *p, size_t k, size_t i, struct cell *c, struct error *e)
{
	*c = (struct cell){ 0 };
	int rc = median_of(p, k, i, "ops_per_cpu_s", &c->cpu, &c->rounds, e);
	if (!rc)
		rc = median_of(p, k, i, "ops_per_s", &c->wall, NULL, e);
	if (!rc)
		rc = median_of(p, k, i, "peak_rss_bytes", &c->peak_bytes, NULL, e);
	if (rc || i == 0)
		return rc;
	struct verdict_question q = { .session_id = session_id(p->session), .case_id = session_case_id(p->session, p->index[k]),
				      .arm_a = session_arm_id(p->session, p->list[i].arm), .arm_b = session_arm_id(p->session, p->list[0].arm),
				      .metric = session_metric(p->session, p->index[k]), .delta = -1 };
	rc = verdict_ask(p->p.store, &q, &c->against, e);
	return rc ? rc : verdict_store(p->p.store, &q, &c->against, false, e);
}

/* The subject against a peer, in words for two programs of which none is the older: ratio of throughput. */
static const char *against_words(const struct verdict_answer *v)
{
	switch (v->a.verdict) {
	case STATS_REGRESSION: return "slower";
	case STATS_IMPROVEMENT: return "faster";
	case STATS_NO_CHANGE: return "the same";
	case STATS_INVALID: return "invalid";
	default: return "unclear";
	}
}

static void against_text(const struct verdict_answer *v, char *out, size_t n)
{
	char change[32], lo[32], hi[32];
	if (!v->a.log.n || !isfinite(v->a.ratio))
		snprintf(out, n, " ");
	else if (isfinite(v->a.lo) && isfinite(v->a.hi))
		snprintf(out, n, "%s %s [%s, %s]", against_words(v), table_change(v->a.ratio, change, sizeof(change)),
			 table_change(v->a.lo, lo, sizeof(lo)), table_change(v->a.hi, hi, sizeof(hi)));
	else
		snprintf(out, n, "%s %s", against_words(v), table_change(v->a.ratio, change, sizeof(change)));
}

static void number(double v, double unit, int digits, char *out, size_t n)
{
	if (isfinite(v))
		snprintf(out, n, "%.*f", digits, v / unit);
	else
		snprintf(out, n, "–");
}

static int print_case(struct peers *p, size_t k, FILE *to, bool *decay, struct error *e)
{
	char name[128];
	fprintf(to, "\n%s%s%s, judged by %s\n", table_colour(TABLE_BOLD), bench_case_name(&p->cases[k], name, sizeof(name)), table_colour(TABLE_PLAIN),
		session_metric(p->session, p->index[k]));
	struct table *t = table_new(7, "lrrrrrl");
	char head[160];
	snprintf(head, sizeof(head), "%s is", p->list[0].label);
	table_head(t, "allocator", "M ops/s CPU", "M ops/s wall", "instr/op", "peak MiB", "rounds", head);
	int rc = 0;
	for (size_t i = 0; !rc && i < p->n; i++) {
		struct cell c;
		rc = fill(p, k, i, &c, e);
		char cpu[32], wall[32], instr[40], peak[32], rounds[32], against[160];
		const struct exact_answer *x = &p->exact[k * p->n + i];
		number(c.cpu, 1e6, 1, cpu, sizeof(cpu)), number(c.wall, 1e6, 1, wall, sizeof(wall)), number(c.peak_bytes, 1 << 20, 1, peak, sizeof(peak));
		snprintf(rounds, sizeof(rounds), "%zu", c.rounds);
		snprintf(instr, sizeof(instr), "–");
		if (x->counted)
			snprintf(instr, sizeof(instr), "%s%.1f%s", x->exact ? "" : "~", x->per_op, p->list[i].exact_environment ? "*" : "");
		*decay |= x->counted && p->list[i].exact_environment;
		against_text(&c.against, against, sizeof(against));
		table_row(t, p->list[i].label, cpu, wall, instr, peak, rounds, i ? against : "–");
	}
	if (!rc)
		table_print(t, to);
	table_free(t);
	return rc;
}

static void print_wrong_use(const struct peers *p, FILE *to)
{
	fprintf(to, "\n%swrong use%s, blocks of 128 bytes: what the allocator does about it\n", table_colour(TABLE_BOLD), table_colour(TABLE_PLAIN));
	struct table *t = table_new(1 + WRONG_USES, "llll");
	table_head(t, "allocator", wrong_use_name(0), wrong_use_name(1), wrong_use_name(2));
	for (size_t i = 0; i < p->n; i++) {
		const struct wrong_use_answer *w = &p->noticed[i * WRONG_USES];
		table_row(t, p->list[i].label, wrong_use_outcome_name(w[0].outcome), wrong_use_outcome_name(w[1].outcome), wrong_use_outcome_name(w[2].outcome));
	}
	table_print(t, to);
	table_free(t);
}

int peers_print(struct peers *p, FILE *to, struct error *e)
{
	int rc = 0;
	bool decay = false;
	for (size_t k = 0; !rc && k < p->n_cases; k++)
		rc = print_case(p, k, to, &decay, e);
	if (rc)
		return rc;
	if (decay)
		fprintf(to, "* counted with the clock-driven purging off (MALLOC_CONF), which is on in the timed runs\n");
	print_wrong_use(p, to);
	fprintf(to, "\nThe files of others cannot be relinked: their layout is fixed, and differences of a per cent or two may be its.\n");
	return 0;
}

static json_t *real_or_null(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *cell_json(struct peers *p, size_t k, size_t i, const struct cell *c)
{
	const struct exact_answer *x = &p->exact[k * p->n + i];
	const struct verdict_answer *v = &c->against;
	json_t *j = json_pack("{s:o, s:o, s:o, s:o}", "allocator", cli_json_string(p->list[i].label),
		"ops_per_cpu_s", cli_json_figure(c->cpu, "1/s", "ops_per_cpu_s", "median of rounds", (int64_t)c->rounds, NAN, NAN, NULL),
		"ops_per_s", cli_json_figure(c->wall, "1/s", "ops_per_s", "median of rounds", (int64_t)c->rounds, NAN, NAN, NULL),
		"peak_rss_bytes", real_or_null(c->peak_bytes));
	if (x->counted)
		json_object_set_new(j, "instructions", cli_json_figure(x->per_op, "instructions/op", "instructions_exact", x->exact ? "callgrind, exact" :
			"callgrind, does not repeat", 2, NAN, NAN, NULL));
	if (v->a.log.n)
		json_object_set_new(j, "subject_against_it", cli_json_figure(v->a.ratio, "ratio", session_metric(p->session, p->index[k]),
			"interleaved rounds", (int64_t)v->a.log.n, v->a.lo, v->a.hi, against_words(v)));
	return j;
}

int peers_json(struct peers *p, struct error *e)
{
	char name[128];
	json_t *cases = json_array(), *wrong = json_array(), *list = json_array();
	int rc = 0;
	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(list, json_pack("{s:o, s:o, s:s}", "allocator", cli_json_string(p->list[i].label), "file",
			p->list[i].artifact ? cli_json_string(p->list[i].artifact) : json_null(), "role",
			p->list[i].role == PEER_SUBJECT ? "subject" : p->list[i].role == PEER_FLOOR ? "floor" : "peer"));
	for (size_t k = 0; !rc && k < p->n_cases; k++) {
		json_t *rows = json_array();
		for (size_t i = 0; !rc && i < p->n; i++) {
			struct cell c;
			rc = fill(p, k, i, &c, e);
			json_array_append_new(rows, cell_json(p, k, i, &c));
		}
		json_array_append_new(cases, json_pack("{s:o, s:s, s:o}", "case", cli_json_string(bench_case_name(&p->cases[k], name, sizeof(name))),
						       "metric", session_metric(p->session, p->index[k]), "allocators", rows));
	}
	for (size_t i = 0; i < p->n; i++)
		for (int w = 0; w < WRONG_USES; w++) {
			const struct wrong_use_answer *x = &p->noticed[i * WRONG_USES + (size_t)w];
			json_array_append_new(wrong, json_pack("{s:o, s:s, s:s, s:o}", "allocator", cli_json_string(p->list[i].label), "wrong_use",
				wrong_use_name(w), "outcome", wrong_use_outcome_name(x->outcome), "message", cli_json_string(x->message)));
		}
	json_t *result = json_pack("{s:I, s:o, s:o, s:o}", "session", (json_int_t)session_id(p->session), "allocators", list, "cases", cases, "wrong_use", wrong);
	if (rc)
		json_decref(result);
	else
		cli_envelope("peers", json_incref(p->request), result);
	return rc;
}
