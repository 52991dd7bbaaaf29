/*
 * The launcher: parent and reaper of every init, and keeper of named descriptors.
 *
 * Theory of operation. One thread, one epoll loop, no memory from the heap. A LAUNCH request is copied into
 * a memfd; a child is cloned into its new namespaces and becomes `init` by exec, with the memfd and the
 * writing end of a report pipe as its only descriptors. The answer is sent when the pipe says "gate", names
 * the step that failed, or closes; so many launches are under way at once and none is waited for.
 * An exit is told to whoever subscribed and kept until it is acknowledged, so that an emperor that was dead
 * at that moment learns of it. If the launcher dies, inits belong to the machine's PID 1 and live on.
 *
 * Bounded: MAX_CHILDREN records (the oldest ended one makes room), MAX_CLIENTS clients, MAX_KEPT descriptors.
 * Within one batch of events a place may be given up and taken again, so every handler takes an event as a hint.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher.h"

#define MAX_CLIENTS 16
#define CLIENT_IN (MAX_FRAME + 4096)
#define CLIENT_OUT (16 * MAX_FRAME)

static uint8_t (*client_in)[CLIENT_IN], (*client_out)[CLIENT_OUT], *answer;
static struct peer clients[MAX_CLIENTS];
static int epoll_fd, listen_fd, signal_fd;
static int64_t started_ms;
static char boot[40];
static bool is_quitting;

void launcher_watch(int fd, enum kind kind, uint32_t index, uint32_t events) {
  watch_fd(epoll_fd, fd, (uint64_t)kind << 32 | index, events);
}

static void watch_client(int index) {
  peer_watch(&clients[index], epoll_fd, (uint64_t)KIND_CLIENT << 32 | (uint64_t)index);
}

void launcher_close(int *fd) { unwatch_and_close(epoll_fd, fd); }

void *launcher_map(size_t size) {
  void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (bytes == MAP_FAILED) return NULL;
  madvise(bytes, size, MADV_DONTFORK);
  return bytes;
}

/* ── answers ────────────────────────────────────────────────────────────────────────────────── */

static void drop(int index) {
  struct peer *client = &clients[index];
  if (client->fd < 0) return;
  launcher_close(&client->fd);
  peer_close(client);
  children_client_gone(index);
}

void launcher_begin(struct out *out, uint16_t verb, uint32_t id) { out_begin(out, answer, MAX_FRAME, verb, id); }

void launcher_say(int index, struct out *out, const int *fds, int count) {
  struct peer *client = &clients[index];
  if (client->fd < 0) return;
  if (!out_end(out) || !peer_send(client, out, fds, count)) {
    drop(index);
    return;
  }
  watch_client(index);
}

void launcher_say_error(int index, uint32_t id, int step, int error, const char *detail) {
  struct out out;
  launcher_begin(&out, VERB_ERROR, id);
  out_error(&out, step, error, detail);
  launcher_say(index, &out, NULL, 0);
}

void launcher_say_ok(int index, uint32_t id) {
  struct out out;
  launcher_begin(&out, VERB_OK, id);
  launcher_say(index, &out, NULL, 0);
}

void launcher_tell(struct out *out) {
  for (int i = 0; i < MAX_CLIENTS; i++)
    if (clients[i].fd >= 0 && clients[i].subscribed) launcher_say(i, out, NULL, 0);
}

int launcher_take_fd(int index) { return peer_take_fd(&clients[index]); }

/* ── requests ───────────────────────────────────────────────────────────────────────────────── */

static void welcome(int index, const struct frame *frame) {
  clients[index].subscribed = field_number(frame->fields, frame->length, TAG_SUBSCRIBE, 0) != 0;
  struct out out;
  launcher_begin(&out, VERB_WELCOME, frame->id);
  out_number(&out, TAG_VERSION, PROTOCOL_VERSION);
  out_number(&out, TAG_PID, (uint64_t)getpid());
  out_text(&out, TAG_BOOT_ID, boot);
  out_number(&out, TAG_TIME_MS, (uint64_t)started_ms);
  launcher_say(index, &out, NULL, 0);
}

static void serve(struct peer *client, const struct frame *frame) {
  int index = (int)(client - clients);
  switch (frame->verb) {
    case VERB_HELLO: welcome(index, frame); break;
    case VERB_LAUNCH: children_launch(index, frame); break;
    case VERB_LIST: children_list(index, frame); break;
    case VERB_ACK: children_acknowledge(index, frame); break;
    case VERB_PUT:
    case VERB_GET:
    case VERB_DROP: kept_serve(index, frame); break;
    case VERB_QUIT:
      is_quitting = true;
      launcher_say_ok(index, frame->id);
      break;
    default: launcher_say_error(index, frame->id, -1, ENOSYS, "unknown verb");
  }
}

static void client_ready(int index, uint32_t events) {
  struct peer *client = &clients[index];
  if (client->fd < 0) return;
  if ((events & EPOLLOUT) && !peer_flush(client)) {
    drop(index);
    return;
  }
  watch_client(index);
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  if (!peer_serve(client, serve)) drop(index);
}

static void signal_ready(void) {
  struct signalfd_siginfo ignored;
  while (read(signal_fd, &ignored, sizeof ignored) > 0) {
  }
  children_reap();
}

static void accept_client(void) {
  int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  for (int i = 0; i < MAX_CLIENTS; i++) {
    if (clients[i].fd >= 0) continue;
    peer_open(&clients[i], fd, (struct span){client_in[i], CLIENT_IN}, (struct span){client_out[i], CLIENT_OUT});
    watch_client(i);
    return;
  }
  close(fd);
}

/* ── start ──────────────────────────────────────────────────────────────────────────────────── */

static int complain(const char *what) {
  dprintf(2, "launcher: cannot %s: %s\n", what, strerror(errno));
  return 1;
}

static bool map_space(void) {
  client_in = launcher_map(MAX_CLIENTS * sizeof *client_in);
  client_out = launcher_map(MAX_CLIENTS * sizeof *client_out);
  answer = launcher_map(MAX_FRAME);
  return client_in && client_out && answer && children_open();
}

static int open_all(const char *socket_path) {
  char lock_path[4096];
  snprintf(lock_path, sizeof lock_path, "%s.lock", socket_path);
  int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return complain("open the lock file");
  if (flock(lock, LOCK_EX | LOCK_NB) < 0) {
    dprintf(2, "launcher: another one holds %s\n", lock_path);
    return 75;
  }
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  sigprocmask(SIG_BLOCK, &chld, NULL);
  signal(SIGPIPE, SIG_IGN);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  signal_fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
  listen_fd = listen_at(socket_path);
  if (epoll_fd < 0 || signal_fd < 0 || listen_fd < 0) return complain("open its socket");
  launcher_watch(signal_fd, KIND_SIGNAL, 0, EPOLLIN);
  launcher_watch(listen_fd, KIND_LISTEN, 0, EPOLLIN);
  return 0;
}

static void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/*
 * The host may have its service killed last for memory. Whoever is started could go back to that score, and tenants are:
 * from here on nothing is better off than others of the host.
 */
static void be_as_others_for_oom_killer(void) {
  write_file("/proc/self/oom_score_adj", "0");
}

int launcher_main(int argc, char **argv) {
  if (argc < 1) return 2;
  setsid();
  raise_descriptor_limit();
  be_as_others_for_oom_killer();
  if (!map_space()) return complain("get its memory");
  for (int i = 0; i < MAX_CLIENTS; i++) clients[i].fd = -1;
  int mounts_fd = mounts_open(argv + 1, argc - 1);
  if (mounts_fd < 0) return complain("make a mount namespace of its own");
  int status = open_all(argv[0]);
  if (status) return status;
  launcher_watch(mounts_fd, KIND_MOUNTS, 0, EPOLLPRI);
  started_ms = wall_ms();
  boot_id(boot);
  while (!is_quitting) {
    struct epoll_event events[64];
    int count = epoll_wait(epoll_fd, events, COUNT_OF(events), -1);
    for (int i = 0; i < count; i++) {
      uint32_t index = (uint32_t)events[i].data.u64;
      switch ((enum kind)(events[i].data.u64 >> 32)) {
        case KIND_LISTEN: accept_client(); break;
        case KIND_SIGNAL: signal_ready(); break;
        case KIND_CLIENT: client_ready((int)index, events[i].events); break;
        case KIND_REPORT: children_report_ready(index); break;
        case KIND_MOUNTS: mounts_prune(); break;
      }
    }
  }
  unlink(argv[0]);
  return 0;
}
