/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/counter.h"
#include "harness/pmutest.h"
#include "harness/tsc.h"

#include "base/buf.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * A kernel of the test's own: `counters` hardware counters shared by one group at a time, errors by event type, and readings
 * that advance by what the test says.
 */
struct fake {
	unsigned counters;    /* hardware events a group may hold and still run; more open, and never run */
	bool einval_beyond;   /* more do not open at all, as on PMUs whose driver checks the group */
	int hardware_errno;   /* opening a hardware event fails with this */
	int open_errno;	      /* opening the open_fails_at-th event fails with this (from 1) */
	unsigned open_fails_at;
	int read_errno, ioctl_errno;
	size_t read_short;    /* bytes missing from every read */
	bool lost;	      /* every read is empty */
	bool foreign_ids;     /* the readings name ids that nobody opened */
	bool reversed;	      /* readings come in the reverse order of opening */
	uint64_t running_percent;
	uint64_t step[12];    /* values of the n-th read, for the event opened first; the others get +1, +2 … */
	size_t nsteps, reads;

	unsigned opens, closes, open_now;
	struct perf_event_attr attr[64];
	int leader[64];
};

static int fake_open(void *ctx, struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd)
{
	struct fake *f = ctx;
	assert_int_equal(pid, 0);
	assert_int_equal(cpu, -1);
	assert_true(f->opens < 64);
	bool hardware = attr->type != PERF_TYPE_SOFTWARE;
	if (f->open_fails_at && f->opens + 1 == f->open_fails_at)
		return -f->open_errno;
	if (hardware && f->hardware_errno)
		return -f->hardware_errno;
	if (group_fd < 0)
		group_fd = (int)f->opens;
	unsigned in_group = 0;
	for (unsigned i = 0; i < f->opens; i++)
		in_group += f->leader[i] == group_fd;
	if (hardware && f->einval_beyond && in_group + 1 > f->counters)
		return -EINVAL;
	f->attr[f->opens] = *attr;
	f->leader[f->opens] = group_fd;
	f->open_now++;
	return (int)f->opens++;
}

static ssize_t fake_read(void *ctx, int fd, void *bytes, size_t n)
{
	struct fake *f = ctx;
	if (f->read_errno)
		return -f->read_errno;
	bool hardware = f->attr[fd].type != PERF_TYPE_SOFTWARE;
	unsigned members = 0;
	for (unsigned i = 0; i < f->opens; i++)
		members += f->leader[i] == fd;
	uint64_t base = f->nsteps ? f->step[f->reads < f->nsteps ? f->reads : f->nsteps - 1] : 1000;
	f->reads++;
	if (f->lost || (hardware && f->attr[fd].pinned && members > f->counters))
		return 0;
	uint64_t enabled = f->reads * 1000, running = enabled * f->running_percent / 100;
	uint64_t words[3 + 2 * COUNTER_MAX];
	size_t len;
	if (f->attr[fd].read_format & PERF_FORMAT_GROUP) {
		words[0] = members, words[1] = enabled, words[2] = running;
		for (unsigned i = 0; i < members; i++) {
			unsigned at = f->reversed ? members - 1 - i : i;
			words[3 + 2 * i] = base + at;
			words[4 + 2 * i] = (f->foreign_ids ? 900u : 100u) + (unsigned)fd + at;
		}
		len = (3 + 2 * members) * sizeof(*words);
	} else {
		words[0] = base, words[1] = enabled, words[2] = running, words[3] = 100u + (unsigned)fd;
		len = 4 * sizeof(*words);
	}
	assert_true(len <= n);
	memcpy(bytes, words, len);
	return (ssize_t)(len - f->read_short);
}

static int fake_ioctl(void *ctx, int fd, unsigned long request, unsigned long arg)
{
	struct fake *f = ctx;
	if (request == PERF_EVENT_IOC_ID)
		*(uint64_t *)arg = 100u + (unsigned)fd;
	else
		assert_int_equal(arg, PERF_IOC_FLAG_GROUP);
	return request == PERF_EVENT_IOC_ID ? 0 : -f->ioctl_errno;
}

static int fake_close(void *ctx, int fd)
{
	struct fake *f = ctx;
	(void)fd;
	f->closes++;
	f->open_now--;
	return 0;
}

static int fake_paranoid(void *ctx)
{
	(void)ctx;
	return 3;
}

static struct counter_os fake_os(struct fake *f)
{
	if (!f->running_percent)
		f->running_percent = 100;
	return (struct counter_os){ fake_open, fake_read, fake_ioctl, fake_close, fake_paranoid, f };
}

static struct counter_event encoded(const char *name)
{
	struct counter_event ev;
	struct error e = { 0 };
	if (counter_encode(name, true, &ev, &e))
		fail_msg("%s", e.text);
	return ev;
}

static void names_encode(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *name;
		uint32_t type;
		uint64_t config;
	} rows[] = {
		{ __LINE__, "cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES },
		{ __LINE__, "instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS },
		{ __LINE__, "branch-misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES },
		{ __LINE__, "LLC-load-misses", PERF_TYPE_HW_CACHE, 0x10002 },
		{ __LINE__, "dTLB-load-misses", PERF_TYPE_HW_CACHE, 0x10003 },
		{ __LINE__, "page-faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS },
		{ __LINE__, "context-switches", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES },
		{ __LINE__, "task-clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK },
		{ __LINE__, "r1c2", PERF_TYPE_RAW, 0x1c2 },
		{ __LINE__, "skl::INST_RETIRED:ANY_P", PERF_TYPE_RAW, 0xc0 },
		{ __LINE__, "skl::MEM_LOAD_RETIRED:L3_MISS", PERF_TYPE_RAW, 0x20d1 },
		{ __LINE__, "spr::INST_RETIRED:ANY_P", PERF_TYPE_RAW, 0xc0 },
		{ __LINE__, "amd64_fam17h_zen1::RETIRED_INSTRUCTIONS", PERF_TYPE_RAW, 0xc0 },
		{ __LINE__, "amd64_fam19h_zen3::RETIRED_BRANCH_INSTRUCTIONS_MISPREDICTED", PERF_TYPE_RAW, 0xc3 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct counter_event ev;
		struct error e = { 0 };
		if (counter_encode(rows[i].name, true, &ev, &e))
			fail_msg("line %d: %s", rows[i].line, e.text);
		bool software = rows[i].type == PERF_TYPE_SOFTWARE;
		if (ev.attr.type != rows[i].type || ev.attr.config != rows[i].config || strcmp(ev.name, rows[i].name) ||
		    !strstr(ev.canonical, "::") || counter_is_software(&ev) != software)
			fail_msg("line %d: %s: type %u config %llx '%s'", rows[i].line, rows[i].name, ev.attr.type,
				 (unsigned long long)ev.attr.config, ev.canonical);
		/* The kernel's side is counted of software events alone. */
		if (ev.attr.exclude_kernel == software || ev.attr.exclude_user || !ev.attr.exclude_hv ||
		    !ev.attr.disabled || ev.attr.pinned == software)
			fail_msg("line %d: %s: wrong levels", rows[i].line, rows[i].name);
	}
}

static void levels_follow_the_caller_and_the_name(void **state)
{
	(void)state;
	struct counter_event ev;
	assert_int_equal(counter_encode("page-faults", false, &ev, NULL), 0);
	assert_true(ev.attr.exclude_kernel);
	assert_int_equal(counter_encode("page-faults:u", true, &ev, NULL), 0);
	assert_true(ev.attr.exclude_kernel);
	assert_int_equal(counter_encode("cycles:u:k", true, &ev, NULL), 0);
	assert_false(ev.attr.exclude_kernel);
	struct perf_event_attr member = counter_attr_member(&ev);
	assert_true(ev.attr.pinned && !member.pinned && !member.disabled);
	assert_int_equal(member.config, ev.attr.config);
}

static void bad_names_are_refused(void **state)
{
	(void)state;
	char longer[300];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	static const struct {
		int line;
		const char *name, *says;
		int rc;
	} rows[] = {
		{ __LINE__, "no-such-event", "no-such-event", -EINVAL },
		{ __LINE__, "skl::INST_RETIRED:NO_SUCH", "INST_RETIRED", -EINVAL },
		{ __LINE__, "nosuchpmu::CYCLES", "nosuchpmu", -EINVAL },
		{ __LINE__, "", "''", -EINVAL },
		{ __LINE__, NULL, "longer than", -ENAMETOOLONG },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct counter_event ev;
		struct error e = { 0 };
		int rc = counter_encode(rows[i].name ? rows[i].name : longer, true, &ev, &e);
		if (rc != rows[i].rc || !strstr(e.text, rows[i].says))
			fail_msg("line %d: %d '%s'", rows[i].line, rc, e.text);
	}
}

static void errors_become_advice(void **state)
{
	(void)state;
	struct counter_event hw = encoded("cycles"), sw = encoded("page-faults"), user;
	assert_int_equal(counter_encode("page-faults", false, &user, NULL), 0);
	const struct {
		int line;
		const struct counter_event *ev;
		int errnum, paranoid;
		size_t group;
		const char *says;
	} rows[] = {
		{ __LINE__, &hw, ENOENT, 2, 1, "no PMU counts this event here" },
		{ __LINE__, &hw, EOPNOTSUPP, 2, 1, "no PMU counts this event here" },
		{ __LINE__, &sw, ENOENT, 2, 1, "does not offer the event" },
		{ __LINE__, &hw, EACCES, 3, 1, "perf_event_paranoid is 3: run 'sysctl kernel.perf_event_paranoid=2'" },
		{ __LINE__, &hw, EPERM, 4, 1, "perf_event_paranoid is 4: run 'sysctl kernel.perf_event_paranoid=2'" },
		{ __LINE__, &sw, EACCES, 2, 1, "perf_event_paranoid is 2: run 'sysctl kernel.perf_event_paranoid=1'" },
		{ __LINE__, &sw, EACCES, 2, 1, "the kernel's side" },
		{ __LINE__, &user, EACCES, 2, 1, "seccomp" },
		{ __LINE__, &hw, EACCES, 1, 1, "seccomp" },
		{ __LINE__, &hw, EACCES, COUNTER_PARANOID_UNKNOWN, 1, "perf_event_paranoid is unknown" },
		{ __LINE__, &hw, EINVAL, 2, 5, "group of 5 events does not fit" },
		{ __LINE__, &hw, EINVAL, 2, 1, "does not take this encoding (perf::PERF_COUNT_HW_CPU_CYCLES" },
		{ __LINE__, &hw, ENOSPC, 2, 7, "7 events needs more hardware counters" },
		{ __LINE__, &hw, EMFILE, 2, 1, "ulimit -n" },
		{ __LINE__, &hw, ENFILE, 2, 1, "fs.file-max" },
		{ __LINE__, &hw, EBUSY, 2, 1, "exclusively" },
		{ __LINE__, &hw, ENOSYS, 2, 1, "CONFIG_PERF_EVENTS" },
		{ __LINE__, &hw, ESRCH, 2, 1, "gone" },
		{ __LINE__, &hw, ENOMEM, 2, 1, "Cannot allocate memory" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char out[800];
		counter_advice(rows[i].ev, rows[i].errnum, rows[i].paranoid, rows[i].group, out, sizeof(out));
		if (!strstr(out, rows[i].says) || strncmp(out, rows[i].ev->name, strlen(rows[i].ev->name)))
			fail_msg("line %d: '%s'", rows[i].line, out);
	}
}

static void only_whole_readings_count(void **state)
{
	(void)state;
	const uint64_t big = UINT64_C(1) << 47, lost = COUNTER_LOST;
	static const uint64_t keep = 77;
	const struct {
		int line;
		struct counter_reading before, after;
		enum counter_quality q;
		uint64_t value;
	} rows[] = {
		{ __LINE__, { 5, 10, 10 }, { 25, 30, 30 }, COUNTER_COUNTED, 20 },
		{ __LINE__, { 5, 10, 10 }, { 5, 30, 30 }, COUNTER_COUNTED, 0 },
		/* times are differenced: what was lost before the region does no harm */
		{ __LINE__, { 5, 100, 10 }, { 6, 130, 40 }, COUNTER_COUNTED, 1 },
		{ __LINE__, { 5, 10, 10 }, { 25, 30, 29 }, COUNTER_MULTIPLEXED, keep },
		{ __LINE__, { 5, 10, 10 }, { 25, 30, 31 }, COUNTER_MULTIPLEXED, keep },
		{ __LINE__, { 5, 10, 10 }, { 5, 30, 10 }, COUNTER_NEVER_RAN, keep },
		{ __LINE__, { 0, 0, 0 }, { 0, lost, 0 }, COUNTER_NEVER_RAN, keep },
		{ __LINE__, { 5, 10, 10 }, { 0, lost, 0 }, COUNTER_NEVER_RAN, keep },
		{ __LINE__, { 0, lost, 0 }, { 0, lost, 0 }, COUNTER_NEVER_RAN, keep },
		{ __LINE__, { 5, 10, 10 }, { 5, 10, 10 }, COUNTER_NOT_ENABLED, keep },
		{ __LINE__, { 25, 10, 10 }, { 5, 30, 30 }, COUNTER_WRAPPED, keep },
		{ __LINE__, { 0, 10, 10 }, { big, 30, 30 }, COUNTER_WRAPPED, keep },
		{ __LINE__, { 0, 10, 10 }, { big - 1, 30, 30 }, COUNTER_COUNTED, big - 1 },
		{ __LINE__, { 0, 30, 30 }, { 1, 10, 10 }, COUNTER_WRAPPED, keep },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t value = keep;
		enum counter_quality q = counter_judge(&rows[i].before, &rows[i].after, &value);
		uint64_t want = rows[i].q == COUNTER_COUNTED ? rows[i].value : keep;
		if (q != rows[i].q || value != want)
			fail_msg("line %d: %s %llu", rows[i].line, counter_quality_name(q), (unsigned long long)value);
	}
	assert_int_equal(counter_net(100, 30), 70);
	assert_int_equal(counter_net(30, 100), 0);
}

static void groups_open_read_and_close(void **state)
{
	(void)state;
	struct counter_event ev[3] = { encoded("cycles"), encoded("instructions"), encoded("branch-misses") };
	struct fake f = { .counters = 4, .reversed = true, .step = { 10, 50 }, .nsteps = 2 };
	struct counter_os os = fake_os(&f);
	struct counter_set cs = { 0 };
	struct error e = { 0 };
	assert_int_equal(counter_open(&cs, &os, COUNTER_THREAD, ev, 3, &e), 0);
	assert_true(f.attr[0].pinned && f.attr[0].disabled);
	assert_false(f.attr[1].pinned || f.attr[1].disabled || f.attr[2].pinned);
	assert_int_equal(f.leader[2], f.leader[0]);
	assert_int_equal(counter_start(&cs, &e), 0);
	struct counter_reading a[3], b[3];
	assert_int_equal(counter_read(&cs, a, &e), 0);
	assert_int_equal(counter_read(&cs, b, &e), 0);
	for (size_t i = 0; i < 3; i++) {
		/* matched by id, though the kernel's order was another */
		assert_int_equal(a[i].value, 10 + i);
		assert_int_equal(b[i].value, 50 + i);
		uint64_t value = 0;
		assert_int_equal(counter_judge(&a[i], &b[i], &value), COUNTER_COUNTED);
		assert_int_equal(value, 40);
	}
	counter_close(&cs);
	assert_int_equal(f.open_now, 0);
	counter_close(&cs);
	assert_int_equal(f.closes, 3);
}

static void injected_failures_leave_nothing_open(void **state)
{
	(void)state;
	struct counter_event ev[3] = { encoded("cycles"), encoded("instructions"), encoded("branch-misses") };
	const struct {
		int line;
		struct fake f;
		int open_rc, read_rc;
		const char *says;
	} rows[] = {
		{ __LINE__, { .counters = 4, .hardware_errno = ENOENT }, -ENOENT, 0, "no PMU" },
		{ __LINE__, { .counters = 4, .open_fails_at = 1, .open_errno = EACCES }, -EACCES, 0,
		  "perf_event_paranoid is 3" },
		{ __LINE__, { .counters = 4, .open_fails_at = 2, .open_errno = EMFILE }, -EMFILE, 0, "ulimit" },
		{ __LINE__, { .counters = 2, .einval_beyond = true }, -EINVAL, 0, "branch-misses: the group of 3" },
		{ __LINE__, { .counters = 4, .read_errno = EIO }, 0, -EIO, "cannot read" },
		{ __LINE__, { .counters = 4, .read_short = 8 }, 0, -EIO, "bytes where" },
		{ __LINE__, { .counters = 4, .foreign_ids = true }, 0, -EIO, "id" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct fake f = rows[i].f;
		struct counter_os os = fake_os(&f);
		struct counter_set cs = { 0 };
		struct counter_reading r[3];
		struct error e = { 0 };
		int rc = counter_open(&cs, &os, COUNTER_THREAD, ev, 3, &e);
		if (rc != rows[i].open_rc)
			fail_msg("line %d: open %d %s", rows[i].line, rc, e.text);
		if (!rc && (rc = counter_read(&cs, r, &e)) != rows[i].read_rc)
			fail_msg("line %d: read %d %s", rows[i].line, rc, e.text);
		if (!strstr(e.text, rows[i].says))
			fail_msg("line %d: '%s'", rows[i].line, e.text);
		counter_close(&cs);
		if (f.open_now || cs.n)
			fail_msg("line %d: %u left open", rows[i].line, f.open_now);
	}
}

static void a_lost_group_is_no_figure(void **state)
{
	(void)state;
	struct counter_event ev[2] = { encoded("cycles"), encoded("instructions") };
	struct fake f = { .counters = 1 };
	struct counter_os os = fake_os(&f);
	struct counter_set cs = { 0 };
	struct counter_reading zero = { 0 }, r[2];
	assert_int_equal(counter_open(&cs, &os, COUNTER_THREAD, ev, 2, NULL), 0);
	assert_int_equal(counter_read(&cs, r, NULL), 0);
	for (size_t i = 0; i < 2; i++) {
		uint64_t value;
		assert_int_equal(counter_judge(&zero, &r[i], &value), COUNTER_NEVER_RAN);
	}
	counter_close(&cs);
}

static void passes_fit_the_machine(void **state)
{
	(void)state;
	struct counter_event ev[6] = { encoded("cycles"),	 encoded("page-faults"),      encoded("instructions"),
				       encoded("branch-misses"), encoded("context-switches"), encoded("LLC-load-misses") };
	static const struct {
		int line;
		struct fake f;
		size_t npasses;
		const char *passes; /* indices, passes parted by '|' */
		const char *advice;
	} rows[] = {
		{ __LINE__, { .counters = 8 }, 2, "0235|14", "" },
		{ __LINE__, { .counters = 2 }, 3, "02|14|35", "" },
		{ __LINE__, { .counters = 2, .einval_beyond = true }, 3, "02|14|35", "" },
		{ __LINE__, { .counters = 1 }, 5, "0|14|2|3|5", "" },
		{ __LINE__, { .hardware_errno = ENOENT }, 1, "14", "cycles: no PMU" },
		{ __LINE__, { .counters = 8, .running_percent = 60 }, 0, "", "'multiplexed' on the PMU" },
		{ __LINE__, { .counters = 8, .lost = true }, 0, "", "nmi_watchdog" },
		{ __LINE__, { .counters = 8, .ioctl_errno = EINVAL }, 0, "", "cannot start" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct fake f = rows[i].f;
		struct counter_os os = fake_os(&f);
		struct counter_pass p[6];
		struct buf advice = { 0 }, got = { 0 };
		size_t n = counter_passes(&os, ev, 6, p, &advice);
		for (size_t k = 0; k < n; k++) {
			if (k)
				buf_putc(&got, '|');
			for (size_t j = 0; j < p[k].n; j++)
				buf_putc(&got, (char)('0' + p[k].index[j]));
		}
		if (n != rows[i].npasses || strcmp(buf_str(&got), rows[i].passes) ||
		    !strstr(buf_str(&advice), rows[i].advice) || (!*rows[i].advice && advice.len) || f.open_now)
			fail_msg("line %d: %zu '%s' '%s', %u open", rows[i].line, n, buf_str(&got), buf_str(&advice),
				 f.open_now);
		buf_release(&advice);
		buf_release(&got);
	}
}

static void touch_pages(size_t pages)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	volatile char *m = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(m != MAP_FAILED);
	madvise((void *)m, pages * page, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < pages; i++)
		m[i * page] = 1;
	munmap((void *)m, pages * page);
}

/* False, with a word to the reader, where not even a software event opens. */
static bool opens_here(struct counter_set *cs, enum counter_scope scope, const struct counter_event *ev, size_t n)
{
	struct error e = { 0 };
	if (counter_open(cs, &counter_linux, scope, ev, n, &e)) {
		print_message("skipped, software events do not open here: %s\n", e.text);
		return false;
	}
	return true;
}

static void real_page_faults_are_counted(void **state)
{
	(void)state;
	struct counter_event ev[2];
	bool kernel = counter_kernel_allowed(counter_paranoid());
	assert_int_equal(counter_encode("page-faults", kernel, &ev[0], NULL), 0);
	assert_int_equal(counter_encode("task-clock", kernel, &ev[1], NULL), 0);
	struct counter_set cs = { 0 };
	if (!opens_here(&cs, COUNTER_THREAD, ev, 2)) {
		skip();
		return;
	}
	struct counter_reading a[2], b[2];
	struct error e = { 0 };
	assert_int_equal(counter_start(&cs, &e), 0);
	assert_int_equal(counter_read(&cs, a, &e), 0);
	touch_pages(300);
	assert_int_equal(counter_read(&cs, b, &e), 0);
	assert_int_equal(counter_stop(&cs, &e), 0);
	uint64_t faults = 0, clock = 0;
	assert_int_equal(counter_judge(&a[0], &b[0], &faults), COUNTER_COUNTED);
	assert_int_equal(counter_judge(&a[1], &b[1], &clock), COUNTER_COUNTED);
	assert_in_range(faults, 300, 400);
	assert_true(clock > 0);
	counter_close(&cs);
}

/* The harness faults before and after; only what the child does from its exec on is in the figure. */
static void whole_programs_are_counted(void **state)
{
	(void)state;
	struct counter_event ev[2];
	bool kernel = counter_kernel_allowed(counter_paranoid());
	assert_int_equal(counter_encode("page-faults", kernel, &ev[0], NULL), 0);
	assert_int_equal(counter_encode("context-switches", kernel, &ev[1], NULL), 0);
	uint64_t faults[2];
	for (int round = 0; round < 2; round++) {
		struct counter_set cs = { 0 };
		if (!opens_here(&cs, COUNTER_CHILDREN, ev, 2)) {
			skip();
			return;
		}
		touch_pages(20000);
		char pages[16];
		snprintf(pages, sizeof(pages), "%d", round ? 2000 : 1000);
		fflush(NULL);
		pid_t pid = fork();
		if (pid == 0) {
			touch_pages(20000);
			execl("/proc/self/exe", "test_counter", "--touch", pages, (char *)NULL);
			_exit(127);
		}
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		struct counter_reading zero = { 0 }, r[2];
		struct error e = { 0 };
		assert_int_equal(counter_read(&cs, r, &e), 0);
		assert_int_equal(counter_judge(&zero, &r[0], &faults[round]), COUNTER_COUNTED);
		counter_close(&cs);
	}
	assert_in_range(faults[0], 1000, 15000);
	/* An eighth more under AddressSanitizer, which touches its shadow of them. */
	assert_in_range(faults[1] - faults[0], 980, 1150);
}

static void core_cycles_follow_the_chain(void **state)
{
	(void)state;
	static const struct {
		int line;
		uint64_t ticks, length, before, after;
		double spread, cycles;
	} rows[] = {
		{ __LINE__, 1000, 100, 100, 100, 0.02, 1000 },
		{ __LINE__, 1000, 100, 50, 50, 0.02, 2000 },
		{ __LINE__, 1000, 1000, 1000, 1010, 0.02, 995.02 },
		{ __LINE__, 1000, 1000, 1010, 1000, 0.02, 995.02 },
		{ __LINE__, 0, 100, 100, 100, 0.02, 0 },
		{ __LINE__, 1000, 1000, 1000, 1021, 0.02, NAN },
		{ __LINE__, 1000, 1000, 0, 1000, 0.02, NAN },
		{ __LINE__, 1000, 0, 1000, 1000, 0.02, NAN },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		double got = NAN;
		bool ok = tsc_core_cycles(rows[i].ticks, rows[i].length, rows[i].before, rows[i].after, rows[i].spread,
					  &got);
		if (ok != !isnan(rows[i].cycles) || (ok && fabs(got - rows[i].cycles) > 0.01))
			fail_msg("line %d: %d %g", rows[i].line, ok, got);
	}
}

static void the_tsc_ticks(void **state)
{
	(void)state;
#if !defined(__x86_64__)
	assert_int_equal(tsc_now(), 0);
	assert_false(tsc_invariant());
	print_message("skipped: no TSC on this architecture\n");
	skip();
#endif
	uint64_t a = tsc_now(), b = tsc_now();
	assert_true(b >= a);
	assert_true(tsc_hz() > 1e8 && tsc_hz() < 1e11);
	assert_true(tsc_chain(1600000, 3) > 0);
	assert_int_equal(tsc_chain(1000, 0), 0);
}

/* Readings as a PMU would give them: the bracket first, then the load, for each event in turn. */
static void pmutest_judges_readings(void **state)
{
	(void)state;
	const uint64_t loop = 2 * (uint64_t)PMUTEST_LOOP_ROUNDS, branches = PMUTEST_LOOP_ROUNDS,
		       chain = PMUTEST_CHAIN_LENGTH;
	const struct {
		int line;
		uint64_t instructions, branches, cycles;
		struct fake f;
		enum pmutest_verdict verdict;
		const char *why; /* in the first failing event's explanation */
	} rows[] = {
		{ __LINE__, loop + 3, branches + 1, chain + 9000, { .counters = 4 }, PMUTEST_PASS, NULL },
		{ __LINE__, loop + loop / 100, branches, chain, { .counters = 4 }, PMUTEST_FAIL, "were due" },
		{ __LINE__, loop, branches / 2, chain, { .counters = 4 }, PMUTEST_FAIL, "branch-instructions" },
		{ __LINE__, loop, branches, chain / 2, { .counters = 4 }, PMUTEST_FAIL, "cycles" },
		{ __LINE__, loop, branches, chain * 2, { .counters = 4 }, PMUTEST_FAIL, "cycles" },
		{ __LINE__, 0, 0, 0, { .counters = 4 }, PMUTEST_FAIL, "0 counted" },
		{ __LINE__, loop, branches, chain, { .counters = 4, .lost = true }, PMUTEST_FAIL, "never ran" },
		{ __LINE__, loop, branches, chain, { .counters = 4, .running_percent = 50 }, PMUTEST_FAIL, "multiplexed" },
		{ __LINE__, loop, branches, chain, { .counters = 4, .read_errno = EIO }, PMUTEST_FAIL, "cannot read" },
		{ __LINE__, 0, 0, 0, { .hardware_errno = ENOENT }, PMUTEST_UNAVAILABLE, "no PMU" },
		{ __LINE__, 0, 0, 0, { .hardware_errno = EACCES }, PMUTEST_UNAVAILABLE, "paranoid is 3" },
		{ __LINE__, 0, 0, 0, { .counters = 4, .open_fails_at = 1, .open_errno = ENOENT }, PMUTEST_UNAVAILABLE,
		  "no PMU" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct fake f = rows[i].f;
		/* running totals: an empty bracket of 40, then the load with the same 40 on top */
		const uint64_t loads[] = { rows[i].instructions, rows[i].branches, rows[i].cycles };
		struct pmutest t;
		struct error e = { 0 };
		struct counter_os os = fake_os(&f);
		uint64_t total = 0;
		for (size_t k = 0; k < 3; k++) {
			f.step[4 * k] = total;
			f.step[4 * k + 1] = total += 40;
			f.step[4 * k + 2] = total;
			f.step[4 * k + 3] = total += loads[k] + 40;
		}
		f.nsteps = 12;
		int rc = pmutest_run(&os, &t, &e);
		if (rc == -ENOTSUP) {
			print_message("skipped: %s\n", e.text);
			skip();
			return;
		}
		assert_int_equal(rc, 0);
		const char *why = "";
		for (size_t k = 0; k < PMUTEST_EVENTS && !*why; k++)
			why = t.item[k].why;
		if (t.verdict != rows[i].verdict || (rows[i].why ? !strstr(why, rows[i].why) : *why) || f.open_now)
			fail_msg("line %d: %s '%s'", rows[i].line, pmutest_verdict_name(t.verdict), why);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--touch")) {
		touch_pages((size_t)atoi(argv[2]));
		return 0;
	}
	/* Encodings of PMUs that this machine lacks: read by libpfm4 once, at its start. */
	setenv("LIBPFM_ENCODE_INACTIVE", "1", 1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_encode),
		cmocka_unit_test(levels_follow_the_caller_and_the_name),
		cmocka_unit_test(bad_names_are_refused),
		cmocka_unit_test(errors_become_advice),
		cmocka_unit_test(only_whole_readings_count),
		cmocka_unit_test(groups_open_read_and_close),
		cmocka_unit_test(injected_failures_leave_nothing_open),
		cmocka_unit_test(a_lost_group_is_no_figure),
		cmocka_unit_test(passes_fit_the_machine),
		cmocka_unit_test(real_page_faults_are_counted),
		cmocka_unit_test(whole_programs_are_counted),
		cmocka_unit_test(core_cycles_follow_the_chain),
		cmocka_unit_test(the_tsc_ticks),
		cmocka_unit_test(pmutest_judges_readings),
	};
	return cmocka_run_group_tests_name("counter", tests, NULL, NULL);
}
