/* The front gate, for the rest of the interface: the same functions that programs call, but never
 * interposed. */
#pragma once

#include "config.h"

#include <stddef.h>

void *front_malloc(size_t size);
void front_free(void *p);
