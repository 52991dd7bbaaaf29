import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Journal, type JournalFormat, readJournal } from '../../../src/base/journal.ts';
import { fillDisk, openFiles } from '../../support/full-disk.ts';

interface Line {
  readonly key: string;
  readonly value: string;
}

const FORMAT: JournalFormat<Line> = { version: 3, isLine, growthBytes: 1000 };

function isLine(json: object): json is Line {
  const { key, value } = json as Partial<Line>;
  return typeof key === 'string' && typeof value === 'string';
}

let directory: string;
let path: string;
const journals: Journal<Line>[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-journal-'));
  path = join(directory, 'things.jsonl');
});
afterEach(() => {
  for (const journal of journals.splice(0)) journal.close();
  rmSync(directory, { recursive: true });
});

/** What a journal's owner knows, and the journal. */
class Things {
  readonly known = new Map<string, string>();
  readonly journal = new Journal({
    path,
    format: FORMAT,
    content: () => [...this.known].map(([key, value]) => ({ key, value })),
  });

  constructor() {
    for (const { key, value } of readJournal(path, FORMAT)) this.known.set(key, value);
    this.journal.rewrite();
    journals.push(this.journal);
  }

  set(key: string, value: string): void {
    this.known.set(key, value);
    this.journal.append([{ key, value }]);
  }
}

const linesRead = () => [...readJournal(path, FORMAT)].map(({ key, value }) => ({ key, value }));
const known = () => Object.fromEntries(linesRead().map(({ key, value }) => [key, value]));
const openHere = () =>
  openFiles().flatMap(([, file]) => (file.startsWith(directory) ? [file] : []));
const inode = () => statSync(path).ino;

describe('readJournal()', () => {
  test('finds nothing where there is no file', () => {
    expect(linesRead()).toEqual([]);
  });

  test('gives what was appended, in order, also while it is being written', () => {
    const things = new Things();
    things.set('a', '1');
    things.set('b', 'two\nlines, ü\u2028');
    things.set('a', '3');
    expect(linesRead()).toEqual([
      { key: 'a', value: '1' },
      { key: 'b', value: 'two\nlines, ü\u2028' },
      { key: 'a', value: '3' },
    ]);
  });

  test('passes over lines of another version, of another form, and those that are none', () => {
    const good = '{"version":3,"key":"a","value":"1"}';
    const bad = [
      ...['{"version":2,"key":"b","value":"1"}', '{"key":"c","value":"1"}'],
      ...['{"version":3,"key":"d"}', '{"version":3,"key":7,"value":"1"}'],
      ...['[]', 'null', '3', '"x"', 'x', '', ' ', '{"version":3,"key":"e","val'],
    ];
    writeFileSync(path, [...bad, good, ...bad].join('\n'));
    expect(linesRead()).toEqual([{ key: 'a', value: '1' }]);
  });

  test('throws what keeps it from reading', () => {
    mkdirSync(path);
    expect(linesRead).toThrow('EISDIR');
  });
});

describe('a line that was cut off', () => {
  test('spoils none that is appended behind it', () => {
    const things = new Things();
    things.set('a', '1');
    appendFileSync(path, '\n{"version":3,"key":"b","va');
    things.set('c', '3');
    expect(known()).toEqual({ a: '1', c: '3' });
  });

  test('is all that is lost, wherever a file ends too early', () => {
    const anyLines = fc.array(
      fc.record({ key: fc.string(), value: fc.string({ unit: 'binary' }) }),
      {
        minLength: 1,
        maxLength: 12,
      },
    );
    fc.assert(
      fc.property(anyLines, fc.nat(), fc.boolean(), (lines, at, isOneByOne) => {
        rmSync(path, { force: true });
        // Never written anew: there is no owner here who would know all.
        const format = { ...FORMAT, growthBytes: 1_000_000 };
        const journal = new Journal({ path, format, content: () => [] });
        journal.rewrite();
        const ends = lines.map((line) => {
          journal.append([line]);
          // The line end behind it is for the next one.
          return statSync(path).size - 1;
        });
        if (!isOneByOne) {
          rmSync(path);
          journal.rewrite();
          journal.append(lines);
        }
        expect(linesRead()).toEqual(lines);
        const length = at % ((ends.at(-1) ?? 0) + 2);
        truncateSync(path, length);
        const whole = lines.slice(0, ends.filter((end) => end <= length).length);
        expect(linesRead()).toEqual(whole);
        const later = { key: 'later', value: 'x' };
        journal.append([later]);
        expect(linesRead()).toEqual([...whole, later]);
        journal.close();
      }),
    );
  });
});

describe('Journal', () => {
  test('is written anew when it has grown, and has the last of each', () => {
    const things = new Things();
    const states = Array.from({ length: 500 }, (_, n) => {
      things.set('a', String(n));
      return statSync(path);
    });
    expect(new Set(states.map(({ ino }) => ino)).size).toBeGreaterThan(1);
    expect(Math.max(...states.map(({ size }) => size))).toBeLessThan(1000 + 3 * 60);
    expect(known()).toEqual({ a: '499' });
    expect(openHere()).toEqual([path]);
  });

  test('of much content is written anew only when it has more than doubled', () => {
    const things = new Things();
    for (let n = 0; n < 100; n += 1) things.set(`key${n}`, 'x'.repeat(100));
    things.journal.rewrite();
    const compact = statSync(path).size;
    const written = inode();
    let before = compact;
    for (let n = 0; n < 1000 && inode() === written; n += 1) {
      before = statSync(path).size;
      things.set('key0', 'y'.repeat(100));
    }
    expect(before).toBeGreaterThanOrEqual(2 * compact + 1000);
    expect(before).toBeLessThan(2 * compact + 1300);
    expect(statSync(path).size).toBe(compact);
  });

  test('says that an append failed, and the next one writes what is missing', () => {
    const things = new Things();
    things.set('a', '1');
    fillDisk(path);
    expect(() => things.set('b', '2')).toThrow('ENOSPC');
    expect(known()).toEqual({ a: '1' });
    things.set('c', '3');
    expect(known()).toEqual({ a: '1', b: '2', c: '3' });
    const written = inode();
    things.set('d', '4');
    expect(known()).toEqual({ a: '1', b: '2', c: '3', d: '4' });
    expect(inode()).toBe(written);
  });

  test('that cannot be written anew keeps what it had, and tries again with each append', () => {
    const things = new Things();
    things.set('a', '1');
    // Stands where the new file is written.
    mkdirSync(`${path}.tmp`);
    const last = 'x'.repeat(FORMAT.growthBytes);
    things.set('b', last);
    for (const key of ['c', 'd']) expect(() => things.set(key, '3')).toThrow('EISDIR');
    expect(known()).toEqual({ a: '1', b: last });
    rmdirSync(`${path}.tmp`);
    things.set('e', '5');
    expect(known()).toEqual({ a: '1', b: last, c: '3', d: '3', e: '5' });
  });

  test('that could not be written at the beginning is written by the first append', () => {
    const journal = new Journal({
      path,
      format: FORMAT,
      content: () => [{ key: 'a', value: '1' }],
    });
    mkdirSync(`${path}.tmp`);
    expect(() => journal.rewrite()).toThrow('EISDIR');
    rmdirSync(`${path}.tmp`);
    journal.append([{ key: 'a', value: '1' }]);
    expect(linesRead()).toEqual([{ key: 'a', value: '1' }]);
    journal.close();
  });

  test('is readable for its owner alone', () => {
    new Things().set('a', '1');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('is left alone once it is closed, since it may be another emperor’s by then', () => {
    const things = new Things();
    things.set('a', '1');
    things.journal.close();
    things.journal.close();
    expect(openHere()).toEqual([]);
    expect(() => things.set('b', '2')).toThrow(`${path} is closed`);
    expect(readFileSync(path, 'utf8')).toMatch(
      /^\n\{"version":3,"key":"a","value":"1","crc":"[0-9a-f]{8}"\}\n$/,
    );
  });

  test('holds one descriptor, whatever fails', () => {
    const things = new Things();
    for (let n = 0; n < 3; n += 1) {
      fillDisk(path);
      expect(() => things.set('a', String(n))).toThrow('ENOSPC');
      expect(openHere()).toEqual([]);
      things.set('a', 'x');
      expect(openHere()).toEqual([path]);
    }
  });
});
