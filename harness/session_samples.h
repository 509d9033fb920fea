/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "harness/case.h"
#include "harness/counter.h"
#include "harness/run.h"
#include "harness/store.h"

/*
 * What session.c needs around one run: which events are counted here, and the samples that a result becomes. A metric that was
 * not counted has no sample.
 */
#define SESSION_EVENTS_MAX 16

struct session_events {
	struct run_event_spec spec[HAKPERF_EVENTS]; /* of the next run */
	const char *metric[HAKPERF_EVENTS];	    /* its metric's name, in the order of spec */
	bool software[HAKPERF_EVENTS];
	size_t n;
	struct run_event_spec all[SESSION_EVENTS_MAX]; /* software first, then hardware by passes */
	struct counter_event all_event[SESSION_EVENTS_MAX];
	char *all_metric[SESSION_EVENTS_MAX];
	size_t index[HAKPERF_EVENTS]; /* into all, in the order of spec */
	size_t n_software;
	size_t n_all;
	size_t pass_start[SESSION_EVENTS_MAX + 1]; /* of hardware passes, indices into all */
	size_t n_passes, turn;
	struct buf advice;
};

/*
 * names: libpfm4 names, NULL-terminated; NULL: the software events and cycles, instructions, branch-misses, LLC-load-misses,
 * dTLB-load-misses. Events of the default set that do not open are told in advice; named ones that do not are an error.
 */
int session_events_choose(const char *const *names, struct session_events *ev, struct error *e);

/* Put the next pass into spec: hardware passes take turns from run to run, software events are in each. */
void session_events_arm(struct session_events *ev);
void session_events_release(struct session_events *ev);

/*
 * For a program that marks no region: count the armed events over the next program that this thread starts, with all its
 * threads and children. begin() before the run; end() after it puts the readings into *r and closes. Events that do not
 * open are absent.
 */
void session_events_begin_process(const struct session_events *ev, struct counter_set *cs);
void session_events_end_process(const struct session_events *ev, struct counter_set *cs, struct run_result *r);

struct session_samples {
	struct store_sample *items;
	size_t n, cap;
};

void session_samples_fill(struct session_samples *s, const struct run_result *r, const struct session_events *ev, const struct bench_case *c,
			  uint64_t total_ns);
double session_samples_value(const struct session_samples *s, const char *metric); /* NAN: not there */
void session_samples_release(struct session_samples *s);

/* Name of the metric that a case's figure is stored under: "figure UNIT"; interned for the process. */
const char *session_figure_metric(const struct bench_case *c);

/* Absolute path of an executable, by path or by PATH; NULL when there is none. Caller frees. */
char *session_find_program(const char *name);

/*
 * "LD_LIBRARY_PATH=PREFIX/lib" for programs of a prefix that has libraries: prefixes move after the build, so that the path which the
 * program was linked with leads nowhere. NULL: not needed. Caller frees.
 */
char *session_library_path(enum run_kind kind, const char *prefix);
