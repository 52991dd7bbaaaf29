/*
 * The customer's crontab: init reads it as the tenant, and tells when it may say something else.
 *
 * Whatever stands at that name is the tenant's doing, so opening it neither waits (a FIFO, a lease) nor follows a link
 * out of the home, and what is no regular file of the tenant's, or too large, is refused. A change is told once; only
 * who reads again hears of the next. So a flood of changes costs as much as the emperor chooses to read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emperor-init.h"

#define NAME "crontab"
#define MAX_BYTES (64 * 1024)
#define CHANGES (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR)
/* Of events that are read in one turn; the home's other files make some, too. */
#define PORTION 4096

static int watch_at = -1; /* -1: a change has been told, or nobody has read yet */
static char home[PATH_BYTES];

/* ── changes ────────────────────────────────────────────────────────────────────────────────── */

static void watch_home(void) {
  if (watch_at >= 0) return;
  watch_at = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (watch_at < 0) return;
  if (inotify_add_watch(watch_at, home, CHANGES) < 0) loop_close(&watch_at);
  else loop_watch(watch_at, WATCH_CRONTAB, 0, EPOLLIN);
}

static void tell(void) {
  static uint8_t event[64];
  struct out out;
  loop_close(&watch_at);
  out_begin(&out, event, sizeof event, VERB_CRONTAB_CHANGED, 0);
  if (out_end(&out)) loop_tell(event, out.length, NULL);
}

/* A file that is made to be written to is told of when it is closed. */
static bool is_being_written(const struct inotify_event *event) {
  char path[PATH_BYTES + sizeof NAME + 1];
  struct stat stat_of;
  if (!(event->mask & IN_CREATE)) return false;
  snprintf(path, sizeof path, "%s/" NAME, home);
  return lstat(path, &stat_of) == 0 && S_ISREG(stat_of.st_mode) && stat_of.st_nlink == 1;
}

static bool concerns_us(const struct inotify_event *event) {
  if (event->mask & (IN_Q_OVERFLOW | IN_IGNORED)) return true;
  return event->len > 0 && strcmp(event->name, NAME) == 0 && !is_being_written(event);
}

void crontab_ready(void) {
  static char events[PORTION] __attribute__((aligned(__alignof__(struct inotify_event))));
  if (watch_at < 0) return;
  ssize_t got = read(watch_at, events, sizeof events);
  for (char *at = events; got > 0 && at < events + got;) {
    const struct inotify_event *event = (const struct inotify_event *)(void *)at;
    if (concerns_us(event)) {
      tell();
      return;
    }
    at += sizeof *event + event->len;
  }
}

/* ── reading ────────────────────────────────────────────────────────────────────────────────── */

/* Returns a descriptor, or -1 and why there is nothing to be read to errno. */
static int open_crontab(void) {
  struct stat stat_of;
  int directory = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return -1;
  int fd = openat(directory, NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  int error = errno;
  close(directory);
  errno = error;
  if (fd < 0) return -1;
  if (fstat(fd, &stat_of) < 0) error = errno;
  else if (!S_ISREG(stat_of.st_mode)) error = EINVAL;
  else if (stat_of.st_uid != self.uid) error = EPERM;
  else if (stat_of.st_size > MAX_BYTES) error = EFBIG;
  else return fd;
  close(fd);
  errno = error;
  return -1;
}

/* Its bytes to `text`, which has room for one more than there may be; -1 and errno. It may grow meanwhile. */
static ssize_t read_crontab(int fd, uint8_t text[MAX_BYTES + 1]) {
  size_t length = 0;
  while (length <= MAX_BYTES) {
    ssize_t got = read(fd, text + length, MAX_BYTES + 1 - length);
    if (got < 0) return -1;
    if (got == 0) return (ssize_t)length;
    length += (size_t)got;
  }
  errno = EFBIG;
  return -1;
}

static void say_text(struct peer *peer, uint32_t id) {
  static uint8_t text[MAX_BYTES + 1];
  int fd = open_crontab();
  ssize_t length = fd < 0 ? -1 : read_crontab(fd, text);
  int error = errno;
  if (fd >= 0) close(fd);
  if (length < 0) {
    loop_say_error(peer, id, -1, error, NAME);
    return;
  }
  struct out out;
  out_begin(&out, loop_scratch, sizeof loop_scratch, VERB_OK, id);
  out_bytes(&out, TAG_BYTES, text, (size_t)length);
  loop_say(peer, &out, NULL, 0);
}

void crontab_read(struct peer *peer, const struct frame *frame) {
  char path[PATH_BYTES];
  if (!field_text(frame->fields, frame->length, TAG_SOURCE, path, sizeof path)) {
    loop_say_error(peer, frame->id, -1, EINVAL, "no path");
    return;
  }
  if (strcmp(path, home) != 0) loop_close(&watch_at);
  strcpy(home, path);
  /* Before it is read, so that no change is lost. */
  watch_home();
  say_text(peer, frame->id);
}
