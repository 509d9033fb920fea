/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/case.h"

#include "base/buf.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char **list_copy(char *const *list)
{
	if (!list)
		return NULL;
	size_t n = 0;
	while (list[n])
		n++;
	char **copy = x_calloc(n + 1, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = x_strdup(list[i]);
	return copy;
}

static char *copy(const char *s)
{
	return s ? x_strdup(s) : NULL;
}

const char *bench_case_param(const struct bench_case *c, const char *name)
{
	for (size_t i = 0; i < c->n_params; i++)
		if (!strcmp(c->params[i].name, name))
			return c->params[i].value;
	return NULL;
}

void bench_case_set(struct bench_case *c, const char *name, const char *value)
{
	for (size_t i = 0; i < c->n_params; i++)
		if (!strcmp(c->params[i].name, name)) {
			free(c->params[i].value);
			c->params[i].value = x_strdup(value);
			return;
		}
	c->params = x_realloc(c->params, c->n_params + 1, sizeof(*c->params));
	c->params[c->n_params++] = (struct bench_case_param){ x_strdup(name), x_strdup(value) };
}

static void fill(const struct config *cfg, const struct config_workload *w, const struct config_class *k, size_t matrix, struct bench_case *out)
{
	*out = (struct bench_case){
		.workload = x_strdup(w->name),
		.size_class = k ? x_strdup(k->name) : NULL,
		.min_bytes = k ? k->min : 0,
		.max_bytes = k ? k->max : 0,
		.cold = !strcmp(w->phase, "cold"),
		.by_wall = w->judge == CONFIG_BY_WALL,
		.exact = w->exact,
		.command = list_copy(w->command),
		.scale = copy(w->scale),
		.figure = copy(w->figure),
		.figure_unit = copy(w->figure_unit),
		.figure_lower_is_better = w->figure_lower_is_better,
		.timeout_ns = (uint64_t)cfg->subject.run_timeout_s * 1000000000u,
		.environment = list_copy(cfg->subject.run_env),
	};
	for (size_t i = 0; i < w->n_params; i++) {
		size_t n = 0;
		while (w->params[i].values[n])
			n++;
		const char *value = w->params[i].values[matrix % n];
		bench_case_set(out, w->params[i].name, value);
		matrix /= n;
		if (n < 2)
			continue;
		char *varied = x_printf("%s%s%s=%s", out->varied ? out->varied : "", out->varied ? " " : "", w->params[i].name, value);
		free(out->varied);
		out->varied = varied;
	}
}

static size_t matrix_size(const struct config_workload *w)
{
	size_t all = 1;
	for (size_t i = 0; i < w->n_params; i++) {
		size_t n = 0;
		while (w->params[i].values[n])
			n++;
		all *= n;
	}
	return all;
}

static void expand_class(const struct config *cfg, const struct config_workload *w, const struct config_class *k, struct bench_case **list,
			 size_t *n)
{
	for (size_t m = 0; m < matrix_size(w); m++) {
		*list = x_realloc(*list, *n + 1, sizeof(**list));
		fill(cfg, w, k, m, &(*list)[(*n)++]);
	}
}

int bench_cases_expand(const struct config *c, const char *workload, const char *class_name, struct bench_case **list, size_t *n,
		       struct error *e)
{
	const struct config_workload *w = config_workload(c, workload);
	if (!w)
		return error_set(e, -ENOENT, "%s has no [workload %s]", c->path, workload);
	if (class_name) {
		const struct config_class *k = config_class(c, class_name);
		if (!k)
			return error_set(e, -ENOENT, "%s has no [class %s]", c->path, class_name);
		expand_class(c, w, k, list, n);
	} else if (w->classes) {
		for (char **name = w->classes; *name; name++)
			expand_class(c, w, config_class(c, *name), list, n);
	} else {
		expand_class(c, w, NULL, list, n);
	}
	return 0;
}

void bench_case_of_command(const char *const *argv, struct bench_case *out)
{
	const char *slash = strrchr(argv[0], '/');
	*out = (struct bench_case){ .workload = x_strdup(slash ? slash + 1 : argv[0]), .timeout_ns = 3600u * 1000000000ull };
	size_t n = 0;
	while (argv[n])
		n++;
	out->command = x_calloc(n + 1, sizeof(*out->command));
	for (size_t i = 0; i < n; i++) {
		/* A bare command has no placeholders: braces stand for themselves. */
		struct buf b = { 0 };
		for (const char *s = argv[i]; *s; s++) {
			if (*s == '{')
				buf_putc(&b, '{');
			buf_putc(&b, *s);
		}
		out->command[i] = buf_detach(&b);
		char name[32];
		snprintf(name, sizeof(name), "argument_%zu", i);
		if (i)
			bench_case_set(out, name, argv[i]);
	}
}

void bench_case_argv_release(char **argv)
{
	for (char **s = argv; s && *s; s++)
		free(*s);
	free(argv);
}

void bench_case_release(struct bench_case *c)
{
	free(c->workload), free(c->size_class), free(c->varied), free(c->scale), free(c->figure), free(c->figure_unit);
	bench_case_argv_release(c->command);
	bench_case_argv_release(c->environment);
	for (size_t i = 0; i < c->n_params; i++)
		free(c->params[i].name), free(c->params[i].value);
	free(c->params);
	*c = (struct bench_case){ 0 };
}

void bench_cases_release(struct bench_case *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bench_case_release(&list[i]);
	free(list);
}

/* Does the matrix span this parameter? */
static bool varies(const struct bench_case *c, const char *name)
{
	char *word = x_printf(" %s=", name), *text = x_printf(" %s", c->varied ? c->varied : "");
	bool found = strstr(text, word) != NULL;
	free(word), free(text);
	return found;
}

static int choose_one(struct bench_case *list, size_t *n, const char *name, const char *value, struct error *e)
{
	size_t kept = 0;
	for (size_t i = 0; i < *n; i++)
		if (!bench_case_param(&list[i], name))
			return error_set(e, -EINVAL, "[workload %s] has no parameter '%s'", list[i].workload, name);
	for (size_t i = 0; i < *n; i++)
		kept += !varies(&list[i], name) || !strcmp(bench_case_param(&list[i], name), value);
	if (!kept)
		return error_set(e, -EINVAL, "%s=%s is not in the matrix of [workload %s]", name, value, list[0].workload);
	kept = 0;
	for (size_t i = 0; i < *n; i++) {
		struct bench_case c = list[i];
		list[i] = (struct bench_case){ 0 };
		if (varies(&c, name) && strcmp(bench_case_param(&c, name), value)) {
			bench_case_release(&c);
			continue;
		}
		bench_case_set(&c, name, value);
		list[kept++] = c;
	}
	*n = kept;
	return 0;
}

int bench_cases_choose(struct bench_case *list, size_t *n, const char *const *params, struct error *e)
{
	int rc = 0;
	for (; !rc && params && *params; params++) {
		const char *value = strchr(*params, '=');
		if (!value || value == *params)
			return error_set(e, -EINVAL, "'%s' is not NAME=VALUE", *params);
		char *name = x_printf("%.*s", (int)(value - *params), *params);
		rc = choose_one(list, n, name, value + 1, e);
		free(name);
	}
	return rc;
}

static void put_parameter(const struct bench_case *c, const char *name, unsigned multiplier, const char *workloads, const char *prefix,
			  struct buf *out)
{
	const char *value = bench_case_param(c, name);
	if (!strcmp(name, "workloads"))
		buf_puts(out, workloads);
	else if (!strcmp(name, "prefix"))
		buf_puts(out, prefix ? prefix : "");
	else if (!value && !strcmp(name, "min"))
		buf_printf(out, "%llu", (unsigned long long)c->min_bytes);
	else if (!value && !strcmp(name, "max"))
		buf_printf(out, "%llu", (unsigned long long)c->max_bytes);
	else if (value && c->scale && !strcmp(name, c->scale) && multiplier != 1)
		buf_printf(out, "%.17g", strtod(value, NULL) * multiplier);
	else if (value)
		buf_puts(out, value);
}

char **bench_case_argv(const struct bench_case *c, unsigned multiplier, const char *workloads, const char *prefix)
{
	size_t n = 0;
	while (c->command[n])
		n++;
	char **argv = x_calloc(n + 1, sizeof(*argv));
	for (size_t i = 0; i < n; i++) {
		struct buf b = { 0 };
		for (const char *s = c->command[i]; *s; s++) {
			if (*s != '{') {
				buf_putc(&b, *s);
				continue;
			}
			size_t len = strcspn(s + 1, "}");
			if (s[1] == '{' || !s[1 + len]) {
				buf_putc(&b, '{');
				s += s[1] == '{';
				continue;
			}
			char name[64];
			snprintf(name, sizeof(name), "%.*s", (int)len, s + 1);
			put_parameter(c, name, multiplier, workloads, prefix, &b);
			s += len + 1;
		}
		argv[i] = buf_detach(&b);
	}
	return argv;
}

const char *bench_case_name(const struct bench_case *c, char *out, size_t n)
{
	snprintf(out, n, "%s%s%s%s%s", c->workload, c->size_class ? " " : "", c->size_class ? c->size_class : "", c->varied ? " " : "",
		 c->varied ? c->varied : "");
	return out;
}

const char *bench_case_metric(const struct bench_case *c)
{
	return c->by_wall ? "ops_per_s" : "ops_per_cpu_s";
}

static bool whole_number(const char *s, int64_t *out)
{
	char *end;
	errno = 0;
	long long v = strtoll(s, &end, 10);
	*out = v;
	return isdigit((unsigned char)*s) && !*end && !errno;
}

/* The columns of bench_case that a parameter of this name belongs into, or NULL. */
static struct store_opt *column(struct store_case *row, const char *name)
{
	size_t n;
	const struct store_parameter *p = store_case_parameters(&n);
	const char *alias = !strcmp(name, "min") ? "min_bytes" : !strcmp(name, "max") ? "max_bytes" : name;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(p[i].name, alias))
			return (struct store_opt *)((char *)row + p[i].offset);
	return NULL;
}

static json_t *text(const char *s)
{
	json_t *j = json_string(s);
	return j ? j : json_string("(bytes that are not UTF-8)");
}

char *bench_case_environment_json(char *const *list)
{
	json_t *environment = json_object();
	for (; list && *list; list++) {
		char *name = x_printf("%.*s", (int)strcspn(*list, "="), *list);
		const char *value = strchr(*list, '=');
		json_object_set_new(environment, name, text(value ? value + 1 : ""));
		free(name);
	}
	char *out = json_dumps(environment, JSON_SORT_KEYS | JSON_COMPACT);
	json_decref(environment);
	return out;
}

int bench_case_store(struct store *s, const struct bench_case *c, const char *program, const char *program_hash, int64_t *case_id,
		     struct error *e)
{
	struct store_case row = { .cold = c->cold, .size_class = c->size_class };
	const char *slash = strrchr(program, '/');
	int rc = store_workload(s, c->workload, slash ? slash + 1 : program, program_hash, &row.workload_id, e);
	if (rc)
		return rc;
	if (c->size_class) {
		row.min_bytes = STORE_INT(c->min_bytes);
		row.max_bytes = STORE_INT(c->max_bytes);
	}
	json_t *others = json_object();
	for (size_t i = 0; i < c->n_params; i++) {
		const char *name = c->params[i].name, *value = c->params[i].value;
		struct store_opt *slot = column(&row, name);
		int64_t v;
		if (slot && whole_number(value, &v))
			*slot = STORE_INT(v);
		else
			json_object_set_new(others, name, text(value));
	}
	char *params = json_dumps(others, JSON_SORT_KEYS | JSON_COMPACT), *env = bench_case_environment_json(c->environment);
	row.parameters_json = params;
	row.environment_json = env;
	rc = store_case(s, &row, case_id, e);
	free(params), free(env);
	json_decref(others);
	return rc;
}
