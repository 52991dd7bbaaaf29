import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseOsRelease } from '../../../src/distro/os-release.ts';

test('parseOsRelease() reads quoted and bare values', () => {
  const text =
    'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_CODENAME=bookworm\nID=debian\n';
  expect(parseOsRelease(text)).toEqual({
    id: 'debian',
    codename: 'bookworm',
    prettyName: 'Debian GNU/Linux 12 (bookworm)',
  });
});

test('parseOsRelease() answers null for what is not said', () => {
  expect(parseOsRelease('')).toEqual({ id: null, codename: null, prettyName: null });
  expect(parseOsRelease('ID=alpine\nNAME=Alpine\n').prettyName).toBe('Alpine');
});

test('parseOsRelease() takes any text without throwing', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      for (const value of Object.values(parseOsRelease(text))) {
        expect(value === null || typeof value === 'string').toBe(true);
      }
    }),
  );
});
