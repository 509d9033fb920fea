#include "stats.h"

#include "hakmem_internal.h"
#include "large.h"
#include "lock.h"
#include "page_arena.h"
#include "registry.h"
#include "shared_pool.h"
#include "thread.h"
#include "util.h"

static const char *const g_stat_names[STAT_COUNT] = {
	[STAT_REFILL] = "refills",
	[STAT_SPILL] = "spills",
	[STAT_REMOTE_COLLECT] = "remote collects",
	[STAT_REMOTE_FREE] = "remote frees",
	[STAT_ADOPT] = "adopted slabs",
	[STAT_FRESH_SLAB] = "fresh slabs",
	[STAT_RELEASE] = "released slabs",
};

size_t stats_sum(enum stat which)
{
	const struct heap *h;
	size_t sum = 0;

	for (h = thread_heaps(); h; h = h->all_next)
		sum += h->stat[which];
	return sum;
}

struct mallinfo2 stats_mallinfo2(void)
{
	struct mallinfo2 m = {0};
	size_t blocks, bytes;

	large_totals(&blocks, &bytes);
	m.arena = page_arena_in_use();
	m.hblks = blocks;
	m.hblkhd = bytes;
	m.fordblks = shared_pool_empty_bytes();
	m.uordblks = m.arena > m.fordblks ? m.arena - m.fordblks : 0;
	/* What malloc_trim() could give back; caches of other threads are out of its reach. */
	m.keepcost = m.fordblks;
	return m;
}

void stats_print(void)
{
	size_t i, blocks, bytes;
	size_t hits, misses;

	for (i = 0; i < STAT_COUNT; i++)
		hak_log("%s: %zu", g_stat_names[i], stats_sum((enum stat)i));
	large_cache_totals(&hits, &misses);
	hak_log("large blocks: %zu from the cache, %zu mapped", hits, misses);
	large_totals(&blocks, &bytes);
	hak_log("large blocks: %zu of %zu bytes", blocks, bytes);
	page_arena_print();
	hak_log("registry: %zu superslabs known", registry_count());
	hak_log("lock of %s: taken %zu times, waited for %zu times", large_lock()->name,
		large_lock()->taken, large_lock()->waited);
	hak_log("lock of %s: taken %zu times, waited for %zu times", thread_lock()->name,
		thread_lock()->taken, thread_lock()->waited);
	shared_pool_print();
}
