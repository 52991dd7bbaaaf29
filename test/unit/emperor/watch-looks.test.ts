import { describe, expect, test } from 'vitest';
import { type Look, PendingLooks } from '../../../src/emperor/watch-looks.ts';

const look = (name: string, changes: Partial<Look> = {}): Look => ({
  name,
  movedFrom: undefined,
  busySince: undefined,
  ...changes,
});

describe('PendingLooks', () => {
  test('gives out names oldest first, each once', () => {
    const looks = new PendingLooks();
    for (const name of ['a', 'b', 'a', 'c']) looks.add(name);
    expect([looks.take(), looks.take(), looks.take(), looks.take()]).toEqual([
      look('a'),
      look('b'),
      look('c'),
      undefined,
    ]);
  });

  test('remembers what a file was renamed from, though it was asked for before or after', () => {
    const looks = new PendingLooks();
    looks.add('a');
    looks.add('a', 'a.tmp');
    looks.add('a');
    expect(looks.take()).toEqual(look('a', { movedFrom: 'a.tmp' }));
  });

  test('repeats a look at a busy file after 20 ms, and the later the longer it is busy, up to 200 ms', () => {
    const looks = new PendingLooks();
    looks.add('a');
    const waits: number[] = [];
    for (let now = 0; now < 5000; ) {
      const next = looks.take();
      if (!next) throw new Error('it was forgotten');
      expect(looks.retry(next, now)).toBe(now);
      waits.push(looks.nextAt - now);
      now = looks.nextAt;
      looks.promote(now);
    }
    expect(waits[0]).toBe(20);
    expect(waits).toEqual(waits.toSorted((a, b) => a - b));
    expect(waits.at(-1)).toBe(200);
  });

  test('makes ready what is due, and says when the next one is', () => {
    const looks = new PendingLooks();
    looks.settle(look('a'), 10);
    looks.settle(look('b'), 20);
    looks.promote(5);
    expect(looks.size).toBe(0);
    looks.promote(10);
    expect(looks.isReady('a')).toBe(true);
    expect(looks.isReady('b')).toBe(false);
    expect(looks.take()?.name).toBe('a');
    looks.promote(15);
    expect(looks.nextAt).toBe(20);
  });

  test('tells what settles from what is busy', () => {
    const looks = new PendingLooks();
    looks.retry(look('busy'), 0);
    expect(looks.isSettling()).toBe(false);
    looks.settle(look('fresh'), 10);
    expect(looks.isSettling()).toBe(true);
    expect(looks.isSettling('busy')).toBe(false);
    expect(looks.has('busy')).toBe(true);
  });

  test('forgets one, or all', () => {
    const looks = new PendingLooks();
    looks.add('a');
    looks.settle(look('a'), 10);
    looks.add('b');
    looks.forget('a');
    expect(looks.has('a')).toBe(false);
    looks.clear();
    expect([looks.size, looks.nextAt, looks.take()]).toEqual([0, Infinity, undefined]);
  });
});
