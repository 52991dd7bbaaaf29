import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLog } from '../../../src/base/create-log.ts';

let directory: string;
let file: string;
const lines = (path: string) =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-log-'));
  file = join(directory, 'emperor.log');
});
afterEach(() => rmSync(directory, { recursive: true }));

test('the file has one JSON object a line, from the level on', () => {
  const log = createLog({ level: 'warn', pretty: false, file });
  log.info({}, 'not urgent');
  log.warn({ vassal: 'blog' }, 'refused:\n\u001b[31m');
  expect(lines(file)).toEqual([
    {
      level: 'warn',
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      vassal: 'blog',
      msg: 'refused:\n\u001b[31m',
    },
  ]);
});

test('after a rotation it goes on in a new file', () => {
  const log = createLog({ level: 'error', pretty: false, file });
  log.error({}, 'before');
  renameSync(file, `${file}.1`);
  log.reopen();
  log.error({}, 'after');
  expect(lines(`${file}.1`).map(({ msg }) => msg)).toEqual(['before']);
  expect(lines(file).map(({ msg }) => msg)).toEqual(['after']);
});
