/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/*
 * ld.lld, kept warm. Most of a small link is the start of lld itself (its libraries take some 25 ms
 * to relocate), so one process starts it, stops before main(), and forks per link. Where that does
 * not work every link starts lld anew, at that cost. One handle serves any number of threads, one
 * link at a time.
 */
struct lld;

/* -ENOTSUP: there is no ld.lld on this machine. Close with lld_close(); NULL is allowed there. */
int lld_open(struct lld **l, struct error *e);
void lld_close(struct lld *l);

/*
 * Link: args are lld's arguments without the program's name, NULL-terminated; cwd: the folder
 * relative names start from. Returns 0; -EBADMSG when lld ends with a failure, *e quotes its first
 * line.
 */
int lld_link(struct lld *l, const char *const *args, const char *cwd, struct error *e);
