import { describe, expect, test } from 'vitest';
import { answersOf, askedBy, type FirewallWorld } from '../../../src/emperor/firewall-questions.ts';
import { printAddress } from '../../../src/firewall/address.ts';
import { address } from '../../support/addresses.ts';

/** `blog` has both families, `six` IPv6 alone, `new` none yet; 10.0.0.0/24 and fd00::/16 are the vassals'. */
const WORLD: FirewallWorld = {
  addressesOf: (name) =>
    new Map([
      ['blog', { address: address('10.0.0.2'), address6: address('fd00::2') }],
      ['six', { address: null, address6: address('fd00::6') }],
      ['new', { address: null, address6: null }],
      ['10.0.0.9', { address: address('10.0.0.8'), address6: null }],
      ['in', { address: address('10.0.0.7'), address6: null }],
    ]).get(name),
  isOfVassals: (one) => /^(10\.0\.0\.|fd00:)/.test(printAddress(one)),
};

const brief = (line: string) => {
  const asked = askedBy(line, WORLD);
  if ('error' in asked) return `${asked.error.code}: ${asked.error.message}`;
  return asked.map(
    ({ chain, packet: { src, dst } }) => `${chain} ${printAddress(src)} ${printAddress(dst)}`,
  );
};

describe('a line without a chain asks the chains that the packet passes', () => {
  test.each([
    ['10.0.0.2 8.8.8.8', ['out 10.0.0.2 8.8.8.8']],
    ['8.8.8.8 10.0.0.2', ['in 8.8.8.8 10.0.0.2']],
    ['10.0.0.2 10.0.0.3', ['out 10.0.0.2 10.0.0.3', 'in 10.0.0.2 10.0.0.3']],
    ['8.8.8.8 9.9.9.9', ['out 8.8.8.8 9.9.9.9', 'in 8.8.8.8 9.9.9.9']],
    ['  fd00::2\t::1 ', ['out fd00::2 ::1']],
  ])('%s', (line, questions) => {
    expect(brief(line)).toEqual(questions);
  });
});

describe('names are addresses of the family that both sides have, IPv4 first', () => {
  test.each([
    ['out blog 8.8.8.8', ['out 10.0.0.2 8.8.8.8']],
    ['in ::1 blog', ['in ::1 fd00::2']],
    ['in blog six', ['in fd00::2 fd00::6']],
    ['in blog blog', ['in 10.0.0.2 10.0.0.2']],
    // A vassal can be called so.
    ['out in 8.8.8.8', ['out 10.0.0.7 8.8.8.8']],
    ['in 8.8.8.8', ['out 10.0.0.7 8.8.8.8']],
    // What is an address is no name.
    ['out 10.0.0.9 8.8.8.8', ['out 10.0.0.9 8.8.8.8']],
  ])('%s', (line, questions) => {
    expect(brief(line)).toEqual(questions);
  });
});

describe('what cannot be asked says why', () => {
  test.each([
    ['', /^bad-usage: Cannot judge "": write/],
    ['10.0.0.2', /^bad-usage/],
    ['up 10.0.0.2 10.0.0.3', /^bad-usage/],
    ['in 10.0.0.2 10.0.0.3 allow', /^bad-usage/],
    ['10.0.0.2/24 10.0.0.3', /^bad-usage: Cannot judge "10.0.0.2\/24"/],
    ['10.0.0.256 10.0.0.3', /^bad-usage/],
    ['10.0.0.2 nobody', /^no-such-vassal: Cannot judge "nobody"/],
    ['blog new', /^conflict: Cannot judge new: the vassal has no address/],
    ['10.0.0.2 ::1', /^bad-usage: .*different families/],
    ['six 10.0.0.2', /^bad-usage: .*different families/],
  ])('%j', (line, message) => {
    expect(brief(line)).toMatch(message);
  });
});

test('answersOf() gives each line its verdicts, and stops at the first that denies', () => {
  const verdict = (action: 'allow' | 'deny') => ({ action, rule: null, vassal: null });
  const asked = ['10.0.0.2 10.0.0.3', 'x', '10.0.0.3 10.0.0.2', 'out blog 1.1.1.1'].map((line) =>
    askedBy(line, WORLD),
  );
  const verdicts = (['allow', 'allow', 'deny', 'allow', 'deny'] as const).map(verdict);
  const answers = answersOf(asked, verdicts).map((answer) =>
    'error' in answer
      ? answer.error.code
      : [answer.verdict, ...answer.decisions.map(({ chain, action }) => `${chain} ${action}`)],
  );
  expect(answers).toEqual([
    ['allow', 'out allow', 'in allow'],
    'bad-usage',
    ['deny', 'out deny'],
    ['deny', 'out deny'],
  ]);
});
