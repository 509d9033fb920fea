/*
 * Background spill: with HAKMEM_BG_SPILL=1, a helper thread hands spilled blocks back to their
 * slabs, so that the thread that spills does not wait for their cache lines.
 */
#pragma once

#include <stdbool.h>

/* Read the environment and start the helper. Once, when threads may be created. */
void bg_spill_init(void);

/* A list of blocks, ended by NULL. False: there is no helper. */
bool bg_spill_takes(void *list);

/* In the child of a fork: the helper stayed behind. What it was given is handed back here. */
void bg_spill_forked(void);
