/** When a command that ends is started again, and what has its failures forgotten. The jail here is of the test's own. */
import { beforeEach, expect, test } from 'vitest';
import type { SlotExit } from '../../../src/jail/init-client.ts';
import type { Jail } from '../../../src/vassal/jail.ts';
import type { Vassal } from '../../../src/vassal/vassal.ts';
import { ManualClock, settled } from '../../support/manual-clock.ts';
import { appliedOf, vassalHost, vassalIn } from '../../support/vassal-host.ts';

const MINUTE = 60_000;

let clock: ManualClock;
let jail: Jail;
let vassal: Vassal;
/** When the command was started. */
let starts: number[];
let slot: bigint;

beforeEach(async () => {
  clock = new ManualClock();
  starts = [];
  jail = {
    isDead: false,
    stop: () => new Promise<void>(() => {}),
    init: {
      list: async () => [],
      start: async (request: { readonly slot: bigint }) => {
        slot = request.slot;
        starts.push(clock.now());
      },
      meta: async () => {},
      ack: async () => {},
    },
  } as unknown as Jail;
  vassal = await vassalIn(jail, 'blog', { ...vassalHost(clock), applyLive: async () => {} });
  await settled();
});

async function fail(): Promise<void> {
  const exit = { slot, kind: 'command', status: 1 << 8, endedAtMs: clock.now() };
  jail.onEvent({ kind: 'exit', exit: exit as SlotExit });
  await settled();
}

/** Fails so often, each time as soon as it has been started. */
async function failTimes(times: number): Promise<void> {
  for (let failure = 1; failure <= times; failure += 1) {
    if (vassal.state === 'backoff') await clock.pass((vassal.nextAttemptAtMs ?? 0) - clock.now());
    expect(vassal.state).toBe('running');
    await fail();
  }
  expect([vassal.state, vassal.failures]).toEqual(['backoff', times]);
}

test('the first start waits for nothing, each failure for twice as long as the one before, up to 180 s', async () => {
  expect([vassal.state, starts]).toEqual(['running', [0]]);
  await failTimes(11);
  const waits = starts.slice(1).map((at, index) => at - (starts[index] ?? 0));
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 180_000]);
});

test('a command that has run for a minute fails for the first time again, and no sooner', async () => {
  await failTimes(3);
  await clock.pass(2000);
  await clock.pass(MINUTE - 1);
  await fail();
  expect(vassal.failures).toBe(4);
  await clock.pass(4000);
  await clock.pass(MINUTE);
  await fail();
  expect(vassal.failures).toBe(1);
});

const FORGIVEN: readonly (readonly [string, () => void])[] = [
  ['a touch of its file', () => vassal.touch()],
  ['a change of its file', () => vassal.want(appliedOf('blog', { env: [['A', '1']] }))],
  ['`emperor start`', () => vassal.start()],
];
test.each(FORGIVEN)(
  '%s has failures forgotten, and the command started at once',
  async (_, act) => {
    await failTimes(5);
    act();
    await settled();
    expect([vassal.state, vassal.failures, vassal.nextAttemptAtMs]).toEqual(['running', 0, null]);
    expect(starts.at(-1)).toBe(clock.now());
  },
);

test('`emperor restart` has failures forgotten, and makes a new jail', async () => {
  await failTimes(5);
  vassal.restart();
  await settled();
  expect([vassal.state, vassal.failures, vassal.nextAttemptAtMs]).toEqual(['reloading', 0, null]);
});
