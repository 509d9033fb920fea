/* Counters of the slow paths, and what mallinfo2() and HAKMEM_STATS=1 show of them. */
#pragma once

#include <malloc.h>
#include <stddef.h>

/* Counted by each heap for itself. */
enum stat {
	STAT_REFILL,
	STAT_SPILL,
	STAT_REMOTE_COLLECT,
	STAT_REMOTE_FREE,
	STAT_ADOPT,
	STAT_FRESH_SLAB,
	STAT_RELEASE,
	STAT_COUNT,
};

/* Sum over all heaps. Other threads may be counting: exact only when they stand still. */
size_t stats_sum(enum stat which);

struct mallinfo2 stats_mallinfo2(void);

/* Lines on stderr. */
void stats_print(void);
