/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/build_manifest.h"

#include "base/fs.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA 1
#define MAX_BYTES (1u << 20)

static const char *const outcome_names[] = {
	[BUILD_NONE] = "not built",
	[BUILD_OK] = "ok",
	[BUILD_FAILED] = "failed",
	[BUILD_TIMED_OUT] = "timed out",
	[BUILD_NO_SOURCE] = "no source",
	[BUILD_NO_ARTIFACT] = "artifact missing",
	[BUILD_WROTE_OUTSIDE] = "wrote outside its prefix",
	[BUILD_NOT_INTERPOSING] = "not interposing",
	[BUILD_CRASHING] = "crashing",
};
#define N_OUTCOMES (sizeof(outcome_names) / sizeof(*outcome_names))

const char *build_outcome_name(enum build_outcome o)
{
	assert((size_t)o < N_OUTCOMES);
	return outcome_names[o];
}

void build_release(struct build *b)
{
	build_unpin(b);
	char *owned[] = { b->detail,  b->dir,	   b->prefix,	 b->artifact,
			  b->log,     b->recipe,   b->variant,	 b->toolchain,
			  b->sandbox, b->build_id, b->relink_why };
	for (size_t i = 0; i < sizeof(owned) / sizeof(*owned); i++)
		free(owned[i]);
	*b = (struct build){ 0 };
}

/* Strings that come from outside are made UTF-8, which JSON wants. */
static void put(json_t *o, const char *key, const char *value)
{
	struct buf b = { 0 };
	buf_puts(&b, "");
	history_escape(value ? value : "", strlen(value ? value : ""), true, &b);
	json_object_set_new(o, key, json_string(b.data));
	buf_release(&b);
}

int build_manifest_write(const char *path, const struct build *b,
			 const struct build_manifest_extra *x, struct error *e)
{
	json_t *o = json_object();
	json_object_set_new(o, "schema", json_integer(SCHEMA));
	put(o, "key", b->key);
	put(o, "outcome", build_outcome_name(b->outcome));
	put(o, "detail", b->detail);
	put(o, "commit", b->commit);
	put(o, "tree_key", b->tree_key);
	put(o, "recipe", b->recipe);
	put(o, "variant", b->variant);
	put(o, "toolchain", b->toolchain);
	put(o, "sandbox", b->sandbox);
	json_object_set_new(o, "wall_ns", json_integer((json_int_t)b->wall_ns));
	json_object_set_new(o, "created_s", json_integer(b->created_s));
	put(o, "artifact", x->artifact);
	json_object_set_new(o, "artifact_size", json_integer((json_int_t)x->artifact_size));
	put(o, "file_hash", b->file_hash);
	put(o, "loaded_hash", b->loaded_hash);
	put(o, "build_id", b->build_id);
	json_object_set_new(o, "relinkable", json_boolean(b->relinkable));
	json_object_set_new(o, "canonical", json_boolean(b->canonical));
	put(o, "relink_why", b->relink_why);
	char *text = json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	if (!text)
		return error_set(e, -ENOMEM, "cannot write %s", path);
	int rc = fs_write(path, text, strlen(text), e);
	free(text);
	return rc;
}

static const char *get(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static void get_fixed(json_t *o, const char *key, char *out, size_t size)
{
	snprintf(out, size, "%s", get(o, key));
}

int build_manifest_read(const char *path, struct build *b, struct build_manifest_extra *x)
{
	struct buf text = { 0 };
	struct error e = { 0 };
	int rc = fs_read(path, MAX_BYTES, &text, &e);
	if (rc) {
		buf_release(&text);
		return rc;
	}
	json_t *o = json_loadb(buf_str(&text), text.len, 0, NULL);
	buf_release(&text);
	size_t outcome = 0;
	while (outcome < N_OUTCOMES && strcmp(outcome_names[outcome], get(o, "outcome")))
		outcome++;
	if (!json_is_object(o) || json_integer_value(json_object_get(o, "schema")) != SCHEMA ||
	    outcome == N_OUTCOMES) {
		json_decref(o);
		return -EBADMSG;
	}
	b->outcome = (enum build_outcome)outcome;
	get_fixed(o, "key", b->key, sizeof(b->key));
	get_fixed(o, "commit", b->commit, sizeof(b->commit));
	get_fixed(o, "tree_key", b->tree_key, sizeof(b->tree_key));
	get_fixed(o, "file_hash", b->file_hash, sizeof(b->file_hash));
	get_fixed(o, "loaded_hash", b->loaded_hash, sizeof(b->loaded_hash));
	b->detail = x_strdup(get(o, "detail"));
	b->recipe = x_strdup(get(o, "recipe"));
	b->variant = x_strdup(get(o, "variant"));
	b->toolchain = x_strdup(get(o, "toolchain"));
	b->sandbox = x_strdup(get(o, "sandbox"));
	b->build_id = x_strdup(get(o, "build_id"));
	b->relink_why = x_strdup(get(o, "relink_why"));
	b->wall_ns = (uint64_t)json_integer_value(json_object_get(o, "wall_ns"));
	b->created_s = json_integer_value(json_object_get(o, "created_s"));
	b->relinkable = json_is_true(json_object_get(o, "relinkable"));
	b->canonical = json_is_true(json_object_get(o, "canonical"));
	x->artifact = x_strdup(get(o, "artifact"));
	x->artifact_size = (uint64_t)json_integer_value(json_object_get(o, "artifact_size"));
	json_decref(o);
	return 0;
}
