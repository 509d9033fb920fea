/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "harness/profile.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>

/*
 * Records as harness/profile.c asks for them (perf_event_open(2)):
 *   sample: header, u64 ip, u32 pid, u32 tid, u64 time
 *   mmap2:  header, u32 pid, u32 tid, u64 begin, length, offset, 24 bytes of the inode, u32 prot,
 *           flags, path padded to 8 bytes; then u32 pid, u32 tid, u64 time
 *   fork:   header, u32 pid, parent, tid, parent's tid, u64 time; then as above
 *   lost:   header, u64 id, u64 lost, …
 */
#define HEADER sizeof(struct perf_event_header)
#define SAMPLE_BYTES (HEADER + 24)
#define MAP_PATH (HEADER + 64)
#define TRAILER 16

static uint64_t u64(const unsigned char *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t u32(const unsigned char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static void add_sample(struct profile_trace *t, const unsigned char *r)
{
	x_grow(t->samples, t->n_samples, t->cap_samples);
	t->samples[t->n_samples++] = (struct profile_sample){ .ip = u64(r + HEADER),
							      .pid = u32(r + HEADER + 8),
							      .tid = u32(r + HEADER + 12),
							      .time_ns = u64(r + HEADER + 16) };
}

static void add_map(struct profile_trace *t, const unsigned char *r, size_t size)
{
	const char *path = (const char *)r + MAP_PATH;
	size_t room = size - MAP_PATH - TRAILER;
	uint64_t begin = u64(r + HEADER + 8), length = u64(r + HEADER + 16);
	x_grow(t->maps, t->n_maps, t->cap_maps);
	t->maps[t->n_maps++] = (struct profile_map){ .pid = u32(r + HEADER),
						     .begin = begin,
						     .end = begin + length,
						     .offset = u64(r + HEADER + 24),
						     .time_ns = u64(r + size - 8),
						     .path = strndup(path, room) };
}

/* Threads are forks too, of the process itself. */
static void add_fork(struct profile_trace *t, const unsigned char *r)
{
	struct profile_fork f = { .pid = u32(r + HEADER), .parent = u32(r + HEADER + 4) };
	if (f.pid == f.parent)
		return;
	x_grow(t->forks, t->n_forks, t->cap_forks);
	t->forks[t->n_forks++] = f;
}

int profile_trace_add(struct profile_trace *t, const unsigned char *bytes, size_t n,
		      struct error *e)
{
	for (size_t at = 0; at < n;) {
		struct perf_event_header h;
		if (n - at >= HEADER)
			memcpy(&h, bytes + at, HEADER);
		if (n - at < HEADER || h.size < HEADER || h.size > n - at ||
		    (h.type == PERF_RECORD_SAMPLE && h.size < SAMPLE_BYTES) ||
		    (h.type == PERF_RECORD_LOST && h.size < HEADER + 16))
			return error_set(
				e, -EBADMSG,
				"the kernel's samples cannot be read: a record of %u bytes, type %u",
				n - at < HEADER ? 0 : h.size, n - at < HEADER ? 0 : h.type);
		if (h.type == PERF_RECORD_SAMPLE)
			add_sample(t, bytes + at);
		else if (h.type == PERF_RECORD_MMAP2 && h.size >= MAP_PATH + 8 + TRAILER)
			add_map(t, bytes + at, h.size);
		else if (h.type == PERF_RECORD_FORK && h.size >= HEADER + 8)
			add_fork(t, bytes + at);
		else if (h.type == PERF_RECORD_LOST)
			t->dropped += u64(bytes + at + HEADER + 8);
		else if (h.type == PERF_RECORD_THROTTLE)
			t->dropped++;
		at += h.size;
	}
	return 0;
}

void profile_trace_release(struct profile_trace *t)
{
	for (size_t i = 0; i < t->n_maps; i++)
		free(t->maps[i].path);
	free(t->maps), free(t->forks), free(t->samples);
	*t = (struct profile_trace){ 0 };
}

static const struct profile_map *own_map(const struct profile_trace *t, uint32_t pid,
					 const struct profile_sample *s)
{
	const struct profile_map *best = NULL;
	for (size_t i = 0; i < t->n_maps; i++) {
		const struct profile_map *m = &t->maps[i];
		if (m->pid == pid && m->begin <= s->ip && s->ip < m->end &&
		    m->time_ns <= s->time_ns && (!best || m->time_ns >= best->time_ns))
			best = m;
	}
	return best;
}

const struct profile_map *profile_map_of(const struct profile_trace *t,
					 const struct profile_sample *s)
{
	uint32_t pid = s->pid;
	const struct profile_map *m = own_map(t, pid, s);
	/* Each step uses a fork up, so that reused numbers end the search and do not turn it round.
	 */
	for (size_t i = t->n_forks; !m && i-- > 0;) {
		if (t->forks[i].pid != pid)
			continue;
		pid = t->forks[i].parent;
		m = own_map(t, pid, s);
	}
	return m;
}
