import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bootId, parseStat, readStartTime, readStat } from '../../../src/linux/proc.ts';

const TAIL =
  'S 1 77 66 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 200 18446744073709551615 1 1 0 0';

describe('parseStat()', () => {
  it('reads the fields behind the name', () => {
    expect(parseStat(`42 (sleep) ${TAIL}\n`)).toEqual({
      pid: 42,
      name: 'sleep',
      state: 'S',
      parent: 1,
      group: 77,
      session: 66,
      startTime: 987654,
    });
  });

  it('lets a name hold anything, so that no process can lie about the fields behind it', () => {
    const name = fc.oneof(
      fc.string({ maxLength: 15 }),
      fc.stringMatching(/^[ ()\nS0-9]{0,15}$/),
      fc.constantFrom(') S 1 1 1', 'a) b', '(((', ')))', '\n', '', ') R 0 0 0 0'),
    );
    fc.assert(
      fc.property(name, (text) => {
        expect(parseStat(`42 (${text}) ${TAIL}`)).toMatchObject({
          pid: 42,
          name: text,
          startTime: 987654,
        });
      }),
    );
  });

  it('never throws and returns undefined for what is no stat line', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseStat(text);
      }),
    );
    for (const text of ['', '()', '1 ()', '1 (a)', '1 (a) S', ') (', `x (a) ${TAIL}`]) {
      expect(parseStat(text), text).toBeUndefined();
    }
    expect(parseStat(`1 (a) ${TAIL.replace('987654', '99999999999999999999')}`)).toBeUndefined();
  });
});

describe('readStartTime()', () => {
  it('reads the same value for a process as long as it lives', () => {
    const mine = readStartTime(process.pid);
    expect(mine).toBeGreaterThan(0);
    expect(readStartTime(process.pid)).toBe(mine);
    expect(readStat(process.pid)?.parent).toBe(process.ppid);
  });

  it('returns undefined where there is no process', () => {
    expect(readStartTime(2 ** 22 + 1)).toBeUndefined();
  });
});

describe('bootId()', () => {
  it('returns the id of this boot', () => {
    expect(bootId()).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  });
});
