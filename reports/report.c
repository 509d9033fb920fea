/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/report.h"

#include "base/buf.h"
#include "base/fs.h"
#include "reports/html.h"
#include "reports/markdown.h"
#include "reports/page_tree.h"
#include "reports/parts.h"
#include "reports/plot_svg.h"
#include "reports/story.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "index", "phases", "bisect", "compare", "history", "claims", "peers",
	"machine", NULL };

const char *const *report_names(void)
{
	return names;
}

static void report_release(struct report *rp)
{
	record_release(&rp->run);
	axis_release(&rp->axis);
	store_free(rp->bisects.pool);
}

/* First and last commit of the main session's arms: what its pictures span. */
static void span(const struct record *r, const char **first, const char **last)
{
	*first = *last = NULL;
	for (size_t i = 0; i < r->n_arms; i++)
		if (r->arms[i].commit) {
			*first = *first ? *first : r->arms[i].commit;
			*last = r->arms[i].commit;
		}
}

static int report_open(
	struct report *rp, struct store *s, const struct report_options *o, struct error *e)
{
	*rp = (struct report){ .store = s, .o = o };
	int64_t session = o->session;
	int rc = store_bisects(s, (struct store_opt){ 0 }, &rp->bisects, e);
	if (!rc && !session)
		rc = record_newest(s, "run", &session, e);
	if (!rc && !session)
		rc = record_newest(s, NULL, &session, e);
	if (!rc && session) {
		rc = record_load(s, session, &rp->run, e);
		rp->has_run = !rc;
	}
	if (!rc && rp->has_run) {
		const char *first, *last;
		span(&rp->run, &first, &last);
		rc = axis_build(s, o->history, first, last, &rp->axis, e);
	}
	if (rc)
		report_release(rp);
	return rc;
}

static int make(struct report *rp, const char *name, const char *argument, struct page **out,
	struct error *e)
{
	int64_t id = 0;
	if (!strcmp(name, "bisect") && argument) {
		char *end;
		id = strtoll(argument, &end, 10);
		if (*end || id <= 0)
			return error_set(e, -EINVAL,
				"'%s' is no number of a bisect (see 'hakperf log')", argument);
	}
	if (!strcmp(name, "index"))
		return page_main(rp, out, e);
	if (!strcmp(name, "phases"))
		return page_phases(rp, argument, out, e);
	if (!strcmp(name, "bisect"))
		return page_bisect(rp, id, out, e);
	if (!strcmp(name, "compare"))
		return page_compare(rp, argument, out, e);
	if (!strcmp(name, "history"))
		return page_history(rp, argument, out, e);
	if (!strcmp(name, "claims"))
		return page_claims(rp, out, e);
	if (!strcmp(name, "peers"))
		return page_peers(rp, out, e);
	if (!strcmp(name, "machine"))
		return page_machine(rp, out, e);
	for (size_t i = 0; i < rp->o->n_stories; i++)
		if (!strcmp(name, rp->o->stories[i].name))
			return story_page(rp, name, rp->o->stories[i].text, out, e);
	struct buf known = { 0 };
	for (size_t i = 0; names[i]; i++)
		buf_printf(&known, "%s, ", names[i]);
	for (size_t i = 0; i < rp->o->n_stories; i++)
		buf_printf(&known, "%s, ", rp->o->stories[i].name);
	int rc = error_set(e, -EINVAL, "there is no page '%s': write one of %.*s", name,
		(int)known.len - 2, known.data);
	buf_release(&known);
	return rc;
}

/* The pages of a whole report, by name and argument, in the order of the links at their top. */
struct plan {
	struct {
		const char *name;
		char argument[24], stem[40], words[60];
	} items[REPORT_BISECTS + REPORT_STORIES + 9];
	size_t n;
};

static void plan_add(struct plan *p, const char *name, int64_t id, const char *words)
{
	snprintf(p->items[p->n].argument, sizeof(p->items[p->n].argument), "%lld", (long long)id);
	if (id)
		snprintf(p->items[p->n].stem, sizeof(p->items[p->n].stem), "%s-%lld", name,
			(long long)id);
	else
		p->items[p->n].argument[0] = '\0',
		snprintf(p->items[p->n].stem, sizeof(p->items[p->n].stem), "%s", name);
	snprintf(p->items[p->n].words, sizeof(p->items[p->n].words), "%s", words);
	p->items[p->n++].name = name;
}

static bool has_claims(struct store *s)
{
	struct error quiet = { 0 };
	struct store_rows *r = rows_open(s, "SELECT 1 FROM claim LIMIT 1");
	bool any = rows_next(r, &quiet) > 0;
	rows_close(r);
	return any;
}

static bool has_peers(struct store *s)
{
	struct error quiet = { 0 };
	int64_t id = 0;
	return !record_newest(s, "peers", &id, &quiet) && id;
}

static struct plan make_plan(const struct report *rp)
{
	struct plan p = { 0 };
	plan_add(&p, "index", 0, "Answers");
	if (rp->has_run)
		plan_add(&p, "phases", 0, "Phases");
	for (size_t i = 0; i < rp->bisects.n && i < REPORT_BISECTS; i++) {
		char words[60];
		const char *metric = rp->bisects.items[i].metric;
		snprintf(words, sizeof(words), "Bisect %lld%s", (long long)rp->bisects.items[i].id,
			!metric						? ""
				: !strcmp(metric, "instructions_exact") ? " (instructions)"
									: " (time)");
		plan_add(&p, "bisect", rp->bisects.items[i].id, words);
	}
	if (rp->has_run) {
		plan_add(&p, "compare", 0, "First against last");
		plan_add(&p, "history", 0, "History");
	}
	if (has_claims(rp->store))
		plan_add(&p, "claims", 0, "Claims");
	if (has_peers(rp->store))
		plan_add(&p, "peers", 0, "Peers");
	for (size_t i = 0; rp->has_run && i < rp->o->n_stories && i < REPORT_STORIES; i++)
		plan_add(&p, rp->o->stories[i].name, 0, rp->o->stories[i].title);
	if (rp->has_run)
		plan_add(&p, "machine", 0, "Machine");
	return p;
}

static void find_plots(const struct node *n, struct plot ***list, size_t *found, size_t *cap)
{
	if (n->plot) {
		x_grow(*list, *found, *cap);
		(*list)[(*found)++] = n->plot;
	}
	for (size_t i = 0; i < n->n; i++)
		find_plots(n->children[i], list, found, cap);
}

/* Without gnuplot pages say so in the picture's place; *none: it is not asked again. */
static int draw(const struct page *p, bool *none, struct error *e)
{
	struct plot **list = NULL;
	size_t n = 0, cap = 0;
	struct error why = { 0 };
	find_plots(&p->root, &list, &n, &cap);
	int rc = n && !*none ? plot_draw(list, n, &why) : 0;
	free(list);
	*none |= rc == -ENOENT;
	return rc && rc != -ENOENT ? error_set(e, rc, "%s", why.text) : 0;
}

char *report_foot(struct store *s, const struct report_options *o)
{
	struct store_session_rows rows = { 0 };
	struct error quiet = { 0 };
	char when[32];
	char *foot;
	if (!store_sessions(s, (struct store_opt){ 0 }, &rows, &quiet) && rows.n)
		foot = x_printf("hakperf %s. The record's newest session, %lld, began %s.",
			o->toolkit_version ? o->toolkit_version : "", (long long)rows.items[0].id,
			part_time(rows.items[0].started_s, when));
	else
		foot = x_printf("hakperf %s. The record is empty.",
			o->toolkit_version ? o->toolkit_version : "");
	store_free(rows.pool);
	return foot;
}

static int write_page(
	struct page *p, const char *folder, const char *foot, bool *no_gnuplot, struct error *e)
{
	struct buf html = { 0 }, markdown = { 0 };
	char *html_path = x_printf("%s/%s.html", folder, p->stem),
	     *markdown_path = x_printf("%s/%s.md", folder, p->stem);
	int rc = draw(p, no_gnuplot, e);
	if (!rc) {
		html_write(p, foot, &html);
		markdown_write(p, foot, &markdown);
		rc = fs_write(html_path, html.data, html.len, e);
	}
	if (!rc)
		rc = fs_write(markdown_path, markdown.data, markdown.len, e);
	buf_release(&html), buf_release(&markdown);
	free(html_path), free(markdown_path);
	return rc;
}

int report_page(struct store *s, const struct report_options *o, const char *name,
	const char *argument, struct page **out, bool *worse, struct error *e)
{
	struct report rp;
	*out = NULL;
	int rc = report_open(&rp, s, o, e);
	if (rc)
		return rc;
	rc = make(&rp, name, argument, out, e);
	if (worse)
		*worse = rp.worse;
	report_release(&rp);
	if (rc) {
		page_free(*out);
		*out = NULL;
	}
	return rc;
}

static int folder_of(const struct report_options *o, char absolute[PATH_MAX], struct error *e)
{
	int rc = fs_mkdirs(o->out, e);
	if (!rc && !realpath(o->out, absolute))
		rc = error_errno(e, errno, "cannot find %s", o->out);
	return rc;
}

int report_write(struct store *s, const struct report_options *o, const char *name,
	const char *argument, char **path, bool *worse, struct error *e)
{
	char absolute[PATH_MAX];
	struct page *p = NULL;
	bool no_gnuplot = false;
	*path = NULL;
	int rc = folder_of(o, absolute, e);
	if (!rc)
		rc = report_page(s, o, name, argument, &p, worse, e);
	if (!rc) {
		char *foot = report_foot(s, o);
		rc = write_page(p, absolute, foot, &no_gnuplot, e);
		free(foot);
	}
	if (!rc)
		*path = x_printf("%s/%s.html", absolute, page_stem(p));
	page_free(p);
	return rc;
}

static bool is_story(const struct report_options *o, const char *name)
{
	for (size_t i = 0; i < o->n_stories; i++)
		if (!strcmp(o->stories[i].name, name))
			return true;
	return false;
}

static int write_pictures(const struct page *p, const char *folder, struct error *e)
{
	struct plot **list = NULL;
	size_t n = 0, cap = 0;
	int rc = 0;
	find_plots(&p->root, &list, &n, &cap);
	for (size_t i = 0; !rc && i < n; i++) {
		struct buf svg = { 0 };
		char *path = x_printf("%s/%s-%zu.svg", folder, p->stem, i + 1);
		if (list[i]->svg_wide) {
			html_picture(list[i], &svg);
			rc = fs_write(path, svg.data, svg.len, e);
		}
		buf_release(&svg);
		free(path);
	}
	free(list);
	return rc;
}

int report_illustrate(struct store *s, const struct report_options *o, const char *name,
	const char *argument, char **path, bool *worse, struct error *e)
{
	char absolute[PATH_MAX];
	struct page *p = NULL;
	struct buf text = { 0 };
	bool no_gnuplot = false;
	*path = NULL;
	int rc = folder_of(o, absolute, e);
	if (!rc)
		rc = report_page(s, o, name, argument, &p, worse, e);
	if (!rc)
		rc = draw(p, &no_gnuplot, e);
	if (!rc)
		rc = write_pictures(p, absolute, e);
	if (!rc) {
		char *foot = report_foot(s, o), *file = x_printf("%s/%s.md", absolute, p->stem);
		markdown_illustrated(p, foot, &text);
		rc = fs_write(file, text.data, text.len, e);
		*path = rc ? NULL : file;
		free(rc ? file : NULL), free(foot);
	}
	buf_release(&text);
	page_free(p);
	return rc;
}

int report_run(struct store *s, const struct report_options *o, char **page, struct error *e)
{
	struct report rp;
	char absolute[PATH_MAX];
	*page = NULL;
	int rc = folder_of(o, absolute, e);
	if (!rc)
		rc = report_open(&rp, s, o, e);
	if (rc)
		return rc;
	char *foot = report_foot(s, o);
	bool no_gnuplot = false;
	struct plan plan = make_plan(&rp);
	for (size_t i = 0; !rc && i < plan.n; i++) {
		struct page *p = NULL;
		struct error why = { 0 };
		rc = make(&rp, plan.items[i].name,
			*plan.items[i].argument ? plan.items[i].argument : NULL, &p, &why);
		/* The record has nothing for it, or a story is no story: the page says so, its
		 * links hold. */
		if (rc == -ENOENT || (rc && is_story(o, plan.items[i].name))) {
			page_free(p);
			p = page_new(plan.items[i].stem, "%s", plan.items[i].words);
			line_text(page_paragraph(p), "%s", why.text);
			rc = 0;
		} else if (rc) {
			error_set(e, rc, "%s", why.text);
		}
		for (size_t k = 0; !rc && k < plan.n && plan.n > 1; k++)
			page_link(p, plan.items[k].stem, "%s", plan.items[k].words);
		if (!rc)
			rc = write_page(p, absolute, foot, &no_gnuplot, e);
		page_free(p);
	}
	free(foot);
	report_release(&rp);
	if (!rc)
		*page = x_printf("%s/index.html", absolute);
	return rc;
}
