/* overrun header: a block's writer ran over its end, into the header of the next block. */
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "shadow.h"
#include "subject.h"
#include "wrong/wrong.h"

/* The value that the header is overwritten with; forge: the header of another class instead. */
struct overrun {
	unsigned class;
	unsigned char value;
	int forge, resize;
};

enum { BLOCKS = 64, GAP_MAX = 32 };

/* Of BLOCKS live blocks, one that has another right after it, and that other. */
static unsigned char *neighbour(size_t size, unsigned char **before)
{
	unsigned char *p[BLOCKS];

	for (size_t i = 0; i < BLOCKS; i++)
		p[i] = wrong_block(size);
	for (size_t i = 0; i < BLOCKS; i++)
		for (size_t k = 0; k < BLOCKS; k++)
			if (p[k] > p[i] && (size_t)(p[k] - p[i]) <= size + GAP_MAX) {
				*before = p[i];
				return p[k];
			}
	check_fail(__FILE__, __LINE__, "no two of %d blocks are neighbours", BLOCKS);
}

static void run_overrun(const void *arg)
{
	const struct overrun *o = arg;
	size_t size = wrong_size[o->class];
	unsigned char *p, *q;

	wrong_skip_headerless(o->class);
	if (o->forge && !check_subject()->debug)
		check_skip("no single compare tells a forged header");
	q = neighbour(size, &p);
	wrong_announce("overrun header", q, wrong_name[o->class]);
	if (o->forge)
		q[-1] ^= 1;
	else
		memset(p, o->value, (size_t)(q - p));
	CHECK(shadow_release(q, size));
	if (o->resize) {
		unsigned char *r = S(realloc)(q, 3000);

		CHECK(!r || shadow_claim(r, 3000));
	} else {
		S(free)(q);
	}
	wrong_aftermath(size);
}

#define OVERRUN(name, class, value, forge, resize) \
	{ name "-C" #class, run_overrun, &(const struct overrun){ class, value, forge, resize } }

static const struct check_case cases[] = {
	OVERRUN("letters", 0, 'A', 0, 0),
	OVERRUN("letters", 1, 'A', 0, 0),
	OVERRUN("letters", 2, 'A', 0, 0),
	OVERRUN("letters", 3, 'A', 0, 0),
	OVERRUN("letters", 4, 'A', 0, 0),
	OVERRUN("letters", 5, 'A', 0, 0),
	OVERRUN("letters", 6, 'A', 0, 0),
	OVERRUN("letters", 7, 'A', 0, 0),
	OVERRUN("zeros", 0, 0, 0, 0),
	OVERRUN("zeros", 3, 0, 0, 0),
	OVERRUN("zeros", 7, 0, 0, 0),
	OVERRUN("ones", 4, 0xff, 0, 0),
	OVERRUN("forged", 2, 0, 1, 0),
	OVERRUN("forged", 5, 0, 1, 0),
	OVERRUN("forged", 7, 0, 1, 0),
	OVERRUN("letters-realloc", 4, 'A', 0, 1),
};

int main(int argc, char **argv)
{
	return check_main(argc, argv, cases, ROWS(cases));
}
