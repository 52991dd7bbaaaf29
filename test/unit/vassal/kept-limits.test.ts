/** The limits of a running vassal, over controllers that a test answers for. */
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import type { Unmet } from '../../../src/cgroup/controllers.ts';
import type { Limits } from '../../../src/cgroup/limits.ts';
import { midnightAfter, midnightBefore } from '../../../src/cron/midnight.ts';
import { hostZone, zoneOf } from '../../../src/cron/zone.ts';
import type { CpuReading } from '../../../src/vassal/cpu-day.ts';
import { KeptLimits, type KeptLimitsHost } from '../../../src/vassal/kept-limits.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;
/** Wherever the machine is, the day is long enough for what happens here. */
const MORNING = midnightAfter(zoneOf(hostZone()), Date.parse('2026-06-15T12:00:00Z')) + 8 * HOUR_MS;
const STARTED_AT = MORNING - HOUR_MS;
const BUDGET: Limits = { dailyCpuMs: 2 * HOUR_MS, cpuWeight: 300 };

let clock: ManualClock;
let cpuSeconds: number | null;
let looks: number;
let applied: Limits[];
let answer: readonly Unmet[];
let ksmFailure: string | null;
let written: Map<string, CpuReading | null>;
let writes: number;
let hasCpu: boolean;
let told: string[];
let limits: KeptLimits;

beforeEach(() => {
  clock = new ManualClock(MORNING);
  cpuSeconds = 0;
  looks = 0;
  applied = [];
  answer = [];
  ksmFailure = null;
  written = new Map();
  writes = 0;
  hasCpu = true;
  told = [];
  limits = make();
});

function make(): KeptLimits {
  const host = {
    clock,
    log: silentLog,
    random: () => 0.5,
    processors: 2,
    ksmFailure: () => ksmFailure,
    cpuReadings: {
      read: (name: string) => written.get(name) ?? undefined,
      write: (name: string, reading: CpuReading | null) => {
        writes += 1;
        written.set(name, reading);
      },
    },
    controllers: {
      get available() {
        return new Set(hasCpu ? ['cpu'] : []);
      },
      cpuSeconds: () => {
        looks += 1;
        return cpuSeconds;
      },
      counts: () => ({ kills: 0, refusals: 0 }),
      watch: () => () => {},
      apply: (_name: string, given: Limits) => {
        applied.push(given);
        return answer;
      },
    },
  } as unknown as KeptLimitsHost;
  return new KeptLimits('blog', host, {
    onAlarm: () => {},
    onDailyCpu: (isSpent) => told.push(isSpent ? 'spent' : 'renewed'),
    onUnmet: ({ key, isMet }) => told.push(`${key} ${isMet ? 'met' : 'unmet'}`),
  });
}

const weight = () => applied.at(-1)?.cpuWeight;
const zone = () => zoneOf(hostZone());

/** Burns on `share` of one processor for `ms`, in steps of a second. */
async function burn(ms: number, share: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += SECOND_MS) {
    cpuSeconds = (cpuSeconds ?? 0) + share;
    await clock.pass(SECOND_MS);
  }
}

describe('a budget for the day', () => {
  test('that is used up leaves the lowest weight until midnight, and its own from then on', async () => {
    limits.apply(BUDGET, STARTED_AT);
    expect(weight()).toBe(300);
    await burn(1.5 * HOUR_MS, 1);
    expect([weight(), told]).toEqual([300, []]);
    await burn(0.6 * HOUR_MS, 1);
    expect([weight(), told]).toEqual([1, ['spent']]);
    const midnight = midnightAfter(zone(), clock.now());
    expect(limits.dailyCpu).toMatchObject({ isSpent: true, renewedAtMs: midnight });
    await clock.pass(midnight - clock.now() - SECOND_MS);
    expect(weight()).toBe(1);
    await clock.pass(12 * SECOND_MS);
    expect([weight(), told]).toEqual([300, ['spent', 'renewed']]);
    expect(limits.dailyCpu).toMatchObject({ isSpent: false, usedMs: 0 });
  });

  test('is exceeded by no more than a minute of all processors', async () => {
    limits.apply(BUDGET, STARTED_AT);
    while (told.length === 0) await burn(SECOND_MS, 2);
    expect(cpuSeconds).toBeGreaterThanOrEqual(7200);
    expect(cpuSeconds).toBeLessThanOrEqual(7200 + 2 * 60);
  });

  test('costs who is idle a look an hour, and the disk one line', async () => {
    limits.apply(BUDGET, STARTED_AT);
    await clock.pass(10 * HOUR_MS);
    expect(looks).toBeLessThanOrEqual(12);
    expect(writes).toBe(1);
    expect(clock.timers).toBe(1);
  });

  test('costs who uses all of it some ten looks, and the disk no more lines', async () => {
    limits.apply(BUDGET, STARTED_AT);
    await burn(2.1 * HOUR_MS, 1);
    expect(told).toEqual(['spent']);
    expect(looks).toBeLessThan(16);
    expect(writes).toBeLessThanOrEqual(looks);
  });

  test('is remembered by the next emperor and over a new jail, and told once', async () => {
    limits.apply(BUDGET, STARTED_AT);
    await burn(2.1 * HOUR_MS, 1);
    limits.stop();
    limits = make();
    expect(limits.first(BUDGET).cpuWeight).toBe(1);
    cpuSeconds = 0;
    limits.watch(BUDGET, clock.now());
    expect(limits.dailyCpu).toMatchObject({ isSpent: true });
    expect(limits.dailyCpu?.usedMs).toBeGreaterThanOrEqual(7200 * SECOND_MS);
    expect(told).toEqual(['spent']);
  });

  test('of an emperor that was killed goes on where the kernel counts, whatever was written down', async () => {
    limits.apply(BUDGET, STARTED_AT);
    await burn(HOUR_MS, 1);
    limits = make();
    cpuSeconds = (cpuSeconds ?? 0) + 600;
    limits.apply(BUDGET, STARTED_AT);
    expect(limits.dailyCpu?.usedMs).toBe(4200 * SECOND_MS);
  });

  test('changes live: more of it ends the tarpit, none of it forgets what was used', async () => {
    limits.apply(BUDGET, STARTED_AT);
    await burn(2.1 * HOUR_MS, 1);
    limits.apply({ ...BUDGET, dailyCpuMs: 3 * HOUR_MS }, STARTED_AT);
    expect([weight(), told]).toEqual([300, ['spent', 'renewed']]);
    limits.apply({ ...BUDGET, dailyCpuMs: HOUR_MS }, STARTED_AT);
    expect([weight(), told.at(-1)]).toEqual([1, 'spent']);
    limits.apply({ cpuWeight: 300 }, STARTED_AT);
    expect([weight(), told.at(-1), limits.dailyCpu]).toEqual([300, 'renewed', null]);
    expect(written.get('blog')).toBeNull();
    expect(clock.timers).toBe(0);
    limits.apply(BUDGET, STARTED_AT);
    expect(limits.dailyCpu).toMatchObject({ usedMs: 0, isSpent: false });
  });

  test('follows a clock that is set to another day within the hour', async () => {
    limits.apply(BUDGET, STARTED_AT);
    await burn(2.1 * HOUR_MS, 1);
    clock.jump(midnightAfter(zone(), clock.now()) - clock.now() + HOUR_MS);
    expect(midnightBefore(zone(), clock.now())).toBeGreaterThan(MORNING);
    await clock.pass(HOUR_MS);
    expect(told).toEqual(['spent', 'renewed']);
  });

  test('that cannot be counted is told as not kept, and looked at again within the hour', async () => {
    cpuSeconds = null;
    limits.watch(BUDGET, STARTED_AT);
    expect(limits.unmet).toMatchObject([
      { key: 'daily-cpu', reason: expect.stringContaining('cpuacct') },
    ]);
    expect(told).toEqual(['daily-cpu unmet']);
    cpuSeconds = 0;
    await clock.pass(HOUR_MS);
    expect([limits.unmet, told]).toEqual([[], ['daily-cpu unmet', 'daily-cpu met']]);
    await burn(2.1 * HOUR_MS, 1);
    expect(told.at(-1)).toBe('spent');
    expect(clock.timers).toBe(1);
  });

  test('asks once a day which day it is', async () => {
    const asked = vi.spyOn(Intl.DateTimeFormat.prototype, 'resolvedOptions');
    limits.apply(BUDGET, STARTED_AT);
    await burn(HOUR_MS, 1);
    expect(limits.dailyCpu).toMatchObject({ isSpent: false });
    const { length } = asked.mock.calls;
    asked.mockRestore();
    expect(length).toBe(1);
  });

  test('on a machine that cannot share out processors is told as not kept', () => {
    hasCpu = false;
    limits.apply(BUDGET, STARTED_AT);
    expect(limits.unmet).toMatchObject([{ key: 'daily-cpu' }]);
    expect(told).toEqual(['daily-cpu unmet']);
  });
});

describe('a limit below what is used', () => {
  const BUSY: Unmet = { key: 'memory-max', reason: 'it uses more than that', isPassing: true };

  test('is tried again with growing waits until it is kept, and told twice', async () => {
    answer = [BUSY];
    limits.apply({ memoryMax: 1 << 20 }, STARTED_AT);
    await clock.pass(10 * 60 * SECOND_MS);
    const tries = applied.length;
    expect(tries).toBeGreaterThan(7);
    expect(tries).toBeLessThan(20);
    expect([told, limits.unmet]).toEqual([['memory-max unmet'], [BUSY]]);
    answer = [];
    await clock.pass(75 * SECOND_MS);
    expect(applied.length).toBe(tries + 1);
    expect([told, limits.unmet]).toEqual([['memory-max unmet', 'memory-max met'], []]);
    expect(clock.timers).toBe(0);
  });

  test('is not told as kept when the file asks for it no longer', () => {
    answer = [BUSY];
    limits.apply({ memoryMax: 1 << 20 }, STARTED_AT);
    answer = [];
    limits.apply({}, STARTED_AT);
    expect([told, limits.unmet]).toEqual([['memory-max unmet'], []]);
    expect(clock.timers).toBe(0);
  });

  test('is tried again soon after each change of the file', async () => {
    answer = [BUSY];
    limits.apply({ memoryMax: 1 << 20 }, STARTED_AT);
    await clock.pass(10 * 60 * SECOND_MS);
    limits.apply({ memoryMax: 2 << 20 }, STARTED_AT);
    const tries = applied.length;
    await clock.pass(1.2 * SECOND_MS);
    expect(applied.length).toBe(tries + 1);
  });

  test('is let go of when the vassal ends', async () => {
    answer = [BUSY];
    limits.apply({ memoryMax: 1 << 20 }, STARTED_AT);
    limits.stop();
    await clock.pass(10 * 60 * SECOND_MS);
    expect(applied).toHaveLength(1);
  });

  test('that stays so on this machine is not tried again', async () => {
    answer = [{ key: 'io-weight', reason: 'this machine cannot limit it' }];
    limits.apply({ ioWeight: 50 }, STARTED_AT);
    await clock.pass(HOUR_MS);
    expect(applied).toHaveLength(1);
  });
});

test('merging of memory that the kernel does not do is told as not kept, as long as that is so', () => {
  ksmFailure = 'the kernel has no KSM';
  limits.first({ ksm: true });
  limits.note([]);
  expect(limits.unmet).toEqual([{ key: 'ksm', reason: ksmFailure }]);
  expect(told).toEqual(['ksm unmet']);
  ksmFailure = null;
  expect(limits.unmet).toEqual([]);
  ksmFailure = 'no';
  limits.apply({ ksm: false }, STARTED_AT);
  expect([limits.unmet, told]).toEqual([[], ['ksm unmet']]);
});

test('what is not kept of its home stands beside the limits, and is told of by itself', () => {
  answer = [{ key: 'io-weight', reason: 'no' }];
  limits.apply({ ioWeight: 50 }, STARTED_AT);
  limits.noteHome([{ key: 'home-size', reason: 'it holds more' }], 1 << 20);
  limits.noteHome([{ key: 'home-size', reason: 'it holds more' }], 1 << 20);
  expect(limits.unmet.map(({ key }) => key)).toEqual(['io-weight', 'home-size']);
  limits.noteHome([], 2 << 20);
  expect(told).toEqual(['io-weight unmet', 'home-size unmet', 'home-size met']);
  limits.noteHome([{ key: 'home-size', reason: 'it holds more' }], 1 << 20);
  limits.noteHome([], null);
  expect(told.slice(3)).toEqual(['home-size unmet']);
});
