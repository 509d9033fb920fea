/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/project.h"
#include "cli/verbs.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char help_gc[] =
	"show the disk that builds use, and remove the least recently used\n"
	"\n"
	"usage: hakperf gc [--limit SIZE] [--config FILE] [--json]\n"
	"\n"
	"  --limit SIZE    keep at most this much (500M, 2G, 0); without it nothing whole is removed, only counted\n"
	"\n"
	"What killed builds left behind is removed in any case. A build that a running session uses stays.\n";

static bool size_of(const char *text, uint64_t *out)
{
	char *end;
	double v = strtod(text, &end);
	static const char units[] = "KMGT";
	if (end == text || !isfinite(v) || v < 0)
		return false;
	if (*end) {
		const char *u = strchr(units, toupper((unsigned char)*end));
		if (!u || (end[1] && strcasecmp(end + 1, "iB") && strcasecmp(end + 1, "B")))
			return false;
		for (long i = u - units; i >= 0; i--)
			v *= 1024;
	}
	if (v > 1e18)
		return false;
	*out = (uint64_t)v;
	return true;
}

int cmd_gc(int argc, char **argv)
{
	static const struct option options[] = {
		{ "limit", required_argument, NULL, 'l' }, { "config", required_argument, NULL, 'c' }, { "json", no_argument, NULL, 'j' }, { 0 },
	};
	const char *config = NULL;
	uint64_t limit = UINT64_MAX;
	bool json = false;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'l':
			if (!size_of(optarg, &limit))
				return cli_usage("gc", "--limit %s: write a size such as 500M or 2G", optarg);
			break;
		case 'c': config = optarg; break;
		case 'j': json = true; break;
		default: return CLI_USAGE;
		}
	}
	if (optind < argc)
		return cli_usage("gc", "takes no '%s'", argv[optind]);
	struct error e = { 0 };
	struct project p;
	struct build_gc g = { 0 };
	int rc = project_open(&p, config, NULL, PROJECT_SUBJECT, &e);
	if (!rc)
		rc = build_gc(p.subject.cache, limit, &g, &e);
	if (!rc && json)
		cli_envelope("gc", NULL, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "cache", build_cache_root(p.subject.cache), "removed",
						   (json_int_t)g.removed, "kept", (json_int_t)g.kept, "in_use", (json_int_t)g.in_use,
						   "freed_bytes", (json_int_t)g.freed_bytes, "used_bytes", (json_int_t)g.used_bytes));
	else if (!rc)
		printf("%s: %zu builds, %.1f MiB; removed %zu (%.1f MiB)%s\n", build_cache_root(p.subject.cache), g.kept,
		       (double)g.used_bytes / 1048576, g.removed, (double)g.freed_bytes / 1048576, g.in_use ? "; some are in use and stay" : "");
	project_close(&p);
	return rc ? cli_cannot("gc", &e) : CLI_ANSWERED;
}
