/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/fs.h"
#include "harness/artifact.h"
#include "harness/session_private.h"
#include "harness/store_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void session_arm_release(struct arm_state *a)
{
	free(a->label), free(a->prefix), free(a->artifact), free(a->link_path), free(a->library_path);
	bench_case_argv_release(a->environment);
	relink_close(a->relink);
}

char *session_library_path(enum run_kind kind, const char *prefix)
{
	char *lib = prefix && kind != RUN_PRELOAD ? x_printf("%s/lib", prefix) : NULL;
	char *variable = lib && fs_exists(lib) ? x_printf("LD_LIBRARY_PATH=%s", lib) : NULL;
	free(lib);
	return variable;
}

int session_arm_fill(struct session *s, struct arm_state *a, const struct session_arm *spec, const char *link_name, struct error *e)
{
	*a = (struct arm_state){
		.label = x_strdup(spec->label), .kind = spec->kind, .build = STORE_INT(spec->build_id), .commit = spec->commit_id,
		.prefix = spec->prefix ? x_strdup(spec->prefix) : NULL,
		.artifact = spec->artifact ? x_strdup(spec->artifact) : NULL,
		.link_path = x_printf("%s/%s%s", s->scratch.path, link_name, spec->kind == RUN_PRELOAD ? ".so" : ""),
	};
	size_t n_env = 0;
	while (spec->environment && spec->environment[n_env])
		n_env++;
	if (n_env)
		a->environment = x_calloc(n_env + 1, sizeof(*a->environment));
	for (size_t i = 0; i < n_env; i++)
		a->environment[i] = x_strdup(spec->environment[i]);
	a->library_path = session_library_path(a->kind, a->prefix);
	struct artifact info = { 0 };
	int rc = a->artifact ? artifact_read(a->artifact, &info, e) : 0;
	if (rc)
		return rc;
	memcpy(a->hash, info.file, sizeof(a->hash));
	a->owns_malloc = info.owns_malloc;
	/* What is linked with a library that is no allocator has nothing to prove but its hash. */
	a->proves = spec->kind == RUN_PRELOAD || (spec->kind == RUN_LIBRARY && info.owns_malloc);
	/* A program that looks for its libraries beside itself would not find them beside its fresh link. */
	bool movable = spec->kind == RUN_PRELOAD || (info.program && !info.origin);
	if (spec->relink && spec->prefix && movable && relink_open(&a->relink, spec->prefix, NULL))
		a->relink = NULL;
	return 0;
}

char **session_arm_word(char **argv, const struct arm_state *a)
{
	for (char **word = argv; a->artifact && *word; word++)
		if (!strcmp(*word, a->artifact))
			return word;
	return NULL;
}

static size_t count(char *const *list)
{
	size_t n = 0;
	while (list && list[n])
		n++;
	return n;
}

static void add(const char **env, size_t *n, char *const *list)
{
	for (size_t i = 0; i < count(list); i++)
		env[(*n)++] = list[i];
}

const char **session_arm_env(const struct arm_state *a, const struct bench_case *c)
{
	const char **env = x_calloc(count(c->environment) + count(a->environment) + 2, sizeof(*env));
	size_t n = 0;
	bool own = false;
	add(env, &n, c->environment);
	add(env, &n, a->environment);
	for (size_t i = 0; i < n; i++)
		own |= !strncmp(env[i], "LD_LIBRARY_PATH=", 16);
	env[n] = own ? NULL : a->library_path;
	return env;
}

/* A session that goes on finds its arms again by what they are; others get the next number. */
static int arm_number(struct session *s, const struct session_arm *spec, int64_t *number, struct error *e)
{
	struct store_rows *r = rows_open(s->store, "SELECT number, build_id = :build AND label = :label AND role IN ('subject', 'reference')"
						   " FROM session_arm WHERE session_id = :session AND number < :aa ORDER BY number");
	rows_bind_int(r, ":build", spec->build_id);
	rows_bind_text(r, ":label", spec->label);
	rows_bind_int(r, ":session", s->id);
	rows_bind_int(r, ":aa", AA_NUMBERS);
	*number = 0;
	int rc;
	while ((rc = rows_next(r, e)) > 0) {
		bool mine = rows_int(r, 1);
		for (size_t i = 0; mine && i < s->n_arms; i++)
			mine = s->arms[i].number != rows_int(r, 0);
		*number = rows_int(r, 0) + !mine;
		if (mine)
			break;
	}
	rows_close(r);
	return rc < 0 ? rc : 0;
}

int session_add_arm(struct session *s, const struct session_arm *spec, size_t *arm, struct error *e)
{
	char name[32];
	snprintf(name, sizeof(name), "arm%06zu", s->n_arms);
	x_grow(s->arms, s->n_arms, s->cap_arms);
	struct arm_state *a = &s->arms[s->n_arms];
	int64_t number;
	int rc = arm_number(s, spec, &number, e);
	if (rc)
		return rc;
	rc = session_arm_fill(s, a, spec, name, e);
	a->number = number;
	struct store_arm row = { .number = number, .role = spec->reference ? "reference" : "subject", .build_id = spec->build_id,
				 .commit_id = spec->commit_id, .label = spec->label };
	char *environment = bench_case_environment_json(a->environment);
	row.environment_json = environment;
	if (!rc)
		rc = store_arm(s->store, s->id, &row, &a->id, e);
	free(environment);
	if (rc) {
		session_arm_release(a);
		return rc;
	}
	*arm = s->n_arms++;
	return 0;
}

int session_need_aa(struct session *s, struct arm_state *a, struct error *e)
{
	if (a->aa_id)
		return 0;
	struct store_arm row = { .number = AA_NUMBERS + a->number, .role = "aa", .twin = STORE_INT(a->id), .build_id = a->build.v,
				 .commit_id = a->commit, .label = a->label };
	return store_arm(s->store, s->id, &row, &a->aa_id, e);
}

int session_need_control(struct session *s, struct error *e)
{
	if (s->has_control)
		return 0;
	static const char *const folders[] = { "0", "8" };
	for (int i = 0; i < 2; i++) {
		char *prefix = x_printf("%s/%s", s->o.control, folders[i]), *file = x_printf("%s/lib/libcontrol.so", prefix);
		char *label = x_printf("control +%s", folders[i]), *name = x_printf("control%d", i), *key = NULL;
		char hash[HASH_HEX];
		int rc = hash_file(file, hash, e);
		struct session_arm spec = { .label = label, .kind = RUN_PRELOAD, .prefix = prefix, .artifact = file, .relink = true };
		if (!rc) {
			key = x_printf("file:%s", hash);
			struct store_build b = { .key = key, .kind = "control", .outcome = "ok", .artifact = file, .artifact_hash = hash };
			rc = store_build(s->store, &b, &spec.build_id, e);
		}
		if (!rc)
			rc = session_arm_fill(s, &s->control[i], &spec, name, e);
		struct store_arm row = { .number = CONTROL_NUMBERS + i, .role = "control", .build_id = spec.build_id, .label = label };
		if (i)
			row.twin = STORE_INT(s->control[0].id);
		if (!rc)
			rc = store_arm(s->store, s->id, &row, &s->control[i].id, e);
		free(prefix), free(file), free(label), free(name), free(key);
		if (rc)
			return rc;
	}
	s->has_control = true;
	return 0;
}
