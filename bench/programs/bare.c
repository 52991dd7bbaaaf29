/*
 * The ceiling of a machine: starts vassals by what the kernel must do for each, and by nothing else. No emperor,
 * no init, no check; the same namespaces, mounts, cgroup, uid and system call filter.
 *
 * bare DISTRO OPT HOMES CGROUP FILTER: each line of stdin is a number; starts that many vassals of /opt/sleep more
 * and prints the seconds until the last of them runs. At the end of stdin it ends them all, a few at a time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define MAX_VASSALS 16384
#define MAX_INSTRUCTIONS 4096
#define MAX_FLIGHT 64
/* As many starts at the same time as the emperor has. */
#define STARTS_PER_CORE 4
/* Linux 6.18 does not survive the end of a thousand filters at once. */
#define ENDS_AT_ONCE 64
#define ENDS_PAUSE_US 100000
#define FIRST_UID 200000
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWPID)
#define INTO_CGROUP 0x200000000ULL
#define SHARE (MS_NOSUID | MS_NODEV)
#define FILE_SYSTEM (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* linux/filter.h and linux/sched.h, which musl does not bring. */
struct program { unsigned short length; void *instructions; };
struct clone_args { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup; };

static const char *distro, *opt, *homes, *cgroups;
static uint64_t instructions[MAX_INSTRUCTIONS];
static struct program filter = {0, instructions};
static pid_t pids[MAX_VASSALS];
static int vassals;

static void end_all(void) {
  char cgroup[4096];
  for (int from = 0; from < vassals; from += ENDS_AT_ONCE) {
    int to = from + ENDS_AT_ONCE < vassals ? from + ENDS_AT_ONCE : vassals;
    for (int i = from; i < to; i++) kill(pids[i], SIGKILL);
    for (int i = from; i < to; i++) {
      waitpid(pids[i], NULL, 0);
      snprintf(cgroup, sizeof cgroup, "%s/bare%d", cgroups, i);
      rmdir(cgroup);
    }
    usleep(ENDS_PAUSE_US);
  }
}

/* A child is PID 1 where it is. */
static void check(int result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
  if (getpid() != 1) end_all();
  _exit(1);
}

static void mount_at(const char *type, const char *target, unsigned long flags, const char *options) {
  check(mount(type, target, type, flags, options), target);
}

static void bind_at(const char *source, const char *target, unsigned long flags) {
  check(mount(source, target, NULL, MS_BIND, NULL), target);
  check(mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | flags, NULL), target);
}

static void directory(const char *path, mode_t mode) { check(mkdir(path, mode), path); }

static void devices(void) {
  static const struct { const char *path; int major, minor; } all[] = {
      {"dev/null", 1, 3},   {"dev/zero", 1, 5},    {"dev/full", 1, 7},
      {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0},
  };
  static const char *const links[][2] = {{"pts/ptmx", "dev/ptmx"}, {"/proc/self/fd", "dev/fd"},
      {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"}};
  mount_at("tmpfs", "dev", MS_NOSUID | MS_NOEXEC, "size=256k,mode=755");
  for (size_t i = 0; i < COUNT_OF(all); i++)
    check(mknod(all[i].path, S_IFCHR | 0666, makedev(all[i].major, all[i].minor)), all[i].path);
  for (size_t i = 0; i < COUNT_OF(links); i++) check(symlink(links[i][0], links[i][1]), links[i][1]);
  directory("dev/pts", 0755);
  directory("dev/shm", 0755);
  directory("dev/mqueue", 0755);
  directory("dev/.own", 0755);
  directory("dev/.own/empty", 0555);
  mount_at("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
  mount_at("tmpfs", "dev/shm", FILE_SYSTEM, "size=64m,mode=1777");
  mount_at("mqueue", "dev/mqueue", FILE_SYSTEM, NULL);
}

static void cover_proc(void) {
  static const char *const masked[] = {
      "proc/acpi", "proc/asound", "proc/interrupts", "proc/kcore", "proc/keys", "proc/key-users", "proc/kallsyms",
      "proc/latency_stats", "proc/sched_debug", "proc/scsi", "proc/timer_list", "proc/timer_stats"};
  static const char *const read_only[] = {"proc/bus", "proc/fs", "proc/irq", "proc/pressure", "proc/sys",
                                          "proc/sysrq-trigger"};
  struct stat stat;
  mount_at("proc", "proc", FILE_SYSTEM, NULL);
  for (size_t i = 0; i < COUNT_OF(masked); i++)
    if (lstat(masked[i], &stat) == 0)
      bind_at(S_ISDIR(stat.st_mode) ? "dev/.own/empty" : "dev/null", masked[i], MS_RDONLY | MS_NOSUID | MS_NOEXEC);
  for (size_t i = 0; i < COUNT_OF(read_only); i++)
    if (lstat(read_only[i], &stat) == 0) bind_at(read_only[i], read_only[i], MS_RDONLY | FILE_SYSTEM);
}

static void etc_files(void) {
  static const char *const names[] = {"hosts", "hostname", "resolv.conf", "passwd", "group"};
  char own[64], target[64];
  struct stat stat;
  for (size_t i = 0; i < COUNT_OF(names); i++) {
    snprintf(own, sizeof own, "dev/.own/%s", names[i]);
    snprintf(target, sizeof target, "etc/%s", names[i]);
    if (lstat(target, &stat) < 0) continue;
    int fd = open(own, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    check(fd, own);
    check((int)write(fd, "127.0.0.1 localhost\n", 20), own);
    close(fd);
    bind_at(own, target, MS_RDONLY | FILE_SYSTEM);
  }
}

static void file_systems(const char *home) {
  check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "/");
  bind_at(distro, distro, MS_RDONLY | SHARE);
  check(chdir(distro), distro);
  devices();
  cover_proc();
  mount_at("tmpfs", "tmp", SHARE, "size=64m,mode=1777");
  mount_at("tmpfs", "var/tmp", SHARE, "size=64m,mode=1777");
  mount_at("tmpfs", "run", SHARE, "size=16m,mode=1777");
  etc_files();
  directory("dev/.own/home", 0755);
  directory("dev/.own/home/own", 0755);
  bind_at("dev/.own/home", "home", MS_RDONLY | SHARE);
  bind_at(home, "home/own", SHARE);
  bind_at("dev/.own/empty", "var/log", MS_RDONLY | SHARE);
  bind_at(opt, "opt", MS_RDONLY | SHARE);
  check((int)syscall(SYS_pivot_root, ".", "."), "pivot_root");
  check(umount2(".", MNT_DETACH), "the old root");
  check(chdir("/"), "/");
}

static void loopback(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  check(fd, "socket");
  check(ioctl(fd, SIOCSIFFLAGS, &request), "lo");
  close(fd);
}

/* The child's side: becomes the vassal. */
static void become(int number) {
  char name[32], home[4096];
  uid_t uid = FIRST_UID + (uid_t)number;
  snprintf(name, sizeof name, "bare%d", number);
  snprintf(home, sizeof home, "%s/%s", homes, name);
  setsid();
  directory(home, 0700);
  check(chown(home, uid, uid), home);
  file_systems(home);
  check(sethostname(name, strlen(name)), name);
  loopback();
  check(setgroups(0, NULL), "setgroups");
  check(setresgid(uid, uid, uid), "setresgid");
  check(setresuid(uid, uid, uid), "setresuid");
  check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
  check(prctl(PR_SET_SECCOMP, 2, &filter), "filter");
  execl("/opt/sleep", "sleep", NULL);
  check(-1, "/opt/sleep");
}

/* Clones a vassal into a cgroup of its own; returns what hangs up when its program runs. */
static int start(void) {
  char cgroup[4096];
  int running[2];
  snprintf(cgroup, sizeof cgroup, "%s/bare%d", cgroups, vassals);
  directory(cgroup, 0755);
  int cgroup_fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  check(cgroup_fd, cgroup);
  check(pipe2(running, O_CLOEXEC), "pipe");
  struct clone_args args = {.flags = NAMESPACES | INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup_fd};
  pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
  check(pid, "clone3");
  if (pid == 0) become(vassals);
  close(cgroup_fd);
  close(running[1]);
  pids[vassals++] = pid;
  return running[0];
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void start_more(int more) {
  struct pollfd flight[MAX_FLIGHT];
  int flying = 0, most = STARTS_PER_CORE * (int)sysconf(_SC_NPROCESSORS_ONLN);
  if (most > MAX_FLIGHT) most = MAX_FLIGHT;
  while (more > 0 || flying > 0) {
    for (; more > 0 && flying < most; more--) flight[flying++] = (struct pollfd){start(), POLLIN, 0};
    poll(flight, (nfds_t)flying, -1);
    for (int i = flying - 1; i >= 0; i--) {
      if (!flight[i].revents) continue;
      close(flight[i].fd);
      flight[i] = flight[--flying];
    }
  }
  if (waitpid(-1, NULL, WNOHANG) != 0) check(-1, "a vassal ended");
}

static void read_filter(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  check(fd, path);
  ssize_t length = read(fd, instructions, sizeof instructions);
  check((int)length, path);
  filter.length = (unsigned short)((size_t)length / sizeof *instructions);
  close(fd);
}

int main(int argc, char **argv) {
  char line[32];
  if (argc != 6) {
    fprintf(stderr, "usage: bare DISTRO OPT HOMES CGROUP FILTER\n");
    return 2;
  }
  distro = argv[1];
  opt = argv[2];
  homes = argv[3];
  cgroups = argv[4];
  read_filter(argv[5]);
  umask(0);
  /* Mounts of the children stay among them. */
  check(unshare(CLONE_NEWNS), "unshare");
  check(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), "/");
  while (fgets(line, sizeof line, stdin)) {
    int more = atoi(line);
    if (more < 1 || more > MAX_VASSALS - vassals) break;
    double begin = now();
    start_more(more);
    printf("%.6f\n", now() - begin);
    fflush(stdout);
  }
  end_all();
  return 0;
}
