/** The book of totals on disks that are full, and in files that are something else. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { mapLedger, openLedger, Rows } from '../../../src/router/ledger.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-ledger-'));
  path = join(directory, 'traffic.ledger');
});
afterEach(() => rmSync(directory, { recursive: true }));

test('openLedger() has all of the file allocated, so that no store into it can fail', () => {
  const { fault, ledger } = openLedger(path);
  expect(fault).toBeNull();
  const { blocks, size } = statSync(path);
  expect(blocks * 512).toBeGreaterThanOrEqual(size);
  new Rows(ledger).rowOf('blog');
  expect(readFileSync(path).includes('blog')).toBe(true);
});

test('openLedger() finds what another has counted', () => {
  const { ledger } = openLedger(path);
  const row = new Rows(ledger).rowOf('blog');
  ledger.counters[row * 16] = 42;
  const again = openLedger(path);
  expect(again.fault).toBeNull();
  expect(new Rows(again.ledger).find('blog')).toBe(row);
  expect(again.ledger.counters[row * 16]).toBe(42);
});

test('openLedger() counts in memory, which another thread sees, while the disk is full', () => {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', directory]);
  try {
    const { fault, ledger, place } = openLedger(path);
    expect(fault).toMatch(/^Cannot count traffic in .*traffic\.ledger: ENOSPC/);
    ledger.counters.fill(7);
    expect(mapLedger(place).counters.at(-1)).toBe(7);
    // What a failure leaves is no obstacle once there is room.
    execFileSync('mount', ['-o', 'remount,size=32m', directory]);
    expect(openLedger(path).fault).toBeNull();
    expect(readdirSync(directory)).toEqual(['traffic.ledger']);
  } finally {
    execFileSync('umount', ['-l', directory]);
  }
});

test('openLedger() leaves a file alone that is none of its own, and counts in memory', () => {
  writeFileSync(path, 'somebody else’s');
  expect(openLedger(path).fault).toMatch(
    /it begins otherwise, so it is no ledger .* move it away$/,
  );
  expect(readFileSync(path, 'utf8')).toBe('somebody else’s');
  expect(openLedger(join(directory, 'none/traffic.ledger')).fault).toContain('ENOENT');
});
