/*
 * The payload: all processes of the vassal but init, as one thing that is joined, signalled and killed. With a
 * pid namespace that is everybody whom PID 1 can see; without one it is who is in the payload's cgroup, whose
 * files were opened before the drop (the kernel checks who opened them, not who writes).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emperor-init.h"

/* On cgroup v1 a child can be born behind the list; what a pass has killed is gone a moment later. */
#define KILL_PASSES 100

/* Its cgroup and the file of it by which processes join, and what kills all of it (cgroup v2) or keeps it from forking (v1). */
static int leaf_fd = -1, join_fd = -1, kill_fd = -1, freezer_fd = -1;
static bool is_born_inside;

/*
 * Lets init fork into the leaf after the drop: the kernel then asks whether the caller may write cgroup.procs
 * of the leaf and of what it has in common with init's own. No tenant can reach these files, and whoever could
 * would move processes within its own vassal.
 */
static bool give_birthplace(uid_t uid, gid_t gid) {
  return fchownat(leaf_fd, "cgroup.procs", uid, gid, 0) == 0 &&
         fchownat(leaf_fd, "../cgroup.procs", uid, gid, 0) == 0;
}

static bool open_leaf(const char *directory, uid_t uid, gid_t gid) {
  leaf_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (leaf_fd < 0) return false;
  kill_fd = openat(leaf_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
  if (kill_fd >= 0) return give_birthplace(uid, gid);
  freezer_fd = openat(leaf_fd, "freezer.state", O_WRONLY | O_CLOEXEC);
  return true;
}

bool payload_open(const char *join, uid_t uid, gid_t gid) {
  char directory[4096];
  join_fd = open(join, O_RDWR | O_CLOEXEC);
  if (join_fd < 0) return false;
  const char *slash = strrchr(join, '/');
  snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - join) : 0, join);
  return open_leaf(directory, uid, gid);
}

/* The mount lives as long as init: ending it here would wait for every cpu. */
bool payload_confine(void) {
  if (leaf_fd < 0) return true;
  int confined = sys_confined(leaf_fd);
  /* clone3() takes no O_PATH. */
  int inside = confined < 0 ? -1 : openat(confined, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (inside < 0) return false;
  close(leaf_fd);
  leaf_fd = inside;
  return true;
}

/* What its tenant's processes have: where memory runs out, init is not who is killed. */
#define OOM_SCORE "200"
static int score_fd = -1;
static char own_score[16];

void payload_keep_score(void) {
  /* Where there is no /proc the kernel decides by size alone, and init is small. */
  int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, own_score, sizeof own_score - 1);
  if (length > 0 && atoi(own_score) < atoi(OOM_SCORE)) score_fd = fd;
  else if (fd >= 0) close(fd);
}

/*
 * A child is born with its parent's score, and cannot raise its own before exec: it is no more dumpable than init, so its
 * files in /proc are root's. So init, which has opened its own before the drop, has the worse one while it forks.
 */
static bool be_worse(bool is_worse) {
  const char *score = is_worse ? OOM_SCORE : own_score;
  return score_fd < 0 || write(score_fd, score, strlen(score)) > 0;
}

/* A write to cgroup.procs of v2 waits for the whole machine's forks and exits (10 ms); being born there does not. */
static pid_t fork_into_leaf(void) {
  if (kill_fd < 0) return fork();
  pid_t pid = sys_clone3(0, leaf_fd);
  if (pid < 0 && (errno == EACCES || errno == EPERM || errno == ENOSYS || errno == EINVAL)) return fork();
  if (pid == 0) is_born_inside = true;
  return pid;
}

pid_t payload_fork(void) {
  be_worse(true);
  pid_t pid = fork_into_leaf();
  int error = errno;
  if (pid != 0) be_worse(false);
  errno = error;
  return pid;
}

bool payload_join(void) {
  return is_born_inside || join_fd < 0 || write(join_fd, "0", 1) == 1;
}

static int by_number(const void *one, const void *other) { return *(const int *)one - *(const int *)other; }

void payload_keep_only(int fd, int other) {
  int kept[] = {join_fd, fd, other};
  qsort(kept, COUNT_OF(kept), sizeof kept[0], by_number);
  unsigned from = 3;
  for (size_t i = 0; i < COUNT_OF(kept); i++) {
    if (kept[i] < (int)from) continue;
    if ((unsigned)kept[i] > from) syscall(SYS_close_range, from, (unsigned)kept[i] - 1, 0);
    from = (unsigned)kept[i] + 1;
  }
  syscall(SYS_close_range, from, ~0U, 0);
}

/*
 * Signals whoever stands in the leaf's cgroup.procs, of one session if `session` is not 0; returns how many there were, 1 if that cannot be
 * told. It is opened anew: v1 keeps the list of an open file for a second (kernel/cgroup/cgroup-v1.c,
 * CGROUP_PIDLIST_DESTROY_DELAY).
 */
static int signal_leaf(int signo, pid_t session) {
  static char text[65536];
  int count = 0;
  off_t offset = 0;
  if (leaf_fd < 0) return 0;
  int procs = openat(leaf_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
  if (procs < 0) return 1;
  for (ssize_t got; (got = pread(procs, text, sizeof text - 1, offset)) > 0; offset += got) {
    text[got] = 0;
    /* A number that the portion cuts is read again with the next one. */
    char *last = strrchr(text, '\n');
    if (!last) break;
    got = last + 1 - text;
    for (char *at = text; at < last; at = strchr(at, '\n') + 1, count++) {
      int pid = atoi(at);
      if (pid > 1 && (session == 0 || getsid(pid) == session)) kill(pid, signo);
    }
  }
  close(procs);
  return count;
}

static bool set_freezer(const char *state) {
  return freezer_fd >= 0 && write(freezer_fd, state, strlen(state)) > 0;
}

/* Who is to freeze forks no more; the signal takes effect on thaw. */
static int kill_pass(void) {
  set_freezer("FROZEN");
  int count = signal_leaf(SIGKILL, 0);
  set_freezer("THAWED");
  return count;
}

void payload_signal(int signo) {
  if (self.is_pid1) kill(-1, signo);
  else signal_leaf(signo, 0);
}

void payload_signal_session(pid_t session, int signo) { signal_leaf(signo, session); }

void payload_kill(void) {
  if (self.is_pid1) kill(-1, SIGKILL);
  else if (kill_fd < 0 || write(kill_fd, "1", 1) != 1)
    for (int pass = 0; pass < KILL_PASSES && kill_pass() > 0; pass++) usleep(1000);
}
