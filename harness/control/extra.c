/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

/* The dose is a word of data: builds of different doses have the same code, byte for byte. */
const uint64_t control_extra = CONTROL_EXTRA;

_Static_assert(CONTROL_EXTRA <= CONTROL_EXTRA_MAX, "the slide is not that long");
