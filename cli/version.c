/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/version.h"

const char hakperf_version[] = HAKPERF_VERSION;
