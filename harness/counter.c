/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/counter.h"

#include "base/fs.h"

#include <assert.h>
#include <errno.h>
#include <perfmon/pfmlib_perf_event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int pfm_state;
static pthread_once_t pfm_once = PTHREAD_ONCE_INIT;

static void pfm_start(void)
{
	pfm_state = pfm_initialize();
}

static bool is_software_type(uint32_t type)
{
	return type == PERF_TYPE_SOFTWARE || type == PERF_TYPE_TRACEPOINT;
}

static int encode_failed(const char *name, int rc, struct error *e)
{
	const char *remedy = "see 'showevtinfo' of libpfm4 or 'perf list' for the names this CPU has";
	if (rc == PFM_ERR_UMASK)
		remedy = "this event needs a umask of its own, as in INST_RETIRED:ANY_P";
	else if (rc == PFM_ERR_ATTR)
		remedy = "it has no such umask or modifier";
	return error_set(e, -EINVAL, "event '%s': %s: %s", name, pfm_strerror(rc), remedy);
}

int counter_encode(const char *name, bool kernel_too, struct counter_event *ev, struct error *e)
{
	memset(ev, 0, sizeof(*ev));
	if (strlen(name) >= sizeof(ev->name))
		return error_set(e, -ENAMETOOLONG, "event name '%.40s…' is longer than %zu bytes", name,
				 sizeof(ev->name) - 1);
	pthread_once(&pfm_once, pfm_start);
	if (pfm_state != PFM_SUCCESS)
		return error_set(e, -ENOSYS, "libpfm4 does not start: %s", pfm_strerror(pfm_state));

	/* The kinds are known only after encoding: a software event is encoded once more with the kernel's level. */
	for (int plm = PFM_PLM3;;) {
		char *full = NULL;
		pfm_perf_encode_arg_t arg = { .attr = &ev->attr, .fstr = &full, .size = sizeof(arg) };
		memset(&ev->attr, 0, sizeof(ev->attr));
		ev->attr.size = sizeof(ev->attr);
		int rc = pfm_get_os_event_encoding(name, plm, PFM_OS_PERF_EVENT_EXT, &arg);
		if (rc != PFM_SUCCESS)
			return encode_failed(name, rc, e);
		snprintf(ev->canonical, sizeof(ev->canonical), "%s", full ? full : name);
		free(full);
		if (plm != PFM_PLM3 || !kernel_too || !is_software_type(ev->attr.type))
			break;
		plm = PFM_PLM3 | PFM_PLM0;
	}
	snprintf(ev->name, sizeof(ev->name), "%s", name);
	ev->attr.size = sizeof(ev->attr);
	ev->attr.exclude_hv = 1;
	ev->attr.disabled = 1;
	ev->attr.pinned = !is_software_type(ev->attr.type);
	ev->attr.read_format = PERF_FORMAT_GROUP | PERF_FORMAT_ID | PERF_FORMAT_TOTAL_TIME_ENABLED |
			       PERF_FORMAT_TOTAL_TIME_RUNNING;
	return 0;
}

bool counter_is_software(const struct counter_event *ev)
{
	return is_software_type(ev->attr.type);
}

struct perf_event_attr counter_attr_member(const struct counter_event *ev)
{
	struct perf_event_attr a = ev->attr;
	a.pinned = 0;
	a.disabled = 0;
	return a;
}

int counter_paranoid(void)
{
	struct buf b = { 0 };
	int level = COUNTER_PARANOID_UNKNOWN;
	if (!fs_read("/proc/sys/kernel/perf_event_paranoid", 64, &b, NULL) && b.len)
		level = atoi(b.data);
	buf_release(&b);
	return level;
}

bool counter_kernel_allowed(int paranoid)
{
	/* CAP_PERFMON (Linux 5.8) is bit 38, CAP_SYS_ADMIN bit 21: perf_event_open(2), "perf_event_paranoid". */
	enum { SYS_ADMIN = 21, PERFMON = 38 };
	struct buf b = { 0 };
	uint64_t effective = 0;
	if (!fs_read("/proc/self/status", 1 << 16, &b, NULL)) {
		const char *at = strstr(buf_str(&b), "\nCapEff:");
		if (at)
			effective = strtoull(at + strlen("\nCapEff:"), NULL, 16);
	}
	buf_release(&b);
	return paranoid <= 1 || (effective & (UINT64_C(1) << SYS_ADMIN | UINT64_C(1) << PERFMON));
}

static void advise_denied(const struct counter_event *ev, int paranoid, char *out, size_t n)
{
	bool kernel = !ev->attr.exclude_kernel;
	int wanted = kernel ? 1 : 2;
	char level[16] = "unknown";
	if (paranoid != COUNTER_PARANOID_UNKNOWN)
		snprintf(level, sizeof(level), "%d", paranoid);
	if (paranoid != COUNTER_PARANOID_UNKNOWN && paranoid <= wanted)
		snprintf(out, n,
			 "%s: refused although perf_event_paranoid is %s: a container's seccomp profile or a security "
			 "module forbids perf_event_open; allow that call, or run outside the container",
			 ev->name, level);
	else
		snprintf(out, n,
			 "%s: counting %s is not allowed: perf_event_paranoid is %s: run 'sysctl "
			 "kernel.perf_event_paranoid=%d', or as root, or with CAP_PERFMON",
			 ev->name, kernel ? "the kernel's side" : "user code", level, wanted);
}

void counter_advice(const struct counter_event *ev, int errnum, int paranoid, size_t group_size, char *out, size_t n)
{
	switch (errnum) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
	case EOPNOTSUPP:
		if (counter_is_software(ev))
			snprintf(out, n, "%s: this kernel does not offer the event", ev->name);
		else
			snprintf(out, n,
				 "%s: no PMU counts this event here (virtual machines rarely have one): run on bare metal, "
				 "or where the hypervisor passes the PMU through",
				 ev->name);
		break;
	case EACCES:
	case EPERM:
		advise_denied(ev, paranoid, out, n);
		break;
	case EINVAL:
		if (group_size > 1)
			snprintf(out, n,
				 "%s: the group of %zu events does not fit the PMU, or they belong to different PMUs: "
				 "measure fewer events in one run",
				 ev->name, group_size);
		else
			snprintf(out, n,
				 "%s: the kernel does not take this encoding (%s): it is a system-wide (uncore) event, or "
				 "the kernel is older than the event",
				 ev->name, ev->canonical);
		break;
	case ENOSPC:
		snprintf(out, n, "%s: the group of %zu events needs more hardware counters than there are: measure fewer "
				 "events in one run", ev->name, group_size);
		break;
	case EMFILE:
		snprintf(out, n, "%s: this process has no file descriptor left: raise 'ulimit -n' or count fewer threads",
			 ev->name);
		break;
	case ENFILE:
		snprintf(out, n, "%s: the machine has no file descriptor left: raise 'sysctl fs.file-max'", ev->name);
		break;
	case EBUSY:
		snprintf(out, n, "%s: another user holds the PMU exclusively: stop the other profiler", ev->name);
		break;
	case ENOSYS:
		snprintf(out, n, "%s: this kernel has no perf_event_open: it is built without CONFIG_PERF_EVENTS, or a "
				 "sandbox hides the call", ev->name);
		break;
	case ESRCH:
		snprintf(out, n, "%s: the process to count is gone", ev->name);
		break;
	default: {
		char cause[128];
		snprintf(out, n, "%s: perf_event_open: %s", ev->name, strerror_r(errnum, cause, sizeof(cause)));
	}
	}
}

enum counter_quality counter_judge(const struct counter_reading *before, const struct counter_reading *after,
				   uint64_t *value)
{
	uint64_t enabled = after->enabled_ns - before->enabled_ns;
	uint64_t running = after->running_ns - before->running_ns;
	uint64_t moved = after->value - before->value;
	if (before->enabled_ns == COUNTER_LOST || after->enabled_ns == COUNTER_LOST)
		return COUNTER_NEVER_RAN;
	if (after->enabled_ns < before->enabled_ns || after->running_ns < before->running_ns)
		return COUNTER_WRAPPED;
	if (!enabled)
		return COUNTER_NOT_ENABLED;
	if (!running)
		return COUNTER_NEVER_RAN;
	if (running != enabled)
		return COUNTER_MULTIPLEXED;
	/* A 48-bit counter extended wrongly moves by 2^47 and more; a real region never does. */
	if (moved >> 47)
		return COUNTER_WRAPPED;
	*value = moved;
	return COUNTER_COUNTED;
}

const char *counter_quality_name(enum counter_quality q)
{
	static const char *const names[] = {
		[COUNTER_COUNTED] = "counted",		   [COUNTER_NEVER_RAN] = "never ran",
		[COUNTER_MULTIPLEXED] = "multiplexed",	   [COUNTER_WRAPPED] = "wrapped",
		[COUNTER_NOT_ENABLED] = "not enabled",
	};
	assert((size_t)q < sizeof(names) / sizeof(*names));
	return names[q];
}

uint64_t counter_net(uint64_t value, uint64_t bracket)
{
	return value > bracket ? value - bracket : 0;
}

static int linux_open(void *ctx, struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd)
{
	(void)ctx;
	long fd = syscall(SYS_perf_event_open, attr, pid, cpu, group_fd, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

static ssize_t linux_read(void *ctx, int fd, void *bytes, size_t n)
{
	(void)ctx;
	ssize_t got;
	do
		got = read(fd, bytes, n);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static int linux_ioctl(void *ctx, int fd, unsigned long request, unsigned long arg)
{
	(void)ctx;
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

static int linux_close(void *ctx, int fd)
{
	(void)ctx;
	return close(fd) ? -errno : 0;
}

static int linux_paranoid(void *ctx)
{
	(void)ctx;
	return counter_paranoid();
}

const struct counter_os counter_linux = {
	.open = linux_open,
	.read = linux_read,
	.ioctl = linux_ioctl,
	.close = linux_close,
	.paranoid = linux_paranoid,
};

/*
 * Inherited events cannot be read as groups, so whole-process counting opens each event alone; opened on the calling
 * thread, disabled, and enabled by the exec of whatever it starts, they never count the harness itself.
 */
static struct perf_event_attr attr_for(const struct counter_event *ev, enum counter_scope scope, bool leader)
{
	struct perf_event_attr a = leader ? ev->attr : counter_attr_member(ev);
	if (scope == COUNTER_CHILDREN) {
		a.disabled = 1;
		a.pinned = 0;
		a.inherit = 1;
		a.enable_on_exec = 1;
		a.read_format &= ~(uint64_t)PERF_FORMAT_GROUP;
	}
	return a;
}

int counter_open(struct counter_set *cs, const struct counter_os *os, enum counter_scope scope,
		 const struct counter_event *ev, size_t n, struct error *e)
{
	assert(n >= 1 && n <= COUNTER_MAX);
	*cs = (struct counter_set){ .os = os, .scope = scope };
	for (size_t i = 0; i < n; i++) {
		bool leader = i == 0 || scope == COUNTER_CHILDREN;
		struct perf_event_attr a = attr_for(&ev[i], scope, leader);
		int fd = os->open(os->ctx, &a, 0, -1, leader ? -1 : cs->fd[0]);
		if (fd < 0) {
			char advice[800];
			counter_advice(&ev[i], -fd, os->paranoid(os->ctx), scope == COUNTER_THREAD ? n : 1, advice,
				       sizeof(advice));
			counter_close(cs);
			return error_set(e, fd, "%s", advice);
		}
		cs->fd[cs->n] = fd;
		snprintf(cs->name[cs->n], sizeof(cs->name[0]), "%s", ev[i].name);
		cs->n++;
		int rc = os->ioctl(os->ctx, fd, PERF_EVENT_IOC_ID, (unsigned long)&cs->id[i]);
		if (rc < 0) {
			counter_close(cs);
			return error_errno(e, -rc, "%s: cannot ask for the event's id", ev[i].name);
		}
	}
	return 0;
}

void counter_close(struct counter_set *cs)
{
	while (cs->n)
		cs->os->close(cs->os->ctx, cs->fd[--cs->n]);
	*cs = (struct counter_set){ 0 };
}

static int switch_group(struct counter_set *cs, unsigned long request, const char *verb, struct error *e)
{
	assert(cs->n && cs->scope == COUNTER_THREAD);
	int rc = cs->os->ioctl(cs->os->ctx, cs->fd[0], request, PERF_IOC_FLAG_GROUP);
	return rc < 0 ? error_errno(e, -rc, "%s: cannot %s the group of counters", cs->name[0], verb) : 0;
}

int counter_start(struct counter_set *cs, struct error *e)
{
	return switch_group(cs, PERF_EVENT_IOC_ENABLE, "start", e);
}

int counter_stop(struct counter_set *cs, struct error *e)
{
	return switch_group(cs, PERF_EVENT_IOC_DISABLE, "stop", e);
}

static int wrong_shape(const struct counter_set *cs, size_t i, ssize_t got, size_t want, struct error *e)
{
	return error_set(e, -EIO, "%s: a reading of %zd bytes where %zu were due: the kernel's format differs from the one "
				  "asked for", cs->name[i], got, want);
}

/* The group's read: nr, time_enabled, time_running, then {value, id} for each event. */
static int read_group(struct counter_set *cs, struct counter_reading *out, struct error *e)
{
	uint64_t words[3 + 2 * COUNTER_MAX] = { 0 };
	size_t want = (3 + 2 * cs->n) * sizeof(*words);
	ssize_t got = cs->os->read(cs->os->ctx, cs->fd[0], words, want);
	if (got < 0)
		return error_errno(e, (int)-got, "%s: cannot read the group of counters", cs->name[0]);
	memset(out, 0, cs->n * sizeof(*out));
	/* End of file is how the kernel says that a pinned group could not get onto the PMU. */
	if (got == 0) {
		for (size_t i = 0; i < cs->n; i++)
			out[i].enabled_ns = COUNTER_LOST;
		return 0;
	}
	if ((size_t)got != want || words[0] != cs->n)
		return wrong_shape(cs, 0, got, want, e);
	for (size_t i = 0; i < cs->n; i++) {
		size_t at = 0;
		while (at < cs->n && words[4 + 2 * at] != cs->id[i])
			at++;
		if (at == cs->n)
			return error_set(e, -EIO, "%s: the group's reading does not hold this event's id", cs->name[i]);
		out[i] = (struct counter_reading){ words[3 + 2 * at], words[1], words[2] };
	}
	return 0;
}

/* A single event's read: value, time_enabled, time_running, id. */
static int read_single(struct counter_set *cs, size_t i, struct counter_reading *out, struct error *e)
{
	uint64_t words[4] = { 0 };
	ssize_t got = cs->os->read(cs->os->ctx, cs->fd[i], words, sizeof(words));
	if (got < 0)
		return error_errno(e, (int)-got, "%s: cannot read the counter", cs->name[i]);
	if ((size_t)got != sizeof(words))
		return wrong_shape(cs, i, got, sizeof(words), e);
	*out = (struct counter_reading){ words[0], words[1], words[2] };
	return 0;
}

int counter_read(struct counter_set *cs, struct counter_reading *out, struct error *e)
{
	assert(cs->n);
	if (cs->scope == COUNTER_THREAD)
		return read_group(cs, out, e);
	for (size_t i = 0; i < cs->n; i++) {
		int rc = read_single(cs, i, &out[i], e);
		if (rc)
			return rc;
	}
	return 0;
}

/* Long enough for every event to be scheduled, short enough to be tried for each pass. */
static void work(void)
{
	for (volatile unsigned i = 0; i < 100000; i++)
		;
}

/* Does this group run whole here? 0, or -errno with *e; -EAGAIN: it opens but was not on the PMU all the time. */
static int try_group(const struct counter_os *os, const struct counter_event *ev, const struct counter_pass *p,
		     struct error *e)
{
	struct counter_event group[COUNTER_MAX];
	struct counter_set cs = { 0 };
	struct counter_reading zero = { 0 }, r[COUNTER_MAX];
	for (size_t i = 0; i < p->n; i++)
		group[i] = ev[p->index[i]];
	int rc = counter_open(&cs, os, COUNTER_THREAD, group, p->n, e);
	if (rc)
		return rc;
	rc = counter_start(&cs, e);
	if (!rc)
		work();
	if (!rc)
		rc = counter_stop(&cs, e);
	if (!rc)
		rc = counter_read(&cs, r, e);
	for (size_t i = 0; !rc && i < p->n; i++) {
		uint64_t value;
		enum counter_quality q = counter_judge(&zero, &r[i], &value);
		if (q != COUNTER_COUNTED)
			rc = error_set(e, -EAGAIN,
				       "%s: opens, but is '%s' on the PMU: another counter holds its place (the NMI "
				       "watchdog? 'sysctl kernel.nmi_watchdog=0') or the group is too big",
				       group[i].name, counter_quality_name(q));
	}
	counter_close(&cs);
	return rc;
}

size_t counter_passes(const struct counter_os *os, const struct counter_event *ev, size_t n,
		      struct counter_pass *passes, struct buf *advice)
{
	size_t npasses = 0;
	for (size_t i = 0; i < n; i++) {
		struct counter_pass alone = { .n = 1, .index = { i } };
		struct error e = { 0 };
		if (try_group(os, ev, &alone, &e)) {
			if (advice)
				buf_printf(advice, "%s\n", e.text);
			continue;
		}
		bool placed = false;
		for (size_t k = 0; k < npasses && !placed; k++) {
			struct counter_pass *p = &passes[k];
			if (p->n == COUNTER_MAX ||
			    counter_is_software(&ev[p->index[0]]) != counter_is_software(&ev[i]))
				continue;
			p->index[p->n++] = i;
			if (try_group(os, ev, p, NULL))
				p->n--;
			else
				placed = true;
		}
		if (!placed)
			passes[npasses++] = alone;
	}
	return npasses;
}

void counter_library(struct buf *out)
{
	int version = pfm_get_version();
	pthread_once(&pfm_once, pfm_start);
	buf_printf(out, "libpfm4 %d.%d:", PFM_MAJ_VERSION(version), PFM_MIN_VERSION(version));
	for (int i = PFM_PMU_NONE; i < PFM_PMU_MAX; i++) {
		pfm_pmu_info_t info = { .size = sizeof(info) };
		if (pfm_get_pmu_info((pfm_pmu_t)i, &info) == PFM_SUCCESS && info.is_present)
			buf_printf(out, " %s", info.name);
	}
}
