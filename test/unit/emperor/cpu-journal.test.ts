import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CpuJournal } from '../../../src/emperor/cpu-journal.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-cpu-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const open = () => new CpuJournal(directory, (write) => write());
const READING = { atMs: 5, usedMs: 1.5, counterMs: 7, startedAtMs: 1, isSpent: true };

test('what was written last of each vassal is there for the next emperor', () => {
  const first = open();
  first.write('blog', { ...READING, usedMs: 1 });
  first.write('blog', READING);
  first.write('shop', READING);
  first.write('shop', null);
  first.close();
  const next = open();
  expect(next.read('blog')).toEqual(READING);
  expect(next.read('shop')).toBeUndefined();
  next.close();
});

test('a line that is damaged, or no reading, is as good as none', () => {
  const first = open();
  first.write('blog', READING);
  first.close();
  const file = join(directory, 'daily-cpu.jsonl');
  appendFileSync(file, '\n{"version":1,"name":"blog","reading":{"atMs":"soon"}}\n{"version":1,"na');
  const next = open();
  expect(next.read('blog')).toEqual(READING);
  expect(readFileSync(file, 'utf8')).not.toContain('soon');
  next.close();
});

test('nothing is written for who had nothing to be forgotten', () => {
  const journal = open();
  journal.write('blog', null);
  journal.close();
  expect(readFileSync(join(directory, 'daily-cpu.jsonl'), 'utf8')).toBe('');
});
