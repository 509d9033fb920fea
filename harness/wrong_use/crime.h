/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the programs of wrong use share. Each commits one crime against the allocator under it, with blocks of argv[1] bytes,
 * says "done" on stdout when the allocator let it pass, and then looks what became of the memory.
 *
 * Exit codes: 0 nothing was seen to go wrong; 3 the allocator hands out memory that is in use or not its own (a line on stdout
 * says which). Anything else is the allocator's doing.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CRIME_BLOCKS 256

static inline void crime_say(const char *line)
{
	if (write(STDOUT_FILENO, line, strlen(line)) < 0)
		_exit(4);
}

/* The compiler knows what malloc and free mean and would warn, or make use of it. */
static __attribute__((noinline, unused)) void *crime_take(size_t n)
{
	void *p = malloc(n);
	if (!p)
		_exit(5);
	__asm__ volatile("" : "+r"(p));
	return p;
}

static __attribute__((noinline, unused)) void crime_give(void *p)
{
	__asm__ volatile("" : "+r"(p));
	free(p);
}

static inline size_t crime_size(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 128;
	return n < 32 ? 32 : n;
}

/* Ordinary life before the crime: caches are warm, and neighbours exist. */
static inline void crime_warm_up(size_t n)
{
	void *list[32];
	for (int i = 0; i < 32; i++)
		memset(list[i] = crime_take(n), 1, n);
	for (int i = 0; i < 32; i += 2)
		crime_give(list[i]);
}

static inline _Noreturn void crime_corrupted(const char *line)
{
	crime_say(line);
	_exit(3);
}

/* After the crime: take blocks of that size, fill them; overlapping ones, or ones inside [from, from + bytes), are the proof. */
static inline int crime_aftermath(size_t n, const char *from, size_t bytes, const char *line)
{
	static char *list[CRIME_BLOCKS];
	crime_say("done\n");
	for (int i = 0; i < CRIME_BLOCKS; i++) {
		list[i] = crime_take(n);
		if (from && list[i] < from + bytes && from < list[i] + n)
			crime_corrupted(line);
		for (int k = 0; k < i; k++)
			if (list[i] < list[k] + n && list[k] < list[i] + n)
				crime_corrupted("one block was handed out twice\n");
		memset(list[i], i, n);
	}
	for (int i = 0; i < CRIME_BLOCKS; i++)
		crime_give(list[i]);
	return 0;
}
