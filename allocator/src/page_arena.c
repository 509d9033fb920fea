#include "page_arena.h"

#include "lock.h"
#include "superslab.h"
#include "util.h"

#include <errno.h>
#include <sys/mman.h>

struct page_arena g_arena;

static struct hak_lock g_arena_lock = HAK_LOCK_INIT("page arena");
/* Superslabs that were given back, linked by their next field. */
static struct superslab *g_arena_free;
static size_t g_arena_free_count;
static size_t g_arena_allocs;
static size_t g_arena_releases;

/*
 * The kernel hands out addresses downwards from near the stack, or, in the old layout and under
 * valgrind, upwards from a low one. Sixteen terabytes below its first answer, or a few gigabytes
 * above a low one, nobody comes along by himself; a data base that maps half a terabyte is not
 * unheard of. ThreadSanitizer leaves a program less room.
 */
#if defined(__SANITIZE_THREAD__)
#define FAR_BELOW ((uintptr_t)1 << 38)
#else
#define FAR_BELOW ((uintptr_t)1 << 44)
#endif
#define FAR_ABOVE ((uintptr_t)1 << 34)

void page_arena_init(void)
{
	void *p = mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		       0);
	uintptr_t base = (uintptr_t)p & ~(SUPERSLAB_SIZE - 1);

	if (p == MAP_FAILED) {
#if !HAKMEM_BUILD_RELEASE
		if (g_hak_verbose)
			hak_log("page arena: no address space, small blocks become pages");
#endif
		return;
	}
	munmap(p, PAGE_SIZE);
	if (base >= 2 * FAR_BELOW) {
		g_arena.base = base - FAR_BELOW;
		g_arena.limit = ARENA_MAX_SIZE;
	} else {
		g_arena.base = base + FAR_ABOVE;
		g_arena.limit = FAR_ABOVE;
	}
#if !HAKMEM_BUILD_RELEASE
	if (g_hak_verbose)
		hak_log("page arena: init, up to %zu bytes at %p", g_arena.limit,
			(void *)g_arena.base);
#endif
}

/* Exactly these addresses, or none. Kernels before 4.17 take the flag for a wish. */
static bool map_at(void *start, size_t bytes)
{
	void *p = mmap(start, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p == MAP_FAILED)
		return false;
	if (p != start)
		munmap(p, bytes);
	return p == start;
}

void *page_arena_alloc(void)
{
	struct superslab *ss;
	size_t used;

	hak_lock(&g_arena_lock);
	ss = g_arena_free;
	if (ss) {
		/* Its metadata never went away. */
		if (!map_at((char *)ss + SUPERSLAB_META, SUPERSLAB_SIZE - SUPERSLAB_META)) {
			hak_unlock(&g_arena_lock);
			return NULL;
		}
		g_arena_free = ss->next;
		g_arena_free_count--;
		g_arena_allocs++;
		hak_unlock(&g_arena_lock);
		return ss;
	}
	used = atomic_load_explicit(&g_arena.used, memory_order_relaxed);
	if (used + SUPERSLAB_SIZE <= g_arena.limit) {
		ss = (struct superslab *)(g_arena.base + used);
		if (!map_at(ss, SUPERSLAB_SIZE))
			ss = NULL;
	}
	if (ss) {
		g_arena_allocs++;
		atomic_store_explicit(&g_arena.used, used + SUPERSLAB_SIZE, memory_order_release);
	}
	hak_unlock(&g_arena_lock);
	return ss;
}

void page_arena_purge(void *start, size_t bytes)
{
	int keep = errno;

	if (madvise(start, bytes, MADV_DONTNEED) != 0 && g_hak_verbose)
		hak_log("page arena: madvise of %zu bytes at %p failed", bytes, start);
	errno = keep;
}

void page_arena_release(void *superslab)
{
	struct superslab *ss = superslab;
	int keep = errno;

	munmap((char *)ss + SUPERSLAB_META, SUPERSLAB_SIZE - SUPERSLAB_META);
	errno = keep;
	hak_lock(&g_arena_lock);
	ss->next = g_arena_free;
	g_arena_free = ss;
	g_arena_free_count++;
	g_arena_releases++;
	hak_unlock(&g_arena_lock);
}

size_t page_arena_in_use(void)
{
	size_t bytes;

	hak_lock(&g_arena_lock);
	bytes = atomic_load_explicit(&g_arena.used, memory_order_relaxed);
	bytes -= g_arena_free_count * SUPERSLAB_SIZE;
	hak_unlock(&g_arena_lock);
	return bytes;
}

void page_arena_print(void)
{
#if !HAKMEM_BUILD_RELEASE
	hak_log("page arena: up to %zu bytes", g_arena.limit);
	hak_log("page arena: %zu bytes ever used", atomic_load(&g_arena.used));
	hak_log("page arena: %zu superslabs handed out", g_arena_allocs);
	hak_log("page arena: %zu superslabs given back", g_arena_releases);
	hak_log("page arena: %zu superslabs wait for use", g_arena_free_count);
	hak_log("page arena: lock taken %zu times", g_arena_lock.taken);
	hak_log("page arena: lock waited for %zu times", g_arena_lock.waited);
#endif
}

void page_arena_shutdown(void)
{
#if !HAKMEM_BUILD_RELEASE
	if (g_hak_verbose)
		hak_log("page arena: shutdown, %zu superslabs out, %zu back", g_arena_allocs,
			g_arena_releases);
#endif
}

void page_arena_fork_lock(void)
{
	hak_lock(&g_arena_lock);
}

void page_arena_fork_unlock(bool child)
{
	if (child)
		hak_lock_reset(&g_arena_lock);
	else
		hak_unlock(&g_arena_lock);
}
