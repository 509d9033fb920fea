/*
 * HotMag: a small magazine of blocks for hot classes, in front of the refill of the TLS SLL. A
 * spill fills it before slabs get anything; an empty list is served from it before slabs are asked.
 *
 * HAKMEM_HOTMAG=1 switches it on.
 */
#pragma once

#include "config.h"

#include <stdbool.h>

#define HOTMAG_MAX 64

struct hotmag {
	void *blocks[TINY_CLASSES][HOTMAG_MAX];
	uint8_t count[TINY_CLASSES];
};

struct tls;

/* Read the environment's one switch. Once. */
void hotmag_init(void);

/* A block, or NULL. */
void *hotmag_pop(struct tls *t, unsigned cls);

/* False: it is full, switched off, or not for this class. */
bool hotmag_push(struct tls *t, unsigned cls, void *p);

/* All blocks go back to their slabs. */
void hotmag_flush(struct tls *t);
