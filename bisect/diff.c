/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/diff.h"

#include <errno.h>
#include <git2.h>
#include <stdlib.h>
#include <string.h>

void diff_release(struct diff *d)
{
	for (size_t i = 0; i < d->n_files; i++) {
		struct diff_file *f = &d->files[i];
		for (size_t k = 0; k < f->n_hunks; k++) {
			free(f->hunks[k].heading);
			free(f->hunks[k].text);
		}
		free(f->hunks);
		free(f->old_path);
		free(f->new_path);
	}
	free(d->files);
	*d = (struct diff){ 0 };
}

/* What follows the second @@ in "@@ -1,2 +3,4 @@ heading\n". */
static void heading_of(const git_diff_hunk *h, struct buf *out)
{
	const char *end = h->header + h->header_len, *p = memmem(h->header, h->header_len, "@@", 2);
	p = p ? memmem(p + 2, (size_t)(end - p - 2), "@@", 2) : NULL;
	if (!p)
		return;
	for (p += 2; p < end && *p == ' '; p++)
		;
	while (end > p && (end[-1] == '\n' || end[-1] == '\r'))
		end--;
	history_escape(p, (size_t)(end - p), false, out);
}

static char *detach(struct buf *b)
{
	buf_puts(b, "");
	return buf_detach(b);
}

static int fill_hunk(git_patch *patch, size_t at, struct diff_file *f)
{
	const git_diff_hunk *gh;
	size_t lines;
	int rc = git_patch_get_hunk(&gh, &lines, patch, at);
	if (rc)
		return rc;
	struct buf heading = { 0 }, text = { 0 };
	struct diff_hunk *h = &f->hunks[f->n_hunks++];
	*h = (struct diff_hunk){ .old_start = gh->old_start,
				 .old_lines = gh->old_lines,
				 .new_start = gh->new_start,
				 .new_lines = gh->new_lines };
	heading_of(gh, &heading);
	for (size_t i = 0; i < lines && !rc; i++) {
		const git_diff_line *line;
		rc = git_patch_get_line_in_hunk(&line, patch, at, i);
		if (rc || !strchr(" +-", line->origin))
			continue;
		h->added += line->origin == '+';
		h->removed += line->origin == '-';
		buf_putc(&text, line->origin);
		history_escape(line->content, line->content_len, true, &text);
		if (!line->content_len || line->content[line->content_len - 1] != '\n')
			buf_putc(&text, '\n');
	}
	h->heading = detach(&heading);
	h->text = detach(&text);
	f->added += h->added;
	f->removed += h->removed;
	return rc;
}

static char status_letter(git_delta_t s)
{
	switch (s) {
	case GIT_DELTA_ADDED:
		return 'A';
	case GIT_DELTA_DELETED:
		return 'D';
	case GIT_DELTA_RENAMED:
		return 'R';
	case GIT_DELTA_TYPECHANGE:
		return 'T';
	default:
		return 'M';
	}
}

static int fill_file(git_diff *gd, size_t at, struct diff *out)
{
	git_patch *patch = NULL;
	int rc = git_patch_from_diff(&patch, gd, at);
	if (rc)
		return rc;
	const git_diff_delta *delta = git_diff_get_delta(gd, at);
	struct diff_file *f = &out->files[out->n_files++];
	*f = (struct diff_file){ .status = status_letter(delta->status),
				 .binary = delta->flags & GIT_DIFF_FLAG_BINARY };
	f->old_path = f->status == 'A' ? NULL : x_strdup(delta->old_file.path);
	f->new_path = f->status == 'D' ? NULL : x_strdup(delta->new_file.path);
	size_t n = patch ? git_patch_num_hunks(patch) : 0;
	f->hunks = x_calloc(n + 1, sizeof(*f->hunks));
	for (size_t i = 0; i < n && !rc; i++)
		rc = fill_hunk(patch, i, f);
	out->added += f->added;
	out->removed += f->removed;
	git_patch_free(patch);
	return rc;
}

static int tree_of(struct history *h, const struct history_commit *c, git_tree **tree)
{
	git_oid oid;
	git_oid_fromstr(&oid, c->tree);
	return git_tree_lookup(tree, history_git(h), &oid);
}

int diff_trees(struct history *h, const struct history_commit *from,
	       const struct history_commit *to, const char *const *paths, size_t n_paths,
	       unsigned context, struct diff *out, struct error *e)
{
	*out = (struct diff){ 0 };
	git_tree *a = NULL, *b = NULL;
	git_diff *gd = NULL;
	char **list = x_calloc(n_paths + 1, sizeof(*list));
	for (size_t i = 0; i < n_paths; i++)
		list[i] = x_strdup(paths[i]);
	git_diff_options o = GIT_DIFF_OPTIONS_INIT;
	o.context_lines = context;
	o.flags = GIT_DIFF_DISABLE_PATHSPEC_MATCH | GIT_DIFF_INCLUDE_TYPECHANGE;
	bool everything = n_paths == 0;
	for (size_t i = 0; i < n_paths; i++)
		everything |= !*paths[i] || !strcmp(paths[i], ".");
	if (!everything)
		o.pathspec = (git_strarray){ .strings = list, .count = n_paths };
	int rc = from ? tree_of(h, from, &a) : 0;
	rc = rc ? rc : tree_of(h, to, &b);
	rc = rc ? rc : git_diff_tree_to_tree(&gd, history_git(h), a, b, &o);
	git_diff_find_options find = GIT_DIFF_FIND_OPTIONS_INIT;
	find.flags = GIT_DIFF_FIND_RENAMES;
	rc = rc ? rc : git_diff_find_similar(gd, &find);
	size_t n = rc ? 0 : git_diff_num_deltas(gd);
	out->files = x_calloc(n + 1, sizeof(*out->files));
	for (size_t i = 0; i < n && !rc; i++)
		rc = fill_file(gd, i, out);
	if (rc) {
		rc = history_git_error(h, rc, e, "cannot compare %s with %s",
				       from ? from->short_id : "nothing", to->short_id);
		diff_release(out);
	}
	git_diff_free(gd);
	git_tree_free(a);
	git_tree_free(b);
	for (size_t i = 0; i < n_paths; i++)
		free(list[i]);
	free(list);
	return rc;
}

int diff_commit(struct history *h, const struct history_commit *c, const char *const *paths,
		size_t n_paths, unsigned context, struct diff *out, struct error *e)
{
	*out = (struct diff){ 0 };
	if (!c->n_parents)
		return diff_trees(h, NULL, c, paths, n_paths, context, out, e);
	struct history_commit parent;
	int rc = history_lookup(h, c->parents[0], &parent, e);
	rc = rc ? rc : diff_trees(h, &parent, c, paths, n_paths, context, out, e);
	history_commit_release(&parent);
	return rc;
}
