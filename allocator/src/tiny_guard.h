/*
 * The guard: what is wrong with a block that is being freed. Release looks at its header alone;
 * debug also at the slot it lies in and at its neighbour's header.
 */
#pragma once

#include "tiny.h"

/* Name what is wrong with a block of s that its header does not vouch for, then abort. */
__attribute__((cold, noreturn)) void tiny_guard_report(void *p, struct slab *s);

#if !HAKMEM_BUILD_RELEASE
void tiny_guard_check(void *p, struct slab *s);
#endif

static inline void tiny_guard_free(void *p, struct slab *s)
{
#if !HAKMEM_BUILD_RELEASE
	tiny_guard_check(p, s);
#else
	if (class_has_header(s->cls) && unlikely(((uint8_t *)p)[-1] != class_header(s->cls)))
		tiny_guard_report(p, s);
#endif
}
