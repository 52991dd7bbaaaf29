import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type AppliedRecord, Records, readRecords } from '../../../src/emperor/records.ts';
import { configOf } from '../../support/vassal-config.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-records-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const FILE = () => join(directory, 'vassals.jsonl');
const RECORD: AppliedRecord = {
  file: '/vassals/blog.ini',
  text: '[vassal]\n',
  owner: { uid: 0, gid: 0, mode: 0o644 },
  applied: { config: configOf('blog'), hash: 'h', sha256: 's', generation: 3 },
  isHeld: true,
  finishedInBoot: null,
};

test('a record is read back by the next emperor', () => {
  new Records(directory).write('blog', RECORD);
  expect(new Records(directory).read('blog')).toMatchObject(RECORD);
});

test('readRecords() leaves the journal to the emperor that writes it', () => {
  const records = new Records(directory);
  records.write('blog', RECORD);
  expect(readRecords(directory).get('blog')).toMatchObject(RECORD);
  records.write('shop', RECORD);
  expect([...readRecords(directory).keys()]).toEqual(['blog', 'shop']);
});

test('a removed record is gone for the next emperor too', () => {
  const records = new Records(directory);
  records.write('blog', RECORD);
  records.remove('blog');
  expect(records.read('blog')).toBeUndefined();
  expect(new Records(directory).read('blog')).toBeUndefined();
});

test('a line cut off at any byte is as good as none, and spoils no other', () => {
  const records = new Records(directory);
  records.write('shop', RECORD);
  const before = readFileSync(FILE());
  records.write('blog', RECORD);
  const whole = readFileSync(FILE());
  for (let length = before.length; length < whole.length; length += 7) {
    writeFileSync(FILE(), whole.subarray(0, length));
    const next = new Records(directory);
    expect(next.read('blog')).toBeUndefined();
    expect(next.read('shop')).toMatchObject(RECORD);
    next.close();
  }
});

test('any one bit that is flipped loses at most its own line, and throws nothing', () => {
  const records = new Records(directory);
  for (const name of ['a', 'b', 'c']) records.write(name, RECORD);
  const whole = readFileSync(FILE());
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(7), (at, bit) => {
      const bad = Buffer.from(whole);
      bad[at] = (bad[at] ?? 0) ^ (1 << bit);
      writeFileSync(FILE(), bad);
      const next = new Records(directory);
      const left = ['a', 'b', 'c'].filter((name) => next.read(name) !== undefined);
      next.close();
      expect(left.length).toBeGreaterThanOrEqual(1);
    }),
  );
});

test('a journal does not grow with changes for ever, and keeps the last of each', () => {
  const records = new Records(directory);
  const text = 'x'.repeat(60_000);
  for (let generation = 1; generation <= 600; generation += 1) {
    records.write('blog', { ...RECORD, text, applied: { ...RECORD.applied, generation } });
  }
  expect(statSync(FILE()).size).toBeLessThan(20_000_000);
  expect(new Records(directory).read('blog')?.applied.generation).toBe(600);
  expect(statSync(FILE()).size).toBeLessThan(70_000);
});
