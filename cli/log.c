/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/log.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/verbs.h"

#include "base/buf.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char help_log[] =
	"show what is in the database: sessions, bisects, builds\n"
	"\n"
	"usage: hakperf log [--limit N] [--db FILE] [--json]\n"
	"       hakperf log --session ID [--metric NAME] [--db FILE] [--json]\n"
	"       hakperf log --bisect ID [--db FILE] [--json]\n"
	"\n"
	"  --limit N      list the newest N sessions and bisects (default 20; 0: all)\n"
	"  --session ID   one session: what was compared, its medians and verdicts\n"
	"  --metric NAME  show the medians of this metric (default: the session's own)\n"
	"  --bisect ID    one bisect: every measurement and decision\n"
	"  --db FILE      the database (default: results.db at the repository's root)\n"
	"  --json         machine-readable\n";

/* ---- all of it ---- */

/* "phase:7, HEAD (5 arms)": what a session compares, in the user's words. */
static const char *asked(struct page *p, const struct store_arm_rows *arms)
{
	struct buf b = { 0 };
	size_t n = 0;
	for (size_t i = 0; i < arms->n; i++) {
		if (strcmp(arms->items[i].role, "subject") && strcmp(arms->items[i].role, "reference"))
			continue;
		if (n < 4)
			buf_printf(&b, "%s%s", n ? ", " : "", page_text(p, arms->items[i].label));
		n++;
	}
	if (n > 4)
		buf_printf(&b, " and %zu more", n - 4);
	if (!n)
		buf_puts(&b, "–");
	return page_keep(p, buf_detach(&b));
}

/* What was asked, and the primary question's last verdict where there is one. */
static const char *answer(struct page *p, const struct store_arm_rows *arms, const struct store_verdict_rows *verdicts)
{
	for (size_t i = verdicts->n; i-- > 0;) {
		const struct store_verdict *v = &verdicts->items[i].v;
		char change[32];
		if (v->primary)
			return page_keep(p, x_printf("%s: %s %s of %s", asked(p, arms), page_text(p, v->verdict),
						     table_change(v->ratio.known ? v->ratio.v : NAN, change, sizeof(change)), page_text(p, v->metric)));
	}
	return asked(p, arms);
}

static int print_sessions(struct page *p, size_t limit, struct error *e)
{
	struct store_session_rows rows;
	int rc = store_sessions(p->s, (struct store_opt){ 0 }, &rows, e);
	if (rc)
		return rc;
	struct table *t = table_new(6, "rlllrl");
	table_head(t, "session", "began", "verb", "state", "rounds", "answer");
	size_t n = limit && limit < rows.n ? limit : rows.n;
	for (size_t i = 0; i < n && !rc; i++) {
		const struct store_session_row *q = &rows.items[i];
		struct store_arm_rows arms = { 0 };
		struct store_verdict_rows verdicts = { 0 };
		rc = store_arms(p->s, q->id, &arms, e);
		if (!rc)
			rc = store_verdicts(p->s, q->id, &verdicts, e);
		if (!rc)
			table_row(t, page_int(p, q->id), page_time(p, q->started_s, false), page_text(p, q->verb), page_text(p, q->state),
				  page_int(p, q->rounds), answer(p, &arms, &verdicts));
		store_free(arms.pool);
		store_free(verdicts.pool);
	}
	if (!rc && rows.n) {
		table_print(t, stdout);
		if (n < rows.n)
			printf("and %zu older ones: --limit 0 lists all\n", rows.n - n);
	}
	table_free(t);
	store_free(rows.pool);
	return rc;
}

/* The culprits' short ids of a result, or its state. */
static const char *found(struct page *p, const struct store_bisect_row *b)
{
	json_t *result = page_json_parsed(b->result_json), *culprits = json_object_get(result, "culprits"), *c;
	struct buf text = { 0 };
	size_t i;
	json_array_foreach(culprits, i, c) {
		json_t *id = json_object_get(c, "commit");
		const char *s = json_string_value(json_is_object(id) ? json_object_get(id, "id") : id);
		if (!s)
			s = json_string_value(json_object_get(c, "short"));
		buf_printf(&text, "%s%.12s", i ? ", " : "", s ? page_text(p, s) : "?");
	}
	if (!text.len && !json_is_null(result))
		buf_puts(&text, "none");
	json_decref(result);
	buf_puts(&text, "");
	return page_keep(p, buf_detach(&text));
}

static int print_bisects(struct page *p, size_t limit, struct error *e)
{
	struct store_bisect_rows rows;
	int rc = store_bisects(p->s, (struct store_opt){ 0 }, &rows, e);
	if (rc || !rows.n) {
		store_free(rows.pool);
		return rc;
	}
	struct table *t = table_new(8, "rrllllrl");
	table_head(t, "bisect", "session", "state", "metric", "good", "bad", "steps", "culprits");
	for (size_t i = 0; i < rows.n && (!limit || i < limit); i++) {
		const struct store_bisect_row *b = &rows.items[i];
		table_row(t, page_int(p, b->id), page_int(p, b->session_id), page_text(p, b->state), b->metric ? page_text(p, b->metric) : "auto",
			  page_keep(p, x_printf("%.12s", b->good)), page_keep(p, x_printf("%.12s", b->bad)), page_int(p, b->steps), found(p, b));
	}
	printf("\n");
	table_print(t, stdout);
	table_free(t);
	store_free(rows.pool);
	return 0;
}

static const char totals[] =
	"SELECT (SELECT count (*) FROM sample), (SELECT count (*) FROM run), (SELECT count (*) FROM run WHERE outcome <> 'ok'),"
	" (SELECT count (*) FROM round), (SELECT count (*) FROM round WHERE disturbed), (SELECT count (*) FROM machine),"
	" (SELECT count (*) FROM commit_info), (SELECT count (*) FROM claim)";
static const char builds[] = "SELECT outcome, count (*) FROM build GROUP BY outcome ORDER BY outcome = 'ok' DESC, outcome";

static int print_totals(struct page *p, struct error *e)
{
	struct stat st;
	char samples[32];
	struct store_rows *r = rows_open(p->s, totals);
	int rc = rows_next(r, e);
	if (rc > 0) {
		printf("%s: %.1f MB, %s samples of %" PRId64 " runs (%" PRId64 " not ok) in %" PRId64 " rounds (%" PRId64 " disturbed), %" PRId64
		       " machine%s\n",
		       page_text(p, store_path(p->s)), stat(store_path(p->s), &st) ? 0.0 : (double)st.st_size / 1e6,
		       rows_int(r, 0) < 1000 ? page_int(p, rows_int(r, 0)) : table_number(rows_real(r, 0), samples, sizeof(samples)), rows_int(r, 1), rows_int(r, 2), rows_int(r, 3), rows_int(r, 4),
		       rows_int(r, 5), rows_int(r, 5) == 1 ? "" : "s");
		printf("%" PRId64 " commits; builds:", rows_int(r, 6));
	}
	rows_close(r);
	if (rc < 0)
		return rc;
	r = rows_open(p->s, builds);
	size_t n = 0;
	while ((rc = rows_next(r, e)) > 0)
		printf("%s %" PRId64 " %s", n++ ? "," : "", rows_int(r, 1), page_text(p, rows_text(r, 0)));
	rows_close(r);
	printf("%s\n\n", n ? "" : " none");
	return rc;
}

static int print_all(struct page *p, size_t limit, struct error *e)
{
	int rc = print_totals(p, e);
	if (!rc)
		rc = print_sessions(p, limit, e);
	return rc ? rc : print_bisects(p, limit, e);
}

static int json_all(struct page *p, size_t limit, struct error *e)
{
	struct store_session_rows sessions = { 0 };
	struct store_bisect_rows bisects = { 0 };
	json_t *outcome = json_object(), *session = json_array(), *bisect = json_array(), *total = NULL;
	struct store_rows *r = rows_open(p->s, totals);
	int rc = rows_next(r, e);
	if (rc > 0)
		total = json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "path", cli_json_string(store_path(p->s)), "samples",
				  (json_int_t)rows_int(r, 0), "runs", (json_int_t)rows_int(r, 1), "runs_not_ok", (json_int_t)rows_int(r, 2), "rounds",
				  (json_int_t)rows_int(r, 3), "rounds_disturbed", (json_int_t)rows_int(r, 4), "machines", (json_int_t)rows_int(r, 5),
				  "commits", (json_int_t)rows_int(r, 6), "claims", (json_int_t)rows_int(r, 7));
	rows_close(r);
	r = rows_open(p->s, builds);
	while (rc >= 0 && (rc = rows_next(r, e)) > 0)
		json_object_set_new(outcome, page_text(p, rows_text(r, 0)), json_integer(rows_int(r, 1)));
	rows_close(r);
	if (!rc)
		rc = store_sessions(p->s, (struct store_opt){ 0 }, &sessions, e);
	if (!rc)
		rc = store_bisects(p->s, (struct store_opt){ 0 }, &bisects, e);
	for (size_t i = 0; i < sessions.n && (!limit || i < limit); i++)
		json_array_append_new(session, log_session_json(p, &sessions.items[i]));
	for (size_t i = 0; i < bisects.n && (!limit || i < limit); i++)
		json_array_append_new(bisect, log_bisect_json(p, &bisects.items[i]));
	if (!rc)
		cli_envelope("log", json_pack("{s:I}", "limit", (json_int_t)limit),
			     json_pack("{s:O, s:O, s:O, s:O}", "database", total, "builds", outcome, "sessions", session, "bisects", bisect));
	json_decref(total), json_decref(outcome), json_decref(session), json_decref(bisect);
	store_free(sessions.pool);
	store_free(bisects.pool);
	return rc;
}

int cmd_log(int argc, char **argv)
{
	static const struct option options[] = {
		{ "limit", required_argument, NULL, 'l' }, { "session", required_argument, NULL, 's' }, { "bisect", required_argument, NULL, 'b' },
		{ "metric", required_argument, NULL, 'm' }, { "db", required_argument, NULL, 'd' }, { "json", no_argument, NULL, 'j' }, { 0 },
	};
	uint64_t limit = 20, session = 0, bisect = 0;
	const char *db = NULL, *metric = NULL;
	bool json = false;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'l':
			if (!cli_number(optarg, 0, 1000000000, &limit))
				return cli_usage("log", "--limit %s: it is a number, 0 for all", optarg);
			break;
		case 's':
			if (!cli_number(optarg, 1, INT64_MAX, &session))
				return cli_usage("log", "--session %s: it is a number of the list", optarg);
			break;
		case 'b':
			if (!cli_number(optarg, 1, INT64_MAX, &bisect))
				return cli_usage("log", "--bisect %s: it is a number of the list", optarg);
			break;
		case 'm': metric = optarg; break;
		case 'd': db = optarg; break;
		case 'j': json = true; break;
		default: return CLI_USAGE;
		}
	}
	if (optind < argc)
		return cli_usage("log", "takes no '%s'", argv[optind]);
	if (session && bisect)
		return cli_usage("log", "--session and --bisect exclude each other");
	if (metric && !session)
		return cli_usage("log", "--metric goes with --session");

	struct error e = { 0 };
	struct page p = { 0 };
	char *path = NULL;
	int rc = cli_db_path(db, &path, &e);
	if (!rc)
		rc = store_open(path, STORE_READ, &p.s, &e);
	if (!rc)
		rc = store_snapshot(p.s, &e);
	if (!rc) {
		rc = session  ? log_session(&p, (int64_t)session, metric, json, &e)
		     : bisect ? log_bisect(&p, (int64_t)bisect, json, &e)
		     : json   ? json_all(&p, limit, &e)
			      : print_all(&p, limit, &e);
		store_snapshot_end(p.s);
	}
	store_close(p.s);
	page_release(&p);
	free(path);
	return rc ? cli_cannot("log", &e) : CLI_ANSWERED;
}
