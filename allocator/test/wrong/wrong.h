/*
 * wrong - what the programs that misuse the allocator share. A debug build must name the crime,
 * with address and class, and abort. A release build may abort; if it goes on, no byte may belong
 * to two live blocks afterwards, nor to memory that was never the allocator's.
 */
#pragma once

#include <stddef.h>

enum { WRONG_CLASSES = 8 };

/* Usable bytes and names ("C0" ...) of hakmem's size classes. */
extern const size_t wrong_size[WRONG_CLASSES];
extern const char *const wrong_name[WRONG_CLASSES];

/* A live block of size bytes, claimed in the shadow; its memory is zero. */
unsigned char *wrong_block(size_t size);

/* The same, by aligned_alloc. */
unsigned char *wrong_aligned(size_t alignment, size_t size);

/* The class's blocks have no header in this build: say so and skip the case. */
void wrong_skip_headerless(unsigned class);

/* What the crime is called, for debug builds; release builds may abort as they like. */
void wrong_announce(const char *kind, const void *p, const char *class_name);

/*
 * The crime went unnoticed: fail in a debug build; else take many blocks of this size and its
 * neighbours, here and in another thread, and fail if one overlaps what is live.
 */
void wrong_aftermath(size_t size);
