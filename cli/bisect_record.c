/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bisect_record.h"

#include "bisect/bisect_replay.h"
#include "cli/cli.h"
#include "cli/project.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "harness/store_read.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct asked {
	uint64_t id; /* 0: the newest */
	const char *db, *config;
	bool json;
};

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = { { "db", required_argument, NULL, 'd' },
						 { "config", required_argument, NULL, 'c' },
						 { "json", no_argument, NULL, 'j' },
						 { 0 } };
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'd': a->db = optarg; break;
		case 'c': a->config = optarg; break;
		case 'j': a->json = true; break;
		default: return CLI_USAGE;
		}
	}
	/* The word itself is the first that is left. */
	if (argc - optind > 2 ||
	    (argc - optind == 2 && !cli_number(argv[optind + 1], 1, INT64_MAX, &a->id)))
		return cli_usage("bisect",
				 "%s takes the number of a bisect, as 'hakperf log' lists it",
				 argv[optind]);
	return 0;
}

static int newest(struct store *s, uint64_t *id, struct error *e)
{
	struct store_bisect_rows rows = { 0 };
	int rc = *id ? 0 : store_bisects(s, (struct store_opt){ 0 }, &rows, e);
	if (!rc && !*id && !rows.n)
		rc = error_set(e, -ENOENT,
			       "the record has no bisect: 'hakperf bisect GOOD BAD' makes one");
	if (!rc && !*id)
		*id = (uint64_t)rows.items[0].id;
	store_free(rows.pool);
	return rc;
}

int bisect_record_log(int argc, char **argv)
{
	struct asked a = { 0 };
	int rc = parse(argc, argv, &a);
	if (rc)
		return rc;
	struct error e = { 0 };
	struct store *s = NULL;
	char *path = NULL, number[24];
	rc = cli_db_path(a.db, &path, &e);
	if (!rc)
		rc = store_open(path, STORE_READ, &s, &e);
	if (!rc)
		rc = newest(s, &a.id, &e);
	store_close(s);
	if (!rc) {
		snprintf(number, sizeof(number), "%" PRIu64, a.id);
		char *words[] = { "log", "--bisect", number, "--db", path, a.json ? "--json" : NULL,
				  NULL };
		optind = 0;
		rc = cmd_log(a.json ? 6 : 5, words);
	} else {
		rc = cli_cannot("bisect", &e);
	}
	free(path);
	return rc;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static void print(const json_t *r)
{
	struct table *t = table_new(6, "rllrll");
	size_t i, n = json_array_size(json_object_get(r, "decisions"));
	json_t *d;
	table_head(t, "step", "measured", "against", "difference", "asked now", "subject");
	json_array_foreach(json_object_get(r, "decisions"), i, d) {
		char seq[24], change[32], asked[16];
		snprintf(seq, sizeof(seq), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(json_object_get(d, "seq")));
		snprintf(asked, sizeof(asked), "%.12s",
			 *text(d, "asked") ? text(d, "asked") : "nothing");
		table_row(t, seq, text(d, "short"), *text(d, "beside") ? text(d, "beside") : "good",
			  table_change(exp(json_number_value(json_object_get(d, "log_ratio"))),
				       change, sizeof(change)),
			  json_is_true(json_object_get(d, "same")) ? "the same" : asked,
			  text(d, "subject"));
	}
	table_print(t, stdout);
	table_free(t);
	printf("\n%zu decisions taken again: %s\n", n,
	       json_is_true(json_object_get(r, "same")) ? "all came out the same"
							: "they did NOT all come out the same");
	json_array_foreach(json_object_get(r, "steps"), i, d) {
		char change[32];
		printf("%s %.12s: %s, posterior %.4f\n",
		       json_is_true(json_object_get(d, "named")) ? "step at" : "most probable",
		       text(d, "commit"),
		       table_change(exp(json_number_value(json_object_get(d, "size"))), change,
				    sizeof(change)),
		       json_number_value(json_object_get(d, "posterior")));
	}
}

int bisect_record_replay(int argc, char **argv)
{
	struct asked a = { 0 };
	int rc = parse(argc, argv, &a);
	if (rc)
		return rc;
	struct error e = { 0 };
	struct project p;
	json_t *result = NULL;
	rc = project_open(&p, a.config, a.db, PROJECT_SUBJECT | PROJECT_STORE_READ, &e);
	if (!rc)
		rc = newest(p.store, &a.id, &e);
	if (!rc)
		rc = bisect_replay(&p.subject, p.store, (int64_t)a.id, &result, &e);
	if (!rc && a.json)
		cli_envelope("bisect", json_pack("{s:I}", "replay", (json_int_t)a.id),
			     json_incref(result));
	else if (!rc)
		print(result);
	json_decref(result);
	project_close(&p);
	return rc ? cli_cannot("bisect", &e) : CLI_ANSWERED;
}
