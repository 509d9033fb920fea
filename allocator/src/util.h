/* What the allocator may use instead of stdio: formatted lines by write(2), and the end of the
 * process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* HAKMEM_VERBOSE: 0 is silent. Read once at start-up. */
extern int g_hak_verbose;

/*
 * One line on stderr. Knows %s %d %u %zu %p %x and %%; longer than 256 bytes is cut. Keeps errno.
 */
__attribute__((format(printf, 1, 2), cold)) void hak_log(const char *format, ...);

/* The same line, then abort(). For what must not go on. */
__attribute__((format(printf, 1, 2), cold, noreturn)) void hak_fatal(const char *format, ...);

/*
 * The number in an environment variable, or the default where it is unset or no number: digits with
 * an optional sign, no spaces and no suffixes, since a typo shall not mean something else.
 */
long hak_env(const char *name, long otherwise);
