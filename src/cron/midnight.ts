/** Where days begin in a time zone. Pure. */
import { DAY_MS, type Zone } from './zone.ts';

/** The first moment of the day that it is at `nowMs`; where clocks go forward at midnight that is a later hour. */
export function midnightBefore(zone: Zone, nowMs: number): number {
  const shownMs = nowMs + zone.offsetAt(nowMs);
  const dayMs = Math.floor(shownMs / DAY_MS) * DAY_MS;
  const guessMs = dayMs - zone.offsetAt(nowMs);
  const laterMs = dayMs - zone.offsetAt(guessMs);
  // Where they go back to midnight there are two.
  return Math.min(laterMs, dayMs - zone.offsetAt(laterMs - 1));
}

/** The first moment of the next day; no day has less than 22 hours, and none more than 26. */
export function midnightAfter(zone: Zone, nowMs: number): number {
  return midnightBefore(zone, midnightBefore(zone, nowMs) + 1.5 * DAY_MS);
}
