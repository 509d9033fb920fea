/* SPDX-License-Identifier: Apache-2.0 */
/* A pointer that no allocator handed out is freed: into pages of the program's own. */
#include "crime.h"

#include <sys/mman.h>

int main(int argc, char **argv)
{
	size_t n = crime_size(argc, argv), bytes = 1u << 20;
	crime_warm_up(n);
	char *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		return 5;
	crime_give(pages + 64 * 1024 + 4096 + 64);
	return crime_aftermath(n, pages, bytes, "memory that was never the allocator's was handed out\n");
}
