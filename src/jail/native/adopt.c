/*
 * Daemons that put themselves into the background: their parent has ended, so they are init's children, and a pid
 * file of theirs says which. ADOPT gives such a process a slot; from then on it is signalled, listed and told of
 * like any other. The file is the tenant's: it is read as the tenant, never waited for, and believed only if it
 * names a living child that no slot has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slots.h"

#define PID_TEXT 32

/* The first bytes of a regular file, ended by NUL; -1 and errno where there is none. */
static ssize_t read_start(const char *path, char *text, size_t size) {
  struct stat stat;
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t got = -1;
  if (fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode)) got = read(fd, text, size - 1);
  else errno = EINVAL;
  close(fd);
  if (got >= 0) text[got] = 0;
  return got;
}

/* 0 where the file holds no number. */
static pid_t pid_in(const char *path) {
  char text[PID_TEXT];
  if (read_start(path, text, sizeof text) < 0) return 0;
  long pid = strtol(text, NULL, 10);
  errno = EINVAL;
  return pid > 1 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static bool is_living_child(pid_t pid) {
  siginfo_t info = {.si_pid = 0};
  if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0) return false;
  return info.si_pid == 0;
}

/* What the process shows as its command line; cut where it is too long. */
static void note_cmdline(struct slot *slot) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/cmdline", (int)slot->pid);
  ssize_t got = read_start(path, slot->shown, sizeof slot->shown);
  /* Each word, the last one too, ends with NUL. */
  slot->shown_length = got <= 0 ? 0 : strnlen(slot->shown + got - 1, 1) == 0 ? (size_t)got : (size_t)got + 1;
}

void adopt(struct peer *peer, const struct frame *frame) {
  char path[PATH_BYTES];
  struct slot *known = slot_of(field_number(frame->fields, frame->length, TAG_SLOT, 0)), *slot;
  pid_t pid;
  if (known) {
    slot_start_again(known, peer, frame->id);
  } else if (stop_is_under_way()) {
    loop_say_error(peer, frame->id, -1, ESHUTDOWN, "this vassal is stopping");
  } else if (!field_text(frame->fields, frame->length, TAG_SOURCE, path, sizeof path)) {
    loop_say_error(peer, frame->id, -1, EINVAL, "no path");
  } else if ((pid = pid_in(path)) == 0) {
    loop_say_error(peer, frame->id, -1, errno, path);
  } else if (slot_of_pid(pid) || !is_living_child(pid)) {
    loop_say_error(peer, frame->id, -1, ESRCH, path);
  } else if (!(slot = slot_free())) {
    loop_say_error(peer, frame->id, -1, EAGAIN, "too many processes");
  } else {
    slot_take(slot, peer, frame);
    slot->pid = pid;
    note_cmdline(slot);
    slot_say_started(slot);
  }
}
