/*
 * What init was asked to start, one slot each: start, signal, resize, list, exit.
 *
 * A START forks at once and is answered when the child's exec has succeeded (its error pipe closes) or
 * failed (the pipe says why), so init never waits for a child. A slot id that is known starts nothing again; if
 * it is asked for while exec is under way, the last who asked is answered.
 * An exit is told after STARTED, when the output that was there by then has been logged, and kept until it is
 * acknowledged; an exec's or session's is forgotten once told. When all slots are taken the oldest ended one
 * makes room.
 *
 * A slot's pid is never used once it has been reaped; until then nobody else can have that number.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slots.h"

/* What one slot takes in a list at most: each byte shown may be a word of its own. */
#define ENTRY_BYTES (10 * SHOWN_BYTES)

struct slot slots[MAX_SLOTS];
int used_slots;
static struct request request;

/* ── the table ──────────────────────────────────────────────────────────────────────────────── */

struct slot *slot_of(uint64_t id) {
  for (int i = 0; i < used_slots; i++)
    if (slots[i].used && slots[i].id == id) return &slots[i];
  return NULL;
}

struct slot *slot_free(void) {
  struct slot *oldest = NULL;
  for (int i = 0; i < used_slots; i++) {
    if (!slots[i].used) return &slots[i];
    if (slots[i].ended && (!oldest || slots[i].ended_ms < oldest->ended_ms)) oldest = &slots[i];
  }
  return used_slots < MAX_SLOTS ? &slots[used_slots++] : oldest;
}

struct slot *slot_of_pid(pid_t pid) {
  for (int i = 0; i < used_slots; i++)
    if (slots[i].used && !slots[i].ended && slots[i].pid == pid) return &slots[i];
  return NULL;
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void close_client_fds(struct slot *slot) {
  while (slot->count > 0) close_fd(&slot->client_fds[--slot->count]);
}

static void forget(struct slot *slot) {
  if (slot->used) {
    loop_close(&slot->exec_fd);
    close_fd(&slot->tty_fd);
    notify_close(slot);
    close_client_fds(slot);
  }
  *slot = (struct slot){.tty_fd = -1, .exec_fd = -1, .notify_fd = -1, .ready_fd = -1};
}

/* Its end hangs the process up, and nobody asks for its exit later. */
static bool is_attached(const struct slot *slot) {
  return strcmp(slot->kind, "exec") == 0 || strcmp(slot->kind, "session") == 0;
}

void slot_signal(const struct slot *slot, int signo) {
  if (!slot->used || slot->ended || slot->pid <= 1) return;
  /* Just forked, it may not lead a group yet. */
  if (kill(-slot->pid, signo) < 0 && errno == ESRCH) kill(slot->pid, signo);
}

/* ── list ───────────────────────────────────────────────────────────────────────────────────── */

static void put_slot(struct out *out, const struct slot *slot) {
  out_number(out, TAG_SLOT, slot->id);
  out_text(out, TAG_KIND, slot->kind);
  out_text(out, TAG_LABEL, slot->label);
  out_number(out, TAG_PID, (uint64_t)slot->pid);
  out_number(out, TAG_STATE, slot->ended ? STATE_ENDED : STATE_RUNNING);
  out_number(out, TAG_TIME_MS, (uint64_t)(slot->ended ? slot->ended_ms : slot->started_ms));
  const char *end = slot->shown + slot->shown_length;
  for (const char *word = slot->shown; word < end; word += strlen(word) + 1) out_text(out, TAG_ARG, word);
  if (slot->is_ready) out_number(out, TAG_READY, 1);
  if (slot->ended) out_exit(out, slot->status, &slot->usage);
}

/* As many slots as one frame holds, from the NUMBERth on; NUMBER in the answer: go on there. */
static void list(struct peer *peer, const struct frame *frame) {
  struct out out;
  out_begin(&out, loop_scratch, sizeof loop_scratch, VERB_LISTED, frame->id);
  for (uint64_t i = field_number(frame->fields, frame->length, TAG_NUMBER, 0); i < (uint64_t)used_slots; i++) {
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

/* ── starting ───────────────────────────────────────────────────────────────────────────────── */

static void note_command(struct slot *slot) {
  for (char **word = request.argv; *word; word++) {
    size_t length = strlen(*word) + 1;
    if (length > sizeof slot->shown - slot->shown_length) return;
    memcpy(slot->shown + slot->shown_length, *word, length);
    slot->shown_length += length;
  }
}

void slot_say_started(struct slot *slot) {
  struct out out;
  out_begin(&out, loop_scratch, sizeof loop_scratch, VERB_STARTED, slot->request);
  out_number(&out, TAG_SLOT, slot->id);
  out_number(&out, TAG_PID, (uint64_t)slot->pid);
  if (slot->client) loop_say(slot->client, &out, slot->client_fds, slot->count);
  close_client_fds(slot);
}

/* A repeated START. Its descriptors went to who asked first. */
void slot_start_again(struct slot *slot, struct peer *peer, uint32_t id) {
  struct peer *before = slot->client;
  uint32_t request_before = slot->request;
  bool is_pending = slot->exec_fd >= 0;
  slot->client = peer;
  slot->request = id;
  if (!is_pending) slot_say_started(slot);
  else if (before) loop_say_error(before, request_before, -1, ECANCELED, "asked for again meanwhile");
}

void slot_take(struct slot *slot, struct peer *peer, const struct frame *frame) {
  const uint8_t *fields = frame->fields;
  forget(slot);
  uint64_t id = field_number(fields, frame->length, TAG_SLOT, 0);
  *slot = (struct slot){.used = true, .id = id, .tty_fd = -1, .exec_fd = -1, .notify_fd = -1, .ready_fd = -1, .client = peer, .request = frame->id};
  slot->is_of_door = peer->is_door;
  slot->started_ms = wall_ms();
  if (!field_text(fields, frame->length, TAG_KIND, slot->kind, sizeof slot->kind)) strcpy(slot->kind, "exec");
  if (!field_text(fields, frame->length, TAG_LABEL, slot->label, sizeof slot->label)) strcpy(slot->label, slot->kind);
}

static const char *spawn_problem(int error) {
  /* So says a devpts that has as many as it may have. */
  bool is_pty = request.stdio == STDIO_TTY && error == ENOSPC;
  return is_pty ? "all terminals of this vassal are in use; close a session" : "no process can be made";
}

static void start(struct peer *peer, const struct frame *frame) {
  uint64_t id = field_number(frame->fields, frame->length, TAG_SLOT, 0);
  struct slot *known = slot_of(id), *slot;
  const char *problem;
  if (known) {
    slot_start_again(known, peer, frame->id);
  } else if (stop_is_under_way()) {
    loop_say_error(peer, frame->id, -1, ESHUTDOWN, "this vassal is stopping");
  } else if (!(slot = slot_free())) {
    loop_say_error(peer, frame->id, -1, EAGAIN, "too many processes");
  } else if ((problem = request_read(&request, frame, peer->is_door)) != NULL) {
    loop_say_error(peer, frame->id, -1, EINVAL, problem);
  } else {
    slot_take(slot, peer, frame);
    note_command(slot);
    if (spawn(slot, &request)) return;
    int error = errno;
    forget(slot);
    loop_say_error(peer, frame->id, -1, error, spawn_problem(error));
  }
}

static void start_failed(struct slot *slot, struct child_error *error) {
  struct peer *client = slot->client;
  uint32_t id = slot->request;
  error->what[sizeof error->what - 1] = 0;
  forget(slot);
  if (client) loop_say_error(client, id, -1, error->error, error->what);
}

void slots_exec_ready(uint32_t index) {
  struct slot *slot = &slots[index];
  if (!slot->used || slot->exec_fd < 0) return;
  struct child_error error;
  ssize_t got = read(slot->exec_fd, &error, sizeof error);
  if (got < 0 && errno == EAGAIN) return;
  loop_close(&slot->exec_fd);
  if (got == (ssize_t)sizeof error) start_failed(slot, &error);
  else slot_say_started(slot);
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
  out_exit(&out, slot->status, &slot->usage);
  out_number(&out, TAG_TIME_MS, (uint64_t)slot->ended_ms);
  if (out_end(&out)) loop_tell(event, out.length, slot->client);
  if (is_attached(slot)) forget(slot);
}

/* Notes an exit; its START is answered first. */
static bool note_exit(struct slot *slot, int status, const struct rusage *usage) {
  if (slot->exec_fd >= 0) slots_exec_ready((uint32_t)(slot - slots));
  if (!slot->used) return false; /* it never became what it should */
  slot->ended = slot->is_untold = true;
  notify_close(slot);
  slot->status = status;
  slot->usage = *usage;
  slot->ended_ms = wall_ms();
  return true;
}

void slots_reap(void) {
  int status;
  struct rusage usage;
  bool has_any = false;
  for (pid_t pid; (pid = wait4(-1, &status, WNOHANG, &usage)) > 0;) {
    struct slot *slot = slot_of_pid(pid);
    if (slot && note_exit(slot, status, &usage)) has_any = true;
  }
  /* Whatever they wrote is in their pipes now. */
  if (has_any) log_pipes_drain();
  for (int i = 0; has_any && i < used_slots; i++) {
    if (!slots[i].is_untold) continue;
    slots[i].is_untold = false;
    tell_exit(&slots[i]);
  }
  stop_check();
}

void slots_peer_gone(const struct peer *peer) {
  for (int i = 0; i < used_slots; i++) {
    if (!slots[i].used || slots[i].client != peer) continue;
    slots[i].client = NULL;
    if (!is_attached(&slots[i])) continue;
    close_fd(&slots[i].tty_fd);
    if (slots[i].ended) continue;
    slot_signal(&slots[i], SIGHUP);
    hangup_begin(slots[i].pid);
  }
}

/* ── verbs ──────────────────────────────────────────────────────────────────────────────────── */

static void serve_signal(struct peer *peer, const struct frame *frame, const struct slot *slot) {
  uint64_t signo = field_number(frame->fields, frame->length, TAG_SIGNAL, SIGTERM);
  if (slot->ended || signo == 0 || signo >= NSIG) {
    loop_say_error(peer, frame->id, -1, slot->ended ? ESRCH : EINVAL, slot->label);
    return;
  }
  slot_signal(slot, (int)signo);
  loop_say_ok(peer, frame->id);
}

static void serve_resize(struct peer *peer, const struct frame *frame, const struct slot *slot) {
  struct winsize size = {.ws_row = (unsigned short)field_number(frame->fields, frame->length, TAG_ROWS, 24),
                         .ws_col = (unsigned short)field_number(frame->fields, frame->length, TAG_COLUMNS, 80)};
  if (slot->tty_fd >= 0) ioctl(slot->tty_fd, TIOCSWINSZ, &size);
  loop_say_ok(peer, frame->id);
}

static void serve_slot(struct peer *peer, const struct frame *frame) {
  struct slot *slot = slot_of(field_number(frame->fields, frame->length, TAG_SLOT, 0));
  if (!slot) {
    loop_say_error(peer, frame->id, -1, ESRCH, "no such slot");
  } else if (frame->verb == VERB_SIGNAL) {
    serve_signal(peer, frame, slot);
  } else if (frame->verb == VERB_RESIZE) {
    serve_resize(peer, frame, slot);
  } else {
    if (slot->ended) forget(slot);
    loop_say_ok(peer, frame->id);
  }
}

/* Tells when a path was last modified, as the tenant sees it. */
static void look(struct peer *peer, const struct frame *frame) {
  char path[4096];
  struct stat stat_of;
  if (!field_text(frame->fields, frame->length, TAG_SOURCE, path, sizeof path)) {
    loop_say_error(peer, frame->id, -1, EINVAL, "no path");
  } else if (stat(path, &stat_of) < 0) {
    loop_say_error(peer, frame->id, -1, errno, path);
  } else {
    struct out out;
    out_begin(&out, loop_scratch, sizeof loop_scratch, VERB_OK, frame->id);
    out_number(&out, TAG_NUMBER, (uint64_t)stat_of.st_mtim.tv_sec * 1000000000 + (uint64_t)stat_of.st_mtim.tv_nsec);
    loop_say(peer, &out, NULL, 0);
  }
}

static struct slot *own_slot(const struct peer *peer) {
  for (int i = 0; i < used_slots; i++)
    if (slots[i].used && !slots[i].ended && slots[i].client == peer) return &slots[i];
  return NULL;
}

bool slots_has_own(const struct peer *peer) { return own_slot(peer) != NULL; }

int slots_of_doors(void) {
  int count = 0;
  for (int i = 0; i < used_slots; i++) count += slots[i].used && slots[i].is_of_door;
  return count;
}

void slots_serve_own(struct peer *peer, const struct frame *frame) {
  const struct slot *slot = own_slot(peer);
  if (!slot) loop_say_error(peer, frame->id, -1, ESRCH, "nothing runs");
  else if (frame->verb == VERB_SIGNAL) serve_signal(peer, frame, slot);
  else serve_resize(peer, frame, slot);
}

static void serve_stop(struct peer *peer, const struct frame *frame) {
  uint64_t grace_ms = field_number(frame->fields, frame->length, TAG_GRACE_MS, 10000);
  uint64_t signo = field_number(frame->fields, frame->length, TAG_SIGNAL, SIGTERM);
  loop_say_ok(peer, frame->id);
  stop_begin(grace_ms, signo < NSIG ? (int)signo : 0);
}

void slots_serve(struct peer *peer, const struct frame *frame) {
  switch (frame->verb) {
    case VERB_START: start(peer, frame); break;
    case VERB_LIST: list(peer, frame); break;
    case VERB_SIGNAL:
    case VERB_RESIZE:
    case VERB_ACK: serve_slot(peer, frame); break;
    case VERB_STOP: serve_stop(peer, frame); break;
    case VERB_ADOPT: adopt(peer, frame); break;
    case VERB_LOOK: look(peer, frame); break;
    case VERB_CRONTAB: crontab_read(peer, frame); break;
    case VERB_NOTE: log_note(peer, frame); break;
    default: loop_say_error(peer, frame->id, -1, ENOSYS, "unknown verb");
  }
}
