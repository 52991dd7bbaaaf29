import { statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EmperorError, isErrno, isSystemError } from '../../../src/base/errors.ts';
import { ErrnoError } from '../../../src/linux/errno.ts';

function thrownBy(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}

test("isSystemError() knows Node's failed calls and our own, and no other error", () => {
  const nodes = thrownBy(() => statSync('/nothing'));
  expect(isSystemError(nodes) && nodes.code).toBe('ENOENT');
  expect(isSystemError(new ErrnoError('openat2', 40))).toBe(true);
  const others = [
    new EmperorError('timeout', 'late'),
    thrownBy(() => statSync(undefined as never)),
    new TypeError('a bug'),
    { code: 'ENOENT', syscall: 'stat' },
    'ENOENT',
    null,
  ];
  expect(others.filter(isSystemError)).toEqual([]);
});

test('isErrno() also knows a connection that broke off, for which Node names no call', () => {
  const hangUp = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
  expect(isErrno(hangUp, 'EPIPE', 'ECONNRESET')).toBe(true);
  expect(isErrno(hangUp, 'EPIPE')).toBe(false);
  expect(isErrno(null, 'EPIPE')).toBe(false);
});
