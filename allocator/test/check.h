/*
 * check - the allocator tests' own frame: a program is a table of cases, and each case runs in a
 * process of its own, started by run.c with the allocator under test preloaded.
 *
 * A case talks to the runner by its end and by two lines on its standard output:
 *   exit 0           passed
 *   exit 77          does not apply here; "skip: WHY" is on stderr
 *   anything else    failed, unless announced before by one of
 *   "expect abort KIND ADDRESS CLASS"  the case must die of SIGABRT, and one line of stderr must
 *                                      read "hakmem: KIND: ADDRESS" (any kind for "any", any
 *                                      address for "-") and say "class CLASS" (unless "-")
 *   "allow abort"                      it may die of SIGABRT if stderr holds a "hakmem: " line
 *
 * Nothing here takes memory from the allocator under test.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct check_case {
	const char *name;
	void (*run)(const void *arg);
	const void *arg;
};

/* What is under test, told by the runner through the environment. */
struct check_subject {
	int hakmem;	/* 1: hakmem's own promises hold, 0: a foreign allocator */
	int whole;	/* all functions are the subject's, none left to glibc */
	int debug;	/* debug build: every check is on */
	int header;	/* small blocks carry the header byte */
	int box;	/* wrong use is expected to be noticed */
	unsigned scale;	/* multiplies the work of random cases, >= 1 */
	uint64_t seed;	/* added to the seeds of random cases */
};

const struct check_subject *check_subject(void);

/*
 * Run case argv[1], or print all names for "--list"; returns the exit code.
 * Before the case it proves that malloc comes from the file in HAKMEM_TEST_SO, if that is set.
 */
int check_main(int argc, char **argv, const struct check_case *cases, size_t n);

/* End the process: failed, or does not apply. printf-like, one line, no newline. */
_Noreturn void check_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void check_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Announce how the case is going to die: kind or "any", address or NULL, class_name or "-". */
void check_expect_abort(const char *kind, const void *address, const char *class_name);
void check_allow_abort(void);

#define CHECK(cond) \
	do { \
		if (!(cond)) \
			check_fail(__FILE__, __LINE__, "%s", #cond); \
	} while (0)

/* The same for a table row: names the row's line. Further arguments: format and values. */
#define CHECK_AT(row_line, cond, ...) \
	do { \
		if (!(cond)) \
			check_fail(__FILE__, (row_line), __VA_ARGS__); \
	} while (0)

/* Sanitizers keep books of their own: what the process holds says nothing then. */
#ifdef __has_feature
#define CHECK_FEATURE(name) __has_feature(name)
#else
#define CHECK_FEATURE(name) 0
#endif
#ifdef __SANITIZE_THREAD__
#define CHECK_THREAD_SANITIZER 1
#else
#define CHECK_THREAD_SANITIZER CHECK_FEATURE(thread_sanitizer)
#endif
#ifdef __SANITIZE_ADDRESS__
#define CHECK_SANITIZED 1
#else
#define CHECK_SANITIZED (CHECK_THREAD_SANITIZER || CHECK_FEATURE(address_sanitizer))
#endif

#define ROWS(a) (sizeof(a) / sizeof((a)[0]))

/* Zeroed memory that is not the subject's; never fails, never freed. */
void *check_map(size_t bytes);

/* A line of /proc/self/status in bytes: "VmHWM", "VmRSS", "VmSize". */
size_t check_status_bytes(const char *name);

/* Set VmHWM back to the present VmRSS; 0 if the kernel refuses. */
int check_reset_hwm(void);

/* xorshift64*, never zero. */
static inline uint64_t check_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545F4914F6CDD1D);
}

static inline uint64_t check_seed(uint64_t n)
{
	return (n + 1) * UINT64_C(0x9E3779B97F4A7C15) | 1;
}
