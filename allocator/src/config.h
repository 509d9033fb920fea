/* Build switches, size classes and limits: every number that two files must agree on. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* 1: checks that cost are compiled out. 0: every check stays. */
#ifndef HAKMEM_BUILD_RELEASE
#define HAKMEM_BUILD_RELEASE 1
#endif

/* 1: a small block carries its class in a byte in front of it. 0: the slab tells. */
#ifndef HAKMEM_TINY_HEADER_CLASSIDX
#define HAKMEM_TINY_HEADER_CLASSIDX 1
#endif

/* 1: debug builds also log single events. */
#ifndef HAKMEM_DEBUG_VERBOSE
#define HAKMEM_DEBUG_VERBOSE 0
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define PAGE_SIZE ((size_t)4096)

/* A superslab is this big and aligned to it; it is cut into slabs. */
#define SUPERSLAB_SHIFT 21
#define SUPERSLAB_SIZE ((size_t)1 << SUPERSLAB_SHIFT)
#define SLAB_SHIFT 16
#define SLAB_SIZE ((size_t)1 << SLAB_SHIFT)
#define SLABS_PER_SUPERSLAB (SUPERSLAB_SIZE / SLAB_SIZE)

/* So much small and middle memory at most; what does not fit becomes large blocks. */
#define ARENA_MAX_SIZE ((size_t)1 << 35)

/* Small classes C0-C7. Usable bytes: 15 31 47 79 143 271 527 1024. */
#define TINY_CLASSES 8
#define TINY_MAX 1024
#define TINY_C7_STRIDE 1040

/* Middle classes P0-P19: four to each doubling, 1280 to 32768 bytes. They follow the small ones. */
#define POOL_CLASSES 20
#define POOL_MAX ((size_t)32768)
#define POOL_SLAB_SHIFT 18
#define ALL_CLASSES (TINY_CLASSES + POOL_CLASSES)

/*
 * The header byte, at ptr - 1:
 *
 * - 0xA0 | class: a small block;
 * - 0xC0 | class: a middle block;
 * - 0x98: an aligned block inside another one.
 *
 * The top bit is clear while a small or middle block is free, so that one compare tells a double
 * free.
 */
#define HDR_TINY 0xA0u
#define HDR_TINY_MASK 0xF8u
#define HDR_TINY_CLASS 0x07u
#define HDR_POOL 0xC0u
#define HDR_POOL_MASK 0xE0u
#define HDR_POOL_CLASS 0x1Fu
#define HDR_SHIM 0x98u
#define HDR_LIVE 0x80u
