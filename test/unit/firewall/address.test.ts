import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAddress, printAddress } from '../../../src/firewall/address.ts';
import {
  contains,
  lastOf,
  networkOf,
  overlaps,
  parseCidr,
  printPrefix,
} from '../../../src/firewall/prefix.ts';

const word = fc.oneof(
  fc.constantFrom(0, 1, 0x10000, 0xffff, 0xffff_ffff),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);
const address4 = word.map((w) => ({ family: 4, words: [w] }) as const);
const address6 = fc.tuple(word, word, word, word).map((words) => ({ family: 6, words }) as const);
/** Nearly addresses. */
const scraps = fc
  .array(
    fc.oneof(
      fc.constantFrom(':', '::', '.', '0', '1', 'ffff', '255', '256', '01', 'g', '%', '1.2.3.4'),
      fc.constantFrom(':', '0:', '1.'),
    ),
    { maxLength: 17 },
  )
  .map((pieces) => pieces.join(''));
const texts = fc.oneof(scraps, fc.ipV4(), fc.ipV6(), fc.string({ maxLength: 12 }));

describe('parseAddress()', () => {
  test('takes what Node takes, but no zone', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const isAddress = isIPv4(text) || (isIPv6(text) && !text.includes('%'));
        expect(parseAddress(text) !== undefined).toBe(isAddress);
      }),
      { numRuns: 5000 },
    );
  });

  test.each([
    ['192.168.0.1', [0xc0a80001]],
    ['255.255.255.255', [0xffffffff]],
    ['fd75:6272:7370:9::2', [0xfd756272, 0x73700009, 0, 2]],
    ['::ffff:1.2.3.4', [0, 0, 0xffff, 0x01020304]],
  ])('reads %s', (text, words) => {
    expect(parseAddress(text)?.words).toEqual(words);
  });

  test.each([
    '',
    '1.2.3',
    '1.2.3.04',
    '1.2.3.4 ',
    '0x1.2.3.4',
    '1:2',
    ':::',
    '1::2::3',
    'fe80::1%lo',
  ])('refuses `%s`', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });
});

describe('printAddress()', () => {
  test('writes what the C library writes, and parseAddress() reads it back', () => {
    fc.assert(
      fc.property(fc.oneof(address4, address6), (address) => {
        const text = printAddress(address);
        expect(parseAddress(text)).toEqual(address);
        const [w0, w1, w2] = address.words;
        // The C library still writes addresses as `::1.2.3.4` that RFC 5952 does not.
        if (address.family === 6 && w0 === 0 && w1 === 0 && w2 === 0) return;
        const family = address.family === 4 ? 'ipv4' : 'ipv6';
        expect(new SocketAddress({ address: text, family }).address).toBe(text);
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0DB8::0001', '2001:db8::1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::1:2', '::1:2'],
  ])('writes %s as %s', (text, canonical) => {
    const address = parseAddress(text);
    expect(address && printAddress(address)).toBe(canonical);
  });
});

describe('networks', () => {
  const cidr = fc.oneof(
    fc.record({ address: address4, length: fc.integer({ min: 0, max: 32 }) }),
    fc.record({ address: address6, length: fc.integer({ min: 0, max: 128 }) }),
  );
  const asNumber = (words: readonly number[]) =>
    words.reduce((sum, each) => (sum << 32n) | BigInt(each), 0n);

  test('hold what agrees with them in the bits of the mask', () => {
    fc.assert(
      fc.property(cidr, cidr, fc.boolean(), (one, other, isNear) => {
        const network = networkOf(one);
        const bits = one.address.family === 4 ? 32 : 128;
        const beyond = BigInt(bits - one.length);
        expect(asNumber(network.words)).toBe((asNumber(one.address.words) >> beyond) << beyond);
        expect(asNumber(lastOf(network).words)).toBe(asNumber(network.words) + (1n << beyond) - 1n);
        const address = isNear ? one.address : other.address;
        const isInside =
          address.family === one.address.family &&
          asNumber(address.words) >> beyond === asNumber(one.address.words) >> beyond;
        expect(contains(network, address)).toBe(isInside);
        expect(overlaps(network, networkOf({ address, length: bits }))).toBe(isInside);
      }),
    );
  });

  test('overlap where one is in the other', () => {
    const network = (text: string) => {
      const read = parseCidr({ text, offset: 0 });
      if ('fault' in read) throw new Error(read.fault.message);
      return networkOf(read);
    };
    expect(printPrefix(network('10.1.2.3/8'))).toBe('10.0.0.0/8');
    expect(overlaps(network('10.0.0.0/8'), network('10.9.0.0/16'))).toBe(true);
    expect(overlaps(network('10.9.0.0/16'), network('10.0.0.0/8'))).toBe(true);
    expect(overlaps(network('10.8.0.0/16'), network('10.9.0.0/16'))).toBe(false);
    expect(overlaps(network('0.0.0.0/0'), network('::/0'))).toBe(false);
  });
});
