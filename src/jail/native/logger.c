/*
 * The vassal's logger: lines of its processes to log-dir/NAME/current, each with time, stream, a mark for whole
 * or partial lines and a label (CRI format plus label). Works through a directory descriptor that was opened
 * before the drop. The directory belongs to the tenant's uid, as init has it; so whatever is done in there is
 * done with that uid, also before the drop, and nothing in there is followed or waited for.
 *
 * Rotates by itself: `max_files` files of at most `max_bytes`. A disk that is full costs lines, which are counted
 * and told once there is room; a line is never left half written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "emperor-init.h"

#define PREFIX_BYTES 160
#define BATCH_BYTES (8 * (PREFIX_BYTES + LINE_BYTES))
#define FLAGS (O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

static int directory_fd = -1, file_fd = -1, max_files;
static uid_t owner_uid;
static gid_t owner_gid;
static uint64_t max_bytes, file_bytes, lost_bytes, told_lost_bytes;
/* Whole lines on their way to the file: one write for many. */
static char batch[BATCH_BYTES];
static size_t batch_length;

/* ── the files ──────────────────────────────────────────────────────────────────────────────── */

/* After the drop these change nothing. */
static void act_as_owner(void) {
  setfsgid(owner_gid);
  setfsuid(owner_uid);
}

static void act_as_self(void) {
  setfsuid(geteuid());
  setfsgid(getegid());
}

static bool open_current(void) {
  act_as_owner();
  file_fd = openat(directory_fd, "current", FLAGS | O_CREAT, 0640);
  act_as_self();
  struct stat stat;
  if (file_fd < 0) return false;
  if (fstat(file_fd, &stat) == 0 && S_ISREG(stat.st_mode)) {
    file_bytes = (uint64_t)stat.st_size;
    return true;
  }
  close(file_fd);
  file_fd = -1;
  errno = EINVAL;
  return false;
}

static void name_of(int age, char name[32]) {
  snprintf(name, 32, age == 0 ? "current" : "current.%d", age);
}

/* Files that a larger `max_files` left. */
static void remove_surplus(void) {
  char name[32];
  int age = max_files;
  act_as_owner();
  do name_of(age++, name);
  while (unlinkat(directory_fd, name, 0) == 0);
  act_as_self();
}

/* current → current.1 → … ; the last one is overwritten. */
static void rotate(void) {
  char from[32], to[32];
  if (file_fd >= 0) close(file_fd);
  file_fd = -1;
  file_bytes = 0; /* also where no new file can be made: what is kept must not be shifted out line by line */
  act_as_owner();
  for (int age = max_files - 1; age > 0; age--) {
    name_of(age - 1, from);
    name_of(age, to);
    renameat(directory_fd, from, directory_fd, to);
  }
  if (max_files == 1) unlinkat(directory_fd, "current", 0);
  act_as_self();
  open_current();
}

bool log_open(int directory, uint64_t bytes, int files, uid_t uid, gid_t gid) {
  directory_fd = directory;
  max_bytes = bytes;
  max_files = files < 1 ? 1 : files;
  owner_uid = uid;
  owner_gid = gid;
  remove_surplus();
  if (open_current()) return true;
  /* Of an earlier uid, or no file at all: it makes room like one that is full. */
  rotate();
  return file_fd >= 0;
}

bool log_confine(void) {
  if (directory_fd < 0) return true;
  int confined = sys_confined(directory_fd);
  if (confined < 0) return false;
  close(directory_fd);
  directory_fd = confined;
  return true;
}

/* ── lines ──────────────────────────────────────────────────────────────────────────────────── */

/* Writes the whole lines that there is room for and takes back the rest of a torn one. */
static void write_batch(void) {
  if (batch_length == 0) return;
  if (file_fd < 0) open_current();
  ssize_t done = file_fd < 0 ? 0 : write(file_fd, batch, batch_length);
  size_t whole = done < 0 ? 0 : (size_t)done;
  while (whole < batch_length && whole > 0 && batch[whole - 1] != '\n') whole--;
  if (done > (ssize_t)whole && ftruncate(file_fd, (off_t)(file_bytes + whole)) < 0) whole = (size_t)done;
  file_bytes += whole;
  lost_bytes += batch_length - whole;
  batch_length = 0;
}

static void append(const char *text, size_t length) {
  if (batch_length + length > sizeof batch) write_batch();
  if (max_bytes && file_bytes + batch_length + length > max_bytes && file_bytes + batch_length > 0) {
    write_batch();
    rotate();
  }
  memcpy(batch + batch_length, text, length);
  batch_length += length;
}

/* The time is what costs most; lines of one portion share it. */
static const char *time_now(bool is_fresh) {
  static char text[64];
  if (!is_fresh && text[0]) return text;
  struct timespec now;
  struct tm parts;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &parts);
  size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(text + length, sizeof text - length, ".%09ldZ", now.tv_nsec);
  return text;
}

static char *add(char *at, const char *text) {
  size_t length = strlen(text);
  memcpy(at, text, length);
  return at + length;
}

void log_line(const struct log_source *source, bool is_whole, const void *text, size_t length) {
  static char line[PREFIX_BYTES + LINE_BYTES + 1];
  char *at = add(line, time_now(false));
  at = add(at, source->stream);
  at = add(at, is_whole ? " F " : " P ");
  at = add(at, source->label);
  *at++ = ' ';
  memcpy(at, text, length);
  at[length] = '\n';
  append(line, (size_t)(at - line) + length + 1);
}

void log_begin(void) { time_now(true); }

void log_end(void) {
  static const struct log_source self_source = {" system", "init"};
  char text[128];
  write_batch();
  if (lost_bytes == told_lost_bytes || file_fd < 0) return;
  uint64_t before = lost_bytes;
  unsigned long long untold = before - told_lost_bytes;
  int length = snprintf(text, sizeof text, "%llu bytes of output could not be written", untold);
  log_line(&self_source, true, text, (size_t)length);
  write_batch();
  /* If there was no room for that either, it is told later and does not count itself. */
  if (lost_bytes == before) told_lost_bytes = before;
  lost_bytes = before;
}
