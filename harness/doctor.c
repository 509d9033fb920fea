/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/doctor.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "harness/callgrind.h"
#include "harness/child.h"
#include "harness/host.h"
#include "harness/profile.h"
#include "harness/tsc.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRY_NS UINT64_C(20000000000)
enum { NEEDED_MIB = 500 };

struct examination {
	struct doctor *d;
	const struct counter_os *os;
	const char *place;
	char *path_env; /* "PATH=…" */
	char *scratch;	/* NULL: none to be had */
};

void doctor_add(struct doctor *d, const char *name, bool needed, bool yes, const char *why, const char *remedy)
{
	assert(d->n < DOCTOR_CHECKS_MAX && *why && (yes || (remedy && *remedy)));
	struct doctor_check *c = &d->item[d->n++];
	*c = (struct doctor_check){ .name = name, .needed = needed, .yes = yes };
	snprintf(c->why, sizeof(c->why), "%s", why);
	snprintf(c->remedy, sizeof(c->remedy), "%s", yes ? "" : remedy);
}

bool doctor_able(const struct doctor *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->item[i].needed && !d->item[i].yes)
			return false;
	return true;
}

/* First line of a text without its newline, cut to what a finding holds. */
static void first_line(const char *text, char *out, size_t n)
{
	snprintf(out, n, "%.*s", (int)strcspn(text, "\n"), text);
}

/* Run a tool; true when it ended with 0. what: its first line of output, or how it ended. */
static bool runs(struct examination *x, const char *const *argv, const char *const *env, char *what, size_t n)
{
	const char *plain[] = { x->path_env, "LC_ALL=C", NULL };
	struct child_spec spec = { .argv = argv, .env = env ? env : plain, .cwd = x->scratch, .timeout_ns = TRY_NS,
				   .cpu = -1, .pass_fd = -1 };
	struct child_result r = { 0 };
	struct error e = { 0 };
	struct buf how = { 0 };
	bool ok = false;
	if (child_run(&spec, &r, &e)) {
		snprintf(what, n, "%.*s", (int)n - 1, e.text);
	} else {
		ok = r.outcome == CHILD_EXITED && r.status == 0;
		const struct buf *said = r.out.len ? &r.out : &r.err;
		child_describe(&r, &how);
		if (ok)
			first_line(buf_str(said), what, n);
		else
			snprintf(what, n, "%s: %s%s%.*s", argv[0], buf_str(&how), said->len ? ": " : "",
				 (int)strcspn(buf_str(said), "\n"), buf_str(said));
	}
	buf_release(&how);
	child_release(&r);
	return ok;
}

static void check_tool(struct examination *x, const char *name, bool needed, const char *const *argv, const char *package)
{
	char what[300], why[400], remedy[120];
	bool ok = runs(x, argv, NULL, what, sizeof(what));
	snprintf(why, sizeof(why), "%s", *what ? what : "works");
	snprintf(remedy, sizeof(remedy), "run 'apt-get install %s'", package);
	doctor_add(x->d, name, needed, ok, why, remedy);
}

static void check_hardware(struct examination *x)
{
	static const char *const names[] = { "cycles", "instructions", "branch-misses", "LLC-load-misses", "dTLB-load-misses" };
	enum { N = sizeof(names) / sizeof(*names) };
	struct counter_event ev[N];
	struct counter_pass passes[N];
	struct buf advice = { 0 }, list = { 0 };
	char why[400], first[300];
	size_t n = 0, counted = 0;
	for (size_t i = 0; i < N; i++)
		n += !counter_encode(names[i], false, &ev[n], NULL);
	size_t npasses = counter_passes(x->os, ev, n, passes, &advice);
	for (size_t p = 0; p < npasses; p++)
		for (size_t i = 0; i < passes[p].n; i++, counted++)
			buf_printf(&list, "%s%s", list.len ? ", " : "", ev[passes[p].index[i]].name);
	first_line(buf_str(&advice), first, sizeof(first));
	if (counted)
		snprintf(why, sizeof(why), "%s, in %zu pass%s%s%s", buf_str(&list), npasses, npasses > 1 ? "es" : "",
			 *first ? "; " : "", first);
	else
		snprintf(why, sizeof(why), "%s", *first ? first : "libpfm4 knows no events for this machine");
	doctor_add(x->d, "hardware counters", false, counted > 0, why,
		   "a machine with a PMU and perf_event_paranoid of 2 or less; without one, time, exact counts and "
		   "core_cycles_est remain");
	buf_release(&advice);
	buf_release(&list);
}

static void check_sampling(struct examination *x)
{
	struct profile p;
	struct error e = { 0 };
	char why[400];
	int rc = profile_try(x->os, &p, &e);
	if (rc)
		snprintf(why, sizeof(why), "%.*s", (int)sizeof(why) - 1, e.text);
	else if (p.why)
		snprintf(why, sizeof(why), "by a timer; the PMU's cycles are not sampled here");
	else
		snprintf(why, sizeof(why), "cycles of the PMU, precise_ip %u", p.precise);
	doctor_add(x->d, "sampled addresses", false, !rc, why,
		   "'sysctl kernel.perf_event_paranoid=2', or outside the container; without them 'account --cycles' tells no cycles by function");
	profile_release(&p);
}

/* One event of the kernel's own, counted on this thread. */
static bool opens(struct examination *x, const struct counter_event *ev, char *why, size_t n)
{
	struct counter_set cs = { 0 };
	struct error e = { 0 };
	if (counter_open(&cs, x->os, COUNTER_THREAD, ev, 1, &e)) {
		snprintf(why, n, "%.*s", (int)n - 1, e.text);
		return false;
	}
	counter_close(&cs);
	snprintf(why, n, "%s opens (%s)", ev->name, ev->attr.exclude_kernel ? "user side" : "kernel side too");
	return true;
}

static void check_software(struct examination *x)
{
	struct counter_event ev;
	char why[400];
	bool user = !counter_encode("page-faults", false, &ev, NULL) && opens(x, &ev, why, sizeof(why));
	doctor_add(x->d, "software counters", false, user, why,
		   "'sysctl kernel.perf_event_paranoid=2', or outside the container; page faults by getrusage remain");
	bool kernel = !counter_encode("page-faults", true, &ev, NULL) && opens(x, &ev, why, sizeof(why));
	doctor_add(x->d, "kernel-side counters", false, kernel, why,
		   "run as root or 'sysctl kernel.perf_event_paranoid=1'; context switches then come from getrusage");
}

static void check_msr(struct examination *x)
{
	struct buf b = { 0 };
	char why[400];
	bool yes = false;
	if (fs_read("/sys/bus/event_source/devices/msr/type", 32, &b, NULL) || !b.len) {
		snprintf(why, sizeof(why), "the kernel offers no msr events");
	} else {
		struct counter_event ev = { .name = "msr/tsc", .attr = { .type = (uint32_t)atoi(b.data),
									.size = sizeof(ev.attr), .disabled = 1 } };
		ev.attr.read_format = PERF_FORMAT_GROUP | PERF_FORMAT_ID | PERF_FORMAT_TOTAL_TIME_ENABLED |
				      PERF_FORMAT_TOTAL_TIME_RUNNING;
		yes = opens(x, &ev, why, sizeof(why));
	}
	doctor_add(x->d, "msr/tsc", false, yes, why, "root or 'sysctl kernel.perf_event_paranoid=1'; rdtsc gives the same");
	buf_release(&b);
}

static void check_tsc(struct examination *x)
{
	char why[200];
	double hz = tsc_hz();
	bool yes = hz > 0 && tsc_invariant();
	if (hz > 0)
		snprintf(why, sizeof(why), "%s, %.3f GHz", tsc_invariant() ? "invariant" : "the rate follows the core's clock",
			 hz / 1e9);
	else
		snprintf(why, sizeof(why), "no time-stamp counter on this architecture");
	doctor_add(x->d, "invariant TSC", false, yes, why, "none in software: tsc_cycles and core_cycles_est are then left out");
}

static void check_clock(struct examination *x)
{
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < 2000; i++) {
		uint64_t a = clock_mono_ns(), b = clock_mono_ns();
		if (b > a && b - a < least)
			least = b - a;
	}
	struct timespec cpu = { 0 };
	clock_getres(CLOCK_THREAD_CPUTIME_ID, &cpu);
	char why[200];
	bool yes = least <= 1000 && cpu.tv_sec == 0 && cpu.tv_nsec <= 1000;
	snprintf(why, sizeof(why), "the clock steps by %llu ns, thread CPU time by %ld ns", (unsigned long long)least,
		 cpu.tv_nsec);
	doctor_add(x->d, "time resolution", true, yes, why,
		   "a kernel with high-resolution timers and the TSC as clock source (see /sys/devices/system/clocksource)");
}

/* Really runs: some kernels and sandboxes stop valgrind at its first mapping. */
static void check_callgrind(struct examination *x)
{
	const char *tool = callgrind_tool();
	if (!tool) {
		doctor_add(x->d, "callgrind", true, false, "not installed", "run 'apt-get install valgrind'");
		return;
	}
	char *file = x_printf("%s/callgrind", x->scratch ? x->scratch : "/tmp");
	char *option = x_printf("--callgrind-out-file=%s", file);
	const char *argv[] = { tool, "--tool=callgrind", "--command-line-only=yes", "-q", option, "/bin/true", NULL };
	const char *env[] = { "VALGRIND_LAUNCHER=/usr/bin/valgrind", NULL };
	char what[300], why[400];
	struct cgsum sum = { 0 };
	struct error e = { 0 };
	bool ok = runs(x, argv, env, what, sizeof(what));
	if (ok && cgsum_read(&sum, (const char *const[]){ file }, 1, false, &e)) {
		ok = false;
		snprintf(what, sizeof(what), "%.*s", (int)sizeof(what) - 1, e.text);
	}
	if (ok)
		snprintf(why, sizeof(why), "counts 'true': %llu instructions in %zu functions",
			 (unsigned long long)sum.total_ir, sum.nfunctions);
	else
		snprintf(why, sizeof(why), "%s", what);
	doctor_add(x->d, "callgrind", true, ok, why, "run 'valgrind --tool=callgrind true' and see what it says");
	cgsum_release(&sum);
	unlink(file);
	free(option);
	free(file);
}

static void check_bubblewrap(struct examination *x)
{
	static const char *const argv[] = { "bwrap",	"--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc",
					    "--unshare-net", "--die-with-parent", "/bin/true", NULL };
	char what[300], why[400];
	bool ok = runs(x, argv, NULL, what, sizeof(what));
	snprintf(why, sizeof(why), "%s", ok ? "starts a program without network" : what);
	doctor_add(x->d, "bubblewrap", false, ok, why,
		   "run 'apt-get install bubblewrap' and allow user namespaces; without it builds run unconfined, and say so");
}

/* Two namespaces in a child of our own, which dies with them. */
static void check_namespaces(struct examination *x)
{
	char why[200];
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET) ? errno & 0xff : 0);
	int status = 0;
	bool ok = pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (ok)
		snprintf(why, sizeof(why), "an empty network namespace can be made");
	else
		snprintf(why, sizeof(why), "unshare: %s", strerror(WIFEXITED(status) ? WEXITSTATUS(status) : EPERM));
	doctor_add(x->d, "namespaces", false, ok, why,
		   "run as root or 'sysctl kernel.unprivileged_userns_clone=1'; without them builds may reach the network");
}

/* Compile, link shuffled, twice with different seeds, and see that the order moved: an old lld ignores the option. */
static void check_compiler_and_layout(struct examination *x)
{
	char what[300], why[400];
	if (!x->scratch) {
		doctor_add(x->d, "compiler", true, false, "no scratch folder could be made under TMPDIR", "free some space");
		return;
	}
	struct buf text = { 0 };
	for (int i = 0; i < 40; i++)
		buf_printf(&text, "int f%d(int x) { return x * %d; }\n", i, i + 3);
	char *source = x_printf("%s/t.c", x->scratch);
	int rc = fs_write(source, text.data, text.len, NULL);
	buf_release(&text);
	free(source);
	static const char *const compile[] = { "gcc", "-c", "-fPIC", "-ffunction-sections", "-o", "t.o", "t.c", NULL };
	bool ok = !rc && runs(x, compile, NULL, what, sizeof(what));
	doctor_add(x->d, "compiler", true, ok, ok ? "gcc compiles" : what, "run 'apt-get install gcc libc6-dev'");
	if (!ok)
		return;
	static const char *const one[] = { "ld.lld", "-shared", "--shuffle-sections=.text*=1", "-o", "1.so", "t.o", NULL };
	static const char *const two[] = { "ld.lld", "-shared", "--shuffle-sections=.text*=2", "-o", "2.so", "t.o", NULL };
	char *files[2] = { x_printf("%s/1.so", x->scratch), x_printf("%s/2.so", x->scratch) };
	char hash[2][HASH_HEX] = { "", "" };
	ok = runs(x, one, NULL, what, sizeof(what)) && runs(x, two, NULL, what, sizeof(what));
	for (int i = 0; ok && i < 2; i++)
		ok = !hash_file(files[i], hash[i], NULL);
	bool moved = ok && strcmp(hash[0], hash[1]);
	snprintf(why, sizeof(why), "%s", moved ? "lld draws the order of functions by a seed"
					 : ok  ? "two seeds gave the same link"
					       : what);
	doctor_add(x->d, "random layout", false, moved, why,
		   "run 'apt-get install lld'; without it figures hold for one layout only, and say so");
	free(files[0]);
	free(files[1]);
}

static void check_disk(struct examination *x)
{
	char *at = x_strdup(x->place);
	struct statvfs v;
	char why[400], remedy[200];
	int rc;
	/* The place itself may not be there yet: ask the nearest folder above it. */
	while ((rc = statvfs(at, &v)) && strrchr(at, '/') && strrchr(at, '/') != at)
		*strrchr(at, '/') = '\0';
	uint64_t mib = rc ? 0 : (uint64_t)v.f_bavail * v.f_frsize >> 20;
	bool writable = !rc && !access(at, W_OK);
	snprintf(why, sizeof(why), "%llu MiB free at %.200s%s", (unsigned long long)mib, at,
		 writable ? "" : ", which cannot be written");
	snprintf(remedy, sizeof(remedy), "%s", writable ? "free some space ('hakperf gc'), or set HAKPERF_CACHE to another place"
						       : "set HAKPERF_CACHE and --db to a place that can be written");
	doctor_add(x->d, "disk space", true, writable && mib >= NEEDED_MIB, why, remedy);
	free(at);
}

static void check_cpus(struct examination *x)
{
	int cpu[2];
	char why[200];
	size_t n = host_pick_cpus(2, cpu);
	if (n == 2)
		snprintf(why, sizeof(why), "CPU %d for one thread, CPU %d for a second one", cpu[0], cpu[1]);
	else
		snprintf(why, sizeof(why), "%s", n ? "one CPU only: threads take turns" : "/sys names no CPU");
	doctor_add(x->d, "CPUs to pin to", false, n == 2, why, "a machine, or a cpuset, with two CPUs and more");
}

void doctor_examine(const struct counter_os *os, const char *place, const char *env_path, struct doctor *d)
{
	static const char *const make[] = { "make", "--version", NULL };
	static const char *const git[] = { "git", "--version", NULL };
	static const char *const gnuplot[] = {
		"gnuplot", "-e", "set terminal svg; set print '-'; print sprintf('gnuplot %.1f draws SVG', GPVAL_VERSION)", NULL
	};
	static const char *const ccache[] = { "ccache", "--version", NULL };
	const char *tmp = getenv("TMPDIR");
	struct examination x = { .d = d, .os = os, .place = place, .path_env = x_printf("PATH=%s", env_path) };
	x.scratch = x_printf("%s/hakperf-doctor-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(x.scratch)) {
		free(x.scratch);
		x.scratch = NULL;
	}
	d->n = 0;
	check_clock(&x);
	check_callgrind(&x);
	check_hardware(&x);
	check_software(&x);
	check_sampling(&x);
	check_msr(&x);
	check_tsc(&x);
	check_cpus(&x);
	check_compiler_and_layout(&x);
	check_tool(&x, "make", true, make, "make");
	check_tool(&x, "git", true, git, "git");
	check_bubblewrap(&x);
	check_namespaces(&x);
	check_tool(&x, "gnuplot", false, gnuplot, "gnuplot-nox");
	check_tool(&x, "ccache", false, ccache, "ccache");
	check_disk(&x);
	if (x.scratch)
		fs_remove(x.scratch, NULL);
	free(x.scratch);
	free(x.path_env);
}
