import { expect, test } from 'vitest';
import { spoilsDatagrams } from '../../../src/router/self-test.ts';

test.each([
  ['6.1.0-40-amd64', false],
  ['6.12.48', false],
  ['6.17.0-41-generic', true],
  ['6.18.44-fc', false],
  ['7.0.0', true],
  ['7.1.3', true],
  ['7.10.0', false],
  ['7.2.0', false],
])('of Linux %s, spoilsDatagrams() says %s', (release, expected) => {
  expect(spoilsDatagrams(release)).toBe(expected);
});
