/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdint.h>
#include <unistd.h>

static void finish(struct sha256_ctx *c, char hex[HASH_HEX])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t d[SHA256_DIGEST_SIZE];
	sha256_digest(c, sizeof(d), d);
	for (size_t i = 0; i < sizeof(d); i++) {
		hex[2 * i] = digits[d[i] >> 4];
		hex[2 * i + 1] = digits[d[i] & 15];
	}
	hex[2 * sizeof(d)] = '\0';
}

void hash_bytes(const void *bytes, size_t n, char hex[HASH_HEX])
{
	struct sha256_ctx c;
	sha256_init(&c);
	sha256_update(&c, n, bytes);
	finish(&c, hex);
}

int hash_file(const char *path, char hex[HASH_HEX], struct error *e)
{
	hex[0] = '\0';
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, errno, "cannot read %s", path);
	struct sha256_ctx c;
	sha256_init(&c);
	static _Thread_local uint8_t chunk[65536];
	ssize_t n;
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		sha256_update(&c, (size_t)n, chunk);
	}
	int err = errno;
	close(fd);
	if (n < 0)
		return error_errno(e, err, "cannot read %s", path);
	finish(&c, hex);
	return 0;
}
