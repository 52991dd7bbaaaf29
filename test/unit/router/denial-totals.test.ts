import { describe, expect, test } from 'vitest';
import { deviceChains } from '../../../src/firewall/chain.ts';
import { parseDeviceRule, parseRule } from '../../../src/firewall/rule.ts';
import { DenialTotals } from '../../../src/router/denial-totals.ts';
import { type CountedChains, countChains, type Denials } from '../../../src/router/gates.ts';

/** Chains whose `out` has these rules. */
function chains(...texts: readonly string[]): CountedChains {
  const rules = texts.map((text) => {
    const parsed = parseRule(text);
    if (!('rule' in parsed)) throw new Error(text);
    return parsed.rule;
  });
  return countChains({
    in: { rules: [], policy: 'allow' },
    out: { rules, policy: 'allow' },
  });
}

function ownChains(text: string): CountedChains {
  const parsed = parseDeviceRule(text);
  if (!('rule' in parsed)) throw new Error(text);
  return countChains(deviceChains([parsed.rule]));
}

/** As the packets' thread does it; -1 is the policy. */
function deny({ out }: CountedChains, rule: number, count = 1): void {
  out.denials[rule + 1] = (out.denials[rule + 1] ?? 0) + count;
}

const briefOf = (totals: DenialTotals) =>
  totals.list().map(({ rule, vassal, count }) => `${vassal ?? '-'}: ${rule}: ${count}`);

describe('DenialTotals', () => {
  test('counts on over a change of rules, with what the packets’ thread counts until it hears of it', () => {
    const totals = new DenialTotals([]);
    const before = chains('allow 10.0.0.1 0.0.0.0', 'deny');
    totals.watch(before, null);
    deny(before, 1, 3);
    totals.retire(before);
    const after = chains('deny');
    totals.watch(after, null);
    deny(after, 0, 2);
    deny(before, 1);
    expect(briefOf(totals)).toEqual(['-: deny: 6']);
    totals.settle();
    deny(before, 1);
    expect(briefOf(totals)).toEqual(['-: deny: 7']);
  });

  test('lets go of retired chains when they were settled twice', () => {
    const totals = new DenialTotals([]);
    const before = chains('deny');
    totals.watch(before, null);
    totals.retire(before);
    totals.settle();
    totals.settle();
    deny(before, 0);
    expect(briefOf(totals)).toEqual([]);
  });

  test('keeps what rules denied that are no more, and goes on from what was saved', () => {
    const totals = new DenialTotals([{ chain: 'out', rule: 'deny', vassal: null, count: 40 }]);
    const now = chains('deny 10.0.0.0/8 0.0.0.0');
    totals.watch(now, null);
    deny(now, 0);
    expect(briefOf(totals)).toEqual(['-: deny: 40', '-: deny 10.0.0.0/8 0.0.0.0: 1']);
  });

  test('counts a rule that stands in a chain twice once for each packet', () => {
    const totals = new DenialTotals([]);
    const twice = chains('deny 10.0.0.1 0.0.0.0', 'allow', 'deny 10.0.0.1 0.0.0.0');
    totals.watch(twice, null);
    deny(twice, 0, 2);
    deny(twice, 2, 5);
    expect(briefOf(totals)).toEqual(['-: deny 10.0.0.1 0.0.0.0: 7']);
    expect(briefOf(totals)).toEqual(['-: deny 10.0.0.1 0.0.0.0: 7']);
  });

  test('forgets a vassal with what its retired rules still count, and nobody else', () => {
    const totals = new DenialTotals([]);
    const [blog, shop] = [ownChains('out 0.0.0.0 1.1.1.1 deny'), ownChains('out :: ::1 deny')];
    totals.watch(blog, 'blog');
    totals.watch(shop, 'shop');
    deny(blog, 0);
    deny(shop, 0);
    totals.list();
    totals.retire(blog);
    totals.forget('blog');
    deny(blog, 0);
    expect(briefOf(totals)).toEqual(['shop: deny :: ::1: 1']);
  });

  test('keeps 10,000 of them: the rules that have not denied for longest go', () => {
    const saved = Array.from({ length: 10_000 }, (_, index): Denials => {
      return { chain: 'in', rule: `deny ${index}`, vassal: null, count: 1 };
    });
    const totals = new DenialTotals(saved);
    const now = chains('deny');
    totals.watch(now, null);
    deny(now, 0);
    const rules = totals.list().map(({ rule }) => rule);
    expect(rules).toHaveLength(10_000);
    expect(rules[0]).toBe('deny 1');
    expect(rules.at(-1)).toBe('deny');
  });
});
