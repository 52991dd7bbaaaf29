/** What chains mean, and that tables for one vassal mean the same. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Address, type Family, parseAddress } from '../../../src/firewall/address.ts';
import { type Chain, deviceChains, judge } from '../../../src/firewall/chain.ts';
import {
  compileChain,
  find4,
  find6,
  type Side,
  type Table,
} from '../../../src/firewall/compile.ts';
import { anyOf, lastOf, networkOf, type Prefix } from '../../../src/firewall/prefix.ts';
import { parseDeviceRule, parseRule, type Rule, type Sides } from '../../../src/firewall/rule.ts';

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed) throw new Error(`${text} is no address`);
  return parsed;
}

function chain(texts: readonly string[], policy: Chain['policy'] = 'allow'): Chain {
  const rules = texts.map((text) => {
    const parsed = parseRule(text);
    if ('faults' in parsed) throw new Error(parsed.faults[0]?.message);
    return parsed.rule;
  });
  return { rules, policy };
}

function verdict(of: Chain, src: string, dst: string): string {
  const { action, rule } = judge(of, { src: address(src), dst: address(dst) });
  return `${action} by ${rule}`;
}

const OUT = chain([
  'allow 192.168.0.0/24 192.168.0.1',
  'deny 192.168.0.0/24 192.168.0.0/24',
  'allow 192.168.0.0/24 0.0.0.0',
  'deny',
]);
const IN = chain([
  'allow 192.168.0.1 192.168.0.0/24',
  'deny 192.168.0.0/24 192.168.0.0/24',
  'allow 0.0.0.0 192.168.0.0/24',
  'deny',
]);

describe('judge()', () => {
  // [chain, source, destination, verdict]
  test.each([
    [OUT, '192.168.0.2', '192.168.0.1', 'allow by 0'],
    [OUT, '192.168.0.2', '192.168.0.3', 'deny by 1'],
    [OUT, '192.168.0.2', '192.168.0.255', 'deny by 1'],
    [OUT, '192.168.0.2', '8.8.8.8', 'allow by 2'],
    [OUT, '192.168.0.2', '192.168.1.2', 'allow by 2'],
    [OUT, '192.168.1.2', '8.8.8.8', 'deny by 3'],
    [OUT, 'fd00::2', 'fd00::1', 'deny by 3'],
    [IN, '192.168.0.1', '192.168.0.2', 'allow by 0'],
    [IN, '192.168.0.3', '192.168.0.2', 'deny by 1'],
    [IN, '8.8.8.8', '192.168.0.2', 'allow by 2'],
    [IN, '8.8.8.8', '192.168.1.2', 'deny by 3'],
    [IN, 'fd00::1', 'fd00::2', 'deny by 3'],
  ])("gives the seed's rules their meaning (M65) %#", (rules, src, dst, expected) => {
    expect(verdict(rules, src, dst)).toBe(expected);
  });

  test('lets the policy decide where no rule speaks of the packet (M64)', () => {
    const rules = ['deny 10.0.0.0/8 10.0.0.0/8', 'deny :: fd00::/8'];
    expect(verdict(chain(rules), '10.0.0.1', '8.8.8.8')).toBe('allow by -1');
    expect(verdict(chain(rules, 'deny'), '10.0.0.1', '8.8.8.8')).toBe('deny by -1');
    expect(verdict(chain(rules), '10.0.0.1', '10.255.0.1')).toBe('deny by 0');
    expect(verdict(chain(rules), '2001:db8::1', 'fd00::1')).toBe('deny by 1');
  });

  test('takes any address of one family for that family only (M64)', () => {
    expect(verdict(chain(['deny 0.0.0.0 0.0.0.0']), '1.2.3.4', '5.6.7.8')).toBe('deny by 0');
    expect(verdict(chain(['deny 0.0.0.0 0.0.0.0']), '::1', '::2')).toBe('allow by -1');
    expect(verdict(chain(['deny :: ::']), '1.2.3.4', '5.6.7.8')).toBe('allow by -1');
  });

  test('applies the masks that uWSGI got wrong: /8 and /24 of a rule of the vassal', () => {
    const rules = ['in 10.0.0.0/8 0.0.0.0 deny', 'out 0.0.0.0 192.168.0.0/24 deny'].map((text) => {
      const parsed = parseDeviceRule(text);
      if ('faults' in parsed) throw new Error(text);
      return parsed.rule;
    });
    expect(verdict(deviceChains(rules).in, '10.200.0.1', '1.1.1.1')).toBe('deny by 0');
    expect(verdict(deviceChains(rules).in, '11.0.0.1', '1.1.1.1')).toBe('allow by -1');
    expect(verdict(deviceChains(rules).out, '1.1.1.1', '192.168.0.9')).toBe('deny by 0');
    expect(verdict(deviceChains(rules).out, '1.1.1.1', '192.168.1.9')).toBe('allow by -1');
    expect(verdict(deviceChains(rules).out, '10.200.0.1', '1.1.1.1')).toBe('allow by -1');
  });
});

/** mulberry32: a million packets of fast-check's own would take a minute. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

type Random = ReturnType<typeof generator>;

const CORNERS = [0, 0xffff_ffff, 0x8000_0000, 0xc0a8_0000, 0xc0a8_0001];

function randomAddress(random: Random, family: Family): Address {
  const words = Array.from({ length: family === 4 ? 1 : 4 }, () =>
    random(3) === 0 ? random(2 ** 32) : (CORNERS[random(CORNERS.length)] ?? 0),
  );
  return { family, words };
}

function randomPrefix(random: Random, family: Family, near: readonly Prefix[]): Prefix {
  const parent = near[random(near.length)];
  const from = parent && random(2) === 0 ? parent : randomAddress(random, family);
  return networkOf({ address: from, length: random(family === 4 ? 33 : 129) });
}

interface Trial {
  readonly chain: Chain;
  readonly own: Address;
  readonly others: readonly Address[];
}

/** A chain of rules that nest, touch and repeat, and addresses at and beside the ends of their networks. */
function randomTrial(random: Random, family: Family, count: number): Trial {
  const near: Prefix[] = [];
  const rules = Array.from({ length: random(14) }, (): Rule => {
    const action = random(2) === 0 ? 'allow' : 'deny';
    if (random(20) === 0) return { action, sides: null };
    const of = random(8) === 0 ? (family === 4 ? 6 : 4) : family;
    const known = near.filter((prefix) => prefix.family === of);
    const pick = () => (random(6) === 0 ? anyOf(of) : randomPrefix(random, of, known));
    const sides: Sides = { src: pick(), dst: pick() };
    near.push(sides.src, sides.dst);
    return { action, sides };
  });
  const corners = near
    .filter((prefix) => prefix.family === family)
    .flatMap((prefix): readonly Address[] => {
      const { words } = lastOf(prefix);
      return [
        { family, words: prefix.words },
        { family, words },
        { family, words: step(prefix.words, -1) },
        { family, words: step(words, 1) },
      ];
    });
  const pick = () => corners[random(corners.length * 2)] ?? randomAddress(random, family);
  return {
    chain: { rules, policy: random(2) === 0 ? 'allow' : 'deny' },
    own: pick(),
    others: Array.from({ length: count }, pick),
  };
}

function step(words: readonly number[], by: number): readonly number[] {
  return words.with(-1, ((words.at(-1) ?? 0) + by) >>> 0);
}

function look(table: Table, { family, words }: Address): number {
  const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = words;
  return family === 4 ? find4(table, w0) : find6(table, w0, w1, w2, w3);
}

/** Returns the first packet of which table and interpreter think differently. */
function disagreement({ chain: of, own, others }: Trial, ownSide: Side): unknown {
  const table = compileChain(of, own, ownSide);
  for (const other of others) {
    const packet = ownSide === 'src' ? { src: own, dst: other } : { src: other, dst: own };
    const { action, rule } = judge(of, packet);
    const at = look(table, other);
    if (table.rules[at] === rule && table.denies[at] === (action === 'deny' ? 1 : 0)) continue;
    return { of, packet, rule, action, compiled: table.rules[at] };
  }
  return undefined;
}

describe('compileChain()', () => {
  test('agrees with judge() on 1,000,000 random pairs of rules and packet, both families (M64)', () => {
    const PACKETS = 250;
    let pairs = 0;
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = generator(seed);
        for (const family of [4, 6] as const) {
          const trial = randomTrial(random, family, PACKETS);
          for (const side of ['src', 'dst'] as const) {
            expect(disagreement(trial, side)).toBeUndefined();
            pairs += PACKETS;
          }
        }
      }),
      { numRuns: 1000 },
    );
    expect(pairs).toBe(1_000_000);
  });

  test('makes intervals from 0 that ascend, each with another rule than the one before', () => {
    fc.assert(
      fc.property(fc.integer(), fc.constantFrom<Family[]>(4, 6), (seed, family) => {
        const { chain: of, own } = randomTrial(generator(seed), family, 0);
        const { starts, rules, denies } = compileChain(of, own, 'src');
        const size = family === 4 ? 1 : 4;
        const addresses = Array.from(rules, (_, index) =>
          [...starts.subarray(index * size, index * size + size)]
            .map((word) => word.toString(16).padStart(8, '0'))
            .join(''),
        );
        expect(starts.length).toBe(rules.length * size);
        expect(denies.length).toBe(rules.length);
        expect(addresses[0]).toMatch(/^0+$/);
        expect(addresses).toEqual([...new Set(addresses)].toSorted());
        expect(
          Array.from(rules).some((rule, index) => index > 0 && rule === rules[index - 1]),
        ).toBe(false);
      }),
    );
  });

  test('makes one table for vassals that the same rules speak of', () => {
    const table = (own: string) => compileChain(OUT, address(own), 'src');
    expect(table('192.168.0.2')).toBe(table('192.168.0.254'));
    expect(table('192.168.0.2')).not.toBe(table('192.168.1.2'));
    expect(Array.from(table('192.168.0.2').rules)).toEqual([2, 1, 0, 1, 2]);
    expect(Array.from(table('192.168.0.2').denies)).toEqual([0, 1, 0, 1, 0]);
  });

  test('keeps 10,000 rules for 1,000 vassals apart and is done in a moment', () => {
    // A rule of each vassal's own, and thousands for all of them.
    const vassals = Array.from({ length: 1000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
    const rules = [
      ...vassals.map((own) => `deny ${own} 192.0.2.0/24`),
      ...Array.from({ length: 9000 }, (_, i) => `deny 10.9.0.0/16 172.16.${i >> 8}.${i & 255}`),
    ];
    const large = chain(rules);
    const begin = performance.now();
    const tables = vassals.map((own) => compileChain(large, address(own), 'src'));
    const tookMs = performance.now() - begin;
    expect(tables.map(({ rules: [, rule] }) => rule)).toEqual(vassals.map((_, index) => index));
    expect(new Set(tables).size).toBe(1000);
    // It takes 0.2 s; what is quadratic would take minutes.
    expect(tookMs).toBeLessThan(5000);
  });
});
