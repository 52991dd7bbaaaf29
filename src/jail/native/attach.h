/* What attach.c, attach-stream.c and attach-terminal.c share: the client of `emperor exec` and `shell`. */
#ifndef ATTACH_H
#define ATTACH_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define STREAM_BYTES 65536

/* What is to run, and where. */
struct attachment {
  const char *socket;             /* init.sock, or a door */
  const char *cwd, *label, *kind; /* a door has its own */
  bool has_tty, is_door;
  char **env;
  int env_count;
  char **command; /* ends with NULL; empty at a door: the login shell */
};

/* Runs it between our own standard descriptors and does not come back: its status is ours. */
__attribute__((noreturn)) int attach_run(const struct attachment *attachment);

/* Bytes on their way from one descriptor to another. Both are -1 once it has ended. */
struct stream {
  int from, to;
  const char *name;      /* for messages, such as "standard output" */
  bool is_socket;        /* `to` is one */
  bool is_broken;        /* nobody reads `to` any more */
  size_t portion;        /* what can be written after POLLOUT without blocking */
  size_t at, length;     /* of `bytes`: read and not written yet */
  size_t owed;           /* what the command had written when it ended and we have not */
  int64_t read_ms;       /* when something came last */
  uint8_t last;          /* the last byte that came */
  uint8_t bytes[STREAM_BYTES];
};

/* Descriptors 0-2 that are closed are taken by ones that fail as they did, so that nothing else gets them. */
void streams_reserve(void);
void stream_open(struct stream *stream, int from, int to, const char *name);
void stream_end(struct stream *stream);
/* What to wait for; entries that are not needed get fd -1. */
void stream_poll(const struct stream *stream, struct pollfd polls[2]);
/* Moves what can be moved. Returns false when `from` has come to its end. */
bool stream_ready(struct stream *stream, const struct pollfd polls[2]);
/* Notes what is on its way now, as the command has ended. */
void stream_settle(struct stream *stream);

/* Raw mode if standard input is a terminal; undone by terminal_restore(). */
void terminal_raw(void);
void terminal_restore(void);
struct winsize terminal_size(void);

#endif
