/*
 * The pipes that the vassal's processes write to, cut into lines for the logger. One portion a pipe a turn, so that
 * a flood delays neither a request nor a neighbour's line, and a line that never ends costs LINE_BYTES.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "emperor-init.h"

#define MAX_PIPES 512
#define PORTION 65536
/* What is read of one pipe at most when an exit waits for its output. */
#define DRAIN_PORTIONS 32

struct log_pipe {
  int fd; /* -1: free, from the first use on */
  struct log_source source;
  uint8_t line[LINE_BYTES];
  size_t length;
};

static struct log_pipe pipes[MAX_PIPES];
static uint32_t used_pipes;

static struct log_pipe *free_pipe(void) {
  for (uint32_t i = 0; i < used_pipes; i++)
    if (pipes[i].fd < 0) return &pipes[i];
  return used_pipes < MAX_PIPES ? &pipes[used_pipes++] : NULL;
}

bool log_has_room(int count) {
  int free_count = (int)(MAX_PIPES - used_pipes);
  for (uint32_t i = 0; i < used_pipes && free_count < count; i++) free_count += pipes[i].fd < 0;
  return free_count >= count;
}

/* The label is one word of the line. */
static void make_word(char *label) {
  if (!*label) strcpy(label, "-");
  for (char *c = label; *c; c++)
    if ((uint8_t)*c <= ' ' || *c == 0x7f) *c = '_';
}

void log_pipe_open(int fd, const char *label, bool is_stderr) {
  struct log_pipe *pipe = free_pipe();
  if (!pipe) {
    close(fd);
    return;
  }
  pipe->fd = fd;
  pipe->length = 0;
  pipe->source.stream = is_stderr ? " stderr" : " stdout";
  snprintf(pipe->source.label, sizeof pipe->source.label, "%s", label);
  make_word(pipe->source.label);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  loop_watch(fd, WATCH_PIPE, (uint32_t)(pipe - pipes), EPOLLIN);
}

static void flush_line(struct log_pipe *pipe, bool is_whole) {
  log_line(&pipe->source, is_whole, pipe->line, pipe->length);
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

/* One portion; returns whether there may be more at once. */
static bool read_portion(struct log_pipe *pipe) {
  static uint8_t portion[PORTION];
  ssize_t got = read(pipe->fd, portion, sizeof portion);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  log_begin();
  if (got > 0) {
    take(pipe, portion, (size_t)got);
  } else {
    if (pipe->length > 0) flush_line(pipe, true);
    loop_close(&pipe->fd);
  }
  log_end();
  return got == PORTION;
}

void log_pipe_ready(uint32_t index) {
  if (index < used_pipes && pipes[index].fd >= 0) read_portion(&pipes[index]);
}

void log_pipes_drain(void) {
  for (uint32_t i = 0; i < used_pipes; i++)
    for (int portions = 0; portions < DRAIN_PORTIONS && pipes[i].fd >= 0; portions++)
      if (!read_portion(&pipes[i])) break;
}

void log_note(struct peer *peer, const struct frame *frame) {
  struct log_source source = {.stream = " stderr"};
  const uint8_t *at = frame->fields;
  size_t length = frame->length;
  struct field field;
  if (!field_text(frame->fields, frame->length, TAG_LABEL, source.label, sizeof source.label)) {
    loop_say_error(peer, frame->id, -1, EINVAL, "no label");
    return;
  }
  make_word(source.label);
  log_begin();
  while (field_next(&at, &length, &field)) {
    if (field.tag != TAG_TEXT) continue;
    size_t fits = field.length < LINE_BYTES ? field.length : LINE_BYTES;
    const uint8_t *end = memchr(field.bytes, '\n', fits);
    log_line(&source, true, field.bytes, end ? (size_t)(end - field.bytes) : fits);
  }
  log_end();
  loop_say_ok(peer, frame->id);
}
