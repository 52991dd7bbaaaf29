/*
 * What a process says of itself: that it is ready, and that it lives. Either by datagrams in the manner of
 * sd_notify(3), to a socket of its own whose abstract name the kernel chooses in the vassal's network namespace, or
 * by a line end on a pipe. What is said is the tenant's word and changes nothing but what is told of that slot.
 *
 * Messages of others are possible (without a network namespace even of other vassals), so the kernel tells whose they
 * are. A flood costs the flooder: each turn reads a few, and who hears of it is told once.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <fcntl.h>
#include <unistd.h>

#include "slots.h"

#define MESSAGES_A_TURN 16
#define MESSAGE_BYTES 4096

/* ── opening ────────────────────────────────────────────────────────────────────────────────── */

/* The name goes to the environment as `@name`; there is one socket for each START that is under way. */
static bool open_socket(struct slot *slot, struct request *request) {
  static char variable[160];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  socklen_t length = sizeof address;
  int on = 1;
  slot->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (slot->notify_fd < 0) return false;
  /* Bound by family alone: unix(7), autobind. */
  if (setsockopt(slot->notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
      bind(slot->notify_fd, (struct sockaddr *)&address, sizeof address.sun_family) < 0 ||
      getsockname(slot->notify_fd, (struct sockaddr *)&address, &length) < 0)
    return false;
  int name_length = (int)(length - offsetof(struct sockaddr_un, sun_path)) - 1;
  snprintf(variable, sizeof variable, "NOTIFY_SOCKET=@%.*s", name_length, address.sun_path + 1);
  request->env[request->vars++] = variable;
  request->env[request->vars] = NULL;
  return true;
}

static bool open_ready(struct slot *slot, int *ready) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return false;
  slot->ready_fd = ends[0];
  *ready = ends[1];
  return fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
}

bool notify_open(struct slot *slot, struct request *request, int *ready) {
  bool has_socket = request->notify == NOTIFY_SOCKET || request->watchdog_ms > 0;
  if (has_socket && !open_socket(slot, request)) return false;
  return request->notify != NOTIFY_FD || open_ready(slot, ready);
}

/* Counts anew how long it is silent. */
static void heard(struct slot *slot) {
  if (slot->watchdog_ms > 0) slot->silent_at = deadline_ms(slot->watchdog_ms);
}

/* Who says when it is ready is not listened for before. */
void notify_begin(struct slot *slot, const struct request *request) {
  uint32_t index = (uint32_t)(slot - slots);
  slot->watchdog_ms = request->watchdog_ms;
  if (request->notify == NOTIFY_NONE) heard(slot);
  if (slot->notify_fd >= 0) loop_watch(slot->notify_fd, WATCH_NOTIFY, index, EPOLLIN);
  if (slot->ready_fd >= 0) loop_watch(slot->ready_fd, WATCH_NOTIFY, index, EPOLLIN);
}

void notify_close(struct slot *slot) {
  if (slot->notify_fd >= 0) loop_close(&slot->notify_fd);
  if (slot->ready_fd >= 0) loop_close(&slot->ready_fd);
  slot->silent_at = 0;
}

/* ── listening ──────────────────────────────────────────────────────────────────────────────── */

static void tell(const struct slot *slot, bool is_ready) {
  static uint8_t event[256];
  struct out out;
  out_begin(&out, event, sizeof event, VERB_NOTICED, 0);
  out_number(&out, TAG_SLOT, slot->id);
  out_number(&out, TAG_READY, is_ready);
  if (out_end(&out)) loop_tell(event, out.length, NULL);
}

static void says_ready(struct slot *slot) {
  heard(slot);
  if (slot->is_ready) return;
  slot->is_ready = true;
  tell(slot, true);
}

/* Lines of NAME=VALUE; what others than these mean is their business. */
static void take_message(struct slot *slot, char *text) {
  for (char *line = text, *end; line; line = end ? end + 1 : NULL) {
    end = strchr(line, '\n');
    if (end) *end = 0;
    if (strcmp(line, "READY=1") == 0) says_ready(slot);
    else if (strcmp(line, "WATCHDOG=1") == 0 && slot->silent_at > 0) heard(slot);
  }
}

static bool is_ours(struct msghdr *message) {
  struct cmsghdr *control = CMSG_FIRSTHDR(message);
  struct ucred sender;
  if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_CREDENTIALS) return false;
  memcpy(&sender, CMSG_DATA(control), sizeof sender);
  return sender.uid == self.uid;
}

/* False when there is none left. Descriptors that come along find no room, so the kernel closes them. */
static bool read_message(struct slot *slot) {
  static char text[MESSAGE_BYTES];
  union {
    char bytes[CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr align;
  } control;
  struct iovec part = {text, sizeof text - 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t got = recvmsg(slot->notify_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return false;
  text[got] = 0;
  if (is_ours(&message)) take_message(slot, text);
  return true;
}

/* It stays open to its end: who says more than once is not to die of it. */
static void read_ready(struct slot *slot) {
  char bytes[MESSAGE_BYTES];
  ssize_t got = read(slot->ready_fd, bytes, sizeof bytes);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) loop_close(&slot->ready_fd);
  else if (memchr(bytes, '\n', (size_t)got)) says_ready(slot);
}

void notify_ready(uint32_t index) {
  struct slot *slot = &slots[index];
  if (!slot->used) return;
  if (slot->ready_fd >= 0) read_ready(slot);
  for (int i = 0; i < MESSAGES_A_TURN && slot->notify_fd >= 0; i++)
    if (!read_message(slot)) return;
}

int notify_patience(void) {
  int64_t now = monotonic_ms(), soonest = -1;
  for (int i = 0; i < used_slots; i++) {
    struct slot *slot = &slots[i];
    if (!slot->used || slot->silent_at == 0) continue;
    if (slot->silent_at <= now) {
      tell(slot, false);
      heard(slot);
    }
    int64_t left = slot->silent_at - now;
    if (soonest < 0 || left < soonest) soonest = left;
  }
  return (int)soonest;
}
