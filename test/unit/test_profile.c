/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/profile.h"

#include "base/buf.h"
#include "base/fs.h"
#include "bisect/account_fold.h"
#include "harness/child.h"
#include "harness/debuginfo.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Records as the kernel lays them out, little by little. */
static void put(struct buf *b, const void *p, size_t n)
{
	buf_add(b, p, n);
}

static void put32(struct buf *b, uint32_t v)
{
	put(b, &v, sizeof(v));
}

static void put64(struct buf *b, uint64_t v)
{
	put(b, &v, sizeof(v));
}

static void header(struct buf *b, uint32_t type, size_t bytes)
{
	struct perf_event_header h = { .type = type, .size = (uint16_t)(sizeof(h) + bytes) };
	put(b, &h, sizeof(h));
}

static void sample(struct buf *b, uint32_t pid, uint64_t ip, uint64_t time)
{
	header(b, PERF_RECORD_SAMPLE, 24);
	put64(b, ip), put32(b, pid), put32(b, pid + 1), put64(b, time);
}

static void map(struct buf *b, uint32_t pid, uint64_t begin, uint64_t length, uint64_t offset,
		const char *path8, uint64_t time)
{
	assert_int_equal(strlen(path8) % 8, 7);
	header(b, PERF_RECORD_MMAP2, 64 + strlen(path8) + 1 + 16);
	put32(b, pid), put32(b, pid), put64(b, begin), put64(b, length), put64(b, offset);
	put64(b, 0), put64(b, 0), put64(b, 0), put32(b, 5), put32(b, 2);
	put(b, path8, strlen(path8) + 1);
	put32(b, pid), put32(b, pid), put64(b, time);
}

static void fork_of(struct buf *b, uint32_t pid, uint32_t parent)
{
	header(b, PERF_RECORD_FORK, 24 + 16);
	put32(b, pid), put32(b, parent), put32(b, pid), put32(b, parent), put64(b, 5);
	put32(b, pid), put32(b, pid), put64(b, 5);
}

static void records_are_taken_apart(void **state)
{
	(void)state;
	struct buf b = { 0 };
	struct profile_trace t = { 0 };
	struct error e = { 0 };
	map(&b, 7, 0x1000, 0x1000, 0x400, "/bin/ab", 10);
	map(&b, 7, 0x1000, 0x0800, 0x000, "/bin/cd", 20); /* by another exec, in its place */
	fork_of(&b, 8, 7);
	fork_of(&b, 7, 7); /* a thread */
	header(&b, PERF_RECORD_LOST, 16), put64(&b, 1), put64(&b, 42);
	header(&b, PERF_RECORD_THROTTLE, 0);
	header(&b, PERF_RECORD_EXIT, 0);
	sample(&b, 7, 0x1100, 15);
	sample(&b, 7, 0x1100, 25);
	sample(&b, 7, 0x1900, 25);
	sample(&b, 7, 0x2000, 25);
	sample(&b, 7, 0x1100, 5);
	sample(&b, 8, 0x1100, 25);
	sample(&b, 9, 0x1100, 25);
	assert_int_equal(profile_trace_add(&t, (unsigned char *)b.data, b.len, &e), 0);
	assert_int_equal(t.n_maps, 2);
	assert_int_equal(t.n_samples, 7);
	assert_int_equal(t.n_forks, 1);
	assert_int_equal(t.dropped, 43);
	assert_int_equal(t.samples[0].tid, 8);
	static const struct {
		int line;
		size_t at;
		const char *path;
	} rows[] = {
		{ __LINE__, 0, "/bin/ab" }, /* the older map, while it was alone */
		{ __LINE__, 1, "/bin/cd" }, { __LINE__, 2, "/bin/ab" },
		{ __LINE__, 3, NULL }, /* the end is not in it */
		{ __LINE__, 4, NULL }, /* before there was any */
		{ __LINE__, 5, "/bin/cd" }, /* a child that executed nothing: its parent's */
		{ __LINE__, 6, NULL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct profile_map *m = profile_map_of(&t, &t.samples[rows[i].at]);
		if (!m != !rows[i].path || (m && strcmp(m->path, rows[i].path)))
			fail_msg("row of line %d: %s", rows[i].line, m ? m->path : "none");
	}
	profile_trace_release(&t);
	buf_release(&b);
}

static void what_is_no_record_is_refused(void **state)
{
	(void)state;
	for (int what = 0; what < 5; what++) {
		struct buf b = { 0 };
		struct profile_trace t = { 0 };
		struct error e = { 0 };
		struct perf_event_header h = { .type = PERF_RECORD_SAMPLE,
					       .size = (uint16_t[]){ 0, 7, 400, 24, 32 }[what] };
		sample(&b, 1, 2, 3);
		put(&b, &h, sizeof(h));
		put64(&b, 0), put64(&b, 0);
		if (what == 4)
			b.len = 32 + 3; /* ends within a header */
		assert_int_equal(profile_trace_add(&t, (unsigned char *)b.data, b.len, &e),
				 -EBADMSG);
		assert_non_null(strstr(e.text, "cannot be read"));
		assert_int_equal(t.n_samples, 1);
		profile_trace_release(&t);
		buf_release(&b);
	}
}

/*
 * Before its region the program turns in `outside`, in it in `rare` and nine times as long in
 * `busy`; a thread beside it is in no region.
 */
static const char program[] =
	"#include \"hakperf/roi.h\"\n#include <pthread.h>\n"
	"__attribute__((noinline, noclone)) void outside(void) { for (volatile long i = 0; i < "
	"4000000; i = i + 1) ; }\n"
	"__attribute__((noinline, noclone)) void rare(void) { for (volatile long i = 0; i < "
	"1000000; i = i + 1) ; }\n"
	"__attribute__((noinline, noclone)) void busy(void) { for (volatile long i = 0; i < "
	"9000000; i = i + 1) ; }\n"
	"static void *beside(void *p) { outside(); return p; }\n"
	"int main(void) { struct hakperf_roi r = HAKPERF_ROI_INIT; hakperf_roi_init(0); "
	"outside();\n"
	"  pthread_t t; pthread_create(&t, 0, beside, 0);\n"
	"  hakperf_roi_begin(&r); rare(); busy(); hakperf_roi_end(&r, 2, 42); pthread_join(t, 0); "
	"return 0; }\n";

static char folder[] = "/tmp/hakperf-profile-XXXXXX";
static char *binary;

static int make_program(void **state)
{
	(void)state;
	struct error e = { 0 };
	char here[PATH_MAX];
	assert_non_null(mkdtemp(folder));
	assert_non_null(getcwd(here, sizeof(here)));
	char *source = x_printf("%s/program.c", folder);
	char *include = x_printf("-I%s/harness/workload", here);
	binary = x_printf("%s/program", folder);
	assert_int_equal(fs_write(source, program, strlen(program), &e), 0);
	const char *argv[] = { "cc", "-std=gnu17", "-O1",  "-g",       include,
			       "-o", binary,	   source, "-pthread", NULL };
	const char *env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", NULL };
	struct child_spec spec = { .argv = argv, .env = env, .cpu = -1, .pass_fd = -1 };
	struct child_result r = { 0 };
	assert_int_equal(child_run(&spec, &r, &e), 0);
	if (r.outcome != CHILD_EXITED || r.status)
		fail_msg("cc: %s", buf_str(&r.err));
	child_release(&r);
	free(source), free(include);
	return 0;
}

static int remove_program(void **state)
{
	(void)state;
	fs_remove(folder, NULL);
	free(binary);
	return 0;
}

/* Samples that lie in a function of the program. */
static double samples_in(const struct profile *p, const char *function)
{
	struct debuginfo *d = NULL;
	struct error e = { 0 };
	double n = 0;
	assert_int_equal(debuginfo_open(&d, binary, &e), 0);
	for (size_t i = 0; i < p->n_places; i++) {
		struct debuginfo_frame f[8];
		size_t m = strcmp(p->objects[p->places[i].object], binary)
				   ? 0
				   : debuginfo_frames(d, p->places[i].address, f, 8);
		if (m && f[m - 1].function && !strcmp(f[m - 1].function, function))
			n += (double)p->places[i].samples;
	}
	debuginfo_close(d);
	return n;
}

/* The timer's event, which every machine has, in place of the PMU's. */
struct stand_in {
	int hardware_errno;    /* of opening cycles */
	unsigned most_precise; /* more than that is EOPNOTSUPP */
	uint64_t faster;       /* samples so many times as often */
	unsigned opens;
};

static int stand_in_open(void *ctx, struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd)
{
	struct stand_in *s = ctx;
	struct perf_event_attr a = *attr;
	s->opens++;
	assert_true(a.inherit && a.enable_on_exec && a.exclude_kernel && a.disabled && !a.pinned);
	if (a.type == PERF_TYPE_HARDWARE) {
		if (s->hardware_errno)
			return -s->hardware_errno;
		if (a.precise_ip > s->most_precise)
			return -EOPNOTSUPP;
		a.type = PERF_TYPE_SOFTWARE;
		a.config = PERF_COUNT_SW_CPU_CLOCK;
		a.precise_ip = 0;
	}
	if (s->faster)
		a.sample_period /= s->faster;
	return counter_linux.open(NULL, &a, pid, cpu, group_fd);
}

static struct counter_os os_of(struct stand_in *s)
{
	struct counter_os os = counter_linux;
	os.open = stand_in_open;
	os.ctx = s;
	return os;
}

static bool can_sample(void)
{
	struct counter_event ev;
	struct error e = { 0 };
	assert_int_equal(counter_encode("cpu-clock", false, &ev, &e), 0);
	struct perf_event_attr a = ev.attr;
	int fd = counter_linux.open(NULL, &a, 0, -1, -1);
	if (fd >= 0)
		counter_linux.close(NULL, fd);
	return fd >= 0;
}

static void profile_of(struct stand_in *s, struct profile *p)
{
	struct error e = { 0 };
	const char *argv[] = { binary, NULL };
	struct run_spec spec = { .kind = RUN_EXEC, .argv = argv };
	struct counter_os os = os_of(s);
	if (profile_run(&spec, &os, 5, 200, p, &e))
		fail_msg("%s", e.text);
}

static void the_region_alone_is_sampled(void **state)
{
	(void)state;
	struct profile p;
	struct stand_in s = { .hardware_errno = ENOENT };
	if (!can_sample()) {
		print_message("skipped: this machine lets nobody open cpu-clock\n");
		skip();
	}
	profile_of(&s, &p);
	assert_string_equal(p.event, "cpu-clock");
	assert_non_null(strstr(p.why, "cycles"));
	assert_true(p.samples >= 200 && p.outside > 0 && p.runs >= 1);
	uint64_t sum = p.unmapped;
	for (size_t i = 0; i < p.n_places; i++) {
		sum += p.places[i].samples;
		assert_true(!i || p.places[i].object > p.places[i - 1].object ||
			    p.places[i].address > p.places[i - 1].address);
	}
	assert_int_equal(sum, p.samples);
	double busy = samples_in(&p, "busy"), rare = samples_in(&p, "rare");
	assert_true(samples_in(&p, "outside") == 0);
	/* Nine to one, and next to nothing else. */
	assert_true(busy > 2 * rare);
	assert_true(busy + rare > 0.8 * (double)p.samples);
	profile_release(&p);
	profile_release(&p);
}

static void the_most_precise_event_that_opens_is_taken(void **state)
{
	(void)state;
	if (!can_sample()) {
		print_message("skipped: this machine lets nobody open cpu-clock\n");
		skip();
	}
	for (unsigned precise = 0; precise < 4; precise++) {
		struct profile p;
		struct stand_in s = { .most_precise = precise, .faster = 4 };
		profile_of(&s, &p);
		assert_string_equal(p.event, "cycles");
		assert_null(p.why);
		assert_int_equal(p.precise, precise);
		assert_true(samples_in(&p, "busy") > samples_in(&p, "rare"));
		profile_release(&p);
	}
}

static void dropped_samples_make_a_run_void(void **state)
{
	(void)state;
	if (!can_sample()) {
		print_message("skipped: this machine lets nobody open cpu-clock\n");
		skip();
	}
	struct profile p;
	struct error e = { 0 };
	/* A ring of one page, since nobody may lock more, is full at once. */
	const char *argv[] = { binary, NULL };
	struct run_spec spec = { .kind = RUN_EXEC, .argv = argv };
	struct stand_in s = { .hardware_errno = ENOENT, .faster = 3 };
	struct counter_os os = os_of(&s);
	assert_int_equal(profile_run_in(&spec, &os, 1, 2, 50, &p, &e), 0);
	assert_true(p.period >= 2 * 99991);
	assert_true(p.runs >= 1 && p.samples > 0);
	profile_release(&p);
}

static int refuse(void *ctx, struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd)
{
	(void)ctx, (void)attr, (void)pid, (void)cpu, (void)group_fd;
	return -EACCES;
}

static void what_hinders_is_told(void **state)
{
	(void)state;
	struct stand_in s = { .hardware_errno = ENOENT };
	struct counter_os os = os_of(&s);
	struct profile p;
	struct error e = { 0 };
	const char *argv[] = { "/bin/false", NULL };
	struct run_spec spec = { .kind = RUN_EXEC, .argv = argv };
	if (can_sample()) {
		assert_int_equal(profile_run(&spec, &os, 1, 1, &p, &e), -ENODATA);
		assert_non_null(strstr(e.text, "exit code 1"));
	}
	error_clear(&e);
	struct counter_os closed = counter_linux;
	closed.open = refuse;
	assert_int_equal(profile_run(&spec, &closed, 1, 1, &p, &e), -EACCES);
	assert_non_null(strstr(e.text, "perf_event_paranoid"));
	assert_null(p.places);
}

static void samples_are_folded_as_the_instructions_are(void **state)
{
	(void)state;
	struct account_path paths[] = { { .name = "(program)" },
					{ .name = "malloc" },
					{ .name = "free" } };
	struct account_row rows[] = {
		{ .path = 1, .parent = SIZE_MAX, .function = "malloc", .object = "/a.so" },
		{ .path = 1, .parent = 0, .depth = 1, .function = "push", .object = "/a.so" },
		{ .path = 1, .parent = SIZE_MAX, .function = "shared", .object = "/a.so" },
		{ .path = 2, .parent = SIZE_MAX, .function = "shared", .object = "/a.so" },
		{ .path = 2, .parent = SIZE_MAX, .function = "other", .object = "/b.so" },
	};
	struct account_place places[] = {
		{ .row = 0, .address = 0x10, .ir = 5 },	 { .row = 1, .address = 0x14, .ir = 5 },
		{ .row = 2, .address = 0x20, .ir = 30 }, { .row = 3, .address = 0x20, .ir = 10 },
		{ .row = 4, .address = 0x10, .ir = 7 },
	};
	struct account a = { .operations = 10,
			     .paths = paths,
			     .n_paths = 3,
			     .rows = rows,
			     .n_rows = 5,
			     .places = places,
			     .n_places = 5 };
	struct account_sample s[] = {
		{ "/b.so", 0x10, 3 }, { "/a.so", 0x20, 8 }, { "/a.so", 0x10, 4 },
		{ "/a.so", 0x14, 2 }, { "/a.so", 0x12, 1 }, { "/c.so", 0x10, 2 },
	};
	struct account_fold f;
	account_fold_make(&a, s, 6, &f);
	static const double expected[] = { 4, 2, 6, 2, 3 };
	double sum = f.outside;
	for (size_t i = 0; i < 5; i++) {
		assert_true(f.rows[i] == expected[i]);
		sum += f.rows[i];
	}
	assert_true(f.outside == 3 && f.all == 20 && sum == f.all);
	assert_true(account_fold_function(&a, &f, 1, "malloc") == 6 / 20.0); /* with push in it */
	assert_true(account_fold_function(&a, &f, 1, "push") == 2 / 20.0);
	assert_true(account_fold_function(&a, &f, 2, "shared") == 2 / 20.0);
	assert_true(fabs(account_fold_error(0.5, 100) - 0.05) < 1e-12);
	account_fold_release(&f);
	account_fold_release(&f);
	account_fold_make(&(struct account){ .operations = 1 }, s, 6, &f);
	assert_true(f.outside == f.all);
	account_fold_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_taken_apart),
		cmocka_unit_test(what_is_no_record_is_refused),
		cmocka_unit_test(the_region_alone_is_sampled),
		cmocka_unit_test(the_most_precise_event_that_opens_is_taken),
		cmocka_unit_test(dropped_samples_make_a_run_void),
		cmocka_unit_test(what_hinders_is_told),
		cmocka_unit_test(samples_are_folded_as_the_instructions_are),
	};
	return cmocka_run_group_tests_name("profile", tests, make_program, remove_program);
}
