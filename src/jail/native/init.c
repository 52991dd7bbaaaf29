/*
 * init: PID 1 of a vassal.
 *
 * Theory of operation. The launcher leaves a plan (descriptor 3) and a report pipe (4). Steps are executed in
 * order; the first that fails is reported with its number, errno and the path or command concerned, and init
 * ends: the namespaces, and with them everything that was made, go when it goes. At the gate init tells the
 * launcher, serves init.sock and runs no tenant instruction before somebody has said GO; the end of that
 * connection or ten silent seconds end it. After the last step it is a loop (loop.c) that sleeps until
 * something happens: a request, an exit, output of a process.
 *
 * PID 1 has the tenant's uid, so it is guarded: not dumpable from the first instruction, all signals ignored
 * but SIGCHLD, and what it starts has a seccomp filter that refuses to touch pid 1. Nothing is allocated.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emperor-init.h"

struct init self = {
  .base_fd = -1, .root_fd = -1, .lock_fd = -1, .listen_fd = -1, .epoll_fd = -1, .signal_fd = -1, .door_fd = -1,
  .tun_fd = -1};
struct failure failure;

bool fail(int error, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(failure.detail, sizeof failure.detail, format, arguments);
  va_end(arguments);
  failure.error = error;
  return false;
}

static bool guard(void) {
  self.is_pid1 = getpid() == 1;
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_NAME, "init");
  for (int signo = 1; signo < NSIG; signo++)
    if (signo != SIGCHLD) signal(signo, SIG_IGN);
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  sigprocmask(SIG_BLOCK, &chld, NULL);
  fcntl(INIT_PLAN_FD, F_SETFD, FD_CLOEXEC);
  fcntl(INIT_REPORT_FD, F_SETFD, FD_CLOEXEC);
  umask(022);
  self.base_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (self.base_fd < 0 || chdir("/") < 0) return false;
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return false;
  /* All three stay taken for good, so that no other descriptor can be one of them. */
  for (int fd = 0; fd < 3; fd++)
    if (dup2(null, fd) < 0) return false;
  if (null > 2) close(null);
  return self.is_pid1 || prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

static bool read_identity(const uint8_t *fields, size_t length) {
  self.start_time = start_time_of(0);
  self.started_ms = wall_ms();
  boot_id(self.boot_id);
  self.generation = field_number(fields, length, TAG_GENERATION, 0);
  return field_text(fields, length, TAG_NAME, self.name, sizeof self.name) &&
         field_text(fields, length, TAG_HASH, self.hash, sizeof self.hash);
}

static bool run_steps(const uint8_t *plan, size_t length) {
  struct field entry;
  for (failure.step = 0; field_next(&plan, &length, &entry); failure.step++) {
    struct step step = {.fields = entry.bytes, .length = entry.length};
    step.op = field_number(entry.bytes, entry.length, TAG_OP, 0);
    if (!step_run(&step)) return false;
  }
  return true;
}

int init_main(bool is_placed) {
  self.is_placed = is_placed;
  failure.step = -1;
  bool is_guarded = guard();
  struct stat stat;
  size_t size = fstat(INIT_PLAN_FD, &stat) == 0 ? (size_t)stat.st_size : 0;
  void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, INIT_PLAN_FD, 0);
  struct field plan;
  bool is_done = is_guarded && bytes != MAP_FAILED && read_identity(bytes, size) &&
                 field_find(bytes, size, TAG_PLAN, &plan) && loop_open();
  if (!is_done) fail(EINVAL, "the plan cannot be read");
  if (!is_done || !run_steps(plan.bytes, plan.length)) {
    gate_failed();
    return 1;
  }
  munmap(bytes, size);
  close(INIT_PLAN_FD);
  if (self.base_fd >= 0) close(self.base_fd);
  gate_passed();
  return loop_run();
}
