import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../../src/base/clock.ts';
import { IdentityStore } from '../../../src/emperor/identity-store.ts';
import { until } from '../../support/wait.ts';

const OWN = { uid: null, gid: null };
const uidRange = { first: 200_000, last: 200_009 };
let directory: string;
const open = () => {
  const homesDirectory = join(directory, 'homes');
  return new IdentityStore({
    stateDirectory: directory,
    homesDirectory,
    uidRange,
    clock: { ...systemClock, after: () => () => {} },
  });
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-identities-'));
  mkdirSync(join(directory, 'homes'));
});
afterEach(() => rmSync(directory, { recursive: true }));

test('a name keeps its uid over restarts', () => {
  const first = open();
  const uid = first.of('blog', OWN).uid;
  first.of('shop', OWN);
  first.save();
  expect(open().of('blog', OWN)).toEqual({ uid, gid: uid });
});

test('a file that gives a uid gets that one, with a group of the same number unless it gives one', () => {
  expect(open().of('blog', { uid: 1234, gid: null })).toEqual({ uid: 1234, gid: 1234 });
  expect(open().of('blog', { uid: 1234, gid: 50 })).toEqual({ uid: 1234, gid: 50 });
});

test.runIf(process.getuid?.() === 0)('lost state is rebuilt from the owners of homes', () => {
  mkdirSync(join(directory, 'homes', 'blog'));
  chownSync(join(directory, 'homes', 'blog'), 200_003, 200_003);
  const store = open();
  expect(store.of('blog', OWN).uid).toBe(200_003);
  const others = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => store.of(name, OWN).uid);
  expect(others).not.toContain(200_003);
});

describe('uids that are given out', () => {
  /** Actions that wait for their time. */
  let due: (() => void)[];
  /** What came of each write: undefined, or what was thrown. */
  let outcomes: unknown[];
  let store: IdentityStore;
  const clock: Clock = {
    ...systemClock,
    after(_, action) {
      due.push(action);
      return () => {
        due = due.filter((each) => each !== action);
      };
    },
  };
  const passTime = () => {
    for (const action of due.splice(0)) action();
  };
  const written = () =>
    Object.keys(JSON.parse(readFileSync(join(directory, 'identities.json'), 'utf8')).uids);
  const wasWritten = (times: number) => until('written', () => outcomes.length === times);

  beforeEach(() => {
    due = [];
    outcomes = [];
    store = new IdentityStore({
      stateDirectory: directory,
      homesDirectory: join(directory, 'homes'),
      uidRange,
      clock,
      writeDown(write) {
        try {
          outcomes.push(write());
        } catch (error) {
          outcomes.push(error);
        }
      },
    });
  });

  test('are written down together, while other work goes on', async () => {
    store.of('blog', OWN);
    store.of('shop', OWN);
    expect(due).toHaveLength(1);
    passTime();
    expect(outcomes).toEqual([]);
    store.of('wiki', OWN);
    passTime();
    await wasWritten(2);
    expect(outcomes).toEqual([undefined, undefined]);
    expect(written()).toEqual(['blog', 'shop', 'wiki']);
    expect(readdirSync(directory).sort()).toEqual(['homes', 'identities.json']);
  });

  test('are not taken back by an older write that comes to its end after a newer one', async () => {
    store.of('blog', OWN);
    passTime();
    // It has begun, and cannot end before the next turn of the event loop.
    await Promise.resolve();
    store.of('shop', OWN);
    store.save();
    expect(written()).toEqual(['blog', 'shop']);
    store.of('wiki', OWN);
    passTime();
    await until('the last is written', () => written().includes('wiki'));
    expect(outcomes).toHaveLength(2);
    expect(written()).toEqual(['blog', 'shop', 'wiki']);
  });

  test('are not written once more behind an emperor that has left', async () => {
    store.of('blog', OWN);
    passTime();
    store.save();
    rmSync(join(directory, 'identities.json'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(readdirSync(directory)).toEqual(['homes']);
  });

  test('say what keeps them from the disk, and are written when that is over', async () => {
    store.of('blog', OWN);
    mkdirSync(join(directory, 'identities.json.next'));
    passTime();
    await wasWritten(1);
    expect(outcomes[0]).toMatchObject({ code: 'EISDIR' });
    rmSync(join(directory, 'identities.json.next'), { recursive: true });
    store.release('nobody');
    passTime();
    await wasWritten(2);
    expect(written()).toEqual(['blog']);
  });
});
