/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/range.h"

#include <assert.h>
#include <errno.h>
#include <git2.h>
#include <stdlib.h>
#include <string.h>

/* A set of object ids with the position of each, open addressing; empty slots have at = SIZE_MAX.
 */
struct ids {
	struct id_slot {
		git_oid oid;
		size_t at;
	} * slots;
	size_t cap, n;
};

static size_t slot_of(const struct ids *s, const git_oid *oid)
{
	size_t hash;
	memcpy(&hash, oid->id, sizeof(hash));
	size_t i = hash & (s->cap - 1);
	while (s->slots[i].at != SIZE_MAX && git_oid_cmp(&s->slots[i].oid, oid))
		i = (i + 1) & (s->cap - 1);
	return i;
}

static void ids_add(struct ids *s, const git_oid *oid, size_t at)
{
	if (2 * (s->n + 1) > s->cap) {
		struct ids bigger = { .cap = s->cap ? 2 * s->cap : 64 };
		bigger.slots = x_calloc(bigger.cap, sizeof(*bigger.slots));
		for (size_t i = 0; i < bigger.cap; i++)
			bigger.slots[i].at = SIZE_MAX;
		for (size_t i = 0; i < s->cap; i++)
			if (s->slots[i].at != SIZE_MAX)
				bigger.slots[slot_of(&bigger, &s->slots[i].oid)] = s->slots[i];
		bigger.n = s->n;
		free(s->slots);
		*s = bigger;
	}
	struct id_slot *slot = &s->slots[slot_of(s, oid)];
	if (slot->at == SIZE_MAX)
		s->n++;
	slot->oid = *oid;
	slot->at = at;
}

/* Position of an id; SIZE_MAX: not in the set. */
static size_t ids_at(const struct ids *s, const git_oid *oid)
{
	return s->cap ? s->slots[slot_of(s, oid)].at : SIZE_MAX;
}

void range_release(struct range *r)
{
	for (size_t i = 0; i < r->n; i++) {
		history_commit_release(&r->commits[i].info);
		free(r->commits[i].parents);
	}
	free(r->commits);
	*r = (struct range){ 0 };
}

size_t range_find(const struct range *r, const char *id)
{
	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->commits[i].info.id, id))
			return i;
	return r->n;
}

bool range_is_ancestor(const struct range *r, size_t a, size_t b)
{
	if (a >= b)
		return a == b;
	bool *reached = x_calloc(b + 1, sizeof(*reached));
	reached[b] = true;
	/* Parents stand before children, so one pass downwards sees every path. */
	for (size_t i = b; i > a; i--)
		for (size_t k = 0; reached[i] && k < r->commits[i].n_parents; k++)
			reached[r->commits[i].parents[k]] = true;
	bool is = reached[a];
	free(reached);
	return is;
}

/* good is not among bad's ancestors: say what is the case instead. */
static int unrelated(struct history *h, const struct history_commit *good,
		     const struct history_commit *bad, const git_oid *g, const git_oid *b,
		     bool first_parent, struct error *e)
{
	git_repository *git = history_git(h);
	if (first_parent && git_graph_descendant_of(git, b, g) == 1)
		return error_set(e, -EINVAL,
				 "%s does not lie on the first-parent line of %s: leave "
				 "--first-parent out, or name a commit of that line",
				 good->short_id, bad->short_id);
	if (git_graph_descendant_of(git, g, b) == 1)
		return error_set(e, -EINVAL,
				 "good %s comes after bad %s: swap them, and search for an "
				 "improvement if the newer one is meant to be better",
				 good->short_id, bad->short_id);
	git_oid base;
	int rc = git_merge_base(&base, git, g, b);
	if (rc == GIT_ENOTFOUND && !history_shallow(h))
		return error_set(e, -EINVAL, "good %s and bad %s have no common history",
				 good->short_id, bad->short_id);
	if (rc)
		return history_git_error(h, rc, e, "good %s is not an ancestor of bad %s",
					 good->short_id, bad->short_id);
	char id[HISTORY_SHORT_ID];
	git_oid_tostr(id, sizeof(id), &base);
	return error_set(e, -EINVAL,
			 "good %s is not an ancestor of bad %s: they part at %s, which can stand "
			 "as good if it is good",
			 good->short_id, bad->short_id, id);
}

/* Ids from good's children up to bad, oldest first, into *list; nothing is filtered yet. */
static int walk_all(struct history *h, const git_oid *good, const git_oid *bad, git_oid **list,
		    size_t *n)
{
	size_t cap = 0;
	git_revwalk *walk = NULL;
	int rc = git_revwalk_new(&walk, history_git(h));
	rc = rc ? rc : git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_REVERSE);
	rc = rc ? rc : git_revwalk_push(walk, bad);
	rc = rc ? rc : git_revwalk_hide(walk, good);
	git_oid oid;
	while (!rc && !(rc = git_revwalk_next(&oid, walk))) {
		x_grow(*list, *n, cap);
		(*list)[(*n)++] = oid;
	}
	git_revwalk_free(walk);
	return rc == GIT_ITEROVER ? 0 : rc;
}

static int walk_first_parents(struct history *h, const git_oid *good, const git_oid *bad,
			      git_oid **list, size_t *n)
{
	size_t cap = 0;
	git_oid at = *bad;
	while (git_oid_cmp(&at, good)) {
		x_grow(*list, *n, cap);
		(*list)[(*n)++] = at;
		git_commit *c = NULL;
		int rc = git_commit_lookup(&c, history_git(h), &at);
		if (rc)
			return rc;
		bool root = git_commit_parentcount(c) == 0;
		if (!root)
			at = *git_commit_parent_id(c, 0);
		git_commit_free(c);
		if (root) { /* good is not on the line: the caller sees that bad is not reached */
			*n = 0;
			return 0;
		}
	}
	for (size_t i = 0; i < *n / 2; i++) {
		git_oid t = (*list)[i];
		(*list)[i] = (*list)[*n - 1 - i];
		(*list)[*n - 1 - i] = t;
	}
	return 0;
}

/* Append a commit; parents of it that are in the set become indices. */
static void append(struct range *r, size_t *cap, const struct history_commit *info,
		   bool first_parent, struct ids *ids)
{
	x_grow(r->commits, r->n, *cap);
	struct range_commit *c = &r->commits[r->n];
	*c = (struct range_commit){ 0 };
	history_commit_copy(&c->info, info);
	c->parents = x_calloc(info->n_parents + 1, sizeof(*c->parents));
	for (size_t k = 0; k < info->n_parents; k++) {
		git_oid p;
		git_oid_fromstr(&p, info->parents[k]);
		size_t at = ids_at(ids, &p);
		bool in = at != SIZE_MAX && !(first_parent && k > 0);
		if (in)
			c->parents[c->n_parents++] = at;
		else
			c->n_outside++;
	}
	git_oid oid;
	if (!info->worktree && !git_oid_fromstr(&oid, info->id))
		ids_add(ids, &oid, r->n);
	r->n++;
}

static int fill_keys(struct history *h, struct range *r, const char *const *paths, size_t n_paths,
		     struct error *e)
{
	for (size_t i = 0; i < r->n; i++) {
		struct range_commit *c = &r->commits[i];
		int rc = history_tree_key(h, &c->info, paths, n_paths, c->tree_key, NULL, e);
		if (rc)
			return rc;
		c->changes_subject = c->n_parents > 0;
		for (size_t k = 0; k < c->n_parents; k++) {
			assert(c->parents[k] < i);
			if (!strcmp(c->tree_key, r->commits[c->parents[k]].tree_key))
				c->changes_subject = false;
		}
	}
	return 0;
}

/* The commits between two real commits, good first. */
static int between(struct history *h, const struct history_commit *good,
		   const struct history_commit *bad, bool first_parent, struct range *out,
		   size_t *cap, struct ids *ids, struct error *e)
{
	git_oid g, b, *list = NULL;
	size_t n = 0;
	git_oid_fromstr(&g, good->id);
	git_oid_fromstr(&b, bad->id);
	append(out, cap, good, first_parent, ids);
	out->commits[0].n_parents = 0;
	out->commits[0].n_outside = 0;
	if (!git_oid_cmp(&g, &b))
		return 0;
	int rc = first_parent ? walk_first_parents(h, &g, &b, &list, &n)
			      : walk_all(h, &g, &b, &list, &n);
	if (rc) {
		rc = history_git_error(h, rc, e, "cannot walk from %s to %s", good->short_id,
				       bad->short_id);
		goto out;
	}
	for (size_t i = 0; i < n && !rc; i++) {
		git_commit *c = NULL;
		rc = git_commit_lookup(&c, history_git(h), &list[i]);
		if (rc) {
			rc = history_git_error(h, rc, e, "cannot walk from %s to %s",
					       good->short_id, bad->short_id);
			break;
		}
		bool on_path = false;
		for (unsigned k = 0; k < git_commit_parentcount(c) && !on_path; k++)
			on_path = ids_at(ids, git_commit_parent_id(c, k)) != SIZE_MAX;
		git_commit_free(c);
		if (!on_path)
			continue;
		char id[HISTORY_ID];
		git_oid_tostr(id, sizeof(id), &list[i]);
		struct history_commit info;
		rc = history_lookup(h, id, &info, e);
		if (!rc)
			append(out, cap, &info, first_parent, ids);
		history_commit_release(&info);
	}
	if (!rc && ids_at(ids, &b) == SIZE_MAX)
		rc = unrelated(h, good, bad, &g, &b, first_parent, e);
out:
	free(list);
	return rc;
}

int range_between(struct history *h, const struct history_commit *good,
		  const struct history_commit *bad, bool first_parent, const char *const *paths,
		  size_t n_paths, struct range *out, struct error *e)
{
	*out = (struct range){ 0 };
	struct ids ids = { 0 };
	size_t cap = 0;
	int rc = 0;
	if (good->worktree) {
		if (!bad->worktree)
			return error_set(e, -EINVAL,
					 "good is the working tree, and nothing comes after it: "
					 "only bad can be 'worktree'");
		append(out, &cap, good, first_parent, &ids);
		out->commits[0].n_outside = 0;
	} else if (bad->worktree) {
		struct history_commit head;
		rc = history_lookup(h, bad->parents[0], &head, e);
		if (!rc)
			rc = between(h, good, &head, first_parent, out, &cap, &ids, e);
		history_commit_release(&head);
		if (!rc)
			append(out, &cap, bad, first_parent, &ids);
	} else {
		rc = between(h, good, bad, first_parent, out, &cap, &ids, e);
	}
	free(ids.slots);
	rc = rc ? rc : fill_keys(h, out, paths, n_paths, e);
	if (rc)
		range_release(out);
	return rc;
}

static bool has_parent(const struct range *r, size_t i, const char *id)
{
	const struct range_commit *c = &r->commits[i];
	for (size_t k = 0; k < c->n_parents; k++)
		if (!strcmp(r->commits[c->parents[k]].info.id, id))
			return true;
	return false;
}

/* Commits of tip that no parent of i in the range has. */
static int count_brought(struct history *h, const struct range *r, size_t i, const git_oid *tip,
			 size_t *n)
{
	const struct range_commit *c = &r->commits[i];
	git_revwalk *walk = NULL;
	git_oid oid;
	int rc = git_revwalk_new(&walk, history_git(h));
	rc = rc ? rc : git_revwalk_push(walk, tip);
	for (size_t k = 0; !rc && k < c->n_parents; k++) {
		git_oid_fromstr(&oid, r->commits[c->parents[k]].info.id);
		rc = git_revwalk_hide(walk, &oid);
	}
	*n = 0;
	while (!rc && !(rc = git_revwalk_next(&oid, walk)))
		++*n;
	git_revwalk_free(walk);
	return rc == GIT_ITEROVER ? 0 : rc;
}

int range_branches(struct history *h, const struct range *r, size_t i, struct range_branch **list,
		   size_t *n, struct error *e)
{
	const struct range_commit *c = &r->commits[i];
	size_t cap = 0;
	*list = NULL;
	*n = 0;
	for (size_t k = 0; c->n_outside && c->n_parents && k < c->info.n_parents; k++) {
		const char *id = c->info.parents[k];
		struct range_branch b = { .commits = 0 };
		git_oid tip, main_line, fork;
		if (has_parent(r, i, id))
			continue;
		git_oid_fromstr(&tip, id);
		git_oid_fromstr(&main_line, r->commits[c->parents[0]].info.id);
		int rc = count_brought(h, r, i, &tip, &b.commits);
		if (!rc && b.commits) {
			rc = git_merge_base(&fork, history_git(h), &main_line, &tip);
			if (!rc)
				git_oid_tostr(b.fork, sizeof(b.fork), &fork);
			rc = rc == GIT_ENOTFOUND ? 0 : rc;
		}
		if (rc) {
			free(*list);
			*list = NULL;
			*n = 0;
			return history_git_error(h, rc, e, "cannot walk from %s", id);
		}
		if (!b.commits)
			continue;
		git_oid_tostr(b.tip, sizeof(b.tip), &tip);
		x_grow(*list, *n, cap);
		(*list)[(*n)++] = b;
	}
	return 0;
}

/* Everything reachable from a revision into *ids; its position in the set means nothing. */
static int reach(struct history *h, const char *rev, struct ids *ids, struct error *e)
{
	struct history_commit c;
	int rc = history_resolve(h, rev, &c, e);
	if (rc)
		return rc;
	git_oid oid;
	git_oid_fromstr(&oid, c.worktree ? c.parents[0] : c.id);
	git_revwalk *walk = NULL;
	rc = git_revwalk_new(&walk, history_git(h));
	rc = rc ? rc : git_revwalk_push(walk, &oid);
	while (!rc && !(rc = git_revwalk_next(&oid, walk)))
		ids_add(ids, &oid, 0);
	git_revwalk_free(walk);
	rc = rc == GIT_ITEROVER ? 0
				: history_git_error(h, rc, e, "cannot walk from %s", c.short_id);
	history_commit_release(&c);
	return rc;
}

int range_select(struct history *h, const char *spec, const struct history_commit *const *commits,
		 size_t n, bool *in, struct error *e)
{
	const char *dots = strstr(spec, "..");
	if (!dots || strstr(dots + 2, "..") || dots[2] == '.' || !strcmp(spec, ".."))
		return error_set(e, -EINVAL,
				 "'%s' is not a range of commits: write A..B, A.. or ..B", spec);
	char *from = x_printf("%.*s", (int)(dots - spec), spec);
	const char *to = dots + 2;
	struct ids below = { 0 }, above = { 0 };
	int rc = *from ? reach(h, from, &below, e) : 0;
	rc = rc || !*to ? rc : reach(h, to, &above, e);
	bool from_worktree = !strcmp(from, "worktree"), to_worktree = !strcmp(to, "worktree");
	for (size_t i = 0; i < n && !rc; i++) {
		git_oid oid;
		if (commits[i]->worktree) {
			in[i] = !from_worktree && (!*to || to_worktree);
			continue;
		}
		git_oid_fromstr(&oid, commits[i]->id);
		in[i] = ids_at(&below, &oid) == SIZE_MAX &&
			(!*to || ids_at(&above, &oid) != SIZE_MAX);
	}
	free(below.slots);
	free(above.slots);
	free(from);
	return rc;
}
