/*
 * The end of a vassal. STOP signals every process, then waits for all of them to go, at most for the grace. What
 * is left then is killed, and reaped for a moment, so that those exits are told too. With PID 1 goes the rest.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slots.h"

/* What is killed is gone within this, or hangs in the kernel. */
#define REAP_MS 1000

static enum { PHASE_NONE, PHASE_GRACE, PHASE_KILLED } phase;
static int64_t until;

bool stop_is_under_way(void) { return phase != PHASE_NONE; }

__attribute__((noreturn)) static void leave(void) {
  if (phase != PHASE_KILLED) payload_kill();
  log_pipes_drain();
  _exit(0);
}

static bool has_children(void) {
  siginfo_t ignored;
  return waitid(P_ALL, 0, &ignored, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

void stop_check(void) {
  if (phase != PHASE_NONE && !has_children()) leave();
}

int stop_patience(void) {
  if (phase == PHASE_NONE) return -1;
  int64_t left = until - monotonic_ms();
  if (left > 0) return (int)left;
  if (phase == PHASE_KILLED) leave();
  payload_kill();
  phase = PHASE_KILLED;
  until = deadline_ms(REAP_MS);
  return REAP_MS;
}

/* A second STOP can only shorten the first one's grace. */
void stop_begin(uint64_t grace_ms, int signo) {
  int64_t end = deadline_ms(grace_ms);
  if (phase == PHASE_NONE || (phase == PHASE_GRACE && end < until)) until = end;
  if (phase == PHASE_NONE) phase = PHASE_GRACE;
  self.state = STATE_STOPPING;
  payload_signal(signo > 0 && signo < NSIG ? signo : SIGTERM);
  /* An interactive shell ignores SIGTERM. */
  for (int i = 0; i < used_slots; i++)
    if (slots[i].used && slots[i].tty_fd >= 0) slot_signal(&slots[i], SIGHUP);
  payload_signal(SIGCONT);
  stop_check();
}
