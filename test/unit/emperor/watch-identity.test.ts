import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type DirectoryIdentity,
  type DirectoryLook,
  judgeDirectory,
  readIdentity,
  sameDirectory,
} from '../../../src/emperor/watch-identity.ts';

const HOLD_MS = 30_000;
const FIRST: DirectoryIdentity = {
  dev: 1n,
  ino: 2n,
  bornNs: 3n,
  isBirthSure: true,
  isMountPoint: false,
};
const OTHER = { ...FIRST, ino: 9n };
const THIRD = { ...FIRST, ino: 10n };

const judge = (changes: Partial<DirectoryLook>) =>
  judgeDirectory({
    now: 100_000,
    trusted: FIRST,
    stranger: undefined,
    found: FIRST,
    knownFiles: 5,
    listedFiles: 5,
    holdMs: HOLD_MS,
    ...changes,
  });

describe('sameDirectory()', () => {
  test.each<[string, Partial<DirectoryIdentity>, boolean]>([
    ['nothing differs', {}, true],
    ['it became a mount point of the same file system', { isMountPoint: true }, true],
    ['another device', { dev: 7n }, false],
    ['another inode', { ino: 7n }, false],
    ['the numbers repeat, and it was born later', { bornNs: 7n }, false],
  ])('%s', (_, changes, isSame) => {
    expect(sameDirectory(FIRST, { ...FIRST, ...changes })).toBe(isSame);
    expect(sameDirectory({ ...FIRST, ...changes }, FIRST)).toBe(isSame);
  });

  test('compares no births that may be times of change', () => {
    const unsure = { ...FIRST, isBirthSure: false };
    expect(sameDirectory(unsure, { ...unsure, bornNs: 7n })).toBe(true);
    expect(sameDirectory(unsure, { ...FIRST, bornNs: 7n })).toBe(false);
  });
});

describe('judgeDirectory()', () => {
  test('trusts the first directory, and it again', () => {
    expect(judge({ trusted: undefined })).toEqual({ kind: 'trusted' });
    expect(judge({})).toEqual({ kind: 'trusted' });
  });

  test('trusts any directory while no file is known', () => {
    expect(judge({ found: OTHER, knownFiles: 0 })).toEqual({ kind: 'trusted' });
  });

  test('takes another one for a replacement, adopted after the hold', () => {
    const stranger = { identity: OTHER, since: 100_000 };
    expect(judge({ found: OTHER })).toEqual({ kind: 'replaced', stranger });
    const before = { found: OTHER, stranger, now: 100_000 + HOLD_MS - 1 };
    expect(judge(before)).toEqual({ kind: 'replaced', stranger });
    expect(judge({ ...before, now: 100_000 + HOLD_MS })).toEqual({ kind: 'adopted' });
  });

  test('starts the hold anew for a third one', () => {
    const stranger = { identity: OTHER, since: 0 };
    expect(judge({ found: THIRD, stranger })).toEqual({
      kind: 'replaced',
      stranger: { identity: THIRD, since: 100_000 },
    });
  });

  test('never adopts an empty one', () => {
    const stranger = { identity: OTHER, since: 0 };
    expect(judge({ found: OTHER, stranger, listedFiles: 0 }).kind).toBe('replaced');
  });

  test('never adopts the bare mount point of a lost disk, however many files lie there', () => {
    const mounted = { ...FIRST, isMountPoint: true };
    const stranger = { identity: OTHER, since: 0 };
    expect(judge({ trusted: mounted, found: OTHER, stranger }).kind).toBe('unmounted');
  });

  test('takes another disk at the same mount point for a replacement', () => {
    const mounted = { ...FIRST, isMountPoint: true };
    const found = { ...OTHER, isMountPoint: true };
    expect(judge({ trusted: mounted, found }).kind).toBe('replaced');
  });
});

describe('readIdentity()', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'emperor-identity-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test('meets the same directory by every path to it, whatever is written in it', () => {
    const at = join(directory, 'a');
    mkdirSync(at);
    const before = readIdentity(at);
    symlinkSync('a', join(directory, 'link'));
    writeFileSync(join(at, 'x.ini'), '');
    mkdirSync(join(at, 'sub'));
    expect(sameDirectory(before, readIdentity(join(directory, 'link')))).toBe(true);
    expect(readIdentity(at).isMountPoint).toBe(false);
  });

  test('tells a directory from one made anew in its place, even within a tick of the clock', () => {
    const at = join(directory, 'a');
    for (let i = 0; i < 200; i += 1) {
      mkdirSync(at);
      const before = readIdentity(at);
      rmSync(at, { recursive: true });
      mkdirSync(at);
      const after = readIdentity(at);
      // Births have the clock's ticks; equal ones cannot be told apart by anybody.
      if (before.bornNs !== after.bornNs) expect(sameDirectory(before, after)).toBe(false);
      rmSync(at, { recursive: true });
    }
  });

  test('knows a mount point', () => {
    expect(readIdentity('/proc').isMountPoint).toBe(true);
  });

  test('fails on what is no directory', () => {
    const file = join(directory, 'file');
    writeFileSync(file, '');
    expect(() => readIdentity(file)).toThrow(/ENOTDIR/);
    expect(() => readIdentity(join(directory, 'nothing'))).toThrow(/ENOENT/);
  });
});
