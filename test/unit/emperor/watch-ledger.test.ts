import { mkdtempSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import { FileLedger } from '../../../src/emperor/watch-ledger.ts';

const SETTLE_MS = 10;
let directory: string;
let file: string;
let ledger: FileLedger;
/** How long ago the file was changed, as the ledger's clock has it. */
let ageMs: number;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-ledger-'));
  file = join(directory, 'x.ini');
  ageMs = 1000;
  const clock: Clock = {
    now: () => Number(statSync(file, { bigint: true }).ctimeNs / 1000n) / 1000 + ageMs,
    monotonic: () => 0,
    after: () => () => {},
  };
  ledger = new FileLedger({ path: directory, clock, settleMs: SETTLE_MS });
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const look = (movedFrom?: string) => ledger.look('x', movedFrom);

describe('FileLedger', () => {
  test('reports a file once', () => {
    writeFileSync(file, 'text');
    expect(look()).toMatchObject({ kind: 'news', sighting: { kind: 'present', text: 'text' } });
    expect(look()).toEqual({ kind: 'same' });
    expect(ledger.standing('x')).toBe('reported');
  });

  test('lets a file that was written in place rest for the settle time', () => {
    writeFileSync(file, 'text');
    ageMs = 4;
    expect(look()).toEqual({ kind: 'unsettled', waitMs: 6 });
    expect(ledger.standing('x')).toBe('met');
    ageMs = 10;
    expect(look().kind).toBe('news');
  });

  test('takes a file that was renamed into place at its word', () => {
    writeFileSync(`${file}.tmp`, 'text');
    renameSync(`${file}.tmp`, file);
    ageMs = 0;
    expect(look('x.ini.tmp').kind).toBe('news');
  });

  test('believes no rename whose source is still there', () => {
    writeFileSync(join(directory, 'other'), '');
    writeFileSync(file, 'text');
    // Equal times, as of a file written in one tick.
    const { ctime } = statSync(file);
    utimesSync(file, ctime, new Date(ctime.getTime() + 1000));
    ageMs = 0;
    expect(look('other').kind).toBe('unsettled');
  });

  test('does not wait for hours when the clock was set back', () => {
    writeFileSync(file, 'text');
    ageMs = -3_600_000;
    expect(look().kind).toBe('news');
  });

  test('reads a file again that was read within a tick of its change', () => {
    writeFileSync(file, 'text');
    ageMs = 20;
    look();
    expect(ledger.differs('x')).toBe(true);
    ageMs = 1000;
    expect(look()).toEqual({ kind: 'same' });
    expect(ledger.differs('x')).toBe(false);
  });

  test('does the same with one that it refused', () => {
    writeFileSync(file, '\0');
    ageMs = 20;
    look();
    expect(ledger.differs('x')).toBe(true);
    ageMs = 1000;
    expect(look()).toEqual({ kind: 'same' });
    expect(ledger.differs('x')).toBe(false);
  });

  test('reports again what was unsaid, and reads it in the next scan', () => {
    writeFileSync(file, 'text');
    look();
    ledger.unsay('x');
    expect(ledger.standing('x')).toBe('reported');
    expect(ledger.differs('x')).toBe(true);
    expect(look()).toMatchObject({ kind: 'news', sighting: { touched: false } });
  });

  test('reports a text that comes back after a refusal', () => {
    writeFileSync(file, 'text');
    look();
    writeFileSync(file, '\0');
    expect(look()).toMatchObject({ sighting: { kind: 'refused' } });
    writeFileSync(file, 'text');
    expect(look()).toMatchObject({ sighting: { kind: 'present', touched: false } });
  });

  test('keeps an expected name until it is found or forgotten', () => {
    ledger.expect('x');
    expect(look()).toEqual({ kind: 'missing' });
    expect(ledger.standing('x')).toBe('expected');
    writeFileSync(file, 'text');
    expect(look().kind).toBe('news');
    ledger.expect('x');
    expect(ledger.standing('x')).toBe('reported');
    ledger.forget('x');
    expect([...ledger.names()]).toEqual([]);
  });
});
