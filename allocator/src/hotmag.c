#include "hotmag.h"

#include "thread.h"
#include "tiny.h"
#include "util.h"

/* C2 to C4: what most programs free and allocate again at once. */
#define HOTMAG_CLASSES 0x1Cu
#define HOTMAG_CAP 32

static bool g_hotmag_on;

void hotmag_init(void)
{
	g_hotmag_on = hak_env("HAKMEM_HOTMAG", 0) > 0;
}

static bool hotmag_serves(unsigned cls)
{
	return g_hotmag_on && cls < TINY_CLASSES && (HOTMAG_CLASSES >> cls & 1);
}

void *hotmag_pop(struct tls *t, unsigned cls)
{
	struct hotmag *m;

	if (!hotmag_serves(cls))
		return NULL;
	m = &t->heap->hotmag;
	return m->count[cls] > 0 ? m->blocks[cls][--m->count[cls]] : NULL;
}

bool hotmag_push(struct tls *t, unsigned cls, void *p)
{
	struct hotmag *m;

	if (!hotmag_serves(cls))
		return false;
	m = &t->heap->hotmag;
	if (m->count[cls] >= HOTMAG_CAP)
		return false;
	m->blocks[cls][m->count[cls]++] = p;
	return true;
}

void hotmag_flush(struct tls *t)
{
	struct hotmag *m = &t->heap->hotmag;
	unsigned cls;
	void *p;

	for (cls = 0; cls < TINY_CLASSES; cls++) {
		while (m->count[cls] > 0) {
			p = m->blocks[cls][--m->count[cls]];
			tiny_return(t, slab_of(p), p);
		}
	}
}
