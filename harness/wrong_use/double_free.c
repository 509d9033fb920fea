/* SPDX-License-Identifier: Apache-2.0 */
/* A block is freed twice, another one between: looking at the head of a list is not enough. */
#include "crime.h"

int main(int argc, char **argv)
{
	size_t n = crime_size(argc, argv);
	crime_warm_up(n);
	void *a = crime_take(n), *b = crime_take(n);
	crime_give(a);
	crime_give(b);
	crime_give(a);
	return crime_aftermath(n, NULL, 0, "");
}
