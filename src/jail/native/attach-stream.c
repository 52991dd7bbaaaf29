/*
 * Moves bytes between our standard descriptors and those of the command, each stream for itself.
 *
 * Our own descriptors are shared with whoever started us, so they stay in blocking mode: nothing is read or
 * written before poll() says so, and never more than what cannot block. A consumer that does not read holds up
 * its own stream and no other.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach.h"
#include "emperor-init.h"

void streams_reserve(void) {
  for (int fd = 0; fd < 3; fd++)
    if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

void stream_open(struct stream *stream, int from, int to, const char *name) {
  struct stat stat;
  mode_t type = fstat(to, &stat) == 0 ? stat.st_mode & S_IFMT : 0;
  stream->from = from;
  stream->to = to;
  stream->name = name;
  stream->is_socket = type == S_IFSOCK;
  /* A pipe that polls writable takes PIPE_BUF bytes, a terminal as good as that. */
  stream->portion = type == S_IFIFO || type == S_IFCHR ? PIPE_BUF : STREAM_BYTES;
}

/* Standard error stays open for what we have to say ourselves. */
static void close_end(int fd) {
  if (fd >= 0 && fd != 2) close(fd);
}

void stream_end(struct stream *stream) {
  close_end(stream->from);
  close_end(stream->to);
  stream->from = stream->to = -1;
  stream->length = stream->owed = 0;
}

void stream_poll(const struct stream *stream, struct pollfd polls[2]) {
  bool is_empty = stream->length == 0;
  polls[0] = (struct pollfd){.fd = is_empty ? stream->from : -1, .events = POLLIN};
  /* Without events too: that nobody reads any more is told as POLLERR. */
  polls[1] = (struct pollfd){.fd = stream->to, .events = is_empty ? 0 : POLLOUT};
}

static bool may_come_again(void) { return errno == EAGAIN || errno == EINTR; }

/* False at the end, which a terminal that was hung up tells as EIO. */
static bool fill(struct stream *stream) {
  ssize_t got = read(stream->from, stream->bytes, sizeof stream->bytes);
  if (got < 0) return may_come_again();
  if (got == 0) return false;
  stream->at = 0;
  stream->length = (size_t)got;
  stream->last = stream->bytes[got - 1];
  stream->read_ms = monotonic_ms();
  return true;
}

static ssize_t put(const struct stream *stream) {
  const uint8_t *bytes = stream->bytes + stream->at;
  if (stream->is_socket) return send(stream->to, bytes, stream->length, MSG_DONTWAIT | MSG_NOSIGNAL);
  return write(stream->to, bytes, stream->length < stream->portion ? stream->length : stream->portion);
}

/* False when it can be written no more. */
static bool drain(struct stream *stream) {
  ssize_t done = put(stream);
  if (done < 0 && may_come_again()) return true;
  if (done < 0) {
    /* Nobody reads: not worth a word, as in any pipeline. */
    if (errno != EPIPE && errno != EIO) dprintf(2, "emperor: Cannot write to %s: %s\n", stream->name, strerror(errno));
    return false;
  }
  stream->at += (size_t)done;
  stream->length -= (size_t)done;
  stream->owed -= (size_t)done < stream->owed ? (size_t)done : stream->owed;
  return true;
}

bool stream_ready(struct stream *stream, const struct pollfd polls[2]) {
  if (stream->from < 0) return true;
  /* A socket has no reader any more when both ends are shut; a pipe tells that as POLLERR. */
  short gone = POLLERR | POLLNVAL | (stream->is_socket ? POLLHUP : 0);
  bool is_broken = (polls[1].revents & gone) != 0;
  if (!is_broken && (polls[1].revents & POLLOUT) && stream->length > 0) is_broken = !drain(stream);
  if (is_broken) {
    stream->is_broken = true;
    stream_end(stream);
    return true;
  }
  return stream->length > 0 || polls[0].revents == 0 || fill(stream);
}

void stream_settle(struct stream *stream) {
  int waiting = 0;
  if (stream->from < 0) return;
  if (ioctl(stream->from, FIONREAD, &waiting) < 0) waiting = 0;
  stream->owed = stream->length + (size_t)waiting;
  stream->read_ms = monotonic_ms();
}
