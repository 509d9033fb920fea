/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One file per verb: cli/NAME.c defines `int cmd_NAME(int argc, char **argv)` (argv[0] is the verb; returns an enum cli_exit)
 * and `const char help_NAME[]`; both are declared here and entered in the table of cli/main.c.
 */
#define VERB(name)                          \
	int cmd_##name(int argc, char **argv); \
	extern const char help_##name[]

VERB(run);
VERB(init);
VERB(build);
VERB(bench);
VERB(compare);
VERB(sweep);
VERB(bisect);
VERB(peers);
VERB(account);
VERB(claim);
VERB(verify_history);
VERB(judge);
VERB(plan);
VERB(gc);
VERB(doctor);
VERB(simulate);
VERB(export);
VERB(log);
VERB(report);

struct project;
struct error;

/* The main job's page; *page: its absolute path, the caller's to free. */
int run_report(struct project *p, char **page, struct error *e);
