/* A mutex that counts how often it was taken, and how often it had to be waited for. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct hak_lock {
	pthread_mutex_t mutex;
	const char *name;
	/* Both are written under the mutex. */
	size_t taken;
	size_t waited;
};

#define HAK_LOCK_INIT(what) \
	{ \
		.mutex = PTHREAD_MUTEX_INITIALIZER, .name = (what) \
	}

/*
 * The calling thread is forking and holds every lock. Fork handlers that were registered earlier
 * than the allocator's run in the meantime, and may allocate: they find locked what they would
 * lock.
 */
extern __thread bool g_hak_forking __attribute__((tls_model("initial-exec")));

static inline void hak_lock(struct hak_lock *l)
{
	if (g_hak_forking)
		return;
	if (pthread_mutex_trylock(&l->mutex) != 0) {
		pthread_mutex_lock(&l->mutex);
		l->waited++;
	}
	l->taken++;
}

static inline void hak_unlock(struct hak_lock *l)
{
	if (g_hak_forking)
		return;
	pthread_mutex_unlock(&l->mutex);
}

/* For the child of a fork, whose only thread holds the lock. */
static inline void hak_lock_reset(struct hak_lock *l)
{
	static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

	l->mutex = fresh;
}
