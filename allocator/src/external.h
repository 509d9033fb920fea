/* Pointers that hakmem did not hand out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Note where the C library's own heap is. Once. */
void external_init(void);

/* Free it if the C library's own malloc handed it out; what nobody knows stays as it is. */
void external_free(void *p);

/* Usable bytes; 0 where nobody knows. */
size_t external_usable(void *p);
