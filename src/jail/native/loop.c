/*
 * init's loop: sleeps in epoll until a peer, a child or an output pipe has something. Control first, then
 * output, one portion a pipe a turn, so that a flood delays no request. No timer runs while nothing
 * stops and nobody is to be heard from.
 *
 * Within one batch of events a place may be given up and taken again by another descriptor. So every handler
 * takes an event as a hint only: nothing blocks, and what is not there yet is waited for once more.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "emperor-init.h"

#define MAX_PEERS 256
/* Whoever comes by the door leaves as many places for the emperor and `emperor exec`. */
#define MAX_DOOR_PEERS 128
#define PEER_OUT (2 * MAX_FRAME)
/* What an emperor can read back: JavaScript's largest integer. */
#define MAX_GENERATION ((1ULL << 53) - 1)

uint8_t loop_scratch[MAX_FRAME];
static struct peer peers[MAX_PEERS];
static int used_peers; /* places ever taken: what loops look at, so that the rest cost no memory */
/* Buffers of each place, made when it is first taken and given back to the kernel when it is free again. */
static uint8_t *spaces[MAX_PEERS];
/* Given up for a moment to refuse a connection when no descriptor is left; else it would be told again and again. */
static int spare_fd = -1;

bool loop_open(void) {
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  spare_fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
  self.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  self.signal_fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
  if (self.epoll_fd < 0 || self.signal_fd < 0) return false;
  loop_watch(self.signal_fd, WATCH_SIGNAL, 0, EPOLLIN);
  return true;
}

void loop_watch(int fd, enum watch_kind kind, uint32_t index, uint32_t events) {
  watch_fd(self.epoll_fd, fd, (uint64_t)kind << 32 | index, events);
}

void loop_close(int *fd) { unwatch_and_close(self.epoll_fd, fd); }

void loop_drop(struct peer *peer) {
  if (peer->fd < 0) return;
  gate_peer_gone(peer);
  /* Not unmapped: a frame of this peer may be what is being served. */
  madvise(peer->in, MAX_FRAME + PEER_OUT, MADV_DONTNEED);
  loop_close(&peer->fd);
  peer_close(peer);
  slots_peer_gone(peer);
}

void loop_drop_doors(void) {
  for (struct peer *peer = peers; peer < peers + used_peers; peer++)
    if (peer->fd >= 0 && peer->is_door) loop_drop(peer);
}

static void watch_peer(struct peer *peer) {
  peer_watch(peer, self.epoll_fd, (uint64_t)WATCH_PEER << 32 | (uint64_t)(peer - peers));
}

void loop_say(struct peer *peer, struct out *out, const int *fds, int count) {
  if (peer->fd < 0) return;
  if (!out_end(out) || !peer_send(peer, out, fds, count)) loop_drop(peer);
  else watch_peer(peer);
}

void loop_tell(const uint8_t *frame, size_t length, const struct peer *also) {
  struct out out = {.data = (uint8_t *)frame, .size = length, .length = length};
  for (struct peer *peer = peers; peer < peers + used_peers; peer++)
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
  out_error(&out, step, error, detail);
  loop_say(peer, &out, NULL, 0);
}

static void welcome(struct peer *peer, const struct frame *frame) {
  peer->has_greeted = true;
  peer->subscribed = field_number(frame->fields, frame->length, TAG_SUBSCRIBE, 0) != 0;
  struct out out;
  out_begin(&out, loop_scratch, sizeof loop_scratch, VERB_WELCOME, frame->id);
  out_number(&out, TAG_VERSION, PROTOCOL_VERSION);
  out_text(&out, TAG_NAME, self.name);
  out_number(&out, TAG_GENERATION, self.generation);
  out_text(&out, TAG_HASH, self.hash);
  out_text(&out, TAG_BOOT_ID, self.boot_id);
  out_number(&out, TAG_START_TIME, self.start_time);
  out_number(&out, TAG_TIME_MS, (uint64_t)self.started_ms);
  out_number(&out, TAG_STATE, (uint64_t)self.state);
  out_number(&out, TAG_UID, self.uid);
  if (*self.address) out_text(&out, TAG_ADDRESS, self.address);
  if (*self.address6) out_text(&out, TAG_ADDRESS6, self.address6);
  loop_say(peer, &out, NULL, 0);
}

static void meta(struct peer *peer, const struct frame *frame) {
  char hash[sizeof self.hash];
  if (!field_text(frame->fields, frame->length, TAG_HASH, hash, sizeof hash)) {
    loop_say_error(peer, frame->id, -1, EINVAL, "no hash");
    return;
  }
  uint64_t generation = field_number(frame->fields, frame->length, TAG_GENERATION, self.generation);
  if (generation > MAX_GENERATION) {
    loop_say_error(peer, frame->id, -1, EINVAL, "generation");
    return;
  }
  strcpy(self.hash, hash);
  self.generation = generation;
  loop_say_ok(peer, frame->id);
}

static void serve(struct peer *peer, const struct frame *frame) {
  if (peer->is_door) {
    door_serve(peer, frame);
  } else if (frame->verb == VERB_HELLO) {
    welcome(peer, frame);
  } else if (frame->verb == VERB_FETCH) {
    tun_fetch(peer, frame);
  } else if (self.state == STATE_GATE) {
    gate_serve(peer, frame);
  } else if (frame->verb == VERB_META) {
    meta(peer, frame);
  } else if (frame->verb == VERB_GO) {
    loop_say_error(peer, frame->id, -1, EALREADY, "it runs already");
  } else if (frame->verb == VERB_DOOR) {
    door_set(peer, frame);
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
  if (!peer_serve(peer, serve)) loop_drop(peer);
}

static struct peer *free_peer(void) {
  for (int i = 0; i < used_peers; i++)
    if (peers[i].fd < 0) return &peers[i];
  if (used_peers == MAX_PEERS) return NULL;
  peers[used_peers].fd = -1;
  return &peers[used_peers++];
}

static void refuse_connection(int listen_fd) {
  close(spare_fd);
  int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd >= 0) close(fd);
  spare_fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
}

static uint8_t *space_of(const struct peer *peer) {
  uint8_t **space = &spaces[peer - peers];
  if (*space) return *space;
  void *made = mmap(NULL, MAX_FRAME + PEER_OUT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return made == MAP_FAILED ? NULL : (*space = made);
}

static bool is_door_full(void) {
  int count = 0;
  for (int i = 0; i < used_peers; i++) count += peers[i].fd >= 0 && peers[i].is_door;
  return count >= MAX_DOOR_PEERS;
}

static void accept_peer(int listen_fd, bool is_door) {
  int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE) refuse_connection(listen_fd);
    return;
  }
  bool is_refused = is_door && (is_door_full() || !door_admits(fd));
  struct peer *peer = is_refused ? NULL : free_peer();
  uint8_t *space = peer ? space_of(peer) : NULL;
  if (!space) {
    close(fd);
    return;
  }
  peer_open(peer, fd, (struct span){space, MAX_FRAME}, (struct span){space + MAX_FRAME, PEER_OUT});
  peer->is_door = is_door;
  watch_peer(peer);
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
      case WATCH_LISTEN: accept_peer(self.listen_fd, false); break;
      case WATCH_DOOR: accept_peer(self.door_fd, true); break;
      case WATCH_SIGNAL: children_ready(); break;
      case WATCH_PEER: peer_ready(&peers[index], events[i].events); break;
      case WATCH_EXEC: slots_exec_ready(index); break;
      case WATCH_NOTIFY: notify_ready(index); break;
      case WATCH_CRONTAB: crontab_ready(); break;
      case WATCH_PIPE: break;
    }
  }
  for (int i = 0; i < count; i++)
    if (events[i].data.u64 >> 32 == WATCH_PIPE) log_pipe_ready((uint32_t)events[i].data.u64);
}

/* Of two waits, of which -1 is for ever. */
static int sooner(int one_ms, int other_ms) {
  return other_ms < 0 || (one_ms >= 0 && one_ms < other_ms) ? one_ms : other_ms;
}

int loop_run(void) {
  for (;;) loop_turn(sooner(stop_patience(), sooner(hangup_patience(), notify_patience())));
}
