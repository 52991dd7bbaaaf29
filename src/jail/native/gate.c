/*
 * The gate: everything is prepared, no instruction of the tenant has run. Init says so to the launcher and
 * then waits for an emperor's GO on init.sock. An emperor that dies meanwhile leaves nothing half-made: the
 * end of the connection of whoever greeted us, or silence, ends this init. Others may come and go.
 *
 * init.sock is served while hooks run too; a GO that comes so early is refused, as is a second one.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "emperor-init.h"

static struct peer *gate_peer; /* who said GO, to be answered when the last step is done */
static uint32_t gate_request;
static bool is_at_gate;
static int report_fd = INIT_REPORT_FD;

__attribute__((noreturn)) static void give_up(void) {
  /* With PID 1 goes its namespace; without one, whatever hooks still run must be killed. */
  if (!self.is_pid1) payload_kill();
  _exit(0);
}

/* To the launcher. Later nobody listens there, and the descriptor's number may be somebody else's. */
static void report(size_t length) {
  if (report_fd < 0) return;
  /* A launcher that has died does not mind. */
  ssize_t ignored = write(report_fd, &failure, length);
  (void)ignored;
  close(report_fd);
  report_fd = -1;
}

void gate_failed(void) {
  report(2 * sizeof(int) + strlen(failure.detail));
  if (gate_peer) loop_say_error(gate_peer, gate_request, failure.step, failure.error, failure.detail);
  if (!self.is_pid1) payload_kill();
}

void gate_serve(struct peer *peer, const struct frame *frame) {
  if (frame->verb != VERB_GO || !is_at_gate) {
    loop_say_error(peer, frame->id, -1, EAGAIN, "not started yet");
  } else if (gate_peer) {
    loop_say_error(peer, frame->id, -1, EALREADY, "it is going already");
  } else {
    gate_peer = peer;
    gate_request = frame->id;
  }
}

void gate_peer_gone(const struct peer *peer) {
  if (self.state == STATE_GATE && (peer->has_greeted || peer == gate_peer)) give_up();
}

bool step_gate(uint64_t limit_ms) {
  is_at_gate = true;
  failure.error = 0;
  report(2 * sizeof(int));
  int64_t until = deadline_ms(limit_ms);
  while (!gate_peer) {
    int64_t left = until - monotonic_ms();
    if (left <= 0) give_up();
    loop_turn((int)left);
  }
  return true;
}

void gate_passed(void) {
  report(2 * sizeof(int));
  self.state = STATE_RUNNING;
  if (gate_peer) loop_say_ok(gate_peer, gate_request);
  gate_peer = NULL;
}
