/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/verbs.h"
#include "cli/version.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

static void list_verbs(FILE *to)
{
	fprintf(to, "hakperf %s: find the commit that made it slow, and the lines that did it\n\nusage: hakperf VERB [ARGUMENT ...]\n\n",
		hakperf_version);
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		if (!v->hidden)
			fprintf(to, "  %-16s%.*s\n", v->name, (int)strcspn(v->help, "\n"), v->help);
	fputs("\n'hakperf help VERB' says more. Exit: 0 answered, 1 only under --fail-on, 2 wrong use, 3 not possible here.\n", to);
}

static int help(int argc, char **argv)
{
	if (argc < 2) {
		list_verbs(stdout);
		return CLI_ANSWERED;
	}
	const struct cli_verb *v = cli_verb(argv[1]);
	if (!v)
		return cli_usage("help", "there is no verb '%s'", argv[1]);
	printf("hakperf %s: %s", v->name, v->help);
	return CLI_ANSWERED;
}

static int version(int argc, char **argv)
{
	(void)argc, (void)argv;
	printf("hakperf %s\n", hakperf_version);
	return CLI_ANSWERED;
}

/* Bash completion asks: one word a line. */
static int words(int argc, char **argv)
{
	(void)argc, (void)argv;
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		if (!v->hidden)
			puts(v->name);
	return CLI_ANSWERED;
}

const struct cli_verb cli_verbs[] = {
	{ "doctor", cmd_doctor, help_doctor, false },
	{ "run", cmd_run, help_run, false },
	{ "init", cmd_init, help_init, false },
	{ "build", cmd_build, help_build, false },
	{ "bench", cmd_bench, help_bench, false },
	{ "compare", cmd_compare, help_compare, false },
	{ "peers", cmd_peers, help_peers, false },
	{ "sweep", cmd_sweep, help_sweep, false },
	{ "bisect", cmd_bisect, help_bisect, false },
	{ "plan", cmd_plan, help_plan, false },
	{ "judge", cmd_judge, help_judge, false },
	{ "account", cmd_account, help_account, false },
	{ "claim", cmd_claim, help_claim, false },
	{ "verify-history", cmd_verify_history, help_verify_history, false },
	{ "simulate", cmd_simulate, help_simulate, false },
	{ "log", cmd_log, help_log, false },
	{ "export", cmd_export, help_export, false },
	{ "report", cmd_report, help_report, false },
	{ "gc", cmd_gc, help_gc, false },
	{ "help", help, "explain a verb\n\nusage: hakperf help [VERB]\n", false },
	{ "version", version, "print the version\n\nusage: hakperf --version\n", true },
	{ "words", words, "list the verbs, for completion\n\nusage: hakperf words\n", true },
	{ NULL, NULL, NULL, false },
};

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, "C.UTF-8");
	if (argc < 2) {
		list_verbs(stderr);
		return CLI_USAGE;
	}
	const char *name = argv[1];
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		name = "version";
	const struct cli_verb *v = cli_verb(name);
	if (!v) {
		fprintf(stderr, "hakperf: there is no verb '%s' (see 'hakperf help')\n", name);
		return CLI_USAGE;
	}
	for (int i = 2; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help") || (!strcmp(argv[i], "-h") && argc == 3)) {
			printf("hakperf %s: %s", v->name, v->help);
			return CLI_ANSWERED;
		}
	return v->run(argc - 1, argv + 1);
}
