/* The launcher's children: an init each, from LAUNCH to the acknowledgement of its exit. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"

#define MAX_CHILDREN 32768
#define REPORT_BYTES 600
/* What one child takes in a list at most. */
#define ENTRY_BYTES 512

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

/*
 * What records are looked for by, beside them: eight bytes a vassal instead of one or two lines of the cache in each of
 * thousands of records, three times a start.
 */
struct key {
  pid_t pid; /* 0: free; negative: it has ended */
  uint32_t name_hash;
};

/* Mapped by the launcher alone: in every init, a static array of this size would cost page tables. */
static struct child *children;
static struct key *keys;
static uint32_t used_children; /* records ever used: what loops look at */
static int program_fd = -1;

bool children_open(void) {
  children = launcher_map(MAX_CHILDREN * sizeof *children);
  keys = launcher_map(MAX_CHILDREN * sizeof *keys);
  program_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  return children && keys && program_fd >= 0;
}

static void put_child(struct out *out, const struct child *child) {
  out_text(out, TAG_NAME, child->name);
  out_number(out, TAG_PID, (uint64_t)child->pid);
  out_number(out, TAG_START_TIME, child->start_time);
  out_number(out, TAG_STATE, child->ended ? STATE_ENDED : child->report_fd >= 0 ? STATE_GATE : STATE_RUNNING);
  if (!child->ended) return;
  out_exit(out, child->status, &child->usage);
  out_number(out, TAG_TIME_MS, (uint64_t)child->ended_ms);
}

static struct child *oldest_ended(void) {
  struct child *oldest = NULL;
  for (uint32_t i = 0; i < used_children; i++)
    if (keys[i].pid < 0 && (!oldest || children[i].ended_ms < oldest->ended_ms)) oldest = &children[i];
  return oldest;
}

static struct child *free_child(void) {
  for (uint32_t i = 0; i < used_children; i++)
    if (keys[i].pid == 0) return &children[i];
  return used_children < MAX_CHILDREN ? &children[used_children++] : oldest_ended();
}

/* FNV-1a. */
static uint32_t hash_of(const char *name) {
  uint32_t hash = 2166136261u;
  for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 16777619u;
  return hash;
}

static bool is_alive(const char *name) {
  uint32_t hash = hash_of(name);
  for (uint32_t i = 0; i < used_children; i++)
    if (keys[i].name_hash == hash && keys[i].pid > 0 && strcmp(children[i].name, name) == 0) return true;
  return false;
}

/* Everything an init needs to know, as one file: the request's frame, which carries its length. */
static int plan_file(const struct frame *frame) {
  int fd = memfd_create("plan", MFD_CLOEXEC);
  if (fd < 0) return -1;
  if (write_all(fd, frame->fields, frame->length)) return fd;
  close(fd);
  return -1;
}

/* The child's side: nothing of the launcher but plan and report goes along, and of its maps there is nothing. */
static void become_init(int plan_fd, int report_fd, bool is_placed) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setsid();
  int plan = fcntl(plan_fd, F_DUPFD, 64), report = fcntl(report_fd, F_DUPFD, 64);
  int program = fcntl(program_fd, F_DUPFD, 64);
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

void children_launch(int index, const struct frame *frame) {
  char name[128];
  if (!field_text(frame->fields, frame->length, TAG_NAME, name, sizeof name)) {
    launcher_say_error(index, frame->id, -1, EINVAL, "a launch without a name");
    return;
  }
  if (is_alive(name)) {
    launcher_say_error(index, frame->id, -1, EEXIST, name);
    return;
  }
  struct child *child = free_child();
  int plan_fd = plan_file(frame), report[2] = {-1, -1};
  if (!child || plan_fd < 0 || pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0) {
    int error = errno;
    if (plan_fd >= 0) close(plan_fd);
    launcher_say_error(index, frame->id, -1, child ? error : EAGAIN, "no room for another vassal");
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
    launcher_say_error(index, frame->id, -1, error, "clone3");
    return;
  }
  *child = (struct child){.pid = pid, .report_fd = report[0], .client = index, .request = frame->id};
  child->start_time = start_time_of(pid);
  strcpy(child->name, name);
  keys[child - children] = (struct key){.pid = pid, .name_hash = hash_of(name)};
  launcher_watch(report[0], KIND_REPORT, (uint32_t)(child - children), EPOLLIN);
}

static void answer_launch(struct child *child, const struct report *report) {
  if (child->client < 0) return;
  if (report->error != 0) {
    launcher_say_error(child->client, child->request, report->step, report->error, report->detail);
  } else {
    struct out out;
    launcher_begin(&out, VERB_LAUNCHED, child->request);
    out_number(&out, TAG_PID, (uint64_t)child->pid);
    out_number(&out, TAG_START_TIME, child->start_time);
    launcher_say(child->client, &out, NULL, 0);
  }
  child->client = -1;
}

/* Reads what init has to say, which may be nothing yet; `has_ended` that it is its last word. */
static void report_arrived(struct child *child, bool has_ended) {
  struct report report = {.step = -1, .error = 0, .detail = ""};
  ssize_t length = read(child->report_fd, &report, sizeof report - 1);
  if (length < 0 && errno == EAGAIN && !has_ended) return;
  launcher_close(&child->report_fd);
  if (length < (ssize_t)(2 * sizeof(int))) report = (struct report){-1, ECHILD, "init ended unexpectedly"};
  answer_launch(child, &report);
}

void children_report_ready(uint32_t index) {
  if (children[index].report_fd >= 0) report_arrived(&children[index], false);
}

static struct child *child_of(pid_t pid) {
  for (uint32_t i = 0; i < used_children; i++)
    if (keys[i].pid == pid) return &children[i];
  return NULL;
}

static void tell_exit(const struct child *child) {
  struct out out;
  launcher_begin(&out, VERB_EXITED, 0);
  put_child(&out, child);
  launcher_tell(&out);
}

void children_reap(void) {
  int status;
  struct rusage usage;
  for (pid_t pid; (pid = wait4(-1, &status, WNOHANG, &usage)) > 0;) {
    struct child *child = child_of(pid);
    if (!child) continue;
    if (child->report_fd >= 0) report_arrived(child, true);
    child->ended = true;
    keys[child - children].pid = -pid;
    child->status = status;
    child->usage = usage;
    child->ended_ms = wall_ms();
    tell_exit(child);
  }
}

void children_client_gone(int client) {
  for (uint32_t i = 0; i < used_children; i++)
    if (children[i].client == client) children[i].client = -1;
}

/* ── requests ───────────────────────────────────────────────────────────────────────────────── */

/* As many children as one frame holds, from the NUMBERth record on; NUMBER in the answer: go on there. */
void children_list(int index, const struct frame *frame) {
  struct out out;
  launcher_begin(&out, VERB_LISTED, frame->id);
  for (uint64_t i = field_number(frame->fields, frame->length, TAG_NUMBER, 0); i < used_children; i++) {
    if (!children[i].pid) continue;
    if (out.size - out.length < ENTRY_BYTES) {
      out_number(&out, TAG_NUMBER, i);
      break;
    }
    size_t mark = out_open(&out, TAG_ENTRY);
    put_child(&out, &children[i]);
    out_close(&out, mark);
  }
  launcher_say(index, &out, NULL, 0);
}

void children_acknowledge(int index, const struct frame *frame) {
  pid_t pid = (pid_t)field_number(frame->fields, frame->length, TAG_PID, 0);
  for (uint32_t i = 0; i < used_children && pid > 0; i++) {
    if (keys[i].pid != -pid) continue;
    children[i] = (struct child){.report_fd = -1, .client = -1};
    keys[i] = (struct key){0};
  }
  launcher_say_ok(index, frame->id);
}

