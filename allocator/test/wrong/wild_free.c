/* wild free: memory is freed that the allocator never gave. */
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "check.h"
#include "shadow.h"
#include "subject.h"
#include "wrong/wrong.h"

enum { MB = 1 << 20 };

/* So that the allocator has something to confuse it with. */
static void warm_up(void)
{
	for (unsigned c = 0; c < WRONG_CLASSES; c++) {
		wrong_block(wrong_size[c]);
		S(free)(S(malloc)(wrong_size[c]));
	}
}

static void commit(void *p)
{
	wrong_announce("wild free", p, "-");
	S(free)(p);
	for (unsigned c = 0; c < WRONG_CLASSES; c++)
		wrong_aftermath(wrong_size[c]);
}

static void on_stack(const void *arg)
{
	_Alignas(1024) unsigned char here[4096] = { 0 };
	size_t at = *(const size_t *)arg;

	warm_up();
	CHECK(shadow_claim(here, sizeof(here)));
	commit(here + at);
}

static _Alignas(4096) unsigned char fixed[8192];

static void on_static(const void *arg)
{
	size_t at = *(const size_t *)arg;

	warm_up();
	CHECK(shadow_claim(fixed, sizeof(fixed)));
	commit(fixed + at);
}

/* A mapping of the program's own, the byte before the pointer a copy of a real block's header. */
static void forged(const void *arg)
{
	unsigned c = *(const unsigned *)arg;
	unsigned char *map = check_map(8 * MB), *real;
	unsigned char *p = map + 4 * MB + 64;

	wrong_skip_headerless(c);
	warm_up();
	real = wrong_block(wrong_size[c]);
	p[-1] = real[-1];
	if (!check_subject()->debug)
		check_skip("a release build may believe a forged header");
	CHECK(shadow_claim(map, 8 * MB));
	commit(p);
}

/* Aligned as the allocator's own regions and headerless blocks may be. */
static void mapped(const void *arg)
{
	size_t at = *(const size_t *)arg;
	unsigned char *map = check_map(16 * MB);
	unsigned char *p = (unsigned char *)(((uintptr_t)map + 8 * MB) & ~((uintptr_t)4 * MB - 1));

	warm_up();
	CHECK(shadow_claim(map, 16 * MB));
	commit(p + at);
}

/* Not memory at all. A release build may die in its own way. */
static void not_mapped(const void *arg)
{
	unsigned char *p = (unsigned char *)*(const uintptr_t *)arg;

	if (!check_subject()->debug)
		check_skip("a release build reads the header before it asks");
	warm_up();
	if (!p) {
		p = check_map(64 * MB);
		CHECK(!munmap(p, 64 * MB));
		p += 16 * MB + 16;
	}
	commit(p);
}

static const struct check_case cases[] = {
	{ "stack", on_stack, &(const size_t){ 1024 } },
	{ "stack-16", on_stack, &(const size_t){ 2064 } },
	{ "stack-odd", on_stack, &(const size_t){ 2065 } },
	{ "static", on_static, &(const size_t){ 4096 } },
	{ "static-16", on_static, &(const size_t){ 16 } },
	{ "mapped", mapped, &(const size_t){ 0 } },
	{ "mapped-16", mapped, &(const size_t){ 16 } },
	{ "mapped-1024", mapped, &(const size_t){ 1024 } },
	{ "forged-C0", forged, &(const unsigned){ 0 } },
	{ "forged-C4", forged, &(const unsigned){ 4 } },
	{ "not-mapped", not_mapped, &(const uintptr_t){ 0 } },
	{ "not-mapped-low", not_mapped, &(const uintptr_t){ 16 } },
	{ "not-mapped-high", not_mapped, &(const uintptr_t){ UINTPTR_MAX - 15 } },
	{ "not-mapped-hole", not_mapped, &(const uintptr_t){ UINT64_C(0x800000000010) } },
};

int main(int argc, char **argv)
{
	return check_main(argc, argv, cases, ROWS(cases));
}
