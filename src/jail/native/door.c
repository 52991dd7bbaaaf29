/*
 * The door: where a customer comes in by ssh. The emperor hands us a listening socket, the one uid of the host that
 * may come in there, and how a session begins. Who connects is known from the kernel (SO_PEERCRED) and can have a
 * session of the tenant's shell, resize and signal it; nothing else, and nothing of anybody else's.
 *
 * Sessions of doors take at most half of the slots, so that the emperor can always start something.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "slots.h"

#define MAX_SESSIONS (MAX_SLOTS / 2)

static uid_t admitted;
/* The fields of the DOOR that is in force: CWD, ARG and ENV. */
static uint8_t *defaults;
static size_t defaults_length;

static void close_door(void) {
  loop_close(&self.door_fd);
  if (defaults) munmap(defaults, defaults_length);
  defaults = NULL;
  defaults_length = 0;
}

static bool keep_defaults(const struct frame *frame) {
  void *kept = mmap(NULL, frame->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (kept == MAP_FAILED) return false;
  memcpy(kept, frame->fields, frame->length);
  defaults = kept;
  defaults_length = frame->length;
  return true;
}

void door_set(struct peer *peer, const struct frame *frame) {
  uint64_t uid = field_number(frame->fields, frame->length, TAG_UID, 0);
  int fd = peer_take_fd(peer);
  if ((uid == 0) != (fd < 0)) {
    if (fd >= 0) close(fd);
    loop_say_error(peer, frame->id, -1, EINVAL, "a door has a socket and a uid that is not root's");
    return;
  }
  close_door();
  if (uid != admitted) loop_drop_doors();
  admitted = (uid_t)uid;
  if (uid != 0) {
    if (!keep_defaults(frame)) {
      close(fd);
      loop_say_error(peer, frame->id, -1, ENOMEM, "the door");
      return;
    }
    self.door_fd = fd;
    loop_watch(fd, WATCH_DOOR, 0, EPOLLIN);
  }
  loop_say_ok(peer, frame->id);
}

bool door_admits(int fd) {
  struct ucred who;
  socklen_t length = sizeof who;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0 && who.uid != 0 && who.uid == admitted;
}

/* Copies all fields of that tag. */
static void copy_fields(struct out *out, const uint8_t *bytes, size_t length, uint16_t tag) {
  struct field field;
  while (field_next(&bytes, &length, &field))
    if (field.tag == tag) out_bytes(out, tag, field.bytes, field.length);
}

/* The shell of a login, or of one command. */
static void put_words(struct out *out, const struct frame *frame) {
  struct field command;
  bool has_command = field_find(frame->fields, frame->length, TAG_ARG, &command);
  copy_fields(out, defaults, defaults_length, TAG_ARG);
  out_text(out, TAG_ARG, has_command ? "-c" : "-l");
  if (has_command) out_bytes(out, TAG_ARG, command.bytes, command.length);
}

/* What the emperor would ask for, but for what is the caller's to say. */
static bool compose(struct out *out, const struct frame *frame) {
  static uint8_t composed[MAX_FRAME];
  uint64_t slot;
  if (getrandom(&slot, sizeof slot, 0) != sizeof slot) return false;
  bool has_tty = field_number(frame->fields, frame->length, TAG_STDIO, STDIO_PIPES) == STDIO_TTY;
  out_begin(out, composed, sizeof composed, VERB_START, frame->id);
  out_number(out, TAG_SLOT, slot);
  out_text(out, TAG_KIND, "session");
  out_text(out, TAG_LABEL, "ssh");
  out_number(out, TAG_STDIO, has_tty ? STDIO_TTY : STDIO_PIPES);
  copy_fields(out, defaults, defaults_length, TAG_CWD);
  copy_fields(out, defaults, defaults_length, TAG_ENV);
  copy_fields(out, frame->fields, frame->length, TAG_ENV);
  copy_fields(out, frame->fields, frame->length, TAG_ROWS);
  copy_fields(out, frame->fields, frame->length, TAG_COLUMNS);
  copy_fields(out, frame->fields, frame->length, TAG_TERMINAL);
  put_words(out, frame);
  return out_end(out);
}

static void start(struct peer *peer, const struct frame *frame) {
  struct out out;
  struct frame composed;
  if (!defaults) {
    loop_say_error(peer, frame->id, -1, ESHUTDOWN, "the door is closed");
  } else if (slots_has_own(peer)) {
    loop_say_error(peer, frame->id, -1, EALREADY, "one session a connection");
  } else if (slots_of_doors() >= MAX_SESSIONS) {
    loop_say_error(peer, frame->id, -1, EAGAIN, "too many sessions; close one");
  } else if (!compose(&out, frame) || frame_parse(out.data, out.length, &composed) <= 0) {
    loop_say_error(peer, frame->id, -1, E2BIG, "the command is too long");
  } else {
    slots_serve(peer, &composed);
  }
}

void door_serve(struct peer *peer, const struct frame *frame) {
  switch (frame->verb) {
    case VERB_START: start(peer, frame); break;
    case VERB_RESIZE:
    case VERB_SIGNAL: slots_serve_own(peer, frame); break;
    default: loop_say_error(peer, frame->id, -1, EPERM, "not at this door");
  }
}
