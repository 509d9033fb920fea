/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small program that harness/probe.c runs under a preloaded library: interpose PATH. It says on
 * stdout, one line each, which file the five functions resolve into, then "serves" when they served
 * a small program.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *a, const char *b)
{
	char line[4200];
	int n = snprintf(line, sizeof(line), "%s %s\n", a, b);
	if (n < 0 || write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(2);
}

/* Volatile, so that no compiler deletes a pair. */
static void *(*volatile p_malloc)(size_t) = malloc;
static void *(*volatile p_calloc)(size_t, size_t) = calloc;
static void *(*volatile p_realloc)(void *, size_t) = realloc;
static void *(*volatile p_aligned)(size_t, size_t) = aligned_alloc;
static void (*volatile p_free)(void *) = free;

static int serves(void)
{
	for (size_t n = 1; n < 100000; n = n * 3 + 1) {
		char *a = p_malloc(n), *b = p_calloc(n, 2),
		     *c = p_aligned(64, (n + 63) & ~(size_t)63);
		if (!a || !b || !c || (uintptr_t)c % 64 || b[0] || b[2 * n - 1])
			return 0;
		memset(a, 'a', n);
		memset(c, 'c', n);
		a = p_realloc(a, 2 * n);
		if (!a || a[0] != 'a' || a[n - 1] != 'a' || c[n - 1] != 'c')
			return 0;
		p_free(a);
		p_free(b);
		p_free(c);
	}
	return 1;
}

int main(void)
{
	static const char *const names[] = { "malloc", "free", "calloc", "realloc",
					     "aligned_alloc" };
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		Dl_info info;
		void *f = dlsym(RTLD_DEFAULT, names[i]);
		say(names[i], f && dladdr(f, &info) && info.dli_fname ? info.dli_fname : "?");
	}
	if (!serves())
		return 3;
	say("serves", "");
	return 0;
}
