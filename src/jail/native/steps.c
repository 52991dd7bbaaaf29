/* The steps of a jail plan that are not mounts. Each does one thing and, failing, says to what. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emperor-init.h"

/* Since Linux 6.4; the C library's header is older. */
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

bool step_text(const struct step *step, uint16_t tag, char text[PATH_BYTES]) {
  if (field_text(step->fields, step->length, tag, text, PATH_BYTES)) return true;
  return fail(EINVAL, "a step without its text");
}

uint64_t step_number(const struct step *step, uint16_t tag) {
  return field_number(step->fields, step->length, tag, 0);
}

static bool step_lock(const struct step *step) {
  char path[PATH_BYTES];
  if (!step_text(step, TAG_SOURCE, path)) return false;
  self.lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (self.lock_fd < 0 || flock(self.lock_fd, LOCK_EX | LOCK_NB) < 0) return fail(errno, "%s", path);
  return true;
}

/* The kernel checks who opened the file, not who writes: children can join after the drop. */
static bool step_cgroup(const struct step *step) {
  char init[PATH_BYTES], payload[PATH_BYTES];
  if (!step_text(step, TAG_SOURCE, init) || !step_text(step, TAG_TARGET, payload)) return false;
  if (!self.is_placed && !write_file(init, "0")) return fail(errno, "%s", init);
  uid_t uid = (uid_t)step_number(step, TAG_UID);
  return payload_open(payload, uid, (gid_t)step_number(step, TAG_GID)) || fail(errno, "%s", payload);
}

/* What is started is born where init is. */
static bool step_join(const struct step *step) {
  char join[PATH_BYTES];
  if (!step_text(step, TAG_SOURCE, join)) return false;
  return write_file(join, "0") || fail(errno, "%s", join);
}

static bool step_log(const struct step *step) {
  char path[PATH_BYTES];
  if (!step_text(step, TAG_SOURCE, path)) return false;
  uid_t uid = (uid_t)step_number(step, TAG_UID);
  gid_t gid = (gid_t)step_number(step, TAG_GID);
  if (mkdir(path, 0750) < 0 && errno != EEXIST) return fail(errno, "%s", path);
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 || fchown(fd, uid, gid) < 0) return fail(errno, "%s", path);
  if (!log_open(fd, step_number(step, TAG_LENGTH), (int)step_number(step, TAG_COUNT), uid, gid))
    return fail(errno, "%s/current", path);
  return true;
}

static bool step_listen(const struct step *step) {
  char path[PATH_BYTES];
  if (!step_text(step, TAG_SOURCE, path)) return false;
  self.listen_fd = listen_at(path);
  if (self.listen_fd < 0) return fail(errno, "%s", path);
  loop_watch(self.listen_fd, WATCH_LISTEN, 0, EPOLLIN);
  return true;
}

static bool step_hostname(const struct step *step) {
  char name[PATH_BYTES];
  if (!step_text(step, TAG_TEXT, name)) return false;
  return sethostname(name, strlen(name)) == 0 || fail(errno, "%s", name);
}

/* /proc/sys/net shows the writer's network namespace, whichever /proc it is. */
bool sysctl_write(const char *name, const char *text) {
  char path[PATH_BYTES + 64], proc[32] = "";
  if (self.root_fd >= 0) snprintf(proc, sizeof proc, "/proc/self/fd/%d", self.root_fd);
  snprintf(path, sizeof path, "%s/proc/sys/%s", proc, name);
  return write_file(path, text);
}

static bool step_sysctl(const struct step *step) {
  char name[PATH_BYTES], text[PATH_BYTES];
  if (!step_text(step, TAG_TARGET, name) || !step_text(step, TAG_TEXT, text)) return false;
  return sysctl_write(name, text) || fail(errno, "/proc/sys/%s", name);
}

static bool step_loopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  bool is_done = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  int error = errno;
  if (fd >= 0) close(fd);
  return is_done || fail(error, "lo");
}

/* Made and given to the tenant where it is not there; one that is there stays as it is. */
static bool step_home(const struct step *step) {
  char path[PATH_BYTES];
  if (!step_text(step, TAG_SOURCE, path)) return false;
  if (mkdir(path, 0700) < 0) {
    if (errno != EEXIST) return fail(errno, "%s", path);
    struct stat stat;
    if (lstat(path, &stat) < 0 || !S_ISDIR(stat.st_mode)) return fail(ENOTDIR, "%s", path);
    return true;
  }
  if (lchown(path, (uid_t)step_number(step, TAG_UID), (gid_t)step_number(step, TAG_GID)) < 0)
    return fail(errno, "%s", path);
  return true;
}

/*
 * Soft limits are for what is started: init needs its own descriptors. A hard limit that is to be higher than
 * ours must be raised now, while we may.
 */
static bool step_rlimit(const struct step *step) {
  int resource = (int)step_number(step, TAG_NUMBER);
  struct rlimit wanted = {step_number(step, TAG_LENGTH), step_number(step, TAG_COUNT)}, own;
  if (self.rlimit_count == MAX_RLIMITS) return fail(E2BIG, "too many limits");
  if (getrlimit(resource, &own) < 0) return fail(errno, "resource %d", resource);
  if (wanted.rlim_cur > wanted.rlim_max) return fail(EINVAL, "resource %d", resource);
  struct rlimit raised = {own.rlim_cur, wanted.rlim_max};
  if (wanted.rlim_max > own.rlim_max && setrlimit(resource, &raised) < 0) return fail(errno, "resource %d", resource);
  self.rlimits[self.rlimit_count].resource = resource;
  self.rlimits[self.rlimit_count++].limit = wanted;
  return true;
}

static bool has_nothing_left(uid_t uid, gid_t gid) {
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2];
  if (syscall(SYS_capget, &head, sets) < 0) return false;
  for (int i = 0; i < 2; i++)
    if (sets[i].effective || sets[i].permitted || sets[i].inheritable) return false;
  uid_t r, e, s;
  gid_t rg, eg, sg;
  getresuid(&r, &e, &s);
  getresgid(&rg, &eg, &sg);
  bool is_tenant = r == uid && e == uid && s == uid && rg == gid && eg == gid && sg == gid;
  return is_tenant && getgroups(0, NULL) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
         prctl(PR_GET_DUMPABLE) == 0;
}

static bool step_drop(const struct step *step) {
  uid_t uid = (uid_t)step_number(step, TAG_UID);
  gid_t gid = (gid_t)step_number(step, TAG_GID);
  if (uid == 0 || gid == 0) return fail(EPERM, "a tenant is never uid or gid 0");
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return fail(errno, "bounding set");
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  payload_keep_score();
  if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
    return fail(errno, "uid %u, gid %u", uid, gid);
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
  if (syscall(SYS_capset, &head, none) < 0) return fail(errno, "capabilities");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return fail(errno, "no_new_privs");
  prctl(PR_SET_DUMPABLE, 0);
  self.uid = uid;
  return has_nothing_left(uid, gid) || fail(EPERM, "privileges were left after the drop");
}

/* Kept over fork and exec. Where the kernel cannot, the emperor says so. */
static bool step_merge(void) {
  prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
  return true;
}

static bool step_seccomp(const struct step *step) {
  struct field filter;
  if (!field_find(step->fields, step->length, TAG_BYTES, &filter)) return fail(EINVAL, "no filter");
  if (filter.length > sizeof self.filter || filter.length % 8 != 0)
    return fail(EINVAL, "a filter of %u bytes", filter.length);
  memcpy(self.filter, filter.bytes, filter.length);
  self.filter_length = filter.length;
  return true;
}

bool step_run(const struct step *step) {
  switch (step->op) {
    case OP_LOCK: return step_lock(step);
    case OP_CGROUP: return step_cgroup(step);
    case OP_JOIN: return step_join(step);
    case OP_LOG: return step_log(step);
    case OP_LISTEN: return step_listen(step);
    case OP_HOSTNAME: return step_hostname(step);
    case OP_SYSCTL: return step_sysctl(step);
    case OP_LOOPBACK: return step_loopback();
    case OP_HOME: return step_home(step);
    case OP_IMAGE: return step_image(step);
    case OP_HOOK: return step_hook(step);
    case OP_SWEEP: return step_sweep();
    case OP_GATE: return step_gate(step_number(step, TAG_LENGTH));
    case OP_RLIMIT: return step_rlimit(step);
    case OP_MERGE: return step_merge();
    case OP_DROP: return step_drop(step);
    case OP_SECCOMP: return step_seccomp(step);
    case OP_TUN: return step_tun(step);
    case OP_ADDRESS: return step_address(step);
    default: return step_mount(step);
  }
}
