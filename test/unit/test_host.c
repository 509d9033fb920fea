/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/host.h"

#include "base/buf.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/hakperf-host-XXXXXX";

/* A tree of /proc and /sys below a root of its own. */
static char *new_root(void)
{
	static int n;
	char *root = x_printf("%s/%d", folder, n++);
	assert_int_equal(fs_mkdirs(root, NULL), 0);
	return root;
}

static void put(const char *root, const char *path, const char *text)
{
	char *full = x_printf("%s%s", root, path);
	char *slash = strrchr(full, '/');
	*slash = '\0';
	assert_int_equal(fs_mkdirs(full, NULL), 0);
	*slash = '/';
	int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	free(full);
}

#define CPU "/sys/devices/system/cpu/"

/* A laptop with two fast cores of two threads each, two slow cores, and intel_pstate. */
static char *laptop(void)
{
	char *root = new_root();
	put(root, "/proc/cpuinfo",
	    "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 154\n"
	    "model name\t: 12th Gen Intel(R) Core(TM) i5-1240P\nstepping\t: 3\nmicrocode\t: 0x430\n"
	    "cpu MHz\t\t: 2994.118\ncache size\t: 12288 KB\nflags\t\t: fpu vme de\nbogomips\t: 4224.00\n\n");
	put(root, "/proc/meminfo", "MemTotal:       16073892 kB\nMemFree: 1 kB\nMemAvailable: 9000000 kB\nSwapTotal: 1048576 kB\n");
	put(root, "/proc/stat", "cpu  400 0 200 5000 100 0 0 0 0 0\ncpu0 100 0 50 900 0 0 0 0 0 0\ncpu1 1 0 0 1000 0 0 0 0 0 0\n"
				"cpu2 1 0 0 1000 0 0 0 0 0 0\ncpu3 1 0 0 1000 0 0 0 0 0 0\ncpu4 1 0 0 1000 0 0 0 0 0 0\n"
				"cpu5 1 0 0 1000 0 0 0 0 0 0\nintr 5\nctxt 1000\nprocs_running 2\n");
	put(root, "/proc/vmstat", "nr_free_pages 5\npswpin 10\npswpout 20\n");
	put(root, "/proc/loadavg", "0.52 0.58 0.59 2/1034 12345\n");
	put(root, "/proc/cmdline", "quiet splash\n");
	put(root, "/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
	put(root, "/proc/sys/kernel/version", "#1 SMP Debian 6.1.76-1\n");
	put(root, "/proc/sys/kernel/randomize_va_space", "2\n");
	put(root, "/proc/sys/kernel/perf_event_paranoid", "3\n");
	put(root, "/proc/sys/kernel/nmi_watchdog", "1\n");
	put(root, "/proc/sys/kernel/random/boot_id", "aaaa\n");
	put(root, CPU "online", "0-5\n");
	put(root, CPU "present", "0-5\n");
	put(root, CPU "isolated", "\n");
	put(root, CPU "smt/control", "on\n");
	put(root, CPU "intel_pstate/no_turbo", "0\n");
	put(root, CPU "cpufreq/policy0/scaling_governor", "powersave\n");
	put(root, CPU "cpufreq/policy0/scaling_driver", "intel_pstate\n");
	put(root, CPU "vulnerabilities/meltdown", "Not affected\n");
	put(root, CPU "vulnerabilities/spectre_v1", "Mitigation: usercopy\n");
	put(root, CPU "vulnerabilities/spectre_v2", "Vulnerable\n");
	put(root, "/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	put(root, "/sys/class/dmi/id/product_name", "20XYZ\n");
	put(root, "/sys/bus/event_source/devices/cpu_core/type", "4\n");
	put(root, "/sys/bus/event_source/devices/cpu_atom/type", "10\n");
	for (int i = 0; i < 6; i++) {
		char path[128];
		snprintf(path, sizeof(path), CPU "cpu%d/topology/thread_siblings_list", i);
		put(root, path, i < 2 ? "0-1\n" : i < 4 ? "2-3\n" : i == 4 ? "4\n" : "5\n");
		snprintf(path, sizeof(path), CPU "cpu%d/cpufreq/cpuinfo_max_freq", i);
		put(root, path, i < 4 ? "4400000\n" : "3300000\n");
	}
	return root;
}

static void a_recorded_machine_is_told(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *key, *value;
		bool stable;
	} rows[] = {
		{ __LINE__, "cpu_model", "12th Gen Intel(R) Core(TM) i5-1240P", true },
		{ __LINE__, "cpu_model_number", "154", true },
		{ __LINE__, "cpu_microcode", "0x430", true },
		{ __LINE__, "cpus", "0-5", true },
		{ __LINE__, "cpus_online", "6 on 4 cores", false },
		{ __LINE__, "memory", "15680 MiB", true },
		{ __LINE__, "virtualisation", "none (20XYZ)", true },
		{ __LINE__, "kernel", "6.1.0-18-amd64", true },
		{ __LINE__, "governor", "powersave", false },
		{ __LINE__, "turbo", "on", false },
		{ __LINE__, "smt", "on", false },
		{ __LINE__, "isolated_cpus", "unknown", false },
		{ __LINE__, "thp", "madvise", false },
		{ __LINE__, "aslr", "full", false },
		{ __LINE__, "swap", "1024 MiB", false },
		{ __LINE__, "pmus", "cpu_atom cpu_core", false },
		{ __LINE__, "load", "0.52", false },
		{ __LINE__, "perf_event_paranoid", "3", false },
		{ __LINE__, "clocksource", "unknown", false },
		{ __LINE__, "no such fact", "unknown", false },
	};
	char *root = laptop();
	struct host_facts f;
	host_read(root, &f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (strcmp(host_fact(&f, rows[i].key), rows[i].value))
			fail_msg("line %d: %s is '%s'", rows[i].line, rows[i].key, host_fact(&f, rows[i].key));
		for (size_t k = 0; k < f.n; k++)
			if (!strcmp(f.item[k].key, rows[i].key) && f.item[k].stable != rows[i].stable)
				fail_msg("line %d: %s is stable: %d", rows[i].line, rows[i].key, f.item[k].stable);
	}
	assert_ptr_equal(strstr(host_fact(&f, "mitigations"), "1 mitigated, 1 vulnerable ("), host_fact(&f, "mitigations"));
	free(root);
}

static void the_unreadable_is_unknown(void **state)
{
	(void)state;
	char *root = new_root();
	struct host_facts f;
	host_read(root, &f);
	assert_true(f.n > 20);
	for (size_t i = 0; i < f.n; i++)
		assert_string_equal(f.item[i].value, "unknown");
	assert_int_equal(strlen(f.fingerprint), HASH_HEX - 1);

	struct host_snapshot s;
	host_snapshot(root, &s);
	assert_true(isnan(s.load1) && s.total_ticks == UINT64_MAX && s.switches == UINT64_MAX);
	struct host_change c = host_difference(&s, &s);
	assert_true(isnan(c.busy_share) && isnan(c.steal_share) && isnan(c.swap_pages) && isnan(c.switches_per_s));

	struct host_cpus cpus;
	struct error e = { 0 };
	assert_int_equal(host_cpus_read(root, &cpus, &e), -ENOENT);
	assert_non_null(strstr(e.text, "names no CPU"));
	assert_null(cpus.item);
	free(root);
}

static void the_fingerprint_survives_a_reboot(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *path, *text;
		bool same;
	} rows[] = {
		{ __LINE__, "/proc/sys/kernel/random/boot_id", "bbbb\n", true },
		{ __LINE__, "/proc/loadavg", "9.00 1 1 1/1 1\n", true },
		{ __LINE__, CPU "cpufreq/policy0/scaling_governor", "performance\n", true },
		{ __LINE__, "/proc/meminfo", "MemTotal:       16073000 kB\n", true },
		{ __LINE__, "/proc/meminfo", "MemTotal:       32073000 kB\n", false },
		{ __LINE__, "/proc/sys/kernel/osrelease", "6.1.0-19-amd64\n", false },
		{ __LINE__, CPU "vulnerabilities/spectre_v2", "Mitigation: Retpolines\n", false },
		/* frequency and bogomips wander from boot to boot */
		{ __LINE__, "/proc/cpuinfo",
		  "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 154\nmodel name\t: 12th Gen Intel(R) Core(TM) "
		  "i5-1240P\nstepping\t: 3\nmicrocode\t: 0x430\ncpu MHz\t\t: 400.0\ncache size\t: 12288 KB\nflags\t\t: fpu "
		  "vme de\nbogomips\t: 4223.99\n",
		  true },
		{ __LINE__, "/proc/cpuinfo", "model name\t: another\n", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *root = laptop();
		struct host_facts a, b;
		host_read(root, &a);
		put(root, rows[i].path, rows[i].text);
		host_read(root, &b);
		if ((strcmp(a.fingerprint, b.fingerprint) == 0) != rows[i].same)
			fail_msg("line %d: %s", rows[i].line, rows[i].path);
		free(root);
	}
}

static void a_hypervisor_shows(void **state)
{
	(void)state;
	char *root = laptop();
	struct host_facts f;
	put(root, "/proc/cpuinfo", "flags\t\t: fpu hypervisor sse\n");
	put(root, "/sys/class/dmi/id/product_name", "KVM\n");
	put(root, "/sys/hypervisor/type", "xen\n");
	host_read(root, &f);
	assert_string_equal(host_fact(&f, "virtualisation"), "virtual machine xen (KVM)");
	put(root, CPU "intel_pstate/no_turbo", "1\n");
	put(root, "/proc/sys/kernel/randomize_va_space", "0\n");
	host_read(root, &f);
	assert_string_equal(host_fact(&f, "turbo"), "off");
	assert_string_equal(host_fact(&f, "aslr"), "off");
	free(root);
}

static void disturbances_are_differences(void **state)
{
	(void)state;
	char *root = laptop();
	struct host_snapshot a, b;
	host_snapshot(root, &a);
	assert_int_equal(a.total_ticks, 5700);
	assert_int_equal(a.busy_ticks, 600);
	assert_int_equal(a.runnable, 2);
	assert_int_equal(a.available_bytes, 9000000ull * 1024);
	put(root, "/proc/stat", "cpu  450 10 240 5900 100 0 0 100 7 0\nctxt 3000\nprocs_running 1\n");
	put(root, "/proc/vmstat", "pswpin 13\npswpout 24\n");
	put(root, "/proc/loadavg", "1.25 0.58 0.59 2/1034 12345\n");
	host_snapshot(root, &b);
	b.mono_ns = a.mono_ns + 2000000000;
	struct host_change c = host_difference(&a, &b);
	assert_float_equal(c.seconds, 2, 1e-9);
	assert_float_equal(c.busy_share, 100.0 / 1100, 1e-9);
	assert_float_equal(c.steal_share, 100.0 / 1100, 1e-9);
	assert_float_equal(c.switches_per_s, 1000, 1e-9);
	assert_float_equal(c.swap_pages, 7, 1e-9);
	assert_float_equal(c.load1, 1.25, 1e-9);
	/* a total that went backwards says nothing */
	c = host_difference(&b, &a);
	assert_true(isnan(c.switches_per_s) && isnan(c.busy_share));
	free(root);
}

static void cpus_are_read(void **state)
{
	(void)state;
	char *root = laptop();
	struct host_cpus c = { 0 };
	put(root, CPU "isolated", "3,5\n");
	assert_int_equal(host_cpus_read(root, &c, NULL), 0);
	assert_int_equal(c.n, 6);
	assert_int_equal(c.item[3].core, 2);
	assert_true(c.item[3].isolated && c.item[5].isolated && !c.item[2].isolated);
	assert_int_equal(c.item[4].speed, 3300000);
	assert_int_equal(c.item[0].busy_ticks, 150);
	assert_int_equal(c.item[0].total_ticks, 1050);
	host_cpus_release(&c);
	host_cpus_release(&c);
	free(root);
}

/* busy: ticks of 100 between two readings. */
static void cpus_are_chosen(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *isolated, *allowed; /* allowed: one digit a CPU */
		int core[6];
		uint64_t speed[6];
		uint64_t busy[6];
		size_t want;
		const char *chosen;
	} rows[] = {
		/* all idle: not CPU 0, nor its sibling */
		{ __LINE__, "", "012345", { 0, 0, 2, 2, 4, 4 }, { 0 }, { 0 }, 1, "2" },
		/* cores before their second threads; then the core of CPU 0, its other thread first */
		{ __LINE__, "", "012345", { 0, 0, 2, 2, 4, 4 }, { 0 }, { 0 }, 6, "241350" },
		/* a busy sibling spoils the whole core */
		{ __LINE__, "", "012345", { 0, 0, 2, 2, 4, 4 }, { 0 }, { 0, 0, 0, 90 }, 1, "4" },
		/* a busy machine: the CPU 0 that idles is better than another that does not */
		{ __LINE__, "", "01", { 0, 1 }, { 0 }, { 0, 90 }, 1, "0" },
		{ __LINE__, "", "01", { 0, 1 }, { 0 }, { 50, 90 }, 2, "01" },
		/* within 5 %, nothing changes */
		{ __LINE__, "", "01", { 0, 1 }, { 0 }, { 0, 4 }, 1, "1" },
		/* fast cores first, even the one of CPU 0 */
		{ __LINE__, "", "012345", { 0, 0, 2, 2, 4, 5 }, { 44, 44, 44, 44, 33, 33 }, { 0 }, 1, "2" },
		{ __LINE__, "", "045", { 0, 0, 2, 2, 4, 5 }, { 44, 44, 44, 44, 33, 33 }, { 0 }, 2, "04" },
		/* isolated ones before others */
		{ __LINE__, "3", "012345", { 0, 1, 2, 3, 4, 5 }, { 0 }, { 0 }, 2, "31" },
		/* what the affinity mask leaves, and no more than there is */
		{ __LINE__, "", "05", { 0, 1, 2, 3, 4, 5 }, { 0 }, { 0 }, 4, "50" },
		{ __LINE__, "", "", { 0, 1 }, { 0 }, { 0 }, 1, "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct host_cpu a[6] = { 0 }, b[6] = { 0 };
		cpu_set_t allowed;
		CPU_ZERO(&allowed);
		for (const char *s = rows[i].allowed; *s; s++)
			CPU_SET(*s - '0', &allowed);
		for (int k = 0; k < 6; k++) {
			a[k] = (struct host_cpu){ .id = k, .core = rows[i].core[k], .speed = rows[i].speed[k] };
			a[k].isolated = strchr(rows[i].isolated, '0' + k) != NULL;
			a[k].busy_ticks = 5;
			a[k].total_ticks = 1000;
			b[k] = a[k];
			b[k].busy_ticks += rows[i].busy[k];
			b[k].total_ticks += 100;
		}
		struct host_cpus before = { 6, a }, after = { 6, b };
		int out[6];
		char got[7] = "";
		size_t n = host_cpus_choose(&before, &after, &allowed, rows[i].want, out);
		for (size_t k = 0; k < n; k++)
			got[k] = (char)('0' + out[k]);
		if (strcmp(got, rows[i].chosen))
			fail_msg("line %d: chose '%s'", rows[i].line, got);
	}
}

static void this_machine_is_read(void **state)
{
	(void)state;
	struct host_facts f;
	host_read("", &f);
	assert_string_not_equal(host_fact(&f, "kernel"), "unknown");
	int cpu = -1;
	assert_int_equal(host_pick_cpus(1, &cpu), 1);
	assert_true(cpu >= 0);
	cpu_set_t allowed;
	assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	assert_true(CPU_ISSET(cpu, &allowed));
	struct host_snapshot a, b;
	host_snapshot("", &a);
	host_snapshot("", &b);
	assert_true(b.mono_ns >= a.mono_ns && b.total_ticks >= a.total_ticks && b.switches >= a.switches);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return fs_remove(folder, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_recorded_machine_is_told),
		cmocka_unit_test(the_unreadable_is_unknown),
		cmocka_unit_test(the_fingerprint_survives_a_reboot),
		cmocka_unit_test(a_hypervisor_shows),
		cmocka_unit_test(disturbances_are_differences),
		cmocka_unit_test(cpus_are_read),
		cmocka_unit_test(cpus_are_chosen),
		cmocka_unit_test(this_machine_is_read),
	};
	return cmocka_run_group_tests_name("host", tests, make_folder, remove_folder);
}
