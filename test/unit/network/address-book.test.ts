import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AddressBook } from '../../../src/network/address-book.ts';
import { address, addresses, cidr, textsOf } from '../../support/addresses.ts';
import { fillDisk } from '../../support/full-disk.ts';

const NONE = { address: null, address6: null };
let directory: string;
const books: AddressBook[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-addresses-'));
});
afterEach(() => {
  for (const book of books.splice(0)) book.close();
  rmSync(directory, { recursive: true, force: true });
});

function open(writeDown?: (write: () => void) => void): AddressBook {
  const book = new AddressBook({
    stateDirectory: directory,
    cidr4: cidr('10.0.0.1/28'),
    cidr6: null,
    isRunning: () => false,
    wishOf: () => undefined,
    ...(writeDown && { writeDown }),
  });
  books.push(book);
  return book;
}

const journal = () => readFileSync(join(directory, 'addresses.jsonl'), 'utf8');

test('U6 a name has the same address after a kill and a restart', () => {
  const first = open();
  first.addressOf('a', NONE);
  first.addressOf('b', NONE);
  first.claim('b', addresses('192.168.9.9'));
  first.addressOf('c', addresses('10.0.0.9'));
  first.forget('a');
  // No close(): it was killed.
  const second = open();
  expect(second.find('a')).toEqual(NONE);
  expect(textsOf(second.addressOf('b', NONE))).toEqual(['192.168.9.9']);
  expect(second.ownerOf(address('10.0.0.9'))).toBe('c');
  expect(textsOf(second.addressOf('d', NONE))).toEqual(['10.0.0.4']);
});

test('what is free again is not given soon after a restart either', () => {
  const first = open();
  for (const name of ['a', 'b', 'c']) first.addressOf(name, NONE);
  first.forget('b');
  first.forget('a');
  open();
  const third = open();
  const given = Array.from({ length: 12 }, (_, n) =>
    textsOf(third.addressOf(`n${n}`, NONE)),
  ).flat();
  expect(given.slice(0, 2)).toEqual(['10.0.0.5', '10.0.0.6']);
  expect(given.slice(-2)).toEqual(['10.0.0.3', '10.0.0.2']);
});

test('a line that was cut off, and what is no line, spoil nothing', () => {
  open().addressOf('a', NONE);
  appendFileSync(
    join(directory, 'addresses.jsonl'),
    '\n[]\n{"version":1,"name":7}\n{"version":1,"name":"x","address":"10.0.0.7","address6":null}\n{"version":1,"na',
  );
  const second = open();
  expect(textsOf(second.find('a'))).toEqual(['10.0.0.2']);
  expect(second.find('x')).toEqual(NONE);
  second.addressOf('b', NONE);
  expect(textsOf(open().find('b'))).toEqual(['10.0.0.3']);
});

test('a full disk is told, and what it lost is written when that is over', () => {
  const failures: unknown[] = [];
  const book = open((write) => {
    try {
      write();
    } catch (error) {
      failures.push(error);
    }
  });
  fillDisk(join(directory, 'addresses.jsonl'));
  expect(textsOf(book.addressOf('a', NONE))).toEqual(['10.0.0.2']);
  expect(failures).toMatchObject([{ code: 'ENOSPC' }]);
  book.addressOf('b', NONE);
  expect(textsOf(open().find('a'))).toEqual(['10.0.0.2']);
});

test('the journal does not grow without end', () => {
  const book = open();
  book.addressOf('a', NONE);
  const size = journal().length;
  for (let n = 0; n < 40_000; n += 1) {
    book.forget('a');
    book.claim('a', addresses('192.168.9.9'));
  }
  expect(journal().length).toBeLessThan(5 * 1024 * 1024);
  expect(size).toBeGreaterThan(0);
  expect(textsOf(open().find('a'))).toEqual(['192.168.9.9']);
}, 30_000);
