/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/project.h"

#include "base/buf.h"
#include "base/fs.h"
#include "cli/cli.h"

#include <errno.h>
#include <git2.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Our programs lie beside the command: build/bin/hakperf, build/workload/…, build/control/… */
static int find_programs(struct project *p, struct error *e)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return error_errno(e, errno, "cannot tell where hakperf lies (/proc/self/exe)");
	self[n] = '\0';
	const char *top = dirname(dirname(self));
	p->workloads = x_printf("%s/workload", top);
	p->control = x_printf("%s/control", top);
	p->null_allocator = x_printf("%s/null/lib/libnull.so", top);
	return 0;
}

/*
 * During a 'git bisect' the work tree is an old one and may lack the configuration: the one of where the bisect started
 * is taken, as it is in the repository.
 */
static int config_of_bisect(struct project *p, bool *found, struct error *e)
{
	git_libgit2_init();
	git_repository *repo = NULL;
	git_object *blob = NULL;
	struct buf start = { 0 };
	char *path = NULL, *spec = NULL;
	int rc = 0;
	*found = false;
	if (git_repository_open_ext(&repo, p->root, 0, NULL))
		goto out;
	path = x_printf("%sBISECT_START", git_repository_path(repo));
	if (!fs_exists(path) || fs_read(path, 4096, &start, NULL))
		goto out;
	spec = x_printf("%.*s:hakperf.ini", (int)strcspn(buf_str(&start), "\n"), buf_str(&start));
	if (git_revparse_single(&blob, repo, spec) || git_object_type(blob) != GIT_OBJECT_BLOB)
		goto out;
	free(path);
	path = x_printf("%shakperf-bisect.ini", git_repository_path(repo));
	rc = fs_write(path, git_blob_rawcontent((git_blob *)blob), (size_t)git_blob_rawsize((git_blob *)blob), e);
	if (!rc)
		rc = config_load(path, &p->config, e);
	if (!rc) {
		free(p->config.folder);
		p->config.folder = x_strdup(p->root);
		*found = true;
	}
out:
	buf_release(&start);
	free(path), free(spec);
	git_object_free(blob);
	git_repository_free(repo);
	git_libgit2_shutdown();
	return rc;
}

static int open_config(struct project *p, const char *config, unsigned what, struct error *e)
{
	const char *given = config ? config : getenv("HAKPERF_CONFIG");
	char *path = given && *given ? x_strdup(given) : x_printf("%s/hakperf.ini", p->root);
	int rc = 0;
	bool exists = fs_exists(path);
	if (!exists && !(given && *given)) {
		rc = config_of_bisect(p, &p->has_config, e);
		if (rc || p->has_config)
			goto out;
	}
	if (exists) {
		rc = config_load(path, &p->config, e);
		p->has_config = !rc;
	} else if (!(what & PROJECT_OPTIONAL) || given) {
		rc = error_set(e, -ENOENT, "there is no %s: 'hakperf init' writes one, or name it by --config", path);
	}
out:
	free(path);
	return rc;
}

static int open_store(struct project *p, const char *db, bool in_git, unsigned what, struct error *e)
{
	int rc = 0;
	const char *env = getenv("HAKPERF_DB");
	if (db || (env && *env))
		p->db = x_strdup(db ? db : env);
	else if (p->has_config || in_git)
		p->db = x_printf("%s/results.db", p->has_config ? p->config.folder : p->root);
	else
		p->db = x_strdup("results.db");
	if (what & (PROJECT_STORE_WRITE | PROJECT_STORE_READ))
		rc = store_open(p->db, what & PROJECT_STORE_WRITE ? STORE_CREATE : STORE_READ, &p->store, e);
	return rc;
}

int project_open(struct project *p, const char *config, const char *db, unsigned what, struct error *e)
{
	*p = (struct project){ 0 };
	struct error no_git = { 0 };
	bool in_git = !cli_root(&p->root, &no_git);
	bool needs_git = what & PROJECT_CONFIG && !(what & PROJECT_OPTIONAL) && !config && !getenv("HAKPERF_CONFIG") && !fs_exists("hakperf.ini");
	int rc = find_programs(p, e);
	if (!rc && !in_git && needs_git)
		rc = error_set(e, no_git.code, "%s", no_git.text);
	if (!p->root)
		p->root = x_strdup(".");
	if (!rc && what & PROJECT_CONFIG)
		rc = open_config(p, config, what, e);
	if (!rc && (what & PROJECT_SUBJECT) == PROJECT_SUBJECT && p->has_config) {
		rc = subject_open(&p->config, &p->subject, e);
		p->has_subject = !rc;
	}
	if (!rc)
		rc = open_store(p, db, in_git, what, e);
	if (rc)
		project_close(p);
	return rc;
}

void project_close(struct project *p)
{
	store_close(p->store);
	if (p->has_subject)
		subject_close(&p->subject);
	if (p->has_config)
		config_release(&p->config);
	free(p->root), free(p->db), free(p->workloads), free(p->control), free(p->null_allocator);
	*p = (struct project){ 0 };
}
