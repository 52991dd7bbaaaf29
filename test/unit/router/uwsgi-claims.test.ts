import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../../src/firewall/prefix.ts';
import { Claims, MAX_ADDRESSES_OF_USER, NO_CLIENT } from '../../../src/router/uwsgi-claims.ts';

function cidr(text: string) {
  const parsed = parseCidr({ text, offset: 0 });
  if ('fault' in parsed) throw new Error(parsed.fault.message);
  return parsed;
}

const NET = 0x0a630000;
const claims = (owners: { address: number; uid: number }[] = []) =>
  new Claims(cidr('10.99.0.1/24'), owners);

describe('Claims', () => {
  test('the first to claim an address keeps it while it is connected', () => {
    const all = claims();
    expect(all.claim(NET + 2, { uid: 0, slot: 7 })).toBe('granted');
    expect(all.find(NET + 2)).toBe(7);
    expect(all.claim(NET + 2, { uid: 0, slot: 8 })).toBe('taken');
    expect(all.find(NET + 2)).toBe(7);
  });

  test('an address once claimed is locked to its user', () => {
    const all = claims();
    all.claim(NET + 2, { uid: 1000, slot: 7 });
    all.release(NET + 2);
    expect(all.find(NET + 2)).toBe(NO_CLIENT);
    expect(all.claim(NET + 2, { uid: 1001, slot: 1 })).toBe('locked');
    expect(all.claim(NET + 2, { uid: 0, slot: 1 })).toBe('locked');
    expect(all.claim(NET + 2, { uid: 1000, slot: 3 })).toBe('granted');
    expect(all.find(NET + 2)).toBe(3);
  });

  test('owners of an earlier run are still owners', () => {
    const all = claims([{ address: NET + 9, uid: 33 }]);
    expect(all.isOwned(NET + 9)).toBe(true);
    expect(all.claim(NET + 9, { uid: 34, slot: 0 })).toBe('locked');
    expect(all.claim(NET + 9, { uid: 33, slot: 0 })).toBe('granted');
  });

  test("nobody gets the router's own address, the network's or an outer one", () => {
    const all = claims();
    const claim = (address: number) => all.claim(address, { uid: 0, slot: 0 });
    expect(claim(NET + 1)).toBe('reserved');
    expect(claim(NET)).toBe('reserved');
    expect(claim(NET + 255)).toBe('reserved');
    expect(claim(NET + 256)).toBe('outside');
    expect(claim(0)).toBe('outside');
    expect(claim(0xffffffff)).toBe('outside');
    expect(new Claims(cidr('10.99.0.0/31')).claim(NET + 1, { uid: 0, slot: 0 })).toBe('granted');
  });

  test('a user who is not root cannot own all addresses', () => {
    const all = claims();
    const take = (uid: number) => {
      let granted = 0;
      for (let host = 2; host < 255; host += 1) {
        if (all.claim(NET + host, { uid, slot: 0 }) !== 'granted') continue;
        granted += 1;
        all.release(NET + host);
      }
      return granted;
    };
    expect(take(1000)).toBe(MAX_ADDRESSES_OF_USER);
    expect(take(0)).toBe(253 - MAX_ADDRESSES_OF_USER);
  });

  test.each(['10.0.0.1/11', 'fd00::1/64'])('takes no network like %s', (text) => {
    expect(() => new Claims(cidr(text))).toThrow(/Cannot route uWSGI vassals in .*\/12 to \/32/);
  });

  test('no two slots have an address, and no address has two users, whatever is asked', () => {
    const step = fc.record({
      host: fc.integer({ min: 0, max: 20 }),
      uid: fc.constantFrom(0, 1000, 1001),
      slot: fc.nat(9),
      isRelease: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const all = claims();
        const holders = new Map<number, number>();
        const owners = new Map<number, number>();
        for (const { host, uid, slot, isRelease } of steps) {
          const address = NET + host;
          if (isRelease) {
            all.release(address);
            holders.delete(address);
          } else if (all.claim(address, { uid, slot }) === 'granted') {
            expect(holders.has(address)).toBe(false);
            expect(owners.get(address) ?? uid).toBe(uid);
            holders.set(address, slot);
            owners.set(address, uid);
          }
          expect(all.find(address)).toBe(holders.get(address) ?? NO_CLIENT);
        }
      }),
    );
  });
});
