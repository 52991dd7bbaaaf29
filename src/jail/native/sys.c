/* System calls that musl has no wrapper for, and a few small readings. Nothing here decides anything. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "emperor-init.h"

struct attributes { /* struct mount_attr of linux/mount.h, which clashes with sys/mount.h */
  uint64_t set, clear, propagation, userns_fd;
};

int sys_pivot_root(const char *new_root, const char *put_old) {
  return (int)syscall(SYS_pivot_root, new_root, put_old);
}

int sys_open_tree(int fd, const char *path, unsigned flags) {
  return (int)syscall(SYS_open_tree, fd, path, flags);
}

int sys_confined(int directory) {
  return sys_open_tree(directory, "", 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC | AT_EMPTY_PATH);
}

int sys_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags) {
  return (int)syscall(SYS_move_mount, from, from_path, to, to_path, flags);
}

int sys_mount_setattr(int fd, const char *path, unsigned flags, uint64_t set, uint64_t clear) {
  struct attributes attributes = {.set = set, .clear = clear};
  return (int)syscall(SYS_mount_setattr, fd, path, flags, &attributes, sizeof attributes);
}

int sys_openat2(int fd, const char *path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags, .resolve = resolve};
  return (int)syscall(SYS_openat2, fd, path, &how, sizeof how);
}

pid_t sys_clone3(uint64_t flags, int cgroup_fd) {
  struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};
  if (cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (uint64_t)cgroup_fd;
  }
  return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

void sys_close_from(unsigned first) { syscall(SYS_close_range, first, ~0U, 0); }

static ssize_t read_file(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t length = read(fd, text, size - 1);
  close(fd);
  text[length < 0 ? 0 : length] = 0;
  return length;
}

static char *decimal(uint64_t number, char *end) {
  *--end = 0;
  do *--end = (char)('0' + number % 10);
  while (number /= 10);
  return end;
}

/* Field 22 of /proc/PID/stat; 0 if there is no such process. The name may hold anything but ends last `)`. */
uint64_t start_time_of(pid_t pid) {
  char path[64] = "/proc/", digits[24], text[1024];
  strcat(path, pid ? decimal((uint64_t)pid, digits + sizeof digits) : "self");
  strcat(path, "/stat");
  if (read_file(path, text, sizeof text) <= 0) return 0;
  char *at = strrchr(text, ')');
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  return at ? strtoull(at + 1, NULL, 10) : 0;
}

void boot_id(char text[40]) {
  if (read_file("/proc/sys/kernel/random/boot_id", text, 40) < 0) text[0] = 0;
  text[strcspn(text, "\n")] = 0;
}

static int64_t ms_of(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t wall_ms(void) { return ms_of(CLOCK_REALTIME); }
int64_t monotonic_ms(void) { return ms_of(CLOCK_MONOTONIC); }

int64_t deadline_ms(uint64_t ms) {
  const uint64_t day = 24 * 3600 * 1000;
  return monotonic_ms() + (int64_t)(ms < day ? ms : day);
}

bool write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  int error = errno;
  close(fd);
  errno = error;
  return done;
}

bool write_all(int fd, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t done = write(fd, bytes, length);
    if (done < 0) return false;
    bytes += done;
    length -= (size_t)done;
  }
  return true;
}

bool watch_fd(int epoll_fd, int fd, uint64_t what, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u64 = what};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) return true;
  return errno == EEXIST && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0;
}

void unwatch_and_close(int epoll_fd, int *fd) {
  if (*fd >= 0) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, *fd, NULL);
  if (*fd >= 0) close(*fd);
  *fd = -1;
}
