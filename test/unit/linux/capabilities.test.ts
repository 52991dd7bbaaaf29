import { describe, expect, it } from 'vitest';
import { missingCapabilities, parseEffective } from '../../../src/linux/capabilities.ts';

describe('parseEffective()', () => {
  it('reads the CapEff line among the others', () => {
    const status = 'CapPrm:\t0000000000000000\nCapEff:\t000001fffeffffff\nCapBnd:\t0000\n';
    expect(parseEffective(status)).toBe(0x1fffeffffffn);
  });

  it('returns undefined without one', () => {
    expect(parseEffective('Name:\tCapEff: 1\n')).toBeUndefined();
    expect(parseEffective('')).toBeUndefined();
  });
});

describe('missingCapabilities()', () => {
  it('names what is missing', () => {
    const allButResource = 0x1fffeffffffn;
    expect(missingCapabilities(allButResource, ['sys_admin', 'sys_resource', 'mknod'])).toEqual([
      'sys_resource',
    ]);
    expect(missingCapabilities(0n, ['setuid'])).toEqual(['setuid']);
  });
});
