/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/project.h"
#include "harness/session_exact.h"
#include "harness/verdict.h"
#include "harness/wrong_use.h"

#include <jansson.h>
#include <stdio.h>

/* A revision beside other allocators: what cli/peers.c measures and cli/show_peers.c shows. */
#define PEERS_MAX 48

enum peer_role { PEER_OTHER, PEER_SUBJECT, PEER_FLOOR };

struct peer {
	char *label, *artifact; /* artifact NULL: the C library's own */
	enum peer_role role;
	const char *exact_environment; /* under which alone its counts repeat; NULL: not needed */
	size_t arm, exact_arm;	       /* of the session */
};

struct peers {
	struct project p;
	struct history_commit commit; /* of the subject, list[0] */
	struct build build;
	struct peer *list;
	size_t n;
	struct bench_case *cases;
	size_t *index; /* of the cases in the session */
	size_t n_cases;
	struct session *session;
	json_t *request;
	struct exact_answer *exact;	 /* n_cases × n; counted false where there is none */
	struct wrong_use wrong;
	struct wrong_use_answer *noticed; /* n × WRONG_USES */
};

int peers_print(struct peers *p, FILE *to, struct error *e);
/* The envelope of --json, on standard output. */
int peers_json(struct peers *p, struct error *e);
