/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* 'hakperf bisect log' and 'hakperf bisect replay': argv[1] is that word. Return an enum cli_exit.
 */
int bisect_record_log(int argc, char **argv);
int bisect_record_replay(int argc, char **argv);
