/* SPDX-License-Identifier: Apache-2.0 */
/* A pointer into the middle of a living block is freed. */
#include "crime.h"

int main(int argc, char **argv)
{
	size_t n = crime_size(argc, argv);
	crime_warm_up(n);
	char *p = crime_take(n);
	memset(p, 0, n);
	crime_give(p + 16);
	return crime_aftermath(n, p, n, "memory of a living block was handed out\n");
}
