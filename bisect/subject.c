/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/subject.h"

#include "base/buf.h"
#include "bisect/range.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int subject_open(const struct config *c, struct subject *out, struct error *e)
{
	*out = (struct subject){ .config = c, .root = x_strdup(c->folder) };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	out->jobs = cpus > 0 ? (unsigned)cpus : 1;
	char *path = c->subject.repository[0] == '/' ? x_strdup(c->subject.repository) : x_printf("%s/%s", c->folder, c->subject.repository);
	int rc = history_open(&out->history, path, e);
	free(path);
	if (!rc)
		rc = build_cache_open(&out->cache, NULL, out->root, NULL, e);
	if (rc)
		subject_close(out);
	return rc;
}

void subject_close(struct subject *s)
{
	build_cache_close(s->cache);
	history_close(s->history);
	free(s->root);
	*s = (struct subject){ 0 };
}

static size_t count(char *const *list)
{
	size_t n = 0;
	while (list && list[n])
		n++;
	return n;
}

const char *const *subject_paths(const struct subject *s, size_t *n)
{
	*n = count(s->config->subject.paths);
	return (const char *const *)s->config->subject.paths;
}

/*
 * The recipe of each of n commits: the last whose range holds it, else the subject's own. One walk of the history per range, however
 * many commits are asked about.
 */
static int choose_recipes(struct subject *s, const struct history_commit *const *commits, size_t n, const struct config_recipe **out,
			  struct error *e)
{
	const struct config *c = s->config;
	bool *in = x_calloc(n + 1, sizeof(*in));
	int rc = 0;
	for (size_t i = 0; i < n; i++)
		out[i] = &c->recipes[0];
	for (size_t k = 1; !rc && k < c->n_recipes; k++) {
		memset(in, 1, n * sizeof(*in));
		if (c->recipes[k].range)
			rc = range_select(s->history, c->recipes[k].range, commits, n, in, e);
		for (size_t i = 0; !rc && i < n; i++)
			out[i] = in[i] ? &c->recipes[k] : out[i];
	}
	free(in);
	return rc;
}

static int fill_recipe(const struct subject *s, const struct config_recipe *r, const char *variant, struct recipe *out, struct error *e)
{
	const struct config_subject *cs = &s->config->subject;
	const struct config_variant *v = variant ? config_variant(s->config, variant) : &s->config->variants[0];
	if (!v)
		return error_set(e, -ENOENT, "%s has no [variant %s]", s->config->path, variant);
	*out = (struct recipe){
		.name = r->name[0] ? r->name : "subject",
		.commands = (const char *const *)r->build, .n_commands = count(r->build),
		.paths = (const char *const *)cs->paths, .n_paths = count(cs->paths),
		.artifact = r->artifact,
		.kind = cs->use == CONFIG_PRELOAD ? RECIPE_PRELOAD : cs->use == CONFIG_EXEC ? RECIPE_EXEC : RECIPE_LIBRARY,
		.env = (const char *const *)cs->build_env, .n_env = count(cs->build_env),
		.variant = v->name, .variant_args = v->arguments && v->arguments[0] ? v->arguments : NULL,
		.cc = cs->cc, .cflags = cs->cflags,
		.timeout_ns = (uint64_t)cs->build_timeout_s * 1000000000u, .network = cs->network,
	};
	return recipe_check(out, e);
}

static int recipe_of(struct subject *s, const struct history_commit *c, const char *variant, const struct config_recipe **chosen,
		     struct recipe *out, struct error *e)
{
	int rc = choose_recipes(s, &c, 1, chosen, e);
	return rc ? rc : fill_recipe(s, *chosen, variant, out, e);
}

int subject_build(struct subject *s, const struct history_commit *c, const char *variant, unsigned flags, struct build *out, struct error *e)
{
	struct recipe r;
	const struct config_recipe *chosen;
	int rc = recipe_of(s, c, variant, &chosen, &r, e);
	return rc ? rc : build_one(s->cache, s->history, c, &r, s->jobs, flags, out, e);
}

int subject_test(struct subject *s, const struct history_commit *c, const char *variant, unsigned flags, struct build *out, struct error *e)
{
	struct recipe r;
	const struct config_recipe *chosen;
	int rc = recipe_of(s, c, variant, &chosen, &r, e);
	if (rc)
		return rc;
	size_t n_test = count(chosen->test);
	if (!n_test)
		return error_set(e, -ENOENT, "%s says no 'test' command for %s", s->config->path, r.name);
	const char **commands = x_calloc(r.n_commands + n_test, sizeof(*commands));
	memcpy(commands, r.commands, r.n_commands * sizeof(*commands));
	memcpy(commands + r.n_commands, chosen->test, n_test * sizeof(*commands));
	char *name = x_printf("%s, tested", r.name);
	r.name = name;
	r.commands = commands;
	r.n_commands += n_test;
	rc = build_one(s->cache, s->history, c, &r, s->jobs, flags, out, e);
	free(commands), free(name);
	return rc;
}

int subject_build_many(struct subject *s, const struct history_commit *const *commits, size_t n, const char *variant, unsigned flags,
		       build_progress *progress, void *ctx, struct build *out, struct error *e)
{
	struct recipe *recipes = x_calloc(n, sizeof(*recipes));
	struct build_request *requests = x_calloc(n, sizeof(*requests));
	const struct config_recipe **chosen = x_calloc(n + 1, sizeof(*chosen));
	int rc = choose_recipes(s, commits, n, chosen, e);
	for (size_t i = 0; !rc && i < n; i++) {
		rc = fill_recipe(s, chosen[i], variant, &recipes[i], e);
		requests[i] = (struct build_request){ commits[i], &recipes[i] };
	}
	if (!rc)
		rc = build_many(s->cache, s->history, requests, n, s->jobs, 1, flags, progress, ctx, out, e);
	free(recipes), free(requests), free(chosen);
	return rc;
}

int subject_record(struct subject *s, struct store *store, const struct history_commit *c, const struct build *b,
		   struct store_opt *commit_id, int64_t *build_id, struct error *e)
{
	static const char *const kinds[] = { [CONFIG_PRELOAD] = "preload", [CONFIG_EXEC] = "exec", [CONFIG_LIBRARY] = "library" };
	/* The worktree has no commit id: its tree names it. */
	char *id = c->worktree ? x_printf("worktree:%s", c->tree) : x_strdup(c->id);
	struct store_commit row = { .full_id = id, .subject = c->subject, .phase = c->phase, .subject_escaped = c->subject_escaped };
	if (!c->worktree)
		row.author_time_s = STORE_INT(c->author_time_s);
	struct store_build build = {
		.key = b->key, .kind = kinds[s->config->subject.use], .tree = b->tree_key, .variant = b->variant, .recipe = b->recipe,
		.toolchain = b->toolchain, .flags = s->config->subject.cflags, .outcome = build_outcome_name(b->outcome), .detail = b->detail,
		.artifact = b->artifact, .artifact_hash = b->file_hash[0] ? b->file_hash : NULL,
		.loaded_hash = b->loaded_hash[0] ? b->loaded_hash : NULL, .build_id = b->build_id && b->build_id[0] ? b->build_id : NULL,
		.log_path = b->log, .relinkable = STORE_INT(b->relinkable),
		.sandboxed = STORE_INT(b->sandbox && !strcmp(b->sandbox, "bubblewrap")), .wall_ns = STORE_INT(b->wall_ns),
	};
	int64_t commit;
	int rc = store_commit_info(store, &row, &commit, e);
	if (!rc)
		rc = store_build(store, &build, build_id, e);
	if (!rc)
		rc = store_commit_has_build(store, commit, *build_id, e);
	*commit_id = STORE_INT(commit);
	free(id);
	return rc;
}

struct session_arm subject_arm(const struct subject *s, const struct build *b, const char *label, struct store_opt commit_id, int64_t build_id)
{
	static const enum run_kind kinds[] = { [CONFIG_PRELOAD] = RUN_PRELOAD, [CONFIG_EXEC] = RUN_EXEC, [CONFIG_LIBRARY] = RUN_LIBRARY };
	assert(b->outcome == BUILD_OK);
	return (struct session_arm){
		.label = label, .kind = kinds[s->config->subject.use], .prefix = b->prefix, .artifact = b->artifact,
		.relink = b->relinkable, .build_id = build_id, .commit_id = commit_id,
	};
}
