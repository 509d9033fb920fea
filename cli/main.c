/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/version.h"

#include <stdio.h>

int main(void)
{
	printf("hakperf %s\n", hakperf_version);
	return 0;
}
