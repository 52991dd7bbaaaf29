/** What home-size comes to, as values. */
import { describe, expect, test } from 'vitest';
import {
  hasErrors,
  judgeSize,
  SUPERBLOCK,
  usageOf,
  wantedBytes,
  whyNoImage,
} from '../../../src/emperor/home-size.ts';

const MIB = 1 << 20;

describe('judgeSize()', () => {
  test('keeps an image of the size that is wanted', () => {
    expect(judgeSize(64 * MIB, { bytes: 64 * MIB })).toEqual({ kind: 'kept' });
  });

  test('has a smaller one grow', () => {
    expect(judgeSize(65 * MIB, { bytes: 64 * MIB })).toEqual({ kind: 'grow', bytes: 65 * MIB });
  });

  test('makes none smaller, and says how large it is and how much of it is used', () => {
    expect(judgeSize(32 * MIB, { bytes: 64 * MIB, used: 48 * MIB })).toEqual({
      kind: 'unmet',
      reason: 'its home has 64.0M (48.0M of it used) and is only made larger',
    });
  });

  test('takes none away from a home that has one', () => {
    expect(judgeSize(null, { bytes: 64 * MIB })).toEqual({
      kind: 'unmet',
      reason: 'its home has 64.0M and cannot be without one again',
    });
  });
});

describe('wantedBytes()', () => {
  test.each([
    [64 * MIB, 64 * MIB],
    [64 * MIB + 4095, 64 * MIB],
    ['max', null],
    [null, null],
    [undefined, null],
  ] as const)('of %s is %s', (limit, bytes) => {
    expect(wantedBytes(limit)).toBe(bytes);
  });
});

describe('whyNoImage()', () => {
  const facts = { name: 'blog', home: '/homes/blog', isJailed: true, lack: null, hasFiles: false };

  test('says nothing where nothing is in the way', () => {
    expect(whyNoImage(facts)).toBe(null);
  });

  test.each([
    [{ hasFiles: true }, /\/homes\/blog has files already; `emperor stop blog`, move them/],
    [{ lack: { what: 'there is no x', fix: '`get x`' } }, /^there is no x; `get x`$/],
    [{ isJailed: false }, /`fs` in emperor-use-clone/],
  ])('names what is in the way: %o', (changes, message) => {
    expect(whyNoImage({ ...facts, ...changes })).toMatch(message);
  });
});

describe('usageOf()', () => {
  test('counts what can be used: one without room has used all of its size', () => {
    const figures = { bsize: 4096, blocks: 1000, bfree: 40, bavail: 0, files: 100, ffree: 25 };
    expect(usageOf(figures, false)).toEqual({
      bytes: 960 * 4096,
      sizeBytes: 960 * 4096,
      inodes: 75,
      inodesMax: 100,
      isReadOnly: false,
    });
  });
});

describe('hasErrors()', () => {
  test.each([
    [0, false],
    [1, false],
    [2, true],
    [3, true],
  ])('of state %i is %s', (state, answer) => {
    const superblock = Buffer.alloc(SUPERBLOCK.bytes);
    superblock.writeUInt16LE(state, 0x3a);
    expect(hasErrors(superblock)).toBe(answer);
  });
});
