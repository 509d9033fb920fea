/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "bisect/account_asm.h"
#include "cli/account.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "harness/debuginfo.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * What removing a function can bring at most. Instructions are not equally dear: a removed one is
 * taken for one of a dependent chain, a cycle, or for the mean of the loop where that is more.
 */
static double bound(double instructions, double cycles, double all_instructions)
{
	double dear = fmax(1, cycles / all_instructions), share = instructions * dear / cycles;
	return share >= 1 ? 1 : share;
}

/* 1 / (1 - share) - 1: the throughput that a share of the time is worth. */
static double gain(double share)
{
	return share < 1 ? share / (1 - share) : INFINITY;
}

struct sampled {
	bool known;
	double share, error;
};

static void where_path(const struct account *a, size_t p, const struct account_function *f,
		       const struct accounting_cost *c, const struct sampled *s, json_t *list,
		       FILE *to)
{
	char time[80] = "";
	double ops = (double)a->operations, per_op = f->inclusive_ir / ops,
	       calls = a->paths[p].calls, total = a->total_ir / ops;
	char most[200] = "";
	double z = c ? gain(bound(per_op, c->per_op, total)) : NAN, mean = gain(per_op / total);
	if (c && isfinite(z))
		snprintf(most, sizeof(most),
			 "; at most +%.1f %% of throughput to be had by removing it (+%.1f %% at "
			 "the loop's mean cost)",
			 100 * z, 100 * mean);
	else if (c)
		snprintf(most, sizeof(most),
			 "; no bound by instructions on what removing it brings (+%.1f %% at the "
			 "loop's mean cost)",
			 100 * mean);
	if (s->known)
		snprintf(time, sizeof(time), ", %.1f ± %.1f %% of the samples", 100 * s->share,
			 100 * s->error);
	if (to)
		fprintf(to,
			"%s: reached in %.1f %% of calls of %s, %.2f instructions per operation "
			"(%.2f itself), %.1f %% of the loop's%s%s%s\n",
			f->inlined && !f->own ? "inlined"
			: f->inlined          ? "called and inlined"
					      : "called",
			100 * f->reached, a->paths[p].name, per_op, f->self_ir / ops,
			100 * per_op / total, time,
			f->fast_ir <= 0 ? ", all on the slow path" : "", most);
	json_t *j = json_pack("{s:s, s:f, s:f, s:f, s:f, s:b, s:b, s:f}", "path", a->paths[p].name,
			      "reached", f->reached, "calls", f->calls / ops, "self",
			      f->self_ir / ops, "inclusive", per_op, "inlined", f->inlined,
			      "called", f->own, "fast", f->fast_ir / ops);
	json_object_set_new(j, "calls_per_call",
			    calls > 0 ? json_real(f->calls / calls) : json_null());
	json_object_set_new(j, "gain_at_most", isfinite(z) ? json_real(z) : json_null());
	json_object_set_new(j, "sampled_share", s->known ? json_real(s->share) : json_null());
	json_array_append_new(list, j);
}

/* Does the build know such a function at all? */
static bool in_build(const struct accounting *x, const char *function)
{
	struct debuginfo *d = NULL;
	const char *artifact = x->m.arms[0].build.artifact, *plain = function;
	/* Debug information tells what a function is a member of by where it stands. */
	for (const char *s = function; (s = strstr(s, "::")); s += 2)
		plain = s + 2;
	bool known =
		artifact && !debuginfo_open(&d, artifact, NULL) && debuginfo_mentions(d, plain);
	debuginfo_close(d);
	return known;
}

json_t *accounting_where(struct accounting *x, size_t k, const char *function, FILE *to,
			 struct error *e)
{
	const struct account_count *count = accounting_of(x, k, 0);
	json_t *list = json_array();
	char name[128];
	bench_case_name(&x->m.cases[k].c, name, sizeof(name));
	if (!count->counted) {
		if (to)
			fprintf(to, "%s: not counted: %s\n", name, count->why);
		return list;
	}
	struct accounting_cost c;
	bool costed = accounting_cycles(x, k, 0, &c, e);
	for (size_t i = 1; i <= count->account.n_paths; i++) {
		size_t p = i % count->account.n_paths;
		struct account_function f;
		if (!account_function(&count->account, p, function, &f))
			continue;
		if (to)
			fprintf(to, "%s in %s, ", function, name);
		struct sampled s = { 0 };
		s.known = accounting_sampled(x, k, 0, p, function, &s.share, &s.error);
		where_path(&count->account, p, &f, costed ? &c : NULL, &s, list, to);
	}
	if (!json_array_size(list)) {
		bool known = in_build(x, function);
		if (to)
			fprintf(to,
				known ? "%s in %s: reached in 0.0 %% of calls: the build has it, "
					"no instruction of it ran; nothing to be had by removing "
					"it\n"
				      : "%s in %s: no instruction of it ran, and the build's debug "
					"information knows no function of that name\n",
				function, name);
	} else if (costed && to) {
		fprintf(to,
			"Bound: each instruction taken for %.2f cycles, the larger of one (a "
			"dependent chain) and this loop's mean; %.2f cycles/op by %s.\n"
			"An atomic operation, a cache miss or a mispredicted branch costs more "
			"than that.\n",
			fmax(1, c.per_op / (count->account.total_ir /
					    (double)count->account.operations)),
			c.per_op, c.metric);
	}
	return list;
}

/* cycles: of an operation, NAN where nothing was sampled. */
static char *one_side(const struct accounting *x, size_t k, size_t arm, double cycles,
		      const struct account_listing *l, size_t i)
{
	char sampled[48] = "";
	if (i >= l->n)
		return x_strdup("");
	const struct account_instruction *it = &l->items[i];
	const char *slash = strrchr(it->file, '/');
	double times = l->calls_per_op > 0 ? it->per_op / l->calls_per_op : it->per_op;
	double share = isfinite(cycles) ? accounting_sampled_at(x, k, arm, l->object, it->address)
					: NAN;
	if (isfinite(share))
		snprintf(sampled, sizeof(sampled), share > 0 ? "%6.2f  " : "     ·  ",
			 share * cycles);
	return x_printf("%6.2f  %s%-44s %s:%u%s%s", times, sampled, it->text,
			slash ? slash + 1 : it->file, it->line, *it->chain ? "  ↳ " : "",
			it->chain);
}

static void asm_head(const struct accounting *x, size_t arm, const struct account_listing *l,
		     const char *function, bool sampled, FILE *to)
{
	fprintf(to, "%s%s%s of %s: %zu instructions ran, %.2f per operation",
		table_colour(TABLE_BOLD), function, table_colour(TABLE_PLAIN), x->m.arms[arm].label,
		l->n, l->per_op);
	if (l->calls_per_op > 0)
		fprintf(to, ", %.2f per call (first column: executions per call%s)",
			l->per_op / l->calls_per_op,
			sampled ? "; second: sampled cycles per operation of the loop" : "");
	fputc('\n', to);
}

static json_t *listing_json(const struct accounting *x, size_t k, size_t arm, double cycles,
			    const struct account_listing *l)
{
	json_t *items = json_array();
	for (size_t i = 0; i < l->n; i++) {
		const struct account_instruction *it = &l->items[i];
		json_t *one = json_pack("{s:I, s:o, s:f, s:o, s:i, s:o, s:b}", "address",
					(json_int_t)it->address, "text", cli_json_string(it->text),
					"executions", it->per_op, "file", cli_json_string(it->file),
					"line", (int)it->line, "inlined",
					cli_json_string(it->chain), "after_gap", it->gap);
		double share = isfinite(cycles) ? accounting_sampled_at(x, k, arm, l->object,
									 it->address)
						: NAN;
		if (isfinite(share))
			json_object_set_new(one, "cycles", json_real(share * cycles));
		json_array_append_new(items, one);
	}
	return json_pack("{s:f, s:f, s:o}", "instructions", l->per_op, "calls", l->calls_per_op,
			 "listing", items);
}

int accounting_asm(struct accounting *x, size_t k, const char *function, FILE *to, json_t **out,
		   struct error *e)
{
	struct account_listing l[2] = { 0 };
	double cycles[2] = { NAN, NAN };
	struct table *t = table_new(x->m.n_arms, "ll");
	size_t have = 0;
	int rc = 0;
	*out = json_array();
	for (size_t a = 0; a < x->m.n_arms && a < 2; a++) {
		struct error why = { 0 };
		struct accounting_cost cost;
		const struct account_count *c = accounting_of(x, k, a);
		if (x->samples && accounting_cycles(x, k, a, &cost, &why))
			cycles[a] = cost.per_op;
		rc = c->counted ? account_listing(&c->account, function, &l[a], &why)
				: error_set(&why, -ENODATA, "not counted: %s", c->why);
		if (rc) {
			if (to)
				fprintf(to, "%s: %s\n", x->m.arms[a].label, why.text);
			if (have + 1 == x->m.n_arms - a || x->m.n_arms == 1)
				error_set(e, rc, "%s", why.text);
			json_array_append_new(*out, json_null());
			continue;
		}
		have++;
		if (to)
			asm_head(x, a, &l[a], function, isfinite(cycles[a]), to);
		json_array_append_new(*out, listing_json(x, k, a, cycles[a], &l[a]));
	}
	struct account_pair *rows;
	size_t n_rows = account_listing_align(&l[0], &l[1], &rows);
	for (size_t i = 0; i < n_rows; i++) {
		char *left = one_side(x, k, 0, cycles[0], &l[0], rows[i].a),
		     *right = one_side(x, k, 1, cycles[1], &l[1], rows[i].b);
		x->m.n_arms == 2 ? table_row(t, left, right) : table_row(t, left);
		free(left), free(right);
	}
	free(rows);
	if (to && n_rows)
		table_print(t, to);
	table_free(t);
	account_listing_release(&l[0]), account_listing_release(&l[1]);
	if (have)
		error_clear(e);
	return have ? 0 : rc;
}
