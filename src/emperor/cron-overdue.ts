/**
 * What becomes of a job whose minutes have come, or have gone by. Pure.
 *
 * The scheduler looks every few seconds, so mostly there is one minute, and it is now. More have gone by where the
 * clock was set forward, the machine slept, or no emperor ran:
 *
 * - a few minutes (a stall, a small correction): each of them is run;
 * - less than three hours, while we ran: a job of fixed times is run once, right after; one with a wildcard follows the
 *   clock (Debian's cron, as where a zone changes its clocks);
 * - more, or no emperor ran: they are missed, which is reported; `catch-up=1` runs the newest.
 */

export interface Overdue {
  /** Minutes of the job up to now that have not been dealt with, ascending. */
  readonly minutes: readonly number[];
  readonly now: number;
  /** How many minutes have passed since the last one that was lived through. */
  readonly passed: number;
  /** No emperor ran meanwhile. */
  readonly wasAway: boolean;
  readonly isWildcard: boolean;
  readonly catchesUp: boolean;
}

export interface Verdict {
  readonly run: readonly number[];
  readonly missed: readonly number[];
}

export const STALL_MINUTES = 5;
const CORRECTION_MINUTES = 180;

export function judgeOverdue(overdue: Overdue): Verdict {
  const { minutes, now, passed, wasAway, isWildcard, catchesUp } = overdue;
  if (!wasAway && passed <= STALL_MINUTES) return { run: minutes, missed: [] };
  const newest = minutes.slice(-1);
  if (!wasAway && passed < CORRECTION_MINUTES && !isWildcard) return { run: newest, missed: [] };
  const missed = minutes.filter((minute) => minute < now);
  const run = catchesUp ? newest : minutes.filter((minute) => minute === now);
  return { run, missed: missed.filter((minute) => !run.includes(minute)) };
}
