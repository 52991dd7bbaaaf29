/*
 * From a START to a process: its words, its standard descriptors, and what the child does before exec.
 *
 * The child has the tenant's uid, so between fork and exec the tenant can stop it, as can a frozen cgroup. It
 * therefore lets go of everything of init's first, and init waits for nothing: an error pipe tells how exec
 * went. All signals are blocked meanwhile; one that comes then is pending and acts when exec is near.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "slots.h"

/* Where a process finds the pipe that it says by that it is ready. */
#define READY_FD 3

/* Each field has a head of 8 bytes, so the NULs fit for as many words as a frame can hold. */
static char words[MAX_FRAME];

const char *request_read(struct request *request, const struct frame *frame, bool is_of_door) {
  const uint8_t *at = frame->fields;
  size_t length = frame->length, used = 0, args = 0, vars = 0;
  struct field field;
  while (field_next(&at, &length, &field)) {
    if (field.tag != TAG_ARG && field.tag != TAG_ENV) continue;
    if (memchr(field.bytes, 0, field.length)) return "a word with a NUL byte";
    if (args == MAX_WORDS - 1 || vars == MAX_WORDS - 2) return "too many words";
    char *word = words + used;
    memcpy(word, field.bytes, field.length);
    word[field.length] = 0;
    used += field.length + 1;
    if (field.tag == TAG_ARG) request->argv[args++] = word;
    else request->env[vars++] = word;
  }
  request->argv[args] = request->env[vars] = NULL;
  request->vars = vars;
  request->notify = (int)field_number(frame->fields, frame->length, TAG_NOTIFY, NOTIFY_NONE);
  request->watchdog_ms = field_number(frame->fields, frame->length, TAG_WATCHDOG_MS, 0);
  request->stdio = (int)field_number(frame->fields, frame->length, TAG_STDIO, STDIO_LOG);
  request->may_start_elsewhere = is_of_door;
  if (!field_find(frame->fields, frame->length, TAG_INPUT, &request->input)) request->input.length = 0;
  if (request->input.length > MAX_INPUT) return "too much input";
  request->size.ws_row = (unsigned short)field_number(frame->fields, frame->length, TAG_ROWS, 24);
  request->size.ws_col = (unsigned short)field_number(frame->fields, frame->length, TAG_COLUMNS, 80);
  request->has_terminal = field_find(frame->fields, frame->length, TAG_TERMINAL, &field) &&
                          field.length == sizeof request->terminal;
  if (request->has_terminal) memcpy(&request->terminal, field.bytes, sizeof request->terminal);
  strcpy(request->cwd, "/");
  bool has_cwd = field_find(frame->fields, frame->length, TAG_CWD, &field);
  if (has_cwd && !field_text(frame->fields, frame->length, TAG_CWD, request->cwd, sizeof request->cwd))
    return "no such working directory can be";
  return args > 0 ? NULL : "no command";
}

/* ── the child ──────────────────────────────────────────────────────────────────────────────── */

__attribute__((noreturn)) static void child_fail(int report, const char *what) {
  struct child_error error = {.error = errno};
  snprintf(error.what, sizeof error.what, "%s", what);
  if (write(report, &error, sizeof error) < 0) _exit(126);
  _exit(127);
}

static const char *path_of(char *const *env) {
  for (; *env; env++)
    if (strncmp(*env, "PATH=", 5) == 0) return *env + 5;
  return "/usr/local/bin:/usr/bin:/bin";
}

/* execvpe(3) with the PATH of the new environment; a script without #! is not guessed at. */
static void exec_by_path(const struct request *request) {
  const char *name = request->argv[0];
  static char file[8192];
  errno = ENOENT;
  if (strchr(name, '/')) execve(name, request->argv, request->env);
  if (strchr(name, '/') || !*name) return;
  int kept = ENOENT;
  for (const char *at = path_of(request->env); *at;) {
    size_t length = strcspn(at, ":");
    const char *directory = length > 0 ? at : ".";
    int size = snprintf(file, sizeof file, "%.*s/%s", length > 0 ? (int)length : 1, directory, name);
    if (size < (int)sizeof file) {
      execve(file, request->argv, request->env);
      if (errno != ENOENT && errno != ENOTDIR) kept = errno;
    }
    at += length + (at[length] == ':');
  }
  errno = kept;
}

/* The last thing before exec: nothing else that is open then is needed by it. */
static bool place_ready(int ready) {
  return ready < 0 || (dup2(ready, READY_FD) == READY_FD && fcntl(READY_FD, F_SETFD, 0) == 0);
}

__attribute__((noreturn)) static void run_child(const int stdio[3], int report, int ready,
                                                const struct request *request) {
  static const char unprepared[] = "the process cannot be prepared";
  setsid();
  /* Out of the way of READY_FD. */
  if (ready >= 0) report = fcntl(report, F_DUPFD_CLOEXEC, READY_FD + 1);
  for (int fd = 0; fd < 3; fd++)
    if (dup2(stdio[fd], fd) < 0) child_fail(report, unprepared);
  payload_keep_only(report, ready);
  if (request->stdio == STDIO_TTY && ioctl(0, TIOCSCTTY, 0) < 0) child_fail(report, unprepared);
  if (!payload_join()) child_fail(report, unprepared);
  bool is_there = chdir(request->cwd) == 0 || (request->may_start_elsewhere && chdir("/") == 0);
  if (!is_there) child_fail(report, request->cwd);
  if (!child_limit() || !place_ready(ready)) child_fail(report, unprepared);
  child_reset_signals();
  if (!child_filter()) child_fail(report, unprepared);
  exec_by_path(request);
  child_fail(report, request->argv[0]);
}

/* ── standard descriptors ───────────────────────────────────────────────────────────────────── */

static void close_all(int *fds, int count) {
  for (int i = 0; i < count; i++)
    if (fds[i] >= 0) close(fds[i]);
}

/* A pipe from the child's descriptor `fd` to us, or to it for 0. */
static bool open_pipe(int fd, int *theirs, int *ours) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return false;
  *theirs = ends[fd == 0 ? 0 : 1];
  *ours = ends[fd == 0 ? 1 : 0];
  return true;
}

static bool open_tty(int stdio[3], int ours[3], const struct request *request) {
  int unlock = 0;
  ours[0] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (ours[0] < 0 || ioctl(ours[0], TIOCSPTLCK, &unlock) < 0) return false;
  ioctl(ours[0], TIOCSWINSZ, &request->size);
  if (request->has_terminal) tcsetattr(ours[0], TCSANOW, &request->terminal);
  stdio[0] = ioctl(ours[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  for (int i = 1; i < 3; i++) stdio[i] = stdio[0] < 0 ? -1 : fcntl(stdio[0], F_DUPFD_CLOEXEC, 3);
  return stdio[0] >= 0 && stdio[1] >= 0 && stdio[2] >= 0;
}

/* A pipe that holds all that is to be read from it; it fits, so nobody has to write later. */
static int open_input(const struct field *input) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  ssize_t written = write(ends[1], input->bytes, input->length);
  close(ends[1]);
  if (written == (ssize_t)input->length) return ends[0];
  close(ends[0]);
  return -1;
}

/* The child's descriptors to `stdio`, the other ends to `ours`. */
static bool open_stdio(const struct request *request, int stdio[3], int ours[3]) {
  if (request->stdio == STDIO_TTY) return open_tty(stdio, ours, request);
  bool has_input = request->stdio == STDIO_PIPES;
  if (!has_input) {
    if (!log_has_room(2)) return errno = EAGAIN, false;
    stdio[0] = request->input.length > 0 ? open_input(&request->input) : open("/dev/null", O_RDWR | O_CLOEXEC);
    if (stdio[0] < 0) return false;
  }
  for (int fd = has_input ? 0 : 1; fd < 3; fd++)
    if (!open_pipe(fd, &stdio[fd], &ours[fd])) return false;
  return true;
}

static void hand_over(struct slot *slot, const struct request *request, const int ours[3]) {
  if (request->stdio != STDIO_TTY && request->stdio != STDIO_PIPES) {
    log_pipe_open(ours[1], slot->label, false);
    log_pipe_open(ours[2], slot->label, true);
    return;
  }
  bool has_tty = request->stdio == STDIO_TTY;
  slot->tty_fd = has_tty ? fcntl(ours[0], F_DUPFD_CLOEXEC, 3) : -1;
  slot->count = has_tty ? 1 : 3;
  memcpy(slot->client_fds, ours, sizeof slot->client_fds);
}

bool spawn(struct slot *slot, struct request *request) {
  int stdio[3] = {-1, -1, -1}, ours[3] = {-1, -1, -1}, report[2] = {-1, -1}, ready = -1;
  sigset_t all, before;
  sigfillset(&all);
  bool is_open = open_stdio(request, stdio, ours) && pipe2(report, O_CLOEXEC) == 0 && notify_open(slot, request, &ready);
  sigprocmask(SIG_SETMASK, &all, &before);
  pid_t pid = is_open ? payload_fork() : -1;
  if (pid == 0) run_child(stdio, report[1], ready, request);
  int error = errno;
  sigprocmask(SIG_SETMASK, &before, NULL);
  close_all(stdio, 3);
  close_all(report + 1, 1);
  close_all(&ready, 1);
  if (pid < 0) {
    close_all(ours, 3);
    close_all(report, 1);
    errno = error;
    return false;
  }
  slot->pid = pid;
  slot->exec_fd = report[0];
  fcntl(report[0], F_SETFL, O_NONBLOCK);
  hand_over(slot, request, ours);
  notify_begin(slot, request);
  loop_watch(slot->exec_fd, WATCH_EXEC, (uint32_t)(slot - slots), EPOLLIN);
  return true;
}
