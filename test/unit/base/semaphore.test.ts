import { beforeEach, describe, expect, test } from 'vitest';
import { inParallel, type Pace, Semaphore } from '../../../src/base/semaphore.ts';
import { ManualClock, settled } from '../../support/manual-clock.ts';

/** Works that go on until the test says so, and what it knows of them. */
class Works {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();

  start(name: string): Promise<void> {
    this.begun.push(name);
    return new Promise((resolve) => void this.#ends.set(name, resolve));
  }

  async end(...names: readonly string[]): Promise<void> {
    for (const name of names) this.#ends.get(name)?.();
    await settled();
  }
}

describe('Semaphore.run()', () => {
  test('lets as many run as there are permits, and the others in their order', async () => {
    const works = new Works();
    const limit = new Semaphore(2);
    for (const name of ['a', 'b', 'c', 'd']) void limit.run(() => works.start(name));
    await settled();
    expect(works.begun).toEqual(['a', 'b']);
    await works.end('b');
    expect(works.begun).toEqual(['a', 'b', 'c']);
    await works.end('a', 'c');
    expect(works.begun).toEqual(['a', 'b', 'c', 'd']);
  });

  test('gives the permit back where the work fails', async () => {
    const limit = new Semaphore(1);
    await expect(limit.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await limit.run(async () => 'next')).toBe('next');
  });

  test('has it back early where the work gives it back, and once only', async () => {
    const works = new Works();
    const limit = new Semaphore(1);
    void limit.run((giveBack) => {
      giveBack();
      giveBack();
      return works.start('slow');
    });
    for (const name of ['a', 'b']) void limit.run(() => works.start(name));
    await settled();
    expect(works.begun).toEqual(['slow', 'a']);
    await works.end('slow');
    expect(works.begun).toEqual(['slow', 'a']);
  });
});

describe('Semaphore.pace()', () => {
  let clock: ManualClock;
  let pace: Pace;

  beforeEach(() => {
    clock = new ManualClock();
    pace = { clock, atMostMs: 100, isUrgent: false };
  });

  test('lets the next begin when one has ended, or has taken its time', async () => {
    const works = new Works();
    const limit = new Semaphore(2);
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f'])
      void limit.pace(() => works.start(name), pace);
    await settled();
    expect(works.begun).toEqual(['a', 'b']);
    await works.end('a');
    expect(works.begun).toEqual(['a', 'b', 'c']);
    await clock.pass(99);
    expect(works.begun).toEqual(['a', 'b', 'c']);
    await clock.pass(1);
    expect(works.begun).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  test('gives a permit back once, though its work ends after its time', async () => {
    const works = new Works();
    const limit = new Semaphore(1);
    for (const name of ['slow', 'b', 'c', 'd']) void limit.pace(() => works.start(name), pace);
    await settled();
    await clock.pass(100);
    expect(works.begun).toEqual(['slow', 'b']);
    await works.end('slow');
    expect(works.begun).toEqual(['slow', 'b']);
    await works.end('b', 'c', 'd');
    await works.end('c');
    await works.end('d');
    expect(clock.timers).toBe(0);
    expect(await limit.pace(async () => 'still one', pace)).toBe('still one');
  });

  test('lets the urgent go first, in their order', async () => {
    const works = new Works();
    const limit = new Semaphore(1);
    void limit.pace(() => works.start('a'), pace);
    void limit.pace(() => works.start('b'), pace);
    void limit.pace(() => works.start('first'), { ...pace, isUrgent: true });
    void limit.pace(() => works.start('second'), { ...pace, isUrgent: true });
    await settled();
    await works.end('a');
    await works.end('first');
    await works.end('second');
    expect(works.begun).toEqual(['a', 'first', 'second', 'b']);
  });

  test('fails as its work does, and gives the permit back', async () => {
    const limit = new Semaphore(1);
    await expect(limit.pace(() => Promise.reject(new Error('no')), pace)).rejects.toThrow('no');
    expect(await limit.pace(async () => 'next', pace)).toBe('next');
    expect(clock.timers).toBe(0);
  });
});

test('inParallel() works on so many at a time, and keeps their order', async () => {
  const works = new Works();
  const results = inParallel(['a', 'b', 'c'], 2, async (name) => {
    await works.start(name);
    return name.toUpperCase();
  });
  await settled();
  expect(works.begun).toEqual(['a', 'b']);
  await works.end('b');
  expect(works.begun).toEqual(['a', 'b', 'c']);
  await works.end('a', 'c');
  expect(await results).toEqual(['A', 'B', 'C']);
});
