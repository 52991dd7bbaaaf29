import { expect, test } from 'vitest';
import { visible } from '../../../src/base/visible.ts';

test('visible() leaves what people write alone', () => {
  expect(visible('sh -c "Grüße → 日本"')).toBe('sh -c "Grüße → 日本"');
});

test('visible() writes what a terminal would act upon as escapes', () => {
  expect(visible('a\u001b[31mb\nc\u009bd\u007f')).toBe('a\\x1b[31mb\\x0ac\\x9bd\\x7f');
  expect(visible('ab\u202ecd\u2028e')).toBe('ab\\u{202e}cd\\u{2028}e');
  expect(visible('one\ttwo')).toBe('one two');
});
