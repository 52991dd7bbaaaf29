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
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "emperor-init.h"

#define MAX_CHILDREN 32768
#define MAX_CLIENTS 16
#define MAX_KEPT 64
#define CLIENT_IN (MAX_FRAME + 4096)
#define CLIENT_OUT (16 * MAX_FRAME)
#define REPORT_BYTES 600

struct child {
  char name[128];
  pid_t pid; /* 0: free */
  uint64_t start_time;
  bool ended;
  int status;
  struct rusage usage;
  int64_t ended_ms;
  int report_fd; /* -1 once the outcome of the launch is known */
  int client;    /* who asked, or -1 */
  uint32_t request;
};

/* From init: an error of 0 means that it stands at its gate, a step of -1 that no step failed. */
struct report {
  int step, error;
  char detail[REPORT_BYTES];
};

struct kept {
  char name[128];
  int fd;
};

enum kind { KIND_LISTEN, KIND_SIGNAL, KIND_CLIENT, KIND_REPORT, KIND_MOUNTS };

/* Mapped by the launcher alone: in every init, static arrays of this size would cost page tables. */
static struct child *children;
static uint8_t (*client_in)[CLIENT_IN], (*client_out)[CLIENT_OUT], *answer;
static uint32_t used_children; /* slots ever used: what loops look at */
static struct peer clients[MAX_CLIENTS];
static struct kept kept[MAX_KEPT];
static int epoll_fd, listen_fd, signal_fd, self_fd;
static int64_t started_ms;
static char boot[40];
static bool is_quitting;

static void watch(int fd, enum kind kind, uint32_t index, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u64 = (uint64_t)kind << 32 | index};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 && errno == EEXIST)
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

/* By hand, since a child between clone and exec keeps what we close watched. */
static void close_watched(int *fd) {
  if (*fd >= 0) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, *fd, NULL);
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void drop(int index) {
  struct peer *client = &clients[index];
  if (client->fd < 0) return;
  close_watched(&client->fd);
  peer_close(client);
  for (uint32_t i = 0; i < used_children; i++)
    if (children[i].client == index) children[i].client = -1;
}

static void say(int index, struct out *out, const int *fds, int count) {
  struct peer *client = &clients[index];
  if (client->fd < 0) return;
  if (!out_end(out) || !peer_send(client, out, fds, count)) {
    drop(index);
    return;
  }
  watch(client->fd, KIND_CLIENT, (uint32_t)index, EPOLLIN | (client->out_length ? EPOLLOUT : 0));
}

static void say_error(int index, uint32_t id, int step, int error, const char *detail) {
  struct out out;
  out_begin(&out, answer, MAX_FRAME, VERB_ERROR, id);
  if (step >= 0) out_number(&out, TAG_STEP, (uint64_t)step);
  out_number(&out, TAG_ERRNO, (uint64_t)error);
  out_text(&out, TAG_DETAIL, detail);
  say(index, &out, NULL, 0);
}

static void say_ok(int index, uint32_t id) {
  struct out out;
  out_begin(&out, answer, MAX_FRAME, VERB_OK, id);
  say(index, &out, NULL, 0);
}

/* ── children ───────────────────────────────────────────────────────────────────────────────── */

static void put_child(struct out *out, const struct child *child) {
  out_text(out, TAG_NAME, child->name);
  out_number(out, TAG_PID, (uint64_t)child->pid);
  out_number(out, TAG_START_TIME, child->start_time);
  out_number(out, TAG_STATE, child->ended ? STATE_ENDED : child->report_fd >= 0 ? STATE_GATE : STATE_RUNNING);
  if (!child->ended) return;
  out_number(out, TAG_STATUS, (uint64_t)(uint32_t)child->status);
  out_number(out, TAG_UTIME_US, (uint64_t)child->usage.ru_utime.tv_sec * 1000000 + (uint64_t)child->usage.ru_utime.tv_usec);
  out_number(out, TAG_STIME_US, (uint64_t)child->usage.ru_stime.tv_sec * 1000000 + (uint64_t)child->usage.ru_stime.tv_usec);
  out_number(out, TAG_MAXRSS_KB, (uint64_t)child->usage.ru_maxrss);
  out_number(out, TAG_TIME_MS, (uint64_t)child->ended_ms);
}

static struct child *free_child(void) {
  struct child *oldest = NULL;
  for (uint32_t i = 0; i < used_children; i++) {
    if (children[i].pid == 0) return &children[i];
    if (children[i].ended && (!oldest || children[i].ended_ms < oldest->ended_ms)) oldest = &children[i];
  }
  if (used_children < MAX_CHILDREN) return &children[used_children++];
  return oldest;
}

static bool is_alive(const char *name) {
  for (uint32_t i = 0; i < used_children; i++)
    if (children[i].pid && !children[i].ended && strcmp(children[i].name, name) == 0) return true;
  return false;
}

/* Everything an init needs to know, as one file: the request's frame, which carries its length. */
static int plan_file(const struct frame *frame) {
  int fd = memfd_create("plan", MFD_CLOEXEC);
  if (fd < 0) return -1;
  size_t length = frame->length;
  for (const uint8_t *at = frame->fields; length > 0;) {
    ssize_t done = write(fd, at, length);
    if (done < 0) {
      close(fd);
      return -1;
    }
    at += done;
    length -= (size_t)done;
  }
  return fd;
}

/* The child's side: nothing of the launcher but plan and report goes along. */
static void become_init(int plan_fd, int report_fd, bool is_placed) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setsid();
  int plan = fcntl(plan_fd, F_DUPFD, 64), report = fcntl(report_fd, F_DUPFD, 64), program = fcntl(self_fd, F_DUPFD, 64);
  if (dup2(plan, INIT_PLAN_FD) < 0 || dup2(report, INIT_REPORT_FD) < 0) _exit(1);
  int binary = fcntl(program, F_DUPFD_CLOEXEC, INIT_REPORT_FD + 1);
  if (binary > INIT_REPORT_FD + 1) {
    dup3(binary, INIT_REPORT_FD + 1, O_CLOEXEC);
    binary = INIT_REPORT_FD + 1;
  }
  sys_close_from(INIT_REPORT_FD + 2);
  char *argv[] = {"emperor-init", "init", is_placed ? "placed" : NULL, NULL}, *env[] = {NULL};
  syscall(SYS_execveat, binary, "", argv, env, AT_EMPTY_PATH);
  _exit(1);
}

static uint64_t clone_flags(uint64_t namespaces) {
  static const struct { uint64_t bit, flag; } map[] = {
      {NAMESPACE_FS, CLONE_NEWNS},   {NAMESPACE_IPC, CLONE_NEWIPC}, {NAMESPACE_UTS, CLONE_NEWUTS},
      {NAMESPACE_NET, CLONE_NEWNET}, {NAMESPACE_PID, CLONE_NEWPID}, {NAMESPACE_CGROUP, CLONE_NEWCGROUP},
  };
  uint64_t flags = 0;
  for (size_t i = 0; i < COUNT_OF(map); i++)
    if (namespaces & map[i].bit) flags |= map[i].flag;
  return flags;
}

/* The directory of the first cgroup that the plan names, so that init is born in it; -1 if there is none. */
static int birthplace(const struct frame *frame) {
  struct field plan, entry;
  char path[4096];
  if (!field_find(frame->fields, frame->length, TAG_PLAN, &plan)) return -1;
  const uint8_t *at = plan.bytes;
  for (size_t length = plan.length; field_next(&at, &length, &entry);) {
    if (field_number(entry.bytes, entry.length, TAG_OP, 0) != OP_CGROUP) continue;
    if (!field_text(entry.bytes, entry.length, TAG_SOURCE, path, sizeof path)) return -1;
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  return -1;
}

/* cgroup v1 has no birthplaces; there init goes where it belongs by itself. */
static pid_t clone_init(const struct frame *frame, bool *is_placed) {
  uint64_t flags = clone_flags(field_number(frame->fields, frame->length, TAG_FLAGS, 0));
  int cgroup_fd = birthplace(frame);
  *is_placed = cgroup_fd >= 0;
  pid_t pid = cgroup_fd >= 0 ? sys_clone3(flags, cgroup_fd) : -1;
  int error = errno;
  if (pid != 0 && cgroup_fd >= 0) close(cgroup_fd);
  errno = error;
  bool is_refused = cgroup_fd < 0 || errno == EBADF || errno == EINVAL || errno == EOPNOTSUPP;
  if (pid >= 0 || !is_refused) return pid;
  *is_placed = false;
  return sys_clone3(flags, -1);
}

static void launch(int index, const struct frame *frame) {
  char name[128];
  if (!field_text(frame->fields, frame->length, TAG_NAME, name, sizeof name)) {
    say_error(index, frame->id, -1, EINVAL, "a launch without a name");
    return;
  }
  if (is_alive(name)) {
    say_error(index, frame->id, -1, EEXIST, name);
    return;
  }
  struct child *child = free_child();
  int plan_fd = plan_file(frame), report[2] = {-1, -1};
  if (!child || plan_fd < 0 || pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0) {
    int error = errno;
    if (plan_fd >= 0) close(plan_fd);
    say_error(index, frame->id, -1, child ? error : EAGAIN, "no room for another vassal");
    return;
  }
  bool is_placed;
  pid_t pid = clone_init(frame, &is_placed);
  if (pid == 0) become_init(plan_fd, report[1], is_placed);
  int error = errno;
  close(plan_fd);
  close(report[1]);
  if (pid < 0) {
    close(report[0]);
    say_error(index, frame->id, -1, error, "clone3");
    return;
  }
  *child = (struct child){.pid = pid, .start_time = start_time_of(pid), .report_fd = report[0], .client = index, .request = frame->id};
  strcpy(child->name, name);
  watch(report[0], KIND_REPORT, (uint32_t)(child - children), EPOLLIN);
}

static void answer_launch(struct child *child, const struct report *report) {
  if (child->client < 0) return;
  if (report->error != 0) {
    say_error(child->client, child->request, report->step, report->error, report->detail);
  } else {
    struct out out;
    out_begin(&out, answer, MAX_FRAME, VERB_LAUNCHED, child->request);
    out_number(&out, TAG_PID, (uint64_t)child->pid);
    out_number(&out, TAG_START_TIME, child->start_time);
    say(child->client, &out, NULL, 0);
  }
  child->client = -1;
}

/* Reads what init has to say, which may be nothing yet; `has_ended` that it is its last word. */
static void report_arrived(struct child *child, bool has_ended) {
  struct report report = {.step = -1, .error = 0, .detail = ""};
  ssize_t length = read(child->report_fd, &report, sizeof report - 1);
  if (length < 0 && errno == EAGAIN && !has_ended) return;
  close_watched(&child->report_fd);
  if (length < (ssize_t)(2 * sizeof(int))) report = (struct report){-1, ECHILD, "init ended unexpectedly"};
  answer_launch(child, &report);
}

static struct child *child_of(pid_t pid) {
  for (uint32_t i = 0; i < used_children; i++)
    if (children[i].pid == pid && !children[i].ended) return &children[i];
  return NULL;
}

static void tell_exit(const struct child *child) {
  for (int i = 0; i < MAX_CLIENTS; i++) {
    if (clients[i].fd < 0 || !clients[i].subscribed) continue;
    struct out out;
    out_begin(&out, answer, MAX_FRAME, VERB_EXITED, 0);
    put_child(&out, child);
    say(i, &out, NULL, 0);
  }
}

static void reap(void) {
  struct signalfd_siginfo ignored;
  while (read(signal_fd, &ignored, sizeof ignored) > 0) {
  }
  int status;
  struct rusage usage;
  for (pid_t pid; (pid = wait4(-1, &status, WNOHANG, &usage)) > 0;) {
    struct child *child = child_of(pid);
    if (!child) continue;
    if (child->report_fd >= 0) report_arrived(child, true);
    child->ended = true;
    child->status = status;
    child->usage = usage;
    child->ended_ms = wall_ms();
    tell_exit(child);
  }
}

/* ── requests ───────────────────────────────────────────────────────────────────────────────── */

/* As many children as one frame holds, from the NUMBERth record on; NUMBER in the answer: go on there. */
static void list(int index, const struct frame *frame) {
  struct out out;
  out_begin(&out, answer, MAX_FRAME, VERB_LISTED, frame->id);
  for (uint64_t i = field_number(frame->fields, frame->length, TAG_NUMBER, 0); i < used_children; i++) {
    if (!children[i].pid) continue;
    if (out.size - out.length < 512) {
      out_number(&out, TAG_NUMBER, i);
      break;
    }
    size_t mark = out_open(&out, TAG_ENTRY);
    put_child(&out, &children[i]);
    out_close(&out, mark);
  }
  say(index, &out, NULL, 0);
}

static struct kept *kept_named(const char *name) {
  for (int i = 0; i < MAX_KEPT; i++)
    if (kept[i].fd >= 0 && strcmp(kept[i].name, name) == 0) return &kept[i];
  return NULL;
}

static void put_descriptor(int index, uint32_t id, const char *name) {
  struct kept *place = kept_named(name);
  for (int i = 0; !place && i < MAX_KEPT; i++)
    if (kept[i].fd < 0) place = &kept[i];
  int fd = place ? peer_take_fd(&clients[index]) : -1;
  if (fd < 0) {
    say_error(index, id, -1, place ? EBADF : ENOSPC, name);
    return;
  }
  if (place->fd >= 0) close(place->fd);
  place->fd = fd;
  strcpy(place->name, name);
  say_ok(index, id);
}

static void keep_descriptor(int index, const struct frame *frame) {
  char name[128];
  if (!field_text(frame->fields, frame->length, TAG_NAME, name, sizeof name)) {
    say_error(index, frame->id, -1, EINVAL, "a descriptor without a name");
    return;
  }
  if (frame->verb == VERB_PUT) {
    put_descriptor(index, frame->id, name);
    return;
  }
  struct kept *found = kept_named(name);
  if (!found) {
    say_error(index, frame->id, -1, ENOENT, name);
  } else if (frame->verb == VERB_GET) {
    struct out out;
    out_begin(&out, answer, MAX_FRAME, VERB_OK, frame->id);
    say(index, &out, &found->fd, 1);
  } else {
    close(found->fd);
    found->fd = -1;
    say_ok(index, frame->id);
  }
}

static void welcome(int index, const struct frame *frame) {
  clients[index].subscribed = field_number(frame->fields, frame->length, TAG_SUBSCRIBE, 0) != 0;
  struct out out;
  out_begin(&out, answer, MAX_FRAME, VERB_WELCOME, frame->id);
  out_number(&out, TAG_VERSION, PROTOCOL_VERSION);
  out_number(&out, TAG_PID, (uint64_t)getpid());
  out_text(&out, TAG_BOOT_ID, boot);
  out_number(&out, TAG_TIME_MS, (uint64_t)started_ms);
  say(index, &out, NULL, 0);
}

static void acknowledge(int index, const struct frame *frame) {
  pid_t pid = (pid_t)field_number(frame->fields, frame->length, TAG_PID, 0);
  for (uint32_t i = 0; i < used_children; i++)
    if (children[i].pid == pid && children[i].ended) children[i] = (struct child){.report_fd = -1, .client = -1};
  say_ok(index, frame->id);
}

static void serve(int index, const struct frame *frame) {
  switch (frame->verb) {
    case VERB_HELLO: welcome(index, frame); break;
    case VERB_LAUNCH: launch(index, frame); break;
    case VERB_LIST: list(index, frame); break;
    case VERB_ACK: acknowledge(index, frame); break;
    case VERB_PUT:
    case VERB_GET:
    case VERB_DROP: keep_descriptor(index, frame); break;
    case VERB_QUIT:
      is_quitting = true;
      say_ok(index, frame->id);
      break;
    default: say_error(index, frame->id, -1, ENOSYS, "unknown verb");
  }
}

static void client_ready(int index, uint32_t events) {
  struct peer *client = &clients[index];
  if (client->fd < 0) return;
  if ((events & EPOLLOUT) && !peer_flush(client)) {
    drop(index);
    return;
  }
  watch(client->fd, KIND_CLIENT, (uint32_t)index, EPOLLIN | (client->out_length ? EPOLLOUT : 0));
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  bool is_open = peer_read(client);
  struct frame frame;
  size_t used;
  int found = 0;
  while (client->fd >= 0 && (found = peer_frame(client, &frame, &used)) > 0) {
    serve(index, &frame);
    if (client->fd >= 0) peer_consume(client, used);
  }
  if (!is_open || found < 0) drop(index);
}

static void accept_client(void) {
  int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  for (int i = 0; i < MAX_CLIENTS; i++) {
    if (clients[i].fd >= 0) continue;
    peer_open(&clients[i], fd, (struct span){client_in[i], CLIENT_IN}, (struct span){client_out[i], CLIENT_OUT});
    watch(fd, KIND_CLIENT, (uint32_t)i, EPOLLIN);
    return;
  }
  close(fd);
}

/* ── start ──────────────────────────────────────────────────────────────────────────────────── */

static int complain(const char *what) {
  dprintf(2, "launcher: cannot %s: %s\n", what, strerror(errno));
  return 1;
}

static void *map(size_t size) {
  void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return bytes == MAP_FAILED ? NULL : bytes;
}

static bool map_space(void) {
  children = map(MAX_CHILDREN * sizeof *children);
  client_in = map(MAX_CLIENTS * sizeof *client_in);
  client_out = map(MAX_CLIENTS * sizeof *client_out);
  answer = map(MAX_FRAME);
  return children && client_in && client_out && answer;
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
  self_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  signal_fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
  listen_fd = listen_at(socket_path);
  if (self_fd < 0 || epoll_fd < 0 || signal_fd < 0 || listen_fd < 0) return complain("open its socket");
  watch(signal_fd, KIND_SIGNAL, 0, EPOLLIN);
  watch(listen_fd, KIND_LISTEN, 0, EPOLLIN);
  return 0;
}

static void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int launcher_main(int argc, char **argv) {
  if (argc < 1) return 2;
  setsid();
  raise_descriptor_limit();
  if (!map_space()) return complain("get its memory");
  for (int i = 0; i < MAX_CLIENTS; i++) clients[i].fd = -1;
  for (int i = 0; i < MAX_KEPT; i++) kept[i].fd = -1;
  int mounts_fd = mounts_open(argv + 1, argc - 1);
  if (mounts_fd < 0) return complain("make a mount namespace of its own");
  int status = open_all(argv[0]);
  if (status) return status;
  watch(mounts_fd, KIND_MOUNTS, 0, EPOLLPRI);
  started_ms = wall_ms();
  boot_id(boot);
  while (!is_quitting) {
    struct epoll_event events[64];
    int count = epoll_wait(epoll_fd, events, COUNT_OF(events), -1);
    for (int i = 0; i < count; i++) {
      uint32_t index = (uint32_t)events[i].data.u64;
      switch ((enum kind)(events[i].data.u64 >> 32)) {
        case KIND_LISTEN: accept_client(); break;
        case KIND_SIGNAL: reap(); break;
        case KIND_CLIENT: client_ready((int)index, events[i].events); break;
        case KIND_REPORT:
          if (children[index].report_fd >= 0) report_arrived(&children[index], false);
          break;
        case KIND_MOUNTS: mounts_prune(); break;
      }
    }
  }
  unlink(argv[0]);
  return 0;
}
