/** Endings begin a few at a time (docs/decisions/0012-endings-are-paced.md). The jails here are of the test's own. */
import { beforeEach, expect, test } from 'vitest';
import type { Jail } from '../../../src/vassal/jail.ts';
import type { Vassal, VassalHost } from '../../../src/vassal/vassal.ts';
import { ManualClock, settled } from '../../support/manual-clock.ts';
import { appliedOf, vassalHost, vassalIn } from '../../support/vassal-host.ts';

const SIGTERM = 15;

let clock: ManualClock;
let host: VassalHost;
/** Whose ends have begun, in their order. */
let begun: string[];
/** What ends the jail of a vassal whose stop has begun. */
let ends: Map<string, () => void>;

beforeEach(() => {
  clock = new ManualClock();
  begun = [];
  ends = new Map();
  host = vassalHost(clock);
});

/** A vassal that runs a command and ends when the test says so. */
async function running(name: string): Promise<Vassal> {
  const jail = {
    isDead: false,
    release: () => {},
    stop: () => {
      begun.push(name);
      return new Promise<void>((resolve) => void ends.set(name, resolve));
    },
    init: {
      list: async () => [{ slot: 1n, kind: 'command', state: 'running', startedAtMs: 0 }],
      signal: async (_: bigint, signo: number) => {
        if (signo === SIGTERM) begun.push(name);
      },
    },
  } as unknown as Jail;
  return vassalIn(jail, name, host);
}

const runningOnes = (...names: readonly string[]) => Promise.all(names.map(running));

const END_ALL: readonly (readonly [string, (vassal: Vassal) => void])[] = [
  ['that an operator stops', (vassal) => vassal.stop(null)],
  ['whose files are removed', (vassal) => vassal.want(null)],
  ['of an emperor that ends everything', (vassal) => vassal.retire()],
  ['that get a new jail', (vassal) => vassal.restart()],
  [
    'whose files change their jail',
    (vassal) => vassal.want(appliedOf(vassal.name, { hostname: 'other' })),
  ],
  [
    'whose commands are replaced',
    (vassal) => vassal.want(appliedOf(vassal.name, { command: ['y'] })),
  ],
];

test.each(END_ALL)('vassals %s begin to end a few at a time', async (_, end) => {
  const vassals = await runningOnes('a', 'b', 'c', 'd', 'e');
  for (const vassal of vassals) end(vassal);
  await settled();
  expect(begun).toEqual(['a', 'b']);
  await clock.pass(99);
  expect(begun).toEqual(['a', 'b']);
  await clock.pass(1);
  expect(begun).toEqual(['a', 'b', 'c', 'd']);
});

test('who has ended makes room at once', async () => {
  const vassals = await runningOnes('a', 'b', 'c');
  for (const vassal of vassals) vassal.retire();
  await settled();
  ends.get('b')?.();
  await settled();
  expect(begun).toEqual(['a', 'b', 'c']);
});

test('whom somebody waits for goes before all whose files were removed', async () => {
  const vassals = await runningOnes('a', 'b', 'c', 'd', 'e');
  const [asked, ...removed] = vassals.toReversed();
  for (const vassal of removed.reverse()) vassal.want(null);
  await settled();
  if (!asked) throw new Error('none was made');
  asked.awaitedBy += 1;
  asked.stop(null);
  await settled();
  await clock.pass(100);
  expect(begun).toEqual(['a', 'b', 'e', 'c']);
});

test('what was queued to end runs on when the emperor has let go, and is not told to have ended', async () => {
  const vassals = await runningOnes('a', 'b', 'c', 'd');
  for (const vassal of vassals) vassal.want(null);
  await settled();
  for (const vassal of vassals) vassal.release();
  ends.get('a')?.();
  await clock.pass(1000);
  expect(begun).toEqual(['a', 'b']);
  expect(vassals.map(({ state }) => state)).toEqual(Array(4).fill('stopping'));
});
