import { describe, expect, it } from 'vitest';
import { unixAddress } from '../../../src/linux/sd-notify.ts';

describe('unixAddress()', () => {
  it('ends a path with NUL', () => {
    expect(unixAddress('/run/x').toString('latin1')).toBe('\x01\x00/run/x\x00');
  });

  it('turns a leading @ into the abstract name space', () => {
    expect(unixAddress('@x').toString('latin1')).toBe('\x01\x00\x00x');
  });

  it('refuses paths that the kernel would cut off', () => {
    expect(() => unixAddress('/'.repeat(108))).toThrow(RangeError);
    expect(() => unixAddress('')).toThrow(RangeError);
  });
});
