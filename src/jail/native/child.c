/* Between fork and exec: what everything that init starts goes through. Runs in the child. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "emperor-init.h"

void child_reset_signals(void) {
  for (int signo = 1; signo < NSIG; signo++) signal(signo, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Where memory runs out, init is not who is killed: it has the score that it was started with. */
#define OOM_SCORE "200"

static void offer_to_oom_killer(void) {
  /* Where there is no /proc the kernel decides by size alone, and init is small. */
  write_file("/proc/self/oom_score_adj", OOM_SCORE);
}

bool child_limit(void) {
  offer_to_oom_killer();
  for (int i = 0; i < self.rlimit_count; i++)
    if (setrlimit(self.rlimits[i].resource, &self.rlimits[i].limit) < 0) return false;
  return true;
}

bool child_filter(void) {
  if (self.filter_length == 0) return true;
  struct sock_fprog program = {.len = (unsigned short)(self.filter_length / sizeof(struct sock_filter)),
                               .filter = (struct sock_filter *)(void *)self.filter};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
