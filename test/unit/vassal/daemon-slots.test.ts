import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { plainDaemon } from '../../../src/config/kinds/daemons.ts';
import { keyed, labelOf, partsOf, slotOf } from '../../../src/vassal/daemon-slots.ts';

const [a, b] = [plainDaemon(['/usr/bin/redis-server', '--port', '1']), plainDaemon(['memcached'])];

describe('keyed()', () => {
  test('gives a line the same key wherever it stands, and equal lines different ones', () => {
    const [first, second] = [...keyed([a, a, b]).keys()];
    expect(first).not.toBe(second);
    expect([...keyed([b, a]).keys()][1]).toBe(first);
    expect([...keyed([a, a]).values()]).toEqual([a, a]);
  });

  test('gives another line another key', () => {
    expect([...keyed([a]).keys()]).not.toEqual([...keyed([{ ...a, isControl: true }]).keys()]);
  });
});

describe('slotOf()', () => {
  test('is read back by partsOf(), and fits into 64 bits', () => {
    fc.assert(
      fc.property(fc.nat(0xffff), fc.nat(0xffff_ffff), (run, number) => {
        const key = number.toString(16).padStart(8, '0');
        const slot = slotOf(key, run);
        expect(partsOf(slot)).toEqual({ key, run });
        expect(slot < 2n ** 64n).toBe(true);
      }),
    );
    expect(partsOf(slotOf('00000001', 65_536 + 3))).toEqual({ key: '00000001', run: 3 });
  });

  test('is none of a command or session', () => {
    expect([1n, 2n ** 63n, 2n ** 64n - 1n].map(partsOf)).toEqual([undefined, undefined, undefined]);
  });
});

describe('labelOf()', () => {
  test('is the name, else the program, with a number where that is taken', () => {
    const taken = new Set(['redis-server', 'cache', 'cache-2']);
    expect(labelOf(a, new Set())).toBe('redis-server');
    expect(labelOf(a, taken)).toBe('redis-server-2');
    expect(labelOf({ ...a, name: 'cache' }, taken)).toBe('cache-3');
  });

  test('is one short word, and none that the log uses otherwise', () => {
    expect(labelOf(plainDaemon(['/x/my prog\n']), new Set())).toBe('my_prog_');
    expect(labelOf(plainDaemon(['x'.repeat(100)]), new Set())).toBe('x'.repeat(40));
    for (const used of ['command', 'crontab', 'exec', 'hook', 'init', 'shell', 'ssh'])
      expect(labelOf(plainDaemon([used]), new Set())).toBe(`${used}-2`);
    expect(labelOf(plainDaemon(['']), new Set())).toBe('daemon');
  });
});
