/*
 * Background remote: with HAKMEM_BG_REMOTE=1, a helper thread collects what was freed into slabs
 * whose thread has ended, and gives the empty ones back, while nobody asks for their class.
 */
#pragma once

/* Read the environment and start the helper. Once, when threads may be created. */
void bg_remote_init(void);
