/*
 * What init was asked to start, one slot each: start, signal, resize, list, exit, stop.
 *
 * A START forks at once and is answered when the child's exec has succeeded (its error pipe closes) or
 * failed (the pipe says why), so init never waits for a child. A slot id that is known starts nothing again.
 * An exit is told when the process's output that was there has been logged, and kept until it is acknowledged;
 * an exec's is forgotten once its client has it. When all slots are taken the oldest ended one makes room.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "emperor-init.h"

#define MAX_SLOTS 256
#define MAX_WORDS 4096
#define SHOWN_BYTES 1024
/* What one slot takes in a list at most: each byte shown may be a word of its own. */
#define ENTRY_BYTES (10 * SHOWN_BYTES)

struct slot {
  bool used, ended;
  uint64_t id;
  char kind[16], label[64];
  pid_t pid;
  int64_t started_ms, ended_ms;
  int status;
  struct rusage usage;
  int exec_fd;              /* until exec has succeeded or failed */
  int client_fds[3], count; /* what goes with STARTED */
  struct peer *client;
  uint32_t request;
  int tty_fd;               /* the pty's master, for RESIZE */
  char shown[SHOWN_BYTES];  /* the words of the command, each with its NUL */
  size_t shown_length;
};

static struct slot slots[MAX_SLOTS];
static char words[MAX_FRAME + MAX_WORDS];
static int64_t stop_until = -1;
static bool is_stopping;

struct request {
  char *argv[MAX_WORDS], *env[MAX_WORDS], cwd[4096];
  int stdio;
  struct winsize size;
};
static struct request request;

/* ── asking ─────────────────────────────────────────────────────────────────────────────────── */

static struct slot *slot_of(uint64_t id) {
  for (int i = 0; i < MAX_SLOTS; i++)
    if (slots[i].used && slots[i].id == id) return &slots[i];
  return NULL;
}

static struct slot *free_slot(void) {
  struct slot *oldest = NULL;
  for (int i = 0; i < MAX_SLOTS; i++) {
    if (!slots[i].used) return &slots[i];
    if (slots[i].ended && (!oldest || slots[i].ended_ms < oldest->ended_ms)) oldest = &slots[i];
  }
  return oldest;
}

static void forget(struct slot *slot) {
  if (slot->tty_fd >= 0) close(slot->tty_fd);
  *slot = (struct slot){.tty_fd = -1, .exec_fd = -1};
}

/* Copies the words of a request to where they can end with NUL. */
static bool read_request(const struct frame *frame) {
  const uint8_t *at = frame->fields;
  size_t length = frame->length, used = 0, args = 0, vars = 0;
  struct field field;
  while (field_next(&at, &length, &field)) {
    if (field.tag != TAG_ARG && field.tag != TAG_ENV) continue;
    if (memchr(field.bytes, 0, field.length) || args == MAX_WORDS - 1 || vars == MAX_WORDS - 1) return false;
    char *word = words + used;
    memcpy(word, field.bytes, field.length);
    word[field.length] = 0;
    used += field.length + 1;
    if (field.tag == TAG_ARG) request.argv[args++] = word;
    else request.env[vars++] = word;
  }
  request.argv[args] = NULL;
  request.env[vars] = NULL;
  request.stdio = (int)field_number(frame->fields, frame->length, TAG_STDIO, STDIO_LOG);
  request.size.ws_row = (unsigned short)field_number(frame->fields, frame->length, TAG_ROWS, 24);
  request.size.ws_col = (unsigned short)field_number(frame->fields, frame->length, TAG_COLUMNS, 80);
  if (!field_text(frame->fields, frame->length, TAG_CWD, request.cwd, sizeof request.cwd)) strcpy(request.cwd, "/");
  return args > 0;
}

static void put_exit(struct out *out, const struct slot *slot) {
  out_number(out, TAG_STATUS, (uint64_t)(uint32_t)slot->status);
  out_number(out, TAG_UTIME_US, (uint64_t)slot->usage.ru_utime.tv_sec * 1000000 + (uint64_t)slot->usage.ru_utime.tv_usec);
  out_number(out, TAG_STIME_US, (uint64_t)slot->usage.ru_stime.tv_sec * 1000000 + (uint64_t)slot->usage.ru_stime.tv_usec);
  out_number(out, TAG_MAXRSS_KB, (uint64_t)slot->usage.ru_maxrss);
}

static void put_slot(struct out *out, const struct slot *slot) {
  out_number(out, TAG_SLOT, slot->id);
  out_text(out, TAG_KIND, slot->kind);
  out_text(out, TAG_LABEL, slot->label);
  out_number(out, TAG_PID, (uint64_t)slot->pid);
  out_number(out, TAG_STATE, slot->ended ? STATE_ENDED : STATE_RUNNING);
  out_number(out, TAG_TIME_MS, (uint64_t)(slot->ended ? slot->ended_ms : slot->started_ms));
  for (size_t at = 0; at < slot->shown_length; at += strlen(slot->shown + at) + 1) out_text(out, TAG_ARG, slot->shown + at);
  if (slot->ended) put_exit(out, slot);
}

/* As many slots as one frame holds, from the NUMBERth on; NUMBER in the answer: go on there. */
static void list(struct peer *peer, const struct frame *frame) {
  struct out out;
  out_begin(&out, loop_scratch, sizeof loop_scratch, VERB_LISTED, frame->id);
  for (uint64_t i = field_number(frame->fields, frame->length, TAG_NUMBER, 0); i < MAX_SLOTS; i++) {
    if (!slots[i].used || slots[i].exec_fd >= 0) continue;
    if (out.size - out.length < ENTRY_BYTES) {
      out_number(&out, TAG_NUMBER, i);
      break;
    }
    size_t mark = out_open(&out, TAG_ENTRY);
    put_slot(&out, &slots[i]);
    out_close(&out, mark);
  }
  loop_say(peer, &out, NULL, 0);
}

/* ── the child ──────────────────────────────────────────────────────────────────────────────── */

struct child_error {
  int error;
  char what; /* c: cwd, x: exec, j: preparation */
};

static void child_fail(int report, char what) {
  struct child_error error = {errno, what};
  if (write(report, &error, sizeof error) < 0) _exit(126);
  _exit(127);
}

static const char *path_of_environment(void) {
  for (char **at = request.env; *at; at++)
    if (strncmp(*at, "PATH=", 5) == 0) return *at + 5;
  return "/usr/local/bin:/usr/bin:/bin";
}

/* execvpe(3) with the PATH of the new environment; a script without #! is not guessed at. */
static void exec_by_path(void) {
  const char *name = request.argv[0];
  char file[8192];
  if (strchr(name, '/')) {
    execve(name, request.argv, request.env);
    return;
  }
  int kept = ENOENT;
  for (const char *at = path_of_environment(); *at;) {
    size_t length = strcspn(at, ":");
    if (snprintf(file, sizeof file, "%.*s/%s", (int)length, at, name) < (int)sizeof file) {
      execve(file, request.argv, request.env);
      if (errno != ENOENT && errno != ENOTDIR) kept = errno;
    }
    at += length + (at[length] == ':');
  }
  errno = kept;
}

static void run_child(const int stdio[3], int report, bool has_tty) {
  setsid();
  if (!child_join_payload()) child_fail(report, 'j');
  if (has_tty && ioctl(stdio[0], TIOCSCTTY, 0) < 0) child_fail(report, 'j');
  for (int fd = 0; fd < 3; fd++)
    if (dup2(stdio[fd], fd) < 0) child_fail(report, 'j');
  if (chdir(request.cwd) < 0) child_fail(report, 'c');
  child_reset_signals();
  if (!child_confine()) child_fail(report, 'j');
  exec_by_path();
  child_fail(report, 'x');
}

/* ── starting ───────────────────────────────────────────────────────────────────────────────── */

static void close_all(int *fds, int count) {
  for (int i = 0; i < count; i++)
    if (fds[i] >= 0) close(fds[i]);
}

/* Three pipes: the child's ends to `stdio`, ours to `ours`. */
static bool open_pipes(int stdio[3], int ours[3]) {
  for (int i = 0; i < 3; i++) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return false;
    stdio[i] = ends[i == 0 ? 0 : 1];
    ours[i] = ends[i == 0 ? 1 : 0];
  }
  return true;
}

static bool open_log(int stdio[3], int ours[3]) {
  if (!open_pipes(stdio, ours)) return false;
  close(stdio[0]);
  close(ours[0]);
  ours[0] = -1;
  stdio[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
  return stdio[0] >= 0;
}

static bool open_tty(int stdio[3], int ours[3]) {
  int unlock = 0, number;
  ours[0] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (ours[0] < 0 || ioctl(ours[0], TIOCSPTLCK, &unlock) < 0) return false;
  ioctl(ours[0], TIOCSWINSZ, &request.size);
  number = ioctl(ours[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (number < 0) return false;
  for (int i = 0; i < 3; i++) stdio[i] = i == 0 ? number : fcntl(number, F_DUPFD_CLOEXEC, 3);
  return stdio[1] >= 0 && stdio[2] >= 0;
}

static void note_command(struct slot *slot) {
  for (char **word = request.argv; *word; word++) {
    size_t length = strlen(*word) + 1;
    if (length > sizeof slot->shown - slot->shown_length) return;
    memcpy(slot->shown + slot->shown_length, *word, length);
    slot->shown_length += length;
  }
}

static bool spawn(struct slot *slot) {
  int stdio[3] = {-1, -1, -1}, ours[3] = {-1, -1, -1}, report[2] = {-1, -1};
  bool has_tty = request.stdio == STDIO_TTY;
  bool is_open = has_tty ? open_tty(stdio, ours) : request.stdio == STDIO_PIPES ? open_pipes(stdio, ours) : open_log(stdio, ours);
  if (is_open && pipe2(report, O_CLOEXEC) < 0) is_open = false;
  pid_t pid = is_open ? fork() : -1;
  if (pid == 0) run_child(stdio, report[1], has_tty);
  int error = errno;
  close_all(stdio, 3);
  if (report[1] >= 0) close(report[1]);
  errno = error;
  if (pid < 0) {
    close_all(ours, 3);
    if (report[0] >= 0) close(report[0]);
    errno = error;
    return false;
  }
  slot->pid = pid;
  slot->exec_fd = report[0];
  slot->tty_fd = has_tty ? fcntl(ours[0], F_DUPFD_CLOEXEC, 3) : -1;
  if (request.stdio == STDIO_LOG) {
    if (!log_pipe_open(ours[1], slot->label, false)) close(ours[1]);
    if (!log_pipe_open(ours[2], slot->label, true)) close(ours[2]);
  } else {
    slot->count = has_tty ? 1 : 3;
    memcpy(slot->client_fds, ours, sizeof ours);
  }
  loop_watch(slot->exec_fd, WATCH_EXEC, (uint32_t)(slot - slots), EPOLLIN);
  return true;
}

static void say_started(struct slot *slot, struct peer *peer, uint32_t id) {
  struct out out;
  out_begin(&out, loop_scratch, sizeof loop_scratch, VERB_STARTED, id);
  out_number(&out, TAG_SLOT, slot->id);
  out_number(&out, TAG_PID, (uint64_t)slot->pid);
  loop_say(peer, &out, slot->client_fds, slot->count);
}

static void start(struct peer *peer, const struct frame *frame) {
  uint64_t id = field_number(frame->fields, frame->length, TAG_SLOT, 0);
  struct slot *known = slot_of(id);
  if (known) {
    say_started(known, peer, frame->id);
    return;
  }
  if (is_stopping) {
    loop_say_error(peer, frame->id, -1, ESHUTDOWN, "this vassal is stopping");
    return;
  }
  struct slot *slot = free_slot();
  if (!slot || !read_request(frame)) {
    loop_say_error(peer, frame->id, -1, slot ? EINVAL : EAGAIN, slot ? "no command" : "too many processes");
    return;
  }
  forget(slot);
  *slot = (struct slot){.used = true, .id = id, .tty_fd = -1, .exec_fd = -1, .client = peer, .request = frame->id, .started_ms = wall_ms()};
  if (!field_text(frame->fields, frame->length, TAG_KIND, slot->kind, sizeof slot->kind)) strcpy(slot->kind, "exec");
  if (!field_text(frame->fields, frame->length, TAG_LABEL, slot->label, sizeof slot->label)) strcpy(slot->label, slot->kind);
  note_command(slot);
  if (spawn(slot)) return;
  int error = errno;
  forget(slot);
  loop_say_error(peer, frame->id, -1, error, request.argv[0]);
}

/* The error pipe of a start: closed by a successful exec, or it says what failed. */
void slots_exec_ready(uint32_t index) {
  struct slot *slot = &slots[index];
  if (!slot->used || slot->exec_fd < 0) return;
  struct child_error error;
  bool has_failed = read(slot->exec_fd, &error, sizeof error) == (ssize_t)sizeof error;
  close(slot->exec_fd);
  slot->exec_fd = -1;
  struct peer *client = slot->client;
  if (!has_failed) {
    if (client) say_started(slot, client, slot->request);
    close_all(slot->client_fds, slot->count);
    slot->count = 0;
    return;
  }
  char detail[256];
  snprintf(detail, sizeof detail, "%s%.200s", error.what == 'c' ? "working directory " : "", error.what == 'c' ? request.cwd : slot->shown);
  uint32_t id = slot->request;
  close_all(slot->client_fds, slot->count);
  forget(slot);
  if (client) loop_say_error(client, id, -1, error.error, detail);
}

/* ── ending ─────────────────────────────────────────────────────────────────────────────────── */

static void tell_exit(struct slot *slot) {
  static uint8_t event[4096];
  struct out out;
  out_begin(&out, event, sizeof event, VERB_EXITED, 0);
  out_number(&out, TAG_SLOT, slot->id);
  out_text(&out, TAG_KIND, slot->kind);
  out_text(&out, TAG_LABEL, slot->label);
  out_number(&out, TAG_PID, (uint64_t)slot->pid);
  put_exit(&out, slot);
  out_number(&out, TAG_TIME_MS, (uint64_t)slot->ended_ms);
  if (out_end(&out)) loop_tell(event, out.length, slot->client);
  if (strcmp(slot->kind, "exec") == 0 || strcmp(slot->kind, "session") == 0) forget(slot);
}

static bool is_anyone_alive(void) {
  for (int i = 0; i < MAX_SLOTS; i++)
    if (slots[i].used && !slots[i].ended) return true;
  return false;
}

/* The end of everything: with PID 1 goes the namespace. */
static void leave(void) {
  log_pipes_drain();
  if (self.is_pid1) kill(-1, SIGKILL);
  else if (self.payload_kill[0]) write_file(self.payload_kill, "1");
  log_pipes_drain();
  _exit(0);
}

void slots_reap(void) {
  int status;
  struct rusage usage;
  bool has_drained = false;
  for (pid_t pid; (pid = wait4(-1, &status, WNOHANG, &usage)) > 0;) {
    for (int i = 0; i < MAX_SLOTS; i++) {
      struct slot *slot = &slots[i];
      if (!slot->used || slot->ended || slot->pid != pid) continue;
      if (slot->exec_fd >= 0) slots_exec_ready((uint32_t)i);
      if (!slot->used) break; /* it never became what it should */
      if (!has_drained) log_pipes_drain();
      has_drained = true;
      slot->ended = true;
      slot->status = status;
      slot->usage = usage;
      slot->ended_ms = wall_ms();
      tell_exit(slot);
      break;
    }
  }
  if (is_stopping && !is_anyone_alive()) leave();
}

int slots_patience(void) {
  if (!is_stopping) return -1;
  int64_t left = stop_until - monotonic_ms();
  if (left <= 0) leave();
  return (int)left;
}

void slots_stop(int64_t grace_ms, int signo) {
  int64_t until = monotonic_ms() + grace_ms;
  if (!is_stopping || until < stop_until) stop_until = until;
  is_stopping = true;
  self.state = STATE_STOPPING;
  for (int i = 0; i < MAX_SLOTS; i++) {
    if (!slots[i].used || slots[i].ended) continue;
    kill(-slots[i].pid, signo);
    kill(-slots[i].pid, SIGCONT);
  }
  if (!is_anyone_alive()) stop_until = monotonic_ms();
}

void slots_peer_gone(const struct peer *peer) {
  for (int i = 0; i < MAX_SLOTS; i++) {
    if (!slots[i].used || slots[i].client != peer) continue;
    slots[i].client = NULL;
    bool is_attached = strcmp(slots[i].kind, "exec") == 0 || strcmp(slots[i].kind, "session") == 0;
    if (is_attached && !slots[i].ended) kill(-slots[i].pid, SIGHUP);
  }
}

/* ── verbs ──────────────────────────────────────────────────────────────────────────────────── */

static void signal_slot(struct peer *peer, const struct frame *frame, const struct slot *slot) {
  int signo = (int)field_number(frame->fields, frame->length, TAG_SIGNAL, SIGTERM);
  if (signo <= 0 || signo >= NSIG || slot->ended || slot->pid <= 1) {
    loop_say_error(peer, frame->id, -1, slot->ended ? ESRCH : EINVAL, slot->label);
    return;
  }
  kill(-slot->pid, signo);
  loop_say_ok(peer, frame->id);
}

void slots_serve(struct peer *peer, const struct frame *frame) {
  if (frame->verb == VERB_START) {
    start(peer, frame);
    return;
  }
  if (frame->verb == VERB_LIST) {
    list(peer, frame);
    return;
  }
  if (frame->verb == VERB_STOP) {
    loop_say_ok(peer, frame->id);
    slots_stop((int64_t)field_number(frame->fields, frame->length, TAG_GRACE_MS, 10000),
               (int)field_number(frame->fields, frame->length, TAG_SIGNAL, SIGTERM));
    return;
  }
  struct slot *slot = slot_of(field_number(frame->fields, frame->length, TAG_SLOT, 0));
  if (frame->verb != VERB_SIGNAL && frame->verb != VERB_ACK && frame->verb != VERB_RESIZE) {
    loop_say_error(peer, frame->id, -1, ENOSYS, "unknown verb");
  } else if (!slot) {
    loop_say_error(peer, frame->id, -1, ESRCH, "no such slot");
  } else if (frame->verb == VERB_SIGNAL) {
    signal_slot(peer, frame, slot);
  } else if (frame->verb == VERB_ACK) {
    if (slot->ended) forget(slot);
    loop_say_ok(peer, frame->id);
  } else {
    struct winsize size = {.ws_row = (unsigned short)field_number(frame->fields, frame->length, TAG_ROWS, 24),
                           .ws_col = (unsigned short)field_number(frame->fields, frame->length, TAG_COLUMNS, 80)};
    if (slot->tty_fd >= 0) ioctl(slot->tty_fd, TIOCSWINSZ, &size);
    loop_say_ok(peer, frame->id);
  }
}
