import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type AppliedRecord, Records } from '../../../src/emperor/records.ts';
import { configOf } from '../../support/vassal-config.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-records-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

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

test('a removed record is gone for the next emperor too', () => {
  const records = new Records(directory);
  records.write('blog', RECORD);
  records.remove('blog');
  expect(records.read('blog')).toBeUndefined();
  expect(new Records(directory).read('blog')).toBeUndefined();
});

test('a record cut off at any byte is as good as none, and does no harm', () => {
  new Records(directory).write('blog', RECORD);
  const file = join(directory, 'vassals', 'blog.json');
  const whole = JSON.stringify({ version: 1, ...RECORD });
  for (let length = 0; length < whole.length; length += 1) {
    writeFileSync(file, whole.slice(0, length));
    expect(new Records(directory).read('blog')).toBeUndefined();
  }
});

test('a record leaves no temporary file behind', () => {
  new Records(directory).write('blog', RECORD);
  expect(readdirSync(join(directory, 'vassals'))).toEqual(['blog.json']);
});
