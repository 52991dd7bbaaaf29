/*
 * A home of limited size: an ext4 file system in a file of the host's (the image), behind a loop device (loop(4)).
 *
 * It is mounted in the vassal's own mount namespace and nowhere else, and the device clears itself with its last
 * mount. So nothing has to be undone, whoever ends a vassal, and an emperor that comes or goes changes nothing. What
 * is in the image is written by the kernel alone: the tenant sees the mount, never the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "emperor-init.h"

#define LOOP_CONTROL "/dev/loop-control"
#define DEVICE_BYTES 32
#define LOOP_MAJOR_NUMBER 7
/* Whoever starts at the same moment may take the device that was free. */
#define MAX_ATTEMPTS 1000
/* The device of a mount that has just ended clears itself in a moment. */
#define PATIENCE_MS 2000
#define LOOK_AGAIN_MS 10
#define BLOCK_BYTES 4096
/* EXT4_IOC_RESIZE_FS, fs/ext4/ext4.h. */
#define RESIZE_FS _IOW('f', 16, uint64_t)

/*
 * The image is sparse: what is deleted is given back to the host, and tables that nothing uses yet, all zeros, are not
 * written. A home whose disk fails is not written to any more.
 */
#define OPTIONS "errors=remount-ro,discard,noinit_itable"

static void wait_ms(long ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

/* The kernel gives this lease (fcntl(2), F_SETLEASE) while nobody has the file open for writing; else EAGAIN. */
static bool is_free(const char *path) {
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return false;
  bool is_leased = fcntl(fd, F_SETLEASE, F_RDLCK) == 0;
  int error = errno;
  close(fd); /* and gives it back: kept, it would hold up others */
  errno = error;
  return is_leased;
}

/*
 * Opens the image. EAGAIN: somebody may write to it, such as the device of another mount; two mounts of one image would
 * destroy it.
 */
static int open_alone(const char *path) {
  int64_t until = monotonic_ms() + PATIENCE_MS;
  while (!is_free(path)) {
    if (errno != EAGAIN || monotonic_ms() >= until) return -1;
    wait_ms(LOOK_AGAIN_MS);
  }
  return open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
}

static int configure(const char *device, int image) {
  struct loop_config config = {.fd = (uint32_t)image};
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
  int fd = open(device, O_RDWR | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, LOOP_CONFIGURE, &config) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/* Puts a free device before the image. `device` is its name, or that of what failed. */
static int attach(int image, char device[DEVICE_BYTES]) {
  strcpy(device, LOOP_CONTROL);
  int control = open(LOOP_CONTROL, O_RDWR | O_CLOEXEC);
  if (control < 0) return -1;
  int fd = -1;
  for (int i = 0; i < MAX_ATTEMPTS; i++) {
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) break;
    snprintf(device, DEVICE_BYTES, "/dev/loop%d", number);
    fd = configure(device, image);
    if (fd >= 0 || errno != EBUSY) break;
  }
  int error = errno;
  close(control);
  errno = error;
  return fd;
}

/*
 * A new file system belongs to root; it is given to the tenant once, as a home that is made (step_home). EXDEV: what
 * has its name now is not what is on `device`, since whoever owns the directory around it may rename.
 */
static bool give(const char *home, dev_t device, uid_t uid, gid_t gid) {
  int fd = open(home, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat stat;
  if (fd < 0) return false;
  bool is_done = fstat(fd, &stat) == 0;
  if (is_done && stat.st_dev != device) {
    errno = EXDEV;
    is_done = false;
  }
  if (is_done && stat.st_uid == 0) {
    unlinkat(fd, "lost+found", AT_REMOVEDIR);
    is_done = fchmod(fd, 0700) == 0 && fchown(fd, uid, gid) == 0;
  }
  int error = errno;
  close(fd);
  errno = error;
  return is_done;
}

static bool mount_at(const char *device, const char *home) {
  int target = open(home, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (target < 0) return false;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", target);
  bool is_done = mount(device, path, "ext4", MS_NOSUID | MS_NODEV | MS_NOATIME, OPTIONS) == 0;
  int error = errno;
  close(target);
  errno = error;
  return is_done;
}

bool step_image(const struct step *step) {
  char image[PATH_BYTES], home[PATH_BYTES], device[DEVICE_BYTES];
  if (!step_text(step, TAG_SOURCE, image) || !step_text(step, TAG_TARGET, home)) return false;
  int image_fd = open_alone(image);
  if (image_fd < 0) return fail(errno, "%s", image);
  int loop = attach(image_fd, device), error = errno;
  close(image_fd);
  if (loop < 0) return fail(error, "%s", device);
  struct stat of_loop;
  bool is_done = fstat(loop, &of_loop) == 0 && mount_at(device, home);
  error = errno;
  close(loop); /* Unless it is mounted, it clears itself now. */
  if (!is_done) return fail(error, "%s", home);
  uid_t uid = (uid_t)step_number(step, TAG_UID);
  gid_t gid = (gid_t)step_number(step, TAG_GID);
  return give(home, of_loop.st_rdev, uid, gid) || fail(errno, "%s", home);
}

/* ── growing ────────────────────────────────────────────────────────────────────────────────── */

static int complain(const char *what) {
  dprintf(2, "%s: %s\n", what, strerror(errno));
  return 1;
}

/* Opens the device of the file system that `home` is on, if `image` is what is behind it. */
static int open_device_of(int home, int image) {
  struct stat stat, behind;
  if (fstat(home, &stat) < 0 || fstat(image, &behind) < 0) return -1;
  errno = ENODEV;
  if (major(stat.st_dev) != LOOP_MAJOR_NUMBER) return -1;
  char device[DEVICE_BYTES];
  snprintf(device, sizeof device, "/dev/loop%u", minor(stat.st_dev));
  int fd = open(device, O_RDWR | O_CLOEXEC);
  struct loop_info64 info;
  if (fd < 0) return -1;
  if (ioctl(fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_inode == behind.st_ino && info.lo_device == behind.st_dev) {
    return fd;
  }
  close(fd);
  errno = ENODEV;
  return -1;
}

/* EBUSY: what an emperor that ended has left is at it still. */
static bool resize(int home, uint64_t blocks) {
  while (ioctl(home, RESIZE_FS, &blocks) < 0) {
    if (errno != EBUSY) return false;
    wait_ms(LOOK_AGAIN_MS);
  }
  return true;
}

/* Makes the file, the device before it and the file system in it larger, one after another; what is there, stays. */
int grow_main(int argc, char **argv) {
  if (argc != 3) return 2;
  int image = open(argv[0], O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (image < 0) return complain(argv[0]);
  int home = open(argv[1], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (home < 0) return complain(argv[1]);
  int device = open_device_of(home, image);
  if (device < 0) return complain("its loop device");
  struct stat stat;
  off_t bytes = strtoll(argv[2], NULL, 10);
  if (fstat(image, &stat) < 0) return complain(argv[0]);
  if (stat.st_size < bytes && ftruncate(image, bytes) < 0) return complain(argv[0]);
  if (ioctl(device, LOOP_SET_CAPACITY) < 0) return complain("its loop device");
  return resize(home, (uint64_t)bytes / BLOCK_BYTES) ? 0 : complain("its file system");
}
