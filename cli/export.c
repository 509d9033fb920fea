/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/verbs.h"

#include "base/buf.h"
#include "base/fs.h"
#include "harness/store_export.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char help_export[] =
	"write every raw sample with all its names, as CSV or JSON\n"
	"\n"
	"usage: hakperf export [--format csv|json] [--session ID] [--case ID] [--metric NAME] [--workload NAME] [--commit ID]\n"
	"                      [--output FILE] [--db FILE]\n"
	"\n"
	"  --format FORMAT   csv (default): one line a sample, the first line names the columns; json: the same in an envelope\n"
	"  --session ID      of this session alone ('hakperf log' lists them)\n"
	"  --case ID         of this workload with these parameters alone\n"
	"  --metric NAME     of this metric alone, such as ops_per_cpu_s\n"
	"  --workload NAME   of this workload alone\n"
	"  --commit ID       of this commit alone: its full id, or the beginning of it\n"
	"  --output FILE     write there, whole or not at all, instead of to standard output\n"
	"  --db FILE         the database (default: results.db at the repository's root)\n"
	"\n"
	"An empty field is unknown. A metric that was not counted has no line.\n";

/* A file that appears under its name when it is whole. */
struct output {
	FILE *f;
	char *path;	 /* NULL: standard output */
	char *temporary; /* NULL: a device or a pipe, written to as it is */
};

static int output_open(struct output *o, const char *path, const char *db, struct error *e)
{
	struct stat to, from;
	*o = (struct output){ .f = stdout };
	if (!path)
		return 0;
	if (!stat(path, &to) && !stat(db, &from) && to.st_dev == from.st_dev && to.st_ino == from.st_ino)
		return error_set(e, -EINVAL, "%s is the database itself: export to another file", path);
	char *target = fs_target(path);
	o->path = target ? target : x_strdup(path);
	o->temporary = target ? x_printf("%s.XXXXXX", target) : NULL;
	int fd = o->temporary ? mkstemp(o->temporary) : open(path, O_WRONLY | O_CLOEXEC);
	o->f = fd < 0 ? NULL : fdopen(fd, "w");
	if (o->f)
		return 0;
	int rc = error_errno(e, errno, "cannot write %s", path);
	if (fd >= 0)
		close(fd);
	free(o->temporary), free(o->path);
	*o = (struct output){ 0 };
	return rc;
}

static int output_close(struct output *o, int rc, struct error *e)
{
	if (!o->path)
		return !rc && (fflush(o->f) || ferror(o->f)) ? error_errno(e, errno, "cannot write the export") : rc;
	if (!o->f)
		return rc;
	mode_t mask = umask(0);
	umask(mask);
	if (!rc && (fflush(o->f) || (o->temporary && (fchmod(fileno(o->f), 0666 & ~mask) || fsync(fileno(o->f))))))
		rc = error_errno(e, errno, "cannot write %s", o->path);
	if (fclose(o->f) && !rc)
		rc = error_errno(e, errno, "cannot write %s", o->path);
	if (!rc && o->temporary && rename(o->temporary, o->path))
		rc = error_errno(e, errno, "cannot write %s", o->path);
	if (rc && o->temporary)
		unlink(o->temporary);
	free(o->temporary), free(o->path);
	return rc;
}

static json_t *number_or_null(struct store_opt v)
{
	return v.known ? json_integer(v.v) : json_null();
}

static json_t *text_or_null(const char *s)
{
	return s ? cli_json_string(s) : json_null();
}

/* The envelope of cli_envelope(), its result streamed. */
static int export_json(struct store *s, FILE *f, const struct store_filter *filter, struct error *e)
{
	json_t *request = json_pack("{s:o, s:o, s:o, s:o, s:o}", "session", number_or_null(filter->session_id), "case",
				    number_or_null(filter->case_id), "metric", text_or_null(filter->metric), "workload",
				    text_or_null(filter->workload), "commit", text_or_null(filter->commit));
	fputs("{\"schema\":1,\"verb\":\"export\",\"request\":", f);
	json_dumpf(request, f, JSON_COMPACT);
	json_decref(request);
	fputs(",\"result\":", f);
	int rc = store_export(s, f, STORE_JSON, filter, NULL, e);
	fputs(",\"warnings\":[]}\n", f);
	return rc;
}

int cmd_export(int argc, char **argv)
{
	static const struct option options[] = {
		{ "format", required_argument, NULL, 'f' }, { "session", required_argument, NULL, 's' }, { "case", required_argument, NULL, 'k' },
		{ "metric", required_argument, NULL, 'm' }, { "workload", required_argument, NULL, 'w' }, { "commit", required_argument, NULL, 'c' },
		{ "output", required_argument, NULL, 'o' }, { "db", required_argument, NULL, 'd' }, { "json", no_argument, NULL, 'j' }, { 0 },
	};
	struct store_filter filter = { 0 };
	const char *format = "csv", *db = NULL, *to = NULL;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		uint64_t n;
		switch (o) {
		case 'f': format = optarg; break;
		case 'j': format = "json"; break;
		case 's':
			if (!cli_number(optarg, 1, INT64_MAX, &n))
				return cli_usage("export", "--session %s: it is a number, see 'hakperf log'", optarg);
			filter.session_id = STORE_INT(n);
			break;
		case 'k':
			if (!cli_number(optarg, 1, INT64_MAX, &n))
				return cli_usage("export", "--case %s: it is a number, see 'hakperf log --session'", optarg);
			filter.case_id = STORE_INT(n);
			break;
		case 'm': filter.metric = optarg; break;
		case 'w': filter.workload = optarg; break;
		case 'c': filter.commit = optarg; break;
		case 'o': to = optarg; break;
		case 'd': db = optarg; break;
		default: return CLI_USAGE;
		}
	}
	if (optind < argc)
		return cli_usage("export", "takes no '%s'", argv[optind]);
	if (strcmp(format, "csv") && strcmp(format, "json"))
		return cli_usage("export", "--format %s: it is csv or json", format);
	if (filter.commit && (!*filter.commit || strlen(filter.commit) > 100))
		return cli_usage("export", "--commit: give the beginning of a commit's id");

	struct error e = { 0 };
	char *path = NULL;
	struct store *s = NULL;
	struct output out = { 0 };
	int rc = cli_db_path(db, &path, &e);
	if (!rc)
		rc = store_open(path, STORE_READ, &s, &e);
	if (!rc)
		rc = output_open(&out, to, path, &e);
	if (!rc) {
		rc = !strcmp(format, "json") ? export_json(s, out.f, &filter, &e) : store_export(s, out.f, STORE_CSV, &filter, NULL, &e);
		rc = output_close(&out, rc, &e);
	}
	store_close(s);
	free(path);
	return rc ? cli_cannot("export", &e) : CLI_ANSWERED;
}
