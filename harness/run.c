/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/run.h"

#include "harness/opened.h"
#include "harness/tsc.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_TOLERANCE 0.02 /* the program's own line against its record */
#define LINE_ROUNDING_S 2e-6
#define CHAIN_SPREAD_MAX 0.05

const char *run_outcome_name(enum run_outcome o)
{
	static const char *const names[RUN_OUTCOMES] = {
		[RUN_OK] = "ok",
		[RUN_NOT_STARTED] = "not started",
		[RUN_CRASHED] = "crashed",
		[RUN_FAILED] = "failed",
		[RUN_TIMED_OUT] = "timed out",
		[RUN_NOT_INTERPOSING] = "not interposing",
		[RUN_FELL_BACK] = "fell back to libc",
		[RUN_NO_RECORD] = "no record",
		[RUN_NO_CHECKSUM] = "no checksum",
		[RUN_GARBAGE] = "garbage",
		[RUN_NO_FIGURE] = "no figure",
	};
	return names[o];
}

bool run_parse_throughput(const char *text, double *ops_per_s, double *seconds)
{
	for (const char *at = text; (at = strstr(at, "Throughput = ")) != NULL; at++) {
		static const char middle[] = " operations per second, relative time: ";
		char *end;
		double ops = strtod(at + strlen("Throughput = "), &end);
		if (end == at + strlen("Throughput = ") || strncmp(end, middle, strlen(middle)) != 0)
			continue;
		const char *second = end + strlen(middle);
		double s = strtod(second, &end);
		/* The case's line has no space before the unit in some versions. */
		if (end == second || (strncmp(end, " s.", 3) != 0 && strncmp(end, "s.", 2) != 0))
			continue;
		*ops_per_s = ops;
		*seconds = s;
		return true;
	}
	return false;
}

bool run_parse_checksum(const char *text, uint64_t *checksum)
{
	static const char name[] = "Checksum = ";
	for (const char *at = text; (at = strstr(at, name)) != NULL; at++) {
		const char *hex = at + strlen(name);
		size_t n = strspn(hex, "0123456789abcdefABCDEF");
		if ((at != text && at[-1] != '\n') || n == 0 || n > 16 || (hex[n] != '\n' && hex[n] != '\0'))
			continue;
		*checksum = strtoull(hex, NULL, 16);
		return true;
	}
	return false;
}

static size_t count(const char *const *list)
{
	size_t n = 0;
	while (list && list[n])
		n++;
	return n;
}

static bool names(const char *pair, const char *name)
{
	size_t n = strlen(name);
	return strncmp(pair, name, n) == 0 && pair[n] == '=';
}

/* What the harness itself sets may not come from outside: it would change what is measured, unseen. */
static int check_env(const char *const *env, struct error *e)
{
	static const char *const ours[] = { "LD_PRELOAD", "LD_BIND_NOW", "HAKPERF_FD", "HAKPERF_PAD" };
	for (size_t i = 0; env && env[i]; i++) {
		if (!strchr(env[i], '=') || env[i][0] == '=')
			return error_set(e, -EINVAL, "environment '%s': must be NAME=value", env[i]);
		for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++)
			if (names(env[i], ours[k]))
				return error_set(e, -EINVAL, "environment '%s': %s is set by the harness, leave it out", env[i],
						 ours[k]);
	}
	return 0;
}

static int check_subject(const struct run_spec *spec, struct run_prepared *p, struct error *e)
{
	struct stat st;
	if (!spec->subject)
		return 0;
	if (spec->subject[0] != '/')
		return error_set(e, -EINVAL, "subject %s: must be an absolute path", spec->subject);
	if (spec->kind == RUN_PRELOAD && strpbrk(spec->subject, " :"))
		return error_set(e, -EINVAL, "subject %s: the loader takes no path with a space or a colon, move it", spec->subject);
	if (stat(spec->subject, &st) < 0)
		return error_errno(e, errno, "subject %s", spec->subject);
	p->subject_device = st.st_dev;
	p->subject_inode = st.st_ino;
	return 0;
}

static int make_area(const struct run_spec *spec, struct run_prepared *p, struct error *e)
{
	p->fd = memfd_create("hakperf", MFD_CLOEXEC);
	if (p->fd < 0 || ftruncate(p->fd, sizeof(*p->area)) < 0)
		return error_errno(e, errno, "no shared memory for the workload's record: memfd_create");
	void *m = mmap(NULL, sizeof(*p->area), PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	if (m == MAP_FAILED)
		return error_errno(e, errno, "no shared memory for the workload's record: mmap");
	p->area = m;
	struct hakperf_request *q = &p->area->request;
	*q = (struct hakperf_request){
		.magic = HAKPERF_MAGIC,
		.version = HAKPERF_VERSION,
		.area_bytes = sizeof(*p->area),
		.n_events = (uint32_t)spec->n_events,
		.startup_allocations = spec->startup_allocations,
		.startup_seed = spec->startup_seed,
		.operations = spec->operations,
		.multiplier = spec->multiplier,
		.warmup = spec->has_warmup ? spec->warmup : HAKPERF_UNKNOWN,
		.has_seed = spec->has_seed,
		.seed = spec->seed,
	};
	for (size_t i = 0; i < spec->n_events; i++) {
		q->event[i].group = spec->events[i].group;
		memcpy(q->event[i].attr, &spec->events[i].attr, sizeof(spec->events[i].attr));
	}
	return 0;
}

static void make_env(const struct run_spec *spec, struct run_prepared *p)
{
	static const char *const fixed[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC" };
	const size_t n_fixed = sizeof(fixed) / sizeof(fixed[0]);
	size_t n = 0;
	p->env = x_calloc(count(spec->env) + count(spec->wrapper_env) + n_fixed + 5, sizeof(*p->env));
	p->env[n++] = x_strdup("LD_BIND_NOW=1");
	p->env[n++] = x_printf("HAKPERF_FD=%d", p->fd);
	if (spec->kind == RUN_PRELOAD && spec->subject)
		p->env[n++] = x_printf("LD_PRELOAD=%s", spec->subject);
	for (size_t i = 0; spec->env && spec->env[i]; i++)
		p->env[n++] = x_strdup(spec->env[i]);
	for (size_t i = 0; spec->wrapper_env && spec->wrapper_env[i]; i++)
		p->env[n++] = x_strdup(spec->wrapper_env[i]);
	for (size_t i = 0; i < n_fixed; i++) {
		size_t name = strcspn(fixed[i], "="), k = 0;
		while (k < n && strncmp(p->env[k], fixed[i], name + 1) != 0)
			k++;
		if (k == n)
			p->env[n++] = x_strdup(fixed[i]);
	}
	/* Always there, so that 0 bytes differ from 1 by one byte. */
	char *pad = x_calloc(spec->env_padding + 1, 1);
	memset(pad, 'x', spec->env_padding);
	p->env[n++] = x_printf("HAKPERF_PAD=%s", pad);
	free(pad);
}

static void make_argv(const struct run_spec *spec, struct run_prepared *p)
{
	size_t w = count(spec->wrapper), n = count(spec->argv);
	p->argv = x_calloc(w + n + 1, sizeof(*p->argv));
	for (size_t i = 0; i < w; i++)
		p->argv[i] = x_strdup(spec->wrapper[i]);
	for (size_t i = 0; i < n; i++)
		p->argv[w + i] = x_strdup(spec->argv[i]);
}

int run_prepare(const struct run_spec *spec, struct run_prepared *p, struct error *e)
{
	assert(spec->argv && spec->argv[0]);
	assert(spec->n_events <= HAKPERF_EVENTS);
	static_assert(sizeof(struct perf_event_attr) <= HAKPERF_ATTR, "a newer kernel's attribute needs more room");
	*p = (struct run_prepared){ .spec = spec, .fd = -1, .watch = -1 };
	int rc = check_env(spec->env, e);
	if (!rc)
		rc = check_env(spec->wrapper_env, e);
	if (!rc)
		rc = check_subject(spec, p, e);
	if (!rc)
		rc = make_area(spec, p, e);
	if (rc) {
		run_prepared_release(p);
		return rc;
	}
	make_env(spec, p);
	make_argv(spec, p);
	if (spec->kind == RUN_PRELOAD && spec->subject)
		p->watch = opened_watch(spec->subject);
	p->child = (struct child_spec){
		.argv = (const char *const *)p->argv,
		.env = (const char *const *)p->env,
		.cwd = spec->cwd,
		.timeout_ns = spec->timeout_ns,
		.cpu = (int)spec->cpu_plus_1 - 1,
		.pass_fd = p->fd,
	};
	return 0;
}

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

void run_prepared_release(struct run_prepared *p)
{
	if (p->area)
		munmap(p->area, sizeof(*p->area));
	if (p->spec && p->fd >= 0)
		close(p->fd);
	if (p->spec)
		opened_since(p->watch);
	free_list(p->argv);
	free_list(p->env);
	*p = (struct run_prepared){ .fd = -1, .watch = -1 };
}

/* The first judgement stands. */
static void __attribute__((format(printf, 3, 4))) judge(struct run_result *r, enum run_outcome o, const char *fmt, ...)
{
	va_list args;
	if (r->outcome != RUN_OK)
		return;
	r->outcome = o;
	va_start(args, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, args);
	va_end(args);
	for (char *c = r->why; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}

/* The last line that is not empty: where programs say why they end. Cut to what a message can hold. */
static void last_line(const struct buf *b, char *out, size_t size)
{
	size_t end = b->len;
	while (end && (b->data[end - 1] == '\n' || b->data[end - 1] == ' '))
		end--;
	size_t begin = end;
	while (begin && b->data[begin - 1] != '\n')
		begin--;
	snprintf(out, size, "%.*s", (int)(end - begin < 200 ? end - begin : 200), begin < end ? b->data + begin : "");
}

static void judge_child(const struct run_prepared *p, const struct child_result *c, struct run_result *r)
{
	static const enum run_outcome as[] = {
		[CHILD_SIGNALLED] = RUN_CRASHED,
		[CHILD_TIMED_OUT] = RUN_TIMED_OUT,
		[CHILD_NOT_STARTED] = RUN_NOT_STARTED,
	};
	struct buf text = { 0 };
	char line[256];
	if (c->outcome == CHILD_EXITED && c->status == 0)
		return;
	child_describe(c, &text);
	last_line(&r->err, line, sizeof(line));
	judge(r, c->outcome == CHILD_EXITED ? RUN_FAILED : as[c->outcome], "%.100s: %s%s%s", p->argv[0], buf_str(&text), *line ? ": " : "",
	      line);
	buf_release(&text);
}

static void judge_owners(const struct run_prepared *p, struct run_result *r)
{
	static const char *const functions[HAKPERF_OWNED] = HAKPERF_OWNED_NAMES;
	const struct hakperf_process *process = &p->area->process;
	const struct run_spec *spec = p->spec;
	if (spec->kind == RUN_EXEC || !spec->subject || !process->proved)
		return;
	for (int i = 0; i < HAKPERF_OWNED; i++) {
		const struct hakperf_owner *o = &process->owner[i];
		if (o->device == p->subject_device && o->inode == p->subject_inode && o->inode)
			continue;
		char line[256];
		last_line(&r->err, line, sizeof(line));
		judge(r, RUN_NOT_INTERPOSING, "%s resolves into %.150s, not into %.150s%s%s", functions[i],
		      o->path[0] ? o->path : "nothing", spec->subject, strstr(line, "ld.so") ? ": " : "", strstr(line, "ld.so") ? line : "");
		return;
	}
	r->proved = true;
	if (process->libc_heap_bytes != HAKPERF_UNKNOWN && process->libc_heap_bytes && !spec->libc_heap_allowed)
		judge(r, RUN_FELL_BACK, "the C library's own malloc holds %llu bytes although %.200s owns its names",
		      (unsigned long long)process->libc_heap_bytes, spec->subject);
}

/* Programs that cannot tell who owns malloc in them: the loader must have opened the library, and not have left it out again. */
static void judge_loaded(struct run_prepared *p, struct run_result *r)
{
	const struct run_spec *spec = p->spec;
	if (spec->kind != RUN_PRELOAD || !spec->subject || p->area->process.proved)
		return;
	int opened = opened_since(p->watch);
	p->watch = -1;
	if (!opened)
		judge(r, RUN_NOT_INTERPOSING, "no process of %.150s loaded %.150s: a static or set-uid program, or one whose environment is cleared before it",
		      p->argv[0], spec->subject);
	const char *refused = strstr(buf_str(&r->err), "cannot be preloaded");
	if (!refused)
		return;
	const char *text = buf_str(&r->err), *begin = refused;
	while (begin > text && begin[-1] != '\n')
		begin--;
	judge(r, RUN_NOT_INTERPOSING, "%.*s", (int)strcspn(begin, "\n"), begin);
}

/* Does this record say something that cannot be? NULL when not. */
static const char *impossible(const struct hakperf_record *d, uint64_t process_wall_ns, size_t n_events, bool valgrind)
{
	if (!d->regions || !d->wall_ns || d->end_ns < d->begin_ns)
		return "a region without duration";
	if (d->wall_ns > d->end_ns - d->begin_ns || d->end_ns - d->begin_ns > process_wall_ns)
		return "a region longer than the process";
	/* CPU time may run ahead of the wall by a tick of the kernel's accounting. */
	if (d->cpu_ns > d->wall_ns + d->wall_ns / 20 + d->regions * UINT64_C(4000000))
		return "more CPU time than time in one thread";
	if (!d->operations)
		return "a region without operations";
	if (d->n_events != (valgrind ? 0 : n_events))
		return "other events than asked for";
	return NULL;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static double spread(uint64_t a, uint64_t b)
{
	uint64_t lo = a < b ? a : b, hi = a < b ? b : a;
	return lo ? (double)(hi - lo) / (double)lo : 0;
}

static void sum_events(const struct hakperf_record *d, struct run_result *r)
{
	for (size_t i = 0; i < r->n_events; i++) {
		const struct hakperf_event *v = &d->event[i];
		struct run_event *s = &r->event[i];
		s->counted = s->counted && !v->open_errno && !v->read_errno && v->enabled_ns && v->enabled_ns == v->running_ns;
		s->raw += v->value;
		s->bracket += v->bracket;
		s->value += less(v->value, v->bracket);
		s->enabled_ns += v->enabled_ns;
		s->running_ns += v->running_ns;
		s->open_errno = s->open_errno ? s->open_errno : v->open_errno;
		s->read_errno = s->read_errno ? s->read_errno : v->read_errno;
	}
}

/* core_cycles_est of one record: its CPU time in reference ticks, scaled by the chain beside it. Preempted time does not count. */
static bool core_cycles(const struct hakperf_record *d, double *cycles)
{
	if (!d->tsc || !d->chain_before_tsc || !d->chain_after_tsc)
		return false;
	double ticks = (double)less(d->cpu_ns, d->cpu_bracket_ns) * (double)d->tsc / (double)d->wall_ns;
	return tsc_core_cycles((uint64_t)ticks, d->chain_cycles, d->chain_before_tsc, d->chain_after_tsc, CHAIN_SPREAD_MAX,
			       cycles);
}

static void sum_records(struct run_result *r)
{
	uint64_t begin = UINT64_MAX, end = 0, longest_track = 0;
	bool cycles_known = true;
	for (size_t i = 0; i < r->n_events; i++)
		r->event[i].counted = true;
	for (size_t i = 0; i < r->n_records; i++) {
		const struct hakperf_record *d = &r->records[i];
		uint64_t wall_ns = less(d->wall_ns, d->wall_bracket_ns);
		double cycles = 0;
		if (d->track) {
			longest_track = wall_ns > longest_track ? wall_ns : longest_track;
		} else {
			begin = d->begin_ns < begin ? d->begin_ns : begin;
			end = d->end_ns - d->wall_bracket_ns > end ? d->end_ns - d->wall_bracket_ns : end;
		}
		r->operations += d->operations;
		r->checksum += d->checksum;
		r->cpu_ns += less(d->cpu_ns, d->cpu_bracket_ns);
		r->tsc += less(d->tsc, d->tsc_bracket);
		cycles_known = cycles_known && core_cycles(d, &cycles);
		r->core_cycles_est += cycles;
		double s = spread(d->chain_before_tsc, d->chain_after_tsc);
		r->chain_spread = s > r->chain_spread ? s : r->chain_spread;
		r->minor_faults += d->minor_faults;
		r->major_faults += d->major_faults;
		r->voluntary_switches += d->voluntary_switches;
		r->involuntary_switches += d->involuntary_switches;
		r->user_ns += d->user_ns;
		r->sys_ns += d->sys_ns;
		if (d->peak_rss_bytes >= r->peak_rss_bytes) {
			r->peak_rss_bytes = d->peak_rss_bytes;
			r->end_rss_bytes = d->end_rss_bytes;
		}
		sum_events(d, r);
	}
	uint64_t span = end > begin ? end - begin : 0;
	r->wall_ns = span > longest_track ? span : longest_track;
	if (!cycles_known)
		r->core_cycles_est = 0;
	r->has_checksum = r->checksum != 0;
}

/* Copy the records out and look at each. false: there is nothing to sum up. */
static bool take_records(const struct run_prepared *p, struct run_result *r)
{
	/* A broken program may still write there while we look: every number is read once, from the copy. */
	uint32_t claimed = __atomic_load_n(&p->area->process.claimed, __ATOMIC_ACQUIRE);
	if (claimed == 0)
		return false;
	if (claimed > HAKPERF_RECORDS) {
		judge(r, RUN_GARBAGE, "more than %d threads marked a region", HAKPERF_RECORDS);
		return false;
	}
	r->records = x_calloc(claimed, sizeof(*r->records));
	memcpy(r->records, p->area->record, claimed * sizeof(*r->records));
	r->n_records = claimed;
	r->valgrind = p->area->process.valgrind == 1;
	r->n_events = r->valgrind ? 0 : p->spec->n_events;
	for (size_t i = 0; i < claimed; i++) {
		const struct hakperf_record *d = &r->records[i];
		if (d->state != HAKPERF_DONE) {
			judge(r, RUN_NO_RECORD, "a region began and did not end");
			return false;
		}
		const char *what = impossible(d, r->process_wall_ns, p->spec->n_events, r->valgrind);
		if (what) {
			judge(r, RUN_GARBAGE, "the record is impossible: %s", what);
			return false;
		}
	}
	return true;
}

static void judge_lines(struct run_result *r)
{
	uint64_t checksum;
	bool has_line = run_parse_throughput(buf_str(&r->out), &r->line_ops_per_s, &r->line_s);
	bool has_checksum = run_parse_checksum(buf_str(&r->out), &checksum);
	if (has_line && !(r->line_ops_per_s > 0 && isfinite(r->line_ops_per_s) && r->line_s >= 0 && isfinite(r->line_s)))
		judge(r, RUN_GARBAGE, "the throughput line is impossible: %g operations per second, %g s", r->line_ops_per_s, r->line_s);
	if (has_checksum && r->has_checksum && checksum != r->checksum)
		judge(r, RUN_GARBAGE, "the checksum line says %016llx, the record %016llx", (unsigned long long)checksum,
		      (unsigned long long)r->checksum);
	if (has_checksum && !r->has_checksum) {
		r->has_checksum = true;
		r->checksum = checksum;
	}
	if (has_line && !r->has_checksum)
		judge(r, RUN_NO_CHECKSUM, "a throughput without a checksum: nothing tells that the work was done");
	if (has_line && r->n_records && r->outcome == RUN_OK) {
		double s = (double)r->wall_ns / 1e9, ops_per_s = (double)r->operations / s;
		double slack = LINE_TOLERANCE + LINE_ROUNDING_S / s;
		if (fabs(r->line_s - s) > slack * s || fabs(r->line_ops_per_s - ops_per_s) > slack * ops_per_s)
			judge(r, RUN_GARBAGE, "the throughput line says %.0f operations per second in %.6f s, the record %.0f in %.6f s",
			      r->line_ops_per_s, r->line_s, ops_per_s, s);
	}
}

static void whole_process(const struct child_result *c, struct run_result *r)
{
	r->whole_process = true;
	r->wall_ns = c->wall_ns;
	r->cpu_ns = c->user_ns + c->sys_ns;
	r->user_ns = c->user_ns;
	r->sys_ns = c->sys_ns;
	r->minor_faults = c->minor_faults;
	r->major_faults = c->major_faults;
	r->voluntary_switches = c->voluntary_switches;
	r->involuntary_switches = c->involuntary_switches;
	/* ru_maxrss starts at the harness's own size: below that it says nothing about the program. */
	r->peak_rss_bytes = c->max_rss_bytes > c->rss_floor_bytes ? c->max_rss_bytes : 0;
}

int run_finish(struct run_prepared *p, struct child_result *c, struct run_result *r, struct error *e)
{
	(void)e;
	*r = (struct run_result){
		.out = c->out,
		.err = c->err,
		.process_wall_ns = c->wall_ns,
		.process_user_ns = c->user_ns,
		.process_sys_ns = c->sys_ns,
		.child_outcome = c->outcome,
		.child_status = c->status,
		.libc_heap_bytes = HAKPERF_UNKNOWN,
	};
	c->out = c->err = (struct buf){ 0 };
	judge_child(p, c, r);
	if (r->outcome != RUN_OK)
		return 0;
	if (p->area->process.attached == 1)
		r->libc_heap_bytes = p->area->process.libc_heap_bytes;
	judge_owners(p, r);
	judge_loaded(p, r);
	if (take_records(p, r))
		sum_records(r);
	else if (p->spec->record_required)
		judge(r, RUN_NO_RECORD, "%.200s marked no region: is it built with hakperf/roi.h?", p->spec->argv[0]);
	else
		whole_process(c, r);
	judge_lines(r);
	return 0;
}

int run_once(const struct run_spec *spec, struct run_result *r, struct error *e)
{
	struct run_prepared p;
	struct child_result c = { 0 };
	int rc = run_prepare(spec, &p, e);
	*r = (struct run_result){ 0 };
	if (rc)
		return rc;
	rc = child_run(&p.child, &c, e);
	if (!rc)
		rc = run_finish(&p, &c, r, e);
	child_release(&c);
	run_prepared_release(&p);
	return rc;
}

void run_release(struct run_result *r)
{
	buf_release(&r->out);
	buf_release(&r->err);
	free(r->records);
	*r = (struct run_result){ 0 };
}
