/*
 * The least that a router in user space can do: reads a packet whole, with its header of offloads, and writes it to
 * the tun that the last byte of its IPv4 destination names, unchecked. No router that copies packets through a
 * process can be faster. `bare-router NAMESPACE=DEVICE …`: the paths of the network namespaces and the name of the
 * device that is made in each. The first takes what has an address of none; the second's address ends in 2, and so on.
 * Prints a line when the devices are there, and runs until it is killed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MAX_DEVICES = 8, HEADER_BYTES = 10, PACKET_BYTES = 65536, TURN = 32 };

static int devices[MAX_DEVICES];
static int count;
static uint8_t packet[HEADER_BYTES + PACKET_BYTES];

static void fail(const char *step)
{
	perror(step);
	exit(1);
}

static int open_device(const char *namespace, const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	int place = open(namespace, O_RDONLY | O_CLOEXEC);
	int tun;

	if (place < 0 || setns(place, CLONE_NEWNET) < 0) fail(namespace);
	close(place);
	tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0) fail(name);
	if (ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) < 0) fail("TUNSETOFFLOAD");
	return tun;
}

/* The last byte of the destination: 1 is the first device's, and so is what is nobody's. */
static int receiver(void)
{
	int last = packet[HEADER_BYTES + 19];

	return last >= 1 && last <= count ? devices[last - 1] : devices[0];
}

static void forward(int device)
{
	for (int i = 0; i < TURN; i++) {
		ssize_t size = read(device, packet, sizeof(packet));

		if (size < HEADER_BYTES + 20) return;
		/* What the receiver cannot take is lost, as on any wire. */
		if (write(receiver(), packet, (size_t)size) < 0 && errno == EBADFD) fail("write");
	}
}

int main(int argc, char **argv)
{
	struct epoll_event events[MAX_DEVICES];
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (argc < 2 || argc > MAX_DEVICES + 1) return 2;
	for (count = 0; count < argc - 1; count++) {
		char *equals = strchr(argv[count + 1], '=');
		struct epoll_event event = {.events = EPOLLIN};

		if (!equals) return 2;
		*equals = '\0';
		devices[count] = event.data.fd = open_device(argv[count + 1], equals + 1);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, devices[count], &event) < 0) fail("epoll_ctl");
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		int ready = epoll_wait(epoll, events, MAX_DEVICES, -1);

		for (int i = 0; i < ready; i++) forward(events[i].data.fd);
	}
}
