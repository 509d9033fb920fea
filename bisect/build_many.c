/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/build.h"
#include "harness/child.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct many {
	struct build_cache *cache;
	struct history *history;
	const struct build_request *req;
	size_t n;
	unsigned jobs, flags;
	build_progress *progress;
	void *ctx;
	struct build *out;
	size_t *same;	      /* same[i] <= i: the first request with i's key */
	pthread_mutex_t lock; /* of what follows */
	size_t next, done;
	struct error error;
};

static void told(struct many *m, size_t i)
{
	m->done++;
	if (m->progress)
		m->progress(m->ctx, i, &m->out[i], m->done, m->n);
}

static bool is_done(const struct many *m, size_t i)
{
	return m->out[i].outcome != BUILD_NONE;
}

/* Find what exists, so that only the rest is built: most calls end here. */
static int find_cached(struct many *m, struct error *e)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct build_request *q = &m->req[i];
		int rc = build_one(m->cache, m->history, q->commit, q->recipe, m->jobs,
				   m->flags | BUILD_CACHED_ONLY, &m->out[i], e);
		if (rc)
			return rc;
		m->same[i] = i;
		if (is_done(m, i))
			told(m, i);
	}
	return 0;
}

static int by_key(const void *a, const void *b, void *out)
{
	const struct build *builds = out;
	size_t i = *(const size_t *)a, j = *(const size_t *)b;
	int c = strcmp(builds[i].key, builds[j].key);
	return c ? c : i < j ? -1 : i > j;
}

static void group_equal_keys(struct many *m)
{
	size_t *order = x_calloc(m->n, sizeof(*order));
	for (size_t i = 0; i < m->n; i++)
		order[i] = i;
	qsort_r(order, m->n, sizeof(*order), by_key, m->out);
	for (size_t i = 1; i < m->n; i++)
		if (!strcmp(m->out[order[i]].key, m->out[order[i - 1]].key))
			m->same[order[i]] = m->same[order[i - 1]];
	free(order);
}

static int build_index(struct many *m, size_t i, struct error *e)
{
	struct build b = { 0 };
	const struct build_request *q = &m->req[i];
	int rc = build_one(m->cache, m->history, q->commit, q->recipe, m->jobs, m->flags, &b, e);
	if (rc)
		return rc;
	build_release(&m->out[i]);
	m->out[i] = b;
	return 0;
}

static void *worker(void *arg)
{
	struct many *m = arg;
	pthread_mutex_lock(&m->lock);
	for (;;) {
		while (m->next < m->n && (is_done(m, m->next) || m->same[m->next] != m->next))
			m->next++;
		if (m->next == m->n || m->error.code)
			break;
		size_t i = m->next++;
		pthread_mutex_unlock(&m->lock);
		struct error e = { 0 };
		int rc = child_interrupted()
				 ? error_set(&e, -EINTR, "interrupted: what is built stays built")
				 : build_index(m, i, &e);
		pthread_mutex_lock(&m->lock);
		if (rc)
			error_set(&m->error, rc, "%s", e.text);
		else
			told(m, i);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

static int run_workers(struct many *m, unsigned parallel, struct error *e)
{
	pthread_t *threads = x_calloc(parallel, sizeof(*threads));
	unsigned started = 0;
	while (started < parallel && pthread_create(&threads[started], NULL, worker, m) == 0)
		started++;
	if (!started)
		worker(m);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	free(threads);
	return m->error.code ? error_set(e, m->error.code, "%s", m->error.text) : 0;
}

int build_many(struct build_cache *c, struct history *h, const struct build_request *req, size_t n,
	       unsigned parallel, unsigned jobs, unsigned flags, build_progress *progress,
	       void *ctx, struct build *out, struct error *e)
{
	struct many m = { .cache = c,
			  .history = h,
			  .req = req,
			  .n = n,
			  .jobs = jobs ? jobs : 1,
			  .flags = flags,
			  .progress = progress,
			  .ctx = ctx,
			  .out = out };
	m.same = x_calloc(n + 1, sizeof(*m.same));
	pthread_mutex_init(&m.lock, NULL);
	int rc = find_cached(&m, e);
	if (!rc && m.done < n && !(flags & BUILD_CACHED_ONLY)) {
		group_equal_keys(&m);
		rc = run_workers(&m, parallel ? parallel : 1, e);
		/* The others of a key are cached by now; a failure was tried once and not once per
		 * commit. */
		m.flags &= ~(unsigned)BUILD_RETRY;
		for (size_t i = 0; i < n && !rc; i++) {
			if (is_done(&m, i))
				continue;
			rc = build_index(&m, i, e);
			if (!rc)
				told(&m, i);
		}
	}
	pthread_mutex_destroy(&m.lock);
	free(m.same);
	return rc;
}
