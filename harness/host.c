/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/host.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ENTRY_MAX = 4 << 20 }; /* /proc/cpuinfo of a big machine */

/* One entry below the root, without blanks at its ends; false when it cannot be read. */
static bool entry(const char *root, const char *path, struct buf *out)
{
	char *full = x_printf("%s%s", root, path);
	buf_reset(out);
	int rc = fs_read(full, ENTRY_MAX, out, NULL);
	free(full);
	while (!rc && out->len && isspace((unsigned char)out->data[out->len - 1]))
		out->data[--out->len] = '\0';
	return !rc && out->len > 0;
}

/* The value behind "key :" at the beginning of a line; its length is written to *n. */
static const char *field(const char *text, const char *key, size_t *n)
{
	size_t k = strlen(key);
	for (const char *s = text; s && *s; s = strchr(s, '\n'), s = s ? s + 1 : NULL) {
		if (strncmp(s, key, k))
			continue;
		const char *v = s + k;
		v += strspn(v, " \t");
		if (*v != ':')
			continue;
		v++;
		v += strspn(v, " \t");
		*n = strcspn(v, "\n");
		return v;
	}
	return NULL;
}

static void set(struct host_fact *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void set(struct host_fact *f, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(f->value, sizeof(f->value), fmt, ap);
	va_end(ap);
	for (char *s = f->value; *s; s++)
		if ((unsigned char)*s < 0x20)
			*s = ' ';
}

static void read_cpuinfo(const char *root, const char *key, struct host_fact *f)
{
	struct buf b = { 0 };
	size_t n;
	const char *v = entry(root, "/proc/cpuinfo", &b) ? field(b.data, key, &n) : NULL;
	if (v && n)
		set(f, "%.*s", (int)(n < HOST_VALUE_MAX ? n : HOST_VALUE_MAX - 1), v);
	buf_release(&b);
}

static void read_path(const char *root, const char *path, struct host_fact *f)
{
	struct buf b = { 0 };
	if (entry(root, path, &b))
		set(f, "%s", b.data);
	buf_release(&b);
}

/* The word in brackets of "always [madvise] never". */
static void read_chosen(const char *root, const char *path, struct host_fact *f)
{
	struct buf b = { 0 };
	if (entry(root, path, &b)) {
		const char *open = strchr(b.data, '['), *close = open ? strchr(open, ']') : NULL;
		if (close)
			set(f, "%.*s", (int)(close - open - 1), open + 1);
		else
			set(f, "%s", b.data);
	}
	buf_release(&b);
}

static void read_online(const char *root, const char *what, struct host_fact *f)
{
	struct host_cpus c = { 0 };
	(void)what;
	if (!host_cpus_read(root, &c, NULL)) {
		size_t cores = 0;
		for (size_t i = 0; i < c.n; i++)
			cores += c.item[i].core == c.item[i].id;
		set(f, "%zu on %zu cores", c.n, cores);
	}
	host_cpus_release(&c);
}

/* Rounded to 64 MiB: kernels reserve a little more or less for themselves. */
static void read_memory(const char *root, const char *what, struct host_fact *f)
{
	struct buf b = { 0 };
	size_t n;
	const char *v = entry(root, "/proc/meminfo", &b) ? field(b.data, what, &n) : NULL;
	if (v)
		set(f, "%llu MiB", (strtoull(v, NULL, 10) / 1024 + 32) / 64 * 64);
	buf_release(&b);
}

static void read_swap(const char *root, const char *what, struct host_fact *f)
{
	struct buf b = { 0 };
	size_t n;
	const char *v = entry(root, "/proc/meminfo", &b) ? field(b.data, what, &n) : NULL;
	if (v)
		set(f, "%llu MiB", strtoull(v, NULL, 10) / 1024);
	buf_release(&b);
}

/* All of /sys/devices/system/cpu/vulnerabilities as one hash and the number that is mitigated. */
static void read_mitigations(const char *root, const char *folder, struct host_fact *f)
{
	char *path = x_printf("%s%s", root, folder);
	struct dirent **list;
	int n = scandir(path, &list, NULL, alphasort);
	free(path);
	if (n < 0)
		return;
	struct buf all = { 0 }, one = { 0 };
	int mitigated = 0, vulnerable = 0;
	for (int i = 0; i < n; i++) {
		char *file = x_printf("%s/%s", folder, list[i]->d_name);
		if (list[i]->d_name[0] != '.' && entry(root, file, &one)) {
			mitigated += !strncmp(one.data, "Mitigation", 10);
			vulnerable += !strncmp(one.data, "Vulnerable", 10);
			buf_printf(&all, "%s: %s\n", list[i]->d_name, one.data);
		}
		free(file);
		free(list[i]);
	}
	free(list);
	if (all.len) {
		char hex[HASH_HEX];
		hash_bytes(all.data, all.len, hex);
		set(f, "%d mitigated, %d vulnerable (%.12s)", mitigated, vulnerable, hex);
	}
	buf_release(&all);
	buf_release(&one);
}

static void read_turbo(const char *root, const char *what, struct host_fact *f)
{
	(void)what;
	struct buf b = { 0 };
	if (entry(root, "/sys/devices/system/cpu/intel_pstate/no_turbo", &b))
		set(f, "%s", b.data[0] == '0' ? "on" : "off");
	else if (entry(root, "/sys/devices/system/cpu/cpufreq/boost", &b))
		set(f, "%s", b.data[0] == '0' ? "off" : "on");
	buf_release(&b);
}

static void read_aslr(const char *root, const char *path, struct host_fact *f)
{
	static const char *const levels[] = { "off", "without the heap", "full" };
	struct buf b = { 0 };
	if (entry(root, path, &b) && b.data[0] >= '0' && b.data[0] <= '2')
		set(f, "%s", levels[b.data[0] - '0']);
	buf_release(&b);
}

/* What the firmware calls the machine, else what the CPU's flags and the container's marks give away. */
static void read_virtualisation(const char *root, const char *what, struct host_fact *f)
{
	(void)what;
	struct buf b = { 0 };
	char product[128] = "", hypervisor[32] = "";
	size_t n;
	if (entry(root, "/sys/class/dmi/id/product_name", &b))
		snprintf(product, sizeof(product), " (%.100s)", b.data);
	if (entry(root, "/sys/hypervisor/type", &b))
		snprintf(hypervisor, sizeof(hypervisor), " %.20s", b.data);
	const char *flags = entry(root, "/proc/cpuinfo", &b) ? field(b.data, "flags", &n) : NULL;
	if (flags) {
		char *copy = x_printf(" %.*s ", (int)n, flags);
		bool guest = strstr(copy, " hypervisor ") != NULL;
		free(copy);
		set(f, "%s%s%s", guest ? "virtual machine" : "none", hypervisor, product);
	}
	buf_release(&b);
}

static void read_load(const char *root, const char *path, struct host_fact *f)
{
	struct buf b = { 0 };
	if (entry(root, path, &b))
		set(f, "%.*s", (int)strcspn(b.data, " "), b.data);
	buf_release(&b);
}

static void read_pmus(const char *root, const char *folder, struct host_fact *f)
{
	char *path = x_printf("%s%s", root, folder);
	struct dirent **list;
	int n = scandir(path, &list, NULL, alphasort);
	free(path);
	if (n < 0)
		return;
	struct buf b = { 0 };
	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.')
			buf_printf(&b, "%s%s", b.len ? " " : "", list[i]->d_name);
		free(list[i]);
	}
	free(list);
	if (b.len)
		set(f, "%s", b.data);
	buf_release(&b);
}

/* One table says what is read, from where, and what makes the machine the same machine after a reboot. */
static const struct {
	const char *key;
	bool stable;
	void (*read)(const char *root, const char *what, struct host_fact *f);
	const char *what;
} table[] = {
	{ "cpu_model", true, read_cpuinfo, "model name" },
	{ "cpu_vendor", true, read_cpuinfo, "vendor_id" },
	{ "cpu_family", true, read_cpuinfo, "cpu family" },
	{ "cpu_model_number", true, read_cpuinfo, "model" },
	{ "cpu_stepping", true, read_cpuinfo, "stepping" },
	{ "cpu_microcode", true, read_cpuinfo, "microcode" },
	{ "cpu_cache", true, read_cpuinfo, "cache size" },
	{ "cpus", true, read_path, "/sys/devices/system/cpu/present" },
	{ "memory", true, read_memory, "MemTotal" },
	{ "virtualisation", true, read_virtualisation, NULL },
	{ "kernel", true, read_path, "/proc/sys/kernel/osrelease" },
	{ "kernel_build", true, read_path, "/proc/sys/kernel/version" },
	{ "mitigations", true, read_mitigations, "/sys/devices/system/cpu/vulnerabilities" },
	{ "kernel_command_line", false, read_path, "/proc/cmdline" },
	{ "cpus_online", false, read_online, NULL },
	{ "governor", false, read_path, "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor" },
	{ "frequency_driver", false, read_path, "/sys/devices/system/cpu/cpufreq/policy0/scaling_driver" },
	{ "turbo", false, read_turbo, NULL },
	{ "smt", false, read_path, "/sys/devices/system/cpu/smt/control" },
	{ "isolated_cpus", false, read_path, "/sys/devices/system/cpu/isolated" },
	{ "thp", false, read_chosen, "/sys/kernel/mm/transparent_hugepage/enabled" },
	{ "aslr", false, read_aslr, "/proc/sys/kernel/randomize_va_space" },
	{ "overcommit", false, read_path, "/proc/sys/vm/overcommit_memory" },
	{ "swap", false, read_swap, "SwapTotal" },
	{ "clocksource", false, read_path, "/sys/devices/system/clocksource/clocksource0/current_clocksource" },
	{ "perf_event_paranoid", false, read_path, "/proc/sys/kernel/perf_event_paranoid" },
	{ "nmi_watchdog", false, read_path, "/proc/sys/kernel/nmi_watchdog" },
	{ "pmus", false, read_pmus, "/sys/bus/event_source/devices" },
	{ "load", false, read_load, "/proc/loadavg" },
	{ "boot", false, read_path, "/proc/sys/kernel/random/boot_id" },
};
static_assert(sizeof(table) / sizeof(*table) <= HOST_FACTS_MAX, "host_facts holds every fact");

void host_read(const char *root, struct host_facts *out)
{
	struct buf stable = { 0 };
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct host_fact *f = &out->item[out->n++];
		f->key = table[i].key;
		f->stable = table[i].stable;
		table[i].read(root, table[i].what, f);
		if (!f->value[0])
			set(f, "unknown");
		if (f->stable)
			buf_printf(&stable, "%s=%s\n", f->key, f->value);
	}
	hash_bytes(stable.data, stable.len, out->fingerprint);
	buf_release(&stable);
}

const char *host_fact(const struct host_facts *f, const char *key)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->item[i].key, key))
			return f->item[i].value;
	return "unknown";
}

/*
 * The first numbers of a "cpu…" line of /proc/stat: user nice system idle iowait irq softirq steal (proc(5)). Guest time is part
 * of user time. Returns how many there were.
 */
static int stat_line(const char *s, uint64_t t[8])
{
	int n = 0;
	for (char *end; n < 8; n++, s = end) {
		while (*s == ' ')
			s++;
		if (*s < '0' || *s > '9')
			break;
		t[n] = strtoull(s, &end, 10);
	}
	return n;
}

static bool stat_ticks(const char *s, uint64_t *busy, uint64_t *total, uint64_t *steal)
{
	uint64_t t[8] = { 0 };
	if (stat_line(s, t) < 4)
		return false;
	*busy = t[0] + t[1] + t[2] + t[5] + t[6];
	*total = *busy + t[3] + t[4] + t[7];
	*steal = t[7];
	return true;
}

/* The number behind "key " at the beginning of a line, UINT64_MAX without such a line. */
static uint64_t counted(const char *text, const char *key)
{
	size_t k = strlen(key);
	for (const char *s = text; s && *s; s = strchr(s, '\n'), s = s ? s + 1 : NULL)
		if (!strncmp(s, key, k) && s[k] == ' ')
			return strtoull(s + k, NULL, 10);
	return UINT64_MAX;
}

void host_snapshot(const char *root, struct host_snapshot *out)
{
	struct buf b = { 0 };
	size_t n;
	*out = (struct host_snapshot){ clock_mono_ns(), UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
				       UINT64_MAX,	UINT64_MAX, NAN,	UINT64_MAX, UINT64_MAX };
	if (entry(root, "/proc/stat", &b)) {
		if (!strncmp(b.data, "cpu ", 4))
			stat_ticks(b.data + 4, &out->busy_ticks, &out->total_ticks, &out->steal_ticks);
		out->switches = counted(b.data, "ctxt");
		out->runnable = counted(b.data, "procs_running");
	}
	if (entry(root, "/proc/vmstat", &b)) {
		out->swap_in_pages = counted(b.data, "pswpin");
		out->swap_out_pages = counted(b.data, "pswpout");
	}
	if (entry(root, "/proc/loadavg", &b)) {
		char *end;
		double load = strtod(b.data, &end);
		out->load1 = end != b.data ? load : NAN;
	}
	const char *v = entry(root, "/proc/meminfo", &b) ? field(b.data, "MemAvailable", &n) : NULL;
	if (v)
		out->available_bytes = strtoull(v, NULL, 10) * 1024;
	buf_release(&b);
}

/* after - before; NAN when one is unknown or the total went backwards. */
static double moved(uint64_t before, uint64_t after)
{
	return before == UINT64_MAX || after == UINT64_MAX || after < before ? NAN : (double)(after - before);
}

struct host_change host_difference(const struct host_snapshot *a, const struct host_snapshot *b)
{
	double seconds = moved(a->mono_ns, b->mono_ns) / 1e9;
	double ticks = moved(a->total_ticks, b->total_ticks);
	double swapped = moved(a->swap_in_pages, b->swap_in_pages) + moved(a->swap_out_pages, b->swap_out_pages);
	return (struct host_change){
		.seconds = seconds,
		.busy_share = ticks > 0 ? moved(a->busy_ticks, b->busy_ticks) / ticks : NAN,
		.steal_share = ticks > 0 ? moved(a->steal_ticks, b->steal_ticks) / ticks : NAN,
		.switches_per_s = seconds > 0 ? moved(a->switches, b->switches) / seconds : NAN,
		.swap_pages = swapped,
		.load1 = b->load1,
	};
}

/* Call take for every CPU of a kernel list, "0-3,8"; a broken list ends it. */
static void each_cpu(const char *list, void (*take)(void *ctx, int cpu), void *ctx)
{
	for (const char *s = list; *s >= '0' && *s <= '9';) {
		char *end;
		long first = strtol(s, &end, 10), last = first;
		if (*end == '-')
			last = strtol(end + 1, &end, 10);
		if (last < first || last >= 1 << 16)
			return;
		for (long i = first; i <= last; i++)
			take(ctx, (int)i);
		s = *end == ',' ? end + 1 : end;
	}
}

struct cpus_reader {
	struct host_cpus *out;
	size_t cap;
	bool isolate;
};

static struct host_cpu *cpu_by_id(const struct host_cpus *c, int id)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->item[i].id == id)
			return &c->item[i];
	return NULL;
}

static void take_online(void *ctx, int cpu)
{
	struct cpus_reader *r = ctx;
	x_grow(r->out->item, r->out->n, r->cap);
	r->out->item[r->out->n++] = (struct host_cpu){ .id = cpu, .core = cpu };
}

static void take_isolated(void *ctx, int cpu)
{
	struct cpus_reader *r = ctx;
	struct host_cpu *c = cpu_by_id(r->out, cpu);
	if (c)
		c->isolated = true;
}

static void take_lowest(void *ctx, int cpu)
{
	int *lowest = ctx;
	if (*lowest < 0 || cpu < *lowest)
		*lowest = cpu;
}

static void read_topology(const char *root, struct host_cpu *c, struct buf *b)
{
	static const char *const speeds[] = { "cpu_capacity", "cpufreq/cpuinfo_max_freq" };
	char path[128];
	int lowest = -1;
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", c->id);
	if (entry(root, path, b))
		each_cpu(b->data, take_lowest, &lowest);
	if (lowest >= 0)
		c->core = lowest;
	for (size_t i = 0; i < sizeof(speeds) / sizeof(*speeds) && !c->speed; i++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/%s", c->id, speeds[i]);
		if (entry(root, path, b))
			c->speed = strtoull(b->data, NULL, 10);
	}
}

int host_cpus_read(const char *root, struct host_cpus *out, struct error *e)
{
	struct buf b = { 0 };
	struct cpus_reader r = { .out = out };
	*out = (struct host_cpus){ 0 };
	if (entry(root, "/sys/devices/system/cpu/online", &b))
		each_cpu(b.data, take_online, &r);
	if (!out->n) {
		buf_release(&b);
		host_cpus_release(out);
		return error_set(e, -ENOENT, "%s/sys/devices/system/cpu/online names no CPU: is /sys mounted?", root);
	}
	if (entry(root, "/sys/devices/system/cpu/isolated", &b))
		each_cpu(b.data, take_isolated, &r);
	for (size_t i = 0; i < out->n; i++)
		read_topology(root, &out->item[i], &b);
	if (entry(root, "/proc/stat", &b)) {
		for (const char *s = b.data; s; s = strchr(s, '\n'), s = s ? s + 1 : NULL) {
			char *end;
			uint64_t steal;
			if (strncmp(s, "cpu", 3) || s[3] < '0' || s[3] > '9')
				continue;
			struct host_cpu *c = cpu_by_id(out, (int)strtol(s + 3, &end, 10));
			if (c)
				stat_ticks(end, &c->busy_ticks, &c->total_ticks, &steal);
		}
	}
	buf_release(&b);
	return 0;
}

void host_cpus_release(struct host_cpus *c)
{
	free(c->item);
	*c = (struct host_cpus){ 0 };
}

/* How busy a CPU's whole core was, in steps of 5 %; 0 where nothing is known. */
static int core_busy(const struct host_cpus *before, const struct host_cpus *after, int core)
{
	double busy = 0;
	for (size_t i = 0; i < after->n; i++) {
		const struct host_cpu *b = &after->item[i], *a = cpu_by_id(before, b->id);
		if (b->core != core || !a || b->total_ticks <= a->total_ticks)
			continue;
		double share = moved(a->busy_ticks, b->busy_ticks) / (double)(b->total_ticks - a->total_ticks);
		if (share > busy)
			busy = share;
	}
	return (int)(busy * 20);
}

static bool core_taken(const struct host_cpus *c, const int *chosen, size_t n, int core)
{
	for (size_t i = 0; i < n; i++)
		if (cpu_by_id(c, chosen[i])->core == core)
			return true;
	return false;
}

/* Is x the better one to measure on? */
static bool better(const struct host_cpu *x, bool x_taken, int x_busy, const struct host_cpu *y, bool y_taken, int y_busy)
{
	if (x_taken != y_taken)
		return y_taken;
	if (x->speed != y->speed)
		return x->speed > y->speed;
	if (x->isolated != y->isolated)
		return x->isolated;
	if (x_busy != y_busy)
		return x_busy < y_busy;
	if ((x->core == 0) != (y->core == 0))
		return y->core == 0;
	if ((x->id == 0) != (y->id == 0))
		return y->id == 0;
	return x->id < y->id;
}

size_t host_cpus_choose(const struct host_cpus *before, const struct host_cpus *after, const cpu_set_t *allowed,
			size_t want, int *out)
{
	size_t n = 0;
	while (n < want) {
		const struct host_cpu *best = NULL;
		bool best_taken = false;
		int best_busy = 0;
		for (size_t i = 0; i < after->n; i++) {
			const struct host_cpu *c = &after->item[i];
			bool again = c->id >= CPU_SETSIZE || !CPU_ISSET(c->id, allowed);
			for (size_t k = 0; k < n; k++)
				again |= out[k] == c->id;
			if (again)
				continue;
			bool taken = core_taken(after, out, n, c->core);
			int busy = core_busy(before, after, c->core);
			if (!best || better(c, taken, busy, best, best_taken, best_busy)) {
				best = c;
				best_taken = taken;
				best_busy = busy;
			}
		}
		if (!best)
			break;
		out[n++] = best->id;
	}
	return n;
}

size_t host_pick_cpus(size_t want, int *out)
{
	struct host_cpus before, after;
	cpu_set_t allowed;
	size_t n = 0;
	if (sched_getaffinity(0, sizeof(allowed), &allowed) || host_cpus_read("", &before, NULL))
		return 0;
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	if (!host_cpus_read("", &after, NULL))
		n = host_cpus_choose(&before, &after, &allowed, want, out);
	host_cpus_release(&before);
	host_cpus_release(&after);
	return n;
}
