import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { isErrno } from '../../../src/base/errors.ts';
import { ErrnoError, errnoName } from '../../../src/linux/errno.ts';

describe('errnoName()', () => {
  it('knows the names people use', () => {
    expect([2, 11, 1, 95].map(errnoName)).toEqual(['ENOENT', 'EAGAIN', 'EPERM', 'EOPNOTSUPP']);
  });

  it('gives every number that this machine names back the number', () => {
    for (const number of Object.values(constants.errno)) {
      expect(constants.errno[errnoName(number) as keyof typeof constants.errno]).toBe(number);
    }
  });

  it('has an answer for numbers without a name', () => {
    expect(errnoName(4711)).toBe('errno 4711');
  });
});

describe('ErrnoError', () => {
  it('is recognised as Node recognises its own failed calls', () => {
    const error = new ErrnoError('openat2', 40);
    expect(isErrno(error, 'ELOOP')).toBe(true);
    expect(error.message).toBe('ELOOP: openat2');
  });
});
