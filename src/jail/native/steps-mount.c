/*
 * The steps that build the new root. Every target is resolved below the new root's own mount without
 * following any symlink, sources on the host are opened first and checked, and what is mounted is a detached
 * clone whose flags were set before it became reachable. So no path that a tenant could change is resolved.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "emperor-init.h"

#define EMPTY_DIRECTORY "/dev/.emperor/empty"
#define ATTR_RDONLY 0x1
#define ATTR_NOSUID 0x2
#define ATTR_NODEV 0x4
#define ATTR_NOEXEC 0x8
#define TREE_CLONE 1
#define MOVE_EMPTY_BOTH (0x4 | 0x40) /* MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH */

/* Opens a path of the new root as O_PATH; symlinks anywhere in it are refused with ELOOP. */
static int open_inside(const char *path) {
  while (*path == '/') path++;
  return sys_openat2(self.root_fd, *path ? path : ".", O_PATH | O_CLOEXEC,
                     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

/* Opens the directory that holds `path` and points `*name` at its last part. */
static int open_parent(const char *path, const char **name) {
  char parent[PATH_BYTES];
  const char *slash = strrchr(path, '/');
  if (!slash || !slash[1]) {
    errno = EINVAL;
    return -1;
  }
  snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
  *name = slash + 1;
  return open_inside(parent);
}

/* Mounts a clone of what `source_fd` is at `target_fd`, with `attributes` set before it can be reached. */
static bool mount_clone(int source_fd, int target_fd, uint64_t attributes) {
  int clone = sys_open_tree(source_fd, "", TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH);
  bool is_done = clone >= 0 && sys_mount_setattr(clone, "", AT_EMPTY_PATH, attributes, 0) == 0 &&
                 sys_move_mount(clone, "", target_fd, "", MOVE_EMPTY_BOTH) == 0;
  int error = errno;
  if (clone >= 0) close(clone);
  errno = error;
  return is_done;
}

static bool step_root(const struct step *step) {
  char path[PATH_BYTES];
  if (!step_text(step, TAG_SOURCE, path)) return false;
  int source = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (source < 0) return fail(errno, "%s", path);
  self.root_fd = sys_open_tree(source, "", TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH);
  bool is_done = self.root_fd >= 0 &&
                 sys_mount_setattr(self.root_fd, "", AT_EMPTY_PATH, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV, 0) == 0 &&
                 sys_move_mount(self.root_fd, "", source, "", MOVE_EMPTY_BOTH) == 0;
  int error = errno;
  close(source);
  return is_done || fail(error, "%s", path);
}

/* Mounts a new file system of `type`; its flags are MS_… of mount(2). */
static bool mount_new(const char *type, const char *target, unsigned long flags, const char *options) {
  int target_fd = open_inside(target);
  if (target_fd < 0) return fail(errno, "%s", target);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", target_fd);
  bool is_done = mount(type, path, type, flags, options) == 0;
  int error = errno;
  close(target_fd);
  return is_done || fail(error, "%s", target);
}

static unsigned long ms_flags(uint64_t flags) {
  return (flags & MOUNT_READ_ONLY ? MS_RDONLY : 0) | (flags & MOUNT_NOSUID ? MS_NOSUID : 0) |
         (flags & MOUNT_NODEV ? MS_NODEV : 0) | (flags & MOUNT_NOEXEC ? MS_NOEXEC : 0);
}

static bool step_file_system(const struct step *step) {
  char target[PATH_BYTES], options[128] = "";
  if (!step_text(step, TAG_TARGET, target)) return false;
  switch (step->op) {
    case OP_PROC:
      if (step_number(step, TAG_NUMBER)) strcpy(options, "hidepid=2");
      return mount_new("proc", target, MS_NOSUID | MS_NODEV | MS_NOEXEC, options);
    case OP_MQUEUE: return mount_new("mqueue", target, MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    case OP_DEVPTS:
      snprintf(options, sizeof options, "newinstance,ptmxmode=0666,mode=0620,gid=5,max=%llu",
               (unsigned long long)step_number(step, TAG_COUNT));
      return mount_new("devpts", target, MS_NOSUID | MS_NOEXEC, options);
    default:
      snprintf(options, sizeof options, "size=%llu,nr_inodes=%llu,mode=%o",
               (unsigned long long)step_number(step, TAG_LENGTH), (unsigned long long)step_number(step, TAG_COUNT),
               (unsigned)step_number(step, TAG_MODE));
      return mount_new("tmpfs", target, ms_flags(step_number(step, TAG_FLAGS)), options);
  }
}

static bool make_file(int parent, const char *name, mode_t mode, const struct step *step) {
  struct field content = {0, NULL, 0};
  field_find(step->fields, step->length, TAG_BYTES, &content);
  int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  bool is_done = write_all(fd, content.bytes, content.length) && fchmod(fd, mode) == 0;
  int error = errno;
  close(fd);
  errno = error;
  return is_done;
}

/* Makes a directory, file, device or symlink in a file system that this plan has mounted. */
static bool step_make(const struct step *step) {
  char target[PATH_BYTES], text[PATH_BYTES] = "";
  const char *name;
  if (!step_text(step, TAG_TARGET, target)) return false;
  if (step->op == OP_SYMLINK && !step_text(step, TAG_TEXT, text)) return false;
  int parent = open_parent(target, &name);
  if (parent < 0) return fail(errno, "%s", target);
  /* The parent is O_PATH; *at() calls accept it. */
  mode_t mode = (mode_t)step_number(step, TAG_MODE);
  uint64_t number = step_number(step, TAG_NUMBER);
  bool is_done = false;
  switch (step->op) {
    case OP_DIRECTORY: is_done = mkdirat(parent, name, mode) == 0 && fchmodat(parent, name, mode, 0) == 0; break;
    case OP_FILE: is_done = make_file(parent, name, mode, step); break;
    case OP_SYMLINK: is_done = symlinkat(text, parent, name) == 0; break;
    default:
      is_done = mknodat(parent, name, S_IFCHR | mode, makedev(number >> 8, number & 0xff)) == 0 &&
                fchmodat(parent, name, mode, 0) == 0;
  }
  int error = errno;
  close(parent);
  return is_done || fail(error, "%s", target);
}

static bool step_bind(const struct step *step) {
  char source[PATH_BYTES], target[PATH_BYTES];
  if (!step_text(step, TAG_SOURCE, source) || !step_text(step, TAG_TARGET, target)) return false;
  bool is_inside = step->op == OP_BIND_INSIDE;
  int source_fd = is_inside ? open_inside(source) : open(source, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  struct stat stat;
  if (source_fd < 0 || fstat(source_fd, &stat) < 0) return fail(errno, "%s", source);
  if (!S_ISDIR(stat.st_mode) && !S_ISREG(stat.st_mode)) {
    close(source_fd);
    return fail(EINVAL, "%s", source);
  }
  int target_fd = open_inside(target);
  bool is_done = target_fd >= 0 && mount_clone(source_fd, target_fd, step_number(step, TAG_FLAGS));
  int error = errno;
  if (target_fd >= 0) close(target_fd);
  close(source_fd);
  return is_done || fail(error, "%s", target);
}

/* Covers a file with /dev/null and a directory with an empty one; what is not there needs no cover. */
static bool step_mask(const struct step *step) {
  char target[PATH_BYTES];
  if (!step_text(step, TAG_TARGET, target)) return false;
  int target_fd = open_inside(target);
  struct stat stat;
  if (target_fd < 0) return errno == ENOENT || fail(errno, "%s", target);
  bool is_directory = fstat(target_fd, &stat) == 0 && S_ISDIR(stat.st_mode);
  const char *cover = is_directory ? EMPTY_DIRECTORY : "/dev/null";
  int cover_fd = open_inside(cover);
  bool is_done = cover_fd >= 0 && mount_clone(cover_fd, target_fd, ATTR_RDONLY | ATTR_NOSUID | ATTR_NOEXEC);
  int error = errno;
  close(target_fd);
  if (cover_fd >= 0) close(cover_fd);
  return is_done || fail(error, "%s", cover_fd < 0 ? cover : target);
}

static bool step_read_only(const struct step *step) {
  char target[PATH_BYTES];
  if (!step_text(step, TAG_TARGET, target)) return false;
  int fd = open_inside(target);
  if (fd < 0) return errno == ENOENT || fail(errno, "%s", target);
  bool is_done = mount_clone(fd, fd, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC);
  int error = errno;
  close(fd);
  return is_done || fail(error, "%s", target);
}

/*
 * The new root covers the base, and the host's tree beside it is detached, and with it every host path: no mount is
 * left but the new root's and the base, which is empty and which nothing leads to. For a process in here that is what
 * pivot_root(2) does; that holds the machine's mount lock while it looks at each task for one with the old root.
 * The directories that init keeps open are of the host's file systems, of which `..` would lead up to the top.
 */
static bool step_pivot(void) {
  if (!log_confine() || !payload_confine()) return fail(errno, "what is kept of the host's directories");
  bool is_attached = sys_move_mount(self.root_fd, "", self.base_fd, "", MOVE_EMPTY_BOTH) == 0;
  if (!is_attached || fchdir(self.base_fd) < 0 || umount2(BASE_HOST, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
    return fail(errno, "the old root");
  if (fchdir(self.root_fd) < 0 || chroot(".") < 0) return fail(errno, "/");
  close(self.base_fd);
  close(self.root_fd);
  self.base_fd = self.root_fd = -1;
  return true;
}

bool step_mount(const struct step *step) {
  switch (step->op) {
    case OP_PRIVATE: return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 || fail(errno, "/");
    case OP_ROOT: return step_root(step);
    case OP_PROC:
    case OP_TMPFS:
    case OP_DEVPTS:
    case OP_MQUEUE: return step_file_system(step);
    case OP_DIRECTORY:
    case OP_FILE:
    case OP_SYMLINK:
    case OP_DEVICE: return step_make(step);
    case OP_BIND:
    case OP_BIND_INSIDE: return step_bind(step);
    case OP_MASK: return step_mask(step);
    case OP_READ_ONLY: return step_read_only(step);
    case OP_PIVOT: return step_pivot();
    default: return fail(ENOSYS, "step %llu is not known to this init", (unsigned long long)step->op);
  }
}
