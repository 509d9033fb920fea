#include "bg_spill.h"

#include "superslab.h"
#include "tiny.h"
#include "util.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static _Atomic(bool) g_bg_spill_on;
/* Lists of blocks, each linked to the next list by the second word of its first block. */
static _Atomic(void *) g_bg_spill_lists;
#define BG_SPILL_PAUSE_US 1000

static void **list_link(void *list)
{
	return (void **)list + 1;
}

static void drain(void)
{
	void *list = atomic_exchange(&g_bg_spill_lists, NULL);
	void *next_list, *p, *next;

	for (; list; list = next_list) {
		next_list = *list_link(list);
		for (p = list; p; p = next) {
			PTR_NEXT_READ(p, next);
			superslab_remote_free(slab_of(p), block_base(slab_of(p)->cls, p));
		}
	}
}

static void *helper(void *arg)
{
	const struct timespec pause = {
		.tv_nsec = BG_SPILL_PAUSE_US * 1000,
	};

	(void)arg;
	pthread_setname_np(pthread_self(), "hakmem-spill");
	for (;;) {
		drain();
		nanosleep(&pause, NULL);
	}
	return NULL;
}

void bg_spill_init(void)
{
	pthread_t id;

	if (hak_env("HAKMEM_BG_SPILL", 0) <= 0)
		return;
	if (pthread_create(&id, NULL, helper, NULL) != 0)
		return;
	pthread_detach(id);
	atomic_store(&g_bg_spill_on, true);
}

bool bg_spill_takes(void *list)
{
	void *old;

	if (!atomic_load_explicit(&g_bg_spill_on, memory_order_relaxed) || !list)
		return false;
	/* C0 has no second word to link by. */
	if (slab_of(list)->cls == 0)
		return false;
	old = atomic_load_explicit(&g_bg_spill_lists, memory_order_relaxed);
	do {
		*list_link(list) = old;
	} while (!atomic_compare_exchange_weak(&g_bg_spill_lists, &old, list));
	return true;
}

void bg_spill_forked(void)
{
	atomic_store(&g_bg_spill_on, false);
	drain();
}
