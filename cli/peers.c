/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "cli/cli.h"
#include "cli/peers.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "harness/artifact.h"
#include "harness/child.h"
#include "harness/store_read.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char help_peers[] =
	"measure a revision beside installed allocators\n"
	"\n"
	"usage: hakperf peers [OPTION ...] [REV]\n"
	"\n"
	"REV (default HEAD) stands beside jemalloc, mimalloc, tcmalloc-minimal (where installed), the C library's own allocator and\n"
	"the null allocator, the floor: throughput by CPU and by wall time, exact instructions, memory, and what each does about a\n"
	"double free, an interior and a wild pointer. Rounds interleave all of them.\n"
	"\n"
	"  --with PATH    another library, may be given again\n"
	"  --only NAME    of the installed ones only this, may be given again (jemalloc, mimalloc, tcmalloc, glibc, null, none)\n"
	"  --workload W   may be given again; default: what [main] times and the workloads that it does not name\n"
	"  --class C      size class of those that have classes\n"
	"  --all          every workload with all its classes\n"
	"  --rounds N     rounds a case (default 5; from 13 on differences have verdicts)\n"
	"  --max-time T   stop timing after this long\n"
	"  --no-exact     do not count instructions\n"
	"  --variant V    build variant of REV\n"
	"  --wait T       wait for another session of this machine (default 0)\n"
	"  --db FILE, --config FILE, --json\n";

#define LIST_MAX 32
#define BLOCK_BYTES 128 /* of the blocks that wrong use is tried with */

struct asked {
	const char *with[LIST_MAX], *only[LIST_MAX], *workloads[LIST_MAX], *class_name, *variant, *config, *db;
	size_t n_with, n_only, n_workloads;
	uint64_t rounds;
	double max_time, wait;
	bool all, no_exact, json;
};

static const struct known {
	const char *name, *files[4], *package;
	const char *exact_environment; /* without it the counts follow the clock; NULL: they repeat */
} known[] = {
	{ "jemalloc", { "libjemalloc.so.2", "libjemalloc.so" }, "libjemalloc2", "MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1" },
	{ "mimalloc", { "libmimalloc.so.2", "libmimalloc.so.3", "libmimalloc.so" }, "libmimalloc2.0", NULL },
	{ "tcmalloc", { "libtcmalloc_minimal.so.4", "libtcmalloc_minimal.so" }, "libtcmalloc-minimal4", NULL },
};

static bool add_word(const char **list, size_t *n, const char *word)
{
	if (*n == LIST_MAX)
		return false;
	list[(*n)++] = word;
	return true;
}

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "with", required_argument, NULL, 'i' }, { "only", required_argument, NULL, 'o' }, { "workload", required_argument, NULL, 'w' },
		{ "class", required_argument, NULL, 'C' }, { "all", no_argument, NULL, 'a' }, { "rounds", required_argument, NULL, 'n' },
		{ "max-time", required_argument, NULL, 't' }, { "no-exact", no_argument, NULL, 'X' }, { "variant", required_argument, NULL, 'v' },
		{ "wait", required_argument, NULL, 'W' }, { "db", required_argument, NULL, 'D' }, { "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' }, { 0 },
	};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		const char *wrong = NULL;
		switch (o) {
		case 'i': wrong = add_word(a->with, &a->n_with, optarg) ? NULL : "with"; break;
		case 'o': wrong = add_word(a->only, &a->n_only, optarg) ? NULL : "only"; break;
		case 'w': wrong = add_word(a->workloads, &a->n_workloads, optarg) ? NULL : "workload"; break;
		case 'C': a->class_name = optarg; break;
		case 'a': a->all = true; break;
		case 'n': wrong = cli_number(optarg, 1, 100000, &a->rounds) ? NULL : "rounds"; break;
		case 't': wrong = cli_seconds(optarg, &a->max_time) && a->max_time > 0 ? NULL : "max-time"; break;
		case 'W': wrong = cli_seconds(optarg, &a->wait) ? NULL : "wait"; break;
		case 'X': a->no_exact = true; break;
		case 'v': a->variant = optarg; break;
		case 'D': a->db = optarg; break;
		case 'c': a->config = optarg; break;
		case 'j': a->json = true; break;
		default: return CLI_USAGE;
		}
		if (wrong)
			return cli_usage("peers", "'%s' is not a value that --%s takes", optarg, wrong);
	}
	return argc - optind <= 1 ? 0 : cli_usage("peers", "one revision");
}

static bool wanted(const struct asked *a, const char *name)
{
	for (size_t i = 0; i < a->n_only; i++)
		if (!strcmp(a->only[i], name))
			return true;
	return !a->n_only;
}

static char *find_library(const struct known *k)
{
	static const char *const folders[] = { "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib" };
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		for (size_t f = 0; f < 4 && k->files[f]; f++) {
			char *path = x_printf("%s/%s", folders[i], k->files[f]);
			if (fs_exists(path))
				return path;
			free(path);
		}
	return NULL;
}

static struct peer *add_peer(struct peers *p, const char *label, char *artifact)
{
	struct peer *x = &p->list[p->n++];
	*x = (struct peer){ .label = x_strdup(label), .artifact = artifact };
	return x;
}

static int add_subject(struct peers *p, const struct asked *a, const char *rev, struct error *e)
{
	if (p->p.config.subject.use != CONFIG_PRELOAD)
		return error_set(e, -EINVAL, "%s is used as a program or linked, not preloaded: it has no peers among allocators", p->p.config.subject.name);
	int rc = history_resolve(p->p.subject.history, rev, &p->commit, e);
	if (!rc)
		rc = subject_build(&p->p.subject, &p->commit, a->variant, BUILD_PIN, &p->build, e);
	if (!rc && p->build.outcome != BUILD_OK)
		rc = error_set(e, -ENODATA, "%s cannot be measured: %s (%s), see %s", rev, build_outcome_name(p->build.outcome), p->build.detail, p->build.log);
	if (rc)
		return rc;
	char *label = x_printf("%s %s", p->p.config.subject.name, rev);
	add_peer(p, label, x_strdup(p->build.artifact))->role = PEER_SUBJECT;
	free(label);
	return 0;
}

static int add_installed(struct peers *p, const struct asked *a, struct error *e)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (!wanted(a, known[i].name))
			continue;
		char *path = find_library(&known[i]);
		if (path)
			add_peer(p, known[i].name, path)->exact_environment = known[i].exact_environment;
		else
			cli_warn("%s is not installed: 'apt-get install %s' puts it into the table", known[i].name, known[i].package);
	}
	if (wanted(a, "glibc"))
		add_peer(p, "glibc", NULL);
	for (size_t i = 0; i < a->n_with; i++) {
		char *real = realpath(a->with[i], NULL);
		if (!real)
			return error_errno(e, errno, "cannot read %s", a->with[i]);
		add_peer(p, a->with[i], real);
	}
	if (wanted(a, "null"))
		add_peer(p, "null (floor)", x_strdup(p->p.null_allocator))->role = PEER_FLOOR;
	return 0;
}

static bool named_in_main(const struct config *c, const char *workload)
{
	for (size_t i = 0; i < c->main_job.n_timed; i++)
		if (!strcmp(c->main_job.timed[i].workload, workload))
			return true;
	return false;
}

static int add_cases(struct peers *p, const struct asked *a, struct error *e)
{
	const struct config *c = &p->p.config;
	int rc = 0;
	for (size_t i = 0; !rc && i < a->n_workloads; i++) {
		const struct config_workload *w = config_workload(c, a->workloads[i]);
		rc = bench_cases_expand(c, a->workloads[i], w && w->classes ? a->class_name : NULL, &p->cases, &p->n_cases, e);
	}
	for (size_t i = 0; !rc && !a->n_workloads && !a->all && i < c->main_job.n_timed; i++)
		rc = bench_cases_expand(c, c->main_job.timed[i].workload, c->main_job.timed[i].class_name, &p->cases, &p->n_cases, e);
	for (size_t i = 0; !rc && !a->n_workloads && i < c->n_workloads; i++)
		if (a->all || !named_in_main(c, c->workloads[i].name))
			rc = bench_cases_expand(c, c->workloads[i].name, NULL, &p->cases, &p->n_cases, e);
	if (!rc && !p->n_cases)
		rc = error_set(e, -EINVAL, "%s has no workload to measure", c->path);
	return rc;
}

/* An artifact that no history made, or the same with the environment that lets its counts repeat. */
static int record_file(struct peers *p, const struct peer *x, const char *environment, int64_t *build, struct error *e)
{
	struct artifact info = { 0 };
	struct store_build b = { .key = "none", .kind = "none", .outcome = "ok" };
	char *key = NULL;
	int rc = x->artifact ? artifact_read(x->artifact, &info, e) : 0;
	if (!rc && x->artifact) {
		key = x_printf("file:%s%s%s", info.file, environment ? " " : "", environment ? environment : "");
		b = (struct store_build){ .key = key, .kind = "file", .outcome = "ok", .artifact = x->artifact, .artifact_hash = info.file,
					  .loaded_hash = info.loaded, .build_id = info.build_id[0] ? info.build_id : NULL, .relinkable = STORE_INT(0) };
	}
	if (!rc)
		rc = store_build(p->p.store, &b, build, e);
	free(key);
	return rc;
}

static int add_arm(struct peers *p, struct peer *x, struct error *e)
{
	struct session_arm arm;
	int rc;
	if (x->role == PEER_SUBJECT) {
		struct store_opt commit;
		int64_t build;
		rc = subject_record(&p->p.subject, p->p.store, &p->commit, &p->build, &commit, &build, e);
		arm = rc ? (struct session_arm){ 0 } : subject_arm(&p->p.subject, &p->build, x->label, commit, build);
	} else {
		arm = (struct session_arm){ .label = x->label, .kind = RUN_PRELOAD, .artifact = x->artifact };
		rc = record_file(p, x, NULL, &arm.build_id, e);
	}
	if (!rc)
		rc = session_add_arm(p->session, &arm, &x->arm, e);
	x->exact_arm = x->arm;
	if (rc || !x->exact_environment)
		return rc;
	const char *environment[] = { x->exact_environment, NULL };
	char *label = x_printf("%s (%s)", x->label, x->exact_environment);
	arm.label = label;
	arm.environment = environment;
	rc = record_file(p, x, x->exact_environment, &arm.build_id, e);
	if (!rc)
		rc = session_add_arm(p->session, &arm, &x->exact_arm, e);
	free(label);
	return rc;
}

static int open_session(struct peers *p, const struct asked *a, const char *rev, struct error *e)
{
	json_t *list = json_array(), *cases = json_array();
	char name[128];
	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(list, cli_json_string(p->list[i].label));
	for (size_t i = 0; i < p->n_cases; i++)
		json_array_append_new(cases, cli_json_string(bench_case_name(&p->cases[i], name, sizeof(name))));
	p->request = json_pack("{s:o, s:s, s:s*, s:o, s:o, s:I}", "revision", cli_json_string(rev), "commit", p->commit.id, "variant", a->variant,
			       "peers", list, "cases", cases, "asked", (json_int_t)clock_mono_ns());
	char *text = json_dumps(p->request, JSON_SORT_KEYS | JSON_COMPACT);
	struct session_options o = { .store = p->p.store, .verb = "peers", .request_json = text, .delta = -1, .workloads = p->p.workloads,
				     .control = p->p.control, .toolkit_version = hakperf_version, .lock_wait_s = a->wait };
	int rc = session_open(&o, &p->session, e);
	free(text);
	p->index = x_calloc(p->n_cases + 1, sizeof(*p->index));
	for (size_t i = 0; !rc && i < p->n; i++)
		rc = add_arm(p, &p->list[i], e);
	for (size_t k = 0; !rc && k < p->n_cases; k++)
		rc = session_add_case(p->session, &p->cases[k], &p->index[k], e);
	char *crimes = x_printf("%s/../wrong_use", p->p.workloads);
	if (!rc)
		rc = wrong_use_add(&p->wrong, p->session, crimes, BLOCK_BYTES, e);
	free(crimes);
	return rc;
}

static int time_all(struct peers *p, const struct asked *a, struct error *e)
{
	size_t arms[PEERS_MAX];
	struct session_figure figures[PEERS_MAX];
	struct progress progress;
	uint64_t began = clock_mono_ns();
	int rc = 0;
	for (size_t i = 0; i < p->n; i++)
		arms[i] = p->list[i].arm;
	progress_begin(&progress, "timing", (double)a->rounds);
	for (uint64_t round = 0; !rc && round < a->rounds; round++)
		for (size_t k = 0; !rc && k < p->n_cases; k++) {
			if (a->max_time > 0 && (double)(clock_mono_ns() - began) * 1e-9 > a->max_time)
				break;
			char name[128], line[200];
			snprintf(line, sizeof(line), "round %llu  %s", (unsigned long long)round + 1, bench_case_name(&p->cases[k], name, sizeof(name)));
			progress_step(&progress, (double)round, line);
			rc = session_round(p->session, p->index[k], arms, p->n, SESSION_CONTROLS, figures, e);
			for (size_t i = 0; !rc && round == 0 && i < p->n; i++)
				if (figures[i].outcome != RUN_OK)
					progress_note(&progress, "%s: %s: %s", p->list[i].label, name, figures[i].why);
		}
	progress_end(&progress);
	return rc;
}

static void counted(void *ctx, size_t done, size_t n)
{
	(void)n;
	progress_step(ctx, (double)done, "");
}

static int count_all(struct peers *p, struct error *e)
{
	size_t n = 0, room = p->n * p->n_cases;
	struct exact_request *requests = x_calloc(room + 1, sizeof(*requests));
	struct exact_answer *answers = x_calloc(room + 1, sizeof(*answers));
	size_t *slot = x_calloc(room + 1, sizeof(*slot));
	for (size_t k = 0; k < p->n_cases; k++)
		for (size_t i = 0; p->cases[k].exact && i < p->n; i++) {
			slot[n] = k * p->n + i;
			requests[n++] = (struct exact_request){ p->list[i].exact_arm, p->index[k] };
		}
	struct progress progress;
	progress_begin(&progress, "counting instructions", (double)n);
	int rc = session_exact(p->session, requests, n, p->p.subject.jobs, false, counted, &progress, answers, e);
	for (size_t i = 0; !rc && i < n; i++) {
		p->exact[slot[i]] = answers[i];
		if (!answers[i].counted)
			progress_note(&progress, "%s: not counted: %s", p->list[slot[i] % p->n].label, answers[i].why);
	}
	progress_end(&progress);
	free(requests), free(answers), free(slot);
	return rc;
}

int cmd_peers(int argc, char **argv)
{
	struct asked a = { .rounds = 5 };
	int rc = parse(argc, argv, &a);
	if (rc)
		return rc;
	const char *rev = optind < argc ? argv[optind] : "HEAD";
	child_catch_signals();
	struct error e = { 0 };
	struct peers p = { 0 };
	rc = project_open(&p.p, a.config, a.db, PROJECT_SUBJECT | PROJECT_STORE_WRITE, &e);
	p.list = x_calloc(PEERS_MAX, sizeof(*p.list));
	if (!rc)
		rc = add_subject(&p, &a, rev, &e);
	if (!rc)
		rc = add_installed(&p, &a, &e);
	if (!rc)
		rc = add_cases(&p, &a, &e);
	if (!rc)
		rc = open_session(&p, &a, rev, &e);
	p.exact = x_calloc(p.n * p.n_cases + 1, sizeof(*p.exact));
	p.noticed = x_calloc(p.n * WRONG_USES + 1, sizeof(*p.noticed));
	size_t arms[PEERS_MAX];
	for (size_t i = 0; i < p.n; i++)
		arms[i] = p.list[i].arm;
	if (!rc)
		rc = wrong_use_run(&p.wrong, p.session, arms, p.n, p.noticed, &e);
	if (!rc && !a.no_exact)
		rc = count_all(&p, &e);
	if (!rc)
		rc = time_all(&p, &a, &e);
	if (!rc && a.json)
		rc = peers_json(&p, &e);
	else if (!rc)
		rc = peers_print(&p, stdout, &e);
	if (p.session) {
		int kept = session_close(p.session, session_state(rc), rc ? e.text : NULL, rc ? NULL : &e);
		rc = rc ? rc : kept;
	}
	int code = rc ? cli_cannot("peers", &e) : CLI_ANSWERED;
	for (size_t i = 0; i < p.n; i++)
		free(p.list[i].label), free(p.list[i].artifact);
	free(p.list), free(p.exact), free(p.noticed), free(p.index);
	bench_cases_release(p.cases, p.n_cases);
	wrong_use_release(&p.wrong);
	history_commit_release(&p.commit);
	build_release(&p.build);
	json_decref(p.request);
	project_close(&p.p);
	return code;
}
