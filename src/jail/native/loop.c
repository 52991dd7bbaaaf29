/*
 * init's loop: sleeps in epoll until a peer, a child or an output pipe has something. Control first, then
 * output, one portion a pipe a turn, so that a flood delays no request. No timer runs while nothing stops.
 */

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>

#include "emperor-init.h"

#define MAX_PEERS 16
#define PEER_OUT (2 * MAX_FRAME)

extern struct peer *gate_peer;
extern uint32_t gate_request;

uint8_t loop_scratch[MAX_FRAME];
static struct peer peers[MAX_PEERS];
static uint8_t peer_in[MAX_PEERS][MAX_FRAME];
static uint8_t peer_out[MAX_PEERS][PEER_OUT];

bool loop_open(void) {
  for (int i = 0; i < MAX_PEERS; i++) peers[i].fd = -1;
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  self.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  self.signal_fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
  if (self.epoll_fd < 0 || self.signal_fd < 0) return false;
  loop_watch(self.signal_fd, WATCH_SIGNAL, 0, EPOLLIN);
  return true;
}

void loop_watch(int fd, enum watch_kind kind, uint32_t index, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u64 = (uint64_t)kind << 32 | index};
  if (epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 && errno == EEXIST)
    epoll_ctl(self.epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

void loop_drop(struct peer *peer) {
  if (peer->fd < 0) return;
  peer_close(peer);
  slots_peer_gone(peer);
  if (peer == gate_peer) gate_peer = NULL;
  if (self.state == STATE_GATE) _exit(0);
}

static void watch_peer(struct peer *peer) {
  loop_watch(peer->fd, WATCH_PEER, (uint32_t)(peer - peers), EPOLLIN | (peer->out_length ? EPOLLOUT : 0));
}

void loop_say(struct peer *peer, struct out *out, const int *fds, int count) {
  if (peer->fd < 0) return;
  if (!out_end(out) || !peer_send(peer, out, fds, count)) loop_drop(peer);
  else watch_peer(peer);
}

void loop_tell(const uint8_t *frame, size_t length, const struct peer *also) {
  struct out out = {.data = (uint8_t *)frame, .size = length, .length = length};
  for (struct peer *peer = peers; peer < peers + MAX_PEERS; peer++)
    if (peer->fd >= 0 && (peer->subscribed || peer == also)) loop_say(peer, &out, NULL, 0);
}

void loop_say_ok(struct peer *peer, uint32_t id) {
  struct out out;
  out_begin(&out, loop_scratch, sizeof loop_scratch, VERB_OK, id);
  loop_say(peer, &out, NULL, 0);
}

void loop_say_error(struct peer *peer, uint32_t id, int step, int error, const char *detail) {
  struct out out;
  out_begin(&out, loop_scratch, sizeof loop_scratch, VERB_ERROR, id);
  if (step >= 0) out_number(&out, TAG_STEP, (uint64_t)step);
  out_number(&out, TAG_ERRNO, (uint64_t)error);
  out_text(&out, TAG_DETAIL, detail);
  loop_say(peer, &out, NULL, 0);
}

static void welcome(struct peer *peer, const struct frame *frame) {
  peer->subscribed = field_number(frame->fields, frame->length, TAG_SUBSCRIBE, 0) != 0;
  struct out out;
  out_begin(&out, loop_scratch, sizeof loop_scratch, VERB_WELCOME, frame->id);
  out_number(&out, TAG_VERSION, PROTOCOL_VERSION);
  out_text(&out, TAG_NAME, self.name);
  out_number(&out, TAG_GENERATION, self.generation);
  out_text(&out, TAG_HASH, self.hash);
  out_text(&out, TAG_BOOT_ID, self.boot_id);
  out_number(&out, TAG_START_TIME, self.start_time);
  out_number(&out, TAG_PID, 0);
  out_number(&out, TAG_STATE, (uint64_t)self.state);
  out_number(&out, TAG_UID, self.uid);
  out_number(&out, TAG_LOST_BYTES, log_lost_bytes());
  loop_say(peer, &out, NULL, 0);
}

static void meta(struct peer *peer, const struct frame *frame) {
  char hash[sizeof self.hash];
  if (!field_text(frame->fields, frame->length, TAG_HASH, hash, sizeof hash)) {
    loop_say_error(peer, frame->id, -1, EINVAL, "no hash");
    return;
  }
  strcpy(self.hash, hash);
  self.generation = field_number(frame->fields, frame->length, TAG_GENERATION, self.generation);
  loop_say_ok(peer, frame->id);
}

static void serve(struct peer *peer, const struct frame *frame) {
  if (frame->verb == VERB_HELLO) {
    welcome(peer, frame);
  } else if (self.state == STATE_GATE) {
    if (frame->verb != VERB_GO) {
      loop_say_error(peer, frame->id, -1, EAGAIN, "waiting for GO");
      return;
    }
    gate_peer = peer;
    gate_request = frame->id;
  } else if (frame->verb == VERB_META) {
    meta(peer, frame);
  } else if (frame->verb == VERB_GO) {
    loop_say_ok(peer, frame->id);
  } else {
    slots_serve(peer, frame);
  }
}

static void peer_ready(struct peer *peer, uint32_t events) {
  if (peer->fd < 0) return;
  if (!peer_flush(peer)) {
    loop_drop(peer);
    return;
  }
  watch_peer(peer);
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  bool is_open = peer_read(peer);
  struct frame frame;
  size_t used;
  int found = 0;
  while (peer->fd >= 0 && (found = peer_frame(peer, &frame, &used)) > 0) {
    serve(peer, &frame);
    if (peer->fd >= 0) peer_consume(peer, used);
  }
  if (!is_open || found < 0) loop_drop(peer);
}

static void accept_peer(void) {
  int fd = accept4(self.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  for (int i = 0; i < MAX_PEERS; i++) {
    if (peers[i].fd >= 0) continue;
    peer_open(&peers[i], fd, (struct span){peer_in[i], MAX_FRAME}, (struct span){peer_out[i], PEER_OUT});
    watch_peer(&peers[i]);
    return;
  }
  close(fd);
}

static void children_ready(void) {
  struct signalfd_siginfo ignored;
  while (read(self.signal_fd, &ignored, sizeof ignored) > 0) {
  }
  /* Before the last step the only children are hooks, and who started them waits for them. */
  if (self.state != STATE_GATE) slots_reap();
}

void loop_turn(int timeout_ms) {
  struct epoll_event events[64];
  int count = epoll_wait(self.epoll_fd, events, COUNT_OF(events), timeout_ms);
  for (int i = 0; i < count; i++) {
    uint32_t index = (uint32_t)events[i].data.u64;
    switch ((enum watch_kind)(events[i].data.u64 >> 32)) {
      case WATCH_LISTEN: accept_peer(); break;
      case WATCH_SIGNAL: children_ready(); break;
      case WATCH_PEER: peer_ready(&peers[index], events[i].events); break;
      case WATCH_EXEC: slots_exec_ready(index); break;
      case WATCH_PIPE: break;
    }
  }
  for (int i = 0; i < count; i++)
    if (events[i].data.u64 >> 32 == WATCH_PIPE) log_pipe_ready((uint32_t)events[i].data.u64);
}

int loop_run(void) {
  for (;;) loop_turn(slots_patience());
}
