/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two threads end their regions at the same moment, 300 times from the start: each asks the C
 * library for its heap, which nobody used before. Run it with another malloc preloaded. Exit code:
 * 0, or 1 when a try died.
 */
#include "hakperf/roi.h"

#include <pthread.h>
#include <sys/wait.h>

static int waiting;

static void *ask(void *none)
{
	__atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < 2)
		;
	hakperf_libc_heap();
	return none;
}

int main(void)
{
	int died = 0;
	for (int i = 0; i < 300 && !died; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			pthread_t other;
			if (pthread_create(&other, NULL, ask, NULL))
				_exit(0);
			ask(NULL);
			pthread_join(other, NULL);
			_exit(0);
		}
		int status = 0;
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 2;
		died = status != 0;
	}
	return died;
}
