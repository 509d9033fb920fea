/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "config/config.h"
#include "harness/case.h"

/*
 * The configurations of a sweep: the product of its axes. Axes called workload, class, variant, phase (cold, steady) and env
 * ("NAME=value" or none) are those things; any other name is a parameter of the workloads that have it.
 */
#define SWEEP_AXES_MAX 12
#define SWEEP_POINTS_MAX 400

struct sweep_axis {
	char *name;
	char **values; /* NULL-terminated */
};

struct sweep_axes {
	struct sweep_axis items[SWEEP_AXES_MAX];
	size_t n;
};

/* "NAME=V,V,…"; false when it is not. Release with sweep_axes_release(), safe to repeat. */
bool sweep_axis_add(struct sweep_axes *a, const char *text);
void sweep_axes_release(struct sweep_axes *a);

struct sweep_place {
	struct bench_case c;
	size_t variant; /* of sweep_places.variants */
};

struct sweep_places {
	struct sweep_place *items;
	size_t n;
	const char **variants; /* names; borrowed from axes and configuration */
	size_t n_variants;
};

/*
 * Every place once. What the axes leave open comes from the configuration: workloads and classes of [main] (all classes of its bisect
 * workload), else all; every variant; the workload's own parameters. -EINVAL: an axis that no workload has, or too many places.
 */
int sweep_expand(const struct config *c, const struct sweep_axes *axes, struct sweep_places *out, struct error *e);
void sweep_places_release(struct sweep_places *p);
