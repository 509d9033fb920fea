/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bisect/account.h"

/*
 * Between account_paths.c and account.c: which share of each function of the sum (a node) belongs
 * to which path. Tables are nodes × paths, at [node * n_paths + path].
 */
struct account_graph {
	const struct cgsum *sum;
	size_t n_paths;
	const char **path; /* names, of names below; [0] is the program itself */
	double *path_calls, *path_left;
	double *mass;      /* share of the node's cost; adds up to 1 over a node's paths */
	double *calls;     /* into the node */
	double *reach;     /* share of the path's calls that come to the node, at most */
	const char **name; /* of the nodes, without context and suffixes */
	bool *part;        /* split off the function that comes here (.cold): no call of its own */
	bool *nested;      /* the function is active further up already: its cost is in that one's
			      inclusive cost */
	struct account_names **names;
};

#define ACCOUNT_PATHS_MAX 32

void account_graph_make(const struct account_input *in, struct account_names **names,
			struct account_graph *g);
void account_graph_release(struct account_graph *g);

/*
 * fast: nodes × paths, whether half of the calls reach it: counts the calls that leave fast code
 * into g->path_left.
 */
void account_graph_left(struct account_graph *g, const bool *fast);
