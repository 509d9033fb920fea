/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Can a datagram be sent towards this address? Nothing is expected to listen. */
static int send_to(const char *address)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(9) };
	inet_pton(AF_INET, address, &a.sin_addr);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int rc = connect(fd, (struct sockaddr *)&a, sizeof(a)) ? errno : 0;
	close(fd);
	return rc;
}

/* In a process of its own, since there is no way back. 192.0.2.0/24 is for documentation: nobody is there. */
static void only_loopback_is_left(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (!pid) {
		if (!network_leave())
			_exit(77);
		_exit(network_leave() && !send_to("127.0.0.1") && send_to("192.0.2.1") == ENETUNREACH ? 0 : 1);
	}
	int status;
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("skipped: this user may not make a network namespace\n");
		skip();
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(only_loopback_is_left) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
