/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/fs.h"
#include "bisect/range.h"
#include "bisect/diff.h"
#include "cli/cli.h"
#include "cli/project.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "reports/markdown.h"
#include "reports/report.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char help_report[] =
	"write the pages: what was found, over commits, and how much to believe it\n"
	"\n"
	"usage: hakperf report [--out DIR] [--session N]\n"
	"       hakperf report PAGE [ARGUMENT] [--format md] [--json]\n"
	"\n"
	"Without PAGE all pages are written below reports/out/ as HTML and as Markdown, and the "
	"path of index.html is printed.\n"
	"With PAGE it is printed as Markdown, for a terminal or a pull request; --format html "
	"writes that one page instead.\n"
	"\n"
	"  index              the answers, and how much to believe them\n"
	"  phases [BASE]      every revision and workload against the one before and the base\n"
	"  bisect [N]         one search: how it narrowed, every measurement, the culprit\n"
	"  compare [A..B]     two revisions that were measured side by side\n"
	"  history [A..B]     every measured commit of a range, and where the figures step\n"
	"  claims             what was claimed, and what came of trying it (hakperf claim)\n"
	"  peers              a revision beside other allocators (hakperf peers)\n"
	"  machine            what was counted, the noise, disturbances\n"
	"  NAME               a page of the project's own words: [story NAME] in hakperf.ini\n"
	"\n"
	"  --out DIR          folder for the pages\n"
	"  --format html|md   md: print the page as Markdown on standard output\n"
	"  --pictures         the page as Markdown with SVG pictures beside it, in the folder "
	"--out\n"
	"  --session N        of this session (hakperf log) in place of the newest main job\n"
	"  --fail-on regression   exit 1 when the page tells of a regression\n"
	"  --db FILE, --config FILE, --json\n";

/* What git knows, for the pages. */
static int order(
	void *ctx, const char *first, const char *last, char ***ids, size_t *n, struct error *e)
{
	struct project *p = ctx;
	struct history_commit ends[2] = { 0 };
	struct range range = { 0 };
	int rc = history_lookup(p->subject.history, first, &ends[0], e);
	if (!rc)
		rc = history_lookup(p->subject.history, last, &ends[1], e);
	if (!rc)
		rc = range_between(
			p->subject.history, &ends[0], &ends[1], false, NULL, 0, &range, e);
	if (!rc) {
		*ids = x_calloc(range.n, sizeof(**ids));
		*n = range.n;
		for (size_t i = 0; i < range.n; i++)
			(*ids)[i] = x_strdup(range.commits[i].info.id);
	}
	range_release(&range);
	history_commit_release(&ends[0]), history_commit_release(&ends[1]);
	return rc;
}

static int explain(void *ctx, const char *commit, char **author, char **message, char **diffstat,
	struct error *e)
{
	struct project *p = ctx;
	struct history_commit c = { 0 };
	struct diff d = { 0 };
	struct buf text = { 0 }, stat = { 0 };
	int rc = history_lookup(p->subject.history, commit, &c, e);
	if (!rc)
		rc = history_message(p->subject.history, &c, &text, e);
	if (!rc)
		rc = diff_commit(p->subject.history, &c, NULL, 0, 0, &d, e);
	if (!rc) {
		for (size_t i = 0; i < d.n_files; i++) {
			const struct diff_file *f = &d.files[i];
			buf_printf(&stat, "%s | +%zu −%zu\n",
				f->new_path ? f->new_path : f->old_path, f->added, f->removed);
		}
		buf_printf(&stat, "%zu file%s, +%zu −%zu", d.n_files, d.n_files == 1 ? "" : "s",
			d.added, d.removed);
		*author = x_strdup(c.author ? c.author : "");
		*message = buf_detach(&text);
		*diffstat = buf_detach(&stat);
	}
	buf_release(&text), buf_release(&stat);
	diff_release(&d);
	history_commit_release(&c);
	return rc;
}

/* The stories of the configuration; one that cannot be read tells that in its place. */
struct stories {
	struct report_story *items;
	size_t n;
};

static struct stories read_stories(const struct project *p)
{
	size_t n = p->config.n_stories;
	struct stories s = { x_calloc(n + 1, sizeof(*s.items)), n };
	for (size_t i = 0; i < s.n; i++) {
		const struct config_story *k = &p->config.stories[i];
		char *path = *k->file == '/' ? x_strdup(k->file)
					     : x_printf("%s/%s", p->config.folder, k->file);
		struct buf text = { 0 };
		struct error why = { 0 };
		if (fs_read(path, 1 << 20, &text, &why)) {
			buf_reset(&text);
			buf_printf(&text, "# %s\n\n%s\n", k->name, why.text);
		}
		s.items[i] = (struct report_story){ k->name, k->title ? k->title : k->name,
			buf_detach(&text) };
		free(path);
	}
	return s;
}

static void stories_release(struct stories *s)
{
	for (size_t i = 0; i < s->n; i++)
		free((char *)s->items[i].text);
	free(s->items);
}

static struct report_options options_of(
	struct project *p, const struct report_history *h, const struct stories *stories,
	const char *out)
{
	return (struct report_options){ .out = out,
		.subject = p->has_config ? p->config.subject.name : NULL,
		.command = "./run.sh",
		.toolkit_version = hakperf_version,
		.history = p->has_subject ? h : NULL,
		.stories = stories->items,
		.n_stories = stories->n };
}

static char *default_out(const struct project *p)
{
	return x_printf("%s/reports/out", p->has_config ? p->config.folder : p->root);
}

int run_report(struct project *p, char **page, struct error *e)
{
	struct report_history h = { p, order, explain };
	char *out = default_out(p);
	struct stories stories = read_stories(p);
	struct report_options o = options_of(p, &h, &stories, out);
	int rc = report_run(p->store, &o, page, e);
	stories_release(&stories);
	free(out);
	return rc;
}

struct asked {
	const char *out, *format, *db, *config, *name, *argument;
	uint64_t session;
	bool json, fail_on, pictures;
};

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "out", required_argument, NULL, 'o' },
		{ "format", required_argument, NULL, 'f' },
		{ "session", required_argument, NULL, 's' },
		{ "fail-on", required_argument, NULL, 'F' },
		{ "db", required_argument, NULL, 'D' },
		{ "config", required_argument, NULL, 'c' },
		{ "pictures", no_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		bool ok = true;
		switch (o) {
		case 'o': a->out = optarg; break;
		case 'f':
			a->format = optarg, ok = !strcmp(optarg, "html") || !strcmp(optarg, "md");
			break;
		case 's': ok = cli_number(optarg, 1, INT64_MAX, &a->session); break;
		case 'F': ok = a->fail_on = !strcmp(optarg, "regression"); break;
		case 'D': a->db = optarg; break;
		case 'c': a->config = optarg; break;
		case 'p': a->pictures = true; break;
		case 'j': a->json = true; break;
		default: return CLI_USAGE;
		}
		if (!ok)
			return cli_usage("report", "'%s' is not a value that --%s takes", optarg,
				o == 'f'	   ? "format"
					: o == 's' ? "session"
						   : "fail-on");
	}
	a->name = optind < argc ? argv[optind++] : NULL;
	a->argument = optind < argc ? argv[optind++] : NULL;
	return optind < argc ? cli_usage("report", "takes no '%s'", argv[optind]) : 0;
}

static int print_page(struct project *p, const struct report_options *o, const struct asked *a,
	bool *worse, struct error *e)
{
	struct page *page = NULL;
	int rc =
		report_page(p->store, o, a->name ? a->name : "index", a->argument, &page, worse, e);
	if (rc)
		return rc;
	if (a->json) {
		json_t *request = json_pack("{s:s, s:o}", "page", page_stem(page), "argument",
			a->argument ? cli_json_string(a->argument) : json_null());
		cli_envelope("report", request, page_json(page));
	} else {
		struct buf text = { 0 };
		char *foot = report_foot(p->store, o);
		markdown_write(page, foot, &text);
		fwrite(text.data, 1, text.len, stdout);
		free(foot);
		buf_release(&text);
	}
	page_free(page);
	return 0;
}

int cmd_report(int argc, char **argv)
{
	struct asked a = { 0 };
	int rc = parse(argc, argv, &a);
	if (rc)
		return rc;
	struct error e = { 0 };
	struct project p;
	struct report_history h = { &p, order, explain };
	bool worse = false;
	char *out = NULL, *page = NULL;
	rc = project_open(
		&p, a.config, a.db, PROJECT_SUBJECT | PROJECT_STORE_READ | PROJECT_OPTIONAL, &e);
	if (!rc) {
		out = a.out ? x_strdup(a.out) : default_out(&p);
		struct stories stories = read_stories(&p);
		struct report_options o = options_of(&p, &h, &stories, out);
		o.session = (int64_t)a.session;
		bool as_text = a.json || (a.format ? !strcmp(a.format, "md") : a.name != NULL);
		if (a.pictures)
			rc = report_illustrate(p.store, &o, a.name ? a.name : "index", a.argument,
				&page, &worse, &e);
		else if (as_text)
			rc = print_page(&p, &o, &a, &worse, &e);
		else if (a.name)
			rc = report_write(p.store, &o, a.name, a.argument, &page, &worse, &e);
		else
			rc = report_run(p.store, &o, &page, &e);
		if (!rc && !as_text && !a.name && a.fail_on) {
			struct page *first = NULL;
			rc = report_page(p.store, &o, "index", NULL, &first, &worse, &e);
			page_free(first);
		}
		if (!rc && page)
			puts(page);
		stories_release(&stories);
	}
	free(out), free(page);
	project_close(&p);
	if (rc)
		return cli_cannot("report", &e);
	return worse && a.fail_on ? CLI_FAIL_ON : CLI_ANSWERED;
}
