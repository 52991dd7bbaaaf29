import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MASS_REMOVAL } from '../../../src/emperor/mass-removal.ts';
import { Absences } from '../../../src/emperor/watch-absences.ts';

const ABSENCE_MS = 30;
const { holdMs } = MASS_REMOVAL;
const names = (count: number) => Array.from({ length: count }, (_, i) => `v${i}`);

function absencesOf(count: number, now = 0): Absences {
  const absences = new Absences(MASS_REMOVAL, ABSENCE_MS);
  for (const name of names(count)) absences.add(name, now);
  return absences;
}

const view = (now: number, knownFiles: number, elsewhere: readonly string[] = []) => ({
  now,
  knownFiles,
  isElsewhere: (name: string) => elsewhere.includes(name),
});

describe('Absences', () => {
  test('believes an absence when it is old enough, not earlier', () => {
    const absences = absencesOf(1);
    expect(absences.judgeAt).toBe(ABSENCE_MS);
    expect(absences.judge(view(ABSENCE_MS - 1, 5))).toEqual({ kind: 'gone', names: [] });
    expect(absences.judgeAt).toBe(ABSENCE_MS);
    expect(absences.judge(view(ABSENCE_MS, 5))).toEqual({ kind: 'gone', names: ['v0'] });
    expect(absences.size).toBe(0);
    expect(absences.judgeAt).toBe(Infinity);
  });

  test('counts from the first look that missed the file', () => {
    const absences = absencesOf(1);
    absences.add('v0', 20);
    expect(absences.judge(view(ABSENCE_MS, 5))).toEqual({ kind: 'gone', names: ['v0'] });
  });

  test('forgets a file that is there again', () => {
    const absences = absencesOf(2);
    absences.drop('v0');
    expect(absences.judge(view(100, 5))).toEqual({ kind: 'gone', names: ['v1'] });
  });

  test('holds many, once, until the time that it said first', () => {
    const absences = absencesOf(20);
    const until = 1000 + holdMs;
    const held = { kind: 'held', until, count: 20 };
    expect(absences.judge(view(1000, 20))).toEqual({ ...held, isNew: true });
    expect(absences.judge(view(2000, 20))).toEqual({ ...held, isNew: false });
    expect(absences.judgeAt).toBe(until);
    expect(absences.judge(view(until, 20))).toEqual({ kind: 'gone', names: names(20) });
  });

  test('lets a file that vanishes during a hold go with the others', () => {
    const absences = absencesOf(20);
    absences.judge(view(1000, 21));
    absences.add('late', 5000);
    expect(absences.judge(view(1000 + holdMs, 21))).toMatchObject({
      names: [...names(20), 'late'],
    });
  });

  test('holds the next mass again after a hold', () => {
    const absences = absencesOf(20);
    absences.judge(view(1000, 40));
    absences.judge(view(1000 + holdMs, 40));
    for (const name of names(20)) absences.add(name, 100_000);
    expect(absences.judge(view(102_000, 40))).toMatchObject({ kind: 'held', isNew: true });
  });

  test('holds nothing of a hold whose files all came back', () => {
    const absences = absencesOf(20);
    absences.judge(view(1000, 40));
    for (const name of names(20)) absences.drop(name);
    absences.settle();
    expect(absences.judgeAt).toBe(Infinity);
    for (const name of names(20)) absences.add(name, 100_000);
    expect(absences.judge(view(102_000, 40))).toMatchObject({ kind: 'held', isNew: true });
  });

  test('does not count files that another directory has, and lets them go', () => {
    const absences = absencesOf(20);
    const verdict = absences.judge(view(2000, 20, names(20)));
    expect(verdict).toEqual({ kind: 'gone', names: names(20) });
  });

  test('counts those acted upon a moment ago, not those that were held', () => {
    const absences = absencesOf(10);
    absences.judge(view(ABSENCE_MS, 40));
    absences.add('one more', ABSENCE_MS);
    expect(absences.judge(view(2 * ABSENCE_MS, 30))).toMatchObject({ kind: 'held', count: 1 });
    const until = 2 * ABSENCE_MS + holdMs;
    expect(absences.judge(view(until, 30))).toMatchObject({ names: ['one more'] });
    absences.add('another', until);
    expect(absences.judge(view(until + ABSENCE_MS, 29))).toMatchObject({ names: ['another'] });
  });

  test('judges nothing without proof, until there is one', () => {
    const absences = absencesOf(1);
    absences.postpone();
    expect(absences.judgeAt).toBe(Infinity);
    expect(absences.isPending()).toBe(false);
    expect(absences.judge(view(100, 5))).toMatchObject({ names: ['v0'] });
  });

  test('is pending while a verdict takes milliseconds, not during a hold', () => {
    const absences = absencesOf(20);
    expect(absences.isPending()).toBe(true);
    expect(absences.isPending('v3')).toBe(true);
    expect(absences.isPending('present')).toBe(false);
    expect(absences.judge(view(10, 100))).toEqual({ kind: 'wait' });
    expect(absences.isPending('v3')).toBe(true);
    absences.judge(view(1000, 20));
    expect(absences.isPending()).toBe(false);
  });

  test('never loses a name, names none twice, and always has a time for the next verdict', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('add' as const), name: fc.nat(30) }),
      fc.record({ kind: fc.constant('drop' as const), name: fc.nat(30) }),
      fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(20_000) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const absences = new Absences(MASS_REMOVAL, ABSENCE_MS);
        const missing = new Set<string>();
        let now = 0;
        for (const one of steps) {
          if (one.kind === 'pass') now += one.ms;
          else if (one.kind === 'add') {
            absences.add(`v${one.name}`, now);
            missing.add(`v${one.name}`);
          } else {
            absences.drop(`v${one.name}`);
            missing.delete(`v${one.name}`);
            absences.settle();
          }
          if (absences.judgeAt > now) continue;
          const verdict = absences.judge(view(now, 40));
          if (verdict.kind === 'gone') {
            for (const name of verdict.names) expect(missing.delete(name)).toBe(true);
          }
          expect(absences.judgeAt).toBeGreaterThan(now);
        }
        expect(new Set(absences.names())).toEqual(missing);
        if (missing.size > 0) expect(absences.judgeAt).toBeLessThan(Infinity);
      }),
    );
  });
});
