/** Schedules that people have, against croner, which nobody here wrote. In UTC: it has another rule where clocks change. */
import { Cron } from 'croner';
import { expect, test } from 'vitest';
import { nextTimes } from '../../../src/cron/next-times.ts';
import { parseSchedule } from '../../../src/cron/parse-schedule.ts';
import { zoneOf } from '../../../src/cron/zone.ts';

/** Out of crontabs of Debian packages, of handbooks, of what people ask for. */
const REAL = [
  '* * * * *',
  '*/5 * * * *',
  '*/10 * * * *',
  '*/15 8-17 * * 1-5',
  '0,30 9-17 * * mon-fri',
  '17 * * * *',
  '25 6 * * *',
  '47 6 * * 7',
  '52 6 1 * *',
  '09,39 * * * *',
  '5-55/10 * * * *',
  '59 23 * * *',
  '0 0 1 1 *',
  '0 0 1,15 * 3',
  '30 4 1,15 * 5',
  '0 0 1-7 * 1',
  '0 22 * * 1-5',
  '23 0-23/2 * * *',
  '5 4 * * sun',
  '0 0 29 2 *',
  '0 12 31 jan,mar,may *',
  '0 3 * * 0,6',
  '10 3 * jun-aug tue,thu',
  '0 0 13 * 5',
  '0 0,12 1 */2 *',
  '57 0-23/4 * * *',
  '30 3 * * 0-6',
  '15 14 1 * *',
  '@hourly',
  '@daily',
  '@weekly',
  '@monthly',
  '@yearly',
];
const STARTS = [
  '2026-01-01T00:00Z',
  '2027-12-31T23:59Z',
  '2028-02-28T23:30:30Z',
  '2099-06-15T12:00Z',
];
const COUNT = 50;

test.each(REAL)('`%s` comes when croner says', (expression) => {
  const parsed = parseSchedule(expression);
  if ('faults' in parsed || parsed.schedule.kind !== 'times') throw new Error('not understood');
  for (const start of STARTS) {
    const ours = nextTimes(parsed.schedule, zoneOf('UTC'), {
      afterMs: Date.parse(start),
      count: COUNT,
    });
    const theirs = new Cron(expression, { timezone: 'UTC' }).nextRuns(COUNT, new Date(start));
    // It gives up after some years; we go on.
    const known = ours.slice(0, theirs.length).map((ms) => new Date(ms).toISOString());
    expect(known).toEqual(theirs.map((date) => date.toISOString()));
    expect(theirs.length).toBeGreaterThan(0);
  }
});
