import { lstatSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readSignature } from '../../../src/linux/statx.ts';

describe('readSignature()', () => {
  let directory: string;
  const at = (name: string) => join(directory, name);
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'emperor-statx-'));
    writeFileSync(at('fünf.ini'), 'five!');
    writeFileSync(at('old.ini'), '');
    utimesSync(at('old.ini'), 1, 1_234_567_890.123_456);
    symlinkSync('fünf.ini', at('link.ini'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test('tells what Node tells, of every kind of file and file system', () => {
    const places = ['fünf.ini', 'old.ini', 'link.ini', '.'].map(at);
    for (const path of [...places, '/dev/null', '/dev/shm', '/sys', '/proc/1']) {
      const { dev, ino, size, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
      expect(readSignature(path)).toEqual({ dev, ino, size, mtimeNs, ctimeNs });
    }
  });

  test('gives each answer values of its own', () => {
    const first = readSignature(at('fünf.ini'));
    readSignature(at('old.ini'));
    expect(first.size).toBe(5n);
  });

  test('knows nanoseconds, and times before 1970', () => {
    utimesSync(at('old.ini'), 1, new Date(-1500));
    expect(readSignature(at('old.ini')).mtimeNs).toBe(-1_500_000_000n);
  });

  test('throws what the kernel says', () => {
    expect(() => readSignature(at('nothing'))).toThrow(/ENOENT: statx/);
    expect(() => readSignature(at('old.ini/x'))).toThrow(/ENOTDIR/);
    expect(() => readSignature(at('x'.repeat(300)))).toThrow(/ENAMETOOLONG/);
  });
});
