import { expect, test } from 'vitest';
import { midnightAfter, midnightBefore } from '../../../src/cron/midnight.ts';
import { DAY_MS, zoneOf } from '../../../src/cron/zone.ts';

const at = (text: string) => Date.parse(text);
const iso = (ms: number) => new Date(ms).toISOString();
const around = (zone: string, text: string) =>
  [midnightBefore(zoneOf(zone), at(text)), midnightAfter(zoneOf(zone), at(text))].map(iso);

test('a day begins at midnight of its zone', () => {
  expect(around('UTC', '2026-12-01T00:00:00Z')).toEqual([
    '2026-12-01T00:00:00.000Z',
    '2026-12-02T00:00:00.000Z',
  ]);
  expect(around('Asia/Kolkata', '2026-12-01T20:00:00Z')).toEqual([
    '2026-12-01T18:30:00.000Z',
    '2026-12-02T18:30:00.000Z',
  ]);
  expect(around('America/New_York', '2026-12-01T04:59:59Z')).toEqual([
    '2026-11-30T05:00:00.000Z',
    '2026-12-01T05:00:00.000Z',
  ]);
});

test('a day in which clocks are changed has 23 hours, or 25', () => {
  expect(around('Europe/Berlin', '2026-03-29T12:00:00Z')).toEqual([
    '2026-03-28T23:00:00.000Z',
    '2026-03-29T22:00:00.000Z',
  ]);
  expect(around('Europe/Berlin', '2026-10-25T00:30:00Z')).toEqual([
    '2026-10-24T22:00:00.000Z',
    '2026-10-25T23:00:00.000Z',
  ]);
});

test('a day without a midnight begins when the clocks go forward', () => {
  // In Cairo, 2026-04-24 begins at 01:00.
  for (const text of ['2026-04-23T22:00:00Z', '2026-04-24T10:00:00Z']) {
    expect(around('Africa/Cairo', text)).toEqual([
      '2026-04-23T22:00:00.000Z',
      '2026-04-24T21:00:00.000Z',
    ]);
  }
});

test('of every hour of some years, in zones with all kinds of changes, the day is the one it lies in', () => {
  const zones = ['UTC', 'Europe/Berlin', 'Africa/Cairo', 'Australia/Lord_Howe', 'America/Havana'];
  const wrong: string[] = [];
  for (const name of zones) {
    const zone = zoneOf(name);
    const dayOf = (ms: number) => Math.floor((ms + zone.offsetAt(ms)) / DAY_MS);
    for (let ms = at('2025-01-01T00:30:00Z'); ms < at('2027-01-01T00:00:00Z'); ms += 7_200_000) {
      const [before, after] = [midnightBefore(zone, ms), midnightAfter(zone, ms)];
      const isOne = before <= ms && after > ms && dayOf(before) === dayOf(after - 1);
      const isWhole = dayOf(before - 1) < dayOf(before) && dayOf(after) > dayOf(ms);
      if (!isOne || !isWhole) wrong.push([name, ms, before, after].join(' '));
    }
  }
  expect(wrong).toEqual([]);
});
