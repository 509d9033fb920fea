/* SPDX-License-Identifier: Apache-2.0 */
#include "workload.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

static const char *program = "workload";

/* Formatted into the stack and written at once: stdio would take its buffer from the allocator under test. */
static void say(int fd, const char *fmt, va_list args)
{
	char text[1024];
	int n = vsnprintf(text, sizeof(text), fmt, args);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	for (size_t done = 0; done < len;) {
		ssize_t w = write(fd, text + done, len - done);
		if (w < 0 && errno != EINTR)
			return;
		done += w > 0 ? (size_t)w : 0;
	}
}

static void __attribute__((format(printf, 1, 2))) print(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	say(1, fmt, args);
	va_end(args);
}

_Noreturn void workload_die(int code, const char *fmt, ...)
{
	char line[900];
	va_list args;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	dprintf(2, "%s: %s\n", program, line);
	_exit(code);
}

void *workload_pages(size_t bytes)
{
	void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p == MAP_FAILED)
		workload_die(1, "no %zu bytes for the workload itself: %s", bytes, strerror(errno));
	return p;
}

static void help(const char *about, const struct workload_option *options)
{
	print("Usage: %s", program);
	for (unsigned position = 1;; position++) {
		const struct workload_option *o = options;
		while (o->name && o->position != position)
			o++;
		if (!o->name)
			break;
		print(" [%s]", o->name);
	}
	print(" [--NAME VALUE …]\n%s\n\n", about);
	for (const struct workload_option *o = options; o->name; o++) {
		if (o->kind == WORKLOAD_NUMBER && *(uint64_t *)o->value == HAKPERF_UNKNOWN)
			print("  --%s N  %s\n", o->name, o->help);
		else if (o->kind == WORKLOAD_NUMBER)
			print("  --%s N  %s (%llu)\n", o->name, o->help, (unsigned long long)*(uint64_t *)o->value);
		else if (o->kind == WORKLOAD_FLAG)
			print("  --%s  %s\n", o->name, o->help);
		else {
			print("  --%s ", o->name);
			for (const char *const *c = o->choices; *c; c++)
				print("%s%s", c == o->choices ? "" : "|", *c);
			print("  %s (%s)\n", o->help, o->choices[*(unsigned *)o->value]);
		}
	}
	print("  --help  this text\n");
}

static void set(struct workload_option *o, const char *text)
{
	o->given = true;
	if (o->kind == WORKLOAD_FLAG) {
		*(bool *)o->value = true;
		return;
	}
	if (o->kind == WORKLOAD_CHOICE) {
		for (unsigned i = 0; o->choices[i]; i++)
			if (strcmp(o->choices[i], text) == 0) {
				*(unsigned *)o->value = i;
				return;
			}
		workload_die(2, "--%s %s: not one of its words, see --help", o->name, text);
	}
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end)
		workload_die(2, "--%s '%s': not a whole number", o->name, text);
	if (errno || n < o->min || n > o->max)
		workload_die(2, "--%s %s: must be from %llu to %llu", o->name, text, (unsigned long long)o->min,
			     (unsigned long long)o->max);
	*(uint64_t *)o->value = n;
}

static const struct workload_option *find(const struct workload_option *options, const char *name)
{
	while (options->name && strcmp(options->name, name) != 0)
		options++;
	return options->name ? options : NULL;
}

static void agree(const struct workload_option *options)
{
	const struct workload_option *min = find(options, "min"), *max = find(options, "max");
	const struct workload_option *cold = find(options, "cold"), *warmup = find(options, "warmup");
	if (min && max && *(uint64_t *)min->value > *(uint64_t *)max->value)
		workload_die(2, "--min %llu is above --max %llu", (unsigned long long)*(uint64_t *)min->value,
			     (unsigned long long)*(uint64_t *)max->value);
	if (cold && warmup && cold->given && warmup->given && *(uint64_t *)warmup->value)
		workload_die(2, "--cold has no warm-up: leave out --warmup");
}

void workload_parse(const char *name, const char *about, struct workload_option *options, int argc, char **argv)
{
	unsigned position = 0;
	program = name;
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *value = NULL;
		struct workload_option *o = options;
		if (strcmp(arg, "--help") == 0) {
			help(about, options);
			_exit(0);
		}
		if (strncmp(arg, "--", 2) == 0) {
			size_t len = strcspn(arg + 2, "=");
			while (o->name && (strlen(o->name) != len || strncmp(o->name, arg + 2, len) != 0))
				o++;
			if (!o->name)
				workload_die(2, "unknown option '%s', see --help", arg);
			if (arg[2 + len] == '=')
				value = arg + 2 + len + 1;
			if (o->kind == WORKLOAD_FLAG && value)
				workload_die(2, "--%s takes no value", o->name);
			if (o->kind != WORKLOAD_FLAG && !value) {
				if (i + 1 == argc)
					workload_die(2, "--%s needs a value", o->name);
				value = argv[++i];
			}
		} else {
			position++;
			value = arg;
			while (o->name && o->position != position)
				o++;
			if (!o->name)
				workload_die(2, "unexpected argument '%s', see --help", arg);
		}
		set(o, value);
	}
	agree(options);
}

void workload_report(uint64_t operations, uint64_t wall_ns, uint64_t checksum)
{
	double s = (double)(wall_ns ? wall_ns : 1) / 1e9;
	print("Throughput = %.0f operations per second, relative time: %.6f s.\n", (double)operations / s, s);
	print("Checksum = %016llx\n", (unsigned long long)checksum);
}

#define AUDIT_BLOCKS 512u
#define AUDIT_BYTES (8u << 20)

void workload_audit(uint64_t min, uint64_t max)
{
	static unsigned char *block[AUDIT_BLOCKS];
	static uint64_t size[AUDIT_BLOCKS];
	uint32_t random = 1;
	uint64_t total = 0;
	unsigned n = 0;

	for (; n < AUDIT_BLOCKS && (n < 4 || total < AUDIT_BYTES); n++) {
		size[n] = n == 0 ? max : min + workload_below(workload_random(&random), (uint32_t)(max - min + 1));
		block[n] = workload_got(malloc(size[n]));
		memset(block[n], (int)(n % 251), size[n]);
		total += size[n];
	}
	for (unsigned left = n; left; left--) {
		unsigned k = workload_below(workload_random(&random), left);
		unsigned char tag = block[k][0];
		for (uint64_t i = 0; i < size[k]; i++)
			if (block[k][i] != tag || size[k] == 0)
				workload_die(1, "the allocator under test let another block overwrite one of %llu bytes",
					     (unsigned long long)size[k]);
		for (unsigned j = 0; j < left; j++)
			if (j != k && block[j] == block[k])
				workload_die(1, "the allocator under test handed out one block twice");
		free(block[k]);
		block[k] = block[left - 1];
		size[k] = size[left - 1];
	}
}
