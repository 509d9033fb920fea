/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/claim_plan.h"

#include "base/buf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool same_word(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static size_t add_rev(struct claim_plan *p, const char *word, const char *variant)
{
	if (!word)
		return CLAIM_NO_REV;
	for (size_t i = 0; i < p->n_revs; i++)
		if (!strcmp(p->revs[i].word, word) && !strcmp(p->revs[i].variant, variant))
			return i;
	x_grow(p->revs, p->n_revs, p->cap_revs);
	p->revs[p->n_revs] = (struct claim_rev){
		.word = word, .variant = variant, .label = x_printf("%s (%s)", word, variant)
	};
	return p->n_revs++;
}

static bool same_params(const struct bench_case *a, const struct bench_case *b)
{
	for (size_t i = 0; i < a->n_params; i++)
		if (!same_word(a->params[i].value, bench_case_param(b, a->params[i].name)))
			return false;
	return a->n_params == b->n_params;
}

static bool same_trial(const struct claim_trial *a, const struct claim_trial *b)
{
	char x[200], y[200];
	return a->rev[0] == b->rev[0] && a->rev[1] == b->rev[1] && a->slopes == b->slopes &&
	       same_word(a->metric, b->metric) && same_word(a->function, b->function) &&
	       same_word(a->entry, b->entry) && a->c.cold == b->c.cold &&
	       same_params(&a->c, &b->c) &&
	       !strcmp(bench_case_name(&a->c, x, sizeof(x)), bench_case_name(&b->c, y, sizeof(y)));
}

/* Takes over *c. */
static void add_attempt(struct claim_plan *p, const struct config_claim *k, size_t claim,
	struct bench_case *c, const char *variant, bool own)
{
	struct claim_trial *t = x_calloc(1, sizeof(*t));
	*t = (struct claim_trial){ .rev = { add_rev(p, k->relative_to, variant),
					   add_rev(p, k->commit, variant) },
		.c = *c,
		.variant = variant,
		.metric = k->metric,
		.function = k->function,
		.entry = k->entry,
		.slopes = !k->function && (k->difference || !k->relative_to),
		.mid = NAN,
		.lo = NAN,
		.hi = NAN };
	size_t i = 0;
	while (i < p->n_trials && !same_trial(p->trials[i], t))
		i++;
	if (i < p->n_trials) {
		bench_case_release(&t->c);
		free(t);
	} else {
		x_grow(p->trials, p->n_trials, p->cap_trials);
		p->trials[p->n_trials++] = t;
	}
	p->trials[i]->own |= own;
	for (size_t a = 0; a < p->n_attempts; a++)
		if (p->attempts[a].claim == claim && p->attempts[a].trial == i)
			return;
	x_grow(p->attempts, p->n_attempts, p->cap_attempts);
	p->attempts[p->n_attempts++] = (struct claim_attempt){
		.claim = claim, .trial = i, .own = own, .value = NAN, .lo = NAN, .hi = NAN
	};
}

static bool has_class(const struct config_workload *w, const char *name)
{
	for (char **k = w->classes; name && k && *k; k++)
		if (!strcmp(*k, name))
			return true;
	return false;
}

/* The claim's own class where the workload has it, else the one that [main] times it with, else its
 * first. */
static const char *class_for(
	const struct config *c, const struct config_workload *w, const char *wanted)
{
	const struct config_main *m = &c->main_job;
	if (has_class(w, wanted) || !w->classes)
		return w->classes ? wanted : NULL;
	for (size_t i = 0; i < m->n_timed; i++)
		if (!strcmp(m->timed[i].workload, w->name) && m->timed[i].class_name)
			return m->timed[i].class_name;
	if (m->bisect.workload && !strcmp(m->bisect.workload, w->name) && m->bisect.class_name)
		return m->bisect.class_name;
	return w->classes[0];
}

static const char *default_variant(const struct config *c, const struct config_claim *k)
{
	return k->variant ? k->variant : c->variants[0].name;
}

/* The claim's own parameters, which become part of the case's name. */
static int set_params(const struct config_claim *k, struct bench_case *c, struct error *e)
{
	size_t one = 1;
	int rc = bench_cases_choose(c, &one, (const char *const *)k->params, e);
	for (char **p = k->params; !rc && p && *p; p++) {
		char *varied = x_printf("%s%s%s", c->varied ? c->varied : "", c->varied ? " " : "", *p);
		free(c->varied);
		c->varied = varied;
	}
	return rc;
}

static int own_place(const struct config *c, const struct config_claim *k, size_t claim,
	struct claim_plan *p, struct error *e)
{
	struct bench_case *list = NULL;
	size_t n = 0;
	if (!k->workload)
		return 0;
	int rc = bench_cases_expand(c, k->workload,
		class_for(c, config_workload(c, k->workload), k->class_name), &list, &n, e);
	if (!rc && n)
		rc = set_params(k, &list[0], e);
	bool fits = !rc && n && (!k->function || list[0].exact);
	if (fits)
		add_attempt(p, k, claim, &list[0], default_variant(c, k), true);
	for (size_t i = fits; i < n; i++)
		bench_case_release(&list[i]);
	free(list);
	return rc;
}

/* An axis of the user's is not added twice. */
static void axis(struct sweep_axes *axes, const char *name, const char *values)
{
	for (size_t i = 0; i < axes->n; i++)
		if (!strcmp(axes->items[i].name, name))
			return;
	char *text = x_printf("%s=%s", name, values);
	sweep_axis_add(axes, text);
	free(text);
}

static struct sweep_axes copy_axes(const struct sweep_axes *from)
{
	struct sweep_axes a = { 0 };
	for (size_t i = 0; i < from->n; i++) {
		struct buf text = { 0 };
		for (char **v = from->items[i].values; v && *v; v++)
			buf_printf(&text, "%s%s", text.len ? "," : "", *v);
		axis(&a, from->items[i].name, buf_str(&text));
		buf_release(&text);
	}
	return a;
}

/* Places of one workload in one phase; a workload that the axes do not fit has none. */
static void sweep_phase(const struct config *c, const struct config_claim *k, size_t claim,
	const struct config_workload *w, const char *phase, const struct claim_options *o,
	struct claim_plan *p)
{
	struct sweep_axes axes = copy_axes(&o->axes);
	struct sweep_places places = { 0 };
	struct error quiet = { 0 };
	const char *class_name = class_for(c, w, k->class_name);
	axis(&axes, "workload", w->name);
	if (class_name)
		axis(&axes, "class", class_name);
	if (phase)
		axis(&axes, "phase", phase);
	if (!sweep_expand(c, &axes, &places, &quiet))
		for (size_t i = 0; i < places.n; i++) {
			/* The names outlive the axes: variants are the configuration's own. */
			const struct config_variant *v =
				config_variant(c, places.variants[places.items[i].variant]);
			struct bench_case *here = &places.items[i].c;
			bool own = k->workload && !strcmp(k->workload, w->name);
			if (!v || (k->function && !here->exact) ||
			    (own && set_params(k, here, &quiet)))
				bench_case_release(&places.items[i].c);
			else
				add_attempt(p, k, claim, &places.items[i].c, v->name, false);
			places.items[i].c = (struct bench_case){ 0 };
		}
	sweep_places_release(&places);
	sweep_axes_release(&axes);
}

static bool asks_for(const struct sweep_axes *a, const char *name)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->items[i].name, name))
			return true;
	return false;
}

/* The start is timed beside the steady state, where the workload can. */
static void sweep_workload(const struct config *c, const struct config_claim *k, size_t claim,
	const struct config_workload *w, const struct claim_options *o, struct claim_plan *p)
{
	bool ours = !strncmp(w->command[0], "{workloads}/", 12) && strcmp(w->phase, "cold");
	sweep_phase(c, k, claim, w, NULL, o, p);
	if (ours && !k->function && !asks_for(&o->axes, "phase"))
		sweep_phase(c, k, claim, w, "cold", o, p);
}

static void sweep_claim(const struct config *c, const struct config_claim *k, size_t claim,
	const struct claim_options *o, struct claim_plan *p)
{
	const struct config_main *m = &c->main_job;
	for (size_t i = 0; i < c->n_workloads; i++) {
		const struct config_workload *w = &c->workloads[i];
		bool wanted = (k->workload && !strcmp(k->workload, w->name)) ||
			      (m->bisect.workload && !strcmp(m->bisect.workload, w->name));
		for (size_t t = 0; t < m->n_timed; t++)
			wanted |= !strcmp(m->timed[t].workload, w->name);
		if (wanted)
			sweep_workload(c, k, claim, w, o, p);
	}
}

int claim_plan_make(const struct config *c, const struct claims *claims, const size_t *chosen,
	size_t n, const struct claim_options *o, struct claim_plan *out, struct error *e)
{
	int rc = 0;
	*out = (struct claim_plan){ 0 };
	for (size_t i = 0; !rc && i < n; i++)
		rc = own_place(c, &claims->items[chosen[i]].k, i, out, e);
	for (size_t i = 0; !rc && o->sweep && i < n; i++)
		sweep_claim(c, &claims->items[chosen[i]].k, i, o, out);
	if (rc)
		claim_plan_release(out);
	return rc;
}

void claim_plan_release(struct claim_plan *p)
{
	for (size_t i = 0; i < p->n_revs; i++) {
		history_commit_release(&p->revs[i].commit);
		build_release(&p->revs[i].build);
		free(p->revs[i].label);
	}
	for (size_t i = 0; i < p->n_trials; i++) {
		bench_case_release(&p->trials[i]->c);
		free(p->trials[i]);
	}
	free(p->revs), free(p->trials), free(p->attempts);
	*p = (struct claim_plan){ 0 };
}
