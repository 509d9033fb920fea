/* Pool TLS: blocks of 1025 to 32768 bytes, cached by thread as the small ones are, but always by
 * the slow path. */
#pragma once

#include "superslab.h"

#include <stddef.h>

/* TINY_MAX < size <= POOL_MAX. NULL without memory, errno untouched. */
void *pool_alloc(size_t size);

/* p is a block of s. */
void pool_free(void *p, struct slab *s);
