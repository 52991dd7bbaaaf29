import { describe, expect, test } from 'vitest';
import { nextTimes } from '../../../src/cron/next-times.ts';
import { parseSchedule } from '../../../src/cron/parse-schedule.ts';
import type { Times } from '../../../src/cron/schedule.ts';
import { zoneOf } from '../../../src/cron/zone.ts';
import {
  type FieldTest,
  predicateOf,
  readSpan,
  type Span,
  type Stepped,
  stepTo,
} from '../../support/cron-stepper.ts';

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;

function timesOf(expression: string): Times {
  const parsed = parseSchedule(expression);
  if ('faults' in parsed) throw new Error(`${expression}: ${parsed.faults[0]?.message}`);
  if (parsed.schedule.kind !== 'times') throw new Error(`${expression} names no times`);
  return parsed.schedule;
}

/** The next times as the zone's clocks show them, with UTC in brackets where that helps. */
function next(expression: string, zone: string, from: string, count = 3): readonly string[] {
  const found = nextTimes(timesOf(expression), zoneOf(zone), { afterMs: Date.parse(from), count });
  return found.map((ms) => {
    const local = new Date(ms + zoneOf(zone).offsetAt(ms)).toISOString().slice(0, 16);
    return `${local} (${new Date(ms).toISOString().slice(5, 16)}Z)`;
  });
}

describe('nextTimes()', () => {
  test("partly M71: counts what divides the field in uWSGI's spelling, steps in crontab's", () => {
    expect(next('0 0 -5 -1 -1', 'UTC', '2026-01-01T00:00Z', 7)).toEqual(
      [5, 10, 15, 20, 25, 30]
        .map((day) => expect.stringContaining(`2026-01-${two(day)}T00:00`))
        .concat(expect.stringContaining('2026-02-05T00:00')),
    );
    expect(next('0 0 */5 * *', 'UTC', '2026-01-01T00:00Z', 3)).toEqual(
      [6, 11, 16].map((day) => expect.stringContaining(`2026-01-${two(day)}T00:00`)),
    );
  });

  test('joins day and weekday by "or" where both are named, by "and" otherwise', () => {
    // Friday or the 13th; the 13th that are Fridays, by an even weekday; the same in both spellings.
    expect(next('0 0 13 * 5', 'UTC', '2026-02-01T00:00Z', 3)).toEqual(
      next('0 0 13 -1 5', 'UTC', '2026-02-01T00:00Z', 3).map((time) => time),
    );
    expect(
      next('0 0 13 * 5', 'UTC', '2026-02-08T00:00Z', 2).map((time) => time.slice(0, 10)),
    ).toEqual(['2026-02-13', '2026-02-20']);
    expect(
      next('0 0 13 * */5', 'UTC', '2026-02-14T00:00Z', 2).map((time) => time.slice(0, 10)),
    ).toEqual(['2026-03-13', '2026-09-13']);
    expect(
      next('0 0 -13 -1 -5', 'UTC', '2026-02-14T00:00Z', 2).map((time) => time.slice(0, 10)),
    ).toEqual(['2026-03-13', '2026-04-26']);
  });

  test('runs a job of a skipped time right after, of a repeated time once (Debian cron)', () => {
    const spring = '2026-03-28T12:00Z';
    const autumn = '2026-10-24T12:00Z';
    expect(next('30 2 * * *', 'Europe/Berlin', spring, 2)).toEqual([
      '2026-03-29T03:00 (03-29T01:00Z)',
      '2026-03-30T02:30 (03-30T00:30Z)',
    ]);
    expect(next('5,35 2 29 3 *', 'Europe/Berlin', spring, 1)).toEqual([
      '2026-03-29T03:00 (03-29T01:00Z)',
    ]);
    expect(next('30 2 * * *', 'Europe/Berlin', autumn, 2)).toEqual([
      '2026-10-25T02:30 (10-25T00:30Z)',
      '2026-10-26T02:30 (10-26T01:30Z)',
    ]);
  });

  test('lets a wildcard follow the clock as it is shown', () => {
    expect(next('*/30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', 4)).toEqual([
      '2026-10-25T02:00 (10-25T00:00Z)',
      '2026-10-25T02:30 (10-25T00:30Z)',
      '2026-10-25T02:00 (10-25T01:00Z)',
      '2026-10-25T02:30 (10-25T01:30Z)',
    ]);
    expect(next('*/30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00Z', 1)).toEqual([
      '2026-03-30T02:00 (03-30T00:00Z)',
    ]);
    expect(next('@hourly', 'Europe/Berlin', '2026-10-24T23:30Z', 4)).toHaveLength(4);
  });

  test('knows a change of half an hour', () => {
    expect(next('45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T00:00Z', 2)).toEqual([
      '2026-04-05T01:45 (04-04T14:45Z)',
      '2026-04-06T01:45 (04-05T15:15Z)',
    ]);
    expect(next('15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00Z', 1)).toEqual([
      '2026-10-04T02:30 (10-03T15:30Z)',
    ]);
  });

  test('takes a whole day that a zone has left out for a correction', () => {
    expect(next('0 12 30 12 *', 'Pacific/Apia', '2011-12-01T00:00Z', 1)).toEqual([
      '2012-12-30T12:00 (12-29T22:00Z)',
    ]);
  });

  test('finds a day that is 40 years off, and never what there is not', () => {
    expect(next('0 0 29 2 */7', 'UTC', '2073-01-01T00:00Z', 1)[0]).toContain('2088-02-29');
    expect(next('0 0 29 2 */7', 'UTC', '2088-03-01T00:00Z', 1)[0]).toContain('2128-02-29');
    expect(next('0 0 30 2 *', 'UTC', '2026-01-01T00:00Z', 1)).toEqual([]);
  });

  test('leaps over months that are not named, and looks for no date that there is not', () => {
    const lookedAt = (expression: string) => {
      const times = timesOf(expression);
      let looks = 0;
      const counted: Times = {
        ...times,
        get months() {
          looks += 1;
          return times.months;
        },
      };
      nextTimes(counted, zoneOf('UTC'), { afterMs: Date.parse('2088-03-01T00:00Z'), count: 1 });
      return looks;
    };
    // Twice for each day of forty Februaries; a customer may have hundreds of such lines, and edit them all the time.
    expect(lookedAt('0 0 29 2 */7')).toBeLessThan(2 * 41 * (29 + 12));
    expect(lookedAt('0 0 30 2 *')).toBeLessThan(5);
  });

  test('is strictly after the moment that it is asked about', () => {
    expect(next('0 12 * * *', 'UTC', '2026-01-01T12:00:00.000Z', 1)[0]).toContain('2026-01-02');
    expect(next('0 12 * * *', 'UTC', '2026-01-01T11:59:59.999Z', 1)[0]).toContain('2026-01-01');
  });
});

function two(number: number): string {
  return String(number).padStart(2, '0');
}

// ── against a stepper ──────────────────────────────────────────────────────────────────────────

const ZONES = [
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Asia/Kolkata',
  'UTC',
  'America/St_Johns',
];

/** Days around each change of clocks of a year, and some without one. */
const STARTS: Readonly<Record<string, readonly string[]>> = {
  'Europe/Berlin': ['2026-03-27', '2027-10-29'],
  'America/New_York': ['2026-03-06', '2028-11-03'],
  'Australia/Lord_Howe': ['2026-04-03', '2027-10-01'],
  'Asia/Kolkata': ['2028-02-27', '2026-12-30'],
  UTC: ['2028-02-27', '2026-12-30'],
  'America/St_Johns': ['2026-03-06', '2026-10-30', '2011-11-04'],
};
const SPAN_DAYS = 4;

/** A small generator of our own: fast-check would spend most of the time on shrinking trees of 100,000 cases. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface MadeField {
  readonly text: string;
  readonly test: FieldTest;
  readonly isStar: boolean;
}

interface Bounds {
  readonly min: number;
  readonly max: number;
}
const BOUNDS: readonly Bounds[] = [
  { min: 0, max: 59 },
  { min: 0, max: 23 },
  { min: 1, max: 31 },
  { min: 1, max: 12 },
  { min: 0, max: 6 },
];

type Random = (below: number) => number;

function classicField(random: Random, { min, max }: Bounds): MadeField {
  const from = min + random(max - min + 1);
  const to = from + random(max - from + 1);
  const step = 1 + random(7);
  const other = min + random(max - min + 1);
  switch (random(7)) {
    case 0:
    case 1:
      return { text: '*', test: () => true, isStar: true };
    case 2:
      return { text: `*/${step}`, test: (n) => (n - min) % step === 0, isStar: true };
    case 3:
      return { text: `${from}`, test: (n) => n === from, isStar: false };
    case 4:
      return { text: `${from}-${to}`, test: (n) => n >= from && n <= to, isStar: false };
    case 5:
      return {
        text: `${from}-${to}/${step}`,
        test: (n) => n >= from && n <= to && (n - from) % step === 0,
        isStar: false,
      };
    default:
      return {
        text: `${other},${from}-${to}`,
        test: (n) => n === other || (n >= from && n <= to),
        isStar: false,
      };
  }
}

function uwsgiField(random: Random, { min, max }: Bounds): MadeField {
  const value = min + random(max - min + 1);
  const divisor = 2 + random(Math.max(1, max - 2));
  switch (random(4)) {
    case 0:
    case 1:
      return { text: '-1', test: () => true, isStar: true };
    case 2:
      return { text: `-${divisor}`, test: (n) => n % divisor === 0, isStar: true };
    default:
      return { text: `${value}`, test: (n) => n === value, isStar: false };
  }
}

const SCHEDULES = 20_000;
/** Moments at which each schedule is asked for its next time. */
const MOMENTS = 5;

interface Made {
  readonly text: string;
  readonly stepped: Stepped;
}

/** Any month: a date that is years off proves nothing in a span of days. */
function makeSchedule(random: Random, makeField: typeof classicField): Made {
  const [minute, hour, day, month, weekday] = BOUNDS.map((bounds) => makeField(random, bounds));
  if (!minute || !hour || !day || !month || !weekday) throw new Error('no field');
  const any = makeField === classicField ? '*' : '-1';
  return {
    text: [minute.text, hour.text, day.text, any, weekday.text].join(' '),
    stepped: {
      fits: predicateOf({
        minute: minute.test,
        hour: hour.test,
        day: day.test,
        month: () => true,
        weekday: weekday.test,
        isEither: !day.isStar && !weekday.isStar,
      }),
      isWildcard: minute.isStar || hour.isStar,
    },
  };
}

describe('nextTimes() against a stepper of minutes', () => {
  test('100,000 cases of both spellings in six zones, around every kind of change', () => {
    const spans = ZONES.flatMap((zone) =>
      (STARTS[zone] ?? []).map((date) => ({
        zone,
        span: readSpan(zone, Date.parse(`${date}T00:00Z`), SPAN_DAYS * DAY_MINUTES),
      })),
    );
    const seed = 20_260_328;
    const random = randomFrom(seed);
    const differences: string[] = [];
    let found = 0;
    for (let index = 0; index < SCHEDULES && differences.length < 10; index += 1) {
      const chosen = spans[random(spans.length)];
      if (!chosen) throw new Error('no span');
      const { text, stepped } = makeSchedule(random, index % 2 ? classicField : uwsgiField);
      const times = timesOf(text);
      for (let moment = 0; moment < MOMENTS; moment += 1) {
        const after = random((SPAN_DAYS - 1) * DAY_MINUTES);
        const expected = stepTo(chosen.span, stepped, after);
        if (expected >= 0) found += 1;
        const difference = compare(times, chosen, { after, expected });
        if (difference)
          differences.push(`${text} ${difference} (schedule ${index} of seed ${seed})`);
      }
    }
    expect(differences).toEqual([]);
    expect(found).toBeGreaterThan((SCHEDULES * MOMENTS) / 2);
  });
});

function compare(
  times: Times,
  { zone, span }: { readonly zone: string; readonly span: Span },
  { after, expected }: { readonly after: number; readonly expected: number },
): string | undefined {
  const afterMs = span.startMs + after * MINUTE_MS;
  const [ours] = nextTimes(times, zoneOf(zone), { afterMs, count: 1 });
  const endMs = span.startMs + span.local.length * MINUTE_MS;
  const wanted = expected < 0 ? undefined : span.startMs + expected * MINUTE_MS;
  const got = ours !== undefined && ours >= endMs ? undefined : ours;
  if (got === wanted) return undefined;
  return `in ${zone} after ${new Date(afterMs).toISOString()}: ${iso(got)}, stepped to ${iso(wanted)}`;
}

function iso(ms: number | undefined): string {
  return ms === undefined ? 'none' : new Date(ms).toISOString();
}
