import { describe, expect, test } from 'vitest';
import { didYouMean, nearest } from '../../../src/base/nearest.ts';

const KNOWN = ['command', 'chdir', 'env', 'uid', 'gid', 'home', 'hostname', 'dns'];

describe('nearest()', () => {
  test('never proposes the word itself', () => {
    expect(nearest('uid', ['uid'])).toBeUndefined();
  });

  test.each([
    ['comand', 'command'],
    ['commnad', 'command'],
    ['commands', 'command'],
    ['Command', 'command'],
    ['hostnam', 'hostname'],
    ['ehv', 'env'],
    ['udi', 'uid'],
    ['HostName', 'hostname'],
    ['host_name', 'hostname'],
  ])('takes %s for %s', (word, expected) => {
    expect(nearest(word, KNOWN)).toBe(expected);
  });

  test.each(['', 'x', 'memory', 'command-line', 'x'.repeat(60_000)])(
    'finds nothing close to a word that is far from all',
    (word) => {
      expect(nearest(word, KNOWN)).toBeUndefined();
    },
  );

  test('prefers fewer edits, then the first', () => {
    expect(nearest('uids', ['gid', 'uid'])).toBe('uid');
    expect(nearest('aid', ['gid', 'uid'])).toBe('gid');
  });
});

test('didYouMean() is a question, or nothing', () => {
  expect(didYouMean('comand', KNOWN)).toBe('did you mean `command`?');
  expect(didYouMean('tuntap-device', KNOWN)).toBeUndefined();
});
