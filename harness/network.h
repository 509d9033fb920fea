/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/*
 * Leave the machine's network for an empty one with loopback alone: for the calling thread, what it starts from now on,
 * and until it ends. Once a session, since a namespace per run would be torn down by the kernel beside the next run.
 * Returns false, with nothing changed, where this user may not (network_namespaces(7) wants CAP_SYS_ADMIN).
 * Called again it does nothing.
 */
bool network_leave(void);
