import fc from 'fast-check';
import { expect, test } from 'vitest';
import { jsonText } from '../../../src/cli/json.ts';

test('jsonText() has no control character and no turn of direction, and means what it meant', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const printed = jsonText({ text });
      expect(printed).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069]/u);
      expect(JSON.parse(printed)).toEqual({ text });
    }),
  );
  expect(jsonText('\u009b31m\u007f\u202e')).toBe('"\\u009b31m\\u007f\\u202e"');
});
