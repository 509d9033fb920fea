#include "hakmem_internal.h"

#include "bg_remote.h"
#include "bg_spill.h"
#include "hotmag.h"
#include "external.h"
#include "large.h"
#include "lock.h"
#include "page_arena.h"
#include "registry.h"
#include "shared_pool.h"
#include "stats.h"
#include "thread.h"
#include "util.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

__thread bool g_hak_forking __attribute__((tls_model("initial-exec")));

static struct hak_lock g_init_lock = HAK_LOCK_INIT("start-up");
static _Atomic(bool) g_initialised;
static bool g_print_stats;

/*
 * Locks are taken in the order in which the allocator nests them, so that the child finds all of
 * them free and all that they protect whole.
 */
static void before_fork(void)
{
	hak_lock(&g_init_lock);
	thread_fork_lock();
	shared_pool_fork_lock();
	registry_fork_lock();
	page_arena_fork_lock();
	large_fork_lock();
	g_hak_forking = true;
}

static void after_fork(bool child)
{
	g_hak_forking = false;
	large_fork_unlock(child);
	page_arena_fork_unlock(child);
	registry_fork_unlock(child);
	shared_pool_fork_unlock(child);
	thread_fork_unlock(child);
	if (child)
		hak_lock_reset(&g_init_lock);
	else
		hak_unlock(&g_init_lock);
}

static void after_fork_parent(void)
{
	after_fork(false);
}

static void after_fork_child(void)
{
	after_fork(true);
	bg_spill_forked();
}

/*
 * The first block is asked for by the dynamic linker, before any constructor has run. Registered
 * then, before_fork() is called after everybody else's preparations, which may wait for threads
 * that allocate.
 */
void hakmem_init(void)
{
	bool first;

	if (atomic_load_explicit(&g_initialised, memory_order_acquire))
		return;
	hak_lock(&g_init_lock);
	first = !atomic_load_explicit(&g_initialised, memory_order_relaxed);
	if (first) {
		page_arena_init();
		external_init();
		thread_init();
		atomic_store_explicit(&g_initialised, true, memory_order_release);
	}
	hak_unlock(&g_init_lock);
	if (first)
		pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* Says where a program died, then lets it die as it would have. */
static void segv_report(int sig, siginfo_t *info, void *context)
{
	(void)context;
#if !HAKMEM_BUILD_RELEASE
	hak_log("SIGSEGV at address %p in process %d", info->si_addr, (int)getpid());
	hak_log("the address is %s the arena (%p, %zu bytes used)",
		page_arena_owns(info->si_addr) ? "in" : "outside", (void *)g_arena.base,
		atomic_load(&g_arena.used));
	hak_log("superslabs in use: %zu bytes", page_arena_in_use());
#else
	hak_log("SIGSEGV at address %p", info->si_addr);
#endif
	signal(sig, SIG_DFL);
	raise(sig);
}

static void install_segv_report(void)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = segv_report;
	sa.sa_flags = SA_SIGINFO | SA_RESETHAND;
	sigaction(SIGSEGV, &sa, NULL);
}

/* What needs the environment or the C library set up waits until here; blocks were handed out long
 * before. */
__attribute__((constructor)) static void start(void)
{
	g_hak_verbose = (int)hak_env("HAKMEM_VERBOSE", 0);
	hakmem_init();
#if !HAKMEM_BUILD_RELEASE
	if (g_hak_verbose) {
		hak_log("start-up: process %d", (int)getpid());
		hak_log("start-up: %s build", HAKMEM_BUILD_RELEASE ? "release" : "debug");
		hak_log("start-up: header %s", HAKMEM_TINY_HEADER_CLASSIDX ? "on" : "off");
		hak_log("start-up: arena at %p", (void *)g_arena.base);
	}
#endif
	g_print_stats = hak_env("HAKMEM_STATS", 0) > 0;
	if (hak_env("HAKMEM_SEGV_REPORT", 0) > 0)
		install_segv_report();
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
	hotmag_init();
	bg_spill_init();
	bg_remote_init();
}

__attribute__((destructor)) static void stop(void)
{
	if (g_print_stats)
		stats_print();
	page_arena_shutdown();
}
