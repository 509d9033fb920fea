/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account_split.h"

#include "base/hash.h"
#include "harness/child.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE SIZE_MAX
/* Beyond this many hunks the units are files. */
#define HUNKS_MAX 120
#define LIMIT 300

/* A tree that was counted, by what its build loads. */
struct counted {
	char loaded[HASH_HEX];
	struct build build;
	double per_op;
};

struct splitter {
	const struct account_split_options *o;
	struct account_split *out;
	struct history_commit parent;
	struct counted *counted;
	size_t n_counted, cap_counted;
};

/* Line `line` (from 1) begins here; the end of the text when it has fewer. */
static const char *line_at(const char *s, const char *end, size_t line)
{
	for (; line > 1 && s < end; line--) {
		const char *nl = memchr(s, '\n', (size_t)(end - s));
		s = nl ? nl + 1 : end;
	}
	return s;
}

static void add_lines(const struct buf *text, size_t first, size_t n, struct buf *out)
{
	const char *begin = buf_str(text), *end = begin + text->len,
		   *from = line_at(begin, end, first);
	const char *to = line_at(from, end, n + 1);
	buf_add(out, from, (size_t)(to - from));
}

void account_split_compose(const struct diff_file *f, const bool *with, const struct buf *old,
			   const struct buf *new, struct buf *out)
{
	size_t next = 1; /* line of old that is not written yet */
	for (size_t i = 0; i < f->n_hunks; i++) {
		const struct diff_hunk *h = &f->hunks[i];
		/* A hunk without old lines stands behind line old_start. */
		size_t start = (size_t)h->old_start + (h->old_lines ? 0 : 1);
		add_lines(old, next, start - next, out);
		if (with[i])
			add_lines(new, (size_t)h->new_start, (size_t)h->new_lines, out);
		else
			add_lines(old, start, (size_t)h->old_lines, out);
		next = start + (size_t)h->old_lines;
	}
	add_lines(old, next, SIZE_MAX / 2, out);
}

static void find_units(struct account_split *s)
{
	size_t hunks = 0, cap = 0;
	for (size_t i = 0; i < s->diff.n_files; i++)
		hunks += s->diff.files[i].n_hunks;
	for (size_t i = 0; i < s->diff.n_files; i++) {
		const struct diff_file *f = &s->diff.files[i];
		bool whole = f->status != 'M' || f->binary || !f->n_hunks || hunks > HUNKS_MAX;
		for (size_t k = 0; k < (whole ? 1 : f->n_hunks); k++) {
			x_grow(s->units, s->n_units, cap);
			s->units[s->n_units++] =
				(struct account_split_unit){ i, whole ? WHOLE : k };
		}
	}
}

struct overlay {
	struct history_file *files;
	struct buf *bytes;
	size_t n, cap;
};

static void put_file(struct overlay *v, const char *path, struct buf *bytes, unsigned mode)
{
	x_grow(v->files, v->n, v->cap);
	v->bytes = x_realloc(v->bytes, v->cap, sizeof(*v->bytes));
	v->bytes[v->n] = *bytes;
	v->files[v->n++] = (struct history_file){
		.path = path, .bytes = buf_str(bytes), .n = bytes->len, .mode = mode
	};
	*bytes = (struct buf){ 0 };
}

static void overlay_release(struct overlay *v)
{
	for (size_t i = 0; i < v->n; i++)
		buf_release(&v->bytes[i]);
	free(v->files), free(v->bytes);
}

/* What the units with[] make of one file of the parent. */
static int change_file(struct splitter *w, size_t file, const bool *with, struct overlay *v,
		       struct error *e)
{
	const struct diff_file *f = &w->out->diff.files[file];
	struct history *h = w->o->subject->history;
	struct buf old = { 0 }, new = { 0 }, text = { 0 };
	bool *hunks = x_calloc(f->n_hunks + 1, sizeof(*hunks)), any = false, whole = false;
	unsigned mode = 0, old_mode;
	int rc = 0;
	for (size_t i = 0; i < w->out->n_units; i++)
		if (w->out->units[i].file == file && with[i]) {
			any = true;
			whole |= w->out->units[i].hunk == WHOLE;
			if (w->out->units[i].hunk != WHOLE)
				hunks[w->out->units[i].hunk] = true;
		}
	if (any && f->old_path && (!f->new_path || strcmp(f->old_path, f->new_path)))
		put_file(v, f->old_path, &text, 0);
	if (any && f->new_path)
		rc = history_file(h, w->o->commit, f->new_path, &new, &mode, e);
	if (any && f->new_path && !rc) {
		if (!whole)
			rc = history_file(h, &w->parent, f->old_path, &old, &old_mode, e);
		if (!rc && !whole)
			account_split_compose(f, hunks, &old, &new, &text);
		if (!rc)
			put_file(v, f->new_path, whole ? &new : &text, mode);
	}
	buf_release(&old), buf_release(&new), buf_release(&text);
	free(hunks);
	return rc;
}

static int build_set(struct splitter *w, const bool *with, struct build *b, struct error *e)
{
	struct overlay v = { 0 };
	struct history_commit tree = { 0 };
	int rc = child_interrupted() ? error_set(e, -EINTR, "interrupted") : 0;
	for (size_t i = 0; i < w->out->diff.n_files && !rc; i++)
		rc = change_file(w, i, with, &v, e);
	if (!rc)
		rc = history_overlay(w->o->subject->history, &w->parent, v.files, v.n, &tree, e);
	if (!rc)
		rc = subject_build(w->o->subject, &tree, w->o->variant, BUILD_PIN, b, e);
	if (!rc)
		w->out->builds += !b->cached;
	history_commit_release(&tree);
	overlay_release(&v);
	return rc;
}

static int does_build(void *ctx, const bool *with, size_t n, bool *builds, struct error *e)
{
	struct splitter *w = ctx;
	struct build b = { 0 };
	size_t set = 0;
	for (size_t i = 0; i < n; i++)
		set += with[i];
	int rc = build_set(w, with, &b, e);
	*builds = !rc && b.outcome == BUILD_OK;
	if (!rc && w->o->say) {
		char *line =
			x_printf("%zu of %zu hunks: %s", set, n, build_outcome_name(b.outcome));
		w->o->say(w->o->ctx, line);
		free(line);
	}
	build_release(&b);
	return rc;
}

/* Index of the counted tree, SIZE_MAX: does not build. */
static int want_set(struct splitter *w, const bool *with, size_t *at, struct error *e)
{
	struct build b = { 0 };
	*at = SIZE_MAX;
	int rc = build_set(w, with, &b, e);
	if (rc || b.outcome != BUILD_OK) {
		build_release(&b);
		return rc;
	}
	for (*at = 0; *at < w->n_counted && strcmp(w->counted[*at].loaded, b.loaded_hash); ++*at)
		;
	if (*at < w->n_counted) {
		build_release(&b);
		return 0;
	}
	x_grow(w->counted, w->n_counted, w->cap_counted);
	struct counted *c = &w->counted[w->n_counted++];
	*c = (struct counted){ .build = b, .per_op = NAN };
	memcpy(c->loaded, b.loaded_hash, sizeof(c->loaded));
	return 0;
}

static int count_all(struct splitter *w, struct error *e)
{
	static const enum run_kind kinds[] = { [CONFIG_PRELOAD] = RUN_PRELOAD,
					       [CONFIG_EXEC] = RUN_EXEC,
					       [CONFIG_LIBRARY] = RUN_LIBRARY };
	struct account_want *want = x_calloc(w->n_counted + 1, sizeof(*want));
	struct account_count *counts = x_calloc(w->n_counted + 1, sizeof(*counts));
	for (size_t i = 0; i < w->n_counted; i++)
		want[i] = (struct account_want){ .build = &w->counted[i].build,
						 .kind = kinds[w->o->subject->config->subject.use],
						 .c = w->o->c };
	int rc = account_run(want, w->n_counted, w->o->subject->jobs, w->o->workloads, NULL, NULL,
			     counts, e);
	for (size_t i = 0; i < w->n_counted; i++) {
		if (counts[i].counted)
			w->counted[i].per_op =
				counts[i].account.total_ir / (double)counts[i].account.operations;
		account_count_release(&counts[i]);
	}
	w->out->counts = w->n_counted;
	free(want), free(counts);
	return rc;
}

static void add_units(const struct split_group *g, bool *with, bool on)
{
	for (size_t i = 0; i < g->n_units; i++)
		with[g->units[i]] = on;
}

/* Four trees a group: what it stands on, that with it; the commit without it, the commit. */
static int want_group(struct splitter *w, size_t group, size_t at[4], struct error *e)
{
	const struct split *s = &w->out->split;
	size_t n = w->out->n_units;
	bool *with = x_calloc(n + 1, sizeof(*with));
	for (size_t i = 0; i < group && !s->groups[group].alone; i++)
		add_units(&s->groups[i], with, true);
	int rc = want_set(w, with, &at[0], e);
	add_units(&s->groups[group], with, true);
	rc = rc ? rc : want_set(w, with, &at[1], e);
	for (size_t i = 0; i < n; i++)
		with[i] = true;
	rc = rc ? rc : want_set(w, with, &at[3], e);
	add_units(&s->groups[group], with, false);
	rc = rc ? rc : want_set(w, with, &at[2], e);
	free(with);
	return rc;
}

static double cost_at(const struct splitter *w, size_t at)
{
	return at == SIZE_MAX ? NAN : w->counted[at].per_op;
}

static int measure(struct splitter *w, struct error *e)
{
	size_t n = w->out->split.n_groups, ends[2];
	size_t(*at)[4] = x_calloc(n + 1, sizeof(*at));
	bool *with = x_calloc(w->out->n_units + 1, sizeof(*with));
	int rc = want_set(w, with, &ends[0], e);
	for (size_t i = 0; i < w->out->n_units; i++)
		with[i] = true;
	rc = rc ? rc : want_set(w, with, &ends[1], e);
	for (size_t i = 0; i < n && !rc; i++)
		rc = want_group(w, i, at[i], e);
	if (!rc && w->o->say)
		w->o->say(w->o->ctx, "counting");
	rc = rc ? rc : count_all(w, e);
	w->out->parts = x_calloc(n + 1, sizeof(*w->out->parts));
	for (size_t i = 0; i < n && !rc; i++)
		w->out->parts[i] = (struct account_split_part){
			.put_on = cost_at(w, at[i][1]) - cost_at(w, at[i][0]),
			.taken_off = cost_at(w, at[i][3]) - cost_at(w, at[i][2]),
			.silent = at[i][0] == at[i][1] &&
				  (at[i][2] == at[i][3] || at[i][2] == SIZE_MAX)
		};
	if (!rc) {
		w->out->parent = cost_at(w, ends[0]);
		w->out->commit = cost_at(w, ends[1]);
		if (!isfinite(w->out->parent) || !isfinite(w->out->commit))
			rc = error_set(e, -ENODATA, "%s of %s could not be counted",
				       isfinite(w->out->parent) ? "the tree" : "the parent",
				       w->o->commit->short_id);
	}
	free(at), free(with);
	return rc;
}

/* Both ends must build, or there is nothing to split. */
static int check_ends(struct splitter *w, struct error *e)
{
	bool *with = x_calloc(w->out->n_units + 1, sizeof(*with));
	int rc = 0;
	for (int end = 0; end < 2 && !rc; end++) {
		struct build b = { 0 };
		for (size_t i = 0; i < w->out->n_units; i++)
			with[i] = end;
		rc = build_set(w, with, &b, e);
		if (!rc && b.outcome != BUILD_OK)
			rc = error_set(e, -ENODATA,
				       "%s %s does not build (%s), so its change cannot be taken "
				       "apart: see %s",
				       end ? "the commit" : "the parent of", w->o->commit->short_id,
				       build_outcome_name(b.outcome), b.log ? b.log : "its log");
		build_release(&b);
	}
	free(with);
	return rc;
}

int account_split_run(const struct account_split_options *o, struct account_split *out,
		      struct error *e)
{
	struct splitter w = { .o = o, .out = out };
	size_t n_paths;
	const char *const *paths = subject_paths(o->subject, &n_paths);
	*out = (struct account_split){ 0 };
	if (!o->commit->n_parents)
		return error_set(e, -EINVAL, "%s has no parent to be split against",
				 o->commit->short_id);
	int rc = history_lookup(o->subject->history, o->commit->parents[0], &w.parent, e);
	if (!rc)
		rc = diff_trees(o->subject->history, &w.parent, o->commit, paths, n_paths, 0,
				&out->diff, e);
	if (!rc) {
		find_units(out);
		if (!out->n_units)
			rc = error_set(e, -ENODATA, "%s changes nothing of the subject",
				       o->commit->short_id);
	}
	if (!rc)
		rc = check_ends(&w, e);
	if (!rc)
		rc = split_find(out->n_units, does_build, &w, o->limit ? o->limit : LIMIT,
				&out->split, e);
	if (!rc)
		rc = measure(&w, e);
	for (size_t i = 0; i < w.n_counted; i++)
		build_release(&w.counted[i].build);
	free(w.counted);
	history_commit_release(&w.parent);
	if (rc)
		account_split_release(out);
	return rc;
}

void account_split_release(struct account_split *s)
{
	diff_release(&s->diff);
	split_release(&s->split);
	free(s->units), free(s->parts);
	*s = (struct account_split){ 0 };
}
