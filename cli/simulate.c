/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/verbs.h"

#include "bisect/simulate.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char help_simulate[] =
	"run the real search on synthetic histories: how often is it right, and what does it cost?\n"
	"\n"
	"usage: hakperf simulate [OPTION ...]\n"
	"\n"
	"  --commits N      commits between good and bad (256)\n"
	"  --snr S          height of a step over the sd of one measurement (2)\n"
	"  --trials T       searches (1000)\n"
	"  --seed X         the same seed gives the same figures (1)\n"
	"  --merges         a third of the commits on side branches\n"
	"  --broken P       share of commits that do not build (0)\n"
	"  --outliers P     share of measurements off by ten sd (0)\n"
	"  --drift R        sd of the machine's drifting speed, in noise sds (0)\n"
	"  --layout S       sd of the layout's offset, in steps (0), drawn anew for every run\n"
	"  --layout-fixed   drawn once a build, as where a subject cannot be relinked\n"
	"  --steps K        steps in the history, 0 to 16 (1)\n"
	"  --build-cost C   of a build, in measurements (10)\n"
	"  --confidence P   posterior at which a commit is named (0.95)\n"
	"  --spread WHICH   known or unknown: is the search told the noise's sd? (unknown)\n"
	"  --level WHICH    known or unknown: is it told that the reference is the good end, as in a bisect? (unknown)\n"
	"  --bisect R       git bisect instead: R repeats a commit, against the ends' midpoint\n"
	"  --json           machine-readable\n";

static bool real(const char *text, double lo, double hi, double *out)
{
	char *end;
	double v = strtod(text, &end);
	if (end == text || *end || !(v >= lo && v <= hi))
		return false;
	*out = v;
	return true;
}

static json_t *bins_json(const struct simulate_result *r)
{
	json_t *list = json_array();
	for (size_t j = 0; j < SIMULATE_BINS; j++)
		if (r->bin_n[j])
			json_array_append_new(
				list, json_pack("{s:f, s:f, s:I, s:f, s:f}", "lo",
						(double)j / SIMULATE_BINS, "hi",
						(double)(j + 1) / SIMULATE_BINS, "answers",
						(json_int_t)r->bin_n[j], "mean_posterior",
						r->bin_posterior[j] / (double)r->bin_n[j], "right",
						(double)r->bin_right[j] / (double)r->bin_n[j]));
	return list;
}

static json_t *request_json(const struct simulate_options *o)
{
	return json_pack(
		"{s:I, s:f, s:I, s:I, s:b, s:f, s:f, s:f, s:f, s:b, s:I, s:f, s:f, s:s, s:s, s:s}",
		"commits", (json_int_t)o->commits, "snr", o->snr, "trials", (json_int_t)o->trials,
		"seed", (json_int_t)o->seed, "merges", o->merges, "broken", o->broken, "outliers",
		o->outliers, "drift", o->drift, "layout", o->layout, "layout_fixed",
		o->layout_fixed, "steps", (json_int_t)(o->steps == SIMULATE_NO_STEP ? 0 : o->steps),
		"build_cost", o->build_cost, "confidence", o->confidence, "spread",
		o->spread_known ? "known" : "unknown", "level",
		o->level_known ? "known" : "unknown", "answer",
		o->answer == SIMULATE_BISECT ? "git bisect" : "search");
}

static json_t *result_json(const struct simulate_result *r)
{
	double n = (double)r->trials;
	json_t *posterior = r->answers ? json_real(r->posterior / (double)r->answers) : json_null();
	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "right_percent",
			 100 * (double)r->right / n, "wrong_percent", 100 * (double)r->wrong / n,
			 "abstained_percent", 100 * (double)r->abstained / n, "held_percent",
			 100 * (double)r->set_holds / n, "mean_measurements", r->measurements / n,
			 "p95_measurements", simulate_measurements_quantile(r, 0.95), "mean_builds",
			 r->builds / n, "mean_broken_builds", r->broken_builds / n, "mean_cost",
			 r->cost / n, "mean_posterior", posterior, "calibration", bins_json(r));
}

static void print(const struct simulate_result *r)
{
	double n = (double)r->trials;
	printf("right           %.2f %%  (wrong %.2f %%, no name %.2f %%; names and sets hold "
	       "every step in %.2f %%)\n",
	       100 * (double)r->right / n, 100 * (double)r->wrong / n,
	       100 * (double)r->abstained / n, 100 * (double)r->set_holds / n);
	printf("measurements    %.2f, 95 %% of searches need at most %.0f\n", r->measurements / n,
	       simulate_measurements_quantile(r, 0.95));
	printf("builds          %.2f, of them broken %.2f\n", r->builds / n, r->broken_builds / n);
	printf("cost            %.2f measurements\n", r->cost / n);
	if (r->answers)
		printf("mean posterior  %.4f of the answers, right %.4f\n",
		       r->posterior / (double)r->answers,
		       (double)r->answers_right / (double)r->answers);
}

int cmd_simulate(int argc, char **argv)
{
	static const struct option options[] = {
		{ "commits", required_argument, NULL, 'n' },
		{ "snr", required_argument, NULL, 's' },
		{ "trials", required_argument, NULL, 't' },
		{ "seed", required_argument, NULL, 'x' },
		{ "merges", no_argument, NULL, 'm' },
		{ "broken", required_argument, NULL, 'b' },
		{ "outliers", required_argument, NULL, 'o' },
		{ "drift", required_argument, NULL, 'd' },
		{ "layout", required_argument, NULL, 'l' },
		{ "layout-fixed", no_argument, NULL, 'f' },
		{ "steps", required_argument, NULL, 'k' },
		{ "build-cost", required_argument, NULL, 'c' },
		{ "confidence", required_argument, NULL, 'p' },
		{ "spread", required_argument, NULL, 'w' },
		{ "level", required_argument, NULL, 'v' },
		{ "bisect", required_argument, NULL, 'g' },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	struct simulate_options o = simulate_defaults();
	bool json = false;
	for (int c, at = 0; (c = getopt_long(argc, argv, "", options, &at)) != -1;) {
		uint64_t v = 0;
		bool ok = true;
		switch (c) {
		case 'n': ok = cli_number(optarg, 1, 20000, &v), o.commits = v; break;
		case 's': ok = real(optarg, 0.01, 1000, &o.snr); break;
		case 't': ok = cli_number(optarg, 1, 10000000, &v), o.trials = v; break;
		case 'x': ok = cli_number(optarg, 0, INT64_MAX, &o.seed); break;
		case 'm': o.merges = true; break;
		case 'b': ok = real(optarg, 0, 0.9, &o.broken); break;
		case 'o': ok = real(optarg, 0, 0.5, &o.outliers); break;
		case 'd': ok = real(optarg, 0, 100, &o.drift); break;
		case 'l': ok = real(optarg, 0, 100, &o.layout); break;
		case 'f': o.layout_fixed = true; break;
		case 'k':
			ok = cli_number(optarg, 0, 16, &v), o.steps = v ? v : SIMULATE_NO_STEP;
			break;
		case 'c': ok = real(optarg, 0, 1e6, &o.build_cost); break;
		case 'p': ok = real(optarg, 0.51, 0.9999, &o.confidence); break;
		case 'w':
			o.spread_known = !strcmp(optarg, "known");
			ok = o.spread_known || !strcmp(optarg, "unknown");
			break;
		case 'v':
			o.level_known = !strcmp(optarg, "known");
			ok = o.level_known || !strcmp(optarg, "unknown");
			break;
		case 'g':
			ok = cli_number(optarg, 1, 1000, &v), o.repeats = v,
			o.answer = SIMULATE_BISECT;
			break;
		case 'j': json = true; break;
		default: return CLI_USAGE;
		}
		if (!ok)
			return cli_usage("simulate", "--%s %s is out of its range",
					 options[at].name, optarg);
	}
	if (optind < argc)
		return cli_usage("simulate", "takes no '%s'", argv[optind]);
	struct simulate_result r = { 0 };
	struct error e = { 0 };
	int rc = simulate_run(&o, 0, o.trials, &r, &e);
	if (!rc && json)
		cli_envelope("simulate", request_json(&o), result_json(&r));
	else if (!rc)
		print(&r);
	simulate_result_release(&r);
	return rc ? cli_usage("simulate", "%s", e.text) : CLI_ANSWERED;
}
