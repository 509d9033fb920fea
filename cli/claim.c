/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/claim.h"

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "harness/child.h"
#include "harness/store_read.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char help_claim[] =
	"keep claimed figures to account: list, add, verify\n"
	"\n"
	"usage: hakperf claim list\n"
	"       hakperf claim verify [OPTION ...] [NAME ...]\n"
	"       hakperf claim add NAME --text TEXT --commit REV --value NUMBER|LOW..HIGH [OPTION ...]\n"
	"\n"
	"Claims stand in hakperf.ini ([claim NAME], docs/configuration.md) or are added to the\n"
	"record. 'verify' measures each in the configuration that it names, then in others (the\n"
	"workloads of [main], all variants, steady and cold), and says: reproduced, not reproduced\n"
	"at any tried configuration, or reproduced only with these parameters. 'list' tells the\n"
	"newest answer.\n"
	"\n"
	"verify:\n"
	"  --max-time T       measuring stops after this long (default 5m); what was not reached is\n"
	"                     'not tried'\n"
	"  --no-sweep         in the claim's own configuration alone\n"
	"  --axis NAME=V,V,…  more to try, as for 'hakperf sweep'; may be given again\n"
	"  --confidence P     of the intervals (default 95%)\n"
	"  --wait T           wait for another session of this machine (default 0)\n"
	"  --fail-on missed   exit 1 when a claim is not reproduced in its own configuration\n"
	"\n"
	"add:\n"
	"  --text, --commit, --value, --unit, --metric, --source, --date, --workload, --class,\n"
	"  --variant, --relative-to, --relative-value, --compare ratio|difference, --operations,\n"
	"  --tolerance, --function, --entry   as the keys of [claim NAME]\n"
	"\n"
	"  --db FILE, --config FILE, --json\n";

enum sub { LIST, VERIFY, ADD };

struct asked {
	enum sub sub;
	struct claim_options o;
	struct config_claim k; /* to add: strings are borrowed */
	const char *db, *config;
	char **names;
	int n_names;
	bool json, fail_on;
};

/* A number that ends where the text does, "%" taken as a hundredth. */
static bool number(const char *text, double *out)
{
	char *end;
	*out = strtod(text, &end);
	if (end != text && *end == '%')
		*out /= 100, end++;
	return end != text && !*end && isfinite(*out);
}

static bool value(const char *text, struct config_claim *k)
{
	const char *dots = strstr(text, "..");
	char first[64];
	snprintf(first, sizeof(first), "%.*s", dots ? (int)(dots - text) : (int)strlen(text), text);
	if (strchr(text, '%') || !number(first, &k->lo))
		return false;
	k->hi = k->lo;
	return !dots || number(dots + 2, &k->hi);
}

enum { O_VALUE = 1000, O_RELATIVE, O_COMPARE, O_OPERATIONS, O_TOLERANCE, O_WORD };

static const struct {
	const char *name;
	size_t offset;
} word_options[] = {
	{ "text", offsetof(struct config_claim, text) },
	{ "commit", offsetof(struct config_claim, commit) },
	{ "unit", offsetof(struct config_claim, unit) },
	{ "metric", offsetof(struct config_claim, metric) },
	{ "source", offsetof(struct config_claim, source) },
	{ "date", offsetof(struct config_claim, date) },
	{ "workload", offsetof(struct config_claim, workload) },
	{ "class", offsetof(struct config_claim, class_name) },
	{ "variant", offsetof(struct config_claim, variant) },
	{ "relative-to", offsetof(struct config_claim, relative_to) },
	{ "function", offsetof(struct config_claim, function) },
	{ "entry", offsetof(struct config_claim, entry) },
};
#define WORDS (sizeof(word_options) / sizeof(word_options[0]))

static bool take_add(struct asked *a, int o, const char *text)
{
	struct config_claim *k = &a->k;
	if (o >= O_WORD) {
		*(const char **)((char *)k + word_options[o - O_WORD].offset) = text;
		return true;
	}
	switch (o) {
	case O_VALUE: return value(text, k);
	case O_RELATIVE: return number(text, &k->relative_value) && k->relative_value > 0;
	case O_OPERATIONS: return number(text, &k->operations) && k->operations > 0;
	case O_TOLERANCE: return number(text, &k->tolerance) && k->tolerance >= 0;
	default:
		k->difference = !strcmp(text, "difference");
		return k->difference || !strcmp(text, "ratio");
	}
}

static bool take_verify(struct asked *a, int o, const char *text)
{
	switch (o) {
	case 't': return cli_seconds(text, &a->o.max_time) && a->o.max_time > 0;
	case 'a': return sweep_axis_add(&a->o.axes, text);
	case 'p':
		return cli_fraction(text, &a->o.confidence) && a->o.confidence > 0.5 &&
		       a->o.confidence < 1;
	case 'W': return cli_seconds(text, &a->o.wait);
	default: return a->fail_on = !strcmp(text, "missed");
	}
}

static int parse(int argc, char **argv, struct asked *a)
{
	struct option options[WORDS + 16] = {
		{ "value", required_argument, NULL, O_VALUE },
		{ "relative-value", required_argument, NULL, O_RELATIVE },
		{ "compare", required_argument, NULL, O_COMPARE },
		{ "operations", required_argument, NULL, O_OPERATIONS },
		{ "tolerance", required_argument, NULL, O_TOLERANCE },
		{ "max-time", required_argument, NULL, 't' },
		{ "axis", required_argument, NULL, 'a' },
		{ "confidence", required_argument, NULL, 'p' },
		{ "wait", required_argument, NULL, 'W' },
		{ "fail-on", required_argument, NULL, 'F' },
		{ "no-sweep", no_argument, NULL, 'S' },
		{ "db", required_argument, NULL, 'D' },
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
	};
	for (size_t i = 0; i < WORDS; i++)
		options[14 + i] = (struct option){ word_options[i].name, required_argument, NULL,
			O_WORD + (int)i };
	for (int o, which; (o = getopt_long(argc, argv, "", options, &which)) != -1;) {
		bool ok = true;
		switch (o) {
		case 'D': a->db = optarg; break;
		case 'c': a->config = optarg; break;
		case 'j': a->json = true; break;
		case 'S': a->o.sweep = false; break;
		case '?': return CLI_USAGE;
		default: ok = o >= O_VALUE ? take_add(a, o, optarg) : take_verify(a, o, optarg);
		}
		if (!ok)
			return cli_usage("claim", "'%s' is not a value that --%s takes", optarg,
				options[which].name);
	}
	const char *sub = optind < argc ? argv[optind++] : "list";
	a->names = argv + optind, a->n_names = argc - optind;
	if (!strcmp(sub, "verify"))
		a->sub = VERIFY;
	else if (!strcmp(sub, "add"))
		a->sub = ADD;
	else if (strcmp(sub, "list"))
		return cli_usage("claim", "'%s' is none of list, add and verify", sub);
	if (a->sub == LIST && a->n_names)
		return cli_usage("claim", "list takes no '%s'", a->names[0]);
	if (a->sub == ADD && a->n_names != 1)
		return cli_usage("claim", "add takes one name");
	return 0;
}

static int list_claims(struct project *p, const struct claims *c, bool json, struct error *e)
{
	json_t *rows = json_array();
	struct table *t = table_new(5, "lllll");
	int rc = 0;
	table_head(t, "claim", "of", "claimed", "newest answer", "in words");
	for (size_t i = 0; !rc && i < c->n; i++) {
		const struct config_claim *k = &c->items[i].k;
		struct store_rows *r = rows_open(p->store,
			"SELECT result, session_id, checked_s FROM claim_check WHERE claim_id = :claim"
			" AND json_extract (configuration_json, '$.overall') ORDER BY id DESC LIMIT 1");
		rows_bind_int(r, ":claim", c->items[i].id);
		int found = rows_next(r, e);
		char *words = claim_words(k);
		rc = found < 0 ? found : 0;
		table_row(t, k->name, k->commit, words, found > 0 ? rows_text(r, 0) : "never tried",
			k->text);
		json_array_append_new(
			rows, json_pack("{s:o, s:o, s:o, s:o, s:o?, s:o?, s:o}", "name",
				      cli_json_string(k->name), "text", cli_json_string(k->text),
				      "commit", cli_json_string(k->commit), "claimed",
				      cli_json_string(words), "source",
				      k->source ? cli_json_string(k->source) : NULL, "date",
				      k->date ? cli_json_string(k->date) : NULL, "result",
				      found > 0 ? cli_json_string(rows_text(r, 0)) : json_null()));
		rows_close(r);
		free(words);
	}
	if (!rc && json)
		cli_envelope("claim", json_pack("{s:s}", "action", "list"),
			json_pack("{s:O}", "claims", rows));
	else if (!rc && c->n)
		table_print(t, stdout);
	else if (!rc)
		puts("no claims: write [claim NAME] in hakperf.ini, or 'hakperf claim add'");
	table_free(t);
	json_decref(rows);
	return rc;
}

static const char *figure_words(const json_t *try, char *out, size_t n)
{
	const json_t *f = json_object_get(try, "figure"), *value_of = json_object_get(f, "value"),
		     *lo = json_object_get(f, "lo"), *hi = json_object_get(f, "hi");
	const char *unit = json_string_value(json_object_get(f, "unit"));
	bool ratio = unit && !strcmp(unit, "ratio");
	if (!json_is_number(value_of))
		snprintf(out, n, "–");
	else if (json_is_number(lo) && json_is_number(hi) &&
		 json_number_value(lo) < json_number_value(hi))
		snprintf(out, n, "%s%.4g%s%s [%.4g, %.4g]", ratio ? "× " : "",
			json_number_value(value_of), ratio ? "" : " ",
			ratio  ? ""
			: unit ? unit
			       : "",
			json_number_value(lo), json_number_value(hi));
	else
		snprintf(out, n, "%s%.4g%s%s", ratio ? "× " : "", json_number_value(value_of),
			ratio ? "" : " ",
			ratio  ? ""
			: unit ? unit
			       : "");
	return out;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static void print_result(const json_t *result)
{
	struct table *t = table_new(6, "llllrl");
	size_t i, k;
	json_t *claim, *try;
	table_head(t, "claim", "claimed", "tried in", "measured", "rounds", "outcome");
	json_array_foreach(json_object_get(result, "claims"), i, claim) {
		bool first = true;
		json_array_foreach(json_object_get(claim, "tries"), k, try) {
			char where[260], figure[120], rounds[24];
			bool own = json_is_true(json_object_get(try, "own"));
			json_int_t n = json_integer_value(
				json_object_get(json_object_get(try, "figure"), "rounds"));
			if (!n && !own)
				continue;
			snprintf(where, sizeof(where), "%s, %s%s", text_of(try, "case"),
				text_of(try, "variant"), own ? " (its own)" : "");
			snprintf(rounds, sizeof(rounds), "%lld", (long long)n);
			const char *detail = text_of(try, "detail"),
				   *outcome = text_of(try, "outcome");
			char words[700];
			snprintf(words, sizeof(words), "%s%s%.600s", outcome,
				*detail && strcmp(outcome, "reproduced") ? ": " : "",
				strcmp(outcome, "reproduced") ? detail : "");
			table_row(t, first ? text_of(claim, "name") : "",
				first ? text_of(claim, "claimed") : "", where,
				figure_words(try, figure, sizeof(figure)), rounds, words);
			first = false;
		}
	}
	table_print(t, stdout);
	table_free(t);
	putchar('\n');
	json_array_foreach(json_object_get(result, "claims"), i, claim) {
		const char *r = text_of(claim, "result");
		printf("%s: %s%s%s%s\n", text_of(claim, "name"),
			table_colour(!strncmp(r, "reproduced", 10) ? TABLE_GOOD
				     : !strncmp(r, "not rep", 7)   ? TABLE_BAD
								   : TABLE_DIM),
			r, table_colour(TABLE_PLAIN), "");
		if (!strcmp(r, "reproduced only elsewhere"))
			json_array_foreach(json_object_get(claim, "tries"), k, try)
				if (!strcmp(text_of(try, "outcome"), "reproduced"))
					printf("  only with %s, %s\n", text_of(try, "case"),
						text_of(try, "variant"));
	}
}

static bool any_missed(const json_t *result)
{
	size_t i, k;
	json_t *claim, *try;
	json_array_foreach(json_object_get(result, "claims"), i, claim)
		json_array_foreach(json_object_get(claim, "tries"), k, try)
			if (json_is_true(json_object_get(try, "own")) &&
				!strcmp(text_of(try, "outcome"), "not reproduced"))
				return true;
	return false;
}

static int verify(struct project *p, const struct claims *c, const struct asked *a, bool *missed,
	struct error *e)
{
	size_t *chosen = x_calloc(c->n + (size_t)a->n_names + 1, sizeof(*chosen)), n = 0;
	json_t *result = NULL, *names = json_array();
	int rc = 0;
	for (int i = 0; !rc && i < a->n_names; i++) {
		size_t k = 0;
		while (k < c->n && strcmp(c->items[k].k.name, a->names[i]))
			k++;
		if (k == c->n)
			rc = error_set(e, -ENOENT,
				"there is no claim '%s' (see 'hakperf claim list')", a->names[i]);
		chosen[n++] = k;
	}
	for (size_t k = 0; !a->n_names && k < c->n; k++)
		chosen[n++] = k;
	if (!rc && !n)
		rc = error_set(e, -ENOENT,
			"no claims: write [claim NAME] in hakperf.ini, or 'hakperf claim add'");
	for (size_t i = 0; !rc && i < n; i++)
		json_array_append_new(names, cli_json_string(c->items[chosen[i]].k.name));
	if (!rc)
		rc = claim_verify(p, c, chosen, n, &a->o, &result, e);
	*missed = result && any_missed(result);
	if (result && a->json)
		cli_envelope("claim",
			json_pack("{s:s, s:O, s:b}", "action", "verify", "claims", names, "sweep",
				a->o.sweep),
			json_incref(result));
	else if (result)
		print_result(result);
	json_decref(result), json_decref(names);
	free(chosen);
	return rc;
}

static int add(struct project *p, struct asked *a, struct error *e)
{
	int64_t id;
	a->k.name = a->names[0];
	int rc = claim_enter(p, &a->k, &id, e);
	if (!rc && a->json)
		cli_envelope("claim", json_pack("{s:s}", "action", "add"),
			json_pack("{s:o, s:I}", "name", cli_json_string(a->k.name), "id",
				(json_int_t)id));
	else if (!rc)
		printf("claim %s is in the record; 'hakperf claim verify %s' tries it\n", a->k.name,
			a->k.name);
	return rc;
}

int cmd_claim(int argc, char **argv)
{
	struct asked a = { .o = { .max_time = 300, .confidence = 0.95, .sweep = true } };
	config_claim_defaults(&a.k);
	int usage = parse(argc, argv, &a);
	if (usage) {
		sweep_axes_release(&a.o.axes);
		return usage;
	}
	child_catch_signals();
	struct error e = { 0 };
	struct project p;
	struct claims c = { 0 };
	bool missed = false;
	int rc = project_open(&p, a.config, a.db, PROJECT_SUBJECT | PROJECT_STORE_WRITE, &e);
	if (!rc && a.sub == ADD)
		rc = add(&p, &a, &e);
	if (!rc && a.sub != ADD)
		rc = claims_load(&p, &c, &e);
	if (!rc && a.sub == LIST)
		rc = list_claims(&p, &c, a.json, &e);
	if (!rc && a.sub == VERIFY)
		rc = verify(&p, &c, &a, &missed, &e);
	claims_release(&c);
	sweep_axes_release(&a.o.axes);
	project_close(&p);
	if (rc)
		return cli_cannot("claim", &e);
	return missed && a.fail_on ? CLI_FAIL_ON : CLI_ANSWERED;
}
