/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/wrong_use.h"

#include "base/buf.h"
#include "harness/session_private.h"
#include "harness/session_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_NS 10000000000u
#define EXIT_CORRUPTED 3 /* of the programs: harness/wrong_use/crime.h */

static const struct { const char *program, *name; } crimes[WRONG_USES] = {
	[WRONG_USE_DOUBLE_FREE] = { "double_free", "double free" },
	[WRONG_USE_INTERIOR_FREE] = { "interior_free", "interior pointer" },
	[WRONG_USE_WILD_FREE] = { "wild_free", "wild pointer" },
};

const char *wrong_use_name(int crime)
{
	return crimes[crime].name;
}

const char *wrong_use_outcome_name(enum wrong_use_outcome o)
{
	static const char *const names[] = {
		[WRONG_USE_NAMED] = "named", [WRONG_USE_STOPPED] = "stopped", [WRONG_USE_REPORTED] = "reported", [WRONG_USE_LATER] = "crashes later",
		[WRONG_USE_CORRUPTED] = "corrupts memory", [WRONG_USE_UNNOTICED] = "unnoticed", [WRONG_USE_UNKNOWN] = "unknown",
	};
	return names[o];
}

int wrong_use_add(struct wrong_use *w, struct session *s, const char *programs, unsigned block_bytes, struct error *e)
{
	int rc = 0;
	for (int i = 0; !rc && i < WRONG_USES; i++) {
		char *program = x_printf("%s/%s", programs, crimes[i].program), *size = x_printf("%u", block_bytes);
		const char *argv[] = { program, "{size}", NULL };
		bench_case_of_command(argv, &w->cases[i]);
		/* The size is a parameter with a name, not an argument of a foreign command. */
		free(w->cases[i].command[1]);
		w->cases[i].command[1] = x_strdup("{size}");
		free(w->cases[i].params[0].name), free(w->cases[i].params[0].value);
		w->cases[i].params[0] = (struct bench_case_param){ x_strdup("size"), size };
		free(w->cases[i].workload);
		w->cases[i].workload = x_printf("wrong_use/%s", crimes[i].program);
		rc = session_add_case(s, &w->cases[i], &w->index[i], e);
		free(program);
	}
	return rc;
}

void wrong_use_release(struct wrong_use *w)
{
	for (int i = 0; i < WRONG_USES; i++)
		bench_case_release(&w->cases[i]);
	*w = (struct wrong_use){ 0 };
}

static void first_line(const struct buf *b, char *out, size_t n)
{
	const char *s = buf_str(b);
	s += strspn(s, "\n ");
	snprintf(out, n, "%.*s", (int)strcspn(s, "\n"), s);
	for (char *c = out; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}

static void judge(const struct run_result *r, struct wrong_use_answer *a)
{
	bool passed = !strncmp(buf_str(&r->out), "done\n", 5), said = r->err.len > 0;
	bool killed = r->child_outcome == CHILD_SIGNALLED;
	bool ended = r->child_outcome == CHILD_EXITED;
	first_line(&r->err, a->message, sizeof(a->message));
	if (ended && passed && r->child_status == EXIT_CORRUPTED) {
		a->outcome = WRONG_USE_CORRUPTED;
		const char *line = buf_str(&r->out) + 5;
		snprintf(a->message, sizeof(a->message), "%.*s", (int)strcspn(line, "\n"), line);
	} else if (ended && passed && r->child_status == 0) {
		a->outcome = said ? WRONG_USE_REPORTED : WRONG_USE_UNNOTICED;
	} else if (passed && (killed || ended)) {
		a->outcome = WRONG_USE_LATER;
	} else if (killed || (ended && r->child_status != 0 && said)) {
		/* Some allocators name the crime and exit instead of aborting. */
		a->outcome = said ? WRONG_USE_NAMED : WRONG_USE_STOPPED;
	} else {
		a->outcome = WRONG_USE_UNKNOWN;
		snprintf(a->message, sizeof(a->message), "%.190s", r->why);
	}
}

static int commit_one(struct case_state *k, const struct arm_state *a, struct store_run *row, struct wrong_use_answer *out,
		      struct error *e)
{
	char **argv = bench_case_argv(k->c, 1, "", NULL);
	const char **env = session_arm_env(a, k->c);
	struct run_spec spec = { .kind = a->kind, .subject = a->artifact, .argv = (const char *const *)argv, .env = env, .timeout_ns = TIMEOUT_NS };
	struct run_result r = { 0 };
	int rc = run_once(&spec, &r, e);
	if (!rc) {
		judge(&r, out);
		*row = (struct store_run){
			.arm_id = a->id, .multiplier = 1, .outcome = wrong_use_outcome_name(out->outcome), .detail = out->message[0] ? out->message : NULL,
			.exit_status = STORE_INT(r.child_outcome == CHILD_SIGNALLED ? -r.child_status : r.child_status), .whole_process = true,
			.subject_hash = a->hash[0] ? a->hash : NULL,
		};
	}
	run_release(&r);
	bench_case_argv_release(argv);
	free(env);
	return rc;
}

int wrong_use_run(struct wrong_use *w, struct session *s, const size_t *arms, size_t n_arms, struct wrong_use_answer *out, struct error *e)
{
	struct store_run *rows = x_calloc(n_arms + 1, sizeof(*rows));
	int rc = 0;
	for (int i = 0; !rc && i < WRONG_USES; i++) {
		struct case_state *k = &s->cases[w->index[i]];
		for (size_t a = 0; !rc && a < n_arms; a++)
			rc = commit_one(k, &s->arms[arms[a]], &rows[a], &out[a * WRONG_USES + (size_t)i], e);
		struct store_round round = { .session_id = s->id, .case_id = k->id, .number = (int64_t)k->next_round, .sitting = s->sitting,
					     .kind = STORE_TIMED, .runs = rows, .n_runs = n_arms };
		if (!rc)
			rc = store_round(s->store, &round, NULL, NULL, e);
		if (!rc)
			session_record_done(s, k, arms, n_arms);
	}
	free(rows);
	return rc;
}
