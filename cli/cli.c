/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/buf.h"
#include "base/fs.h"

#include <ctype.h>
#include <errno.h>
#include <git2.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *warnings;

const struct cli_verb *cli_verb(const char *name)
{
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

int cli_usage(const char *verb, const char *fmt, ...)
{
	struct error e = { 0 };
	char text[900];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	error_set(&e, -EINVAL, "%s", text);
	fprintf(stderr, "hakperf %s: %s (see 'hakperf help %s')\n", verb, e.text, verb);
	return CLI_USAGE;
}

int cli_cannot(const char *verb, const struct error *e)
{
	fflush(stdout);
	fprintf(stderr, "hakperf %s: %s\n", verb, e->text[0] ? e->text : "failed without a reason given");
	return CLI_CANNOT;
}

void cli_warn(const char *fmt, ...)
{
	struct error e = { 0 };
	char text[900];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	error_set(&e, -EINVAL, "%s", text);
	fprintf(stderr, "hakperf: warning: %s\n", e.text);
	if (!warnings)
		warnings = json_array();
	json_array_append_new(warnings, cli_json_string(e.text));
}

int cli_root(char **root, struct error *e)
{
	git_libgit2_init();
	git_buf found = { 0 };
	int rc = 0;
	if (git_repository_discover(&found, ".", 0, NULL)) {
		rc = error_set(e, -ENOENT, "this is not a git checkout: go into one, or 'git clone' the subject first");
		goto out;
	}
	git_repository *repo = NULL;
	if (git_repository_open(&repo, found.ptr)) {
		const git_error *why = git_error_last();
		rc = error_set(e, -EACCES, "cannot open the repository at %s: %s", found.ptr, why ? why->message : "unknown");
		goto out;
	}
	const char *dir = git_repository_workdir(repo) ? git_repository_workdir(repo) : git_repository_path(repo);
	size_t n = strlen(dir);
	while (n > 1 && dir[n - 1] == '/')
		n--;
	*root = x_printf("%.*s", (int)n, dir);
	git_repository_free(repo);
out:
	git_buf_dispose(&found);
	git_libgit2_shutdown();
	return rc;
}

int cli_db_path(const char *option, char **path, struct error *e)
{
	const char *given = option ? option : getenv("HAKPERF_DB");
	if (given && *given) {
		*path = x_strdup(given);
		return 0;
	}
	char *root;
	struct error no_git = { 0 };
	int rc = cli_root(&root, &no_git);
	if (rc && (fs_exists("hakperf.ini") || fs_exists("results.db"))) { /* of a subject that lies elsewhere, or of artifacts alone */
		*path = x_strdup("results.db");
		return 0;
	}
	if (rc)
		return error_set(e, rc, "%s", no_git.text);
	*path = x_printf("%s/results.db", root);
	free(root);
	return 0;
}

bool cli_number(const char *text, uint64_t lo, uint64_t hi, uint64_t *out)
{
	char *end;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || v < lo || v > hi)
		return false;
	*out = v;
	return true;
}

bool cli_param(struct cli_params *p, const char *word)
{
	const char *equals = strchr(word, '=');
	if (!equals || equals == word || p->n == CLI_PARAMS_MAX)
		return false;
	p->items[p->n++] = word;
	return true;
}

static bool real(const char *text, double *out, char **end)
{
	errno = 0;
	*out = strtod(text, end);
	return *end != text && !errno && isfinite(*out) && *out >= 0;
}

bool cli_fraction(const char *text, double *out)
{
	char *end;
	if (!real(text, out, &end))
		return false;
	if (!strcmp(end, "%")) {
		*out /= 100;
		return true;
	}
	return !*end;
}

bool cli_seconds(const char *text, double *out)
{
	char *end;
	if (!real(text, out, &end))
		return false;
	static const struct { const char *unit; double seconds; } units[] = {
		{ "", 1 }, { "s", 1 }, { "ms", 1e-3 }, { "m", 60 }, { "min", 60 }, { "h", 3600 },
	};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(end, units[i].unit)) {
			*out *= units[i].seconds;
			return true;
		}
	return false;
}

json_t *cli_json_string(const char *bytes)
{
	json_t *s = json_string(bytes);
	if (s)
		return s;
	struct buf b = { 0 };
	for (const unsigned char *p = (const unsigned char *)bytes; *p; p++) {
		if (*p < 0x80)
			buf_putc(&b, (char)*p);
		else
			buf_printf(&b, "\\x%02x", *p);
	}
	s = json_string(buf_str(&b));
	buf_release(&b);
	return s;
}

static json_t *real_or_null(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *text_or_null(const char *s)
{
	return s ? cli_json_string(s) : json_null();
}

json_t *cli_json_figure(double value, const char *unit, const char *metric, const char *source, int64_t rounds, double lo, double hi,
			const char *verdict)
{
	/* A ratio without a lower bound is exp(-infinity). */
	if (unit && !strcmp(unit, "ratio") && !(lo > 0))
		lo = NAN;
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "value", real_or_null(value), "unit", text_or_null(unit), "metric",
			 text_or_null(metric), "source", text_or_null(source), "rounds", rounds < 0 ? json_null() : json_integer(rounds),
			 "lo", real_or_null(lo), "hi", real_or_null(hi), "verdict", text_or_null(verdict));
}

void cli_envelope(const char *verb, json_t *request, json_t *result)
{
	json_t *all = json_pack("{s:i, s:s, s:o, s:o, s:o}", "schema", 1, "verb", verb, "request", request ? request : json_object(),
				"result", result ? result : json_null(), "warnings", warnings ? json_incref(warnings) : json_array());
	json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
	putchar('\n');
	json_decref(all);
}
