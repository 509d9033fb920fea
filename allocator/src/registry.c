#include "registry.h"

#include "lock.h"
#include "util.h"

/* Twice as many as superslabs fit into the arena: a search ends soon. */
#define REGISTRY_BITS 15
#define REGISTRY_SLOTS ((size_t)1 << REGISTRY_BITS)

_Static_assert(REGISTRY_SLOTS >= 2 * (ARENA_MAX_SIZE >> SUPERSLAB_SHIFT),
	       "the table is half empty");

static _Atomic(struct superslab *) g_registry[REGISTRY_SLOTS];
static struct hak_lock g_registry_lock = HAK_LOCK_INIT("registry");
static size_t g_registry_count;

/*
 * Fibonacci hashing (Knuth, TAOCP 6.4) of the number counted from the arena's base, so that where
 * the kernel put the arena changes no search.
 */
static size_t registry_slot(const struct superslab *ss)
{
	uint64_t number = ((uintptr_t)ss - g_arena.base) >> SUPERSLAB_SHIFT;

	return (size_t)(number * 0x9E3779B97F4A7C15u >> (64 - REGISTRY_BITS));
}

void registry_add(struct superslab *ss)
{
	size_t i = registry_slot(ss);
	struct superslab *known;

	hak_lock(&g_registry_lock);
	while ((known = atomic_load_explicit(&g_registry[i], memory_order_relaxed)) != NULL &&
	       known != ss)
		i = (i + 1) % REGISTRY_SLOTS;
	if (!known) {
		atomic_store_explicit(&g_registry[i], ss, memory_order_release);
		g_registry_count++;
	}
	hak_unlock(&g_registry_lock);
}

struct superslab *registry_lookup(const void *p)
{
	struct superslab *ss = superslab_of(p);
	struct superslab *known;
	size_t i;

	for (i = registry_slot(ss);; i = (i + 1) % REGISTRY_SLOTS) {
		known = atomic_load_explicit(&g_registry[i], memory_order_acquire);
		if (!known)
			return NULL;
		if (known == ss)
			break;
	}
	if (ss->magic != SUPERSLAB_MAGIC)
		hak_fatal("metadata of superslab %p is overwritten", (void *)ss);
	return atomic_load_explicit(&ss->kind, memory_order_acquire) == SUPERSLAB_FREE ? NULL : ss;
}

size_t registry_count(void)
{
	size_t n;

	hak_lock(&g_registry_lock);
	n = g_registry_count;
	hak_unlock(&g_registry_lock);
	return n;
}

void registry_fork_lock(void)
{
	hak_lock(&g_registry_lock);
}

void registry_fork_unlock(bool child)
{
	if (child)
		hak_lock_reset(&g_registry_lock);
	else
		hak_unlock(&g_registry_lock);
}
