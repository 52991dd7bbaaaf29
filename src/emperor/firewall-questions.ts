/** `[in|out] SRC DST` as `emperor firewall check` takes it: which chains are to judge which packet. Pure. */
import { EmperorError, messageOf } from '../base/errors.ts';
import { type Address, type Family, parseAddress, printAddress } from '../firewall/address.ts';
import type { Packet } from '../firewall/chain.ts';
import { CHAIN_NAMES, type ChainName } from '../firewall/rule.ts';
import type { Addresses } from '../network/address-pool.ts';
import type { Verdict } from '../router/router.ts';
import type { FirewallAnswer } from './governor.ts';

export interface FirewallWorld {
  /** Addresses of a vassal; undefined if there is none of that name. */
  readonly addressesOf: (name: string) => Addresses | undefined;
  /** True for an address that is a vassal's, or would have to be. */
  readonly isOfVassals: (address: Address) => boolean;
}

export interface Question {
  readonly chain: ChainName;
  readonly packet: Packet;
}

/** What one line asks; where it cannot be asked, the answer. */
export type Asked = readonly Question[] | Extract<FirewallAnswer, { readonly error: unknown }>;

/** Without a chain: those that a packet passes, `out` if a vassal sends it, `in` if one receives it. */
export function askedBy(line: string, world: FirewallWorld): Asked {
  try {
    return questionsOf(line, world);
  } catch (error) {
    if (!(error instanceof EmperorError)) throw error;
    return { error: { code: error.code, message: messageOf(error) } };
  }
}

/** Puts the verdicts, one for each question in order, together again. */
export function answersOf(
  asked: readonly Asked[],
  verdicts: readonly Verdict[],
): readonly FirewallAnswer[] {
  const rest = verdicts[Symbol.iterator]();
  return asked.map((one) => {
    if ('error' in one) return one;
    const decisions = one.map(({ chain }) => {
      const { action, rule, vassal } = rest.next().value as Verdict;
      return { chain, action, rule, vassal };
    });
    const denial = decisions.findIndex(({ action }) => action === 'deny');
    if (denial < 0) return { verdict: 'allow', decisions };
    return { verdict: 'deny', decisions: decisions.slice(0, denial + 1) };
  });
}

function questionsOf(line: string, world: FirewallWorld): readonly Question[] {
  const words = line.trim().split(/\s+/);
  const [first = '', ...others] = words;
  const chain = words.length === 3 ? CHAIN_NAMES.find((name) => name === first) : undefined;
  const [src = '', dst = ''] = chain ? others : words;
  if (words.length !== (chain ? 3 : 2)) {
    throw unusable(
      line.trim(),
      'write `[in|out] SRC DST`, each an address or the name of a vassal',
    );
  }
  const packet = packetOf(sideOf(src, world), sideOf(dst, world));
  const chains = chain ? [chain] : chainsOf(packet, world);
  return chains.map((each) => ({ chain: each, packet }));
}

/** What neither comes from a vassal nor goes to one does not pass the router; then both say what they would say. */
function chainsOf({ src, dst }: Packet, { isOfVassals }: FirewallWorld): readonly ChainName[] {
  const passed: readonly ChainName[] = [
    ...(isOfVassals(src) ? (['out'] as const) : []),
    ...(isOfVassals(dst) ? (['in'] as const) : []),
  ];
  return passed.length > 0 ? passed : ['out', 'in'];
}

interface Side {
  readonly word: string;
  /** One at least; of a name, one of each family. */
  readonly addresses: readonly Address[];
}

function sideOf(word: string, { addressesOf }: FirewallWorld): Side {
  const address = parseAddress(word);
  if (address) return { word, addresses: [address] };
  const held = addressesOf(word);
  if (!held) {
    // Whoever meant an address finds its typo by this sentence, too.
    const message = `Cannot judge ${JSON.stringify(word)}: it is neither an address nor the name of a vassal`;
    throw new EmperorError(/[:/]|^[\d.]+$/.test(word) ? 'bad-usage' : 'no-such-vassal', message);
  }
  const addresses = [held.address, held.address6].filter((each) => each !== null);
  if (addresses.length > 0) return { word, addresses };
  throw new EmperorError('conflict', `Cannot judge ${word}: the vassal has no address`);
}

/** IPv4 where both sides have it. */
function packetOf(from: Side, to: Side): Packet {
  for (const family of [4, 6] satisfies readonly Family[]) {
    const of = ({ addresses }: Side) => addresses.find((address) => address.family === family);
    const [src, dst] = [of(from), of(to)];
    if (src && dst) return { src, dst };
  }
  const [text, other] = [from, to].map(({ addresses }) => addresses.map(printAddress).join(', '));
  throw unusable(`${from.word} ${to.word}`, `${text} and ${other} are of different families`);
}

function unusable(text: string, why: string): EmperorError {
  return new EmperorError('bad-usage', `Cannot judge ${JSON.stringify(text)}: ${why}`);
}
