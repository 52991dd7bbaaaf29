/*
 * Hooks: the operator's own lines, run as root in the vassal's namespaces with the host's tools and file
 * system, before any tenant code. Their output goes to the log; what they leave running is killed (SWEEP).
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "emperor-init.h"

#define COMMAND_BYTES 65536

static void run_shell(const char *command, int out, int err) {
  char vassal[160];
  snprintf(vassal, sizeof vassal, "EMPEROR_VASSAL=%s", self.name);
  char *argv[] = {"sh", "-c", (char *)command, NULL};
  char *env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", vassal, NULL};
  setsid();
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  bool is_ready = payload_join() && null >= 0 && dup2(null, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2;
  if (!is_ready || chdir("/") < 0) _exit(126);
  child_reset_signals();
  execve("/bin/sh", argv, env);
  _exit(127);
}

/* Waits for `pid` and reaps whatever else ends; false when the time is up. */
static bool wait_for(pid_t pid, int64_t until, int *status) {
  for (;;) {
    int other;
    pid_t ended;
    while ((ended = waitpid(-1, &other, WNOHANG)) > 0) {
      if (ended != pid) continue;
      *status = other;
      return true;
    }
    int64_t left = until - monotonic_ms();
    if (left <= 0) return false;
    loop_turn((int)left);
  }
}

static bool judge(const char *command, int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  if (WIFEXITED(status)) return fail(ECHILD, "%.400s: exit status %d", command, WEXITSTATUS(status));
  return fail(ECHILD, "%.400s: killed by signal %d", command, WTERMSIG(status));
}

/* What hooks do in the background too goes when this init goes, or at the sweep. */
bool step_hook(const struct step *step) {
  static char command[COMMAND_BYTES];
  if (!field_text(step->fields, step->length, TAG_TEXT, command, sizeof command))
    return fail(EINVAL, "a hook without a command");
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) return fail(errno, "%.400s", command);
  pid_t pid = payload_fork();
  if (pid == 0) run_shell(command, out[1], err[1]);
  int error = errno;
  close(out[1]);
  close(err[1]);
  log_pipe_open(out[0], "hook", false);
  log_pipe_open(err[0], "hook", true);
  if (pid < 0) return fail(error, "%.400s", command);
  int status = 0;
  uint64_t limit = field_number(step->fields, step->length, TAG_LENGTH, 30000);
  bool has_ended = wait_for(pid, deadline_ms(limit), &status);
  log_pipes_drain();
  if (has_ended) return judge(command, status);
  return fail(ETIMEDOUT, "%.400s: still running after %llu ms", command, (unsigned long long)limit);
}

/* kill() reaches what is forking too; on cgroup v1 payload_kill() may need a second look. */
bool step_sweep(void) {
  do payload_kill();
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
  log_pipes_drain();
  return true;
}
