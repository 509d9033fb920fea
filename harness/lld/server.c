/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into ld.lld by harness/lld.c: takes the place of main(), so that everything before it
 * (libraries, relocations, static constructors) happens once, and forks a process that calls the
 * real main() for each request.
 *
 * The socket is descriptor 3. Request: uint32 length, then that many bytes: folder, then arguments,
 * each ended by NUL. Answer: int32 wait status, uint32 length, that many bytes of what lld wrote.
 * The end of the stream ends the server.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET 3
#define MAX_OUTPUT 4096u

typedef int main_function(int, char **, char **);
typedef int start_function(main_function *, int, char **, void (*)(void), void (*)(void),
			   void (*)(void), void *);

start_function __libc_start_main;

static main_function *real_main;

static int transfer(int writing, void *bytes, size_t n)
{
	char *p = bytes;
	while (n) {
		ssize_t k = writing ? write(SOCKET, p, n) : read(SOCKET, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return -1;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

/* In the forked process: become the linker. */
static _Noreturn void link_once(char *request, uint32_t length, int output, char **envp)
{
	int argc = 0;
	for (uint32_t i = 0; i < length; i++)
		argc += request[i] == '\0';
	char **argv = calloc((size_t)argc + 1, sizeof(*argv));
	if (!argv || dup2(output, 1) < 0 || dup2(output, 2) < 0 || chdir(request))
		_exit(127);
	close(SOCKET);
	/* The folder's place becomes argv[0]: lld chooses its flavour by that name. */
	static char name[] = "ld.lld";
	char *p = request + strlen(request) + 1;
	argv[0] = name;
	for (int i = 1; i < argc; i++, p += strlen(p) + 1)
		argv[i] = p;
	exit(real_main(argc, argv, envp));
}

static int serve(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv;
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		uint32_t length;
		if (transfer(0, &length, sizeof(length)))
			return 0;
		char *request = malloc(length + 1u);
		if (!request || transfer(0, request, length))
			return 1;
		request[length] = '\0';
		int output = memfd_create("output", MFD_CLOEXEC), status = -1;
		pid_t pid = fork();
		if (pid == 0)
			link_once(request, length, output, envp);
		while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		char text[MAX_OUTPUT];
		ssize_t n = pread(output, text, sizeof(text), 0);
		int32_t answer = status;
		uint32_t size = n > 0 ? (uint32_t)n : 0;
		if (transfer(1, &answer, sizeof(answer)) || transfer(1, &size, sizeof(size)) ||
		    transfer(1, text, size))
			return 1;
		close(output);
		free(request);
	}
}

int __libc_start_main(main_function *m, int argc, char **argv, void (*init)(void),
		      void (*fini)(void), void (*rtld_fini)(void), void *stack_end)
{
	start_function *start;
	void *symbol = dlsym(RTLD_NEXT, "__libc_start_main");
	memcpy(&start, &symbol, sizeof(start));
	real_main = m;
	return start(serve, argc, argv, init, fini, rtld_fini, stack_end);
}
