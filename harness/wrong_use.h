/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "harness/session.h"

/*
 * What does an allocator do about wrong use? One small program per crime (harness/wrong_use/) runs under each arm of a session, and
 * how it ends is the answer. Stored as rounds of cases "wrong_use/NAME", whose runs have no samples and an outcome in these words.
 */
enum wrong_use_outcome {
	WRONG_USE_NAMED,     /* the program was stopped at the crime, and a message says why */
	WRONG_USE_STOPPED,   /* killed by a signal at the crime, without a word */
	WRONG_USE_REPORTED,  /* a message, and it went on unharmed */
	WRONG_USE_LATER,     /* let pass; killed by a signal when it went on */
	WRONG_USE_CORRUPTED, /* let pass, and memory in use or of others was handed out */
	WRONG_USE_UNNOTICED, /* let pass, and no harm was seen */
	WRONG_USE_UNKNOWN,   /* the program did not do its work: message says why */
};
const char *wrong_use_outcome_name(enum wrong_use_outcome o);

enum { WRONG_USE_DOUBLE_FREE, WRONG_USE_INTERIOR_FREE, WRONG_USE_WILD_FREE, WRONG_USES };
const char *wrong_use_name(int crime); /* "double free", … */

struct wrong_use_answer {
	enum wrong_use_outcome outcome;
	char message[200]; /* one line, the allocator's own where it had any; "" otherwise */
};

/* The cases, which a session borrows: all-zero before wrong_use_add(), released after session_close(), safe to repeat. */
struct wrong_use {
	struct bench_case cases[WRONG_USES];
	size_t index[WRONG_USES];
};

/* programs: folder of the crimes' programs. block_bytes: of the blocks that they use. */
int wrong_use_add(struct wrong_use *w, struct session *s, const char *programs, unsigned block_bytes, struct error *e);
void wrong_use_release(struct wrong_use *w);

/* Every crime under every one of these arms, stored. out: n_arms × WRONG_USES, an arm's answers beside each other. */
int wrong_use_run(struct wrong_use *w, struct session *s, const size_t *arms, size_t n_arms, struct wrong_use_answer *out, struct error *e);
