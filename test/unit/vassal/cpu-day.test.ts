import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type CpuReading,
  isSpentOn,
  nextLookMs,
  readingAfter,
} from '../../../src/vassal/cpu-day.ts';

const HOUR_MS = 3_600_000;
const MIDNIGHT = 1_000 * HOUR_MS;
const DAY = { midnightMs: MIDNIGHT, budgetMs: 2 * HOUR_MS };

const reading = (changes: Partial<CpuReading> = {}): CpuReading => ({
  atMs: MIDNIGHT + HOUR_MS,
  usedMs: 0,
  counterMs: 0,
  startedAtMs: MIDNIGHT - HOUR_MS,
  isSpent: false,
  ...changes,
});

describe('readingAfter()', () => {
  test('begins with nothing used: what was used before there was a budget does not count', () => {
    const counter = { atMs: MIDNIGHT + 5, counterMs: 9 * HOUR_MS, startedAtMs: MIDNIGHT - 5 };
    expect(readingAfter(undefined, counter, DAY)).toEqual({
      ...counter,
      usedMs: 0,
      isSpent: false,
    });
  });

  test('adds what the kernel has counted since, until the budget is used up', () => {
    const before = reading({ usedMs: 100, counterMs: 5000 });
    const at = { atMs: MIDNIGHT + 2 * HOUR_MS, startedAtMs: before.startedAtMs };
    expect(readingAfter(before, { ...at, counterMs: 5400 }, DAY).usedMs).toBe(500);
    const all = readingAfter(before, { ...at, counterMs: 5000 + 2 * HOUR_MS - 100 }, DAY);
    expect(all).toMatchObject({ usedMs: 2 * HOUR_MS, isSpent: true });
  });

  test('counts a new jail from its beginning, in which the kernel counts from 0', () => {
    const before = reading({ usedMs: 1000, counterMs: 9000 });
    const startedAtMs = MIDNIGHT + 2 * HOUR_MS;
    const after = readingAfter(before, { atMs: startedAtMs + 10, counterMs: 70, startedAtMs }, DAY);
    expect(after.usedMs).toBe(1070);
  });

  test('begins anew at midnight, and shares out what was used around it', () => {
    const before = reading({ atMs: MIDNIGHT - HOUR_MS, usedMs: 2 * HOUR_MS, isSpent: true });
    const counter = { startedAtMs: before.startedAtMs, counterMs: 4000 };
    const after = readingAfter(before, { ...counter, atMs: MIDNIGHT + 3 * HOUR_MS }, DAY);
    expect(after).toMatchObject({ usedMs: 3000, isSpent: false });
    expect(readingAfter(before, { ...counter, atMs: MIDNIGHT }, DAY).usedMs).toBe(0);
  });

  test('is never less than before within a day, nor more than what was counted, whatever the clock says', () => {
    const ms = fc.integer({ min: 0, max: 48 * HOUR_MS });
    fc.assert(
      fc.property(ms, ms, ms, ms, fc.boolean(), (from, to, counted, used, isSame) => {
        const before = reading({ atMs: MIDNIGHT - 24 * HOUR_MS + from, usedMs: used });
        const counter = {
          atMs: MIDNIGHT - 24 * HOUR_MS + to,
          counterMs: counted,
          startedAtMs: isSame ? before.startedAtMs : before.atMs,
        };
        const { usedMs, isSpent } = readingAfter(before, counter, DAY);
        const least = before.atMs >= MIDNIGHT ? used : 0;
        expect(usedMs).toBeGreaterThanOrEqual(least);
        expect(usedMs).toBeLessThanOrEqual(least + counted);
        expect(isSpent).toBe(usedMs >= DAY.budgetMs);
      }),
    );
  });

  test('spent is spent in its day alone', () => {
    const spent = reading({ isSpent: true });
    expect(isSpentOn(spent, MIDNIGHT)).toBe(true);
    expect(isSpentOn(spent, MIDNIGHT + 24 * HOUR_MS)).toBe(false);
    expect(isSpentOn(undefined, MIDNIGHT)).toBe(false);
  });
});

describe('nextLookMs()', () => {
  const day = { budgetMs: 2 * HOUR_MS, processors: 4, nextMidnightMs: MIDNIGHT + 24 * HOUR_MS };
  const next = (changes: Partial<CpuReading>, more: Partial<typeof day> = {}) =>
    nextLookMs(reading(changes), { ...day, ...more });

  test('is when all processors together can have used the rest', () => {
    expect(next({ usedMs: 0 })).toBe(HOUR_MS / 2);
    expect(next({ usedMs: 1.5 * HOUR_MS })).toBe(HOUR_MS / 8);
    expect(next({ usedMs: 1.5 * HOUR_MS }, { processors: 0.5 })).toBe(HOUR_MS);
  });

  test('is no sooner than a hundredth of the budget, a second at least and a minute at most', () => {
    expect(next({ usedMs: 2 * HOUR_MS - 1 })).toBe(60_000);
    expect(next({ usedMs: 599_999 }, { budgetMs: 600_000 })).toBe(6000);
    expect(next({ usedMs: 999 }, { budgetMs: 1000 })).toBe(1000);
  });

  test('is at midnight for who has used all, and an hour away at most', () => {
    const spent = { usedMs: 2 * HOUR_MS, isSpent: true };
    expect(next({ ...spent, atMs: MIDNIGHT + 23.5 * HOUR_MS })).toBe(HOUR_MS / 2);
    expect(next({ ...spent, atMs: MIDNIGHT })).toBe(HOUR_MS);
    expect(next({ atMs: MIDNIGHT + 23.9 * HOUR_MS })).toBeCloseTo(HOUR_MS / 10);
  });

  test('thousands cost next to nothing: 5,000 that are just below their budget are looked at 84 times a second', () => {
    const perSecond = 5000 / (next({ usedMs: 2 * HOUR_MS - 1 }) / 1000);
    expect(perSecond).toBeLessThan(84);
    expect(5000 / (next({ usedMs: 0 }) / 1000)).toBeLessThan(3);
  });
});
