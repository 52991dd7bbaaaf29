/**
 * When a schedule comes next: a calendar over the offsets of one zone. Pure but for Intl's tables.
 *
 * Theory of operation. Time is looked through by UTC's days. Within a day the zone's offset is constant but for one
 * change at most, so the day is one piece or two, and within a piece the local clock just runs on: the local minutes
 * that the schedule names are listed in order and moved back to UTC. Days that cannot have a match are leapt over by
 * the local calendar alone.
 *
 * Where clocks are changed by less than three hours, Debian's cron(8) decides: a job with a wildcard in minute or hour
 * follows the clock as it is shown, so it has no time that is skipped and both of each that is repeated. Another one
 * runs once for what it names: at the change, if that was skipped (once, however many of its times were skipped), and
 * the first time only, if it is repeated. A larger change is a correction: then every job follows the clock.
 */
import { isNever, type Times } from './schedule.ts';
import { type Change, DAY_MS, type Zone } from './zone.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const CORRECTION_MS = 3 * HOUR_MS;
/** A 29th of February on a given weekday can be 40 years off; more means never. */
const HORIZON_DAYS = 41 * 366;

/** Returns up to `count` moments after `afterMs`, in milliseconds since 1970, ascending; fewer if there are no more. */
export function nextTimes(
  times: Times,
  zone: Zone,
  { afterMs, count }: { readonly afterMs: number; readonly count: number },
): readonly number[] {
  const found: number[] = [];
  while (found.length < count) {
    const next = nextTime(times, zone, found.at(-1) ?? afterMs);
    if (next === undefined) break;
    found.push(next);
  }
  return found;
}

/** Returns the first moment after `afterMs`; undefined if there is none. */
export function nextTime(times: Times, zone: Zone, afterMs: number): number | undefined {
  if (isNever(times)) return undefined;
  const first = Math.floor(afterMs / DAY_MS);
  for (let day = first; day <= first + HORIZON_DAYS; day = nextDay(times, day)) {
    const found = firstInDay(times, zone, { day, afterMs });
    if (found !== undefined) return found;
  }
  return undefined;
}

interface Search {
  /** UTC's day number since 1970. */
  readonly day: number;
  readonly afterMs: number;
}

/** The next of UTC's days that can hold a moment: a local day begins up to a day before UTC's, or after it. */
function nextDay(times: Times, day: number): number {
  for (let local = day; local <= day + HORIZON_DAYS; local = dayAfter(times, local)) {
    if (fitsDay(times, local)) return Math.max(day + 1, local - 1);
  }
  return day + HORIZON_DAYS + 1;
}

/** The next day, or the first of the next month where the schedule does not name this one. */
function dayAfter({ months }: Times, day: number): number {
  const date = new Date(day * DAY_MS);
  if (months.includes(date.getUTCMonth() + 1)) return day + 1;
  return date.setUTCMonth(date.getUTCMonth() + 1, 1) / DAY_MS;
}

/** The first moment after `afterMs` in a UTC day; a change at its very end belongs to it. */
function firstInDay(times: Times, zone: Zone, { day, afterMs }: Search): number | undefined {
  const change = zone.changeIn(day);
  const [start, end] = [day * DAY_MS, (day + 1) * DAY_MS];
  const fromMs = afterMs + 1;
  if (!change) return firstInPiece(times, zone, { fromMs: Math.max(start, fromMs), toMs: end });
  const before = { fromMs: Math.max(start, fromMs), toMs: change.atMs };
  const found = firstInPiece(times, zone, before);
  if (found !== undefined) return found;
  if (change.atMs >= fromMs && isOwedAt(times, zone, change)) return change.atMs;
  return firstInPiece(times, zone, { fromMs: Math.max(change.atMs, fromMs), toMs: end });
}

interface Piece {
  readonly fromMs: number;
  /** Not included. */
  readonly toMs: number;
}

/** The first match in a piece of constant offset. */
function firstInPiece(times: Times, zone: Zone, piece: Piece): number | undefined {
  const fromMs = times.isWildcard
    ? piece.fromMs
    : Math.max(piece.fromMs, repeatedUntil(zone, piece));
  if (fromMs >= piece.toMs) return undefined;
  const offset = zone.offsetAt(fromMs);
  const local = firstLocal(times, fromMs + offset, piece.toMs + offset);
  return local === undefined ? undefined : local - offset;
}

/** What the clocks show in the piece for a second time ends there. */
function repeatedUntil(zone: Zone, { fromMs }: Piece): number {
  const day = Math.floor(fromMs / DAY_MS);
  const ends = [zone.changeIn(day - 1), zone.changeIn(day)].map((change) =>
    change && change.byMs < 0 && -change.byMs < CORRECTION_MS && change.atMs <= fromMs
      ? change.atMs - change.byMs
      : Number.NEGATIVE_INFINITY,
  );
  return Math.max(...ends);
}

/** A change forward has skipped a minute that the schedule names. */
function isOwedAt(times: Times, zone: Zone, { atMs, byMs }: Change): boolean {
  if (times.isWildcard || byMs <= 0 || byMs >= CORRECTION_MS) return false;
  const shownMs = atMs + zone.offsetAt(atMs);
  return firstLocal(times, shownMs - byMs, shownMs) !== undefined;
}

/** The first minute that the schedule names in [fromMs, toMs) of a clock that runs evenly; as if it were UTC. */
function firstLocal(times: Times, fromMs: number, toMs: number): number | undefined {
  for (let day = Math.floor(fromMs / DAY_MS); day * DAY_MS < toMs; day += 1) {
    if (!fitsDay(times, day)) continue;
    const found = firstOnDay(times, fromMs - day * DAY_MS);
    if (found === undefined) continue;
    const ms = day * DAY_MS + found;
    return ms < toMs ? ms : undefined;
  }
  return undefined;
}

/** The first time of day from `fromMs` on, both in milliseconds since midnight. */
function firstOnDay({ hours, minutes }: Times, fromMs: number): number | undefined {
  for (const hour of hours) {
    const start = hour * HOUR_MS;
    if (start + HOUR_MS <= fromMs) continue;
    const minute = minutes.find((one) => start + one * MINUTE_MS >= fromMs);
    if (minute !== undefined) return start + minute * MINUTE_MS;
  }
  return undefined;
}

/** 1 January 1970 was a Thursday. */
const EPOCH_WEEKDAY = 4;

function fitsDay(times: Times, day: number): boolean {
  const date = new Date(day * DAY_MS);
  if (!times.months.includes(date.getUTCMonth() + 1)) return false;
  const hasDay = times.days.includes(date.getUTCDate());
  const weekday = (((day + EPOCH_WEEKDAY) % 7) + 7) % 7;
  const hasWeekday = times.weekdays.includes(weekday);
  return times.dayRule === 'either' ? hasDay || hasWeekday : hasDay && hasWeekday;
}
