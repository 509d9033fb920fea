#include "hotmag.h"

#include "thread.h"
#include "tiny.h"
#include "util.h"

static unsigned g_hotmag_cap;
static unsigned g_hotmag_classes;

void hotmag_init(void)
{
	long cap = hak_env("HAKMEM_HOTMAG_CAP", 32);

	if (hak_env("HAKMEM_HOTMAG", 0) <= 0)
		return;
	g_hotmag_cap = cap < 1 ? 1 : cap > HOTMAG_MAX ? HOTMAG_MAX : (unsigned)cap;
	g_hotmag_classes = (unsigned)hak_env("HAKMEM_HOTMAG_CLASSES", 0x1C);
}

static bool hotmag_serves(unsigned cls)
{
	return cls < TINY_CLASSES && (g_hotmag_classes >> cls & 1);
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
	if (m->count[cls] >= g_hotmag_cap)
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
