/*
 * Sessions whose other end has gone. All their processes get SIGHUP, which a shell passes on and most programs end
 * at; those that are left after the grace are killed. What took a session of its own (setsid, tmux) lives on.
 *
 * A session is known by its number, which the kernel gives to nobody else while anybody is in it. The table is as
 * large as that of the slots; whom it has no place for is killed at once.
 */
#include <signal.h>

#include "slots.h"

#define GRACE_MS 5000

static struct { pid_t session; int64_t until; } waiting[MAX_SLOTS];
static int count; /* in the order of their time */

void hangup_begin(pid_t session) {
  bool has_room = count < MAX_SLOTS;
  payload_signal_session(session, has_room ? SIGHUP : SIGKILL);
  /* Who is stopped would not hear of it. */
  payload_signal_session(session, SIGCONT);
  if (!has_room) return;
  waiting[count].session = session;
  waiting[count++].until = deadline_ms(GRACE_MS);
}

int hangup_patience(void) {
  int64_t now = monotonic_ms();
  int due = 0;
  while (due < count && waiting[due].until <= now) payload_signal_session(waiting[due++].session, SIGKILL);
  if (due > 0) {
    for (int i = due; i < count; i++) waiting[i - due] = waiting[i];
    count -= due;
  }
  return count == 0 ? -1 : (int)(waiting[0].until - now);
}
