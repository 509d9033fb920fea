/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void config_claim_defaults(struct config_claim *k)
{
	k->lo = k->hi = k->relative_value = NAN;
	k->operations = 1;
	k->tolerance = CONFIG_CLAIM_TOLERANCE;
}

void config_claim_release(struct config_claim *k)
{
	free(k->name), free(k->text), free(k->commit), free(k->workload), free(k->class_name),
		free(k->variant);
	free(k->metric), free(k->unit), free(k->source), free(k->date), free(k->relative_to);
	free(k->function), free(k->entry);
	for (char **s = k->params; s && *s; s++)
		free(*s);
	free(k->params);
	*k = (struct config_claim){ 0 };
}

static int check_figure(const struct config_claim *k, struct error *e)
{
	if (isnan(k->lo))
		return error_set(e, -EINVAL, "no value: write the claimed number or LOW..HIGH");
	if (k->lo > k->hi)
		return error_set(
			e, -EINVAL, "value = %g..%g: the lower end comes first", k->lo, k->hi);
	if (!k->relative_to && (k->difference || !isnan(k->relative_value)))
		return error_set(e, -EINVAL,
			"%s needs relative_to, the revision it is measured from",
			k->difference ? "compare = difference" : "relative_value");
	if (k->difference && !isnan(k->relative_value))
		return error_set(e, -EINVAL,
			"relative_value makes a ratio, and compare = difference is none");
	if (k->relative_to && !k->difference && k->lo <= 0)
		return error_set(e, -EINVAL, "a ratio is above 0: 0.65 for −35 %%");
	if (!k->function != !k->entry)
		return error_set(e, -EINVAL,
			"a share of calls needs both: function, that is reached, and entry, that is called");
	if (k->function && (k->relative_to || k->metric))
		return error_set(e, -EINVAL, "a share of calls has neither metric nor relative_to");
	return 0;
}

int config_claim_check(const struct config *c, const struct config_claim *k, struct error *e)
{
	const struct config_workload *w = k->workload ? config_workload(c, k->workload) : NULL;
	if (!k->text)
		return error_set(e, -EINVAL, "no text: say in words what was claimed");
	if (!k->commit)
		return error_set(e, -EINVAL, "no commit: of which revision is it claimed?");
	if (k->workload && !w)
		return error_set(e, -EINVAL, "there is no [workload %s]", k->workload);
	if (k->class_name && !config_class(c, k->class_name))
		return error_set(e, -EINVAL, "there is no [class %s]", k->class_name);
	if (k->variant && c->n_variants && !config_variant(c, k->variant))
		return error_set(e, -EINVAL, "there is no [variant %s]", k->variant);
	if (k->params && !w)
		return error_set(e, -EINVAL, "params are a workload's: say which");
	for (char **s = k->params; s && *s; s++) {
		char name[64];
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*s, "="), *s);
		if (!strchr(*s, '=') || !config_param(w, name))
			return error_set(e, -EINVAL, "params = %s: NAME=VALUE of [workload %s]", *s,
				k->workload);
	}
	return check_figure(k, e);
}
