/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/fs.h"
#include "harness/artifact.h"
#include "harness/session_private.h"

#include <stdlib.h>
#include <string.h>

void session_arm_release(struct arm_state *a)
{
	free(a->label), free(a->prefix), free(a->artifact), free(a->link_path), free(a->library_path);
	relink_close(a->relink);
}

int session_arm_fill(struct session *s, struct arm_state *a, const struct session_arm *spec, const char *link_name, struct error *e)
{
	*a = (struct arm_state){
		.label = x_strdup(spec->label), .kind = spec->kind, .build = STORE_INT(spec->build_id), .commit = spec->commit_id,
		.prefix = spec->prefix ? x_strdup(spec->prefix) : NULL,
		.artifact = spec->artifact ? x_strdup(spec->artifact) : NULL,
		.link_path = x_printf("%s/%s%s", s->scratch, link_name, spec->kind == RUN_PRELOAD ? ".so" : ""),
	};
	char *lib = a->prefix && a->kind != RUN_PRELOAD ? x_printf("%s/lib", a->prefix) : NULL;
	if (lib && fs_exists(lib))
		a->library_path = x_printf("LD_LIBRARY_PATH=%s", lib);
	free(lib);
	struct artifact info = { 0 };
	int rc = a->artifact ? artifact_read(a->artifact, &info, e) : 0;
	if (rc)
		return rc;
	memcpy(a->hash, info.file, sizeof(a->hash));
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

const char **session_arm_env(const struct arm_state *a, const struct bench_case *c)
{
	size_t n = 0;
	while (c->environment && c->environment[n])
		n++;
	const char **env = x_calloc(n + 2, sizeof(*env));
	bool own = false;
	for (size_t i = 0; i < n; i++) {
		env[i] = c->environment[i];
		own |= !strncmp(env[i], "LD_LIBRARY_PATH=", 16);
	}
	/* Prefixes move after the build, so that the path which the program was linked with leads nowhere. */
	env[n] = own ? NULL : a->library_path;
	return env;
}
