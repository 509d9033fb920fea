/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One file per verb: cli/NAME.c defines `int cmd_NAME(int argc, char **argv)` (argv[0] is the verb; returns an enum cli_exit)
 * and `const char help_NAME[]`; both are declared here and entered in the table of cli/main.c.
 */

int cmd_doctor(int argc, char **argv);
extern const char help_doctor[];
