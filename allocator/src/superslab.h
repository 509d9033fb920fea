/*
 * Superslabs: big aligned regions, cut into slabs of one class each. The first SUPERSLAB_META bytes
 * hold what is known about them.
 *
 * A slab is empty, owned by one thread, or abandoned. Its owner alone touches free, nfree, used and
 * carved. Any other thread may only push on remote. For every slab that is not empty:
 *
 * - used + nfree = carved - holes, where holes are slots that are never handed out;
 * - used = blocks in users' hands + in their owner's caches + on remote.
 *
 * Metadata is never unmapped and remote, pending and pending_next are never reset: a thread that
 * has just pushed the last block of a slab may still look at them after the slab was emptied and
 * given away.
 */
#pragma once

#include "config.h"
#include "page_arena.h"
#include "ptr_trace.h"

struct heap;

enum slab_state {
	SLAB_EMPTY,
	SLAB_OWNED,
	SLAB_ABANDONED,
};

enum superslab_kind {
	SUPERSLAB_FREE,
	SUPERSLAB_TINY,
	SUPERSLAB_POOL,
};

struct slab {
	/* Blocks that came back, linked through their first eight bytes. */
	void *free;
	struct slab *prev;
	struct slab *next;
	uint32_t nfree;
	uint32_t used;
	uint32_t carved;
	uint32_t capacity;
	uint32_t stride;
	/* Offset of the first block from the superslab. */
	uint32_t first;
	uint8_t cls;
	_Atomic(uint8_t) state;
	/* Which of the owner's two lists it is on. */
	uint8_t full;
	/* Pages were written since they last came from the system. */
	uint8_t dirty;

	/* A cache line of its own, for other threads. */
	_Alignas(64) _Atomic(void *) remote;
	_Atomic(struct heap *) heap;
	struct slab *pending_next;
	_Atomic(uint8_t) pending;
};

struct superslab {
	uint32_t magic;
	_Atomic(uint32_t) kind;
	/* Of the kind: slabs are 1 << slab_shift bytes, block's slab = slabs[index & slab_mask]. */
	uint32_t slab_shift;
	uint32_t slab_mask;
	/* One bit for each empty slab. Under the shared pool's lock. */
	uint32_t empty_mask;
	uint32_t all_mask;
	struct superslab *next;
	struct superslab *prev;
	/* The struct tls of the thread that owns a small slab; 0 is nobody. */
	_Atomic(uintptr_t) owner[SLABS_PER_SUPERSLAB];
	/* The header of each live block of a small slab. */
	uint8_t header[SLABS_PER_SUPERSLAB];
	struct slab slabs[SLABS_PER_SUPERSLAB];
};

#define SUPERSLAB_MAGIC 0x48414B4Du
#define SUPERSLAB_META ((size_t)8192)

_Static_assert(sizeof(struct superslab) <= SUPERSLAB_META,
	       "metadata fits in front of the first slab");
_Static_assert(sizeof(struct slab) == 128, "two cache lines a slab");

static inline struct superslab *superslab_of(const void *p)
{
	return (struct superslab *)((uintptr_t)p & ~(SUPERSLAB_SIZE - 1));
}

static inline unsigned slab_index(const void *p)
{
	return (unsigned)((uintptr_t)p >> SLAB_SHIFT) & (SLABS_PER_SUPERSLAB - 1);
}

static inline struct slab *slab_of(const void *p)
{
	struct superslab *ss = superslab_of(p);

	return &ss->slabs[slab_index(p) & ss->slab_mask];
}

static inline unsigned slab_own_index(const struct slab *s)
{
	return (unsigned)(s - superslab_of(s)->slabs);
}

/* A new superslab of a kind, all slabs empty, known to the registry. NULL without memory. */
struct superslab *superslab_create(enum superslab_kind kind);

/* Every slab is empty: its pages go back to the arena. */
void superslab_destroy(struct superslab *ss);

/* Prepare an empty slab for one class. Its caller then makes it somebody's with slab_set_owner().
 */
void slab_init(struct slab *s, unsigned cls);

/* owner and heap are 0 and NULL for nobody. Into and out of SLAB_ABANDONED only under the shared
 * pool's lock. */
void slab_set_owner(struct slab *s, enum slab_state state, uintptr_t owner, struct heap *heap);

/*
 * Cut up to n blocks off a slab that were never used, linked and ended by NULL. Returns how many;
 * *head is the first.
 */
unsigned slab_carve(struct slab *s, unsigned n, void **head);

/* Take up to n of the blocks that came back. */
unsigned slab_take(struct slab *s, unsigned n, void **head);

/* Nothing to take and nothing to carve. */
static inline bool slab_exhausted(const struct slab *s)
{
	return s->nfree == 0 && s->carved == s->capacity;
}

/* Put one block back. Owner only. */
static inline void slab_put(struct slab *s, void *p)
{
	PTR_NEXT_WRITE(p, s->free);
	s->free = p;
	s->nfree++;
	s->used--;
}

/* Move the blocks other threads freed to the slab's own list. Owner only. Returns how many. */
unsigned slab_collect(struct slab *s);

/* Hand a block back to a slab that another thread owns, or nobody. base: its header if it has one.
 */
void superslab_remote_free(struct slab *s, void *base);

/* Where the block begins that p points into, or NULL where p is in none. */
void *slab_block_start(struct slab *s, const void *p);

/* Where the pages of a slab begin, and how many bytes they are. */
void *slab_pages(struct slab *s, size_t *bytes);
