/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/history_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_everything(const char *path)
{
	return !*path || !strcmp(path, ".") || !strcmp(path, "./") || !strcmp(path, "/");
}

static bool wants_everything(const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_everything(paths[i]))
			return true;
	return n == 0;
}

/* "./a/b/" means "a/b". Owned by the caller. */
static char *plain_path(const char *path)
{
	while (path[0] == '.' && path[1] == '/')
		path += 2;
	char *p = x_strdup(path);
	for (size_t n = strlen(p); n && p[n - 1] == '/'; n--)
		p[n - 1] = '\0';
	return p;
}

static int tree_of(struct history *h, const struct history_commit *c, git_tree **tree,
		   struct error *e)
{
	git_oid oid;
	git_oid_fromstr(&oid, c->tree);
	int rc = git_tree_lookup(tree, h->git, &oid);
	return rc ? history_git_error(h, rc, e, "cannot read the tree of %s", c->short_id) : 0;
}

static int tree_key_locked(struct history *h, const struct history_commit *c,
			   const char *const *paths, size_t n_paths, char key[HASH_HEX],
			   size_t *present, struct error *e)
{
	struct buf text = { 0 };
	git_tree *root = NULL;
	size_t found = 0;
	int rc = 0;
	if (wants_everything(paths, n_paths)) {
		buf_printf(&text, "tree %s\n", c->tree);
		found = n_paths ? n_paths : 1;
	} else {
		rc = tree_of(h, c, &root, e);
	}
	for (size_t i = 0; root && i < n_paths && !rc; i++) {
		char *path = plain_path(paths[i]);
		git_tree_entry *entry = NULL;
		int got = git_tree_entry_bypath(&entry, root, path);
		if (!got) {
			char id[HISTORY_ID];
			git_oid_tostr(id, sizeof(id), git_tree_entry_id(entry));
			buf_printf(&text, "%zu %s %06o %s\n", strlen(path), path,
				   (unsigned)git_tree_entry_filemode(entry), id);
			found++;
		} else if (got == GIT_ENOTFOUND) {
			buf_printf(&text, "%zu %s missing\n", strlen(path), path);
		} else {
			rc = history_git_error(h, got, e, "cannot read '%s' in %s", path,
					       c->short_id);
		}
		git_tree_entry_free(entry);
		free(path);
	}
	git_tree_free(root);
	if (!rc)
		hash_bytes(buf_str(&text), text.len, key);
	if (present)
		*present = found;
	buf_release(&text);
	return rc;
}

int history_tree_key(struct history *h, const struct history_commit *c, const char *const *paths,
		     size_t n_paths, char key[HASH_HEX], size_t *present, struct error *e)
{
	pthread_mutex_lock(&h->lock);
	int rc = tree_key_locked(h, c, paths, n_paths, key, present, e);
	pthread_mutex_unlock(&h->lock);
	return rc;
}

struct walk {
	const char *const *paths;
	size_t n_paths;
	struct history_exported *x;
};

/* path is one of the subject's paths or lies below one. */
static bool within(const struct walk *w, const char *path)
{
	if (wants_everything(w->paths, w->n_paths))
		return true;
	bool in = false;
	for (size_t i = 0; i < w->n_paths && !in; i++) {
		char *p = plain_path(w->paths[i]);
		size_t n = strlen(p);
		in = !strncmp(path, p, n) && (path[n] == '\0' || path[n] == '/');
		free(p);
	}
	return in;
}

static int note_submodule(const char *root, const git_tree_entry *entry, void *ctx)
{
	struct walk *w = ctx;
	if (git_tree_entry_type(entry) != GIT_OBJECT_COMMIT)
		return 0;
	char *path = x_printf("%s%s", root, git_tree_entry_name(entry));
	if (within(w, path)) {
		w->x->n_submodules++;
		history_escape(path, strlen(path), false, &w->x->submodules);
		buf_putc(&w->x->submodules, '\n');
	}
	free(path);
	return 0;
}

static int export_locked(struct history *h, const struct history_commit *c,
			 const char *const *paths, size_t n_paths, const char *target,
			 struct history_exported *x, struct error *e)
{
	git_tree *root = NULL;
	int rc = tree_of(h, c, &root, e);
	if (rc)
		return rc;
	char **list = x_calloc(n_paths + 1, sizeof(*list));
	for (size_t i = 0; i < n_paths; i++)
		list[i] = plain_path(paths[i]);
	git_checkout_options o = GIT_CHECKOUT_OPTIONS_INIT;
	o.checkout_strategy = GIT_CHECKOUT_FORCE | GIT_CHECKOUT_RECREATE_MISSING |
			      GIT_CHECKOUT_DONT_UPDATE_INDEX | GIT_CHECKOUT_NO_REFRESH |
			      GIT_CHECKOUT_DISABLE_PATHSPEC_MATCH;
	o.disable_filters = 1;
	o.target_directory = target;
	if (!wants_everything(paths, n_paths))
		o.paths = (git_strarray){ .strings = list, .count = n_paths };
	rc = git_checkout_tree(h->git, (git_object *)root, &o);
	if (rc)
		rc = history_git_error(h, rc, e, "cannot export %s to %s", c->short_id, target);
	if (!rc && x) {
		struct walk w = { .paths = paths, .n_paths = n_paths, .x = x };
		*x = (struct history_exported){ 0 };
		rc = git_tree_walk(root, GIT_TREEWALK_PRE, note_submodule, &w);
		if (rc)
			rc = history_git_error(h, rc, e, "cannot read the tree of %s", c->short_id);
	}
	for (size_t i = 0; i < n_paths; i++)
		free(list[i]);
	free(list);
	git_tree_free(root);
	return rc;
}

int history_export(struct history *h, const struct history_commit *c, const char *const *paths,
		   size_t n_paths, const char *target, struct history_exported *x, struct error *e)
{
	assert(target[0] == '/');
	char key[HASH_HEX];
	size_t present = 0;
	pthread_mutex_lock(&h->lock);
	int rc = tree_key_locked(h, c, paths, n_paths, key, &present, e);
	if (!rc && !present)
		rc = error_set(e, -ENOENT, "the commit %s has none of the subject's paths (%s%s)",
			       c->short_id, paths[0], n_paths > 1 ? ", …" : "");
	rc = rc ? rc : export_locked(h, c, paths, n_paths, target, x, e);
	pthread_mutex_unlock(&h->lock);
	return rc;
}
