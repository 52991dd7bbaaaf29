/*
 * The gate: everything is prepared, no instruction of the tenant has run. Init says so to the launcher and
 * then waits for an emperor's GO on init.sock. An emperor that dies meanwhile leaves nothing half-made: the
 * end of its connection, or silence, ends this init.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emperor-init.h"

struct peer *gate_peer; /* who said GO, to be answered when the last step is done */
uint32_t gate_request;

static void report_gate(void) {
  struct { int step, error; } report = {-1, 0};
  if (write(INIT_REPORT_FD, &report, sizeof report) < 0) return;
  close(INIT_REPORT_FD);
}

bool step_gate(uint64_t limit_ms) {
  report_gate();
  int64_t until = monotonic_ms() + (int64_t)limit_ms;
  while (!gate_peer) {
    int64_t left = until - monotonic_ms();
    if (left <= 0) _exit(0);
    loop_turn((int)left);
  }
  return true;
}

void gate_passed(void) {
  self.state = STATE_RUNNING;
  if (gate_peer) loop_say_ok(gate_peer, gate_request);
  gate_peer = NULL;
}

void gate_failed(void) {
  if (gate_peer) loop_say_error(gate_peer, gate_request, failure.step, failure.error, failure.detail);
}
