#include "bg_remote.h"

#include "shared_pool.h"
#include "util.h"

#include <pthread.h>
#include <time.h>

static long g_bg_remote_pause_ms;

static void *helper(void *arg)
{
	const struct timespec pause = {
		.tv_sec = g_bg_remote_pause_ms / 1000,
		.tv_nsec = g_bg_remote_pause_ms % 1000 * 1000000,
	};

	(void)arg;
	pthread_setname_np(pthread_self(), "hakmem-remote");
	for (;;) {
		nanosleep(&pause, NULL);
		shared_pool_sweep();
	}
	return NULL;
}

void bg_remote_init(void)
{
	pthread_t id;

	if (hak_env("HAKMEM_BG_REMOTE", 0) <= 0)
		return;
	g_bg_remote_pause_ms = hak_env("HAKMEM_BG_REMOTE_PAUSE_MS", 50);
	if (g_bg_remote_pause_ms < 1)
		g_bg_remote_pause_ms = 1;
	if (pthread_create(&id, NULL, helper, NULL) == 0)
		pthread_detach(id);
}
