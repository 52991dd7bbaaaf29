/*
 * The vassal's logger: lines of its processes to log-dir/NAME/current, each with time, stream, a mark for whole
 * or partial lines and a label (CRI format plus label). Rotates by itself. Works through a directory
 * descriptor that was opened before the drop; the directory belongs to the tenant's uid but is mounted
 * read-only for him. A disk that is full costs lines, which are counted, and never blocks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "emperor-init.h"

#define MAX_PIPES 512
#define PORTION 65536
#define PREFIX_BYTES 160

static int directory_fd = -1, file_fd = -1, max_files;
static uint64_t max_bytes, file_bytes, lost_bytes, told_lost_bytes;
static struct log_pipe pipes[MAX_PIPES];
static uint32_t used_pipes;

static bool open_current(void) {
  file_fd = openat(directory_fd, "current", O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
  struct stat stat;
  file_bytes = file_fd >= 0 && fstat(file_fd, &stat) == 0 ? (uint64_t)stat.st_size : 0;
  return file_fd >= 0;
}

bool log_open(int directory, uint64_t bytes, int files, uid_t uid, gid_t gid) {
  directory_fd = directory;
  max_bytes = bytes;
  max_files = files < 1 ? 1 : files;
  return open_current() && fchown(file_fd, uid, gid) == 0;
}

/* current → current.1 → … ; the last one is overwritten. */
static void rotate(void) {
  char from[32], to[32];
  if (file_fd >= 0) close(file_fd);
  file_fd = -1;
  for (int i = max_files - 1; i > 0; i--) {
    snprintf(from, sizeof from, i == 1 ? "current" : "current.%d", i - 1);
    snprintf(to, sizeof to, "current.%d", i);
    renameat(directory_fd, from, directory_fd, to);
  }
  if (max_files == 1) unlinkat(directory_fd, "current", 0);
  open_current();
}

static void append(const char *text, size_t length) {
  if (max_bytes && file_bytes + length > max_bytes && file_bytes > 0) rotate();
  if (file_fd < 0) open_current();
  ssize_t done = file_fd < 0 ? -1 : write(file_fd, text, length);
  if (done > 0) file_bytes += (uint64_t)done;
  if (done < (ssize_t)length) lost_bytes += length - (done > 0 ? (size_t)done : 0);
}

static void put_line(const char *stream, bool is_whole, const char *label, const void *text, size_t length) {
  static char line[PREFIX_BYTES + LINE_BYTES + 1];
  struct timespec now;
  struct tm parts;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &parts);
  size_t head = strftime(line, PREFIX_BYTES, "%Y-%m-%dT%H:%M:%S", &parts);
  head += (size_t)snprintf(line + head, PREFIX_BYTES - head, ".%09ldZ %s %c %.63s ", now.tv_nsec, stream, is_whole ? 'F' : 'P', label);
  memcpy(line + head, text, length);
  line[head + length] = '\n';
  append(line, head + length + 1);
}

void log_remark(const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (directory_fd >= 0) put_line("system", true, "init", text, strlen(text));
}

uint64_t log_lost_bytes(void) { return lost_bytes; }

bool log_pipe_open(int fd, const char *label, bool is_stderr) {
  uint32_t index = 0;
  while (index < used_pipes && pipes[index].fd >= 0) index++;
  if (index == MAX_PIPES) return false;
  if (index == used_pipes) used_pipes++;
  struct log_pipe *pipe = &pipes[index];
  pipe->fd = fd;
  pipe->is_stderr = is_stderr;
  pipe->length = 0;
  snprintf(pipe->label, sizeof pipe->label, "%s", *label ? label : "-");
  for (char *c = pipe->label; *c; c++)
    if (*c <= ' ' || *c == 0x7f) *c = '_';
  fcntl(fd, F_SETFL, O_NONBLOCK);
  loop_watch(fd, WATCH_PIPE, index, EPOLLIN);
  return true;
}

static void flush_line(struct log_pipe *pipe, bool is_whole) {
  put_line(pipe->is_stderr ? "stderr" : "stdout", is_whole, pipe->label, pipe->line, pipe->length);
  pipe->length = 0;
}

static void take(struct log_pipe *pipe, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    const uint8_t *end = memchr(bytes, '\n', length);
    size_t rest = end ? (size_t)(end - bytes) : length;
    size_t room = LINE_BYTES - pipe->length;
    size_t now = rest < room ? rest : room;
    memcpy(pipe->line + pipe->length, bytes, now);
    pipe->length += now;
    bytes += now;
    length -= now;
    if (now == rest && end) {
      flush_line(pipe, true);
      bytes++;
      length--;
    } else if (pipe->length == LINE_BYTES) {
      flush_line(pipe, false);
    }
  }
}

static void end(struct log_pipe *pipe) {
  if (pipe->length > 0) flush_line(pipe, true);
  close(pipe->fd);
  pipe->fd = -1;
}

/* One portion; returns whether there may be more at once. */
static bool read_portion(struct log_pipe *pipe) {
  static uint8_t portion[PORTION];
  ssize_t got = read(pipe->fd, portion, sizeof portion);
  if (got > 0) take(pipe, portion, (size_t)got);
  else if (got == 0 || errno != EAGAIN) end(pipe);
  if (lost_bytes != told_lost_bytes && got > 0 && file_fd >= 0) {
    uint64_t lost = lost_bytes;
    log_remark("%llu bytes of output could not be written", (unsigned long long)(lost - told_lost_bytes));
    if (lost_bytes == lost) told_lost_bytes = lost;
    else lost_bytes = lost;
  }
  return got == PORTION;
}

void log_pipe_ready(uint32_t index) {
  if (index < used_pipes && pipes[index].fd >= 0) read_portion(&pipes[index]);
}

void log_pipes_drain(void) {
  for (uint32_t i = 0; i < used_pipes; i++)
    for (int portions = 0; portions < 32 && pipes[i].fd >= 0; portions++)
      if (!read_portion(&pipes[i])) break;
}
