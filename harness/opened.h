/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Was a file opened, by whomever, since it was watched? The loader opens what it preloads, and nothing else opens a fresh link:
 * a program that a preloaded library cannot reach (static, set-uid, an environment that was cleared before it) shows by that.
 * See inotify(7).
 */

/* A descriptor to be closed by opened_since(), or -1 where the kernel watches nothing for us. */
int opened_watch(const char *path);

/* 1: it was opened; 0: it was not; -1: unknown. Closes the watch. */
int opened_since(int watch);
