/*
 * hakmem: a malloc replacement. These are the functions of libhakmem.a; libhakmem.so offers the
 * same ones under their standard names, for LD_PRELOAD.
 *
 * Every function behaves as its namesake in malloc(3), posix_memalign(3), malloc_usable_size(3),
 * malloc_trim(3), mallinfo(3); the sized frees are those of C23. All are thread-safe.
 * Failure: NULL with errno set to ENOMEM, or what the namesake says.
 */
#pragma once

#include <malloc.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void *hak_malloc(size_t size);
void hak_free(void *p);
void *hak_calloc(size_t n, size_t size);
void *hak_realloc(void *p, size_t size);
void *hak_reallocarray(void *p, size_t n, size_t size);
void *hak_aligned_alloc(size_t align, size_t size);
int hak_posix_memalign(void **out, size_t align, size_t size);
void *hak_memalign(size_t align, size_t size);
void *hak_valloc(size_t size);
void *hak_pvalloc(size_t size);
size_t hak_malloc_usable_size(void *p);
void hak_free_sized(void *p, size_t size);
void hak_free_aligned_sized(void *p, size_t align, size_t size);
int hak_malloc_trim(size_t pad);
struct mallinfo2 hak_mallinfo2(void);

#ifdef __cplusplus
}
#endif
