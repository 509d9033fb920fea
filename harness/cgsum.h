/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "harness/cgfile.h"

/*
 * The sum of a run: functions, call edges and, when asked, addresses. A function is (object, home file, name): two objects
 * with equal function names stay apart.
 */
struct cgsum_function {
	const char *object, *file, *name;
	uint64_t self_ir;
	uint64_t calls; /* over the edges into it, recursion included */
	uint64_t inclusive_ir; /* self plus edges out, edges to itself left out; a longer cycle counts more than once */
};

struct cgsum_edge {
	size_t from, to; /* functions */
	uint64_t calls, inclusive_ir;
};

struct cgsum_address {
	size_t function;
	uint64_t address, line;
	const char *file; /* of the line: another than the function's for inlined code */
	uint64_t ir;
	uint64_t calls; /* made at this address */
	uint64_t called_ir; /* what those calls took, with all that they called */
};

struct cgsum_object {
	const char *path;
	uint64_t self_ir;
};

struct cgsum {
	struct cgfile *names; /* owned */
	size_t nfunctions, nedges, naddresses, nobjects;
	struct cgsum_function *functions; /* descending self_ir */
	struct cgsum_edge *edges;	   /* ascending (from, to) */
	struct cgsum_address *addresses;  /* ascending (function, address); empty unless asked for */
	struct cgsum_object *objects;	   /* descending self_ir */
	uint64_t total_ir;		   /* = sum of self_ir over functions = over objects = over addresses */
	uint64_t parts;
};

/* Sum up n files (the threads of one run). *s must be all-zero or released. As cgfile_read fails; then *s is empty. */
int cgsum_read(struct cgsum *s, const char *const *paths, size_t n, bool addresses, struct error *e);
void cgsum_release(struct cgsum *s);

/*
 * What calls into one entry point cost. object: path of the file that owns it, NULL for any. `outer_` leaves out calls that
 * come from the same object (realloc calling its own malloc): outer_inclusive_ir / outer_calls is instructions per
 * call as the program sees it. A version behind the name ("malloc@@GLIBC_2.2.5") does not count.
 */
struct cgsum_entry {
	uint64_t calls, inclusive_ir;
	uint64_t outer_calls, outer_inclusive_ir;
};

struct cgsum_entry cgsum_entry(const struct cgsum *s, const char *object, const char *function);

/* Self cost of everything in this object, 0 when it is not there. */
uint64_t cgsum_object_ir(const struct cgsum *s, const char *object);
