/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sweep_plan.h"

#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool sweep_axis_add(struct sweep_axes *a, const char *text)
{
	size_t name = strcspn(text, "=");
	if (a->n == SWEEP_AXES_MAX || !name || !text[name] || !text[name + 1])
		return false;
	struct sweep_axis *axis = &a->items[a->n++];
	axis->name = x_printf("%.*s", (int)name, text);
	size_t n = 0;
	for (const char *s = text + name + 1; *s; n++) {
		size_t len = strcspn(s, ",");
		axis->values = x_realloc(axis->values, n + 2, sizeof(*axis->values));
		axis->values[n] = x_printf("%.*s", (int)len, s);
		axis->values[n + 1] = NULL;
		if (!len)
			return false;
		s += len + (s[len] == ',');
	}
	return true;
}

void sweep_axes_release(struct sweep_axes *a)
{
	for (size_t i = 0; i < a->n; i++) {
		for (char **v = a->items[i].values; v && *v; v++)
			free(*v);
		free(a->items[i].name), free(a->items[i].values);
	}
	*a = (struct sweep_axes){ 0 };
}

void sweep_places_release(struct sweep_places *p)
{
	for (size_t i = 0; i < p->n; i++)
		bench_case_release(&p->items[i].c);
	free(p->items), free(p->variants);
	*p = (struct sweep_places){ 0 };
}

static char *const *values_of(const struct sweep_axes *a, const char *name)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->items[i].name, name))
			return a->items[i].values;
	return NULL;
}

static bool is_parameter(const char *name)
{
	static const char *const others[] = { "workload", "class", "variant", "phase", "env" };
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strcmp(name, others[i]))
			return false;
	return true;
}

/* One step through the product: everything chosen so far. */
struct step {
	const struct config *config;
	const struct sweep_axes *axes;
	struct sweep_places *out;
	const struct config_workload *w;
	const char *class_name, *phase, *env;
	const char *params[SWEEP_AXES_MAX + 1]; /* "name=value" */
	size_t n_params, variant;
};

static void say(struct bench_case *c, const char *word)
{
	if (c->varied && strstr(c->varied, word))
		return;
	char *varied = x_printf("%s%s%s", c->varied ? c->varied : "", c->varied ? " " : "", word);
	free(c->varied);
	c->varied = varied;
}

static void add_word(char ***list, const char *word)
{
	size_t n = 0;
	while (*list && (*list)[n])
		n++;
	*list = x_realloc(*list, n + 2, sizeof(**list));
	(*list)[n] = x_strdup(word);
	(*list)[n + 1] = NULL;
}

/* The start is timed by our own workloads' --cold; others have workloads of their own for it. */
static int set_phase(struct bench_case *c, const char *phase, struct error *e)
{
	bool cold = !strcmp(phase, "cold");
	if (!cold && strcmp(phase, "steady"))
		return error_set(e, -EINVAL, "--axis phase takes cold and steady, not '%s'", phase);
	if (cold != c->cold && (c->cold || strncmp(c->command[0], "{workloads}/", 12)))
		return error_set(e, -EINVAL, "workload %s is %s by its configuration: give the other phase a workload of its own", c->workload, c->cold ? "cold" : "steady");
	if (cold && !c->cold)
		add_word(&c->command, "--cold");
	c->cold = cold;
	say(c, phase);
	return 0;
}

static int add_place(struct step *s, struct error *e)
{
	struct bench_case *list = NULL;
	size_t n = 0;
	int rc = bench_cases_expand(s->config, s->w->name, s->class_name, &list, &n, e);
	if (!rc)
		rc = bench_cases_choose(list, &n, s->params, e);
	for (size_t i = 0; i < n; i++) {
		struct bench_case *c = &list[i];
		for (size_t k = 0; !rc && k < s->n_params; k++)
			say(c, s->params[k]);
		if (!rc && s->phase)
			rc = set_phase(c, s->phase, e);
		if (!rc && s->env && strcmp(s->env, "none"))
			add_word(&c->environment, s->env);
		if (!rc && s->env)
			say(c, s->env);
		if (!rc && s->out->n == SWEEP_POINTS_MAX)
			rc = error_set(e, -EINVAL, "more than %d configurations: choose fewer values", SWEEP_POINTS_MAX);
		if (rc) {
			bench_case_release(c);
			continue;
		}
		s->out->items = x_realloc(s->out->items, s->out->n + 1, sizeof(*s->out->items));
		s->out->items[s->out->n++] = (struct sweep_place){ *c, s->variant };
	}
	free(list);
	return rc;
}

static int over_parameters(struct step *s, size_t axis, struct error *e)
{
	while (axis < s->axes->n && (!is_parameter(s->axes->items[axis].name) || !config_param(s->w, s->axes->items[axis].name)))
		axis++;
	if (axis == s->axes->n)
		return add_place(s, e);
	int rc = 0;
	for (char *const *v = s->axes->items[axis].values; !rc && *v; v++) {
		char *word = x_printf("%s=%s", s->axes->items[axis].name, *v);
		s->params[s->n_params++] = word;
		s->params[s->n_params] = NULL;
		rc = over_parameters(s, axis + 1, e);
		s->params[--s->n_params] = NULL;
		free(word);
	}
	return rc;
}

/* Each value of one of the special axes in *slot; once with what is there when there is no such axis. */
static int over_the_rest(struct step *s, struct error *e)
{
	static char *const unset[] = { NULL };
	char *const *phases = values_of(s->axes, "phase"), *const *envs = values_of(s->axes, "env");
	int rc = 0;
	for (size_t v = 0; v < s->out->n_variants; v++) {
		s->variant = v;
		for (char *const *p = phases ? phases : unset; !rc; p++) {
			s->phase = *p;
			for (char *const *x = envs ? envs : unset; !rc; x++) {
				s->env = *x;
				rc = over_parameters(s, 0, e);
				if (!envs || !x[1])
					break;
			}
			if (!phases || !p[1])
				break;
		}
	}
	return rc;
}

static int over_classes(struct step *s, const char *only, struct error *e)
{
	char *const *classes = values_of(s->axes, "class");
	if (!classes && !only)
		classes = s->w->classes;
	s->class_name = classes ? NULL : only;
	if (!classes)
		return over_the_rest(s, e);
	int rc = 0;
	for (; !rc && *classes; classes++) {
		s->class_name = *classes;
		rc = over_the_rest(s, e);
	}
	return rc;
}

static int over_workload(struct step *s, const char *name, const char *only, struct error *e)
{
	s->w = config_workload(s->config, name);
	if (!s->w)
		return error_set(e, -ENOENT, "%s has no [workload %s]", s->config->path, name);
	return over_classes(s, only, e);
}

static int check_axes(const struct step *s, struct error *e)
{
	for (size_t i = 0; i < s->axes->n; i++) {
		const char *name = s->axes->items[i].name;
		bool known = !is_parameter(name);
		for (size_t k = 0; k < s->config->n_workloads; k++)
			known |= config_param(&s->config->workloads[k], name) != NULL;
		if (!known)
			return error_set(e, -EINVAL, "no workload has a parameter '%s'; other axes are workload, class, variant, phase and env", name);
	}
	return 0;
}

static bool seen_before(const struct sweep_places *p, size_t i)
{
	char a[200], b[200];
	for (size_t k = 0; k < i; k++)
		if (p->items[k].variant == p->items[i].variant && !strcmp(bench_case_name(&p->items[k].c, a, sizeof(a)), bench_case_name(&p->items[i].c, b, sizeof(b))))
			return true;
	return false;
}

static void choose_variants(const struct config *c, const struct sweep_axes *axes, struct sweep_places *out)
{
	char *const *values = values_of(axes, "variant");
	if (!values) {
		out->variants = x_calloc(c->n_variants, sizeof(*out->variants));
		for (size_t i = 0; i < c->n_variants; i++)
			out->variants[out->n_variants++] = c->variants[i].name;
	}
	for (; values && *values; values++) {
		out->variants = x_realloc(out->variants, out->n_variants + 1, sizeof(*out->variants));
		out->variants[out->n_variants++] = *values;
	}
}

int sweep_expand(const struct config *c, const struct sweep_axes *axes, struct sweep_places *out, struct error *e)
{
	const struct config_main *job = &c->main_job;
	char *const *workloads = values_of(axes, "workload");
	struct step s = { .config = c, .axes = axes, .out = out };
	*out = (struct sweep_places){ 0 };
	choose_variants(c, axes, out);
	int rc = check_axes(&s, e);
	bool asked = workloads != NULL, all = !asked && !job->bisect.workload && !job->n_timed;
	for (; !rc && workloads && *workloads; workloads++)
		rc = over_workload(&s, *workloads, NULL, e);
	for (size_t i = 0; !rc && all && i < c->n_workloads; i++)
		rc = over_workload(&s, c->workloads[i].name, NULL, e);
	if (!rc && !asked && job->bisect.workload)
		rc = over_workload(&s, job->bisect.workload, NULL, e);
	for (size_t i = 0; !rc && !asked && i < job->n_timed; i++)
		rc = over_workload(&s, job->timed[i].workload, job->timed[i].class_name, e);
	for (size_t i = 0; !rc && i < out->n;) {
		if (!seen_before(out, i)) {
			i++;
			continue;
		}
		bench_case_release(&out->items[i].c);
		memmove(&out->items[i], &out->items[i + 1], (--out->n - i) * sizeof(*out->items));
	}
	if (rc)
		sweep_places_release(out);
	return rc;
}
