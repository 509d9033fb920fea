/* SPDX-License-Identifier: Apache-2.0 */

/* Owns malloc and free, but not calloc, realloc and aligned_alloc: what is measured then is a mixture. */
#include <stddef.h>

extern void *__libc_malloc(size_t);
extern void __libc_free(void *);
void *malloc(size_t n);
void free(void *p);

void *malloc(size_t n)
{
	return __libc_malloc(n);
}

void free(void *p)
{
	__libc_free(p);
}
