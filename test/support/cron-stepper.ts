/**
 * An independent oracle for schedules: walks minute by minute through a span of time as Debian's cron daemon does
 * (a virtual clock beside the real one), and reads fields one value at a time. Shares no code with src/cron.
 */

export interface Span {
  readonly startMs: number;
  /** What the zone's clocks show in each minute, as if it were UTC: minutes since 1970. */
  readonly local: Int32Array;
}

/** Reads the clocks of a zone for `minutes` from `startMs` on; the slow and sure way. */
export function readSpan(zone: string, startMs: number, minutes: number): Span {
  const format = new Intl.DateTimeFormat('sv-SE', {
    timeZone: zone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  });
  const local = Int32Array.from({ length: minutes }, (_, index) => {
    const shown = format.format(startMs + index * 60_000).replace(' ', 'T');
    return Date.parse(`${shown}:00Z`) / 60_000;
  });
  return { startMs, local };
}

export type Predicate = (minute: number) => boolean;

export interface Stepped {
  readonly fits: Predicate;
  readonly isWildcard: boolean;
}

/** The virtual clock is at most three hours off the real one, so a walk may begin that long before. */
const SETTLED_MINUTES = 400;

/** Returns the index of the first minute behind `after` in which the job is run; -1 if there is none in the span. */
export function stepTo({ local }: Span, { fits, isWildcard }: Stepped, after: number): number {
  const start = Math.max(0, after - SETTLED_MINUTES);
  let virtual = at(local, start) - 1;
  for (let index = start; index < local.length; index += 1) {
    const now = at(local, index);
    const jump = now - virtual;
    let isRun = false;
    if (isWildcard) {
      isRun = fits(now);
      virtual = now;
    } else if (jump > 0 && jump < 180) {
      while (virtual < now) {
        virtual += 1;
        if (fits(virtual)) isRun = true;
      }
    } else if (jump <= -180 || jump >= 180) {
      virtual = now;
      isRun = fits(now);
    }
    if (isRun && index > after) return index;
  }
  return -1;
}

function at(local: Int32Array, index: number): number {
  return local[index] ?? Number.NaN;
}

/** One field as a question: is this number in it? Written for each form that a test can make. */
export type FieldTest = (value: number) => boolean;

export interface FieldTests {
  readonly minute: FieldTest;
  readonly hour: FieldTest;
  readonly day: FieldTest;
  readonly month: FieldTest;
  readonly weekday: FieldTest;
  /** Day or weekday is enough. */
  readonly isEither: boolean;
}

/** Keeps its answers for days: most of the time of a test goes into them. */
export function predicateOf(tests: FieldTests): Predicate {
  let known = Number.NaN;
  let isDay = false;
  return (minute) => {
    const day = Math.floor(minute / 1440);
    if (day !== known) {
      known = day;
      isDay = fitsDate(tests, new Date(day * 86_400_000));
    }
    if (!isDay) return false;
    const rest = minute - day * 1440;
    return tests.minute(rest % 60) && tests.hour(Math.floor(rest / 60));
  };
}

function fitsDate(tests: FieldTests, date: Date): boolean {
  if (!tests.month(date.getUTCMonth() + 1)) return false;
  const day = tests.day(date.getUTCDate());
  const weekday = tests.weekday(date.getUTCDay());
  return tests.isEither ? day || weekday : day && weekday;
}
