/*
 * The vassal's tun. TUN makes it, in the vassal's network namespace, before hooks run, so that they can name it.
 * ADDRESS, after them, reads what they set, fills in what is missing and reads it back: what WELCOME tells. The
 * descriptor stays here for life, since the device goes with its last one; FETCH hands out another to the router,
 * which pins the namespace for as long as it keeps it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "emperor-init.h"

/* struct virtio_net_hdr_mrg_rxbuf: what follows, the IP header, is aligned to 4 bytes. */
#define VNET_HEADER_BYTES 12
#define OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)

/* ── TUN ────────────────────────────────────────────────────────────────────────────────────── */

static bool request_link(unsigned long request, struct ifreq *what) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool is_done = fd >= 0 && ioctl(fd, request, what) == 0;
  int error = errno;
  if (fd >= 0) close(fd);
  errno = error;
  return is_done;
}

static bool set_link(unsigned long request, int number) {
  struct ifreq what = {0};
  memcpy(what.ifr_name, self.tun_name, sizeof what.ifr_name);
  if (request == SIOCSIFMTU) what.ifr_mtu = number;
  else what.ifr_ifru.ifru_ivalue = number;
  return request_link(request, &what);
}

static bool bring_up(void) {
  struct ifreq what = {0};
  memcpy(what.ifr_name, self.tun_name, sizeof what.ifr_name);
  if (!request_link(SIOCGIFFLAGS, &what)) return false;
  what.ifr_flags |= IFF_UP;
  return request_link(SIOCSIFFLAGS, &what);
}

/* No link-local address, no router solicitations, no probes: only the router is at the other end. */
static bool quieten(void) {
  static const char *const settings[][2] = {{"addr_gen_mode", "1"}, {"accept_ra", "0"}, {"accept_dad", "0"}};
  for (size_t i = 0; i < COUNT_OF(settings); i++) {
    char name[128];
    snprintf(name, sizeof name, "net/ipv6/conf/%s/%s", self.tun_name, settings[i][0]);
    /* A kernel without IPv6 has none of them. */
    if (!sysctl_write(name, settings[i][1]) && errno != ENOENT) return false;
  }
  return true;
}

/* The owner is root: whoever may open /dev/net/tun without being it may not attach. */
static bool configure_tun(void) {
  int bytes = VNET_HEADER_BYTES;
  if (ioctl(self.tun_fd, TUNSETVNETHDRSZ, &bytes) < 0 || ioctl(self.tun_fd, TUNSETOWNER, 0UL) < 0) return false;
  return ioctl(self.tun_fd, TUNSETOFFLOAD, OFFLOADS) == 0 || ioctl(self.tun_fd, TUNSETOFFLOAD, 0) == 0;
}

bool step_tun(const struct step *step) {
  char name[PATH_BYTES];
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  if (!step_text(step, TAG_TARGET, name)) return false;
  if (strlen(name) >= sizeof request.ifr_name) return fail(EINVAL, "%s", name);
  strcpy(request.ifr_name, name);
  self.tun_fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (self.tun_fd < 0) return fail(errno, "/dev/net/tun");
  if (ioctl(self.tun_fd, TUNSETIFF, &request) < 0) return fail(errno, "%s", name);
  memcpy(self.tun_name, request.ifr_name, sizeof self.tun_name);
  uint64_t queue = step_number(step, TAG_COUNT);
  bool is_done = configure_tun() && quieten() && set_link(SIOCSIFMTU, (int)step_number(step, TAG_LENGTH)) &&
                 (queue == 0 || set_link(SIOCSIFTXQLEN, (int)queue));
  return is_done || fail(errno, "%s", name);
}

/* ── rtnetlink(7): one request, one answer ──────────────────────────────────────────────────── */

struct message {
  struct nlmsghdr head;
  uint8_t rest[256];
};

static struct message message_of(uint16_t type, uint16_t flags, const void *body, size_t size) {
  struct message message = {.head = {.nlmsg_type = type, .nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST)}};
  memcpy(message.rest, body, size);
  message.head.nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
  return message;
}

static void add_attribute(struct message *message, uint16_t type, const void *bytes, size_t size) {
  struct rtattr *at = (struct rtattr *)((uint8_t *)message + NLMSG_ALIGN(message->head.nlmsg_len));
  *at = (struct rtattr){.rta_len = (uint16_t)RTA_LENGTH(size), .rta_type = type};
  memcpy(RTA_DATA(at), bytes, size);
  message->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(message->head.nlmsg_len) + RTA_LENGTH(size));
}

/* Hands each message of the answer to `visit`; false, and errno, where the kernel refuses. */
static bool ask(const struct message *message, void (*visit)(struct nlmsghdr *, void *), void *context) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), error = -1;
  if (fd < 0) return false;
  if (sendto(fd, message, message->head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0) error = errno;
  while (error < 0) {
    /* Larger than the kernel makes a message for a reader that never asked for more. */
    _Alignas(struct nlmsghdr) uint8_t answer[16384];
    ssize_t got = recv(fd, answer, sizeof answer, MSG_TRUNC);
    if (got <= 0 || (size_t)got > sizeof answer) error = got < 0 ? errno : EMSGSIZE;
    size_t left = error < 0 ? (size_t)got : 0;
    for (struct nlmsghdr *one = (struct nlmsghdr *)answer; error < 0 && NLMSG_OK(one, left);
         one = NLMSG_NEXT(one, left)) {
      if (one->nlmsg_type == NLMSG_DONE) error = 0;
      else if (one->nlmsg_type == NLMSG_ERROR) error = -((struct nlmsgerr *)NLMSG_DATA(one))->error;
      else if (visit) visit(one, context);
    }
  }
  close(fd);
  errno = error;
  return error == 0;
}

static bool tell(const struct message *message) { return ask(message, NULL, NULL); }

/* ── ADDRESS ────────────────────────────────────────────────────────────────────────────────── */

/* An address with its prefix, as bytes. */
struct address {
  uint8_t bytes[sizeof(struct in6_addr)];
  int prefix;
};

static size_t size_of(int family) { return family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr); }

/* What is on the interface of one family; how many, and the first two. */
struct seen {
  int index, family, count;
  struct address first[2];
  bool has_default_route;
};

static void text_of(int family, const struct address *address, char text[ADDRESS_TEXT]) {
  if (!inet_ntop(family, address->bytes, text, INET6_ADDRSTRLEN)) *text = 0;
  size_t length = strlen(text);
  snprintf(text + length, ADDRESS_TEXT - length, "/%d", address->prefix);
}

/* Reads `192.168.0.2/24`. */
static bool address_of(int family, const char *text, struct address *address) {
  char word[ADDRESS_TEXT];
  const char *slash = strchr(text, '/');
  if (!slash || slash - text >= (ptrdiff_t)sizeof word) return false;
  memcpy(word, text, (size_t)(slash - text));
  word[slash - text] = 0;
  int digits = 0;
  return inet_pton(family, word, address->bytes) == 1 && sscanf(slash, "/%3d%n", &address->prefix, &digits) == 1 &&
         slash[digits] == 0 && address->prefix >= 0 && address->prefix <= (int)size_of(family) * 8;
}

static void see_address(struct nlmsghdr *message, void *context) {
  struct seen *seen = context;
  struct ifaddrmsg *body = NLMSG_DATA(message);
  if (message->nlmsg_type != RTM_NEWADDR || body->ifa_family != seen->family) return;
  if ((int)body->ifa_index != seen->index) return;
  if (seen->family == AF_INET6 && body->ifa_scope == RT_SCOPE_LINK) return;
  struct address address = {.prefix = body->ifa_prefixlen};
  size_t left = IFA_PAYLOAD(message);
  bool is_local = false;
  for (struct rtattr *at = IFA_RTA(body); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
    /* IFA_ADDRESS is the other end where there is one. */
    if (at->rta_type != IFA_LOCAL && (at->rta_type != IFA_ADDRESS || is_local)) continue;
    is_local = at->rta_type == IFA_LOCAL;
    if (RTA_PAYLOAD(at) == size_of(seen->family)) memcpy(address.bytes, RTA_DATA(at), size_of(seen->family));
  }
  if (seen->count < (int)COUNT_OF(seen->first)) seen->first[seen->count] = address;
  seen->count++;
}

/* The kernel's own default of IPv6, `unreachable`, is none. */
static void see_route(struct nlmsghdr *message, void *context) {
  struct seen *seen = context;
  struct rtmsg *body = NLMSG_DATA(message);
  if (message->nlmsg_type == RTM_NEWROUTE && body->rtm_family == seen->family && body->rtm_dst_len == 0 &&
      body->rtm_table == RT_TABLE_MAIN && body->rtm_protocol != RTPROT_KERNEL)
    seen->has_default_route = true;
}

static bool see_addresses(struct seen *seen) {
  struct ifaddrmsg body = {.ifa_family = (uint8_t)seen->family};
  struct message message = message_of(RTM_GETADDR, NLM_F_DUMP, &body, sizeof body);
  seen->count = 0;
  return ask(&message, see_address, seen);
}

static bool see_routes(struct seen *seen) {
  struct rtmsg body = {.rtm_family = (uint8_t)seen->family};
  struct message message = message_of(RTM_GETROUTE, NLM_F_DUMP, &body, sizeof body);
  return ask(&message, see_route, seen);
}

static bool add_address(const struct seen *seen, const struct address *address) {
  struct ifaddrmsg body = {.ifa_family = (uint8_t)seen->family,
                           .ifa_prefixlen = (uint8_t)address->prefix,
                           .ifa_flags = seen->family == AF_INET6 ? IFA_F_NODAD : 0,
                           .ifa_index = (uint32_t)seen->index};
  uint16_t flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  struct message message = message_of(RTM_NEWADDR, flags, &body, sizeof body);
  add_attribute(&message, IFA_LOCAL, address->bytes, size_of(seen->family));
  add_attribute(&message, IFA_ADDRESS, address->bytes, size_of(seen->family));
  return tell(&message);
}

/* On-link: on a tun everything is, whatever the prefix that hooks chose. */
static bool add_default_route(const struct seen *seen, const uint8_t *gateway) {
  struct rtmsg body = {.rtm_family = (uint8_t)seen->family,
                       .rtm_table = RT_TABLE_MAIN,
                       .rtm_protocol = RTPROT_STATIC,
                       .rtm_scope = RT_SCOPE_UNIVERSE,
                       .rtm_type = RTN_UNICAST,
                       .rtm_flags = RTNH_F_ONLINK};
  uint16_t flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  struct message message = message_of(RTM_NEWROUTE, flags, &body, sizeof body);
  add_attribute(&message, RTA_GATEWAY, gateway, size_of(seen->family));
  add_attribute(&message, RTA_OIF, &seen->index, sizeof seen->index);
  return tell(&message);
}

/* The tags, and the bit of FLAGS, of one family's fields. */
struct family {
  int number;
  uint16_t address, gateway;
  uint64_t exact;
};

/* Compares with what the plan wants, which is missing where hooks decide; adds it where they set nothing. */
static bool settle_address(struct seen *seen, const char *wanted, bool is_exact) {
  struct address address = {0};
  char first[ADDRESS_TEXT], second[ADDRESS_TEXT];
  if (*wanted && !address_of(seen->family, wanted, &address)) return fail(EINVAL, "%s", wanted);
  if (!see_addresses(seen)) return fail(errno, "%s", self.tun_name);
  if (seen->count == 0 && *wanted && (!add_address(seen, &address) || !see_addresses(seen)))
    return fail(errno, "%s", wanted);
  text_of(seen->family, &seen->first[0], first);
  text_of(seen->family, &seen->first[1], second);
  if (seen->count > 1) return fail(EMLINK, "%s and %s", first, second);
  bool is_same = seen->count == 1 && memcmp(seen->first[0].bytes, address.bytes, size_of(seen->family)) == 0;
  return !*wanted || !is_exact || is_same || fail(EEXIST, "%s", first);
}

static bool settle_route(struct seen *seen, const char *gateway) {
  uint8_t bytes[sizeof(struct in6_addr)];
  if (!*gateway) return true;
  if (inet_pton(seen->family, gateway, bytes) != 1) return fail(EINVAL, "%s", gateway);
  if (!see_routes(seen)) return fail(errno, "%s", self.tun_name);
  return seen->has_default_route || add_default_route(seen, bytes) || fail(errno, "%s", gateway);
}

/* `found` becomes the one address there is, or empty. */
static bool settle(const struct step *step, const struct family *family, char found[ADDRESS_TEXT]) {
  char wanted[ADDRESS_TEXT] = "", gateway[INET6_ADDRSTRLEN] = "";
  field_text(step->fields, step->length, family->address, wanted, sizeof wanted);
  field_text(step->fields, step->length, family->gateway, gateway, sizeof gateway);
  struct seen seen = {.index = (int)if_nametoindex(self.tun_name), .family = family->number};
  if (seen.index == 0) return fail(ENODEV, "%s", self.tun_name);
  if (!settle_address(&seen, wanted, step_number(step, TAG_FLAGS) & family->exact)) return false;
  if (seen.count == 0) return true;
  text_of(family->number, &seen.first[0], found);
  return settle_route(&seen, gateway);
}

bool step_address(const struct step *step) {
  static const struct family v4 = {AF_INET, TAG_ADDRESS, TAG_GATEWAY, EXACT_ADDRESS};
  static const struct family v6 = {AF_INET6, TAG_ADDRESS6, TAG_GATEWAY6, EXACT_ADDRESS6};
  char address[ADDRESS_TEXT] = "", address6[ADDRESS_TEXT] = "";
  if (!bring_up()) return fail(errno, "%s", self.tun_name);
  if (!settle(step, &v4, address) || !settle(step, &v6, address6)) return false;
  if (!*address) return fail(EADDRNOTAVAIL, "%s", self.tun_name);
  strcpy(self.address, address);
  strcpy(self.address6, address6);
  return true;
}

/* ── FETCH ──────────────────────────────────────────────────────────────────────────────────── */

void tun_fetch(struct peer *peer, const struct frame *frame) {
  if (self.tun_fd < 0) {
    loop_say_error(peer, frame->id, -1, ENOENT, "there is no tun");
    return;
  }
  struct out out;
  out_begin(&out, loop_scratch, sizeof loop_scratch, VERB_OK, frame->id);
  out_text(&out, TAG_NAME, self.tun_name);
  loop_say(peer, &out, &self.tun_fd, 1);
}
