#define _GNU_SOURCE
#include "wrong/wrong.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "shadow.h"
#include "subject.h"

const size_t wrong_size[WRONG_CLASSES] = { 15, 31, 47, 79, 143, 271, 527, 1024 };
const char *const wrong_name[WRONG_CLASSES] = { "C0", "C1", "C2", "C3", "C4", "C5", "C6", "C7" };

static unsigned char *claim(unsigned char *p, size_t size)
{
	CHECK(p);
	memset(p, 0, size);
	if (!shadow_claim(p, size))
		check_fail(__FILE__, __LINE__, "malloc(%zu) gave %p, which belongs to another",
			   size, (void *)p);
	return p;
}

unsigned char *wrong_block(size_t size)
{
	return claim(S(malloc)(size), size);
}

unsigned char *wrong_aligned(size_t alignment, size_t size)
{
	return claim(S(aligned_alloc)(alignment, size), size);
}

/* Headerless blocks are 1024-aligned, and no others are, in a row of some. */
void wrong_skip_headerless(unsigned class)
{
	uintptr_t bits = 0;

	if (!check_subject()->header)
		check_skip("no block carries a header in this build");
	if (class != WRONG_CLASSES - 1)
		return;
	for (int i = 0; i < 8; i++)
		bits |= (uintptr_t)S(malloc)(wrong_size[class]);
	if (bits % 1024 == 0)
		check_skip("blocks of class C7 have no header here");
}

/* Release compares a header, or an alignment; where there is neither it is not asked to notice. */
static void skip_blind(const char *kind, const char *class_name)
{
	bool twice = !strcmp(kind, "double free"), inside = !strcmp(kind, "interior pointer");

	if (check_subject()->debug || *class_name != 'C' || !(twice || inside))
		return;
	if (!check_subject()->header)
		check_skip("a release build without headers has nothing to compare");
	if (twice && !strcmp(class_name, "C7"))
		wrong_skip_headerless(WRONG_CLASSES - 1);
}

void wrong_announce(const char *kind, const void *p, const char *class_name)
{
	skip_blind(kind, class_name);
	if (check_subject()->debug)
		check_expect_abort(kind, p, class_name);
	else
		check_allow_abort();
}

static void *take_many(void *arg)
{
	const size_t size = *(const size_t *)arg;

	for (int i = 0; i < 600; i++)
		wrong_block(i % 16 ? size : size + (size_t)i % 40);
	return NULL;
}

void wrong_aftermath(size_t size)
{
	pthread_t t;

	if (check_subject()->debug)
		check_fail(__FILE__, __LINE__, "the crime went unnoticed");
	take_many(&size);
	CHECK(!pthread_create(&t, NULL, take_many, &size));
	pthread_join(t, NULL);
}
