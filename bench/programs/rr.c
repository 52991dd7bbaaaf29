/*
 * One byte there and one back, over one TCP connection, as often as it goes: `rr ADDRESS` answers on port 7002 until
 * it is killed, `rr ADDRESS SECONDS` asks and prints how many times a second. What netperf calls TCP_RR.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char *const PORT = "7002";

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void fail(const char *step)
{
	perror(step);
	exit(1);
}

static void at_once(int fd)
{
	int yes = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) < 0) fail("TCP_NODELAY");
}

static void answer(int listener)
{
	char byte;

	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0) fail("accept");
		at_once(fd);
		while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
			;
		close(fd);
	}
}

static double ask(int fd, double seconds)
{
	char byte = 0;
	long count = 0;
	double begin = now();

	while (now() - begin < seconds) {
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) fail("exchange");
		count += 1;
	}
	return count / (now() - begin);
}

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct addrinfo *to;
	int yes = 1;
	int fd;

	if (argc < 2 || getaddrinfo(argv[1], PORT, &hints, &to) != 0) {
		fprintf(stderr, "usage: rr ADDRESS [SECONDS]\n");
		return 2;
	}
	fd = socket(to->ai_family, SOCK_STREAM, 0);
	if (fd < 0) fail("socket");
	if (argc == 2) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
		if (bind(fd, to->ai_addr, to->ai_addrlen) < 0) fail("bind");
		if (listen(fd, 8) < 0) fail("listen");
		answer(fd);
	}
	if (connect(fd, to->ai_addr, to->ai_addrlen) < 0) fail("connect");
	at_once(fd);
	printf("%.1f\n", ask(fd, atof(argv[2])));
	return 0;
}
