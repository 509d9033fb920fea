/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/doctor_noise.h"
#include "cli/verbs.h"
#include "cli/version.h"

#include "base/buf.h"
#include "base/fs.h"
#include "harness/counter.h"
#include "harness/doctor.h"
#include "harness/host.h"
#include "harness/pmutest.h"

#include <errno.h>
#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char help_doctor[] =
	"say what this machine can measure, and what each missing thing would take\n"
	"\n"
	"usage: hakperf doctor [--no-noise | --noise-time T] [--json]\n"
	"       hakperf doctor --selftest-pmu [--bundle FILE] [--json]\n"
	"\n"
	"  --no-noise      do not measure how much two equal runs differ here, and the smallest effect that a minute can see\n"
	"  --noise-time T  time for that, per workload (default 2s)\n"
	"  --selftest-pmu  count a loop of known instructions and a chain of known cycles with the PMU\n"
	"  --bundle FILE   where the self-test writes its findings (default: hakperf-pmu.json)\n"
	"  --json          machine-readable\n"
	"\n"
	"Exit 0 when the main job can run here, 3 when it cannot; the self-test: 0 whatever it found.\n";

static void check_libgit2(struct doctor *d)
{
	int major, minor, patch;
	char why[200];
	int rc = git_libgit2_init();
	git_libgit2_version(&major, &minor, &patch);
	bool threads = git_libgit2_features() & GIT_FEATURE_THREADS;
	snprintf(why, sizeof(why), "libgit2 %d.%d.%d%s", major, minor, patch, threads ? ", with threads" : ", without threads");
	doctor_add(d, "libgit2", true, rc >= 0 && threads, why, "run 'apt-get install libgit2-1.5', or build it with threads");
	if (rc >= 0)
		git_libgit2_shutdown();
}

/* Where builds go: the user's choice, else the repository's root, else here. */
static char *cache_place(void)
{
	const char *chosen = getenv("HAKPERF_CACHE");
	char *root = NULL, *place;
	struct error e = { 0 };
	if (chosen && *chosen)
		return x_strdup(chosen);
	place = cli_root(&root, &e) ? x_strdup("/var/tmp") : x_printf("%s/build/prefix", root);
	free(root);
	return place;
}

static json_t *facts_json(const struct host_facts *f, bool stays_here)
{
	json_t *o = json_object();
	for (size_t i = 0; i < f->n; i++) {
		/* A bundle is sent to others: what could tell one machine of a kind from another stays. */
		if (!stays_here && (!strcmp(f->item[i].key, "boot") || !strcmp(f->item[i].key, "kernel_command_line")))
			continue;
		json_object_set_new(o, f->item[i].key, cli_json_string(f->item[i].value));
	}
	return o;
}

static void print_checks(const struct host_facts *f, const struct doctor *d)
{
	printf("machine  %s; %s; %s; kernel %s\n", host_fact(f, "cpu_model"), host_fact(f, "cpus_online"),
	       host_fact(f, "virtualisation"), host_fact(f, "kernel"));
	printf("         memory %s, governor %s, turbo %s, THP %s, ASLR %s; fingerprint %.12s\n\n", host_fact(f, "memory"),
	       host_fact(f, "governor"), host_fact(f, "turbo"), host_fact(f, "thp"), host_fact(f, "aslr"), f->fingerprint);
	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_check *c = &d->item[i];
		printf("  %-4s %-22s %s\n", c->yes ? "yes" : c->needed ? "NO" : "no", c->name, c->why);
		if (!c->yes)
			printf("       %-22s -> %s\n", "", c->remedy);
	}
}

static void print_checks_json(const struct host_facts *f, const struct doctor *d, json_t *noise)
{
	json_t *checks = json_array();
	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_check *c = &d->item[i];
		json_array_append_new(checks, json_pack("{s:s, s:b, s:b, s:o, s:o}", "name", c->name, "yes", c->yes, "needed",
							c->needed, "why", cli_json_string(c->why), "remedy",
							c->yes ? json_null() : cli_json_string(c->remedy)));
	}
	cli_envelope("doctor", json_object(),
		     json_pack("{s:b, s:o, s:s, s:o, s:o}", "able", doctor_able(d), "checks", checks, "fingerprint", f->fingerprint,
			       "machine", facts_json(f, true), "noise", noise));
}

static json_t *reading_json(const struct counter_reading *r)
{
	return json_pack("{s:I, s:I, s:I}", "value", (json_int_t)r->value, "enabled_ns", (json_int_t)r->enabled_ns,
			 "running_ns", (json_int_t)r->running_ns);
}

static json_t *event_json(const struct pmutest_event *x)
{
	bool opened = x->verdict != PMUTEST_UNAVAILABLE, counted = opened && x->quality == COUNTER_COUNTED;
	json_t *o = json_pack("{s:s, s:o, s:i, s:I, s:s, s:s, s:o, s:i, s:I, s:I}", "name", x->event.name, "canonical",
			      cli_json_string(x->event.canonical), "type", (int)x->event.attr.type, "config",
			      (json_int_t)x->event.attr.config, "load", x->load, "verdict", pmutest_verdict_name(x->verdict),
			      "why", cli_json_string(x->why), "open_errno", x->open_errno, "lowest", (json_int_t)x->lowest,
			      "highest", (json_int_t)x->highest);
	json_object_set_new(o, "seen", counted ? json_integer((json_int_t)x->value) : json_null());
	if (opened) {
		json_object_set_new(o, "quality", json_string(counter_quality_name(x->quality)));
		json_object_set_new(o, "bracket", json_integer((json_int_t)x->bracket));
		json_object_set_new(o, "readings", json_pack("[o, o, o, o]", reading_json(&x->bracket_before),
							     reading_json(&x->bracket_after), reading_json(&x->before),
							     reading_json(&x->after)));
	}
	return o;
}

static json_t *bundle_json(const struct pmutest *t, const struct host_facts *f)
{
	json_t *events = json_array();
	struct buf library = { 0 };
	counter_library(&library);
	for (size_t i = 0; i < PMUTEST_EVENTS; i++)
		json_array_append_new(events, event_json(&t->item[i]));
	json_t *o = json_pack("{s:s, s:s, s:s, s:o, s:o, s:i, s:o, s:o}", "schema", "hakperf-pmu-1", "hakperf", hakperf_version,
			      "verdict", pmutest_verdict_name(t->verdict), "machine", facts_json(f, false), "library",
			      cli_json_string(buf_str(&library)), "paranoid", t->paranoid, "events", events, "tsc",
			      json_pack("{s:b, s:f, s:I, s:i}", "invariant", t->tsc_invariant, "hz", t->tsc_hz, "chain_ticks",
					(json_int_t)t->chain_ticks, "chain_cycles", (int)PMUTEST_CHAIN_LENGTH));
	buf_release(&library);
	return o;
}

static void print_selftest(const struct pmutest *t, const char *file)
{
	for (size_t i = 0; i < PMUTEST_EVENTS; i++) {
		const struct pmutest_event *x = &t->item[i];
		printf("  %-11s %-20s ", pmutest_verdict_name(x->verdict), x->event.name);
		if (x->verdict == PMUTEST_PASS)
			printf("%llu counted over the %s, %llu to %llu were due\n", (unsigned long long)x->value, x->load,
			       (unsigned long long)x->lowest, (unsigned long long)x->highest);
		else
			printf("%s\n", x->why);
	}
	printf("\n%s; written to %s\n",
	       t->verdict == PMUTEST_PASS   ? "pass: this PMU counts what it says"
	       : t->verdict == PMUTEST_FAIL ? "fail: do not trust hardware counts of this machine"
					    : "unavailable: no PMU to test here",
	       file);
}

static int selftest(const char *file, bool json)
{
	struct pmutest t;
	struct host_facts f;
	struct error e = { 0 };
	if (pmutest_run(&counter_linux, &t, &e))
		return cli_cannot("doctor", &e);
	host_read("", &f);
	json_t *bundle = bundle_json(&t, &f);
	char *text = json_dumps(bundle, JSON_INDENT(2) | JSON_SORT_KEYS);
	struct buf b = { 0 };
	buf_printf(&b, "%s\n", text);
	int rc = fs_write(file, b.data, b.len, &e);
	buf_release(&b);
	free(text);
	if (rc) {
		json_decref(bundle);
		return cli_cannot("doctor", &e);
	}
	if (json) {
		cli_envelope("doctor", json_pack("{s:b, s:o}", "selftest_pmu", 1, "bundle", cli_json_string(file)), bundle);
		return CLI_ANSWERED;
	}
	json_decref(bundle);
	print_selftest(&t, file);
	return CLI_ANSWERED;
}

int cmd_doctor(int argc, char **argv)
{
	const char *bundle = NULL;
	bool json = false, pmu = false, no_noise = false;
	double noise_s = 2;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (!strcmp(argv[i], "--selftest-pmu"))
			pmu = true;
		else if (!strcmp(argv[i], "--no-noise"))
			no_noise = true;
		else if (!strcmp(argv[i], "--noise-time") && i + 1 < argc && cli_seconds(argv[i + 1], &noise_s) && noise_s > 0)
			i++;
		else if (!strcmp(argv[i], "--bundle") && i + 1 < argc)
			bundle = argv[++i];
		else
			return cli_usage("doctor", "'%s' is not understood", argv[i]);
	}
	if (bundle && !pmu)
		return cli_usage("doctor", "--bundle belongs to --selftest-pmu");
	if (pmu)
		return selftest(bundle ? bundle : "hakperf-pmu.json", json);

	struct doctor d;
	struct host_facts f;
	char *place = cache_place();
	const char *path = getenv("PATH");
	host_read("", &f);
	doctor_examine(&counter_linux, place, path && *path ? path : "/usr/local/bin:/usr/bin:/bin", &d);
	check_libgit2(&d);
	free(place);
	struct doctor_noise rows[DOCTOR_NOISE_MAX];
	struct error e = { 0 };
	size_t n = 0;
	int noise = no_noise || !doctor_able(&d) ? -ECANCELED : doctor_noise(noise_s, rows, &n, &e);
	if (noise == -EINTR)
		return cli_cannot("doctor", &e);
	if (noise && noise != -ECANCELED)
		cli_warn("the noise was not measured: %s", e.text);
	if (json) {
		print_checks_json(&f, &d, noise ? json_null() : doctor_noise_json(rows, n));
	} else {
		print_checks(&f, &d);
		if (!noise)
			doctor_noise_print(rows, n, stdout);
		printf("\n%s\n", doctor_able(&d) ? "The main job can run here." : "The main job cannot run here: see the lines with NO in capitals.");
	}
	return doctor_able(&d) ? CLI_ANSWERED : CLI_CANNOT;
}
