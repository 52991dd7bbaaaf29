import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DenialsFile } from '../../../src/router/denials-file.ts';
import type { Denials } from '../../../src/router/gates.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { until } from '../../support/wait.ts';

const DENIED: Denials = { chain: 'out', rule: 'deny', vassal: null, count: 3 };
let directory: string;
let path: string;
const said: string[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-denials-'));
  path = join(directory, 'denials.json');
  said.length = 0;
});
afterEach(() => rmSync(directory, { recursive: true }));

const open = (clock: ManualClock) =>
  new DenialsFile({ path, clock, say: (line) => void said.push(line) });

test('what is kept is saved after 10 s, and again when it is something else', async () => {
  const clock = new ManualClock();
  let list = [DENIED];
  const file = open(clock);
  file.keep(() => list);
  await clock.pass(9_999);
  expect(existsSync(path)).toBe(false);
  await clock.pass(1);
  await until('it is saved', () => open(clock).read().length === 1);
  expect(open(clock).read()).toEqual([DENIED]);
  list = [{ ...DENIED, count: 4 }];
  await until('the next one comes', async () => {
    await clock.pass(10_000);
    return open(clock).read()[0]?.count === 4;
  });
  file.end(list);
});

test('end() saves at once, and nothing afterwards', async () => {
  const clock = new ManualClock();
  const file = open(clock);
  file.keep(() => []);
  file.end([DENIED]);
  await clock.pass(60_000);
  expect(open(clock).read()).toEqual([DENIED]);
});

test('a file that is none of ours counts as none, and so does a line in it', () => {
  const clock = new ManualClock();
  expect(open(clock).read()).toEqual([]);
  writeFileSync(path, '{"version":1,"denials":[{"chain":"up"},null,7]}');
  expect(open(clock).read()).toEqual([]);
  writeFileSync(path, '{"version":2,"denials":[]}');
  expect(open(clock).read()).toEqual([]);
  writeFileSync(path, 'half a');
  expect(open(clock).read()).toEqual([]);
});

test('a disk that does not take it is told once', () => {
  mkdirSync(path);
  const file = open(new ManualClock());
  file.end([DENIED]);
  expect(said).toHaveLength(1);
  expect(said[0]).toContain('Cannot save what was denied');
  expect(() => readFileSync(path)).toThrow();
});
