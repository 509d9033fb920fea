/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/history_private.h"

#include <errno.h>
#include <git2.h>
#include <git2/sys/mempack.h>
#include <git2/sys/odb_backend.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char WORKTREE[] = "worktree";

/* How many bytes at s are one well-formed UTF-8 sequence (Unicode 15, table 3-7); 0: none. */
static size_t utf8_len(const unsigned char *s, size_t n)
{
	static const struct {
		unsigned char first_lo, first_hi, second_lo, second_hi, len;
	} forms[] = {
		{ 0x00, 0x7f, 0x00, 0x00, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		if (s[0] < forms[i].first_lo || s[0] > forms[i].first_hi)
			continue;
		size_t len = forms[i].len;
		if (len > n)
			return 0;
		if (len > 1 && (s[1] < forms[i].second_lo || s[1] > forms[i].second_hi))
			return 0;
		for (size_t k = 2; k < len; k++)
			if (s[k] < 0x80 || s[k] > 0xbf)
				return 0;
		return len;
	}
	return 0;
}

bool history_escape(const char *bytes, size_t n, bool keep_newlines, struct buf *out)
{
	const unsigned char *s = (const unsigned char *)bytes;
	bool escaped = false;
	for (size_t i = 0; i < n;) {
		size_t len = utf8_len(s + i, n - i);
		bool c1 = len == 2 && s[i] == 0xc2 && s[i + 1] < 0xa0;
		bool c0 = len == 1 && (s[i] < 0x20 || s[i] == 0x7f) &&
			  !(keep_newlines && (s[i] == '\n' || s[i] == '\t'));
		if (len && !c0 && !c1) {
			buf_add(out, s + i, len);
			i += len;
			continue;
		}
		buf_printf(out, "\\x%02x", s[i]);
		escaped = true;
		i++;
	}
	return escaped;
}

int history_git_error(const struct history *h, int rc, struct error *e, const char *fmt, ...)
{
	const git_error *ge = git_error_last();
	char *what, *text;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&what, fmt, ap) < 0)
		abort();
	va_end(ap);
	if (rc == GIT_ENOTFOUND && h && history_shallow(h))
		text = x_printf("%s: the clone at %s is shallow and its history ends before: run "
				"'git fetch --unshallow' there",
				what, h->path);
	else
		text = x_printf("%s: %s", what,
				ge && ge->message ? ge->message : "libgit2 gives no reason");
	int code = rc == GIT_ENOTFOUND	  ? (h && history_shallow(h) ? -ENODATA : -ENOENT)
		   : rc == GIT_EAMBIGUOUS ? -EEXIST
					  : -EIO;
	code = error_set(e, code, "%s", text);
	free(what);
	free(text);
	return code;
}

static int open_error(const char *path, int rc, struct error *e)
{
	const git_error *ge = git_error_last();
	const char *why = ge && ge->message ? ge->message : "no reason given";
	/* libgit2 1.5 reports a foreign owner as "safe.directory was not found" when there is no
	 * such setting at all. */
	if (rc == GIT_ENOTFOUND && strstr(why, "safe.directory"))
		rc = GIT_EOWNER;
	if (rc == GIT_ENOTFOUND)
		return error_set(e, -ENOENT,
				 "%s is not a git repository: name one with 'repository' in "
				 "hakperf.ini, or clone instead of unpacking",
				 path);
	if (rc == GIT_EOWNER)
		return error_set(e, -EPERM,
				 "the repository %s belongs to another user: run 'git config "
				 "--global --add safe.directory %s'",
				 path, path);
	return error_set(e, -EIO, "cannot open the repository %s: %s", path, why);
}

int history_open(struct history **h, const char *path, struct error *e)
{
	*h = NULL;
	git_libgit2_init();
	git_repository *git = NULL;
	int rc = git_repository_open_ext(&git, path, 0, NULL);
	if (rc) {
		rc = open_error(path, rc, e);
		git_libgit2_shutdown();
		return rc;
	}
	struct history *x = x_calloc(1, sizeof(*x));
	x->git = git;
	x->path = x_strdup(path);
	pthread_mutex_init(&x->lock, NULL);
	*h = x;
	return 0;
}

void history_close(struct history *h)
{
	if (!h)
		return;
	git_repository_free(h->git);
	git_libgit2_shutdown();
	pthread_mutex_destroy(&h->lock);
	free(h->path);
	free(h);
}

const char *history_workdir(const struct history *h)
{
	return git_repository_workdir(h->git);
}

const char *history_gitdir(const struct history *h)
{
	return git_repository_path(h->git);
}

bool history_shallow(const struct history *h)
{
	return git_repository_is_shallow(h->git) == 1;
}

struct git_repository *history_git(struct history *h)
{
	return h->git;
}

void history_commit_release(struct history_commit *c)
{
	free(c->subject);
	free(c->author);
	free(c->phase);
	free(c->parents);
	*c = (struct history_commit){ 0 };
}

void history_commit_copy(struct history_commit *to, const struct history_commit *from)
{
	*to = *from;
	to->subject = from->subject ? x_strdup(from->subject) : NULL;
	to->author = from->author ? x_strdup(from->author) : NULL;
	to->phase = from->phase ? x_strdup(from->phase) : NULL;
	to->parents = x_calloc(from->n_parents + 1, sizeof(*to->parents));
	if (from->n_parents)
		memcpy(to->parents, from->parents, from->n_parents * sizeof(*to->parents));
}

void history_list_release(struct history_commit *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		history_commit_release(&list[i]);
	free(list);
}

static void set_id(struct history_commit *c, const git_oid *oid)
{
	git_oid_tostr(c->id, sizeof(c->id), oid);
	git_oid_tostr(c->short_id, sizeof(c->short_id), oid);
}

static char *escaped_line(const char *s, bool *escaped)
{
	struct buf b = { 0 };
	bool esc = history_escape(s, strcspn(s, "\n"), false, &b);
	if (escaped)
		*escaped = esc;
	buf_add(&b, "", 0);
	return buf_detach(&b);
}

/*
 * The value of the last "Phase:" trailer of the message's last block; NULL without one. Trailers
 * are found by libgit2 as git-interpret-trailers(1) does, so that a "Phase:" in the body's text is
 * none.
 */
static char *phase_of(const char *message)
{
	if (!strcasestr(message, "phase"))
		return NULL;
	git_message_trailer_array a = { 0 };
	if (git_message_trailers(&a, message))
		return NULL;
	char *phase = NULL;
	for (size_t i = 0; i < a.count; i++) {
		if (strcasecmp(a.trailers[i].key, "Phase"))
			continue;
		free(phase);
		phase = escaped_line(a.trailers[i].value, NULL);
	}
	git_message_trailer_array_free(&a);
	return phase;
}

static void fill_commit(struct history_commit *out, git_commit *c)
{
	*out = (struct history_commit){ 0 };
	set_id(out, git_commit_id(c));
	git_oid_tostr(out->tree, sizeof(out->tree), git_commit_tree_id(c));
	const char *message = git_commit_message(c);
	out->subject = escaped_line(message, &out->subject_escaped);
	out->author = escaped_line(git_commit_author(c)->name, NULL);
	out->author_time_s = git_commit_author(c)->when.time;
	out->commit_time_s = git_commit_time(c);
	out->phase = phase_of(message);
	out->n_parents = git_commit_parentcount(c);
	out->parents = x_calloc(out->n_parents + 1, sizeof(*out->parents));
	for (unsigned i = 0; i < out->n_parents; i++)
		git_oid_tostr(out->parents[i], HISTORY_ID, git_commit_parent_id(c, i));
}

/* From now on new objects go to memory, not to the user's object database. */
static int use_memory(struct history *h, struct error *e)
{
	git_odb *odb = NULL;
	git_odb_backend *backend = NULL;
	if (h->memory)
		return 0;
	int rc = git_repository_odb(&odb, h->git);
	rc = rc ? rc : git_mempack_new(&backend);
	rc = rc ? rc : git_odb_add_backend(odb, backend, 999);
	git_odb_free(odb);
	if (rc)
		return history_git_error(h, rc, e, "cannot add objects in memory to %s", h->path);
	h->memory = true;
	return 0;
}

/*
 * The working tree as a tree object: the index in memory is brought up to the files (its cached
 * times skip what did not change) and is never written. New objects go to a memory backend of
 * highest priority.
 */
static int worktree_tree(struct history *h, git_oid *tree, struct error *e)
{
	git_index *index = NULL;
	int rc = use_memory(h, e);
	if (rc)
		return rc;
	git_strarray all = { 0 };
	rc = git_repository_index(&index, h->git);
	rc = rc ? rc : git_index_read(index, 1);
	if (!rc && git_index_has_conflicts(index)) {
		rc = error_set(e, -EBUSY,
			       "the working tree of %s has unmerged files: finish the merge, or "
			       "use a commit instead of 'worktree'",
			       h->path);
		goto out;
	}
	rc = rc ? rc : git_index_add_all(index, &all, GIT_INDEX_ADD_DEFAULT, NULL, NULL);
	rc = rc ? rc : git_index_update_all(index, &all, NULL, NULL);
	rc = rc ? rc : git_index_write_tree_to(tree, index, h->git);
	if (rc)
		rc = history_git_error(h, rc, e, "cannot read the working tree of %s", h->path);
out:
	git_index_free(index);
	return rc;
}

static int worktree_commit(struct history *h, struct history_commit *out, struct error *e)
{
	if (git_repository_is_bare(h->git))
		return error_set(e, -EINVAL,
				 "'worktree' names the files being worked on, and %s is a bare "
				 "repository: name a commit",
				 h->path);
	struct history_commit head;
	int rc = history_resolve(h, "HEAD", &head, e);
	if (rc)
		return rc;
	git_oid tree;
	rc = worktree_tree(h, &tree, e);
	if (rc) {
		history_commit_release(&head);
		return rc;
	}
	*out = (struct history_commit){ .worktree = true, .n_parents = 1 };
	snprintf(out->id, sizeof(out->id), "%s", WORKTREE);
	snprintf(out->short_id, sizeof(out->short_id), "%s", WORKTREE);
	git_oid_tostr(out->tree, sizeof(out->tree), &tree);
	out->dirty = strcmp(out->tree, head.tree) != 0;
	out->subject = x_printf("working tree on %s%s", head.short_id,
				out->dirty ? ", changed" : ", unchanged");
	out->author = x_strdup("");
	out->author_time_s = head.author_time_s;
	out->commit_time_s = head.commit_time_s;
	out->parents = x_calloc(1, sizeof(*out->parents));
	memcpy(out->parents[0], head.id, HISTORY_ID);
	history_commit_release(&head);
	return 0;
}

int history_overlay(struct history *h, const struct history_commit *base,
		    const struct history_file *files, size_t n, struct history_commit *out,
		    struct error *e)
{
	git_tree *tree = NULL;
	git_oid oid;
	git_tree_update *updates = x_calloc(n + 1, sizeof(*updates));
	*out = (struct history_commit){ 0 };
	int rc = use_memory(h, e);
	if (rc) {
		free(updates);
		return rc;
	}
	for (size_t i = 0; i < n && !rc; i++) {
		updates[i].action = files[i].mode ? GIT_TREE_UPDATE_UPSERT : GIT_TREE_UPDATE_REMOVE;
		updates[i].path = files[i].path;
		updates[i].filemode = (git_filemode_t)files[i].mode;
		if (files[i].mode)
			rc = git_blob_create_from_buffer(&updates[i].id, h->git, files[i].bytes,
							 files[i].n);
	}
	git_oid_fromstr(&oid, base->tree);
	rc = rc ? rc : git_tree_lookup(&tree, h->git, &oid);
	rc = rc ? rc : git_tree_create_updated(&oid, h->git, tree, n, updates);
	if (rc) {
		rc = history_git_error(h, rc, e, "cannot change the files of %s", base->short_id);
	} else {
		history_commit_copy(out, base);
		out->worktree = out->dirty = true;
		git_oid_tostr(out->tree, sizeof(out->tree), &oid);
		if (!base->worktree) {
			out->parents = x_realloc(out->parents, 1, sizeof(*out->parents));
			memcpy(out->parents[0], base->id, HISTORY_ID);
			out->n_parents = 1;
		}
	}
	git_tree_free(tree);
	free(updates);
	return rc;
}

int history_file(struct history *h, const struct history_commit *c, const char *path,
		 struct buf *out, unsigned *mode, struct error *e)
{
	git_tree *tree = NULL;
	git_tree_entry *entry = NULL;
	git_blob *blob = NULL;
	git_oid oid;
	git_oid_fromstr(&oid, c->tree);
	int rc = git_tree_lookup(&tree, h->git, &oid);
	rc = rc ? rc : git_tree_entry_bypath(&entry, tree, path);
	rc = rc ? rc : git_blob_lookup(&blob, h->git, git_tree_entry_id(entry));
	if (rc) {
		rc = history_git_error(h, rc, e, "cannot read %s of %s", path, c->short_id);
	} else {
		buf_add(out, git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob));
		*mode = (unsigned)git_tree_entry_filemode(entry);
	}
	git_blob_free(blob);
	git_tree_entry_free(entry);
	git_tree_free(tree);
	return rc;
}

int history_phases(struct history *h, struct history_commit **list, size_t *n, struct error *e)
{
	*list = NULL;
	*n = 0;
	size_t cap = 0;
	git_revwalk *walk = NULL;
	int rc = git_revwalk_new(&walk, h->git);
	rc = rc ? rc : git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_REVERSE);
	rc = rc ? rc : git_revwalk_push_head(walk);
	git_oid oid;
	while (!rc && !(rc = git_revwalk_next(&oid, walk))) {
		git_commit *c = NULL;
		rc = git_commit_lookup(&c, h->git, &oid);
		if (rc)
			break;
		char *phase = phase_of(git_commit_message(c));
		if (phase) {
			x_grow(*list, *n, cap);
			fill_commit(&(*list)[(*n)++], c);
			free(phase);
		}
		git_commit_free(c);
	}
	git_revwalk_free(walk);
	if (rc == GIT_ITEROVER)
		return 0;
	history_list_release(*list, *n);
	*list = NULL;
	*n = 0;
	return history_git_error(h, rc, e, "cannot read the history of HEAD");
}

static int phase_resolve(struct history *h, const char *name, struct history_commit *out,
			 struct error *e)
{
	struct history_commit *list;
	size_t n, found = 0, first = 0;
	int rc = history_phases(h, &list, &n, e);
	if (rc)
		return rc;
	struct buf match = { 0 }, all = { 0 };
	for (size_t i = 0; i < n; i++) {
		buf_printf(&all, "%s%s", all.len ? ", " : "", list[i].phase);
		if (strcasecmp(list[i].phase, name))
			continue;
		if (!found++)
			first = i;
		buf_printf(&match, "%s%s (%s)", match.len ? ", " : "", list[i].short_id,
			   list[i].subject);
	}
	if (found == 1)
		history_commit_copy(out, &list[first]);
	else if (found > 1)
		rc = error_set(
			e, -EEXIST,
			"%zu commits reachable from HEAD open the phase '%s', name one of them: %s",
			found, name, buf_str(&match));
	else if (all.len)
		rc = error_set(e, -ENOENT,
			       "no commit reachable from HEAD opens the phase '%s'; the phases "
			       "there are: %s",
			       name, buf_str(&all));
	else
		rc = error_set(e, -ENOENT,
			       "no commit reachable from HEAD opens the phase '%s': none carries a "
			       "trailer 'Phase: NAME'",
			       name);
	history_list_release(list, n);
	buf_release(&match);
	buf_release(&all);
	return rc;
}

int history_resolve(struct history *h, const char *rev, struct history_commit *out, struct error *e)
{
	*out = (struct history_commit){ 0 };
	if (!strcmp(rev, WORKTREE))
		return worktree_commit(h, out, e);
	if (!strncasecmp(rev, "phase:", 6)) {
		/* phase:NAME~1 and phase:NAME^ as git would have it of a branch; a phase of that very name comes first. */
		size_t n = strcspn(rev + 6, "~^");
		struct error own = { 0 };
		int found = phase_resolve(h, rev + 6, out, &own);
		if (!found || !rev[6 + n] || !n)
			return found ? error_set(e, found, "%s", own.text) : 0;
		char *name = x_printf("%.*s", (int)n, rev + 6), *spec = NULL;
		struct history_commit base = { 0 };
		found = phase_resolve(h, name, &base, e);
		if (!found) {
			spec = x_printf("%s%s", base.id, rev + 6 + n);
			found = history_resolve(h, spec, out, e);
		}
		history_commit_release(&base);
		free(name), free(spec);
		return found;
	}
	if (!*rev || strstr(rev, ".."))
		return error_set(e, -EINVAL, "'%s' is not one revision: name a single commit", rev);
	git_object *obj = NULL, *commit = NULL;
	int rc = git_revparse_single(&obj, h->git, rev);
	/* libgit2 calls what is too short for an id ambiguous where it is no name. */
	if (rc == GIT_EAMBIGUOUS && strlen(rev) < 4)
		rc = GIT_ENOTFOUND;
	if (rc == GIT_EAMBIGUOUS)
		return error_set(e, -EEXIST,
				 "'%s' fits several objects of %s: give more digits of the id "
				 "('git rev-parse --disambiguate=%s' lists them)",
				 rev, h->path, rev);
	if (rc == GIT_ENOTFOUND || rc == GIT_EINVALIDSPEC)
		return error_set(e, -ENOENT, "'%s' is no revision of %s%s", rev, h->path,
				 history_shallow(h) ? ", which is a shallow clone: 'git fetch "
						      "--unshallow' brings the rest"
						    : ": 'git log --oneline' lists its commits");
	if (rc)
		return history_git_error(h, rc, e, "cannot resolve '%s'", rev);
	rc = git_object_peel(&commit, obj, GIT_OBJECT_COMMIT);
	if (rc)
		rc = error_set(e, -EINVAL, "'%s' is a %s, not a commit", rev,
			       git_object_type2string(git_object_type(obj)));
	else
		fill_commit(out, (git_commit *)commit);
	git_object_free(commit);
	git_object_free(obj);
	return rc;
}

int history_lookup(struct history *h, const char *id, struct history_commit *out, struct error *e)
{
	*out = (struct history_commit){ 0 };
	if (!strcmp(id, WORKTREE))
		return worktree_commit(h, out, e);
	git_oid oid;
	git_commit *c = NULL;
	if (strlen(id) != HISTORY_ID - 1 || git_oid_fromstr(&oid, id))
		return error_set(e, -EINVAL, "'%s' is not a full commit id", id);
	int rc = git_commit_lookup(&c, h->git, &oid);
	if (rc)
		return history_git_error(h, rc, e, "cannot read the commit %s", id);
	fill_commit(out, c);
	git_commit_free(c);
	return 0;
}

int history_message(struct history *h, const struct history_commit *c, struct buf *out,
		    struct error *e)
{
	if (c->worktree) {
		buf_puts(out, c->subject);
		return 0;
	}
	git_oid oid;
	git_commit *gc = NULL;
	git_oid_fromstr(&oid, c->id);
	int rc = git_commit_lookup(&gc, h->git, &oid);
	if (rc)
		return history_git_error(h, rc, e, "cannot read the commit %s", c->id);
	const char *m = git_commit_message(gc);
	history_escape(m, strlen(m), true, out);
	git_commit_free(gc);
	return 0;
}
