import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Identities } from '../../../src/emperor/identities.ts';

const RANGE = { first: 200_000, last: 200_003 };

describe('Identities', () => {
  test('gives a name the same uid for ever', () => {
    const identities = new Identities(RANGE);
    const uid = identities.allocate('blog');
    identities.allocate('shop');
    expect(identities.allocate('blog')).toBe(uid);
  });

  test('survives being written and read', () => {
    const first = new Identities(RANGE);
    first.allocate('a');
    const uid = first.allocate('b');
    const second = new Identities(RANGE);
    second.restore(JSON.parse(JSON.stringify(first.toJson())));
    expect(second.allocate('b')).toBe(uid);
    expect(second.allocate('c')).toBe(200_002);
  });

  test('is rebuilt from the owners of homes when its state is lost', () => {
    const identities = new Identities(RANGE);
    identities.claim('old', 200_000);
    expect(identities.allocate('new')).toBe(200_001);
    expect(identities.allocate('old')).toBe(200_000);
  });

  test('never takes a uid outside the range from a home', () => {
    const identities = new Identities(RANGE);
    identities.claim('root-owned', 0);
    expect(identities.find('root-owned')).toBeUndefined();
  });

  test('gives nobody a uid that a file gives to another, within the range until it is released', () => {
    const identities = new Identities(RANGE);
    identities.give('file', 200_000);
    expect(identities.allocate('own')).toBe(200_001);
    identities.give('file', null);
    expect(identities.ownerOf(200_000)).toBe('file');
    identities.release('file');
    expect(identities.ownerOf(200_000)).toBeUndefined();
  });

  test('knows whose a uid beyond the range is as long as a file gives it, and the first keeps it', () => {
    const identities = new Identities(RANGE);
    identities.give('first', 5000);
    identities.give('second', 5000);
    expect(identities.ownerOf(5000)).toBe('first');
    identities.give('first', 5001);
    expect(identities.ownerOf(5000)).toBeUndefined();
    expect(identities.ownerOf(5001)).toBe('first');
    identities.give('second', null);
    expect(identities.ownerOf(5001)).toBe('first');
  });

  test('says so when the range is used up, and gives out again what was released', () => {
    const identities = new Identities(RANGE);
    for (const name of ['a', 'b', 'c', 'd']) identities.allocate(name);
    expect(() => identities.allocate('e')).toThrow(/uid-range 200000-200003 are taken/);
    identities.release('b');
    expect(identities.allocate('e')).toBe(200_001);
  });

  test('reads any JSON without throwing', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        const identities = new Identities(RANGE);
        identities.restore(json);
        identities.restore({ uids: json });
        expect(identities.allocate('x')).toBeGreaterThanOrEqual(RANGE.first);
      }),
    );
  });

  test('never gives one uid to two names', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('allocate', 'release', 'claim')),
        ),
        (calls) => {
          const identities = new Identities(RANGE);
          for (const [name, call] of calls) {
            if (call === 'claim') identities.claim(name, 200_001);
            else identities[call](name);
          }
          const uids = ['a', 'b', 'c'].flatMap((name) => identities.find(name) ?? []);
          expect(new Set(uids).size).toBe(uids.length);
        },
      ),
    );
  });
});
