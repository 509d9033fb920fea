#include "external.h"

#include "large.h"
#include "util.h"

#include <stdint.h>
#include <unistd.h>

/* glibc's own; absent elsewhere. */
extern void __libc_free(void *p) __attribute__((weak));

static uintptr_t g_heap_start;

void external_init(void)
{
	/* hakmem never moves the break: whatever lies between here and the break is the C
	 * library's. */
	g_heap_start = (uintptr_t)sbrk(0);
}

static bool in_libc_heap(const void *p)
{
	return g_heap_start != 0 && (uintptr_t)p >= g_heap_start &&
	       (uintptr_t)p < (uintptr_t)sbrk(0);
}

void external_free(void *p)
{
	void *start;

	if (in_libc_heap(p) && __libc_free) {
		__libc_free(p);
		return;
	}
	start = large_around(p);
	if (start)
		hak_fatal("interior pointer: %p, the large block begins at %p", p, start);
	hak_fatal("wild free: %p, no block of any class", p);
}

size_t external_usable(void *p)
{
	/* glibc keeps the chunk's size, with three flag bits, in the word before the block. */
	if (in_libc_heap(p))
		return (((const size_t *)p)[-1] & ~(size_t)7) - sizeof(size_t) * 2;
	return 0;
}
