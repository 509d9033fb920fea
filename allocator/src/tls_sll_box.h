/* Box TLS-SLL: the one way a block comes onto a thread's list. */
#pragma once

#include "config.h"

#include <stdbool.h>

/*
 * Push a free block on the calling thread's list of its class.
 * base: where the block begins, its header if it has one. capacity: how many blocks the list may
 * hold. False: the list is full or the class is none, and the block is still the caller's. Debug: a
 * block that cannot be free is named, then the process aborts.
 */
bool tls_sll_push(unsigned cls, void *base, uint32_t capacity);
