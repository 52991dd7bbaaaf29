import { beforeEach, expect, test } from 'vitest';
import { plainDaemon } from '../../../src/config/kinds/daemons.ts';
import type { InitClient, SlotExit, StartRequest } from '../../../src/jail/init-client.ts';
import { DaemonProcess } from '../../../src/vassal/daemon-process.ts';
import { ManualClock, settled } from '../../support/manual-clock.ts';

const FAILED = 1 << 8;

let clock: ManualClock;
let daemon: DaemonProcess;
/** When it was started, in milliseconds. */
let starts: number[];
let isWanted: boolean;

beforeEach(async () => {
  clock = new ManualClock();
  starts = [];
  isWanted = true;
  const init = {
    start: async (_: StartRequest) => void starts.push(clock.monotonic()),
    signal: async () => {},
  } as unknown as InitClient;
  daemon = new DaemonProcess(
    {
      clock,
      backoff: () => ({ firstMs: 500, maxMs: 4000 }),
      random: () => 0.5,
      init: () => init,
      lineOf: () => ({ argv: ['x'], env: [], cwd: '/', pidFile: null, touch: [] }),
      mayStart: () => isWanted,
      graceMs: () => 1000,
      onFailure: () => {},
      onTrouble: () => {},
    },
    { key: '00000001', daemon: plainDaemon(['x']), label: 'x' },
  );
  daemon.start();
  await settled();
});

async function fail(): Promise<void> {
  const exit = { slot: daemon.slot ?? 0n, status: FAILED } as SlotExit;
  expect(daemon.hasEndedBy(exit)).toBe(true);
  await settled();
}

/** Milliseconds from an end to the next start. */
async function pause(): Promise<number> {
  const [ended, before] = [clock.monotonic(), starts.length];
  while (starts.length === before) await clock.pass(100);
  return (starts.at(-1) ?? 0) - ended;
}

test('a daemon that keeps failing is started again later each time, up to a bound', async () => {
  const pauses: number[] = [];
  for (let index = 0; index < 6; index += 1) {
    await fail();
    pauses.push(await pause());
  }
  expect(pauses).toEqual([500, 1000, 2000, 4000, 4000, 4000]);
  expect(daemon).toMatchObject({ state: 'running', failures: 6 });
});

test('one that was healthy for a minute is as good as new', async () => {
  for (const _ of [1, 2, 3]) {
    await fail();
    await pause();
  }
  await clock.pass(59_000);
  await fail();
  expect([daemon.failures, await pause()]).toEqual([4, 4000]);
  await clock.pass(60_000);
  await fail();
  expect([daemon.failures, await pause()]).toEqual([1, 500]);
});

test('one that is not wanted any more when its pause is over stays away, until it is asked again', async () => {
  await fail();
  isWanted = false;
  await clock.pass(500);
  expect([daemon.state, starts.length]).toEqual(['stopped', 1]);
  isWanted = true;
  daemon.start();
  await settled();
  expect([daemon.state, starts.length]).toEqual(['running', 2]);
});
