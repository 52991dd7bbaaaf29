import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Family } from '../../../src/firewall/address.ts';
import { anyOf, networkOf, type Prefix } from '../../../src/firewall/prefix.ts';
import {
  ACTIONS,
  CHAIN_NAMES,
  type DeviceRule,
  type ParsedRule,
  parseDeviceRule,
  parseRule,
  printDeviceRule,
  printRule,
  type Rule,
} from '../../../src/firewall/rule.ts';

/** What a rule says, or each thing that is wrong, with the part of the text that it is about. */
function read(text: string, parse: (text: string) => ParsedRule<Rule | DeviceRule> = parseRule) {
  const parsed = parse(text);
  if ('rule' in parsed) {
    const { rule, warnings } = parsed;
    const printed = 'chain' in rule ? printDeviceRule(rule) : printRule(rule);
    return [printed, ...warnings.map(({ message }) => message)];
  }
  return parsed.faults.map(
    ({ message, hint, offset, length }) =>
      `${offset}:${text.slice(offset, offset + length)}: ${message}; ${hint}`,
  );
}

const FORM = 'it takes `allow` or `deny`, alone or with `SRC[/MASK] DST[/MASK]`';

describe('parseRule()', () => {
  test.each([
    ['deny', 'deny'],
    ['  allow\t', 'allow'],
    ['allow 192.168.0.0/24 192.168.0.1', 'allow 192.168.0.0/24 192.168.0.1'],
    ['allow 192.168.0.0/24 0.0.0.0', 'allow 192.168.0.0/24 0.0.0.0'],
    ['deny  10.0.0.1/32   0.0.0.0/0', 'deny 10.0.0.1 0.0.0.0'],
    ['deny ::/0 FD00:0::/8', 'deny :: fd00::/8'],
    ['deny fd00::1/128 ::', 'deny fd00::1 ::'],
  ])('reads `%s` without a word (M64)', (text, printed) => {
    expect(read(text)).toEqual([printed]);
  });

  test('masks what is set beyond the mask, with a warning', () => {
    expect(read('deny 10.9.9.9/8 0.0.0.0')).toEqual([
      'deny 10.0.0.0/8 0.0.0.0',
      '`10.9.9.9/8` means the network `10.0.0.0/8`',
    ]);
    expect(read('deny fd00::1/64 fd00:1::1/32')).toEqual([
      'deny fd00::/64 fd00:1::/32',
      '`fd00::1/64` means the network `fd00::/64`',
      '`fd00:1::1/32` means the network `fd00:1::/32`',
    ]);
  });

  test.each(['10.1.2.3/0', '0.0.0.0/24', '0.0.0.0/32', '0.5.0.0/8'])(
    'takes %s for any address, with a warning',
    (side) => {
      expect(read(`deny ${side} 10.0.0.1`)).toEqual([
        'deny 0.0.0.0 10.0.0.1',
        `\`${side}\` means any address`,
      ]);
    },
  );

  test.each([
    ['', [`0:: it has no value; ${FORM}`]],
    ['dney', ['0:dney: `dney` is neither `allow` nor `deny`; did you mean `deny`?']],
    ['Deny', ['0:Deny: `Deny` is neither `allow` nor `deny`; did you mean `deny`?']],
    ['reject', [`0:reject: \`reject\` is neither \`allow\` nor \`deny\`; ${FORM}`]],
    [
      'deny 10.0.0.0/8',
      [
        '5:10.0.0.0/8: it has a source and no destination; write `deny 10.0.0.0/8 0.0.0.0` for any destination, `deny` for all packets',
      ],
    ],
    [
      'allow fd00::1',
      [
        '6:fd00::1: it has a source and no destination; write `allow fd00::1 ::` for any destination, `allow` for all packets',
      ],
    ],
    [
      'deny 10.0.0.0/33 10.0.0.256',
      [
        '13:/33: `/33` is no mask of an IPv4 address; write the number of its bits, from 0 to 32, such as `/24`',
        '17:10.0.0.256: `10.0.0.256` is no IPv4 or IPv6 address; write one such as `192.168.0.2` or `fd00::2`',
      ],
    ],
    [
      'deny 10.0.0.0/255.0.0.0 0.0.0.0',
      [
        '13:/255.0.0.0: `/255.0.0.0` is no mask of an IPv4 address; write the number of its bits, from 0 to 32, such as `/24`',
      ],
    ],
    [
      'deny ::/129 ::',
      [
        '7:/129: `/129` is no mask of an IPv6 address; write the number of its bits, from 0 to 128, such as `/64`',
      ],
    ],
    [
      'deny 0.0.0.0 fd00::1',
      [
        '13:fd00::1: `fd00::1` is IPv6, and the source is IPv4; write a rule for each; `0.0.0.0` is any IPv4 address, `::` any IPv6 address',
      ],
    ],
    ['allow 1.1.1.1 2.2.2.2 tcp 80', [`22:tcp 80: \`tcp 80\` is too much; ${FORM}`]],
    [
      'alow 1.1.1.1 ',
      [
        '0:alow: `alow` is neither `allow` nor `deny`; did you mean `allow`?',
        '5:1.1.1.1: it has a source and no destination; write `deny 1.1.1.1 0.0.0.0` for any destination, `deny` for all packets',
      ],
    ],
  ])('refuses `%s` (M64)', (text, faults) => {
    expect(read(text)).toEqual(faults);
  });

  test('never takes an action that is not written as it is', () => {
    const near = fc.oneof(
      fc.constantFrom('ALLOW', 'allowed', 'allo', 'Allow', 'accept', 'pass', '1', 'yes'),
      fc.string({ maxLength: 8 }),
      fc.string({ unit: 'binary', maxLength: 8 }),
    );
    fc.assert(
      fc.property(near, fc.constantFrom('', ' 10.0.0.1 0.0.0.0', ' :: ::'), (action, sides) => {
        const isAction = ['allow', 'deny'].includes(action.trim().split(/\s+/)[0] ?? '');
        if (!isAction) expect('faults' in parseRule(action + sides)).toBe(true);
      }),
    );
  });
});

describe('parseDeviceRule()', () => {
  test('reads a direction, two sides and an action (M69)', () => {
    expect(read('in 10.0.0.0/8 0.0.0.0 deny', parseDeviceRule)).toEqual([
      'in 10.0.0.0/8 0.0.0.0 deny',
    ]);
    expect(read('out fd00::1 ::/0 allow', parseDeviceRule)).toEqual(['out fd00::1 :: allow']);
  });

  const form = 'it takes `in|out SRC[/MASK] DST[/MASK] allow|deny`';
  test.each([
    ['', [`0:: it has no value; ${form}`]],
    ['int 10.0.0.1 0.0.0.0 deny', ['0:int: `int` is neither `in` nor `out`; did you mean `in`?']],
    ['in 10.0.0.1 0.0.0.0', [`19:: it ends too early; ${form}`]],
    ['in', [`2:: it ends too early; ${form}`]],
    [
      'out 10.0.0.1 0.0.0.0 route 1.2.3.4:999',
      [
        `21:route: \`route\` is neither \`allow\` nor \`deny\`; ${form}`,
        `27:1.2.3.4:999: \`1.2.3.4:999\` is too much; ${form}`,
      ],
    ],
  ])('refuses `%s`', (text, faults) => {
    expect(read(text, parseDeviceRule)).toEqual(faults);
  });
});

const prefixOf = (family: Family): fc.Arbitrary<Prefix> =>
  fc
    .record({
      words: fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), {
        minLength: family === 4 ? 1 : 4,
        maxLength: family === 4 ? 1 : 4,
      }),
      length: fc.integer({ min: 0, max: family === 4 ? 32 : 128 }),
    })
    .map(({ words, length }) => networkOf({ address: { family, words }, length }))
    // What is 0 under its mask is any address, and written so.
    .map((prefix) => (prefix.words.every((word) => word === 0) ? anyOf(family) : prefix));
const sides = fc
  .constantFrom<Family[]>(4, 6)
  .chain((family) => fc.record({ src: prefixOf(family), dst: prefixOf(family) }));

test('a rule that is printed reads as itself', () => {
  const rules = fc.record({
    action: fc.constantFrom(...ACTIONS),
    sides: fc.option(sides, { nil: null }),
  });
  fc.assert(
    fc.property(rules, (rule) => {
      expect(parseRule(printRule(rule))).toEqual({ rule, warnings: [] });
    }),
  );
});

test("a vassal's own rule that is printed reads as itself", () => {
  const rules = fc.record({
    chain: fc.constantFrom(...CHAIN_NAMES),
    action: fc.constantFrom(...ACTIONS),
    sides,
  });
  fc.assert(
    fc.property(rules, (rule) => {
      expect(parseDeviceRule(printDeviceRule(rule))).toEqual({ rule, warnings: [] });
    }),
  );
});

test('no text makes the readers throw, and what is wrong has a place in it', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.constantFrom('', 'allow ', 'in 1.1.1.1 '),
      (tail, head) => {
        const text = head + tail;
        for (const parsed of [parseRule(text), parseDeviceRule(text)]) {
          const found = 'faults' in parsed ? parsed.faults : parsed.warnings;
          if ('faults' in parsed) expect(found.length).toBeGreaterThan(0);
          for (const { offset, length } of found) {
            expect(offset >= 0 && offset + length <= text.length).toBe(true);
          }
        }
      },
    ),
  );
});
