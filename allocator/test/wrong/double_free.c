/* double free: a block is freed that is free already. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "check.h"
#include "shadow.h"
#include "subject.h"
#include "wrong/wrong.h"

/*
 * The other thread is there before the crime, and a neighbour lives on, so that nobody else is
 * given the block in between, nor another class its slab.
 */
static _Atomic(void *) to_free;

static void *free_here(void *arg)
{
	void *p;

	while (!(p = to_free))
		sched_yield();
	S(free)(p);
	return arg;
}

static pthread_t other;

static unsigned char *block_and_thread(size_t size)
{
	unsigned char *p = wrong_block(size);

	wrong_block(size);
	CHECK(!pthread_create(&other, NULL, free_here, NULL));
	return p;
}

static void free_in_thread(void *p)
{
	to_free = p;
	pthread_join(other, NULL);
}

static void first_free(unsigned char *p, size_t size)
{
	CHECK(shadow_release(p, size));
	S(free)(p);
}

static void right_after(const void *arg)
{
	unsigned c = *(const unsigned *)arg;
	unsigned char *p = wrong_block(wrong_size[c]);

	wrong_announce("double free", p, wrong_name[c]);
	first_free(p, wrong_size[c]);
	S(free)(p);
	wrong_aftermath(wrong_size[c]);
}

static void crossed(const void *arg)
{
	unsigned c = *(const unsigned *)arg;
	unsigned char *a = wrong_block(wrong_size[c]), *b = wrong_block(wrong_size[c]);

	wrong_announce("double free", a, wrong_name[c]);
	first_free(a, wrong_size[c]);
	first_free(b, wrong_size[c]);
	S(free)(a);
	wrong_aftermath(wrong_size[c]);
}

/* Only a debug build is asked to look this far. */
static void after_fifty(const void *arg)
{
	unsigned c = *(const unsigned *)arg;
	unsigned char *a = wrong_block(wrong_size[c]), *b[50];

	if (!check_subject()->debug)
		check_skip("a release build does not search its lists");
	for (size_t i = 0; i < ROWS(b); i++)
		b[i] = wrong_block(wrong_size[c]);
	wrong_announce("double free", a, wrong_name[c]);
	first_free(a, wrong_size[c]);
	for (size_t i = 0; i < ROWS(b); i++)
		first_free(b[i], wrong_size[c]);
	S(free)(a);
	wrong_aftermath(wrong_size[c]);
}

static void owner_after_thread(const void *arg)
{
	unsigned c = *(const unsigned *)arg;
	unsigned char *p = block_and_thread(wrong_size[c]);

	wrong_announce("double free", p, wrong_name[c]);
	CHECK(shadow_release(p, wrong_size[c]));
	free_in_thread(p);
	S(free)(p);
	wrong_aftermath(wrong_size[c]);
}

static void thread_after_owner(const void *arg)
{
	unsigned c = *(const unsigned *)arg;
	unsigned char *p = block_and_thread(wrong_size[c]);

	wrong_announce("double free", p, wrong_name[c]);
	first_free(p, wrong_size[c]);
	free_in_thread(p);
	wrong_aftermath(wrong_size[c]);
}

static void after_realloc(const void *arg)
{
	unsigned c = *(const unsigned *)arg;
	unsigned char *p = wrong_block(wrong_size[c]), *q;

	CHECK(shadow_release(p, wrong_size[c]));
	q = S(realloc)(p, 3000);
	CHECK(q && q != p && shadow_claim(q, 3000));
	wrong_announce("double free", p, wrong_name[c]);
	S(free)(p);
	wrong_aftermath(wrong_size[c]);
}

/* Beyond the classes: what is called how depends on whether the memory is still there. */
static void beyond(const void *arg)
{
	size_t size = *(const size_t *)arg;
	unsigned char *p = wrong_block(size);

	wrong_announce("any", p, "-");
	first_free(p, size);
	S(free)(p);
	wrong_aftermath(size);
}

/* The message may name the block that the aligned one lies in. */
static void aligned(const void *arg)
{
	size_t alignment = *(const size_t *)arg, size = 100;
	unsigned char *p = wrong_aligned(alignment, size);

	wrong_announce("double free", NULL, "-");
	first_free(p, size);
	S(free)(p);
	wrong_aftermath(size);
}

#define EACH(name, run) \
	{ name "-C0", run, &(const unsigned){ 0 } }, { name "-C1", run, &(const unsigned){ 1 } }, \
	{ name "-C2", run, &(const unsigned){ 2 } }, { name "-C3", run, &(const unsigned){ 3 } }, \
	{ name "-C4", run, &(const unsigned){ 4 } }, { name "-C5", run, &(const unsigned){ 5 } }, \
	{ name "-C6", run, &(const unsigned){ 6 } }, { name "-C7", run, &(const unsigned){ 7 } }

static const struct check_case cases[] = {
	EACH("right-after", right_after),
	EACH("crossed", crossed),
	{ "after-fifty-C2", after_fifty, &(const unsigned){ 2 } },
	{ "after-fifty-C7", after_fifty, &(const unsigned){ 7 } },
	{ "owner-after-thread-C4", owner_after_thread, &(const unsigned){ 4 } },
	{ "owner-after-thread-C7", owner_after_thread, &(const unsigned){ 7 } },
	{ "thread-after-owner-C4", thread_after_owner, &(const unsigned){ 4 } },
	{ "thread-after-owner-C7", thread_after_owner, &(const unsigned){ 7 } },
	{ "after-realloc-C4", after_realloc, &(const unsigned){ 4 } },
	{ "aligned-32", aligned, &(const size_t){ 32 } },
	{ "aligned-256", aligned, &(const size_t){ 256 } },
	{ "aligned-4096", aligned, &(const size_t){ 4096 } },
	{ "middle", beyond, &(const size_t){ 5000 } },
	{ "large", beyond, &(const size_t){ 500000 } },
};

int main(int argc, char **argv)
{
	return check_main(argc, argv, cases, ROWS(cases));
}
