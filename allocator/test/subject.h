/*
 * subject - the functions under test: S(malloc) is malloc of whatever is preloaded, or hak_malloc
 * of the static library when SUBJECT_PREFIXED is set (sanitizers need the prefix).
 */
#pragma once

#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

#ifdef SUBJECT_PREFIXED

#include "hakmem.h"
#define S(name) hak_##name
#define SUBJECT_HAS_SIZED_FREE 1

#else

#define S(name) name
void free_sized(void *p, size_t size) __attribute__((weak));
void free_aligned_sized(void *p, size_t alignment, size_t size) __attribute__((weak));
#define SUBJECT_HAS_SIZED_FREE (free_sized && free_aligned_sized)

#endif
