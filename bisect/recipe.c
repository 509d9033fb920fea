/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/recipe.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void recipe_words_add(struct recipe_words *w, const char *s)
{
	while (w->n + 2 > w->cap)
		x_grow(w->v, w->cap, w->cap);
	w->v[w->n] = x_strdup(s);
	w->v[++w->n] = NULL;
}

void recipe_words_release(struct recipe_words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
	*w = (struct recipe_words){ 0 };
}

static const char * or (const char *s, const char *otherwise)
{
	return s ? s : otherwise;
}

/* Split at blanks; '…' is literal, "…" and the rest know the backslash. */
static int split(const char *line, struct recipe_words *out, struct error *e)
{
	for (const char *p = line;;) {
		while (isspace((unsigned char)*p))
			p++;
		if (!*p)
			return 0;
		struct buf word = { 0 };
		char quote = '\0';
		buf_puts(&word, "");
		for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
			if (quote == *p)
				quote = '\0';
			else if (!quote && (*p == '\'' || *p == '"'))
				quote = *p;
			else if (*p == '\\' && quote != '\'' && p[1])
				buf_putc(&word, *++p);
			else
				buf_putc(&word, *p);
		}
		if (!quote)
			recipe_words_add(out, buf_str(&word));
		buf_release(&word);
		if (quote)
			return error_set(e, -EINVAL, "the build command has an open quote: %s",
					 line);
	}
}

struct placeholder {
	const char *name, *value;
};

/* Replace {name} by its value and {{ by a brace; "{}", "${X}" and "{ " are no placeholders and
 * stay. */
static int replace(const char *text, const struct placeholder *table, size_t n, struct buf *out,
		   struct error *e)
{
	for (const char *p = text; *p;) {
		if (p[0] == '{' && p[1] == '{') {
			buf_putc(out, '{');
			p += 2;
			continue;
		}
		size_t len = *p == '{' ? strspn(p + 1, "abcdefghijklmnopqrstuvwxyz_") : 0;
		if (!len || p[len + 1] != '}' || (p > text && p[-1] == '$')) {
			buf_putc(out, *p++);
			continue;
		}
		size_t i = 0;
		while (i < n &&
		       (strlen(table[i].name) != len || strncmp(table[i].name, p + 1, len)))
			i++;
		if (i == n)
			return error_set(
				e, -EINVAL,
				"unknown placeholder %.*s in '%s': there are {src} {prefix} {jobs} "
				"{cc} {cflags} {ldflags} {variant}, and {{ for a brace",
				(int)len + 2, p, text);
		buf_puts(out, table[i].value);
		p += len + 2;
	}
	return 0;
}

int recipe_expand(const struct recipe *r, const char *line, const struct recipe_values *v,
		  struct recipe_words *out, struct error *e)
{
	char *jobs = x_printf("%u", v->jobs ? v->jobs : 1);
	const struct placeholder table[] = {
		{ "src", v->src },
		{ "prefix", v->prefix },
		{ "jobs", jobs },
		{ "cc", or (r->cc, "gcc") },
		{ "cflags", or (v->cflags, or (r->cflags, "-O2")) },
		{ "ldflags", or (r->ldflags, "") },
		{ "variant", or (r->variant_args, "") },
	};
	const size_t n = sizeof(table) / sizeof(*table);
	struct recipe_words raw = { 0 };
	struct buf text = { 0 };
	int rc;
	if (!strncmp(line, "sh:", 3)) {
		rc = replace(line + 3, table, n, &text, e);
		if (!rc) {
			recipe_words_add(out, "/bin/sh");
			recipe_words_add(out, "-e");
			recipe_words_add(out, "-c");
			recipe_words_add(out, buf_str(&text));
		}
	} else {
		rc = split(line, &raw, e);
		for (size_t i = 0; i < raw.n && !rc; i++) {
			buf_reset(&text);
			if (!strcmp(raw.v[i], "{variant}")) {
				rc = split(or (r->variant_args, ""), out, e);
			} else {
				rc = replace(raw.v[i], table, n, &text, e);
				if (!rc)
					recipe_words_add(out, buf_str(&text));
			}
		}
	}
	if (!rc && (!out->n || !*out->v[0]))
		rc = error_set(e, -EINVAL, "a build command is empty");
	if (rc)
		recipe_words_release(out);
	recipe_words_release(&raw);
	buf_release(&text);
	free(jobs);
	return rc;
}

/* A relative path that stays below its folder. */
static bool stays_below(const char *path)
{
	if (!*path || *path == '/')
		return false;
	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/");
		if (len == 2 && !strncmp(p, "..", 2))
			return false;
		p += len + (p[len] == '/');
	}
	return true;
}

int recipe_check(const struct recipe *r, struct error *e)
{
	const char *name = or (r->name, "default");
	if (!r->n_commands)
		return error_set(e, -EINVAL, "the recipe '%s' has no build command", name);
	if (!r->artifact || !stays_below(r->artifact))
		return error_set(e, -EINVAL,
				 "the artifact '%s' of the recipe '%s' must be a path in the "
				 "prefix, like lib/libx.so",
				 or (r->artifact, ""), name);
	for (size_t i = 0; i < r->n_paths; i++)
		if (*r->paths[i] && !stays_below(r->paths[i]))
			return error_set(e, -EINVAL,
					 "the path '%s' of the recipe '%s' must be relative to the "
					 "repository's root and stay in it",
					 r->paths[i], name);
	for (size_t i = 0; i < r->n_env; i++)
		if (!strchr(r->env[i], '=') || *r->env[i] == '=')
			return error_set(
				e, -EINVAL,
				"the environment entry '%s' of the recipe '%s' is not NAME=value",
				r->env[i], name);
	const struct recipe_values v = { .src = "/src", .prefix = "/prefix", .jobs = 1 };
	int rc = 0;
	for (size_t i = 0; i < r->n_commands && !rc; i++) {
		struct recipe_words w = { 0 };
		rc = recipe_expand(r, r->commands[i], &v, &w, e);
		recipe_words_release(&w);
	}
	return rc;
}

/* Lengths in front make the text unambiguous whatever the strings hold. */
static void add_string(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, "%s %zu %s\n", key, strlen(value), value);
}

void recipe_canonical(const struct recipe *r, struct buf *out)
{
	for (size_t i = 0; i < r->n_commands; i++)
		add_string(out, "command", r->commands[i]);
	for (size_t i = 0; i < r->n_env; i++)
		add_string(out, "env", r->env[i]);
	add_string(out, "artifact", or (r->artifact, ""));
	add_string(out, "variant", or (r->variant, "release"));
	add_string(out, "variant_args", or (r->variant_args, ""));
	add_string(out, "cc", or (r->cc, "gcc"));
	add_string(out, "cflags", or (r->cflags, "-O2"));
	add_string(out, "ldflags", or (r->ldflags, ""));
	buf_printf(out, "kind %d\nnetwork %d\ntimeout %" PRIu64 "\n", (int)r->kind, (int)r->network,
		   r->timeout_ns);
}
