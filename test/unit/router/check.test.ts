import { describe, expect, test } from 'vitest';
import { parseAddress } from '../../../src/firewall/address.ts';
import { judge } from '../../../src/firewall/chain.ts';
import { compileChain } from '../../../src/firewall/compile.ts';
import { parseRule, type Rule } from '../../../src/firewall/rule.ts';
import { denies4, makeCheck } from '../../../src/router/check.ts';

describe('denies4()', () => {
  test('says of every address what the chain says, whichever came before it', () => {
    const texts = [
      'deny 10.0.0.2 10.0.0.0/30',
      'allow 10.0.0.0/8 10.0.0.0/24',
      'deny 10.0.0.2 255.255.255.255',
      'deny 0.0.0.0 128.0.0.0/1',
    ];
    const chain = { rules: texts.map(rule), policy: 'allow' } as const;
    const own = parseAddress('10.0.0.2');
    if (!own) throw new Error('no address');
    const check = makeCheck(compileChain(chain, own, 'src'), new Float64Array(5));
    const edges = ['10.0.0.0', '10.0.0.4', '10.0.1.0', '128.0.0.0', '255.255.255.255'].map(wordOf);
    const words = [0, ...edges.flatMap((word) => [word - 1, word, Math.min(word + 1, 0xffffffff)])];
    for (const before of words) {
      for (const word of words) {
        denies4(check, before);
        const dst = { family: 4, words: [word] } as const;
        const { action } = judge(chain, { src: own, dst });
        expect([before, word, denies4(check, word)]).toEqual([before, word, action === 'deny']);
      }
    }
  });
});

function wordOf(text: string): number {
  return parseAddress(text)?.words[0] ?? 0;
}

function rule(text: string): Rule {
  const parsed = parseRule(text);
  if ('faults' in parsed) throw new Error(text);
  return parsed.rule;
}
