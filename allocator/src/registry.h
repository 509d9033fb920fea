/*
 * The registry: is this address part of a superslab, and of which? Asked without a lock. A
 * superslab that was given back stays in the table, since its addresses only ever become a
 * superslab again; its kind tells that it is none now.
 */
#pragma once

#include "superslab.h"

/* Adding one that is known already does nothing. */
void registry_add(struct superslab *ss);

/* The superslab an address lies in, or NULL. Any address may be asked for. */
struct superslab *registry_lookup(const void *p);

/* Superslabs ever added. */
size_t registry_count(void);

void registry_fork_lock(void);
void registry_fork_unlock(bool child);
