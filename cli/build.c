/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "bisect/range.h"
#include "cli/cli.h"
#include "cli/measure.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "harness/child.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const char help_build[] =
	"build revisions of the subject into isolated prefixes\n"
	"\n"
	"usage: hakperf build [--variant NAME] [--retry] [--config FILE] [--json] REV|A..B ...\n"
	"\n"
	"REV is phase:NAME, worktree, or anything git understands; A..B is every commit between them that changes\n"
	"the subject. A build is made once: the same tree, recipe, variant, toolchain and flags find it again.\n"
	"\n"
	"  --variant NAME  build variant of hakperf.ini; default: the first\n"
	"  --retry         forget remembered failures and build again\n"
	"  --config FILE   default: hakperf.ini at the repository's root\n"
	"  --json          {builds: [{commit, subject, outcome, cached, seconds, prefix, artifact, log, ...}]}\n"
	"\n"
	"Exit: 0 whatever the outcomes (look at them), 2 wrong use, 3 not possible here.\n";

/* A..B stands for its commits that change the subject, B's whole range's end included. */
static int add_range(struct measure *m, const char *word, const char *dots, struct error *e)
{
	char *a = x_printf("%.*s", (int)(dots - word), word);
	struct history_commit good = { 0 }, bad = { 0 };
	struct range r = { 0 };
	size_t n_paths;
	const char *const *paths = subject_paths(&m->p->subject, &n_paths);
	int rc = history_resolve(m->p->subject.history, a, &good, e);
	if (!rc)
		rc = history_resolve(m->p->subject.history, dots + 2, &bad, e);
	if (!rc)
		rc = range_between(m->p->subject.history, &good, &bad, false, paths, n_paths, &r, e);
	for (size_t i = 0; !rc && i < r.n; i++) {
		if (i && !r.commits[i].changes_subject)
			continue;
		struct history_commit c = { 0 };
		history_commit_copy(&c, &r.commits[i].info);
		rc = measure_revision(m, &c, c.short_id, e);
	}
	history_commit_release(&good), history_commit_release(&bad);
	range_release(&r);
	free(a);
	return rc;
}

static int add_word(struct measure *m, const char *word, struct error *e)
{
	const char *dots = strstr(word, "..");
	if (dots && strncmp(word, "phase:", 6))
		return add_range(m, word, dots, e);
	struct history_commit c = { 0 };
	int rc = history_resolve(m->p->subject.history, word, &c, e);
	return rc ? rc : measure_revision(m, &c, word, e);
}

static json_t *build_json(const struct measure_arm *a)
{
	const struct build *b = &a->build;
	return json_pack("{s:s, s:o, s:s, s:b, s:f, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*, s:b}", "commit", a->commit.id, "subject",
			 cli_json_string(a->commit.subject), "outcome", build_outcome_name(b->outcome), "cached", b->cached, "seconds",
			 (double)b->wall_ns * 1e-9, "detail", b->detail, "prefix", b->prefix, "artifact", b->artifact, "log", b->log,
			 "variant", b->variant, "sandbox", b->sandbox, "relinkable", b->relinkable);
}

static void print_builds(const struct measure *m)
{
	struct table *t = table_new(5, "lllrl");
	table_head(t, "revision", "commit", "outcome", "built in", "subject");
	size_t made = 0, broken = 0;
	for (size_t i = 0; i < m->n_arms; i++) {
		const struct measure_arm *a = &m->arms[i];
		char seconds[32];
		snprintf(seconds, sizeof(seconds), a->build.cached ? "(kept)" : "%.1f s", (double)a->build.wall_ns * 1e-9);
		bool ok = a->build.outcome == BUILD_OK;
		char *outcome = x_printf("%s%s%s", table_colour(ok ? TABLE_GOOD : TABLE_BAD), build_outcome_name(a->build.outcome), table_colour(TABLE_PLAIN));
		table_row(t, a->label, a->commit.short_id, outcome, seconds, a->commit.subject);
		free(outcome);
		made += !a->build.cached;
		broken += !ok;
	}
	if (m->n_arms <= 60)
		table_print(t, stdout);
	table_free(t);
	printf("%zu revisions: %zu built now, %zu kept from before, %zu broken; prefixes below %s\n", m->n_arms, made, m->n_arms - made, broken,
	       build_cache_root(m->p->subject.cache));
}

int cmd_build(int argc, char **argv)
{
	static const struct option options[] = {
		{ "variant", required_argument, NULL, 'v' }, { "retry", no_argument, NULL, 'r' }, { "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' }, { 0 },
	};
	const char *variant = NULL, *config = NULL;
	bool json = false;
	unsigned flags = 0;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'v': variant = optarg; break;
		case 'r': flags |= BUILD_RETRY; break;
		case 'c': config = optarg; break;
		case 'j': json = true; break;
		default: return CLI_USAGE;
		}
	}
	if (optind == argc)
		return cli_usage("build", "which revisions?");
	child_catch_signals();
	struct error e = { 0 };
	struct project p;
	struct measure m = { 0 };
	int rc = project_open(&p, config, NULL, PROJECT_SUBJECT, &e);
	if (!rc) {
		measure_init(&m, &p, variant);
		for (int i = optind; !rc && i < argc; i++)
			rc = add_word(&m, argv[i], &e);
	}
	if (!rc)
		rc = measure_build(&m, flags, &e);
	if (!rc && json) {
		json_t *list = json_array(), *request = json_array();
		for (int i = optind; i < argc; i++)
			json_array_append_new(request, cli_json_string(argv[i]));
		for (size_t i = 0; i < m.n_arms; i++)
			json_array_append_new(list, build_json(&m.arms[i]));
		cli_envelope("build", json_pack("{s:o, s:s*}", "revisions", request, "variant", variant), json_pack("{s:o}", "builds", list));
	} else if (!rc) {
		print_builds(&m);
	}
	measure_release(&m);
	project_close(&p);
	return rc ? cli_cannot("build", &e) : CLI_ANSWERED;
}
