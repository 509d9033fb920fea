#define _GNU_SOURCE
#include "check.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "subject.h"

enum { EXIT_SKIP = 77 };

static struct check_subject subject;

const struct check_subject *check_subject(void)
{
	return &subject;
}

static void put(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static void say(int fd, const char *head, const char *fmt, va_list ap)
{
	char line[1024];
	int n = snprintf(line, sizeof(line) - 1, "%s", head);

	n += vsnprintf(line + n, sizeof(line) - 1 - (size_t)n, fmt, ap);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n] = '\n';
	put(fd, line, (size_t)n + 1);
}

/* _exit: a broken allocator must not get the last word in exit handlers. */
_Noreturn void check_fail(const char *file, int line, const char *fmt, ...)
{
	char head[256];
	va_list ap;

	snprintf(head, sizeof(head), "%s:%d: ", file, line);
	va_start(ap, fmt);
	say(STDERR_FILENO, head, fmt, ap);
	va_end(ap);
	_exit(1);
}

_Noreturn void check_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(STDERR_FILENO, "skip: ", fmt, ap);
	va_end(ap);
	_exit(EXIT_SKIP);
}

void check_expect_abort(const char *kind, const void *address, const char *class_name)
{
	char line[256], where[32] = "-";
	int n;

	if (address)
		snprintf(where, sizeof(where), "%p", address);
	n = snprintf(line, sizeof(line), "expect abort %s\t%s\t%s\n", kind, where, class_name);

	put(STDOUT_FILENO, line, (size_t)n);
}

void check_allow_abort(void)
{
	static const char line[] = "allow abort\n";

	put(STDOUT_FILENO, line, sizeof(line) - 1);
}

void *check_map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		check_fail(__FILE__, __LINE__, "mmap of %zu bytes for the test failed", bytes);
	return p;
}

size_t check_status_bytes(const char *name)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *at = text;
	size_t len = strlen(name);

	if (n <= 0)
		check_fail(__FILE__, __LINE__, "/proc/self/status cannot be read");
	close(fd);
	text[n] = '\0';
	while (strncmp(at, name, len) || at[len] != ':') {
		at = strchr(at, '\n');
		if (!at)
			check_fail(__FILE__, __LINE__, "/proc/self/status has no %s", name);
		at++;
	}
	return strtoul(at + len + 1, NULL, 10) * 1024;
}

int check_reset_hwm(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	int ok = fd >= 0 && write(fd, "5", 1) == 1;

	if (fd >= 0)
		close(fd);
	return ok;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

#ifdef SUBJECT_PREFIXED

/* The linker has proved it. */
static void prove_subject(void)
{
}

#else

/* A preload that failed is only warned about by the loader: then glibc would be tested. */
static void prove_subject(void)
{
	static const char *const names[] = {
		"malloc", "free", "calloc", "realloc", "reallocarray", "aligned_alloc",
		"posix_memalign", "memalign", "valloc", "pvalloc", "malloc_usable_size",
		"free_sized", "free_aligned_sized", "malloc_trim", "mallinfo2",
	};
	/* A foreign allocator has at least these. */
	const size_t foreign = 4;
	size_t n = subject.hakmem ? ROWS(names) : foreign;
	const char *want = getenv("HAKMEM_TEST_SO");

	if (!want || !*want)
		return;
	for (size_t i = 0; i < n; i++) {
		void *f = dlsym(RTLD_DEFAULT, names[i]);
		char real[4096];
		Dl_info info;

		if (!f || !dladdr(f, &info) || !info.dli_fname)
			check_fail(__FILE__, __LINE__, "%s is nowhere to be found", names[i]);
		if (!realpath(info.dli_fname, real) || strcmp(real, want))
			check_fail(__FILE__, __LINE__, "%s is not interposed: it comes from %s",
				   names[i], info.dli_fname);
	}
}

#endif

int check_main(int argc, char **argv, const struct check_case *cases, size_t n)
{
	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (size_t i = 0; i < n; i++) {
			put(STDOUT_FILENO, cases[i].name, strlen(cases[i].name));
			put(STDOUT_FILENO, "\n", 1);
		}
		return 0;
	}
	subject.hakmem = (int)number("HAKMEM_TEST_HAKMEM", 0);
	subject.whole = subject.hakmem || !getenv("HAKMEM_TEST_SO");
	subject.debug = (int)number("HAKMEM_TEST_DEBUG", 0);
	subject.header = (int)number("HAKMEM_TEST_HEADER", 1);
	subject.box = (int)number("HAKMEM_TEST_BOX", 0);
	subject.scale = (unsigned)number("HAKMEM_TEST_SCALE", 1);
	subject.seed = number("HAKMEM_TEST_SEED", 0);
	for (size_t i = 0; argc == 2 && i < n; i++) {
		if (strcmp(cases[i].name, argv[1]))
			continue;
		prove_subject();
		cases[i].run(cases[i].arg);
		return 0;
	}
	check_fail(__FILE__, __LINE__, "usage: %s --list | CASE", argv[0]);
}
