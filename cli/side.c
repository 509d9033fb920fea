/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/side.h"

#include "base/buf.h"
#include "base/fs.h"
#include "harness/artifact.h"
#include "harness/counter.h"
#include "harness/metric.h"
#include "harness/relink.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The one shared library in a prefix's lib folder. */
static int library_of(const char *prefix, char **artifact, struct error *e)
{
	char *lib = x_printf("%s/lib", prefix);
	DIR *d = opendir(lib);
	int found = 0;
	for (struct dirent *f; d && (f = readdir(d));) {
		size_t n = strlen(f->d_name);
		if (n > 3 && !strcmp(f->d_name + n - 3, ".so")) {
			free(*artifact);
			*artifact = x_printf("%s/%s", lib, f->d_name);
			found++;
		}
	}
	if (d)
		closedir(d);
	int rc = found == 1 ? 0 : error_set(e, -ENOENT, "%s holds %d libraries (lib/*.so): name the file itself", prefix, found);
	free(lib);
	return rc;
}

static int side_of_file(struct side *s, const char *path, struct error *e)
{
	struct stat st;
	char *real = realpath(path, NULL);
	if (!real || stat(real, &st)) {
		int rc = error_errno(e, errno, "cannot read %s", path);
		free(real);
		return rc;
	}
	int rc = 0;
	size_t n = strlen(real);
	if (S_ISDIR(st.st_mode)) {
		s->prefix = real;
		rc = library_of(real, &s->artifact, e);
		s->relink = relink_possible(real);
	} else {
		s->artifact = real;
		bool library = strstr(real, ".so.") || (n > 3 && !strcmp(real + n - 3, ".so"));
		s->kind = library ? RUN_PRELOAD : RUN_EXEC;
		if (!library && !(st.st_mode & 0111))
			rc = error_set(e, -EACCES, "%s is neither a library (.so) nor a program", path);
	}
	struct artifact info = { 0 };
	if (!rc)
		rc = artifact_read(s->artifact, &info, e);
	snprintf(s->loaded, sizeof(s->loaded), "%s", info.loaded);
	return rc;
}

static int side_of_revision(struct project *p, struct side *s, const char *word, const char *variant, struct error *e)
{
	static const enum run_kind kinds[] = { [CONFIG_PRELOAD] = RUN_PRELOAD, [CONFIG_EXEC] = RUN_EXEC, [CONFIG_LIBRARY] = RUN_LIBRARY };
	int rc = history_resolve(p->subject.history, word, &s->commit, e);
	if (!rc)
		rc = subject_build(&p->subject, &s->commit, variant, BUILD_PIN, &s->build, e);
	if (!rc && s->build.outcome != BUILD_OK)
		return error_set(e, -ENODATA, "%s cannot be measured: %s (%s), see %s", word, build_outcome_name(s->build.outcome), s->build.detail,
				 s->build.log);
	if (rc)
		return rc;
	s->kind = kinds[p->config.subject.use];
	s->relink = s->build.relinkable;
	snprintf(s->loaded, sizeof(s->loaded), "%s", s->build.loaded_hash);
	return 0;
}

static int side_open(struct project *p, struct side *s, const char *word, const char *variant, struct error *e)
{
	*s = (struct side){ .label = x_strdup(word), .kind = RUN_PRELOAD };
	if (!strcmp(word, "none"))
		return 0;
	bool file = fs_exists(word), looks_like_file = strchr(word, '/') || strstr(word, ".so");
	if (file && (looks_like_file || !p->has_subject))
		return side_of_file(s, word, e);
	if (!p->has_subject)
		return error_set(e, -ENOENT, "'%s' is not a file, and there is no hakperf.ini whose subject it could be a revision of", word);
	return side_of_revision(p, s, word, variant, e);
}

int side_pair_open(struct project *p, struct side sides[2], const char *const words[2], const char *variant, bool fixed, struct error *e)
{
	int rc = side_open(p, &sides[0], words[0], variant, e);
	sides[1] = (struct side){ 0 };
	if (!rc)
		rc = side_open(p, &sides[1], words[1], variant, e);
	if (!rc && !strcmp(words[0], words[1])) { /* one arm under two names: they must stay apart */
		free(sides[1].label);
		sides[1].label = x_printf("%s (again)", words[1]);
	}
	for (int i = 0; i < 2; i++) {
		sides[i].relink &= !fixed;
		if (rc)
			side_close(&sides[i]);
	}
	return rc;
}

void side_close(struct side *s)
{
	free(s->label), free(s->prefix), free(s->artifact);
	history_commit_release(&s->commit);
	build_release(&s->build);
	*s = (struct side){ 0 };
}

static int record_file(struct store *store, struct side *s, struct error *e)
{
	struct artifact info = { 0 };
	struct store_build b = { .key = "none", .kind = "none", .outcome = "ok" };
	char *key = NULL;
	int rc = s->artifact ? artifact_read(s->artifact, &info, e) : 0;
	if (!rc && s->artifact) {
		key = x_printf("file:%s", info.file);
		b = (struct store_build){ .key = key, .kind = "file", .outcome = "ok", .artifact = s->artifact, .artifact_hash = info.file,
					  .loaded_hash = info.loaded, .build_id = info.build_id[0] ? info.build_id : NULL,
					  .relinkable = STORE_INT(s->relink) };
	}
	if (!rc)
		rc = store_build(store, &b, &s->build_id, e);
	free(key);
	return rc;
}

int side_add(struct project *p, struct session *session, struct side *s, struct error *e)
{
	struct session_arm arm = { 0 };
	int rc;
	if (s->commit.tree[0]) {
		rc = subject_record(&p->subject, p->store, &s->commit, &s->build, &s->commit_id, &s->build_id, e);
		if (!rc)
			arm = subject_arm(&p->subject, &s->build, s->label, s->commit_id, s->build_id);
		arm.relink = s->relink;
	} else {
		rc = record_file(p->store, s, e);
		arm = (struct session_arm){ .label = s->label, .kind = s->kind, .prefix = s->kind == RUN_EXEC ? s->artifact : s->prefix,
					    .artifact = s->artifact, .relink = s->relink, .build_id = s->build_id };
	}
	return rc ? rc : session_add_arm(session, &arm, &s->arm, e);
}

bool side_pair_same(const struct side sides[2])
{
	return sides[0].kind == RUN_PRELOAD && sides[1].kind == RUN_PRELOAD && !strcmp(sides[0].loaded, sides[1].loaded);
}

bool side_pair_relinks(const struct side sides[2])
{
	return sides[0].relink && sides[1].relink;
}

int side_metric_events(struct store *store, const char *metric, const char *events[2], struct error *e)
{
	struct counter_event event;
	struct error why = { 0 };
	events[0] = events[1] = NULL;
	if (!metric)
		return 0;
	if (!strncmp(metric, "instructions_", 13))
		return error_set(e, -EINVAL, "%s is counted, not timed: 'hakperf bench --exact' counts it", metric);
	bool event_name = !counter_encode(metric, false, &event, &why);
	if (!event_name && metric_find(metric))
		return 0;
	if (!event_name)
		return error_set(e, -EINVAL, "'%s' is neither a metric (ops_per_cpu_s, wall_ns, page_faults, peak_rss_bytes, …) nor an event of libpfm4", metric);
	events[0] = metric;
	struct metric m = metric_of_event(metric);
	int64_t unused;
	return store_metric(store, metric_find(metric) ? metric_find(metric) : &m, &unused, e);
}
