import { chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { IdentityStore } from '../../../src/emperor/identity-store.ts';

const OWN = { uid: null, gid: null };
const uidRange = { first: 200_000, last: 200_009 };
let directory: string;
const open = () => {
  const homesDirectory = join(directory, 'homes');
  return new IdentityStore({
    stateDirectory: directory,
    homesDirectory,
    uidRange,
    clock: systemClock,
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
