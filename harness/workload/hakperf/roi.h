/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Mark the region of interest of a program, so that hakperf measures that region and nothing else.
 * One header, no library, C (gnu11 and later, or -D_GNU_SOURCE) and C++17, Linux. Without hakperf the same program runs as before: the
 * region's wall and CPU time are still there for its own output, nothing else is done.
 *
 *	hakperf_roi_init(0);                       // once, early, in the first thread; optional: the first begin does it
 *	...                                        // prepare, warm up
 *	struct hakperf_roi roi = HAKPERF_ROI_INIT;
 *	hakperf_roi_begin(&roi);
 *	...                                        // the work of this thread
 *	hakperf_roi_end(&roi, operations, checksum);
 *	// roi.record.wall_ns, roi.record.cpu_ns
 *
 * Each thread marks its own work with a struct of its own; only what a thread does between its begin and its end is counted.
 * Threads that live one after the other as parts of one line of work may share a track (roi.track = 1, 2, …, the same for the
 * whole line): their regions add up to one record, and the gaps between them count for nothing. Two regions
 * of one track must not overlap.
 *
 * hakperf_roi_prepare(&roi), optional, does the slow part of begin ahead of time in the thread that will call begin.
 *
 * The protocol. HAKPERF_FD names an inherited file descriptor of shared memory that holds one struct hakperf_area: the
 * harness writes the request, the program fills in the process part and one record per thread or track. Everything in it has
 * a fixed layout, the same for 64-bit C and C++.
 *
 * Callgrind: run with --instr-atstart=no --collect-atstart=no and without --toggle-collect. Every region toggles collection for
 * its own thread as its last act in begin and its first in end, so the regions of all threads are counted and nothing
 * besides. Around that, instrumentation is on while any thread is inside a region: callgrind counts calls, though
 * not their cost, wherever it instruments, so that without this the calls of the warm-up would be in the figures.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if defined(__GLIBC__) && !defined(__USE_MISC)
#error "hakperf/roi.h: compile as gnu17 or with -D_GNU_SOURCE, or include this header before any other"
#endif

#define HAKPERF_MAGIC 0x6b61687065726621u
#define HAKPERF_VERSION 1u
#define HAKPERF_EVENTS 8    /* in one run, over all groups */
#define HAKPERF_ATTR 192    /* room for a struct perf_event_attr of this or a later kernel */
#define HAKPERF_RECORDS 256 /* threads or tracks */
#define HAKPERF_OWNED 5	    /* functions whose owner is proved */
#define HAKPERF_PATH 1000   /* bytes of a path kept, with its NUL; a longer one is cut, its device and inode are not */
#define HAKPERF_UNKNOWN UINT64_MAX

/* The functions of struct hakperf_process.owner, in this order. */
#define HAKPERF_OWNED_NAMES { "malloc", "free", "calloc", "realloc", "aligned_alloc" }

/*
 * One event. The program itself sets read_format (value and both times), `disabled` (the first event of a group) and inherit (off);
 * everything else, pinned and exclude_kernel too, is as requested. Events of one group are neighbours with equal `group`; the
 * first that opens leads.
 */
struct hakperf_event_request {
	uint32_t group, reserved;
	unsigned char attr[HAKPERF_ATTR]; /* a struct perf_event_attr, its size member says how much of it counts */
};

struct hakperf_request {
	uint64_t magic;
	uint32_t version, area_bytes; /* sizeof(struct hakperf_area) as the harness knows it */
	uint32_t n_events;
	uint32_t startup_allocations; /* blocks of random small sizes taken once and kept: moves the heap about */
	uint64_t startup_seed;
	uint64_t operations; /* timed operations wanted; 0: the program's own number */
	uint64_t multiplier; /* of the timed operations; 0 means 1 */
	uint64_t warmup;     /* operations before the region; HAKPERF_UNKNOWN: the program's own number */
	uint64_t seed;	     /* used when has_seed */
	uint32_t has_seed, reserved;
	struct hakperf_event_request event[HAKPERF_EVENTS];
};

/* Where a function's address lies: the file that the loader mapped there. */
struct hakperf_owner {
	uint64_t device, inode; /* of path now; 0, 0: could not be told */
	char path[HAKPERF_PATH];
};

struct hakperf_process {
	uint32_t claimed; /* records taken, may exceed HAKPERF_RECORDS */
	uint32_t attached; /* 1: the program read the request */
	int32_t pid;
	uint32_t valgrind; /* 1: ran under valgrind; then no counters and no chain */
	uint32_t cold;	   /* 1: the region is the program's start: no warm-up, no start-up allocations */
	uint32_t proved;   /* 1: owner[] is filled */
	uint32_t startup_done; /* start-up allocations made */
	uint32_t reserved;
	/* Bytes that the C library's own malloc has from the system, HAKPERF_UNKNOWN if it cannot tell: not 0 under a
	 * preloaded allocator means that this allocator leans on the one it claims to replace. */
	uint64_t libc_heap_bytes;
	struct hakperf_owner owner[HAKPERF_OWNED];
};

/* Sums over the regions of one record. Never counted is open_errno != 0 or running_ns != enabled_ns or enabled_ns == 0. */
struct hakperf_event {
	uint64_t value;	  /* as counted, the empty bracket included */
	uint64_t bracket; /* the same begin and end with nothing between, least of several; to be subtracted */
	uint64_t enabled_ns, running_ns;
	int32_t open_errno; /* why it did not open, 0 when it did */
	int32_t read_errno; /* EIO: a pinned group that never got onto the PMU */
};

enum { HAKPERF_FREE = 0, HAKPERF_CLAIMED = 1, HAKPERF_DONE = 2 };

struct hakperf_record {
	uint32_t state;
	int32_t tid;	  /* of the last region */
	uint32_t track;	  /* 0: none */
	uint32_t regions; /* added up here */
	uint64_t begin_ns, end_ns; /* CLOCK_MONOTONIC of the first begin and the last end */
	uint64_t wall_ns, wall_bracket_ns;
	uint64_t cpu_ns, cpu_bracket_ns; /* CLOCK_THREAD_CPUTIME_ID */
	uint64_t tsc, tsc_bracket;	 /* reference ticks; 0: none on this machine */
	/* The chain of dependent one-cycle additions, timed right before and right after, least of several tries. */
	uint64_t chain_cycles, chain_before_tsc, chain_after_tsc;
	uint64_t operations, checksum; /* checksums add up modulo 2^64 */
	uint64_t minor_faults, major_faults, voluntary_switches, involuntary_switches; /* of the thread, in the region */
	uint64_t user_ns, sys_ns;		  /* getrusage of the thread, in the region: coarse on some kernels */
	uint64_t peak_rss_bytes, end_rss_bytes; /* of the process, VmHWM and VmRSS after the region; 0: unknown */
	uint64_t begin_rss_bytes;
	uint32_t n_events, reserved;
	struct hakperf_event event[HAKPERF_EVENTS];
};

struct hakperf_area {
	struct hakperf_request request;
	struct hakperf_process process;
	struct hakperf_record record[HAKPERF_RECORDS];
};

/* One region. All-zero is ready for begin; `track` may be set before. After end, `record` is this region alone. */
struct hakperf_roi {
	uint32_t track;
	uint32_t prepared;
	struct hakperf_record *slot; /* NULL: none left, or no harness */
	int fd[HAKPERF_EVENTS];
	unsigned char leads[HAKPERF_EVENTS];
	struct rusage usage;
	struct hakperf_event before[HAKPERF_EVENTS], after[HAKPERF_EVENTS];
	struct hakperf_record record;
	uint64_t wall0, cpu0, tsc0;
};

#ifdef __cplusplus
#define HAKPERF_ROI_INIT {}
#else
#define HAKPERF_ROI_INIT { 0 }
#endif

struct hakperf_roi_state {
	struct hakperf_area *area; /* NULL: no harness */
	uint32_t done;		   /* 1: init is over, 2: it is going on */
	uint32_t cold;
	uint32_t lock;	 /* of what follows, and of the C library's first look at its own heap */
	uint32_t inside; /* regions under callgrind that are open now */
	void *startup; /* chain of the start-up allocations, so that they stay reachable */
};

/* One for the whole program however many files include this header. */
__attribute__((weak)) struct hakperf_roi_state hakperf_roi_state;

/* Declared here because <dlfcn.h> and <sys/resource.h> show them only when _GNU_SOURCE came before every header. */
struct hakperf_dl_info {
	const char *fname;
	void *fbase;
	const char *sname;
	void *saddr;
};
#ifdef __cplusplus
extern "C"
#endif
int hakperf_dladdr(const void *address, struct hakperf_dl_info *info) __asm__("dladdr");
#define HAKPERF_RUSAGE_THREAD 1

#define HAKPERF_CHAIN_CYCLES 10000u
#define HAKPERF_CHAIN_TRIES 7
#define HAKPERF_BRACKET_TRIES 3

/* The compiler may neither drop nor move work on memory across this; p counts as read and written. */
static inline void hakperf_keep(void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

static inline uint64_t hakperf_clock(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t hakperf_tsc(void)
{
#if defined(__x86_64__)
	uint32_t lo, hi;
	__asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
#elif defined(__aarch64__)
	uint64_t v;
	__asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(v) : : "memory");
	return v;
#else
	return 0;
#endif
}

/*
 * Reference ticks of HAKPERF_CHAIN_CYCLES dependent additions, the least of several tries; 0: no such clock here. The addend is a
 * register: additions of a constant are folded away at rename by some cores.
 */
static inline uint64_t hakperf_chain_tsc(void)
{
	uint64_t least = 0;
#if defined(__x86_64__) || defined(__aarch64__)
	for (int i = 0; i < HAKPERF_CHAIN_TRIES; i++) {
		uint64_t sum = 0, one = 1, turns = HAKPERF_CHAIN_CYCLES / 100;
		uint64_t t = hakperf_tsc();
#if defined(__x86_64__)
		__asm__ volatile("1:\n\t.rept 100\n\tadd %2, %0\n\t.endr\n\tdec %1\n\tjnz 1b"
				 : "+r"(sum), "+r"(turns)
				 : "r"(one)
				 : "cc");
#else
		__asm__ volatile("1:\n\t.rept 100\n\tadd %0, %0, %2\n\t.endr\n\tsubs %1, %1, #1\n\tb.ne 1b"
				 : "+r"(sum), "+r"(turns)
				 : "r"(one)
				 : "cc");
#endif
		t = hakperf_tsc() - t;
		if (!least || t < least)
			least = t;
	}
#endif
	return least;
}

/*
 * A valgrind client request: an instruction sequence that does nothing on a processor and that valgrind recognises
 * (valgrind manual, "The Client Request mechanism"). Returns def outside valgrind.
 */
static inline uint64_t hakperf_valgrind(uint64_t def, uint64_t request)
{
	uint64_t args[6] = { request, 0, 0, 0, 0, 0 };
#if defined(__x86_64__)
	__asm__ volatile("rolq $3, %%rdi\n\trolq $13, %%rdi\n\trolq $61, %%rdi\n\trolq $51, %%rdi\n\txchgq %%rbx, %%rbx"
			 : "+d"(def)
			 : "a"(&args[0])
			 : "cc", "memory");
#elif defined(__aarch64__)
	__asm__ volatile("mov x3, %1\n\tmov x4, %2\n\t"
			 "ror x12, x12, #3\n\tror x12, x12, #13\n\tror x12, x12, #51\n\tror x12, x12, #61\n\torr x10, x10, x10\n\t"
			 "mov %0, x3"
			 : "=r"(def)
			 : "0"(def), "r"(&args[0])
			 : "cc", "memory", "x3", "x4");
#endif
	hakperf_keep(args);
	return def;
}

#define HAKPERF_VALGRIND_RUNNING 0x1001u
#define HAKPERF_CALLGRIND_TOGGLE 0x43540002u
#define HAKPERF_CALLGRIND_START 0x43540004u
#define HAKPERF_CALLGRIND_STOP 0x43540005u

static inline void hakperf_lock(void)
{
	while (__atomic_exchange_n(&hakperf_roi_state.lock, 1, __ATOMIC_ACQUIRE))
		syscall(SYS_sched_yield);
}

static inline void hakperf_unlock(void)
{
	__atomic_store_n(&hakperf_roi_state.lock, 0, __ATOMIC_RELEASE);
}

/* Under valgrind: the first region to open starts instrumentation, the last one to close stops it. */
static inline void hakperf_valgrind_inside(int enter)
{
	struct hakperf_roi_state *s = &hakperf_roi_state;
	if (!hakperf_valgrind(0, HAKPERF_VALGRIND_RUNNING))
		return;
	if (!enter)
		hakperf_valgrind(0, HAKPERF_CALLGRIND_TOGGLE);
	hakperf_lock();
	if (enter && s->inside++ == 0)
		hakperf_valgrind(0, HAKPERF_CALLGRIND_START);
	if (!enter && --s->inside == 0)
		hakperf_valgrind(0, HAKPERF_CALLGRIND_STOP);
	hakperf_unlock();
	if (enter)
		hakperf_valgrind(0, HAKPERF_CALLGRIND_TOGGLE);
}

/* "VmHWM:" or "VmRSS:" of this process in bytes, 0 when it cannot be read. Two calls would be two system calls: hence both. */
static inline void hakperf_rss(uint64_t *peak, uint64_t *now)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = 0;
	const char *hwm = strstr(text, "\nVmHWM:"), *rss = strstr(text, "\nVmRSS:");
	*peak = hwm ? strtoull(hwm + 7, NULL, 10) * 1024 : 0;
	*now = rss ? strtoull(rss + 7, NULL, 10) * 1024 : 0;
}

/* What libc's own malloc took from the system, whoever owns the name `malloc`. */
static inline uint64_t hakperf_libc_heap(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 33)) && !defined(HAKPERF_ROI_STATIC)
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	if (!libc)
		return HAKPERF_UNKNOWN;
	union {
		void *object;
		struct mallinfo2 (*function)(void);
	} info;
	info.object = dlsym(libc, "mallinfo2");
	uint64_t bytes = HAKPERF_UNKNOWN;
	if (info.object) {
		/* glibc's malloc begins with the first who asks it, and two at once find it half begun (2.36). */
		hakperf_lock();
		struct mallinfo2 m = info.function();
		hakperf_unlock();
		bytes = (uint64_t)m.arena + (uint64_t)m.hblkhd;
	}
	dlclose(libc);
	return bytes;
#else
	return HAKPERF_UNKNOWN;
#endif
}

static inline void hakperf_prove(struct hakperf_process *process)
{
#ifndef HAKPERF_ROI_STATIC
	static const char *const names[HAKPERF_OWNED] = HAKPERF_OWNED_NAMES;
	for (int i = 0; i < HAKPERF_OWNED; i++) {
		struct hakperf_owner *owner = &process->owner[i];
		struct hakperf_dl_info info;
		struct stat st;
		/* By name, not by `&malloc`: in a program that is not position-independent that address is its own stub. */
		void *address = dlsym(NULL /* RTLD_DEFAULT */, names[i]);
		if (!address || !hakperf_dladdr(address, &info) || !info.fname)
			continue;
		/* The loader calls the program itself by its argv[0], which need not be a path. */
		struct hakperf_dl_info self;
		const char *path = info.fname;
		if (hakperf_dladdr((void *)&hakperf_roi_state, &self) && self.fbase == info.fbase &&
		    stat("/proc/self/exe", &st) == 0 && strchr(path, '/') == NULL)
			path = "/proc/self/exe";
		strncpy(owner->path, path, HAKPERF_PATH - 1);
		if (stat(path, &st) == 0) {
			owner->device = (uint64_t)st.st_dev;
			owner->inode = (uint64_t)st.st_ino;
		}
	}
	process->proved = 1;
#else
	(void)process;
#endif
}

static inline struct hakperf_area *hakperf_attach(void)
{
	const char *text = getenv("HAKPERF_FD");
	char *end = NULL;
	long fd = text && *text ? strtol(text, &end, 10) : -1;
	struct stat st;
	if (fd < 0 || !end || *end || fstat((int)fd, &st) || (uint64_t)st.st_size < sizeof(struct hakperf_area))
		return NULL;
	void *p = mmap(NULL, sizeof(struct hakperf_area), PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	if (p == MAP_FAILED)
		return NULL;
	struct hakperf_area *area = (struct hakperf_area *)p;
	if (area->request.magic != HAKPERF_MAGIC || area->request.version != HAKPERF_VERSION ||
	    area->request.area_bytes != sizeof(struct hakperf_area) || area->request.n_events > HAKPERF_EVENTS) {
		munmap(p, sizeof(struct hakperf_area));
		return NULL;
	}
	return area;
}

/* splitmix64 (Steele, Lea, Flood 2014): start-up sizes need no more. */
static inline uint64_t hakperf_splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline void hakperf_startup(struct hakperf_area *area)
{
	uint64_t seed = area->request.startup_seed;
	for (uint32_t i = 0; i < area->request.startup_allocations; i++) {
		void **block = (void **)malloc(16 + hakperf_splitmix(&seed) % 1008);
		if (!block)
			return;
		*block = hakperf_roi_state.startup;
		hakperf_roi_state.startup = block;
		area->process.startup_done = i + 1;
	}
}

#define HAKPERF_ROI_COLD 1u /* the region begins with the program's first allocation: make none before it */

/* Meet the harness. Call once before threads start; flags: HAKPERF_ROI_COLD or 0. Later calls do nothing. */
static inline void hakperf_roi_init(unsigned flags)
{
	struct hakperf_roi_state *s = &hakperf_roi_state;
	uint32_t expected = 0;
	if (__atomic_load_n(&s->done, __ATOMIC_ACQUIRE) == 1)
		return;
	if (!__atomic_compare_exchange_n(&s->done, &expected, 2, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		while (__atomic_load_n(&s->done, __ATOMIC_ACQUIRE) != 1)
			; /* another thread is at it, for microseconds */
		return;
	}
	s->area = hakperf_attach();
	s->cold = flags & HAKPERF_ROI_COLD;
	if (s->area) {
		struct hakperf_process *process = &s->area->process;
		process->attached = 1;
		process->pid = (int32_t)getpid();
		process->valgrind = (uint32_t)(hakperf_valgrind(0, HAKPERF_VALGRIND_RUNNING) != 0);
		process->cold = s->cold;
		process->libc_heap_bytes = HAKPERF_UNKNOWN;
		if (!s->cold) {
			hakperf_prove(process);
			hakperf_startup(s->area);
		}
	}
	__atomic_store_n(&s->done, 1, __ATOMIC_RELEASE);
}

/* The request, or NULL without a harness. */
static inline const struct hakperf_request *hakperf_roi_request(void)
{
	hakperf_roi_init(0);
	return hakperf_roi_state.area ? &hakperf_roi_state.area->request : NULL;
}

/* What the harness asks for in place of the program's own number. */
static inline uint64_t hakperf_roi_operations(uint64_t own)
{
	const struct hakperf_request *q = hakperf_roi_state.area ? &hakperf_roi_state.area->request : NULL;
	return q ? (q->operations ? q->operations : own) * (q->multiplier ? q->multiplier : 1) : own;
}

static inline uint64_t hakperf_roi_warmup(uint64_t own)
{
	const struct hakperf_request *q = hakperf_roi_state.area ? &hakperf_roi_state.area->request : NULL;
	return q && q->warmup != HAKPERF_UNKNOWN ? q->warmup : own;
}

static inline uint64_t hakperf_roi_seed(uint64_t own)
{
	const struct hakperf_request *q = hakperf_roi_state.area ? &hakperf_roi_state.area->request : NULL;
	return q && q->has_seed ? q->seed : own;
}

static inline void hakperf_events_open(struct hakperf_roi *r, const struct hakperf_request *q)
{
	int leader = -1;
	for (uint32_t i = 0; i < q->n_events; i++) {
		struct perf_event_attr attr;
		int first = i == 0 || q->event[i].group != q->event[i - 1].group;
		memset(&attr, 0, sizeof(attr));
		memcpy(&attr, q->event[i].attr, sizeof(attr) < HAKPERF_ATTR ? sizeof(attr) : HAKPERF_ATTR);
		if (first)
			leader = -1;
		attr.disabled = leader < 0;
		attr.pinned = leader < 0 ? attr.pinned : 0;
		attr.inherit = 0;
		attr.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
		r->fd[i] = (int)syscall(SYS_perf_event_open, &attr, 0, -1, leader, PERF_FLAG_FD_CLOEXEC);
		r->record.event[i].open_errno = r->fd[i] < 0 ? errno : 0;
		r->leads[i] = r->fd[i] >= 0 && leader < 0;
		if (r->leads[i])
			leader = r->fd[i];
	}
	r->record.n_events = q->n_events;
	/* Enabled once and read at both ends: on some kernels a group of events of two kinds does not run again after
	 * it was disabled. */
	for (uint32_t i = 0; i < q->n_events; i++)
		if (r->leads[i])
			ioctl(r->fd[i], PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP);
}

static inline void hakperf_events_read(struct hakperf_roi *r, struct hakperf_event *out)
{
	for (uint32_t i = 0; i < r->record.n_events; i++) {
		/* perf_event_open(2), "Reading results": value, time_enabled, time_running. */
		uint64_t v[3] = { 0, 0, 0 };
		ssize_t n = r->fd[i] < 0 ? 0 : read(r->fd[i], v, sizeof(v));
		out[i].value = v[0];
		out[i].enabled_ns = v[1];
		out[i].running_ns = v[2];
		if (r->fd[i] >= 0 && n != (ssize_t)sizeof(v))
			r->record.event[i].read_errno = n < 0 ? errno : EIO;
	}
}

static inline void hakperf_bracket_open(struct hakperf_roi *r)
{
	hakperf_events_read(r, r->before);
	r->cpu0 = hakperf_clock(CLOCK_THREAD_CPUTIME_ID);
	r->wall0 = hakperf_clock(CLOCK_MONOTONIC);
	r->tsc0 = hakperf_tsc();
}

static inline void hakperf_bracket_close(struct hakperf_roi *r)
{
	r->record.tsc = hakperf_tsc() - r->tsc0;
	r->record.end_ns = hakperf_clock(CLOCK_MONOTONIC);
	r->record.cpu_ns = hakperf_clock(CLOCK_THREAD_CPUTIME_ID) - r->cpu0;
	hakperf_events_read(r, r->after);
	r->record.begin_ns = r->wall0;
	r->record.wall_ns = r->record.end_ns - r->wall0;
}

static inline void hakperf_bracket_measure(struct hakperf_roi *r)
{
	for (int k = 0; k < HAKPERF_BRACKET_TRIES; k++) {
		hakperf_bracket_open(r);
		hakperf_bracket_close(r);
		for (uint32_t i = 0; i < r->record.n_events; i++) {
			uint64_t d = r->after[i].value - r->before[i].value;
			if (k == 0 || d < r->record.event[i].bracket)
				r->record.event[i].bracket = d;
		}
		if (k == 0 || r->record.wall_ns < r->record.wall_bracket_ns)
			r->record.wall_bracket_ns = r->record.wall_ns;
		if (k == 0 || r->record.cpu_ns < r->record.cpu_bracket_ns)
			r->record.cpu_bracket_ns = r->record.cpu_ns;
		if (k == 0 || r->record.tsc < r->record.tsc_bracket)
			r->record.tsc_bracket = r->record.tsc;
	}
}

/* The record for this track, or a new one; NULL when all are taken. */
static inline struct hakperf_record *hakperf_claim(struct hakperf_area *area, uint32_t track)
{
	uint32_t n = __atomic_load_n(&area->process.claimed, __ATOMIC_ACQUIRE);
	for (uint32_t i = 0; track && i < n && i < HAKPERF_RECORDS; i++)
		if (area->record[i].state != HAKPERF_FREE && area->record[i].track == track)
			return &area->record[i];
	n = __atomic_fetch_add(&area->process.claimed, 1, __ATOMIC_ACQ_REL);
	if (n >= HAKPERF_RECORDS)
		return NULL;
	area->record[n].track = track;
	__atomic_store_n(&area->record[n].state, HAKPERF_CLAIMED, __ATOMIC_RELEASE);
	return &area->record[n];
}

static inline void hakperf_roi_prepare(struct hakperf_roi *r)
{
	hakperf_roi_init(0);
	memset(&r->record, 0, sizeof(r->record));
	r->record.track = r->track;
	r->slot = NULL;
	r->prepared = 1;
	struct hakperf_area *area = hakperf_roi_state.area;
	if (!area)
		return;
	r->slot = hakperf_claim(area, r->track);
	r->record.tid = (int32_t)syscall(SYS_gettid);
	uint64_t peak;
	hakperf_rss(&peak, &r->record.begin_rss_bytes);
	if (area->process.valgrind)
		return;
	if (area->request.n_events)
		hakperf_events_open(r, &area->request);
	hakperf_bracket_measure(r);
	r->record.chain_cycles = HAKPERF_CHAIN_CYCLES;
	r->record.chain_before_tsc = hakperf_chain_tsc();
}

static inline void hakperf_roi_begin(struct hakperf_roi *r)
{
	if (!r->prepared)
		hakperf_roi_prepare(r);
	if (r->slot)
		getrusage(HAKPERF_RUSAGE_THREAD, &r->usage);
	hakperf_bracket_open(r);
	hakperf_valgrind_inside(1);
}

static inline uint64_t hakperf_time_ns(struct timeval a, struct timeval b)
{
	return (uint64_t)((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_usec - a.tv_usec)) * 1000u;
}

/* Add one region to a record; the first one fills it. */
static inline void hakperf_publish(struct hakperf_record *to, const struct hakperf_record *from)
{
	if (!to->regions)
		to->begin_ns = from->begin_ns;
	to->tid = from->tid;
	to->regions += 1;
	to->end_ns = from->end_ns;
	to->wall_ns += from->wall_ns;
	to->wall_bracket_ns += from->wall_bracket_ns;
	to->cpu_ns += from->cpu_ns;
	to->cpu_bracket_ns += from->cpu_bracket_ns;
	to->tsc += from->tsc;
	to->tsc_bracket += from->tsc_bracket;
	to->chain_cycles += from->chain_cycles;
	to->chain_before_tsc += from->chain_before_tsc;
	to->chain_after_tsc += from->chain_after_tsc;
	to->operations += from->operations;
	to->checksum += from->checksum;
	to->minor_faults += from->minor_faults;
	to->major_faults += from->major_faults;
	to->voluntary_switches += from->voluntary_switches;
	to->involuntary_switches += from->involuntary_switches;
	to->user_ns += from->user_ns;
	to->sys_ns += from->sys_ns;
	if (from->peak_rss_bytes > to->peak_rss_bytes)
		to->peak_rss_bytes = from->peak_rss_bytes;
	to->end_rss_bytes = from->end_rss_bytes;
	to->begin_rss_bytes = to->begin_rss_bytes ? to->begin_rss_bytes : from->begin_rss_bytes;
	to->n_events = from->n_events;
	for (uint32_t i = 0; i < from->n_events; i++) {
		to->event[i].value += from->event[i].value;
		to->event[i].bracket += from->event[i].bracket;
		to->event[i].enabled_ns += from->event[i].enabled_ns;
		to->event[i].running_ns += from->event[i].running_ns;
		if (!to->event[i].open_errno)
			to->event[i].open_errno = from->event[i].open_errno;
		if (!to->event[i].read_errno)
			to->event[i].read_errno = from->event[i].read_errno;
	}
	__atomic_store_n(&to->state, HAKPERF_DONE, __ATOMIC_RELEASE);
}

/* operations: what the region did, in the program's own unit; checksum: of what it did, 0 without one. */
static inline void hakperf_roi_end(struct hakperf_roi *r, uint64_t operations, uint64_t checksum)
{
	hakperf_valgrind_inside(0);
	hakperf_bracket_close(r);
	struct rusage now;
	if (r->slot)
		getrusage(HAKPERF_RUSAGE_THREAD, &now);
	r->prepared = 0;
	r->record.regions = 1;
	r->record.operations = operations;
	r->record.checksum = checksum;
	struct hakperf_area *area = hakperf_roi_state.area;
	if (!area)
		return;
	for (uint32_t i = 0; i < r->record.n_events; i++) {
		r->record.event[i].value = r->after[i].value - r->before[i].value;
		r->record.event[i].enabled_ns = r->after[i].enabled_ns - r->before[i].enabled_ns;
		r->record.event[i].running_ns = r->after[i].running_ns - r->before[i].running_ns;
		if (r->fd[i] >= 0)
			close(r->fd[i]);
	}
	if (r->record.chain_cycles)
		r->record.chain_after_tsc = hakperf_chain_tsc();
	hakperf_rss(&r->record.peak_rss_bytes, &r->record.end_rss_bytes);
	if (r->slot) {
		r->record.minor_faults = (uint64_t)(now.ru_minflt - r->usage.ru_minflt);
		r->record.major_faults = (uint64_t)(now.ru_majflt - r->usage.ru_majflt);
		r->record.voluntary_switches = (uint64_t)(now.ru_nvcsw - r->usage.ru_nvcsw);
		r->record.involuntary_switches = (uint64_t)(now.ru_nivcsw - r->usage.ru_nivcsw);
		r->record.user_ns = hakperf_time_ns(r->usage.ru_utime, now.ru_utime);
		r->record.sys_ns = hakperf_time_ns(r->usage.ru_stime, now.ru_stime);
		if (!area->process.proved)
			hakperf_prove(&area->process);
		area->process.libc_heap_bytes = hakperf_libc_heap();
		hakperf_publish(r->slot, &r->record);
	}
}
