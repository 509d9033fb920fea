/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/cgfile.h"
#include "harness/cgsum.h"

#include "base/buf.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/hakperf-cgfile-XXXXXX";

static char *path_of(const char *name)
{
	return x_printf("%s/%s", folder, name);
}

/* A new file each time: ext4 writes a truncated one out to disk when it is closed. */
static void put(const char *path, const char *bytes, size_t n)
{
	unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(close(fd), 0);
}

static char *written(const char *name, const char *text)
{
	char *path = path_of(name);
	put(path, text, strlen(text));
	return path;
}

/* Every callback as one word, so that a file's meaning can be written in a line. */
static int tell_part(void *ctx, unsigned pid, unsigned part, unsigned thread)
{
	buf_printf(ctx, "part %u/%u/%u\n", pid, part, thread);
	return 0;
}

static void tell_site(struct buf *b, const struct cgfile_site *s)
{
	buf_printf(b, "%s|%s|%s", s->object, s->home ? s->home : "-", s->function);
	if (s->file != s->home)
		buf_printf(b, "|in %s", s->file);
	buf_printf(b, "@%llx:%llu", (unsigned long long)s->address, (unsigned long long)s->line);
}

static int tell_self(void *ctx, const struct cgfile_site *at, uint64_t ir)
{
	tell_site(ctx, at);
	buf_printf(ctx, " %llu\n", (unsigned long long)ir);
	return 0;
}

static int tell_call(void *ctx, const struct cgfile_site *from, const struct cgfile_site *to, uint64_t calls, uint64_t ir)
{
	tell_site(ctx, from);
	buf_puts(ctx, " -> ");
	tell_site(ctx, to);
	buf_printf(ctx, " x%llu %llu\n", (unsigned long long)calls, (unsigned long long)ir);
	return 0;
}

static int told(const char *path, struct buf *out, struct cgfile_stats *stats, struct error *e)
{
	struct cgfile_sink sink = { tell_part, tell_self, tell_call, out };
	struct cgfile *f = cgfile_open();
	int rc = cgfile_read(f, path, &sink, stats, e);
	cgfile_close(f);
	return rc;
}

#define HEAD "# callgrind format\nversion: 1\ncreator: callgrind-3.19.0\npid: 7\ncmd:  ./a b=c: d\npart: 1\n\n"
#define LINES HEAD "positions: line\nevents: Ir\nsummary: 9\n\n"

static const char compressed[] = HEAD "desc: I1 cache: \npositions: instr line\nevents: Ir\nsummary: 60\n\n\n"
				      "ob=(1) /lib/a.so\nfl=(1) a.c\nfn=(1) f\n"
				      "0x1000 10 4\n+3 +1 2\n* * 1\n"
				      "fi=(2) a.h\n+0x10 -8 5\nfe=(1)\n-16 16 8\n"
				      "cob=(2) /lib/b.so\ncfi=(3) b.c\ncfn=(2) (below main)\ncalls=3 0x2000 +4 \n+1 * 900\n"
				      "cfn=(3) g\ncalls=1 -3 -1\n* * 70\n\n"
				      "fn=(3)\n0x10f0 33 40\n\n"
				      "ob=(2)\nfl=(3)\nfn=(2)\n0x2000 20 0\n+1 * \n\ntotals: 60\n";
static const char compressed_means[] = "part 7/1/0\n"
				       "/lib/a.so|a.c|f@1000:10 4\n/lib/a.so|a.c|f@1003:11 2\n/lib/a.so|a.c|f@1003:11 1\n"
				       "/lib/a.so|a.c|f|in a.h@1013:3 5\n/lib/a.so|a.c|f@1003:16 8\n"
				       "/lib/a.so|a.c|f@1004:16 -> /lib/b.so|b.c|(below main)@2000:20 x3 900\n"
				       "/lib/a.so|a.c|f@1004:16 -> /lib/a.so|a.c|g@1001:15 x1 70\n"
				       "/lib/a.so|a.c|g@10f0:33 40\n"
				       "/lib/b.so|b.c|(below main)@2000:20 0\n/lib/b.so|b.c|(below main)@2001:20 0\n";

static const char plain[] = HEAD "positions: instr line\nevents: Ir\n\n"
				 "ob=/lib/a.so\nfl=a.c\nfn=f\n"
				 "0x1000 10 4\n0x1003 11 2\n0x1003 11 1\nfi=a.h\n0x1013 3 5\nfe=a.c\n0x1003 16 8\n"
				 "cob=/lib/b.so\ncfi=b.c\ncfn=(below main)\ncalls=3 0x2000 20\n0x1004 16 900\n"
				 "cfn=g\ncalls=1 0x1001 15\n0x1004 16 70\n\nfn=g\n0x10f0 33 40\n\n"
				 "ob=/lib/b.so\nfl=b.c\nfn=(below main)\n0x2000 20 0\n0x2001 20\n\ntotals: 60\n";

static void files_mean_what_they_say(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *text, *means;
	} rows[] = {
		{ __LINE__, compressed, compressed_means },
		{ __LINE__, plain, compressed_means },
		/* no object, no file; other events beside Ir; costs left out at the end of a line */
		{ __LINE__, HEAD "events: Dr Ir Dw\n\nfn=f\n5 1 2 3\n6 1\n7 1 4\ntotals: 3 6 3\n",
		  "part 7/1/0\n|-|f@0:5 2\n|-|f@0:6 0\n|-|f@0:7 4\n" },
		/* jumps name places, with no cost of their own */
		{ __LINE__, LINES "fl=(1) x\nfn=(1) f\n4 1\njcnd=9/10 4 \n4 \n4 2\njump=1 +7\n* \n+1 6\ntotals: 9\n",
		  "part 7/1/0\n|x|f@0:4 1\n|x|f@0:4 2\n|x|f@0:5 6\n" },
		/* threads as parts of one file: names stay numbered, positions begin anew */
		{ __LINE__,
		  LINES "fl=(1) x\nfn=(1) f\n4 9\ntotals: 9\n\n\npid: 7\npart: 2\nthread: 3\npositions: line\nevents: "
			"Ir\n\nfl=(1)\nfn=(1)\n+5 2\ntotals: 2\n",
		  "part 7/1/0\n|x|f@0:4 9\npart 7/2/3\n|x|f@0:5 2\n" },
		/* a part in which nothing ran */
		{ __LINE__, LINES "totals: 0\n", "part 7/1/0\n" },
		{ __LINE__, HEAD "events: Ir\nfn=f\r\n5 1\r\ntotals: 1\r\n", "part 7/1/0\n|-|f@0:5 1\n" },
		/* a function called like a number's parenthesis, and an empty name */
		{ __LINE__, LINES "fn=(12) (12)\n5 1\nfn=(13 x)\n5 2\ntotals: 3\n",
		  "part 7/1/0\n|-|(12)@0:5 1\n|-|(13 x)@0:5 2\n" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *path = written("case", rows[i].text);
		struct buf out = { 0 };
		struct error e = { 0 };
		if (told(path, &out, NULL, &e))
			fail_msg("line %d: %s", rows[i].line, e.text);
		if (strcmp(buf_str(&out), rows[i].means))
			fail_msg("line %d:\n%s", rows[i].line, buf_str(&out));
		buf_release(&out);
		free(path);
	}
}

static void broken_files_are_refused_with_their_line(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *text;
		int rc;
		const char *says;
	} rows[] = {
		{ __LINE__, "", -ENODATA, "is empty" },
		{ __LINE__, "\x7f" "ELF\n", -EBADMSG, ":1: " },
		{ __LINE__, "<html>\n", -EBADMSG, ":1: '<html>' is no line" },
		{ __LINE__, "version: 2\n", -EBADMSG, ":1: version 2" },
		{ __LINE__, "version: 1\n", -ENODATA, "without its totals" },
		{ __LINE__, LINES "fn=(1) f\n5 1\n", -ENODATA, "without its totals" },
		{ __LINE__, LINES "fn=(1) f\n5 1\ntota", -ENODATA, "inside a line" },
		{ __LINE__, LINES "fn=(1) f\n5 1\ntotals: 1", -ENODATA, "inside a line" },
		{ __LINE__, LINES "fn=(1) f\n5 1\ntotals: 2\n", -EBADMSG, "add up to 1, the file says 2" },
		{ __LINE__, LINES "fn=(1) f\n5 1\npart: 2\n", -EBADMSG, "before the totals" },
		{ __LINE__, LINES "5 1\n", -EBADMSG, ":12: a cost that belongs to no function" },
		{ __LINE__, "fn=f\n5 1\n", -EBADMSG, ":2: a cost before the header" },
		{ __LINE__, "events: Dr Dw\n", -EBADMSG, "no event Ir" },
		{ __LINE__, "positions: column\n", -EBADMSG, "unknown position 'column'" },
		{ __LINE__, "positions: line line line line line\n", -EBADMSG, "more than 4" },
		{ __LINE__, LINES "fn=(1) f\n5 1 2\n", -EBADMSG, "more costs than events" },
		{ __LINE__, LINES "fn=(1) f\n5 x\n", -EBADMSG, "'x' is no cost" },
		{ __LINE__, LINES "fn=(1) f\n5x 1\n", -EBADMSG, "is no position" },
		{ __LINE__, LINES "fn=(1) f\n-5 1\n", -EBADMSG, "is no position" },
		{ __LINE__, LINES "fn=(1) f\n5 99999999999999999999\n", -EBADMSG, "is no cost" },
		{ __LINE__, LINES "fn=(1) f\n5 18446744073709551615\n5 1\n", -EBADMSG, "overflow" },
		{ __LINE__, LINES "fn=(1)\n", -EBADMSG, "number 1 was never given" },
		{ __LINE__, LINES "fn=(1) f\nfn=(1) g\n", -EBADMSG, "number 1 is given twice" },
		{ __LINE__, LINES "fn=(99999999999) f\n", -EBADMSG, "beyond all reason" },
		{ __LINE__, LINES "fn=(1) f\ncalls=1 5\n", -EBADMSG, "without a function" },
		{ __LINE__, LINES "fn=(1) f\ncfn=(1)\ncalls=x 5\n", -EBADMSG, "without its count" },
		{ __LINE__, LINES "fn=(1) f\ncfn=(1)\ncalls=1 y\n", -EBADMSG, "target's position" },
		{ __LINE__, LINES "fn=(1) f\ncfn=(1)\ncalls=1 5\ncfn=(1)\n", -EBADMSG, "without its cost line" },
		{ __LINE__, LINES "fn=(1) f\ncfn=(1)\ncalls=1 5\ntotals: 0\n", -EBADMSG, "without its cost line" },
		{ __LINE__, LINES "fn=(1) f\nxyz=1\n", -EBADMSG, "unknown specification 'xyz'" },
		{ __LINE__, LINES "fn=(1) f\n5 1\ntotals: 1\n5 1\n", -EBADMSG, "behind the totals" },
		{ __LINE__, "pid: -3\n", -EBADMSG, "no number of a pid" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *path = written("broken", rows[i].text);
		struct buf out = { 0 };
		struct error e = { 0 };
		int rc = told(path, &out, NULL, &e);
		if (rc != rows[i].rc || !strstr(e.text, rows[i].says))
			fail_msg("line %d: %d '%s'", rows[i].line, rc, e.text);
		buf_release(&out);
		free(path);
	}
}

static void cut_anywhere_is_never_taken_for_whole(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(compressed) - 1; n++) {
		char *text = x_strdup(compressed);
		text[n] = '\0';
		char *path = written("cut", text);
		struct buf out = { 0 };
		struct error e = { 0 };
		if (!told(path, &out, NULL, &e))
			fail_msg("%zu bytes were taken for the whole file", n);
		buf_release(&out);
		free(text);
		free(path);
	}
}

/* One byte changed at a time: refused, or read with a total that still adds up; never a crash. */
static void no_changed_byte_breaks_the_reader(void **state)
{
	(void)state;
	static const char bytes[] = { '\0', '\n', '(', '9', '-', '*', '=', ':', 'x', (char)0xff };
	int fd = memfd_create("changed", MFD_CLOEXEC);
	assert_true(fd >= 0);
	char *path = x_printf("/proc/self/fd/%d", fd);
	for (size_t n = 0; n < sizeof(compressed) - 1; n++) {
		for (size_t k = 0; k < sizeof(bytes); k++) {
			char text[sizeof(compressed)];
			memcpy(text, compressed, sizeof(text));
			text[n] = bytes[k];
			assert_int_equal(pwrite(fd, text, sizeof(text) - 1, 0), sizeof(text) - 1);
			struct buf out = { 0 };
			struct error e = { 0 };
			if (told(path, &out, NULL, &e) && !e.code)
				fail_msg("byte %zu as %02x: refused without a cause", n, (unsigned char)bytes[k]);
			buf_release(&out);
		}
	}
	close(fd);
	free(path);
}

static int stop(void *ctx, const struct cgfile_site *at, uint64_t ir)
{
	(void)ctx, (void)at, (void)ir;
	return -ECANCELED;
}

static void callbacks_can_stop(void **state)
{
	(void)state;
	char *path = written("case", compressed);
	struct cgfile_sink sink = { .self = stop };
	struct cgfile *f = cgfile_open();
	assert_int_equal(cgfile_read(f, path, &sink, NULL, NULL), -ECANCELED);
	struct error e = { 0 };
	assert_int_equal(cgfile_read(f, "/nonexistent/file", &sink, NULL, &e), -ENOENT);
	cgfile_close(f);
	cgfile_close(NULL);
	free(path);
}

static const struct cgsum_function *find(const struct cgsum *s, const char *object, const char *name)
{
	for (size_t i = 0; i < s->nfunctions; i++)
		if (!strcmp(s->functions[i].name, name) && !strcmp(s->functions[i].object, object))
			return &s->functions[i];
	fail_msg("no function %s in %s", name, object);
	return NULL;
}

/*
 * a.so: malloc calls slow; realloc calls malloc. app: main calls malloc 10 times and realloc 2 times, and has a
 * function called slow of its own; it recurses.
 */
static const char shared[] = HEAD
	"positions: instr line\nevents: Ir\n\n"
	"ob=(1) /p/a.so\nfl=(1) a.c\nfn=(1) malloc\n0x10 1 120\n+4 1 24\ncfn=(2) slow\ncalls=1 0x50 9\n0x18 2 500\n\n"
	"fn=(3) realloc\n0x90 30 20\ncfn=(1)\ncalls=2 0x10 1\n0x94 31 24\n\n"
	"fn=(2)\n0x50 9 500\n\n"
	"ob=(2) /p/app\nfl=(2) app.c\nfn=(4) main\n0x100 1 50\ncob=(1)\ncfi=(1)\ncfn=(1)\ncalls=10 0x10 1\n0x104 2 620\n"
	"cob=(1)\ncfi=(1)\ncfn=(3)\ncalls=2 0x90 30\n0x108 3 44\ncfn=(2)\ncalls=1 0x200 7\n0x10c 4 90\n\n"
	"fn=(2)\n0x200 7 90\ncfn=(2)\ncalls=2 0x200 7\n0x204 8 60\n\ntotals: 804\n";

static void sums_balance(void **state)
{
	(void)state;
	char *path = written("shared", shared);
	struct cgsum s = { 0 };
	struct error e = { 0 };
	if (cgsum_read(&s, (const char *const[]){ path }, 1, true, &e))
		fail_msg("%s", e.text);
	assert_int_equal(s.total_ir, 804);
	assert_int_equal(s.nfunctions, 5);
	assert_int_equal(s.nedges, 6);
	assert_int_equal(s.parts, 1);
	uint64_t functions = 0, objects = 0, addresses = 0;
	for (size_t i = 0; i < s.nfunctions; i++) {
		functions += s.functions[i].self_ir;
		assert_true(!i || s.functions[i - 1].self_ir >= s.functions[i].self_ir);
	}
	for (size_t i = 0; i < s.nobjects; i++)
		objects += s.objects[i].self_ir;
	for (size_t i = 0; i < s.naddresses; i++)
		addresses += s.addresses[i].ir;
	assert_int_equal(functions, 804);
	assert_int_equal(objects, 804);
	assert_int_equal(addresses, 804);
	assert_int_equal(s.nobjects, 2);
	assert_string_equal(s.objects[0].path, "/p/a.so");
	assert_int_equal(cgsum_object_ir(&s, "/p/a.so"), 664);
	assert_int_equal(cgsum_object_ir(&s, "/p/none"), 0);

	const struct cgsum_function *m = find(&s, "/p/a.so", "malloc");
	assert_int_equal(m->self_ir, 144);
	assert_int_equal(m->inclusive_ir, 644);
	assert_int_equal(m->calls, 12);
	/* two functions of one name stay apart; recursion adds calls, not cost */
	assert_int_equal(find(&s, "/p/a.so", "slow")->self_ir, 500);
	assert_int_equal(find(&s, "/p/app", "slow")->inclusive_ir, 90);
	assert_int_equal(find(&s, "/p/app", "slow")->calls, 3);

	struct cgsum_entry x = cgsum_entry(&s, "/p/a.so", "malloc");
	assert_int_equal(x.calls, 12);
	assert_int_equal(x.inclusive_ir, 644);
	assert_int_equal(x.outer_calls, 10);
	assert_int_equal(x.outer_inclusive_ir, 620);
	assert_int_equal(cgsum_entry(&s, NULL, "slow").calls, 4);
	assert_int_equal(cgsum_entry(&s, "/p/app", "malloc").calls, 0);
	assert_int_equal(cgsum_entry(&s, NULL, "mall").calls, 0);

	uint64_t calls_at = 0;
	for (size_t i = 0; i < s.naddresses; i++)
		if (s.addresses[i].address == 0x104)
			calls_at = s.addresses[i].calls;
	assert_int_equal(calls_at, 10);

	/* The same run as two files, one a thread, doubles everything. */
	struct cgsum twice = { 0 };
	assert_int_equal(cgsum_read(&twice, (const char *const[]){ path, path }, 2, false, &e), 0);
	assert_int_equal(twice.total_ir, 2 * 804);
	assert_int_equal(twice.nfunctions, 5);
	assert_int_equal(twice.naddresses, 0);
	assert_int_equal(twice.parts, 2);
	cgsum_release(&twice);
	cgsum_release(&s);
	cgsum_release(&s);

	char *broken = written("broken", "events: Ir\nfn=f\n");
	assert_true(cgsum_read(&s, (const char *const[]){ path, broken }, 2, true, &e) < 0);
	assert_null(s.functions);
	free(broken);
	free(path);
}

/* Three million lines over a few names, read by a child that may grow by 8 MiB at most. */
static void big_files_are_read_in_bounded_memory(void **state)
{
	(void)state;
	char *path = path_of("big");
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(HEAD "positions: instr line\nevents: Ir\n\n", f);
	uint64_t total = 0;
	/* `./run.sh test-long` asks for a gigabyte. */
	const char *asked = getenv("HAKPERF_BIG_LINES");
	const uint64_t lines = asked ? strtoull(asked, NULL, 10) : 3000000;
	static char out[1 << 20];
	setvbuf(f, out, _IOFBF, sizeof(out));
	for (uint64_t i = 0; i < lines; i++) {
		if (i % 1000 == 0)
			fprintf(f, "fn=(%d)%s\n", (int)(i / 1000 % 50) + 1,
				i < 50000 ? (const char *[]){ " a", " b" }[i / 1000 % 2] : "");
		if (i % 50000 == 0)
			fputs("0x1000 1 0\n", f);
		fputs(i % 2 ? "+4 +1 3\n" : "-4 -1 11\n", f);
		total += i % 2 ? 3 : 11;
	}
	fprintf(f, "totals: %llu\n", (unsigned long long)total);
	assert_int_equal(fclose(f), 0);

	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct rusage before, after;
		struct cgsum s = { 0 };
		struct error e = { 0 };
		getrusage(RUSAGE_SELF, &before);
		int rc = cgsum_read(&s, (const char *const[]){ path }, 1, true, &e);
		getrusage(RUSAGE_SELF, &after);
		if (rc)
			fprintf(stderr, "%s\n", e.text);
		_exit(rc ? 2 : s.total_ir != total ? 3 : after.ru_maxrss - before.ru_maxrss > 8 * 1024 ? 4 : 0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	unlink(path);
	free(path);
}

static void too_long_a_line_is_refused(void **state)
{
	(void)state;
	char *path = path_of("long");
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs("fn=", f);
	for (size_t i = 0; i < 3 * (size_t)CGFILE_LINE_MAX; i++)
		putc('x', f);
	assert_int_equal(fclose(f), 0);
	struct buf out = { 0 };
	struct error e = { 0 };
	assert_int_equal(told(path, &out, NULL, &e), -EBADMSG);
	assert_non_null(strstr(e.text, ":1: a line longer than"));
	unlink(path);
	free(path);
}

static void too_many_names_are_refused(void **state)
{
	(void)state;
	char *path = path_of("names");
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	for (size_t i = 0; i < (size_t)CGFILE_NAMES_MAX + 2; i++)
		fprintf(f, "fn=%zx\n", i);
	assert_int_equal(fclose(f), 0);
	struct buf out = { 0 };
	struct error e = { 0 };
	assert_int_equal(told(path, &out, NULL, &e), -E2BIG);
	unlink(path);
	free(path);
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
		cmocka_unit_test(files_mean_what_they_say),
		cmocka_unit_test(broken_files_are_refused_with_their_line),
		cmocka_unit_test(cut_anywhere_is_never_taken_for_whole),
		cmocka_unit_test(no_changed_byte_breaks_the_reader),
		cmocka_unit_test(callbacks_can_stop),
		cmocka_unit_test(sums_balance),
		cmocka_unit_test(big_files_are_read_in_bounded_memory),
		cmocka_unit_test(too_long_a_line_is_refused),
		cmocka_unit_test(too_many_names_are_refused),
	};
	return cmocka_run_group_tests_name("cgfile", tests, make_folder, remove_folder);
}
