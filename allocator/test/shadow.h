/*
 * shadow - which bytes belong to a live block: one bit for each 8 bytes of the address space, kept
 * in memory of its own. Lock-free and relaxed, so that it orders nothing between threads and cannot
 * hide a race of the allocator.
 *
 * Invariant: a bit is set from the moment a block is received until just before it is given back.
 */
#pragma once

#include <stddef.h>

/* Claim [p, p + size); 0 if a live block holds a part of it, then the claim is undefined. */
int shadow_claim(const void *p, size_t size);

/* Give up [p, p + size); 0 if it was not wholly claimed. */
int shadow_release(const void *p, size_t size);
