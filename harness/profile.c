/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/profile.h"

#include "base/buf.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * About 8,000 samples a second: primes, so that they keep no step with a loop. A ring is what an
 * unprivileged user may lock for each CPU.
 */
#define PERIOD_CYCLES 399989
#define PERIOD_NS 99991
#define RING_PAGES 128
#define FULL_BYTES 128 /* less than this is no room for a sample */
#define DROPPED_MAX 12

struct ring {
	int fd;
	void *memory;
	size_t bytes; /* of the data */
};

struct sampler {
	const struct counter_os *os;
	struct perf_event_attr attr;
	struct counter_event event;
	struct ring *rings;
	size_t n_rings;
	size_t pages;
};

/* File offsets to the addresses that its symbols have. */
struct segment {
	uint64_t offset, bytes, address;
};

static void close_rings(struct sampler *s)
{
	for (size_t i = 0; i < s->n_rings; i++) {
		if (s->rings[i].memory)
			munmap(s->rings[i].memory, s->rings[i].bytes + (size_t)getpagesize());
		s->os->close(s->os->ctx, s->rings[i].fd);
	}
	free(s->rings);
	s->rings = NULL;
	s->n_rings = 0;
}

/* -EPERM of mmap: more than the user may lock: a smaller ring does. */
static int map_ring(struct sampler *s, struct ring *r, struct error *e)
{
	size_t page = (size_t)getpagesize();
	for (;; s->pages /= 2) {
		r->bytes = s->pages * page;
		r->memory = mmap(NULL, r->bytes + page, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
				 0);
		if (r->memory != MAP_FAILED)
			return 0;
		r->memory = NULL;
		if (errno != EPERM || s->pages == 1)
			return error_errno(
				e, errno,
				"%s: no memory for samples ('sysctl kernel.perf_event_mlock_kb')",
				s->event.name);
	}
}

/*
 * On the calling thread, for what it starts from now on, from its exec: one event a CPU, since the
 * kernel gives inherited events no ring otherwise. cpu < 0: all.
 */
static int open_rings(struct sampler *s, int only_cpu, struct error *e)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	s->rings = x_calloc(cpus < 1 ? 1 : (size_t)cpus, sizeof(*s->rings));
	for (int cpu = 0; cpu < cpus; cpu++) {
		if (only_cpu >= 0 && cpu != only_cpu)
			continue;
		struct perf_event_attr a = s->attr;
		int fd = s->os->open(s->os->ctx, &a, 0, cpu, -1);
		if (fd == -ENODEV && only_cpu < 0)
			continue; /* it is off */
		if (fd < 0) {
			char advice[800];
			counter_advice(&s->event, -fd, s->os->paranoid(s->os->ctx), 1, advice,
				       sizeof(advice));
			return error_set(e, fd, "%s", advice);
		}
		s->rings[s->n_rings++] = (struct ring){ .fd = fd };
		int rc = map_ring(s, &s->rings[s->n_rings - 1], e);
		if (rc)
			return rc;
	}
	return s->n_rings ? 0 : error_set(e, -ENODEV, "no CPU to sample on");
}

static struct perf_event_attr sampling(const struct counter_event *ev, uint64_t period)
{
	struct perf_event_attr a = ev->attr;
	a.disabled = 1;
	a.pinned = 0;
	a.inherit = 1;
	a.enable_on_exec = 1;
	a.exclude_kernel = 1;
	a.exclude_hv = 1;
	a.read_format = 0;
	a.sample_period = period;
	a.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME;
	a.sample_id_all = 1;
	a.mmap = 1;
	a.mmap2 = 1;
	a.task = 1;
	a.use_clockid = 1;
	a.clockid = CLOCK_MONOTONIC;
	return a;
}

/* Does such an event open, with memory for its samples? Leaves nothing open. */
static int try(struct sampler *s, int only_cpu, struct error *e)
{
	int rc = open_rings(s, only_cpu, e);
	close_rings(s);
	return rc;
}

static int choose_event(struct sampler *s, int only_cpu, struct profile *out, struct error *e)
{
	struct error why = { 0 };
	int rc = counter_encode("cycles", false, &s->event, &why);
	for (int precise = 3; !rc && precise >= 0; precise--) {
		error_clear(&why);
		s->attr = sampling(&s->event, PERIOD_CYCLES);
		s->attr.precise_ip = (unsigned)precise & 3u;
		out->precise = (unsigned)precise;
		out->period = PERIOD_CYCLES;
		if (!try(s, only_cpu, &why))
			goto found;
	}
	out->why = x_strdup(why.text);
	out->precise = 0;
	out->period = PERIOD_NS;
	rc = counter_encode("cpu-clock", false, &s->event, e);
	s->attr = sampling(&s->event, PERIOD_NS);
	if (!rc)
		rc = try(s, only_cpu, e);
found:
	snprintf(out->event, sizeof(out->event), "%s", s->event.name);
	return out->why ? rc : 0;
}

/* Everything that lies in the rings, oldest first within each. */
static int drain(struct sampler *s, struct profile_trace *t, struct error *e)
{
	int rc = 0;
	for (size_t i = 0; i < s->n_rings && !rc; i++) {
		struct ring *r = &s->rings[i];
		struct perf_event_mmap_page *page = r->memory;
		const unsigned char *data = (const unsigned char *)r->memory + getpagesize();
		uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
		uint64_t tail = page->data_tail, n = head - tail;
		if (n > r->bytes)
			return error_set(e, -EBADMSG,
					 "the kernel's samples cannot be read: %llu bytes in a "
					 "ring of %zu",
					 (unsigned long long)n, r->bytes);
		unsigned char *all = x_calloc(n + 1, 1);
		size_t from = tail % r->bytes, first = n < r->bytes - from ? n : r->bytes - from;
		memcpy(all, data + from, first);
		memcpy(all + first, data, n - first);
		__atomic_store_n(&page->data_tail, head, __ATOMIC_RELEASE);
		rc = profile_trace_add(t, all, n, e);
		/* The kernel tells what it dropped by its next record; none comes into a full ring.
		 */
		t->dropped += r->bytes - n < FULL_BYTES;
		free(all);
	}
	return rc;
}

static bool in_region(const struct run_result *r, const struct profile_sample *s)
{
	for (size_t i = 0; i < r->n_records; i++) {
		const struct hakperf_record *d = &r->records[i];
		/* Tracks are worked on by whichever thread has the turn. */
		if ((d->track || (uint32_t)d->tid == s->tid) && d->begin_ns <= s->time_ns &&
		    s->time_ns <= d->end_ns)
			return true;
	}
	return !r->n_records;
}

/* Loadable segments of a file; none when it is not one. Caller frees. */
static struct segment *segments_of(const char *path, size_t *n)
{
	struct segment *list = NULL;
	size_t count = 0;
	*n = 0;
	int fd = path[0] == '/' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return NULL;
	elf_version(EV_CURRENT);
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf && !elf_getphdrnum(elf, &count)) {
		list = x_calloc(count + 1, sizeof(*list));
		for (size_t i = 0; i < count; i++) {
			GElf_Phdr ph;
			if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD)
				list[(*n)++] =
					(struct segment){ ph.p_offset, ph.p_filesz, ph.p_vaddr };
		}
	}
	elf_end(elf);
	close(fd);
	return list;
}

static size_t object_of(struct profile *p, const char *path)
{
	for (size_t i = 0; i < p->n_objects; i++)
		if (!strcmp(p->objects[i], path))
			return i;
	p->objects = x_realloc(p->objects, p->n_objects + 1, sizeof(*p->objects));
	p->objects[p->n_objects] = x_strdup(path);
	return p->n_objects++;
}

/* Segments by map: a program has few, and thousands of samples ask. */
struct located {
	struct segment *segments;
	size_t n;
	bool asked;
};

static bool locate(const struct profile_map *m, struct located *where, uint64_t ip,
		   uint64_t *address)
{
	if (!where->asked) {
		where->segments = segments_of(m->path, &where->n);
		where->asked = true;
	}
	uint64_t offset = ip - m->begin + m->offset;
	for (size_t i = 0; i < where->n; i++) {
		const struct segment *g = &where->segments[i];
		if (offset < g->offset || offset - g->offset >= g->bytes)
			continue;
		*address = offset - g->offset + g->address;
		return true;
	}
	return false;
}

static void take(struct profile *p, const struct profile_trace *t, const struct run_result *r,
		 size_t *cap)
{
	struct located *where = x_calloc(t->n_maps + 1, sizeof(*where));
	for (size_t i = 0; i < t->n_samples; i++) {
		const struct profile_sample *s = &t->samples[i];
		if (!in_region(r, s)) {
			p->outside++;
			continue;
		}
		p->samples++;
		const struct profile_map *m = profile_map_of(t, s);
		struct profile_place place = { .samples = 1 };
		if (!m || !locate(m, &where[m - t->maps], s->ip, &place.address)) {
			p->unmapped++;
			continue;
		}
		place.object = object_of(p, m->path);
		x_grow(p->places, p->n_places, *cap);
		p->places[p->n_places++] = place;
	}
	for (size_t i = 0; i < t->n_maps; i++)
		free(where[i].segments);
	free(where);
}

static int by_address(const void *x, const void *y)
{
	const struct profile_place *a = x, *b = y;
	if (a->object != b->object)
		return a->object < b->object ? -1 : 1;
	return a->address < b->address ? -1 : a->address > b->address;
}

static void merge(struct profile *p)
{
	size_t n = 0;
	if (p->n_places)
		qsort(p->places, p->n_places, sizeof(*p->places), by_address);
	for (size_t i = 0; i < p->n_places; i++) {
		if (n && !by_address(&p->places[n - 1], &p->places[i]))
			p->places[n - 1].samples += p->places[i].samples;
		else
			p->places[n++] = p->places[i];
	}
	p->n_places = n;
}

/* One run. *used: its samples are whole and in *p. */
static int sample_once(struct sampler *s, const struct run_spec *spec, struct profile *p,
		       size_t *cap, bool *used, struct error *e)
{
	struct profile_trace t = { 0 };
	struct run_result r = { 0 };
	*used = false;
	int rc = open_rings(s, (int)spec->cpu_plus_1 - 1, e);
	if (!rc)
		rc = run_once(spec, &r, e);
	if (!rc && r.outcome != RUN_OK)
		rc = error_set(e, -ENODATA, "%s: %s", run_outcome_name(r.outcome), r.why);
	if (!rc)
		rc = drain(s, &t, e);
	if (!rc && !t.dropped) {
		take(p, &t, &r, cap);
		*used = true;
	}
	close_rings(s);
	profile_trace_release(&t);
	run_release(&r);
	return rc;
}

int profile_run_in(const struct run_spec *spec, const struct counter_os *os, size_t pages,
		   double seconds, uint64_t enough, struct profile *out, struct error *e)
{
	assert(!spec->n_events);
	struct sampler s = { .os = os, .pages = pages };
	uint64_t began = clock_mono_ns();
	size_t cap = 0;
	unsigned dropped = 0;
	*out = (struct profile){ 0 };
	int rc = choose_event(&s, (int)spec->cpu_plus_1 - 1, out, e);
	while (!rc && (!out->runs || (out->samples < enough &&
				      (double)(clock_mono_ns() - began) * 1e-9 < seconds))) {
		bool used;
		rc = sample_once(&s, spec, out, &cap, &used, e);
		if (used)
			out->runs++;
		else if (!rc && dropped++ == DROPPED_MAX)
			rc = error_set(e, -EIO, "%s: the kernel drops samples, run after run",
				       out->event);
		else if (!out->runs)
			s.attr.sample_period = out->period *= 2;
	}
	if (rc)
		profile_release(out);
	else
		merge(out);
	return rc;
}

int profile_run(const struct run_spec *spec, const struct counter_os *os, double seconds,
		uint64_t enough, struct profile *out, struct error *e)
{
	return profile_run_in(spec, os, RING_PAGES, seconds, enough, out, e);
}

int profile_try(const struct counter_os *os, struct profile *out, struct error *e)
{
	struct sampler s = { .os = os, .pages = 1 };
	*out = (struct profile){ 0 };
	int rc = choose_event(&s, -1, out, e);
	if (rc)
		profile_release(out);
	return rc;
}

void profile_release(struct profile *p)
{
	for (size_t i = 0; i < p->n_objects; i++)
		free(p->objects[i]);
	free(p->objects), free(p->places), free(p->why);
	*p = (struct profile){ 0 };
}
