import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EmperorError } from '../../../src/base/errors.ts';
import { contains, networkOf } from '../../../src/firewall/prefix.ts';
import { type Addresses, AddressPool } from '../../../src/network/address-pool.ts';
import { address, addresses, cidr, textsOf } from '../../support/addresses.ts';

const NONE: Addresses = { address: null, address6: null };

interface Setting {
  readonly running?: readonly string[];
  readonly wishes?: Readonly<Record<string, Addresses>>;
  readonly range4?: string | null;
  readonly range6?: string | null;
}

function poolOf({ running = [], wishes = {}, range4 = '10.0.0.1/29', range6 }: Setting = {}) {
  return new AddressPool({
    cidr4: range4 === null ? null : cidr(range4),
    cidr6: range6 ? cidr(range6) : null,
    isRunning: (name) => running.includes(name),
    wishOf: (name) => wishes[name],
  });
}

/** What a pool gives out until it throws. */
function all(pool: AddressPool): readonly string[] {
  const given: string[] = [];
  for (;;) {
    try {
      given.push(...textsOf(pool.addressOf(`n${given.length}`, NONE)));
    } catch (error) {
      if (error instanceof EmperorError) return given;
      throw error;
    }
  }
}

describe('the pool', () => {
  test('gives the lowest first, never those of the network, of broadcasts and of the host', () => {
    const rest = ['10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'];
    expect(all(poolOf())).toEqual(['10.0.0.2', ...rest]);
    expect(all(poolOf({ range4: '10.0.0.4/29' }))).toHaveLength(5);
    expect(all(poolOf({ range4: '10.0.0.4/29' }))).not.toContain('10.0.0.4');
  });

  test('gives the other one of two, and none of one (RFC 3021)', () => {
    expect(all(poolOf({ range4: '10.0.0.0/31' }))).toEqual(['10.0.0.1']);
    expect(all(poolOf({ range4: '10.0.0.1/31' }))).toEqual(['10.0.0.0']);
    expect(all(poolOf({ range4: '10.0.0.1/32' }))).toEqual([]);
  });

  test('says with the remedy when it is used up', () => {
    const pool = poolOf();
    for (const name of ['a', 'b', 'c', 'd', 'e']) pool.addressOf(name, NONE);
    expect(() => pool.addressOf('f', NONE)).toThrow(
      'Cannot give f an address: all 5 of tuntap-router-address = 10.0.0.1/29 are taken; make it larger, such as /28, ' +
        'or `emperor purge` vassals that are gone',
    );
  });

  test('gives an address again only when no other is left, the one that was freed first', () => {
    const pool = poolOf();
    for (const name of ['a', 'b', 'c']) pool.addressOf(name, NONE);
    pool.forget('b');
    pool.forget('a');
    const next = ['d', 'e', 'f', 'g'].flatMap((name) => textsOf(pool.addressOf(name, NONE)));
    expect(next).toEqual(['10.0.0.5', '10.0.0.6', '10.0.0.3', '10.0.0.2']);
  });

  test('gives the same number in both families, and another one where that is taken', () => {
    const pool = poolOf({ range6: 'fd00::1/64' });
    expect(textsOf(pool.addressOf('a', NONE))).toEqual(['10.0.0.2', 'fd00::2']);
    pool.addressOf('b', addresses('fd00::4'));
    expect(textsOf(pool.addressOf('c', NONE))).toEqual(['10.0.0.4', 'fd00::3']);
  });

  test('without one for a family gives no address of it', () => {
    expect(poolOf({ range4: null }).addressOf('a', NONE)).toEqual(NONE);
    const pool = poolOf({ range4: null, range6: 'fd00::1/64' });
    expect(textsOf(pool.addressOf('a', NONE))).toEqual(['fd00::2']);
  });

  test('that becomes another one gives new addresses of its own', () => {
    const old = poolOf();
    old.addressOf('a', NONE);
    const pool = poolOf({ range4: '10.9.0.1/24' });
    for (const line of old.lines()) pool.restore(line);
    expect(textsOf(pool.find('a'))).toEqual(['10.0.0.2']);
    expect(textsOf(pool.addressOf('a', NONE))).toEqual(['10.9.0.2']);
  });

  test('that is no longer configured is remembered for when it is again', () => {
    const old = poolOf();
    old.addressOf('a', NONE);
    old.addressOf('b', NONE);
    const without = poolOf({ range4: null });
    for (const line of old.lines()) without.restore(line);
    expect(without.addressOf('b', NONE)).toEqual(NONE);
    const again = poolOf();
    for (const line of without.lines()) again.restore(line);
    expect(textsOf(again.addressOf('b', NONE))).toEqual(['10.0.0.3']);
  });

  test('gives 60,000 names their addresses in a time that does not grow with their square', () => {
    const pool = poolOf({ range4: '100.64.0.1/10', range6: 'fd00::1/64' });
    const begun = performance.now();
    for (let n = 0; n < 60_000; n += 1) pool.addressOf(`vassal-${n}`, NONE);
    for (let n = 0; n < 60_000; n += 1) pool.addressOf(`vassal-${n}`, NONE);
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(textsOf(pool.find('vassal-59999'))).toEqual(['100.64.234.97', 'fd00::ea61']);
  }, 30_000);
});

describe("a file's address", () => {
  test('is given, also outside of the pool', () => {
    const pool = poolOf();
    expect(textsOf(pool.addressOf('a', addresses('10.0.0.5')))).toEqual(['10.0.0.5']);
    expect(textsOf(pool.addressOf('b', addresses('192.168.7.7')))).toEqual(['192.168.7.7']);
  });

  test('that two files give is refused, and the error names both', () => {
    const pool = poolOf({ wishes: { a: addresses('10.0.0.5') } });
    pool.addressOf('a', addresses('10.0.0.5'));
    expect(() => pool.addressOf('b', addresses('10.0.0.5'))).toThrow(
      'Cannot give b 10.0.0.5: it is the address of a; give one of them another `address`, or `emperor purge a` if it is gone',
    );
    expect(pool.find('b')).toEqual(NONE);
    expect(pool.ownerOf(address('10.0.0.5'))).toBe('a');
  });

  test('stays with a vassal whose file is gone, until it is forgotten', () => {
    const pool = poolOf();
    pool.addressOf('a', addresses('10.0.0.5'));
    expect(() => pool.addressOf('b', addresses('10.0.0.5'))).toThrow('it is the address of a');
    pool.forget('a');
    expect(textsOf(pool.addressOf('b', addresses('10.0.0.5')))).toEqual(['10.0.0.5']);
  });

  test('moves the one whom the pool gave it, unless that runs', () => {
    const still = poolOf();
    still.addressOf('a', NONE);
    expect(textsOf(still.addressOf('b', addresses('10.0.0.2')))).toEqual(['10.0.0.2']);
    expect(textsOf(still.addressOf('a', NONE))).toEqual(['10.0.0.3']);
    const busy = poolOf({ running: ['a'] });
    busy.addressOf('a', NONE);
    expect(() => busy.addressOf('b', addresses('10.0.0.2'))).toThrow('it is the address of a');
  });

  test('is exchanged between two vassals that both restart', () => {
    const running: string[] = ['a', 'b'];
    const wishes: Record<string, Addresses> = {
      a: addresses('10.0.0.2'),
      b: addresses('10.0.0.3'),
    };
    const pool = poolOf({ running, wishes });
    pool.addressOf('a', addresses('10.0.0.2'));
    pool.addressOf('b', addresses('10.0.0.3'));
    Object.assign(wishes, { a: addresses('10.0.0.3'), b: addresses('10.0.0.2') });
    running.shift();
    expect(() => pool.addressOf('a', addresses('10.0.0.3'))).toThrow('it is the address of b');
    running.shift();
    expect(textsOf(pool.addressOf('b', addresses('10.0.0.2')))).toEqual(['10.0.0.2']);
    expect(textsOf(pool.addressOf('a', addresses('10.0.0.3')))).toEqual(['10.0.0.3']);
  });

  test('that the file gives no longer stays as one of the pool, or is let go of', () => {
    const pool = poolOf();
    pool.addressOf('a', addresses('10.0.0.5'));
    expect(textsOf(pool.addressOf('a', NONE))).toEqual(['10.0.0.5']);
    pool.addressOf('b', addresses('192.168.7.7'));
    expect(textsOf(pool.addressOf('b', NONE))).toEqual(['10.0.0.2']);
    expect(pool.ownerOf(address('192.168.7.7'))).toBeUndefined();
  });

  test.each([
    ['10.0.0.1', "it is the host's own address"],
    ['10.0.0.0', 'it is the address of the network itself'],
    ['10.0.0.7', 'it is the broadcast address'],
    ['127.0.0.5', 'no host can have an address in 127.0.0.0/8'],
    ['0.0.0.0', 'no host can have an address in 0.0.0.0/8'],
    ['224.0.0.1', 'no host can have an address in 224.0.0.0/3'],
    ['255.255.255.255', 'no host can have an address in 224.0.0.0/3'],
  ])('that nobody can have is refused: %s', (text, fault) => {
    expect(() => poolOf().addressOf('a', addresses(text))).toThrow(
      `Cannot give a ${text}: ${fault}; give another \`address\``,
    );
  });

  test.each([
    ['fd00::1', "it is the host's own address"],
    ['fd00::', 'it is the address of the network itself'],
    ['::1', 'no host can have an address in ::/8'],
    ['fe80::7', 'no host can have an address in fe80::/10'],
    ['ff02::1', 'no host can have an address in ff00::/8'],
  ])('of IPv6 that nobody can have is refused: %s', (text, fault) => {
    const pool = poolOf({ range6: 'fd00::1/64' });
    expect(() => pool.addressOf('a', addresses(text))).toThrow(fault);
    expect(pool.find('a')).toEqual(NONE);
  });
});

describe('what a hook set', () => {
  test('replaces what the pool gave, and is locked', () => {
    const pool = poolOf();
    pool.addressOf('a', NONE);
    pool.claim('a', addresses('10.0.0.6'));
    expect(textsOf(pool.addressOf('a', NONE))).toEqual(['10.0.0.6']);
    expect(() => pool.claim('b', addresses('10.0.0.6'))).not.toThrow();
    expect(pool.ownerOf(address('10.0.0.6'))).toBe('b');
  });

  test('is refused where another one runs with it, and the error names both', () => {
    const pool = poolOf({ running: ['a'] });
    pool.claim('a', addresses('192.168.0.2'));
    expect(() => pool.claim('b', addresses('192.168.0.2'))).toThrow(
      'Cannot give b 192.168.0.2: it is the address of a',
    );
  });

  test('outside of any pool stays, whether its vassal runs or not', () => {
    const pool = poolOf({ range4: null, wishes: { a: NONE } });
    pool.claim('a', addresses('192.168.0.2'));
    expect(textsOf(pool.addressOf('a', NONE))).toEqual(['192.168.0.2']);
    expect(() => pool.addressOf('b', addresses('192.168.0.2'))).toThrow('it is the address of a');
  });

  test('contradicts the file', () => {
    const pool = poolOf();
    pool.addressOf('a', addresses('10.0.0.5'));
    pool.claim('a', addresses('10.0.0.5'));
    expect(() => pool.claim('a', addresses('10.0.0.6'))).toThrow(
      'Cannot use 10.0.0.6, which is on the interface of a: its file says `address = 10.0.0.5`; change the file or the hook',
    );
  });

  test('is taken in both families or in none', () => {
    const pool = poolOf({ range6: 'fd00::1/64', running: ['a'] });
    pool.addressOf('a', addresses('fd00::6'));
    const before = pool.addressOf('b', NONE);
    expect(() => pool.claim('b', addresses('10.0.0.6', 'fd00::6'))).toThrow('of a');
    expect(pool.find('b')).toEqual(before);
  });
});

describe('whatever happens', () => {
  const pool4 = networkOf(cidr('10.0.0.1/29'));
  const names = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
  const oneOf = (...texts: readonly string[]) => fc.option(fc.constantFrom(...texts.map(address)));
  const wish = fc.record({
    address: oneOf('10.0.0.1', '10.0.0.2', '10.0.0.5', '10.0.0.9', '192.168.0.2'),
    address6: oneOf('fd00::2', 'fd00::1', 'fd00::9', 'fd11::1'),
  });
  const step = fc.oneof(
    fc.record({ kind: fc.constant('start' as const), name: names, wish }),
    fc.record({ kind: fc.constant('claim' as const), name: names, wish }),
    fc.record({ kind: fc.constant('stop' as const), name: names }),
    fc.record({ kind: fc.constant('forget' as const), name: names }),
    fc.record({ kind: fc.constant('restart' as const) }),
  );

  test('there are never two owners, a running vassal keeps what it has, a restart changes nothing', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const running = new Map<string, Addresses>();
        const wishes = new Map<string, Addresses>();
        const make = () =>
          new AddressPool({
            cidr4: cidr('10.0.0.1/29'),
            cidr6: cidr('fd00::1/125'),
            isRunning: (name) => running.has(name),
            wishOf: (name) => wishes.get(name),
          });
        let pool = make();
        for (const each of steps) {
          if (each.kind === 'restart') {
            const next = make();
            for (const text of pool.freed()) next.restoreFreed(text);
            for (const line of pool.lines()) next.restore(line);
            expect(next.lines()).toEqual(pool.lines());
            expect(next.freed()).toEqual(pool.freed());
            pool = next;
          } else if (each.kind === 'stop') {
            running.delete(each.name);
          } else if (each.kind === 'forget') {
            running.delete(each.name);
            wishes.delete(each.name);
            pool.forget(each.name);
            expect(pool.find(each.name)).toEqual(NONE);
          } else if (!running.has(each.name)) {
            const before = pool.find(each.name);
            try {
              if (each.kind === 'start') {
                wishes.set(each.name, each.wish);
                const got = pool.addressOf(each.name, each.wish);
                const inPool = before.address && contains(pool4, before.address);
                if (each.wish.address) expect(got.address).toEqual(each.wish.address);
                else if (inPool) expect(got.address).toEqual(before.address);
                else expect(got.address).not.toBeNull();
              } else {
                pool.claim(each.name, each.wish);
              }
              running.set(each.name, pool.find(each.name));
            } catch (error) {
              if (!(error instanceof EmperorError)) throw error;
            }
          }
          const owned = pool
            .lines()
            .flatMap(({ address, address6 }) => [
              ...(address ? [address.text] : []),
              ...(address6 ? [address6.text] : []),
            ]);
          expect(new Set(owned).size).toBe(owned.length);
          expect(owned).not.toContain('10.0.0.1');
          for (const [name, held] of running) expect(pool.find(name)).toEqual(held);
        }
      }),
      { numRuns: 400 },
    );
  });
});
