import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  judgeRemovals,
  MASS_REMOVAL,
  REMOVAL_QUIET_MS,
  REMOVAL_WINDOW_MS,
  type Removals,
  recentRemovals,
} from '../../../src/emperor/mass-removal.ts';

const NOW = 1_000_000;

/** `missing` of `known` files, all for long enough. */
const removals = (known: number, missing: number, changes: Partial<Removals> = {}): Removals => ({
  now: NOW,
  known,
  missing,
  oldest: NOW - REMOVAL_WINDOW_MS,
  youngest: NOW - REMOVAL_WINDOW_MS,
  acted: [],
  heldUntil: undefined,
  ...changes,
});
const judge = (...args: Parameters<typeof removals>) =>
  judgeRemovals(removals(...args), MASS_REMOVAL);

const HELD = { act: 'hold', until: NOW + MASS_REMOVAL.holdMs };

describe('judgeRemovals()', () => {
  test.each([
    [10, 10, 'now'],
    [11, 11, 'hold'],
    [55, 11, 'now'],
    [54, 11, 'hold'],
    [5000, 1000, 'now'],
    [5000, 1001, 'hold'],
    [1, 1, 'now'],
  ])('of %d files, %d missing: %s', (known, missing, act) => {
    expect(judge(known, missing).act).toBe(act);
  });

  test('holds for 30 s, said as a time', () => {
    expect(judge(20, 20)).toEqual(HELD);
  });

  test('lets a hold that has begun end at its time, whatever comes back or vanishes meanwhile', () => {
    fc.assert(
      fc.property(
        fc.nat(1000),
        fc.nat(1000),
        fc.integer({ min: -500, max: 500 }),
        (a, b, leftMs) => {
          const heldUntil = NOW + leftMs;
          const verdict = judge(a + b, a, { heldUntil, youngest: NOW });
          expect(verdict).toEqual(leftMs > 0 ? { act: 'hold', until: heldUntil } : { act: 'now' });
        },
      ),
    );
  });

  test('waits while files go on vanishing, but for a second at most', () => {
    expect(judge(100, 11, { oldest: NOW - 500, youngest: NOW - 10 })).toEqual({
      act: 'wait',
      until: NOW - 10 + REMOVAL_QUIET_MS,
    });
    expect(judge(100, 11, { oldest: NOW - 990, youngest: NOW })).toEqual({
      act: 'wait',
      until: NOW + 10,
    });
    expect(judge(20, 20, { oldest: NOW - 1000, youngest: NOW })).toEqual(HELD);
  });

  test('counts those acted upon a moment ago, so that a slow rm is one removal', () => {
    const acted = Array.from({ length: 10 }, () => NOW - 10);
    expect(judge(40, 1, { acted })).toEqual(HELD);
    expect(judge(40, 1, { acted: acted.map(() => NOW - REMOVAL_WINDOW_MS) })).toEqual({
      act: 'now',
    });
  });

  test('holds exactly when more than the policy allows are missing', () => {
    fc.assert(
      fc.property(
        fc.nat(2000),
        fc.nat(2000),
        fc.record({ minFiles: fc.nat(50), fraction: fc.double({ min: 0, max: 1, noNaN: true }) }),
        (missing, left, limits) => {
          const policy = { ...limits, holdMs: 1 };
          const isMass = missing > limits.minFiles && missing > limits.fraction * (missing + left);
          const verdict = judgeRemovals(removals(missing + left, missing), policy);
          expect(verdict.act).toBe(isMass ? 'hold' : 'now');
        },
      ),
    );
  });

  test('never asks to wait for a time that has passed', () => {
    const moment = fc.integer({ min: NOW - 3000, max: NOW });
    fc.assert(
      fc.property(fc.nat(100), fc.nat(100), moment, moment, (missing, left, a, b) => {
        const verdict = judge(missing + left, missing, {
          oldest: Math.min(a, b),
          youngest: Math.max(a, b),
        });
        if (verdict.act !== 'now') expect(verdict.until).toBeGreaterThan(NOW);
      }),
    );
  });
});

describe('recentRemovals()', () => {
  test('keeps those of the last second', () => {
    expect(recentRemovals([NOW - 1001, NOW - 1000, NOW - 999, NOW], NOW)).toEqual([NOW - 999, NOW]);
  });
});
