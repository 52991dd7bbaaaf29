/*
 * The launcher's own mount namespace, kept small: cloning a vassal copies every mount in it. It follows the
 * host's mounts (slave), less those that container engines, snaps and sessions pile up by the thousand and
 * no vassal needs. Nothing on the host is touched by a detach in here.
 *
 * Its root is a base: a mount that holds nothing but the directory on which the host's tree is mounted. The launcher
 * sees that tree as / (chroot) and stands on the base with its working directory, and so does every clone of it. A
 * vassal covers the base with its distro and detaches the host's tree (steps-mount.c): pivot_root(2) would look at
 * each task of the machine for that (docs/decisions/0013).
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher.h"

#define MAX_MOUNTINFO (4 << 20)

#define MAX_KEEP 64

static const char *const foreign_places[] = {
    "/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/var/lib/kubelet", "/run/docker",
    "/run/containerd", "/run/netns",          "/run/user",           "/snap",
};
/* What container engines call the root of a container, wherever they keep them. */
static const char *const foreign_names[] = {"/merged", "/rootfs"};

/* Without symlinks, as the kernel tells mount points. */
static char keep[MAX_KEEP][PATH_MAX];
static int keep_count, mountinfo_fd = -1;
static char *mountinfo; /* MAX_MOUNTINFO bytes */

static bool is_at_or_below(const char *path, const char *directory) {
  size_t length = strlen(directory);
  return strncmp(path, directory, length) == 0 && (path[length] == 0 || path[length] == '/');
}

static bool is_needed(const char *path) {
  if (strcmp(path, "/") == 0) return true;
  for (int i = 0; i < keep_count; i++)
    if (is_at_or_below(path, keep[i]) || is_at_or_below(keep[i], path)) return true;
  return false;
}

static bool is_foreign(const char *path, const char *type) {
  const char *name = strrchr(path, '/');
  if (strcmp(type, "nsfs") == 0) return true;
  for (size_t i = 0; name && strcmp(type, "overlay") == 0 && i < COUNT_OF(foreign_names); i++)
    if (strcmp(name, foreign_names[i]) == 0) return true;
  for (size_t i = 0; i < COUNT_OF(foreign_places); i++)
    if (is_at_or_below(path, foreign_places[i])) return true;
  return false;
}

/* The kernel writes space, tab, newline and backslash as \\ooo. */
static void unescape(char *path) {
  char *to = path;
  for (const char *from = path; *from; to++) {
    bool is_escape = from[0] == '\\' && from[1] && from[2] && from[3];
    *to = is_escape ? (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0')) : *from;
    from += is_escape ? 4 : 1;
  }
  *to = 0;
}

/* One line of proc_pid_mountinfo(5): the mount point is word 5, the type follows " - ". */
static void judge(char *line) {
  char *separator = strstr(line, " - "), *path = line;
  for (int word = 1; word < 5 && path; word++) path = strchr(path + 1, ' ');
  if (!separator || !path) return;
  path++;
  path[strcspn(path, " ")] = 0;
  unescape(path);
  char *type = separator + 3;
  type[strcspn(type, " ")] = 0;
  if (is_foreign(path, type) && !is_needed(path)) umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

void mounts_prune(void) {
  lseek(mountinfo_fd, 0, SEEK_SET);
  size_t length = 0;
  for (ssize_t got; length < MAX_MOUNTINFO - 1; length += (size_t)got) {
    got = read(mountinfo_fd, mountinfo + length, MAX_MOUNTINFO - 1 - length);
    if (got <= 0) break;
  }
  mountinfo[length] = 0;
  for (char *line = mountinfo, *next; line && *line; line = next) {
    next = strchr(line, '\n');
    if (next) *next++ = 0;
    judge(line);
  }
}

/* Moves the host's tree onto a new root. That is mounted on /proc for a moment, since this is always there. */
static bool lay_base(void) {
  const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  return mount("base", "/proc", "tmpfs", flags, "nr_inodes=4,mode=0700") == 0 && chdir("/proc") == 0 &&
         mkdir(BASE_HOST, 0700) == 0 && sys_pivot_root(".", BASE_HOST) == 0 &&
         mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) == 0 && chroot(BASE_HOST) == 0;
}

/* Returns a descriptor that signals EPOLLPRI whenever the mounts change. */
int mounts_open(char **directories, int count) {
  for (int i = 0; i < count && keep_count < MAX_KEEP; i++)
    if (realpath(directories[i], keep[keep_count])) keep_count++;
  if (unshare(CLONE_NEWNS) < 0) return -1;
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 || !lay_base()) return -1;
  mountinfo = launcher_map(MAX_MOUNTINFO);
  if (!mountinfo) return -1;
  mountinfo_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  if (mountinfo_fd >= 0) mounts_prune();
  return mountinfo_fd;
}
