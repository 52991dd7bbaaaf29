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

bool child_limit(void) {
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
