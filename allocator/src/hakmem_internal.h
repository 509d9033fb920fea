/* Names of the interface, start-up. */
#pragma once

#include <stddef.h>

/* libhakmem.so has the standard names, libhakmem.a prefixed ones. */
#ifdef HAKMEM_PREFIXED
#define HAK(name) hak_##name
#else
#define HAK(name) name
#endif

#define HAK_PUBLIC __attribute__((visibility("default")))

/* Reserve the arena, once. Safe at any time: before constructors run, and from any thread. */
void hakmem_init(void);
