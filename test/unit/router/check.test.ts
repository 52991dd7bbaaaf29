import { describe, expect, test } from 'vitest';
import { type Address, parseAddress } from '../../../src/firewall/address.ts';
import { type Chain, judge } from '../../../src/firewall/chain.ts';
import { compileChain } from '../../../src/firewall/compile.ts';
import { parseRule, type Rule } from '../../../src/firewall/rule.ts';
import { type Check, denies4, denies6, makeCheck } from '../../../src/router/check.ts';

/** Rules, and the first addresses of networks and of what follows them. */
const OF_FAMILY = {
  4: {
    own: '10.0.0.2',
    rules: [
      'deny 10.0.0.2 10.0.0.0/30',
      'allow 10.0.0.0/8 10.0.0.0/24',
      'deny 10.0.0.2 255.255.255.255',
      'deny 0.0.0.0 128.0.0.0/1',
    ],
    edges: ['10.0.0.0', '10.0.0.4', '10.0.1.0', '128.0.0.0', '255.255.255.255'],
  },
  6: {
    own: 'fd00::2',
    rules: [
      'deny fd00::2 fd00::/126',
      'allow fd00::/8 fd00::/32',
      'deny fd00::2 2001:db8:0:1::/64',
      'deny :: ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
      'deny :: 2001:db8::5:0:0/96',
    ],
    edges: [
      ...['fd00::', 'fd00::4', 'fd00:1::', '2001:db8:0:1::', '2001:db8:0:2::'],
      ...['2001:db8::5:0:0', '2001:db8::6:0:0', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ],
  },
} as const;

describe.each([4, 6] as const)('denies%i()', (family) => {
  test('says of every address what the chain says, whichever came before it', () => {
    const { own, rules, edges } = OF_FAMILY[family];
    const chain: Chain = { rules: rules.map(rule), policy: 'allow' };
    const table = compileChain(chain, address(own), 'src');
    const check = makeCheck(table, new Float64Array(rules.length + 1));
    const others = [address(family === 4 ? '0.0.0.0' : '::'), ...edges.flatMap(around)];
    for (const before of others) {
      for (const other of others) {
        denies(check, before);
        const { action } = judge(chain, { src: address(own), dst: other });
        const said = [before, other, denies(check, other)];
        expect(said).toEqual([before, other, action === 'deny']);
      }
    }
  });
});

function denies(check: Check, { family, words }: Address): boolean {
  const [a = 0, b = 0, c = 0, d = 0] = words;
  return family === 4 ? denies4(check, a) : denies6(check, a, b, c, d);
}

/** The address, and those before and after it. */
function around(text: string): readonly Address[] {
  const { family, words } = address(text);
  const number = words.reduce((sum, word) => (sum << 32n) | BigInt(word), 0n);
  return [-1n, 0n, 1n].map((by) => ({
    family,
    words: words.map((_, at) => {
      const shift = BigInt(32 * (words.length - 1 - at));
      return Number(((number + by) >> shift) & 0xffff_ffffn);
    }),
  }));
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed) throw new Error(`${text} is no address`);
  return parsed;
}

function rule(text: string): Rule {
  const parsed = parseRule(text);
  if ('faults' in parsed) throw new Error(text);
  return parsed.rule;
}
