/* interior pointer: a pointer into a block is freed that is not the block's beginning. */
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "shadow.h"
#include "subject.h"
#include "wrong/wrong.h"

struct interior {
	size_t size, offset;
	const char *class_name;
	int forge;	/* a copy of the block's header stands before the pointer */
	/* What an aligned block inside another one has in front: its distance, and this byte. */
	unsigned char shim;
	uint64_t distance;
	size_t alignment;	/* of the block; 0: malloc's */
};

static void run_interior(const void *arg)
{
	const struct interior *in = arg;
	unsigned char *p;

	if (in->forge) {
		wrong_skip_headerless(0);
		if (!check_subject()->debug)
			check_skip("a release build may believe a forged header");
	}
	p = in->alignment ? wrong_aligned(in->alignment, in->size) : wrong_block(in->size);
	if (in->forge)
		p[in->offset - 1] = p[-1];
	if (in->shim) {
		memcpy(p + in->offset - 16, &in->distance, sizeof(in->distance));
		p[in->offset - 1] = in->shim;
	}
	/* A call that goes round in circles is no answer. */
	alarm(5);
	wrong_announce("interior pointer", p + in->offset, in->class_name);
	S(free)(p + in->offset);
	wrong_aftermath(in->size);
	/* The block itself is still whole. */
	for (size_t i = 0; i < in->size; i++)
		CHECK(p[i] == 0 || in->shim);
}

#define INTERIOR(name, size, offset, class_name, forge) \
	{ name, run_interior, &(const struct interior){ size, offset, class_name, forge, 0, 0, 0 } }
#define SHIM(name, distance) \
	{ name, run_interior, &(const struct interior){ 271, 16, "C5", 0, 0x98, distance, 0 } }

static const struct check_case cases[] = {
	INTERIOR("C0-at-1", 15, 1, "C0", 0),
	INTERIOR("C0-at-8", 15, 8, "C0", 0),
	INTERIOR("C1-at-16", 31, 16, "C1", 0),
	INTERIOR("C2-at-16", 47, 16, "C2", 0),
	INTERIOR("C3-at-64", 79, 64, "C3", 0),
	INTERIOR("C4-at-16", 143, 16, "C4", 0),
	INTERIOR("C5-at-256", 271, 256, "C5", 0),
	INTERIOR("C6-at-512", 527, 512, "C6", 0),
	INTERIOR("C6-at-3", 527, 3, "C6", 0),
	INTERIOR("C7-at-16", 1024, 16, "C7", 0),
	INTERIOR("C7-at-512", 1024, 512, "C7", 0),
	INTERIOR("forged-C2-at-16", 47, 16, "C2", 1),
	INTERIOR("forged-C4-at-128", 143, 128, "C4", 1),
	INTERIOR("forged-C6-at-16", 527, 16, "C6", 1),
	SHIM("shim-of-itself", 0),
	SHIM("shim-elsewhere", (uint64_t)-65536),
	SHIM("shim-far", (uint64_t)1 << 40),
	{ "aligned-at-16", run_interior,
	  &(const struct interior){ 200, 16, "-", 0, 0, 0, 256 } },
	INTERIOR("middle-at-16", 5000, 16, "-", 0),
	INTERIOR("middle-at-4096", 9000, 4096, "-", 0),
	INTERIOR("large-at-16", 500000, 16, "-", 0),
	INTERIOR("large-at-65536", 500000, 65536, "-", 0),
};

int main(int argc, char **argv)
{
	return check_main(argc, argv, cases, ROWS(cases));
}
