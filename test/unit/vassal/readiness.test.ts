import { beforeEach, expect, test } from 'vitest';
import { Readiness } from '../../../src/vassal/readiness.ts';
import { ManualClock } from '../../support/manual-clock.ts';

let clock: ManualClock;
let told: number;
let readiness: Readiness;
beforeEach(() => {
  clock = new ManualClock();
  told = 0;
  readiness = new Readiness(clock, () => {
    told += 1;
  });
});
const never = async () => false;
const PORT = { how: 'port', port: 80 } as const;

test('without `ready` it is ready by being started, and nobody is told', () => {
  readiness.begin(null, never);
  expect([readiness.isReady, told, clock.timers]).toEqual([true, 0, 0]);
});

test('a port is looked for ever more slowly, until it is there', async () => {
  const looks: number[] = [];
  readiness.begin(PORT, async () => {
    looks.push(clock.now());
    return looks.length === 12;
  });
  for (let ms = 0; ms < 20_000; ms += 5) await clock.pass(5);
  const waits = looks.map((at, index) => at - (looks[index - 1] ?? 0));
  expect(waits[0]).toBe(25);
  expect(waits.at(-1)).toBe(1000);
  expect([looks.length, readiness.isReady, told, clock.timers]).toEqual([12, true, 1, 0]);
});

test('who cannot be asked is asked again', async () => {
  let asked = 0;
  readiness.begin(PORT, async () => {
    asked += 1;
    if (asked === 1) throw new Error('init does not answer');
    return true;
  });
  await clock.pass(25);
  expect(readiness.isReady).toBe(false);
  await clock.pass(40);
  expect(readiness.isReady).toBe(true);
});

test('what is said counts once, and only until the next start', async () => {
  readiness.begin({ how: 'notify' }, never);
  expect([readiness.isReady, clock.timers]).toEqual([false, 0]);
  readiness.note();
  readiness.note();
  expect([readiness.isReady, told]).toEqual([true, 1]);
  readiness.begin({ how: 'notify' }, never);
  expect(readiness.isReady).toBe(false);
});

test('a look that comes back late says nothing of the next start', async () => {
  let answer: (isThere: boolean) => void = () => {};
  readiness.begin(PORT, () => new Promise((resolve) => (answer = resolve)));
  await clock.pass(25);
  readiness.begin({ how: 'fd' }, never);
  answer(true);
  await clock.pass(0);
  expect([readiness.isReady, told]).toEqual([false, 0]);
});
