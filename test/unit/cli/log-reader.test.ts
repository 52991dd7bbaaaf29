/** Real files that are written and rotated as init does it. */

import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LogDirectory } from '../../../src/cli/logs/files.ts';
import { LogReader } from '../../../src/cli/logs/reader.ts';

let path: string;
let directory: LogDirectory;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'emperor-logs-'));
  const opened = LogDirectory.open(path);
  if (!opened) throw new Error('no directory');
  directory = opened;
});
afterEach(() => {
  directory.close();
  rmSync(path, { recursive: true });
});

const lineOf = (text: string, label = 'web', mark = 'F') =>
  `2026-01-02T03:04:05.000000000Z stdout ${mark} ${label} ${text}\n`;

function write(file: string, ...texts: readonly string[]): void {
  appendFileSync(join(path, file), texts.map((text) => lineOf(text)).join(''));
}

function rotate(files = 3): void {
  for (let age = files - 1; age > 0; age -= 1) {
    const from = join(path, age === 1 ? 'current' : `current.${age - 1}`);
    try {
      renameSync(from, join(path, `current.${age}`));
    } catch {
      // Not so many yet.
    }
  }
}

function open(options: { label?: string; last?: number; isFollowing?: boolean } = {}) {
  const seen: string[] = [];
  const reader = new LogReader(directory, {
    label: options.label ?? null,
    last: options.last ?? null,
    isFollowing: options.isFollowing ?? true,
    onLine: ({ text }) => seen.push(text.toString()),
  });
  return { reader, seen };
}

function readAll(reader: LogReader): void {
  while (reader.read());
}

function read(options: { label?: string; last?: number } = {}): readonly string[] {
  const { reader, seen } = open(options);
  readAll(reader);
  reader.finish();
  return seen;
}

describe('reading a log', () => {
  test('gives all lines of all files, oldest first', () => {
    write('current.2', 'one');
    write('current.1', 'two', 'three');
    write('current', 'four');
    expect(read()).toEqual(['one', 'two', 'three', 'four']);
  });

  test('of nothing gives nothing', () => {
    expect(read()).toEqual([]);
  });

  test.each([
    [0, []],
    [1, ['four']],
    [2, ['three', 'four']],
    [3, ['two', 'three', 'four']],
    [99, ['one', 'two', 'three', 'four']],
  ])('gives the last %i lines, also across files', (last, wanted) => {
    write('current.2', 'one');
    write('current.1', 'two', 'three');
    write('current', 'four');
    expect(read({ last })).toEqual(wanted);
  });

  test('counts lines of the label only', () => {
    writeFileSync(
      join(path, 'current'),
      lineOf('a1', 'a') + lineOf('b1', 'b') + lineOf('a2', 'a') + lineOf('b2', 'b'),
    );
    expect(read({ label: 'a', last: 1 })).toEqual(['a2']);
    expect(read({ label: 'b' })).toEqual(['b1', 'b2']);
  });

  test('the last line is whole also where it was written in parts', () => {
    writeFileSync(
      join(path, 'current'),
      lineOf('before') +
        lineOf('be', 'web', 'P') +
        lineOf('gun', 'web', 'P') +
        lineOf(' and ended'),
    );
    expect(read({ last: 1 })).toEqual(['begun and ended']);
  });

  test('any last N is the tail of all, whatever the lengths of lines and files', () => {
    const texts = fc.array(fc.string({ maxLength: 3000, unit: fc.constantFrom('x', 'é') }), {
      maxLength: 150,
    });
    fc.assert(
      fc.property(texts, fc.nat(200), fc.nat(150), (lines, last, cut) => {
        writeFileSync(
          join(path, 'current.1'),
          lines
            .slice(0, cut)
            .map((text) => lineOf(text))
            .join(''),
        );
        writeFileSync(
          join(path, 'current'),
          lines
            .slice(cut)
            .map((text) => lineOf(text))
            .join(''),
        );
        expect(read({ last })).toEqual(last === 0 ? [] : lines.slice(-last));
      }),
      { numRuns: 60 },
    );
  });

  test('opens no link, no FIFO and no directory, and does not block on them', () => {
    writeFileSync(join(path, 'secret'), lineOf('secret'));
    symlinkSync(join(path, 'secret'), join(path, 'current'));
    execFileSync('mkfifo', [join(path, 'current.1')]);
    write('current.2', 'plain');
    expect(read()).toEqual(['plain']);
  });

  test('a directory that is a link is not opened', () => {
    symlinkSync(path, `${path}-link`);
    expect(LogDirectory.open(`${path}-link`)).toBeUndefined();
    rmSync(`${path}-link`);
  });
});

describe('following a log', () => {
  test('gives new lines, and each line once it is complete', () => {
    write('current', 'one');
    const { reader, seen } = open();
    readAll(reader);
    appendFileSync(join(path, 'current'), lineOf('two').slice(0, -3));
    readAll(reader);
    expect(seen).toEqual(['one']);
    appendFileSync(join(path, 'current'), lineOf('two').slice(-3));
    readAll(reader);
    expect(seen).toEqual(['one', 'two']);
    reader.finish();
  });

  test('loses and repeats no line through rotations', () => {
    write('current', 'one');
    const { reader, seen } = open();
    readAll(reader);
    write('current', 'two');
    rotate();
    write('current', 'three');
    rotate();
    write('current', 'four');
    readAll(reader);
    write('current', 'five');
    rotate();
    readAll(reader);
    write('current', 'six');
    readAll(reader);
    expect(seen).toEqual(['one', 'two', 'three', 'four', 'five', 'six']);
    reader.finish();
  });

  test('goes on with the oldest that is left where more was rotated away than is kept', () => {
    write('current', 'one');
    const { reader, seen } = open();
    readAll(reader);
    for (const text of ['two', 'three', 'four', 'five']) {
      rotate();
      write('current', text);
    }
    readAll(reader);
    expect(seen).toEqual(['one', 'three', 'four', 'five']);
    reader.finish();
  });

  test('ends where the log ended when it was opened, if it does not follow', () => {
    write('current', 'one');
    write('current', 'two');
    const { reader, seen } = open({ last: 1, isFollowing: false });
    write('current', 'three');
    rotate();
    write('current', 'four');
    readAll(reader);
    expect(seen).toEqual(['two']);
    reader.finish();
  });

  test('begins with a log that comes later', () => {
    const { reader, seen } = open({ last: 10 });
    readAll(reader);
    write('current', 'first');
    readAll(reader);
    expect(seen).toEqual(['first']);
    reader.finish();
  });

  test('keeps no file open that it has left', () => {
    write('current', 'one');
    const { reader } = open();
    for (let turn = 0; turn < 20; turn += 1) {
      rotate();
      write('current', 'more');
      readAll(reader);
    }
    const fds = readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return [];
      }
    });
    expect(fds.filter((target) => target.startsWith(`${path}/`))).toHaveLength(1);
    reader.finish();
  });
});
