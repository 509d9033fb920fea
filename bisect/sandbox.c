/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/sandbox.h"

#include "base/fs.h"
#include "bisect/linkcatch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define INSIDE "/tmp"

static const char *const bwrap_paths[] = { "/usr/bin/bwrap", "/usr/local/bin/bwrap" };
static const char *const ccache_paths[] = { "/usr/bin/ccache", "/usr/local/bin/ccache" };

static const char *first_program(const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	return NULL;
}

char *sandbox_path(const struct sandbox *s, const char *name)
{
	return x_printf("%s/%s", s->bubblewrap ? INSIDE : s->box, name);
}

/* bubblewrap's own arguments, the command follows. */
static void wrap(const struct sandbox *s, struct recipe_words *out)
{
	const char *first[] = { first_program(bwrap_paths, 2),
				"--ro-bind",
				"/",
				"/",
				"--dev",
				"/dev",
				"--proc",
				"/proc",
				"--bind",
				s->box,
				INSIDE };
	for (size_t i = 0; i < sizeof(first) / sizeof(*first); i++)
		recipe_words_add(out, first[i]);
	if (s->ccache) {
		recipe_words_add(out, "--bind");
		recipe_words_add(out, s->ccache);
		recipe_words_add(out, INSIDE "/ccache");
	}
	const char *rest[] = { "--unshare-pid", "--unshare-ipc", "--die-with-parent",
			       "--new-session", "--chdir",	 INSIDE "/src" };
	for (size_t i = 0; i < sizeof(rest) / sizeof(*rest); i++)
		recipe_words_add(out, rest[i]);
	if (!s->network)
		recipe_words_add(out, "--unshare-net");
	if (geteuid() == 0) {
		/* Enough to unpack and install as root does, too little to mount. */
		const char *caps[] = { "--cap-drop", "ALL",	  "--cap-add",
				       "CAP_CHOWN",  "--cap-add", "CAP_DAC_OVERRIDE",
				       "--cap-add",  "CAP_FOWNER" };
		for (size_t i = 0; i < sizeof(caps) / sizeof(*caps); i++)
			recipe_words_add(out, caps[i]);
	}
}

bool sandbox_works(void)
{
	if (!first_program(bwrap_paths, 2))
		return false;
	char box[] = "/tmp/hakperf-box.XXXXXX";
	if (!mkdtemp(box))
		return false;
	struct sandbox s = { .box = box, .bubblewrap = true };
	char *src = x_printf("%s/src", box);
	mkdir(src, 0777);
	struct recipe_words argv = { 0 };
	wrap(&s, &argv);
	recipe_words_add(&argv, "/bin/sh");
	recipe_words_add(&argv, "-c");
	recipe_words_add(&argv, ": > " INSIDE "/src/written");
	struct child_spec spec = { .argv = (const char *const *)argv.v,
				   .cpu = -1,
				   .pass_fd = -1,
				   .timeout_ns = 10000000000u };
	struct child_result r = { 0 };
	struct error e = { 0 };
	bool works = child_run(&spec, &r, &e) == 0 && r.outcome == CHILD_EXITED && r.status == 0;
	child_release(&r);
	recipe_words_release(&argv);
	fs_remove(box, NULL);
	free(src);
	return works;
}

static const char *value_of(const struct recipe_words *env, const char *name)
{
	size_t n = strlen(name);
	const char *found = NULL;
	for (size_t i = 0; i < env->n; i++)
		if (!strncmp(env->v[i], name, n) && env->v[i][n] == '=')
			found = env->v[i] + n + 1;
	return found;
}

/* NAME=value, replacing an earlier one of the name. */
static void put(struct recipe_words *env, char *entry)
{
	size_t n = strcspn(entry, "=") + 1;
	for (size_t i = 0; i < env->n; i++) {
		if (strncmp(env->v[i], entry, n))
			continue;
		free(env->v[i]);
		env->v[i] = entry;
		return;
	}
	recipe_words_add(env, entry);
	free(entry);
}

static void build_env(const struct sandbox *s, const struct recipe *r,
		      const struct recipe_values *v, struct recipe_words *env)
{
	char *home = sandbox_path(s, "home"), *bin = sandbox_path(s, "bin"),
	     *tmp = s->bubblewrap ? x_strdup(INSIDE) : sandbox_path(s, "tmp");
	char *ld = sandbox_path(s, "ld"), *links = sandbox_path(s, "links");
	put(env, x_printf("PATH=%s:%s:" SYSTEM_PATH, bin, ld));
	/* gcc and clang look here for the linker first. */
	put(env, x_printf("COMPILER_PATH=%s", ld));
	put(env, x_printf("HAKPERF_LINKS=%s", links));
	put(env, x_printf("HAKPERF_BOX=%s", s->bubblewrap ? INSIDE : s->box));
	put(env, x_printf("HOME=%s", home));
	put(env, x_printf("TMPDIR=%s", tmp));
	put(env, x_strdup("LC_ALL=C"));
	put(env, x_strdup("TZ=UTC"));
	/* Dates that a compiler or packer writes into its output are the same for every build. */
	put(env, x_strdup("SOURCE_DATE_EPOCH=946684800"));
	put(env, x_printf("HAKPERF_SRC=%s", v->src));
	put(env, x_printf("HAKPERF_PREFIX=%s", v->prefix));
	put(env, x_printf("HAKPERF_JOBS=%u", v->jobs));
	put(env, x_printf("HAKPERF_VARIANT=%s", r->variant ? r->variant : "release"));
	put(env, x_printf("CC=%s", r->cc ? r->cc : "gcc"));
	put(env, x_printf("CFLAGS=%s", v->cflags));
	put(env, x_printf("LDFLAGS=%s", r->ldflags ? r->ldflags : ""));
	if (s->ccache) {
		put(env, x_strdup("CCACHE_DIR=" INSIDE "/ccache"));
		put(env, x_strdup("CCACHE_MAXSIZE=500M"));
	}
	for (size_t i = 0; i < r->n_env; i++)
		put(env, x_strdup(r->env[i]));
	free(home);
	free(bin);
	free(tmp);
	free(ld);
	free(links);
}

/* Is a program without '/' in its name somewhere on that PATH? */
static bool on_path(const char *program, const char *path)
{
	bool found = false;
	for (const char *p = path; p && *p && !found;) {
		size_t len = strcspn(p, ":");
		char *file = x_printf("%.*s/%s", (int)len, p, program);
		found = access(file, X_OK) == 0;
		free(file);
		p += len + (p[len] == ':');
	}
	return found;
}

int sandbox_run(const struct sandbox *s, const struct recipe *recipe, const struct recipe_values *v,
		char *const *argv, const char *log_path, uint64_t timeout_ns,
		struct child_result *r, struct error *e)
{
	struct recipe_words env = { 0 }, all = { 0 };
	build_env(s, recipe, v, &env);
	char *cwd = x_printf("%s/src", s->box);
	int rc = 0;
	if (!strchr(argv[0], '/') && !on_path(argv[0], value_of(&env, "PATH")))
		rc = error_set(e, -ENOENT,
			       "the recipe '%s' calls '%s', which is not installed here: install "
			       "it (or set PATH in the recipe's environment)",
			       recipe->name ? recipe->name : "default", argv[0]);
	if (s->bubblewrap)
		wrap(s, &all);
	for (size_t i = 0; argv[i]; i++)
		recipe_words_add(&all, argv[i]);
	struct child_spec spec = {
		.argv = (const char *const *)all.v,
		.env = (const char *const *)env.v,
		.cwd = cwd,
		.timeout_ns = timeout_ns,
		.cpu = -1,
		.pass_fd = -1,
		.log_path = log_path,
		.own_network = !s->bubblewrap && !s->network,
	};
	rc = rc ? rc : child_run(&spec, r, e);
	recipe_words_release(&env);
	recipe_words_release(&all);
	free(cwd);
	return rc;
}

/* bin/<compiler> -> ccache: ccache goes by the name it is called with, so that the link command
 * keeps the compiler's own name. */
static int name_compilers(const struct sandbox *s, const struct recipe *recipe, struct error *e)
{
	const char *ccache = first_program(ccache_paths, 2);
	const char *names[] = {
		recipe->cc ? recipe->cc : "gcc", "gcc", "g++", "cc", "c++", "clang", "clang++"
	};
	for (size_t i = 0; ccache && i < sizeof(names) / sizeof(*names); i++) {
		if (strchr(names[i], '/') || !on_path(names[i], SYSTEM_PATH))
			continue;
		char *link = x_printf("%s/bin/%s", s->box, names[i]);
		int rc = symlink(ccache, link) && errno != EEXIST
				 ? error_errno(e, errno, "cannot make %s", link)
				 : 0;
		free(link);
		if (rc)
			return rc;
	}
	return 0;
}

int sandbox_prepare(const struct sandbox *s, const struct recipe *recipe, struct error *e)
{
	static const char *const folders[] = { "src", "prefix", "home", "bin", "tmp" };
	int rc = 0;
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders) && !rc; i++) {
		char *path = x_printf("%s/%s", s->box, folders[i]);
		rc = fs_mkdirs(path, e);
		free(path);
	}
	rc = rc ? rc : linkcatch_install(s->box, e);
	if (!rc && s->ccache)
		rc = fs_mkdirs(s->ccache, e);
	return rc ? rc : s->ccache ? name_compilers(s, recipe, e) : 0;
}
