#include "bg_remote.h"

#include "shared_pool.h"
#include "util.h"

#include <pthread.h>
#include <time.h>

#define BG_REMOTE_PAUSE_MS 50

static void *helper(void *arg)
{
	const struct timespec pause = {
		.tv_nsec = BG_REMOTE_PAUSE_MS * 1000000L,
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
	if (pthread_create(&id, NULL, helper, NULL) == 0)
		pthread_detach(id);
}
