/*
 * One connection over a unix socket: whole frames in, whole frames out, descriptors beside them. Nothing
 * blocks: what the socket does not take is kept in the owner's buffer, and a peer that lets it fill is
 * dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "emperor-init.h"

/* Who connects without blocking gets EAGAIN when it is full. */
#define BACKLOG 4096

union control {
  char bytes[CMSG_SPACE(sizeof(int) * FRAME_FDS)];
  struct cmsghdr align;
};

void peer_open(struct peer *peer, int fd, struct span in, struct span out) {
  *peer = (struct peer){.fd = fd, .in = in.bytes, .in_size = in.size, .out = out.bytes, .out_size = out.size};
}

static void close_received(struct peer *peer) {
  while (peer->received_count > 0) close(peer->received_fds[--peer->received_count]);
}

void peer_close(struct peer *peer) {
  if (peer->fd >= 0) close(peer->fd);
  close_received(peer);
  *peer = (struct peer){.fd = -1};
}

int peer_take_fd(struct peer *peer) {
  if (peer->received_count == 0) return -1;
  int first = peer->received_fds[0];
  peer->received_count--;
  memmove(peer->received_fds, peer->received_fds + 1, sizeof(int) * (size_t)peer->received_count);
  return first;
}

static void take_descriptors(struct peer *peer, struct msghdr *message) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      if (peer->received_count == FRAME_FDS) close(fd);
      else peer->received_fds[peer->received_count++] = fd;
    }
  }
}

/* Reads what is there. False when the peer has gone. */
static bool read_more(struct peer *peer) {
  if (peer->in_at > 0) {
    peer->in_length -= peer->in_at;
    memmove(peer->in, peer->in + peer->in_at, peer->in_length);
    peer->in_at = 0;
  }
  if (peer->in_length == peer->in_size) return false;
  union control control;
  struct iovec part = {peer->in + peer->in_length, peer->in_size - peer->in_length};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  ssize_t got = recvmsg(peer->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  take_descriptors(peer, &message);
  peer->in_length += (size_t)got;
  return got > 0;
}

/* Removes a frame; descriptors that came with it and were not taken are closed. */
static void consume(struct peer *peer, size_t used) {
  peer->in_at += used;
  if (peer->in_at < peer->in_length) return;
  peer->in_at = peer->in_length = 0;
  /* One recvmsg() ends behind a message with descriptors, so they belong to the last frame in the buffer. */
  close_received(peer);
}

bool peer_serve(struct peer *peer, void (*serve)(struct peer *, const struct frame *)) {
  bool is_open = read_more(peer);
  struct frame frame;
  ssize_t size = 0;
  while (peer->fd >= 0 && (size = frame_parse(peer->in + peer->in_at, peer->in_length - peer->in_at, &frame)) > 0) {
    serve(peer, &frame);
    if (peer->fd >= 0) consume(peer, (size_t)size);
  }
  return is_open && size >= 0;
}

void peer_watch(struct peer *peer, int epoll_fd, uint64_t what) {
  uint32_t events = EPOLLIN | (peer->out_length ? EPOLLOUT : 0);
  if (events == peer->watched) return;
  peer->watched = watch_fd(epoll_fd, peer->fd, what, events) ? events : 0;
}

static bool keep(struct peer *peer, const uint8_t *bytes, size_t length) {
  if (length > peer->out_size - peer->out_length) return false;
  memcpy(peer->out + peer->out_length, bytes, length);
  peer->out_length += length;
  return true;
}

bool peer_send(struct peer *peer, const struct out *out, const int *fds, int fd_count) {
  /* Descriptors cannot wait in a buffer, and order must hold. */
  if (peer->out_length > 0) return fd_count == 0 && keep(peer, out->data, out->length);
  union control control = {0};
  struct iovec part = {out->data, out->length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd_count > 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fd_count);
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fd_count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)fd_count);
  }
  ssize_t sent = sendmsg(peer->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN || fd_count > 0) return false;
    sent = 0;
  }
  return keep(peer, out->data + sent, out->length - (size_t)sent);
}

bool peer_flush(struct peer *peer) {
  if (peer->out_length == 0) return true;
  ssize_t sent = send(peer->fd, peer->out, peer->out_length, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN;
  peer->out_length -= (size_t)sent;
  memmove(peer->out, peer->out + sent, peer->out_length);
  return true;
}

/*
 * sun_path holds 107 bytes; a longer path is reached through a descriptor of its directory. Returns that
 * descriptor (to be closed after use) or -2 where none was needed, -1 on failure.
 */
static int address_of(const char *path, struct sockaddr_un *address) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (strlen(path) < sizeof address->sun_path) {
    strcpy(address->sun_path, path);
    return -2;
  }
  const char *name = strrchr(path, '/');
  char directory[4096];
  if (!name || (size_t)(name - path) >= sizeof directory || strlen(name) > 60) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(directory, path, (size_t)(name - path));
  directory[name - path] = 0;
  int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d%s", fd, name);
  return fd;
}

int listen_at(const char *path) {
  struct sockaddr_un address;
  int directory = address_of(path, &address);
  if (directory == -1) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  unlink(address.sun_path);
  mode_t mask = umask(0177);
  bool done = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, BACKLOG) == 0;
  int error = errno;
  umask(mask);
  if (directory >= 0) close(directory);
  if (!done && fd >= 0) close(fd);
  errno = error;
  return done ? fd : -1;
}

int connect_to(const char *path) {
  struct sockaddr_un address;
  int directory = address_of(path, &address);
  if (directory == -1) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool done = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
  int error = errno;
  if (directory >= 0) close(directory);
  if (!done && fd >= 0) close(fd);
  errno = error;
  return done ? fd : -1;
}
