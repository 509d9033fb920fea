/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/store.h"
#include "reports/page.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reports from the record. Nothing here reads the history or the subject: what git knows comes
 * through callbacks, each of which may be NULL or answer with an error, and then the page says
 * less.
 */
struct report_history {
	void *ctx;
	/* Full ids of the commits from first to last (both included), parents before children.
	 * *ids, *n: the caller's to free, each and the list. */
	int (*order)(void *ctx, const char *first, const char *last, char ***ids, size_t *n,
		struct error *e);
	/* Whole message and diffstat ("path | +3 −1" a line) of a commit, and its author; each the
	 * caller's to free. */
	int (*explain)(void *ctx, const char *commit, char **author, char **message,
		char **diffstat, struct error *e);
};

/* A page of the project's own, reports/story.h. */
struct report_story {
	const char *name, *title, *text; /* title: in the links to it */
};

struct report_options {
	const char *out; /* folder for the pages, made when missing */
	int64_t session; /* of the main page; 0: the newest 'run', else the newest with rounds */
	const char *subject; /* name of what is measured; NULL: "the subject" */
	const char *command; /* how to repeat it; NULL: from the session's verb */
	const char *toolkit_version;
	const struct report_history *history; /* may be NULL */
	const struct report_story *stories;
	size_t n_stories;
};

/*
 * Write all pages below o->out, each as NAME.html and NAME.md: index, phases, bisect-ID, compare,
 * history, claims where there are any, the stories, machine. *page: absolute path of index.html,
 * the caller's to free. An empty record gives a page that says so, and so does a story that cannot
 * be read.
 */
int report_run(struct store *s, const struct report_options *o, char **page, struct error *e);

/*
 * One page as a model. name: "index", "phases" (argument: label or
 * commit of the base, NULL: the first revision), "bisect" (argument: its number, NULL: the newest),
 * "compare" (argument: "A..B", two labels or commits of one session), "history" (argument: "A..B"
 * or NULL), "claims", "peers", "machine", or a story's. Release with page_free(). -ENOENT: no such page, or nothing in the record
 * for it. *worse (may be NULL): it tells of a regression.
 */
int report_page(struct store *s, const struct report_options *o, const char *name,
	const char *argument, struct page **out, bool *worse, struct error *e);
const char *const *report_names(void); /* NULL-terminated */

/*
 * That page alone below o->out, as HTML and as Markdown, without links to others. *path: absolute,
 * of the HTML, the caller's to free. worse as in report_page().
 */
int report_write(struct store *s, const struct report_options *o, const char *name,
	const char *argument, char **path, bool *worse, struct error *e);

/*
 * The page as Markdown with pictures, for a repository: NAME.md and NAME-1.svg … below o->out.
 * *path: absolute, of the Markdown, the caller's to free. worse as in report_page().
 */
int report_illustrate(struct store *s, const struct report_options *o, const char *name,
	const char *argument, char **path, bool *worse, struct error *e);

/* The line at the foot of every page: version and when the newest session ended. Caller frees. */
char *report_foot(struct store *s, const struct report_options *o);
