#include "large.h"

#include "config.h"
#include "lock.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

struct mapping {
	/* 0: the entry is unused. */
	uintptr_t user;
	char *start;
	size_t bytes;
};

/*
 * Mappings of up to this size wait for reuse: so many, of so many bytes in all, or of half of
 * what is in use where that is more. Their sizes come in eight steps to each doubling, so that
 * blocks of about the same size fit each other's.
 */
#define CACHE_BLOCK_MAX ((size_t)8 << 20)
#define CACHE_BYTES_MAX ((size_t)16 << 20)
#define CACHE_ENTRIES 64
#define CACHE_STEPS 8

static struct hak_lock g_large_lock = HAK_LOCK_INIT("large blocks");
/* Open addressing with linear probing, at most half full; an entry deleted is filled from those
 * behind it. */
static struct mapping *g_table;
static size_t g_table_size;
static size_t g_table_used;
static size_t g_table_bytes;
static struct mapping g_cache[CACHE_ENTRIES];
static size_t g_cache_bytes;
static size_t g_cache_hits;
static size_t g_cache_misses;

static size_t slot_of(uintptr_t user, size_t size)
{
	return (size_t)((user >> 12) * 0x9E3779B97F4A7C15u >> 32) & (size - 1);
}

static void table_put(struct mapping *table, size_t size, struct mapping m)
{
	size_t i = slot_of(m.user, size);

	while (table[i].user != 0)
		i = (i + 1) & (size - 1);
	table[i] = m;
}

static bool table_grow(void)
{
	size_t size = g_table_size ? g_table_size * 2 : 256;
	struct mapping *table;
	size_t i;

	table = mmap(NULL, size * sizeof(*table), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (table == MAP_FAILED)
		return false;
	for (i = 0; i < g_table_size; i++) {
		if (g_table[i].user != 0)
			table_put(table, size, g_table[i]);
	}
	if (g_table)
		munmap(g_table, g_table_size * sizeof(*g_table));
	g_table = table;
	g_table_size = size;
	return true;
}

static struct mapping *table_find(const void *p)
{
	size_t i;

	if (g_table_size == 0 || !p)
		return NULL;
	i = slot_of((uintptr_t)p, g_table_size);
	while (g_table[i].user != 0) {
		if (g_table[i].user == (uintptr_t)p)
			return &g_table[i];
		i = (i + 1) & (g_table_size - 1);
	}
	return NULL;
}

static void table_remove(struct mapping *m)
{
	size_t hole = (size_t)(m - g_table);
	size_t mask = g_table_size - 1;
	size_t i, home;

	g_table_bytes -= m->bytes;
	g_table_used--;
	for (i = (hole + 1) & mask; g_table[i].user != 0; i = (i + 1) & mask) {
		home = slot_of(g_table[i].user, g_table_size);
		/* An entry may fill the hole unless its home lies behind the hole on the way to it.
		 */
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			g_table[hole] = g_table[i];
			hole = i;
		}
	}
	g_table[hole].user = 0;
}

/* The lock is held. */
static bool table_add(struct mapping m)
{
	if ((g_table_used + 1) * 2 > g_table_size && !table_grow())
		return false;
	table_put(g_table, g_table_size, m);
	g_table_used++;
	g_table_bytes += m.bytes;
	return true;
}

/* The smallest mapping that is big enough and at most a quarter too big. The lock is held. */
static bool cache_take(size_t bytes, struct mapping *m)
{
	struct mapping *best = NULL;
	size_t i;

	for (i = 0; i < CACHE_ENTRIES; i++) {
		if (g_cache[i].bytes < bytes || g_cache[i].bytes > bytes + bytes / 4)
			continue;
		if (!best || g_cache[i].bytes < best->bytes)
			best = &g_cache[i];
	}
	if (!best)
		return false;
	*m = *best;
	best->bytes = 0;
	g_cache_bytes -= m->bytes;
	return true;
}

/* The lock is held. False: it has to be unmapped. */
static bool cache_put(struct mapping m)
{
	size_t most = g_table_bytes / 2 > CACHE_BYTES_MAX ? g_table_bytes / 2 : CACHE_BYTES_MAX;
	size_t i;

	if (m.bytes > CACHE_BLOCK_MAX || g_cache_bytes + m.bytes > most)
		return false;
	for (i = 0; i < CACHE_ENTRIES; i++) {
		if (g_cache[i].bytes == 0) {
			g_cache[i] = m;
			g_cache_bytes += m.bytes;
			return true;
		}
	}
	return false;
}

/* Bytes to map for a block: whole pages, and where it may be cached one of the steps. 0: too many. */
static size_t mapping_bytes(size_t size)
{
	size_t bytes = (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
	size_t step;

	if (bytes < size || bytes > PTRDIFF_MAX)
		return 0;
	if (bytes == 0)
		bytes = PAGE_SIZE;
	if (bytes > CACHE_BLOCK_MAX || bytes <= CACHE_STEPS * PAGE_SIZE)
		return bytes;
	step = ((size_t)1 << (63 - __builtin_clzl(bytes - 1))) / CACHE_STEPS;
	return (bytes + step - 1) & ~(step - 1);
}

static bool map(size_t bytes, size_t align, struct mapping *m)
{
	char *p, *user;
	size_t extra = align > PAGE_SIZE ? align : 0;

	if (bytes + extra < bytes)
		return false;
	p = mmap(NULL, bytes + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return false;
	user = p;
	if (extra > 0) {
		user = (char *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
		if (user > p)
			munmap(p, (size_t)(user - p));
		if (user + bytes < p + bytes + extra)
			munmap(user + bytes, (size_t)(p + extra - user));
	}
	m->start = user;
	m->bytes = bytes;
	return true;
}

void *large_alloc(size_t size, size_t align, bool *zero)
{
	size_t bytes = mapping_bytes(size);
	struct mapping m;
	bool cached = false;
	bool known;

	if (bytes == 0) {
		errno = ENOMEM;
		return NULL;
	}
	if (align <= PAGE_SIZE && bytes <= CACHE_BLOCK_MAX) {
		hak_lock(&g_large_lock);
		cached = cache_take(bytes, &m);
		hak_unlock(&g_large_lock);
	}
	if (!cached && !map(bytes, align, &m)) {
		if (large_trim() == 0 || !map(bytes, align, &m)) {
			errno = ENOMEM;
			return NULL;
		}
	}
	m.user = (uintptr_t)m.start;
	hak_lock(&g_large_lock);
	known = table_add(m);
	if (cached)
		g_cache_hits++;
	else
		g_cache_misses++;
	hak_unlock(&g_large_lock);
	if (!known) {
		munmap(m.start, m.bytes);
		errno = ENOMEM;
		return NULL;
	}
	if (zero)
		*zero = !cached;
	return m.start;
}

bool large_free(void *p)
{
	struct mapping *found;
	struct mapping m;
	bool kept;
	int keep = errno;

	hak_lock(&g_large_lock);
	found = table_find(p);
	if (!found) {
		hak_unlock(&g_large_lock);
		return false;
	}
	m = *found;
	table_remove(found);
	kept = cache_put(m);
	hak_unlock(&g_large_lock);
	if (!kept)
		munmap(m.start, m.bytes);
	errno = keep;
	return true;
}

size_t large_usable(const void *p)
{
	const struct mapping *m;
	size_t bytes;

	hak_lock(&g_large_lock);
	m = table_find(p);
	bytes = m ? m->bytes : 0;
	hak_unlock(&g_large_lock);
	return bytes;
}

void *large_around(const void *p)
{
	void *start = NULL;
	size_t i;

	hak_lock(&g_large_lock);
	for (i = 0; i < g_table_size && !start; i++) {
		if (g_table[i].user != 0 && (uintptr_t)p - g_table[i].user < g_table[i].bytes)
			start = g_table[i].start;
	}
	hak_unlock(&g_large_lock);
	return start;
}

void *large_resize(void *p, size_t size)
{
	size_t bytes = mapping_bytes(size);
	struct mapping *found;
	struct mapping m;
	void *moved;

	if (bytes == 0)
		return NULL;
	hak_lock(&g_large_lock);
	found = table_find(p);
	if (!found) {
		hak_unlock(&g_large_lock);
		return NULL;
	}
	m = *found;
	if (m.bytes == bytes) {
		hak_unlock(&g_large_lock);
		return p;
	}
	/* The entry goes first: once moved, its old address may be mapped by another thread at any
	 * moment. */
	table_remove(found);
	/* A block that shrinks stays where it is. */
	moved = mremap(m.start, m.bytes, bytes, bytes < m.bytes ? 0 : MREMAP_MAYMOVE);
	if (moved != MAP_FAILED) {
		m.start = moved;
		m.user = (uintptr_t)moved;
		m.bytes = bytes;
	}
	table_add(m);
	hak_unlock(&g_large_lock);
	return moved == MAP_FAILED ? NULL : moved;
}

size_t large_trim(void)
{
	struct mapping cache[CACHE_ENTRIES];
	size_t i, sum = 0;

	hak_lock(&g_large_lock);
	memcpy(cache, g_cache, sizeof(cache));
	memset(g_cache, 0, sizeof(g_cache));
	g_cache_bytes = 0;
	hak_unlock(&g_large_lock);
	for (i = 0; i < CACHE_ENTRIES; i++) {
		if (cache[i].bytes > 0) {
			munmap(cache[i].start, cache[i].bytes);
			sum += cache[i].bytes;
		}
	}
	return sum;
}

void large_totals(size_t *blocks, size_t *bytes)
{
	hak_lock(&g_large_lock);
	*blocks = g_table_used;
	*bytes = g_table_bytes;
	hak_unlock(&g_large_lock);
}

void large_cache_totals(size_t *hits, size_t *misses)
{
	hak_lock(&g_large_lock);
	*hits = g_cache_hits;
	*misses = g_cache_misses;
	hak_unlock(&g_large_lock);
}

const struct hak_lock *large_lock(void)
{
	return &g_large_lock;
}

void large_fork_lock(void)
{
	hak_lock(&g_large_lock);
}

void large_fork_unlock(bool child)
{
	if (child)
		hak_lock_reset(&g_large_lock);
	else
		hak_unlock(&g_large_lock);
}
