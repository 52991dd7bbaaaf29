import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseSealed, sealedJson } from '../../../src/base/sealed-json.ts';

test('what was sealed is read back, as JSON on one line that anybody can read', () => {
  fc.assert(
    fc.property(fc.integer(), fc.jsonValue(), (version, value) => {
      const text = sealedJson({ version, value });
      const read = { version, value: JSON.parse(JSON.stringify(value)) };
      expect(parseSealed(text)).toEqual(read);
      expect(JSON.parse(text)).toEqual({ ...read, crc: expect.stringMatching(/^[0-9a-f]{8}$/) });
      expect(text).not.toContain('\n');
    }),
  );
});

test.each([
  ['value', '200001', '200000'],
  ['key', '"uid"', '"gid"'],
  ['checksum', /"crc":"./, '"crc":"x'],
])('what has another %s is not believed, though it is JSON', (_, from, to) => {
  const changed = sealedJson({ uid: 200001 }).replace(from, to);
  expect(JSON.parse(changed)).toBeTypeOf('object');
  expect(parseSealed(changed)).toBeUndefined();
});

test('what an older emperor wrote has no checksum, and is believed', () => {
  expect(parseSealed('{"version":1,"uids":{"blog":200001}}')).toEqual({
    version: 1,
    uids: { blog: 200001 },
  });
});

test.each(['', '{', 'x', '{"a":1,"crc":"0000000"', ',"crc":"00000000"}'])(
  '%j is nothing',
  (text) => {
    expect(parseSealed(text)).toBeUndefined();
  },
);
