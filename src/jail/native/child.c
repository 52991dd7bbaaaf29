/* Between fork and exec: what everything that init starts goes through. Runs in the child. */

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emperor-init.h"

bool child_join_payload(void) {
  for (int i = 0; i < self.payload_count; i++)
    if (write(self.payload_fds[i], "0", 1) != 1) return false;
  return true;
}

void child_reset_signals(void) {
  for (int signo = 1; signo < NSIG; signo++) signal(signo, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

bool child_confine(void) {
  for (int i = 0; i < self.rlimit_count; i++)
    if (setrlimit((int)self.rlimits[i].resource, &self.rlimits[i].limit) < 0) return false;
  if (self.filter_length == 0) return true;
  struct sock_fprog program = {(unsigned short)(self.filter_length / sizeof(struct sock_filter)), (struct sock_filter *)(void *)self.filter};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
