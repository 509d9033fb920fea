/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/report.h"

#include "base/buf.h"
#include "base/fs.h"
#include "reports/html.h"
#include "reports/markdown.h"
#include "reports/page_tree.h"
#include "reports/parts.h"
#include "reports/plot_svg.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "index", NULL };

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

static int report_open(struct report *rp, struct store *s, const struct report_options *o, struct error *e)
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

static int make(struct report *rp, const char *name, const char *argument, struct page **out, struct error *e)
{
	(void)argument;
	if (!strcmp(name, "index"))
		return page_main(rp, out, e);
	return error_set(e, -ENOENT, "there is no page '%s'", name);
}

static int draw_all(struct node *n, unsigned *number, bool *none, struct error *e)
{
	int rc = 0;
	if (n->plot && !*none) {
		rc = plot_draw(n->plot, (*number)++, e);
		if (rc == -ENOENT) { /* pages say so in the picture's place */
			*none = true;
			error_clear(e);
			rc = 0;
		}
	}
	for (size_t i = 0; !rc && i < n->n; i++)
		rc = draw_all(n->children[i], number, none, e);
	return rc;
}

char *report_foot(struct store *s, const struct report_options *o)
{
	struct store_session_rows rows = { 0 };
	struct error quiet = { 0 };
	char when[32];
	char *foot;
	if (!store_sessions(s, (struct store_opt){ 0 }, &rows, &quiet) && rows.n)
		foot = x_printf("hakperf %s. The record's newest session, %lld, began %s.", o->toolkit_version ? o->toolkit_version : "", (long long)rows.items[0].id,
				part_time(rows.items[0].started_s, when));
	else
		foot = x_printf("hakperf %s. The record is empty.", o->toolkit_version ? o->toolkit_version : "");
	store_free(rows.pool);
	return foot;
}

static int write_page(struct page *p, const char *folder, const char *foot, bool *no_gnuplot, struct error *e)
{
	struct buf html = { 0 }, markdown = { 0 };
	unsigned number = 0;
	char *html_path = x_printf("%s/%s.html", folder, p->stem), *markdown_path = x_printf("%s/%s.md", folder, p->stem);
	int rc = draw_all(&p->root, &number, no_gnuplot, e);
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

int report_page(struct store *s, const struct report_options *o, const char *name, const char *argument, struct page **out, bool *worse,
		struct error *e)
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

int report_run(struct store *s, const struct report_options *o, char **page, struct error *e)
{
	struct report rp;
	char absolute[PATH_MAX];
	*page = NULL;
	int rc = fs_mkdirs(o->out, e);
	if (!rc && !realpath(o->out, absolute))
		rc = error_errno(e, errno, "cannot find %s", o->out);
	if (!rc)
		rc = report_open(&rp, s, o, e);
	if (rc)
		return rc;
	char *foot = report_foot(s, o);
	bool no_gnuplot = false;
	struct page *p = NULL;
	rc = make(&rp, "index", NULL, &p, e);
	if (!rc)
		rc = write_page(p, absolute, foot, &no_gnuplot, e);
	page_free(p);
	free(foot);
	report_release(&rp);
	if (!rc)
		*page = x_printf("%s/index.html", absolute);
	return rc;
}
