/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "harness/session_private.h"

/*
 * What a session keeps beside its rounds, and finds again when it goes on: the plan, how many rounds are there, and what
 * disturbed each of them.
 */

/* Outcome in the record of a run of 2N operations by a program that did N. */
#define SESSION_NOT_DOUBLED "not doubled"

/* Rounds of a case so far: next_round, rounds_done, history, operations. Call once, when the case is added. */
int session_record_load(struct session *s, struct case_state *k, struct error *e);

/* Plan rounds of these arms (indices): at least so many each, and one more than are done. What is planned already costs nothing. */
int session_record_plan(struct session *s, struct case_state *k, const size_t *arms, size_t n, size_t rounds, struct error *e);

/* A round of these arms is in the record. */
void session_record_done(struct session *s, struct case_state *k, const size_t *arms, size_t n);

/*
 * What disturbed a round, from the samples of its runs and its stolen time, exactly as session_record_load() reads it back:
 * begin with session_round_quiet, add every run, then judge. judge() adds the round to the history, and words to *why.
 */
struct session_disturbance {
	double process_ns, preemptions, migrations; /* sums; NAN: no run told */
};
extern const struct session_disturbance session_round_quiet;
void session_round_add(struct session_disturbance *d, const struct session_samples *run);
unsigned session_round_judge(struct case_state *k, const struct session_disturbance *d, struct store_opt steal_ns, struct buf *why);
